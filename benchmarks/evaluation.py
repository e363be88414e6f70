"""How long the statistics of a benchmark take, and whether their intervals hold what they promise.

    python benchmarks/evaluation.py [--sets 2000] [--resamples 1000] [--skip-coverage]

First AUC, bootstrap and DeLong's tests for 17 methods on 100 triplets. Then simulated test sets:
how often the 95 % interval of the AUC holds the true one, for several AUCs, sizes, distributions
and for clusters, and how often DeLong's test rejects at 5 % where there is no difference.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from nacd_bench.evaluation.auc import ThresholdCurve, auc_estimates
from nacd_bench.evaluation.bootstrap import Floats, Resampling
from nacd_bench.evaluation.delong import paired_test
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.evaluation.thresholds import best_thresholds

Truth = NDArray[np.bool_]
Draw = Callable[[np.random.Generator], "tuple[Truth, Floats, list[str] | None]"]
"""Truth, scores and clusters of one simulated test set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=2000, help="simulated sets per row")
    parser.add_argument("--resamples", type=int, default=1000, help="of each simulated set")
    parser.add_argument("--skip-coverage", action="store_true")
    options = parser.parse_args()
    time_statistics()
    if not options.skip_coverage:
        print_coverage(options.sets, options.resamples)
        print_rejections(options.sets)
        print_few(options.sets)


def time_statistics(triplets: int = 100, methods: int = 17, detectors: int = 5) -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(triplets) < triplets // 2
    scores = {f"method {i}": rng.normal(size=triplets) + truth * i / 10 for i in range(methods)}
    clusters = [f"source {i}" for i in range(triplets)]
    ours = dict(list(scores.items())[:detectors])
    rival = scores[f"method {methods - 1}"]
    auc_estimates(truth, ours, clusters, Resampling(10))  # imports
    marks = [time.perf_counter()]
    auc_estimates(truth, scores, clusters)
    marks.append(time.perf_counter())
    tests = [paired_test(truth, values, rival, clusters) for values in ours.values()]
    holm_corrected(dict(enumerate(tests)))
    marks.append(time.perf_counter())
    for each in scores.values():
        ThresholdCurve(truth, each).rows(), best_thresholds(truth, each)
    marks.append(time.perf_counter())
    parts = np.diff(marks)
    print(
        f"{methods} methods on {triplets} triplets: AUC with {Resampling().resamples} resamples "
        f"{parts[0]:.2f} s, DeLong and Holm {parts[1]:.2f} s, together {parts[:2].sum():.2f} s; "
        f"curves and thresholds {parts[2]:.2f} s"
    )


def normal(auc: float, positives: int, negatives: int, spread: float = 1.0) -> Draw:
    """Normal scores; ``spread`` is the positives' standard deviation."""
    truth = np.arange(positives + negatives) < positives
    shift = norm.ppf(auc) * math.hypot(1, spread)

    def draw(rng: np.random.Generator) -> tuple[Truth, Floats, None]:
        scores = rng.normal(size=truth.size)
        return truth, np.where(truth, shift + spread * scores, scores), None

    return draw


def exponential(auc: float, positives: int, negatives: int) -> Draw:
    """Skewed scores: exponential ones, positives ``auc / (1 - auc)`` times as large."""
    truth = np.arange(positives + negatives) < positives

    def draw(rng: np.random.Generator) -> tuple[Truth, Floats, None]:
        return truth, rng.exponential(size=truth.size) * np.where(truth, auc / (1 - auc), 1), None

    return draw


def rarely_wrong(auc: float, positives: int, negatives: int) -> Draw:
    """One pair out of order, and each positive below all negatives with a small probability.

    What the data rest on is mostly not in them, and they are not without a fault.
    """
    truth = np.arange(positives + negatives) < positives
    share = 1 - auc / (1 - 1 / (positives * negatives))

    def draw(rng: np.random.Generator) -> tuple[Truth, Floats, None]:
        scores = rng.random(truth.size) + 2 * truth
        scores[0] = np.sort(scores[~truth])[-2:].mean()
        scores[truth] -= 9 * (rng.random(positives) < share)
        return truth, scores, None

    return draw


def clustered(auc: float, sources: int, copies: int) -> Draw:
    """``sources`` per side with ``copies`` triplets each that share half of their variance."""
    truth = np.repeat(np.arange(2 * sources) < sources, copies)
    names = [f"{i:03}" for i in range(2 * sources) for _ in range(copies)]
    shift = norm.ppf(auc) * math.sqrt(2)

    def draw(rng: np.random.Generator) -> tuple[Truth, Floats, list[str]]:
        shared = np.repeat(rng.normal(size=2 * sources), copies)
        own = rng.normal(size=truth.size)
        return truth, (shared + own) / math.sqrt(2) + shift * truth, names

    return draw


