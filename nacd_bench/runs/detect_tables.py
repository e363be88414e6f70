"""The tables of a detect run, as Parquet and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.runs.tables import write_csv, write_table
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord

if TYPE_CHECKING:
    pass


FACTS = (
    "source",
    "neural_codec",
    "neural_version",
    "neural_point",
    "neural_bpp",
    "traditional_codec",
    "traditional_version",
    "traditional_point",
    "traditional_bpp",
)
"""What every row repeats of its triplet."""


def write_tables(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Mapping[str, Mapping[str, Any]],
    types: Mapping[str, str],
    thresholds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Write detections, scores and heat-map scales; the rows of the detections.

    Args:
        results: the journal's record of each finished triplet, by id.
        types: artifact type by detector, in order.
        thresholds: confidence over which a box is a detection, by detector.
    """
    import pyarrow as pa

    finished = [(record, results[record.id]) for record in records if record.id in results]
    detections = write_detections(folder, records, results, types, thresholds)
    facts = [(name, pa.float64() if name.endswith("bpp") else pa.string()) for name in FACTS]
    scores = [
        {
            "image": record.id,
            **_facts(record),
            **{name: result["scores"].get(name) for name in types},
        }
        for record, result in finished
    ]
    columns = [("image", pa.string()), *((name, pa.float64()) for name in types), *facts]
    write_table(folder / "scores", scores, pa.schema(columns))
    scales = [
        {"image": record.id, "detector": name, "file": file, "low": low, "high": high}
        for record, result in finished
        for (name, (low, high)), file in zip(
            result["scales"].items(), result["files"], strict=False
        )
    ]
    if scales:
        write_csv(folder / "heat_maps.csv", scales, list(scales[0]))
    return detections


def write_detections(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Mapping[str, Mapping[str, Any]],
    types: Mapping[str, str],
    thresholds: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Write the triplets as a manifest and the boxes found in them; the rows of the boxes.

    Args:
        results: ``boxes`` and ``confidences`` by detector, by triplet id.
        types, thresholds: as :func:`write_tables`; without thresholds every box counts.
    """
    import pyarrow as pa

    write_manifest(folder / "triplets.parquet", records)
    rows = [
        row
        for record in records
        if record.id in results
        for row in _detections(record, results[record.id], types, thresholds)
    ]
    facts = [(name, pa.float64() if name.endswith("bpp") else pa.string()) for name in FACTS]
    box = [(name, pa.int64()) for name in ("x0", "y0", "x1", "y1")]
    kinds = [("image", pa.string()), ("detector", pa.string()), ("artifact_type", pa.string())]
    kinds += [("confidence", pa.float64()), *box, *facts]
    write_table(folder / "detections", rows, pa.schema(kinds))
    return rows


def _detections(
    record: TripletRecord,
    result: Mapping[str, Any],
    types: Mapping[str, str],
    thresholds: Mapping[str, float] | None,
) -> list[dict[str, Any]]:
    rows = []
    for name, artifact_type in types.items():
        boxes, confidences = result["boxes"].get(name, []), result["confidences"].get(name, [])
        for (x0, y0, x1, y1), confidence in zip(boxes, confidences, strict=True):
            if thresholds is None or confidence > thresholds[name]:
                place = {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
                what = {"image": record.id, "detector": name, "artifact_type": artifact_type}
                rows.append({**what, "confidence": confidence, **place, **_facts(record)})
    return rows


def _facts(record: TripletRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FACTS}
