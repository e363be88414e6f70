"""Which triplets of two runs show the same image at the same operating point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from nacd_bench.errors import DataError
from nacd_bench.runs.compared_run import operating_point
from nacd_bench.runs.read import Run
from nacd_bench.runs.schema import RUNS, TABLES, UNPAIRED
from nacd_bench.triplets.record import TripletRecord

LEVELS = 7
Key = tuple[str, ...] | None
Pair = tuple[TripletRecord, TripletRecord]


def paired_triplets(before: Run, after: Run) -> tuple[list[Pair], list[dict[str, str]]]:
    """Triplets that belong together, in an order that does not depend on that of the rows, and rows
    of the table ``unpaired``.

    The same image is the same content of the original. The same operating point is the same preset,
    else the same operating point of the neural codec. Where several triplets of a run agree in both
    (crops, traditional codecs), equal ids decide; where no operating point is known, equal ids do,
    or that there is only one triplet of the image.

    Raises:
        DataError: nothing belongs together.
    """
    pairs: list[Pair] = []
    left = [{triplet.id: triplet for triplet in run.records} for run in (before, after)]
    for level in range(LEVELS):
        first, second = (_by_key(triplets.values(), level) for triplets in left)
        for key in first.keys() & second.keys():
            # one on each side, and nothing says that the originals differ
            if len(first[key]) == len(second[key]) == 1:
                pair = first[key][0], second[key][0]
                if len({triplet.extra["image_sha256"] for triplet in pair} - {None}) < 2:
                    pairs.append(pair)
                    for triplets, triplet in zip(left, pair, strict=True):
                        del triplets[triplet.id]
    unpaired = []
    for name, triplets, other in zip(RUNS, left, (after, before), strict=True):
        contents = {triplet.extra["image_sha256"] for triplet in other.records}
        unpaired += [
            unpaired_row(name, triplets[id_], _reason(triplets[id_], contents))
            for id_ in sorted(triplets)
        ]
    if not pairs:
        example = "".join(f" The first: {x['triplet']}: {x['reason']}." for x in unpaired[:1])
        raise DataError(
            "expected two runs over the same originals at the same operating points, got "
            f"{len(before.records)} triplets in {before.folder} and {len(after.records)} in "
            f"{after.folder}, none of which have both in common.{example} Run both versions of the "
            "codec on the same images with the same presets."
        )
    return sorted(pairs, key=_order), unpaired


def unpaired_row(
    run: str, triplet: TripletRecord, reason: str, detector: str = ""
) -> dict[str, str]:
    """A row of the table ``unpaired``; without a detector the whole triplet is meant."""
    cells = (run, triplet.id, triplet.extra["image"], operating_point(triplet), detector, reason)
    return dict(zip(TABLES[UNPAIRED], cells, strict=True))


def _by_key(triplets: Iterable[TripletRecord], level: int) -> dict[Key, list[TripletRecord]]:
    rows: dict[Key, list[TripletRecord]] = defaultdict(list)
    for triplet in triplets:
        key = _keys(triplet)[level]
        if key is not None:
            rows[key].append(triplet)
    return rows


def _keys(triplet: TripletRecord) -> Sequence[Key]:
    """What a partner has in common, from the surest; None where the triplet has no such thing."""
    content, preset = triplet.extra["image_sha256"], triplet.extra["preset"]
    keys: list[Key] = []
    for point in (preset, triplet.neural_point, None if operating_point(triplet) else "unknown"):
        key = (content, point) if content and point else None
        keys += [key and (*key, triplet.id), key]
    return [*keys, (operating_point(triplet), triplet.id)]


def _order(pair: Pair) -> tuple[str, ...]:
    image = min(triplet.extra["image"] for triplet in pair)
    point = min(map(operating_point, pair))
    ids = sorted(triplet.id for triplet in pair)
    return (image, pair[0].extra["image_sha256"] or "", point, *ids)


def _reason(triplet: TripletRecord, others: Collection[str | None]) -> str:
    content = triplet.extra["image_sha256"]
    if content is None:
        return "its original cannot be read any more, and no such id is in the other run"
    if content not in others:
        return "the other run does not have its original"
    if not operating_point(triplet):
        return "its operating point is not known, and that of the other run's is"
    return "the other run has no or several triplets of this image at its operating point"
