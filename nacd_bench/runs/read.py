"""A run's folder, read back: what is there, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.runs.schema import (
    CANDIDATES,
    CODECS,
    CONFIG,
    CURVES,
    DETECTIONS,
    FAILURES,
    IMAGES,
    METRICS,
    SCORES,
    SETS,
    SETTINGS,
    THRESHOLDS,
    TRIPLETS,
)
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
    if not (folder / TRIPLETS).is_file() and not (folder / SETTINGS).is_file():
        raise DataError(
            f"expected the folder of a detect or benchmark run, got {folder}, which has neither "
            f"{TRIPLETS} nor {SETTINGS}. Name the folder that the run printed."
        )
    job = "benchmark" if (folder / SETS).is_dir() or (folder / CURVES).is_dir() else "detect"
    run = Run(folder, job)
    run.records, problems = _part(run, TRIPLETS, parse_manifest, ([], []))
    run.missing += (problem.message for problem in problems)
    run.detections = _part(run, f"{DETECTIONS}.parquet", _rows, [])
    for row in _part(run, f"{SCORES}.parquet", _rows, []):
        triplet, kind, is_positive = (
            row.pop(key, None) for key in ("triplet", "test_set", "is_positive")
        )
        if kind is not None:
            run.truth.setdefault(kind, {})[triplet] = bool(is_positive)
        for method, value in row.items():
            if isinstance(value, float) and method not in CODECS:
                run.scores.setdefault(method, {})[triplet] = value
    if job == "benchmark":
        run.metrics = _part(run, METRICS, _json, {})
        run.thresholds = _part(run, THRESHOLDS, _yaml, {}).get("sets", {})
    run.settings = _part(run, SETTINGS, _json, {})
    run.config = _part(run, CONFIG, _yaml, {})
    run.failures = _part(run, FAILURES, _cells, [])
    return run


def _part(run: Run, name: str, read: Callable[[Path], Any], empty: Any) -> Any:
    """A file's content, or an empty one and a line on what is wrong."""
    content: Any = None
    if not (run.folder / name).exists():
        run.missing.append(f"{name} is missing: the run may not have ended.")
    else:
        try:
            content = read(run.folder / name)
        except UserError as error:
            run.missing.append(f"{name} cannot be read: {error}")
    return content if isinstance(content, type(empty)) else empty


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_parquet(path).to_pylist())


def _cells(path: Path) -> list[dict[str, str]]:
    return [entry.cells for entry in csv_entries(path, read_text(path, "a list of failures"))]


_json = partial(read_json, what="what the run wrote")
_yaml = partial(read_yaml, what="what the run wrote")
