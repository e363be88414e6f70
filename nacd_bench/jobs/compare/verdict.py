"""Whether a comparison lets a new version of a codec pass, for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nacd_bench.errors import DataError
from nacd_bench.jobs.compare.versions import Compared
from nacd_bench.numbers import beside
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import ARTIFACT_TYPES


def is_gated(compared: Compared) -> bool:
    """Whether the rules let the later version fail at all."""
    rules = compared.rules
    limits = (rules.fail_on_new, rules.fail_on_stronger, rules.fail_on_worse)
    return any(limit is not None for limit in limits)


def objections(compared: Compared) -> list[str]:
    """Why the later version does not pass, a line each; empty where it does.

    Raises:
        DataError: a limit for a type that does not exist.
    """
    rules = compared.rules
    lines = []
    for name, limit in (("new", rules.fail_on_new), ("stronger", rules.fail_on_stronger)):
        if isinstance(limit, int) and getattr(compared.total, name) > limit:
            lines.append(f"{getattr(compared.total, name)} {name} artifacts, more than {limit}")
        for artifact_type, most in limit.items() if isinstance(limit, Mapping) else ():
            if artifact_type in compared.counts:
                count = getattr(compared.counts[artifact_type], name)
                if count > most:
                    lines.append(
                        f"{count} {name} artifacts of type {artifact_type}, more than {most}"
                    )
            elif artifact_type in ARTIFACT_TYPES:
                lines.append(
                    f"nothing of type {artifact_type} was compared, for want of a detector"
                )
            else:
                types = sorted({*ARTIFACT_TYPES, *compared.counts})
                what = f"artifact type in fail_on_{name}"
                raise DataError(unknown(what, str(artifact_type), types))
    level = rules.fail_on_worse
    for name, test in compared.scores.items():
        p = test.p_holm
        if level and p is not None and p < level and test.difference.value > 0:
            lines.append(
                f"scores of {name} rose by {test.difference.value:.3g} on average "
                f"(p = {beside(p, (level,), 2)} by Holm, under {level:g})"
            )
    return lines


def verdict(compared: Compared, against: Sequence[str]) -> str:
    """One line, with the objections."""
    total = compared.total
    counts = f"{total.new} new, {total.fixed} fixed, {total.stayed} stayed"
    if total.stronger or total.weaker:
        counts += f" ({total.stronger} stronger, {total.weaker} weaker)"
    unclear = total.unclear_before + total.unclear_after
    counts += f", {unclear} unclear" if unclear else ""
    line = f"{counts}, in {len(compared.pairs)} pairs of triplets."
    if not is_gated(compared):
        return line
    return f"FAILED: {line} {'; '.join(against)}." if against else f"passed: {line}"
