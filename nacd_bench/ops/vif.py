"""Visual information fidelity in the pixel domain.

Sheikh, Bovik, "Image information and visual quality", 2006, in the authors' multi-scale form on
pixels (``vifp_mscale.m``): at each of four scales the test is taken for a blurred, dimmed and noisy
copy of the original, ``test = g original + noise``, window by window, and the value is the share of
the original's information that comes through. More contrast than the original's gives more than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nacd_bench.ops.filters import gaussian_blur, moments
from nacd_bench.ops.planes import blockwise
from nacd_bench.ops.strips import Plane, assembled, strips

NOISE = 2.0
"""Variance of the eye's noise, on 0..255."""
LEAST_VARIANCE = 1e-8
"""Under this, on 0..255, a window is flat: float64 leaves 1e-11 where there is nothing."""
SCALES = (17, 9, 5, 3)
"""Sides of the Gaussian windows; their standard deviation is a fifth of that."""
VIF_SIDE = 41
"""Smallest height and width: the window fits at the coarsest scale."""


def vif(original: Plane, test: Plane) -> Tensor:
    """VIF of float64 luma planes ``(B, 1, H, W)`` on [0, 1], ``(B,)``; higher is better.

    1 for a flat original: it has no information that could be lost.
    """
    planes: Sequence[Plane] = [original, test]
    sums = []
    for side in SCALES:
        if side != SCALES[0]:
            half = partial(_half, side=side)
            planes = [assembled(half, plane, window=side, step=2) for plane in planes]
        for _, (x, y) in strips(*planes, window=side):
            mean = partial(_mean, side=side)
            _, _, vx, vy, covariance = moments(x * 255, y * 255, mean)
            sums.append(blockwise(_information, 2, vx, vy, covariance).sum(dim=(2, 3)))
    passed, sent = torch.stack(sums).sum(dim=0).add_(LEAST_VARIANCE).unbind(1)
    return passed / sent


def _information(vx: Tensor, vy: Tensor, covariance: Tensor) -> Tensor:
    """Of windows ``(B, 1, n)``: what comes through to the test, and all, ``(B, 2, n)``."""
    is_seen = (vx >= LEAST_VARIANCE) & (vy >= LEAST_VARIANCE) & (covariance > 0)
    gain = torch.where(is_seen, covariance / vx, 0)
    noise = (vy - gain * covariance).clamp_(min=0).add_(NOISE)
    vx = torch.where(vx >= LEAST_VARIANCE, vx, 0)
    through = gain.square_().mul_(vx).div_(noise)
    return torch.cat([through, (vx / NOISE).expand_as(through)], dim=1).log1p_()


def _half(x: Tensor, side: int) -> Tensor:
    return _mean(x, side)[..., ::2, ::2]


def _mean(x: Tensor, side: int) -> Tensor:
    """Over the Gaussian windows that lie inside the plane."""
    half = side // 2
    return gaussian_blur(x, side, side / 5)[..., half:-half, half:-half]
