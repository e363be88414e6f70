"""From maps of faults to what a severity is predicted from, per place and per tile.

A place is a cell of 8 x 8 pixels with its neighbourhood: every fault smoothed at two widths, as it
is and as far as it exceeds the same fault of the other decode. A tile of 512 x 512 pixels is told
by the power means of its narrow neighbourhoods, from the plain mean (how much of the tile) to the
maximum (how strong), and by the maximum of the wide ones.

Beyond the picture's border nothing is at fault, and neighbourhoods reach over it, so that a picture
on a larger canvas says the same as the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.detectors.severity.maps import CELL, MAPS, spread
from nacd_bench.ops.memory import give_back_memory

NARROW, WIDE = 1.25, 4.0
"""Standard deviations of the neighbourhoods in cells: 10 and 32 pixels."""

MARGIN = 4
"""Cells around the picture whose narrow neighbourhoods reach into it."""

PLACES = 4 * MAPS
"""Numbers that tell a place."""

POWERS = 4
"""Powers of the means over a tile: 1, 2, 4, 8."""

STATISTICS = 2 * MAPS * (POWERS + 2)
"""Numbers that tell a tile."""

TILE = 512 // CELL
STEP = 2
"""Side of a tile and step between tiles, in cells."""
BLOCKS = TILE // STEP
"""Side of a tile in steps."""
PART = 12
"""Rows of cells that are worked on at a time in large pictures."""


def places(own: Tensor, other: Tensor, rows: range | None = None) -> Tensor:
    """Evidence of cells ``(B, 4 C, h + 8, w + 8)`` of maps ``(B, C, h, w)``, at least 0.

    ``rows`` are those that are wanted of these.
    """
    evidence = []
    for width in (NARROW, WIDE):
        first, second = (spread(maps, width, MARGIN, rows) for maps in (own, other))
        evidence += [first, (first - second).clamp(min=0)]
    return torch.cat(evidence, 1)


def parts(own: Tensor, other: Tensor) -> Iterator[Tensor]:
    """:func:`places`, :data:`PART` rows at a time."""
    height = own.shape[2] + 2 * MARGIN
    for first in range(0, height, PART):
        part = places(own, other, range(first, min(height, first + PART)))
        give_back_memory()
        yield part
        give_back_memory()


def within(evidence: Tensor) -> Tensor:
    """Places in the picture, without the margin."""
    return evidence[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def tiles(evidence: Iterable[Tensor], used: Sequence[int] | None = None) -> Iterator[Tensor]:
    """What tells overlapping tiles of ``(B, 4 C, h, w)`` cells: ``(B, T, 12 C)`` at a time.

    Power means of the narrow half, then its maximum, then the wide half's.

    Args:
        evidence: rows of the cells, one part below the other, of even heights but the last.
        used: which of the ``12 C`` are wanted, in ascending order; all by default.
    """
    blocks: list[Tensor] = []
    is_tall = False
    for part in evidence:
        more = _blocks(part, used)
        if blocks:
            blocks = [torch.cat(both, 2) for both in zip(blocks, more, strict=True)]
            give_back_memory()  # several parts are of a large picture
        else:
            blocks = more
        if blocks[0].shape[2] >= BLOCKS:
            is_tall = True
            yield _of_tiles(blocks)
            blocks = [kind[:, :, 1 - BLOCKS :] for kind in blocks]
    if blocks and not is_tall:
        missing = BLOCKS - blocks[0].shape[2]
        yield _of_tiles([F.pad(kind, (0, 0, 0, missing)) for kind in blocks])


def _blocks(evidence: Tensor, used: Sequence[int] | None) -> list[Tensor]:
    """Of each square of :data:`STEP` cells the sums of each of the narrow half's powers, and last
    the maxima: of those channels that are used."""
    height, width = evidence.shape[-2:]
    ends = (0, max(TILE - width, width % STEP), 0, height % STEP)
    narrow = evidence.shape[1] // 2
    limits = [narrow * power for power in range(POWERS + 1)] + [narrow * (POWERS + 2)]
    blocks = []
    for kind, (first, last) in enumerate(pairwise(limits)):
        channels = [each - first for each in used or range(last) if first <= each < last]
        values = F.pad(evidence[:, channels], ends)
        for _ in range(kind % POWERS):
            values = values * values
        join = torch.maximum if kind == POWERS else torch.add
        for dim in (-2, -1):
            values = join(*values.unflatten(dim, (-1, STEP)).unbind(dim))
        blocks.append(values)
    return blocks


def _of_tiles(blocks: Sequence[Tensor]) -> Tensor:
    """What tells the tiles that lie in rows of blocks."""
    *sums, maxima = blocks
    roots = [
        (over_tiles(of_power, torch.add) / TILE**2) ** (0.5**exponent)
        for exponent, of_power in enumerate(sums)
    ]
    maxima = over_tiles(maxima, torch.maximum)
    return torch.cat([*roots, maxima], 1).flatten(2).transpose(1, 2)


def over_tiles(blocks: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """All blocks of each tile joined; a tile is a power of two wide, so that halves make it."""
    for dim in (-2, -1):
        half = 1
        while half < BLOCKS:
            count = blocks.shape[dim] - half
            blocks = join(blocks.narrow(dim, 0, count), blocks.narrow(dim, half, count))
            half *= 2
    return blocks
