"""SSIM weighted by information content, IW-SSIM.

Wang, Li, "Information content weighting for perceptual image quality assessment", 2011, in the form
of the authors' ``iwssim.m``: contrast-structure on a Laplacian pyramid, each place weighted by the
information that original and test share through a noisy channel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import decimated, interpolated, moments, separable
from nacd_bench.ops.planes import blockwise, log_, on_cpu
from nacd_bench.ops.structure import SCALE_WEIGHTS, similarity_map

BINOMIAL = tuple(weight * 2**0.5 / 16 for weight in (1, 4, 6, 4, 1))
"""Of the pyramid, along each side."""
NOISE = 0.4 / 255**2
"""Variance of the channel's noise."""
BLOCK = 3
"""Side of the neighbourhoods whose information is measured."""
STRIP = 1 << 13
"""Neighbourhoods worked on at a time on a CPU."""
MARGIN = 4
"""Pixels by which valid windows of SSIM begin later than valid neighbourhoods."""
EPSILON = torch.finfo(torch.float64).eps
LEAST_VARIANCE = EPSILON / 255**2
LEAST_SPREAD, LEAST_POWER = 1e-12, 1e-20 / 255**2
"""Smallest over largest eigenvalue of the neighbourhoods' covariance, and the largest itself, that
rounding does not make: beyond them the original is flat, or the same along a side."""


def iw_ssim(original: Tensor, test: Tensor) -> Tensor:
    """IW-SSIM of tests against one original, ``(B,)``; higher is better.

    NaN where the original has no structure at some scale: its information is not defined.

    Args:
        original: float64 luma ``(1, 1, H, W)`` on [0, 1], at least ``MSSSIM_SIDE`` on each side.
        test: like it ``(B, 1, H, W)``.
    """
    pairs = list(zip(_pyramid(original), _pyramid(test), strict=True))
    product = test.new_ones(test.shape[0])
    weights = torch.tensor(SCALE_WEIGHTS, dtype=torch.float64)
    last = len(pairs) - 1
    for scale, weight in enumerate((weights / weights.sum()).tolist()):
        x, y = pairs[scale]
        similarity = similarity_map(x, y, with_luminance=scale == last)
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
    """What the test shares with the original in each neighbourhood inside the plane, in nats."""
    _, _, vx, vy, covariance = moments(x, y, _mean)
    values, energy = _neighborhoods(x, parent)
    halves = values[::2], values[1::2]  # of all at once the product may be too large

    def of_pixels(vx: Tensor, vy: Tensor, covariance: Tensor, energy: Tensor) -> Tensor:
        is_seen = (vx >= LEAST_VARIANCE) & (vy >= LEAST_VARIANCE)
        gain = (covariance / (vx + LEAST_VARIANCE)).mul_(is_seen)
        floor = torch.addcmul(vy, gain, covariance, value=-1).div_(NOISE).add_(1)
        signal = gain.square_().add_(floor).mul_(energy).div_(floor)
        shared = log_(floor).mul_(len(values))
        for half in halves:
            product = torch.ones_like(signal)
            for value in half:
                product.addcmul_(product, signal, value=value / NOISE)
            shared.add_(log_(product))
        return torch.threshold_(shared, EPSILON, 0)

    return blockwise(of_pixels, 1, vx, vy, covariance, energy)


def _neighborhoods(x: Tensor, parent: Tensor | None) -> tuple[list[float], Tensor]:
    """Of the original: eigenvalues of its neighbourhoods' covariance, NaN without structure, and
    the energy of each neighbourhood beside it ``(1, 1, H - 2, W - 2)``."""
    blocks = x[0, 0].unfold(0, BLOCK, 1).unfold(1, BLOCK, 1).permute(2, 3, 0, 1)
    height, width = blocks.shape[2:]
    coarse = None if parent is None else _enlarged(parent, height, width)[0, 0]
    count = BLOCK**2 + (coarse is not None)
    rows = height if not on_cpu(x) else min(height, max(1, STRIP // width))
    memory = x.new_empty(count, rows * width)  # of all at once they are large
    strips = [slice(start, min(height, start + rows)) for start in range(0, height, rows)]

    def positions(strip: slice) -> Tensor:
        """The pixels of some neighbourhoods, ``(count, n)``."""
        filled = memory[:, : (strip.stop - strip.start) * width]
        filled[: BLOCK**2].view(BLOCK, BLOCK, -1, width).copy_(blocks[:, :, strip])
        if coarse is not None:
            filled[-1].view(-1, width).copy_(coarse[strip])
        return filled

    covariance = sum(filled @ filled.T for filled in map(positions, strips)) / (height * width)
    values, axes = torch.linalg.eigh(covariance)
    has_structure = (values[0] > LEAST_SPREAD * values[-1]) & (values[-1] > LEAST_POWER)
    values = torch.where(has_structure, values, torch.nan)
    whitening = axes.T / (count * values).sqrt()[:, None]
    energy = torch.cat([(whitening @ positions(strip)).square_().sum(0) for strip in strips])
    return values.tolist(), energy.view(1, 1, height, width)


def _mean(x: Tensor) -> Tensor:
    taps = torch.full((BLOCK,), 1 / BLOCK, dtype=torch.float64)
    return separable(x, taps, taps)


def _enlarged(x: Tensor, height: int, width: int) -> Tensor:
    """Twice the size without its border: every other pixel of a bilinear enlargement."""
    for dim, count in ((-2, height), (-1, width)):
        side = x.shape[dim]
        odd = torch.arange(1, 2 * count, 2, dtype=x.dtype, device=x.device)
        places = ((odd + 0.5) * side / (4 * side - 3) - 0.5).clamp_(min=0)
        before = places.long()
        share = (places - before).view(-1, *[1] * (-1 - dim))
        after = (before + 1).clamp_(max=side - 1)
        x = x.index_select(dim, before).lerp_(x.index_select(dim, after), share)
    return x
