"""Figures for papers: curves, AUCs and scores of a run at a given width, and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.evaluation.auc import AUC, ThresholdCurve
from nacd_bench.report.contact_sheet import contact_sheet
from nacd_bench.report.curves import (
    Line,
    figure,
    histogram_figure,
    precision_recall_figure,
    roc_figure,
)
from nacd_bench.runs.read import Run
from nacd_bench.triplets.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("svg", "png", "pdf")
RATIO = 0.8
"""Height of a figure by its width."""
FONT: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 8,
    "legend.fontsize": 5.5,
    "legend.title_fontsize": 5.5,
}
ROWS = 8
"""Of a contact sheet."""


def write_figures(run: Run, width: float, rows: int = ROWS) -> list[Path]:
    """Write ``report/figures/``; the paths.

    Args:
        run: a detect or benchmark run.
        width: of each figure, in inches: 3.5 for a column, 7 for a page.
        rows: the strongest detections of each type in its contact sheet.
    """
    import matplotlib as mpl

    folder = run.folder / "report" / "figures"
    written = []
    with mpl.rc_context(FONT):
        for name, drawn in _figures(run):
            height = drawn.get_size_inches()[1] if name == "auc" else RATIO * width
            drawn.set_size_inches(width, height)
            for kind, data in figure(drawn, KINDS).items():
                written.append(folder / f"{name}.{kind}")
                write_whole(written[-1], data)
    for kind in dict.fromkeys(row["artifact_type"] for row in run.detections):
        sheet = contact_sheet(run, kind, rows)
        if sheet is not None:
            written.append(folder / f"contact_{kind}.png")
            write_whole(written[-1], sheet)
    return written


def _figures(run: Run) -> Iterator[tuple[str, Figure]]:
    if run.metrics.get("sets"):
        yield "auc", auc_figure(run.metrics)
    for name, truth in run.truth.items():
        lines = _lines(run, name)
        yield f"roc_{name}", roc_figure(lines, name)
        yield f"precision_recall_{name}", precision_recall_figure(lines, name)
        for line in lines:
            scores = run.scores[line.method]
            values = [scores.get(each, math.nan) for each in truth]
            drawn = histogram_figure(list(truth.values()), values, line.method, name)
            yield f"scores_{name}_{line.method}", drawn


def auc_figure(metrics: Mapping[str, Any]) -> Figure:
    """AUCs with their intervals, a panel per test set, detectors on top and in colour."""
    from matplotlib.figure import Figure

    sets = metrics["sets"]
    detectors = metrics.get("detectors", {})
    most = max(len(own["auc"]) for own in sets.values())
    found = Figure(figsize=(7, 0.17 * most + 0.7), layout="constrained")
    panels = found.subplots(1, len(sets), squeeze=False, sharex=True)[0]
    for axes, (name, own) in zip(panels, sets.items(), strict=True):
        names = sorted(own["auc"], key=lambda method: method not in detectors)
        for place, method in enumerate(names):
            auc = own["auc"][method]
            if auc["value"] is None:
                continue
            color = "C0" if method in detectors else "0.45"
            axes.plot([auc["low"], auc["high"]], [place, place], color=color, linewidth=2.5)
            axes.plot(auc["value"], place, "o", color=color, markersize=4)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.axvline(0.5, color="0.7", linewidth=0.8, linestyle=":")
        axes.set(title=name, xlim=(0, 1), xlabel="AUC, 95 %")
        axes.grid(axis="x", color="0.92")
    return found


def _lines(run: Run, name: str) -> list[Line]:
    truth = run.truth[name]
    lines = []
    for method, auc in run.metrics.get("sets", {}).get(name, {}).get("auc", {}).items():
        if auc["value"] is None:
            continue
        values = [run.scores.get(method, {}).get(each, math.nan) for each in truth]
        curve = ThresholdCurve(list(truth.values()), values)
        is_detector = method in run.metrics.get("detectors", {})
        lines.append(Line(method, AUC(**auc), curve, is_detector=is_detector))
    return sorted(lines, key=lambda line: -line.auc.value)
