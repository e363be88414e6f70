"""The pictures of a report: the three images of each triplet, and heat maps on one scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.report.heat_map import colored, per_pixel
from nacd_bench.report.page import write_picture
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import Box, TripletRecord

LOSSLESS_PIXELS = 80_000
"""Images of at most so many pixels are kept as they are, larger ones as WebP."""
WEBP: dict[str, Any] = {"quality": 90, "method": 1}
MOST_SIDE = 2400
"""Larger images are shown reduced to this side."""
HEAT_SIDE = 400
"""Largest side of a heat map's picture; it is smooth."""
WORKERS = 2


def write_pictures(
    folder: Path,
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[Detector]],
    boxes: Mapping[str, Sequence[Box]],
    tick: Callable[[int], None],
) -> dict[str, dict[str, Any] | str]:
    """Write what is not there yet; by triplet id what ``report.js`` reads, or why there is nothing.

    That is ``width`` and ``height`` of the original; ``images``, paths in the report's folder by
    role, which are ``reduced`` or not; ``heat``, heat maps by detector; and ``crops``: of reduced
    images, what lies in detections at full resolution, by box and role.

    Args:
        folder: of the report.
        records: triplets.
        wanted: detectors whose heat maps are wanted, by triplet id.
        boxes: of detections, by triplet id.
        tick: called after each triplet.
    """
    pictures: dict[str, dict[str, Any] | str] = {}
    with ThreadPoolExecutor(WORKERS) as writers:
        for record in records:
            try:
                pictures[record.id] = _pictures(
                    folder, record, wanted.get(record.id, ()), boxes.get(record.id, ()), writers
                )
            except UserError as error:
                pictures[record.id] = str(error)
            tick(0)
    return pictures


def _pictures(
    folder: Path,
    record: TripletRecord,
    detectors: Sequence[Detector],
    boxes: Sequence[Box],
    writers: ThreadPoolExecutor,
) -> dict[str, Any]:
    loaded = load_triplet(record)
    batch = loaded.batch
    width, height = batch.width, batch.height
    pixels = {role: getattr(batch, role) for role in ROLES}

    def write(path: str, image: Any, side: int, **options: Any) -> str:
        if not (folder / path).is_file():
            writers.submit(write_picture, folder / path, image, side, **options)
        return path

    is_small = width * height <= LOSSLESS_PIXELS
    suffix, options = ("png", {}) if is_small else ("webp", WEBP)
    images = {
        role: write(
            f"images/{loaded.sha256[role][:20]}.{suffix}",
            to_8_bit(pixels[role]),
            MOST_SIDE,
            **options,
        )
        for role in ROLES
    }
    heat = {}
    for detector in detectors:
        digest = json_sha256([dict(loaded.sha256), detector.settings])[:20]
        path = f"heat/{detector.name}/{digest}.webp"
        if not (folder / path).is_file():
            try:
                with torch.inference_mode():
                    heat_map = detector(batch).heat_map
            except Exception:  # the run's own failures say why
                continue
            if heat_map is None:
                continue
            values = per_pixel(heat_map, 0, height, width)
            write(path, colored(values, *detector.heat_map_range), HEAT_SIDE, **WEBP)
        heat[detector.name] = path
    is_reduced = max(width, height) > MOST_SIDE
    crops = {}
    for x0, y0, x1, y1 in boxes if is_reduced else ():
        crops[f"{x0},{y0},{x1},{y1}"] = {
            role: write(
                f"crops/{loaded.sha256[role][:20]}-{x0}-{y0}-{x1}-{y1}.webp",
                to_8_bit(pixels[role][..., y0:y1, x0:x1]),
                MOST_SIDE,
                **WEBP,
            )
            for role in ROLES
        }
    return {
        "width": width,
        "height": height,
        "reduced": is_reduced,
        "images": images,
        "heat": heat,
        "crops": crops,
    }
