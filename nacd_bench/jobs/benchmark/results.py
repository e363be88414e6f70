"""A benchmark's results: its figures, its tables for people, what its folder and a tracker get."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench import numbers
from nacd_bench.baselines import Baseline
from nacd_bench.detectors import Detector
from nacd_bench.errors import Failure
from nacd_bench.evaluation.balanced import SET_COLUMNS, BalancedSet
from nacd_bench.evaluation.comparison import SetComparison, methods_of, scores_on
from nacd_bench.evaluation.localisation import FIGURES
from nacd_bench.evaluation.reference import Reference
from nacd_bench.evaluation.thresholds import write_thresholds
from nacd_bench.pipeline.methods import score_batch
from nacd_bench.pipeline.scores import Scored
from nacd_bench.report.figures import CURVES as KINDS
from nacd_bench.report.figures import (
    Line,
    curve_figure,
    curve_lines,
    figure_files,
    histogram_figure,
)
from nacd_bench.report.heat_map import per_pixel
from nacd_bench.runs.schema import (
    CURVES,
    METRICS,
    REAL,
    SCHEMA_VERSION,
    SCORES,
    SETS,
    TABLES,
    TEXT,
    THRESHOLDS,
    YES,
    schema,
)
from nacd_bench.runs.tables import (
    Best,
    Table,
    triplet_columns,
    write_csv,
    write_detections,
    write_table,
)
from nacd_bench.triplets.files import json_bytes, plain, write_whole
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import ROLES, TripletRecord

STRONGEST = 8
"""Detections per detector in the tracker's table."""
EVIDENCE = {1: "a quarter of the scale or more", 2: "half or more", 3: "three quarters or more"}
"""Classes of a heat map's mask."""


@dataclass(frozen=True)
class Benchmarked:
    """What a run found.

    Args:
        folder: the run's folder.
        sets: the test sets, by artifact type.
        comparisons: the figures of each set, by artifact type.
        scored: the scores behind them.
        methods: every detector and baseline that ran, by name.
        detectors: artifact type by detector, in order.
        baselines: their names, in order.
        full: whether every detector is on every set.
        failures: what failed; empty when all is well.
        facts: versions, hashes, seeds, date and wall time.
        settings: what decides the results.
        reference: somebody else's figures to stand beside, or None.
        undrawn: why there is no test set of a type that was asked for, by type.
        message: of the tracker.
    """

    folder: Path
    sets: Mapping[str, BalancedSet]
    comparisons: Mapping[str, SetComparison]
    scored: Scored
    methods: Mapping[str, Detector | Baseline]
    detectors: Mapping[str, str]
    baselines: Sequence[str]
    full: bool
    failures: Sequence[Failure]
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    reference: Reference | None = None
    undrawn: Mapping[str, str] = field(default_factory=dict)
    message: str = ""

    @property
    def records(self) -> list[TripletRecord]:
        """The triplets of all sets, each once."""
        sets = self.sets.values()
        return list({record.id: record for drawn in sets for record in drawn.records}.values())

    def methods_on(self, artifact_type: str) -> list[str]:
        """The methods of a set, detectors first."""
        return methods_of(artifact_type, self.detectors, self.baselines, self.full)


def write_results(done: Benchmarked) -> None:
    """Write every file of a finished run, each of them whole or not there."""
    folder, scores = done.folder, done.scored.scores
    write_whole(folder / METRICS, json_bytes(metrics(done)))
    rows = []
    for name, balanced in done.sets.items():
        values = {method: scores_on(balanced, scores, method) for method in done.methods_on(name)}
        facts = zip(balanced.records, balanced.truth, balanced.clusters, strict=True)
        for i, (record, is_positive, cluster) in enumerate(facts):
            drawn = {"test_set": name, "cluster": cluster, "is_positive": is_positive}
            scored = {name: of[i] for name, of in values.items() if not math.isnan(of[i])}
            rows.append({**triplet_columns(record), **drawn, **scored})
    drawn_as = {"test_set": TEXT, "cluster": TEXT, "is_positive": YES}
    columns = schema(SCORES, **drawn_as, **dict.fromkeys(done.methods, REAL))
    write_table(folder / SCORES, rows, columns)
    # every box of the detectors that ran on each triplet: those behind the localisation
    drawn_of = [
        replace(record, extra={k: v for k, v in record.extra.items() if k not in SET_COLUMNS})
        for record in done.records
    ]
    results = {
        record.id: {name: of[record.id] for name, of in scores.items() if record.id in of}
        for record in drawn_of
    }
    write_detections(folder, drawn_of, results, done.detectors)
    table = main_table(done)
    write_whole(folder / "table.md", table.markdown().encode())
    write_whole(folder / "table.tex", table.latex().encode())
    sets = {name: comparison.thresholds for name, comparison in done.comparisons.items()}
    made_with = {name: done.methods[name].settings for name in done.detectors}
    write_thresholds(folder / THRESHOLDS, sets, made_with)
    for name, balanced in done.sets.items():
        write_manifest(folder / SETS / f"{name}.parquet", balanced.records)
        curves = lines(done, balanced)
        points = [
            {"method": line.method, **point} for line in curves for point in line.curve.rows()
        ]
        write_csv(folder / CURVES / f"{name}.csv", points, list(TABLES[CURVES]))
        for kind in KINDS:
            for suffix, data in figure_files(curve_figure(kind, curves, name)).items():
                write_whole(folder / CURVES / f"{kind}_{name}.{suffix}", data)


