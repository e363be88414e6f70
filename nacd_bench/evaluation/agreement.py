"""What votes say: whether an artifact is one, how much raters agree, how good detectors are.

Krippendorff's alpha is 1 where raters always agree, 0 where no more than by chance. Nominal data,
any number of raters, missing answers allowed: K. Krippendorff, "Computing Krippendorff's
Alpha-Reliability", 2011, section C. The libraries that have it are under the GPL.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.evaluation.duplicates import found_by

NEURAL, TRADITIONAL, SAME = "neural", "traditional", "same"
"""What a rater said, whichever sides were shown: that side is the worse one, or none is."""
Rule = Literal["any", "majority", "unanimous"]
LEVEL = 0.95
ALL = "all"
"""Name of the operating point that stands for all."""
SHARES = (
    *("detector", "preset", "low_confidence", "high_confidence", "mean_confidence"),
    *("decided", "confirmed", "share", "low", "high", "chance"),
)
"""What :func:`precision` says of some candidates: whose they are, their confidences, how many were
decided and confirmed, the share of these with its interval by Clopper and Pearson 1934, 95 % of any
number, and the share that raters at random would confirm
(:func:`nacd_bench.evaluation.chance.confirmed_by_chance`)."""


def coincidences(units: Sequence[Sequence[str]]) -> tuple[Floats, Floats]:
    """How often two answers stand together in each unit.

    Args:
        units: of two answers or more.

    Returns:
        ``(units, k, k)`` for k different answers, each pair with the weight 1 / (answers - 1); and
        ``(units,)`` how many answers a unit has.
    """
    names = {name: place for place, name in enumerate(sorted(set().union(*units)))}
    counts = np.zeros((len(units), len(names)))
    for unit, answers in zip(counts, units, strict=True):
        for answer in answers:
            unit[names[answer]] += 1
    answered = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(names))
    return pairs / (answered - 1)[:, None, None], answered


def alpha_of_coincidences(together: Floats) -> Floats:
    """Alpha of sums of :func:`coincidences`, ``(..., k, k)``; NaN where it is not defined."""
    totals = together.sum(axis=-1)
    n = totals.sum(axis=-1)
    by_chance = n**2 - (totals**2).sum(axis=-1)
    apart = n - np.trace(together, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # a remainder of rounding is no disagreement
        return np.where(by_chance > 1e-9, 1 - (n - 1) * apart / by_chance, np.nan)


def is_confirmed(answers: Sequence[str], rule: Rule, raters: int) -> bool | None:
    """Whether people saw an artifact; None as long as too few have looked.

    Args:
        answers: what each rater said.
        rule: ``"majority"``: more than half; ``"any"``: one of the raters is enough, the rule of
            the paper (section 4.2); ``"unanimous"``: all.
        raters: how many were to look.

    >>> is_confirmed(["neural", "same"], "any", 3), is_confirmed(["same", "same"], "any", 3)
    (True, None)
    >>> is_confirmed(["neural", "same", "traditional"], "majority", 3)
    False
    """
    count = max(raters, len(answers))
    votes_for = answers.count(NEURAL)
    needed = {"any": 1, "majority": count // 2 + 1, "unanimous": count}[rule]
    if votes_for >= needed:
        return True
    return False if len(answers) - votes_for > count - needed else None


def precision(candidates: Iterable[Mapping[str, Any]], bins: int) -> Iterator[dict[str, Any]]:
    """Share confirmed per detector: of all, by operating point, by bin of confidence.

    Args:
        candidates: rows with ``found_by``, ``preset``, ``confirmed`` and ``chance``, each of which
            counts for every detector that found it; those that are not decided do not count.
        bins: of each detector, with about as many candidates each.
    """
    decided = [
        {**row, "detector": detector, "confidence": confidence}
        for row in candidates
        if row["confirmed"] is not None
        for detector, confidence in found_by(row).items()
    ]
    for detector in sorted({row["detector"] for row in decided}):
        rows = [row for row in decided if row["detector"] == detector]
        rows.sort(key=lambda row: row["confidence"])
        yield share_confirmed(detector, ALL, rows)
        for preset in sorted({row["preset"] for row in rows}):
            yield share_confirmed(detector, preset, [r for r in rows if r["preset"] == preset])
        parts = _parts([row["confidence"] for row in rows], bins)
        for part in parts if len(parts) > 1 else ():
            yield share_confirmed(detector, ALL, rows[part])


def share_confirmed(
    detector: str, preset: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """How many of some decided candidates people confirmed, see :data:`SHARES`."""
    from scipy.stats import binomtest

    confirmed = sum(row["confirmed"] for row in rows)
    interval = binomtest(confirmed, len(rows)).proportion_ci(LEVEL, method="exact")
    values = [float(row["confidence"]) for row in rows]
    ends = min(values), max(values), float(np.mean(values))
    counts = len(rows), confirmed, confirmed / len(rows), interval.low, interval.high
    chance = math.fsum(row["chance"] for row in rows) / len(rows)
    return dict(zip(SHARES, (detector, preset, *ends, *counts, chance), strict=True))


def _parts(values: Sequence[float], bins: int) -> list[slice]:
    """Rows of each bin of rising values, about as many in each; equal values are in one bin.

    >>> _parts([0.1, 0.2, 0.2, 0.3], 2), _parts([0.5, 0.5, 0.5], 2)
    ([slice(0, 1, None), slice(1, 4, None)], [slice(0, 3, None)])
    """
    cuts = [part[0] for part in np.array_split(np.arange(len(values)), min(bins, len(values)))]
    starts = sorted({bisect_left(values, values[cut]) for cut in cuts})
    return [slice(*ends) for ends in itertools.pairwise([*starts, len(values)])]
