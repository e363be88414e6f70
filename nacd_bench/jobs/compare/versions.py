"""``nacd-bench compare``: what a codec's new version made better, and what worse.

*Plan* which triplets of two runs belong together, *match* the artifacts in them, *aggregate* into
counts, tests and a verdict::

    done = compare_runs("runs/v1", "runs/v2")
    done.counts["texture"].new, done.presence["texture"].p

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
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.artifact_matching import IOU, Boxes, match_boxes
from nacd_bench.evaluation.bootstrap import Floats, IntervalEstimate, Resampling
from nacd_bench.evaluation.paired_versions import (
    DEFAULT,
    PresenceTest,
    ScoreTest,
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
from nacd_bench.jobs.compare.pairs import paired_triplets, unpaired_row
from nacd_bench.runs.compared_run import ComparedRun, operating_point, read_compared
from nacd_bench.runs.folder import require_alike
from nacd_bench.runs.schema import EDGES
from nacd_bench.settings import Count, Name, NotNegative, options
from nacd_bench.triplets.record import TripletRecord

ONE_BOX = frozenset({"texture", "boundary", "large_color"})
"""Detectors that box the strongest place of an image and no other."""

Overlap = Annotated[float, Gt(0), Le(1)]
Limit = Count | Mapping[str, Count] | None
"""A number of artifacts that are allowed, in all or by type; None allows any number."""
Level = Annotated[float, Gt(0), Le(1)] | None
Same = Annotated[float, Ge(0), Lt(1)]
Columns = Mapping[str, NDArray[Any]]


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
class Counts:
    """Artifacts of a type, or by a detector.

    Args:
        before, after: boxes over the threshold in both runs.
        fixed, new, stayed: as they are named.
        unclear_before, unclear_after: boxes without partner that are marginal or hidden.
        stronger, weaker: of those that stayed, by the confidence of one detector.
    """

    before: int = 0
    after: int = 0
    fixed: int = 0
    new: int = 0
    stayed: int = 0
    unclear_before: int = 0
    unclear_after: int = 0
    stronger: int = 0
    weaker: int = 0


@dataclass(frozen=True)
class Compared:
    """What two runs say.

    Args:
        before, after: the runs.
        rules: what counts as what.
        pairs: rows of both runs' triplets that belong together.
        clusters: original of each pair.
        unpaired: what is compared with nothing, rows of the table ``unpaired``.
        thresholds: that were used, by detector; -inf where none is known.
        types: artifact type of the detectors that are compared.
        changes: columns of ``changes.parquet``, equally long.
        pair_of: the pair of each row of the changes.
        counts: by type.
        counts_by_detector: by detector.
        presence: by type.
        detector_presence, scores: by detector.
        per_triplet: mean number of artifacts, after - before, by type.
        rates: of all triplets, then by preset.
        warnings: a line each.
        failures: of both runs.
    """

    before: ComparedRun
    after: ComparedRun
    rules: Rules
    pairs: Sequence[tuple[int, int]]
    clusters: Sequence[str]
    unpaired: Sequence[Mapping[str, str]]
    thresholds: Mapping[str, float]
    types: Mapping[str, str]
    changes: Mapping[str, Sequence[Any]]
    pair_of: NDArray[np.int64]
    counts: Mapping[str, Counts]
    counts_by_detector: Mapping[str, Counts]
    presence: Mapping[str, PresenceTest]
    detector_presence: Mapping[str, PresenceTest]
    scores: Mapping[str, ScoreTest]
    per_triplet: Mapping[str, IntervalEstimate]
    rates: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]
    failures: Sequence[Failure]

    @property
    def total(self) -> Counts:
        """Over all types."""
        return Counts(
            *np.sum([astuple(counts) for counts in self.counts.values()], axis=0).tolist()
        )


def compare_runs(
    before: str | Path | ComparedRun, after: str | Path | ComparedRun, rules: Rules = DEFAULT_RULES
) -> Compared:
    """Compare the artifacts of two runs over the same images.

    Args:
        before, after: folders of detect, benchmark or mine runs, or what
            :func:`~nacd_bench.runs.compared_run.read_compared` made of them.
        rules: what counts as what.

    Raises:
        DataError: no run, a run without tables, two runs without a common image or detector, or of
            other versions.
    """
    first = before if isinstance(before, ComparedRun) else read_compared(before)
    second = after if isinstance(after, ComparedRun) else read_compared(after)
    require_alike({str(run.folder): run.settings for run in (first, second)})
    return _Pairs(first, second, rules).compared()


class _Pairs:
    """Two runs side by side.

    Types and detectors are numbered in order; ``scores`` are ``(2, detectors, pairs)``, and
    ``has_scores[detector, pair]`` says whether both runs have one. ``boxes`` are those that count,
    of both runs, with the group ``pair * types + type``.
    """

    def __init__(self, before: ComparedRun, after: ComparedRun, rules: Rules) -> None:
        self.runs = before, after
        self.types = shared_types(before, after)
        self.given = (
            rules.thresholds
            if isinstance(rules.thresholds, Mapping)
            else read_thresholds(rules.thresholds).of(self.types)
        )
        self.rules = replace(rules, thresholds=self.given)
        self.detectors = list(self.types)
        self.kinds = sorted(set(self.types.values()))
        self.kind_of = np.array([self.kinds.index(kind) for kind in self.types.values()])
        self.pairs, self.unpaired = paired_triplets(before.triplets, after.triplets)
        if not self.pairs:
            raise DataError(_nothing_pairs(before, after, self.unpaired))
        self.triplets = [(before.triplets[row], after.triplets[other]) for row, other in self.pairs]
        self.clusters = np.array([_cluster(*pair) for pair in self.triplets])
        rows = np.array(self.pairs).T
        self.scores = np.array(
            [
                [run.scores[name][rows[side]] for name in self.detectors]
                for side, run in enumerate(self.runs)
            ]
        )
        self.has_scores = ~np.isnan(self.scores).any(axis=0)
        limits = shared_thresholds(self.runs, self.types, self.given)
        self.thresholds = np.array([limits[name] for name in self.detectors])
        self.boxes = [self._counted(side, rows[side]) for side in (0, 1)]

    def compared(self) -> Compared:
        changes = self._changes()
        numbers = np.arange(len(self.detectors))
        of_kind = {kind: self.kind_of == k for k, kind in enumerate(self.kinds)}
        of_name = {name: numbers == d for d, name in enumerate(self.detectors)}
        by_detector = holm_corrected(
            {name: self._presence(chosen) for name, chosen in of_name.items()}
        )
        thresholds = dict(zip(self.detectors, self.thresholds.tolist(), strict=True))
        rates = mean_rates(self.triplets)
        unscored = self._unscored()
        return Compared(
            *self.runs,
            self.rules,
            self.pairs,
            self.clusters.tolist(),
            [*self.unpaired, *unscored],
            thresholds,
            self.types,
            self._table(changes),
            changes["pair"],
            {kind: _counts(changes, chosen) for kind, chosen in of_kind.items()},
            {name: _counts(changes, chosen) for name, chosen in of_name.items()},
            holm_corrected({kind: self._presence(chosen) for kind, chosen in of_kind.items()}),
            by_detector,
            holm_corrected({name: self._score_test(d) for d, name in enumerate(self.detectors)}),
            {
                kind: mean_difference(*self._numbers(chosen), self.rules.bootstrap)
                for kind, chosen in of_kind.items()
            },
            rates,
            [
                *differences(*self.runs, self.types, self.triplets),
                *idle_settings(
                    self.given,
                    self.rules.margin,
                    thresholds,
                    by_detector,
                    bool(ONE_BOX.intersection(self.types)),
                ),
                *rate_changes(rates, self.rules.rate_tolerance),
                *_lacking(unscored),
            ],
            [
                replace(failure, message=f"in the run {name}: {failure.message}")
                for name, run in zip(("before", "after"), self.runs, strict=True)
                for failure in run.failures
            ],
        )

    def _counted(self, side: int, rows: NDArray[np.int64]) -> Boxes:
        """The run's boxes that count: of a pair and a detector that are compared, and strong."""
        run = self.runs[side]
        pair_of = np.full(len(run.triplets), -1)
        pair_of[rows] = np.arange(len(rows))
        places = {name: place for place, name in enumerate(self.detectors)}
        detector_of = np.array([places.get(name, -1) for name in run.types], np.int64)
        pair = pair_of[run.boxes.group]
        detector = np.append(detector_of, -1)[run.boxes.detector]
        is_compared = (pair >= 0) & (detector >= 0) & self.has_scores[detector, pair]
        chosen = np.flatnonzero(is_compared & (run.boxes.confidences > self.thresholds[detector]))
        pair, detector = pair[chosen], detector[chosen]
        group = pair * len(self.kinds) + self.kind_of[detector]
        return replace(run.boxes.rows(chosen), group=group, detector=detector)

    def _changes(self) -> Columns:
        """Every artifact once, in an order that depends on nothing but what is in the runs.

        ``detector`` and ``confidence`` are ``(2, n)``, -1 and NaN where a run has no box, and
        ``place`` is ``(2, 4, n)``; ``name`` is the detector of the later run, else of the earlier.
        """
        before, after = self.boxes
        matching = match_boxes(before, after, self.rules.iou, self.rules.by == "type")
        lost = np.setdiff1d(np.arange(len(before)), matching.before)
        come = np.setdiff1d(np.arange(len(after)), matching.after)
        first = np.concatenate([matching.before, lost, np.full(len(come), -1)])
        second = np.concatenate([matching.after, np.full(len(lost), -1), come])
        rows = list(zip(self.boxes, (first, second), strict=True))
        # a row of -1 takes what is put at the end
        group, detector, confidence = (
            np.array([np.append(getattr(boxes, name), missing)[row] for boxes, row in rows])
            for name, missing in (("group", -1), ("detector", -1), ("confidences", np.nan))
        )
        place = np.array([np.vstack([boxes.places, [[-1] * 4]])[row].T for boxes, row in rows])
        is_second = second >= 0
        stayed = is_second & (first >= 0)
        name = np.where(is_second, detector[1], detector[0])
        pair = np.where(is_second, group[1], group[0]) // len(self.kinds)
        doubt = np.where(stayed, "", self._doubts(name, pair, is_second, confidence))
        status = np.select([doubt != "", stayed, is_second], ["unclear", "stayed", "new"], "fixed")
        largest = np.abs(confidence).max(axis=0)
        kind = np.select(
            [
                detector[0] != detector[1],
                np.abs(confidence[1] - confidence[0]) <= self.rules.same * largest,
                confidence[1] > confidence[0],
            ],
            ["other detector", "same", "stronger"],
            "weaker",
        )
        nearest = matching.nearest_before[lost], matching.nearest_after[come]
        columns = {
            "pair": pair,
            "status": status,
            "change": np.where(stayed, kind, doubt),
            "iou": np.concatenate([matching.iou, *nearest]),
            "name": name,
            "detector": detector,
            "confidence": confidence,
            "place": place,
        }
        corner = np.where(is_second, place[1], place[0])
        order = np.lexsort((*corner[::-1], name, self.kind_of[name], pair))
        return {key: values[..., order] for key, values in columns.items()}

    def _doubts(
        self,
        detector: NDArray[np.int64],
        pair: NDArray[np.int64],
        is_second: NDArray[np.bool_],
        confidence: Floats,
    ) -> NDArray[np.str_]:
        """Why boxes without partner may be in the other run all the same; empty where not."""
        strongest = np.full((2, *self.has_scores.shape), -math.inf)
        for side, boxes in enumerate(self.boxes):
            at = boxes.detector, boxes.group // len(self.kinds)
            np.maximum.at(strongest[side], at, boxes.confidences)
        strength = np.where(is_second, confidence[1], confidence[0])
        other_place = self._with_margin(strongest[(~is_second).astype(int), detector, pair])
        has_one = np.array([name in ONE_BOX for name in self.detectors])[detector]
        is_hidden = has_one & (strength <= other_place)
        enough = self._with_margin(self.thresholds[detector])
        return np.where(is_hidden, "hidden", np.where(strength > enough, "", "marginal"))

    def _with_margin(self, values: Floats) -> Floats:
        """Higher by the margin; -inf stays."""
        return values + self.rules.margin * np.abs(np.where(np.isfinite(values), values, 0))

    def _numbers(self, detectors: NDArray[np.bool_]) -> tuple[Floats, Floats, list[str]]:
        """Boxes per pair that is compared, before and after, and the original of each."""
        compared = np.flatnonzero(self.has_scores[detectors].any(axis=0))
        before, after = (
            np.bincount(
                boxes.group[detectors[boxes.detector]] // len(self.kinds), minlength=len(self.pairs)
            ).astype(np.float64)[compared]
            for boxes in self.boxes
        )
        return before, after, self.clusters[compared].tolist()

    def _presence(self, detectors: NDArray[np.bool_]) -> PresenceTest:
        before, after, clusters = self._numbers(detectors)
        return presence_test(before > 0, after > 0, clusters)

    def _score_test(self, detector: int) -> ScoreTest:
        compared = np.flatnonzero(self.has_scores[detector])
        before, after = self.scores[:, detector, compared]
        return score_test(before, after, self.clusters[compared].tolist(), self.rules.bootstrap)

    def _unscored(self) -> list[dict[str, str]]:
        """Results of a detector that one of the runs does not have."""
        reason = "the other run has no result of this detector for this triplet"
        lacks = np.isnan(self.scores)
        return [
            unpaired_row(run, self.triplets[pair][side], reason, name)
            for d, name in enumerate(self.detectors)
            for side, run in enumerate(("before", "after"))
            for pair in np.flatnonzero(lacks[1 - side, d] & ~lacks[side, d])
        ]

    def _table(self, changes: Columns) -> dict[str, Sequence[Any]]:
        """The columns of ``changes.parquet``."""
        names = np.array([*self.detectors, None])
        triplets = [self.triplets[pair] for pair in changes["pair"]]
        name, confidence = changes["name"], changes["confidence"]
        scores = self.scores[:, name, changes["pair"]]
        over = self.thresholds[name]
        # without a box, the image's score up to the threshold
        unboxed = np.where(np.isfinite(over), np.minimum(scores, over), scores)
        evidence = np.where(np.isnan(confidence), unboxed, confidence)
        is_other = changes["change"] == "other detector"
        columns: dict[str, Sequence[Any]] = {
            "status": changes["status"].tolist(),
            "change": changes["change"].tolist(),
            "image": [after.extra["image"] for _, after in triplets],
            "preset": [operating_point(after) for _, after in triplets],
            "artifact_type": [self.kinds[k] for k in self.kind_of[name]],
            "detector": names[name].tolist(),
            "strength": np.where(is_other, 0.0, np.abs(evidence[1] - evidence[0])).tolist(),
            "iou": changes["iou"].tolist(),
            "threshold": _or_none(over, np.isfinite(over)),
        }
        for side, run in enumerate(("before", "after")):
            is_boxed = ~np.isnan(confidence[side])
            columns |= {
                f"triplet_{run}": [pair[side].id for pair in triplets],
                f"detector_{run}": names[changes["detector"][side]].tolist(),
                f"confidence_{run}": _or_none(confidence[side], is_boxed),
                f"score_{run}": scores[side].tolist(),
            }
            for edge, values in zip(EDGES, changes["place"][side].astype(int), strict=True):
                columns[f"{edge}_{run}"] = _or_none(values, is_boxed)
            columns[f"bpp_{run}"] = [pair[side].neural_bpp for pair in triplets]
        columns["original_sha256"] = [_content(*pair) for pair in triplets]
        return columns


