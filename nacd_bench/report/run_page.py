"""The report of a run: overview, gallery, a viewer for each triplet, and thresholds to move."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nacd_bench import numbers
from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.report.heat_map import SHOWN, colored, picture_name, write_heat_picture
from nacd_bench.report.page import WEBP, fitted, write_page, write_picture
from nacd_bench.runs.compared_run import operating_point
from nacd_bench.runs.read import Run
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.grades import Grade
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ROLES, Box, TripletRecord

MOST_FAILURES = 500
LOSSLESS_PIXELS = 80_000
"""Images of at most so many pixels are kept as they are, larger ones as WebP."""
MOST_SIDE = 2400
"""Larger images are shown reduced to this side."""
WORKERS = 2
FACTS = [f"{side}_{fact}" for side in ROLES[1:] for fact in ("point", "bpp")]


def write_report(
    run: Run,
    detectors: Sequence[Detector],
    heat_maps: int = SHOWN,
    tick: Callable[[int], None] = lambda failures: None,
    thresholds: Mapping[str, float] | None = None,
) -> Path:
    """Write ``report/`` into a run's folder; the path of its ``index.html``.

    Args:
        run: what is shown.
        detectors: those of the run, for their heat maps.
        heat_maps: triplets per detector with a heat map.
        tick: called after each triplet.
        thresholds: those that the page begins with, by detector.
    """
    folder = run.folder / "report"
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in run.detections:
        boxes[row["triplet"]].append((row["x0"], row["y0"], row["x1"], row["y1"]))
    wanted: dict[str, list[Detector]] = defaultdict(list)
    for detector in detectors:
        scores = run.scores.get(detector.name, {})
        for name in sorted(scores, key=lambda name: -scores[name])[:heat_maps]:
            wanted[name].append(detector)
    pictures = _write_pictures(folder, run.records, wanted, boxes, tick)
    faults = [f"{name}: {fault}" for name, fault in pictures.items() if isinstance(fault, str)]
    if faults:
        run.missing.append(
            f"{numbers.count(len(faults), 'triplet')} cannot be shown. The first: {faults[0]}"
        )
    types = {row["detector"]: row["artifact_type"] for row in run.detections}
    types |= {detector.name: detector.artifact_type for detector in detectors}
    curves: dict[str, list[str]] = {}
    for name in run.truth:
        files = sorted((run.folder / "curves").glob(f"*_{name}.svg"), reverse=True)
        curves[name] = [file.name for file in files]
        for file in files:
            write_whole(folder / "curves" / file.name, file.read_bytes())
    data = _data(run, detectors, types, pictures, thresholds or {})
    return write_page(
        folder,
        "report",
        data,
        scripts=["viewer.js"],
        title=data["title"],
        run=run,
        detectors=types,
        estimate=numbers.estimate,
        p_value=numbers.p_value,
        curves=curves,
        codecs=_codecs(run.records),
        limits=list(map(_limit, run.limits)),
        failures=[row.values() for row in run.failures[:MOST_FAILURES]],
        settings=json.dumps(run.settings, indent=2, ensure_ascii=False),
    )


def _data(
    run: Run,
    detectors: Sequence[Detector],
    types: Mapping[str, str],
    pictures: Mapping[str, Mapping[str, Any] | str],
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """What ``report.js`` reads."""
    shown = [record for record in run.records if not isinstance(pictures[record.id], str)]
    index = {record.id: i for i, record in enumerate(shown)}
    made = {detector.name: detector for detector in detectors}
    grades: dict[str, list[Grade]] = defaultdict(list)
    for grade in run.grades:
        grades[grade.triplet].append(grade)
    colors = colored(np.linspace(0, 1, 9, dtype=np.float32)[None], 0, 1)[0].tolist()
    return {
        "title": f"nacd-bench {run.job}: {run.folder.resolve().name}",
        "detectors": {
            name: {
                "type": artifact_type,
                "range": made[name].heat_map_range if name in made else (0, 1),
                "nothing": made[name].nothing_found if name in made else None,
                "severity": name in made and made[name].is_severity,
            }
            for name, artifact_type in types.items()
        },
        "colors": [f"rgb({red},{green},{blue})" for red, green, blue in colors],
        "triplets": [
            _triplet(run, record, pictures[record.id], grades[record.id]) for record in shown
        ],
        "detections": _detections(run, index),
        "sets": {name: _set(run, name, index) for name in run.truth},
        "thresholds": thresholds,
        "made_with": run.thresholds.get("detectors", {}),
    }


def _limit(row: Mapping[str, str]) -> list[str]:
    """Cells of a detector's threshold in ``thresholds.csv``; one whose clean triplets have more
    false alarms than it promises is marked."""
    shown = [row["detector"], numbers.number(float(row["threshold"])), row["by"]]
    for name in ("expected", "clean"):
        figures = [float(row[key] or "nan") for key in (name, f"{name}_low", f"{name}_high")]
        shown.append(numbers.estimate(*figures, decimals=1))
    if row["exceeds"] == "True":
        shown[-1] += ", more than expected"
    return shown


def _triplet(
    run: Run, record: TripletRecord, pictures: Any, grades: Sequence[Grade]
) -> dict[str, Any]:
    return {
        "id": record.id,
        **pictures,
        "free": bool(record.artifact_free),
        "rate": operating_point(record),
        **dict(zip(("gap", "over_tolerance"), _rate_gap(record), strict=True)),
        "labels": [{"type": label.artifact_type, "box": label.box} for label in record.labels],
        "grades": [
            {
                "type": grade.artifact_type,
                "rater": grade.rater,
                "side": grade.side,
                "severity": grade.severity,
                "box": grade.box,
            }
            for grade in grades
        ],
        "scores": {
            method: scores[record.id]
            for method, scores in run.scores.items()
            if record.id in scores
        },
        **{f"{side}_codec": record.codec(side) for side in ROLES[1:]},
        **{name: getattr(record, name) for name in FACTS},
    }


def _detections(run: Run, index: Mapping[str, int]) -> list[list[Any]]:
    """Triplet, detector, confidence, box, and the place among its detector's from the strongest."""
    places: Counter[str] = Counter()
    rows = []
    for row in sorted(run.detections, key=lambda row: -row["confidence"]):
        if row["triplet"] in index:
            name = row["detector"]
            box = [row["x0"], row["y0"], row["x1"], row["y1"]]
            rows.append([index[row["triplet"]], name, row["confidence"], box, places[name]])
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
            for method, criteria in run.thresholds.get("sets", {}).get(name, {}).items()
        },
        "auc": {method: aucs.get(method, {}).get("value") for method in methods},
    }


