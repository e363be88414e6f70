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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.artifact_matching import IOU, Boxes, match_boxes
from nacd_bench.evaluation.bootstrap import Estimate, Floats, Resampling
from nacd_bench.evaluation.paired_versions import (
    DEFAULT,
    PresenceTest,
    ScoreTest,
    corrected,
    mean_difference,
    presence_test,
    score_test,
)
from nacd_bench.evaluation.thresholds import Thresholds
from nacd_bench.jobs.compare.compared_run import CodedTriplet, ComparedRun, read_compared
from nacd_bench.jobs.compare.differences import (
    Rate,
    differences,
    mean_rates,
    rate_changes,
    shared_thresholds,
    shared_types,
)
from nacd_bench.jobs.compare.pairs import Unpaired, paired_triplets, point_of
from nacd_bench.registry import unknown

STATUSES = ("new", "fixed", "stayed", "unclear")
BY = ("type", "detector")
ONE_BOX = frozenset({"texture", "boundary", "large_color"})
"""Detectors that box the strongest place of an image and no other."""
SAME = 0.1
"""Change of a confidence up to which an artifact is as strong as before."""
FEW = 5
"""Triplets under which nobody wonders that all of them have a box."""
RATE_TOLERANCE = 0.02
"""Change of the neural codec's rate from which on there is a warning."""


@dataclass(frozen=True)
class Rules:
    """What counts as what.

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
        resampling: of the intervals.
    """

    iou: float = IOU
    by: str = BY[0]
    thresholds: Mapping[str, float] | Thresholds = field(default_factory=dict)
    margin: float = 0.0
    same: float = SAME
    rate_tolerance: float = RATE_TOLERANCE
    resampling: Resampling = DEFAULT

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1:
            raise DataError(f"expected an iou above 0 and up to 1, got {self.iou}.")
        if self.by not in BY:
            raise DataError(unknown("way to match (by)", str(self.by), list(BY)))
        if not self.margin >= 0:
            raise DataError(f"expected a margin of 0 or more, got {self.margin}.")
        if not 0 <= self.same < 1:
            raise DataError(f"expected same as a share from 0 to under 1, got {self.same}.")
        if not self.rate_tolerance >= 0:
            raise DataError(f"expected a rate_tolerance of 0 or more, got {self.rate_tolerance}.")


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
        unpaired: what is compared with nothing.
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
    unpaired: Sequence[Unpaired]
    thresholds: Mapping[str, float]
    types: Mapping[str, str]
    changes: Mapping[str, Sequence[Any]]
    pair_of: NDArray[np.int64]
    counts: Mapping[str, Counts]
    counts_by_detector: Mapping[str, Counts]
    presence: Mapping[str, PresenceTest]
    detector_presence: Mapping[str, PresenceTest]
    scores: Mapping[str, ScoreTest]
    per_triplet: Mapping[str, Estimate]
    rates: Sequence[Rate]
    warnings: Sequence[str]
    failures: Sequence[Failure]

    @property
    def total(self) -> Counts:
        """Over all types."""
        sums: Counter[str] = Counter()
        for each in self.counts.values():
            sums.update(asdict(each))
        return Counts(**sums)


def compare_runs(
    before: str | Path | ComparedRun, after: str | Path | ComparedRun, rules: Rules = Rules()
) -> Compared:
    """Compare the artifacts of two runs over the same images.

    Args:
        before, after: folders of detect, benchmark or mine runs, or what
            :func:`~nacd_bench.jobs.compare.compared_run.read_compared` made of them.
        rules: what counts as what.

    Raises:
        DataError: no run, a run without tables, or two runs without a common image or detector.
    """
    first = before if isinstance(before, ComparedRun) else read_compared(before)
    second = after if isinstance(after, ComparedRun) else read_compared(after)
    return _Comparison(first, second, rules).done()


