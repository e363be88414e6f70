"""Thresholds on scores by some criteria, with the counts behind them, and their file.

    youden        the largest Youden index J = true positive rate - false positive rate
    f1            the largest F1 = 2 tp / (2 tp + fp + fn)
    fpr_5         the most positives found with a false positive rate of at most 5 %
    precision_90  the most positives found with a precision of at least 0.9
    severity_1.5  that severity, or another one; of detectors that predict severities, no others

An image is positive when its score is greater than the threshold. Of equal thresholds the highest
wins (fewest false positives). What no threshold reaches is recorded with the reason. They are
chosen on the images they are counted on, so they flatter; F1 and precision hold for the share of
positives in that set, one half when balanced. No threshold of a detector lies under the score with
which it found nothing.

Each has the false alarms that it is to give on 100 clean triplets: those on the negatives of its
set. The interval is that of Clopper and Pearson for the negatives' originals: of a threshold chosen
as the k-th highest score of n it is exact, as the share above an order statistic has a beta
distribution.

The file is YAML, by test set, method and criterion::

    schema_version: 2
    criterion: youden      # the one that detect uses
    detectors:             # the settings with which they gave these scores
      boundary: {detector: boundary, version: '2', window: 32}
    sets:
      texture:
        boundary:
          youden: {threshold: 0.012, value: 0.62, tp: 40, fp: 9, fn: 10, tn: 41, n: 100, ...}
          precision_90: {threshold: null, ..., reason: the highest precision is 0.882}
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike
from pydantic import Field

from nacd_bench.errors import DataError
from nacd_bench.evaluation.auc import ScoredImages, ThresholdCurve
from nacd_bench.evaluation.bootstrap import Clusters, Floats, exact_interval
from nacd_bench.numbers import beside
from nacd_bench.settings import options
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.rows import LARGEST
from nacd_bench.triplets.text_files import read_yaml_as

MOST_FALSE_POSITIVES = 0.05
LEAST_PRECISION = 0.9

LEVEL = 0.95
CRITERIA = ("youden", "f1", "fpr_5", "precision_90")
"""Criteria that look at the scores of a test set; the first is used where nothing else is said."""
CHOSEN = "chosen"
"""What stands in place of a criterion where somebody moved the threshold on a report's page."""
SEVERITY = "severity_"
"""What the criteria begin with that name a severity."""
SEVERITIES = (1.0, 1.5, 2.0)
"""Of these the counts are in the file."""
Criterion = Annotated[
    str,
    Field(
        pattern=rf"^({'|'.join((*CRITERIA, CHOSEN))}|{SEVERITY}\d+(\.\d+)?)$",
        description=f"{', '.join(CRITERIA)}, or {SEVERITY}1.5 and the like",
    ),
]
Cut = Annotated[float, Field(allow_inf_nan=True), Ge(-math.inf)]
"""A number that may be infinite, but not NaN."""
Images = Annotated[int, Ge(0), Le(LARGEST)]


class Scale(NamedTuple):
    """What the scores of a method mean.

    Args:
        nothing: the score up to which it found nothing; -inf where scores are without such an end.
        is_severity: whether they are severities, 0 to 3.
    """

    nothing: float = -math.inf
    is_severity: bool = False


UNKNOWN = Scale()


@options
class FalseAlarms:
    """How often something is found in clean triplets.

    Args:
        per_100: of 100 clean triplets; None without any.
        low, high: its 95 % interval (Clopper and Pearson 1934, over originals).
        sources: originals behind it, as so many of equal size.
    """

    per_100: float | None
    low: float
    high: float
    sources: float


class Limit(NamedTuple):
    """The confidence over which a box of a detector counts.

    Args:
        threshold: that confidence.
        by: the criterion; ``given`` for a number of the user, ``detector`` for its own.
        expected: false alarms on clean triplets, where a thresholds file says.
    """

    threshold: float
    by: str
    expected: FalseAlarms | None = None


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
        false_alarms: on clean triplets, as the set's negatives say.
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
    false_alarms: FalseAlarms | None = None
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
        detectors: the settings with which detectors gave the scores.
        path: the file, for messages.
    """

    schema_version: Literal[2]
    sets: Sets
    criterion: Criterion = CRITERIA[0]
    detectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    path: str = "thresholds"

    def entries(
        self, types: Mapping[str, str], criterion: str | None = None
    ) -> dict[str, Threshold]:
        """The threshold of each detector on the set of its own type.

        Args:
            types: artifact type by detector.
            criterion: by which; None takes the file's.

        Raises:
            DataError: detectors that the file lacks or whose criterion cannot be reached, all of
                them named.
        """
        criterion = criterion or self.criterion
        entries, wrong = {}, []
        for name, artifact_type in types.items():
            entry = self.sets.get(artifact_type, {}).get(name, {}).get(criterion)
            severity = severity_of(criterion)
            if entry is None and severity is not None:
                entry = Threshold(0, 0, severity)
            if entry is None:
                wrong.append(f"none for '{name}' on the set '{artifact_type}'")
            elif entry.threshold is None:
                wrong.append(f"'{name}' does not reach it: {entry.reason}")
            else:
                entries[name] = entry
        if wrong:
            raise DataError(
                f"{self.path}: expected thresholds by '{criterion}' for {', '.join(types)}, "
                + f"got {'; '.join(wrong)}"
                + f". Leave out the detector, choose another criterion ({', '.join(CRITERIA)}) "
                "or give its threshold as a number."
            )
        return entries

    def differences(self, settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What detectors have that those of the file had not, a phrase each.

        Args:
            settings: by detector; parts of it (a text finder) are not compared.
        """
        phrases = []
        for name, own in settings.items():
            made_with = self.detectors.get(name, {})
            phrases += [
                f"'{name}' with {key} {value}, got {key} {made_with[key]}"
                for key, value in own.items()
                if key in made_with and not isinstance(value, Mapping) and made_with[key] != value
            ]
        return phrases


