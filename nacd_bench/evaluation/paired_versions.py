"""Whether one version of a codec has more artifacts than another on the same images.

Crops, rates and codecs of one original resemble each other, so that an original counts as one piece
of evidence in every test and interval here:

    presence  McNemar's exact test: of the originals on which the runs differ in the number of
              triplets with an artifact, how many got worse? Two-sided binomial test against 1/2.
              With one triplet per original this is the test of McNemar 1947 in its exact form.
    scores    Wilcoxon's signed-rank test (1945) on the mean difference of each original, exact with
              ties and with originals that did not change left out, and the mean difference over
              all triplets with a BCa interval over originals (Student's where they are few).

p values are corrected by Holm: those of presence over the types, those of scores over the
detectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench.evaluation.bootstrap import FEW, Clusters, Estimate, Floats, Resampling, estimate
from nacd_bench.evaluation.delong import holm
from nacd_bench.evaluation.sign_flips import sign_flip_p

DEFAULT = Resampling(resamples=2000)
SAME = 1e-12
"""Difference of two scores, as a share of the largest, that is rounding and none of the codec's."""
MANY = 2000
"""Originals from which on the interval of a mean is Student's, which no bootstrap betters."""


@dataclass(frozen=True)
class PresenceTest:
    """Triplets with an artifact, before and after.

    Args:
        with_before, with_after: triplets that have one.
        only_before, only_after: triplets that have one in one of the runs.
        better, worse: originals with fewer or more such triplets after than before.
        n, n_clusters: triplets and originals compared.
        p: of McNemar's exact test on ``better`` and ``worse``; 1 where nothing differs.
        p_holm: corrected, or None before that.
    """

    with_before: int
    with_after: int
    only_before: int
    only_after: int
    better: int
    worse: int
    n: int
    n_clusters: int
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class ScoreTest:
    """The images' scores by one detector, before and after.

    Args:
        before, after: means over triplets; NaN without any.
        difference: mean of after - before over triplets, above 0 where the later run is worse.
        better, worse: originals whose mean score fell or rose.
        p: of Wilcoxon's signed-rank test; 1 where nothing differs.
        p_holm: corrected, or None before that.
    """

    before: float
    after: float
    difference: Estimate
    better: int
    worse: int
    p: float
    p_holm: float | None = None


Test = TypeVar("Test", PresenceTest, ScoreTest)


def presence_test(before: ArrayLike, after: ArrayLike, clusters: Sequence[str]) -> PresenceTest:
    """McNemar's exact test over originals.

    Args:
        before, after: ``(n,)`` whether a triplet has an artifact.
        clusters: ``(n,)`` original of each.

    >>> found = presence_test([1, 1, 0, 0], [1, 0, 1, 1], ["a", "b", "c", "d"])
    >>> found.only_before, found.only_after, found.p
    (1, 2, 1.0)
    """
    from scipy.stats import binomtest

    first, second = np.asarray(before, bool), np.asarray(after, bool)
    change, _ = _by_cluster(second.astype(float) - first.astype(float), clusters)
    better, worse = int((change < 0).sum()), int((change > 0).sum())
    return PresenceTest(
        int(first.sum()),
        int(second.sum()),
        int((first & ~second).sum()),
        int((second & ~first).sum()),
        better,
        worse,
        len(first),
        len(change),
        float(binomtest(worse, better + worse).pvalue) if better + worse else 1.0,
    )


def score_test(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> ScoreTest:
    """Wilcoxon's test and the mean difference of scores.

    Args:
        before, after: ``(n,)`` scores without NaN.
        clusters: ``(n,)`` original of each.
        resampling: of the interval.

    >>> found = score_test([0.1, 0.2, 0.3], [0.3, 0.4, 0.5], ["a", "b", "c"])
    >>> found.p, round(found.difference.value, 3)
    (0.25, 0.2)
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    mean = mean_difference(first, second, clusters, resampling)
    if not len(first):
        return ScoreTest(np.nan, np.nan, mean, 0, 0, np.nan)
    sums, counts = _by_cluster(_change(first, second), clusters)
    largest = max(np.abs(each[np.isfinite(each)]).max(initial=0) for each in (first, second))
    step = largest * SAME or 1.0
    change = np.rint(sums / counts / step) * step
    return ScoreTest(
        float(first.mean()),
        float(second.mean()),
        mean,
        int((change < 0).sum()),
        int((change > 0).sum()),
        wilcoxon_p(change),
    )


def wilcoxon_p(change: ArrayLike) -> float:
    """Wilcoxon's signed-rank test, two-sided and exact; zeros are left out, ties share a rank.

    >>> wilcoxon_p([1, 2, 3, 4, 5, 0, 0, 0]), wilcoxon_p([2, 2, -2]), wilcoxon_p([])
    (0.0625, 1.0, 1.0)
    """
    from scipy.stats import rankdata

    changed = np.asarray(change, np.float64)
    changed = changed[changed != 0]
    return sign_flip_p(np.rint(2 * rankdata(np.abs(changed))) * np.sign(changed))


def _change(first: Floats, second: Floats) -> Floats:
    """After - before; 0 where both are the same infinity."""
    return np.subtract(second, first, out=np.zeros_like(first), where=first != second)


def mean_difference(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> Estimate:
    """Mean of after - before over ``(n,)`` triplets, its interval over originals."""
    change = _change(np.asarray(before, np.float64), np.asarray(after, np.float64))
    sums, counts = _by_cluster(change, clusters)
    if 0 < len(sums) < FEW or len(sums) > MANY:
        return _student_mean(sums, counts, resampling.level)
    found = estimate(
        lambda weights: weights @ sums / (weights @ counts),
        Clusters(np.zeros(len(sums))),
        resampling,
    )
    return replace(found, n=len(change))


def _student_mean(sums: Floats, counts: Floats, level: float) -> Estimate:
    """The mean over rows with Student's interval of a ratio of cluster totals; no interval of one
    cluster."""
    from scipy.stats import t

    value, size = sums.sum() / counts.sum(), len(sums)
    reach = math.nan
    if size > 1:
        influence = (sums - value * counts) / counts.sum()
        spread = math.sqrt((influence**2).sum() * size / (size - 1))
        reach = t.ppf((1 + level) / 2, size - 1) * spread
    return Estimate(
        float(value), float(value - reach), float(value + reach), int(counts.sum()), size
    )


def corrected(tests: Mapping[str, Test]) -> dict[str, Test]:
    """The tests with ``p_holm``, one family."""
    p_values = holm([each.p for each in tests.values()])
    return {
        name: replace(each, p_holm=float(p))
        for (name, each), p in zip(tests.items(), p_values, strict=True)
    }


def _by_cluster(values: Floats, clusters: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum of the values and number of rows of each original, by name."""
    names, of_row = np.unique(np.asarray([*map(str, clusters)]), return_inverse=True)
    counts = np.bincount(of_row, minlength=len(names)).astype(np.float64)
    return np.bincount(of_row, values, len(names)).astype(np.float64), counts
