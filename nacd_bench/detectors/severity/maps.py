"""Where a decode departs from its original, in ways that a viewer sees: maps of faults.

Every map is at least 0, larger is worse, and is averaged over cells of 8 x 8 pixels. Luma is
compared at four scales (halved three times), by the moments of SSIM (Wang, Bovik, Sheikh,
Simoncelli, "Image quality assessment: from error visibility to structural similarity", 2004);
chroma at scales of 2, 4, 8 and 16 pixels, since a viewer sees the colour of places, not of pixels.

Chroma is compared a second time after it was doubled within the limits of sRGB: a faint cast on
gray grows, an error in a colour that is saturated already does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import LUMA, chroma, lab
from nacd_bench.ops.filters import gaussian_blur, halve, moments, sobel
from nacd_bench.ops.structure import GAUSSIAN, SIGMA

CELL = 8
"""Side in pixels of a map's cells."""

LUMA_SCALES = 4
CHROMA_SCALES = (1, 2, 3, 4)
"""Halvings before luma (0 to 3) and chroma are compared."""

STABLE = 1e-4
"""Keeps ratios of variances of luma on [0, 1] finite: a deviation of 2.5 levels of 255."""


def luma_faults(original: Tensor, decode: Tensor) -> Tensor:
    """Of luma ``(B, 1, H, W)`` on [0, 1]: ``(B, 30, h, w)`` in cells.

    At each scale: contrast-structure, energy lost and energy invented (log ratios of deviations),
    deviation of the error, energy of each side that the other does not explain, error of the mean;
    at the two finest the dissimilarity of gradients.
    """
    maps = []
    for scale in range(LUMA_SCALES):
        if scale:
            original, decode = halve(original), halve(decode)
        cell = CELL >> scale
        maps += [in_cells(fault, cell) for fault in _structure_faults(original, decode)]
        if scale < 2:
            maps.append(in_cells(_gradient_fault(original, decode), cell))
    return torch.cat(maps, 1)


def _structure_faults(original: Tensor, decode: Tensor) -> Iterator[Tensor]:
    mx, my, vx, vy, cov = moments(
        original, decode, lambda plane: gaussian_blur(plane, GAUSSIAN, SIGMA)
    )
    vx, vy = vx.clamp(min=0), vy.clamp(min=0)
    yield 1 - (2 * cov + STABLE) / (vx + vy + STABLE)
    ratio = 0.5 * ((vx + STABLE) / (vy + STABLE)).log()
    yield ratio.clamp(min=0)
    yield (-ratio).clamp(min=0)
    yield (vx + vy - 2 * cov).clamp(min=0).sqrt()
    yield (vy - cov * cov / (vx + STABLE)).clamp(min=0).sqrt()
    yield (vx - cov * cov / (vy + STABLE)).clamp(min=0).sqrt()
    yield (mx - my).abs()


def _gradient_fault(original: Tensor, decode: Tensor) -> Tensor:
    first, second = (torch.hypot(*sobel(plane)) for plane in (original, decode))
    return 1 - (2 * first * second + 0.01) / (first * first + second * second + 0.01)


def chroma_faults(original: Tensor, decode: Tensor) -> Tensor:
    """Of sRGB ``(B, 3, H, W)`` on [0, 1]: ``(B, 26, h, w)`` in cells.

    At each scale the distance in the plane of BT.601's U and V, that distance relative to chroma,
    colour lost, hue turned; up to 8 pixels CIEDE2000 of chroma alone and with chroma doubled; at 4
    and 8 pixels the distance beside the original's own variation of chroma and of luma.
    """
    height, width = (-(-side // CELL) for side in original.shape[-2:])
    y, uv = _luma(original), chroma(original)
    varied = [in_cells(plane * plane, CELL) - in_cells(plane, CELL) ** 2 for plane in (uv, y)]
    spread = [v.clamp(min=0).sum(1, keepdim=True).sqrt() for v in varied]
    maps = []
    for scale in CHROMA_SCALES:
        original, decode = halve(original), halve(decode)
        faults = list(_cast_faults(chroma(original), chroma(decode)))
        if scale < 4:
            faults += [_chroma_difference(original, decode, gain) for gain in (1.0, 2.0)]
        cells = [in_cells(fault, max(1, CELL >> scale)) for fault in faults]
        if scale in (2, 3):
            cells += [cells[0] / (deviation + 0.03) for deviation in spread]
        if scale == 4:
            cells = [F.interpolate(c, size=(height, width), mode="nearest") for c in cells]
        maps += cells
    return torch.cat(maps, 1)


def _cast_faults(original: Tensor, decode: Tensor) -> Iterator[Tensor]:
    distance = (original - decode).norm(dim=1, keepdim=True)
    first, second = (plane.norm(dim=1, keepdim=True) for plane in (original, decode))
    yield distance
    yield distance / (torch.maximum(first, second) + 0.02)
    yield (first - second).clamp(min=0) / (first + 0.03)
    yield (distance**2 - (first - second) ** 2).clamp(min=0).sqrt()


def _chroma_difference(original: Tensor, decode: Tensor, gain: float) -> Tensor:
    """CIEDE2000 of the colours alone: both get the original's lightness."""
    first, second = (lab(_with_chroma(image, gain)) for image in (original, decode))
    second[:, 0] = first[:, 0]
    return ciede2000(first, second).to(original.dtype)


def _with_chroma(image: Tensor, gain: float) -> Tensor:
    y = _luma(image)
    return image if gain == 1 else (y + gain * (image - y)).clamp(0, 1)


def _luma(image: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def in_cells(plane: Tensor, cell: int) -> Tensor:
    """Means over ``cell x cell`` values; cells at the border average what they hold."""
    return F.avg_pool2d(plane, cell, ceil_mode=True) if cell > 1 else plane
