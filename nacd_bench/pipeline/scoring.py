"""Detectors and baselines over triplets: decoded ahead, scored in batches of one size.

Whoever drives it takes :func:`batches`, gives them to :func:`scored` and keeps what comes back:
``detect`` itself, and for ``benchmark`` Lightning's Trainer. There each score is computed once.
*Plan*: hash the files, ask the cache for their scores. *Run*: what it lacks goes through the
Trainer, which leaves the scores in the cache. *Collect*: everything is read back from there, so
that cold, warm, resumed and parallel runs end alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from nacd_bench.cache import ScoreCache
from nacd_bench.errors import Failure, ImageError, UserError
from nacd_bench.pipeline.methods import Method, score_batch
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import ahead
from nacd_bench.runs.provenance import score_key
from nacd_bench.settings import Count, Number, options
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import content_hash, image_size
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import TripletRecord, boxes_outside

Task = tuple[TripletRecord, tuple[str, ...]]
"""A triplet and the names of the methods that are to score it."""
READERS = 4
"""Threads that hash and decode files."""
GPU_BATCH = 8
"""Triplets of one size that a GPU takes at a time, unless told otherwise."""
NOT_SCORED = {"fault": "not scored: its process ended before"}
MANY_FILES = 500
"""Triplets from which hashing takes long enough for a bar of its own."""


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


@dataclass
class Scored:
    """Scores, and where they come from.

    Args:
        scores: by method and triplet id.
        failures: images and methods that did not work.
        sha256: of each readable triplet's files, by id and role.
        computed: pairs of triplet and method that were computed.
        cached: pairs that the cache had.
    """

    scores: dict[str, dict[str, Result]]
    failures: list[Failure] = field(default_factory=list)
    sha256: dict[str, dict[str, str]] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0


LoadedBatch = tuple[Sequence[LoadedTriplet], Sequence[str]]
"""Triplets of one size and dtype, and the names of the methods that are to score them."""


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
        yield waiting.pop(kind), kind[0]
    for kind, triplets in waiting.items():
        yield triplets, kind[0]


def _loaded(task: Task) -> tuple[tuple[str, ...], LoadedTriplet | Failure]:
    record, methods = task
    try:
        return methods, load_triplet(record)
    except Exception as error:
        more = "" if isinstance(error, UserError) else f"{record.place}: {type(error).__name__}: "
        return methods, Failure(record.id, "read", f"{more}{error}")


def scored(
    batch: LoadedBatch, methods: Sequence[Method], device: torch.device
) -> list[tuple[LoadedTriplet, dict[str, Result]]]:
    """Each triplet of a batch with its results by method."""
    triplets, names = batch
    planes = {
        role: torch.cat([getattr(loaded.batch, role) for loaded in triplets]) for role in ROLES
    }
    ids = [loaded.record.id for loaded in triplets]
    chosen = [method for method in methods if method.name in names]
    results = score_batch(chosen, TripletBatch(**planes, ids=ids).to(device))
    return list(zip(triplets, results, strict=True))


def usual_batch_size(device: str) -> int:
    """Triplets at a time where nobody says how many: a few on a GPU, one on a CPU."""
    is_gpu = torch.cuda.is_available() if device == "auto" else device not in ("cpu",)
    return GPU_BATCH if is_gpu else 1


def score_triplets(
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[str]],
    methods: Sequence[Method],
    cache: ScoreCache,
    engine: Engine = DEFAULT,
) -> Scored:
    """Score triplets with the methods that each needs.

    Args:
        records: triplets with ids of their own.
        wanted: names of methods by triplet id.
        methods: detectors and baselines.
        cache: where scores are kept.
        engine: how it runs; it does not change the scores.
    """
    result = Scored({str(method.name): {} for method in methods})
    chosen = [record for record in records if wanted.get(record.id)]
    keys = _keys(chosen, wanted, methods, engine, result)
    every = [key for by_method in keys.values() for key in by_method.values()]
    kept = {key: record for key, record in cache.get(every).items() if "score" in record}
    result.cached = sum(key in kept for key in every)
    result.computed = len(every) - result.cached
    first_with = {
        key: (name, method)
        for name, by_method in reversed(keys.items())
        for method, key in by_method.items()
        if key not in kept
    }
    missing: dict[str, dict[str, str]] = defaultdict(dict)
    for key, (name, method) in first_with.items():
        missing[name][method] = key
    if missing:
        from nacd_bench.pipeline.lightning import run_trainer  # its import takes seconds

        tasks = [(r, tuple(missing[r.id])) for r in chosen if r.id in missing]
        run_trainer(tasks, methods, missing, cache, engine)
        kept = cache.get(every)
    for name, by_method in keys.items():
        for method, key in by_method.items():
            record = kept.get(key, NOT_SCORED)
            if "unreadable" in record:
                failure = Failure(name, "read", record["unreadable"])
                result.failures += [failure] if failure not in result.failures[-1:] else []
            elif "fault" in record:
                result.failures.append(Failure(name, method, record["fault"]))
            else:
                result.scores[method][name] = Result(**record)
    return result


def _keys(
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[str]],
    methods: Sequence[Method],
    engine: Engine,
    result: Scored,
) -> dict[str, dict[str, str]]:
    """The keys of all scores by triplet and method; files that cannot be read become failures."""
    by_name = {str(method.name): method for method in methods}
    settings = {
        name: {"class": f"{type(method).__module__}.{type(method).__qualname__}", **method.settings}
        for name, method in by_name.items()
    }
    is_long = engine.show_progress and len(records) > MANY_FILES
    keys: dict[str, dict[str, str]] = {}
    with progress_bar("triplets hashed", len(records), is_long) as tick:
        for record, hashes in zip(records, ahead(_hashes, records, READERS), strict=True):
            if isinstance(hashes, Failure):
                result.failures.append(hashes)
            else:
                result.sha256[record.id] = hashes
                keys[record.id] = {}
                for name in wanted[record.id]:
                    by_content = getattr(by_name[name], "by_content", True)
                    more = {} if by_content else {"id": record.id}
                    keys[record.id][name] = score_key(
                        hashes, settings[name], precision=str(engine.precision), **more
                    )
            tick(len(result.failures))
    return keys


def _hashes(record: TripletRecord) -> dict[str, str] | Failure:
    outside: Sequence[str] = ()
    try:
        hashes = {role: content_hash(getattr(record, role)) for role in ROLES}
    except UserError as error:
        return Failure(record.id, "read", str(error))
    if any(label.box for label in record.labels):
        with suppress(ImageError):  # whoever decodes it will say what is wrong
            outside = boxes_outside(record, *image_size(record.original))
    return Failure(record.id, "read", "\n".join(outside)) if outside else hashes
