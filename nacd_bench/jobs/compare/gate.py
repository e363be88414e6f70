"""Whether a comparison lets a new version of a codec pass, for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.jobs.compare.versions import Compared
from nacd_bench.numbers import beside
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import ARTIFACT_TYPES

Limit = int | Mapping[str, int] | None


@dataclass(frozen=True)
class Gate:
    """What a new version may do.

    Args:
        new: new artifacts that are allowed, in all or by type; None allows any number.
        stronger: likewise, artifacts that stayed and became stronger.
        worse: significance level; a detector whose scores rise, with a p value by Holm under it,
            fails the version. None: no test fails it.
    """

    new: Limit = None
    stronger: Limit = None
    worse: float | None = None

    def __post_init__(self) -> None:
        for name in ("new", "stronger"):
            limit = getattr(self, name)
            limits = limit.values() if isinstance(limit, Mapping) else [limit or 0]
            if not all(type(each) is int and each >= 0 for each in limits):
                raise DataError(
                    f"expected fail_on_{name} as a number of artifacts that are allowed, or as one "
                    f"per type ({{text: 0, texture: 10}}), got {limit!r}."
                )
        if self.worse is not None and not (
            isinstance(self.worse, int | float) and 0 < self.worse <= 1
        ):
            raise DataError(
                "expected fail_on_worse as a significance level above 0 and up to 1, such as 0.05, "
                f"got {self.worse!r}."
            )

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return self.new is None and self.stronger is None and self.worse is None


def objections(gate: Gate, done: Compared) -> list[str]:
    """Why the later version does not pass, a line each; empty where it does.

    Raises:
        DataError: a limit for a type that does not exist.
    """
    found = _over("new", gate.new, done) + _over("stronger", gate.stronger, done)
    if gate.worse is not None:
        for name, test in done.scores.items():
            p = test.p_holm
            if p is not None and p < gate.worse and test.difference.value > 0:
                found.append(
                    f"scores of {name} rose by {test.difference.value:.3g} on average "
                    f"(p = {beside(p, (gate.worse,), 2)} by Holm, under {gate.worse:g})"
                )
    return found


def _over(name: str, limit: Limit, done: Compared) -> list[str]:
    """Where there are more artifacts than the limit allows."""
    if limit is None:
        return []
    if not isinstance(limit, Mapping):
        count = getattr(done.total, name)
        return [f"{count} {name} artifacts, more than {limit}"] if count > limit else []
    found = []
    for kind, own in limit.items():
        if kind in done.counts:
            count = getattr(done.counts[kind], name)
            if count > own:
                found.append(f"{count} {name} artifacts of type {kind}, more than {own}")
        elif kind in ARTIFACT_TYPES:
            found.append(f"nothing of type {kind} was compared, for want of a detector")
        else:
            known = sorted({*ARTIFACT_TYPES, *done.counts})
            raise DataError(unknown(f"artifact type in fail_on_{name}", str(kind), known))
    return found


def verdict(gate: Gate, done: Compared, against: list[str]) -> str:
    """One line."""
    total = done.total
    counts = f"{total.new} new, {total.fixed} fixed, {total.stayed} stayed"
    if total.stronger or total.weaker:
        counts += f" ({total.stronger} stronger, {total.weaker} weaker)"
    unclear = total.unclear_before + total.unclear_after
    counts += f", {unclear} unclear" if unclear else ""
    line = f"{counts}, in {len(done.pairs)} pairs of triplets."
    if gate.is_open:
        return line
    return f"{'FAILED' if against else 'passed'}: {line}" + (
        f" {'; '.join(against)}." if against else ""
    )


def gate_from_config(config: Mapping[str, Any]) -> Gate:
    """The ``fail_on_...`` of ``conf/compare.yaml``."""
    return Gate(config["fail_on_new"], config["fail_on_stronger"], config["fail_on_worse"])
