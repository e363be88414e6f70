"""Whether one version of a codec has more artifacts than another on the same images.

Crops, rates and codecs of one original resemble each other, so that an original counts as one piece
of evidence in every test and interval here:

    presence  McNemar's exact test: of the originals on which the runs differ in the number of
              triplets with an artifact, how many got worse? Two-sided binomial test against 1/2.
              With one triplet per original this is the test of McNemar 1947 in its exact form.
    scores    Wilcoxon's signed-rank test (1945) on the mean difference of each original, and the
              mean difference over all triplets with a BCa interval over originals.

p values are corrected by Holm: those of presence over the types, those of scores over the
detectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench.evaluation.bootstrap import Clusters, Estimate, Floats, Resampling, estimate
from nacd_bench.evaluation.delong import holm

DEFAULT = Resampling(resamples=2000)
MANY = 2000
"""Originals from which on the interval of a mean is the normal one, which no bootstrap betters."""


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
    from scipy.stats import wilcoxon

    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    mean = mean_difference(first, second, clusters, resampling)
    if not len(first):
        return ScoreTest(np.nan, np.nan, mean, 0, 0, np.nan)
    sums, counts = _by_cluster(second - first, clusters)
    change = sums / counts
    p = float(wilcoxon(change).pvalue) if change.any() else 1.0
    return ScoreTest(
        float(first.mean()),
        float(second.mean()),
        mean,
        int((change < 0).sum()),
        int((change > 0).sum()),
        p,
    )


def mean_difference(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> Estimate:
    """Mean of after - before over ``(n,)`` triplets, its interval over originals."""
    change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    sums, counts = _by_cluster(change, clusters)
    if len(sums) > MANY:
        return _normal_mean(sums, counts, resampling.level)
    found = estimate(
        lambda weights: weights @ sums / (weights @ counts),
        Clusters(np.zeros(len(sums))),
        resampling,
    )
    return replace(found, n=len(change))


def _normal_mean(sums: Floats, counts: Floats, level: float) -> Estimate:
    """The mean over rows with the normal interval of a ratio of cluster totals."""
    from scipy.stats import norm

    value = sums.sum() / counts.sum()
    influence = (sums - value * counts) / counts.sum()
    size = len(sums)
    reach = norm.ppf((1 + level) / 2) * np.sqrt((influence**2).sum() * size / (size - 1))
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
