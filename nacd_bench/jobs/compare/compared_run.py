"""A run that is compared with another one: the folders of detect, benchmark and mine in one shape.

Boxes are held as columns, because a run may have a hundred thousand of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.registry import DETECTORS
from nacd_bench.runs.candidates import CANDIDATES, CODED, read_mined
from nacd_bench.runs.read import Run, read_run
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.record import Box, TripletRecord
from nacd_bench.triplets.text_files import csv_entries, read_json, read_text

SIDES = ROLES[1:]


@dataclass(frozen=True)
class Picture:
    """Where the pixels of one image of a triplet can be had from, the best first.

    Args:
        crops: parts of it that are files: what they show, and where they are.
        file: the whole image.
        file_sha256: of that file when the run saw it.
        bitstream: what decodes to it.
        pixels_sha256: of what it decodes to.
    """

    crops: tuple[tuple[Box, Path], ...] = ()
    file: str | None = None
    file_sha256: str | None = None
    bitstream: Path | None = None
    pixels_sha256: str | None = None


@dataclass(frozen=True)
class CodedTriplet:
    """An image at one operating point of the codec.

    Args:
        id: in its run.
        image: what the original is called.
        content: hash of the original's file, or None where nothing knows it any more.
        source: what crops of one photograph share, or None.
        preset, point: names of the rate step and of the neural codec's operating point.
        bpp: of both sides.
        codecs: name and version of both sides.
        traditional_identity: what tells one traditional result from another.
        pictures: by role.
    """

    id: str
    image: str
    content: str | None
    source: str | None
    preset: str | None
    point: str | None
    bpp: Mapping[str, float | None]
    codecs: Mapping[str, str]
    traditional_identity: tuple[str, ...]
    pictures: Mapping[str, Picture]


@dataclass
class ComparedRun:
    """What a folder says.

    Args:
        folder: the run's folder.
        kind: ``detect``, ``benchmark`` or ``mine``.
        triplets: those that were looked at.
        types: artifact type by detector.
        scores: of each triplet, by detector; NaN where there is none.
        triplet_of: row in ``triplets`` of each box ``(n,)``.
        detector_of: detector of each box ``(n,)``, as its place in ``types``.
        places: boxes ``(n, 4)``.
        confidences: ``(n,)``.
        thresholds: confidence over which a box was kept, by detector; without those that the run
            does not tell.
        detectors: the detectors' settings, where the run tells them.
        version: of nacd-bench, where the run tells it.
        codecs: keywords of the codecs by side, where the run tells them.
        failures: what failed in the run, and what of it cannot be read.
    """

    folder: Path
    kind: str
    triplets: list[CodedTriplet]
    types: dict[str, str]
    scores: dict[str, Floats]
    triplet_of: NDArray[np.int64]
    detector_of: NDArray[np.int64]
    places: NDArray[np.int64]
    confidences: Floats
    thresholds: dict[str, float] = field(default_factory=dict)
    detectors: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    codecs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def read_compared(folder: str | Path) -> ComparedRun:
    """The run in a folder.

    Raises:
        DataError: no run, no boxes or scores in it, or a table that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"expected the folder of a detect, benchmark or mine run, got {folder}, which is no "
            "folder. Name the folder that the run printed."
        )
    if (folder / CANDIDATES).is_dir() or (folder / CODED).is_dir():
        return _mined(folder)
    return _detected(folder)


# --- detect and benchmark


