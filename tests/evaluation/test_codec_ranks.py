"""Ranks and tests of codecs against plain loops."""

import math
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.codec_ranks import (
    codec_ranks,
    pair_tests,
    rate_of,
    severity_of,
    share_of,
)
from nacd_bench.evaluation.paired_versions import mean_of_sums

RNG = np.random.default_rng(3)
FEW = Resampling(resamples=400)


def test_p_is_that_of_all_signs() -> None:
    """All 2^12 signs of the differences, one by one; whole numbers in 10,000 steps are near."""
    values = {name: RNG.random(12) + level for name, level in (("a", 0), ("b", 0.3), ("c", 0.1))}
    tests = pair_tests(values, FEW)
    assert list(tests) == list(combinations(values, 2))
    for (first, second), test in tests.items():
        change = values[first] - values[second]
        observed = abs(change.sum())
        sums = [abs((np.array(signs) * change).sum()) for signs in product((-1, 1), repeat=12)]
        p = np.mean([each >= observed - 1e-12 for each in sums])
        assert test.p == pytest.approx(p, abs=3 / 2**12)
        assert test.difference.value == pytest.approx(change.mean(), rel=1e-12)
        assert test.difference.low < test.difference.value < test.difference.high
    order = sorted(tests.values(), key=lambda test: test.p)
    holm = np.maximum.accumulate([test.p * (3 - place) for place, test in enumerate(order)])
    assert [test.p_holm for test in order] == pytest.approx(np.minimum(holm, 1))


def test_places_are_those_of_a_loop_over_resamples() -> None:
    values = {name: RNG.random(25) + level for name, level in (("a", 0.1), ("b", 0), ("c", 1))}
    drawn = []
    weights = np.random.default_rng(FEW.seed).multinomial(25, np.full(25, 1 / 25), FEW.resamples)
    for row in weights:
        means = {name: (row * each).sum() / 25 for name, each in values.items()}
        drawn.append({name: 1 + sum(m < means[name] for m in means.values()) for name in values})
    ranks = codec_ranks(values, FEW)
    assert list(ranks) == sorted(values, key=lambda name: values[name].mean())
    for name, rank in ranks.items():
        places = sorted(places[name] for places in drawn)
        assert (rank.low, rank.high) == (places[9], places[389])
    assert ranks["c"].rank == 3 and ranks["a"].rank == ranks["b"].rank == 1


def test_those_between_join_the_rank_of_their_neighbours() -> None:
    """The first and the last do not overlap, the middle does with both."""
    base = RNG.random(40)
    noise = [RNG.normal(0, 0.1, 40) for _ in range(3)]
    values = {name: base + k * 0.02 + noise[k] for k, name in enumerate("abc")}
    ranks = codec_ranks(values, FEW)
    reach = [(rank.low, rank.high) for rank in ranks.values()]
    joined = all(after[0] <= before[1] for before, after in pairwise(reach))
    assert joined == ({rank.rank for rank in ranks.values()} == {1})


def test_no_rank_under_twenty_photographs_and_equals_share_the_first() -> None:
    few, equal = np.arange(19) / 19, np.ones(20)
    assert [rank.rank for rank in codec_ranks({"a": few, "b": few + 1}, FEW).values()] == [None] * 2
    assert [rank.rank for rank in codec_ranks({"a": equal, "b": equal}, FEW).values()] == [1, 1]
    assert pair_tests({"a": equal, "b": equal}, FEW)["a", "b"].p == 1
    assert codec_ranks({}, FEW) == {}


def test_a_share_of_few_photographs_has_an_exact_interval() -> None:
    share = share_of([1.0, 1.0, 1.0], FEW)
    assert (share.value, share.high) == (1, 1) and share.low == pytest.approx(0.025 ** (1 / 3))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_counts_that_do_not_differ_have_the_exact_interval_of_poisson(count: int) -> None:
    """At each end a sum as far as the one that was seen has a chance of 2.5 %."""
    sizes = np.full(24, 0.4)
    rate = rate_of(np.full(24, float(count)), sizes, FEW)
    low, high = rate.low * sizes.sum(), rate.high * sizes.sum()
    terms = [math.exp(-high) * high**k / math.factorial(k) for k in range(24 * count + 1)]
    assert sum(terms) == pytest.approx(0.025)
    assert rate.value == pytest.approx(count / 0.4)
    fewer = [math.exp(-low) * low**k / math.factorial(k) for k in range(24 * count)]
    assert low == 0 if not count else 1 - sum(fewer) == pytest.approx(0.025)


def test_counts_that_differ_have_that_of_a_mean() -> None:
    counts = RNG.integers(0, 3, 30)
    assert rate_of(counts, np.ones(30), FEW) == mean_of_sums(counts, np.ones(30), FEW)


def test_severities_that_are_all_0_leave_open_how_many_are_not() -> None:
    """At the upper end no photograph of 24 has the strongest with a chance of 2.5 %."""
    mean = severity_of(np.zeros(24), FEW)
    assert (mean.value, mean.low) == (0, 0)
    assert (1 - mean.high / 3) ** 24 == pytest.approx(0.025)
    values = RNG.random(24)
    assert severity_of(values, FEW) == mean_of_sums(values, np.ones(24), FEW)
