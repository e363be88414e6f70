"""``nacd-bench benchmark``: which method finds which artifact, how well, and is that chance?

*Plan* the test sets and what to score on them, *run* the scoring, *aggregate* into the paper's
Table 2 with intervals, tests, curves and thresholds::

    found = benchmark(find_labelled("labelled.parquet"), [Texture(), Text()], [PSNR()], "run")
    found.comparisons["texture"].aucs["psnr"].value

The run's folder::

    metrics.json        all figures with what they were computed from
    scores.parquet      one row per set and triplet, one column per method; scores.csv is the same
    table.md, table.tex methods x sets
    thresholds.yaml     thresholds of each method by each criterion; detect reads it
    curves/             ROC and precision-recall curves: SVG, PNG, and their points as CSV
    sets/               the test sets as manifests; benchmark takes them again
    failures.csv        what failed, with its message
    config.yaml         the whole configuration, where one was composed
    settings.json       what decides the results; a run is continued only with the same
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nacd_bench.baselines import Baseline
from nacd_bench.cache import ScoreCache, cache_folder
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.balanced import BalancedSet
from nacd_bench.evaluation.bootstrap import DEFAULT, Resampling
from nacd_bench.evaluation.comparison import SetComparison, compare, methods_of
from nacd_bench.evaluation.reference import Reference
from nacd_bench.jobs.benchmark.files import write_results
from nacd_bench.jobs.benchmark.labelled_sets import (
    PAPER_DRAWING,
    Drawing,
    LabelledSets,
    labelled_sets,
)
from nacd_bench.pipeline.lightning import DEFAULT as DEFAULT_ENGINE
from nacd_bench.pipeline.lightning import Engine
from nacd_bench.pipeline.scoring import Scored, score_triplets
from nacd_bench.registry import unknown
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.provenance import provenance
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.record import Problem, TripletRecord

Labelled = tuple[list[TripletRecord], list[Problem]]


@dataclass(frozen=True)
class Benchmarked:
    """What a run found.

    Args:
        folder: the run's folder.
        sets: the test sets, by artifact type.
        comparisons: the figures of each set, by artifact type.
        scored: the scores behind them.
        methods: every detector and baseline that ran, by name.
        detectors: artifact type by detector, in order.
        baselines: their names, in order.
        full: whether every detector is on every set.
        failures: what failed; empty when all is well.
        facts: versions, hashes, seeds, date and wall time.
        settings: what decides the results.
        reference: somebody else's figures to stand beside, or None.
    """

    folder: Path
    sets: Mapping[str, BalancedSet]
    comparisons: Mapping[str, SetComparison]
    scored: Scored
    methods: Mapping[str, Detector | Baseline]
    detectors: Mapping[str, str]
    baselines: Sequence[str]
    full: bool
    failures: Sequence[Failure]
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    reference: Reference | None = None

    def methods_on(self, artifact_type: str) -> list[str]:
        """The methods of a set, detectors first."""
        return methods_of(artifact_type, self.detectors, self.baselines, self.full)


def benchmark(
    labelled: Labelled,
    detectors: Sequence[Detector],
    baselines: Sequence[Baseline],
    folder: str | Path,
    *,
    drawing: Drawing = PAPER_DRAWING,
    full: bool = False,
    resampling: Resampling = DEFAULT,
    engine: Engine = DEFAULT_ENGINE,
    cache: str | Path | None = None,
    reference: Reference | None = None,
    failures: Iterable[Failure] = (),
    configuration: str | None = None,
) -> Benchmarked:
    """Compare detectors and baselines on balanced test sets.

    Args:
        labelled: labelled triplets, or triplets that were drawn as sets before, and what is wrong.
        detectors, baselines: with names of their own.
        folder: where results go; one that holds an unfinished run is continued.
        drawing: how sets are drawn.
        full: every detector on every set, not only on those of its type.
        resampling: of the bootstrap.
        engine: devices, precision, batch size.
        cache: folder for scores; the user's cache folder by default.
        reference: figures to stand beside.
        failures: what failed before, to be listed with the rest.
        configuration: YAML to keep beside the results as ``config.yaml``.

    Raises:
        DataError: too few labels, a folder in use, other settings than those the run began with.
    """
    began = time.perf_counter()
    folder = Path(folder)
    methods = _named([*detectors, *baselines])
    types = {detector.name: detector.artifact_type for detector in detectors}
    names = [baseline.name for baseline in baselines]
    found = labelled_sets(*labelled, drawing)
    records = _union(found)
    settings = _settings(found, methods, drawing, full, resampling, engine)
    wanted: dict[str, list[str]] = {}
    for artifact_type, each in found.sets.items():
        for record in each.records:
            asked = wanted.setdefault(record.id, [])
            asked += [m for m in methods_of(artifact_type, types, names, full) if m not in asked]
    with open_run(folder, "benchmark", settings, configuration=configuration) as run:
        scored = score_triplets(
            records, wanted, list(methods.values()), ScoreCache(_cache(cache, folder)), engine
        )
        run.failures += failures
        run.failures += (Failure(p.subject, "read", p.message) for p in found.problems)
        run.failures += scored.failures
        comparisons = compare(found.sets, scored.scores, types, names, full, resampling)
        done = Benchmarked(
            folder,
            found.sets,
            comparisons,
            scored,
            methods,
            types,
            names,
            full,
            run.failures,
            provenance(_data_hash(found, scored), began),
            settings,
            reference,
        )
        write_results(done)
    return done


def _named(methods: Sequence[Detector | Baseline]) -> dict[str, Detector | Baseline]:
    names = [method.name for method in methods]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        raise DataError(
            f"expected methods with names of their own, got {', '.join(twice) or 'none'}"
            + (" twice." if twice else ". Name one: detector=texture")
        )
    return {method.name: method.eval() for method in methods}


def _union(found: LabelledSets) -> list[TripletRecord]:
    """Every triplet once; one that two sets share is the same in both."""
    records: dict[str, TripletRecord] = {}
    for each in found.sets.values():
        for record in each.records:
            other = records.setdefault(record.id, record)
            if _files(other) != _files(record):
                raise DataError(
                    f"expected triplet '{record.id}' to be the same in every set, got other files "
                    f"({', '.join(_files(record))} and {', '.join(_files(other))}). Rename one."
                )
    return list(records.values())


def _files(record: TripletRecord) -> tuple[str, str, str]:
    return record.original, record.neural, record.traditional


def _settings(
    found: LabelledSets,
    methods: Mapping[str, Detector | Baseline],
    drawing: Drawing,
    full: bool,
    resampling: Resampling,
    engine: Engine,
) -> dict[str, Any]:
    """What decides the results and is the same for a continued run."""
    ids = {name: [record.id for record in each.records] for name, each in found.sets.items()}
    return {
        "methods": {name: method.settings for name, method in methods.items()},
        "drawing": {**asdict(drawing), "types": list(drawing.types)},
        "full": full,
        "resampling": asdict(resampling),
        "precision": str(engine.precision),
        "triplets_sha256": json_sha256(ids),
    }


def _data_hash(found: LabelledSets, scored: Scored) -> str:
    """Of the contents of all images and of what the sets say about them."""
    return json_sha256(
        {
            name: [
                [record.id, is_positive, cluster, scored.sha256.get(record.id)]
                for record, is_positive, cluster in zip(
                    each.records, each.truth, each.clusters, strict=True
                )
            ]
            for name, each in found.sets.items()
        }
    )


def _cache(cache: str | Path | None, folder: Path) -> Path:
    place = Path(cache) if cache is not None else cache_folder("scores")
    return (place or folder) / "scores.sqlite"


def benchmark_from_config(config: Mapping[str, Any]) -> tuple[Benchmarked, str]:
    """:func:`benchmark` with the settings of ``conf/benchmark.yaml``, as plain dictionaries.

    Returns:
        what was found, and what the tracker has to say.
    """
    import yaml

    from nacd_bench.evaluation.reference import read_reference
    from nacd_bench.jobs.benchmark.tracking import log_benchmark, tracked
    from nacd_bench.pipeline.methods import made, made_methods

    labelled = made("data", config["data"])
    detectors, failures = made_methods("detector", config["detector"])
    baselines, more = made_methods("baseline", config["baseline"])
    if config["cache"] is not None and not isinstance(config["cache"], str):
        raise DataError(f"expected cache=FOLDER, got {config['cache']!r}.")
    drawing = _from_config("sets", Drawing, config["sets"])
    if config["reference"] is not None:
        reference = read_reference(config["reference"])
    with tracked(config["logger"], Path(config["folder"]), config) as tracker:
        done = benchmark(
            labelled,
            detectors,
            baselines,
            config["folder"],
            drawing=drawing,
            full=config["full"],
            resampling=_from_config("bootstrap", Resampling, config["bootstrap"]),
            engine=_from_config(
                "trainer", Engine, {**config["trainer"], "show_progress": config["show_progress"]}
            ),
            cache=config["cache"],
            reference=reference if config["reference"] is not None else None,
            failures=[*failures, *more],
            configuration=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        )
        tracker.log(lambda logger: log_benchmark(logger, done))
    return done, tracker.message


def _from_config(place: str, kind: Any, node: Mapping[str, Any]) -> Any:
    known = [name for name in kind.__dataclass_fields__ if name != "show_progress"]
    for name in node:
        if name not in kind.__dataclass_fields__:
            raise DataError(unknown(f"setting in {place}", name, known))
    try:
        return kind(**node)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
