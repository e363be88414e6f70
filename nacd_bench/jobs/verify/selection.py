"""Which candidates of a mined folder people are asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown


def selected(
    candidates: pa.Table,
    names: Mapping[str, Sequence[str] | None],
    min_confidence: Mapping[str, float],
    limit: int | None,
) -> pa.Table:
    """Some rows, in their order.

    Args:
        candidates: the rows.
        names: what is taken, by column; None: anything.
        min_confidence: by detector.
        limit: rows of each type, the strongest of each detector in turn.

    Raises:
        DataError: a name that no candidate has, or nothing is left.
    """
    taken = candidates
    _require_known("detector", min_confidence, candidates)
    for column, given in names.items():
        if given is not None:
            _require_known(column, given, candidates)
            taken = taken.filter(pc.is_in(taken[column], pa.array(given, pa.string())))
    for name, least in min_confidence.items():
        is_weak = pc.and_(pc.equal(taken["detector"], name), pc.less(taken["confidence"], least))
        taken = taken.filter(pc.invert(is_weak))
    if limit is not None:
        taken = taken.take(strongest_in_turn(taken, limit))
    if not len(taken):
        raise DataError(
            "expected candidates that pass types, detectors, presets, limit and min_confidence, "
            f"got none of {len(candidates)} without duplicates. Ask for less, or mine with lower "
            "thresholds."
        )
    return taken


def strongest_in_turn(candidates: pa.Table, limit: int) -> list[int]:
    """Places of ``limit`` rows of each type, in order: each detector's strongest comes first.

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
    order = [("artifact_type", "ascending"), ("detector", "ascending")]
    order += [("confidence", "descending"), ("candidate", "ascending")]
    ranked: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    ranks: dict[tuple[str, str], int] = defaultdict(int)
    kinds, detectors = (candidates[name].to_pylist() for name in ("artifact_type", "detector"))
    for place in pc.sort_indices(candidates, order).to_pylist():
        kind, detector = kinds[place], detectors[place]
        ranked[kind].append((ranks[kind, detector], detector, place))
        ranks[kind, detector] += 1
    return sorted(place for rows in ranked.values() for *_, place in sorted(rows)[:limit])


def _require_known(column: str, names: Iterable[str], candidates: pa.Table) -> None:
    known = sorted(candidates[column].unique().to_pylist())
    for name in names:
        if name not in known:
            what = unknown(column.replace("_", " "), name, known)
            raise DataError(f"{what} in this mined folder")
