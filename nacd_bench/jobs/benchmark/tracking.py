"""A run in an experiment tracker: Weights & Biases by default, or any of Lightning's loggers.

W&B logs into the run's folder and asks for nothing. The log is sent when the run is over, and only
where W&B's own settings, as they were before the run, say online and a key is configured.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np

from nacd_bench.errors import PluginError, UserError
from nacd_bench.evaluation.comparison import scores_on
from nacd_bench.jobs.benchmark.results import Benchmarked, lines, main_table
from nacd_bench.pipeline.methods import made, score_batch
from nacd_bench.registry import unknown
from nacd_bench.report.figures import CURVES, curve_figure, histogram_figure
from nacd_bench.report.heat_map import per_pixel
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import TripletRecord

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

MODES = ("auto", "online", "offline", "disabled")
ANSWER_SECONDS, SYNC_SECONDS = 10, 600
"""Patience with a server: until it answers at all, and until it has the log."""
SIDES = ("original", "neural", "traditional")
STRONGEST = 8
"""Detections per detector in the tracker's table."""
EVIDENCE = {1: "a quarter of the scale or more", 2: "half or more", 3: "three quarters or more"}
"""Classes of a heat map's mask."""
QUIET = {
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",  # reports of W&B's own errors
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Set for the time of a run, unless the user did."""


@dataclass
class Tracker:
    """A logger, and what came of its log.

    Args:
        logger: None for none.
        folder: the run's folder.
        message: for the user, when the run is over.
    """

    logger: Logger | None
    folder: Path
    message: str = ""

    def log(self, action: Callable[[Any], object]) -> None:
        """Do something with the logger; a fault in it is a message, not the end of the run."""
        if self.logger is None:
            return
        try:
            action(self.logger)
        except Exception as error:  # trackers raise anything
            self.message = (
                f"the tracker failed ({type(error).__name__}: {error}). All results are in "
                f"{self.folder}; logger=none turns it off."
            )


@contextmanager
def tracked(
    node: Mapping[str, Any] | None, folder: Path, config: Mapping[str, Any]
) -> Iterator[Tracker]:
    """A tracker for the time of a run.

    Args:
        node: the configuration's logger; None or empty for none.
        folder: the run's folder.
        config: what is logged as the run's configuration.
    """
    tracker = Tracker(None, folder)
    status, mode = "failed", ""
    is_wandb = bool(node) and node["_target_"].endswith(".wandb_logger")  # type: ignore[index]
    with _own_environment(folder, is_wandb):
        if node and is_wandb:
            mode = wandb_mode(node.get("mode", "auto"))
            node = {**node, "folder": str(folder), "mode": mode}
        try:
            if mode == "disabled":
                tracker.message = "W&B is disabled: no log."
            elif node:
                tracker.logger = made("logger", node)
        except PluginError as error:
            if not mode:
                raise
            tracker.message = f"no log: {error}"
        tracker.log(lambda logger: logger.log_hyperparams(dict(config)))
        try:
            yield tracker
            status = "success"
        finally:
            tracker.log(lambda logger: logger.finalize(status))
            if mode:
                tracker.log(lambda logger: _finish(tracker, status, mode == "online"))


@contextmanager
def _own_environment(folder: Path, is_wandb: bool) -> Iterator[None]:
    """Variables of the run's own; afterwards all are as the user had them."""
    # W&B stages artifacts in the user's data folder, where a log would lose them.
    own = {**QUIET, "WANDB_DATA_DIR": str((folder / "wandb").resolve())}
    before = dict(os.environ)
    os.environ.update({name: before.get(name, value) for name, value in own.items()})
    try:
        yield
    finally:
        if "wandb" in sys.modules and "WANDB_SERVICE" not in before:
            sys.modules[
                "wandb"
            ].teardown()  # of the run's own session: the next reads settings anew
        for name in [name for name in os.environ if name.startswith("WANDB_") or name in own]:
            if name not in before:
                del os.environ[name]
        os.environ.update({name: before[name] for name in before if name.startswith("WANDB_")})


def wandb_mode(asked: str) -> str:
    """What W&B is to do: ``online``, ``offline`` or ``disabled``.

    Args:
        asked: one of these, or ``auto`` for what W&B's own settings say (``WANDB_MODE``,
            ``WANDB_DISABLED``, ``wandb offline``, ``wandb disabled``): online where they say
            nothing else and a key is configured.
    """
    import wandb
    from requests.utils import get_netrc_auth

    if asked != "auto":
        if asked not in MODES:
            raise UserError(unknown("logger.mode", str(asked), list(MODES)))
        return asked
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    try:
        settings = wandb.setup().settings
    except Exception:  # of settings that W&B does not take: nothing is sent
        return "offline"
    mode = os.environ.get("WANDB_MODE") or settings.mode
    if mode == "disabled":
        return mode
    has_key = os.environ.get("WANDB_API_KEY") or get_netrc_auth(settings.base_url)
    return "online" if has_key and mode in ("online", "run", "shared") else "offline"


def wandb_logger(
    folder: str | Path, project: str = "nacd-bench", mode: str = "offline", **options: Any
) -> Logger:
    """Lightning's ``WandbLogger`` that writes into a folder and sends nothing by itself.

    Args:
        folder: the run's folder; the log is in its ``wandb/``.
        project: of W&B.
        mode: see :func:`wandb_mode`; the log is sent when the run is over.
        options: what ``wandb.init`` takes: ``entity``, ``tags``, ``group``, ``notes``.
    """
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    Path(folder).mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(silent=True, console="off")
    options = {"reinit": "create_new", **options, "mode": "offline", "settings": settings}
    run = wandb.init(project=project, dir=str(folder), **options)
    return WandbLogger(experiment=run)


def log_benchmark(logger: Any, done: Benchmarked) -> None:
    """Log everything of a finished run that a logger can hold."""
    figures = {"failures": len(done.failures), "wall_seconds": done.facts["wall_seconds"]}
    for name, compared in done.comparisons.items():
        for method, auc in compared.aucs.items():
            facts = {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
            known = {fact: value for fact, value in facts.items() if not math.isnan(value)}
            figures |= {f"{name}/{method}/{fact}": value for fact, value in known.items()}
    logger.log_metrics(figures, step=0)
    run = logger.experiment
    for name, figure in _drawings(done).items():
        if hasattr(logger, "log_image"):  # W&B
            logger.log_image(name, [figure])
        elif hasattr(run, "add_figure"):  # TensorBoard
            run.add_figure(name, figure)
        elif hasattr(run, "log_figure"):  # MLflow
            run.log_figure(logger.run_id, figure, f"{name}.png")
    if _is_wandb(logger):
        _log_to_wandb(logger, done)
    elif hasattr(run, "log_artifact"):
        run.log_artifact(logger.run_id, str(done.folder / "metrics.json"))


def _drawings(done: Benchmarked) -> dict[str, Any]:
    """Figures by name: curves of each set, and a histogram of each method's scores on it."""
    figures: dict[str, Any] = {}
    for name, balanced in done.sets.items():
        drawn = lines(done, balanced)
        figures |= {f"{name}/{kind}": curve_figure(kind, drawn, name) for kind in CURVES}
        for line in drawn:
            values = scores_on(balanced, done.scored.scores, line.method)
            figures[f"{name}/scores/{line.method}"] = histogram_figure(
                balanced.truth, values, line.method, name
            )
    return figures


# --- W&B


def _is_wandb(logger: object) -> bool:
    return type(logger).__name__ == "WandbLogger"


def _log_to_wandb(logger: Any, done: Benchmarked) -> None:
    import wandb

    table = main_table(done)
    logger.log_table("table", list(table.columns), [list(row) for row in table.rows if row])
    columns = ["detector", "test_set", "triplet", "is_positive", "confidence"]
    logger.log_table("strongest", [*columns, *SIDES], list(_strongest(done)))
    artifact = wandb.Artifact("metrics", type="metrics")
    for file in ("metrics.json", "scores.parquet", "thresholds.yaml"):
        artifact.add_file(str(done.folder / file))
    logger.experiment.log_artifact(artifact)


def _strongest(done: Benchmarked) -> Iterator[list[Any]]:
    """Rows of the strongest detections of each detector on its own set, with pictures."""
    for method, artifact_type in done.detectors.items():
        balanced = done.sets.get(artifact_type)
        scores = done.scored.scores.get(method, {})
        detections = [
            (scores[record.id].confidences[0], record, is_positive)
            for record, is_positive in zip(
                *((balanced.records, balanced.truth) if balanced else ((), ())), strict=True
            )
            if record.id in scores and scores[record.id].boxes
        ]
        for confidence, record, is_positive in sorted(detections, key=lambda row: -row[0])[
            :STRONGEST
        ]:
            pictures = _pictures(done.methods[method], record)
            if pictures:
                yield [method, artifact_type, record.id, is_positive, confidence, *pictures]


def _pictures(detector: Any, record: TripletRecord) -> list[Any]:
    """The three images with the detector's boxes and its heat map as a mask."""
    import wandb

    batch = load_triplet(record).batch
    device = next((p.device for p in detector.parameters()), None)
    (results,) = score_batch([detector], batch if device is None else batch.to(device))
    outcome = results[detector.name]
    if outcome.fault:
        return []
    boxes = [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), box, strict=True)),
            "domain": "pixel",
            "class_id": 0,
            "box_caption": f"{detector.name} {confidence:.4g}",
            "scores": {"confidence": confidence},
        }
        for box, confidence in zip(outcome.boxes, outcome.confidences, strict=True)
    ]
    shown: dict[str, Any] = {
        "boxes": {"detections": {"box_data": boxes, "class_labels": {0: detector.name}}}
    }
    if outcome.heat_map is not None:
        low, high = detector.heat_map_range
        heat = per_pixel(outcome.heat_map, 0, batch.height, batch.width)
        levels = np.clip(np.floor((heat - low) / (high - low) * 4), 0, 3).astype(np.uint8)
        shown["masks"] = {"evidence": {"mask_data": levels, "class_labels": EVIDENCE}}
    pictures = []
    for side in SIDES:
        pictures.append(wandb.Image(to_8_bit(getattr(batch, side)), file_type="jpg", **shown))
    return pictures


