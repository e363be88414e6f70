"""What methods said about triplets, as tables: detections, scores, the triplets themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench.runs.schema import CODECS, DETECTIONS, EDGES, REAL, SCORES, TRIPLETS, schema
from nacd_bench.runs.tables import write_table
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord

Results = Mapping[str, Mapping[str, Result]]
"""By triplet id and method."""


def write_tables(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Results,
    types: Mapping[str, str],
    thresholds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Write triplets, detections and scores of a ``detect`` run; the rows of the detections.

    Args:
        results: of the triplets that are finished; a detector that failed is left out.
        types: artifact type by detector, in order.
        thresholds: confidence over which a box is a detection, by detector.
    """
    detections = write_detections(folder, records, results, types, thresholds)
    rows = [
        triplet_columns(record)
        | {name: result.score for name, result in results[record.id].items() if not result.fault}
        for record in records
        if record.id in results
    ]
    write_scores(folder, rows, list(types))
    return detections


def write_detections(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Results,
    types: Mapping[str, str],
    thresholds: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Write the triplets as a manifest and the boxes found in them; the rows of the boxes.

    Args:
        types: artifact type by detector, in order.
        thresholds: confidence over which a box is a detection, by detector; None for every box.
    """
    write_manifest(folder / TRIPLETS, records)
    rows = [
        {
            **triplet_columns(record),
            "artifact_type": artifact_type,
            "detector": name,
            "confidence": confidence,
            **dict(zip(EDGES, box, strict=True)),
        }
        for record in records
        for name, artifact_type in types.items()
        for result in filter(None, [results.get(record.id, {}).get(name)])
        for box, confidence in zip(result.boxes, result.confidences, strict=True)
        if thresholds is None or confidence > thresholds[name]
    ]
    write_table(folder / DETECTIONS, rows, schema(DETECTIONS))
    return rows


def write_scores(
    folder: Path, rows: Sequence[Mapping[str, Any]], methods: Sequence[str], **more: Any
) -> None:
    """Write the scores of triplets, a column for each method.

    Args:
        rows: :func:`triplet_columns` with scores by method.
        methods: their names, in order.
        more: types of further columns.
    """
    columns = schema(SCORES, **more, **dict.fromkeys(methods, REAL))
    write_table(folder / SCORES, rows, columns)


def triplet_columns(record: TripletRecord) -> dict[str, Any]:
    """What every row repeats of its triplet."""
    codecs = {name: getattr(record, name) for name in CODECS}
    return {"triplet": record.id, "image": record.source or record.id, **codecs}
