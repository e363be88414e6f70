"""The loop of scoring, run by Lightning: a data module, a module, the Trainer.

Each process gets its share of the batches, each batch exactly once. Every batch's scores go to the
cache as soon as they are there, so that a kill loses the batch in flight and no more.
"""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, Dataset, Sampler

from nacd_bench.cache import ScoreCache
from nacd_bench.errors import UserError
from nacd_bench.pipeline.methods import Method, score_batch
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import TripletRecord

IMAGE, METHOD = "image", "method"
"""What a failure on record is of."""


@options
class Engine:
    """How the Trainer runs.

    Args:
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``.
        devices: processes or GPUs, or ``"auto"``.
        strategy: Lightning's; several devices take ``"ddp_spawn"`` unless told otherwise.
        precision: of the Trainer; 32 bits by default.
        batch_size: triplets of one size at a time; None for 1 on a CPU and 8 on a GPU.
        num_workers: processes per device that decode images ahead.
        show_progress: a progress bar.
    """

    accelerator: str = "auto"
    devices: Number | Literal["auto"] = "auto"
    strategy: str = "auto"
    precision: str | int = "32-true"
    batch_size: Number | None = None
    num_workers: Count = 0
    show_progress: bool = True


DEFAULT = Engine()


@dataclass(frozen=True)
class Work:
    """A triplet and the methods whose scores it lacks, with their keys in the cache."""

    record: TripletRecord
    keys: Mapping[str, str]


@dataclass(frozen=True)
class LoadedBatch:
    """Triplets of one size and dtype with the same work to do."""

    works: Sequence[Work]
    images: TripletBatch


class Triplets(L.LightningDataModule):
    """Batches as a data loader; each process has a share of its own."""

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, batches: Sequence[Sequence[Work]], num_workers: int = 0) -> None:
        super().__init__()
        self.batches = batches
        self.num_workers = num_workers

    def test_dataloader(self) -> DataLoader:
        rank, world = 0, 1
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(
            _Decoded(self.batches),
            batch_size=None,
            sampler=_Share(len(self.batches), rank, world),
            num_workers=self.num_workers,
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        loaded, failed = batch
        return [LoadedBatch(each.works, each.images.to(device)) for each in loaded], failed


class Scoring(L.LightningModule):
    """Runs every method that a batch lacks, and keeps the scores.

    Args:
        methods: detectors and baselines.
        cache: where scores go, batch by batch.
        processes: how many share this machine's cores.
    """

    def __init__(self, methods: Sequence[Method], cache: ScoreCache, processes: int = 1) -> None:
        super().__init__()
        self.methods = torch.nn.ModuleList(methods)
        self.cache = cache
        self.processes = processes

    def setup(self, stage: str) -> None:
        tune_process()
        if self.processes > 1:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.processes))

    def test_step(self, batch: Any, index: int) -> None:
        loaded, failed = batch
        for works, message in failed:
            broken = {"failed": message, "of": IMAGE}
            self.cache.put(dict.fromkeys(works.keys.values(), broken))
        for each in loaded:
            names = each.works[0].keys
            chosen = [method for method in self.methods if method.name in names]
            records = {
                work.keys[name]: as_record(result)
                for work, results in zip(
                    each.works,
                    score_batch(chosen, each.images),  # type: ignore[arg-type]
                    strict=True,
                )
                for name, result in results.items()
            }
            self.cache.put(records)


def as_record(result: Result) -> dict[str, Any]:
    """A result as the cache keeps it."""
    if result.fault:
        return {"failed": result.fault, "of": METHOD}
    return {
        "score": result.score,
        "boxes": list(result.boxes),
        "confidences": list(result.confidences),
    }


class _Decoded(Dataset):
    """A batch's triplets with their pixels, and those that cannot be read with the reason."""

    def __init__(self, batches: Sequence[Sequence[Work]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[list[LoadedBatch], list[tuple[Work, str]]]:
        alike: dict[Any, list[tuple[Work, LoadedTriplet]]] = defaultdict(list)
        failed = []
        for work in self.batches[index]:
            try:
                one = load_triplet(work.record)
            except UserError as error:
                failed.append((work, str(error)))
            except Exception as error:
                message = f"{work.record.place}: {type(error).__name__}: {error}"
                failed.append((work, message))
            else:
                alike[(one.batch.original.shape, one.batch.original.dtype)].append((work, one))
        return [_joined(group) for group in alike.values()], failed


def _joined(group: Sequence[tuple[Work, LoadedTriplet]]) -> LoadedBatch:
    images = {
        role: torch.cat([getattr(loaded.batch, role) for _, loaded in group]) for role in ROLES
    }
    ids = [work.record.id for work, _ in group]
    return LoadedBatch([work for work, _ in group], TripletBatch(**images, ids=ids))


class _Share(Sampler[int]):
    """Every ``world``-th batch from ``rank`` on: no padding, so that no batch comes twice."""

    def __init__(self, count: int, rank: int, world: int) -> None:
        self.own = range(rank, count, world)

    def __iter__(self) -> Iterator[int]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)


def run_batches(
    methods: Sequence[Method], batches: Sequence[Sequence[Work]], cache: ScoreCache, engine: Engine
) -> None:
    """Score batches of triplets of one size, each with the same methods to run."""
    devices: int | str = engine.devices
    strategy = engine.strategy
    if isinstance(devices, int):
        devices = max(1, min(devices, len(batches)))
        if strategy == "auto" and devices > 1:
            strategy = "ddp_spawn"
    elif not torch.cuda.is_available():
        devices = 1
    with _quiet_lightning():
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
            callbacks=[_Bar()] if engine.show_progress else [],
        )
        module = Scoring(methods, cache, trainer.num_devices * trainer.num_nodes)
        answer = signal.getsignal(signal.SIGINT)
        try:
            trainer.test(module, Triplets(batches, engine.num_workers), verbose=False)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C, after which it ignores more
            if isinstance(stop.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, answer)
                raise KeyboardInterrupt from stop
            raise


class _Bar(Callback):
    """Progress of the first process."""

    def on_test_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.shown = ExitStack()
        if trainer.is_global_zero:
            bar = progress_bar("batches scored", int(trainer.num_test_batches[0]), True)
            self.progress = self.shown.enter_context(bar)

    def on_test_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.progress(0)

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.shown.close()

    def on_exception(self, *_: Any) -> None:
        self.shown.close()


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