def severity_of(criterion: str) -> float | None:
    """The severity that a criterion names.

    >>> severity_of("severity_1.5"), severity_of("youden")
    (1.5, None)
    """
    match = re.fullmatch(rf"{SEVERITY}(\d+(?:\.\d+)?)", criterion)
    return float(match[1]) if match else None


def false_alarms(fired: ArrayLike, clusters: Sequence[str] | None = None) -> FalseAlarms:
    """How often something was found in clean triplets.

    Args:
        fired: ``(n,)`` whether the score is over the threshold.
        clusters: ``(n,)`` names of the originals.

    >>> false_alarms([True, False, False, False]).per_100
    25.0
    """
    values = np.asarray(fired, np.float64)
    if not len(values):
        return FalseAlarms(None, 0.0, 100.0, 0.0)
    sources = Clusters(np.ones(len(values)), clusters).on_sides[0]
    share = float(values.mean())
    low, high = exact_interval(share, sources, LEVEL)
    return FalseAlarms(100 * share, 100 * low, 100 * high, sources)


def exceeds(alarms: FalseAlarms, expected: FalseAlarms) -> bool:
    """Whether there are more false alarms than expected: Fisher's exact test, one-sided at 5 %, on
    originals.

    >>> exceeds(FalseAlarms(50, 19, 81, 10), FalseAlarms(5, 0, 16, 40))
    True
    """
    from scipy.stats import hypergeom

    ours, theirs = (round(one.sources) for one in (alarms, expected))
    hits, others = (round((one.per_100 or 0) / 100 * one.sources) for one in (alarms, expected))
    return bool(hypergeom.sf(hits - 1, ours + theirs, hits + others, ours) < 1 - LEVEL)


def best_thresholds(
    truth: ArrayLike,
    scores: ArrayLike,
    clusters: Sequence[str] | None = None,
    scale: Scale = UNKNOWN,
) -> dict[Criterion, Threshold]:
    """A threshold by each criterion, in the order of :data:`CRITERIA`, and then by severities.

    Args:
        truth: ``(n,)`` of True and False, or 1 and 0.
        scores: ``(n,)`` float, larger means more of an artifact; NaN is left out and counted.
        clusters: ``(n,)`` names of the originals.
        scale: of the scores.

    Raises:
        DataError: one class only.

    >>> youden = best_thresholds([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9])["youden"]
    >>> youden.threshold, youden.tp, youden.fp, youden.fn, youden.tn
    (0.35, 2, 1, 0, 2)
    """
    values = np.asarray(scores, np.float64)
    # what found nothing is over no threshold
    curve = ThresholdCurve(truth, np.where(values <= scale.nothing, -np.inf, values))
    data = curve.data
    cuts = ~np.isnan(curve.thresholds)  # where not, no threshold cuts like that
    tp, fp = curve.tp[cuts], curve.fp[cuts]
    at_cuts = np.maximum(curve.thresholds[cuts], scale.nothing)
    thresholds: dict[Criterion, Threshold] = {}
    entry = Threshold(data.n_positive + data.n_negative, data.n_excluded)
    for criterion, (figures, merit, reason) in _criteria(tp, fp, data).items():
        best = int(np.argmax(merit))
        thresholds[criterion] = replace(entry, reason=reason)
        if merit[best] > 0:
            thresholds[criterion] = replace(
                entry, threshold=float(at_cuts[best]), value=float(figures[best])
            )
    for severity in SEVERITIES if scale.is_severity else ():
        name = f"{SEVERITY}{severity:g}"
        thresholds[name] = replace(entry, threshold=severity, value=severity)
    is_scored = ~np.isnan(values)
    positive = np.asarray(truth, bool)
    clean = is_scored & ~positive
    names = None if clusters is None else np.asarray([*map(str, clusters)])[clean].tolist()
    for criterion, one in thresholds.items():
        if one.threshold is not None:
            above = values > one.threshold
            thresholds[criterion] = replace(
                one,
                tp=int((above & positive).sum()),
                fp=int((above & clean).sum()),
                fn=int((~above & positive & is_scored).sum()),
                tn=int((~above & clean).sum()),
                false_alarms=false_alarms(above[clean], names),
            )
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


def write_thresholds(
    path: str | Path,
    sets: Sets,
    detectors: Mapping[str, Mapping[str, Any]] | None = None,
    criterion: Criterion = CRITERIA[0],
) -> None:
    """Write a thresholds file; it is whole or not there.

    Args:
        path: of the file.
        sets: all thresholds.
        detectors: the settings with which detectors gave the scores.
        criterion: the one to use where nothing else is said.

    Raises:
        UserError: an unknown criterion, or a place that cannot be written.
    """
    import yaml

    content = asdict(Thresholds(2, sets, criterion, detectors or {}))
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