def _by_value(point: str) -> tuple[float, str]:
    """Numbers by size, words after them."""
    return (float(point) if point.replace(".", "", 1).isdigit() else math.inf), point


def _rate_gap(record: TripletRecord) -> tuple[float | None, bool]:
    """By what share the traditional rate misses what was asked for, and whether by too much."""
    gap, over = (record.extra.get(name) for name in ("rate_gap", "over_tolerance"))
    return (None if gap is None else float(gap)), str(over) == "True"  # of a CSV they are text


def _codecs(records: Sequence[TripletRecord]) -> list[list[str]]:
    """Rows of cells: rate asked for, triplets, each side's codec, points and mean rate, the gap."""
    groups: dict[tuple[Any, ...], list[TripletRecord]] = defaultdict(list)
    for record in records:
        sides = map(record.codec, ROLES[1:])
        groups[(*sides, operating_point(record))].append(record)
    rows = []
    for group in groups.values():
        cells = [operating_point(group[0]) or numbers.NOTHING, str(len(group))]
        for side in ROLES[1:]:
            values = [[getattr(r, f"{side}_{fact}") for r in group] for fact in ("point", "bpp")]
            points = sorted({str(p) for p in values[0] if p is not None}, key=_by_value)
            rates = [rate for rate in values[1] if rate is not None]
            cells.append(group[0].codec(side) or "not known")
            cells.append(", ".join(points[:6]) + (", ..." if len(points) > 6 else "") or "-")
            cells.append(f"{np.mean(rates):.4f}" if rates else "-")
        gaps = [(gap, over) for gap, over in map(_rate_gap, group) if gap is not None]
        sizes, over = [abs(gap) for gap, _ in gaps], sum(over for _, over in gaps)
        largest = max((gap for gap, _ in gaps), key=abs, default=math.nan)
        cells.append(numbers.gaps(float(np.mean(sizes)) if sizes else math.nan, largest))
        cells.append(str(over) if gaps else numbers.NOTHING)
        rows.append(cells)
    return rows


