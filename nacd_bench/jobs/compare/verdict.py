"""Whether a comparison lets a new version of a codec pass, for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.numbers import beside
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import ARTIFACT_TYPES

Figures = Mapping[str, Mapping[str, Any]]


def objections(
    gate: Mapping[str, Any], total: Mapping[str, int], by_type: Figures, by_detector: Figures
) -> list[str]:
    """Why the later version does not pass, a line each; empty where it does.

    Args:
        gate: ``fail_on_new``, ``fail_on_stronger`` and ``fail_on_worse`` of the rules.
        total, by_type, by_detector: figures, as in ``summary.json``.

    Raises:
        DataError: a limit for a type that does not exist.
    """
    lines = []
    for name in ("new", "stronger"):
        limit = gate[f"fail_on_{name}"]
        if isinstance(limit, int) and total[name] > limit:
            lines.append(f"{total[name]} {name} artifacts, more than {limit}")
        for kind, most in limit.items() if isinstance(limit, Mapping) else ():
            if kind not in by_type and kind not in ARTIFACT_TYPES:
                types = sorted({*ARTIFACT_TYPES, *by_type})
                raise DataError(unknown(f"artifact type in fail_on_{name}", str(kind), types))
            if kind not in by_type:
                lines.append(f"nothing of type {kind} was compared, for want of a detector")
            elif by_type[kind][name] > most:
                count = by_type[kind][name]
                lines.append(f"{count} {name} artifacts of type {kind}, more than {most}")
    level = gate["fail_on_worse"]
    for name, figures in by_detector.items():
        p, rise = figures["scores"]["p_holm"], figures["scores"]["difference"]["value"]
        if level and p is not None and p < level and rise > 0:
            lines.append(
                f"scores of {name} rose by {rise:.3g} on average "
                f"(p = {beside(p, (level,), 2)} by Holm, under {level:g})"
            )
    return lines


def verdict(total: Mapping[str, int], pairs: int, against: Sequence[str] | None) -> str:
    """One line, with the objections; None of a comparison that nothing can fail."""
    counts = f"{total['new']} new, {total['fixed']} fixed, {total['stayed']} stayed"
    if total["stronger"] or total["weaker"]:
        counts += f" ({total['stronger']} stronger, {total['weaker']} weaker)"
    unclear = total["unclear_before"] + total["unclear_after"]
    counts += f", {unclear} unclear" if unclear else ""
    line = f"{counts}, in {pairs} pairs of triplets."
    if against is None:
        return line
    return f"FAILED: {line} {'; '.join(against)}." if against else f"passed: {line}"
