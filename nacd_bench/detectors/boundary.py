"""Broken boundaries: edges of the original whose direction the neural codec changed.

Paper section 3.2, eq. 7-12. On Canny edges of the original, the cosine between the Sobel gradients
of original and decode says how well an edge kept its direction.

Open in the paper and decided here: the thresholds of Canny (0.1 and 0.2 on kornia's scale; they
are a real parameter), and the cosine is signed, so that an edge of inverted contrast counts as
broken; it is 0 where either gradient vanishes.

The preset ``released`` follows the authors' code: :func:`libpng_luma`, blurred gradients, absolute
cosine, 128 x 128 windows that hang over the border. ``recommended`` takes weaker edges too, and
larger windows, as graded data has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nacd_bench.detectors.windows import WindowDetector
from nacd_bench.ops.filters import gaussian_blur, sobel
from nacd_bench.ops.gradients import RIDGE_REACH, Gradient, cosine, hysteresis, ridges
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.ops.planes import on_cpu, rowwise
from nacd_bench.settings import NotNegative, Number
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import HeatMap

SOBEL_SCALE = 1 / 8
"""One over the sum of a Sobel kernel's absolute weights, as in the released code."""


LIBPNG_LUMA = (9794, 19234, 3740)
"""R, G and B in 1/32768, which libpng makes of the 0.2989 and 0.587 that torchvision asks for."""


def libpng_luma(image: Tensor) -> Tensor:
    """Luma on [0, 1] in 8-bit steps, as torchvision reads a colour PNG in gray; deeper is rounded.

    >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    >>> round(libpng_luma(red).item() * 255)
    76
    """
    levels = image if image.dtype == torch.uint8 else (image * 255).round()
    red, green, blue = levels.int().split(1, dim=1)
    r, g, b = LIBPNG_LUMA
    return ((red * r + green * g + blue * b) >> 15).double().div_(255).float()


@dataclass(eq=False, repr=False)
class Boundary(WindowDetector):
    """Edges that changed direction (3.2).

    Args:
        window, stride, padding, region: see :class:`WindowDetector` (eq. 11).
        canny_low, canny_high: hysteresis thresholds on the Sobel magnitude (weights 1 2 1) of
            luma in [0, 1], blurred 5 x 5 with sigma 1.
        gradient_blur: standard deviation in pixels of a 3 x 3 blur of each gradient; 0 is none.
        absolute: True takes the cosine's absolute value, so that inverted edges count as kept.
        epsilon: added to the product of the gradients' lengths (on gradients divided by 8).
        truncated_luma: True works on :func:`libpng_luma` instead of exact luma.
    """

    name = "boundary"
    artifact_type = "texture"
    min_size = (3, 3)  # the 5 x 5 blur of Canny, reflected
    heat_map_range = (0.0, 0.1)
    presets = {
        "released": {
            "window": 128,
            "stride": 1,
            "gradient_blur": 1.0,
            "absolute": True,
            "epsilon": 1e-7,
            "padding": "same",
            "truncated_luma": True,
        },
        "recommended": {"window": 64, "canny_low": 0.05, "canny_high": 0.1, "region": 64},
    }

    window: Number = 32
    stride: Number = 16
    canny_low: NotNegative = 0.1
    canny_high: NotNegative = 0.2
    gradient_blur: NotNegative = 0.0
    absolute: bool = False
    epsilon: NotNegative = 0.0
    truncated_luma: bool = False

    def heat_map(self, batch: TripletBatch) -> HeatMap:
        worse = []
        shape = len(batch), 1, batch.height, batch.width
        marks = torch.empty(shape, dtype=torch.uint8, device=batch.device)
        for strip in batch.strips(RIDGE_REACH):  # gradients reach less far
            planes = strip.batch.planes(libpng_luma) if self.truncated_luma else strip.batch.y
            maps = rowwise(self._maps, RIDGE_REACH, *planes)
            worse.append(strip.rows(maps[0]))
            marks[:, :, strip.start : strip.stop] = strip.rows(maps[1])
        edges = hysteresis(marks).split([part.shape[2] for part in worse], dim=2)
        if not batch.is_whole:
            give_back_memory()
        strips = (part.mul_(is_edge) for part, is_edge in zip(worse, edges, strict=True))  # eq. 10
        return self.means(strips, batch.height, batch.width)

    def _maps(self, *planes: Tensor) -> tuple[Tensor, Tensor]:
        """How much more neural turned gradients than traditional where edges may be, and where
        that is; of luma."""
        marks = ridges(planes[0], self.canny_low, self.canny_high)
        # few pixels are ridges; a GPU, which would have to be waited for to find them, takes all
        places = torch.arange(marks.numel(), device=marks.device)
        if on_cpu(marks):
            places = torch.from_numpy(np.flatnonzero(marks.numpy() > 0))
        original, neural, traditional = (self._gradient(plane, places) for plane in planes)
        worse = torch.zeros_like(planes[0])
        difference = self._cosine(original, traditional).sub_(self._cosine(original, neural))
        worse.view(-1).index_copy_(0, places, difference)
        return worse, marks

    def _gradient(self, y: Tensor, places: Tensor) -> Gradient:
        gx, gy = sobel(y, SOBEL_SCALE)
        if self.gradient_blur:
            gx, gy = (gaussian_blur(g, 3, self.gradient_blur) for g in (gx, gy))
        return gx.flatten().index_select(0, places), gy.flatten().index_select(0, places)

    def _cosine(self, a: Gradient, b: Gradient) -> Tensor:
        value = cosine(a, b, self.epsilon)
        return value.abs_() if self.absolute else value
