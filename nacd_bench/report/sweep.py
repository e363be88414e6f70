"""A sweep: one benchmark per value of a parameter, and one table and plot over all of them.

Each run has a folder of its own, ``<sweep>/<number>``, with ``overrides.json`` beside its results.
The sweep's folder gets ``sweep.csv``, ``sweep.md`` and ``sweep.svg``, ``.png`` and ``.pdf``.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.evaluation.auc import AUC
from nacd_bench.numbers import NOTHING, number
from nacd_bench.report.figures import figure_files
from nacd_bench.runs.schema import METRICS
from nacd_bench.runs.tables import Best, Table, write_csv
from nacd_bench.triplets.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OVERRIDES = "overrides.json"
ERROR = "error.txt"
STRENGTH = "strength"
"""The setting whose larger values are easier to see; of others nothing is seen from a value on."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Args:
        number: its place, and the name of its folder.
        overrides: what it was told, by setting.
        aucs: of each method on each set, by ``"set/method"``.
        detectors: names of the methods that are detectors.
        n_failures: of its triplets and methods.
        error: why there are no results, or empty.
    """

    number: int
    overrides: Mapping[str, str]
    aucs: Mapping[str, AUC]
    detectors: Sequence[str] = ()
    n_failures: int = 0
    error: str = ""

    def auc(self, column: str) -> float:
        """The AUC of a method on a set; NaN where there is none."""
        return self.aucs[column].value if column in self.aucs else math.nan

    def told(self, name: str) -> str:
        """The value of a setting, for people."""
        return self.overrides.get(name, NOTHING)


@dataclass(frozen=True)
class Sweep:
    """All runs in their order."""

    folder: Path
    runs: Sequence[SweepRun]

    @property
    def parameters(self) -> list[str]:
        """Settings that differ between the runs; all of them where none does."""
        names = list(dict.fromkeys(name for run in self.runs for name in run.overrides))
        return [name for name in names if len({run.told(name) for run in self.runs}) > 1] or names

    @property
    def columns(self) -> list[str]:
        """Sets and methods whose AUC differs between runs; all of them where none does."""
        names = list(dict.fromkeys(name for run in self.runs for name in run.aucs))
        return [name for name in names if len({run.auc(name) for run in self.runs}) > 1] or names

    def best(self, column: str) -> SweepRun | None:
        """The run with the highest AUC of a method; None where it has no other, or an equal one."""
        scored = [run for run in self.runs if not math.isnan(run.auc(column))]
        highest = max((run.auc(column) for run in scored), default=math.nan)
        best = [run for run in scored if run.auc(column) == highest]
        return best[0] if len(best) == 1 < len(scored) else None


def note_run(folder: Path, overrides: Sequence[str]) -> None:
    """Keep what a run of a sweep was told."""
    pairs = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    pairs.pop("folder", None)
    write_whole(folder / OVERRIDES, json.dumps(pairs).encode())
    (folder / ERROR).unlink(missing_ok=True)


def read_sweep(folder: Path) -> Sweep:
    """The runs of a sweep's folder."""
    names = [path.parent.name for path in folder.glob(f"*/{OVERRIDES}")]
    numbers = sorted(int(name) for name in names if name.isdigit())
    return Sweep(folder, [_read_run(folder / str(number), number) for number in numbers])


def _read_run(folder: Path, number: int) -> SweepRun:
    overrides = json.loads((folder / OVERRIDES).read_text("utf-8"))
    error = folder / ERROR
    if error.is_file():
        return SweepRun(number, overrides, {}, error=error.read_text("utf-8"))
    try:
        metrics = json.loads((folder / METRICS).read_text("utf-8"))
    except OSError:
        return SweepRun(number, overrides, {}, error="it ended before its results were written")
    nan: Any = math.nan
    aucs = {
        f"{kind}/{name}": AUC(**{k: nan if v is None else v for k, v in values.items()})
        for kind, result in metrics["sets"].items()
        for name, values in result["auc"].items()
    }
    return SweepRun(number, overrides, aucs, list(metrics["detectors"]), metrics["n_failures"])


def write_sweep(sweep: Sweep) -> None:
    """Write the table and the plot."""
    write_whole(sweep.folder / "sweep.md", sweep_table(sweep).markdown().encode())
    rows = [
        {
            "run": run.number,
            **{name: run.overrides.get(name, "") for name in sweep.parameters},
            "column": column,
            "auc": auc.value,
            "low": auc.low,
            "high": auc.high,
            "is_best": sweep.best(column) is run,
        }
        for run in sweep.runs
        for column, auc in run.aucs.items()
    ]
    columns = ["run", *sweep.parameters, "column", "auc", "low", "high", "is_best"]
    write_csv(sweep.folder / "sweep.csv", rows, columns)
    if sweep.columns and sweep.parameters:
        for suffix, data in figure_files(_plot(sweep), ("svg", "png", "pdf")).items():
            write_whole(sweep.folder / f"sweep.{suffix}", data)


