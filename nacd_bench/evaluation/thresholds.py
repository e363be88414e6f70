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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench.errors import DataError
from nacd_bench.evaluation.auc import ScoredImages, ThresholdCurve
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.numbers import beside
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.rows import LARGEST, shortened
from nacd_bench.triplets.text_files import read_yaml

SCHEMA_VERSION = 1
CRITERIA = ("youden", "f1", "fpr_5", "precision_90")
MOST_FALSE_POSITIVES = 0.05
LEAST_PRECISION = 0.9


@dataclass(frozen=True)
class Threshold:
    """A threshold of one method on one test set by one criterion.

    Args:
        test_set: what the positives have (``"texture"``).
        method: detector or baseline.
        criterion: one of :data:`CRITERIA`.
        threshold: scores above are positive; None where the criterion cannot be reached, and then
            so are ``value`` and the four counts.
        value: what the criterion is about: J, F1, false positive rate, or precision.
        tp, fp, fn, tn: images.
        n: images with a score.
        n_excluded: images without one (NaN).
        reason: why it cannot be reached.
    """

    test_set: str
    method: str
    criterion: str
    threshold: float | None
    value: float | None
    tp: int | None
    fp: int | None
    fn: int | None
    tn: int | None
    n: int
    n_excluded: int
    reason: str | None = None


FIELDS = tuple(field.name for field in fields(Threshold))[3:]
"""Of an entry of the file, which stands under its test set, method and criterion."""


@dataclass(frozen=True)
class Thresholds:
    """The content of a thresholds file.

    Args:
        entries: all thresholds.
        criterion: the one to use where nothing else is said.
        path: the file, for messages.
    """

    entries: tuple[Threshold, ...]
    criterion: str = CRITERIA[0]
    path: str = "thresholds"

    def of(self, types: Mapping[str, str], criterion: str | None = None) -> dict[str, float]:
        """The threshold of each detector on the set of its own type: what ``detect`` takes.

        Args:
            types: artifact type by detector.
            criterion: another one than the file's.

        Raises:
            DataError: detectors that the file lacks or whose criterion cannot be reached, all of
                them named.
        """
        wanted = criterion or self.criterion
        _require_criterion(self.path, wanted)
        by_place = {
            (entry.test_set, entry.method, entry.criterion): entry for entry in self.entries
        }
        values, wrong = {}, []
        for name, artifact_type in types.items():
            entry = by_place.get((artifact_type, name, wanted))
            if entry is None:
                wrong.append(f"none for '{name}' on the set '{artifact_type}'")
            elif entry.threshold is None:
                wrong.append(f"'{name}' does not reach it: {entry.reason}")
            else:
                values[name] = entry.threshold
        if wrong:
            raise DataError(
                f"{self.path}: expected thresholds by '{wanted}' for {', '.join(types)}, got "
                + "; ".join(wrong)
                + ". Leave out the detector, take another criterion "
                f"({', '.join(CRITERIA)}) or give its threshold as a number."
            )
        return values


def best_thresholds(
    truth: ArrayLike, scores: ArrayLike, method: str, test_set: str
) -> list[Threshold]:
    """A threshold by each criterion, in the order of :data:`CRITERIA`.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        scores: ``(n,)`` float, larger means more of an artifact; NaN is left out and counted.

    Raises:
        DataError: one class only.

    >>> youden = best_thresholds([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9], "m", "texture")[0]
    >>> youden.threshold, youden.tp, youden.fp, youden.fn, youden.tn
    (0.35, 2, 1, 0, 2)
    """
    curve = ThresholdCurve(truth, scores)
    data = curve.data
    n, excluded = data.n_positive + data.n_negative, data.n_excluded
    cuts = ~np.isnan(curve.thresholds)  # where not, no threshold cuts like that
    tp, fp = curve.tp[cuts], curve.fp[cuts]
    entries = []
    for criterion, (values, merit, reason) in _criteria(tp, fp, data).items():
        best = int(np.argmax(merit))
        place = (test_set, method, criterion)
        if merit[best] <= 0:
            entries.append(Threshold(*place, *(None,) * 6, n, excluded, reason))
            continue
        hits, misses = int(tp[best]), int(fp[best])
        counts = (hits, misses, data.n_positive - hits, data.n_negative - misses)
        cut = (float(curve.thresholds[best]), float(values[best]))
        entries.append(Threshold(*place, *cut, *counts, n, excluded))
    return entries


