"""What a comparison concludes, in a sentence, and whether it lets the later version pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.numbers import beside, p_value
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import ARTIFACT_TYPES

Figures = Mapping[str, Mapping[str, Any]]


def objections(
    gate: Mapping[str, Any], total: Mapping[str, int], by_type: Figures
) -> list[str] | None:
    """Why the later version does not pass, a line each; empty where it does, None without a gate.

    Args:
        gate: ``fail_on_new``, ``fail_on_stronger`` and ``fail_on_worse`` of the rules.
        total, by_type: figures, as in ``summary.json``.

    Raises:
        DataError: a limit for a type that does not exist.
    """
    if all(limit is None for limit in gate.values()):
        return None
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
                lines.append(f"nothing judged the type {kind}, for want of a detector of severity")
            elif by_type[kind][name] > most:
                count = by_type[kind][name]
                lines.append(f"{count} {name} artifacts of type {kind}, more than {most}")
    level = gate["fail_on_worse"]
    for kind, figures in by_type.items():
        p, rise = figures["severity"]["p_holm"], figures["severity"]["difference"]["value"]
        if level and p is not None and p < level and rise > 0:
            lines.append(
                f"the severity of {kind} rose by {rise:.3g} on average "
                f"(p = {beside(p, (level,), 2)} by Holm, under {level:g})"
            )
    return lines


def verdict(by_type: Figures, unjudged: Sequence[str], against: Sequence[str] | None) -> str:
    """One sentence.

    Args:
        by_type: figures, as in ``summary.json``.
        unjudged: types without a judge.
        against: objections; None of a comparison that nothing can fail.
    """
    kinds = {
        result: [kind for kind, figures in by_type.items() if figures["outcome"] == result]
        for result in ("worse", "mixed", "better", "same", "none")
    }
    changed_kinds = kinds["worse"] + kinds["mixed"] + kinds["better"]
    parts = [_clause(kind, by_type[kind]) for kind in changed_kinds]
    if kinds["same"]:
        parts.append(f"{' and '.join(kinds['same'])}: no change over the margin")
    if kinds["none"]:
        parts.append(f"{' and '.join(kinds['none'])}: no artifacts on either side")
    if unjudged:
        parts.append(f"not judged: {', '.join(unjudged)}")
    gate = ""
    if against is not None:
        gate = f"FAILED ({'; '.join(against)}): " if against else "passed the gate: "
    return f"{gate}{'; '.join(parts)}."


def _clause(kind: str, figures: Mapping[str, Any]) -> str:
    """Of a type on which the runs differ."""
    worse, better = changed(figures)
    test = figures["severity"]
    words = {"worse": f"worse in {worse}", "better": f"better in {better}"}
    words["mixed"] = f"worse in {worse} and better in {better}"
    return (
        f"{kind} is {words[figures['outcome']]} of {figures['presence']['n']} pictures "
        f"(mean severity {test['before']:.2f} to {test['after']:.2f}, "
        f"p = {p_value(test['p_holm'])})"
    )


def changed(figures: Mapping[str, Any]) -> tuple[int, int]:
    """Pictures in which an artifact is new or stronger, and fixed or weaker."""
    return figures["new"] + figures["stronger"], figures["fixed"] + figures["weaker"]
