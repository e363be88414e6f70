"""The feature similarity index FSIM.

Zhang, Zhang, Mou, Zhang, "FSIM: a feature similarity index for image quality assessment", 2011,
with the phase congruency of Kovesi, "Image features from phase congruency", 1999, in the form of
the authors' ``FeatureSIM.m``; planes are on 0..255 inside.

Where it departs from piq's: down-sampling is that of the authors (their rounding, their zeros
beyond the border), the median of an even count is the mean of both in the middle, and a flat
picture has the phase congruency 0 instead of a quotient of roundings.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import reduced, separable
from nacd_bench.ops.planes import length, on_cpu, power_

SCALES, ORIENTATIONS = 4, 4
SHORTEST_WAVE, FACTOR = 6, 2
"""Pixels of the finest scale, and the step between scales."""
BANDWIDTH = 0.55
"""Standard deviation of a log-Gabor filter over its centre frequency."""
SPREAD = math.pi / ORIENTATIONS / 1.2
"""Standard deviation of a filter's direction, in radians."""
CUTOFF, SHARPNESS = 0.45, 15
"""Of the low-pass that takes a filter's corners away."""
NOISE_DEVIATIONS = 2.0
"""Standard deviations over the mean noise up to which energy counts as noise."""
NOISE_SCALE = 1.7
"""Divisor of that threshold, as in the authors' code."""
T1, T2 = 0.85, 160.0
"""Stabilisers of the similarity of phase congruency and of gradients (0..255)."""
T3, T4 = 200.0, 200.0
CHROMA_EXPONENT = 0.03
"""Of FSIMc: stabilisers of I and Q, and how much they weigh."""
YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
TINY = 1e-12


def fsim(original: Tensor, test: Tensor) -> Tensor:
    """FSIM of luma planes ``(B, 1, H, W)``, FSIMc of RGB ``(B, 3, H, W)``, on [0, 1]: ``(B,)``.

    Computed in float64. Two flat pictures have no features to weigh by, and all pixels count alike.
    """
    x, y = (reduced(_yiq(image.double() * 255)) for image in (original, test))
    px, py = (_phase_congruency(plane[:, :1]) for plane in (x, y))
    gx, gy = (_gradient(plane[:, :1]) for plane in (x, y))
    value = _similarity(px, py, T1) * _similarity(gx, gy, T2)
    if x.shape[1] == 3:
        chroma = _similarity(x[:, 1:2], y[:, 1:2], T3) * _similarity(x[:, 2:], y[:, 2:], T4)
        value = value * chroma.abs() ** CHROMA_EXPONENT
    weight = torch.maximum(px, py)
    weight = torch.where(weight.amax(dim=(1, 2, 3), keepdim=True) > 0, weight, 1)
    pooled = (value * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))
    return pooled.clamp(max=1)


def _yiq(image: Tensor) -> Tensor:
    if image.shape[1] == 1:
        return image
    red, green, blue = image.split(1, dim=1)
    return torch.cat([r * red + g * green + b * blue for r, g, b in YIQ], dim=1)


class _Filters(NamedTuple):
    """Log-Gabor filters over half of the frequencies of a plane of real numbers.

    A filter's response is complex: its real part is what the half of the filter that is even over
    frequencies passes, its imaginary part what the odd half does.
    """

    halves: Tensor
    """Even and odd: ``(orientations, 2, scales, W // 2 + 1, H)``."""
    noise: Tensor
    """Of each orientation, what brings the median of the finest scale's squared amplitudes to the
    energy up to which is noise, after a square root: ``(orientations,)``."""


