"""One artifact that several operating points or detectors found is one candidate (section 4.1).

Boxes of the same image and artifact type whose IoU is over a threshold are one artifact. The one at
the higher quality preset stays, where a codec should do better; among those of one preset the
detectors come by name and then the stronger one. A box that overlaps a kept one is its duplicate,
so that of three boxes in a row the outer two may both stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import UserError
from nacd_bench.ops.boxes import box_iou

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

    if not 0 <= iou <= 1:
        raise UserError(f"expected an IoU from 0 to 1, got {iou}.")
    kinds = _codes(candidates["artifact_type"])
    group = _codes(candidates["image_sha256"]) * (kinds.max(initial=0) + 1) + kinds
    boxes = np.stack([_numbers(candidates[name]) for name in ("x0", "y0", "x1", "y1")], axis=1)
    keeper = keepers(
        group,
        boxes,
        [
            -_numbers(candidates["preset_index"]),
            _codes(candidates["detector"]),
            -_numbers(candidates["confidence"]),
            *boxes.T,
            _codes(candidates["candidate"]),
        ],
        iou,
    )
    ids = candidates["candidate"].combine_chunks()
    is_kept = keeper == np.arange(len(keeper))
    duplicate_of = pa.array(ids.take(pa.array(keeper)).to_pylist(), pa.string(), mask=is_kept)
    if "duplicate_of" in candidates.column_names:
        place = candidates.column_names.index("duplicate_of")
        return candidates.set_column(place, "duplicate_of", duplicate_of)
    return candidates.append_column("duplicate_of", duplicate_of)


def keepers(
    group: NDArray[np.int64],
    boxes: NDArray[np.float64],
    order: Sequence[NDArray[Any]],
    iou: float,
) -> NDArray[np.int64]:
    """For each row the row that stands for it, itself where it is kept: ``(n,)``.

    In each round the first row of every group stays and takes those that overlap it, for all groups
    at once, so that the work is that of the largest group and not of their number.

    Args:
        group: rows with the same number may be one artifact ``(n,)``.
        boxes: ``(n, 4)``.
        order: what decides who comes first in a group, the most important first, each ``(n,)``.
        iou: see :func:`with_duplicates`.

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [5, 0, 15, 10.0]])
    >>> keepers(np.zeros(3, np.int64), boxes, [np.array([1.0, 0, 2])], iou=0.5).tolist()
    [1, 1, 2]
    """
    keeper = np.arange(len(group))
    left = np.lexsort((*reversed(order), group))
    while len(left):
        first = np.r_[True, group[left[1:]] != group[left[:-1]]]
        heads = left[first][np.cumsum(first) - 1]
        same = box_iou(boxes[left], boxes[heads]) > iou
        keeper[left[same]] = heads[same]
        left = left[~(same | first)]
    return keeper


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), np.float64)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The place of each value among all, in alphabetical order."""
    import pyarrow.compute as pc

    return np.asarray(pc.rank(column, tiebreaker="dense").to_numpy(zero_copy_only=False), np.int64)
