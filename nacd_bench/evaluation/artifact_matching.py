"""Which boxes of two runs over the same images are the same artifact.

Boxes match one to one, inside one image and artifact type, where their IoU reaches a threshold; of
all ways to do that the one with the largest sum of IoUs is taken. Boxes of one detector are matched
first, because only their confidences can be compared; what is left may then match across the
detectors of the type, so that an artifact which another detector boxes now is not called new.

Ties are broken by the nearer confidence and then by the place, the same way in both directions:
neither the order of the rows nor which run comes first changes who belongs to whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.ops.boxes import box_iou

IOU = 0.3
"""Least overlap of a match. A 300 x 300 region that moves by 80 pixels along both axes keeps an IoU
of 0.37, one that moves by half its side 0.14: detectors place their region by the peak of a smooth
map, which wanders by some tens of pixels when the codec changes a little."""
CHUNK = 2**21
"""Pairs of boxes looked at together (16 MiB per column)."""
NEARER_CONFIDENCE, NEARER_PLACE = 1e-6, 1e-9
"""Weights of the tie breaks, far below the smallest step between two IoUs that matters."""

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """The boxes of a run, as columns.

    Args:
        group: image and artifact type ``(n,)``; only boxes with the same number can match.
        detector: ``(n,)``, the same number for the same detector in both runs.
        places: ``(n, 4)``, ``[x0, y0, x1, y1]`` half-open, in pixels.
        confidences: ``(n,)``.
    """

    group: Places
    detector: Places
    places: Floats
    confidences: Floats

    def __len__(self) -> int:
        return len(self.group)

    def rows(self, chosen: Places) -> Boxes:
        """Some of the boxes."""
        return Boxes(
            self.group[chosen],
            self.detector[chosen],
            self.places[chosen],
            self.confidences[chosen],
        )

    @property
    def order(self) -> Places:
        """Rows by what they say, so that their order in a file does not matter."""
        keys = (self.confidences, self.detector, *self.places.T[::-1], self.group)
        return np.lexsort(keys)


@dataclass(frozen=True)
class Matching:
    """Who is who.

    Args:
        before, after: rows that are one artifact ``(k,)`` each.
        iou: of these pairs ``(k,)``.
        nearest_before: the largest IoU of each first box with any second box of its group ``(n,)``,
            matched or not.
        nearest_after: of each second box with any first one ``(m,)``.
    """

    before: Places
    after: Places
    iou: Floats
    nearest_before: Floats
    nearest_after: Floats


def match_boxes(
    before: Boxes, after: Boxes, iou: float = IOU, across_detectors: bool = True
) -> Matching:
    """The matching of two runs' boxes.

    Args:
        before, after: boxes of both.
        iou: least overlap of a match, above 0 and up to 1.
        across_detectors: match what is left across the detectors of a group.

    >>> place = np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    >>> zero = np.zeros(2, np.int64)
    >>> both = match_boxes(Boxes(zero, zero, place, zero + 1.0),
    ...                    Boxes(zero, zero, place[::-1] + 1, zero + 1.0))
    >>> both.before.tolist(), both.after.tolist(), both.iou.round(2).tolist()
    ([0, 1], [1, 0], [0.68, 0.68])
    """
    if not 0 < iou <= 1:
        raise ValueError(f"Expected `iou` above 0 and up to 1. Got {iou}.")
    order = before.order, after.order
    first, second = before.rows(order[0]), after.rows(order[1])
    nearest_before, nearest_after = np.zeros(len(first)), np.zeros(len(second))
    close = [_NOTHING]
    for i, j, overlap in _overlaps(first, second):
        np.maximum.at(nearest_before, order[0][i], overlap)
        np.maximum.at(nearest_after, order[1][j], overlap)
        enough = overlap >= iou
        close.append((i[enough], j[enough], overlap[enough]))
    i, j, overlap = (np.concatenate(parts) for parts in zip(*close, strict=True))
    same = np.flatnonzero(first.detector[i] == second.detector[j])
    chosen = _assigned(first, second, i, j, overlap, same)
    if across_detectors:
        is_free = ~np.isin(i, i[chosen]) & ~np.isin(j, j[chosen])
        rest = _assigned(first, second, i, j, overlap, np.flatnonzero(is_free))
        chosen = np.concatenate([chosen, rest])
    rows = order[0][i[chosen]]
    by_row = np.argsort(rows, kind="stable")
    chosen = chosen[by_row]
    return Matching(
        rows[by_row], order[1][j[chosen]], overlap[chosen], nearest_before, nearest_after
    )


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def _overlaps(first: Boxes, second: Boxes) -> Iterator[tuple[Places, Places, Floats]]:
    """Pairs inside a group that overlap, with their IoU; both sides are sorted by group."""
    low = np.searchsorted(second.group, first.group, "left")
    count = np.searchsorted(second.group, first.group, "right") - low
    ends = np.cumsum(count)
    start = 0
    while start < len(first):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHUNK, "right")))
        some = count[start:stop]
        i = np.repeat(np.arange(start, stop), some)
        j = (
            np.arange(len(i))
            - np.repeat(np.cumsum(some) - some, some)
            + np.repeat(low[start:stop], some)
        )
        overlap = box_iou(first.places[i], second.places[j])
        is_shared = overlap > 0
        yield i[is_shared], j[is_shared], overlap[is_shared]
        start = stop


def _assigned(
    first: Boxes, second: Boxes, i: Places, j: Places, overlap: Floats, some: Places
) -> Places:
    """Of some of the pairs ``(i, j)`` those that match one to one, as places among the pairs.

    Pairs that share boxes, directly or not, are decided together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(some):
        return some
    size = len(first) + len(second)
    links = (i[some], len(first) + j[some])
    graph = coo_array((np.ones(len(some), bool), links), (size, size))
    part = connected_components(graph, directed=False)[1][i[some]]
    is_alone = np.bincount(part)[part] == 1
    contested, part = some[~is_alone], part[~is_alone]
    order = np.argsort(part, kind="stable")
    parts = np.split(contested[order], np.flatnonzero(np.diff(part[order])) + 1)
    best = [_best(first, second, i, j, overlap, pairs) for pairs in parts]
    return np.sort(np.concatenate([some[is_alone], *best]))


def _best(
    first: Boxes, second: Boxes, i: Places, j: Places, overlap: Floats, pairs: Places
) -> Places:
    """Those of the pairs that match with the largest sum of IoUs."""
    from scipy.optimize import linear_sum_assignment

    rows, a = np.unique(i[pairs], return_inverse=True)
    columns, b = np.unique(j[pairs], return_inverse=True)
    size = len(rows) + len(columns)
    x, y = first.confidences[i[pairs]], second.confidences[j[pairs]]
    strength = np.abs(x) + np.abs(y)
    apart = np.divide(np.abs(x - y), strength, out=np.zeros_like(x), where=strength > 0)
    further = (np.abs(a - b) + 0.1 * (a + b)) / size
    weight = overlap[pairs] - NEARER_CONFIDENCE * apart - NEARER_PLACE * further
    weights = np.zeros((len(rows), len(columns)))
    weights[a, b] = weight
    pair_of = np.full(weights.shape, -1)
    pair_of[a, b] = pairs
    chosen = pair_of[linear_sum_assignment(weights, maximize=True)]
    return np.asarray(chosen[chosen >= 0])
