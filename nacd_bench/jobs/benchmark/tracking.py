"""What an experiment tracker gets of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nacd_bench.evaluation.comparison import scores_on
from nacd_bench.jobs.benchmark.results import Benchmarked, lines, main_table
from nacd_bench.pipeline.methods import score_batch
from nacd_bench.report.figures import CURVES, curve_figure, histogram_figure
from nacd_bench.report.heat_map import per_pixel
from nacd_bench.runs.schema import METRICS, SCORES, THRESHOLDS
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import TripletRecord

STRONGEST = 8
"""Detections per detector in the tracker's table."""
EVIDENCE = {1: "a quarter of the scale or more", 2: "half or more", 3: "three quarters or more"}
"""Classes of a heat map's mask."""


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
        for kind in CURVES:
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
