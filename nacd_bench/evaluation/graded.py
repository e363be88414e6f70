"""How well scores agree with graded severities: pure statistics on arrays.

A rater's severity (0 to 3) of a unit, one side of a triplet, is compared with the mean of the other
raters' (*leave one out*): for three raters the mean of two, over the three choices of the two. A
method is compared with the same targets, and its figure is the mean over the choices, so that it
stands beside *one rater*, who is compared with them in the same way::

    spearman     rank correlation of scores and targets
    concordance  share of pairs of units with different targets that the scores put in order, a tie
                 counting one half
    pointing     share of units whose strongest box has its centre in a box of one of the others,
                 where their mean is at least 1.5 and all of them drew one
    alpha        Krippendorff's, ordinal: 1 where raters always agree, 0 where as by chance

Intervals resample photographs, not rows (:mod:`nacd_bench.evaluation.bootstrap`). Everything the
bootstrap needs is a function of weights: ranks are those of the weighted rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from nacd_bench.evaluation.bootstrap import (
    DEFAULT,
    Clusters,
    Floats,
    IntervalEstimate,
    Resampling,
    Statistic,
    estimate,
)

CLEAR = 1.5
"""Severity from which an artifact counts as there: between slight and clear."""
POSITIVE = 2
"""Least median of a positive."""
NEGATIVE = 1
"""Greatest sum of a negative's three ratings."""
RATINGS = 3
"""Ratings that a unit needs to be in any figure."""
NONE = IntervalEstimate(math.nan, math.nan, math.nan, 0, 0)


class Targets:
    """Units with what is known of them: for each rater the mean of the others.

    Args:
        severity: ``(n, raters)`` float, NaN where a rater said nothing. A unit with fewer than
            three ratings is in no figure.
        clusters: ``(n,)`` photograph of each unit.

    >>> targets = Targets([[0, 1, 2], [3, 3, np.nan]], ["a", "b"])
    >>> targets.values.tolist(), targets.valid.tolist()
    ([[1.5, 0.0], [1.0, 0.0], [0.5, 0.0]], [[True, False], [True, False], [True, False]])
    """

    def __init__(self, severity: ArrayLike, clusters: Sequence[str]) -> None:
        self.severity = np.asarray(severity, np.float64)
        self.clusters = list(clusters)
        given = ~np.isnan(self.severity)
        self.is_rated = given.sum(axis=1) >= RATINGS
        self.valid: NDArray[np.bool_] = (given & self.is_rated[:, None]).T
        rated = np.where(given, self.severity, 0)
        others = given.sum(axis=1, keepdims=True) - given
        means = (rated.sum(axis=1, keepdims=True) - rated) / np.maximum(others, 1)
        self.values: Floats = np.where(self.valid, means.T, 0.0)
        self.ratings: Floats = np.where(self.valid, rated.T, 0.0)

    def photographs(self, rows: NDArray[np.bool_]) -> Clusters:
        """What is resampled, of some units."""
        return Clusters(np.zeros(rows.sum()), [self.clusters[i] for i in np.flatnonzero(rows)])

    @property
    def mean(self) -> Floats:
        """``(n,)`` of all ratings; NaN for a unit that is in no figure."""
        shown = np.where(self.is_rated[:, None], self.severity, np.nan)
        counts = np.maximum((~np.isnan(shown)).sum(axis=1), 1)
        return np.where(self.is_rated, np.nansum(shown, axis=1) / counts, np.nan)

    @property
    def fault(self) -> str:
        """Why nothing can be ordered by the targets; empty where something can."""
        if len(self.values) < RATINGS:
            raters = {0: "no rater", 1: "a single rater", 2: "two raters"}[len(self.values)]
            return f"{raters}: no comparison, which takes {RATINGS} ratings of a side"
        if not self.is_rated.any():
            return f"no side has {RATINGS} ratings: no comparison"
        if not len(_ordered(self, self.is_rated)[0]):
            return "all grades are equal: no correlation"
        return ""


