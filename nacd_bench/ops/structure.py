"""Structural similarity: SSIM and multi-scale SSIM, as values and per pixel.

Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", 2003;
planes are on [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nacd_bench.ops.filters import Rows, enlarge, gaussian_blur, halve, moments, uniform_mean
from nacd_bench.ops.planes import blockwise, power_
from nacd_bench.ops.strips import Plane, assembled, strips

C1 = 0.01**2
C2 = 0.03**2
"""Stabilisers (K L)^2 of the luminance and the contrast-structure term, data range L = 1."""

GAUSSIAN = 11
SIGMA = 1.5
"""Window of the published SSIM: its size and standard deviation in pixels."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang et al. 2003, sec. 3.2)."""

MSSSIM_SIDE = (GAUSSIAN - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Shorter side from which the window fits at five scales: 161."""


MAP_STEP = 2 ** (len(SCALE_WEIGHTS) - 1)
"""Rows of the picture to one of the coarsest scale."""
MAP_REACH = MAP_STEP * (GAUSSIAN // 2 + 2)
"""Rows around a row that decide about it: at the coarsest scale the window, and one more since
rows of an odd size are not exactly twice as high at the next scale, and one between rows."""


def msssim_maps(
    original: Tensor,
    tests: Sequence[Tensor],
    weights: Sequence[float] = SCALE_WEIGHTS,
    rows: Rows | None = None,
) -> list[Tensor]:
    """Per-pixel MS-SSIM of each test plane against the original.

    At each scale relu(contrast-structure)^w, at the last relu(SSIM)^w, brought to full size
    bilinearly and multiplied. Scales stop when the short side would drop under the window; the
    weights of those that remain are scaled to keep their sum.

    Args:
        original: luma ``(B, 1, H, W)`` on [0, 1], at least 11 x 11.
        tests: planes like it; the work on the original is shared.
        weights: exponents of the scales, fine to coarse.
        rows: what of larger planes these are, from a multiple of :data:`MAP_STEP` on; the maps are
            those of the larger planes but :data:`MAP_REACH` rows next to where they go on.

    Returns:
        one map ``(B, 1, H, W)`` per test, 1 where equal, at least 0.

    >>> x = torch.linspace(0, 1, 400).view(1, 1, 20, 20)
    >>> round(msssim_maps(x, [x])[0].mean().item(), 6)
    1.0
    """
    height, width = original.shape[-2:]
    rows = rows or Rows(0, height)
    scales = _scales(min(rows.height, width), len(weights))
    used = torch.tensor(weights[:scales], dtype=torch.float64)
    used *= sum(weights) / used.sum()
    maps: list[Tensor] = []
    scratch: Tensor | None = None
    for scale, weight in enumerate(used.tolist()):
        if scale:
            original, tests = halve(original), [halve(test) for test in tests]
        mean = _blur(original)
        for i, test in enumerate(tests):
            kinds = _similarity(original, test, mean, with_luminance=scale == scales - 1)
            factor = power_(kinds[:, -1:].contiguous().clamp_(min=0), weight)
            if scale == 0:
                maps.append(factor)
            else:
                scratch = enlarge(factor, height, width, scratch, rows, 2**scale)
                maps[i].mul_(scratch)
    return maps


def ssim(original: Plane, test: Plane) -> Tensor:
    """SSIM as published, at full size: mean over valid windows of ``(B, 1, H, W)``, ``(B,)``.

    As in all metrics here, one original may go with many tests.
    """
    return mean_similarity(original, test)[:, 1]


def ms_ssim(original: Plane, test: Plane, finest: Tensor | None = None) -> Tensor:
    """MS-SSIM as published: the product over five scales of means over valid windows, ``(B,)``.

    Odd sides keep their last row and column between scales, as in the authors' code; piq drops and
    repeats others, which changes the value by up to 2e-3. A scale whose mean is negative counts as
    0: its root would be complex.

    Args:
        original, test: ``(B, 1, H, W)`` on [0, 1], at least :data:`MSSSIM_SIDE` on each side.
        finest: their :func:`mean_similarity` where it is known.
    """
    factors = []
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            original, test = (assembled(halve, plane, step=2) for plane in (original, test))
        means = finest if scale == 0 else None
        means = mean_similarity(original, test) if means is None else means
        mean = means[:, int(scale == len(SCALE_WEIGHTS) - 1)]
        factors.append(mean.clamp(min=0).pow_(weight))
    return torch.stack(factors).prod(dim=0)


def mean_similarity(original: Plane, test: Plane) -> Tensor:
    """Means over valid windows of SSIM's contrast-structure term, and of all of it: ``(B, 2)``."""
    sums = [
        similarity_map(x, y, with_luminance=True).sum(dim=(2, 3))
        for _, (x, y) in strips(original, test, window=GAUSSIAN)
    ]
    height, width = (side - GAUSSIAN + 1 for side in test.shape[-2:])
    return torch.stack(sums).sum(dim=0).div_(height * width)


def similarity_map(original: Tensor, test: Tensor, with_luminance: bool) -> Tensor:
    """:func:`_similarity` in valid windows: ``(B, 1 or 2, H - 10, W - 10)``."""
    half = GAUSSIAN // 2
    similarity = _similarity(original, test, _blur(original), with_luminance)
    return similarity[..., half:-half, half:-half]


def uniform_ssim_map(original: Tensor, test: Tensor, window: int = GAUSSIAN) -> Tensor:
    """SSIM with a uniform window and sample (co)variances: ``(B, 1, H, W)`` float64.

    The form of scikit-image's default; borders are mirrored with the edge pixel.
    """
    mean = partial(uniform_mean, window=window)
    mx, my, vx, vy, covariance = moments(original.double(), test.double(), mean)
    sample = window**2 / (window**2 - 1)
    luminance = (2 * mx * my + C1) / (mx * mx + my * my + C1)
    return luminance * (2 * sample * covariance + C2) / (sample * (vx + vy) + C2)


def _scales(short_side: int, most: int) -> int:
    scales = 1
    while scales < most and (short_side := (short_side + 1) // 2) >= GAUSSIAN:
        scales += 1
    return scales


def _blur(x: Tensor) -> Tensor:
    return gaussian_blur(x, GAUSSIAN, SIGMA)


def _similarity(original: Tensor, test: Tensor, mean: Tensor, with_luminance: bool) -> Tensor:
    """Contrast-structure term of SSIM, and after it all of SSIM if asked: ``(B, 1 or 2, H, W)``.

    2 cov + C2 over var + var' + C2 is 1 minus the variance of the difference over the same. Written
    so, what is lost by subtracting squares of means is not in the small difference from 1, equal
    pictures have exactly 1, and nothing has more.
    """

    def of_pixels(mx: Tensor, my: Tensor, squares: Tensor, errors: Tensor) -> Tensor:
        offset = mx - my
        energy = torch.addcmul(mx * mx, my, my)
        variances = squares.sub(energy).clamp_(min=0).add_(C2)
        value = torch.addcmul(errors, offset, offset, value=-1).clamp_(min=0).div_(variances)
        value = torch.rsub(value, 1)
        if not with_luminance:
            return value
        luminance = offset.square_().div_(energy.add_(C1)).neg_().add_(1)
        return torch.cat([value, luminance.mul_(value)], dim=1)

    squares = _blur(torch.addcmul(original * original, test, test))
    blurs = mean, _blur(test), squares, _blur((original - test).square_())
    return blockwise(of_pixels, 1 + with_luminance, *blurs)