def _counts(changes: Columns, detectors: NDArray[np.bool_]) -> Counts:
    """Of some of the detectors."""
    detector, status, change = (changes[name] for name in ("detector", "status", "change"))
    before, after = (detector >= 0) & detectors[detector]
    either = before | after
    masks = {
        "before": before,
        "after": after,
        "fixed": before & (status == "fixed"),
        "new": after & (status == "new"),
        "stayed": either & (status == "stayed"),
        "unclear_before": before & (status == "unclear"),
        "unclear_after": after & (status == "unclear"),
        "stronger": either & (change == "stronger"),
        "weaker": either & (change == "weaker"),
    }
    return Counts(**{name: int(mask.sum()) for name, mask in masks.items()})


def _or_none(values: NDArray[Any], is_known: NDArray[np.bool_]) -> list[Any]:
    return [
        value if has_value else None
        for value, has_value in zip(values.tolist(), is_known, strict=True)
    ]


def _nothing_pairs(
    before: ComparedRun, after: ComparedRun, unpaired: Sequence[Mapping[str, str]]
) -> str:
    row = unpaired[0] if unpaired else None
    example = f" The first: {row['triplet']}: {row['reason']}." if row else ""
    return (
        "expected two runs over the same originals at the same operating points, got "
        f"{len(before.triplets)} triplets in {before.folder} and {len(after.triplets)} in "
        f"{after.folder}, none of which have both in common."
        f"{example} Run both versions of the codec on the same images with the same presets."
    )


def _content(before: TripletRecord, after: TripletRecord) -> str | None:
    return before.extra["image_sha256"] or after.extra["image_sha256"]


def _cluster(before: TripletRecord, after: TripletRecord) -> str:
    """The original photograph, or what both runs call it."""
    if before.source is not None and before.source == after.source:
        return f"source {before.source}"
    content = _content(before, after)
    image = min(before.extra["image"], after.extra["image"])
    return f"content {content}" if content else f"image {image}"


def _lacking(unscored: Sequence[Mapping[str, str]]) -> list[str]:
    if not unscored:
        return []
    return [
        f"{len(unscored)} results of a detector are in one run only and are compared with nothing, "
        "see unpaired.csv."
    ]
