"""Intervals by a stratified cluster bootstrap: BCa (Efron 1987), vectorised over resamples.

What is resampled are source images (clusters), never rows: crops, rates and codecs of one source
resemble each other and count as one piece of evidence. Clusters with positives only, with
negatives only and with both are resampled apart, so that every resample has as many clusters of
each kind as the data (for a balanced set: positives and negatives apart).

A statistic is a function of weights, ``(r, n) -> (r,)``: row ``i`` of the data counts
``weights[:, i]`` times. One resample is one row of weights.

The interval is the bias-corrected and accelerated one, with the acceleration from a jackknife over
clusters within strata (Efron 1987, "Better bootstrap confidence intervals", JASA 82; Davison and
Hinkley 1997, "Bootstrap methods and their application", eq. 5.22 and sec. 5.3 for strata). Plain
percentiles cover too little near an AUC of 1; ``docs/statistics.md`` has the figures.

Resamples of few images resemble each other too much, and where no resample differs there is no
spread at all. A share of fewer than :data:`FEW` sources, or without spread, gets the interval of
:func:`exact_interval` in place of the bootstrap's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv, ndtr, ndtri

from nacd_bench.settings import Count, Number, options

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""``(r, n)`` weights, 0 or more, to ``(r,)`` values."""

FEW = 20
"""Sources under which a bootstrap interval, or a normal one, holds the truth too seldom."""
CHUNK = 2**22
"""Weights held at a time (32 MiB)."""


@options
class Resampling:
    """How an interval is made.

    Args:
        resamples: number of bootstrap resamples.
        level: share of intervals that are to hold the true value.
        seed: the same seed and data give the same interval.
    """

    resamples: Number = 10_000
    level: Annotated[float, Gt(0), Lt(1)] = 0.95
    seed: Count = 0


DEFAULT = Resampling()


@dataclass(frozen=True)
class IntervalEstimate:
    """A value with its interval.

    Args:
        value, low, high: NaN where there is no data.
        n: rows behind it.
        n_clusters: source images behind it.
    """

    value: float
    low: float
    high: float
    n: int
    n_clusters: int


