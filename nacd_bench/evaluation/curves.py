"""ROC and precision-recall curves as plain tables, for files, plots and trackers.

Everywhere in this package an image is called positive when its score is **greater** than the
threshold, as ``nacd-bench detect`` does with boxes. Thresholds lie half way between two scores
that occur, so that rounding a score does not move it across. No threshold makes a score of -inf
positive: the end of such a curve, where everything is, has NaN for a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench.evaluation.auc import Scored, scored
from nacd_bench.evaluation.bootstrap import Floats


@dataclass(frozen=True)
class Cuts:
    """Every way to cut the scores in two, from nothing positive to everything.

    Args:
        thresholds: ``(k + 1,)`` falling, for k different scores; the first is the highest score,
            the last NaN where the lowest is -inf.
        tp, fp: ``(k + 1,)`` positives and negatives with a score greater than the threshold.
        n_positive, n_negative: images behind it.
        n_excluded: images without a score (NaN).
    """

    thresholds: Floats
    tp: Floats
    fp: Floats
    n_positive: int
    n_negative: int
    n_excluded: int


@dataclass(frozen=True)
class ROC:
    """A ROC curve, ``(k + 1,)`` points from (0, 0) to (1, 1)."""

    thresholds: Floats
    false_positive_rate: Floats
    true_positive_rate: Floats

    def rows(self) -> list[dict[str, float]]:
        """A dictionary per point, for a table."""
        return _rows(self, ("thresholds", "false_positive_rate", "true_positive_rate"))


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve, ``(k,)`` points with recall rising.

    Args:
        average_precision: mean of the precisions over the steps of recall, not interpolated.
        prevalence: share of positives, which is the precision of a guess.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    average_precision: float
    prevalence: float

    def rows(self) -> list[dict[str, float]]:
        """A dictionary per point, for a table."""
        return _rows(self, ("thresholds", "precision", "recall"))


def cuts(truth: ArrayLike, scores: ArrayLike) -> Cuts:
    """The counts at every threshold; arguments and errors as
    :func:`~nacd_bench.evaluation.auc.scored`.

    >>> found = cuts([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    >>> [round(float(each), 3) for each in found.thresholds]
    [0.8, 0.6, 0.25, 0.1]
    >>> found.tp.tolist(), found.fp.tolist()
    ([0.0, 1.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0])
    """
    from sklearn.metrics import roc_curve

    data = scored(truth, scores)
    rates = roc_curve(data.truth, data.ranks, drop_intermediate=False)
    return Cuts(
        _thresholds(data),
        np.rint(rates[1] * data.n_positive),
        np.rint(rates[0] * data.n_negative),
        data.n_positive,
        data.n_negative,
        data.n_excluded,
    )


def roc(truth: ArrayLike, scores: ArrayLike) -> ROC:
    """The ROC curve; arguments and errors as :func:`~nacd_bench.evaluation.auc.scored`."""
    found = cuts(truth, scores)
    return ROC(found.thresholds, found.fp / found.n_negative, found.tp / found.n_positive)


def precision_recall(truth: ArrayLike, scores: ArrayLike) -> PrecisionRecall:
    """The precision-recall curve; arguments and errors as
    :func:`~nacd_bench.evaluation.auc.scored`."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    data = scored(truth, scores)
    precision, recall, _ = precision_recall_curve(data.truth, data.ranks)
    return PrecisionRecall(
        # scikit-learn's last point stands for no positives at all, where precision is not defined
        _thresholds(data)[1:],
        precision[-2::-1],
        recall[-2::-1],
        float(average_precision_score(data.truth, data.ranks)),
        float(data.truth.mean()),
    )


def _thresholds(data: Scored) -> Floats:
    """``(k + 1,)`` falling: the highest score, between each two that differ, under the lowest."""
    values = np.unique(data.scores)[::-1]
    above, below = values[:-1], values[1:]
    with np.errstate(invalid="ignore", over="ignore"):
        middle = below + (above - below) / 2
    # of two neighbours, or with an infinite one, the lower score itself separates them
    is_between = (middle >= below) & (middle < above)
    middle = np.where(is_between, middle, below)
    lowest = np.where(np.isneginf(values[-1:]), np.nan, np.nextafter(values[-1:], -np.inf))
    return np.concatenate([values[:1], middle, lowest])


def _rows(curve: ROC | PrecisionRecall, columns: Sequence[str]) -> list[dict[str, float]]:
    values = [getattr(curve, name).tolist() for name in columns]
    names = ("threshold", *columns[1:])
    return [dict(zip(names, point, strict=True)) for point in zip(*values, strict=True)]
