"""The report: a run as a static folder that a browser opens from the disk.

``report/index.html`` has the overview, written here by Jinja; ``report.js`` makes gallery, viewer
and thresholds out of ``data.js``. Nothing is fetched from anywhere, and every name that comes from
a user reaches the page as text.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench import __version__, numbers
from nacd_bench.detectors import Detector
from nacd_bench.report.heat_map import colored
from nacd_bench.report.pictures import Pictures, write_pictures
from nacd_bench.runs.read import Run
from nacd_bench.triplets.files import plain, write_whole
from nacd_bench.triplets.record import Box, TripletRecord

SITE = Path(__file__).parent / "site"
HEAT_MAPS = 24
"""Triplets per detector whose heat maps are shown: those with the highest scores."""
MOST_FAILURES = 500
SIDES = ("neural", "traditional")


def write_report(
    run: Run, detectors: Sequence[Detector], heat_maps: int = HEAT_MAPS, tick: Any = lambda n: None
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
    wanted = _wanted(run, detectors, heat_maps)
    pictures = write_pictures(folder, run.records, wanted, boxes, tick)
    unseen = [f"{name}: {each}" for name, each in pictures.items() if isinstance(each, str)]
    if unseen:
        run.missing.append(f"{len(unseen)} triplets cannot be shown. The first: {unseen[0]}")
    data = _data(run, detectors, pictures)
    write_whole(folder / "data.js", f"window.REPORT = {safe_json(data)};\n".encode())
    for name in ("style.css", "numbers.js", "report.js"):
        write_whole(folder / name, (SITE / name).read_bytes())
    for name in run.truth:
        for file in (run.folder / "curves").glob(f"*{name}*.svg"):
            write_whole(folder / "curves" / file.name, file.read_bytes())
    write_whole(folder / "index.html", _overview(run, data).encode("utf-8", "backslashreplace"))
    return folder / "index.html"


def _wanted(run: Run, detectors: Sequence[Detector], most: int) -> dict[str, list[Detector]]:
    wanted: dict[str, list[Detector]] = defaultdict(list)
    for detector in detectors:
        scores = run.scores.get(detector.name, {})
        for name in sorted(scores, key=lambda name: -scores[name])[:most]:
            wanted[name].append(detector)
    return wanted


def _data(
    run: Run, detectors: Sequence[Detector], pictures: Mapping[str, Pictures | str]
) -> dict[str, Any]:
    """What ``report.js`` reads."""
    shown = [record for record in run.records if isinstance(pictures[record.id], Pictures)]
    index = {record.id: i for i, record in enumerate(shown)}
    types = {row["detector"]: row["artifact_type"] for row in run.detections}
    types |= {detector.name: detector.artifact_type for detector in detectors}
    types = {name: kind for name, kind in types.items() if name in run.scores or name in types}
    ranges = {detector.name: list(detector.heat_map_range) for detector in detectors}
    return {
        "title": f"nacd-bench {run.job}: {run.folder.resolve().name}",
        "job": run.job,
        "detectors": {
            name: {"type": kind, "range": ranges.get(name, [0, 1])} for name, kind in types.items()
        },
        "colors": _colors(),
        "triplets": [_triplet(run, record, pictures[record.id]) for record in shown],
        "detections": _detections(run, index),
        "sets": {name: _set(run, name, truth, index) for name, truth in run.truth.items()},
        "thresholds": {
            name: own["youden"]["threshold"]
            for kind, methods in run.thresholds.items()
            for name, own in methods.items()
            if types.get(name) == kind and own.get("youden", {}).get("threshold") is not None
        },
    }


def _triplet(run: Run, record: TripletRecord, pictures: Pictures | str) -> dict[str, Any]:
    assert isinstance(pictures, Pictures)
    facts = {
        f"{side}_{fact}": getattr(record, f"{side}_{fact}")
        for side in SIDES
        for fact in ("codec", "version", "point", "bpp")
    }
    return {
        "id": record.id,
        "width": pictures.width,
        "height": pictures.height,
        "reduced": pictures.reduced,
        "images": dict(pictures.images),
        "heat": dict(pictures.heat),
        "crops": dict(pictures.crops),
        "free": bool(record.artifact_free),
        "labels": [
            {"type": label.artifact_type, "box": list(label.box) if label.box else None}
            for label in record.labels
        ],
        "scores": {
            method: own[record.id] for method, own in run.scores.items() if record.id in own
        },
        **facts,
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


def _set(
    run: Run, name: str, truth: Mapping[str, bool], index: Mapping[str, int]
) -> dict[str, Any]:
    aucs = run.metrics.get("sets", {}).get(name, {}).get("auc", {})
    methods = list(aucs) or [m for m, own in run.scores.items() if own.keys() & truth.keys()]
    return {
        "truth": {str(index[each]): value for each, value in truth.items() if each in index},
        "methods": methods,
        "criteria": {
            method: {
                criterion: {"threshold": entry["threshold"]}
                for criterion, entry in own.items()
                if isinstance(entry, Mapping) and entry.get("threshold") is not None
            }
            for method, own in run.thresholds.get(name, {}).items()
        },
        "auc": {method: aucs.get(method, {}).get("value") for method in methods},
    }


def _colors() -> list[str]:
    """The heat map's colours from its lowest to its highest value."""
    values = np.linspace(0, 1, 9, dtype=np.float32)[None]
    return [f"rgb({red},{green},{blue})" for red, green, blue in colored(values, 0, 1)[0].tolist()]


