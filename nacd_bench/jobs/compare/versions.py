"""``nacd-bench compare``: what a codec's new version made better, and what worse.

*Plan* which triplets of two runs belong together, *match* the artifacts in them, *aggregate* into
counts, tests and a verdict::

    figures = compare_runs("runs/v1", "runs/v2").summary
    figures["types"]["texture"]["new"], figures["types"]["texture"]["presence"]["p"]

The comparison's folder::

    changes.parquet     one row per artifact; changes.csv is the same
    summary.json        counts, tests, rates, warnings, verdict; summary.md to read
    unpaired.csv        triplets, and results of detectors, that are compared with nothing
    failures.csv        what failed in the runs, and pictures that could not be made
    compare/index.html  the changes as pictures for a browser
    settings.json       what was asked
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nacd_bench.errors import Failure
from nacd_bench.evaluation.artifact_changes import (
    COUNTS,
    DEFAULT_RULES,
    ONE_BOX,
    Change,
    ComparedBox,
    PairedArtifacts,
    Rules,
)
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.jobs.compare.differences import (
    differences,
    idle_settings,
    mean_rates,
    rate_changes,
    shared_thresholds,
    shared_types,
)
from nacd_bench.jobs.compare.verdict import objections, verdict
from nacd_bench.runs.compared_run import codec_of, failures_of, operating_point, read_compared
from nacd_bench.runs.folder import require_alike
from nacd_bench.runs.paired_runs import Pair, paired_triplets, unpaired_row
from nacd_bench.runs.read import Run
from nacd_bench.runs.schema import CHANGES, EDGES, RUNS, SCHEMA_VERSION, TABLES, schema
from nacd_bench.triplets.record import TripletRecord


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
    types = shared_types(*runs)
    if not isinstance(rules.thresholds, Mapping):
        rules = replace(rules, thresholds=read_thresholds(rules.thresholds).of(types))
    given: Any = rules.thresholds
    thresholds = shared_thresholds(runs, types, given)
    pairs, unpaired = paired_triplets(*runs)
    artifacts = _artifacts(runs, pairs, types, thresholds, rules)
    changes = artifacts.changes()
    unscored = _unscored(pairs, artifacts.scores, types)
    names_of = {kind: {name for name in types if types[name] == kind} for kind in artifacts.kinds}
    by_type = artifacts.figures(changes, names_of)
    by_detector = artifacts.figures(changes, {name: {name} for name in types})
    for name, test in artifacts.score_tests().items():
        by_detector[name] |= {"type": types[name], "scores": test}
    rates = mean_rates(pairs)
    tests = {name: figures["presence"] for name, figures in by_detector.items()}
    has_one_box = bool(ONE_BOX.intersection(types))
    warnings = [
        *differences(runs, types, pairs),
        *idle_settings(given, rules.margin, thresholds, tests, has_one_box),
        *rate_changes(rates, rules.rate_tolerance),
    ]
    if unscored:
        warnings.append(
            f"{len(unscored)} results of a detector are in one run only and are compared with "
            "nothing, see unpaired.csv."
        )
    failures = _failures(runs)
    told = asdict(rules)
    gate = {name: told.pop(name) for name in list(told) if name.startswith("fail_on")}
    total = {name: sum(figures[name] for figures in by_type.values()) for name in COUNTS}
    against = objections(gate, total, by_type, by_detector)
    is_gated = any(limit is not None for limit in gate.values())
    summary = {
        "schema_version": SCHEMA_VERSION,
        "job": "compare",
        "verdict": verdict(total, len(pairs), against if is_gated else None),
        "passed": not against if is_gated else None,
        "objections": against,
        "gate": gate,
        "runs": {name: _facts(run) for name, run in zip(RUNS, runs, strict=True)},
        "rules": {**told, "given_thresholds": given, "thresholds": thresholds},
        "pairs": len(pairs),
        "originals": len(set(artifacts.originals)),
        "unpaired": {name: sum(row["run"] == name for row in unpaired) for name in RUNS},
        "unpaired_results": len(unpaired) + len(unscored),
        "total": total,
        "types": by_type,
        "detectors": by_detector,
        "rates": rates,
        "warnings": warnings,
        "failures": len(failures),
    }
    table = _table(changes, pairs, artifacts)
    return Compared(runs, pairs, table, [*unpaired, *unscored], summary, failures)


def _artifacts(
    runs: Sequence[Run],
    pairs: Sequence[Pair],
    types: Mapping[str, str],
    thresholds: Mapping[str, float],
    rules: Rules,
) -> PairedArtifacts:
    """What the runs box and score in their pairs."""
    scores = np.array(
        [
            [
                [run.scores.get(name, {}).get(pair[side].id, math.nan) for pair in pairs]
                for name in types
            ]
            for side, run in enumerate(runs)
        ]
    )
    originals = [_original(*pair) for pair in pairs]
    places = [{pair[side].id: place for place, pair in enumerate(pairs)} for side in (0, 1)]
    boxes = [_boxes(run, of_run, types) for run, of_run in zip(runs, places, strict=True)]
    return PairedArtifacts(types, thresholds, originals, scores, boxes, rules)


def _boxes(run: Run, places: Mapping[str, int], types: Mapping[str, str]) -> Iterator[ComparedBox]:
    """Of the run's detectors and triplets that are compared; ``places`` of their pairs."""
    for row in run.detections:
        if row["triplet"] in places and row["detector"] in types:
            place = tuple(int(row[edge]) for edge in EDGES)
            yield ComparedBox(places[row["triplet"]], row["detector"], place, row["confidence"])


