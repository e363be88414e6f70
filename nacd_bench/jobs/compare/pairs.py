"""Which triplets of two runs show the same image at the same operating point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from nacd_bench.runs.compared_run import operating_point
from nacd_bench.runs.schema import TABLES, UNPAIRED
from nacd_bench.triplets.record import TripletRecord

LEVELS = 7
Key = tuple[str, ...] | None


def paired_triplets(
    before: Sequence[TripletRecord], after: Sequence[TripletRecord]
) -> tuple[list[tuple[int, int]], list[dict[str, str]]]:
    """Rows of both that belong together, in an order that does not depend on that of the rows, and
    rows of the table ``unpaired``.

    The same image is the same content of the original. The same operating point is the same preset,
    else the same operating point of the neural codec. Where several triplets of a run agree in both
    (crops, traditional codecs), equal ids decide; where no operating point is known, equal ids do,
    or that there is only one triplet of the image.
    """
    pairs: list[tuple[int, int]] = []
    contents = [[triplet.extra["image_sha256"] for triplet in run] for run in (before, after)]
    left = [{row: _keys(triplet) for row, triplet in enumerate(run)} for run in (before, after)]
    for level in range(LEVELS):
        first, second = (_rows(keys, level) for keys in left)
        for key in first.keys() & second.keys():
            if len(first[key]) == len(second[key]) == 1:
                row, other = first[key][0], second[key][0]
                # nothing may say that the originals differ
                if len({contents[0][row], contents[1][other]} - {None}) < 2:
                    pairs.append((row, other))
                    del left[0][row], left[1][other]
    pairs.sort(key=lambda pair: _order(before[pair[0]], after[pair[1]]))
    unpaired = []
    for run, triplets, rows, others in (
        ("before", before, left[0], contents[1]),
        ("after", after, left[1], contents[0]),
    ):
        lonely = sorted((triplets[row] for row in rows), key=lambda x: (x.id, x.extra["image"]))
        unpaired += [unpaired_row(run, triplet, _reason(triplet, others)) for triplet in lonely]
    return pairs, unpaired


def unpaired_row(
    run: str, triplet: TripletRecord, reason: str, detector: str = ""
) -> dict[str, str]:
    """A row of the table ``unpaired``; without a detector the whole triplet is meant."""
    cells = (run, triplet.id, triplet.extra["image"], operating_point(triplet), detector, reason)
    return dict(zip(TABLES[UNPAIRED], cells, strict=True))


def _keys(triplet: TripletRecord) -> list[Key]:
    """What a partner has in common, from the surest; None where the triplet has no such thing."""
    content, preset = triplet.extra["image_sha256"], triplet.extra["preset"]
    keys: list[Key] = []
    for point in (preset, triplet.neural_point, None if operating_point(triplet) else "unknown"):
        key = (content, point) if content and point else None
        keys += [key and (*key, triplet.id), key]
    return [*keys, (operating_point(triplet), triplet.id)]


def _rows(keys: Mapping[int, Sequence[Key]], level: int) -> dict[Key, list[int]]:
    rows = defaultdict(list)
    for row, of_row in keys.items():
        if of_row[level] is not None:
            rows[of_row[level]].append(row)
    return rows


def _order(first: TripletRecord, second: TripletRecord) -> tuple[str, ...]:
    image = min(first.extra["image"], second.extra["image"])
    point = min(operating_point(first), operating_point(second))
    return (image, first.extra["image_sha256"] or "", point, *sorted((first.id, second.id)))


def _reason(triplet: TripletRecord, others: Collection[str | None]) -> str:
    content = triplet.extra["image_sha256"]
    if content is None:
        return "its original cannot be read any more, and no such id is in the other run"
    if content not in others:
        return "the other run does not have its original"
    if not operating_point(triplet):
        return "its operating point is not known, and that of the other run's is"
    return "the other run has no or several triplets of this image at its operating point"
