"""SSIM weighted by information content, IW-SSIM.

Wang, Li, "Information content weighting for perceptual image quality assessment", 2011, in the form
of the authors' ``iwssim.m``: contrast-structure on a Laplacian pyramid, each place weighted by the
information that original and test share through a noisy channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import band, between, decimated, interpolated, moments, separable
from nacd_bench.ops.planes import blockwise, log_, on_cpu
from nacd_bench.ops.strips import Deferred, Plane, assembled, kept, strips
from nacd_bench.ops.structure import GAUSSIAN, SCALE_WEIGHTS, mean_similarity, similarity_map

BINOMIAL = tuple(weight * 2**0.5 / 16 for weight in (1, 4, 6, 4, 1))
"""Of the pyramid, along each side."""
NOISE = 0.4 / 255**2
"""Variance of the channel's noise."""
BLOCK = 3
"""Side of the neighbourhoods whose information is measured."""
TILE = 1 << 13
"""Neighbourhoods worked on at a time on a CPU."""
MARGIN = 4
"""Pixels by which valid windows of SSIM begin later than valid neighbourhoods."""
EPSILON = torch.finfo(torch.float64).eps
LEAST_VARIANCE = EPSILON / 255**2
LEAST_SPREAD, LEAST_POWER = 1e-12, 1e-20 / 255**2
"""Smallest over largest eigenvalue of the neighbourhoods' covariance, and the largest itself, that
rounding does not make: beyond them the original is flat, or the same along a side."""


def iw_ssim(original: Plane, test: Plane) -> Tensor:
    """IW-SSIM of tests against one original, ``(B,)``; higher is better.

    NaN where the original has no structure at some scale: its information is not defined.

    Args:
        original: float64 luma ``(1, 1, H, W)`` on [0, 1], at least ``MSSSIM_SIDE`` on each side.
        test: like it ``(B, 1, H, W)``.
    """
    *bands, rest = _pyramid(original)
    coarser = [*map(_enlarged, bands[1:], bands), None]
    scales = [(own, more, *_structure(own, more)) for own, more in zip(bands, coarser, strict=True)]
    weights = torch.tensor(SCALE_WEIGHTS, dtype=torch.float64)
    weights /= weights.sum()
    products = []
    for some in test.split(1) if isinstance(test, Deferred) else [test]:
        *others, last = _pyramid(some)
        means = [_weighted_mean(*scale, other) for scale, other in zip(scales, others, strict=True)]
        means.append(mean_similarity(rest, last)[:, 1])
        powers = [mean.abs() ** w for mean, w in zip(means, weights.tolist(), strict=True)]
        products.append(torch.stack(powers).prod(dim=0))
    return torch.cat(products).clamp(max=1)


def _pyramid(x: Plane) -> list[Plane]:
    """Four bands, fine to coarse, and the low-pass residual."""
    bands = []
    for _ in SCALE_WEIGHTS[:-1]:
        smaller = assembled(_halved, x, margin=4, step=2)
        bands.append(kept(Deferred(x.shape, x.device, partial(band, x, smaller, _doubled))))
        x = smaller
    return [*bands, x]


def _halved(x: Tensor) -> Tensor:
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    for dim in (-2, -1):
        x = decimated(x, BINOMIAL, dim)
    return x


def _doubled(x: Tensor) -> Tensor:
    for dim in (-2, -1):  # zeros between values are mirrored with them, so that at the end a
        side = x.shape[dim]  # value is its own neighbour
        first, last = x.narrow(dim, 1, 1), x.narrow(dim, side - 1, 1)
        x = interpolated(torch.cat([first, x, last], dim), BINOMIAL, dim)
    return x


