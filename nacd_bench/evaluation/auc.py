"""The area under the ROC curve with an interval over source images, and the curve itself.

The AUC is the share of pairs (image with the artifact, image without) that the scores put in the
right order, a tie counting one half. It is computed on ranks, so that infinite scores are allowed.
torchmetrics is not used for it although it agrees: it divides in float32 (errors to 5e-8), and it
passes scores outside [0, 1] through a sigmoid, which makes ties of large scores (errors to 0.05 on
scores around 100).

Everywhere in this package an image is called positive when its score is **greater** than the
threshold, as ``nacd-bench detect`` does with boxes. Thresholds lie half way between two scores
that occur, so that rounding a score does not move it across. No threshold makes a score of -inf
positive: the end of such a curve, where everything is, has NaN for a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nacd_bench import numbers
from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import (
    DEFAULT,
    FEW,
    Clusters,
    Floats,
    IntervalEstimate,
    Resampling,
    Statistic,
    estimate,
)


@dataclass(frozen=True)
class AUC(IntervalEstimate):
    """The AUC of one method on one test set.

    Its value is in [0, 1], NaN where all images of a class were excluded. The interval is the
    bootstrap's, or the exact one of :func:`~nacd_bench.evaluation.bootstrap.estimate` where a side
    has few sources or the classes are separated without fault.

    Args:
        value, low, high, n, n_clusters: as an interval estimate has them.
        n_positive, n_negative: images behind it.
        n_excluded: images without a score (NaN).
        sources: of the side with fewer of them, as so many of equal size.
    """

    n_positive: int
    n_negative: int
    n_excluded: int
    sources: float

    @property
    def is_of_few(self) -> bool:
        """Whether so few sources are behind it that it should not be called the best of several."""
        return self.sources < FEW

    def __str__(self) -> str:
        """``0.912 [0.853, 0.964]``, and the count where images were left out."""
        if math.isnan(self.value):
            return "no scores"
        counts = f" n={self.n_positive}+{self.n_negative}" if self.n_excluded else ""
        return numbers.estimate(self.value, self.low, self.high) + counts


class ScoredImages:
    """Images with a score.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0: the artifact is there.
        scores: ``(n,)`` float, larger means more of an artifact; NaN, where there is none, is left
            out and counted as ``n_excluded``.
        names: ``(n,)`` source image of each; None makes each image its own.

    ``has_both`` says whether there are images with the artifact and images without; ``ranks`` are
    those of the scores ``(n,)`` from 0, equal where scores are equal.

    Raises:
        ValueError: other shapes or values.
    """

    def __init__(
        self, truth: ArrayLike, scores: ArrayLike, names: Sequence[str] | None = None
    ) -> None:
        given, values = np.asarray(truth), np.asarray(scores, np.float64)
        if given.ndim != 1 or given.shape != values.shape:
            raise ValueError(
                "Expected `truth` and `scores` of one length and one dimension. "
                f"Got shapes {given.shape} and {values.shape}."
            )
        if not np.isin(given, (0, 1)).all():
            raise ValueError(f"Expected `truth` of True and False. Got {np.unique(given)[:5]}.")
        if names is not None and len(names) != len(given):
            raise ValueError(
                f"Expected as many clusters as scores. Got {len(names)} and {len(given)}."
            )
        has_score = ~np.isnan(values)
        self.truth: NDArray[np.bool_] = given[has_score].astype(bool)
        self.scores: Floats = values[has_score]
        labels = None if names is None else np.asarray([*map(str, names)])[has_score]
        self.clusters = Clusters(self.truth, labels)
        self.n_positive = int(self.truth.sum())
        self.n_negative = int((~self.truth).sum())
        self.n_excluded = int((~has_score).sum())
        self.has_both = bool(self.n_positive and self.n_negative)
        self.ranks: NDArray[np.intp] = np.unique(self.scores, return_inverse=True)[1]

    def require_both(self) -> None:
        """:class:`DataError` unless there are images with the artifact and images without."""
        if not self.has_both:
            without = f" ({self.n_excluded} excluded for a score of NaN)" * bool(self.n_excluded)
            raise DataError(
                "expected images with and without the artifact, got "
                f"{self.n_positive} with and {self.n_negative} without{without}. "
                "Add images of the missing kind or their labels."
            )


def auc_estimates(
    truth: ArrayLike,
    scores: Mapping[str, ArrayLike],
    clusters: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> dict[str, AUC]:
    """The AUC of each method on one test set, all from the same resamples.

    Args:
        scores: ``(n,)`` by method. NaN is left out of that method only; a method that lacks a
            whole class gets NaN and its numbers.
        truth, clusters: as :class:`ScoredImages`.

    Raises:
        DataError: the set has one class only.

    >>> auc_estimates([0, 0, 1, 1], {"psnr": [0.1, 0.4, 0.4, 0.8]})["psnr"].value
    0.875
    """
    ScoredImages(truth, np.zeros(len(np.asarray(truth)))).require_both()
    return {
        name: _estimate(ScoredImages(truth, values, clusters), resampling)
        for name, values in scores.items()
    }


def _estimate(data: ScoredImages, resampling: Resampling) -> AUC:
    sources = min(data.clusters.on_sides)
    area = IntervalEstimate(math.nan, math.nan, math.nan, len(data.truth), data.clusters.count)
    if data.has_both:
        area = estimate(weighted_auc(data.truth, data.ranks), data.clusters, resampling, sources)
    counts = (data.n_positive, data.n_negative, data.n_excluded)
    return AUC(area.value, area.low, area.high, area.n, area.n_clusters, *counts, sources)


def weighted_auc(truth: NDArray[np.bool_], scores: ArrayLike) -> Statistic:
    """The AUC as a function of weights ``(r, n) -> (r,)``: the bootstrap's form.

    Each positive's weight meets the weight of the negatives below it and half of those level with
    it; the negatives are sorted once and their weights summed from below.
    """
    values = np.asarray(scores)
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    negatives = negatives[np.argsort(values[negatives], kind="stable")]
    below = np.searchsorted(values[negatives], values[positives], "left")
    to_level = np.searchsorted(values[negatives], values[positives], "right")

    def statistic(weights: Floats) -> Floats:
        summed = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, negatives], axis=1, out=summed[:, 1:])
        of_positives = weights[:, positives]
        beaten = np.einsum("rp,rp->r", of_positives, summed[:, below] + summed[:, to_level]) / 2
        return beaten / (of_positives.sum(axis=1) * summed[:, -1])

    return statistic


class ThresholdCurve:
    """ROC and precision-recall curve: every way to cut the scores in two.

    Args:
        truth, scores: as :class:`ScoredImages`.

    Raises:
        DataError: one class only.

    From nothing positive to everything there are k + 1 points for k different scores:
    ``thresholds`` fall from the highest score, the last is NaN where the lowest score is -inf;
    ``tp`` and ``fp`` are whole numbers of images with a score greater than the threshold.
    ``recall`` is the true positive rate, ``precision`` NaN at the first point, where nothing is
    positive; ``average_precision`` is their mean over the steps of recall, not interpolated, and
    ``prevalence`` the share of positives, which is the precision of a guess.

    >>> curve = ThresholdCurve([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    >>> [round(threshold, 3) for threshold in curve.thresholds.tolist()]
    [0.8, 0.6, 0.25, 0.1]
    >>> curve.tp.tolist(), curve.fp.tolist()
    ([0.0, 1.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0])
    """

    def __init__(self, truth: ArrayLike, scores: ArrayLike) -> None:
        self.data = ScoredImages(truth, scores)
        self.data.require_both()
        self.thresholds = _thresholds(self.data.scores)
        self.tp, self.fp = (self._above(side) for side in (self.data.truth, ~self.data.truth))
        self.false_positive_rate = self.fp / self.data.n_negative
        self.recall = self.tp / self.data.n_positive
        self.precision: Floats = np.append(np.nan, self.tp[1:] / (self.tp + self.fp)[1:])
        self.average_precision = float(np.sum(np.diff(self.recall) * self.precision[1:]))
        self.prevalence = float(self.data.truth.mean())

    def _above(self, side: NDArray[np.bool_]) -> Floats:
        at_level = np.bincount(self.data.ranks[side], minlength=len(self.thresholds) - 1)
        return np.concatenate([[0.0], np.cumsum(at_level[::-1])])

    def rows(self) -> list[dict[str, float]]:
        """A dictionary per point, for a table."""
        names = ("threshold", "false_positive_rate", "recall", "precision")
        points = np.stack(
            [self.thresholds, self.false_positive_rate, self.recall, self.precision], axis=1
        )
        return [dict(zip(names, point, strict=True)) for point in points.tolist()]


def _thresholds(scores: Floats) -> Floats:
    """``(k + 1,)`` falling: the highest score, between each two that differ, under the lowest."""
    values = np.unique(scores)[::-1]
    above, below = values[:-1], values[1:]
    with np.errstate(invalid="ignore", over="ignore"):
        middle = below + (above - below) / 2
    # of two neighbours, or with an infinite one, the lower score itself separates them
    is_between = (middle >= below) & (middle < above)
    middle = np.where(is_between, middle, below)
    lowest = np.where(np.isneginf(values[-1:]), np.nan, np.nextafter(values[-1:], -np.inf))
    return np.concatenate([values[:1], middle, lowest])
