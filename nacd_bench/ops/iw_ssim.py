"""SSIM weighted by information content, IW-SSIM.

Wang, Li, "Information content weighting for perceptual image quality assessment", 2011, in the form
of the authors' ``iwssim.m``: contrast-structure on a Laplacian pyramid, each place weighted by the
information that original and test share through a noisy channel. The pyramid is on 0..255.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import decimated, interpolated, moments, separable
from nacd_bench.ops.planes import blockwise, on_cpu
from nacd_bench.ops.structure import SCALE_WEIGHTS, similarity_map

BINOMIAL = tuple(weight * 2**0.5 / 16 for weight in (1, 4, 6, 4, 1))
"""Of the pyramid, along each side."""
NOISE = 0.4
"""Variance of the channel's noise, on 0..255."""
BLOCK = 3
"""Side of the neighbourhoods whose information is measured."""
STRIP = 1 << 14
"""Neighbourhoods worked on at a time on a CPU."""
MARGIN = 4
"""Pixels by which valid windows of SSIM begin later than valid neighbourhoods."""
EPSILON = torch.finfo(torch.float64).eps
LEAST_SPREAD, LEAST_POWER = 1e-12, 1e-20
"""Smallest over largest eigenvalue of the neighbourhoods' covariance, and the largest itself, that
rounding does not make: beyond them the original is flat, or the same along a side."""


def iw_ssim(original: Tensor, test: Tensor) -> Tensor:
    """IW-SSIM of tests against one original, ``(B,)``; higher is better.

    NaN where the original has no structure at some scale: its information is not defined.

    Args:
        original: float64 luma ``(1, 1, H, W)`` on [0, 1], at least ``MSSSIM_SIDE`` on each side.
        test: like it ``(B, 1, H, W)``.
    """
    pairs = list(zip(_pyramid(original * 255), _pyramid(test * 255), strict=True))
    product = test.new_ones(test.shape[0])
    weights = torch.tensor(SCALE_WEIGHTS, dtype=torch.float64)
    last = len(pairs) - 1
    for scale, weight in enumerate((weights / weights.sum()).tolist()):
        x, y = pairs[scale]
        similarity = similarity_map(x / 255, y / 255, with_luminance=scale == last)
        if scale < last:
            parent = pairs[scale + 1][0] if scale < last - 1 else None
            inner = slice(MARGIN, -MARGIN)
            information = _information(x, y, parent)[..., inner, inner].contiguous()
            total = information.sum(dim=(1, 2, 3))
            mean = (similarity * information).sum(dim=(1, 2, 3)) / total
        else:
            mean = similarity.mean(dim=(1, 2, 3))
        product *= mean.abs() ** weight
    return product.clamp(max=1)


def _pyramid(x: Tensor) -> list[Tensor]:
    """Four bands, fine to coarse, and the low-pass residual."""
    bands = []
    for _ in SCALE_WEIGHTS[:-1]:
        smaller = F.pad(x, (2, 2, 2, 2), mode="reflect")
        for dim in (-2, -1):
            smaller = decimated(smaller, BINOMIAL, dim)
        larger = smaller
        for dim in (-2, -1):  # zeros between values are mirrored with them, so that at the end a
            side = larger.shape[dim]  # value is its own neighbour
            first, last = larger.narrow(dim, 1, 1), larger.narrow(dim, side - 1, 1)
            larger = interpolated(torch.cat([first, larger, last], dim), BINOMIAL, dim)
        bands.append(x - larger[..., : x.shape[-2], : x.shape[-1]])
        x = smaller
    return [*bands, x]


def _information(x: Tensor, y: Tensor, parent: Tensor | None) -> Tensor:
    """Bits that the test shares with the original in each neighbourhood inside the plane."""
    _, _, vx, vy, covariance = moments(x, y, _mean)
    values, energy = _neighborhoods(x, parent)
    halves = values[::2], values[1::2]  # of all at once the product may be too large

    def of_pixels(vx: Tensor, vy: Tensor, covariance: Tensor, energy: Tensor) -> Tensor:
        is_seen = (vx >= EPSILON) & (vy >= EPSILON)
        gain = torch.where(is_seen, covariance / (vx + EPSILON), 0)
        noise = torch.where(vy < EPSILON, 0, torch.where(is_seen, vy - gain * covariance, vy))
        floor = 1 + noise / NOISE
        signal = gain.square_().add_(1).mul_(NOISE).add_(noise).div_(NOISE**2)
        signal.mul_(energy).div_(floor)
        shared = floor.log2_().mul_(len(values))
        for half in halves:
            product = torch.ones_like(signal)
            for value in half:
                product.addcmul_(product, signal, value=value)
            shared.add_(product.log2_())
        return torch.where(shared < EPSILON, 0, shared)

    return blockwise(of_pixels, 1, vx, vy, covariance, energy)


def _neighborhoods(x: Tensor, parent: Tensor | None) -> tuple[list[float], Tensor]:
    """Of the original: eigenvalues of its neighbourhoods' covariance, NaN without structure, and
    the energy of each neighbourhood beside it ``(1, 1, H - 2, W - 2)``."""
    height, width = (side - BLOCK + 1 for side in x.shape[-2:])
    planes = [
        x[0, 0, row : row + height, column : column + width]
        for row in range(BLOCK)
        for column in range(BLOCK)
    ]
    if parent is not None:
        planes.append(_enlarged(parent)[0, 0, 1 : height + 1, 1 : width + 1])
    count = len(planes)

    def strips() -> Iterator[Tensor]:  # (n, positions), made when needed: of all they are large
        rows = height if not on_cpu(x) else max(1, STRIP // width)
        for start in range(0, height, rows):
            yield torch.stack([plane[start : start + rows] for plane in planes]).flatten(1)

    covariance = sum(strip @ strip.T for strip in strips()) / (height * width)
    values, axes = torch.linalg.eigh(covariance)
    has_structure = (values[0] > LEAST_SPREAD * values[-1]) & (values[-1] > LEAST_POWER)
    values = torch.where(has_structure, values, torch.nan)
    whitening = axes.T / (count * values).sqrt()[:, None]
    energy = torch.cat([(whitening @ strip).square_().sum(0) for strip in strips()])
    return values.tolist(), energy.view(1, 1, height, width)


def _mean(x: Tensor) -> Tensor:
    taps = torch.full((BLOCK,), 1 / BLOCK, dtype=torch.float64)
    return separable(x, taps, taps)


def _enlarged(x: Tensor) -> Tensor:
    """Twice the size: every other pixel of a bilinear enlargement, extrapolated at the border."""
    size = [4 * side - 3 for side in x.shape[-2:]]
    inner = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    for dim in (-2, -1):
        count = inner.shape[dim]
        first, second, last_but_one, last = (
            inner.narrow(dim, index, 1) for index in (0, 1, count - 2, count - 1)
        )
        inner = torch.cat([2 * first - second, inner, 2 * last - last_but_one], dim=dim)
    return inner[..., ::2, ::2]