def _detected(folder: Path) -> ComparedRun:
    run = read_run(folder)
    for name in ("triplets.parquet", "detections.parquet", "scores.parquet"):
        faults = [line for line in run.missing if line.startswith(name)]
        if faults:
            raise DataError(
                f"expected a run that ended in {folder}, got one without its tables: {faults[0]} "
                "Let the run go on with the same folder=..., or copy it again."
            )
    settings = run.settings.get("detectors" if run.job == "detect" else "methods", {})
    types = _types(
        {row["detector"]: row["artifact_type"] for row in run.detections},
        [name for name in run.scores if name not in run.metrics.get("baselines", ())],
        run.metrics.get("detectors", {}),
    )
    known = {name: run.scores.get(name, {}) for name in types}
    records = [each for each in run.records if any(each.id in own for own in known.values())]
    hashes = _hashes(folder)
    row_of = {record.id: row for row, record in enumerate(records)}
    rows = [row for row in run.detections if row["image"] in row_of]
    return ComparedRun(
        folder,
        run.job,
        [_triplet(record, hashes.get(record.id, {})) for record in records],
        types,
        {
            name: np.array([own.get(record.id, math.nan) for record in records], np.float64)
            for name, own in known.items()
        },
        *_columns(rows, [row_of[row["image"]] for row in rows], types),
        thresholds=_thresholds(run, types),
        detectors={name: own for name, own in settings.items() if name in types},
        version=run.settings.get("nacd_bench"),
        failures=[
            *(Failure(folder.name, "", line) for line in run.missing if not _may_lack(line)),
            *(
                Failure(row.get("item") or "", row.get("step") or "", row.get("message") or "")
                for row in run.failures
            ),
        ],
    )


def _may_lack(line: str) -> bool:
    """Whether a file is missing that jobs started from Python do not have."""
    return line.startswith("config.yaml")


def _hashes(folder: Path) -> dict[str, Mapping[str, str]]:
    """Hashes of the files that a detect run saw, by triplet id and role."""
    found: dict[str, Mapping[str, str]] = {}
    path = folder / "journal.jsonl"
    if not path.is_file():
        return found
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
                found[record["id"]] = record["sha256"]
            except (ValueError, TypeError, KeyError):  # the schema, or a torn line
                continue
    return found


def _triplet(record: TripletRecord, hashes: Mapping[str, str]) -> CodedTriplet:
    content = hashes.get("original") or record.extra.get("image_sha256")
    if content is None:
        try:
            content = content_hash(record.original)
        except UserError:
            content = None
    preset = record.extra.get("preset")
    return CodedTriplet(
        record.id,
        record.source or record.id,
        content,
        record.source,
        None if preset is None else str(preset),
        record.neural_point,
        {side: getattr(record, f"{side}_bpp") for side in SIDES},
        {side: _codec(record, side) for side in SIDES},
        ("file", hashes["traditional"])
        if "traditional" in hashes
        else ("point", _codec(record, "traditional"), str(record.traditional_point)),
        {role: Picture((), getattr(record, role), hashes.get(role)) for role in ROLES},
    )


def _codec(record: TripletRecord, side: str) -> str:
    names = (getattr(record, f"{side}_{fact}") for fact in ("codec", "version"))
    return " ".join(filter(None, names))


def _thresholds(run: Run, types: Mapping[str, str]) -> dict[str, float]:
    """What the run's configuration says; the defaults of ``detect`` where it says nothing."""
    if run.job == "benchmark":
        return dict.fromkeys(types, 0.0)
    given = run.config.get("thresholds")
    if isinstance(given, Mapping):
        return dict.fromkeys(types, 0.0) | {name: float(given[name]) for name in given}
    if isinstance(given, str):
        from nacd_bench.evaluation.thresholds import read_thresholds

        try:
            return read_thresholds(given).of(types)
        except UserError:  # gone or changed since
            return {}
    return {}


# --- mine


