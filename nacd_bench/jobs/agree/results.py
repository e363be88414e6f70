"""What an agree run found: its tables for readers, and what it leaves in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench import numbers
from nacd_bench.errors import Failure
from nacd_bench.evaluation.graded import RankTest
from nacd_bench.evaluation.graded_table import (
    BOTH,
    CENTRE,
    CONSTANT,
    DETECTOR,
    METRIC,
    NEURAL,
    RATER,
    TRADITIONAL,
    GradedTriplets,
    MethodScores,
    Row,
    best_methods,
)
from nacd_bench.pipeline.scores import Scored
from nacd_bench.report.agreement import agreement_figure
from nacd_bench.report.figures import figure_files
from nacd_bench.runs.schema import (
    AGREEMENT,
    DETECTIONS,
    EDGES,
    REAL,
    SCHEMA_VERSION,
    SCORES,
    TEXT,
    schema,
)
from nacd_bench.runs.tables import Table, triplet_columns, write_table
from nacd_bench.triplets.files import json_bytes, plain, write_whole
from nacd_bench.triplets.grades import SIDES, STRONGEST, Grade, raters_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord

CALIBRATION = (
    *("slope", "predicted", "graded", "precision", "recall"),
    *("mean_error", "rater_error", "alarms"),
)
IN_SAMPLE = "(in-sample)"
NO_AUC = "no AUC (which takes clear and clean neural sides)"


@dataclass(frozen=True)
class Agreed:
    """What a run found.

    Args:
        folder: the run's folder.
        records, grades: what was compared.
        graded: the same as arrays.
        methods: what every detector and metric says.
        scored: the scores behind it, by side.
        rows: the figures, see :mod:`nacd_bench.evaluation.graded_table`.
        tests: the pre-stated ones by artifact type.
        kinds: correlation of human with model raters by type and side; empty for one kind.
        fitted: by artifact type what weights fitted to these grades reach on photographs left out.
        in_sample: by detector the number of triplets whose original its weights were fitted to.
        notes: what was not compared, and why.
        failures: what failed; empty when all is well.
        facts: versions, hashes, date and wall time.
        settings: what decides the results.
        page: where it was written.
    """

    folder: Path
    records: Sequence[TripletRecord]
    grades: Sequence[Grade]
    graded: GradedTriplets
    methods: Sequence[MethodScores]
    scored: Mapping[str, Scored]
    rows: Sequence[Row]
    tests: Mapping[str, RankTest]
    kinds: Sequence[Row]
    fitted: Mapping[str, Mapping[str, float]]
    in_sample: Mapping[str, int]
    notes: Sequence[str]
    failures: Sequence[Failure]
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    page: Path | None = None

    def figure(self, kind: str, group: str, side: str, method: str, figure: str) -> Row:
        """A row of the figures; empty where there is none."""
        return self._by_place.get((kind, group, side, method, figure), {})

    def label(self, method: str) -> str:
        """What a method is called in tables: one that saw these grades is marked."""
        return f"{method} {IN_SAMPLE}" if method in self.in_sample else method

    @cached_property
    def _by_place(self) -> dict[tuple[str, ...], Row]:
        names = ("artifact_type", "group", "side", "method", "figure")
        return {tuple(row[name] for name in names): row for row in self.rows}


def write_results(agreed: Agreed) -> None:
    """Write every table of a finished run, each of them whole or not there."""
    folder, graded = agreed.folder, agreed.graded
    columns = schema(AGREEMENT)
    rows = [plain({name: row.get(name) for name in columns.names}) for row in agreed.rows]
    write_table(folder / AGREEMENT, rows, columns)
    content = {
        "schema_version": SCHEMA_VERSION,
        "job": "agree",
        **agreed.facts,
        "settings": agreed.settings,
        "raters": raters_of(agreed.grades),
        "primary": graded.primary,
        "groups": {name: int(of.sum()) for name, of in graded.groups.items()},
        "photographs": sorted(set(graded.clusters)),
        "best": best_methods(agreed.rows, graded.primary),
        "tests": {kind: asdict(test) for kind, test in agreed.tests.items()},
        "human_against_model": list(agreed.kinds),
        "fitted": {kind: plain(figures) for kind, figures in agreed.fitted.items()},
        "in_sample": dict(agreed.in_sample),
        "notes": list(agreed.notes),
        "n_failures": len(agreed.failures),
    }
    write_whole(folder / f"{AGREEMENT}.json", json_bytes(content))
    means = {place: graded.ratings[place].severity for place in graded.ratings}
    scores = []
    for i, record in enumerate(agreed.records):
        for side in SIDES:
            row = {**triplet_columns(record), "side": side}
            for kind in ARTIFACT_TYPES:
                given = means[kind, side][i][~np.isnan(means[kind, side][i])]
                row[f"graded_{kind}"] = float(given.mean()) if len(given) else None
            row |= {m.name: float(m.scores[side][i]) for m in agreed.methods}
            scores.append(plain(row))
    more = {"side": TEXT, **{f"graded_{kind}": REAL for kind in ARTIFACT_TYPES}}
    more |= {method.name: REAL for method in agreed.methods}
    write_table(folder / SCORES, scores, schema(SCORES, **more))
    write_table(folder / DETECTIONS, _boxes(agreed), schema(DETECTIONS, side=TEXT))
    text = "".join(f"Note: {line}\n\n" for line in agreed.notes)
    text += "".join(f"{table.title}\n\n{table.markdown()}\n" for table in tables(agreed))
    write_whole(folder / "table.md", text.encode())
    figure = agreement_figure(agreed.rows, graded.primary, agreed.label)
    for suffix, data in figure_files(figure).items():
        write_whole(folder / f"{AGREEMENT}.{suffix}", data)


def _boxes(agreed: Agreed) -> Iterator[Row]:
    """The boxes of the detectors on both sides."""
    for record in agreed.records:
        for method in agreed.methods:
            for side in SIDES if method.artifact_type else ():
                result = agreed.scored[side].scores[method.name].get(record.id)
                for box, confidence in zip(
                    result.boxes if result else (),
                    result.confidences if result else (),
                    strict=True,
                ):
                    yield {
                        **triplet_columns(record),
                        "artifact_type": method.artifact_type,
                        "detector": method.name,
                        "confidence": confidence,
                        **dict(zip(EDGES, box, strict=True)),
                        "side": side,
                    }


# --- for readers


def tables(agreed: Agreed) -> list[Table]:
    """The tables of a run: grades, the figures by type, by group, tests, calibration, raters."""
    made = [_grades_table(agreed), *(_main_table(agreed, kind) for kind in ARTIFACT_TYPES)]
    made += [_group_table(agreed), _test_table(agreed), _calibration_table(agreed)]
    made += [_alpha_table(agreed), _kind_table(agreed), _fit_table(agreed)]
    return [table for table in made if table.rows]


def _order(agreed: Agreed, kind: str) -> list[list[str]]:
    """Methods of a type: the rater, then detectors and metrics from the best down, the constant."""
    place = (kind, agreed.graded.primary)
    found = {
        row["method"]: row["kind"]
        for row in agreed.rows
        if (row["artifact_type"], row["group"]) == place
    }

    def rank(name: str) -> float:
        value = agreed.figure(*place, NEURAL, name, "spearman").get("value", math.nan)
        return math.inf if math.isnan(value) else -value

    methods = {
        of: sorted((name for name, what in found.items() if what == of), key=rank)
        for of in (DETECTOR, METRIC)
    }
    return [[RATER], methods[DETECTOR], methods[METRIC], [CONSTANT, CENTRE]] if found else []


def _grades_table(agreed: Agreed) -> Table:
    rows = []
    for kind in ARTIFACT_TYPES:
        for side in SIDES:
            targets = agreed.graded.targets(kind, side, agreed.graded.primary)
            means = targets.mean[targets.is_rated]
            if len(means):
                counts = np.bincount(np.rint(means).astype(int), minlength=STRONGEST + 1)
                photographs = {targets.clusters[i] for i in np.flatnonzero(targets.is_rated)}
                shown = [len(means), len(photographs), numbers.number(means.mean(), 3), *counts]
                rows.append([kind, side, *map(str, shown)])
    columns = ("type", "side", "triplets", "photographs", "mean severity", *"0123")
    return Table(columns, rows, "Grades, and how many triplets by the raters' mean, rounded")


def _main_table(agreed: Agreed, kind: str) -> Table:
    group = agreed.graded.primary
    columns: dict[str, tuple[str, str, Callable[[Row], str]]] = {
        "Spearman": (NEURAL, "spearman", _shown),
        "concordance": (NEURAL, "concordance", _value),
        "AUC": (NEURAL, "auc", _shown),
        "pointing": (NEURAL, "pointing", _shown),
        "traditional": (TRADITIONAL, "spearman", _value),
        "AUC of both": (BOTH, "auc", _value),
    }
    auc = agreed.figure(kind, group, NEURAL, CONSTANT, "auc")
    if not auc:  # on both sides together it would only tell the codecs apart
        del columns["AUC"], columns["AUC of both"]
    rows: list[Sequence[str] | None] = []
    for names in _order(agreed, kind):
        rows += [None] if rows and names else []
        for name in names:
            row = [agreed.label(name)]
            for side, figure, shown in columns.values():
                row.append(shown(agreed.figure(kind, group, side, name, figure)))
            rows.append(row)
    n = agreed.figure(kind, group, NEURAL, RATER, "spearman").get("n", 0)
    counts = f"AUC of {auc['n_positive']} and {auc['n_negative']}" if auc else NO_AUC
    title = f"{kind}, {group}: within the neural side of {n} triplets, {counts}; 95 % intervals"
    return Table(("method", *columns), rows, title)


def _group_table(agreed: Agreed) -> Table:
    groups = list(agreed.graded.groups)
    rows: list[Sequence[str] | None] = []
    for kind in ARTIFACT_TYPES if len(groups) > 1 else ():
        rows += [None] if rows else []
        for name in [name for names in _order(agreed, kind) for name in names if name != CENTRE]:
            first, *others = [
                agreed.figure(kind, group, NEURAL, name, "spearman") for group in groups
            ]
            rows.append([kind, agreed.label(name), _shown(first), *map(_value, others)])
    sizes = [f"{group} ({agreed.graded.groups[group].sum()})" for group in groups]
    return Table(("type", "method", *sizes), rows, "Spearman within the neural side, by group")


def _test_table(agreed: Agreed) -> Table:
    rows = [
        [
            *(kind, agreed.label(test.first), test.second),
            numbers.estimate(test.difference, test.low, test.high, is_difference=True),
            *(numbers.p_value(test.p), numbers.p_value(test.p_holm)),
        ]
        for kind, test in agreed.tests.items()
    ]
    columns = ("type", "detector", "metric", "difference in Spearman", "p", "p by Holm")
    return Table(columns, rows, "The pre-stated tests, one per type")


def _calibration_table(agreed: Agreed) -> Table:
    rows = []
    severities = [method for method in agreed.methods if method.is_severity]
    for method in severities:
        for group in agreed.graded.groups:
            for side in SIDES:
                found = [
                    agreed.figure(str(method.artifact_type), group, side, method.name, name)
                    for name in CALIBRATION
                ]
                if any(found):
                    values = [numbers.number(row.get("value"), 3) for row in found]
                    rows.append([agreed.label(method.name), group, side, *values])
    columns = ["detector", "group", "side", "slope", "predicted >= 1.5", "graded >= 1.5"]
    columns += ["precision", "recall", "mean error", "one rater's", "alarms"]
    return Table(columns, rows, "Predicted severities; alarms: share >= 1.5 where none was graded")


def _alpha_table(agreed: Agreed) -> Table:
    rows = []
    for kind in ARTIFACT_TYPES:
        for side in SIDES:
            found = [
                agreed.figure(kind, group, side, RATER, "alpha").get("value")
                for group in agreed.graded.groups
            ]
            if any(value is not None for value in found):
                rows.append([kind, side, *map(numbers.share, found)])
    return Table(
        ("type", "side", *agreed.graded.groups),
        rows,
        "Raters' agreement: Krippendorff's alpha, ordinal",
    )


def _kind_table(agreed: Agreed) -> Table:
    rows = [[row["artifact_type"], row["side"], _shown(row), str(row["n"])] for row in agreed.kinds]
    columns = ("type", "side", "Spearman", "triplets")
    return Table(columns, rows, "Human against model raters: their means on the same sides")


def _fit_table(agreed: Agreed) -> Table:
    names = list(dict.fromkeys(name for of in agreed.fitted.values() for name in of))
    rows = [
        [kind, *(numbers.share(figures.get(name)) for name in names)]
        for kind, figures in agreed.fitted.items()
    ]
    columns = ("type", *(name.replace("_", " ") for name in names))
    return Table(
        columns, rows, "Weights fitted to these grades, on photographs left out of the fit"
    )


def _value(row: Row) -> str:
    return numbers.share(row.get("value"))


def _shown(row: Mapping[str, Any]) -> str:
    if not row:
        return numbers.NOTHING
    return numbers.estimate(row["value"], row["low"], row["high"])
