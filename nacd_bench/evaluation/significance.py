"""p values that do not hang on what is tested: signs, ranks, and Holm's correction.

Exact p values of tests whose null hypothesis makes every sign as likely as its opposite:
Wilcoxon's signed-rank test on ranks with ties, and the permutation test of two AUCs, are both the
sum of whole numbers with signs. Its distribution over all signs is summed up one number at a time,
which needs no table, no formula for ties and no large sample.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

MOST_STEPS = 2 * 10**8
"""Additions for the exact distribution (under a second)."""
UNEVEN = 0.1
"""Lyapunov's ratio over which a sum is not normal, because few of its numbers rule it."""
DRAWS = 10**5

Key = TypeVar("Key", bound=Hashable)
Test = TypeVar("Test", bound=Any)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p values corrected for their number (Holm 1979); NaN stays and does not count.

    The k-th smallest of m is multiplied by m - k + 1; none may fall below a smaller one's.

    >>> holm([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    steps = np.arange(len(order), 0, -1) * p[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def holm_corrected(tests: Mapping[Key, Test]) -> dict[Key, Test]:
    """Tests that have ``p`` with their ``p_holm``, one family; NaN stays NaN."""
    corrected = holm([test.p for test in tests.values()]).tolist()
    return {
        key: replace(test, p_holm=p)
        for (key, test), p in zip(tests.items(), corrected, strict=True)
    }


def wilcoxon_p(change: ArrayLike) -> float:
    """Wilcoxon's signed-rank test, two-sided and exact; zeros are left out, ties share a rank.

    >>> wilcoxon_p([1, 2, 3, 4, 5, 0, 0, 0]), wilcoxon_p([2, 2, -2]), wilcoxon_p([])
    (0.0625, 1.0, 1.0)
    """
    changed = np.asarray(change, np.float64)
    changed = changed[changed != 0]
    return sign_flip_p(np.rint(2 * rankdata(np.abs(changed))) * np.sign(changed))


def sign_flip_p(signed: ArrayLike) -> float:
    """Two-sided p value of the sum of whole numbers, each as likely to have the other sign.

    Args:
        signed: ``(n,)`` whole numbers as observed; zeros say nothing.

    >>> sign_flip_p([1, 2, 3, 4, 5]), sign_flip_p([2, 2, -2]), sign_flip_p([])
    (0.0625, 1.0, 1.0)
    """
    values = np.asarray(signed, np.int64)
    values = values[values != 0]
    observed = abs(int(values.sum()))
    if not observed:
        return 1.0
    divisor = np.gcd.reduce(values)
    observed, sizes = observed // int(divisor), np.sort(np.abs(values // divisor))
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
    return float(min(1.0, 2 * share[(reach + observed) // 2 :].sum()))


def _approximate_p(sizes: NDArray[np.float64], observed: float) -> float:
    """From the normal distribution, or from random signs (seeded) where that does not fit."""
    spread = math.sqrt(float(np.sum(sizes**2)))
    if np.sum(sizes**3) / spread**3 < UNEVEN:
        return float(2 * norm.sf(observed / spread))
    rng, sums = np.random.default_rng(0), np.zeros(DRAWS)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        sums += size * (2 * rng.binomial(count, 0.5, DRAWS) - count)
    return float((1 + np.count_nonzero(np.abs(sums) >= observed)) / (1 + DRAWS))
