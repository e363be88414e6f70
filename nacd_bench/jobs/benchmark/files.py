"""What a benchmark leaves in its folder."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nacd_bench.evaluation.balanced import SET_COLUMNS, BalancedSet
from nacd_bench.evaluation.comparison import SetComparison, scores_on
from nacd_bench.evaluation.thresholds import write_thresholds
from nacd_bench.jobs.benchmark.table import layout, to_latex, to_markdown
from nacd_bench.report.figures import CURVES, Line, curve_figure, curve_lines, figure_files
from nacd_bench.runs.detect_tables import write_detections
from nacd_bench.triplets.files import csv_bytes, json_bytes, plain, write_whole
from nacd_bench.triplets.manifest import write_manifest

if TYPE_CHECKING:
    from nacd_bench.jobs.benchmark.run import Benchmarked

SCHEMA_VERSION = 1


def write_results(done: Benchmarked) -> None:
    """Write every file of a finished run, each of them whole or not there."""
    folder = done.folder
    write_whole(folder / "metrics.json", json_bytes(metrics(done)))
    _write_scores(done)
    _write_detections(done)
    table = layout(done)
    write_whole(folder / "table.md", to_markdown(table).encode())
    write_whole(folder / "table.tex", to_latex(table).encode())
    entries = [entry for each in done.comparisons.values() for entry in each.thresholds]
    write_thresholds(folder / "thresholds.yaml", entries)
    for name, balanced in done.sets.items():
        write_manifest(folder / "sets" / f"{name}.parquet", balanced.records)
        _write_curves(done, balanced)


def metrics(done: Benchmarked) -> dict[str, Any]:
    """All figures of a run and what they were computed from, as JSON values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "job": "benchmark",
        **done.facts,
        "seed": done.settings["drawing"]["seed"],
        "settings": done.settings,
        "detectors": dict(done.detectors),
        "baselines": list(done.baselines),
        "codecs": _codecs(done),
        "n_scores": {"computed": done.scored.computed, "from_cache": done.scored.cached},
        "n_failures": len(done.failures),
        "sets": {name: _set(each) for name, each in done.comparisons.items()},
        "reference": None if done.reference is None else plain(done.reference),
    }


def lines(done: Benchmarked, balanced: BalancedSet) -> list[Line]:
    """The curves of a set, best AUC first; methods without scores on both sides are left out."""
    aucs = done.comparisons[balanced.artifact_type].aucs
    scores = {name: scores_on(balanced, done.scored.scores, name) for name in aucs}
    return curve_lines(balanced.truth, scores, aucs, done.detectors)


def _set(each: SetComparison) -> dict[str, Any]:
    return {
        "n_positive": each.n_positive,
        "n_negative": each.n_negative,
        "notes": list(each.notes),
        "best": each.best,
        "auc": {name: plain(found) for name, found in each.aucs.items()},
        "tests": [plain(test) for test in each.tests],
        "localisation": {name: plain(found) for name, found in each.places.items()},
    }


def _codecs(done: Benchmarked) -> list[dict[str, Any]]:
    """The pairs of codecs with the number of triplets."""
    counts: dict[tuple[Any, ...], int] = {}
    for record in {r.id: r for each in done.sets.values() for r in each.records}.values():
        pair = (
            record.neural_codec,
            record.neural_version,
            record.traditional_codec,
            record.traditional_version,
        )
        counts[pair] = counts.get(pair, 0) + 1
    names = ("neural", "neural_version", "traditional", "traditional_version")
    return [{**dict(zip(names, pair, strict=True)), "triplets": n} for pair, n in counts.items()]


def _write_detections(done: Benchmarked) -> None:
    """Every box of the detectors that ran on each triplet: those behind the localisation."""
    records = {record.id: record for each in done.sets.values() for record in each.records}
    plain = [
        replace(record, extra={k: v for k, v in record.extra.items() if k not in SET_COLUMNS})
        for record in records.values()
    ]
    found = {
        name: {
            fact: {
                detector: getattr(done.scored.scores[detector][name], fact)
                for detector in done.detectors
                if name in done.scored.scores.get(detector, {})
            }
            for fact in ("boxes", "confidences")
        }
        for name in records
    }
    write_detections(done.folder, plain, found, done.detectors)


def _write_scores(done: Benchmarked) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for name, balanced in done.sets.items():
        methods = done.methods_on(name)
        values = {method: scores_on(balanced, done.scored.scores, method) for method in methods}
        facts = zip(balanced.records, balanced.truth, balanced.clusters, strict=True)
        for i, (record, is_positive, cluster) in enumerate(facts):
            known = {m: own[i] for m, own in values.items() if not math.isnan(own[i])}
            rows.append(
                {
                    "test_set": name,
                    "triplet": record.id,
                    "cluster": cluster,
                    "is_positive": is_positive,
                    **known,
                }
            )
    columns = [("test_set", pa.string()), ("triplet", pa.string()), ("cluster", pa.string())]
    columns += [("is_positive", pa.bool_()), *((name, pa.float64()) for name in done.methods)]
    schema = pa.schema(columns)
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    write_whole(done.folder / "scores.parquet", file.getvalue())
    write_whole(done.folder / "scores.csv", csv_bytes(schema.names, rows))


def _write_curves(done: Benchmarked, balanced: BalancedSet) -> None:
    folder, name = done.folder / "curves", balanced.artifact_type
    drawn = lines(done, balanced)
    rows = []
    for line in drawn:
        rows += [{"method": line.method, **point} for point in line.curve.rows()]
    columns = ["method", "threshold", "false_positive_rate", "recall", "precision"]
    write_whole(folder / f"{name}.csv", csv_bytes(columns, rows))
    for kind in CURVES:
        for suffix, data in figure_files(curve_figure(kind, drawn, name)).items():
            write_whole(folder / f"{kind}_{name}.{suffix}", data)
