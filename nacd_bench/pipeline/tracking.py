"""A run in an experiment tracker: Weights & Biases by default, or any of Lightning's loggers.

W&B logs into the run's folder and asks for nothing. The log is sent when the run is over, and only
where W&B's own settings, as they were before the run, say online and a key is configured.
"""

from __future__ import annotations

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

from nacd_bench.errors import PluginError, UserError
from nacd_bench.pipeline.methods import made
from nacd_bench.registry import unknown

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

MODES = ("auto", "online", "offline", "disabled")
ANSWER_SECONDS, SYNC_SECONDS = 10, 600
"""Patience with a server: until it answers at all, and until it has the log."""
QUIET = {
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",  # reports of W&B's own errors
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Set for the time of a run, unless the user did."""


@dataclass
class Tracker:
    """A logger that costs the run nothing.

    Args:
        folder: the run's folder.
        logger: None for none.
        message: for the user, when the run is over.
    """

    folder: Path
    logger: Logger | None = None
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
    tracker = Tracker(folder)
    before = dict(os.environ)
    status, mode = "failed", ""
    # W&B stages artifacts in the user's data folder, where a log would lose them.
    os.environ.update({**QUIET, "WANDB_DATA_DIR": str((folder / "wandb").resolve()), **before})
    try:
        if node and node["_target_"].endswith(".wandb_logger"):
            mode = wandb_mode(node.get("mode", "auto"))
            node = {**node, "folder": str(folder), "mode": mode}
        if mode == "disabled":
            tracker.message = "W&B is disabled: no log."
        elif node:
            try:
                tracker.logger = made("logger", node)
            except PluginError as error:
                if not mode:
                    raise
                tracker.message = f"no log: {error}"
        tracker.log(lambda logger: logger.log_hyperparams(dict(config)))
        yield tracker
        status = "success"
    finally:
        tracker.log(lambda logger: logger.finalize(status))
        if mode:
            tracker.log(lambda logger: _finish(tracker, status, mode == "online"))
        if "wandb" in sys.modules and "WANDB_SERVICE" not in before:
            sys.modules["wandb"].teardown()  # so that the next run's settings are read anew
        os.environ.clear()  # all variables are as the user had them
        os.environ.update(before)


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