@lru_cache(maxsize=4)
def _filters(height: int, width: int, device: torch.device) -> _Filters:
    sides = (_frequencies(side, device) for side in (height, width))
    v, u = torch.meshgrid(*sides, indexing="ij")
    radius, angle = torch.hypot(u, v), torch.atan2(-v, u)
    low_pass = 1 / (1 + (radius / CUTOFF) ** (2 * SHARPNESS))
    radius[0, 0] = 1
    waves = [SHORTEST_WAVE * FACTOR**scale for scale in range(SCALES)]
    off_center = torch.stack([torch.log(radius * wave) for wave in waves])
    radial = torch.exp(-(off_center**2) / (2 * math.log(BANDWIDTH) ** 2)) * low_pass
    radial[:, 0, 0] = 0
    turns = [angle - index * math.pi / ORIENTATIONS for index in range(ORIENTATIONS)]
    off = [torch.atan2(torch.sin(turn), torch.cos(turn)) for turn in turns]
    angular = torch.stack([torch.exp(-(turn**2) / (2 * SPREAD**2)) for turn in off])
    filters = angular[:, None] * radial  # (orientations, scales, H, W)
    opposite = filters.roll((-1, -1), dims=(2, 3)).flip(2, 3)
    even, odd = (filters + opposite) / 2, (filters - opposite) / 2
    # amplitudes of noise are Rayleigh-distributed; real parts of filters in space are even parts
    # over frequencies (Parseval)
    per_power = even.sum(dim=1).square().sum(dim=(1, 2))
    power = 1 / math.log(2) / filters[:, 0].square().sum(dim=(1, 2))
    deviations = math.sqrt(math.pi / 2) + NOISE_DEVIATIONS * math.sqrt(2 - math.pi / 2)
    halves = torch.stack([even, odd], dim=1)[..., : width // 2 + 1].mT.contiguous()
    return _Filters(halves, (per_power * power).sqrt() * deviations / NOISE_SCALE)


def _frequencies(side: int, device: torch.device) -> Tensor:
    """In cycles per pixel, 0 first; the authors divide an odd side's by one less than it has."""
    index = torch.arange(side, dtype=torch.float64, device=device) - side // 2
    return torch.fft.ifftshift(index / (side - side % 2))


def _phase_congruency(planes: Tensor) -> Tensor:
    """``(B, 1, H, W)`` on [0, 1]; 0 for a flat plane."""
    filters = _filters(*planes.shape[-2:], planes.device)
    return torch.stack([_congruency(plane, filters) for plane in planes[:, 0]])[:, None]


def _congruency(plane: Tensor, filters: _Filters) -> Tensor:
    # filters take no mean: without it a flat plane is exactly 0
    spectrum = torch.fft.rfft2(plane - plane[:1, :1]).T.contiguous()
    energy, amplitudes = torch.zeros_like(plane), torch.full_like(plane, TINY)
    spectra = torch.stack([spectrum, -1j * spectrum])[:, None]
    for halves, noise in zip(filters.halves, filters.noise, strict=True):
        columns = torch.fft.ifft(spectra * halves)
        responses = torch.fft.irfft(columns, n=plane.shape[1], dim=-2).mT.contiguous()
        real, imaginary = responses  # (scales, H, W)
        squares = (real * real).addcmul_(imaginary, imaginary)
        # energy that noise alone has: it is estimated from the finest scale
        threshold = noise * _median(squares[0]).sqrt()
        amplitudes += power_(squares, 0.5).sum(dim=0)
        x, y = real.sum(dim=0), imaginary.sum(dim=0)
        of_sum = length(x, y).add_(TINY)
        # parts of the responses along their sum, less what lies across
        across = imaginary.mul_(x).addcmul_(real, y, value=-1).abs_().sum(dim=0)
        along = (x * x).addcmul_(y, y)
        energy += along.sub_(across).div_(of_sum).sub_(threshold).clamp_(min=0)
    return energy / amplitudes


def _median(values: Tensor) -> Tensor:
    """The mean of both in the middle of an even count."""
    flat = values.flatten()
    middle = len(flat) // 2
    if on_cpu(flat):  # several times as fast as PyTorch's
        ordered = torch.from_numpy(np.partition(flat.numpy(), middle))
        lower, upper = ordered[:middle].amax(), ordered[middle]
    else:
        lower, upper = (flat.kthvalue(rank).values for rank in (middle, middle + 1))
    return upper if len(flat) % 2 else (lower + upper) / 2


def _gradient(plane: Tensor) -> Tensor:
    """Magnitude by Scharr's kernels, which sum to 1 on each side; zeros beyond the border."""
    padded = F.pad(plane, (1, 1, 1, 1))
    across, slope = torch.tensor([3.0, 10.0, 3.0]) / 16, torch.tensor([-1.0, 0.0, 1.0])
    return torch.hypot(separable(padded, across, slope), separable(padded, slope, across))


def _similarity(x: Tensor, y: Tensor, constant: float) -> Tensor:
    return (2 * x * y + constant) / (x * x + y * y + constant)
