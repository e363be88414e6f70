"""Krippendorff's alpha: how much raters agree, 1 for always, 0 for no more than by chance.

Nominal data, any number of raters, missing answers allowed: K. Krippendorff, "Computing
Krippendorff's Alpha-Reliability", 2011, section C. The libraries that have it are under the GPL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Alpha of what raters said, one sequence per unit; None where it is not defined.

    It is not where no unit has two answers, or where all answers are the same.

    >>> krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "b"]])
    0.4444444444444444
    """
    together: Counter[tuple[str, str]] = Counter()
    for answers in units:
        for i, one in enumerate(answers):
            for other in (*answers[:i], *answers[i + 1 :]):
                together[one, other] += Fraction(1, len(answers) - 1)  # type: ignore[assignment]
    totals: Counter[str] = Counter()
    for (one, _), count in together.items():
        totals[one] += count
    n = sum(totals.values())
    by_chance = n**2 - sum(count**2 for count in totals.values())
    if not by_chance:
        return None
    apart = sum(count for (one, other), count in together.items() if one != other)
    return float(1 - (n - 1) * apart / by_chance)