def metrics(done: Benchmarked) -> dict[str, Any]:
    """All figures of a run and what they were computed from, as JSON values."""
    facts = ("neural_codec", "neural_version", "traditional_codec", "traditional_version")
    pairs = Counter(tuple(getattr(record, fact) for fact in facts) for record in done.records)
    names = ("neural", "neural_version", "traditional", "traditional_version")
    return {
        "schema_version": SCHEMA_VERSION,
        "job": "benchmark",
        **done.facts,
        "seed": done.settings["drawing"]["seed"],
        "settings": done.settings,
        "detectors": dict(done.detectors),
        "baselines": list(done.baselines),
        "codecs": [
            {**dict(zip(names, pair, strict=True)), "triplets": count}
            for pair, count in pairs.items()
        ],
        "n_scores": {"computed": done.scored.computed, "from_cache": done.scored.cached},
        "n_failures": len(done.failures),
        "undrawn": dict(done.undrawn),
        "sets": {
            name: {
                "n_positive": result.n_positive,
                "n_negative": result.n_negative,
                "notes": list(result.notes),
                "best": result.best,
                "auc": plain(result.aucs),
                "tests": plain(result.tests),
                "localisation": plain(result.places),
            }
            for name, result in done.comparisons.items()
        },
        "reference": None if done.reference is None else plain(done.reference),
    }


def lines(done: Benchmarked, balanced: BalancedSet) -> list[Line]:
    """The curves of a set, best AUC first; methods without scores on both sides are left out."""
    aucs = done.comparisons[balanced.artifact_type].aucs
    scores = {name: scores_on(balanced, done.scored.scores, name) for name in aucs}
    return curve_lines(balanced.truth, scores, aucs, done.detectors)


# --- for people


def main_table(done: Benchmarked) -> Table:
    """AUCs in the layout of the paper's Table 2: methods x sets, and a column per set for the
    reference figures where there are some."""
    published = done.reference.sets if done.reference else {}
    columns = ["method"]
    for name, result in done.comparisons.items():
        columns.append(f"{name} ({result.n_positive} + {result.n_negative})")
        columns += [f"{name}, reference"] if done.reference else []
    others = sorted(
        {method for figures in published.values() for method in figures} - set(done.methods)
    )
    rows: list[list[str] | None] = []
    for group in filter(None, (list(done.detectors), done.baselines, others)):
        rows += [None] if rows else []
        for method in group:
            row = [method]
            for name, result in done.comparisons.items():
                auc = result.aucs.get(method)
                text = numbers.NOTHING if auc is None else str(auc)
                row.append(Best(text) if result.best == method else text)
                value = published.get(name, {}).get(method)
                if done.reference is not None:
                    row.append(numbers.NOTHING if value is None else f"{value:.3f}")
            rows.append(row)
    has_best = any(result.best for result in done.comparisons.values())
    bold = ", the best of a column in bold" if has_best else ""
    return Table(columns, rows, f"AUC with 95 % intervals{bold}")


def further_tables(done: Benchmarked) -> list[Table]:
    """Detectors against baselines, and where their boxes lie; those that have rows."""
    tests, places = [], []
    for name, result in done.comparisons.items():
        for test in result.tests:
            bounds = test.difference, test.low, test.high
            difference = numbers.estimate(*bounds, is_difference=True)
            p = numbers.p_value(test.p_holm)
            tests.append([name, test.first, test.second, difference, p, test.test])
        for detector, place in result.places.items():
            figures = (place.pointing, place.mean_iou, *place.average_precision.values())
            pointing, iou, *precision = (
                numbers.estimate(one.value, one.low, one.high) for one in figures
            )
            guesses = place.by_chance, place.at_centre
            guessed = [
                " / ".join(numbers.number(getattr(guess, figure, None), 2) for guess in guesses)
                for figure in FIGURES
            ]
            places.append([name, detector, pointing, guessed[0], iou, guessed[1], *precision])
    guessed_by = "by chance / at the centre"
    columns = ("pointing accuracy", guessed_by, "mean IoU", guessed_by, "AP at 0.3", "AP at 0.5")
    tables = [
        Table(
            ("set", "detector", "best baseline", "difference in AUC", "p", "test"),
            tests,
            "Detectors against the best baseline of their set (p by Holm)",
        ),
        Table(("set", "detector", *columns), places, "Boxes against labelled boxes"),
    ]
    return [table for table in tables if table.rows]


