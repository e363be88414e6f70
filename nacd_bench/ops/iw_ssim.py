"""SSIM weighted by information content, IW-SSIM.

Wang, Li, "Information content weighting for perceptual image quality assessment", 2011, in the form
of the authors' ``iwssim.m``: contrast-structure on a Laplacian pyramid, each place weighted by the
information that original and test share through a noisy channel. The pyramid is on 0..255.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import moments, separable, weighted_sums
from nacd_bench.ops.structure import SCALE_WEIGHTS, similarity_map

BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) * 2**0.5 / 16
"""Of the pyramid, along each side."""
NOISE = 0.4
"""Variance of the channel's noise, on 0..255."""
BLOCK = 3
"""Side of the neighbourhoods whose information is measured."""
MARGIN = 4
"""Pixels by which valid windows of SSIM begin later than valid neighbourhoods."""
EPSILON = torch.finfo(torch.float64).eps
LEAST_SPREAD, LEAST_POWER = 1e-12, 1e-20
"""Smallest over largest eigenvalue of the neighbourhoods' covariance, and the largest itself, that
rounding does not make: beyond them the original is flat, or the same along a side."""


def iw_ssim(original: Tensor, test: Tensor) -> Tensor:
    """IW-SSIM of float64 luma planes ``(B, 1, H, W)`` on [0, 1], ``(B,)``; higher is better.

    NaN where the original has no structure at some scale: its information is not defined.

    Args:
        original, test: at least ``MSSSIM_SIDE`` on each side.
    """
    pairs = list(zip(_pyramid(original * 255), _pyramid(test * 255), strict=True))
    product = original.new_ones(original.shape[0])
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
        smaller = x
        for dim in (-1, -2):
            smaller = _filtered(smaller, dim).index_select(
                dim, torch.arange(0, x.shape[dim], 2, device=x.device)
            )
        larger = smaller
        for dim in (-1, -2):
            spread = torch.stack([larger, torch.zeros_like(larger)], dim=larger.ndim + dim + 1)
            shape = list(larger.shape)
            shape[dim] *= 2
            larger = _filtered(spread.reshape(shape), dim).narrow(dim, 0, x.shape[dim])
        bands.append(x - larger)
        x = smaller
    return [*bands, x]


def _filtered(x: Tensor, dim: int) -> Tensor:
    """Along one side, borders reflected without repeating the edge pixel."""
    pad = (2, 2, 0, 0) if dim == -1 else (0, 0, 2, 2)
    return weighted_sums(F.pad(x, pad, mode="reflect"), BINOMIAL, dim)


def _information(x: Tensor, y: Tensor, parent: Tensor | None) -> Tensor:
    """Bits that the test shares with the original in each neighbourhood inside the plane."""
    _, _, vx, vy, covariance = moments(x, y, _mean)
    is_seen = (vx >= EPSILON) & (vy >= EPSILON)
    gain = torch.where(is_seen, covariance / (vx + EPSILON), 0)
    noise = torch.where(vy < EPSILON, 0, torch.where(is_seen, vy - gain * covariance, vy))

    vectors = F.unfold(x, BLOCK)
    if parent is not None:
        inner = _enlarged(parent)[..., 1 : x.shape[-2] - 1, 1 : x.shape[-1] - 1]
        vectors = torch.cat([vectors, inner.flatten(2)], dim=1)  # (B, n, positions)
    n, positions = vectors.shape[1:]
    values, axes = torch.linalg.eigh(vectors @ vectors.mT / positions)
    smallest, largest = values[:, 0], values[:, -1]
    has_structure = (smallest > LEAST_SPREAD * largest) & (largest > LEAST_POWER)
    values = torch.where(has_structure[:, None], values, torch.nan)
    energy = ((axes.mT @ vectors).square() / values[..., None]).sum(dim=1) / n
    energy = energy.view_as(gain[:, 0])[:, None]
    shared = torch.zeros_like(gain)
    for value in values.T:
        signal = (noise + (1 + gain * gain) * NOISE) * energy * value[:, None, None, None]
        shared += torch.log2(1 + (signal + NOISE * noise) / NOISE**2)
    return torch.where(shared < EPSILON, 0, shared)


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
