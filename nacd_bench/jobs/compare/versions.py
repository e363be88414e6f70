"""``nacd-bench compare``: what a codec's new version made better, and what worse.

*Plan* which triplets of two runs belong together, *judge* the artifacts in them by predicted
severity, *aggregate* into counts, tests and a verdict::

    figures = compare_runs("runs/v1", "runs/v2").summary
    figures["types"]["texture"]["new"], figures["types"]["texture"]["severity"]["p"]

The comparison's folder::

    changes.parquet     one row per picture and artifact type; changes.csv is the same
    summary.json        counts, tests, rates, warnings, verdict; summary.md to read
    unpaired.csv        triplets, and results of detectors, that are compared with nothing
    failures.csv        what failed in the runs, and pictures that could not be made
    compare/index.html  the changes as pictures for a browser
    settings.json       what was asked
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nacd_bench.errors import Failure
from nacd_bench.evaluation.artifact_changes import (
    COUNTS,
    DEFAULT_RULES,
    Change,
    Judged,
    Place,
    Rules,
    figures_by_type,
)
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.evaluation.duplicates import found_by
from nacd_bench.evaluation.paired_versions import score_test
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.jobs.compare.differences import (
    differences,
    limits,
    mean_rates,
    rate_changes,
    shared_thresholds,
    shared_types,
)
from nacd_bench.jobs.compare.verdict import objections, verdict
from nacd_bench.runs.compared_run import (
    failures_of,
    judges,
    operating_point,
    read_compared,
)
from nacd_bench.runs.folder import require_alike
from nacd_bench.runs.paired_runs import Pair, paired_triplets, unpaired_row
from nacd_bench.runs.read import Run
from nacd_bench.runs.schema import CHANGES, EDGES, RUNS, SCHEMA_VERSION, SIDES, TABLES, schema
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord

GATE = ("fail_on_new", "fail_on_stronger", "fail_on_worse")
"""The rules that decide whether the later run passes."""
WORST = 10
"""Pictures that the summary names."""


@dataclass(frozen=True)
class Compared:
    """What two runs say.

    Args:
        runs: the earlier and the later one.
        pairs: their triplets that belong together.
        changes: the table ``changes``.
        unpaired: what is compared with nothing, rows of the table ``unpaired``.
        summary: all figures, as in ``summary.json``.
        failures: of both runs.
    """

    runs: tuple[Run, Run]
    pairs: Sequence[Pair]
    changes: pa.Table
    unpaired: Sequence[Mapping[str, str]]
    summary: Mapping[str, Any]
    failures: Sequence[Failure]


def compare_runs(
    before: str | Path | Run, after: str | Path | Run, rules: Rules = DEFAULT_RULES
) -> Compared:
    """Compare the artifacts of two runs over the same images.

    Args:
        before, after: folders of detect, benchmark or mine runs, or what
            :func:`~nacd_bench.runs.compared_run.read_compared` made of them.
        rules: what counts as what.

    Raises:
        DataError: no run, a run without tables, two runs without a common image or detector, or of
            other versions; a limit for a type that does not exist.
    """
    first, second = (x if isinstance(x, Run) else read_compared(x) for x in (before, after))
    runs = first, second
    require_alike({str(run.folder): run.settings for run in runs})
    pairs, unpaired = paired_triplets(*runs)
    types = shared_types(*runs)
    chosen = judges(types)
    thresholds = shared_thresholds(runs, chosen, rules.thresholds, rules.criterion)
    scores = {name: _scores(runs, pairs, name) for name in types}
    originals = [_original(*pair) for pair in pairs]
    judged = [
        Judged(kind, name, thresholds[name], originals, scores[name], _strongest(runs, pairs, name))
        for kind, name in chosen.items()
    ]
    judged = [one for one in judged if one.pairs]
    changes = [change for one in judged for change in one.changes(rules.margin)]
    by_type = figures_by_type(judged, changes, rules.bootstrap)
    unscored = _unscored(pairs, scores)
    rates = mean_rates(pairs)
    warnings = [
        *differences(runs, types, chosen, pairs),
        *limits(judged, by_type, rules.margin, rules.fail_on_worse),
        *rate_changes(rates, rules.rate_tolerance),
    ]
    if unscored:
        warnings.append(
            f"{len(unscored)} results of a detector are in one run only and are compared with "
            "nothing, see unpaired.csv."
        )
    failures = _failures(runs)
    told = asdict(rules)
    gate = {name: told.pop(name) for name in GATE}
    total = {name: sum(figures[name] for figures in by_type.values()) for name in COUNTS}
    unjudged = sorted({*ARTIFACT_TYPES, *types.values()} - by_type.keys())
    against = objections(gate, total, by_type)
    beside = {name: kind for name, kind in types.items() if name not in chosen.values()}
    table = _table(changes, pairs, thresholds, chosen)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "job": "compare",
        "verdict": verdict(by_type, unjudged, against),
        "passed": None if against is None else not against,
        "objections": against or [],
        "gate": gate,
        "runs": {name: _facts(run) for name, run in zip(RUNS, runs, strict=True)},
        "rules": {**told, "thresholds": thresholds, "given_thresholds": rules.thresholds},
        "pairs": len(pairs),
        "originals": len(set(originals)),
        "unpaired": {name: sum(row["run"] == name for row in unpaired) for name in RUNS},
        "unpaired_results": len(unpaired) + len(unscored),
        "total": total,
        "types": by_type,
        "unjudged": unjudged,
        "beside": _beside(beside, scores, originals, by_type),
        "worst": _worst(table),
        "rates": rates,
        "warnings": warnings,
        "failures": len(failures),
    }
    return Compared(runs, pairs, table, [*unpaired, *unscored], summary, failures)


def _scores(runs: Sequence[Run], pairs: Sequence[Pair], detector: str) -> Floats:
    """Of a detector ``(2, pairs)``, NaN where a run has none."""
    by_triplet = [run.scores.get(detector, {}) for run in runs]
    return np.array(
        [[of.get(pair[side].id, math.nan) for pair in pairs] for side, of in enumerate(by_triplet)]
    )


def _strongest(
    runs: Sequence[Run], pairs: Sequence[Pair], detector: str
) -> tuple[dict[int, Place], ...]:
    """The strongest box of a detector in both runs, by pair."""
    found = []
    for side, run in enumerate(runs):
        number = {pair[side].id: number for number, pair in enumerate(pairs)}
        boxes = sorted(
            # of equal ones the last by its place, whatever the order of the rows
            (said[detector], tuple(int(row[edge]) for edge in EDGES), number[row["triplet"]])
            for row in run.detections
            if row["triplet"] in number
            and detector in (said := found_by({"found_by": None, **row}))
        )
        found.append({pair: place for _, place, pair in boxes})
    return tuple(found)


def _beside(
    detectors: Mapping[str, str],
    scores: Mapping[str, Floats],
    originals: Sequence[str],
    by_type: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """What detectors that do not judge say: originals whose score rose or fell, and the test.

    ``contradicts`` where more went the other way than the severity of their type.
    """
    tests = {}
    for name in detectors:
        rows = np.flatnonzero(~np.isnan(scores[name]).any(axis=0))
        before, after = scores[name][:, rows]
        tests[name] = score_test(before, after, [originals[row] for row in rows.tolist()])
    found = {}
    for name, test in holm_corrected(tests).items():
        result = by_type.get(detectors[name], {}).get("outcome")
        sign = {"worse": 1, "better": -1}.get(str(result), 0)
        found[name] = {
            **{"type": detectors[name], "rose": test.worse, "fell": test.better},
            **{"p": test.p, "p_holm": test.p_holm},
            "contradicts": sign * (test.worse - test.better) < 0,
        }
    return found


def _worst(changes: pa.Table) -> list[dict[str, Any]]:
    """The artifacts that are new or stronger, those first whose severity rose most."""
    rows = [
        row for row in changes.to_pylist() if row["status"] == "new" or row["change"] == "stronger"
    ]
    rows.sort(key=lambda row: row["severity_before"] - row["severity_after"])
    names = ("image", "preset", "artifact_type", "status", "severity_before", "severity_after")
    return [
        {
            **{name: row[name] for name in names},
            "box": None if row["x0_after"] is None else [row[f"{edge}_after"] for edge in EDGES],
        }
        for row in rows[:WORST]
    ]


def _table(
    changes: Sequence[Change],
    pairs: Sequence[Pair],
    thresholds: Mapping[str, float],
    chosen: Mapping[str, str],
) -> pa.Table:
    """The table ``changes``, by picture."""
    changes = sorted(changes, key=lambda change: (change.pair, change.artifact_type))
    of_change = [pairs[change.pair] for change in changes]
    detectors = [chosen[change.artifact_type] for change in changes]
    columns: dict[str, Sequence[Any]] = {
        "status": [change.status for change in changes],
        "change": [change.change for change in changes],
        "image": [after.extra["image"] for _, after in of_change],
        "preset": [operating_point(after) for _, after in of_change],
        "artifact_type": [change.artifact_type for change in changes],
        "detector": detectors,
        "strength": [abs(change.rise) for change in changes],
        "threshold": [thresholds[name] for name in detectors],
        "original_sha256": [_content(*pair) for pair in of_change],
        **_columns_of_run(0, changes, of_change),
        **_columns_of_run(1, changes, of_change),
    }
    return pa.table({name: columns[name] for name in TABLES[CHANGES]}, schema(CHANGES))


def _columns_of_run(
    side: int, changes: Sequence[Change], pairs: Sequence[Pair]
) -> dict[str, Sequence[Any]]:
    """What the table says of the earlier (0) or the later run (1)."""
    triplets = [pair[side] for pair in pairs]
    places = [change.places[side] or (None,) * len(EDGES) for change in changes]
    run = RUNS[side]
    return {
        f"triplet_{run}": [triplet.id for triplet in triplets],
        f"severity_{run}": [change.severity[side] for change in changes],
        f"bpp_{run}": [triplet.neural_bpp for triplet in triplets],
        **{f"{edge}_{run}": [place[i] for place in places] for i, edge in enumerate(EDGES)},
    }


def _unscored(pairs: Sequence[Pair], scores: Mapping[str, Floats]) -> list[dict[str, str]]:
    """Results of a detector that one of the runs does not have."""
    reason = "the other run has no result of this detector for this triplet"
    lacks = {name: np.isnan(values) for name, values in scores.items()}
    return [
        unpaired_row(run, pairs[pair][side], reason, name)
        for name, of in lacks.items()
        for side, run in enumerate(RUNS)
        for pair in np.flatnonzero(of[1 - side] & ~of[side]).tolist()
    ]


def _failures(runs: Sequence[Run]) -> list[Failure]:
    """Of both runs."""
    return [
        replace(failure, message=f"in the run {name}: {failure.message}")
        for name, run in zip(RUNS, runs, strict=True)
        for failure in failures_of(run)
    ]


def _facts(run: Run) -> dict[str, Any]:
    """What the summary says of a run."""
    return {
        "folder": str(run.folder),
        "kind": run.job,
        "triplets": len(run.records),
        "boxes": len(run.detections),
        **{side: sorted({triplet.codec(side) for triplet in run.records}) for side in SIDES},
        "nacd_bench": run.settings.get("nacd_bench"),
    }


def _content(before: TripletRecord, after: TripletRecord) -> str | None:
    return before.extra["image_sha256"] or after.extra["image_sha256"]


def _original(before: TripletRecord, after: TripletRecord) -> str:
    """The original photograph, or what both runs call it."""
    if before.source is not None and before.source == after.source:
        return f"source {before.source}"
    content = _content(before, after)
    image = min(before.extra["image"], after.extra["image"])
    return f"content {content}" if content else f"image {image}"