def spearman(
    targets: Targets, scores: ArrayLike, resampling: Resampling = DEFAULT
) -> IntervalEstimate:
    """Rank correlation with the targets, mean over the raters left out.

    Args:
        scores: ``(n,)`` of a method, NaN where it has none; or ``(raters, n)``, one row for each
            rater left out (``targets.ratings`` is *one rater*).

    Returns:
        0 for scores that are all equal, NaN where the targets are.

    >>> of = Targets([[0, 0, 1], [1, 2, 2], [3, 3, 3]], ["a", "b", "c"])
    >>> spearman(of, [0.1, 0.2, 0.3]).value, spearman(of, [7, 7, 7]).value
    (1.0, 0.0)
    """
    return _estimate(targets, scores, resampling, spearman_statistic)


def spearman_statistic(values: Floats, valid: NDArray[np.bool_], scores: Floats) -> Statistic:
    """The figure of :func:`spearman` as a function of weights.

    Args:
        values, valid: ``(k, n)`` targets and whether they count.
        scores: ``(k, n)``, or ``(1, n)`` for all of them.
    """

    def statistic(weights: Floats) -> Floats:
        return np.mean(
            [
                _correlation(w := weights * counted, _ranks(score, w), _ranks(target, w))
                for target, counted, score in _each(values, valid, scores)
            ],
            axis=0,
        )

    return statistic


def concordance(
    targets: Targets, scores: ArrayLike, resampling: Resampling = DEFAULT
) -> IntervalEstimate:
    """Share of pairs of units with different targets that the scores put in order; arguments as
    for :func:`spearman`. Scores that are all equal have 0.5."""
    return _estimate(targets, scores, resampling, _concordance_statistic)


def _concordance_statistic(values: Floats, valid: NDArray[np.bool_], scores: Floats) -> Statistic:
    pairs = []
    for target, counted, score in _each(values, valid, scores):
        above = (target[:, None] > target) & counted[:, None] & counted
        pairs.append((above * (1 + np.sign(score[:, None] - score)) / 2, above.astype(float)))

    def statistic(weights: Floats) -> Floats:
        return np.mean([_share(weights, *pair) for pair in pairs], axis=0)

    return statistic


def _share(weights: Floats, hits: Floats, every: Floats) -> Floats:
    """Weighted pairs that are right, of all: ``(r,)``; one half where there are none."""
    right, total = (np.einsum("rn,rn->r", weights @ pairs, weights) for pairs in (hits, every))
    return np.divide(right, total, out=np.full(len(weights), 0.5), where=total > 0)


def pointing(
    targets: Targets,
    boxes: ArrayLike,
    points: ArrayLike,
    resampling: Resampling = DEFAULT,
) -> IntervalEstimate:
    """Share of units where a point lies in a box of one of the other raters.

    Args:
        boxes: ``(n, raters, 4)`` drawn by the raters, NaN where there is none.
        points: ``(n, 2)`` of a method, or ``(raters, n, 2)``, one for each rater left out; NaN,
            where there is none, lies in no box.
    """
    drawn = np.asarray(boxes, np.float64)
    of = np.broadcast_to(np.asarray(points, np.float64), (len(targets.values), len(drawn), 2))
    within = (drawn[None, :, :, :2] <= of[:, :, None]) & (of[:, :, None] < drawn[None, :, :, 2:])
    inside = np.asarray(within.all(axis=-1))  # (left out, n, raters)
    has_box = np.asarray(~np.isnan(drawn[..., 0]))
    hits, counted = [], []
    for rater, (values, valid) in enumerate(zip(targets.values, targets.valid, strict=True)):
        others = np.delete(np.arange(len(targets.values)), rater)
        is_given = ~np.isnan(targets.severity[:, others])
        all_drew = np.all(has_box[:, others] | ~is_given, axis=1)
        counted.append(valid & all_drew & (values >= CLEAR))
        hits.append(inside[rater][:, others].any(axis=1))
    hit, count = np.array(hits, float), np.array(counted, float)
    rows: NDArray[np.bool_] = np.asarray(count.max(axis=0) > 0)
    if not rows.any():
        return NONE
    hit, count = hit[:, rows], count[:, rows]
    clusters = targets.photographs(rows)

    def statistic(weights: Floats) -> Floats:
        total = weights @ count.T
        shares = np.divide(
            weights @ (hit * count).T, total, out=np.full(total.shape, np.nan), where=total > 0
        )
        has_any = ~np.isnan(shares)
        return np.where(has_any, shares, 0).sum(axis=1) / np.maximum(has_any.sum(axis=1), 1)

    return estimate(statistic, clusters, resampling, sources=clusters.on_sides[1])