class Clusters:
    """The units of a resample: source images, in strata.

    ``on_sides`` says how many sources have positives and how many negatives, as so many of equal
    size; ``counts`` how many rows each source has.

    Args:
        truth: ``(n,)`` of 0 and 1; sets the stratum of each row's cluster.
        names: ``(n,)`` cluster of each row; None makes each row its own. The order of rows does
            not matter where names are given and no two rows of a cluster differ in weight.
    """

    def __init__(
        self, truth: ArrayLike, names: Sequence[str] | NDArray[np.str_] | None = None
    ) -> None:
        positive = np.asarray(truth, bool)
        if names is not None and len(names) != len(positive):
            raise ValueError(
                f"Expected as many cluster names as rows. Got {len(names)} and {len(positive)}."
            )
        labels = np.arange(len(positive)) if names is None else np.asarray([*map(str, names)])
        _, self.of_row = np.unique(labels, return_inverse=True)
        self.count = int(self.of_row.max(initial=-1)) + 1
        rows_of = [
            np.bincount(self.of_row[side], minlength=self.count) for side in (positive, ~positive)
        ]
        self.counts = rows_of[0] + rows_of[1]
        # so many sources of equal size whose mean is as uncertain (Kish 1965)
        self.on_sides = [float(rows.sum() ** 2 / max((rows**2).sum(), 1)) for rows in rows_of]
        kind = (rows_of[0] > 0) + 2 * (rows_of[1] > 0)
        self.strata = [np.flatnonzero(kind == stratum) for stratum in np.unique(kind)]

    def sums(self, values: ArrayLike) -> Floats:
        """``(..., n)`` values summed by source, in the order of names: ``(..., count)``."""
        return np.apply_along_axis(
            lambda row: np.bincount(self.of_row, row, self.count), -1, np.asarray(values)
        )

    def resampled(self, resampling: Resampling) -> Iterator[Floats]:
        """Weights of all resamples, ``(r, n)`` at a time."""
        rng = np.random.default_rng(resampling.seed)
        at_a_time = max(1, CHUNK // max(1, len(self.of_row)))
        for first in range(0, resampling.resamples, at_a_time):
            rows = min(at_a_time, resampling.resamples - first)
            times = np.empty((rows, self.count))
            for members in self.strata:
                even = np.full(len(members), 1 / len(members))
                times[:, members] = rng.multinomial(len(members), even, rows)
            yield times[:, self.of_row]

    def left_out(self) -> Iterator[tuple[int, Floats]]:
        """For each stratum of two clusters or more its size and the jackknife's ``(r, n)`` weights.

        Row ``j`` leaves the stratum's cluster ``j`` out; the others make up for it.
        """
        at_a_time = max(1, CHUNK // max(1, len(self.of_row)))
        for members in self.strata:
            size = len(members)
            if size < 2:
                continue
            for first in range(0, size, at_a_time):
                some = members[first : first + at_a_time]
                times = np.ones((len(some), self.count))
                times[:, members] = size / (size - 1)
                times[np.arange(len(some)), some] = 0
                yield size, times[:, self.of_row]


def estimate(
    statistic: Statistic,
    clusters: Clusters,
    resampling: Resampling = DEFAULT,
    sources: float | None = None,
) -> IntervalEstimate:
    """The statistic of the data with its interval.

    Args:
        sources: for a statistic that is a mean of shares in [0, 1]: how many sources it averages,
            for :func:`exact_interval` where they are few or the data have no spread.

    >>> hits = np.repeat([1.0, 1, 1, 0, 1, 0, 1, 1, 0, 1], 2)
    >>> share = estimate(lambda w: w @ hits / w.sum(axis=1), Clusters(hits * 0))
    >>> share.value, round(share.low, 2), round(share.high, 2)
    (0.7, 0.45, 0.9)
    """
    rows = len(clusters.of_row)
    if not rows:
        return IntervalEstimate(float("nan"), float("nan"), float("nan"), 0, 0)
    value = float(statistic(np.ones((1, rows)))[0])
    if sources is not None and sources < FEW:
        bounds = exact_interval(value, sources, resampling.level)
        return IntervalEstimate(value, *bounds, rows, clusters.count)
    drawn = np.concatenate([statistic(weights) for weights in clusters.resampled(resampling)])
    influence = [
        (size - 1) / size * (value - statistic(weights)) for size, weights in clusters.left_out()
    ]
    low, high = _bca(value, drawn, np.concatenate(influence or [np.zeros(0)]), resampling.level)
    if sources is not None and low == high:
        low, high = exact_interval(value, sources, resampling.level)
    return IntervalEstimate(value, low, high, rows, clusters.count)


def exact_interval(value: float, sources: float, level: float) -> tuple[float, float]:
    """The interval of Clopper and Pearson 1934 for a mean of shares, one per source.

    Of all values in [0, 1] with a given mean, zeros and ones spread most: an interval that holds
    the mean of those holds that of others at least as often. It is wide, as few images are.

    Args:
        value: the mean, in [0, 1]; times ``sources`` it need not be a whole number.
        sources: how many it averages, as :class:`Clusters` counts them.
        level: share of intervals that are to hold the true mean, at least.

    >>> [round(bound, 3) for bound in exact_interval(1.0, 3, 0.95)]
    [0.292, 1.0]
    """
    hits, misses = value * sources, (1 - value) * sources
    tail = (1 - level) / 2
    low = float(betaincinv(hits, misses + 1, tail)) if hits > 0 else 0.0
    high = float(betainccinv(hits + 1, misses, tail)) if misses > 0 else 1.0
    return min(low, value), max(high, value)


def _bca(value: float, drawn: Floats, influence: Floats, level: float) -> tuple[float, float]:
    """Quantiles of ``drawn`` at the levels that correct its bias and its skew."""
    same = np.isclose(drawn, value, rtol=0, atol=1e-12)
    if same.all():
        return value, value
    # half of the ties count as below: statistics of ranks and shares take few values
    below = float(np.mean((drawn < value) & ~same) + np.mean(same) / 2)
    edge = 0.5 / len(drawn)
    bias = ndtri(np.clip(below, edge, 1 - edge))
    spread = float(np.sum(influence**2)) ** 1.5
    acceleration = float(np.sum(influence**3)) / (6 * spread) if spread > 0 else 0.0
    z = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(drawn, ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
