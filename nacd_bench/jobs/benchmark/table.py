"""The table of a benchmark in the layout of the paper's Table 2: methods x sets."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nacd_bench import numbers
from nacd_bench.evaluation.auc import AUC

if TYPE_CHECKING:
    from rich.table import Table

    from nacd_bench.jobs.benchmark.run import Benchmarked

NOTHING = "-"
"""Where a detector is for another type."""


@dataclass(frozen=True)
class Cell:
    """A method on a set.

    Args:
        text: AUC with its interval, or :data:`NOTHING`.
        is_best: the highest AUC of its set.
    """

    text: str = NOTHING
    is_best: bool = False


@dataclass(frozen=True)
class Layout:
    """The table, to be written in any format.

    Args:
        columns: headings; the first is for the methods.
        rows: the method and its cells; None is a rule between detectors and baselines.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]] | None]


def layout(done: Benchmarked) -> Layout:
    """Methods x sets, and a column per set for the reference figures where there are some."""
    columns = ["method"]
    for name, each in done.comparisons.items():
        columns.append(f"{name} ({each.n_positive} + {each.n_negative})")
        if done.reference is not None:
            columns.append(f"{name}, reference")
    names: list[str | None] = [*done.detectors, None, *done.baselines]
    extra = (
        {method for own in done.reference.sets.values() for method in own} if done.reference else ()
    )
    others = [name for name in sorted(extra) if name not in done.methods]
    if others:
        names += [None, *others]
    return Layout(columns, [None if name is None else (name, _cells(done, name)) for name in names])


def interval(found: AUC) -> str:
    """``0.912 [0.853, 0.964]``, and the count where images were left out."""
    if math.isnan(found.value):
        return "no scores"
    text = numbers.estimate(found.value, found.low, found.high)
    if found.n_excluded:
        text += f" n={found.n_positive}+{found.n_negative}"
    return text


def to_rich(table: Layout) -> Table:
    """For the terminal, the best of a column in bold."""
    from rich.text import Text

    found = _plain_table("AUC with 95 % intervals, the best of a column in bold", table.columns)
    for row in table.rows:
        if row is None:
            found.add_section()
        else:
            name, cells = row
            styled = [Text(cell.text, "bold" if cell.is_best else "") for cell in cells]
            found.add_row(Text(name), *styled)
    return found


def tests_table(done: Benchmarked) -> Table:
    """Each detector against the best baseline of its set."""
    found = _plain_table(
        "Detectors against the best baseline of their set (p by Holm)",
        ("set", "detector", "best baseline", "difference in AUC", "p", "test"),
    )
    for name, each in done.comparisons.items():
        for test in each.tests:
            difference = numbers.estimate(test.difference, test.low, test.high, is_difference=True)
            p = numbers.p_value(test.p_holm)
            found.add_row(name, test.first, test.second, difference, p, test.test)
    return found


def places_table(done: Benchmarked) -> Table:
    """Where boxes lie, where labels have boxes."""
    columns = ("set", "detector", "pointing accuracy", "mean IoU", "AP at 0.3", "AP at 0.5")
    found = _plain_table("Boxes against labelled boxes", columns)
    for name, each in done.comparisons.items():
        for detector, place in each.places.items():
            figures = (place.pointing, place.mean_iou, *place.average_precision.values())
            shown = [numbers.estimate(one.value, one.low, one.high) for one in figures]
            found.add_row(name, detector, *shown)
    return found


def to_markdown(table: Layout) -> str:
    """A Markdown table, the best of a set in bold."""
    lines = [_piped(table.columns), _piped(["---"] * len(table.columns))]
    for row in table.rows:
        if row is not None:
            name, cells = row
            shown = [f"**{cell.text}**" if cell.is_best else cell.text for cell in cells]
            lines.append(_piped([name, *shown]))
    return "\n".join(lines) + "\n"


def to_latex(table: Layout) -> str:
    """A ``tabular`` for the package booktabs, the best of a set in bold."""
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{l{'c' * (len(table.columns) - 1)}}}",
        "\\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        "\\midrule",
    ]
    for row in table.rows:
        if row is None:
            lines.append("\\midrule")
        else:
            name, cells = row
            shown = [
                f"\\textbf{{{_tex(cell.text)}}}" if cell.is_best else _tex(cell.text)
                for cell in cells
            ]
            lines.append(" & ".join([_tex(name), *shown]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _plain_table(title: str, columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, title=title, title_style="", title_justify="left")
    for place, column in enumerate(columns):
        found.add_column(column, overflow="fold", no_wrap=place == 0)
    return found


def _cells(done: Benchmarked, method: str) -> list[Cell]:
    cells = []
    for name, each in done.comparisons.items():
        found = each.aucs.get(method)
        cells.append(Cell() if found is None else Cell(interval(found), each.best == method))
        if done.reference is not None:
            value = done.reference.sets.get(name, {}).get(method)
            cells.append(Cell() if value is None else Cell(f"{value:.3f}"))
    return cells


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
