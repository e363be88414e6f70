"""A run as it is compared with another one: the folders of detect, benchmark and mine in one shape.

Boxes are held as columns, because a run may have a hundred thousand of them.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.artifact_matching import Boxes
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.registry import DETECTORS
from nacd_bench.runs.candidates import read_mined
from nacd_bench.runs.read import Run, read_run
from nacd_bench.runs.schema import (
    CANDIDATES,
    CODECS,
    CODED,
    EDGES,
    FAILURES,
    JOURNAL,
    SETTINGS,
    SIDES,
)
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.record import Box, TripletRecord
from nacd_bench.triplets.text_files import csv_entries, read_json, read_text

TABLES = ("triplets.parquet", "detections.parquet", "scores.parquet")


@dataclass
class ComparedRun:
    """What a folder says.

    Args:
        folder: the run's folder.
        kind: ``detect``, ``benchmark`` or ``mine``.
        triplets: records of those that were looked at. Their ``extra`` has what pairs them:
            ``image`` (what the original is called), ``image_sha256`` (of its file, None where
            nothing knows it any more), ``preset`` (of the rate, or None), and ``traditional``,
            which tells one traditional result from another; and hashes of the files that the run
            saw, ``original_file_sha256`` and so on.
        types: artifact type by detector.
        scores: of each triplet, by detector; NaN where there is none.
        boxes: their groups are rows in ``triplets``, their detectors places in ``types``.
        thresholds: confidence over which a box was kept, by detector; without those that the run
            does not tell.
        detectors: the detectors' settings, where the run tells them.
        settings: the run's ``settings.json``, empty where it cannot be read.
        codecs: keywords of the codecs by side, where the run tells them.
        crops: parts of images that are files, by triplet and role: what they show, and where.
        failures: what failed in the run, and what of it cannot be read.
    """

    folder: Path
    kind: str
    triplets: list[TripletRecord]
    types: dict[str, str]
    scores: dict[str, Floats]
    boxes: Boxes
    thresholds: Mapping[str, float]
    detectors: Mapping[str, Any]
    settings: Mapping[str, Any]
    failures: list[Failure]
    codecs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    crops: Mapping[tuple[str, str], Sequence[tuple[Box, Path]]] = field(default_factory=dict)


def operating_point(triplet: TripletRecord) -> str:
    """As people name it: the preset, or the neural codec's; empty where it is not known."""
    return triplet.extra.get("preset") or triplet.neural_point or ""


def codec_of(triplet: TripletRecord, side: str) -> str:
    """With its version; empty where it is not known."""
    names = (getattr(triplet, f"{side}_{fact}") for fact in ("codec", "version"))
    return " ".join(filter(None, names))


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
    is_mined = (folder / CANDIDATES).is_dir() or (folder / CODED).is_dir()
    return _mined(folder) if is_mined else _detected(read_run(folder))


# --- detect and benchmark


def _detected(run: Run) -> ComparedRun:
    faults = [line for line in run.missing if line.startswith(TABLES)]
    if faults:
        raise DataError(
            f"expected a run that ended in {run.folder}, got one without its tables: {faults[0]} "
            "Let the run go on with the same folder=..., or copy it again."
        )
    methods = run.scores.keys() - set(run.metrics.get("baselines", ()))
    types = _types(run.metrics.get("detectors", {}), run.detections, methods)
    scores = {name: run.scores.get(name, {}) for name in types}
    scored = set().union(*scores.values())
    records = [record for record in run.records if record.id in scored]
    hashes = _hashes(run.folder / JOURNAL)
    return ComparedRun(
        run.folder,
        run.job,
        [_seen(record, hashes.get(record.id, {})) for record in records],
        types,
        _columns(scores, [record.id for record in records]),
        _boxes(run.detections, [record.id for record in records], types),
        _thresholds(run, types),
        run.settings.get("detectors" if run.job == "detect" else "methods", {}),
        run.settings,
        [
            # jobs started from Python have no configuration
            *(Failure(run.folder.name, "", x) for x in run.missing if "config.yaml" not in x),
            *map(_failure, run.failures),
        ],
    )


def _hashes(journal: Path) -> dict[str, Mapping[str, str]]:
    """Hashes of the files that a detect run saw, by triplet id and role."""
    hashes = {}
    for line in journal.read_bytes().splitlines() if journal.is_file() else ():
        with suppress(ValueError, TypeError, KeyError):  # the schema, or a torn line
            record = json.loads(line)
            hashes[record["id"]] = record["sha256"]
    return hashes


def _seen(record: TripletRecord, hashes: Mapping[str, str]) -> TripletRecord:
    """The record with what pairs it, see :class:`ComparedRun`; hashes of its files by role."""
    content = hashes.get("original") or record.extra.get("image_sha256")
    if content is None:
        with suppress(UserError):
            content = content_hash(record.original)
    preset = record.extra.get("preset")
    by_name = (codec_of(record, "traditional"), record.traditional_point)
    facts = {
        "image": record.source or record.id,
        "image_sha256": content,
        "preset": None if preset is None else str(preset),
        "traditional": hashes.get("traditional") or by_name,
        **{f"{role}_file_sha256": sha256 for role, sha256 in hashes.items()},
    }
    return replace(record, extra={**record.extra, **facts})