def _overview(run: Run, data: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(SITE), autoescape=True)
    return environment.get_template("index.html.j2").render(
        title=data["title"],
        version=__version__,
        missing=run.missing,
        has_sets=bool(run.truth),
        figures=_figures(run, data),
        sets=[_table(run, name, own) for name, own in run.metrics.get("sets", {}).items()],
        facts=_facts(run),
        codecs=_codecs(run),
        failures=run.failures[:MOST_FAILURES],
        settings=json.dumps(run.settings, indent=2, ensure_ascii=False) if run.settings else "",
    )


def _figures(run: Run, data: Mapping[str, Any]) -> list[dict[str, str]]:
    counts = Counter(row["detector"] for row in run.detections)
    found = [("triplets", f"{len(run.records)}"), ("detections", f"{len(run.detections)}")]
    found += [(f"by {name}", f"{counts[name]}") for name in data["detectors"]]
    if run.failures:
        found.append(("failures, see below", f"{len(run.failures)}"))
    return [{"label": label, "value": value} for label, value in found]


def _table(run: Run, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for method, auc in own["auc"].items():
        value, low, high = (auc[key] for key in ("value", "low", "high"))
        is_known = value is not None
        shown, _, interval = numbers.estimate(value, low, high).partition(" ")
        rows.append(
            {
                "method": method,
                "is_detector": method in run.metrics.get("detectors", {}),
                "is_best": method == own.get("best"),
                "value": shown,
                "interval": interval or numbers.NOTHING,
                "low": low if is_known else None,
                "high": high,
                "x": value,
                "n": f"{auc['n_positive']} + {auc['n_negative']}"
                + (f", {auc['n_excluded']} left out" if auc["n_excluded"] else ""),
            }
        )
    rows.sort(key=lambda row: (not row["is_detector"],))
    kinds = {"roc": "ROC curves", "precision_recall": "Precision-recall curves"}
    curves = [
        {"src": f"curves/{file.name}", "alt": f"{kind} on test set {name}"}
        for key, kind in kinds.items()
        for file in sorted((run.folder / "curves").glob(f"{key}_{name}.svg"))
    ]
    tests = [
        {
            "first": test["first"],
            "second": test["second"],
            "difference": numbers.estimate(
                *(test[key] for key in ("difference", "low", "high")), is_difference=True
            ),
            "p": numbers.p_value(test["p_holm"]),
            "test": test["test"],
        }
        for test in own.get("tests", ())
    ]
    counts = {key: own[key] for key in ("n_positive", "n_negative", "notes")}
    return {"name": name, **counts, "rows": rows, "tests": tests, "curves": curves}


def _facts(run: Run) -> list[dict[str, str]]:
    seconds = run.metrics.get("wall_seconds")
    known = {
        "folder": str(run.folder),
        "date": run.metrics.get("date"),
        "wall time": f"{seconds:.1f} s" if seconds is not None else None,
        "seed of the test sets": run.metrics.get("seed"),
        "nacd-bench": run.settings.get("nacd_bench"),
        "git": run.metrics.get("git_hash"),
        "hash of the data": run.metrics.get("data_sha256"),
        "versions": _listed(run.metrics.get("versions")),
        "data": _listed(run.config.get("data")),
    }
    return [
        {"label": key, "value": f"{value}"} for key, value in known.items() if value is not None
    ]


def _listed(values: Any) -> str | None:
    if not isinstance(values, Mapping) or not values:
        return None
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


def _codecs(run: Run) -> list[list[str]]:
    groups: dict[tuple[Any, ...], list[TripletRecord]] = defaultdict(list)
    for record in run.records:
        sides = [(getattr(record, f"{s}_codec"), getattr(record, f"{s}_version")) for s in SIDES]
        key = (*sides[0], record.neural_point, *sides[1])
        groups[key].append(record)
    rows = []
    for (codec, version, point, other, other_version), own in groups.items():
        points = sorted({str(r.traditional_point) for r in own if r.traditional_point is not None})
        rows.append(
            [
                str(len(own)),
                " ".join(filter(None, (codec, version))) or "not known",
                str(point or "-"),
                _mean([r.neural_bpp for r in own]),
                " ".join(filter(None, (other, other_version))) or "not known",
                ", ".join(points[:6]) + (", ..." if len(points) > 6 else "") or "-",
                _mean([r.traditional_bpp for r in own]),
            ]
        )
    return rows


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.4f}" if known else "-"


def safe_json(value: Any) -> str:
    """JSON that may stand in a script: ASCII, no tag can begin in it, NaN is null; what is infinite
    stays so, as a script has it."""
    text = json.dumps(plain(value, keeps_infinite=True), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
