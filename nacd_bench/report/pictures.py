"""The pictures of a report: the three images of each triplet, and heat maps on one scale."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.report.heat_map import colored, per_pixel
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.triplets.files import json_sha256, write_whole
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import Box, TripletRecord

LOSSLESS_PIXELS = 80_000
"""Images of at most so many pixels are kept as they are, larger ones as WebP of this quality."""
QUALITY = 90
MOST_SIDE = 2400
"""Larger images are shown reduced to this side."""
HEAT_SIDE = 400
"""Largest side of a heat map's picture; it is smooth."""
WORKERS = 2


@dataclass(frozen=True)
class Pictures:
    """Of one triplet, as paths in the report's folder.

    Args:
        width, height: of the original, in pixels.
        images: by role.
        reduced: whether they are smaller than the original.
        heat: heat maps by detector.
        crops: of reduced images, what lies in detections at full resolution: by box, then role.
    """

    width: int
    height: int
    images: Mapping[str, str]
    reduced: bool
    heat: Mapping[str, str]
    crops: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def write_pictures(
    folder: Path,
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[Detector]],
    boxes: Mapping[str, Sequence[Box]],
    tick: Any,
) -> dict[str, Pictures | str]:
    """Write what is not there yet; by triplet id, or why there is nothing to show.

    Args:
        folder: of the report.
        records: triplets.
        wanted: detectors whose heat maps are wanted, by triplet id.
        boxes: of detections, by triplet id.
        tick: called after each triplet.
    """
    found: dict[str, Pictures | str] = {}
    with ThreadPoolExecutor(WORKERS) as writers:
        for record in records:
            try:
                found[record.id] = _pictures(
                    folder, record, wanted.get(record.id, ()), boxes.get(record.id, ()), writers
                )
            except UserError as error:
                found[record.id] = str(error)
            tick(0)
    return found


def _pictures(
    folder: Path,
    record: TripletRecord,
    detectors: Sequence[Detector],
    boxes: Sequence[Box],
    writers: ThreadPoolExecutor,
) -> Pictures:
    loaded = load_triplet(record)
    batch = loaded.batch
    height, width = batch.height, batch.width
    images = {}
    for role in ROLES:
        path = f"images/{loaded.sha256[role][:20]}.{_suffix(width * height)}"
        images[role] = path
        if not (folder / path).is_file():
            writers.submit(_write_image, folder / path, to_8_bit(getattr(batch, role)))
    heat = {}
    for detector in detectors:
        path = f"heat/{detector.name}/{_heat_name(loaded.sha256, detector)}.png"
        if (folder / path).is_file():
            heat[detector.name] = path
            continue
        with torch.inference_mode():
            try:
                one = detector(batch)
            except Exception:  # the run's own failures say why
                continue
        if isinstance(one, DetectionBatch) and one.heat_map is not None:
            values = per_pixel(one.heat_map, 0, height, width)
            writers.submit(_write_heat, folder / path, values, detector.heat_map_range)
            heat[detector.name] = path
    is_reduced = max(width, height) > MOST_SIDE
    crops = {}
    for box in boxes if is_reduced else ():
        x0, y0, x1, y1 = box
        crops[",".join(map(str, box))] = {
            role: f"crops/{loaded.sha256[role][:20]}-{x0}-{y0}-{x1}-{y1}.webp" for role in ROLES
        }
        for role, path in crops[",".join(map(str, box))].items():
            if not (folder / path).is_file():
                cut = getattr(batch, role)[:, :, y0:y1, x0:x1]
                writers.submit(_write_image, folder / path, to_8_bit(cut))
    return Pictures(width, height, images, is_reduced, heat, crops)


def _heat_name(sha256: Mapping[str, str], detector: Detector) -> str:
    """Of what decides a heat map, so that one that is there need not be made again."""
    return json_sha256([dict(sha256), detector.settings])[:20]


def _suffix(pixels: int) -> str:
    return "png" if pixels <= LOSSLESS_PIXELS else "webp"


def _write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(pixels)
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    file = io.BytesIO()
    if path.suffix == ".png":
        picture.save(file, "PNG", compress_level=6)
    else:
        picture.save(file, "WEBP", quality=QUALITY, method=1)
    write_whole(path, file.getvalue())


def _write_heat(path: Path, values: NDArray[np.float32], scale: tuple[float, float]) -> None:
    picture = Image.fromarray(colored(values, *scale))
    picture.thumbnail((HEAT_SIDE, HEAT_SIDE))
    file = io.BytesIO()
    picture.quantize(64).save(file, "PNG", optimize=True)
    write_whole(path, file.getvalue())
