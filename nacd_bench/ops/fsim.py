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

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import reduced, separable
from nacd_bench.ops.planes import length, on_cpu
from nacd_bench.ops.strips import Plane

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
KEPT = 1 << 18
"""Pixels of the largest plane whose filters are kept: 128 bytes per pixel."""


def fsim(original: Plane, test: Plane) -> Tensor:
    """FSIM of luma planes ``(B, 1, H, W)``, FSIMc of RGB ``(B, 3, H, W)``, on [0, 1]: ``(B,)``.

    Computed in float64. Two flat pictures have no features to weigh by, and all pixels count alike.
    """
    x, y = (_yiq(reduced(image) * 255) for image in (original, test))
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
    """Log-Gabor filters over the frequencies of a plane."""

    weights: Tensor
    """``(orientations, scales, H, W)``."""
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
    # amplitudes of noise are Rayleigh-distributed; real parts of filters in space are even parts
    # over frequencies (Parseval)
    per_power = (filters + opposite).sum(dim=1).square().sum(dim=(1, 2)) / 4
    power = 1 / math.log(2) / filters[:, 0].square().sum(dim=(1, 2))
    deviations = math.sqrt(math.pi / 2) + NOISE_DEVIATIONS * math.sqrt(2 - math.pi / 2)
    return _Filters(filters, (per_power * power).sqrt() * deviations / NOISE_SCALE)


def _frequencies(side: int, device: torch.device) -> Tensor:
    """In cycles per pixel, 0 first; the authors divide an odd side's by one less than it has."""
    index = torch.arange(side, dtype=torch.float64, device=device) - side // 2
    return torch.fft.ifftshift(index / (side - side % 2))


def _phase_congruency(planes: Tensor) -> Tensor:
    """``(B, 1, H, W)`` on [0, 1]; 0 for a flat plane."""
    height, width = planes.shape[-2:]
    make = _filters if height * width <= KEPT else _filters.__wrapped__
    filters = make(height, width, planes.device)
    return torch.stack([_congruency(plane, filters) for plane in planes[:, 0]])[:, None]


def _congruency(plane: Tensor, filters: _Filters) -> Tensor:
    # filters take no mean: without it a flat plane is exactly 0
    spectrum = _transform(plane - plane[:1, :1])
    energy, amplitudes = torch.zeros_like(plane), torch.full_like(plane, TINY)
    for weights, noise in zip(filters.weights, filters.noise, strict=True):
        responses = [_inverse(spectrum * of_scale) for of_scale in weights]
        sizes = [length(*response) for response in responses]
        # energy that noise alone has: it is estimated from the finest scale
        threshold = noise * _median(sizes[0].square()).sqrt()
        for size in sizes:
            amplitudes += size
        x, y = total = responses[0].clone()
        for response in responses[1:]:
            total += response
        of_total = length(x, y)
        # parts of the responses along their sum, less what lies across
        along = of_total.square()
        for real, imaginary in responses:
            along -= imaginary.mul_(x).addcmul_(real, y, value=-1).abs_()
        energy += along.div_(of_total.add_(TINY)).sub_(threshold).clamp_(min=0)
    return energy.div_(amplitudes)


def _transform(plane: Tensor) -> Tensor:
    """Of ``(H, W)``, all frequencies; OpenCV's takes half the time of PyTorch's on a CPU."""
    if not on_cpu(plane):
        return torch.fft.fft2(plane)
    pairs = cv2.dft(plane.numpy(), flags=cv2.DFT_COMPLEX_OUTPUT)
    return torch.view_as_complex(torch.from_numpy(pairs))


def _inverse(spectrum: Tensor) -> Tensor:
    """Real and imaginary part of the inverse transform of ``(H, W)``: ``(2, H, W)``."""
    if not on_cpu(spectrum):
        return torch.view_as_real(torch.fft.ifft2(spectrum)).movedim(-1, 0)
    pairs = torch.view_as_real(spectrum).numpy()
    cv2.dft(pairs, dst=pairs, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)
    parts = torch.empty(2, *spectrum.shape, dtype=torch.float64)
    cv2.split(pairs, list(parts.numpy()))
    return parts


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
    return length(separable(padded, across, slope), separable(padded, slope, across))


def _similarity(x: Tensor, y: Tensor, constant: float) -> Tensor:
    return (2 * x * y + constant) / (x * x + y * y + constant)
