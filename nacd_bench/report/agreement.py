"""How methods agree with graded truth, for the eye: a figure, and a page of disagreements."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from nacd_bench.errors import UserError
from nacd_bench.evaluation.graded import RATINGS
from nacd_bench.evaluation.graded_table import (
    CONSTANT,
    DETECTOR,
    METRIC,
    NEURAL,
    RATER,
    GradedTriplets,
    MethodScores,
    Row,
)
from nacd_bench.report.page import write_page, write_picture
from nacd_bench.runs.tables import Table
from nacd_bench.triplets.grades import SIDES, Grade
from nacd_bench.triplets.images import pixels_sha256, read_8_bit
from nacd_bench.triplets.record import ARTIFACT_TYPES, ROLES, TripletRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "agree"
MOST_SIDE = 768
"""Larger images are shown reduced to this side."""
NAME_WIDTH = 0.011
"""Of a letter in the figure, as a correlation."""
COLORS = {DETECTOR: "C0", METRIC: "0.55", RATER: "k", CONSTANT: "C3"}


def agreement_figure(rows: Sequence[Row], group: str, label: Callable[[str], str] = str) -> Figure:
    """Spearman within the neural side: constant, metrics, detectors and one rater, a line per type.

    Args:
        rows: of :mod:`nacd_bench.evaluation.graded_table`.
        group: the triplets that are shown.
        label: what a method is called.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), layout="constrained")
    panels = figure.subplots(len(ARTIFACT_TYPES), 1, sharex=True)
    for axes, kind in zip(panels, ARTIFACT_TYPES, strict=True):
        place = {"artifact_type": kind, "group": group, "side": NEURAL, "figure": "spearman"}
        found = [
            row
            for row in rows
            if all(row[name] == value for name, value in place.items())
            and not math.isnan(row["value"])
        ]
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        levels: dict[int, list[float]] = {1: [], -1: []}
        for row in sorted(found, key=lambda row: row["value"]):
            name, x = row["method"], row["value"]
            color = COLORS.get(name) or COLORS[row["kind"]]
            side = -1 if row["kind"] == METRIC else 1
            if side > 0:
                axes.plot([row["low"], row["high"]], [0, 0], color=color, linewidth=3, alpha=0.25)
            marker = "D" if name == RATER else "o"
            axes.plot(x, 0, marker, color=color, markersize=7 if side > 0 else 4)
            # the name goes into the first row of names where it finds room
            ends = levels[side]
            level = next((i for i, end in enumerate(ends) if x >= end), len(ends))
            ends[level : level + 1] = [x + NAME_WIDTH * (len(label(name)) + 2)]
            axes.annotate(
                label(name),
                (x, 0),
                (x, side * (1.4 + level)),
                fontsize=7,
                color=color,
                va="center",
                arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.3, "linewidth": 0.6},
            )
        axes.set(ylim=(-2 - len(levels[-1]), 2 + len(levels[1])), yticks=[], ylabel=kind)
        axes.grid(axis="x", color="0.92")
    panels[0].set_title(f"Order within the neural side, {group}", fontsize=10)
    panels[-1].set_xlabel("Spearman with the mean of the other raters (bars: 95 %)")
    return figure


def disagreements(
    records: Sequence[TripletRecord],
    grades: Sequence[Grade],
    graded: GradedTriplets,
    methods: Sequence[MethodScores],
    boxes: Mapping[tuple[str, str], Mapping[str, Sequence[int]]],
    most: int,
) -> list[dict[str, Any]]:
    """The triplets on which detectors and ratings disagree most, within the neural side.

    A severity is compared as it is; other scores by their place among the triplets, from 0 to 1,
    with that of the mean of the ratings.

    Args:
        boxes: the strongest of each method and side, by triplet.
        most: of each detector.

    Returns:
        Entries of the page, a detector's largest disagreements first.
    """
    drawn: dict[tuple[str, str], list[Grade]] = defaultdict(list)
    for grade in grades:
        drawn[grade.triplet, grade.artifact_type].append(grade)
    groups = [name for name in graded.groups if name != graded.primary] or [graded.primary]
    entries = []
    for method in (method for method in methods if method.artifact_type):
        severity = graded.ratings[str(method.artifact_type), NEURAL].severity
        given = ~np.isnan(severity)
        scores = method.scores[NEURAL]
        rows = np.flatnonzero((given.sum(axis=1) >= RATINGS) & ~np.isnan(scores))
        if not len(rows):
            continue
        means = np.where(given, severity, 0).sum(axis=1)[rows] / given.sum(axis=1)[rows]
        if method.is_severity:
            apart = scores[rows] - means
        else:
            apart = (rankdata(scores[rows]) - rankdata(means)) / len(rows)
        for place, i in enumerate(np.argsort(-np.abs(apart), kind="stable")[:most]):
            record = records[rows[i]]
            entries.append(
                {
                    "triplet": record.id,
                    "detector": method.name,
                    "artifact_type": method.artifact_type,
                    "group": [name for name in groups if graded.groups[name][rows[i]]],
                    "place": place,
                    "apart": float(apart[i]),
                    "score": float(scores[rows[i]]),
                    "mean": float(means[i]),
                    "grades": [
                        {"rater": g.rater, "side": g.side, "severity": g.severity, "box": g.box}
                        for g in drawn[record.id, str(method.artifact_type)]
                    ],
                    "boxes": {side: boxes[method.name, side].get(record.id) for side in SIDES},
                }
            )
    return entries


def write_agreement(
    folder: Path,
    records: Sequence[TripletRecord],
    entries: Sequence[dict[str, Any]],
    tables: Sequence[Table],
    notes: Sequence[str],
    tick: Callable[[int], None],
) -> Path:
    """Write ``agree/`` into a run's folder; the path of its page.

    Args:
        folder: of the run.
        records: its triplets.
        entries: of :func:`disagreements`.
        tables, notes: shown above them.
        tick: called after each entry with the number of pictures that could not be made.
    """
    by_id = {record.id: record for record in records}
    pictures: dict[str, dict[str, Any]] = {}
    faults = 0
    for entry in entries:
        name = entry["triplet"]
        if name not in pictures:
            pictures[name] = _pictures(folder / FOLDER, by_id[name])
            faults += bool(pictures[name]["fault"])
        tick(faults)
    shown = [
        {
            "title": table.title,
            "columns": table.columns,
            "rows": [row for row in table.rows if row is not None],
        }
        for table in tables
    ]
    data = {"entries": entries, "pictures": pictures}
    title = f"Agreement with graded truth, {folder.name}"
    return write_page(folder / FOLDER, "agree", data, title=title, tables=shown, notes=notes)


def _pictures(folder: Path, record: TripletRecord) -> dict[str, Any]:
    """The three pictures of a triplet as files, their size, or why there are none."""
    made: dict[str, Any] = {"fault": "", "files": {}, "size": [1, 1]}
    for role in ROLES:
        try:
            pixels = read_8_bit(getattr(record, role))[0]
        except UserError as error:
            made["fault"] = str(error)
            continue
        name = f"pictures/{pixels_sha256(pixels)[:20]}.webp"
        made["files"][role] = name
        made["size"] = [pixels.shape[1], pixels.shape[0]]
        if not (folder / name).is_file():
            write_picture(folder / name, pixels, MOST_SIDE, quality=92, method=1)
    return made