def centres(boxes: ArrayLike) -> Floats:
    """``(..., 2)`` centres of boxes ``(..., 4)``."""
    corners = np.asarray(boxes, np.float64)
    return (corners[..., :2] + corners[..., 2:]) / 2


def positives(severity: ArrayLike) -> Floats:
    """``(n,)``: 1 where the median is 2 or more, 0 where ratings sum to 1 at the most, else NaN.

    Of more than three ratings the sum is that of three at their mean; a unit with fewer is NaN.

    >>> positives([[2, 3, 0], [0, 0, 1], [1, 1, 1], [3, 3, np.nan]]).tolist()
    [1.0, 0.0, nan, nan]
    """
    ratings = np.ma.masked_invalid(np.asarray(severity, np.float64))
    is_rated = ratings.count(axis=1) >= RATINGS
    is_positive = np.ma.median(ratings, axis=1).filled(np.nan) >= POSITIVE
    is_negative = RATINGS * ratings.mean(axis=1).filled(np.nan) <= NEGATIVE + 1e-9
    return np.where(is_rated & is_positive, 1, np.where(is_rated & is_negative, 0, np.nan))


def ordinal_alpha(severity: ArrayLike) -> float | None:
    """Krippendorff's alpha of ordinal data; None where it is not defined.

    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, sections D and E.

    Args:
        severity: ``(n, raters)``, NaN where a rater said nothing. Units with one rating count for
            nothing.

    >>> ordinal_alpha([[0, 0], [1, 1], [2, 2], [0, 1]])
    0.79
    """
    ratings = np.asarray(severity, np.float64)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[:, :, None] == values).sum(axis=1).astype(float)
    counts = counts[counts.sum(axis=1) >= 2]
    sizes = counts.sum(axis=1, keepdims=True)
    pairs = np.einsum("uc,uk->ck", counts / (sizes - 1), counts)
    pairs -= np.diag((counts / (sizes - 1)).sum(axis=0))
    totals = counts.sum(axis=0)
    ends = np.cumsum(totals)
    # squared number of values from the middle of one's to the middle of the other's
    middles = ends - totals / 2
    distance = (middles[:, None] - middles) ** 2
    by_chance = (np.outer(totals, totals) * distance).sum()
    if not by_chance:
        return None
    return float(1 - (totals.sum() - 1) * (pairs * distance).sum() / by_chance)


