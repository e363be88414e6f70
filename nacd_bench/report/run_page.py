"""The report of a run: overview, gallery, a viewer for each triplet, and thresholds to move."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench import numbers
from nacd_bench.detectors import Detector
from nacd_bench.report.heat_map import colored
from nacd_bench.report.page import write_page
from nacd_bench.report.pictures import write_pictures
from nacd_bench.runs.read import Run
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.record import Box, TripletRecord

HEAT_MAPS = 24
"""Triplets per detector whose heat maps are shown: those with the highest scores."""
MOST_FAILURES = 500
FACTS = [f"{side}_{fact}" for side in ROLES[1:] for fact in ("codec", "version", "point", "bpp")]


def write_report(
    run: Run,
    detectors: Sequence[Detector],
    heat_maps: int = HEAT_MAPS,
    tick: Callable[[int], None] = lambda failures: None,
) -> Path:
    """Write ``report/`` into a run's folder; the path of its ``index.html``.

    Args:
        run: what is shown.
        detectors: those of the run, for their heat maps.
        heat_maps: triplets per detector with a heat map.
        tick: called after each triplet.
    """
    folder = run.folder / "report"
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in run.detections:
        boxes[row["image"]].append((row["x0"], row["y0"], row["x1"], row["y1"]))
    wanted: dict[str, list[Detector]] = defaultdict(list)
    for detector in detectors:
        scores = run.scores.get(detector.name, {})
        for name in sorted(scores, key=lambda name: -scores[name])[:heat_maps]:
            wanted[name].append(detector)
    pictures = write_pictures(folder, run.records, wanted, boxes, tick)
    faults = [f"{name}: {fault}" for name, fault in pictures.items() if isinstance(fault, str)]
    if faults:
        run.missing.append(f"{len(faults)} triplets cannot be shown. The first: {faults[0]}")
    types = {row["detector"]: row["artifact_type"] for row in run.detections}
    types |= {detector.name: detector.artifact_type for detector in detectors}
    curves: dict[str, list[str]] = {}
    for name in run.truth:
        files = sorted((run.folder / "curves").glob(f"*_{name}.svg"), reverse=True)
        curves[name] = [file.name for file in files]
        for file in files:
            write_whole(folder / "curves" / file.name, file.read_bytes())
    return write_page(
        folder,
        "report",
        _data(run, detectors, types, pictures),
        title=_title(run),
        run=run,
        detectors=types,
        estimate=numbers.estimate,
        tests={name: _tests(result) for name, result in run.metrics.get("sets", {}).items()},
        curves=curves,
        run_facts=_facts(run),
        codecs=_codecs(run.records),
        failures=[row.values() for row in run.failures[:MOST_FAILURES]],
        settings=json.dumps(run.settings, indent=2, ensure_ascii=False),
    )


def _title(run: Run) -> str:
    return f"nacd-bench {run.job}: {run.folder.resolve().name}"


def _data(
    run: Run,
    detectors: Sequence[Detector],
    types: Mapping[str, str],
    pictures: Mapping[str, Mapping[str, Any] | str],
) -> dict[str, Any]:
    """What ``report.js`` reads."""
    shown = [record for record in run.records if not isinstance(pictures[record.id], str)]
    index = {record.id: i for i, record in enumerate(shown)}
    ranges = {detector.name: detector.heat_map_range for detector in detectors}
    colors = colored(np.linspace(0, 1, 9, dtype=np.float32)[None], 0, 1)[0].tolist()
    return {
        "title": _title(run),
        "detectors": {
            name: {"type": artifact_type, "range": ranges.get(name, (0, 1))}
            for name, artifact_type in types.items()
        },
        "colors": [f"rgb({red},{green},{blue})" for red, green, blue in colors],
        "triplets": [_triplet(run, record, pictures[record.id]) for record in shown],
        "detections": _detections(run, index),
        "sets": {name: _set(run, name, index) for name in run.truth},
        "thresholds": {
            method: criteria["youden"]["threshold"]
            for artifact_type, methods in run.thresholds.items()
            for method, criteria in methods.items()
            if types.get(method) == artifact_type
            and criteria.get("youden", {}).get("threshold") is not None
        },
    }


def _triplet(run: Run, record: TripletRecord, pictures: Any) -> dict[str, Any]:
    return {
        "id": record.id,
        **pictures,
        "free": bool(record.artifact_free),
        "labels": [{"type": label.artifact_type, "box": label.box} for label in record.labels],
        "scores": {
            method: scores[record.id]
            for method, scores in run.scores.items()
            if record.id in scores
        },
        **{name: getattr(record, name) for name in FACTS},
    }


def _detections(run: Run, index: Mapping[str, int]) -> list[list[Any]]:
    """Triplet, detector, confidence, box, and the place among its detector's from the strongest."""
    places: Counter[str] = Counter()
    rows = []
    for row in sorted(run.detections, key=lambda row: -row["confidence"]):
        if row["image"] in index:
            name = row["detector"]
            box = [row["x0"], row["y0"], row["x1"], row["y1"]]
            rows.append([index[row["image"]], name, row["confidence"], box, places[name]])
            places[name] += 1
    return rows