def _table(
    changes: Sequence[Change], pairs: Sequence[Pair], artifacts: PairedArtifacts
) -> pa.Table:
    """The table ``changes``."""
    boxes = [change.box for change in changes]
    of_change = [pairs[box.pair] for box in boxes]
    scores = [artifacts.scores_of(box) for box in boxes]
    limits = {name: x if math.isfinite(x) else None for name, x in artifacts.thresholds.items()}
    columns: dict[str, Sequence[Any]] = {
        **{name: [getattr(change, name) for change in changes] for name in Change._fields[1:]},
        "image": [after.extra["image"] for _, after in of_change],
        "preset": [operating_point(after) for _, after in of_change],
        "artifact_type": [artifacts.types[box.detector] for box in boxes],
        "detector": [box.detector for box in boxes],
        "threshold": [limits[box.detector] for box in boxes],
        "original_sha256": [_content(*pair) for pair in of_change],
    }
    for side, run in enumerate(RUNS):
        triplets = [pair[side] for pair in of_change]
        found = [change.boxes[side] for change in changes]
        columns |= {f"{name}_{run}": values for name, values in _of_run(triplets, found).items()}
        columns[f"score_{run}"] = [score[side] for score in scores]
    return pa.table({name: columns[name] for name in TABLES[CHANGES]}, schema(CHANGES))


def _of_run(
    triplets: Sequence[TripletRecord], boxes: Sequence[ComparedBox | None]
) -> dict[str, Sequence[Any]]:
    """The columns that both runs have, but for the scores."""
    places = [box.place if box else (None,) * len(EDGES) for box in boxes]
    return {
        "triplet": [triplet.id for triplet in triplets],
        "detector": [box and box.detector for box in boxes],
        "confidence": [box and box.confidence for box in boxes],
        "bpp": [triplet.neural_bpp for triplet in triplets],
        **{edge: [place[number] for place in places] for number, edge in enumerate(EDGES)},
    }


def _unscored(pairs: Sequence[Pair], scores: Floats, types: Iterable[str]) -> list[dict[str, str]]:
    """Results of a detector that one of the runs does not have."""
    reason = "the other run has no result of this detector for this triplet"
    lacks = np.isnan(scores)
    return [
        unpaired_row(run, pairs[pair][side], reason, name)
        for number, name in enumerate(types)
        for side, run in enumerate(RUNS)
        for pair in np.flatnonzero(lacks[1 - side, number] & ~lacks[side, number]).tolist()
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
        "neural": sorted({codec_of(triplet, "neural") for triplet in run.records}),
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
