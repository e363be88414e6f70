"""Differences in CIE Lab that the detectors of colour share.

Made block by block from the images: Lab planes of three images are many times as large as these.
CIEDE2000 takes most of the time; on a CPU it is in float32, of Lab in float64, and once more in
float64 where a limit is near. A GPU, which would have to be waited for to find those places, takes
float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import lab
from nacd_bench.ops.planes import blockwise, on_cpu
from nacd_bench.triplets.batch import TripletBatch

LAB_SCALE = 255.0

NEAR = 1e-3
"""How far from a limit float32 has CIEDE2000 on its side: its error is up to 2e-5 for differences
under 16, and 3e-4 for any."""


def lab_differences(batch: TripletBatch) -> Tensor:
    """CIEDE2000 of the neural and of the traditional decode, and :func:`residual` of a and b on
    [0, 1] of both: ``(B, 4, H, W)``."""

    def of_pixels(original: Tensor, *decodes: Tensor) -> Tensor:
        reference = _lab(original)
        pairs = [
            (ciede2000(reference, planes), _ab_residual(reference, planes))
            for planes in map(_lab, decodes)  # one decode after the other: a GPU makes them whole
        ]
        return torch.cat([plane for of_kind in zip(*pairs, strict=True) for plane in of_kind], 1)

    return blockwise(of_pixels, 4, *batch.images)


def ab_residuals(batch: TripletBatch) -> Tensor:
    """The last two of :func:`lab_differences`."""

    def of_pixels(original: Tensor, *decodes: Tensor) -> Tensor:
        reference = _lab(original)
        return torch.cat([_ab_residual(reference, planes) for planes in map(_lab, decodes)], 1)

    return blockwise(of_pixels, 2, *batch.images)


def _lab(image: Tensor) -> Tensor:
    planes = lab(image)
    return planes.float() if on_cpu(planes) else planes


def decided(batch: TripletBatch, low: float, high: float) -> Tensor:
    """CIEDE2000 of :func:`lab_differences`, on that side of both limits where float64 has it:
    ``(B, 2, H, W)``. What the batch keeps of them gets more exact there."""
    differences = batch.once(lab_differences)[:, :2]
    if not on_cpu(differences):
        return differences
    middle, half = (high + low) / 2, (high - low) / 2

    def is_near(both: Tensor) -> Tensor:
        distance = (both - middle).abs_().sub_(half).abs_() < NEAR
        return distance[:, :1] | distance[:, 1:]

    places = np.flatnonzero(blockwise(is_near, 1, differences).numpy())
    if len(places):
        image, y, x = np.unravel_index(places, (len(batch), batch.height, batch.width))
        original, *decodes = (lab(each[image, :, y, x][..., None]) for each in batch.images)
        both = torch.cat([ciede2000(original, decode)[:, 0] for decode in decodes], dim=1)
        differences[image, :, y, x] = rounded(both, low, high)
    return differences


def rounded(exact: Tensor, low: float, high: float) -> Tensor:
    """Float32 of values that stays under ``low`` and over ``high`` where they do.

    >>> rounded(torch.tensor([8 - 1e-9, 8 + 1e-9], dtype=torch.float64), 3, 8) > 8
    tensor([False,  True])
    """
    values = exact.float()
    below, above = (values.nextafter(torch.full_like(values, end)) for end in (0, torch.inf))
    values = torch.where((exact < low) & (values >= low), below, values)
    return torch.where((exact > high) & (values <= high), above, values)


def _ab_residual(reference: Tensor, planes: Tensor) -> Tensor:
    return residual(reference[:, 1:], planes[:, 1:]).div_(LAB_SCALE)


def residual(chroma: Tensor, other: Tensor) -> Tensor:
    """Sum of absolute differences in two channels: ``(B, 2, n)`` to ``(B, 1, n)``."""
    first, second = (chroma - other).abs_().split(1, dim=1)
    return first.add_(second)
