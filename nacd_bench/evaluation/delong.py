"""Whether two methods differ in AUC on the same images: two tests, and Holm's correction.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from nacd_bench.errors import DataError
from nacd_bench.evaluation.auc import Scored, auc_estimates, scored
from nacd_bench.evaluation.bootstrap import FEW, Clusters, Floats, Resampling, exact_interval
from nacd_bench.evaluation.sign_flips import sign_flip_p

DELONG, PERMUTATION = "delong", "permutation"


@dataclass(frozen=True)
class PairedTest:
    """Two methods on the images that both have a score for; two-sided.

    Args:
        first, second: the methods.
        auc_first, auc_second: in [0, 1], on the images that both have a score for.
        difference: first minus second, with its 95 % interval.
        standard_error, z: DeLong's, which few images make too small and too large; NaN with one
            source on a side. With a standard error of 0 ``z`` is 0 or infinite.
        p: of the hypothesis that the AUCs are equal.
        n_positive, n_negative: images in the test.
        n_excluded: images without a score of either.
        p_holm: ``p`` corrected for the number of tests, or None before that.
        test: ``delong``, or ``permutation`` where a side has fewer than
            :data:`~nacd_bench.evaluation.bootstrap.FEW` sources or DeLong's variance is 0.

    All are NaN where no image of a class has both scores.
    """

    first: str
    second: str
    auc_first: float
    auc_second: float
    difference: float
    standard_error: float
    low: float
    high: float
    z: float
    p: float
    n_positive: int
    n_negative: int
    n_excluded: int
    p_holm: float | None = None
    test: str = DELONG


def delong_covariance(
    truth: ArrayLike, scores: ArrayLike, clusters: Sequence[str] | None = None
) -> tuple[Floats, Floats]:
    """AUCs ``(k,)`` of k methods on the same images, and their covariance ``(k, k)``.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        scores: ``(k, n)`` without NaN.
        clusters: ``(n,)`` source image of each; None makes each image its own.

    Raises:
        DataError: fewer than two source images with or without the artifact.

    >>> aucs, covariance = delong_covariance([0, 0, 0, 1, 1], [[1, 2, 3, 3, 4]])
    >>> round(float(aucs[0]), 4), round(float(covariance[0, 0]), 6)
    (0.9167, 0.013889)
    """
    positive = np.asarray(truth, bool)
    values = np.atleast_2d(np.asarray(scores, np.float64))
    if np.isnan(values).any() or values.shape[1:] != positive.shape:
        raise ValueError(
            "Expected `scores` (k, n) without NaN for `truth` (n,). "
            f"Got shapes {values.shape} and {positive.shape}."
        )
    names = np.arange(positive.size) if clusters is None else np.asarray([*map(str, clusters)])
    _, source = np.unique(names, return_inverse=True)
    sources = [np.unique(source[side]).size for side in (positive, ~positive)]
    if min(sources) < 2:
        raise DataError(
            "expected two or more source images on each side for DeLong's test, got "
            f"{sources[0]} with the artifact and {sources[1]} without. Add images."
        )
    of_positives, of_negatives = _placements(positive, values)
    aucs = of_positives.mean(axis=1)
    count = source.max() + 1
    a = _summed(of_positives - aucs[:, None], source[positive], count)
    b = _summed(of_negatives - aucs[:, None], source[~positive], count)
    (i10, i01), m, n = sources, of_positives.shape[1], of_negatives.shape[1]
    both = count / (count - 1) * (a @ b.T) / (m * n)
    s10, s01 = i10 / (i10 - 1) * (a @ a.T) / m**2, i01 / (i01 - 1) * (b @ b.T) / n**2
    return aucs, s10 + s01 + both + both.T


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
        first, second: ``(n,)`` scores; images with NaN in either are left out.
        clusters: ``(n,)`` source image of each; None makes each image its own.

    Raises:
        DataError: one class only.
    """
    data, values = _both(truth, first, second, clusters)
    sources = min(Clusters(data.truth, data.clusters).on_sides)
    aucs = _placements(data.truth, values)[0].mean(axis=1)
    difference = float(aucs[0] - aucs[1])
    error = _standard_error(data, values)
    if error:
        z = difference / error
    else:
        z = 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    is_delong = sources >= FEW and error > 0
    if is_delong:
        reach, p = float(norm.ppf(0.975)) * error, float(2 * norm.sf(abs(z)))
        low, high = difference - reach, difference + reach
    else:
        low, high = _difference_interval(float(aucs[0]), float(aucs[1]), sources)
        p = sign_flip_p(_exchanged(data.truth, values, data.clusters))
    return PairedTest(
        *names,
        auc_first=float(aucs[0]),
        auc_second=float(aucs[1]),
        difference=difference,
        standard_error=error,
        low=low,
        high=high,
        z=z,
        p=p,
        n_positive=data.n_positive,
        n_negative=data.n_negative,
        n_excluded=data.n_excluded,
        test=DELONG if is_delong else PERMUTATION,
    )


def _standard_error(data: Scored, values: Floats) -> float:
    """Of the difference of two AUCs by DeLong; NaN with one source on a side."""
    try:
        _, covariance = delong_covariance(data.truth, values, data.clusters)
    except DataError:
        return math.nan
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return math.sqrt(variance) if variance > 1e-15 else 0.0