def sweep_table(sweep: Sweep) -> Table:
    """Runs x methods whose AUC changed, or the other way round where that is narrower; the best
    run of each method in bold."""
    told = [[run.told(name) for name in sweep.parameters] for run in sweep.runs]
    cells = {column: [_cell(sweep, run, column) for run in sweep.runs] for column in sweep.columns}
    if len(sweep.columns) <= len(sweep.runs):
        numbers = [str(run.number) for run in sweep.runs]
        rows = [
            [n, *words, *of] for n, words, *of in zip(numbers, told, *cells.values(), strict=True)
        ]
        return Table(["run", *sweep.parameters, *sweep.columns], rows)
    last = ["seen from"] if _strengths(sweep) else []
    turned: list[list[str] | None] = []
    for _, columns in groupby(sweep.columns, _set_of):
        turned += [None] if turned else []
        turned += [
            [column, *cells[column], *(number(seen_from(sweep, column)) for _ in last)]
            for column in columns
        ]
    return Table([", ".join(sweep.parameters), *map(", ".join, told), *last], turned)


def _set_of(column: str) -> str:
    return column.partition("/")[0]


def _cell(sweep: Sweep, run: SweepRun, column: str) -> str:
    if column not in run.aucs:
        return "failed" if run.error else NOTHING
    auc = run.aucs[column]
    return Best(auc) if sweep.best(column) is run and not auc.is_of_few else str(auc)


def seen_from(sweep: Sweep, column: str) -> float:
    """The smallest strength from which on a method's interval lies above 0.5; NaN where it does not
    at the largest."""
    smallest = math.nan
    for value, run in sorted(_strengths(sweep).items(), reverse=True):
        if column not in run.aucs or not run.aucs[column].low > 0.5:
            break
        smallest = value
    return smallest


def _strengths(sweep: Sweep) -> dict[float, SweepRun]:
    """The runs by the strength of what was planted, where it is the one parameter."""
    if [name.rpartition(".")[2] for name in sweep.parameters] != [STRENGTH]:
        return {}
    values = _numbers([run.told(sweep.parameters[0]) for run in sweep.runs])
    return dict(zip(values, sweep.runs, strict=False))


def _numbers(values: Sequence[str]) -> list[float]:
    """The values as finite numbers; none where one of them is none."""
    with suppress(ValueError):
        numbers = [float(value) for value in values]
        return numbers if all(map(math.isfinite, numbers)) else []
    return []


def _plot(sweep: Sweep) -> Figure:
    """AUC against each swept parameter, with intervals; a panel per parameter and test set."""
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(map(_set_of, sweep.columns)))
    size = (4.6 * len(sets) + 1, 3.8 * len(sweep.parameters))
    plot = Figure(figsize=size, layout="constrained")
    panels = plot.subplots(len(sweep.parameters), len(sets), squeeze=False, sharey=True)
    runs = [run for run in sweep.runs if not run.error]
    for row, parameter in zip(panels, sweep.parameters, strict=True):
        values = [run.told(parameter) for run in runs]
        names = list(dict.fromkeys(values))
        numbers = _numbers(values)  # words stand one after the other
        places = numbers or [float(names.index(value)) for value in values]
        by_place = sorted(zip(places, runs, strict=True), key=lambda pair: pair[0])
        for axes, name in zip(row, sets, strict=True):
            for place, (label, line) in enumerate(_lines(sweep, by_place, parameter, name).items()):
                _draw(axes, f"C{place % 10}", label, line)
            if not numbers:
                axes.set_xticks(range(len(names)), names)
            axes.set(xlabel=parameter, title=f"test set {name}")
            axes.axhline(0.5, color="0.7", linewidth=0.8, linestyle=":")
            axes.grid(color="0.92")
            columns = [column for column in sweep.columns if _set_of(column) == name]
            title = "best with a star" if any(map(sweep.best, columns)) else None
            axes.legend(fontsize=7, title=title, title_fontsize=7)
        row[0].set_ylabel("AUC, 95 % interval")
    return plot


Line = list[tuple[float, AUC, bool, bool]]
"""Points: where they lie on the axis, the AUC, whether it is the best, whether a detector's."""


def _lines(
    sweep: Sweep, by_place: Sequence[tuple[float, SweepRun]], parameter: str, test_set: str
) -> dict[str, Line]:
    """A line for each method and for each combination of the other parameters."""
    lines: dict[str, Line] = defaultdict(list)
    others = [name for name in sweep.parameters if name != parameter]
    for column in sweep.columns:
        method = column.partition("/")[2]
        for place, run in by_place:
            if _set_of(column) == test_set and not math.isnan(run.auc(column)):
                label = ", ".join([method, *(f"{name}={run.told(name)}" for name in others)])
                is_best = sweep.best(column) is run
                lines[label].append((place, run.aucs[column], is_best, method in run.detectors))
    return lines


def _draw(axes: Axes, color: str, label: str, line: Line) -> None:
    x, aucs, are_best, of_detector = zip(*line, strict=True)
    thickness, dashes = (2.2, "-") if any(of_detector) else (1.0, "--")
    y = [auc.value for auc in aucs]
    axes.plot(x, y, dashes, color=color, linewidth=thickness, marker="o", label=label)
    bounds = [auc.low for auc in aucs], [auc.high for auc in aucs]
    axes.fill_between(x, *bounds, color=color, alpha=0.08)
    for star in compress(zip(x, y, strict=True), are_best):
        axes.plot(*star, color=color, marker="*", markersize=14)
