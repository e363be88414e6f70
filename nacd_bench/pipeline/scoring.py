"""Scores of detectors and baselines over triplets.

*Plan*: hash the files, ask the cache, group what it lacks into batches of one size. *Run*: the
batches go through Lightning's Trainer, which leaves their scores in the cache. *Collect*:
everything is read back from there, so that cold, warm, resumed and parallel runs end alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from nacd_bench.cache import ScoreCache
from nacd_bench.errors import Failure, ImageError, UserError
from nacd_bench.pipeline.lightning import DEFAULT, METHOD, Engine, Work, run_batches
from nacd_bench.pipeline.methods import Method
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.runs.score_cache import score_key
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import content_hash, image_size
from nacd_bench.triplets.record import TripletRecord, boxes_outside

READERS = 4
"""Threads that hash files."""
GPU_BATCH = 8
"""Triplets of one size that a GPU takes at a time, unless told otherwise."""
NOT_SCORED = {"failed": "not scored: its process ended before", "of": METHOD}
MANY_FILES = 500
"""Triplets from which hashing takes long enough for a bar of its own."""


@dataclass
class Scored:
    """What came of scoring.

    Args:
        scores: by method and triplet id.
        failures: images and methods that did not work.
        sha256: of each readable triplet's files, by id and role.
        computed: pairs of triplet and method that were computed.
        cached: pairs that were there.
    """

    scores: dict[str, dict[str, Result]]
    failures: list[Failure] = field(default_factory=list)
    sha256: dict[str, dict[str, str]] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0


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
    result = Scored({method.name: {} for method in methods})
    plan = _plan(records, wanted, methods, engine, result)
    there = cache.get(key for work in plan for key in work.keys.values())
    there = {key: record for key, record in there.items() if "failed" not in record}
    result.cached = sum(key in there for work in plan for key in work.keys.values())
    batches = _batches(plan, there, _batch_size(engine))
    if batches:
        run_batches(methods, batches, cache, engine)
        there = cache.get(key for work in plan for key in work.keys.values())
    _collect(plan, there, result)
    result.computed = sum(len(work.keys) for work in plan) - result.cached
    return result


# --- plan


def _plan(
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[str]],
    methods: Sequence[Method],
    engine: Engine,
    result: Scored,
) -> list[Work]:
    """The keys of all scores; files that cannot be read become failures."""
    settings = {method.name: _settings(method) for method in methods}
    by_content = {method.name: getattr(method, "by_content", True) for method in methods}
    plan = []
    chosen = [record for record in records if wanted.get(record.id)]
    is_long = engine.show_progress and len(chosen) > MANY_FILES
    with (
        ThreadPoolExecutor(READERS) as readers,
        progress_bar("triplets hashed", len(chosen), is_long) as tick,
    ):
        for record, hashes in zip(chosen, readers.map(_hashes, chosen), strict=True):
            if isinstance(hashes, str):
                result.failures.append(Failure(record.id, "read", hashes))
            else:
                result.sha256[record.id] = hashes
                keys = {}
                for name in wanted[record.id]:
                    more = {} if by_content[name] else {"id": record.id}
                    keys[name] = score_key(
                        hashes, settings[name], precision=str(engine.precision), **more
                    )
                plan.append(Work(record, keys))
            tick(len(result.failures))
    return plan


def _settings(method: Method) -> dict[str, Any]:
    kind = type(method)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **method.settings}


def _hashes(record: TripletRecord) -> dict[str, str] | str:
    try:
        hashes = {role: content_hash(getattr(record, role)) for role in ROLES}
    except UserError as error:
        return str(error)
    size = _size(record) if any(label.box for label in record.labels) else None
    return "\n".join(boxes_outside(record, *size) if size else ()) or hashes


def _batches(plan: Sequence[Work], there: Mapping[str, Any], batch_size: int) -> list[list[Work]]:
    """What is to be done, each key once, in batches of one size with the same methods."""
    groups: dict[tuple[Any, ...], list[Work]] = defaultdict(list)
    taken = set(there)
    for work in plan:
        missing = {name: key for name, key in work.keys.items() if key not in taken}
        if missing:
            taken.update(missing.values())
            size = _size(work.record) if batch_size > 1 else None
            groups[(size, tuple(missing))].append(Work(work.record, missing))
    return [
        group[first : first + batch_size]
        for group in groups.values()
        for first in range(0, len(group), batch_size)
    ]


def _size(record: TripletRecord) -> tuple[int, int] | None:
    """Width and height by the header alone; None where it cannot tell."""
    try:
        return image_size(record.original)
    except ImageError:  # the reader will say what is wrong
        return None


def _batch_size(engine: Engine) -> int:
    if engine.batch_size is not None:
        return engine.batch_size
    on_gpu = engine.accelerator in ("gpu", "cuda") or (
        engine.accelerator == "auto" and torch.cuda.is_available()
    )
    return GPU_BATCH if on_gpu else 1


# --- collect


def _collect(plan: Sequence[Work], there: Mapping[str, Any], result: Scored) -> None:
    for work in plan:
        whole: set[str] = set()
        for name, key in work.keys.items():
            record = there.get(key, NOT_SCORED)
            if "failed" not in record:
                result.scores[name][work.record.id] = Result(
                    record["score"], record.get("boxes", ()), record.get("confidences", ())
                )
            elif record["of"] == METHOD:
                result.failures.append(Failure(work.record.id, name, record["failed"]))
            else:
                whole.add(record["failed"])
        result.failures += [Failure(work.record.id, "read", message) for message in sorted(whole)]
