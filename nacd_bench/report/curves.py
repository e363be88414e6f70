"""Figures of a benchmark: ROC and precision-recall curves, score histograms."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from nacd_bench import numbers
from nacd_bench.evaluation.auc import AUC, ThresholdCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (6.0, 4.6)
"""Inches."""
BINS = 30


@dataclass(frozen=True)
class Line:
    """One method on one test set."""

    method: str
    auc: AUC
    curve: ThresholdCurve
    is_detector: bool


def roc_figure(lines: Sequence[Line], artifact_type: str) -> Figure:
    """ROC curves, detectors in colour and drawn thick, baselines thin."""
    found, axes = _axes(f"ROC, test set {artifact_type}")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, linestyle=":")
    for line, style in zip(lines, _styles(lines), strict=True):
        label = f"{line.method} {numbers.estimate(line.auc.value, line.auc.low, line.auc.high)}"
        axes.plot(line.curve.false_positive_rate, line.curve.recall, label=label, **style)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _legend(axes, "method, AUC [95 %]")
    return found


def precision_recall_figure(lines: Sequence[Line], artifact_type: str) -> Figure:
    """Precision-recall curves with their average precision."""
    found, axes = _axes(f"Precision and recall, test set {artifact_type}")
    if lines:
        share = lines[0].curve.prevalence
        axes.axhline(share, color="0.7", linewidth=0.8, linestyle=":")
    for line, style in zip(lines, _styles(lines), strict=True):
        curve = line.curve
        label = f"{line.method} {numbers.share(curve.average_precision)}"
        axes.plot(
            curve.recall[1:], curve.precision[1:], label=label, drawstyle="steps-pre", **style
        )
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    _legend(axes, "method, average precision")
    return found


def histogram_figure(
    truth: ArrayLike, scores: ArrayLike, method: str, artifact_type: str
) -> Figure:
    """Scores of positives and of negatives."""
    found, axes = _axes(f"Scores of {method}, test set {artifact_type}")
    values, positive = np.asarray(scores, np.float64), np.asarray(truth, bool)
    known = np.isfinite(values)
    bins = np.histogram_bin_edges(values[known], BINS).tolist()
    for is_positive, label, color in ((False, "without", "C0"), (True, "with the artifact", "C3")):
        chosen = values[known & (positive == is_positive)]
        axes.hist(chosen, bins, alpha=0.55, label=f"{label} ({len(chosen)})", color=color)
    axes.set(xlabel="score", ylabel="triplets")
    axes.legend(fontsize=8)
    return found


def figure(drawn: Figure, kinds: Sequence[str] = ("svg", "png")) -> dict[str, bytes]:
    """The files of a figure by suffix; the same figure gives the same SVG."""
    import matplotlib as mpl

    files = {}
    with mpl.rc_context({"svg.hashsalt": "nacd-bench"}):
        for kind in kinds:
            file = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else None
            drawn.savefig(file, format=kind, dpi=150, metadata=metadata)
            files[kind] = file.getvalue()
    return files


def _axes(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    found = Figure(figsize=SIZE, layout="constrained")
    axes = found.subplots()
    axes.set_title(title, fontsize=10)
    axes.grid(color="0.92")
    return found, axes


def _styles(lines: Sequence[Line]) -> list[dict]:
    """A colour per method that does not hang on the order of AUCs."""
    names = sorted(line.method for line in lines)
    return [
        {
            "color": f"C{names.index(line.method) % 10}",
            "linewidth": 2.2 if line.is_detector else 1.0,
            "linestyle": "-" if line.is_detector else "--",
        }
        for line in lines
    ]


def _legend(axes: Axes, title: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title=title, fontsize=7, title_fontsize=7)
