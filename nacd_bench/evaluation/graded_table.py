"""Every figure of methods and raters on graded triplets, as rows of one table.

A row says of which artifact type, group of triplets, side and method a figure is. Sides: within
``neural`` and within ``traditional`` (the control), where a method that only names the codec shows
nothing, and ``both``, where the row ``constant (neural = 1)`` shows how much that alone gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.evaluation.auc import auc_estimates
from nacd_bench.evaluation.bootstrap import Floats, IntervalEstimate, Resampling
from nacd_bench.evaluation.graded import (
    CLEAR,
    Targets,
    calibration,
    centres,
    concordance,
    ordinal_alpha,
    pointing,
    positives,
    spearman,
)
from nacd_bench.triplets.grades import SIDES, Ratings
from nacd_bench.triplets.record import ARTIFACT_TYPES

NEURAL, TRADITIONAL = SIDES
BOTH = "both"
RATER, CONSTANT, CENTRE = "one rater", "constant (neural = 1)", "centre of the image"
DETECTOR, METRIC, REFERENCE = "detector", "metric", "reference"
"""Kinds of methods; the references are raters, the constant and the centre."""
Row = dict[str, Any]


@dataclass(frozen=True)
class MethodScores:
    """What a method says of every triplet.

    Args:
        name: of the method.
        artifact_type: of a detector; None for a metric, which is compared on every type.
        scores: by side ``(n,)``, larger where that side is worse; NaN where there is none.
        points: by side ``(n, 2)`` the centre of its strongest box; None for a metric.
        is_severity: whether its scores are severities, 0 to 3.
    """

    name: str
    artifact_type: str | None
    scores: Mapping[str, Floats]
    points: Mapping[str, Floats] | None = None
    is_severity: bool = False


@dataclass(frozen=True)
class GradedTriplets:
    """Triplets as the figures need them.

    Args:
        clusters: ``(n,)`` photograph of each.
        groups: which of them belong to a group, ``(n,)``, by its name; the first is the primary.
        ratings: by artifact type and side.
        centre: ``(n, 2)`` of each image.
    """

    clusters: Sequence[str]
    groups: Mapping[str, NDArray[np.bool_]]
    ratings: Mapping[tuple[str, str], Ratings]
    centre: Floats

    @property
    def primary(self) -> str:
        """The group that tests are made on."""
        return next(iter(self.groups))

    def targets(self, kind: str, side: str, group: str) -> Targets:
        """What scores of a type are compared with."""
        members = self.groups[group]
        names = [name for name, is_in in zip(self.clusters, members, strict=True) if is_in]
        return Targets(self.ratings[kind, side].severity[members], names)


def methods_of(methods: Sequence[MethodScores], kind: str) -> list[MethodScores]:
    """The detectors of an artifact type, and every metric."""
    return [method for method in methods if method.artifact_type in (kind, None)]


def faults(graded: GradedTriplets) -> Iterator[str]:
    """Where nothing can be compared, and why; a line each."""
    for kind in ARTIFACT_TYPES:
        for group in graded.groups:
            for side in SIDES:
                fault = graded.targets(kind, side, group).fault
                if fault:
                    yield f"{kind}, {group}, {side} side: {fault}."


def rows_of(
    graded: GradedTriplets,
    methods: Sequence[MethodScores],
    kind: str,
    group: str,
    resampling: Resampling,
) -> Iterator[Row]:
    """The figures of one artifact type on one group of triplets."""
    members = graded.groups[group]
    some = methods_of(methods, kind)
    scores = {
        method.name: {side: of[members] for side, of in method.scores.items()} for method in some
    }
    size = int(members.sum())
    scores[CONSTANT] = {NEURAL: np.ones(size), TRADITIONAL: np.zeros(size)}
    kinds = {method.name: DETECTOR if method.artifact_type else METRIC for method in some}
    place = {"artifact_type": kind, "group": group}
    for side in SIDES:
        targets = graded.targets(kind, side, group)
        where = {**place, "side": side}
        alpha = ordinal_alpha(targets.severity)
        if alpha is not None:
            rated = int((~np.isnan(targets.severity)).sum(axis=1).astype(bool).sum())
            yield {**where, **_of(RATER), "figure": "alpha", "value": alpha, "n": rated}
        if targets.fault:
            continue
        for name, figure, value in _order(
            targets, {n: of[side] for n, of in scores.items()}, resampling
        ):
            yield {**where, **_of(name, kinds), "figure": figure, **_values(value)}
        points = {m.name: m.points[side][members] for m in some if m.points is not None}
        boxes = graded.ratings[kind, side].boxes[members]
        points[RATER] = centres(boxes).transpose(1, 0, 2)
        points[CENTRE] = graded.centre[members]
        for name, of in points.items():
            value = pointing(targets, boxes, of, resampling)
            yield {**where, **_of(name, kinds), "figure": "pointing", **_values(value)}
        for method in some:
            if method.is_severity:
                yield from (
                    {**where, **_of(method.name, kinds), **row}
                    for row in _calibrated(targets, scores[method.name][side])
                )
    yield from (
        {**place, **_of(name, kinds), **row}
        for name, row in _aucs(graded, kind, group, scores, resampling)
    )


def _order(
    targets: Targets, scores: Mapping[str, Floats], resampling: Resampling
) -> Iterator[tuple[str, str, IntervalEstimate]]:
    for name, of in {RATER: targets.ratings, **scores}.items():
        yield name, "spearman", spearman(targets, of, resampling)
        yield name, "concordance", concordance(targets, of, resampling)


def _calibrated(targets: Targets, scores: Floats) -> Iterator[Row]:
    """Figures of scores that are severities, and the share of strong ones where none was graded."""
    n = int((targets.is_rated & ~np.isnan(scores)).sum())
    for figure, value in calibration(targets, scores).items():
        yield {"figure": figure, "value": float(value), "n": n}
    others = scores[np.isnan(targets.severity).all(axis=1) & ~np.isnan(scores)]
    if len(others):
        share = float((others >= CLEAR).mean())
        yield {"figure": "alarms", "value": share, "n": len(others)}


def _aucs(
    graded: GradedTriplets,
    kind: str,
    group: str,
    scores: Mapping[str, Mapping[str, Floats]],
    resampling: Resampling,
) -> Iterator[tuple[str, Row]]:
    """AUC within each side and of both together, where there are positives and negatives."""
    members = graded.groups[group]
    truth = {side: positives(graded.ratings[kind, side].severity[members]) for side in SIDES}
    names = [name for name, is_in in zip(graded.clusters, members, strict=True) if is_in]
    for side, sides in {NEURAL: [NEURAL], TRADITIONAL: [TRADITIONAL], BOTH: list(SIDES)}.items():
        labels = np.concatenate([truth[of] for of in sides])
        counted = ~np.isnan(labels)
        if len(np.unique(labels[counted])) < 2:
            continue
        found = auc_estimates(
            labels[counted],
            {
                name: np.concatenate([of[one] for one in sides])[counted]
                for name, of in scores.items()
            },
            np.array(names * len(sides))[counted].tolist(),
            resampling,
        )
        for name, auc in found.items():
            counts = {"n_positive": auc.n_positive, "n_negative": auc.n_negative}
            yield name, {"side": side, "figure": "auc", **_values(auc), **counts}


def _of(name: str, kinds: Mapping[str, str] | None = None) -> Row:
    return {"method": name, "kind": (kinds or {}).get(name, REFERENCE)}


def _values(estimate: IntervalEstimate) -> Row:
    return {name: getattr(estimate, name) for name in ("value", "low", "high", "n", "n_clusters")}


def best_methods(rows: Sequence[Row], group: str) -> dict[str, list[str]]:
    """By artifact type the detector and the metric of the largest Spearman on the neural side."""
    best: dict[str, list[str]] = {}
    for kind in ARTIFACT_TYPES:
        names = []
        for of in (DETECTOR, METRIC):
            place = {"artifact_type": kind, "group": group, "side": NEURAL, "kind": of}
            place |= {"figure": "spearman"}
            found = [
                row
                for row in rows
                if all(row.get(key) == value for key, value in place.items())
                and row["value"] is not None
                and not math.isnan(row["value"])
            ]
            names += [max(found, key=lambda row: row["value"])["method"]] if found else []
        if len(names) == 2:
            best[kind] = names
    return best
