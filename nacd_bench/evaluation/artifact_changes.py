"""What became of artifacts between two versions: fixed, new, stayed, or unclear.

An artifact is **fixed** where only the earlier run (before) has it, **new** where only the later
one (after) has it, and **stayed** where both do. It is **unclear** where the other run may have it
all the same: *marginal* when it is hardly over its threshold (:attr:`Rules.margin`), *hidden* when
its detector boxes only the strongest place of an image and that is another, stronger one in the
other run. Comparing the other way round gives the mirror image of everything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, field
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from nacd_bench.evaluation.artifact_matching import IOU, Boxes, match_boxes
from nacd_bench.evaluation.bootstrap import Floats, Resampling
from nacd_bench.evaluation.paired_versions import (
    DEFAULT,
    mean_difference,
    presence_test,
    score_test,
)
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.settings import Count, Name, NotNegative, options

ONE_BOX = frozenset({"texture", "boundary", "large_color", "large_color_clip"})
"""Detectors that box the strongest place of an image and no other."""
COUNTS = (
    *("before", "after", "fixed", "new", "stayed"),
    *("unclear_before", "unclear_after", "stronger", "weaker"),
)
"""Boxes over the threshold in both runs; artifacts that are fixed, new or stayed; boxes without
partner that are marginal or hidden; and, of those that stayed, by the confidence of one detector.
"""

Overlap = Annotated[float, Gt(0), Le(1)]
Limit = Count | Mapping[str, Count] | None
"""A number of artifacts that are allowed, in all or by type; None allows any number."""
Level = Annotated[float, Gt(0), Le(1)] | None
Same = Annotated[float, Ge(0), Lt(1)]


@options
class Rules:
    """What counts as what, and what the later version may do.

    Args:
        iou: least overlap of boxes that are one artifact.
        by: ``type``: detectors of one type may stand for each other; ``detector``: they may not.
        thresholds: confidence over which a box is an artifact, by detector or as a thresholds file
            has them; the runs' own where they are higher.
        margin: a box without partner counts as new or fixed only over (1 + margin) x threshold, and
            (1 + margin) x the strongest box elsewhere that may hide it; up to there it is unclear.
        same: an artifact that stayed is stronger or weaker where its confidence changes by more
            than this share of the larger one.
        rate_tolerance: change of the rate from which on there is a warning.
        bootstrap: of the intervals.
        fail_on_new: new artifacts that are allowed.
        fail_on_stronger: likewise, artifacts that stayed and became stronger.
        fail_on_worse: significance level; a detector whose scores rise, with a p value by Holm
            under it, fails the version. None: no test fails it.
    """

    iou: Overlap = IOU
    by: Literal["type", "detector"] = "type"
    thresholds: Name | Mapping[str, float] = field(default_factory=dict)
    margin: NotNegative = 0.0
    same: Same = 0.1
    rate_tolerance: NotNegative = 0.02
    bootstrap: Resampling = DEFAULT
    fail_on_new: Limit = None
    fail_on_stronger: Limit = None
    fail_on_worse: Level = None


DEFAULT_RULES = Rules()


class ComparedBox(NamedTuple):
    """A box that counts: over the threshold, in a pair and of a detector that are compared."""

    pair: int
    detector: str
    place: tuple[int, ...]
    confidence: float


class Change(NamedTuple):
    """An artifact: its boxes before and after, where there are any, and what became of it.

    Args:
        boxes: at least one; the later one's detector, else the earlier one's, stands for both.
        iou: of both, or the largest of one without partner.
        status, change, strength: as in the table ``changes``.
    """

    boxes: tuple[ComparedBox | None, ComparedBox | None]
    iou: float
    status: str
    change: str
    strength: float

    @property
    def box(self) -> ComparedBox:
        """The later one, else the earlier one."""
        return self.boxes[1] or self.boxes[0]  # type: ignore[return-value]


class PairedArtifacts:
    """What two runs box in their pairs, and what they score.

    Args:
        types: artifact type of the detectors that are compared.
        thresholds: of these, over which a box counts.
        originals: of each pair, by name.
        scores: ``(2, detectors, pairs)``; NaN where there is none.
        boxes: in these pairs, by these detectors, before and after; those count that are over the
            threshold, where both runs have a score.
        rules: what counts as what.
    """

    def __init__(
        self,
        types: Mapping[str, str],
        thresholds: Mapping[str, float],
        originals: Sequence[str],
        scores: Floats,
        boxes: Sequence[Iterable[ComparedBox]],
        rules: Rules,
    ) -> None:
        self.types, self.thresholds, self.originals = types, thresholds, originals
        self.scores, self.rules = scores, rules
        self.kinds = sorted(set(types.values()))
        self.number = {name: number for number, name in enumerate(types)}
        self.has_scores = np.asarray(~np.isnan(scores).any(axis=0))
        self.boxes = [
            [
                box
                for box in of_run
                if box.confidence > thresholds[box.detector]
                and self.has_scores[self.number[box.detector], box.pair]
            ]
            for of_run in boxes
        ]

    def changes(self) -> list[Change]:
        """Every artifact once, in an order that depends on nothing but what is in the runs."""
        before, after = self.boxes
        first, second = (self._columns(boxes) for boxes in self.boxes)
        matching = match_boxes(first, second, self.rules.iou, self.rules.by == "type")
        rows = matching.before.tolist(), matching.after.tolist()
        found: list[Any] = [
            (before[i], after[j], iou)
            for i, j, iou in zip(*rows, matching.iou.tolist(), strict=True)
        ]
        for i in np.setdiff1d(np.arange(len(before)), rows[0]).tolist():
            found.append((before[i], None, float(matching.nearest_before[i])))
        for j in np.setdiff1d(np.arange(len(after)), rows[1]).tolist():
            found.append((None, after[j], float(matching.nearest_after[j])))
        strongest: list[dict[Any, float]] = [{}, {}]
        for boxes, of_run in zip(self.boxes, strongest, strict=True):
            for box in boxes:
                key = box.detector, box.pair
                of_run[key] = max(of_run.get(key, -math.inf), box.confidence)
        changes = [self._change(first, second, iou, strongest) for first, second, iou in found]
        return sorted(changes, key=lambda x: (x.box.pair, self.types[x.box.detector], *x.box[1:3]))

    def _columns(self, boxes: Sequence[ComparedBox]) -> Boxes:
        kinds = {name: self.kinds.index(kind) for name, kind in self.types.items()}
        return Boxes(
            np.array([box.pair * len(kinds) + kinds[box.detector] for box in boxes], np.int64),
            np.array([self.number[box.detector] for box in boxes], np.int64),
            np.array([box.place for box in boxes], np.float64).reshape(-1, 4),
            np.array([box.confidence for box in boxes], np.float64),
        )

    def _change(
        self,
        before: ComparedBox | None,
        after: ComparedBox | None,
        iou: float,
        strongest: Sequence[Mapping[Any, float]],
    ) -> Change:
        """What became of an artifact; ``strongest`` are confidences by detector and pair."""
        box: Any = after or before
        over = self.thresholds[box.detector]
        first, second = (
            # without a box, the image's score up to the threshold
            found.confidence if found else min(score, over if math.isfinite(over) else score)
            for found, score in zip((before, after), self.scores_of(box), strict=True)
        )
        strength = abs(second - first)
        if before and after:
            status, change = "stayed", "stronger" if second > first else "weaker"
            if before.detector != after.detector:
                change, strength = "other detector", 0.0
            elif strength <= self.rules.same * max(abs(first), abs(second)):
                change = "same"
        else:
            # the other run may have it all the same
            elsewhere = strongest[0 if after else 1].get((box.detector, box.pair), -math.inf)
            status, change = "new" if after else "fixed", ""
            if box.detector in ONE_BOX and box.confidence <= self._with_margin(elsewhere):
                status, change = "unclear", "hidden"
            elif box.confidence <= self._with_margin(over):
                status, change = "unclear", "marginal"
        return Change((before, after), iou, status, change, strength)

    def scores_of(self, box: ComparedBox) -> list[float]:
        """Of the box's detector and pair, in both runs."""
        return self.scores[:, self.number[box.detector], box.pair].tolist()

    def _with_margin(self, value: float) -> float:
        """Higher by the margin; -inf stays."""
        return value + self.rules.margin * abs(value) if math.isfinite(value) else value

    def figures(
        self, changes: Sequence[Change], groups: Mapping[str, set[str]]
    ) -> dict[str, dict[str, Any]]:
        """Counts, mean numbers and tests of presence of groups of detectors."""
        numbers = {group: self._numbers(names) for group, names in groups.items()}
        tests = holm_corrected(
            {
                group: presence_test(before > 0, after > 0, originals)
                for group, (before, after, originals) in numbers.items()
            }
        )
        return {
            group: {
                **_counts(changes, groups[group]),
                "per_triplet": asdict(mean_difference(*counted, self.rules.bootstrap)),
                "presence": asdict(tests[group]),
            }
            for group, counted in numbers.items()
        }

    def score_tests(self) -> dict[str, dict[str, Any]]:
        """Tests of the scores by detector."""
        tests = {}
        for name, number in self.number.items():
            rows = np.flatnonzero(self.has_scores[number])
            before, after = self.scores[:, number, rows]
            originals = [self.originals[row] for row in rows.tolist()]
            tests[name] = score_test(before, after, originals, self.rules.bootstrap)
        return {name: asdict(test) for name, test in holm_corrected(tests).items()}

    def _numbers(self, detectors: set[str]) -> tuple[Floats, Floats, list[str]]:
        """Boxes per pair that is compared, before and after, and the original of each."""
        numbers = [self.number[name] for name in detectors]
        rows = np.flatnonzero(self.has_scores[numbers].any(axis=0))
        before, after = (
            np.bincount(
                np.array([box.pair for box in boxes if box.detector in detectors], np.int64),
                minlength=len(self.originals),
            ).astype(np.float64)[rows]
            for boxes in self.boxes
        )
        return before, after, [self.originals[row] for row in rows.tolist()]


def _counts(changes: Iterable[Change], detectors: set[str]) -> dict[str, int]:
    """:data:`COUNTS` of some of the detectors."""
    counts = Counter(dict.fromkeys(COUNTS, 0))
    for change in changes:
        before, after = (box is not None and box.detector in detectors for box in change.boxes)
        if before or after:
            counts["before"] += before
            counts["after"] += after
            side = "before" if before else "after"
            counts[f"unclear_{side}" if change.status == "unclear" else change.status] += 1
            counts[change.change] += 1
    return {name: counts[name] for name in COUNTS}
