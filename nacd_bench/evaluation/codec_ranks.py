"""Codecs in order of the artifacts that they make, with what chance leaves open.

The unit is the photograph: all codecs are judged on the same ones, and what a photograph is worth
is one number for each codec. Every two codecs are compared by a permutation test of their paired
differences (the sign of each is as likely to be the opposite where the codecs do not differ), all
of them corrected by Holm. A rank is the place of a codec by its mean; its interval is over
resamples of photographs, and codecs whose intervals overlap, also by way of others between them,
share the best place of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainccinv, gammaincinv

from nacd_bench.evaluation.bootstrap import (
    FEW,
    Clusters,
    Floats,
    IntervalEstimate,
    Resampling,
    estimate,
    exact_interval,
)
from nacd_bench.evaluation.paired_versions import DEFAULT, PairedTest, mean_of_sums
from nacd_bench.evaluation.significance import holm_corrected, sign_flip_p
from nacd_bench.triplets.grades import STRONGEST

STEPS = 10_000
"""Of the largest difference, to which differences are rounded: the exact test needs whole numbers.
"""


@dataclass(frozen=True)
class CodecRank:
    """The place of a codec.

    Args:
        rank: 1 for the fewest artifacts; None under :data:`FEW` photographs.
        low, high: ends of the interval of its place.
    """

    rank: int | None
    low: int
    high: int


def share_of(values: ArrayLike, resampling: Resampling = DEFAULT) -> IntervalEstimate:
    """Mean over ``(n,)`` photographs of shares in [0, 1]."""
    x = np.asarray(values, np.float64)
    clusters = Clusters(np.zeros(len(x)))
    return estimate(lambda w: w @ x / w.sum(axis=1), clusters, resampling, sources=len(x))


def severity_of(values: ArrayLike, resampling: Resampling = DEFAULT) -> IntervalEstimate:
    """Mean over ``(n,)`` photographs of severities in [0, 3].

    Where they do not differ, as where all are 0, it has the interval of a share of 3.

    >>> mean = severity_of(np.zeros(24))
    >>> mean.low, round(mean.high, 2)
    (0.0, 0.43)
    """
    x = np.asarray(values, np.float64)
    mean = mean_of_sums(x, np.ones(len(x)), resampling)
    if not math.isclose(mean.low, mean.high, rel_tol=1e-9):
        return mean
    low, high = exact_interval(mean.value / STRONGEST, len(x), resampling.level)
    return replace(mean, low=STRONGEST * low, high=STRONGEST * high)


def rate_of(
    counts: ArrayLike, sizes: ArrayLike, resampling: Resampling = DEFAULT
) -> IntervalEstimate:
    """Sum of ``(n,)`` counts by that of sizes, its interval over photographs.

    Where photographs do not differ, as where none has anything, resamples say nothing: it is then
    the exact interval of a Poisson count (Garwood 1936).

    >>> rate = rate_of(np.zeros(24), np.ones(24))
    >>> rate.value, rate.low, round(rate.high, 3)
    (0.0, 0.0, 0.154)
    """
    rate = mean_of_sums(counts, sizes, resampling)
    if not math.isclose(rate.low, rate.high, rel_tol=1e-9):
        return rate
    total, size = float(np.sum(counts)), float(np.sum(sizes))
    tail = (1 - resampling.level) / 2
    low = float(gammaincinv(total, tail)) if total else 0.0
    return replace(rate, low=low / size, high=float(gammainccinv(total + 1, tail)) / size)


def pair_tests(
    values: Mapping[str, ArrayLike], resampling: Resampling = DEFAULT
) -> dict[tuple[str, str], PairedTest]:
    """Permutation tests of first - second of every two codecs, in their order.

    Args:
        values: ``(n,)`` of the same photographs by codec.

    >>> tests = pair_tests({"a": [0.1, 0.2, 0.3, 0.1], "b": [0.2, 0.4, 0.4, 0.2]})
    >>> test = tests["a", "b"]
    >>> round(test.difference.value, 3), test.p
    (-0.125, 0.125)
    """
    tests = {}
    for first, second in combinations(values, 2):
        a, b = (np.asarray(values[name], np.float64) for name in (first, second))
        change = a - b
        largest = np.abs(change).max(initial=0)
        p = sign_flip_p(np.rint(change / largest * STEPS)) if largest else 1.0
        tests[first, second] = PairedTest(mean_of_sums(change, np.ones(len(a)), resampling), p)
    return holm_corrected(tests)


def codec_ranks(
    values: Mapping[str, ArrayLike], resampling: Resampling = DEFAULT
) -> dict[str, CodecRank]:
    """The places of codecs, the best first.

    Args:
        values: ``(n,)`` of the same photographs by codec; less is better.

    >>> photographs = np.arange(20) / 20
    >>> ranks = codec_ranks({"a": photographs + 1, "b": photographs, "c": photographs[::-1]})
    >>> [(name, each.rank, each.low, each.high) for name, each in ranks.items()]
    [('b', 1, 1, 2), ('c', 1, 1, 2), ('a', 3, 3, 3)]
    """
    if not values:
        return {}
    table: Floats = np.array([np.asarray(each, np.float64) for each in values.values()])
    clusters = Clusters(np.zeros(table.shape[1]))
    tail = (1 - resampling.level) / 2
    places = np.concatenate(
        [_places(weights @ table.T) for weights in clusters.resampled(resampling)]
    )
    low, high = (
        np.quantile(places, level, axis=0, method="inverted_cdf") for level in (tail, 1 - tail)
    )
    order = np.argsort(table.mean(axis=1), kind="stable").tolist()
    ranks: dict[str, CodecRank] = {}
    names, rank, reach = list(values), 1, 0
    for position, place in enumerate(order, 1):
        if low[place] > reach:
            rank = position
        reach = max(reach, int(high[place]))
        shown = rank if table.shape[1] >= FEW else None
        ranks[names[place]] = CodecRank(shown, int(low[place]), int(high[place]))
    return ranks


def _places(means: Floats) -> Floats:
    """``(r, k)`` means to places from 1; equal ones share the better."""
    return 1.0 + (means[:, :, None] > means[:, None, :] + 1e-12).sum(axis=2)
