"""Balanced test sets (paper sec. 5): positives of one type and as many negatives.

The negatives are a third clean and the rest the other two types in equal parts: 16, 17 and 17 for
50. A triplet is clean where somebody looked: it is known to be free of artifacts, or everything in
it that a detector boxed was refused. Kinds of negatives that are short are made up for by the
others, and the set is as large as the data allow. Of each original (a source image, whatever its
crops, rates and codecs) a set takes one triplet; where the data force it to take more, all of them
lie on one side, in one cluster of the bootstrap, and the set says so.

Planted sets are paired instead (:func:`paired_set`): what differs between the sides is the artifact
and nothing else, so that few photographs say much.

A set is an ordinary manifest with five more columns (:data:`SET_COLUMNS`), so it can be shared and
read again. What is drawn depends on the triplets and the seed, not on the order of rows or on
where the files lie.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.numbers import count
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import (
    ARTIFACT_TYPES,
    PLANTED,
    TripletRecord,
    cluster_names,
    is_clean,
    presence,
)
from nacd_bench.triplets.rows import text

T = TypeVar("T")
Drawn = dict[str, list[TripletRecord]]
"""Triplets by what they are drawn as."""
FREE = "free"
"""What clean negatives are drawn as."""
SET_COLUMNS = ("test_set", "side", "drawn_as", "cluster", "draw_seed")
"""The extra columns: the set's type; ``positive`` or ``negative``; a type or ``free``; the name of
the original, which its copies share; the seed."""
SIDES = ("positive", "negative")
TRIES = 20
"""Draws made before the data count as too few: which side an original falls on is chance, and all
draws but the first favour the side that it has more examples for."""


@dataclass(frozen=True)
class BalancedSet:
    """The triplets of one test set, positives first.

    Args:
        artifact_type: what the positives have.
        records: with the columns :data:`SET_COLUMNS` in ``extra``.
        notes: what a reader has to know: repeats, fewer examples than asked for.
    """

    artifact_type: str
    records: tuple[TripletRecord, ...]
    notes: tuple[str, ...] = ()

    @property
    def truth(self) -> list[bool]:
        """For each triplet whether it is a positive."""
        return [record.extra["side"] == SIDES[0] for record in self.records]

    @property
    def clusters(self) -> list[str]:
        """For each triplet the name of its original: the unit of the bootstrap."""
        return [text(record.extra["cluster"]) for record in self.records]


def negative_quotas(n: int) -> tuple[int, int]:
    """How many of n negatives are free of artifacts, and how many of each other type.

    >>> negative_quotas(50), negative_quotas(10)
    ((16, 17), (4, 3))
    """
    free = n // 3
    free += (n - free) % 2  # so that the rest falls into equal parts
    return free, (n - free) // 2


def balanced_set(
    records: Iterable[TripletRecord], artifact_type: str, n: int | None = 50, seed: int = 0
) -> BalancedSet:
    """Draw a test set for one type.

    Args:
        records: labelled triplets with different ids; unlabelled ones are not used.
        artifact_type: what the positives have.
        n: positives, and as many negatives, at most; None for as many as can be.
        seed: the same seed and triplets give the same set.

    Raises:
        DataError: not one example for each side, with the counts; ids that are not different.
    """
    pools = _pools(records, artifact_type, n)
    most = min(pools.sides[True], pools.sides[False])
    drawn = _largest(pools, most if n is None else min(n, most), seed)
    sizes = _sizes(drawn)
    if not drawn:
        held = ", ".join(
            f"{sum(map(len, of_group.values()))} {group} of {count(len(of_group), 'original')}"
            for group, of_group in pools.of.items()
        )
        raise DataError(
            f"test set '{artifact_type}': expected a triplet with the artifact and, of another "
            f"original, one that was looked at and has none; the data have {held}. Add triplets, "
            "or name the types that there are with sets.types=[...]."
        )
    chosen = _members(artifact_type, drawn, pools.original, seed)
    asked = None if n is None else pools.quotas(n)
    notes = _repeats(chosen)
    if asked not in (None, sizes):
        notes = (f"{_listed(sizes)} instead of {_listed(asked)}: no larger set was found.", *notes)
    return BalancedSet(artifact_type, tuple(chosen), notes)


def _members(
    artifact_type: str, drawn: Drawn, original: Mapping[str, str], seed: int
) -> list[TripletRecord]:
    """What was drawn with the columns of a set, positives first.

    Args:
        drawn: triplets by what they are drawn as.
        original: the name of each triplet's, by id.
    """
    chosen = []
    for group, examples in drawn.items():
        columns = {
            "test_set": artifact_type,
            "side": SIDES[group != artifact_type],
            "drawn_as": group,
            "draw_seed": seed,
        }
        for record in examples:
            extra = {**record.extra, **columns, "cluster": original[record.id]}
            chosen.append(replace(record, extra=extra))
    return sorted(chosen, key=lambda record: (record.extra["side"] != SIDES[0], record.id))


def paired_set(
    records: Iterable[TripletRecord], artifact_type: str, n: int | None = 50, seed: int = 0
) -> BalancedSet:
    """Draw a test set of pairs: beside each positive a negative that was made of the same files.

    A third of the negatives are free of artifacts and the rest have one of another type, in turn.

    Args:
        records: planted triplets; those made of one tile share its original.
        artifact_type, n, seed: as :func:`balanced_set`.

    Raises:
        DataError: no pair.
    """
    pools = _pools(records, artifact_type, n)
    rng = np.random.default_rng(seed)  # of all types alike: sets share as many triplets as can be
    examples = [
        (record, group)
        for group, by_source in pools.of.items()
        for record in chain(*by_source.values())
    ]
    of_tile: dict[str, dict[str, list[TripletRecord]]] = {}
    for record, group in sorted(examples, key=lambda example: example[0].id):
        groups = of_tile.setdefault(record.original, {group: [] for group in pools.of})
        groups[group].append(record)
    tiles = _shuffled(list(of_tile.values()), rng)
    drawn: Drawn = {group: [] for group in pools.of}
    most = len(examples) if n is None else n
    for number in range(max((len(groups[artifact_type]) for groups in tiles), default=0)):
        # one pair of each tile, then the second of each, and so on
        for place, groups in enumerate(tiles):
            first = (place + number) % len(pools.negatives)
            in_turn = pools.negatives[first:] + pools.negatives[:first]
            left = [group for group in in_turn if groups[group]]
            if left and number < len(groups[artifact_type]) and len(drawn[artifact_type]) < most:
                drawn[artifact_type].append(groups[artifact_type][number])
                drawn[left[0]].append(groups[left[0]].pop(0))
    chosen = _members(artifact_type, drawn, pools.original, seed)
    if not chosen:
        raise DataError(
            f"test set '{artifact_type}': expected a planted triplet with the artifact and one of "
            "the same original without, got none. Plant more, or name other sets.types."
        )
    return BalancedSet(artifact_type, tuple(chosen), _repeats(chosen))


def balanced_sets(
    records: Iterable[TripletRecord],
    types: Iterable[str] = ARTIFACT_TYPES,
    n: int | None = 50,
    seed: int = 0,
) -> tuple[dict[str, BalancedSet], dict[str, str]]:
    """Draw a test set for each type, of planted triplets in pairs; arguments as
    :func:`balanced_set`.

    Returns:
        sets by type, and why others could not be drawn.

    Raises:
        DataError: no set can be drawn, with the reason for each type.
    """
    records = list(records)
    draw = paired_set if any(PLANTED in record.extra for record in records) else balanced_set
    sets: dict[str, BalancedSet] = {}
    missing: dict[str, str] = {}
    for artifact_type in types:
        try:
            sets[artifact_type] = draw(records, artifact_type, n, seed)
        except DataError as error:
            missing[artifact_type] = str(error)
    if not sets:
        raise DataError("\n".join(missing.values()))
    return sets, missing


def set_of(records: Sequence[TripletRecord], place: str | Path) -> BalancedSet:
    """The set that records with the columns :data:`SET_COLUMNS` are.

    Args:
        records: all of one set.
        place: where they come from, for the message.

    Raises:
        DataError: a column is missing or has another value.
    """
    wrong = [
        f"{record.place}: {name} is {record.extra.get(name)!r}"
        for record in records
        for name, allowed in (("test_set", ARTIFACT_TYPES), ("side", SIDES), ("drawn_as", None))
        if name not in record.extra or (allowed and record.extra[name] not in allowed)
    ]
    types = {record.extra.get("test_set") for record in records}
    if wrong or len(types) != 1:
        raise DataError(
            f"{place}: expected the manifest of one balanced set with the columns "
            f"{', '.join(SET_COLUMNS)}, got {wrong[0] if wrong else f'{len(types)} sets'}. "
            "Draw it again, or name it as data rather than as a set."
        )
    return BalancedSet(types.pop() or "", tuple(records), _repeats(records))


class _Pools:
    """The examples of a set by what they can be drawn as (its type, ``free``, the other types) and
    by their original, both in a fixed order.

    ``surplus`` says of an original how many more examples it has for the positive side than for
    the negative.
    """

    def __init__(self, records: Iterable[TripletRecord], artifact_type: str) -> None:
        ordered = sorted(records, key=lambda record: record.id)
        twice = [name for name, k in Counter(record.id for record in ordered).items() if k > 1]
        if twice:
            raise DataError(
                f"expected triplets of different ids, got {', '.join(twice[:5])} more than once. "
                "Rename them."
            )
        self.artifact_type = artifact_type
        ids = [record.id for record in ordered]
        self.original = dict(zip(ids, cluster_names(ordered), strict=True))
        self.negatives = [FREE, *(kind for kind in ARTIFACT_TYPES if kind != artifact_type)]
        self.of: dict[str, dict[str, list[TripletRecord]]] = {}
        first_group: dict[str, str] = {}
        for group in (artifact_type, *self.negatives):
            self.of[group] = {}
            for record in ordered:
                if group != artifact_type and presence(record, artifact_type) is not False:
                    continue
                if is_clean(record) if group == FREE else presence(record, group):
                    self.of[group].setdefault(self.original[record.id], []).append(record)
                    first_group.setdefault(record.id, group)
        self.surplus: Counter[str] = Counter()
        for name, group in first_group.items():
            self.surplus[self.original[name]] += 1 if group == artifact_type else -1
        self.sides = Counter(group == artifact_type for group in first_group.values())

    def quotas(self, n: int) -> dict[str, int]:
        free, other = negative_quotas(n)
        return {self.artifact_type: n, FREE: free, **dict.fromkeys(self.negatives[1:], other)}


def _pools(records: Iterable[TripletRecord], artifact_type: str, n: int | None) -> _Pools:
    """The examples of a set that can be asked for."""
    if artifact_type not in ARTIFACT_TYPES:
        raise DataError(unknown("artifact type", artifact_type, list(ARTIFACT_TYPES)))
    if n is not None and n < 1:
        raise DataError(f"expected a set of 1 or more positives, got {n}. Choose another n.")
    return _Pools(records, artifact_type)


def _sizes(drawn: Drawn) -> dict[str, int]:
    return {group: len(examples) for group, examples in drawn.items()}


def _drawn(pools: _Pools, quotas: Mapping[str, int], seed: int) -> Drawn:
    """The first of some draws that fills the quotas, else the fullest."""
    kind = ARTIFACT_TYPES.index(pools.artifact_type)
    rng = np.random.default_rng([seed, kind, quotas[pools.artifact_type]])
    best: Drawn = {}
    for attempt in range(TRIES):
        drawn = _draw(pools, quotas, rng, is_greedy=attempt > 0)
        if _sizes(drawn) == quotas:
            return drawn
        best = max(best, drawn, key=lambda draw: sum(_sizes(draw).values()))
    return best


def _largest(pools: _Pools, most: int, seed: int) -> Drawn:
    """A set as large as can be up to so many on each side; empty where there is none."""
    # where m places can be filled, so can fewer; for 0 the draw is empty
    place = bisect_left(range(-most, 0), True, key=lambda m: bool(_of_size(pools, -m, seed)))
    return _of_size(pools, most - place, seed)


def _of_size(pools: _Pools, m: int, seed: int) -> Drawn:
    """A set of m on each side, kinds of negatives standing in for others; else empty."""
    quotas = pools.quotas(m)
    short: dict[str, int] = {}
    while m:
        drawn = _drawn(pools, quotas, seed)
        if _sizes(drawn) == quotas:
            return drawn
        short |= {group: size for group, size in _sizes(drawn).items() if size < quotas[group]}
        others = [group for group in pools.negatives if group not in short]
        if pools.artifact_type in short or not others:
            return {}
        share, more = divmod(m - sum(short.values()), len(others))
        quotas |= short
        quotas |= {group: share + (i < more) for i, group in enumerate(others)}
    return {}


def _draw(
    pools: _Pools, quotas: Mapping[str, int], rng: np.random.Generator, is_greedy: bool
) -> Drawn:
    """One random draw: originals to groups, then a triplet of each, then repeats where forced.

    A greedy one prefers originals with many examples for the group and few for the other side, and
    gives either side a random share of the originals.
    """
    examples = {
        group: {name: _shuffled(records, rng) for name, records in by_original.items()}
        for group, by_original in pools.of.items()
    }
    order = {group: _shuffled(list(examples[group]), rng) for group in quotas}
    share = dict.fromkeys(quotas, 1.0)
    if is_greedy:
        share[pools.artifact_type] = float(np.exp(rng.uniform(-1, 1)))
        for group, originals in order.items():
            sign = 1 if group == pools.artifact_type else -1
            merit = {name: sign * pools.surplus[name] + rng.normal() for name in originals}
            originals.sort(key=merit.__getitem__, reverse=True)
    owner = _owners(order, quotas, share)
    drawn = {
        group: [examples[group][name][0] for name in order[group] if owner.get(name) == group]
        for group in quotas
    }
    taken = {record.id for records in drawn.values() for record in records}
    copies = Counter(owner.keys())
    for group, quota in quotas.items():
        own_side = [group] if group == pools.artifact_type else pools.negatives
        while len(drawn[group]) < quota:
            spare = [
                (copies[name], place, record)
                for place, name in enumerate(order[group])
                if owner.get(name) in own_side
                for record in examples[group][name]
                if record.id not in taken
            ]
            if not spare:
                break
            *_, record = min(spare, key=lambda candidate: candidate[:2])
            drawn[group].append(record)
            taken.add(record.id)
            copies[pools.original[record.id]] += 1
    return drawn


def _shuffled(values: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [values[i] for i in rng.permutation(len(values))]


def _owners(
    order: Mapping[str, Sequence[str]], quotas: Mapping[str, int], share: Mapping[str, float]
) -> dict[str, str]:
    """The group that each drawn original falls to: as many as can be, one group each.

    Args:
        order: by group its originals in the order of preference.
        quotas: how many each group wants. They are served in turn, so that groups go short alike.
        share: where originals do not go round, how many a group gets relative to its quota.
    """
    owner: dict[str, str] = {}

    def take(group: str, asked: set[str]) -> bool:
        """Give the group one more, if need be by moving originals between groups (Kuhn 1955)."""
        asked.add(group)
        for original in order[group]:
            if original not in owner:
                owner[original] = group
                return True
        for original in order[group]:
            if owner[original] not in asked and take(owner[original], asked):
                owner[original] = group
                return True
        return False

    turns = sorted(
        ((place + 0.5) / quota / share[group], i, group)
        for i, (group, quota) in enumerate(quotas.items())
        for place in range(quota)
    )
    for _, _, group in turns:
        take(group, set())
    return owner


def _repeats(records: Sequence[TripletRecord]) -> tuple[str, ...]:
    """What a reader has to know where an original appears more than once."""
    originals = [text(record.extra["cluster"]) for record in records]
    sides = {(record.extra["cluster"], record.extra["side"]) for record in records}
    if len(sides) > len(set(originals)):
        return (
            f"{count(len(set(originals)), 'original')} for {len(originals)} places, on both sides: "
            "each triplet with the artifact has one beside it that was made of the same files.",
        )
    copies = [k for k in Counter(originals).values() if k > 1]
    line = (
        f"{count(len(set(originals)), 'original')} for {len(originals)} places: some appear up to "
        f"{max(copies, default=0)} times, each on one side and as one cluster of the bootstrap."
    )
    return (line,) * bool(copies)


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{size} {group}" for group, size in sizes.items())
