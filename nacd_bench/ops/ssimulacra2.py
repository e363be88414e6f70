"""SSIMULACRA 2.1: lost structure, new and lost edges, at six scales, in JPEG XL's colour space.

Sneyers, Cloudinary, 2022 and 2023 (no paper), with the constants of the author's code. Three maps
of errors of each plane are pooled by their mean and their fourth norm; the weights were fitted to
ratings of coded pictures. Values are within 0.1 of the author's tool, which computes in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.color import linear
from nacd_bench.ops.filters import halve, separable

ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
"""Of the eye's long, middle and short cones, of linear R, G, B (JPEG XL's XYB)."""

BIAS = 0.0037930732552754493
"""Added to what the cones absorb."""

X_SCALE, X_SHIFT, Y_SHIFT, B_SHIFT = 14.0, 0.42, 0.01, 0.55
"""They bring X, Y and B - Y to about [0, 1]."""

BLUR = (0.2646211054882, 0.2129285920104, 0.1093353727775, 0.03601111465836, 0.009414367809654)
"""The middle tap and those of a side: three cosines that make a standard deviation of 1.5, in
place of a Gaussian. Zeros lie beyond the border."""

STABILISER = 0.0009
"""Of the structure."""

WEIGHTS = (
    (  # X
        (0.0, 0.0007376606707, 0.0, 0.0, 0.0007793481683, 0.0),
        (0.0, 0.000437115573, 0.0, 1.104172643, 0.0006628483413, 0.0001523163278),
        (0.0, 0.001640643746, 0.0, 1.842245552, 11.4411726, 0.0),
        (0.0007989109436, 0.0001768164381, 0.0, 1.878759498, 10.94906991, 0.0),
        (0.0007289346992, 0.9677937081, 0.0, 0.0001400342429, 0.9981766978, 0.0003194975593),
        (0.0004550992114, 0.0, 0.0, 0.001364876616, 0.0, 0.0),
    ),
    (  # Y
        (0.0, 0.0, 0.0, 7.466890328, 0.0, 17.44583398),
        (0.0006235601634, 0.0, 0.0, 6.683678146, 0.0003772440798, 1.027889938),
        (225.205153, 0.0, 0.0, 19.21323819, 0.001140152459, 0.001237755636),
        (176.393176, 0.0, 0.0, 24.43301, 0.2852080261, 0.0004485436924),
        (0.0, 0.0, 0.0, 34.77906344, 44.83562533, 0.0),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    (  # B
        (0.0, 0.0008680556573, 0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0005313191874, 0.0, 0.0001653381416, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0004179171803, 0.001729082823, 0.0),
        (0.002082700585, 0.0, 0.0, 8.826982765, 23.19243344, 0.0),
        (95.10804988, 0.9863978034, 0.9834382792, 0.001228640505, 171.2667256, 0.9807858872),
        (0.0, 0.0, 0.0, 0.0005130064589, 0.0, 0.0001085405786),
    ),
)
"""By plane and scale: mean of lost structure, of new edges, of lost edges, and their 4-norms."""

ERROR_SCALE = 0.9562382616834844
ERROR_CUBIC = (2.326765642916932, -0.020884521182843837, 6.248496625763138e-05)
EXPONENT = 0.6276336467831387
"""They make a score of the weighted sum: 100 - 10 cubic(scale x sum)^exponent."""

SSIMULACRA2_SIDE = 113
"""Smallest height and width: a side of 8 at the fifth of the six scales."""


def ssimulacra2(original: Tensor, test: Tensor) -> Tensor:
    """SSIMULACRA 2.1 of sRGB ``(B, 3, H, W)`` float64 on [0, 1]: ``(B,)``, at most 100.

    90 and more cannot be told from the original, 70 is good, 30 is poor; it may be negative.
    """
    x, y = linear(original), linear(test)
    weights = x.new_tensor(WEIGHTS)
    error = y.new_zeros(len(y))
    for scale in range(weights.shape[1]):
        if scale:
            x, y = halve(x), halve(y)
        error += (weights[:, scale] * _errors(_xyb(x), _xyb(y))).sum(dim=(1, 2))
    error *= ERROR_SCALE
    a, b, c = ERROR_CUBIC
    cubic = error * (a + error * (b + error * c))
    return 100 - 10 * cubic.clamp(min=0) ** EXPONENT


def _xyb(light: Tensor) -> Tensor:
    """X, Y and B - Y of linear light ``(B, 3, H, W)``."""
    cones = torch.einsum("cd,bdhw->bchw", light.new_tensor(ABSORBANCE), light) + BIAS
    long, middle, short = (cones ** (1 / 3) - BIAS ** (1 / 3)).unbind(1)
    x, y = (long - middle) / 2, (long + middle) / 2
    return torch.stack([X_SCALE * x + X_SHIFT, y + Y_SHIFT, short - y + B_SHIFT], dim=1)


def _errors(x: Tensor, y: Tensor) -> Tensor:
    """Mean and fourth norm of three maps of each plane: ``(B, 3, H, W)`` to ``(B, 3, 6)``."""
    mx, my = _blur(x), _blur(y)
    # not cut at 0, where rounding makes equal planes differ
    vx, vy, covariance = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    structure = (2 * covariance + STABILISER) / (vx + vy + STABILISER)
    lost = (1 - (1 - (mx - my).square()) * structure).clamp(min=0)
    edges = (1 + (y - my).abs()) / (1 + (x - mx).abs()) - 1
    maps = torch.stack([lost, edges.clamp(min=0), edges.neg().clamp(min=0)], dim=2).flatten(3)
    return torch.cat([maps.mean(dim=3), (maps**4).mean(dim=3) ** 0.25], dim=2)


def _blur(x: Tensor) -> Tensor:
    taps = torch.tensor([*BLUR[:0:-1], *BLUR], dtype=torch.float64)
    return separable(F.pad(x, (len(BLUR) - 1,) * 4), taps, taps)
