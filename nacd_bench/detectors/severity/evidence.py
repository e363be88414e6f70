"""From maps of faults to what a severity is predicted from, per place and per tile.

A place is a cell of 8 x 8 pixels with its neighbourhood: every fault smoothed at two widths, as it
is and as far as it exceeds the same fault of the other decode. A tile of 512 x 512 pixels is told
by the power means of its narrow neighbourhoods, from the plain mean (how much of the tile) to the
maximum (how strong), and by the maximum of the wide ones.

Beyond the picture's border nothing is at fault, and neighbourhoods reach over it, so that a picture
on a larger canvas says the same as the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.detectors.severity.maps import CELL, MAPS, spread

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


def places(own: Tensor, other: Tensor) -> Tensor:
    """Evidence of cells ``(B, 4 C, h + 6, w + 6)`` of maps ``(B, C, h, w)``, at least 0."""
    evidence = []
    for width in (NARROW, WIDE):
        first, second = spread(own, width, MARGIN), spread(other, width, MARGIN)
        evidence += [first, (first - second).clamp(min=0)]
    return torch.cat(evidence, 1)


def within(evidence: Tensor) -> Tensor:
    """Places in the picture, without the margin."""
    return evidence[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def tiles(evidence: Tensor) -> Tensor:
    """What tells overlapping tiles of ``(B, 4 C, h, w)`` cells: ``(B, T, 12 C)``.

    Power means of the narrow half, then its maximum, then the wide half's.
    """
    missing = [max(TILE - side, side % STEP) for side in evidence.shape[-2:]]
    padded = F.pad(evidence, (0, missing[1], 0, missing[0]))
    power = padded[:, : padded.shape[1] // 2]
    means = []
    for exponent in range(POWERS):
        if exponent:
            power = power * power
        mean = over_tiles(F.avg_pool2d(power, STEP), torch.add) / (TILE // STEP) ** 2
        means.append(mean ** (0.5**exponent))
    maxima = over_tiles(F.max_pool2d(padded, STEP), torch.maximum)
    return torch.cat([*means, maxima], 1).flatten(2).transpose(1, 2)


def over_tiles(blocks: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """All blocks of each tile joined; a tile is a power of two wide, so that halves make it."""
    for dim in (-2, -1):
        half = 1
        while half < TILE // STEP:
            count = blocks.shape[dim] - half
            blocks = join(blocks.narrow(dim, 0, count), blocks.narrow(dim, half, count))
            half *= 2
    return blocks
