"""Differences in CIE Lab that the detectors of colour share.

Made block by block from the images: Lab planes of three images are 24 times as large as these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import lab
from nacd_bench.ops.planes import blockwise
from nacd_bench.triplets.batch import TripletBatch

LAB_SCALE = 255.0


def lab_differences(batch: TripletBatch) -> Tensor:
    """CIEDE2000 of the neural and of the traditional decode, and :func:`residual` of a and b on
    [0, 1] of both: ``(B, 4, H, W)`` float64."""

    def of_pixels(original: Tensor, *decodes: Tensor) -> Tensor:
        reference, distances, of_ab = lab(original), [], []
        for decode in decodes:  # one after the other: planes of all do not fit into a cache
            planes = lab(decode)
            distances.append(ciede2000(reference, planes))
            of_ab.append(_ab_residual(reference, planes))
        return torch.cat(distances + of_ab, dim=1)

    return blockwise(of_pixels, 4, *batch.images)


def ab_residuals(batch: TripletBatch) -> Tensor:
    """The last two of :func:`lab_differences`."""

    def of_pixels(original: Tensor, *decodes: Tensor) -> Tensor:
        reference = lab(original)
        return torch.cat([_ab_residual(reference, lab(decode)) for decode in decodes], dim=1)

    return blockwise(of_pixels, 2, *batch.images)


def _ab_residual(reference: Tensor, planes: Tensor) -> Tensor:
    return residual(reference[:, 1:], planes[:, 1:]).div_(LAB_SCALE)


def residual(chroma: Tensor, other: Tensor) -> Tensor:
    """Sum of absolute differences in two channels: ``(B, 2, n)`` to ``(B, 1, n)``."""
    first, second = (chroma - other).abs_().split(1, dim=1)
    return first.add_(second)
