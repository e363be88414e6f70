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
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, t

from nacd_bench.evaluation.bootstrap import (
    FEW,
    Clusters,
    Floats,
    IntervalEstimate,
    Resampling,
    estimate,
)
from nacd_bench.evaluation.significance import wilcoxon_p

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
class PairedTest:
    """Whether the mean difference of two scores of the same pictures is chance.

    Args:
        difference: its estimate.
        p: of the test; 1 where nothing differs.
        p_holm: corrected, or None before that.
    """

    difference: IntervalEstimate
    p: float
    p_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreTest(PairedTest):
    """The images' scores by one detector; the difference is after - before, over triplets.

    Args:
        before, after: means over triplets; NaN without any.
        better, worse: originals whose mean score fell or rose.
    """

    before: float
    after: float
    better: int
    worse: int


def presence_test(before: ArrayLike, after: ArrayLike, clusters: Sequence[str]) -> PresenceTest:
    """McNemar's exact test over originals.

    Args:
        before, after: ``(n,)`` whether a triplet has an artifact.
        clusters: ``(n,)`` original of each.

    >>> test = presence_test([1, 1, 0, 0], [1, 0, 1, 1], ["a", "b", "c", "d"])
    >>> test.only_before, test.only_after, test.p
    (1, 2, 1.0)
    """
    first, second = np.asarray(before, bool), np.asarray(after, bool)
    change = Clusters(first, clusters).sums(second.astype(float) - first)
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

    >>> test = score_test([0.1, 0.2, 0.3], [0.3, 0.4, 0.5], ["a", "b", "c"])
    >>> test.p, round(test.difference.value, 3)
    (0.25, 0.2)
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    mean = mean_difference(first, second, clusters, resampling)
    if not len(first):
        return ScoreTest(mean, np.nan, before=np.nan, after=np.nan, better=0, worse=0)
    originals = Clusters(first, clusters)
    largest = max(np.abs(scores[np.isfinite(scores)]).max(initial=0) for scores in (first, second))
    step = largest * SAME or 1.0
    means = originals.sums(_change(first, second)) / originals.counts
    change = np.rint(means / step) * step
    better, worse = int((change < 0).sum()), int((change > 0).sum())
    return ScoreTest(
        mean,
        wilcoxon_p(change),
        before=float(first.mean()),
        after=float(second.mean()),
        better=better,
        worse=worse,
    )


def _change(first: Floats, second: Floats) -> Floats:
    """After - before; 0 where both are the same infinity."""
    return np.subtract(second, first, out=np.zeros_like(first), where=first != second)


def mean_difference(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> IntervalEstimate:
    """Mean of after - before over ``(n,)`` triplets, its interval over originals."""
    change = _change(np.asarray(before, np.float64), np.asarray(after, np.float64))
    originals = Clusters(np.zeros(len(change)), clusters)
    mean = mean_of_sums(originals.sums(change), originals.counts, resampling)
    return replace(mean, n=len(change))


def mean_of_sums(
    sums: ArrayLike, counts: ArrayLike, resampling: Resampling = DEFAULT
) -> IntervalEstimate:
    """Sum of ``(n,)`` sums over originals by that of their counts, its interval over originals.

    Few originals, or many, get Student's interval of a ratio of cluster totals, one gets none.

    >>> mean = mean_of_sums([1.0, 2.0, 6.0], [1, 1, 1])
    >>> mean.value, round(mean.high - mean.value, 3)  # 4.303 standard errors
    (3.0, 6.572)
    """
    total, counted = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    size = len(total)
    if 0 < size < FEW or size > MANY:
        value = float(total.sum() / counted.sum())
        reach = math.nan
        if size > 1:
            influence = (total - value * counted) / counted.sum()
            spread = math.sqrt((influence**2).sum() * size / (size - 1))
            reach = float(t.ppf((1 + resampling.level) / 2, size - 1)) * spread
        return IntervalEstimate(value, value - reach, value + reach, size, size)
    return estimate(
        lambda weights: weights @ total / (weights @ counted), Clusters(np.zeros(size)), resampling
    )
