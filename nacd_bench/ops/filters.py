"""Gaussian and box filters, Sobel gradients and scaling by two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.planes import blockwise, on_cpu, per_plane
from nacd_bench.ops.strips import Plane, assembled, made

SMOOTH = (1.0, 2.0, 1.0)
"""Smoothing across the derivative of a Sobel kernel."""


@lru_cache
def gaussian_kernel(size: int, sigma: float) -> Tensor:
    """``size`` samples of a Gaussian of standard deviation ``sigma`` pixels, sum 1, float64."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def gaussian_blur(x: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian blur ``(B, C, H, W)``, borders reflected without repeating the edge pixel."""
    kernel = gaussian_kernel(size, sigma)
    if on_cpu(x):
        taps = kernel.to(x.dtype).numpy()
        border = cv2.BORDER_REFLECT_101
        return per_plane(
            x, lambda s, t: cv2.sepFilter2D(s, -1, taps, taps, dst=t, borderType=border)
        )
    return separable(F.pad(x, (size // 2,) * 4, mode="reflect"), kernel, kernel)


def sobel(x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel gradients of ``(B, C, H, W)``, weights 1 2 1 times ``scale``.

    Borders repeat the edge pixel. A ramp of 1 per pixel has the gradient 8.
    """
    if on_cpu(x):
        border = cv2.BORDER_REPLICATE
        return (
            per_plane(x, lambda s, t: cv2.Sobel(s, -1, 1, 0, t, 3, scale, 0, border)),
            per_plane(x, lambda s, t: cv2.Sobel(s, -1, 0, 1, t, 3, scale, 0, border)),
        )
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    smooth, slope = scale * torch.tensor(SMOOTH), torch.tensor([-1.0, 0.0, 1.0])
    return separable(padded, smooth, slope), separable(padded, slope, smooth)


def halve(x: Tensor) -> Tensor:
    """Mean of 2 x 2 pixels; the last row and column of an odd size average what they hold."""
    height, width = x.shape[-2:]
    half = ((height + 1) // 2, (width + 1) // 2)
    if on_cpu(x):
        return per_plane(x, lambda s, t: _halve(s, half, t), size=half)
    return F.avg_pool2d(x, 2, ceil_mode=True)


def reduced(x: Plane, side: int = 256) -> Tensor:
    """Averaged down to a shorter side of about ``side``, as MATLAB codes of metrics do: float64.

    Every n-th mean of n x n pixels, with zeros beyond the border; n rounds halves up.
    """
    n = max(1, math.floor(min(x.shape[-2:]) / side + 0.5))
    if n == 1:
        return made(x).double()
    padding = ((n - 1) // 2, n // 2) * 2
    return assembled(lambda rows: F.avg_pool2d(F.pad(rows.double(), padding), n), x, n, step=n)


class Rows(NamedTuple):
    """Where a plane lies in a larger one of its width: its first row, and how many that one has."""

    first: int
    height: int


def enlarge(
    x: Tensor,
    height: int,
    width: int,
    out: Tensor | None = None,
    rows: Rows | None = None,
    factor: int = 1,
) -> Tensor:
    """Bilinear interpolation of ``(B, C, h, w)`` to ``(B, C, height, width)``, pixel centres.

    Args:
        out: memory that a CPU may use for the result.
        rows: of a larger plane the result is these, ``x`` those of its halved form.
        factor: how many rows of the larger plane there are to one of ``x``, all but the last.
    """
    size = (height, width)
    if rows is not None and rows.height > height:
        wide = enlarge(x, x.shape[-2], width)
        places = torch.arange(rows.first, rows.first + height, dtype=torch.float64) + 0.5
        places = places * (-(-rows.height // factor) / rows.height) - 0.5 - rows.first // factor
        return between(wide, -2, places)
    if on_cpu(x):
        return per_plane(x, lambda s, t: cv2.resize(s, size[::-1], dst=t), size, out=out)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def between(x: Tensor, dim: int, places: Tensor) -> Tensor:
    """Rows or columns of ``(B, C, H, W)`` at fractions of pixels (centres are whole numbers),
    linearly between those around, at the ends the outermost."""
    above = places.floor()
    first, second = (_lines(x, dim, (above + side).long()) for side in (0, 1))
    share = (places - above).to(x.dtype).to(x.device, non_blocking=True)
    return first.lerp(second, share[:, None] if dim == -2 else share)


def local_variance(
    x: Tensor, window: int, combined: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Unbiased variance in ``window x window`` pixels around each pixel of ``(B, C, H, W)``.

    ``combined`` makes one channel ``(B, 1, n)`` of those ``(B, C, n)`` where that is wanted.

    Borders are reflected without repeating the edge pixel. Along a side shorter than the window
    the window shrinks to the largest odd length that fits. Sums and result are float64.

    >>> local_variance(torch.eye(3)[None, None], 3)[0, 0, 1, 1].item()
    0.25
    """
    kh, kw = ((min(window, side) - 1) // 2 * 2 + 1 for side in x.shape[-2:])
    count = kh * kw
    if on_cpu(x):

        def sums(box_filter: Any) -> Tensor:
            options = {"normalize": False, "borderType": cv2.BORDER_REFLECT_101}
            return per_plane(
                x,
                lambda s, t: box_filter(s, cv2.CV_64F, (kw, kh), dst=t, **options),
                dtype=torch.float64,
            )

        total, squares = sums(cv2.boxFilter), sums(cv2.sqrBoxFilter)
    else:
        padded = F.pad(x.double(), (kw // 2, kw // 2, kh // 2, kh // 2), mode="reflect")
        dense = [torch.arange(side) for side in x.shape[-2:]]
        total, squares = (box_mean(v, (kh, kw), *dense).mul_(count) for v in (padded, padded**2))

    def of_pixels(total: Tensor, squares: Tensor) -> Tensor:
        unexplained = torch.addcmul(squares, total, total, value=-1 / count)
        variance = unexplained.clamp_(min=0).div_(count - 1)
        return combined(variance) if combined else variance

    return blockwise(of_pixels, 1 if combined else x.shape[1], total, squares)


def uniform_mean(x: Tensor, window: int) -> Tensor:
    """Mean of ``window x window`` pixels (odd) around each, borders mirrored with the edge."""
    rows, columns = (torch.arange(side) for side in x.shape[-2:])
    return box_mean(mirrored(x.double(), window // 2), (window, window), rows, columns)


def window_starts(length: int, window: int, stride: int) -> Tensor:
    """First pixels of the windows that lie inside ``length``; the last is flush with the end.

    >>> window_starts(100, 32, 16).tolist()
    [0, 16, 32, 48, 64, 68]
    """
    last = length - window
    starts = list(range(0, last + 1, stride))
    return torch.tensor(starts if starts[-1] == last else [*starts, last])


def box_mean(x: Tensor, window: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Mean over windows with the given first rows ``(h,)`` and columns ``(w,)``.

    Args:
        x: ``(B, C, H, W)``.
        window: height and width; windows may hang over the border, where ``x`` counts as 0.

    Returns:
        ``(B, C, h, w)`` float64.
    """
    sums = _integral(x)
    strips = _lines(sums, -2, rows + window[0]) - _lines(sums, -2, rows)
    total = _lines(strips, -1, columns + window[1]) - _lines(strips, -1, columns)
    return total.div_(window[0] * window[1])


def _lines(sums: Tensor, dim: int, index: Tensor) -> Tensor:
    """Rows or columns of an integral image; a view where they are consecutive."""
    index = index.clamp(0, sums.shape[dim] - 1)
    if len(index) > 1 and bool((index.diff() == 1).all()):
        return sums.narrow(dim, int(index[0]), len(index))
    return sums.index_select(dim, index.to(sums.device, non_blocking=True))


def _integral(x: Tensor) -> Tensor:
    """Sums over all pixels above and left: ``(B, C, H + 1, W + 1)`` float64."""
    if on_cpu(x):
        size = (x.shape[-2] + 1, x.shape[-1] + 1)
        return per_plane(
            x, lambda s, t: cv2.integral(s, sum=t, sdepth=cv2.CV_64F), size, torch.float64
        )
    return F.pad(x, (1, 0, 1, 0)).cumsum(-1, dtype=torch.float64).cumsum(-2)


def _halve(source: np.ndarray, half: tuple[int, int], target: np.ndarray) -> None:
    height, width = source.shape
    even = cv2.copyMakeBorder(source, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    cv2.resize(even, half[::-1], dst=target, interpolation=cv2.INTER_AREA)


def separable(x: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Valid correlation with an outer product of weights."""
    return weighted_sums(weighted_sums(x, vertical, -2), horizontal, -1)


def weighted_sums(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Valid correlation of ``(B, C, H, W)`` along one side: by shifts on a CPU, in one go on a GPU.

    There as many groups as planes, and two at least, since a convolution of one group may round to
    TF32.
    """
    if not on_cpu(x):
        planes = x.flatten(0, 1)
        count = len(planes)
        groups = max(count, 2)
        taps = _taps(tuple(weights.tolist()), x.dtype, x.device)
        kernel = taps.view((1, 1, -1, 1) if dim == -2 else (1, 1, 1, -1)).expand(groups, 1, -1, -1)
        # which knows no meta device
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            sums = F.conv2d(planes.expand(groups, -1, -1)[None], kernel, groups=groups)[0]
        return sums[:count].unflatten(0, x.shape[:2])
    first, *others = weights.tolist()
    length = x.shape[dim] - len(others)
    total = x.narrow(dim, 0, length) * first
    for shift, weight in enumerate(others, start=1):
        total.add_(x.narrow(dim, shift, length), alpha=weight)
    return total


@lru_cache
def _taps(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(weights, dtype=dtype).to(device, non_blocking=True)


def decimated(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Every other one of the valid sums along one side."""
    first, *others = taps
    count = (x.shape[dim] - len(others) + 1) // 2
    places = [slice(None)] * x.ndim

    def part(start: int) -> Tensor:
        places[dim] = slice(start, start + 2 * count - 1, 2)
        return x[tuple(places)]

    total = part(0) * first
    for shift, weight in enumerate(others, start=1):
        total.add_(part(shift), alpha=weight)
    return total


def interpolated(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Twice as many along one side, by five taps over values with zeros between them.

    Args:
        x: with one more at each end than is doubled.
    """
    count = x.shape[dim] - 2
    before, here, after = (x.narrow(dim, start, count) for start in range(3))
    even = (here * taps[2]).add_(before, alpha=taps[0]).add_(after, alpha=taps[4])
    odd = (here * taps[1]).add_(after, alpha=taps[3])
    dim %= x.ndim
    return torch.stack([even, odd], dim + 1).flatten(dim, dim + 1)


def band(plane: Plane, smaller: Plane, doubled: Callable[[Tensor], Tensor], rows: slice) -> Tensor:
    """Rows of a plane less its half, enlarged: of a Laplacian pyramid, float64.

    Args:
        smaller: half of the plane, odd sides rounded up.
        doubled: enlarges it; a row of the result is of the two or three rows around.
    """
    first = max(0, rows.start // 2 - 1)
    larger = doubled(smaller[..., first : rows.stop // 2 + 2, :])
    own = slice(rows.start - 2 * first, rows.stop - 2 * first)
    return plane[..., rows, :] - larger[..., own, : plane.shape[-1]]


def mirrored(x: Tensor, pad: int) -> Tensor:
    """``(..., H, W)`` with ``pad`` pixels more on each side, mirrored with the edge pixel."""
    if on_cpu(x):
        size = (x.shape[-2] + 2 * pad, x.shape[-1] + 2 * pad)
        border = cv2.BORDER_REFLECT
        return per_plane(
            x, lambda s, t: cv2.copyMakeBorder(s, pad, pad, pad, pad, border, dst=t), size
        )
    for dim in (-2, -1):
        length = x.shape[dim]
        index = torch.arange(-pad, length + pad, device=x.device) % (2 * length)
        x = x.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
    return x


def moments(x: Tensor, y: Tensor, mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """Local means of two planes, their variances (0 or more) and their covariance, by a mean."""
    mx, my = mean(x), mean(y)
    vx, vy = (
        mean(plane * plane).addcmul_(local, local, value=-1).clamp_(min=0)
        for plane, local in ((x, mx), (y, my))
    )
    return mx, my, vx, vy, mean(x * y).addcmul_(mx, my, value=-1)
