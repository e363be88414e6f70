"""Balanced test sets (paper sec. 5): positives of one type and as many negatives.

The negatives are a third artifact-free and the rest the other two types in equal parts: 16, 17
and 17 for 50. Of each original (a source image, whatever its crops, rates and codecs) a set takes
one triplet; where the data force it to take more, all of them lie on one side, in one cluster of
the bootstrap, and the set says so.

A set is an ordinary manifest with five more columns (:data:`SET_COLUMNS`), so it can be shared and
read again. What is drawn depends on the triplets and the seed, not on the order of rows or on
where the files lie.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.presence import cluster_names, presence
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.rows import text

FREE = "free"
"""What artifact-free negatives are drawn as."""
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

    @property
    def counts(self) -> dict[str, int]:
        """How many triplets were drawn as each type and as ``free``."""
        return dict(Counter(record.extra["drawn_as"] for record in self.records))


@dataclass(frozen=True)
class BalancedSets:
    """Test sets by type, and why others could not be drawn (only where fewer are allowed)."""

    sets: Mapping[str, BalancedSet]
    missing: Mapping[str, str]


def negative_quotas(n: int) -> tuple[int, int]:
    """How many of n negatives are free of artifacts, and how many of each other type.

    >>> negative_quotas(50), negative_quotas(10)
    ((16, 17), (4, 3))
    """
    free = n // 3
    free += (n - free) % 2  # so that the rest falls into equal parts
    return free, (n - free) // 2


def balanced_set(
    records: Iterable[TripletRecord],
    artifact_type: str,
    n: int = 50,
    seed: int = 0,
    allow_fewer: bool = False,
) -> BalancedSet:
    """Draw a test set for one type.

    Args:
        records: labelled triplets with different ids; unlabelled ones are not used.
        artifact_type: what the positives have.
        n: positives, and negatives.
        seed: the same seed and triplets give the same set.
        allow_fewer: take what there is: as many positives as negatives, as many as can be; a kind
            of negative that is short is made up for by the others.

    Raises:
        DataError: too few examples, with the counts; ids that are not different.
    """
    if artifact_type not in ARTIFACT_TYPES:
        raise DataError(f"{unknown('artifact type', artifact_type, list(ARTIFACT_TYPES))}.")
    if n < 1:
        raise DataError(f"expected a set of 1 or more positives, got {n}. Choose another n.")
    pools = _Pools(records, artifact_type)
    asked = pools.quotas(n)
    drawn = _drawn(pools, asked, n, seed)
    if not _is_full(drawn, asked) and allow_fewer:
        drawn = _fewer(pools, n, seed)
    sizes = {group: len(each) for group, each in drawn.items()}
    total = sum(sizes.values())
    if not total or not (allow_fewer or _is_full(drawn, asked)):
        raise DataError(_too_few(pools, asked, sizes, n))
    notes = _repeat_notes(pools, drawn)
    if sizes != asked:
        notes.insert(0, f"{_listed(sizes)} instead of {_listed(asked)}: no larger set was found.")
    chosen = [
        replace(
            record,
            extra={
                **record.extra,
                "test_set": artifact_type,
                "side": SIDES[group != artifact_type],
                "drawn_as": group,
                "cluster": pools.original[record.id],
                "draw_seed": seed,
            },
        )
        for group, each in drawn.items()
        for record in each
    ]
    chosen.sort(key=lambda record: (record.extra["side"] != SIDES[0], record.id))
    return BalancedSet(artifact_type, tuple(chosen), tuple(notes))


def balanced_sets(
    records: Iterable[TripletRecord],
    types: Iterable[str] = ARTIFACT_TYPES,
    n: int = 50,
    seed: int = 0,
    allow_fewer: bool = False,
) -> BalancedSets:
    """Draw a test set for each type; arguments as :func:`balanced_set`.

    Raises:
        DataError: too few examples of any type, all of them named; with ``allow_fewer`` only when
            no set can be drawn.
    """
    records = list(records)
    sets: dict[str, BalancedSet] = {}
    missing: dict[str, str] = {}
    for artifact_type in types:
        try:
            sets[artifact_type] = balanced_set(records, artifact_type, n, seed, allow_fewer)
        except DataError as error:
            missing[artifact_type] = str(error)
    if missing and not (allow_fewer and sets):
        raise DataError("\n".join(missing.values()))
    return BalancedSets(sets, missing)


def write_balanced_set(path: str | Path, balanced: BalancedSet) -> None:
    """Write a set as a manifest; errors as :func:`~nacd_bench.triplets.manifest.write_manifest`."""
    write_manifest(path, balanced.records)


def read_balanced_set(path: str | Path) -> BalancedSet:
    """A set from its manifest.

    Raises:
        DataError: not a manifest, or not one of a balanced set.
    """
    return set_of(read_manifest(path), path)


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
        for name, known in (("test_set", ARTIFACT_TYPES), ("side", SIDES), ("drawn_as", None))
        if name not in record.extra or (known and record.extra[name] not in known)
    ]
    types = {record.extra.get("test_set") for record in records}
    if wrong or len(types) != 1:
        raise DataError(
            f"{place}: expected the manifest of one balanced set with the columns "
            f"{', '.join(SET_COLUMNS)}, got {wrong[0] if wrong else f'{len(types)} sets'}. "
            "Draw it again, or name it as data rather than as a set."
        )
    return BalancedSet(types.pop() or "", tuple(records), tuple(_read_notes(records)))


class _Pools:
    """The examples of a set by what they can be drawn as: its type, ``free``, the other types."""

    def __init__(self, records: Iterable[TripletRecord], artifact_type: str) -> None:
        ordered = sorted(records, key=lambda each: each.id)
        twice = [name for name, k in Counter(each.id for each in ordered).items() if k > 1]
        if twice:
            raise DataError(
                f"expected triplets of different ids, got {', '.join(twice[:5])} more than once. "
                "Rename them."
            )
        self.artifact_type = artifact_type
        self.original = dict(
            zip((each.id for each in ordered), cluster_names(ordered), strict=True)
        )
        self.others = [each for each in ARTIFACT_TYPES if each != artifact_type]
        self.of: dict[str, list[TripletRecord]] = {
            artifact_type: [each for each in ordered if presence(each, artifact_type)],
            FREE: [each for each in ordered if each.artifact_free],
        }
        negatives = [each for each in ordered if presence(each, artifact_type) is False]
        for other in self.others:
            self.of[other] = [each for each in negatives if presence(each, other)]

    @cached_property
    def surplus(self) -> dict[str, int]:
        """By original how many more examples it has for the positive side than for the negative."""
        found: Counter[str] = Counter()
        seen: set[str] = set()
        for group, examples in self.of.items():
            for record in examples:
                if record.id not in seen:
                    found[self.original[record.id]] += 1 if self.is_positive(group) else -1
                    seen.add(record.id)
        return dict(found)

    def quotas(self, n: int) -> dict[str, int]:
        free, each = negative_quotas(n)
        return {self.artifact_type: n, FREE: free, **dict.fromkeys(self.others, each)}

    def is_positive(self, group: str) -> bool:
        return group == self.artifact_type

    def by_original(self, group: str) -> dict[str, list[TripletRecord]]:
        """The examples of a group by their original, in the order of ids."""
        found: dict[str, list[TripletRecord]] = defaultdict(list)
        for record in self.of[group]:
            found[self.original[record.id]].append(record)
        return found


Drawn = dict[str, list[TripletRecord]]


def _is_full(drawn: Drawn, quotas: Mapping[str, int]) -> bool:
    return all(len(drawn[group]) == quota for group, quota in quotas.items())


def _drawn(pools: _Pools, quotas: Mapping[str, int], n: int, seed: int) -> Drawn:
    """The first of some draws that fills the quotas, else the fullest."""
    rng = np.random.default_rng([seed, ARTIFACT_TYPES.index(pools.artifact_type), n])
    best: Drawn = {}
    for attempt in range(TRIES):
        drawn = _draw(pools, quotas, rng, is_greedy=attempt > 0)
        if _is_full(drawn, quotas):
            return drawn
        best = max(best, drawn, key=lambda each: sum(map(len, each.values())))
    return best


def _fewer(pools: _Pools, n: int, seed: int) -> Drawn:
    """A set as large as can be with as many negatives as positives; empty where there is none."""
    negatives = {record.id for group in (FREE, *pools.others) for record in pools.of[group]}
    most = min(n, len(pools.of[pools.artifact_type]), len(negatives))
    best: Drawn = {group: [] for group in pools.of}
    fits, too_many = 0, most + 1
    while fits + 1 < too_many:
        # the whole at once, then by bisection: where m places can be filled, so can fewer
        m = most if too_many > most else (fits + too_many) // 2
        drawn = _of_size(pools, m, seed)
        if drawn is None:
            too_many = m
        else:
            best, fits = drawn, m
    return best


def _of_size(pools: _Pools, m: int, seed: int) -> Drawn | None:
    """A set of m on each side, kinds of negatives standing in for those that are short."""
    quotas = pools.quotas(m)
    short: set[str] = set()
    while True:
        drawn = _drawn(pools, quotas, m, seed)
        now_short = {group for group, quota in quotas.items() if len(drawn[group]) < quota}
        if not now_short:
            return drawn
        short |= now_short
        others = [each for each in (FREE, *pools.others) if each not in short]
        if pools.artifact_type in short or not others:
            return None
        quotas.update({group: len(drawn[group]) for group in now_short})
        rest = m - sum(quotas[group] for group in short)
        for i, group in enumerate(others):
            quotas[group] = rest // len(others) + (i < rest % len(others))


def _draw(
    pools: _Pools, quotas: Mapping[str, int], rng: np.random.Generator, is_greedy: bool
) -> Drawn:
    """One random draw: originals to groups, then a triplet of each, then repeats where forced.

    A greedy one prefers originals with many examples for the group and few for the other side, and
    gives either side a random share of the originals.
    """
    examples = {group: pools.by_original(group) for group in quotas}
    for by_original in examples.values():
        for original, found in by_original.items():
            by_original[original] = [found[i] for i in rng.permutation(len(found))]
    order = {
        group: [list(found)[i] for i in rng.permutation(len(found))]
        for group, found in examples.items()
    }
    share = dict.fromkeys(quotas, 1.0)
    if is_greedy:
        share[pools.artifact_type] = float(np.exp(rng.uniform(-1, 1)))
        worth = pools.surplus
        for group in order:
            sign = 1 if pools.is_positive(group) else -1
            merit = [sign * worth[each] + rng.normal() for each in order[group]]
            order[group] = [order[group][i] for i in np.argsort(merit)[::-1]]
    owner = _owners(order, quotas, share)
    drawn: Drawn = {
        group: [examples[group][each][0] for each in order[group] if owner.get(each) == group]
        for group in quotas
    }
    taken = {record.id for each in drawn.values() for record in each}
    copies = Counter(owner.keys())
    side = {original: pools.is_positive(group) for original, group in owner.items()}
    for group, quota in quotas.items():
        while len(drawn[group]) < quota:
            spare = [
                (copies[original], place, record)
                for place, original in enumerate(order[group])
                if side.get(original) == pools.is_positive(group)
                for record in examples[group][original]
                if record.id not in taken
            ]
            if not spare:
                break
            *_, record = min(spare, key=lambda each: each[:2])
            drawn[group].append(record)
            taken.add(record.id)
            copies[pools.original[record.id]] += 1
    return drawn


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


def _repeat_notes(pools: _Pools, drawn: Drawn) -> list[str]:
    return _repeats([pools.original[record.id] for each in drawn.values() for record in each])


def _read_notes(records: Sequence[TripletRecord]) -> list[str]:
    return _repeats([text(record.extra.get("cluster", record.id)) for record in records])


def _repeats(originals: Sequence[str]) -> list[str]:
    copies = {original: k for original, k in Counter(originals).items() if k > 1}
    if not copies:
        return []
    return [
        f"{len(set(originals))} originals for {len(originals)} places: {len(copies)} appear more "
        f"than once (up to {max(copies.values())} times), each on one side and as one cluster of "
        "the bootstrap."
    ]


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{size} {group}" for group, size in sizes.items())


def _too_few(pools: _Pools, asked: Mapping[str, int], sizes: Mapping[str, int], n: int) -> str:
    held = ", ".join(
        f"{len(pools.of[group])} {group} of {len(pools.by_original(group))} originals"
        for group in asked
    )
    return (
        f"test set '{pools.artifact_type}' with n={n}: expected {_listed(asked)}; got "
        f"{_listed(sizes)} with each original on one side (the data have {held}). "
        "Add triplets, choose a smaller n or set allow_fewer=true (it needs one of each side)."
    )
