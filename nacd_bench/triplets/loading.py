"""A triplet's files to the batch that detectors take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.errors import ImageError
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.images import read_image
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import stem
from nacd_bench.triplets.sides import profile_notes, sides_fault


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
    images = {role: read_image(getattr(record, role)) for role in ROLES}
    fault = sides_fault(record, images)
    if fault:
        raise ImageError(fault)
    notes = {getattr(record, role): images[role].notes for role in ROLES}
    notes[record.original] += tuple(profile_notes(images))
    is_deep = any(image.bit_depth > 8 for image in images.values())
    pixels = {
        role: image.pixels.float() / 255 if is_deep and image.bit_depth == 8 else image.pixels
        for role, image in images.items()
    }
    return LoadedTriplet(
        record,
        TripletBatch(**{role: image[None] for role, image in pixels.items()}, ids=(record.id,)),
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
