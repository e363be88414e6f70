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

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import SkipValidation

from nacd_bench.baselines import Baseline
from nacd_bench.cache import ScoreCache, cache_folder
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.balanced import BalancedSet
from nacd_bench.evaluation.bootstrap import DEFAULT, Resampling
from nacd_bench.evaluation.comparison import compare, methods_of
from nacd_bench.evaluation.reference import Reference, read_reference
from nacd_bench.evaluation.thresholds import Scale
from nacd_bench.jobs.benchmark.labelled_sets import PAPER_DRAWING, Drawing, labelled_sets
from nacd_bench.jobs.benchmark.results import Benchmarked, log_benchmark, write_results
from nacd_bench.pipeline.clock import Clock, timed
from nacd_bench.pipeline.methods import Method, by_name
from nacd_bench.pipeline.scores import Scored, score_triplets
from nacd_bench.pipeline.scoring import DEFAULT as DEFAULT_ENGINE
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.pipeline.tracking import tracked
from nacd_bench.report.heat_map import ShownHeatMaps
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.provenance import provenance
from nacd_bench.settings import Name, checked
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.grades import GradedData, with_grades
from nacd_bench.triplets.record import ROLES, TripletRecord
from nacd_bench.triplets.source import Source, Triplets


@checked
def benchmark(
    source: Annotated[Source | Triplets | GradedData, SkipValidation],
    detectors: Sequence[Detector],
    baselines: Sequence[Baseline],
    folder: Name,
    *,
    sets: Drawing = PAPER_DRAWING,
    full: bool = False,
    bootstrap: Resampling = DEFAULT,
    trainer: Engine = DEFAULT_ENGINE,
    cache: Name | None = None,
    reference: Reference | Name | None = None,
    logger: Mapping[str, Any] | None = None,
    show_progress: bool = True,
    failures: Sequence[Failure] = (),
    configuration: str | None = None,
) -> Benchmarked:
    """Compare detectors and baselines on balanced test sets.

    Args:
        source: labelled triplets, or triplets that were drawn as sets before, see
            :func:`~nacd_bench.triplets.grades.with_grades`.
        detectors, baselines: with names of their own.
        folder: where results go; one that holds an unfinished run is continued.
        sets: how they are drawn.
        full: every detector on every set, not only on those of its type.
        bootstrap: how intervals are made.
        trainer: devices, precision, batch size.
        cache: folder for scores; the user's cache folder by default.
        reference: figures to stand beside, or their file.
        logger: of ``conf/logger``, which gets the figures; None for none.
        show_progress: a progress bar with the time left.
        failures: what failed before, to be listed with the rest.
        configuration: YAML to keep beside the results as ``config.yaml``.

    Raises:
        DataError: no set can be drawn, a folder in use, other settings than those it began with.
    """
    began, clock = time.perf_counter(), Clock()
    folder = Path(folder)
    every: list[Method] = [*detectors, *baselines]
    methods = by_name(every)
    types = {detector.name: detector.artifact_type for detector in detectors}
    names = [baseline.name for baseline in baselines]
    if isinstance(reference, str | Path):
        reference = read_reference(reference)
    engine = replace(trainer, show_progress=trainer.show_progress and show_progress)
    data = with_grades(source)
    records, problems = list(data.records), list(data.failures)
    test_sets, undrawn = labelled_sets(records, sets)
    ids = {name: [record.id for record in drawn.records] for name, drawn in test_sets.items()}
    settings = {  # what decides the results and is the same for a continued run
        "methods": {name: method.settings for name, method in methods.items()},
        "drawing": {**asdict(sets), "types": list(sets.types)},
        "full": full,
        "resampling": asdict(bootstrap),
        "precision": str(engine.precision),
        "triplets_sha256": json_sha256(ids),
    }
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for name, members in ids.items():
        for triplet in members:
            wanted[triplet] |= dict.fromkeys(methods_of(name, types, names, full))
    logged = yaml.safe_load(configuration) if configuration else settings
    place = Path(cache) if cache is not None else cache_folder("scores") or folder
    with (
        open_run(folder, "benchmark", settings, configuration=configuration) as run,
        tracked(logger, folder, logged) as tracker,
    ):
        scored = score_triplets(
            _union(test_sets),
            {triplet: list(asked) for triplet, asked in wanted.items()},
            every,
            ScoreCache(place / "scores.sqlite"),
            engine,
            ShownHeatMaps(folder, detectors).keep,
        )
        run.failures += [*failures, *problems, *scored.failures]
        scales = {one.name: Scale(one.nothing_found, one.is_severity) for one in detectors}
        with timed("statistics"):
            comparisons = compare(
                *(test_sets, scored.scores, types, names, full, bootstrap),
                *(scales, scored.sizes),
            )
        done = Benchmarked(
            folder=folder,
            sets=test_sets,
            undrawn=undrawn,
            comparisons=comparisons,
            scored=scored,
            methods=methods,
            detectors=types,
            baselines=names,
            full=full,
            failures=run.failures,
            facts={
                **provenance(_data_hash(test_sets, scored), began),
                "seconds": clock.seconds,
            },
            settings=settings,
            reference=reference,
        )
        with timed("written"):
            write_results(done)
        tracker.log(lambda logger: log_benchmark(logger, done))
    return replace(done, message=tracker.message)


def objective(done: Benchmarked) -> float:
    """Mean AUC of all detectors on the sets of their types: what an optimiser maximises."""
    values = [
        result.aucs[name].value
        for kind, result in done.comparisons.items()
        for name, artifact_type in done.detectors.items()
        if artifact_type == kind and not math.isnan(result.aucs[name].value)
    ]
    return sum(values) / len(values) if values else math.nan


def _union(test_sets: Mapping[str, BalancedSet]) -> list[TripletRecord]:
    """Every triplet once; one that two sets share is the same in both."""
    records: dict[str, TripletRecord] = {}
    for drawn in test_sets.values():
        for record in drawn.records:
            other = records.setdefault(record.id, record)
            files = [[getattr(each, role) for role in ROLES] for each in (record, other)]
            if files[0] != files[1]:
                raise DataError(
                    f"expected triplet '{record.id}' to be the same in every set, got other files "
                    f"({', '.join(files[0])} and {', '.join(files[1])}). Rename one."
                )
    return list(records.values())


def _data_hash(test_sets: Mapping[str, BalancedSet], scored: Scored) -> str:
    """Of the contents of all images and of what the sets say about them."""
    return json_sha256(
        {
            name: [
                [record.id, is_positive, cluster, scored.sha256.get(record.id)]
                for record, is_positive, cluster in zip(
                    drawn.records, drawn.truth, drawn.clusters, strict=True
                )
            ]
            for name, drawn in test_sets.items()
        }
    )
