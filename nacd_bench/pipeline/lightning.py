"""Lightning's Trainer as the driver of the scoring loop, on several devices or one.

Each process gets its share of the triplets, each triplet exactly once. Every batch's scores go to
the cache as soon as they are computed, so that a kill loses the batches in flight and no more.
"""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nacd_bench.cache import ScoreCache
from nacd_bench.errors import Failure, UserError
from nacd_bench.pipeline.methods import Method
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.scoring import (
    Engine,
    Keep,
    ScoredBatch,
    Task,
    all_scored,
    batches,
    usual_batch_size,
)
from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.pipeline.workers import end_with_parent


class Scoring(L.LightningModule):
    """Scores this process' share of the triplets, and keeps the results.

    Args:
        tasks: of all processes.
        methods: detectors and baselines.
        keys: of the results in the cache, by triplet id and method.
        cache: where results go, batch by batch.
        engine: batch size, threads, progress.
        keep: what is called with each triplet and its results.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        methods: Sequence[Method],
        keys: Mapping[str, Mapping[str, str]],
        cache: ScoreCache,
        engine: Engine,
        keep: Keep | None,
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.methods = torch.nn.ModuleList(methods)
        self.keys = keys
        self.cache = cache
        self.engine = engine
        self.keep = keep

    def setup(self, stage: str) -> None:
        tune_process()
        if not self.trainer.is_global_zero:
            end_with_parent()
        if self.trainer.world_size > 1:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.trainer.world_size))

    def test_dataloader(self) -> Iterator[dict[str, Any]]:
        """What the cache gets, batch by batch: without pixels, since the Trainer takes one more
        than it works on."""
        share = self.tasks[self.trainer.global_rank :: self.trainer.world_size]
        size = self.engine.batch_size or usual_batch_size(self.device.type)
        is_shown = self.engine.show_progress and self.trainer.is_global_zero
        with progress_bar("triplets scored", len(share), is_shown) as tick:
            loaded = batches(share, size, self.engine.num_workers)
            methods: list[Method] = list(self.methods)  # type: ignore[arg-type]
            in_precision = self.trainer.precision_plugin.test_step_context
            everyone = self.trainer.world_size
            scored = all_scored(loaded, methods, self.device, everyone, in_precision)
            yield from map(partial(self._records, tick), scored)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        return batch  # `scored` does, where there are pixels

    def test_step(self, batch: dict[str, Any], index: int) -> None:
        self.cache.put(batch)

    def _records(self, tick: Progress, batch: ScoredBatch | Failure) -> dict[str, Any]:
        if isinstance(batch, Failure):
            tick(tick.failures + 1)
            unreadable = {"unreadable": batch.message}
            return dict.fromkeys(self.keys[batch.item].values(), unreadable)
        for loaded, results in batch:
            if self.keep:
                self.keep(loaded, results)
        tick(count=len(batch))
        return {
            self.keys[loaded.record.id][name]: result.as_json()
            for loaded, results in batch
            for name, result in results.items()
        }


def run_trainer(
    tasks: Sequence[Task],
    methods: Sequence[Method],
    keys: Mapping[str, Mapping[str, str]],
    cache: ScoreCache,
    engine: Engine,
    keep: Keep | None = None,
) -> None:
    """Score triplets into the cache; arguments as of :class:`Scoring`."""
    devices: int | str = engine.devices
    strategy = engine.strategy
    if isinstance(devices, int):
        devices = min(devices, len(tasks))
        if strategy == "auto" and devices > 1:
            strategy = "ddp_spawn"
    elif not torch.cuda.is_available():
        devices = 1
    with _quiet_lightning():
        try:
            trainer = L.Trainer(
                accelerator=engine.accelerator,
                devices=devices,
                strategy=strategy,
                precision=engine.precision,  # type: ignore[arg-type]
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                enable_progress_bar=False,
            )
        except (MisconfigurationException, ValueError, RuntimeError, ImportError) as error:
            raise UserError(
                "trainer: expected what Lightning has on this machine, got "
                f"trainer.accelerator={engine.accelerator}, devices={devices}, "
                f"strategy={strategy}, precision={engine.precision}: {error} "
                "Take trainer.accelerator=cpu, or leave the settings out."
            ) from error
        answer = signal.getsignal(signal.SIGINT)
        try:
            trainer.test(Scoring(tasks, methods, keys, cache, engine, keep), verbose=False)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C, after which it ignores more
            if isinstance(stop.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, answer)
                raise KeyboardInterrupt from stop
            raise


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's remarks on hardware that is not used and workers that are not wanted."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
