"""Where a decode departs from its original, in ways that a viewer sees: maps of faults.

Every map is at least 0, larger is worse, and is averaged over cells of 8 x 8 pixels. Luma is
compared at four scales (halved three times), by the moments of SSIM (Wang, Bovik, Sheikh,
Simoncelli, "Image quality assessment: from error visibility to structural similarity", 2004);
chroma at scales of 2, 4, 8 and 16 pixels, since a viewer sees the colour of places, not of pixels.

Chroma is compared a second time after it was doubled within the limits of sRGB: a faint cast on
gray grows, an error in a colour that is saturated already does not.

Some faults are given once more, weighted by what surrounds them in the original: chroma where
chroma is calm, structure by tone. Such a weight is the same for every decode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import chroma, lab, luma
from nacd_bench.ops.filters import gaussian_blur, halve, moments, sobel
from nacd_bench.ops.planes import length, log_, power_, rowwise
from nacd_bench.ops.structure import GAUSSIAN, SIGMA

CELL = 8
"""Side in pixels of a map's cells."""

SURROUND = 13
"""Side in cells of the windows that say whether chroma is calm: 104 pixels."""
CALM = 0.01
"""Deviation of chroma among the cells of a window that is half as calm as one without any."""

LUMA_SCALES = 4
"""How often luma is halved, and compared each time, the first time as it is."""


STABLE = 1e-4
"""Keeps ratios of variances of luma on [0, 1] finite: a deviation of 2.5 levels of 255."""


def _blurred(image: Tensor) -> Tensor:
    """About the mean of two pixels each way, at every pixel."""
    return gaussian_blur(image, 3, 0.85)


CHROMA_SCALES = (((halve,), 4), ((halve,), 2), ((_blurred,), 2), ((halve, _blurred), 1))
"""What makes the next scale of chroma, and how many of its pixels a cell is wide.

Blurred before it is halved: on what grid the picture lies hardly matters then.
"""

TONED = (0, 8)
"""Of luma's maps: contrast-structure at the two finest scales."""
CALMED = (12, 17, 20)
"""Of chroma's maps: the distance at 8 and 16 pixels, CIEDE2000 of doubled chroma at 8."""
MAPS = 30 + 24 + 3 * len(TONED) + len(CALMED)


REACH = 40
"""Rows of pixels around a cell that decide about its faults: luma's window at the coarsest scale,
from a row on that is a multiple of :data:`CELL`."""


