"""The colour difference CIEDE2000.

Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary
test data, and mathematical observations", 2005; equation numbers are theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nacd_bench.ops.planes import blockwise

HUE_SHIFT = 30.0
"""Degrees in the first term of T (eq. 15)."""

OPPOSITE = 1 - 1e-6
"""Hues count as opposite a little beyond half a turn: rounding must not choose their bisector."""


def ciede2000(
    lab1: Tensor, lab2: Tensor, hue_shift: float = HUE_SHIFT, drop_gray: bool = False
) -> Tensor:
    """CIEDE2000 with unit weights k_L = k_C = k_H = 1.

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
    (l1, a1, b1), (l2, a2, b2) = lab1.unbind(1), lab2.unbind(1)

    # a', C', h' (eq. 2-7)
    mean_c = torch.hypot(a1, b1).add_(torch.hypot(a2, b2)).mul_(0.5)
    stretch = _seventh(mean_c).mul_(-0.5).add_(1.5)
    a1p, a2p = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1p, b1), torch.hypot(a2p, b2)
    h1, h2 = _hue(a1p, b1), _hue(a2p, b2)

    # differences and mean hue (eq. 8-14): the mean lies on the shorter arc
    dl, dc = l2 - l1, c2 - c1
    turn = h2 - h1
    turn.sub_(torch.round(turn * (OPPOSITE / (2 * math.pi))).mul_(2 * math.pi))
    half_turn = turn.mul_(0.5)
    dh = torch.sin(half_turn).mul_((c1 * c2).sqrt_()).mul_(2)
    mean_h = torch.remainder(h1.add_(half_turn), 2 * math.pi)
    mean_l = (l1 + l2).mul_(0.5).sub_(50).square_()
    mean_c = c1.add_(c2).mul_(0.5)

    # weights (eq. 15-21)
    t = torch.cos(mean_h - hue_shift).mul_(-0.17).add_(1)
    t.add_(torch.cos(2 * mean_h), alpha=0.24)
    t.add_(torch.cos(3 * mean_h + math.radians(6)), alpha=0.32)
    t.sub_(torch.cos(4 * mean_h - math.radians(63)), alpha=0.20)
    s_l = (mean_l * 0.015).div_(mean_l.add_(20).sqrt_()).add_(1)
    s_c = (mean_c * 0.045).add_(1)
    s_h = t.mul_(mean_c).mul_(0.015).add_(1)
    r_c = _seventh(mean_c).mul_(2)
    theta = mean_h.sub_(math.radians(275)).div_(math.radians(25)).square_().neg_().exp_()
    r_t = theta.mul_(math.radians(60)).sin_().mul_(r_c).neg_()

    # the distance (eq. 22)
    dl, dc, dh = dl.div_(s_l), dc.div_(s_c), dh.div_(s_h)
    chromatic = dc.square().addcmul_(dh, dh).add_(r_t.mul_(dc).mul_(dh))
    if drop_gray:
        chromatic.masked_fill_(((a1 == 0) & (b1 == 0)) | ((a2 == 0) & (b2 == 0)), 0)
    return dl.square_().add_(chromatic).clamp_(min=0).sqrt_()


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """Angle in [0, 2 pi); opposite hues have two bisectors, and the range decides which."""
    return torch.atan2(b, a).remainder_(2 * math.pi)


def _seventh(c: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7))."""
    ratio = c / 25
    cubed = ratio * ratio * ratio
    power = cubed.square_().mul_(ratio)
    return power.div_(power + 1).sqrt_()