@dataclass(frozen=True)
class RankTest:
    """Two methods on the same units: the difference of their rank correlations.

    Args:
        first, second: their names.
        difference: of the first less the second, with its interval.
        p: two-sided, of a permutation test over photographs.
        p_holm: corrected for the number of tests.
        n, n_clusters: units and photographs.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    n: int
    n_clusters: int


def rank_test(
    targets: Targets,
    names: tuple[str, str],
    scores: tuple[ArrayLike, ArrayLike],
    resampling: Resampling = DEFAULT,
) -> RankTest:
    """Whether one method orders units better than another, or that is chance.

    If neither were better, each photograph's ranks by one method could as well be those by the
    other: they are exchanged, all those of a photograph together, at random. Units without a score
    by both methods are left out.

    Args:
        names, scores: of the two; ``(n,)`` each, NaN where there is none.
    """
    one, other = (np.asarray(values, np.float64) for values in scores)
    rows = targets.is_rated & ~np.isnan(one) & ~np.isnan(other)
    values, valid, _ = _ordered(targets, rows)
    clusters = targets.photographs(rows)
    if not len(values):
        none = math.nan
        return RankTest(*names, none, none, none, none, none, 0, 0)
    ranks = np.stack([rankdata(one[rows]), rankdata(other[rows])])
    statistics = [spearman_statistic(values, valid, of[None]) for of in ranks]
    found = estimate(lambda w: statistics[0](w) - statistics[1](w), clusters, resampling)
    rng = np.random.default_rng(resampling.seed)
    flips = rng.integers(0, 2, (resampling.resamples, clusters.count), dtype=bool)
    flipped = flips[:, clusters.of_row]
    first = np.where(flipped, ranks[1], ranks[0])
    second = ranks.sum(axis=0) - first
    ones = np.ones((1, rows.sum()))
    drawn = np.zeros(len(flips))
    for target, counted in zip(values, valid, strict=True):
        by_target = _ranks(target, ones * counted)
        drawn += _correlation(ones * counted, first, by_target)
        drawn -= _correlation(ones * counted, second, by_target)
    drawn /= len(values)
    extreme = np.count_nonzero(np.abs(drawn) >= abs(found.value) - 1e-12)
    p = (1 + extreme) / (1 + len(drawn))
    return RankTest(
        *names, found.value, found.low, found.high, p, math.nan, found.n, found.n_clusters
    )


def calibration(targets: Targets, scores: ArrayLike) -> dict[str, float]:
    """How scores that are predicted severities stand to the graded ones; empty without units.

    ``slope`` is that of the graded severity on the predicted one, ``predicted`` and ``graded`` are
    numbers of units of at least 1.5, ``precision`` and ``recall`` those of the units predicted so;
    ``mean_error`` is the mean absolute difference to the mean of the other raters, over the raters
    left out, and ``rater_error`` that of one rater.

    Args:
        scores: ``(n,)``, NaN where there is none.

    >>> calibration(Targets([[0, 0, 0], [2, 2, 2], [3, 3, 3]], "abc"), [0, 2, 1])["recall"]
    0.5
    """
    predicted = np.asarray(scores, np.float64)
    rows = targets.is_rated & ~np.isnan(predicted)
    if not rows.any():
        return {}
    predicted, graded = predicted[rows], targets.mean[rows]
    values, valid = targets.values[:, rows], targets.valid[:, rows]
    spread = float(np.var(predicted))
    found, there = predicted >= CLEAR, graded >= CLEAR
    hits = float((found & there).sum())
    return {
        "slope": float(np.cov(predicted, graded, bias=True)[0, 1]) / spread if spread else math.nan,
        "predicted": float(found.sum()),
        "graded": float(there.sum()),
        "precision": float(hits / found.sum()) if found.any() else math.nan,
        "recall": float(hits / there.sum()) if there.any() else math.nan,
        "mean_error": float(np.abs(predicted - values)[valid].mean()),
        "rater_error": float(np.abs(targets.ratings[:, rows] - values)[valid].mean()),
    }


def _ordered(
    targets: Targets, rows: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of some units the targets that differ from one another, whether each counts, and whose they
    are: ``(k, n)``, ``(k, n)``, ``(raters,)``."""
    values, valid = targets.values[:, rows], targets.valid[:, rows]
    differs = np.array(
        [len(np.unique(of[counted])) > 1 for of, counted in zip(values, valid, strict=True)], bool
    )
    return values[differs], valid[differs], differs


def _estimate(
    targets: Targets,
    scores: ArrayLike,
    resampling: Resampling,
    statistic_of: Callable[[Floats, NDArray[np.bool_], Floats], Statistic],
) -> IntervalEstimate:
    """A statistic of scores and targets with its interval, on the units that have a score."""
    given = np.atleast_2d(np.asarray(scores, np.float64))
    rows = targets.is_rated & ~np.isnan(given).any(axis=0)
    values, valid, differs = _ordered(targets, rows)
    if not len(values):
        return NONE
    shown = given[:, rows] if len(given) == 1 else given[differs][:, rows]
    return estimate(statistic_of(values, valid, shown), targets.photographs(rows), resampling)


def _each(
    values: Floats, valid: NDArray[np.bool_], scores: Floats
) -> Iterator[tuple[Floats, NDArray[np.bool_], Floats]]:
    """Targets, whether they count and scores, of each rater left out."""
    yield from zip(values, valid, np.broadcast_to(scores, values.shape), strict=True)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """``(r, n)`` ranks of ``(n,)`` values whose rows count ``(r, n)`` times; ties share one."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(weights[:, np.argsort(of, kind="stable")], axis=1)
    ends = below[:, np.cumsum(counts) - 1]
    starts = np.pad(ends[:, :-1], ((0, 0), (1, 0)))
    return ((starts + ends) / 2)[:, of]


def _correlation(weights: Floats, x: Floats, y: Floats) -> Floats:
    """``(r,)`` weighted correlations of ``(r, n)`` values; 0 where one side does not differ."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    both, of_x, of_y = (np.einsum("rn,rn,rn->r", weights, *of) for of in ((x, y), (x, x), (y, y)))
    spread = np.sqrt(of_x * of_y)
    return np.divide(both, spread, out=np.zeros_like(both), where=spread > 1e-9)
