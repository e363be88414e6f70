"""A triplet's files to the batch that detectors take, or to all that is wrong with them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.errors import Failure, ImageError
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.images import Image, read_image
from nacd_bench.triplets.memory import MAPS, STRIPS, require_memory
from nacd_bench.triplets.record import ROLES, TripletRecord, boxes_outside
from nacd_bench.triplets.rows import stem
from nacd_bench.triplets.sides import sides_fault, sides_notes

MOST_WORKERS = 8


@dataclass(frozen=True)
class LoadedTriplet:
    """A record with its pixels.

    Args:
        record: what the manifest says.
        batch: a batch of one, its id that of the record.
        sha256: of each file's bytes, by role.
        notes: what is odd about files and is compared all the same, by path.
    """

    record: TripletRecord
    batch: TripletBatch
    sha256: Mapping[str, str]
    notes: Mapping[str, Sequence[str]]


def load_triplet(record: TripletRecord) -> LoadedTriplet:
    """Decode the three images of a triplet.

    Three images of 8 bits stay ``uint8``. As soon as one has more, all three become float32 in
    [0, 1], so that 8-bit 255 and 10-bit 1023 are the same white.

    Raises:
        ImageError: one of the files cannot be used, or they do not belong together.
    """
    images: dict[str, Image] = {}
    for role in ROLES:
        images[role] = read_image(getattr(record, role))
        if role == "original":
            size = images[role].width, images[role].height
            per_pixel = 9 * images[role].pixels.element_size() + MAPS
            require_memory(record.original, *size, per_pixel, STRIPS)
    fault = sides_fault(record, images)
    if fault:
        raise ImageError(fault)
    notes = {getattr(record, role): images[role].notes for role in ROLES}
    notes[record.original] += tuple(sides_notes(images))
    is_deep = any(image.bit_depth > 8 for image in images.values())
    pixels = {
        role: image.pixels.float() / 255 if is_deep and image.bit_depth == 8 else image.pixels
        for role, image in images.items()
    }
    batch = TripletBatch(**{role: image[None] for role, image in pixels.items()}, ids=(record.id,))
    if not batch.is_whole:
        give_back_memory()  # what decoding leaves
    return LoadedTriplet(
        record,
        batch,
        {role: image.sha256 for role, image in images.items()},
        {path: lines for path, lines in notes.items() if lines},
    )


def triplet_batch(
    original: str | Path, neural: str | Path, traditional: str | Path
) -> TripletBatch:
    """The batch of one triplet of image files, for detectors in plain Python.

    Raises:
        ImageError: one of the files cannot be used, or they do not belong together.
    """
    name = stem(str(original))
    record = TripletRecord(name, str(original), str(neural), str(traditional))
    return load_triplet(record).batch


def validate(
    records: Sequence[TripletRecord],
    problems: Iterable[Failure] = (),
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> tuple[list[Failure], list[str]]:
    """Everything that is wrong with triplets: every image is decoded as a whole.

    Args:
        records: the triplets, from :func:`~nacd_bench.triplets.source.find_triplets`.
        problems: what was found before; it comes first in the result.
        progress: called as ``progress(done, total)`` after each triplet, in this thread.
        workers: threads that decode; by default one per processor, at most 8.

    Returns:
        All problems in the order of the records, with each file of a triplet on its own: files
        that cannot be used, sides that do not belong together, boxes outside the image, scales that
        differ. Then notes, each once: files with broken metadata or under the name of another
        format, profiles and bit depths that differ.
    """
    records, problems = list(records), list(problems)
    notes = name_notes(records)
    with ThreadPoolExecutor(workers or min(MOST_WORKERS, os.cpu_count() or 1)) as pool:
        for done, (faults, remarks) in enumerate(pool.map(_check, records), 1):
            problems += faults
            notes += remarks
            if progress is not None:
                progress(done, len(records))
    return problems, list(dict.fromkeys(notes))


def name_notes(records: Sequence[TripletRecord]) -> list[str]:
    """A line for ids, else files, whose names differ by case or Unicode form only."""
    notes: dict[frozenset[str], str] = {}
    for kind in ("id", *ROLES):
        alike: dict[str, dict[str, str]] = defaultdict(dict)
        for record in records:
            name = getattr(record, kind)
            alike[composed(name).casefold()].setdefault(name, record.id)
        for names in alike.values():
            if len(names) > 1:
                line = (
                    f"{' and '.join(names)}: names that differ by case or Unicode form only, one "
                    "file on some systems. Rename all but one before you copy them there."
                )
                notes.setdefault(frozenset(names.values()), line)
    return list(notes.values())


def _check(record: TripletRecord) -> tuple[list[Failure], list[str]]:
    images: dict[str, Image] = {}
    lines: list[str] = []
    notes: list[str] = []
    for role in ROLES:
        path = getattr(record, role)
        try:
            images[role] = read_image(path)
            notes += [f"{path}: {note}." for note in images[role].notes]
        except ImageError as error:
            lines.append(f"{record.place}, {role}: {error}")
    fault = sides_fault(record, images)
    if fault:
        lines.append(fault)
    else:
        lines += _scale_faults(record, images)
        notes += [f"{record.original}: {note}." for note in sides_notes(images)]
    if "original" in images:
        original = images["original"]
        lines += boxes_outside(record, original.width, original.height)
    return [Failure(record.id, "read", line) for line in lines], notes


def _scale_faults(record: TripletRecord, images: dict[str, Image]) -> list[str]:
    """10- or 12-bit samples written into 16 bits without scaling look almost black."""
    if len({image.bit_depth for image in images.values()}) < 2:
        return []
    brightest = {
        role: image.pixels.max().item() / (255 if image.bit_depth == 8 else 1)
        for role, image in images.items()
    }
    return [
        f"{record.place}, {role}: expected samples that fill {images[role].bit_depth} bits, got a "
        f"brightest of {peak:.4f} of full scale beside {max(brightest.values()):.2f} in another "
        f"image of the triplet ({getattr(record, role)}). Scale it to the whole range."
        for role, peak in brightest.items()
        if images[role].bit_depth > 8 and peak * 8 <= max(brightest.values())
    ]
