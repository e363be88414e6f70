"""Labelled triplets to balanced test sets: drawn by seed, or as they were drawn before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.balanced import SET_COLUMNS, BalancedSet, balanced_sets, set_of
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.source import Source, find_triplets
from nacd_bench.triplets.text_files import TABLE_SUFFIXES


@options
class Drawing:
    """How test sets are drawn (paper, section 5).

    Args:
        types: artifact types to draw a set for.
        n: positives, and as many negatives, at most; None for as many as the data allow.
        seed: decides which.
    """

    types: Annotated[Sequence[str], MinLen(1)] = ARTIFACT_TYPES
    n: Number | None = 50
    seed: Count = 0


PAPER_DRAWING = Drawing()


def find_labelled(source: Source) -> tuple[list[TripletRecord], list[Failure]]:
    """The triplets of a source or of several manifests, as
    :func:`~nacd_bench.triplets.source.find_triplets`; a triplet may be in several."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    if not all(suffix_of(path) in TABLE_SUFFIXES for path in paths):
        return find_triplets(source)
    manifests = [find_triplets(path) for path in paths]
    return (
        [record for records, _ in manifests for record in records],
        [problem for _, problems in manifests for problem in problems],
    )


def labelled_sets(
    records: Sequence[TripletRecord], drawing: Drawing
) -> tuple[Mapping[str, BalancedSet], Mapping[str, str]]:
    """Sets that records were drawn as, or else sets drawn from them, and why others cannot be.

    Raises:
        DataError: no labels, or no set can be drawn.
    """
    if records and all(name in r.extra for r in records for name in SET_COLUMNS[:4]):
        by_type: dict[str, list[TripletRecord]] = defaultdict(list)
        for record in records:
            by_type[str(record.extra["test_set"])].append(record)
        return {name: set_of(members, "data") for name, members in by_type.items()}, {}
    if not any(record.labels or record.artifact_free for record in records):
        raise DataError(
            f"expected labelled triplets, got {len(records)} without labels. Give a manifest with "
            "the columns labels and artifact_free (docs/data.md), or leave the data out: the "
            "planted sample has labels."
        )
    return balanced_sets(records, drawing.types, drawing.n, drawing.seed)