def _exchanged(
    positive: NDArray[np.bool_], values: Floats, clusters: Sequence[str] | None
) -> NDArray[np.int64]:
    """Whole numbers, one per source: the difference in AUC is their sum, times 1 / (4 m n), and
    exchanging the two methods' ranks of a source changes its number's sign."""
    ranks = rankdata(values, axis=1)
    x, y = ranks[:, positive], ranks[:, ~positive]
    # twice the share of pairs in order, a positive by method i against a negative by method j
    pairs = [
        [2 * np.greater.outer(x[i], y[j]).astype(np.int64) + np.equal.outer(x[i], y[j])
         for j in (0, 1)]
        for i in (0, 1)
    ]  # fmt: skip
    own, mixed = pairs[0][0] - pairs[1][1], pairs[0][1] - pairs[1][0]
    signed = np.empty(len(positive), np.int64)
    signed[positive] = (own + mixed).sum(axis=1)
    signed[~positive] = (own - mixed).sum(axis=0)
    if clusters is None:
        return signed
    names, source = np.unique(np.asarray([*map(str, clusters)]), return_inverse=True)
    summed = np.zeros(len(names), np.int64)
    np.add.at(summed, source, signed)
    return summed


def _difference_interval(first: float, second: float, sources: float) -> tuple[float, float]:
    """95 % interval of a difference from those of its parts (Zou and Donner 2008), as if these
    were independent: two methods on the same images go together, so that it is wide rather than
    narrow."""
    (low, high), (other_low, other_high) = (
        exact_interval(value, sources, 0.95) for value in (first, second)
    )
    difference = first - second
    return (
        difference - math.hypot(first - low, other_high - second),
        difference + math.hypot(high - first, second - other_low),
    )


def against_best(
    truth: ArrayLike,
    methods: Mapping[str, ArrayLike],
    baselines: Mapping[str, ArrayLike],
    clusters: Sequence[str] | None = None,
) -> list[PairedTest]:
    """Each method against the baseline of the largest AUC on this set, without correction.

    The best is picked on the images that are then tested on: it is a hard rival, and the test
    leans towards "no difference". Correct the tests of all sets together by :func:`holm_corrected`.

    Args:
        truth, clusters: as :func:`paired_test`.
        methods, baselines: ``(n,)`` scores by name.

    Returns:
        A test per method, in order; NaN where a method lacks a class.

    Raises:
        DataError: one class only, or no baseline with scores for both.
    """
    only_values = Resampling(resamples=1)
    found = auc_estimates(truth, baselines, clusters, only_values)
    usable = {name: each.value for name, each in found.items() if not math.isnan(each.value)}
    if not usable:
        raise DataError(
            "expected a baseline with scores on both sides to test against, got "
            f"{len(baselines)} baselines without. Add a baseline."
        )
    best = max(usable, key=lambda name: usable[name])
    tests = []
    for name, scores in methods.items():
        pair = (name, best)
        try:
            tests.append(paired_test(truth, scores, baselines[best], clusters, pair))
        except DataError:
            counts = _counts(truth, scores, baselines[best])
            tests.append(_untested(*pair, *counts))
    return tests


def holm(p_values: ArrayLike) -> Floats:
    """p values corrected for their number (Holm 1979); NaN stays and does not count.

    The k-th smallest of m is multiplied by m - k + 1; none may fall below a smaller one's.

    >>> holm([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def holm_corrected(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The tests with ``p_holm``, one family; NaN stays NaN."""
    corrected = holm([each.p for each in tests])
    return [replace(test, p_holm=float(p)) for test, p in zip(tests, corrected, strict=True)]


def _placements(positive: NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it ``(k, m)``, for each negative the share of
    positives above it ``(k, n)``; ties count one half."""
    among_all = rankdata(values, axis=1)
    m, n = np.count_nonzero(positive), np.count_nonzero(~positive)
    below = (among_all[:, positive] - rankdata(values[:, positive], axis=1)) / n
    above = 1 - (among_all[:, ~positive] - rankdata(values[:, ~positive], axis=1)) / m
    return below, above


def _summed(values: Floats, source: NDArray[np.intp], count: int) -> Floats:
    """``(k, n)`` values summed per source: ``(k, count)``."""
    return np.stack([np.bincount(source, row, count) for row in values])


def _both(
    truth: ArrayLike, first: ArrayLike, second: ArrayLike, clusters: Sequence[str] | None
) -> tuple[Scored, Floats]:
    values = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    is_missing = np.isnan(values).any(axis=0)
    data = scored(truth, np.where(is_missing, np.nan, 0.0), clusters)
    return data, values[:, ~is_missing]


def _untested(
    first: str, second: str, n_positive: int, n_negative: int, n_excluded: int
) -> PairedTest:
    nan = math.nan
    nothing = (nan, nan, nan, nan, nan, nan, nan, nan)
    return PairedTest(first, second, *nothing, n_positive, n_negative, n_excluded)


def _counts(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[int, int, int]:
    positive = np.asarray(truth, bool)
    has_both = ~(np.isnan(np.asarray(first, np.float64)) | np.isnan(np.asarray(second, np.float64)))
    return (
        int(np.count_nonzero(positive & has_both)),
        int(np.count_nonzero(~positive & has_both)),
        int(np.count_nonzero(~has_both)),
    )
