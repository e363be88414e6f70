"""Labelled triplets to balanced test sets: drawn by seed, or as they were drawn before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.errors import DataError
from nacd_bench.evaluation.balanced import SET_COLUMNS, BalancedSet, balanced_sets, set_of
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, Problem, TripletRecord
from nacd_bench.triplets.source import Source, find_triplets
from nacd_bench.triplets.text_files import TABLE_SUFFIXES


@options
class Drawing:
    """How test sets are drawn (paper, section 5).

    Args:
        types: artifact types to draw a set for.
        n: positives, and as many negatives.
        seed: decides which.
        allow_fewer: take what there is where there are too few.
    """

    types: Sequence[str] = ARTIFACT_TYPES
    n: Number = 50
    seed: Count = 0
    allow_fewer: bool = False


PAPER_DRAWING = Drawing()


@dataclass(frozen=True)
class LabelledSets:
    """Test sets by type, and what is wrong: unusable rows, sets that cannot be drawn."""

    sets: Mapping[str, BalancedSet]
    problems: Sequence[Problem] = ()


def find_labelled(source: Source) -> tuple[list[TripletRecord], list[Problem]]:
    """The triplets of a source or of several manifests, as
    :func:`~nacd_bench.triplets.source.find_triplets`; a triplet may be in several."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    if not all(suffix_of(path) in TABLE_SUFFIXES for path in paths):
        return find_triplets(source)
    found = [find_triplets(path) for path in paths]
    return [r for records, _ in found for r in records], [p for _, ps in found for p in ps]


def labelled_sets(
    records: Sequence[TripletRecord], problems: Sequence[Problem], drawing: Drawing
) -> LabelledSets:
    """Sets that records were drawn as, or else sets drawn from them.

    Raises:
        DataError: no labels, or too few examples.
    """
    if records and all(name in r.extra for r in records for name in SET_COLUMNS[:4]):
        by_type: dict[str, list[TripletRecord]] = defaultdict(list)
        for record in records:
            by_type[str(record.extra["test_set"])].append(record)
        return LabelledSets({name: set_of(own, "data") for name, own in by_type.items()}, problems)
    if not any(record.labels or record.artifact_free for record in records):
        raise DataError(
            f"expected labelled triplets, got {len(records)} without labels. Give a manifest with "
            "the columns labels and artifact_free (docs/data.md), or leave the data out: the "
            "planted sample has labels."
        )
    sets, missing = balanced_sets(
        records, drawing.types, drawing.n, drawing.seed, allow_fewer=drawing.allow_fewer
    )
    undrawn = [Problem(f"test set {name}", message) for name, message in missing.items()]
    return LabelledSets(sets, [*problems, *undrawn])