# --- pictures


def _write_pictures(
    folder: Path,
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[Detector]],
    boxes: Mapping[str, Sequence[Box]],
    tick: Callable[[int], None],
) -> dict[str, dict[str, Any] | str]:
    """Write what is not there yet; by triplet id what ``report.js`` reads, or why there is nothing.

    That is ``width`` and ``height`` of the original; ``images``, paths in the report's folder by
    role, which are ``reduced`` or not; ``heat``, heat maps by detector; and ``crops``: of reduced
    images, what lies in detections at full resolution, by box and role.

    Args:
        folder: of the report.
        records: triplets.
        wanted: detectors whose heat maps are wanted, by triplet id.
        boxes: of detections, by triplet id.
        tick: called after each triplet.
    """
    pictures: dict[str, dict[str, Any] | str] = {}
    written: dict[Path, Future[None]] = {}
    with ThreadPoolExecutor(WORKERS) as writers:

        def submit(path: Path, *picture: Any, **options: Any) -> None:
            if path not in written:  # triplets may share an image
                written[path] = writers.submit(write_picture, path, *picture, **options)

        for record in records:
            try:
                pictures[record.id] = _pictures(
                    folder,
                    record,
                    wanted.get(record.id, ()),
                    boxes.get(record.id, ()),
                    submit,
                )
            except UserError as error:
                pictures[record.id] = str(error)
            tick(0)
    for picture in written.values():
        picture.result()  # a full disk ends the report: it would have no pictures
    return pictures


def _pictures(
    folder: Path,
    record: TripletRecord,
    detectors: Sequence[Detector],
    boxes: Sequence[Box],
    submit: Callable[..., None],
) -> dict[str, Any]:
    loaded = load_triplet(record)
    batch = loaded.batch
    width, height = batch.width, batch.height
    pixels = {role: getattr(batch, role) for role in ROLES}

    def write(path: str, image: Tensor, **options: Any) -> str:
        if not (folder / path).is_file():
            picture = fitted(to_8_bit(image), MOST_SIDE)
            if max(image.shape) > MOST_SIDE:
                give_back_memory()  # copies of a large picture
            submit(folder / path, picture, MOST_SIDE, **options)
        return path

    is_small = width * height <= LOSSLESS_PIXELS
    suffix, options = ("png", {}) if is_small else ("webp", WEBP)
    images = {
        role: write(f"images/{loaded.sha256[role][:20]}.{suffix}", pixels[role], **options)
        for role in ROLES
    }
    heat = {}
    for detector in detectors:
        path = picture_name(detector, loaded)
        if not (folder / path).is_file():
            try:
                with torch.inference_mode():
                    heat_map = detector(batch).results()[0].heat_map
            except Exception:  # the run's own failures say why
                continue
            if heat_map is None:
                continue
            write_heat_picture(folder / path, detector, heat_map, batch)
        heat[detector.name] = path
    is_reduced = max(width, height) > MOST_SIDE
    crops = {}
    for x0, y0, x1, y1 in boxes if is_reduced else ():
        crops[f"{x0},{y0},{x1},{y1}"] = {
            role: write(
                f"crops/{loaded.sha256[role][:20]}-{x0}-{y0}-{x1}-{y1}.webp",
                pixels[role][..., y0:y1, x0:x1],
                **WEBP,
            )
            for role in ROLES
        }
    return {
        "width": width,
        "height": height,
        "reduced": is_reduced,
        "images": images,
        "heat": heat,
        "crops": crops,
    }
