"""The loop of scoring: triplets decoded ahead of the methods, scored in batches of one size.

Whoever drives it takes :func:`batches`, gives them to :func:`scored` and keeps what comes back:
``detect`` itself, and for ``benchmark`` Lightning's Trainer.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from nacd_bench.errors import Failure, UserError
from nacd_bench.pipeline.methods import Method, score_batch
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import TripletRecord

T = TypeVar("T")
R = TypeVar("R")
Task = tuple[TripletRecord, tuple[str, ...]]
"""A triplet and the names of the methods that are to score it."""
READERS = 4
"""Threads that hash and decode files."""
GPU_BATCH = 8
"""Triplets of one size that a GPU takes at a time, unless told otherwise."""


@options
class Engine:
    """How the Trainer runs.

    Args:
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``.
        devices: processes or GPUs, or ``"auto"``.
        strategy: Lightning's; several devices take ``"ddp_spawn"`` unless told otherwise.
        precision: of the Trainer; 32 bits by default.
        batch_size: triplets of one size at a time; None for 1 on a CPU and 8 on a GPU.
        num_workers: threads per device that decode images ahead; 0 for none.
        show_progress: a progress bar.
    """

    accelerator: str = "auto"
    devices: Number | Literal["auto"] = "auto"
    strategy: str = "auto"
    precision: str | int = "32-true"
    batch_size: Number | None = None
    num_workers: Count = READERS
    show_progress: bool = True


DEFAULT = Engine()


@dataclass(frozen=True)
class LoadedBatch:
    """Triplets of one size and dtype, and the names of the methods that are to score them."""

    triplets: Sequence[LoadedTriplet]
    methods: Sequence[str]


def batches(
    tasks: Iterable[Task], batch_size: int, readers: int = READERS
) -> Iterator[LoadedBatch | Failure]:
    """Decode triplets and put them together; those that cannot be read come as failures.

    Args:
        tasks: one after the other, as they come.
        batch_size: of one size; less where few are alike.
        readers: threads that decode ahead of whoever takes the batches.
    """
    waiting: dict[Any, list[LoadedTriplet]] = defaultdict(list)
    for methods, loaded in ahead(_loaded, tasks, readers, batch_size):
        if isinstance(loaded, Failure):
            yield loaded
            continue
        kind = methods, loaded.batch.original.shape, loaded.batch.original.dtype
        waiting[kind].append(loaded)
        if len(waiting[kind]) < batch_size:
            if sum(map(len, waiting.values())) < 4 * batch_size:
                continue
            kind = next(iter(waiting))
        yield LoadedBatch(waiting.pop(kind), kind[0])
    for kind, triplets in waiting.items():
        yield LoadedBatch(triplets, kind[0])


def ahead(
    function: Callable[[T], R], items: Iterable[T], threads: int, more: int = 0
) -> Iterator[R]:
    """The function of each item in order, by threads that are a few items ahead.

    >>> list(ahead(len, ["a", "bc"], threads=2))
    [1, 2]
    """
    if not threads:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        futures: deque[Future[R]] = deque()
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) > threads + more:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()


def _loaded(task: Task) -> tuple[tuple[str, ...], LoadedTriplet | Failure]:
    record, methods = task
    try:
        return methods, load_triplet(record)
    except UserError as error:
        return methods, Failure(record.id, "read", str(error))
    except Exception as error:
        fault = f"{record.place}: {type(error).__name__}: {error}"
        return methods, Failure(record.id, "read", fault)


def scored(
    batch: LoadedBatch, methods: Sequence[Method], device: torch.device
) -> list[tuple[LoadedTriplet, dict[str, Result]]]:
    """Each triplet of a batch with its results by method."""
    planes = {
        role: torch.cat([getattr(loaded.batch, role) for loaded in batch.triplets])
        for role in ROLES
    }
    ids = [loaded.record.id for loaded in batch.triplets]
    chosen = [method for method in methods if method.name in batch.methods]
    results = score_batch(chosen, TripletBatch(**planes, ids=ids).to(device))
    return list(zip(batch.triplets, results, strict=True))


def usual_batch_size(device: str) -> int:
    """Triplets at a time where nobody says how many: a few on a GPU, one on a CPU."""
    is_gpu = torch.cuda.is_available() if device == "auto" else device not in ("cpu",)
    return GPU_BATCH if is_gpu else 1
