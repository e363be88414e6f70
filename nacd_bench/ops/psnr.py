"""Decibels of a mean squared error, free of torch."""

from __future__ import annotations

import math

LEAST_ERROR = 1e-30
"""Mean squared error, on [0, 1], under which two planes are equal: float64 rounds luma by 1e-16."""

EQUAL = -10 * math.log10(LEAST_ERROR)
"""dB of equal planes, 300: more than planes that differ can have. One level of blue of 16 bits in
one of 10^9 pixels is 205 dB."""


def psnr(error: float) -> float:
    """PSNR in dB of a mean squared error on [0, 1]; :data:`EQUAL` of equal planes.

    >>> psnr(1e-4), psnr(0.0)
    (40.0, 300.0)
    """
    return -10 * math.log10(max(error, LEAST_ERROR))
