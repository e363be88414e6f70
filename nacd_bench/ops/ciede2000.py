"""The colour difference CIEDE2000.

Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary
test data, and mathematical observations", 2005; equation numbers are theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nacd_bench.ops.planes import blockwise, length, on_cpu, power_

HUE_SHIFT = 30.0
"""Degrees in the first term of T (eq. 15)."""

OPPOSITE = 1e-6 * math.pi
"""Hues count as opposite up to this far from half a turn: rounding must not choose their bisector,
which is the one that the mean of both angles in [0, 2 pi) gives."""


def ciede2000(
    lab1: Tensor, lab2: Tensor, hue_shift: float = HUE_SHIFT, drop_gray: bool = False
) -> Tensor:
    """CIEDE2000 with unit weights k_L = k_C = k_H = 1, in the precision of the colours.

    Float32 is within 2e-5 of float64 where the difference is under 16, and within 3e-4 elsewhere.

    Args:
        lab1, lab2: CIE Lab, channels second: ``(B, 3, ...)``.
        hue_shift: degrees in the first term of T; 30 in the standard.
        drop_gray: leave out the chroma and hue terms where a = b = 0 in either colour, which the
            standard does not.

    Returns:
        ``(B, 1, ...)`` at least 0.

    >>> x = torch.tensor([[50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485]]).view(2, 3, 1)
    >>> round(ciede2000(x[:1], x[1:]).item(), 4)
    2.0425
    """
    shift = math.radians(hue_shift)
    return blockwise(lambda a, b: _ciede2000(a, b, shift, drop_gray)[:, None], 1, lab1, lab2)


def _ciede2000(lab1: Tensor, lab2: Tensor, hue_shift: float, drop_gray: bool) -> Tensor:
    """Angles are vectors here: only the term of blue needs the mean hue itself."""
    (l1, a1, b1), (l2, a2, b2) = lab1.unbind(1), lab2.unbind(1)
    tiny = torch.finfo(lab1.dtype).tiny

    # a', C' (eq. 2-6)
    stretch = _seventh(length(a1, b1).add_(length(a2, b2))).mul_(-0.5).add_(1.5)
    a1p, a2p = a1 * stretch, a2 * stretch
    c1, c2 = length(a1p, b1), length(a2p, b2)
    product = c1 * c2

    # Of the hues' unit vectors the sum has the mean's direction (eq. 14), the difference twice the
    # half turn's sine as its length (eq. 10-11); all times the product of chromas.
    x1, y1, x2, y2 = a1p.mul_(c2), b1 * c2, a2p.mul_(c1), b2 * c1
    x, y = x1 + x2, y1 + y2
    turn = torch.addcmul(x1 * y2, x2, y1, value=-1)
    norm = length(x, y)
    if not on_cpu(norm) or norm.sub(product, alpha=OPPOSITE).amin() <= 0:
        ahead = torch.where((b1 > 0) | ((b1 == 0) & (a1 > 0)), 1.0, -1.0).to(norm.dtype)
        turn = torch.where(norm <= OPPOSITE * product, ahead, turn)
    sign = turn.sign_()
    dx, dy = x2.sub_(x1), y2.sub_(y1)
    dl, dc = l2 - l1, c2 - c1
    dh = length(dx, dy).mul_(sign).div_(power_(product.clamp_(min=tiny), 0.5))
    # turned to the mean's direction, the difference is long where the sum is short
    x, y = x.addcmul_(sign, dy), y.addcmul_(sign, dx, value=-1)
    of_norm = length(x, y).clamp_(min=tiny).reciprocal_()

    # weights (eq. 15-21)
    t = _hue_weight(x * of_norm, y * of_norm, hue_shift)
    sum_c = c1.add_(c2)
    from_gray = (l1 + l2).sub_(100).square_()  # of the sum of both, as sum_c is
    s_l = (from_gray + 80).rsqrt_().mul_(from_gray).mul_(0.015 / 2).add_(1)
    s_c = (sum_c * (0.045 / 2)).add_(1)
    s_h = t.mul_(sum_c).mul_(0.015 / 2).add_(1)
    hue = torch.atan2(y.neg_(), x.neg_()).add_(math.radians(180 - 275))  # from blue, -275 to 85
    # what is next to 0 is not made denormal, which is ten times as slow
    theta = hue.square_().mul_(-1 / math.radians(25) ** 2).clamp_(min=-80).exp_()
    r_t = theta.mul_(math.radians(60)).sin_().mul_(_seventh(sum_c)).mul_(-2)

    # the distance (eq. 22)
    dl, dc, dh = dl.div_(s_l), dc.div_(s_c), dh.div_(s_h)
    chromatic = r_t.mul_(dc).add_(dh).mul_(dh).addcmul_(dc, dc)
    if drop_gray:
        chromatic.masked_fill_(((a1 == 0) & (b1 == 0)) | ((a2 == 0) & (b2 == 0)), 0)
    return power_(chromatic.addcmul_(dl, dl).clamp_(min=0), 0.5)


def _hue_weight(cos: Tensor, sin: Tensor, shift: float) -> Tensor:
    """T of the mean hue's cosine and sine (eq. 15): 1 - 0.17 cos(h - shift) + 0.24 cos 2h
    + 0.32 cos(3h + 6) - 0.20 cos(4h - 63), by the formulas of multiple angles."""
    third, fourth = math.radians(6), math.radians(63)
    square, product = cos * cos, cos * sin
    # cos 3h = cos (4 square - 3), sin 3h = sin (4 square - 1)
    of_cos = (square * (1.28 * math.cos(third))).sub_(
        0.17 * math.cos(shift) + 0.96 * math.cos(third)
    )
    of_sin = (square * (-1.28 * math.sin(third))).sub_(
        0.17 * math.sin(shift) - 0.32 * math.sin(third)
    )
    # cos 2h = 2 square - 1, cos 4h = 8 square (square - 1) + 1, sin 4h = 4 product (2 square - 1)
    t = (square * (-1.6 * math.cos(fourth))).add_(product, alpha=-1.6 * math.sin(fourth))
    t.add_(0.48 + 1.6 * math.cos(fourth)).mul_(square)
    t.add_(product, alpha=0.8 * math.sin(fourth)).add_(0.76 - 0.2 * math.cos(fourth))
    return t.addcmul_(of_cos, cos).addcmul_(of_sin, sin)


def _seventh(sum_c: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)) of two chromas' mean, by the inverse of C / 25, maybe infinite."""
    ratio = 50 / sum_c
    cubed = ratio * ratio * ratio
    return cubed.square_().mul_(ratio).add_(1).rsqrt_()
