"""Which candidates of a mined folder people are asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Selection:
    """What a candidate has to be; None: anything.

    Args:
        types, detectors, presets: names.
        limit: candidates of each type, the strongest of each detector in turn.
        min_confidence: by detector.
    """

    types: Sequence[str] | None = None
    detectors: Sequence[str] | None = None
    presets: Sequence[str] | None = None
    limit: int | None = None
    min_confidence: Mapping[str, float] = field(default_factory=dict)


def selected(candidates: pa.Table, selection: Selection) -> pa.Table:
    """The rows that a selection takes, in their order.

    Raises:
        DataError: a name that no candidate has, or nothing is left.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    taken = candidates
    for kind, column, names in (
        ("artifact type", "artifact_type", selection.types),
        ("detector", "detector", selection.detectors),
        ("preset", "preset", selection.presets),
    ):
        if names is not None:
            _require_known(kind, names, candidates[column])
            taken = taken.filter(pc.is_in(taken[column], pa.array(names, pa.string())))
    _require_known("detector", selection.min_confidence, candidates["detector"])
    for name, least in selection.min_confidence.items():
        is_weak = pc.and_(pc.equal(taken["detector"], name), pc.less(taken["confidence"], least))
        taken = taken.filter(pc.invert(is_weak))
    if selection.limit is not None:
        taken = taken.take(strongest_in_turn(taken, selection.limit))
    if not len(taken):
        raise DataError(
            "expected candidates that pass types, detectors, presets, limit and min_confidence, "
            f"got none of {len(candidates)} without duplicates. Ask for less, or mine with lower "
            "thresholds."
        )
    return taken


def strongest_in_turn(candidates: pa.Table, limit: int) -> list[int]:
    """Places of ``limit`` rows of each type, in order: each detector's strongest comes first.

    >>> import pyarrow as pa
    >>> rows = [("a", 0.9), ("a", 0.8), ("b", 0.1), ("a", 0.7)]
    >>> names, confidences = zip(*rows)
    >>> strongest_in_turn(pa.table({
    ...     "candidate": ["c0", "c1", "c2", "c3"],
    ...     "artifact_type": ["texture"] * 4,
    ...     "detector": names,
    ...     "confidence": confidences,
    ... }), 3)
    [0, 1, 2]
    """
    columns = ("artifact_type", "detector", "confidence", "candidate")
    facts: Iterable[tuple[Any, ...]] = zip(
        *(candidates[name].to_pylist() for name in columns), strict=True
    )
    groups: dict[tuple[str, str], list[tuple[float, str, int]]] = defaultdict(list)
    for index, (kind, detector, confidence, name) in enumerate(facts):
        groups[kind, detector].append((-confidence, name, index))
    ranked: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    for (kind, detector), own in groups.items():
        for rank, (_, _, index) in enumerate(sorted(own)[:limit]):
            ranked[kind].append((rank, detector, index))
    return sorted(index for own in ranked.values() for *_, index in sorted(own)[:limit])


def _require_known(kind: str, names: Iterable[str], column: pa.ChunkedArray) -> None:
    known = sorted(column.unique().to_pylist())
    for name in names:
        if name not in known:
            raise DataError(f"{unknown(kind, name, known)} in this mined folder")
