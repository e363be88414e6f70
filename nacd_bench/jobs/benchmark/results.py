"""A benchmark's results: its figures, its tables for people, and what it leaves in its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nacd_bench import numbers
from nacd_bench.baselines import Baseline
from nacd_bench.detectors import Detector
from nacd_bench.errors import Failure
from nacd_bench.evaluation.auc import AUC
from nacd_bench.evaluation.balanced import SET_COLUMNS, BalancedSet
from nacd_bench.evaluation.comparison import SetComparison, methods_of, scores_on
from nacd_bench.evaluation.reference import Reference
from nacd_bench.evaluation.thresholds import write_thresholds
from nacd_bench.pipeline.scores import Scored
from nacd_bench.report.figures import CURVES as KINDS
from nacd_bench.report.figures import Line, curve_figure, curve_lines, figure_files
from nacd_bench.runs.results import triplet_columns, write_detections, write_scores
from nacd_bench.runs.schema import (
    CURVES,
    METRICS,
    SCHEMA_VERSION,
    SETS,
    TABLES,
    TEXT,
    THRESHOLDS,
    YES,
)
from nacd_bench.runs.tables import Best, Table, write_csv
from nacd_bench.triplets.files import json_bytes, plain, write_whole
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord


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
        message: of the tracker.
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
    message: str = ""

    @property
    def records(self) -> list[TripletRecord]:
        """The triplets of all sets, each once."""
        sets = self.sets.values()
        return list({record.id: record for drawn in sets for record in drawn.records}.values())

    def methods_on(self, artifact_type: str) -> list[str]:
        """The methods of a set, detectors first."""
        return methods_of(artifact_type, self.detectors, self.baselines, self.full)


def write_results(done: Benchmarked) -> None:
    """Write every file of a finished run, each of them whole or not there."""
    folder, scores = done.folder, done.scored.scores
    write_whole(folder / METRICS, json_bytes(metrics(done)))
    rows = []
    for name, balanced in done.sets.items():
        values = {method: scores_on(balanced, scores, method) for method in done.methods_on(name)}
        facts = zip(balanced.records, balanced.truth, balanced.clusters, strict=True)
        for i, (record, is_positive, cluster) in enumerate(facts):
            drawn = {"test_set": name, "cluster": cluster, "is_positive": is_positive}
            scored = {name: of[i] for name, of in values.items() if not math.isnan(of[i])}
            rows.append({**triplet_columns(record), **drawn, **scored})
    write_scores(folder, rows, list(done.methods), test_set=TEXT, cluster=TEXT, is_positive=YES)
    # every box of the detectors that ran on each triplet: those behind the localisation
    drawn_of = [
        replace(record, extra={k: v for k, v in record.extra.items() if k not in SET_COLUMNS})
        for record in done.records
    ]
    results = {
        record.id: {name: of[record.id] for name, of in scores.items() if record.id in of}
        for record in drawn_of
    }
    write_detections(folder, drawn_of, results, done.detectors)
    table = main_table(done)
    write_whole(folder / "table.md", table.markdown().encode())
    write_whole(folder / "table.tex", table.latex().encode())
    sets = {name: comparison.thresholds for name, comparison in done.comparisons.items()}
    write_thresholds(folder / THRESHOLDS, sets)
    for name, balanced in done.sets.items():
        write_manifest(folder / SETS / f"{name}.parquet", balanced.records)
        curves = lines(done, balanced)
        points = [
            {"method": line.method, **point} for line in curves for point in line.curve.rows()
        ]
        write_csv(folder / CURVES / f"{name}.csv", points, list(TABLES[CURVES]))
        for kind in KINDS:
            for suffix, data in figure_files(curve_figure(kind, curves, name)).items():
                write_whole(folder / CURVES / f"{kind}_{name}.{suffix}", data)


def metrics(done: Benchmarked) -> dict[str, Any]:
    """All figures of a run and what they were computed from, as JSON values."""
    facts = ("neural_codec", "neural_version", "traditional_codec", "traditional_version")
    pairs = Counter(tuple(getattr(record, fact) for fact in facts) for record in done.records)
    names = ("neural", "neural_version", "traditional", "traditional_version")
    return {
        "schema_version": SCHEMA_VERSION,
        "job": "benchmark",
        **done.facts,
        "seed": done.settings["drawing"]["seed"],
        "settings": done.settings,
        "detectors": dict(done.detectors),
        "baselines": list(done.baselines),
        "codecs": [
            {**dict(zip(names, pair, strict=True)), "triplets": count}
            for pair, count in pairs.items()
        ],
        "n_scores": {"computed": done.scored.computed, "from_cache": done.scored.cached},
        "n_failures": len(done.failures),
        "sets": {
            name: {
                "n_positive": result.n_positive,
                "n_negative": result.n_negative,
                "notes": list(result.notes),
                "best": result.best,
                "auc": plain(result.aucs),
                "tests": plain(result.tests),
                "localisation": plain(result.places),
            }
            for name, result in done.comparisons.items()
        },
        "reference": None if done.reference is None else plain(done.reference),
    }


def lines(done: Benchmarked, balanced: BalancedSet) -> list[Line]:
    """The curves of a set, best AUC first; methods without scores on both sides are left out."""
    aucs = done.comparisons[balanced.artifact_type].aucs
    scores = {name: scores_on(balanced, done.scored.scores, name) for name in aucs}
    return curve_lines(balanced.truth, scores, aucs, done.detectors)


# --- for people


def main_table(done: Benchmarked) -> Table:
    """AUCs in the layout of the paper's Table 2: methods x sets, and a column per set for the
    reference figures where there are some."""
    published = done.reference.sets if done.reference else {}
    columns = ["method"]
    for name, result in done.comparisons.items():
        columns.append(f"{name} ({result.n_positive} + {result.n_negative})")
        columns += [f"{name}, reference"] if done.reference else []
    others = sorted(
        {method for figures in published.values() for method in figures} - set(done.methods)
    )
    rows: list[list[str] | None] = []
    for group in filter(None, (list(done.detectors), done.baselines, others)):
        rows += [None] if rows else []
        for method in group:
            row = [method]
            for name, result in done.comparisons.items():
                auc = result.aucs.get(method)
                text = numbers.NOTHING if auc is None else interval(auc)
                row.append(Best(text) if result.best == method else text)
                value = published.get(name, {}).get(method)
                if done.reference is not None:
                    row.append(numbers.NOTHING if value is None else f"{value:.3f}")
            rows.append(row)
    return Table(columns, rows, "AUC with 95 % intervals, the best of a column in bold")


def interval(auc: AUC) -> str:
    """``0.912 [0.853, 0.964]``, and the count where images were left out."""
    if math.isnan(auc.value):
        return "no scores"
    counts = f" n={auc.n_positive}+{auc.n_negative}" if auc.n_excluded else ""
    return numbers.estimate(auc.value, auc.low, auc.high) + counts


def further_tables(done: Benchmarked) -> list[Table]:
    """Detectors against baselines, and where their boxes lie; those that have rows."""
    tests, places = [], []
    for name, result in done.comparisons.items():
        for test in result.tests:
            bounds = test.difference, test.low, test.high
            difference = numbers.estimate(*bounds, is_difference=True)
            p = numbers.p_value(test.p_holm)
            tests.append([name, test.first, test.second, difference, p, test.test])
        for detector, place in result.places.items():
            figures = (place.pointing, place.mean_iou, *place.average_precision.values())
            shown = [numbers.estimate(one.value, one.low, one.high) for one in figures]
            places.append([name, detector, *shown])
    columns = ("pointing accuracy", "mean IoU", "AP at 0.3", "AP at 0.5")
    tables = [
        Table(
            ("set", "detector", "best baseline", "difference in AUC", "p", "test"),
            tests,
            "Detectors against the best baseline of their set (p by Holm)",
        ),
        Table(("set", "detector", *columns), places, "Boxes against labelled boxes"),
    ]
    return [table for table in tables if table.rows]
