"""Figures: curves and scores on a test set, AUCs, and all of a run at the width of a paper."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench import numbers
from nacd_bench.evaluation.agreement import ALL
from nacd_bench.evaluation.auc import AUC, ThresholdCurve
from nacd_bench.report.sheets import contact_sheet
from nacd_bench.runs.read import Run
from nacd_bench.triplets.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.0, 4.6)
"""Inches."""
BINS = 30
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
"""Of a contact sheet: the strongest detections of a type."""
CURVES = ("roc", "precision_recall")


@dataclass(frozen=True)
class Line:
    """One method on one test set."""

    method: str
    auc: AUC
    curve: ThresholdCurve
    is_detector: bool


def curve_lines(
    truth: Sequence[bool],
    scores: Mapping[str, Sequence[float]],
    aucs: Mapping[str, AUC],
    detectors: Mapping[str, str],
) -> list[Line]:
    """The curves of a set, best AUC first; methods without scores on both sides are left out.

    Args:
        truth: whether each image is a positive.
        scores: of the images, by method; NaN where there is none.
        aucs: by method.
        detectors: artifact type by detector; what else there is are baselines.
    """
    drawn = {name: auc for name, auc in aucs.items() if not math.isnan(auc.value)}
    return [
        Line(name, drawn[name], ThresholdCurve(truth, scores[name]), name in detectors)
        for name in sorted(drawn, key=lambda name: -drawn[name].value)
    ]


def curve_figure(kind: str, drawn: Sequence[Line], test_set: str) -> Figure:
    """One of :data:`CURVES`, detectors drawn thick and baselines thin."""
    is_roc = kind == "roc"
    title = "ROC" if is_roc else "Precision and recall"
    figure, axes = _axes(f"{title}, test set {test_set}")
    if is_roc:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, linestyle=":")
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
    else:
        for line in drawn[:1]:
            axes.axhline(line.curve.prevalence, color="0.7", linewidth=0.8, linestyle=":")
        axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    names = sorted(line.method for line in drawn)
    for line in drawn:
        curve, auc = line.curve, line.auc
        if is_roc:
            x, y, style = curve.false_positive_rate, curve.recall, "default"
            value = numbers.estimate(auc.value, auc.low, auc.high)
        else:
            x, y, style = curve.recall[1:], curve.precision[1:], "steps-pre"
            value = numbers.share(curve.average_precision)
        axes.plot(
            x,
            y,
            label=f"{line.method} {value}",
            drawstyle=style,
            color=f"C{names.index(line.method) % 10}",  # whatever the order of AUCs
            linewidth=2.2 if line.is_detector else 1.0,
            linestyle="-" if line.is_detector else "--",
        )
    if drawn:
        value = "AUC [95 %]" if is_roc else "average precision"
        axes.legend(title=f"method, {value}", fontsize=7, title_fontsize=7)
    return figure


def histogram_figure(
    truth: ArrayLike, scores: ArrayLike, method: str, artifact_type: str
) -> Figure:
    """Scores of positives and of negatives."""
    figure, axes = _axes(f"Scores of {method}, test set {artifact_type}")
    values, positive = np.asarray(scores, np.float64), np.asarray(truth, bool)
    is_finite = np.isfinite(values)
    bins = np.histogram_bin_edges(values[is_finite], BINS).tolist()
    for is_positive, label, color in ((False, "without", "C0"), (True, "with the artifact", "C3")):
        chosen = values[is_finite & (positive == is_positive)]
        axes.hist(chosen, bins, alpha=0.55, label=f"{label} ({len(chosen)})", color=color)
    axes.set(xlabel="score", ylabel="triplets")
    axes.legend(fontsize=8)
    return figure


def auc_figure(metrics: Mapping[str, Any]) -> Figure:
    """AUCs with their intervals, a panel per test set, detectors on top and in colour."""
    from matplotlib.figure import Figure

    sets, detectors = metrics["sets"], metrics.get("detectors", {})
    most = max(len(result["auc"]) for result in sets.values())
    figure = Figure(figsize=(7, 0.17 * most + 0.7), layout="constrained")
    panels = figure.subplots(1, len(sets), squeeze=False, sharex=True)[0]
    for axes, (name, result) in zip(panels, sets.items(), strict=True):
        names = sorted(result["auc"], key=lambda method: method not in detectors)
        for place, method in enumerate(names):
            auc = result["auc"][method]
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
    return figure


def figure_files(figure: Figure, kinds: Sequence[str] = ("svg", "png")) -> dict[str, bytes]:
    """The files of a figure by suffix; the same figure gives the same SVG."""
    import matplotlib as mpl

    files = {}
    with mpl.rc_context({"svg.hashsalt": "nacd-bench"}):
        for kind in kinds:
            file = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(file, format=kind, dpi=150, metadata=metadata)
            files[kind] = file.getvalue()
    return files


def write_figures(run: Run, width: float) -> list[Path]:
    """Write ``report/figures/``; the paths.

    Args:
        run: a detect or benchmark run.
        width: of each figure, in inches: 3.5 for a column, 7 for a page.
    """
    import matplotlib as mpl

    files: dict[str, bytes] = {}
    with mpl.rc_context(FONT):
        for name, figure in _figures(run):
            height = figure.get_size_inches()[1] if name == "auc" else RATIO * width
            figure.set_size_inches(width, height)
            drawn = figure_files(figure, KINDS)
            files |= {f"{name}.{kind}": data for kind, data in drawn.items()}
    for artifact_type in {row["artifact_type"]: None for row in run.detections}:
        contact = contact_sheet(run, artifact_type, ROWS)
        if contact is not None:
            files[f"contact_{artifact_type}.png"] = contact
    folder = run.folder / "report" / "figures"
    for name, data in files.items():
        write_whole(folder / name, data)
    return [folder / name for name in files]


def _figures(run: Run) -> Iterator[tuple[str, Figure]]:
    sets = run.metrics.get("sets", {})
    if sets:
        yield "auc", auc_figure(run.metrics)
    for name, truth in run.truth.items():
        values = {
            method: [scores.get(triplet, math.nan) for triplet in truth]
            for method, scores in run.scores.items()
        }
        estimates = sets.get(name, {}).get("auc", {})
        aucs = {
            method: AUC(**auc)
            for method, auc in estimates.items()
            if auc["value"] is not None and method in values
        }
        positive = list(truth.values())
        drawn = curve_lines(positive, values, aucs, run.metrics.get("detectors", {}))
        for kind in CURVES:
            yield f"{kind}_{name}", curve_figure(kind, drawn, name)
        for line in drawn:
            histogram = histogram_figure(positive, values[line.method], line.method, name)
            yield f"scores_{name}_{line.method}", histogram


def _axes(title: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.grid(color="0.92")
    return figure, axes


def write_confirmed(folder: Path, shares: Sequence[Mapping[str, Any]]) -> None:
    """Write ``precision.svg`` and ``.png``: share confirmed by people against confidence.

    Args:
        folder: of the votes.
        shares: see :func:`nacd_bench.evaluation.agreement.precision`; a panel per detector.
    """
    from matplotlib.figure import Figure

    of_detector: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for share in shares:
        if share["preset"] == ALL:
            of_detector[share["detector"]].append(share)
    count = max(1, len(of_detector))
    figure = Figure(figsize=(3.4 * count, 3.2), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    for (name, (whole, *bins)), axes in zip(of_detector.items(), panels, strict=False):
        low, middle, high, x = (
            np.array([part[column] for part in bins or [whole]])
            for column in ("low", "share", "high", "mean_confidence")
        )
        ends = np.maximum([middle - low, high - middle], 0)
        axes.errorbar(x, middle, yerr=ends, marker="o", capsize=3)
        axes.axhline(whole["share"], color="0.6", linewidth=0.8, linestyle=":")
        axes.axhline(whole["chance"], color="#b22222", linewidth=0.8, linestyle="--")
        title = f"{name}, {whole['decided']} candidates"
        axes.set(title=title, xlabel="confidence", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share confirmed, 95 % interval; dashed: by chance")
    for kind, data in figure_files(figure, ("svg", "png")).items():
        write_whole(folder / f"precision.{kind}", data)
