"""The DCT subband similarity index.

Balanov, Schwartz, Moshe, Peleg, "Image quality assessment based on DCT subband similarity", 2015,
with the constants of the authors' code: each of the low subbands of an 8 x 8 cosine transform is
compared by its local variance, the worst twentieth of places counts, and subbands are weighted by
frequency. Planes are on 0..255 inside.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import gaussian_kernel, separable

BLOCK = 8
WEIGHT_SIGMA = 1.55
"""Of the weights, in subbands."""
LEAST_WEIGHT = 1e-2
"""Subbands under it are left out."""
WINDOW, SIGMA = 3, 1.5
"""Of the local variance, in blocks; zeros beyond the border."""
DC, AC = 1000.0, 300.0
"""Stabilisers of the mean's subband and of the others."""
WORST = 0.05
"""Share of places that counts."""
DSS_SIDE = 32
"""Smallest height and width: of 16 blocks one is the worst twentieth."""


def dss(original: Tensor, test: Tensor) -> Tensor:
    """DSS of float64 luma planes ``(B, 1, H, W)`` on [0, 1], ``(B,)``; higher is better."""
    index = torch.arange(BLOCK, dtype=torch.float64, device=original.device) + 0.5
    weights = torch.exp(-(index[:, None] ** 2 + index**2) / (2 * WEIGHT_SIGMA**2)).flatten()
    kept = weights >= LEAST_WEIGHT
    weights = weights[kept] / weights[kept].sum()
    x, y = (subbands(plane * 255)[:, kept] for plane in (original, test))
    mx, my = _mean(x), _mean(y)
    vx, vy = (_mean(x * x) - mx * mx).clamp(min=0), (_mean(y * y) - my * my).clamp(min=0)
    deviations = (vx * vy).sqrt()
    stabilizer = vx.new_full((x.shape[1], 1, 1), AC)
    stabilizer[0] = DC
    similarity = _worst((2 * deviations + stabilizer) / (vx + vy + stabilizer))
    most = deviations[:, :1]  # by Cauchy and Schwarz; where it is 0 rounding would leave a little
    covariance = (_mean(x[:, :1] * y[:, :1]) - mx[:, :1] * my[:, :1]).clamp(-most, most)
    similarity[:, :1] *= _worst((covariance + DC) / (most + DC))
    return (similarity * weights).sum(dim=1).clamp(max=1)


def subbands(x: Tensor) -> Tensor:
    """Cosine transform of blocks of 8 x 8: ``(B, 1, H, W)`` to ``(B, 64, H / 8, W / 8)``.

    Orthonormal, row by row: the block's mean, times 8, comes first. What is left of a side after
    whole blocks does not count.
    """
    rows, columns = (side // BLOCK for side in x.shape[-2:])
    blocks = x[:, 0, : rows * BLOCK, : columns * BLOCK]
    blocks = blocks.unflatten(1, (rows, BLOCK)).unflatten(3, (columns, BLOCK))
    place = torch.arange(BLOCK, dtype=torch.float64, device=x.device)
    cosines = torch.cos(math.pi / BLOCK * place[:, None] * (place + 0.5)) * (2 / BLOCK) ** 0.5
    cosines[0] /= 2**0.5
    return torch.einsum("mi,bhiwj,nj->bmnhw", cosines, blocks, cosines).flatten(1, 2)


def _mean(x: Tensor) -> Tensor:
    taps = gaussian_kernel(WINDOW, SIGMA)
    return separable(F.pad(x, (1, 1, 1, 1)), taps, taps)


def _worst(similarity: Tensor) -> Tensor:
    """Mean over the worst places of ``(B, n, h, w)``, rounded to whole ones as MATLAB does."""
    places = similarity.flatten(2).sort(dim=2).values
    return places[:, :, : math.floor(WORST * places.shape[2] + 0.5)].mean(dim=2)