def faults(original: Tensor, *decodes: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of decodes, sRGB ``(B, 3, H, W)`` on [0, 1]: ``(B, decodes, MAPS, h, w)``.

    All of them but for :func:`weighted`, which sees further, by the original's chroma in cells
    ``(B, 2, h, w)``: that comes second.
    """
    y = luma(original)
    (brightness, of_luma), (uv, of_chroma) = map(_mean_and_deviation, (y, chroma(original)))
    structure = luma_faults(y, *map(luma, decodes))
    colour = chroma_faults(original, *decodes, varied=[of_chroma, of_luma])
    toned = (structure[:, :, TONED, None] * tones(brightness)[:, None, None]).flatten(2, 3)
    return torch.cat([structure, colour, toned, colour[:, :, CALMED]], 2), uv


def weighted(maps: Tensor, uv: Tensor, height: int, width: int) -> Tensor:
    """:func:`faults` of a picture of that size, weighted in place by how calm the original's chroma
    is, ``(B, 2, h, w)`` in cells, and by how much of each cell lies in the picture."""
    maps[:, :, -len(CALMED) :] *= calm(uv)[:, None]
    return maps.mul_(covered(height, width).to(maps))


def covered(height: int, width: int) -> Tensor:
    """The share of each cell that lies in the picture: ``(h, w)``, 1 but at the last borders.

    >>> covered(12, 8).tolist()
    [[1.0], [0.5]]
    """
    ends = (-height % CELL, -width % CELL)
    rows, columns = (torch.ones(-(-side // CELL)) for side in (height, width))
    rows[-1] -= ends[0] / CELL
    columns[-1] -= ends[1] / CELL
    return rows[:, None] * columns


def luma_faults(original: Tensor, *decodes: Tensor) -> Tensor:
    """Of luma ``(B, 1, H, W)`` on [0, 1]: ``(B, decodes, 30, h, w)`` in cells.

    At each scale: contrast-structure, energy lost and energy invented (log ratios of deviations),
    deviation of the error, energy of each side that the other does not explain, error of the mean;
    at the two finest the dissimilarity of gradients.
    """
    first, others = original, torch.cat(decodes, 1)
    maps: list[Tensor] = []
    for scale in range(LUMA_SCALES):
        if scale:
            first, others = halve(first), halve(others)
        of_scale = partial(_luma_faults, cell=CELL >> scale, with_gradient=scale < 2)
        maps += rowwise(of_scale, CELL, first, others, step=CELL >> scale)
    return torch.stack(maps, 2)


def _luma_faults(original: Tensor, decodes: Tensor, cell: int, with_gradient: bool) -> list[Tensor]:
    faults = [in_cells(fault, cell) for fault in _structure_faults(original, decodes)]
    if with_gradient:
        faults.append(in_cells(_gradient_fault(original, decodes), cell))
    return faults


def _structure_faults(original: Tensor, decodes: Tensor) -> Iterator[Tensor]:
    mx, my, vx, vy, cov = moments(
        original, decodes, lambda plane: gaussian_blur(plane, GAUSSIAN, SIGMA)
    )
    sx, sy, square = vx + STABLE, vy + STABLE, cov * cov
    energy = vx + vy
    yield 1 - (2 * cov + STABLE) / (energy + STABLE)
    ratio = log_(sx / sy).mul_(0.5)
    yield ratio.clamp(min=0)
    yield ratio.neg_().clamp_(min=0)
    yield energy.sub_(cov, alpha=2).clamp_(min=0).sqrt_()
    yield (vy - square / sx).clamp_(min=0).sqrt_()
    yield (vx - square / sy).clamp_(min=0).sqrt_()
    yield (mx - my).abs_()


def _gradient_fault(original: Tensor, decodes: Tensor) -> Tensor:
    first, second = (length(*sobel(plane)) for plane in (original, decodes))
    energy = first * first + second * second
    return 1 - (2 * first * second + 0.01) / energy.add_(0.01)


def chroma_faults(original: Tensor, *decodes: Tensor, varied: Sequence[Tensor]) -> Tensor:
    """Of sRGB ``(B, 3, H, W)`` on [0, 1]: ``(B, decodes, 24, h, w)`` in cells.

    At each scale the distance in the plane of BT.601's U and V, that distance relative to chroma,
    colour lost, hue turned; at 4 and 8 pixels CIEDE2000 of chroma alone and with chroma doubled,
    and the distance beside the original's own variation ``(B, 1, h, w)`` of chroma and of luma.
    """
    images: Sequence[Tensor] = [original, *decodes]
    maps = []
    for scale, (shrinks, cell) in enumerate(CHROMA_SCALES):
        for shrink in shrinks:
            images = [shrink(image) for image in images]
        faults = list(_cast_faults(*(chroma(image) for image in images)))
        if scale in (1, 2):
            faults += [_chroma_difference(images, gain) for gain in (1.0, 2.0)]
        cells = [in_cells(fault, cell) for fault in faults]
        if scale in (1, 2):
            cells += [cells[0] / (deviation + 0.03) for deviation in varied]
        maps += cells
    return torch.stack(maps, 2)


def _mean_and_deviation(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Of each cell, and the standard deviation within it of all channels together
    ``(B, 1, h, w)``.

    Float32 variances, here and in :func:`calm`, change with the order of the sums, and weights are
    fitted to this one.
    """
    square, mean = (F.avg_pool2d(x, CELL, ceil_mode=True) for x in (plane * plane, plane))
    return mean, (square - mean**2).clamp(min=0).sum(1, keepdim=True).sqrt()


def _cast_faults(*colours: Tensor) -> Iterator[Tensor]:
    u, v = torch.stack(colours, 2).unbind(1)
    first, second = _size(u, v).tensor_split([1], 1)
    distance = _size(u[:, :1] - u[:, 1:], v[:, :1] - v[:, 1:])
    yield distance
    yield distance / (torch.maximum(first, second) + 0.02)
    lost = first - second
    yield lost.clamp(min=0) / (first + 0.03)
    yield (distance * distance - lost * lost).clamp_(min=0).sqrt_()


def _size(u: Tensor, v: Tensor) -> Tensor:
    return power_((u * u).add_(v * v), 0.5)


def _chroma_difference(images: Sequence[Tensor], gain: float) -> Tensor:
    """CIEDE2000 of the colours alone: all get the original's lightness."""
    original, *decodes = (lab(_with_chroma(image, gain)).to(image.dtype) for image in images)
    for decode in decodes:
        decode[:, 0] = original[:, 0]
    return torch.cat([ciede2000(original, decode) for decode in decodes], 1)


def _with_chroma(image: Tensor, gain: float) -> Tensor:
    y = luma(image)
    return image if gain == 1 else (y + gain * (image - y)).clamp(0, 1)


def tones(y: Tensor) -> Tensor:
    """How bright, dark and middling cells of such luma are, each 0 to 1: ``(B, 3, h, w)``."""
    return torch.cat([y, (1 - y) ** 2, 4 * y * (1 - y)], 1)


def calm(uv: Tensor) -> Tensor:
    """How little chroma, ``(B, 2, h, w)`` in cells, varies near each: ``(B, 1, h, w)``.

    1 is not at all; half where the deviation is :data:`CALM`. That of the calmest window that holds
    the cell, so that beside a border, or a canvas, the picture's own side decides.
    """
    window = SURROUND
    uv = F.pad(uv, (window // 2,) * 4, mode="reflect")
    mean, square = (F.avg_pool2d(plane, window, 1) for plane in (uv, uv * uv))
    variance = (square - mean * mean).clamp(min=0).sum(1, keepdim=True)
    steady = CALM / (CALM + variance.sqrt())
    return F.max_pool2d(F.pad(steady, (window // 2,) * 4), window, 1)


def in_cells(plane: Tensor, cell: int) -> Tensor:
    """Means over ``cell x cell`` values; cells at the border average what they hold."""
    if cell == 1:
        return plane
    for dim in (-2, -1):  # rows first, which is quick
        side = plane.shape[dim]
        whole = plane.narrow(dim, 0, side // cell * cell).unflatten(dim, (-1, cell)).mean(dim)
        rest = plane.narrow(dim, side // cell * cell, side % cell)
        plane = torch.cat([whole, rest.mean(dim, keepdim=True)], dim) if side % cell else whole
    return plane


def spread(cells: Tensor, width: float, margin: int = 0, rows: range | None = None) -> Tensor:
    """Gaussian means of ``(B, C, h, w)``, also of ``margin`` cells around; 0 lies beyond.

    ``rows`` are those that are wanted, the first of the margin counting as 0.
    """
    reach, height = round(3 * width), cells.shape[2]
    around = reach + margin
    rows = rows or range(height + 2 * margin)
    first, last = rows.start - around, rows.stop + reach - margin
    ends = (around, around, max(0, -first), max(0, last - height))
    padded = F.pad(cells[:, :, max(0, first) : max(0, last)], ends)
    return gaussian_blur(padded, 2 * reach + 1, width)[..., reach:-reach, reach:-reach]