class _Comparison:
    """Two runs on their way to a :class:`Compared`.

    ``kinds`` and ``detectors`` are numbered in order; ``known[detector][pair]`` says whether both
    runs have a result.
    """

    def __init__(self, before: ComparedRun, after: ComparedRun, rules: Rules) -> None:
        self.runs = before, after
        self.types = shared_types(before, after)
        self.given = (
            rules.thresholds.of(self.types)
            if isinstance(rules.thresholds, Thresholds)
            else rules.thresholds
        )
        self.rules = replace(rules, thresholds=self.given)
        self.detectors = list(self.types)
        self.kinds = sorted(set(self.types.values()))
        self.kind_of = np.array([self.kinds.index(kind) for kind in self.types.values()])
        self.pairs, self.unpaired = paired_triplets(before.triplets, after.triplets)
        if not self.pairs:
            raise DataError(_nothing_pairs(before, after, self.unpaired))
        self.rows = [np.array(each) for each in zip(*self.pairs, strict=True)]
        self.scores = [
            np.stack([run.scores[name][own] for name in self.detectors])
            for run, own in zip(self.runs, self.rows, strict=True)
        ]
        self.known = ~np.isnan(self.scores[0]) & ~np.isnan(self.scores[1])
        limits = shared_thresholds(self.runs, self.types, self.given)
        self.thresholds = np.array([limits[name] for name in self.detectors])
        self.triplets = [(before.triplets[row], after.triplets[other]) for row, other in self.pairs]
        self.clusters = np.array([_cluster(*each) for each in self.triplets])

    def done(self) -> Compared:
        boxes = [self._boxes(side) for side in (0, 1)]
        changes = self._changes(*boxes)
        kinds = {kind: self.kind_of == k for k, kind in enumerate(self.kinds)}
        single = {
            name: np.arange(len(self.detectors)) == d for d, name in enumerate(self.detectors)
        }
        rates = mean_rates(self.triplets)
        by_detector = {name: self._presence(boxes, own) for name, own in single.items()}
        unscored = self._unscored()
        return Compared(
            *self.runs,
            self.rules,
            self.pairs,
            self.clusters.tolist(),
            [*self.unpaired, *unscored],
            dict(zip(self.detectors, self.thresholds.tolist(), strict=True)),
            self.types,
            _table(changes, self),
            changes.pair,
            {kind: self._counts(changes, own) for kind, own in kinds.items()},
            {name: self._counts(changes, own) for name, own in single.items()},
            corrected({kind: self._presence(boxes, own) for kind, own in kinds.items()}),
            corrected(by_detector),
            corrected({name: self._score_test(d) for d, name in enumerate(self.detectors)}),
            {kind: self._per_triplet(boxes, own) for kind, own in kinds.items()},
            rates,
            [
                *differences(*self.runs, self.types, self.triplets),
                *_idle(self, by_detector),
                *rate_changes(rates, self.rules.rate_tolerance),
                *_lacking(unscored),
            ],
            [*_of_run("before", self.runs[0]), *_of_run("after", self.runs[1])],
        )

    def _boxes(self, side: int) -> _Counted:
        """The run's boxes that count: of a pair and a detector that are compared, and strong."""
        run = self.runs[side]
        pair_of = np.full(len(run.triplets), -1)
        pair_of[self.rows[side]] = np.arange(len(self.pairs))
        place = {name: d for d, name in enumerate(self.detectors)}
        detector_of = np.array([place.get(name, -1) for name in run.types], np.int64)
        pair = pair_of[run.triplet_of]
        detector = detector_of[run.detector_of] if len(pair) else pair
        rows = np.flatnonzero((pair >= 0) & (detector >= 0))
        rows = rows[self.known[detector[rows], pair[rows]]]
        rows = rows[run.confidences[rows] > self.thresholds[detector[rows]]]
        pair, detector = pair[rows], detector[rows]
        group = pair * len(self.kinds) + self.kind_of[detector]
        places = run.places[rows].astype(np.float64)
        return _Counted(pair, Boxes(group, detector, places, run.confidences[rows]))

    def _changes(self, before: _Counted, after: _Counted) -> _Changes:
        """Every artifact once, in an order that depends on nothing but what is in the runs."""
        found = match_boxes(before.boxes, after.boxes, self.rules.iou, self.rules.by == "type")
        lost = np.setdiff1d(np.arange(len(before)), found.before)
        come = np.setdiff1d(np.arange(len(after)), found.after)
        none = [np.full(len(each), -1) for each in (lost, come)]
        first = np.concatenate([found.before, lost, none[1]])
        second = np.concatenate([found.after, none[0], come])
        iou = np.concatenate([found.iou, found.nearest_before[lost], found.nearest_after[come]])
        why = np.concatenate(
            [
                np.full(len(found.iou), ""),
                self._doubts(before, lost, after),
                self._doubts(after, come, before),
            ]
        )
        status = np.where(second < 0, "fixed", np.where(first < 0, "new", "stayed"))
        status = np.where(why == "", status, "unclear")
        pair = np.where(second >= 0, _taken(after.pair, second), _taken(before.pair, first))
        boxes = before.boxes, after.boxes
        changes = _Changes(pair, status, why, iou, *boxes, first, second, self.rules.same)
        own = changes.detector
        corner = np.where((second >= 0)[:, None], changes.places[1], changes.places[0])
        order = np.lexsort((*corner.T[::-1], own, self.kind_of[own], pair))
        return changes.rows(order)

    def _doubts(self, own: _Counted, rows: NDArray[np.int64], other: _Counted) -> NDArray[np.str_]:
        """Why boxes without partner may be in the other run all the same; empty where not."""
        strongest = np.full(self.known.shape, -math.inf)
        np.maximum.at(strongest, (other.boxes.detector, other.pair), other.boxes.confidences)
        detector, confidences = own.boxes.detector[rows], own.boxes.confidences[rows]
        has_one = np.array([name in ONE_BOX for name in self.detectors])[detector]
        other_place = self._with_margin(strongest[detector, own.pair[rows]])
        enough = self._with_margin(self.thresholds[detector])
        is_hidden = has_one & (confidences <= other_place)
        return np.where(is_hidden, "hidden", np.where(confidences > enough, "", "marginal"))

    def _with_margin(self, values: Floats) -> Floats:
        """Higher by the margin; -inf stays."""
        return values + self.rules.margin * np.abs(np.where(np.isfinite(values), values, 0))

    def _counts(self, changes: _Changes, detectors: NDArray[np.bool_]) -> Counts:
        is_own = [
            (rows >= 0) & _taken(detectors[boxes.detector], rows)
            for rows, boxes in ((changes.first, changes.before), (changes.second, changes.after))
        ]
        either = is_own[0] | is_own[1]
        status, change = changes.status, changes.change

        def count(chosen: NDArray[np.bool_]) -> int:
            return int(chosen.sum())

        return Counts(
            before=count(is_own[0]),
            after=count(is_own[1]),
            fixed=count(is_own[0] & (status == "fixed")),
            new=count(is_own[1] & (status == "new")),
            stayed=count(either & (status == "stayed")),
            unclear_before=count(is_own[0] & (status == "unclear")),
            unclear_after=count(is_own[1] & (status == "unclear")),
            stronger=count(either & (change == "stronger")),
            weaker=count(either & (change == "weaker")),
        )

    def _presence(self, boxes: Sequence[_Counted], detectors: NDArray[np.bool_]) -> PresenceTest:
        compared = np.flatnonzero(self.known[detectors].any(axis=0))
        before, after = (self._number(each, detectors)[compared] > 0 for each in boxes)
        return presence_test(before, after, self.clusters[compared].tolist())

    def _per_triplet(self, boxes: Sequence[_Counted], detectors: NDArray[np.bool_]) -> Estimate:
        compared = np.flatnonzero(self.known[detectors].any(axis=0))
        before, after = (self._number(each, detectors)[compared] for each in boxes)
        clusters = self.clusters[compared].tolist()
        return mean_difference(before, after, clusters, self.rules.resampling)

    def _number(self, counted: _Counted, detectors: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Boxes per pair."""
        own = detectors[counted.boxes.detector]
        return np.bincount(counted.pair[own], minlength=len(self.pairs))

    def _score_test(self, detector: int) -> ScoreTest:
        compared = np.flatnonzero(self.known[detector])
        before, after = (own[detector, compared] for own in self.scores)
        return score_test(before, after, self.clusters[compared].tolist(), self.rules.resampling)

    def _unscored(self) -> list[Unpaired]:
        """Results of a detector that one of the runs does not have."""
        found = []
        for d, name in enumerate(self.detectors):
            for side, run in enumerate(("before", "after")):
                lacks = np.isnan(self.scores[1 - side][d]) & ~np.isnan(self.scores[side][d])
                for pair in np.flatnonzero(lacks):
                    own = self.triplets[pair][side]
                    reason = "the other run has no result of this detector for this triplet"
                    found.append(Unpaired(run, own.id, own.image, point_of(own), name, reason))
        return found


@dataclass(frozen=True)
class _Counted:
    """Boxes that count, and the pair of each."""

    pair: NDArray[np.int64]
    boxes: Boxes

    def __len__(self) -> int:
        return len(self.pair)


@dataclass(frozen=True)
class _Changes:
    """One entry per artifact; ``first`` and ``second`` are rows of the boxes, -1 for none."""

    pair: NDArray[np.int64]
    status: NDArray[np.str_]
    doubt: NDArray[np.str_]
    iou: Floats
    before: Boxes
    after: Boxes
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: float

    def rows(self, order: NDArray[np.int64]) -> _Changes:
        own = (self.pair[order], self.status[order], self.doubt[order], self.iou[order])
        sides = (self.before, self.after, self.first[order], self.second[order])
        return _Changes(*own, *sides, self.same)

    @property
    def sides(self) -> tuple[tuple[Boxes, NDArray[np.int64]], ...]:
        return (self.before, self.first), (self.after, self.second)

    @property
    def detectors(self) -> list[NDArray[np.int64]]:
        """Before and after, -1 where there is no box."""
        return [np.where(rows >= 0, _taken(boxes.detector, rows), -1) for boxes, rows in self.sides]

    @property
    def detector(self) -> NDArray[np.int64]:
        """That of the later run, else of the earlier one."""
        first, second = self.detectors
        return np.where(second >= 0, second, first)

    @property
    def confidences(self) -> list[Floats]:
        """Before and after, NaN where there is no box."""
        return [
            np.where(rows >= 0, _taken(boxes.confidences, rows), np.nan)
            for boxes, rows in self.sides
        ]

    @property
    def places(self) -> list[Floats]:
        """Before and after ``(n, 4)``, -1 where there is no box."""
        return [
            np.where((rows >= 0)[:, None], _taken(boxes.places, rows), -1)
            for boxes, rows in self.sides
        ]

    @property
    def change(self) -> NDArray[np.str_]:
        """Of what stayed: stronger, weaker, same, or boxed by another detector; else the doubt."""
        (first, second), (a, b) = self.confidences, self.detectors
        near = np.abs(second - first) <= self.same * np.maximum(np.abs(first), np.abs(second))
        kind = np.where(near, "same", np.where(second > first, "stronger", "weaker"))
        kind = np.where(a == b, kind, "other detector")
        return np.where(self.status == "stayed", kind, self.doubt)


def _taken(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """``values[rows]``, anything where a row is -1."""
    if not len(values):
        return np.zeros((len(rows), *values.shape[1:]), values.dtype)
    return values[rows]


def _table(changes: _Changes, of: _Comparison) -> dict[str, Sequence[Any]]:
    """The columns of ``changes.parquet``."""
    names = np.array([*of.detectors, ""])
    triplets = [of.triplets[pair] for pair in changes.pair]
    own = changes.detector
    scores = [each[own, changes.pair] for each in of.scores]
    over = of.thresholds[own]
    evidence = [
        np.where(
            np.isnan(confidence),
            np.minimum(score, np.where(np.isfinite(over), over, score)),
            confidence,
        )
        for confidence, score in zip(changes.confidences, scores, strict=True)
    ]
    strength = np.abs(evidence[1] - evidence[0])
    columns: dict[str, Sequence[Any]] = {
        "status": changes.status.tolist(),
        "change": changes.change.tolist(),
        "image": [after.image for _, after in triplets],
        "preset": [point_of(after) for _, after in triplets],
        "artifact_type": [of.kinds[k] for k in of.kind_of[own]],
        "detector": names[own].tolist(),
        "strength": np.where(changes.change == "other detector", 0.0, strength).tolist(),
        "iou": changes.iou.tolist(),
        "threshold": [limit if math.isfinite(limit) else None for limit in over.tolist()],
    }
    for side, name in enumerate(("before", "after")):
        is_there = ~np.isnan(changes.confidences[side])
        confidences = changes.confidences[side].tolist()
        edges = changes.places[side].astype(int).T.tolist()
        columns |= {
            f"triplet_{name}": [each[side].id for each in triplets],
            f"detector_{name}": [n or None for n in names[changes.detectors[side]].tolist()],
            f"confidence_{name}": _or_none(confidences, is_there),
            f"score_{name}": scores[side].tolist(),
        }
        for edge, values in zip(("x0", "y0", "x1", "y1"), edges, strict=True):
            columns[f"{edge}_{name}"] = _or_none(values, is_there)
        columns[f"bpp_{name}"] = [each[side].bpp["neural"] for each in triplets]
    columns["original_sha256"] = [a.content or b.content for a, b in triplets]
    return columns


def _or_none(values: Sequence[Any], is_there: NDArray[np.bool_]) -> list[Any]:
    return [value if there else None for value, there in zip(values, is_there, strict=True)]


def _nothing_pairs(before: ComparedRun, after: ComparedRun, unpaired: Sequence[Unpaired]) -> str:
    example = f" The first: {unpaired[0].triplet}: {unpaired[0].reason}." if unpaired else ""
    return (
        "expected two runs over the same originals at the same operating points, got "
        f"{len(before.triplets)} triplets in {before.folder} and {len(after.triplets)} in "
        f"{after.folder}, none of which have both in common.{example} Run both versions of the "
        "codec on the same images with the same presets."
    )


def _cluster(before: CodedTriplet, after: CodedTriplet) -> str:
    """The original photograph, or what both runs call it."""
    if before.source is not None and before.source == after.source:
        return f"source {before.source}"
    content = before.content or after.content
    return f"content {content}" if content else f"image {min(before.image, after.image)}"


def _idle(of: _Comparison, presence: Mapping[str, PresenceTest]) -> list[str]:
    """A line for each setting that can have no effect on these runs."""
    found = []
    low = [
        f"{name} {value:g}"
        for name, value in of.given.items()
        if value < of.thresholds[of.detectors.index(name)]
    ]
    if low:
        found.append(
            f"Thresholds below those of a run have no effect ({', '.join(low)}): a run keeps "
            "nothing under its own."
        )
    has_limits = (of.thresholds[np.isfinite(of.thresholds)] != 0).any()
    if of.rules.margin and not has_limits and not ONE_BOX.intersection(of.detectors):
        found.append("The margin has no effect: it is a share of thresholds that are 0.")
    full = [
        name
        for name, test in presence.items()
        if test.n >= FEW and test.with_before == test.with_after == test.n
    ]
    if full:
        found.append(
            f"Every triplet has a box of {', '.join(full)} in both runs, so that only confidences "
            "and places can change. Give thresholds= (nacd-bench benchmark writes them)."
        )
    return found


def _lacking(unscored: Sequence[Unpaired]) -> list[str]:
    if not unscored:
        return []
    return [
        f"{len(unscored)} results of a detector are in one run only and are compared with nothing, "
        "see unpaired.csv."
    ]


def _of_run(name: str, run: ComparedRun) -> list[Failure]:
    return [
        Failure(each.item, each.step, f"in the run {name}: {each.message}") for each in run.failures
    ]