def print_coverage(sets: int, resamples: int) -> None:
    rows: list[tuple[str, float, Draw]] = [
        (f"normal, AUC {auc}, 50 + 50", auc, normal(auc, 50, 50))
        for auc in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97)
    ]
    rows += [
        ("normal, AUC 0.8, 20 + 20", 0.8, normal(0.8, 20, 20)),
        ("normal, AUC 0.8, 200 + 200", 0.8, normal(0.8, 200, 200)),
        ("positives spread twice, AUC 0.8, 50 + 50", 0.8, normal(0.8, 50, 50, spread=2)),
        ("exponential, AUC 0.8, 50 + 50", 0.8, exponential(0.8, 50, 50)),
        ("25 + 25 sources, 4 triplets each, AUC 0.8", 0.8, clustered(0.8, 25, 4)),
    ]
    for m, n in ((20, 20), (20, 50), (50, 20), (30, 30), (50, 50)):
        rows.append((f"exponential, AUC 0.97, {m} + {n}", 0.97, exponential(0.97, m, n)))
        rows.append((f"rarely wrong, AUC 0.97, {m} + {n}", 0.97, rarely_wrong(0.97, m, n)))
    print(f"coverage of the 95 % interval, {sets} sets, {resamples} resamples each:")
    for name, true_auc, draw in rows:
        rng = np.random.default_rng(1)
        hits, widths = 0, []
        for seed in range(sets):
            truth, scores, clusters = draw(rng)
            resampling = Resampling(resamples, seed=seed)
            found = auc_estimates(truth, {"": scores}, clusters, resampling)[""]
            hits += found.low <= true_auc <= found.high
            widths.append(found.high - found.low)
        share = hits / sets
        error = math.sqrt(share * (1 - share) / sets)
        print(
            f"  {name:44} {100 * share:5.1f} % (standard error {100 * error:.1f}), "
            f"mean width {np.mean(widths):.3f}",
            flush=True,
        )


def print_rejections(sets: int) -> None:
    print(f"rejections at 5 % by DeLong's test of two equally good methods, {sets} sets:")
    for name, copies in (("50 + 50 sources", 1), ("25 + 25 sources, 4 triplets each", 4)):
        rng = np.random.default_rng(2)
        sources = 50 if copies == 1 else 25
        aware = naive = 0
        for _ in range(sets):
            truth, first, clusters = clustered(0.8, sources, copies)(rng)
            _, second, _ = clustered(0.8, sources, copies)(rng)
            aware += paired_test(truth, first, second, clusters).p < 0.05
            naive += paired_test(truth, first, second).p < 0.05
        print(
            f"  {name:44} {100 * aware / sets:5.1f} % with clusters, "
            f"{100 * naive / sets:.1f} % without"
        )


def print_few(sets: int) -> None:
    """Exact intervals and permutation tests where a side has fewer than 20 sources."""
    print(f"few sources: coverage of the 95 % interval at AUC 0.5, 0.7, 0.9, 0.97, {sets} sets")
    spreads = {"normal": 1.0, "positives five times as wide": 5.0}
    for m, n in ((1, 50), (2, 50), (3, 50), (6, 6), (10, 10), (50, 3)):
        truth = np.arange(m + n) < m
        for name in (*spreads, "above or below all negatives"):
            rng, shares = np.random.default_rng(3), []
            for true_auc in (0.5, 0.7, 0.9, 0.97):
                hits = 0
                for _ in range(sets):
                    scores = rng.normal(size=m + n)
                    if name in spreads:
                        spread = spreads[name]
                        shift = norm.ppf(true_auc) * math.sqrt(1 + spread**2)
                        scores[:m] = scores[:m] * spread + shift
                    else:
                        scores[:m] += np.where(rng.random(m) < true_auc, 100, -100)
                    found = auc_estimates(truth, {"": scores})[""]
                    hits += found.low <= true_auc <= found.high
                shares.append(f"{100 * hits / sets:5.1f}")
            print(f"  {m:2} + {n:<2} {name:32} {' '.join(shares)} %", flush=True)
    for m, n in ((6, 6), (10, 10), (15, 15), (5, 50)):
        rng, p = np.random.default_rng(4), []
        truth = np.arange(m + n) < m
        for _ in range(sets):
            both = rng.normal(size=m + n) + norm.ppf(0.7) * math.sqrt(2) * truth
            first, second = (0.7 * both + 0.714 * rng.normal(size=m + n) for _ in range(2))
            p.append(paired_test(truth, first, second).p)
        shares = [f"{100 * np.mean(np.array(p) <= level):.1f}" for level in (0.05, 0.01, 0.001)]
        print(f"  {m} + {n}: the test of two like methods rejects in {', '.join(shares)} %")


if __name__ == "__main__":
    main()
