"""From sRGB to the planes that detectors compare: luma, chroma and CIE Lab.

Images are ``(B, 3, H, W)`` sRGB, ``uint8`` or float in [0, 1]; planes are float32, or float64 for
a float64 image.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import torch
from torch import Tensor

from nacd_bench.ops.planes import blockwise, on_cpu, per_plane, power_

LUMA = (0.299, 0.587, 0.114)
"""Y of R, G, B (ITU-R BT.601)."""

U_SCALE = 0.5 / (1 - 0.114)
V_SCALE = 0.5 / (1 - 0.299)
"""U = U_SCALE (B - Y) and V = V_SCALE (R - Y), both in [-0.5, 0.5] (BT.601, full range)."""

SRGB_KNEE = 0.04045
"""Where the transfer function of sRGB turns from a line to a power (IEC 61966-2-1)."""

XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""X, Y, Z of linear R, G, B (ITU-R BT.709 primaries, D65)."""

WHITE = (0.95047, 1.0, 1.08883)
"""X, Y, Z of the D65 white, 2 degree observer."""

LAB_KNEE = (6 / 29) ** 3
LAB_SLOPE = (29 / 6) ** 2 / 3
"""Below ``LAB_KNEE`` the cube root of CIE Lab is continued by its tangent of this slope."""


def luma(image: Tensor) -> Tensor:
    """Y = 0.299 R + 0.587 G + 0.114 B on [0, 1]: ``(B, 3, H, W)`` to ``(B, 1, H, W)``.

    >>> round(luma(torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)).item(), 3)
    0.299
    """
    return blockwise(lambda block: _over(_luma(block), 1000, block), 1, image)


def _luma(image: Tensor) -> Tensor:
    """1000 Y on the image's scale; exact for ``uint8``, whose sums are whole numbers."""
    dtype = torch.float32 if image.dtype == torch.uint8 else torch.float64
    red, green, blue = (round(1000 * weight) for weight in LUMA)
    y = image[:, 0:1].to(dtype) * red
    return y.add_(image[:, 1:2], alpha=green).add_(image[:, 2:3], alpha=blue)


def chroma(image: Tensor) -> Tensor:
    """U and V (BT.601, full range) centred on 0: ``(B, 3, H, W)`` to ``(B, 2, H, W)``.

    >>> chroma(torch.tensor([0, 0, 255], dtype=torch.uint8).view(1, 3, 1, 1)).flatten()[0].item()
    0.5
    """
    return blockwise(_chroma, 2, image)


def _chroma(image: Tensor) -> Tensor:
    y = _luma(image)
    u = _over((image[:, 2:3] * 1000.0).sub_(y), 1000 / U_SCALE, image)
    v = _over((image[:, 0:1] * 1000.0).sub_(y), 1000 / V_SCALE, image)
    return torch.cat([u, v], dim=1)


def _over(plane: Tensor, divisor: float, image: Tensor) -> Tensor:
    """``plane / divisor`` on [0, 1], rounded once to float32 unless the image is float64.

    One rounding of exact values is the same on every processor. The divisor is a tensor since a
    GPU multiplies by the rounded reciprocal of a number.
    """
    scale = round(255 * divisor) if image.dtype == torch.uint8 else divisor
    plane = plane.div_(plane.new_full((), scale))
    return plane if image.dtype == torch.float64 else plane.float()


def lab(image: Tensor, knee: float = SRGB_KNEE, dark_is_zero: bool = False) -> Tensor:
    """CIE Lab under D65, L in [0, 100]: ``(B, 3, H, W)`` to ``(B, 3, H, W)`` float64.

    Args:
        image: sRGB.
        knee: of sRGB's transfer function.
        dark_is_zero: the cube-root function is 0 at 0 and not 4/29, which the standard says; then
            black has L = -16.

    >>> white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    >>> [abs(round(v, 2)) for v in lab(white).flatten().tolist()]
    [100.0, 0.0, 0.0]
    """
    return blockwise(lambda block: _lab(block, knee, dark_is_zero), 3, image)


def _lab(image: Tensor, knee: float, dark_is_zero: bool) -> Tensor:
    light = linear(image.transpose(0, 1), knee)
    xyz = _mixed(light, [[w / white for w in row] for row, white in zip(XYZ, WHITE, strict=True)])
    light = torch.clamp(xyz, min=LAB_KNEE, out=light)
    below = xyz.sub_(light)  # the knee, 0 beyond it
    f = power_(light, 1 / 3).add_(below, alpha=LAB_SLOPE)
    if dark_is_zero:
        f.masked_fill_(below == -LAB_KNEE, 0)
    fx, fy, fz = f
    a, b = (fx - fy).mul_(500), (fy - fz).mul_(200)
    return torch.stack([fy.mul_(116).sub_(16), a, b], dim=1)


def _mixed(planes: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """Sums of channels by rows of weights: ``(3, B, n)`` to ``(3, B, n)``."""
    matrix = torch.tensor(weights, dtype=planes.dtype).to(planes.device, non_blocking=True)
    return (matrix @ planes.flatten(1)).view_as(planes)


def linear(image: Tensor, knee: float = SRGB_KNEE) -> Tensor:
    """Linear light on [0, 1] of sRGB values, same shape, float64."""
    if image.dtype == torch.uint8:
        table = _linear(torch.arange(256, dtype=torch.float64) / 255, knee)
        if on_cpu(image):
            levels_of = table.numpy()
            return per_plane(image, lambda s, t: cv2.LUT(s, levels_of, dst=t), dtype=table.dtype)
        return table.to(image.device, non_blocking=True)[image.long()]
    return _linear(image.double(), knee)


def _linear(x: Tensor, knee: float) -> Tensor:
    return torch.where(x > knee, ((x + 0.055) / 1.055).clamp_(min=0) ** 2.4, x / 12.92)