def _finish(tracker: Tracker, status: str, sends: bool) -> None:
    """Close W&B's log, and send it where it is to be sent."""
    run = tracker.logger.experiment  # type: ignore[union-attr]
    place, server = Path(run.dir).parent.resolve(), run.settings.base_url
    run.finish(exit_code=0 if status == "success" else 1)
    later = f"Send it with: wandb sync {place}"
    if not sends:
        tracker.message = tracker.message or f"W&B log, offline: {place}. {later}"
        return
    reason = _refusal(place, server)
    tracker.message = (
        f"W&B did not take the log ({reason:.160}). It is in {place}. {later}"
        if reason
        else f"W&B has the log; a copy is in {place}."
    )


def _refusal(place: Path, server: str) -> str:
    """Send a log; why the server did not take it, empty where it did."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    try:
        with suppress(HTTPError):  # an answer, whatever it says; the client would try for minutes
            urlopen(server, timeout=ANSWER_SECONDS).close()
        synced = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(place)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SYNC_SECONDS,
            cwd=place.parent,  # it leaves a log where it runs
            env={**environment, "WANDB_MODE": "online", "WANDB_SILENT": "false"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    # Its exit status is 0 whatever happened, and a log that was refused in part has its mark, too.
    marks = list(place.glob("*.wandb.synced"))
    told = synced.stdout.strip().splitlines() or [f"exit status {synced.returncode}"]
    errors = [line for line in told if "ERROR" in line]
    if marks and not errors:
        return ""
    for mark in marks:
        mark.unlink()
    return (errors or told)[-1]
