"""A benchmark in an experiment tracker: Weights & Biases by default, or any of Lightning's loggers.

W&B always logs into the run's folder first and never asks for anything. Where a key is configured
and the mode is online, what was logged is sent when the run is over; a server that does not answer
costs nothing but a message that says how to send it later.
"""

from __future__ import annotations

import math
import netrc
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np

from nacd_bench.data.loading import load_triplet
from nacd_bench.data.record import TripletRecord
from nacd_bench.detection import DetectionBatch
from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.evaluation.comparison import scores_on
from nacd_bench.harness.benchmark_files import lines
from nacd_bench.harness.benchmark_table import layout
from nacd_bench.harness.methods import made, outcomes
from nacd_bench.report.curves import histogram_figure, precision_recall_figure, roc_figure
from nacd_bench.report.heat_map import per_pixel

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from nacd_bench.harness.benchmark import Benchmarked

Mode = Literal["auto", "online", "offline"]
ANSWER_SECONDS, SYNC_SECONDS = 10, 600
"""Patience with a server: until it answers at all, and until it has the log."""
STRONGEST = 8
"""Detections per detector in the tracker's table."""
STAGING = "WANDB_DATA_DIR"
HOST = "https://api.wandb.ai"
EVIDENCE = {1: "a quarter of the scale or more", 2: "half or more", 3: "three quarters or more"}
"""Classes of a heat map's mask."""


@dataclass
class Tracker:
    """A logger, and what is to be done with its log when the run is over."""

    logger: Logger | None
    folder: Path
    mode: Mode = "offline"
    message: str = ""


