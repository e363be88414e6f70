"""A run as it is compared with another: the folders of detect, benchmark and mine in one shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.registry import DETECTORS
from nacd_bench.runs.candidates import read_mined
from nacd_bench.runs.read import Run, read_part, read_run
from nacd_bench.runs.schema import (
    CANDIDATES,
    CODECS,
    CODED,
    CONFIG,
    FAILURES,
    JOURNAL,
    SETTINGS,
    SIDES,
)
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.record import TripletRecord

TABLES = ("triplets.parquet", "detections.parquet", "scores.parquet")
DETECT = "detector=[texture_severity,color_severity,text_severity]"
"""What ``detect``, ``mine`` and ``benchmark`` take so that every artifact type has a judge."""


def operating_point(triplet: TripletRecord) -> str:
    """As people name it: the preset, or the neural codec's; empty where it is not known."""
    return triplet.extra.get("preset") or triplet.neural_point or ""


def read_compared(folder: str | Path) -> Run:
    """The run in a folder.

    ``extra`` of its records has what pairs them: ``image`` (what the original is called),
    ``image_sha256`` (of its file, None where nothing knows it any more), ``preset`` (of the rate,
    or None), ``traditional``, which tells one traditional result from another, and hashes of the
    files that the run saw, ``original_file_sha256`` and so on. Records without any score are left
    out.

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
    run = read_run(folder)
    if run.settings.get("job") == "compress":
        raise DataError(
            f"expected a run that looked for artifacts, got {folder}, which nacd-bench compress "
            f"made. Run detect first: nacd-bench detect {folder} folder=..."
        )
    faults = [line for line in run.missing if line.startswith(TABLES)]
    if faults:
        raise DataError(
            f"expected a run that ended in {folder}, got one without its tables: {faults[0]} Let "
            "the run go on with the same folder=..., or copy it again."
        )
    methods = run.scores.keys() - set(run.metrics.get("baselines", ()))
    run.types = _types(run, methods)
    scored = set().union(*(run.scores.get(name, ()) for name in run.types))
    hashes = _hashes(folder / JOURNAL)
    run.records = [
        _with_facts(record, hashes.get(record.id, {}))
        for record in run.records
        if record.id in scored
    ]
    return run


def _mined(folder: Path) -> Run:
    run = Run(folder, "mine")
    run.detections = read_mined(folder).to_pylist()
    for row in read_mined(folder, CODED).to_pylist():
        files = {"original": row["image_path"]}
        files |= {side: row[f"{side}_decoded"] for side in SIDES}
        record: dict[str, Any] = {name: row[name] for name in CODECS}
        record |= {role: str(folder / file) if file else "" for role, file in files.items()}
        facts = {"original_file_sha256": row["image_sha256"]}
        facts["traditional"] = row["traditional_sha256"]
        run.records.append(TripletRecord(row["triplet"], **record, extra={**row, **facts}))
        for name, score in row["scores"] or ():
            run.scores.setdefault(name, {})[row["triplet"]] = score
    run.settings = read_part(run, SETTINGS, {})
    if (folder / FAILURES).is_file():
        run.failures = read_part(run, FAILURES, [])
    run.types = _types(run, run.scores)
    return run


def _types(run: Run, methods: Iterable[str]) -> dict[str, str]:
    """Artifact type by detector, by name; one that boxed nothing is looked up by its name."""
    types = {row["detector"]: row["artifact_type"] for row in run.detections}
    types = {**run.metrics.get("detectors", {}), **types}
    for name in methods:
        if name not in types and detector_class(name):
            types[name] = detector_class(name).artifact_type
    return dict(sorted(types.items()))


def _hashes(journal: Path) -> dict[str, Mapping[str, str]]:
    """Hashes of the files that a detect run saw, by triplet id and role."""
    hashes = {}
    for line in journal.read_bytes().splitlines() if journal.is_file() else ():
        with suppress(ValueError, TypeError, KeyError):  # the schema, or a torn line
            record = json.loads(line)
            hashes[record["id"]] = record["sha256"]
    return hashes


def _with_facts(record: TripletRecord, hashes: Mapping[str, str]) -> TripletRecord:
    """The record with what pairs it, see :func:`read_compared`; hashes of its files by role."""
    content = hashes.get("original") or record.extra.get("image_sha256")
    if content is None:
        with suppress(UserError):
            content = content_hash(record.original)
    preset = record.extra.get("preset")
    by_name = (record.codec("traditional"), record.traditional_point)
    facts = {
        "image": record.source or record.id,
        "image_sha256": content,
        "preset": None if preset is None else str(preset),
        "traditional": hashes.get("traditional") or by_name,
        **{f"{role}_file_sha256": sha256 for role, sha256 in hashes.items()},
    }
    return replace(record, extra={**record.extra, **facts})


def part_of(settings: Any, *names: str) -> Mapping[str, Any]:
    """A part of a run's settings, which somebody may have edited; empty where it is none."""
    for name in names:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings if isinstance(settings, Mapping) else {}


def judges(types: Mapping[str, str]) -> dict[str, str]:
    """The detector that judges each artifact type: the one that predicts its severity.

    Of several the one that comes with this package, ``<type>_severity``, else the first by name.

    Args:
        types: artifact type by detector.
    """
    chosen: dict[str, str] = {}
    for name in sorted(types, key=lambda name: (name != f"{types[name]}_severity", name)):
        if types[name] not in chosen and detector_class(name) and detector_class(name).is_severity:
            chosen[types[name]] = name
    return dict(sorted(chosen.items()))


def detector_class(name: str) -> Any:
    """Of a detector; None where it cannot be loaded here."""
    if name in DETECTORS:
        with suppress(UserError):  # another package's, broken or gone
            return DETECTORS.get(name)
    return None


def run_thresholds(run: Run, detectors: Iterable[str]) -> dict[str, float]:
    """The confidence over which the run's boxes count: its own, else that of the detector."""
    own: Mapping[str, Any] = {row.get("detector", ""): row.get("threshold") for row in run.limits}
    if run.job == "mine":
        own = part_of(run.settings, "thresholds")
    thresholds = {name: float(detector_class(name).counts_from) for name in detectors}
    for name in thresholds.keys() & own.keys():
        with suppress(TypeError, ValueError):  # somebody edited it
            thresholds[name] = float(own[name])
    return thresholds


def failures_of(run: Run) -> list[Failure]:
    """What failed in the run, and what of it cannot be read."""
    # jobs started from Python have no configuration
    faults = [line for line in run.missing if not line.startswith(CONFIG)]
    return [
        *(Failure(run.folder.name, "", line) for line in faults),
        *(
            Failure(*(row.get(name) or "" for name in ("item", "step", "message")))
            for row in run.failures
        ),
    ]
