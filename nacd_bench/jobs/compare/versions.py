"""``nacd-bench compare``: what a codec's new version made better, and what worse.

*Plan* which triplets of two runs belong together, *match* the artifacts in them, *aggregate* into
counts, tests and a verdict::

    figures = compare_runs("runs/v1", "runs/v2").summary
    figures["types"]["texture"]["new"], figures["types"]["texture"]["presence"]["p"]

An artifact is **fixed** where only the earlier run (before) has it, **new** where only the later
one (after) has it, and **stayed** where both do. It is **unclear** where the other run may have it
all the same: *marginal* when it is hardly over its threshold (:attr:`Rules.margin`), *hidden* when
its detector boxes only the strongest place of an image and that is another, stronger one in the
other run. Comparing the other way round gives the mirror image of everything.

The comparison's folder::

    changes.parquet     one row per artifact; changes.csv is the same
    summary.json        counts, tests, rates, warnings, verdict; summary.md to read
    unpaired.csv        triplets, and results of detectors, that are compared with nothing
    failures.csv        what failed in the runs, and pictures that could not be made
    compare/index.html  the changes as pictures for a browser
    settings.json       what was asked
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Gt, Le, Lt

from nacd_bench.errors import Failure
from nacd_bench.evaluation.artifact_matching import IOU, Boxes, match_boxes
from nacd_bench.evaluation.bootstrap import Floats, Resampling
from nacd_bench.evaluation.paired_versions import (
    DEFAULT,
    mean_difference,
    presence_test,
    score_test,
)
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.jobs.compare.differences import (
    differences,
    idle_settings,
    mean_rates,
    rate_changes,
    shared_thresholds,
    shared_types,
)
from nacd_bench.jobs.compare.pairs import Pair, paired_triplets, unpaired_row
from nacd_bench.jobs.compare.verdict import objections, verdict
from nacd_bench.runs.compared_run import codec_of, failures_of, operating_point, read_compared
from nacd_bench.runs.folder import require_alike
from nacd_bench.runs.read import Run
from nacd_bench.runs.schema import CHANGES, EDGES, RUNS, SCHEMA_VERSION, TABLES, schema
from nacd_bench.settings import Count, Name, NotNegative, options
from nacd_bench.triplets.record import TripletRecord

ONE_BOX = frozenset({"texture", "boundary", "large_color"})
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


@dataclass(frozen=True)
class Compared:
    """What two runs say.

    Args:
        runs: the earlier and the later one.
        pairs: their triplets that belong together.
        changes: the table ``changes``.
        unpaired: what is compared with nothing, rows of the table ``unpaired``.
        summary: all figures, as in ``summary.json``.
        failures: of both runs.
    """

    runs: tuple[Run, Run]
    pairs: Sequence[Pair]
    changes: pa.Table
    unpaired: Sequence[Mapping[str, str]]
    summary: Mapping[str, Any]
    failures: Sequence[Failure]


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


def compare_runs(
    before: str | Path | Run, after: str | Path | Run, rules: Rules = DEFAULT_RULES
) -> Compared:
    """Compare the artifacts of two runs over the same images.

    Args:
        before, after: folders of detect, benchmark or mine runs, or what
            :func:`~nacd_bench.runs.compared_run.read_compared` made of them.
        rules: what counts as what.

    Raises:
        DataError: no run, a run without tables, two runs without a common image or detector, or of
            other versions; a limit for a type that does not exist.
    """
    first, second = (x if isinstance(x, Run) else read_compared(x) for x in (before, after))
    runs = first, second
    require_alike({str(run.folder): run.settings for run in runs})
    types = shared_types(*runs)
    if not isinstance(rules.thresholds, Mapping):
        rules = replace(rules, thresholds=read_thresholds(rules.thresholds).of(types))
    given: Any = rules.thresholds
    thresholds = shared_thresholds(runs, types, given)
    pairs, unpaired = paired_triplets(*runs)
    places = _Places(runs, pairs, types, thresholds, rules)
    changes = places.changes()
    unscored = places.unscored()
    names_of = {kind: {name for name in types if types[name] == kind} for kind in places.kinds}
    by_type = places.figures(changes, names_of)
    by_detector = places.figures(changes, {name: {name} for name in types})
    for name, test in places.score_tests().items():
        by_detector[name] |= {"type": types[name], "scores": test}
    rates = mean_rates(pairs)
    tests = {name: figures["presence"] for name, figures in by_detector.items()}
    has_one_box = bool(ONE_BOX.intersection(types))
    warnings = [
        *differences(runs, types, pairs),
        *idle_settings(given, rules.margin, thresholds, tests, has_one_box),
        *rate_changes(rates, rules.rate_tolerance),
    ]
    if unscored:
        warnings.append(
            f"{len(unscored)} results of a detector are in one run only and are compared with "
            "nothing, see unpaired.csv."
        )
    failures = [
        replace(failure, message=f"in the run {name}: {failure.message}")
        for name, run in zip(RUNS, runs, strict=True)
        for failure in failures_of(run)
    ]
    told = asdict(rules)
    gate = {name: told.pop(name) for name in list(told) if name.startswith("fail_on")}
    total = {name: sum(figures[name] for figures in by_type.values()) for name in COUNTS}
    against = objections(gate, total, by_type, by_detector)
    is_gated = any(limit is not None for limit in gate.values())
    summary = {
        "schema_version": SCHEMA_VERSION,
        "job": "compare",
        "verdict": verdict(total, len(pairs), against if is_gated else None),
        "passed": not against if is_gated else None,
        "objections": against,
        "gate": gate,
        "runs": {name: _facts(run) for name, run in zip(RUNS, runs, strict=True)},
        "rules": {**told, "given_thresholds": given, "thresholds": thresholds},
        "pairs": len(pairs),
        "originals": len(set(places.originals)),
        "unpaired": {name: sum(row["run"] == name for row in unpaired) for name in RUNS},
        "unpaired_results": len(unpaired) + len(unscored),
        "total": total,
        "types": by_type,
        "detectors": by_detector,
        "rates": rates,
        "warnings": warnings,
        "failures": len(failures),
    }
    return Compared(runs, pairs, places.table(changes), [*unpaired, *unscored], summary, failures)


class _Places:
    """What two runs box in their pairs.

    ``scores`` are ``(2, detectors, pairs)``, and ``has_scores[detector, pair]`` says whether both
    runs have one; ``boxes`` are those that count, of both runs.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        pairs: Sequence[Pair],
        types: Mapping[str, str],
        thresholds: Mapping[str, float],
        rules: Rules,
    ) -> None:
        self.pairs, self.types, self.thresholds, self.rules = pairs, types, thresholds, rules
        self.kinds = sorted(set(types.values()))
        self.number = {name: number for number, name in enumerate(types)}
        self.originals = [_original(*pair) for pair in pairs]
        self.scores = np.array(
            [
                [
                    [run.scores.get(name, {}).get(pair[side].id, math.nan) for pair in pairs]
                    for name in types
                ]
                for side, run in enumerate(runs)
            ]
        )
        self.has_scores = ~np.isnan(self.scores).any(axis=0)
        self.boxes = [list(self._boxes(run, side)) for side, run in enumerate(runs)]

    def _boxes(self, run: Run, side: int) -> Iterable[ComparedBox]:
        places = {pair[side].id: place for place, pair in enumerate(self.pairs)}
        for row in run.detections:
            name, confidence = row["detector"], row["confidence"]
            pair, number = places.get(row["triplet"]), self.number.get(name)
            if pair is None or number is None or confidence <= self.thresholds[name]:
                continue
            if self.has_scores[number, pair]:
                place = tuple(int(row[edge]) for edge in EDGES)
                yield ComparedBox(pair, name, place, confidence)

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
            for found, score in zip((before, after), self._scores(box), strict=True)
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

    def _scores(self, box: ComparedBox) -> list[float]:
        """Of the box's detector and pair, in both runs."""
        return self.scores[:, self.number[box.detector], box.pair].tolist()

    def table(self, changes: Sequence[Change]) -> pa.Table:
        """The table ``changes``."""
        boxes = [change.box for change in changes]
        pairs = [self.pairs[box.pair] for box in boxes]
        scores = [self._scores(box) for box in boxes]
        limits = {name: x if math.isfinite(x) else None for name, x in self.thresholds.items()}
        columns: dict[str, Sequence[Any]] = {
            **{name: [getattr(change, name) for change in changes] for name in Change._fields[1:]},
            "image": [after.extra["image"] for _, after in pairs],
            "preset": [operating_point(after) for _, after in pairs],
            "artifact_type": [self.types[box.detector] for box in boxes],
            "detector": [box.detector for box in boxes],
            "threshold": [limits[box.detector] for box in boxes],
            "original_sha256": [_content(*pair) for pair in pairs],
        }
        for side, run in enumerate(RUNS):
            of_run = [change.boxes[side] for change in changes]
            columns |= {
                f"triplet_{run}": [pair[side].id for pair in pairs],
                f"detector_{run}": [box and box.detector for box in of_run],
                f"confidence_{run}": [box and box.confidence for box in of_run],
                f"score_{run}": [score[side] for score in scores],
                f"bpp_{run}": [pair[side].neural_bpp for pair in pairs],
                **{
                    f"{edge}_{run}": [box and box.place[place] for box in of_run]
                    for place, edge in enumerate(EDGES)
                },
            }
        return pa.table({name: columns[name] for name in TABLES[CHANGES]}, schema(CHANGES))

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
            originals = [self.originals[row] for row in rows]
            tests[name] = score_test(before, after, originals, self.rules.bootstrap)
        return {name: asdict(test) for name, test in holm_corrected(tests).items()}

    def _numbers(self, detectors: set[str]) -> tuple[Floats, Floats, list[str]]:
        """Boxes per pair that is compared, before and after, and the original of each."""
        numbers = [self.number[name] for name in detectors]
        rows = np.flatnonzero(self.has_scores[numbers].any(axis=0))
        before, after = (
            np.bincount(
                np.array([box.pair for box in boxes if box.detector in detectors], np.int64),
                minlength=len(self.pairs),
            ).astype(np.float64)[rows]
            for boxes in self.boxes
        )
        return before, after, [self.originals[row] for row in rows]

    def unscored(self) -> list[dict[str, str]]:
        """Results of a detector that one of the runs does not have."""
        reason = "the other run has no result of this detector for this triplet"
        lacks = np.isnan(self.scores)
        return [
            unpaired_row(run, self.pairs[pair][side], reason, name)
            for name, number in self.number.items()
            for side, run in enumerate(RUNS)
            for pair in np.flatnonzero(lacks[1 - side, number] & ~lacks[side, number]).tolist()
        ]


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


def _facts(run: Run) -> dict[str, Any]:
    """What the summary says of a run."""
    return {
        "folder": str(run.folder),
        "kind": run.job,
        "triplets": len(run.records),
        "boxes": len(run.detections),
        "neural": sorted({codec_of(triplet, "neural") for triplet in run.records}),
        "nacd_bench": run.settings.get("nacd_bench"),
    }


def _content(before: TripletRecord, after: TripletRecord) -> str | None:
    return before.extra["image_sha256"] or after.extra["image_sha256"]


def _original(before: TripletRecord, after: TripletRecord) -> str:
    """The original photograph, or what both runs call it."""
    if before.source is not None and before.source == after.source:
        return f"source {before.source}"
    content = _content(before, after)
    image = min(before.extra["image"], after.extra["image"])
    return f"content {content}" if content else f"image {image}"
