"""Scores of detectors and baselines over triplets, each computed once.

*Plan*: hash the files, ask the cache for their scores. *Run*: what it lacks goes through
Lightning's Trainer, which leaves the scores in the cache. *Collect*: everything is read back from
there, so that cold, warm, resumed and parallel runs end alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nacd_bench.cache import ScoreCache
from nacd_bench.errors import Failure, ImageError, UserError
from nacd_bench.pipeline.methods import Method
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.scoring import DEFAULT, READERS, Engine, Keep
from nacd_bench.pipeline.workers import ahead
from nacd_bench.runs.provenance import score_key
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import content_hash, image_size
from nacd_bench.triplets.record import ROLES, TripletRecord, boxes_outside

NOT_SCORED = {"fault": "not scored: its process ended before"}
MANY_FILES = 500
"""Triplets from which hashing takes long enough for a bar of its own."""


@dataclass
class Scored:
    """Scores, and where they come from.

    Args:
        scores: by method and triplet id.
        failures: images and methods that did not work.
        sha256: of each readable triplet's files, by id and role.
        sizes: width and height of each triplet whose labels have boxes, by id.
        computed: pairs of triplet and method that were computed.
        cached: pairs that the cache had.
    """

    scores: dict[str, dict[str, Result]]
    failures: list[Failure] = field(default_factory=list)
    sha256: dict[str, dict[str, str]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0


def score_triplets(
    records: Sequence[TripletRecord],
    wanted: Mapping[str, Sequence[str]],
    methods: Sequence[Method],
    cache: ScoreCache,
    engine: Engine = DEFAULT,
    keep: Keep | None = None,
) -> Scored:
    """Score triplets with the methods that each needs.

    Args:
        records: triplets with ids of their own.
        wanted: names of methods by triplet id.
        methods: detectors and baselines.
        cache: where scores are kept.
        engine: how it runs; it does not change the scores.
        keep: what is called with each triplet that is scored, while its heat maps are there.
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
        run_trainer(tasks, methods, missing, cache, engine, keep)
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
        for record, looked in zip(records, ahead(_hashes, records, READERS), strict=True):
            if isinstance(looked, Failure):
                result.failures.append(looked)
            else:
                hashes, size = looked
                if size is not None:
                    result.sizes[record.id] = size
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


def _hashes(
    record: TripletRecord,
) -> tuple[dict[str, str], tuple[int, int] | None] | Failure:
    """Of each file, and the size where a label has a box."""
    outside: Sequence[str] = ()
    size = None
    try:
        hashes = {role: content_hash(getattr(record, role)) for role in ROLES}
    except UserError as error:
        return Failure(record.id, "read", str(error))
    if any(label.box for label in record.labels):
        with suppress(ImageError):  # whoever decodes it will say what is wrong
            size = image_size(record.original)
            outside = boxes_outside(record, *size)
    return Failure(record.id, "read", "\n".join(outside)) if outside else (hashes, size)