def _thresholds(run: Run, types: Mapping[str, str]) -> dict[str, float]:
    """What the run's configuration says; the defaults of ``detect`` where it says nothing."""
    given = run.config.get("thresholds")
    if run.job == "benchmark":
        return dict.fromkeys(types, 0.0)
    if isinstance(given, Mapping):
        return dict.fromkeys(types, 0.0) | {name: float(given[name]) for name in given}
    if isinstance(given, str):
        with suppress(UserError):  # gone or changed since
            return read_thresholds(given).of(types)
    return {}


# --- mine


def _mined(folder: Path) -> ComparedRun:
    coded = read_mined(folder, CODED).to_pylist()
    candidates = read_mined(folder, CANDIDATES).to_pylist()
    failures = []
    if (folder / FAILURES).is_file():
        rows = csv_entries(folder / FAILURES, read_text(folder / FAILURES, "a list of failures"))
        failures = [_failure(row.cells) for row in rows]
    settings: Mapping[str, Any] = {}
    try:
        content = read_json(folder / SETTINGS, "the settings of the run")
        settings = _table({"run": content}, "run")
    except UserError as error:
        failures.append(Failure(folder.name, "", str(error)))
    crops = defaultdict(list)
    for row in candidates:
        x0, y0, x1, y1 = (row[f"crop_{edge}"] for edge in EDGES)
        for role in ROLES:
            if row[f"crop_{role}"]:
                crop = ((x0, y0, x1, y1), folder / row[f"crop_{role}"])
                crops[row["triplet"], role].append(crop)
    scores: dict[str, dict[str, float]] = {}
    for row in coded:
        for name, score in row["scores"] or ():
            scores.setdefault(name, {})[row["triplet"]] = score
    types = _types({}, candidates, scores)
    triplets = [row["triplet"] for row in coded]
    codecs = {side: _table(_table(settings, side), "codec") for side in SIDES}
    return ComparedRun(
        folder,
        "mine",
        [_mined_record(folder, row) for row in coded],
        types,
        _columns({name: scores.get(name, {}) for name in types}, triplets),
        _boxes(candidates, triplets, types),
        {k: v for k, v in _table(settings, "thresholds").items() if isinstance(v, int | float)},
        _table(settings, "detectors"),
        settings,
        failures,
        {side: codec for side, codec in codecs.items() if codec},
        crops,
    )


def _table(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of the settings, which somebody may have edited."""
    part = settings.get(name)
    return part if isinstance(part, Mapping) else {}


def _mined_record(folder: Path, row: Mapping[str, Any]) -> TripletRecord:
    neural, traditional = (
        str(folder / file) if file else "" for file in (row[f"{side}_decoded"] for side in SIDES)
    )
    facts: dict[str, Any] = {name: row[name] for name in CODECS}
    facts["extra"] = {
        **row,
        "original_file_sha256": row["image_sha256"],
        "traditional": row["traditional_sha256"],
    }
    return TripletRecord(row["triplet"], row["image_path"], neural, traditional, **facts)


# --- both


def _failure(row: Mapping[str, Any]) -> Failure:
    """What a row says, however many steps it names between the item and the message."""
    item, *steps, message = (cell or "" for cell in row.values())
    return Failure(item, ": ".join(filter(None, steps)), message)


def _types(
    told: Mapping[str, str], detections: Iterable[Mapping[str, Any]], scored: Iterable[str]
) -> dict[str, str]:
    """Artifact type by detector, by name; one that boxed nothing is looked up by its name."""
    types = {**told, **{row["detector"]: row["artifact_type"] for row in detections}}
    for name in scored:
        if name not in types and name in DETECTORS:
            with suppress(UserError):  # another package's, broken or gone
                types[name] = DETECTORS.get(name).artifact_type
    return dict(sorted(types.items()))


def _columns(
    scores: Mapping[str, Mapping[str, float]], triplets: Sequence[str]
) -> dict[str, Floats]:
    return {
        name: np.array([values.get(triplet, math.nan) for triplet in triplets], np.float64)
        for name, values in scores.items()
    }


def _boxes(
    rows: Iterable[Mapping[str, Any]], triplets: Sequence[str], types: Iterable[str]
) -> Boxes:
    """The boxes of these triplets."""
    row_of = {triplet: row for row, triplet in enumerate(triplets)}
    place_of = {detector: place for place, detector in enumerate(types)}
    rows = [row for row in rows if row["triplet"] in row_of]
    return Boxes(
        np.array([row_of[row["triplet"]] for row in rows], np.int64),
        np.array([place_of[row["detector"]] for row in rows], np.int64),
        np.array([[row[edge] for edge in EDGES] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["confidence"] for row in rows], np.float64),
    )
