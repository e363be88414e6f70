"""Thresholds on scores by four criteria, with the counts behind them, and their file.

    youden        the largest Youden index J = true positive rate - false positive rate
    f1            the largest F1 = 2 tp / (2 tp + fp + fn)
    fpr_5         the most positives found with a false positive rate of at most 5 %
    precision_90  the most positives found with a precision of at least 0.9

An image is positive when its score is greater than the threshold. Of equal thresholds the highest
wins (fewest false positives). What no threshold reaches is recorded with the reason. They are
chosen on the images they are counted on, so they flatter; F1 and precision hold for the share of
positives in that set, one half when balanced.

The file is YAML, by test set, method and criterion::

    schema_version: 1
    criterion: youden      # the one that detect uses
    sets:
      texture:
        boundary:
          youden: {threshold: 0.012, value: 0.62, tp: 40, fp: 9, fn: 10, tn: 41, n: 100, ...}
          precision_90: {threshold: null, ..., reason: the highest precision is 0.882}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike
from pydantic import Field

from nacd_bench.errors import DataError
from nacd_bench.evaluation.auc import ScoredImages, ThresholdCurve
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.numbers import beside
from nacd_bench.settings import options
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.rows import LARGEST
from nacd_bench.triplets.text_files import read_yaml_as

MOST_FALSE_POSITIVES = 0.05
LEAST_PRECISION = 0.9

Criterion = Literal["youden", "f1", "fpr_5", "precision_90"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
Cut = Annotated[float, Field(allow_inf_nan=True), Ge(-math.inf)]
"""A number that may be infinite, but not NaN."""
Images = Annotated[int, Ge(0), Le(LARGEST)]


@options
class Threshold:
    """A threshold of one method on one test set by one criterion.

    Args:
        n: images with a score.
        n_excluded: images without one (NaN).
        threshold: scores above are positive; None where the criterion cannot be reached, and then
            so are ``value`` and the four counts.
        value: what the criterion is about: J, F1, false positive rate, or precision.
        tp, fp, fn, tn: images.
        reason: why it cannot be reached.
    """

    n: Images
    n_excluded: Images
    threshold: Cut | None = None
    value: Cut | None = None
    tp: Images | None = None
    fp: Images | None = None
    fn: Images | None = None
    tn: Images | None = None
    reason: str | None = None


Sets = Mapping[str, Mapping[str, Mapping[Criterion, Threshold]]]
"""Thresholds by test set (what the positives have), method and criterion."""


@options
class Thresholds:
    """The content of a thresholds file.

    Args:
        schema_version: of the file.
        sets: all thresholds.
        criterion: the one to use where nothing else is said.
        path: the file, for messages.
    """

    schema_version: Literal[1]
    sets: Sets
    criterion: Criterion = CRITERIA[0]
    path: str = "thresholds"

    def of(self, types: Mapping[str, str]) -> dict[str, float]:
        """The threshold of each detector on the set of its own type: what ``detect`` takes.

        Args:
            types: artifact type by detector.

        Raises:
            DataError: detectors that the file lacks or whose criterion cannot be reached, all of
                them named.
        """
        values, wrong = {}, []
        for name, artifact_type in types.items():
            entry = self.sets.get(artifact_type, {}).get(name, {}).get(self.criterion)
            if entry is None:
                wrong.append(f"none for '{name}' on the set '{artifact_type}'")
            elif entry.threshold is None:
                wrong.append(f"'{name}' does not reach it: {entry.reason}")
            else:
                values[name] = entry.threshold
        if wrong:
            raise DataError(
                f"{self.path}: expected thresholds by '{self.criterion}' for {', '.join(types)}, "
                + f"got {'; '.join(wrong)}"
                + ". Leave out the detector, name another criterion in the file "
                f"({', '.join(CRITERIA)}) or give its threshold as a number."
            )
        return values


def best_thresholds(truth: ArrayLike, scores: ArrayLike) -> dict[Criterion, Threshold]:
    """A threshold by each criterion, in the order of :data:`CRITERIA`.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        scores: ``(n,)`` float, larger means more of an artifact; NaN is left out and counted.

    Raises:
        DataError: one class only.

    >>> youden = best_thresholds([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9])["youden"]
    >>> youden.threshold, youden.tp, youden.fp, youden.fn, youden.tn
    (0.35, 2, 1, 0, 2)
    """
    curve = ThresholdCurve(truth, scores)
    data = curve.data
    cuts = ~np.isnan(curve.thresholds)  # where not, no threshold cuts like that
    tp, fp = curve.tp[cuts], curve.fp[cuts]
    thresholds: dict[Criterion, Threshold] = {}
    for criterion, (values, merit, reason) in _criteria(tp, fp, data).items():
        best = int(np.argmax(merit))
        entry = Threshold(data.n_positive + data.n_negative, data.n_excluded, reason=reason)
        if merit[best] > 0:
            entry = replace(
                entry,
                threshold=float(curve.thresholds[best]),
                value=float(values[best]),
                tp=int(tp[best]),
                fp=int(fp[best]),
                fn=data.n_positive - int(tp[best]),
                tn=data.n_negative - int(fp[best]),
                reason=None,
            )
        thresholds[criterion] = entry
    return thresholds


def _criteria(
    tp: Floats, fp: Floats, data: ScoredImages
) -> dict[Criterion, tuple[Floats, Floats, str]]:
    """Of all cuts, by criterion: its value, what is to be as large as can be and above 0, and the
    reason where it is not."""
    m, n = data.n_positive, data.n_negative
    j = tp * n - fp * m  # in whole numbers, so that equal J are equal
    f1 = 2 * tp / (tp + fp + m)
    rate, precision = fp / n, tp / np.maximum(tp + fp, 1)
    lowest = beside(float(rate[tp > 0].min(initial=1)), (MOST_FALSE_POSITIVES,))
    highest = beside(float(precision.max()), (LEAST_PRECISION,))
    return {
        "youden": (j / (m * n), j, "no threshold is better than chance (J = 0)"),
        "f1": (f1, f1, "no threshold finds a positive"),
        "fpr_5": (
            rate,
            np.where(rate <= MOST_FALSE_POSITIVES, tp, 0),
            f"the lowest false positive rate with a true positive is {lowest}",
        ),
        "precision_90": (
            precision,
            np.where(precision >= LEAST_PRECISION, tp, 0),
            f"the highest precision is {highest}",
        ),
    }


def write_thresholds(path: str | Path, sets: Sets, criterion: Criterion = CRITERIA[0]) -> None:
    """Write a thresholds file; it is whole or not there.

    Raises:
        UserError: an unknown criterion, or a place that cannot be written.
    """
    import yaml

    content = asdict(Thresholds(1, sets, criterion))
    del content["path"]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200)
    write_whole(path, f"# A score greater than its threshold is an artifact.\n{text}".encode())


def read_thresholds(path: str | Path) -> Thresholds:
    """The content of a thresholds file.

    Raises:
        DataError: it cannot be read, is of another kind or a newer version, or has values of
            another kind, all of which are named.
    """
    return replace(read_yaml_as(path, Thresholds, "a thresholds file"), path=str(path))
