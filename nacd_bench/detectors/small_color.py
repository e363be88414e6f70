"""Colour artifacts in small areas: spots whose residual varies more than the traditional one's.

Paper section 3.4, eq. 18-25, after LDL (Liang, Zeng, Zhang, "Details or artifacts", 2022, eq.
2-4). The local variance of the residual, weighted by the residual's overall variance, must be
larger for neural in both chroma spaces, UV and ab.

Open in the paper and decided here: a and b are divided by 255 so that all channels are on [0, 1];
the threshold 0.0015 means nothing on other scales, since S grows as scale^2.4. Boxes are the
bounding rectangles of the outer contours. The score of an image without a box is the largest value
that both spaces reach, which is under the threshold.

The released code lacks this method. ``recommended`` lowers the threshold, so that real decodes have
boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.detectors.base import Detector
from nacd_bench.detectors.color_differences import ab_residuals, lab_differences, residual
from nacd_bench.ops.color import chroma
from nacd_bench.ops.filters import local_variance
from nacd_bench.ops.planes import blockwise
from nacd_bench.settings import Number
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, HeatMap


def residuals_of_picture(batch: TripletBatch) -> list[Tensor]:
    """R (eq. 18) on [0, 1] in UV and in ab, of neural and traditional: each ``(B, 2, H, W)``."""
    return [_uv_residuals(batch), batch.once(lab_differences)[:, 2:]]


def residuals_of_strip(batch: TripletBatch) -> list[Tensor]:
    """The same where no other detector works on this part of the picture."""
    return [_uv_residuals(batch), ab_residuals(batch)]


def _uv_residuals(batch: TripletBatch) -> Tensor:
    def of_pixels(original: Tensor, *decodes: Tensor) -> Tensor:
        reference = chroma(original)
        return torch.cat([residual(reference, chroma(decode)) for decode in decodes], dim=1)

    return blockwise(of_pixels, 2, *batch.images)


def sums(maps: Tensor) -> Tensor:
    """How many values maps ``(B, C, ...)`` have, their sum and that of squares: ``(3, B, C)``."""
    values = maps.flatten(2)
    total = values.sum(dim=2, dtype=torch.float64)
    count = torch.full_like(total, values.shape[2])
    squares = torch.linalg.vector_norm(values, dim=2, dtype=torch.float64).square_()
    return torch.stack([count, total, squares])


def overall(sums: Tensor) -> Tensor:
    """sigma (eq. 20-21) of residuals by their :func:`sums`: ``(B, C)`` float64."""
    count, total, squares = sums
    return ((squares - total**2 / count) / (count - 1)).clamp_(min=0) ** 0.2


def artifact_map(residuals: Tensor, sigmas: Tensor, window: int) -> Tensor:
    """S (eq. 19-22) of neural minus that of traditional, ``(B, 1, H, W)`` float32.

    Args:
        residuals: of both, ``(B, 2, H, W)``.
        sigmas: their overall sigma ``(B, 2)``.
    """
    of_neural, of_traditional = sigmas[..., None].split(1, dim=1)

    def difference(variances: Tensor) -> Tensor:
        neural, traditional = variances.split(1, dim=1)
        return neural.mul_(of_neural).sub_(traditional.mul_(of_traditional)).float()

    return local_variance(residuals, window, difference)


@dataclass(eq=False, repr=False)
class SmallColor(Detector):
    """Colour artifacts in small areas (3.4).

    Args:
        window: side in pixels (odd) of the window of the local variance (eq. 19).
        threshold: difference of S that both chroma spaces must exceed (eq. 24).
    """

    name = "small_color"
    artifact_type = "color"
    min_size = (3, 3)  # a variance needs more than one pixel
    heat_map_range = (0.0, 0.003)
    presets = {"recommended": {"threshold": 0.0001}}

    window: Number = 33
    threshold: float = 0.0015

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        both, either = self.maps(batch)
        masks = (both > self.threshold).byte().cpu().numpy()  # both transfers wait for a GPU
        boxes = [_rectangles(mask) for mask in masks]
        inside = [
            plane[y0:y1, x0:x1].amax()
            for plane, of_image in zip(either, boxes, strict=True)
            for x0, y0, x1, y1 in of_image.tolist()
        ]
        values = torch.stack([*both.flatten(1).amax(dim=1), *inside]).cpu()
        without, *confidences = values.split([len(boxes), *map(len, boxes)])
        orders = [values.argsort(descending=True, stable=True) for values in confidences]
        boxes = [of_image[order] for of_image, order in zip(boxes, orders, strict=True)]
        confidences = [of_image[order] for of_image, order in zip(confidences, orders, strict=True)]
        scores = [c[0] if len(c) else low for c, low in zip(confidences, without, strict=True)]
        rows, columns = torch.arange(batch.height), torch.arange(batch.width)
        heat_map = HeatMap(both, rows, columns, (1, 1))
        return DetectionBatch(torch.stack(scores), boxes, confidences, heat_map)

    def maps(self, batch: TripletBatch) -> tuple[Tensor, Tensor]:
        """What both chroma spaces reach, and what either does, each ``(B, H, W)``."""
        is_whole = next(batch.strips()).batch is batch
        spaces = residuals_of_picture if is_whole else residuals_of_strip
        parts = [[sums(maps) for maps in s.batch.once(spaces)] for s in batch.strips()]
        sigmas = [overall(torch.stack(of_space).sum(0)) for of_space in zip(*parts, strict=True)]
        shape = (2, len(batch), batch.height, batch.width)
        both, either = torch.empty(shape, device=batch.device)
        for strip in batch.strips(self.window, smaller=2):
            of_spaces = zip(strip.batch.once(spaces), sigmas, strict=True)
            uv, ab = (
                strip.rows(artifact_map(*of_space, self.window))[:, 0] for of_space in of_spaces
            )
            torch.minimum(uv, ab, out=both[:, strip.start : strip.stop])
            torch.maximum(uv, ab, out=either[:, strip.start : strip.stop])
        return both, either


def _rectangles(mask: NDArray[np.uint8]) -> Tensor:
    """Bounding rectangles ``(n, 4)`` of a mask's outer contours (eq. 25)."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, contours)]
    return torch.tensor(corners, dtype=torch.int64).view(-1, 4)
