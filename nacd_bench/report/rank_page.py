"""The page of ranked codecs: tables, artifacts against bitrate, and the worst findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacd_bench.errors import UserError
from nacd_bench.ops.boxes import region_holding
from nacd_bench.report.figures import figure_files
from nacd_bench.report.page import write_page, write_picture
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import pixels_sha256, read_8_bit
from nacd_bench.triplets.record import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "rank"
MOST_SIDE = 600
"""Larger regions are shown reduced to this side."""
PANEL, ALONE = (3.3, 2.7), (7.0, 4.5)
"""Inches of one of several panels, and of one."""
COLUMNS = 3


@dataclass(frozen=True)
class Finding:
    """A place where a codec is worse than the anchor, and what the others make of it.

    Args:
        image, preset, artifact_type, codec: whose it is.
        severity: predicted.
        box: where.
        views: what is shown in order: a caption and a file.
    """

    image: str
    preset: str
    artifact_type: str
    codec: str
    severity: float
    box: Box
    views: Sequence[tuple[str, str]]


def write_rank_page(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    panels: Mapping[str, str],
    findings: Sequence[Finding],
    tick: Callable[[int], None],
    **shown: Any,
) -> Path:
    """Write ``rank/`` into the folder of a ranking; the path of its ``index.html``.

    Args:
        folder: of the ranking, which gets the figure too.
        rows: of its codecs at their rates.
        panels: columns of the figure, and their titles.
        findings: the worst first.
        tick: called for each of these.
        shown: see ``site/rank.html.j2``.
    """
    panels = {
        name: title
        for name, title in panels.items()
        if any(row.get(name) is not None for row in rows)
    }
    figures = figure_files(rank_figure(rows, panels))
    for kind, drawn in figures.items():
        write_whole(folder / f"curves.{kind}", drawn)
    write_whole(folder / FOLDER / "curves.svg", figures["svg"])
    for name, title in panels.items():
        alone = figure_files(rank_figure(rows, {name: title}), ["svg"])
        write_whole(folder / FOLDER / f"curves-{name}.svg", alone["svg"])
    entries = []
    for number, finding in enumerate(findings):
        entries.append(_entry(folder / FOLDER, finding))
        tick(number)
    names = {view["picture"] for entry in entries for view in entry["views"]}
    for path in (folder / FOLDER / "pictures").glob("*.webp"):  # of an earlier ranking
        if f"pictures/{path.name}" not in names:
            path.unlink()
    data = {"title": shown["title"], "findings": entries, "panels": panels}
    return write_page(folder / FOLDER, "rank", data, scripts=["viewer.js"], **shown)


def rank_figure(rows: Sequence[Mapping[str, Any]], panels: Mapping[str, str]) -> Figure:
    """Columns against bits per pixel with their intervals; bars where no codec has two rates.

    Rows with a ``source`` are dashed.
    """
    from matplotlib.figure import Figure

    codecs = list(dict.fromkeys(row["codec"] for row in rows))
    dashed = {row["codec"] for row in rows if row.get("source")}
    points = {(row["codec"], row.get("bpp")) for row in rows}  # a codec may have one of all rates
    is_curve = len(points) > len(codecs)
    width, height = PANEL if len(panels) > 1 else ALONE
    columns = min(len(panels), COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * width, lines * height), layout="constrained")
    places = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (column, title) in zip(places, panels.items(), strict=False):
        for number, codec in enumerate(codecs):
            own = [row for row in rows if row["codec"] == codec and row.get(column) is not None]
            if is_curve:
                _draw(axes, own, column, codec, number, codec in dashed)
            else:
                _draw(axes, own[:1], column, codec, None, is_dashed=False)
        axes.set_title(title, fontsize=9)
        axes.set_axisbelow(True)
        axes.grid(color="0.92")
        if is_curve:
            axes.set_xlabel("bits per pixel", fontsize=8)
        axes.tick_params(labelsize=7, axis="both")
        axes.tick_params(labelrotation=0 if is_curve else 30, axis="x")
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    if is_curve:
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _draw(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    column: str,
    codec: str,
    number: int | None,
    is_dashed: bool,
) -> None:
    """A codec in a panel: its curve in a colour of its own, or its bar."""
    values = np.array([row[column] for row in rows], np.float64)
    bounds = [[row.get(f"{column}_{end}", row[column]) for row in rows] for end in ("low", "high")]
    reach = np.abs(np.array(bounds, np.float64) - values)
    if number is None:
        axes.bar([codec] * len(rows), values, yerr=reach, color="#0b62c4", capsize=3)
        return
    axes.errorbar(
        [row["bpp"] for row in rows],
        values,
        yerr=reach if reach.any() else None,
        color=f"C{number % 10}",
        linestyle="--" if is_dashed else "-",
        marker="osD^vX"[number % 6],
        markersize=4,
        capsize=2,
        elinewidth=0.6,
        label=f"{codec} (elsewhere)" if is_dashed else codec,
    )


def _entry(folder: Path, finding: Finding) -> dict[str, Any]:
    """A finding in the page, its pictures written."""
    views, part = [], None
    for label, file in finding.views:
        view: dict[str, Any] = {"label": label, "picture": None, "fault": None}
        views.append(view)
        try:
            pixels, _ = read_8_bit(file)
        except UserError as error:
            view["fault"] = str(error) if file else "the run kept no picture."
            continue
        height, width = pixels.shape[:2]
        part = part or region_holding([finding.box], width, height)
        x0, y0, x1, y1 = part
        cut = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        # named by what it shows, so that two findings share it
        name = f"pictures/{pixels_sha256(cut)[:20]}-{cut.shape[1]}x{cut.shape[0]}.webp"
        if not (folder / name).is_file():
            write_picture(folder / name, cut, MOST_SIDE, quality=92, method=1)
        view["picture"] = name
    return {
        **{"image": finding.image, "preset": finding.preset, "type": finding.artifact_type},
        **{"codec": finding.codec, "severity": finding.severity},
        **{"box": finding.box, "part": part, "views": views},
    }
