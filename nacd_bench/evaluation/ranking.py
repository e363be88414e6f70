"""Codecs by what raters prefer: R. Bradley and M. Terry, "Rank analysis of incomplete block
designs", Biometrika 39, 1952.

A codec of strength ``s`` is preferred to one of strength ``t`` with the probability
``1 / (1 + exp(t - s))``. The most likely strengths are found as in D. Hunter, "MM algorithms for
generalized Bradley-Terry models", Annals of Statistics 32, 2004. An answer that chooses no side is
half a vote for each, and one such answer is added for every two codecs that were compared, so that
a codec that never wins has a finite strength.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from nacd_bench.evaluation.bootstrap import Floats, IntervalEstimate
from nacd_bench.evaluation.chance import by_photograph
from nacd_bench.triplets.record import named_version

ROUNDS, CLOSE = 10_000, 1e-10
"""Most rounds, and the change of a strength at which they end."""


class Preference(NamedTuple):
    """Votes on one place.

    Args:
        photograph: that it is a part of.
        codecs: the two that were compared.
        votes: how many preferred the first, and the second; halves where a rater chose neither.
    """

    photograph: str
    codecs: tuple[str, str]
    votes: tuple[float, float]


class Ranked(NamedTuple):
    """A codec.

    Args:
        codec: its name.
        preferred: share of its votes that preferred it, neither side counting half.
        strength: with its interval by photograph; the mean of all codecs is 0.
    """

    codec: str
    preferred: float
    strength: IntervalEstimate


def preferences(rows: Iterable[Mapping[str, Any]]) -> Iterator[Preference]:
    """What raters preferred, from rows of ``verified``: the neural or the traditional codec."""
    for row in rows:
        neutral = row["votes_same"] / 2
        votes = row["votes_against"] - row["votes_same"] + neutral, row["votes_for"] + neutral
        neural, traditional = (
            named_version(row[f"{side}_codec"] or side, row[f"{side}_version"])
            for side in ("neural", "traditional")
        )
        yield Preference(str(row["image"]), (neural, traditional), votes)


def ranking(compared: Iterable[Preference]) -> list[Ranked]:
    """Codecs, the strongest first; none where some were compared with none of the others.

    >>> first, second = ranking([Preference("a", ("x", "y"), (29.5, 9.5))])
    >>> first.codec, round(first.preferred, 3), round(first.strength.value, 3)
    ('x', 0.756, 0.549)
    """
    given = [each for each in compared if sum(each.votes)]
    codecs = sorted({codec for each in given for codec in each.codecs})
    photographs = sorted({each.photograph for each in given})
    wins = np.zeros((len(photographs), len(codecs), len(codecs)))
    for each in given:
        one, other = map(codecs.index, each.codecs)
        place = photographs.index(each.photograph)
        wins[place, one, other] += each.votes[0]
        wins[place, other, one] += each.votes[1]
    total = wins.sum(axis=0)
    if len(codecs) < 2 or not _is_connected(total):
        return []
    strengths = bradley_terry(total)
    without = np.array(
        [
            bradley_terry(left) if _is_connected(left) else np.full(len(codecs), np.nan)
            for left in total - wins
        ]
    )
    # as wide at least as if every vote were independent: the inverse of the information matrix
    chance = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    information = -(total + total.T) * chance * (1 - chance)
    np.fill_diagonal(information, 0)
    np.fill_diagonal(information, -information.sum(axis=1))
    errors = np.sqrt(np.diag(np.linalg.pinv(information)))
    ranked = []
    for place, codec in enumerate(codecs):
        votes = total[place].sum(), total[:, place].sum()
        own = without[:, place]
        counts, error = (len(given), len(photographs)), float(errors[place])
        strength = by_photograph(float(strengths[place]), own, *counts, error)
        ranked.append(Ranked(codec, float(votes[0] / sum(votes)), strength))
    return sorted(ranked, key=lambda each: (-each.strength.value, each.codec))


def bradley_terry(wins: Floats) -> Floats:
    """Strengths ``(k,)`` of the codecs, with the mean 0.

    Args:
        wins: ``(k, k)``, how often the codec of the row was preferred to that of the column.
    """
    compared = (wins + wins.T > 0) / 2
    wins = wins + compared
    times, won = wins + wins.T, wins.sum(axis=1)
    odds = np.ones(len(wins))
    for _ in range(ROUNDS):
        better = won / (times / (odds[:, None] + odds[None, :])).sum(axis=1)
        better /= np.exp(np.log(better).mean())
        is_close = np.abs(np.log(better / odds)).max() < CLOSE
        odds = better
        if is_close:
            break
    return np.log(odds)


def _is_connected(wins: Floats) -> bool:
    reached = np.linalg.matrix_power(np.eye(len(wins)) + (wins + wins.T > 0), len(wins))
    return bool((reached > 0).all())