# --- for an experiment tracker


def log_benchmark(logger: Any, done: Benchmarked) -> None:
    """Log everything of a finished run that a logger can hold."""
    figures = {"failures": len(done.failures), "wall_seconds": done.facts["wall_seconds"]}
    for name, result in done.comparisons.items():
        for method, auc in result.aucs.items():
            facts = {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
            finite = {fact: value for fact, value in facts.items() if not math.isnan(value)}
            figures |= {f"{name}/{method}/{fact}": value for fact, value in finite.items()}
    logger.log_metrics(figures, step=0)
    run = logger.experiment
    for name, figure in _drawings(done):
        if hasattr(logger, "log_image"):  # W&B
            logger.log_image(name, [figure])
        elif hasattr(run, "add_figure"):  # TensorBoard
            run.add_figure(name, figure)
        elif hasattr(run, "log_figure"):  # MLflow
            run.log_figure(logger.run_id, figure, f"{name}.png")
    if hasattr(logger, "log_image"):
        _log_to_wandb(logger, done)
    elif hasattr(run, "log_artifact"):
        run.log_artifact(logger.run_id, str(done.folder / METRICS))


def _drawings(done: Benchmarked) -> Iterator[tuple[str, Any]]:
    """Figures with names: curves of each set, and a histogram of each method's scores on it."""
    for name, balanced in done.sets.items():
        curves = lines(done, balanced)
        for kind in KINDS:
            yield f"{name}/{kind}", curve_figure(kind, curves, name)
        for line in curves:
            values = scores_on(balanced, done.scored.scores, line.method)
            histogram = histogram_figure(balanced.truth, values, line.method, name)
            yield f"{name}/scores/{line.method}", histogram


def _log_to_wandb(logger: Any, done: Benchmarked) -> None:
    import wandb

    table = main_table(done)
    rows = [list(map(str, row)) for row in table.rows if row]  # W&B takes no kinds of text
    logger.log_table("table", list(table.columns), rows)
    columns = ["detector", "test_set", "triplet", "is_positive", "confidence"]
    logger.log_table("strongest", [*columns, *ROLES], list(_strongest(done)))
    artifact = wandb.Artifact("metrics", type="metrics")
    for file in (METRICS, f"{SCORES}.parquet", THRESHOLDS):
        artifact.add_file(str(done.folder / file))
    logger.experiment.log_artifact(artifact)


def _strongest(done: Benchmarked) -> Iterator[list[Any]]:
    """Rows of the strongest detections of each detector on its own set, with pictures."""
    for method, artifact_type in done.detectors.items():
        results = done.scored.scores[method]
        balanced = done.sets.get(artifact_type)
        members = zip(balanced.records, balanced.truth, strict=True) if balanced else ()
        boxed = [
            (results[record.id].confidences[0], record, is_positive)
            for record, is_positive in members
            if record.id in results and results[record.id].boxes
        ]
        boxed.sort(key=lambda row: -row[0])
        for confidence, record, is_positive in boxed[:STRONGEST]:
            pictures = _pictures(done.methods[method], record)
            if pictures:
                yield [method, artifact_type, record.id, is_positive, confidence, *pictures]


def _pictures(detector: Any, record: TripletRecord) -> list[Any]:
    """The three images with the detector's boxes and its heat map as a mask."""
    import wandb

    batch = load_triplet(record).batch
    device = next((parameter.device for parameter in detector.parameters()), batch.device)
    result = score_batch([detector], batch.to(device))[0][detector.name]
    if result.fault:
        return []
    boxes = [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), box, strict=True)),
            "domain": "pixel",
            "class_id": 0,
            "box_caption": f"{detector.name} {confidence:.4g}",
            "scores": {"confidence": confidence},
        }
        for box, confidence in zip(result.boxes, result.confidences, strict=True)
    ]
    layers: dict[str, Any] = {
        "boxes": {"detections": {"box_data": boxes, "class_labels": {0: detector.name}}}
    }
    if result.heat_map is not None:
        low, high = detector.heat_map_range
        heat = per_pixel(result.heat_map, 0, batch.height, batch.width)
        levels = np.clip(np.floor((heat - low) / (high - low) * 4), 0, 3).astype(np.uint8)
        layers["masks"] = {"evidence": {"mask_data": levels, "class_labels": EVIDENCE}}
    images = [to_8_bit(getattr(batch, role)) for role in ROLES]
    return [wandb.Image(image, file_type="jpg", **layers) for image in images]