def _criteria(tp: Floats, fp: Floats, data: ScoredImages) -> dict[str, tuple[Floats, Floats, str]]:
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


def write_thresholds(
    path: str | Path, entries: Iterable[Threshold], criterion: str = CRITERIA[0]
) -> None:
    """Write a thresholds file; it is whole or not there.

    Raises:
        DataError: an unknown criterion, or a place that cannot be written.
    """
    import yaml

    _require_criterion(path, criterion)
    sets: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in entries:
        values = {name: getattr(entry, name) for name in FIELDS}
        if entry.reason is None:
            del values["reason"]
        sets.setdefault(entry.test_set, {}).setdefault(entry.method, {})[entry.criterion] = values
    content = {"schema_version": SCHEMA_VERSION, "criterion": criterion, "sets": sets}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200)
    write_whole(path, f"# A score greater than its threshold is an artifact.\n{text}".encode())


def read_thresholds(path: str | Path) -> Thresholds:
    """The content of a thresholds file.

    Raises:
        DataError: it cannot be read, is of another kind or a newer version, or has values of
            another kind, all of which are named.
    """
    content = read_yaml(path, "a thresholds file")
    if not isinstance(content, Mapping) or not isinstance(content.get("sets"), Mapping):
        raise DataError(
            f"{path}: expected a thresholds file with schema_version, criterion and sets, got "
            "something else. Make one with nacd-bench benchmark."
        )
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: expected schema_version {SCHEMA_VERSION}, got {version}. Another version of "
            "nacd-bench wrote it: upgrade, or run the benchmark again."
        )
    criterion = content.get("criterion", CRITERIA[0])
    _require_criterion(path, criterion)
    entries: list[Threshold] = []
    wrong: list[str] = []
    for place, values in _leaves(content["sets"], 3):
        try:
            entries.append(_entry(place, values))
        except ValueError as error:
            wrong.append(f"{path}, {'.'.join(place)}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))
    return Thresholds(tuple(entries), criterion, str(path))


def _leaves(content: Mapping[str, Any], depth: int) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, inner in content.items():
        if depth > 1 and isinstance(inner, Mapping):
            for place, leaf in _leaves(inner, depth - 1):
                yield (str(name), *place), leaf
        else:
            yield (str(name),), inner


def _entry(place: tuple[str, ...], values: Any) -> Threshold:
    """The threshold of an entry of the file; ValueError with what is wrong with it."""
    if len(place) < 3 or not isinstance(values, Mapping):
        raise ValueError(
            "expected set, method and criterion with their values, got less. Correct it."
        )
    if place[2] not in CRITERIA:
        raise ValueError(unknown("criterion", place[2], list(CRITERIA)))
    odd = [str(name) for name in values if name not in FIELDS]
    if odd:
        raise ValueError(unknown("field", odd[0], list(FIELDS)))
    for name in FIELDS[:-1]:
        value: Any = values.get(name)
        if value is None and not name.startswith("n"):
            continue
        kinds = (int, float) if name in ("threshold", "value") else (int,)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        is_huge = isinstance(value, int) and abs(value) > LARGEST
        if not is_number or is_huge or math.isnan(value):
            raise ValueError(f"expected {name} to be a number, got {shortened(value)}. Correct it.")
    figures: dict[str, Any] = {name: values.get(name) for name in FIELDS}
    return Threshold(place[0], place[1], place[2], **figures)


def _require_criterion(path: str | Path, criterion: Any) -> None:
    if criterion not in CRITERIA:
        raise DataError(f"{path}: {unknown('criterion', str(criterion), list(CRITERIA))}.")
