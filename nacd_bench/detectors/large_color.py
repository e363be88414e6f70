"""Colour shifts over large areas.

Paper section 3.3, eq. 13-17. CIEDE2000 between original and decode, kept between 3 (visible) and
8 (where it no longer measures small differences), averaged over windows.

Open in the paper and decided here: CIEDE2000 is a distance, so "neural is worse" is neural minus
traditional, against the sign of eq. 15 as printed. Setting values over 8 to 0 hides strong errors:
a flat shift of 11 scores 0. ``outliers="clip"`` counts them as 8 instead.

The preset ``released`` follows the authors' code, its slips included: :func:`released_lab`, a hue
term shifted by 39 instead of 30 degrees, and means of each decode under 3 set to 0 before the two
are compared. ``recommended`` clips, at 16.

``large_color_clip`` is ``large_color`` with ``outliers="clip"`` from the start, so that the two
stand side by side in a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nacd_bench.detectors.color_differences import decided
from nacd_bench.detectors.windows import WindowDetector
from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import lab
from nacd_bench.ops.planes import blockwise
from nacd_bench.settings import NotNegative, Number, Positive
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import HeatMap

Outliers = Literal["zero", "clip"]
"""What a difference over ``high`` becomes: 0 (eq. 14) or ``high``."""


def kept(difference: Tensor, low: float, high: float, outliers: Outliers) -> Tensor:
    """CIEDE2000 values under ``low`` set to 0, those over ``high`` to 0 or to ``high`` (eq. 14).

    >>> kept(torch.tensor([2.0, 5.0, 11.0]), 3, 8, "clip").tolist()
    [0.0, 5.0, 8.0]
    """
    is_over = difference >= low  # a product by it takes a quarter of the time of masked_fill
    if outliers == "clip":
        return (difference * is_over).clamp_(max=high)
    return difference * (is_over & (difference <= high))


def released_lab(image: Tensor) -> Tensor:
    """Lab ``(B, 3, H, W)`` as the released code has it.

    Red and blue change places, sRGB's knee is at 0.0405, and the cube-root function is 0 at 0, so
    that black has L = -16.
    """
    return lab(image.flip(1), knee=0.0405, dark_is_zero=True)


def _released_differences(batch: TripletBatch) -> Tensor:
    """CIEDE2000 of both decodes as the released code has it: ``(B, 2, H, W)``."""

    def of_pixels(*images: Tensor) -> Tensor:
        original, *decodes = (released_lab(image) for image in images)
        both = [ciede2000(original, decode, hue_shift=39.0, drop_gray=True) for decode in decodes]
        return torch.cat(both, dim=1)

    return blockwise(of_pixels, 2, *batch.images)


@dataclass(eq=False, repr=False)
class LargeColor(WindowDetector):
    """Colour shifts over large areas (3.3).

    Args:
        window, stride, padding, region: see :class:`WindowDetector` (eq. 16).
        low, high: the CIEDE2000 values that count (eq. 14).
        outliers: ``zero`` (paper) or ``clip``, see the module's docstring.
        released_formula: the released code's Lab, hue term and treatment of gray.
        mean_floor: window means of each decode under this become 0 before they are compared.
        scale: divides the confidence.
    """

    name = "large_color"
    artifact_type = "color"
    heat_map_range = (0.0, 4.0)
    presets = {
        "released": {
            "window": 64,
            "stride": 1,
            "padding": "same",
            "released_formula": True,
            "mean_floor": 3.0,
            "scale": 8.0,
        },
        "recommended": {"outliers": "clip", "high": 16.0, "stride": 32, "region": 128},
    }

    stride: Number = 64
    low: NotNegative = 3.0
    high: NotNegative = 8.0
    outliers: Outliers = "zero"
    released_formula: bool = False
    mean_floor: NotNegative = 0.0
    scale: Positive = 1.0

    def heat_map(self, batch: TripletBatch) -> HeatMap:
        strips = (self._kept(strip.batch) for strip in batch.strips())
        return self.means(strips, batch.height, batch.width, self._worse)

    def _kept(self, batch: TripletBatch) -> Tensor:
        """What counts of the neural and of the traditional decode's difference: two channels."""
        differences = (
            batch.once(_released_differences)
            if self.released_formula
            else decided(batch, self.low, self.high)
        )
        return blockwise(
            lambda both: kept(both, self.low, self.high, self.outliers), 2, differences
        )

    def _worse(self, means: Tensor) -> Tensor:
        neural, traditional = self._floored(means).unbind(1)
        return ((neural - traditional) / self.scale).float()  # eq. 15, our sign

    def _floored(self, means: Tensor) -> Tensor:
        return torch.where(means >= self.mean_floor, means, 0.0) if self.mean_floor else means


@dataclass(eq=False, repr=False)
class ClippedLargeColor(LargeColor):
    """Colour shifts over large areas, where a strong one counts as the highest, not as none."""

    name = "large_color_clip"
    presets = {}

    outliers: Outliers = "clip"
