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
from nacd_bench.ops.planes import blockwise, log_
from nacd_bench.ops.strips import Plane, assembled, strips

NOISE = 2.0 / 255**2
"""Variance of the eye's noise."""
LEAST_VARIANCE = 1e-8 / 255**2
"""Up to this a window is flat: float64 leaves a thousandth where there is nothing."""
LEAST_INFORMATION = 1e-8
"""Added to both sums, which are 0 of a flat original."""
SCALES = (17, 9, 5, 3)
"""Sides of the Gaussian windows; their standard deviation is a fifth of that."""
VIF_SIDE = 41
"""Smallest height and width: the window fits at the coarsest scale."""


def vif(original: Plane, test: Plane) -> Tensor:
    """VIF of float64 luma planes ``(B, 1, H, W)`` on [0, 1], ``(B,)``; higher is better.

    1 for a flat original: it has no information that could be lost.
    """
    planes: Sequence[Plane] = [original, test]
    passed, sent = [], []
    for side in SCALES:
        if side != SCALES[0]:
            half = partial(_half, side=side)
            planes = [assembled(half, plane, window=side, step=2) for plane in planes]
        for _, (x, y) in strips(*planes, window=side):
            mean = partial(_mean, side=side)
            _, _, vx, vy, covariance = moments(x, y, mean)
            passed.append(blockwise(_passed, 1, vx, vy, covariance).sum(dim=(1, 2, 3)))
            sent.append(blockwise(_sent, 1, vx).sum(dim=(1, 2, 3)))
    through, whole = (
        torch.stack(sums).sum(dim=0).add_(LEAST_INFORMATION) for sums in (passed, sent)
    )
    return through / whole


def _passed(vx: Tensor, vy: Tensor, covariance: Tensor) -> Tensor:
    """Information that windows ``(B, 1, n)`` of the test have of the original's."""
    shared = covariance.clamp(min=0).mul_(vy > LEAST_VARIANCE)
    gain = shared / vx.clamp(min=LEAST_VARIANCE)
    noise = torch.addcmul(vy, gain, shared, value=-1).clamp_(min=0).add_(NOISE)
    seen = torch.threshold(vx, LEAST_VARIANCE, 0)
    return log_(gain.square_().mul_(seen).div_(noise).add_(1))


def _sent(vx: Tensor) -> Tensor:
    """Information that windows of the original have."""
    return log_(torch.threshold(vx, LEAST_VARIANCE, 0).div_(NOISE).add_(1))


def _half(x: Tensor, side: int) -> Tensor:
    return _mean(x, side)[..., ::2, ::2]


def _mean(x: Tensor, side: int) -> Tensor:
    """Over the Gaussian windows that lie inside the plane."""
    half = side // 2
    return gaussian_blur(x, side, side / 5)[..., half:-half, half:-half]
