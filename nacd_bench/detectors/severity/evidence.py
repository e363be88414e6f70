"""From maps of faults to what a severity is predicted from, per place and per tile.

A place is a cell of 8 x 8 pixels with its neighbourhood: every fault smoothed at two widths, as it
is and as far as it exceeds the same fault of the other decode. A tile of 512 x 512 pixels is told
by the power means of its cells, from the plain mean (how much of the tile) to the maximum (how
strong). Beyond the picture's border nothing is at fault, so that a picture on a larger canvas says
the same as the picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.detectors.severity.maps import CELL, chroma_faults, luma_faults
from nacd_bench.ops.color import luma
from nacd_bench.ops.filters import gaussian_kernel

WIDTHS = (1.0, 4.0)
"""Standard deviations of the neighbourhoods in cells: 8 and 32 pixels."""

POWERS = (1, 2, 4, 8)
"""Of the means over a tile; the maximum comes after them."""

MAPS = 56
PLACES = MAPS * 2 * len(WIDTHS)
"""Numbers that tell a place."""

STATISTICS = len(POWERS) + 1
"""Numbers that each of them gives for a tile."""

TILE = 512 // CELL
STRIDE = 64 // CELL
"""Side of a tile and step between tiles, in cells."""


def faults(original: Tensor, decode: Tensor) -> Tensor:
    """All maps of one decode: sRGB ``(B, 3, H, W)`` on [0, 1] to ``(B, 56, h, w)``."""
    return torch.cat(
        [luma_faults(luma(original), luma(decode)), chroma_faults(original, decode)], 1
    )


def places(own: Tensor, other: Tensor) -> Tensor:
    """Evidence at each cell: two maps ``(B, C, h, w)`` to ``(B, 4 C, h, w)``, at least 0."""
    evidence = []
    for width in WIDTHS:
        first, second = smoothed(own, width), smoothed(other, width)
        evidence += [first, (first - second).clamp(min=0)]
    return torch.cat(evidence, 1)


def smoothed(maps: Tensor, width: float) -> Tensor:
    """Gaussian means over cells; nothing lies beyond the border."""
    reach = round(3 * width)
    kernel = gaussian_kernel(2 * reach + 1, width).to(maps)
    planes = maps.flatten(0, 1)[:, None]
    planes = F.conv2d(planes, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    planes = F.conv2d(planes, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return planes.view_as(maps)


def tiles(evidence: Tensor) -> Tensor:
    """Power means of ``(B, K, h, w)`` in overlapping tiles: ``(B, T, K, 5)``."""
    missing = [max(0, TILE - side) for side in evidence.shape[-2:]]
    for index, side in enumerate(evidence.shape[-2:]):
        if side > TILE:
            missing[index] = -(side - TILE) % STRIDE
    padded = F.pad(evidence, (0, missing[1], 0, missing[0]))
    means = [
        F.avg_pool2d(padded**power, TILE, STRIDE).clamp(min=0) ** (1 / power) for power in POWERS
    ]
    return (
        torch.stack([*means, F.max_pool2d(padded, TILE, STRIDE)], -1).flatten(2, 3).transpose(1, 2)
    )
