"""A run's folder, read back: what is there, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.runs.schema import CANDIDATES, IMAGES
from nacd_bench.triplets.manifest import parse_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.text_files import (
    csv_entries,
    read_json,
    read_parquet,
    read_text,
    read_yaml,
)


@dataclass
class Run:
    """What a folder says.

    Args:
        folder: the run's folder.
        job: ``detect`` or ``benchmark``.
        records: its triplets.
        detections: rows of ``detections.parquet``.
        scores: by method and triplet id.
        truth: of each test set by triplet id: whether it is a positive; empty for ``detect``.
        metrics: ``metrics.json``, empty for ``detect``.
        thresholds: by set, method and criterion, as in ``thresholds.yaml``.
        failures: rows of ``failures.csv``.
        config: ``config.yaml``.
        settings: ``settings.json``.
        missing: a line per file that should be there and is not, or cannot be read.
    """

    folder: Path
    job: str
    records: list[TripletRecord] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    truth: dict[str, dict[str, bool]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def read_run(folder: str | Path) -> Run:
    """Everything that can be read of a run's folder.

    Raises:
        DataError: it is no folder of a run at all.
    """
    folder = Path(folder)
    if (folder / CANDIDATES).is_dir() and (folder / IMAGES).is_dir():
        raise DataError(
            f"expected the folder of a detect or benchmark run, got that of a mine run, {folder}. "
            "Its pictures are strongest_*.png; nacd-bench verify export makes pages of it, and "
            "nacd-bench compare shows what differs from another run."
        )
    if not (folder / "triplets.parquet").is_file() and not (folder / "settings.json").is_file():
        raise DataError(
            f"expected the folder of a detect or benchmark run, got {folder}, which has neither "
            "triplets.parquet nor settings.json. Name the folder that the run printed."
        )
    job = "benchmark" if (folder / "sets").is_dir() or (folder / "curves").is_dir() else "detect"
    run = Run(folder, job)
    _records(run)
    run.detections = _table(run, "detections.parquet")
    _scores(run)
    if job == "benchmark":
        run.metrics = _json(run, "metrics.json")
        run.thresholds = _yaml(run, "thresholds.yaml").get("sets", {})
    run.settings = _json(run, "settings.json")
    run.config = _yaml(run, "config.yaml")
    failures = folder / "failures.csv"
    if failures.is_file():
        try:
            rows = csv_entries(failures, read_text(failures, "a list of failures"))
            run.failures = [each.cells for each in rows]
        except UserError as error:
            run.missing.append(str(error))
    else:
        run.missing.append("failures.csv is missing: the run may not have ended.")
    return run


def _records(run: Run) -> None:
    try:
        records, problems = parse_manifest(run.folder / "triplets.parquet")
    except UserError as error:
        run.missing.append(f"triplets.parquet: {error}")
        return
    run.records = records
    run.missing += [str(problem) for problem in problems]


def _scores(run: Run) -> None:
    for row in _table(run, "scores.parquet"):
        name = row.pop("triplet", None)
        kind, is_positive = row.pop("test_set", None), row.pop("is_positive", None)
        if kind is not None:
            run.truth.setdefault(kind, {})[name] = bool(is_positive)
        for method, value in row.items():
            if isinstance(value, float) and not method.endswith("_bpp"):
                run.scores.setdefault(method, {})[name] = value


def _table(run: Run, name: str) -> list[dict[str, Any]]:
    if not (run.folder / name).exists():
        run.missing.append(f"{name} is missing: the run may not have ended.")
        return []
    try:
        return list(read_parquet(run.folder / name).to_pylist())
    except UserError as error:
        run.missing.append(f"{name} cannot be read: {error}")
        return []


def _json(run: Run, name: str) -> Mapping[str, Any]:
    try:
        content = read_json(run.folder / name, "what the run wrote")
    except UserError as error:
        run.missing.append(f"{name} cannot be read: {error}")
        return {}
    return content if isinstance(content, Mapping) else {}


def _yaml(run: Run, name: str) -> Mapping[str, Any]:
    try:
        content = read_yaml(run.folder / name, "what the run wrote")
    except UserError as error:
        run.missing.append(f"{name} cannot be read: {error}")
        return {}
    return content if isinstance(content, Mapping) else {}
