"""What a compress run tells about its triplets: the manifest, the failures, the rates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nacd_bench.coding.curves import BDRate, Curve, figure, table
from nacd_bench.coding.matched import Photo
from nacd_bench.coding.sides import Side
from nacd_bench.jobs.compress.plan import Plan
from nacd_bench.triplets.files import csv_bytes, write_whole
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import COLUMNS

RESULT_COLUMNS = (
    "point",
    "fine",
    "asked_kind",
    "asked",
    "bpp",
    "bytes",
    "file_bytes",
    "out_of_range",
    "encodes",
    "encode_seconds",
    "decode_seconds",
    "psnr",
    "msssim",
    "bitstream",
    "command_line",
)
"""What the manifest says about each side of a triplet."""


def triplet_rows(
    plan: Plan, results: Sequence[tuple[Photo, Mapping[str, Mapping[str, Any]]]]
) -> list[dict[str, Any]]:
    """One dictionary per triplet, in the order of the images, rates and traditional codecs."""
    neural, *followers = plan.sides
    rows = []
    for photo, sides in results:
        for preset, _ in plan.steps:
            for follower in followers:
                left = sides.get(neural.label, {}).get(preset)
                right = sides.get(follower.label, {}).get(preset)
                if left is not None and right is not None:
                    rows.append(_triplet(photo, preset, (neural, left), (follower, right)))
    return rows


def _triplet(
    photo: Photo,
    preset: str,
    neural: tuple[Side, Mapping[str, Any]],
    traditional: tuple[Side, Mapping[str, Any]],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"{photo.id}_{preset}_{traditional[0].label}",
        "source": photo.id,
        "image_sha256": photo.sha256,
        "width": photo.width,
        "height": photo.height,
        "preset": preset,
        "original": photo.path,
        "neural": neural[1]["decoded"],
        "traditional": traditional[1]["decoded"],
        "traditional_label": traditional[0].label,
    }
    for role, (side, result) in (("neural", neural), ("traditional", traditional)):
        row[f"{role}_codec"] = side.codec.name
        row[f"{role}_version"] = side.identity["version"]
        row[f"{role}_parameters"] = json.dumps(side.identity["parameters"], sort_keys=True)
        row[f"{role}_point_name"] = side.codec.points.name
        row[f"{role}_rate_is_estimated"] = side.codec.rate_is_estimated
        for name in RESULT_COLUMNS:
            row[f"{role}_{name}"] = result[name]
    return row


def write_results(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, str]],
    found: Sequence[Curve],
    saved: Sequence[BDRate],
) -> Path:
    """Write manifest, failures and rate-distortion results; the path of the manifest."""
    records = [_record(row, folder) for row in rows]
    manifest = folder / "triplets.parquet"
    write_manifest(manifest, records)
    write_manifest(folder / "triplets.csv", records)
    columns = ("image", "side", "preset", "error")
    write_whole(folder / "failures.csv", csv_bytes(columns, failures))
    for name, values in (("rate_distortion", table(found)), ("bd_rate", list(map(asdict, saved)))):
        write_whole(folder / f"{name}.csv", csv_bytes(list(values[0] if values else ()), values))
    for kind in ("svg", "png") if rows else ():
        write_whole(folder / f"rate_distortion.{kind}", figure(found, kind))
    return manifest


def _record(row: Mapping[str, Any], folder: Path) -> TripletRecord:
    """A triplet as the manifest has it; what is only of interest to codecs goes into ``extra``."""
    values = {name: row[name] for name in COLUMNS if name in row}
    for role in ("neural", "traditional"):
        values[role] = str(folder / row[role])
        values[f"{role}_point"] = f"{row[f'{role}_point']:g}"
    extra = {name: value for name, value in row.items() if name not in values}
    return TripletRecord(**values, extra=extra)
