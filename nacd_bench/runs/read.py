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
    LIMITS,
    METRICS,
    SCORES,
    SETS,
    SETTINGS,
    THRESHOLDS,
    TRIPLETS,
)
from nacd_bench.triplets.grades import GRADES, Grade, read_grades
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
        job: ``detect`` or ``benchmark``; ``mine`` where runs are compared.
        records: its triplets.
        detections: rows of ``detections.parquet``.
        scores: by method and triplet id.
        truth: of each test set by triplet id: whether it is a positive; empty for ``detect``.
        metrics: ``metrics.json``, empty for ``detect``.
        thresholds: what ``thresholds.yaml`` says; empty for ``detect``.
        limits: rows of ``thresholds.csv``, the thresholds of ``detect``.
        failures: rows of ``failures.csv``.
        grades: of model or human raters, where the data have any.
        config: ``config.yaml``.
        settings: ``settings.json``.
        missing: a line per file that should be there and is not, or cannot be read.
        types: artifact type by detector, where runs are compared.
    """

    folder: Path
    job: str
    records: list[TripletRecord] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    truth: dict[str, dict[str, bool]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    limits: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)


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
    run.records, problems = read_part(run, TRIPLETS, ([], []), parse_manifest)
    run.missing += (problem.message for problem in problems)
    run.detections = read_part(run, f"{DETECTIONS}.parquet", [])
    for row in read_part(run, f"{SCORES}.parquet", []):
        triplet, kind, is_positive = (
            row.pop(key, None) for key in ("triplet", "test_set", "is_positive")
        )
        if kind is not None:
            run.truth.setdefault(kind, {})[triplet] = bool(is_positive)
        for method, value in row.items():
            if isinstance(value, float) and method not in CODECS:
                run.scores.setdefault(method, {})[triplet] = value
    if job == "benchmark":
        run.metrics = read_part(run, METRICS, {})
        run.thresholds = read_part(run, THRESHOLDS, {})
    elif (folder / f"{LIMITS}.csv").is_file():
        run.limits = read_part(run, f"{LIMITS}.csv", [])
    if (folder / GRADES[0]).is_file():
        run.grades = read_part(run, GRADES[0], [], lambda path: read_grades(path, run.records)[0])
    run.settings = read_part(run, SETTINGS, {})
    run.config = read_part(run, CONFIG, {})
    run.failures = read_part(run, FAILURES, [])
    return run


def read_part(run: Run, name: str, empty: Any, read: Callable[[Path], Any] | None = None) -> Any:
    """A file's content, or an empty one and a line in ``run.missing`` on what is wrong."""
    path = run.folder / name
    content: Any = None
    if not path.exists():
        run.missing.append(f"{name} is missing: the run may not have ended.")
    else:
        try:
            content = (read or READERS[path.suffix])(path)
        except UserError as error:
            run.missing.append(f"{name} cannot be read: {error}")
    return content if isinstance(content, type(empty)) else empty


def _cells(path: Path) -> list[dict[str, str]]:
    return [entry.cells for entry in csv_entries(path, read_text(path, "a list of failures"))]


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".json": partial(read_json, what="what the run wrote"),
    ".yaml": partial(read_yaml, what="what the run wrote"),
    ".csv": _cells,
    ".parquet": lambda path: read_parquet(path).to_pylist(),
}
"""By the suffix of a run's file."""
