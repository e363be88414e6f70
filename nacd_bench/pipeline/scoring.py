"""Detectors and baselines over triplets: decoded ahead, scored in batches of one size.

Whoever drives it takes :func:`batches`, gives them to :func:`all_scored`, keeps what comes back:
``detect`` itself, and for ``benchmark`` Lightning's Trainer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Literal

import torch

from nacd_bench.errors import Failure, ImageError, UserError
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.pipeline.clock import timed
from nacd_bench.pipeline.methods import Method, score_batch
from nacd_bench.pipeline.workers import ahead, cores
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.batch import WHOLE, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import image_size
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import ROLES, TripletRecord

Task = tuple[TripletRecord, tuple[str, ...]]
"""A triplet and the names of the methods that are to score it."""
READERS = 4
"""Threads that hash and decode files."""
SCORERS = 4
"""Threads that score on a CPU, at most."""
LARGE = 1 << 22
"""Pixels of a batch from which on it does not share memory with others."""
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


LoadedBatch = tuple[Sequence[LoadedTriplet], Sequence[str]]
"""Triplets of one size and dtype, and the names of the methods that are to score them."""
ScoredBatch = list[tuple[LoadedTriplet, dict[str, Result]]]
"""Triplets, each with its results by method."""
Keep = Callable[[LoadedTriplet, Mapping[str, Result]], None]
"""What keeps more of a triplet and its results than its scores."""


def batches(
    tasks: Iterable[Task], batch_size: int, readers: int = READERS
) -> Iterator[LoadedBatch | Failure]:
    """Decode triplets and put them together; those that cannot be read come as failures.

    Large ones come alone, and none is decoded before the one before it was taken.

    Args:
        tasks: one after the other, as they come.
        batch_size: of one size; less where few are alike.
        readers: threads that decode ahead of whoever takes the batches.
    """
    waiting: dict[Any, list[LoadedTriplet]] = defaultdict(list)
    for methods, loaded in ahead(_loaded, tasks, readers, batch_size, _is_large):
        if isinstance(loaded, Failure):
            yield loaded
            continue
        if not loaded.batch.is_whole:
            yield [loaded], methods
            del loaded  # it would be here while the next is decoded
            continue
        kind = methods, loaded.batch.original.shape, loaded.batch.original.dtype
        waiting[kind].append(loaded)
        if len(waiting[kind]) < batch_size:
            if sum(map(len, waiting.values())) < 4 * batch_size:
                continue
            kind = next(iter(waiting))
        yield waiting.pop(kind), kind[0]
    for kind, triplets in waiting.items():
        yield triplets, kind[0]


def _is_large(task: Task) -> bool:
    with suppress(ImageError):  # whoever decodes it will say what is wrong
        return math.prod(image_size(task[0].original)) > WHOLE
    return False


def _loaded(task: Task) -> tuple[tuple[str, ...], LoadedTriplet | Failure]:
    record, methods = task
    try:
        with timed("decoded"):
            return methods, load_triplet(record)
    except Exception as error:
        more = "" if isinstance(error, UserError) else f"{record.place}: {type(error).__name__}: "
        return methods, Failure(record.id, "read", f"{more}{error}")


def scored(loaded: LoadedBatch, methods: Sequence[Method], device: torch.device) -> ScoredBatch:
    """Each triplet of a batch with its results by method."""
    triplets, names = loaded
    batch = triplets[0].batch
    if len(triplets) > 1:
        planes = {role: torch.cat([getattr(t.batch, role) for t in triplets]) for role in ROLES}
        batch = TripletBatch(**planes, ids=[t.record.id for t in triplets])
    chosen = [method for method in methods if method.name in names]
    results = score_batch(chosen, batch.to(device))
    if not batch.is_whole:
        give_back_memory()  # the maps that methods shared
    return list(zip(triplets, results, strict=True))


def all_scored(
    loaded: Iterable[LoadedBatch | Failure],
    methods: Sequence[Method],
    device: torch.device,
    processes: int = 1,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[ScoredBatch | Failure]:
    """Batches one after the other as :func:`scored`; failures pass.

    On a CPU several small ones are worked on at a time: threads over triplets use its cores better
    than threads within operations.

    Args:
        processes: that share this machine's cores.
        context: in which methods run.
    """

    def one(batch: LoadedBatch | Failure) -> ScoredBatch | Failure:
        if isinstance(batch, Failure):
            return batch
        with context():
            return scored(batch, methods, device)

    def is_large(batch: LoadedBatch | Failure) -> bool:
        triplets = () if isinstance(batch, Failure) else batch[0]
        return sum(triplet.batch.original.shape[2:].numel() for triplet in triplets) > LARGE

    threads = min(cores() // processes, SCORERS) if device.type == "cpu" else 0
    return ahead(one, loaded, threads if threads > 1 else 0, alone=is_large)


def usual_batch_size(device: str) -> int:
    """Triplets at a time where nobody says how many: a few on a GPU, one on a CPU."""
    return 1 if device == "cpu" else GPU_BATCH