def _set(run: Run, name: str, index: Mapping[str, int]) -> dict[str, Any]:
    truth = run.truth[name]
    aucs = run.metrics.get("sets", {}).get(name, {}).get("auc", {})
    methods = list(aucs) or [m for m, scores in run.scores.items() if scores.keys() & truth.keys()]
    return {
        "truth": {index[triplet]: value for triplet, value in truth.items() if triplet in index},
        "methods": methods,
        "criteria": {
            method: {
                criterion: {"threshold": entry["threshold"]}
                for criterion, entry in criteria.items()
                if isinstance(entry, Mapping) and entry.get("threshold") is not None
            }
            for method, criteria in run.thresholds.get(name, {}).items()
        },
        "auc": {method: aucs.get(method, {}).get("value") for method in methods},
    }


def _tests(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of cells: detector, baseline, difference, p, test."""
    rows = []
    for test in result.get("tests", ()):
        bounds = (test[key] for key in ("difference", "low", "high"))
        difference = numbers.estimate(*bounds, is_difference=True)
        p = numbers.p_value(test["p_holm"])
        rows.append([test["first"], test["second"], difference, p, test["test"]])
    return rows


def _facts(run: Run) -> dict[str, Any]:
    """By label; None where the run does not say."""
    seconds = run.metrics.get("wall_seconds")
    return {
        "folder": run.folder,
        "date": run.metrics.get("date"),
        "wall time": None if seconds is None else f"{seconds:.1f} s",
        "seed of the test sets": run.metrics.get("seed"),
        "nacd-bench": run.settings.get("nacd_bench"),
        "git": run.metrics.get("git_hash"),
        "hash of the data": run.metrics.get("data_sha256"),
        "versions": _listed(run.metrics.get("versions")),
        "data": _listed(run.config.get("data")),
    }


def _listed(values: Any) -> str | None:
    if not isinstance(values, Mapping) or not values:
        return None
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


def _codecs(records: Sequence[TripletRecord]) -> list[list[str]]:
    """Rows of cells: triplets, and each side's codec, points and mean rate."""
    groups: dict[tuple[Any, ...], list[TripletRecord]] = defaultdict(list)
    for record in records:
        sides = (record.neural_codec, record.neural_version, record.neural_point)
        groups[(*sides, record.traditional_codec, record.traditional_version)].append(record)
    rows = []
    for group in groups.values():
        cells = [str(len(group))]
        for side in ROLES[1:]:
            values = [[getattr(r, f"{side}_{fact}") for r in group] for fact in ("point", "bpp")]
            points = sorted({str(point) for point in values[0] if point is not None})
            rates = [rate for rate in values[1] if rate is not None]
            names = (getattr(group[0], f"{side}_{fact}") for fact in ("codec", "version"))
            cells.append(" ".join(filter(None, names)) or "not known")
            cells.append(", ".join(points[:6]) + (", ..." if len(points) > 6 else "") or "-")
            cells.append(f"{np.mean(rates):.4f}" if rates else "-")
        rows.append(cells)
    return rows
