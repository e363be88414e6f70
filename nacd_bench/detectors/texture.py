"""Texture artifacts: structure that the neural codec lost or invented in textured areas.

Paper section 3.1, eq. 1-6. The structure map is MS-SSIM of luma, masked to where the original has
gradients (its spatial information), and the difference of the two codecs is averaged over windows.

Open in the paper and decided here: the mask is >= 0.05 on Sobel weights 1 2 1 that are not
normalised, on luma in [0, 1]; windows have the stride 1.

The preset ``released`` follows the authors' code instead: SSIM with a uniform window, no mask, the
negative differences set to 0 before a 32 x 32 mean that hangs over the border.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from nacd_bench.detectors.base import Detector
from nacd_bench.detectors.windows import Padding, strongest_window, window_means
from nacd_bench.ops.boxes import REGION
from nacd_bench.ops.filters import sobel
from nacd_bench.ops.planes import blockwise
from nacd_bench.ops.structure import msssim_maps, uniform_ssim_map
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch

Structure = Literal["ms_ssim", "uniform_ssim"]


def textured(values: Tensor, y: Tensor, si_threshold: float) -> Tensor:
    """Values ``(B, 1, H, W)``, 0 where the Sobel magnitude of luma is too small (eq. 1-2)."""
    return blockwise(
        lambda v, gx, gy: v * ((gx * gx).addcmul_(gy, gy) >= si_threshold**2), 1, values, *sobel(y)
    )


class Texture(Detector):
    """Loss of structure in textured areas (3.1).

    Args:
        si_threshold: Sobel magnitude on luma in [0, 1] from which a pixel counts as texture
            (eq. 2); 0 takes every pixel.
        window: side in pixels of the averaging window (eq. 5).
        stride: step in pixels between windows.
        structure: ``ms_ssim`` (paper) or ``uniform_ssim`` (released code).
        padding: ``valid`` keeps windows inside the image, ``same`` lets them hang over.
        keep_negative: False sets differences in favour of neural to 0 before the mean.
        region: side in pixels of the reported box.
    """

    name = "texture"
    artifact_type = "texture"
    paper_section = "3.1"
    heat_map_range = (0.0, 0.05)
    presets = {
        "released": {
            "si_threshold": 0.0,
            "window": 32,
            "structure": "uniform_ssim",
            "padding": "same",
            "keep_negative": False,
        }
    }

    def __init__(
        self,
        si_threshold: float = 0.05,
        window: int = 128,
        stride: int = 1,
        structure: Structure = "ms_ssim",
        padding: Padding = "valid",
        keep_negative: bool = True,
        region: int = REGION,
    ) -> None:
        super().__init__()
        self.si_threshold = si_threshold
        self.window = window
        self.stride = stride
        self.structure = structure
        self.padding: Padding = padding
        self.keep_negative = keep_negative
        self.region = region

    @property
    def min_size(self) -> tuple[int, int]:
        return (11, 11)  # the window of SSIM

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        y = batch.y
        if self.structure == "ms_ssim":
            neural, traditional = msssim_maps(y.original, [y.neural, y.traditional])
        else:
            neural, traditional = (
                uniform_ssim_map(y.original, test) for test in (y.neural, y.traditional)
            )
        worse = traditional.sub_(neural)  # eq. 4
        if self.si_threshold > 0:
            worse = textured(worse, y.original, self.si_threshold)
        if not self.keep_negative:
            worse.clamp_(min=0)
        heat_map = window_means(worse, self.window, self.stride, self.padding)
        return strongest_window(heat_map, batch.height, batch.width, self.region, self.padding)
