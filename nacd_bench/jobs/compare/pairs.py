"""Which triplets of two runs show the same image at the same operating point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nacd_bench.jobs.compare.compared_run import CodedTriplet

Key = tuple[str, ...] | None


@dataclass(frozen=True)
class Unpaired:
    """A triplet, or a detector's result on one, that is compared with nothing.

    Args:
        run: ``before`` or ``after``.
        triplet, image: ids in that run.
        point: preset or operating point.
        detector: empty where the whole triplet is left out.
        reason: why.
    """

    run: str
    triplet: str
    image: str
    point: str
    detector: str
    reason: str


def point_of(triplet: CodedTriplet) -> str:
    """The operating point as people name it; empty where it is not known."""
    return triplet.preset or triplet.point or ""


def paired_triplets(
    before: Sequence[CodedTriplet], after: Sequence[CodedTriplet]
) -> tuple[list[tuple[int, int]], list[Unpaired]]:
    """Rows of both that belong together, in an order that does not depend on that of the rows.

    The same image is the same content of the original. The same operating point is the same preset,
    else the same operating point of the neural codec. Where several triplets of a run agree in both
    (crops, traditional codecs), equal ids decide; where no operating point is known, equal ids do,
    or that there is only one triplet of the image.
    """
    pairs: list[tuple[int, int]] = []
    left = set(range(len(before))), set(range(len(after)))
    for key in _KEYS:
        rows = [_rows(each, own, key) for each, own in zip((before, after), left, strict=True)]
        for name in rows[0].keys() & rows[1].keys():
            first, second = rows[0][name], rows[1][name]
            if len(first) == len(second) == 1 and _may_be_one(before[first[0]], after[second[0]]):
                pairs.append((first[0], second[0]))
                left[0].discard(first[0])
                left[1].discard(second[0])
    pairs.sort(key=lambda pair: _place(before[pair[0]], after[pair[1]]))
    lonely = [_lonely("before", before, left[0], after), _lonely("after", after, left[1], before)]
    return pairs, [each for own in lonely for each in own]


def _with_preset(triplet: CodedTriplet) -> Key:
    return (triplet.content, triplet.preset) if triplet.content and triplet.preset else None


def _with_point(triplet: CodedTriplet) -> Key:
    return (triplet.content, triplet.point) if triplet.content and triplet.point else None


def _without_point(triplet: CodedTriplet) -> Key:
    return (triplet.content,) if triplet.content and not point_of(triplet) else None


def _by_id(triplet: CodedTriplet) -> Key:
    return (point_of(triplet), triplet.id)


def _may_be_one(first: CodedTriplet, second: CodedTriplet) -> bool:
    """Whether nothing says that the originals differ."""
    return first.content is None or second.content is None or first.content == second.content


def _and_id(key: Callable[[CodedTriplet], Key]) -> Callable[[CodedTriplet], Key]:
    def both(triplet: CodedTriplet) -> Key:
        own = key(triplet)
        return None if own is None else (*own, triplet.id)

    return both


_KEYS: tuple[Callable[[CodedTriplet], Key], ...] = (
    _and_id(_with_preset),
    _with_preset,
    _and_id(_with_point),
    _with_point,
    _and_id(_without_point),
    _without_point,
    _by_id,
)


def _rows(
    triplets: Sequence[CodedTriplet], left: Iterable[int], key: Callable[[CodedTriplet], Key]
) -> dict[tuple[str, ...], list[int]]:
    rows = defaultdict(list)
    for row in left:
        name = key(triplets[row])
        if name is not None:
            rows[name].append(row)
    return rows


def _place(first: CodedTriplet, second: CodedTriplet) -> tuple[str, ...]:
    ids = sorted((first.id, second.id))
    images = min(first.image, second.image)
    return (images, first.content or "", min(point_of(first), point_of(second)), *ids)


def _lonely(
    run: str, triplets: Sequence[CodedTriplet], left: Iterable[int], others: Sequence[CodedTriplet]
) -> list[Unpaired]:
    contents = {each.content for each in others if each.content}
    found = []
    for row in left:
        own = triplets[row]
        if own.content is None:
            reason = "its original cannot be read any more, and no such id is in the other run"
        elif own.content not in contents:
            reason = "the other run does not have its original"
        elif not point_of(own):
            reason = "its operating point is not known, and that of the other run's is"
        else:
            reason = "the other run has no or several triplets of this image at its operating point"
        found.append(Unpaired(run, own.id, own.image, point_of(own), "", reason))
    return sorted(found, key=lambda each: (each.triplet, each.image))
