"""Whether two methods differ in AUC on the same images: two tests.

The covariance of AUCs is that of DeLong, DeLong and Clarke-Pearson 1988 ("Comparing the areas
under two or more correlated receiver operating characteristic curves", Biometrics 44), computed
from midranks in O(n log n) as in Sun and Xu 2014 ("Fast implementation of DeLong's algorithm",
IEEE Signal Processing Letters 21). Where several images come from one source, placements are
summed per source as in Obuchowski 1997 ("Nonparametric analysis of clustered ROC curve data",
Biometrics 53); with a source each, that is DeLong's form again.

DeLong's p values hold for large sets. With few sources on a side, or without any variance, the
permutation test of Bandos, Rockette and Gur 2005 ("A permutation test sensitive to differences in
areas for comparing ROC curves from a paired design", Statistics in Medicine 24) takes its place:
where two methods are alike, their ranks of a source can be exchanged. The difference in AUC is then
a sum of whole numbers with a sign per source, so that p is exact and not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from nacd_bench.evaluation.auc import ScoredImages
from nacd_bench.evaluation.bootstrap import FEW, Clusters, Floats, exact_interval
from nacd_bench.evaluation.significance import sign_flip_p

DELONG, PERMUTATION = "delong", "permutation"


@dataclass(frozen=True)
class PairedTest:
    """Two methods on the images that both have a score for; two-sided.

    Args:
        first, second: the methods.
        n_positive, n_negative: images in the test.
        n_excluded: images without a score of either.
        auc_first, auc_second: in [0, 1], on the images that both have a score for.
        difference: first minus second, with its 95 % interval.
        standard_error, z: DeLong's, which few images make too small and too large; NaN with one
            source on a side. With a standard error of 0 ``z`` is 0 or infinite.
        p: of the hypothesis that the AUCs are equal.
        p_holm: ``p`` corrected for the number of tests, or None before that.
        test: ``delong``, or ``permutation`` where a side has fewer than
            :data:`~nacd_bench.evaluation.bootstrap.FEW` sources or DeLong's variance is 0.

    All figures are NaN where no image of a class has both scores.
    """

    first: str
    second: str
    n_positive: int
    n_negative: int
    n_excluded: int
    auc_first: float = math.nan
    auc_second: float = math.nan
    difference: float = math.nan
    standard_error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    z: float = math.nan
    p: float = math.nan
    p_holm: float | None = None
    test: str = DELONG


def delong_covariance(
    positive: NDArray[np.bool_], values: Floats, clusters: Clusters
) -> tuple[Floats, Floats]:
    """AUCs ``(k,)`` of k methods on the same images, and their covariance ``(k, k)``.

    Args:
        positive: ``(n,)``.
        values: ``(k, n)`` scores without NaN.
        clusters: the source image of each.

    The covariance is NaN with fewer than two source images with or without the artifact.

    >>> positive = np.array([False, False, False, True, True])
    >>> scores = np.array([[1.0, 2, 3, 3, 4]])
    >>> aucs, covariance = delong_covariance(positive, scores, Clusters(positive))
    >>> round(float(aucs[0]), 4), round(float(covariance[0, 0]), 6)
    (0.9167, 0.013889)
    """
    sides = (positive, ~positive)
    sources = [int(np.count_nonzero(clusters.sums(side))) for side in sides]
    placements = _placements(positive, values)
    aucs = placements[:, positive].mean(axis=1)
    if min(sources) < 2:
        return aucs, np.full((len(aucs), len(aucs)), math.nan)
    a, b = (clusters.sums((placements - aucs[:, None]) * side) for side in sides)
    (i10, i01), m, n, count = sources, positive.sum(), (~positive).sum(), clusters.count
    both = count / (count - 1) * (a @ b.T) / (m * n)
    s10, s01 = i10 / (i10 - 1) * (a @ a.T) / m**2, i01 / (i01 - 1) * (b @ b.T) / n**2
    return aucs, s10 + s01 + both + both.T


def _placements(positive: NDArray[np.bool_], values: Floats) -> Floats:
    """For each positive the share of negatives below it, for each negative the share of positives
    above it, ``(k, n)``; ties count one half."""
    among_all = rankdata(values, axis=1)
    m, n = np.count_nonzero(positive), np.count_nonzero(~positive)
    placements = np.empty_like(among_all)
    among_positives = rankdata(values[:, positive], axis=1)
    placements[:, positive] = (among_all[:, positive] - among_positives) / n
    among_negatives = rankdata(values[:, ~positive], axis=1)
    placements[:, ~positive] = 1 - (among_all[:, ~positive] - among_negatives) / m
    return placements


def paired_test(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[str] | None = None,
    names: tuple[str, str] = ("first", "second"),
) -> PairedTest:
    """The paired test of two methods, DeLong's or by permutation.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        first, second: ``(n,)`` scores; images with NaN in either are left out. Where none of a
            class is left, the figures are NaN.
        clusters: ``(n,)`` source image of each; None makes each image its own.
    """
    values = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    is_missing = np.isnan(values).any(axis=0)
    values = values[:, ~is_missing]
    data = ScoredImages(truth, np.where(is_missing, np.nan, 0.0), clusters)
    untested = PairedTest(*names, data.n_positive, data.n_negative, data.n_excluded)
    if not data.has_both:
        return untested
    aucs, covariance = delong_covariance(data.truth, values, data.clusters)
    a, b = aucs.tolist()
    difference = a - b
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = 0.0 if variance <= 1e-15 else math.sqrt(variance)
    if error:
        z = difference / error
    else:
        z = 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    sources = min(data.clusters.on_sides)
    is_delong = sources >= FEW and error > 0
    if is_delong:
        below = above = float(norm.ppf(0.975)) * error
        p = float(2 * norm.sf(abs(z)))
    else:
        # from the intervals of both (Zou and Donner 2008), as if these were independent: two
        # methods on the same images go together, so that it is wide rather than narrow
        (a_low, a_high), (b_low, b_high) = (exact_interval(auc, sources, 0.95) for auc in (a, b))
        below, above = math.hypot(a - a_low, b_high - b), math.hypot(a_high - a, b - b_low)
        p = sign_flip_p(data.clusters.sums(_exchanged(data.truth, values)))
    return replace(
        untested,
        auc_first=a,
        auc_second=b,
        difference=difference,
        standard_error=error,
        low=difference - below,
        high=difference + above,
        z=z,
        p=p,
        test=DELONG if is_delong else PERMUTATION,
    )


def _exchanged(positive: NDArray[np.bool_], values: Floats) -> NDArray[np.int64]:
    """Whole numbers, one per image: the difference in AUC is their sum, times 1 / (4 m n), and
    exchanging the two methods' ranks of an image changes its number's sign."""
    ranks = rankdata(values, axis=1)
    x, y = ranks[:, positive], ranks[:, ~positive]
    # twice the share of pairs in order, a positive by method i against a negative by method j
    pairs = [
        [2 * np.greater.outer(x[i], y[j]).astype(np.int64) + np.equal.outer(x[i], y[j])
         for j in (0, 1)]
        for i in (0, 1)
    ]  # fmt: skip
    straight, mixed = pairs[0][0] - pairs[1][1], pairs[0][1] - pairs[1][0]
    signed = np.empty(len(positive), np.int64)
    signed[positive] = (straight + mixed).sum(axis=1)
    signed[~positive] = (straight - mixed).sum(axis=0)
    return signed
