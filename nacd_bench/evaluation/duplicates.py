"""One place, one artifact, however many operating points or detectors found it (section 4.1).

Boxes of one image and artifact type are one place where their IoU is over a threshold. Detectors
box places of different sizes, some a window of 300 x 300 pixels, some the spot itself: so boxes of
two detectors at one operating point are one place where more than that share of the smaller box is
shared, and at two operating points where it is shared of the box that stays, which is one that says
more exactly where.

The one at the higher quality preset stays, where a codec should do better. Among those of one
preset predicted severities come first, the strongest before others; then the paper's detectors, by
confidence on the scale of each (the end of its heat map's colours). A box that overlaps a kept one
is its duplicate, so that of three boxes in a row the outer two may both stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import PluginError, UserError
from nacd_bench.ops.boxes import box_iou, shared_part
from nacd_bench.registry import DETECTORS

if TYPE_CHECKING:
    import pyarrow as pa

IOU = 0.5
"""Overlap over which two boxes are one artifact."""


def with_duplicates(candidates: pa.Table, iou: float = IOU) -> pa.Table:
    """The same rows in their order, with ``duplicate_of`` set anew.

    Args:
        candidates: columns ``candidate``, ``image_sha256``, ``artifact_type``, ``preset_index``,
            ``detector``, ``confidence``, ``x0`` to ``y1``.
        iou: boxes that overlap by more are one artifact, 0 to 1.
    """
    import pyarrow as pa

    keeper = keepers(candidates, iou)
    ids = candidates["candidate"].combine_chunks()
    is_kept = keeper == np.arange(len(keeper))
    duplicate_of = pa.array(ids.take(pa.array(keeper)).to_pylist(), pa.string(), mask=is_kept)
    if "duplicate_of" in candidates.column_names:
        place = candidates.column_names.index("duplicate_of")
        return candidates.set_column(place, "duplicate_of", duplicate_of)
    return candidates.append_column("duplicate_of", duplicate_of)


def keepers(
    candidates: pa.Table, iou: float, first: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """For each row the row that stands for it, itself where it is kept: ``(n,)``.

    In each round the first row of every group stays and takes those that overlap it, for all groups
    at once, so that the work is that of the largest group and not of their number.

    Args:
        candidates, iou: see :func:`with_duplicates`.
        first: rows that stay before others, whatever their preset ``(n,)``.
    """
    if not 0 <= iou <= 1:
        raise UserError(f"expected an IoU from 0 to 1, got {iou}.")
    kinds = _codes(candidates["artifact_type"])
    group = _codes(candidates["image_sha256"]) * (kinds.max(initial=0) + 1) + kinds
    boxes = np.stack([_numbers(candidates[name]) for name in ("x0", "y0", "x1", "y1")], axis=1)
    preset, detector = _numbers(candidates["preset_index"]), _codes(candidates["detector"])
    confidence = _numbers(candidates["confidence"])
    names = candidates["detector"].to_pylist()
    is_severity = np.array([scale_of(name)[0] for name in names], bool)
    full = np.array([scale_of(name)[1] for name in names], np.float64)
    order = [
        *(() if first is None else (~first,)),
        *(-preset, ~is_severity, -confidence / full, detector, *boxes.T),
        _codes(candidates["candidate"]),
    ]
    keeper = np.arange(len(group))
    left = np.lexsort((*reversed(order), group))
    while len(left):
        is_head = np.r_[True, group[left[1:]] != group[left[:-1]]]
        heads = left[is_head][np.cumsum(is_head) - 1]
        shared = np.where(
            preset[left] == preset[heads],
            np.maximum(
                *(shared_part(boxes[a], boxes[b]) for a, b in ((left, heads), (heads, left)))
            ),
            shared_part(boxes[heads], boxes[left]),
        )
        same = box_iou(boxes[left], boxes[heads]) > iou
        same |= (detector[left] != detector[heads]) & (shared > iou)
        keeper[left[same]] = heads[same]
        left = left[~(same | is_head)]
    return keeper


def with_places(candidates: pa.Table) -> pa.Table:
    """The same rows with ``found_by`` and ``presets`` set anew from ``duplicate_of``.

    A row that is kept names the detectors that boxed its place at its operating point, each with
    its confidence, the strongest first, and the operating points at which it was boxed.
    """
    import pyarrow as pa

    rows = candidates.select(
        ["candidate", "duplicate_of", "triplet", "detector", "confidence", "preset", "preset_index"]
    ).to_pylist()
    by_name = {row["candidate"]: row for row in rows}
    found = {name: {row["detector"]: row["confidence"]} for name, row in by_name.items()}
    presets = {name: {row["preset_index"]: row["preset"]} for name, row in by_name.items()}
    for row in rows:
        kept = by_name.get(row["duplicate_of"])
        if kept is not None:
            presets[kept["candidate"]][row["preset_index"]] = row["preset"]
            if kept["triplet"] == row["triplet"]:
                own = {row["detector"]: row["confidence"]}
                found[kept["candidate"]] = strongest_first([found[kept["candidate"]], own])
    columns = {
        "found_by": [found_rows(found[row["candidate"]]) for row in rows],
        "presets": [
            [name for _, name in sorted(presets[row["candidate"]].items())] for row in rows
        ],
    }
    for name, values in columns.items():
        place = candidates.column_names.index(name)
        column = pa.array(values, candidates.schema.field(name).type)
        candidates = candidates.set_column(place, name, column)
    return candidates


def found_by(row: Mapping[str, Any]) -> dict[str, float]:
    """The detectors that boxed a candidate's place, with their confidences.

    >>> found_by({"detector": "text", "confidence": 0.5, "found_by": None})
    {'text': 0.5}
    """
    return {each["detector"]: each["confidence"] for each in row["found_by"] or (row,)}


def found_rows(found: Mapping[str, float]) -> list[dict[str, Any]]:
    """Detectors and their confidences as the column ``found_by`` holds them."""
    return [{"detector": name, "confidence": confidence} for name, confidence in found.items()]


def strongest_first(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest confidence of each detector, in the order in which boxes of one place stay.

    >>> strongest_first([{"texture": 0.04}, {"texture_severity": 0.5, "texture": 0.03}])
    {'texture_severity': 0.5, 'texture': 0.04}
    """
    largest: dict[str, float] = {}
    for found in several:
        for name, confidence in found.items():
            largest[name] = max(confidence, largest.get(name, confidence))

    def rank(name: str) -> tuple[bool, float, str]:
        is_severity, full = scale_of(name)
        return not is_severity, -largest[name] / full, name

    return {name: largest[name] for name in sorted(largest, key=rank)}


@cache
def scale_of(detector: str) -> tuple[bool, float]:
    """Whether confidences of a detector are severities, and how much of it is strong.

    >>> scale_of("texture_severity"), scale_of("large_color"), scale_of("of a package that is gone")
    ((True, 3.0), (False, 4.0), (False, 1.0))
    """
    try:
        kind = DETECTORS.get(detector)
    except PluginError:
        return False, 1.0
    return kind.is_severity, float(kind.heat_map_range[1])


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), np.float64)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The place of each value among all, in alphabetical order."""
    import pyarrow.compute as pc

    return np.asarray(pc.rank(column, tiebreaker="dense").to_numpy(zero_copy_only=False), np.int64)