def _weighted_mean(
    x: Plane, coarse: Plane | None, values: list[float], whitening: Tensor, y: Plane
) -> Tensor:
    """Similarity of two bands, weighted by the information at each place: ``(B,)``.

    Args:
        x, coarse: band of the original, and that at the next scale, in this one's size.
        values, whitening: their :func:`_structure`.
        y: band of tests.
    """
    sums = []
    for span, (own, other) in strips(x, y, window=GAUSSIAN):
        similarity = similarity_map(own, other, with_luminance=False)
        inner = slice(MARGIN, -MARGIN)
        own, other = (part[..., inner, inner] for part in (own, other))
        parts = _neighborhoods(own, coarse, (span.start + MARGIN, MARGIN))
        energy = torch.cat([(whitening @ part).square_().sum(0) for part in parts])
        information = _information(own, other, values, energy.view(1, *similarity.shape[1:]))
        weighted = (similarity * information).sum(dim=(1, 2, 3))
        sums.append(torch.stack([weighted, information.sum(dim=(1, 2, 3))]))
    weighted, total = torch.stack(sums).sum(dim=0)
    return weighted / total


def _structure(x: Plane, coarse: Plane | None) -> tuple[list[float], Tensor]:
    """Of the original: eigenvalues of its neighbourhoods' covariance, NaN without structure, and
    what brings a neighbourhood to numbers whose squares sum to its energy ``(n, n)``."""
    height, width = (side - BLOCK + 1 for side in x.shape[-2:])
    products = [
        part @ part.T
        for span, (own,) in strips(x, window=BLOCK)
        for part in _neighborhoods(own, coarse, (span.start, 0))
    ]
    covariance = torch.stack(products).sum(dim=0).div_(height * width)
    values, axes = torch.linalg.eigh(covariance)
    has_structure = (values[0] > LEAST_SPREAD * values[-1]) & (values[-1] > LEAST_POWER)
    values = torch.where(has_structure, values, torch.nan)
    return values.tolist(), axes.T / (len(values) * values).sqrt()[:, None]


def _neighborhoods(x: Tensor, coarse: Plane | None, corner: tuple[int, int]) -> Iterator[Tensor]:
    """Neighbourhoods of the original ``(n, positions)``, one after the other in the same memory: of
    all they are large.

    Args:
        x: part of a band.
        coarse: the next band in the size of this one.
        corner: first row and column of the part in the band.
    """
    blocks = x[0, 0].unfold(0, BLOCK, 1).unfold(1, BLOCK, 1).permute(2, 3, 0, 1)
    height, width = blocks.shape[2:]
    parent = None
    if coarse is not None:
        row, column = (first + 1 for first in corner)
        parent = coarse[..., row : row + height, column : column + width][0, 0]
    rows = height if not on_cpu(x) else min(height, max(1, TILE // width))
    memory = x.new_empty(BLOCK**2 + (parent is not None), rows * width)
    for start in range(0, height, rows):
        some = slice(start, min(height, start + rows))
        filled = memory[:, : (some.stop - start) * width]
        filled[: BLOCK**2].view(BLOCK, BLOCK, -1, width).copy_(blocks[:, :, some])
        if parent is not None:
            filled[-1].view(-1, width).copy_(parent[some])
        yield filled


def _information(x: Tensor, y: Tensor, values: list[float], energy: Tensor) -> Tensor:
    """What the test shares with the original in each neighbourhood inside the plane, in nats.

    Args:
        x, y: parts of bands.
        values: see :func:`_structure`.
        energy: of the original's neighbourhoods.
    """
    _, _, vx, vy, covariance = moments(x, y, _mean)
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


def _mean(x: Tensor) -> Tensor:
    taps = torch.full((BLOCK,), 1 / BLOCK, dtype=torch.float64)
    return separable(x, taps, taps)


def _enlarged(x: Plane, like: Plane) -> Plane:
    """Twice the size: every other pixel of a bilinear enlargement to 4 n - 3."""

    def places(first: int, last: int, dim: int) -> Tensor:
        side = x.shape[dim]
        odd = 2 * torch.arange(first, last, dtype=torch.float64) - 0.5
        return odd * (side / (4 * side - 3)) - 0.5

    def made(rows: slice) -> Tensor:
        down = places(rows.start, rows.stop, -2)
        first = max(0, int(down[0]))
        lines = between(x[..., first : int(down[-1]) + 2, :], -2, down - first)
        return between(lines, -1, places(0, like.shape[-1], -1))

    return kept(Deferred(like.shape, like.device, made))
