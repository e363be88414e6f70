"""The area under the ROC curve, with an interval over source images.

The AUC is the share of pairs (image with the artifact, image without) that the scores put in the
right order, a tie counting one half. scikit-learn computes it, on ranks, so that infinite scores
are allowed. torchmetrics is not used for the value although it agrees: it divides in float32
(errors to 5e-8), and it passes scores outside [0, 1] through a sigmoid, which makes ties of large
scores (errors to 0.05 on scores around 100).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import (
    DEFAULT,
    FEW,
    Clusters,
    Estimate,
    Floats,
    Resampling,
    Statistic,
    estimate,
)


@dataclass(frozen=True)
class AUC:
    """The AUC of one method on one test set.

    Args:
        value, low, high: in [0, 1]; NaN where all images of a class were excluded. The interval is
            the bootstrap's, or the exact one of :func:`~nacd_bench.evaluation.bootstrap.estimate`
            where a side has few sources or the classes are separated without fault.
        n_positive, n_negative: images behind it.
        n_excluded: images without a score (NaN).
        n_clusters: source images behind it.
        sources: of the side with fewer of them, as so many of equal size.
    """

    value: float
    low: float
    high: float
    n_positive: int
    n_negative: int
    n_excluded: int
    n_clusters: int
    sources: float

    @property
    def is_of_few(self) -> bool:
        """Whether so few sources are behind it that it should not be called the best of several."""
        return self.sources < FEW


@dataclass(frozen=True)
class Scored:
    """Images with a score.

    Args:
        truth: ``(n,)`` bool, the artifact is there.
        scores: ``(n,)`` float64, larger means more of an artifact, without NaN.
        clusters: ``(n,)`` names of source images, or None.
        n_excluded: images that had NaN.
    """

    truth: NDArray[np.bool_]
    scores: Floats
    clusters: list[str] | None
    n_excluded: int

    @property
    def n_positive(self) -> int:
        return int(self.truth.sum())

    @property
    def n_negative(self) -> int:
        return int((~self.truth).sum())

    @property
    def ranks(self) -> NDArray[np.intp]:
        """``(n,)`` rank of each score from 0, equal where scores are equal."""
        return np.unique(self.scores, return_inverse=True)[1]


def scored(truth: ArrayLike, scores: ArrayLike, clusters: Sequence[str] | None = None) -> Scored:
    """The images that have a score.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        scores: ``(n,)`` float; NaN where there is none.
        clusters: ``(n,)`` source image of each.

    Raises:
        DataError: no image with the artifact is left, or none without.
        ValueError: other shapes or values.
    """
    found = _scored(truth, scores, clusters)
    if not found.n_positive or not found.n_negative:
        without = f" ({found.n_excluded} excluded for a score of NaN)" * bool(found.n_excluded)
        raise DataError(
            "expected images with and without the artifact, got "
            f"{found.n_positive} with and {found.n_negative} without{without}. "
            "Add images of the missing kind or their labels."
        )
    return found


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The area under the ROC curve, in [0, 1]; arguments and errors as :func:`scored`.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    return _auc(scored(truth, scores))


def auc_estimate(
    truth: ArrayLike,
    scores: ArrayLike,
    clusters: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> AUC:
    """The AUC with its interval; arguments and errors as :func:`scored`."""
    return _estimate(scored(truth, scores, clusters), resampling)


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
        truth, clusters: as :func:`scored`.

    Raises:
        DataError: the set has one class only.
    """
    scored(truth, np.zeros(len(np.asarray(truth))))
    return {
        name: _estimate(_scored(truth, each, clusters), resampling) for name, each in scores.items()
    }


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


def _scored(truth: ArrayLike, scores: ArrayLike, clusters: Sequence[str] | None) -> Scored:
    found, values = np.asarray(truth), np.asarray(scores, np.float64)
    if found.ndim != 1 or found.shape != values.shape:
        raise ValueError(
            "Expected `truth` and `scores` of one length and one dimension. "
            f"Got shapes {found.shape} and {values.shape}."
        )
    if not np.isin(found, (0, 1)).all():
        raise ValueError(f"Expected `truth` of True and False. Got {np.unique(found)[:5]}.")
    if clusters is not None and len(clusters) != len(found):
        raise ValueError(
            f"Expected as many clusters as scores. Got {len(clusters)} and {len(found)}."
        )
    has_score = ~np.isnan(values)
    names = None
    if clusters is not None:
        names = [str(each) for each, kept in zip(clusters, has_score, strict=True) if kept]
    return Scored(found[has_score].astype(bool), values[has_score], names, int((~has_score).sum()))


def _auc(data: Scored) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(data.truth, data.ranks))


def _estimate(data: Scored, resampling: Resampling) -> AUC:
    clusters = Clusters(data.truth, data.clusters)
    sources = min(clusters.on_sides)
    if data.n_positive and data.n_negative:
        value = _auc(data)
        statistic = weighted_auc(data.truth, data.ranks)
        interval = estimate(statistic, clusters, resampling, sources)
    else:
        value, interval = math.nan, Estimate(math.nan, math.nan, math.nan, 0, 0)
    counts = (data.n_positive, data.n_negative, data.n_excluded, clusters.count, sources)
    return AUC(value, interval.low, interval.high, *counts)