def _mined(folder: Path) -> ComparedRun:
    coded = read_mined(folder, CODED).to_pylist()
    candidates = read_mined(folder, CANDIDATES).to_pylist()
    failures = _failures(folder)
    settings: Mapping[str, Any] = {}
    try:
        content = read_json(folder / "settings.json", "the settings of the run")
        settings = content if isinstance(content, Mapping) else {}
    except UserError as error:
        failures.append(Failure(folder.name, "", str(error)))
    scores = [dict(row["scores"] or ()) for row in coded]
    types = _types(
        {row["detector"]: row["artifact_type"] for row in candidates},
        [name for own in scores for name in own],
        {},
    )
    row_of = {row["triplet"]: number for number, row in enumerate(coded)}
    rows = [row for row in candidates if row["triplet"] in row_of]
    crops: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        crops.setdefault(row["triplet"], []).append(row)
    given = settings.get("thresholds")
    detectors = settings.get("detectors")
    sides = {side: settings.get(side) for side in SIDES}
    return ComparedRun(
        folder,
        "mine",
        [_mined_triplet(folder, row, crops.get(row["triplet"], ())) for row in coded],
        types,
        {name: np.array([own.get(name, math.nan) for own in scores], np.float64) for name in types},
        *_columns(rows, [row_of[row["triplet"]] for row in rows], types),
        thresholds={k: float(v) for k, v in given.items() if isinstance(v, int | float)}
        if isinstance(given, Mapping)
        else {},
        detectors=detectors if isinstance(detectors, Mapping) else {},
        version=settings.get("nacd_bench"),
        codecs={
            side: own["codec"]
            for side, own in sides.items()
            if isinstance(own, Mapping) and isinstance(own.get("codec"), Mapping)
        },
        failures=failures,
    )


def _mined_triplet(
    folder: Path, row: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]
) -> CodedTriplet:
    edges = ("crop_x0", "crop_y0", "crop_x1", "crop_y1")

    def crops(role: str) -> tuple[tuple[Box, Path], ...]:
        found = []
        for each in candidates:
            x0, y0, x1, y1 = (each[edge] for edge in edges)
            if each[f"crop_{role}"]:
                found.append(((x0, y0, x1, y1), folder / each[f"crop_{role}"]))
        return tuple(found)

    pictures = {"original": Picture(crops("original"), row["image_path"], row["image_sha256"])}
    for side in SIDES:
        kept = row[f"{side}_decoded"]
        stream = row[f"{side}_bitstream"]
        pictures[side] = Picture(
            crops(side),
            str(folder / kept) if kept else None,
            None,
            folder / stream if stream else None,
            row[f"{side}_sha256"],
        )
    facts = {side: (row[f"{side}_codec"], row[f"{side}_version"]) for side in SIDES}
    return CodedTriplet(
        row["triplet"],
        row["image"],
        row["image_sha256"],
        None,
        row["preset"],
        row["neural_point"],
        {side: row[f"{side}_bpp"] for side in SIDES},
        {side: " ".join(filter(None, own)) for side, own in facts.items()},
        ("pixels", str(row["traditional_sha256"])),
        pictures,
    )


def _failures(folder: Path) -> list[Failure]:
    """What a mined folder says failed, whatever its columns are called."""
    path = folder / "failures.csv"
    if not path.is_file():
        return []
    rows = [each.cells for each in csv_entries(path, read_text(path, "a list of failures"))]
    return [
        Failure(
            next(iter(row.values())) or "",
            "",
            ": ".join(filter(None, [each for each in row.values() if isinstance(each, str)][1:])),
        )
        for row in rows
    ]


# --- both


def _types(
    found: Mapping[str, str], scored: Sequence[str], told: Mapping[str, str]
) -> dict[str, str]:
    """Artifact type by detector, by name; one that boxed nothing is looked up by its name."""
    types = {**told, **found}
    for name in dict.fromkeys(scored):
        if name not in types and name in DETECTORS:
            try:
                types[name] = DETECTORS.get(name).artifact_type
            except UserError:  # another package's, broken or gone
                continue
    return dict(sorted(types.items()))


def _columns(
    rows: Sequence[Mapping[str, Any]], triplets: Sequence[int], types: Mapping[str, str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    number = {name: place for place, name in enumerate(types)}

    def column(make: Callable[[Mapping[str, Any]], Any], kind: Any) -> NDArray[Any]:
        return np.array([make(row) for row in rows], kind)

    edges = ("x0", "y0", "x1", "y1")
    return (
        np.array(triplets, np.int64),
        column(lambda row: number[row["detector"]], np.int64),
        column(lambda row: [row[edge] for edge in edges], np.int64).reshape(-1, 4),
        column(lambda row: row["confidence"], np.float64),
    )
