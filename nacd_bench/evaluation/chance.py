"""What raters who pick sides at random would confirm, and whether raters did better.

Each rater keeps the rate at which they call two sides the same, and else picks a side by a coin:
the neural one in half of the cases. How often that confirms a candidate follows exactly from the
rule and the raters who looked at it, without drawing anything.

Intervals are by photograph, since candidates of one resemble each other: a jackknife that leaves
out one photograph at a time (Miller 1974, "The jackknife - a review", Biometrika 61), with the
quantiles of Student's t. Their error is at least that of raters at random, so that a few answers
that happen to be alike do not look certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.evaluation.agreement import (
    LEVEL,
    NEURAL,
    SAME,
    Rule,
    alpha_of_coincidences,
    coincidences,
    is_confirmed,
)
from nacd_bench.evaluation.bootstrap import Floats, IntervalEstimate
from nacd_bench.numbers import estimate, percent, share


def confirmed_by_chance(same: Sequence[float], rule: Rule, raters: int) -> float | None:
    """Probability that raters at random confirm a candidate, if they decide about it.

    Args:
        same: of each rater who looked at it, the rate at which they see no difference.
        rule, raters: see :func:`nacd_bench.evaluation.agreement.is_confirmed`.

    Returns:
        0 to 1; None where so few raters decide nothing.

    >>> confirmed_by_chance([0, 0, 0], "any", 3), confirmed_by_chance([0, 0, 0], "majority", 3)
    (0.875, 0.5)
    """
    votes_for = np.ones(1)
    for rate in same:
        votes_for = np.convolve(votes_for, [(1 + rate) / 2, (1 - rate) / 2])
    sums = {True: 0.0, False: 0.0, None: 0.0}
    for count, probability in enumerate(votes_for.tolist()):
        answers = [NEURAL] * count + [SAME] * (len(same) - count)
        sums[is_confirmed(answers, rule, raters)] += probability
    decided = sums[True] + sums[False]
    return sums[True] / decided if decided else None


def beyond_chance(rows: Sequence[Mapping[str, Any]]) -> IntervalEstimate:
    """Share of decided candidates that were confirmed, minus the same by chance.

    Args:
        rows: with ``confirmed``, ``chance`` (:func:`confirmed_by_chance`) and ``image``;
            those that are not decided do not count.
    """
    decided = [row for row in rows if row["confirmed"] is not None]
    if not decided:
        return IntervalEstimate(math.nan, math.nan, math.nan, 0, 0)
    by_chance = np.array([row["chance"] for row in decided])
    beyond = np.array([row["confirmed"] for row in decided], np.float64) - by_chance
    photograph, photographs = _photographs([row["image"] for row in decided])
    sums = np.bincount(photograph, beyond)
    sizes = np.bincount(photograph)
    with np.errstate(invalid="ignore"):
        without = (sums.sum() - sums) / (len(decided) - sizes)
    error = math.sqrt(float((by_chance * (1 - by_chance)).sum())) / len(decided)
    return by_photograph(float(beyond.mean()), without, len(decided), photographs, error, most=1)


def agreement(units: Sequence[Sequence[str]], photographs: Sequence[str]) -> IntervalEstimate:
    """Krippendorff's alpha with its interval; NaN where it is not defined.

    Args:
        units: what raters answered, one sequence per candidate.
        photographs: of each candidate the photograph that it is a part of.
    """
    shared = [place for place, answers in enumerate(units) if len(answers) > 1]
    if not shared:
        return IntervalEstimate(math.nan, math.nan, math.nan, 0, 0)
    photograph, count = _photographs([photographs[place] for place in shared])
    together, answers = coincidences([units[place] for place in shared])
    of_photograph = np.zeros((count, *together.shape[1:]))
    np.add.at(of_photograph, photograph, together)
    total = of_photograph.sum(axis=0)
    without = alpha_of_coincidences(total - of_photograph)
    # two raters at random differ as often as two answers of all: of each candidate the mean of
    # m (m - 1) / 2 pairs, with the weight m
    apart = 1 - float(((total.sum(axis=1) / total.sum()) ** 2).sum())
    spread = (2 * answers / (answers - 1)).sum() / answers.sum() ** 2
    error = math.sqrt((1 - apart) / apart * spread) if apart > 0 else math.nan
    value = float(alpha_of_coincidences(total))
    return by_photograph(value, without, len(shared), count, error, most=1)


def warnings(
    seen: float | None, by_chance: float | None, beyond: IntervalEstimate, alpha: IntervalEstimate
) -> list[str]:
    """Sentences that whoever reads the results has to know; none where the votes mean something."""
    told = []
    if not beyond.n:
        told.append("No candidate is decided: the votes say nothing yet.")
    elif not beyond.low > 0:
        told.append(
            f"The votes do not show more than chance gives: {percent(seen)} of the candidates that "
            f"are decided ({beyond.n}) are confirmed, by chance {percent(by_chance)}; the "
            "difference is "
            f"{_with_interval(beyond, is_difference=True)}. What they confirm need not be "
            "artifacts. Ask raters who look closer, more of them, or about more photographs."
        )
    if not alpha.low > 0:
        told.append(
            "The votes do not show that raters agree more than by chance: Krippendorff's alpha is "
            f"{_with_interval(alpha)}. Show raters examples first, or ask others."
            if not math.isnan(alpha.value)
            else "Whether raters agree cannot be told: no two of them answered the same "
            "candidates, or all answers are alike."
        )
    return told


def _with_interval(estimated: IntervalEstimate, is_difference: bool = False) -> str:
    """With what the interval is by, or why there is none."""
    if math.isnan(estimated.low):
        value = f"{estimated.value:+.3f}" if is_difference else share(estimated.value)
        return f"{value}, without an interval, which takes two photographs or more"
    bounds = estimate(estimated.value, estimated.low, estimated.high, is_difference=is_difference)
    return f"{bounds} (95 % by {estimated.n_clusters} photographs)"


def _photographs(names: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """The number of each photograph, from 0, and how many there are."""
    known, place = np.unique([*map(str, names)], return_inverse=True)
    return place, len(known)


def by_photograph(
    value: float,
    without: Floats,
    n: int,
    count: int,
    least_error: float = 0.0,
    most: float = math.inf,
) -> IntervalEstimate:
    """A value with its interval from the values without each photograph.

    Args:
        value: of all photographs.
        without: ``(count,)``.
        n, count: candidates and photographs.
        least_error: the standard error is no smaller.
        most: what values cannot exceed, either way.
    """
    from scipy.stats import t

    if count < 2 or not np.isfinite([value, *without, least_error]).all():
        return IntervalEstimate(value, math.nan, math.nan, n, count)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    reach = float(t.ppf((1 + LEVEL) / 2, count - 1)) * max(error, least_error)
    return IntervalEstimate(value, max(-most, value - reach), min(most, value + reach), n, count)
