"""Checking triplets to the last pixel without running a detector."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from nacd_bench.data.images import Image, read_image
from nacd_bench.data.loading import size_fault
from nacd_bench.data.record import Problem, TripletRecord, boxes_outside
from nacd_bench.errors import ImageError
from nacd_bench.triplet import ROLES

MOST_WORKERS = 8


def validate(
    records: Sequence[TripletRecord],
    problems: Iterable[Problem] = (),
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[Problem]:
    """Everything that is wrong with triplets: every image is decoded as a whole.

    Args:
        records: the triplets, from :func:`~nacd_bench.data.source.find_triplets`.
        problems: what was found before; it comes first in the result.
        progress: called as ``progress(done, total)`` after each triplet, in this thread.
        workers: threads that decode; by default one per processor, at most 8.

    Returns:
        All problems in the order of the records, with each file of a triplet on its own: files
        that cannot be used, sizes that differ, boxes outside the image, scales that differ.
    """
    workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    found: dict[int, list[Problem]] = {}
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_check, record): i for i, record in enumerate(records)}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            if progress is not None:
                progress(len(found), len(records))
    return [*problems, *(problem for i in range(len(records)) for problem in found[i])]


def _check(record: TripletRecord) -> list[Problem]:
    images: dict[str, Image] = {}
    lines = []
    for role in ROLES:
        try:
            images[role] = read_image(getattr(record, role))
        except ImageError as error:
            lines.append(f"{record.place}, {role}: {error}")
    fault = size_fault(record, images)
    if fault:
        lines.append(fault)
    else:
        lines += _scale_faults(record, images)
    if "original" in images:
        original = images["original"]
        lines += boxes_outside(record, original.width, original.height)
    return [Problem(record.id, line, record.row) for line in lines]


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
