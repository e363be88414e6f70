"""PSNR-HVS-M: the PSNR of what contrast sensitivity and masking leave visible.

Ponomarenko, Silvestri, Egiazarian, Carli, Astola, Lukin, "On between-coefficient contrast masking
of DCT basis functions", VPQM 2007, with the constants of the authors' code. An error in a cosine
coefficient of a block of 8 x 8 pixels is seen as far as it exceeds what the block's other
coefficients hide. Both of the paper's tables are JPEG's quantisation table Q in other units:
sensitivity is proportional to 1 / Q, masking is (10 / Q)^2; printed, they have six digits, for
which the result is within 1e-5 dB. It does not depend on the scale of the planes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.dss import BLOCK, subbands

QUANTISATION = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Q of luma (ITU-T T.81, table K.1), by vertical and horizontal frequency."""

MASKING = 10.0
"""Of the masking weights (10 / Q)^2."""

NORMALISATION = 32.0
"""What the root of the masking energy is divided by: (16 x 64)^(1/2), the paper's 16 for a block
of 64 coefficients."""


def visible_error(original: Tensor, test: Tensor) -> Tensor:
    """Mean squared error that is seen, of float64 luma ``(B, 1, H, W)`` on [0, 1]: ``(B,)``.

    0 where all of it is masked. What is left of a side after whole blocks does not count.
    """
    x, y = subbands(original), subbands(test)
    q = torch.tensor(QUANTISATION, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    sensitivity = (1 / q) / (1 / q).square().mean().sqrt()
    weights = (MASKING / q).square()
    hidden = torch.maximum(_masking(original, x, weights), _masking(test, y, weights)) / weights
    hidden[:, 0] = 0  # nothing masks the mean
    seen = ((x - y).abs() - hidden).clamp(min=0) * sensitivity
    return seen.square().mean(dim=(1, 2, 3))


def _masking(plane: Tensor, coefficients: Tensor, weights: Tensor) -> Tensor:
    """How much a block hides, ``(B, 1, h, w)``: its energy, less where it has an edge.

    An edge is told from texture by the variances of the block's quarters, which are then far
    under the block's own.
    """
    energy = (coefficients.square() * weights)[:, 1:].sum(dim=1, keepdim=True)
    whole = _spread(plane, BLOCK)
    quarters = F.avg_pool2d(_spread(plane, BLOCK // 2), 2, divisor_override=1)
    evenness = torch.where(whole > 0, quarters / whole, 0)
    return (energy * evenness).sqrt() / NORMALISATION


def _spread(plane: Tensor, side: int) -> Tensor:
    """Unbiased variance of blocks of ``side x side`` pixels, times their number of pixels."""
    blocks = plane.unfold(2, side, side).unfold(3, side, side).flatten(4)
    return blocks.var(dim=4) * side**2