@contextmanager
def tracked(
    node: Mapping[str, Any] | None, folder: Path, config: Mapping[str, Any]
) -> Iterator[Tracker]:
    """A tracker for the time of a run; a fault in it is a message, not the end of the run.

    Args:
        node: the configuration's logger; None or empty for none.
        folder: the run's folder.
        config: what is logged as the run's configuration.
    """
    with _staged_in(folder):
        yield from _tracked(node, folder, config)


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """W&B stages artifacts in the user's data folder, where a log would lose them."""
    before = os.environ.get(STAGING)
    os.environ[STAGING] = before or str((folder / "wandb").resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[STAGING]


def _tracked(
    node: Mapping[str, Any] | None, folder: Path, config: Mapping[str, Any]
) -> Iterator[Tracker]:
    tracker = Tracker(None, folder)
    if node:
        tracker.logger = made("logger", {**node, **_place(node, folder)})
        tracker.mode = node.get("mode", "offline")
        _guarded(tracker, lambda logger: logger.log_hyperparams(dict(config)))
    status = "failed"
    try:
        yield tracker
        status = "success"
    finally:
        _guarded(tracker, lambda logger: logger.finalize(status))
        if tracker.logger is not None and _is_wandb(tracker.logger):
            _guarded(tracker, lambda logger: _finish(tracker, status))


def wandb_logger(
    folder: str | Path, project: str = "nacd-bench", mode: Mode = "auto", **options: Any
) -> Logger:
    """Lightning's ``WandbLogger`` that writes into a folder and asks for nothing.

    Args:
        folder: the run's folder; the log is in its ``wandb/``.
        project: of W&B.
        mode: ``auto`` sends the log when a key is configured and ``WANDB_MODE`` is not offline.
        options: what ``wandb.init`` takes: ``entity``, ``tags``, ``group``, ``notes``.
    """
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    if mode not in ("auto", "online", "offline"):
        raise UserError(f"expected logger.mode auto, online or offline, got {mode!r}.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_SILENT", "true")
    settings = wandb.Settings(silent=True, console="off")
    logger = WandbLogger(
        project=project, save_dir=str(folder), offline=True, settings=settings, **options
    )
    logger._wandb_init.pop("anonymous", None)  # wandb warns about it, whatever its value
    return logger


def log_benchmark(tracker: Tracker, done: Benchmarked) -> None:
    """Log everything of a finished run that the tracker can hold."""
    _guarded(tracker, lambda logger: _log(logger, done))


def log_numbers(tracker: Tracker, numbers: Mapping[str, float], step: int) -> None:
    """Log the state of a job that is going on."""
    _guarded(tracker, lambda logger: logger.log_metrics(dict(numbers), step=step))


def _guarded(tracker: Tracker, action: Any) -> None:
    if tracker.logger is None:
        return
    try:
        action(tracker.logger)
    except Exception as error:  # trackers raise anything; results are on the disk without them
        tracker.message = (
            f"the tracker failed ({type(error).__name__}: {error}). All results are in "
            f"{tracker.folder}; logger=none turns it off."
        )


def _place(node: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {"folder": str(folder)} if node["_target_"].endswith(".wandb_logger") else {}


def _log(logger: Logger, done: Benchmarked) -> None:
    figures = {
        f"{name}/{method}/auc": found.value
        for name, each in done.comparisons.items()
        for method, found in each.aucs.items()
        if not math.isnan(found.value)
    }
    figures["failures"] = len(done.failures)
    figures["wall_seconds"] = done.facts["wall_seconds"]
    logger.log_metrics(figures, step=0)
    experiment = logger.experiment  # type: ignore[attr-defined]
    if _is_wandb(logger):
        _log_to_wandb(experiment, done)
        return
    for name, drawn in _figures(done).items():
        if hasattr(experiment, "add_figure"):  # TensorBoard
            experiment.add_figure(name, drawn)
        elif hasattr(experiment, "log_figure"):  # MLflow
            experiment.log_figure(logger.run_id, drawn, f"{name}.png")  # type: ignore[attr-defined]
    if hasattr(experiment, "log_artifact"):
        experiment.log_artifact(logger.run_id, str(done.folder / "metrics.json"))  # type: ignore[attr-defined]


def _figures(done: Benchmarked) -> dict[str, Any]:
    found = {}
    for name, balanced in done.sets.items():
        drawn = lines(done, balanced)
        found[f"{name}/roc"] = roc_figure(drawn, name)
        found[f"{name}/precision_recall"] = precision_recall_figure(drawn, name)
        for line in drawn:
            values = scores_on(balanced, done.scored.scores, line.method)
            found[f"{name}/scores/{line.method}"] = histogram_figure(
                balanced.truth, values, line.method, name
            )
    return found


# --- W&B


def _is_wandb(logger: Logger) -> bool:
    return type(logger).__name__ == "WandbLogger"


def _log_to_wandb(run: Any, done: Benchmarked) -> None:
    import wandb

    table = layout(done)
    facts = ["value", "low", "high", "n_positive", "n_negative", "n_excluded"]
    run.log(
        {
            "table": wandb.Table(
                columns=list(table.columns),
                data=[
                    [row[0], *(cell.text for cell in row[1])]
                    for row in table.rows
                    if row is not None
                ],
            ),
            "auc": wandb.Table(
                columns=["test_set", "method", "auc", *facts[1:]],
                data=[
                    [name, method, *(getattr(found, fact) for fact in facts)]
                    for name, each in done.comparisons.items()
                    for method, found in each.aucs.items()
                ],
            ),
        }
    )
    for name, balanced in done.sets.items():
        drawn = lines(done, balanced)
        run.log(
            {
                f"{name}/roc": _series(
                    drawn, "roc", ("false_positive_rate", "true_positive_rate"), name
                ),
                f"{name}/precision_recall": _series(
                    drawn, "precision_recall", ("recall", "precision"), name
                ),
            }
        )
        for line in drawn:
            values = np.asarray(scores_on(balanced, done.scored.scores, line.method))
            positive = np.asarray(balanced.truth)
            for label, chosen in (("positives", positive), ("negatives", ~positive)):
                known = values[chosen & np.isfinite(values)]
                run.log({f"{name}/{line.method}/{label}": wandb.Histogram(known)})
    run.log({"strongest": _strongest_table(done)})
    artifact = wandb.Artifact("metrics", type="metrics")
    for file in ("metrics.json", "scores.parquet", "thresholds.yaml"):
        artifact.add_file(str(done.folder / file))
    run.log_artifact(artifact)


def _series(drawn: Any, curve: str, axes: tuple[str, str], name: str) -> Any:
    import wandb

    return wandb.plot.line_series(
        xs=[getattr(getattr(line, curve), axes[0]).tolist() for line in drawn],
        ys=[getattr(getattr(line, curve), axes[1]).tolist() for line in drawn],
        keys=[line.method for line in drawn],
        title=f"{curve.replace('_', ' ')}, test set {name}",
        xname=axes[0].replace("_", " "),
    )


def _strongest_table(done: Benchmarked) -> Any:
    """The strongest detections of each detector on its own set, with boxes and heat maps."""
    import wandb

    names = ["detector", "test_set", "triplet", "is_positive", "confidence", "original", "neural"]
    table = wandb.Table(columns=[*names, "traditional"])
    for method, artifact_type in done.detectors.items():
        balanced = done.sets.get(artifact_type)
        if balanced is None:
            continue
        found = done.scored.scores.get(method, {})
        ranked = sorted(
            (
                (record, is_positive)
                for record, is_positive in zip(balanced.records, balanced.truth, strict=True)
                if record.id in found and found[record.id].boxes
            ),
            key=lambda each: -found[each[0].id].confidences[0],
        )
        detector = done.methods[method]
        assert isinstance(detector, Detector)
        for record, is_positive in ranked[:STRONGEST]:
            confidence = found[record.id].confidences[0]
            pictures = _pictures(detector, record)
            if pictures is not None:
                table.add_data(method, artifact_type, record.id, is_positive, confidence, *pictures)
    return table


def _pictures(detector: Detector, record: TripletRecord) -> list[Any] | None:
    """The three images with the detector's boxes and its heat map as a mask."""
    import wandb

    batch = load_triplet(record).batch
    device = next((p.device for p in detector.parameters()), None)
    outcome = outcomes(detector, batch if device is None else batch.to(device))[0]
    if not isinstance(outcome, DetectionBatch):
        return None
    boxes = {
        "detections": {
            "box_data": [
                {
                    "position": dict(zip(("minX", "minY", "maxX", "maxY"), box, strict=True)),
                    "domain": "pixel",
                    "class_id": 0,
                    "box_caption": f"{detector.name} {confidence:.4g}",
                    "scores": {"confidence": confidence},
                }
                for box, confidence in zip(
                    outcome.boxes[0].tolist(), outcome.confidences[0].tolist(), strict=True
                )
            ],
            "class_labels": {0: detector.name},
        }
    }
    masks = None
    if outcome.heat_map is not None:
        low, high = detector.heat_map_range
        heat = per_pixel(outcome.heat_map, 0, batch.height, batch.width)
        levels = np.clip(np.floor((heat - low) / (high - low) * 4), 0, 3).astype(np.uint8)
        masks = {"evidence": {"mask_data": levels, "class_labels": EVIDENCE}}
    pictures = []
    for image in (batch.original, batch.neural, batch.traditional):
        pixels = image if image.is_floating_point() else image.float() / 255
        array = (pixels[0].permute(1, 2, 0) * 255).round().byte().numpy()
        pictures.append(wandb.Image(array, boxes=boxes, masks=masks, file_type="jpg"))
    return pictures


def _finish(tracker: Tracker, status: str) -> None:
    """Close the log, and send it where it is to be sent."""
    run = tracker.logger.experiment  # type: ignore[union-attr]
    place = Path(run.dir).parent
    run.finish(exit_code=0 if status == "success" else 1)
    later = f"Send it with: wandb sync {place}"
    mode = os.environ.get("WANDB_MODE") if tracker.mode == "auto" else tracker.mode
    if mode == "offline" or (mode != "online" and not has_key()):
        tracker.message = tracker.message or f"W&B log, offline: {place}. {later}"
        return
    command = [sys.executable, "-m", "wandb", "sync", str(place.resolve())]
    try:
        _require_answer(os.environ.get("WANDB_BASE_URL", HOST))
        sent = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SYNC_SECONDS,
            cwd=place.parent,  # it leaves a log where it runs
        )
        reason = sent.stdout.strip().splitlines()[-1:] if sent.returncode else []
    except (OSError, subprocess.SubprocessError) as error:
        reason = [f"{type(error).__name__}: {error}"]
    if reason:
        tracker.message = f"W&B did not take the log ({reason[0]:.120}). It is in {place}. {later}"
    else:
        tracker.message = f"W&B has the log; a copy is in {place}."


def _require_answer(server: str) -> None:
    """:class:`OSError` from a server that does not answer: the client would try for minutes."""
    with suppress(HTTPError):  # an answer, whatever it says
        urlopen(server, timeout=ANSWER_SECONDS).close()


def has_key() -> bool:
    """Whether a key for the W&B server is configured: ``WANDB_API_KEY`` or a netrc entry."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", HOST)).hostname or ""
    file = os.environ.get("NETRC")
    candidates = [Path(file)] if file else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for candidate in candidates:
        try:
            if netrc.netrc(candidate).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
