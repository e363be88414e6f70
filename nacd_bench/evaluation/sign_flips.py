"""Exact p values of tests whose null hypothesis makes every sign as likely as its opposite.

Wilcoxon's signed-rank test on ranks with ties, and the permutation test of two AUCs, are both the
sum of whole numbers with signs. Its distribution over all signs is summed up one number at a time,
which needs no table, no formula for ties and no large sample.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

MOST_STEPS = 2 * 10**8
"""Additions for the exact distribution (under a second)."""
UNEVEN = 0.1
"""Lyapunov's ratio over which a sum is not normal, because few of its numbers rule it."""
DRAWS = 10**5


def sign_flip_p(signed: ArrayLike) -> float:
    """Two-sided p value of the sum of whole numbers, each as likely to have the other sign.

    Args:
        signed: ``(n,)`` whole numbers as observed; zeros say nothing.

    >>> sign_flip_p([1, 2, 3, 4, 5]), sign_flip_p([2, 2, -2]), sign_flip_p([])
    (0.0625, 1.0, 1.0)
    """
    values = np.asarray(signed, np.int64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    values = values // np.gcd.reduce(values)
    observed, sizes = abs(int(values.sum())), np.sort(np.abs(values))
    reach = int(sizes.sum())
    if len(sizes) * reach > MOST_STEPS:
        return _approximate_p(sizes.astype(np.float64), observed)
    # number of ways to pick a subset of each sum, as a share of all subsets
    share = np.zeros(reach + 1)
    share[0], top = 1.0, 0
    for size in sizes.tolist():
        share[size : top + size + 1] += share[: top + 1].copy()
        share[: top + size + 1] /= 2
        top += size
    # a subset with sum s taken negative leaves reach - 2 s
    least = (reach + observed) // 2
    return float(min(1.0, 2 * share[least:].sum())) if observed else 1.0


def _approximate_p(sizes: NDArray[np.float64], observed: float) -> float:
    """From the normal distribution, or from random signs (seeded) where that does not fit."""
    spread = math.sqrt(float(np.sum(sizes**2)))
    if np.sum(sizes**3) / spread**3 < UNEVEN:
        return float(2 * norm.sf(observed / spread))
    rng, sums = np.random.default_rng(0), np.zeros(DRAWS)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        sums += size * (2 * rng.binomial(count, 0.5, DRAWS) - count)
    return float((1 + np.count_nonzero(np.abs(sums) >= observed)) / (1 + DRAWS))
