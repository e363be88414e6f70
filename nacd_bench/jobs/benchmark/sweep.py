"""A sweep: one benchmark per value of a parameter, and one table and plot over all of them.

Each run has a folder of its own, ``<sweep>/<number>``, with ``overrides.json`` beside its results.
The sweep's folder gets ``sweep.csv``, ``sweep.md`` and ``sweep.svg``, ``.png`` and ``.pdf``.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.evaluation.auc import AUC
from nacd_bench.jobs.benchmark.results import Benchmarked, interval
from nacd_bench.report.figures import figure_files
from nacd_bench.runs.tables import Best, Table
from nacd_bench.triplets.files import csv_bytes, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OVERRIDES = "overrides.json"
ERROR = "error.txt"


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


@dataclass(frozen=True)
class Sweep:
    """All runs in their order; ``parameters`` are the settings that differ between them."""

    folder: Path
    runs: Sequence[SweepRun]

    @property
    def parameters(self) -> list[str]:
        names = list(dict.fromkeys(name for run in self.runs for name in run.overrides))
        return [
            name for name in names if len({run.overrides.get(name) for run in self.runs}) > 1
        ] or names

    @property
    def columns(self) -> list[str]:
        """Sets and methods whose AUC differs between runs; all of them where none does."""
        names = list(dict.fromkeys(name for run in self.runs for name in run.aucs))
        moved = [name for name in names if len({_value(run, name) for run in self.runs}) > 1]
        return moved or names

    def best(self, column: str) -> SweepRun | None:
        """The run with the highest AUC of a detector, the first of equal ones."""
        known = [run for run in self.runs if not math.isnan(_value(run, column))]
        return max(known, key=lambda run: _value(run, column), default=None)


def note_run(folder: Path, overrides: Sequence[str]) -> None:
    """Keep what a run of a sweep was told."""
    pairs = dict(each.lstrip("+").split("=", 1) for each in overrides if "=" in each)
    pairs.pop("folder", None)
    write_whole(folder / OVERRIDES, json.dumps(pairs).encode())
    (folder / ERROR).unlink(missing_ok=True)


def objective(done: Benchmarked) -> float:
    """Mean AUC of all detectors on the sets of their types: what an optimiser maximises."""
    values = [
        each.aucs[name].value
        for kind, each in done.comparisons.items()
        for name, own in done.detectors.items()
        if own == kind and not math.isnan(each.aucs[name].value)
    ]
    return sum(values) / len(values) if values else math.nan


def read_sweep(folder: Path) -> Sweep:
    """The runs of a sweep's folder."""
    numbers = sorted(
        int(each.parent.name)
        for each in folder.glob(f"*/{OVERRIDES}")
        if each.parent.name.isdigit()
    )
    return Sweep(folder, [_read_run(folder / str(number), number) for number in numbers])


def write_sweep(sweep: Sweep) -> None:
    """Write the table and the plot."""
    table = sweep_table(sweep)
    write_whole(sweep.folder / "sweep.md", table.markdown().encode())
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
    write_whole(sweep.folder / "sweep.csv", csv_bytes(columns, rows))
    if sweep.columns and sweep.parameters:
        for suffix, data in figure_files(sweep_figure(sweep), ("svg", "png", "pdf")).items():
            write_whole(sweep.folder / f"sweep.{suffix}", data)


def sweep_table(sweep: Sweep) -> Table:
    """Runs x methods whose AUC changed, or the other way round where that is narrower; the best
    run of each method in bold."""
    cells = {column: [_cell(sweep, run, column) for run in sweep.runs] for column in sweep.columns}
    told = [[run.overrides.get(name, "-") for name in sweep.parameters] for run in sweep.runs]
    if len(sweep.columns) <= len(sweep.runs):
        rows = [
            [str(run.number), *told[place], *(cells[column][place] for column in sweep.columns)]
            for place, run in enumerate(sweep.runs)
        ]
        return Table(["run", *sweep.parameters, *sweep.columns], rows)
    numbers = _numbers(sweep)
    turned: list[list[str] | None] = []
    for column in sweep.columns:
        if turned and turned[-1] and turned[-1][0].partition("/")[0] != column.partition("/")[0]:
            turned.append(None)
        seen = seen_from(sweep, column)
        last = ["-" if math.isnan(seen) else f"{seen:g}"] if numbers else []
        turned.append([column, *cells[column], *last])
    headings = [", ".join(values) for values in told]
    columns = [", ".join(sweep.parameters), *headings, *(["seen from"] if numbers else [])]
    return Table(columns, turned)


def seen_from(sweep: Sweep, column: str) -> float:
    """The smallest value of the one parameter from which on a method's interval lies above 0.5;
    NaN where it does not at the largest."""
    found = math.nan
    for value, run in sorted(_numbers(sweep).items(), reverse=True):
        if column not in run.aucs or not run.aucs[column].low > 0.5:
            break
        found = value
    return found


def _numbers(sweep: Sweep) -> dict[float, SweepRun]:
    """The runs by the value of the one parameter, where there is one and it is a number."""
    if len(sweep.parameters) != 1:
        return {}
    values = [run.overrides.get(sweep.parameters[0], "-") for run in sweep.runs]
    if not all(map(_is_number, values)):
        return {}
    return dict(zip(map(float, values), sweep.runs, strict=True))


def _cell(sweep: Sweep, run: SweepRun, column: str) -> str:
    if run.error:
        return "failed"
    if column not in run.aucs:
        return "-"
    auc = run.aucs[column]
    is_best = sweep.best(column) is run and not auc.is_of_few
    return Best(interval(auc)) if is_best else interval(auc)


def sweep_figure(sweep: Sweep) -> Figure:
    """AUC against each swept parameter, with intervals; a panel per parameter and test set."""
    from matplotlib.figure import Figure

    parameters = sweep.parameters
    sets = list(dict.fromkeys(column.partition("/")[0] for column in sweep.columns))
    size = (4.6 * len(sets) + 1, 3.8 * len(parameters))
    found = Figure(figsize=size, layout="constrained")
    panels = found.subplots(len(parameters), len(sets), squeeze=False, sharey=True)
    for row, parameter in zip(panels, parameters, strict=True):
        for axes, name in zip(row, sets, strict=True):
            columns = [column for column in sweep.columns if column.startswith(f"{name}/")]
            _panel(axes, sweep, parameter, columns)
            axes.set(xlabel=parameter, title=f"test set {name}")
        row[0].set_ylabel("AUC, 95 % interval")
    return found


def _panel(axes: Axes, sweep: Sweep, parameter: str, columns: Sequence[str]) -> None:
    done = [run for run in sweep.runs if not run.error]
    values = [run.overrides.get(parameter, "-") for run in done]
    others = [name for name in sweep.parameters if name != parameter]
    places = dict(zip((run.number for run in done), _places(values), strict=True))
    series: dict[tuple[str, ...], list[SweepRun]] = defaultdict(list)
    for column in columns:
        for run in done:
            if not math.isnan(_value(run, column)):
                key = (column, *(f"{name}={run.overrides.get(name, '-')}" for name in others))
                series[key].append(run)
    for number, ((column, *rest), runs) in enumerate(series.items()):
        method = column.partition("/")[2]
        is_detector = any(method in run.detectors for run in runs)
        runs.sort(key=lambda run: places[run.number])
        aucs = [run.aucs[column] for run in runs]
        x, y = [places[run.number] for run in runs], [each.value for each in aucs]
        color, label = f"C{number % 10}", ", ".join([method, *rest])
        thickness, dashes = (2.2, "-") if is_detector else (1.0, "--")
        axes.plot(x, y, dashes, color=color, linewidth=thickness, marker="o", label=label)
        axes.fill_between(
            x, [each.low for each in aucs], [each.high for each in aucs], color=color, alpha=0.08
        )
        best = sweep.best(column)
        if best is not None and best in runs:
            place = runs.index(best)
            axes.plot(x[place], y[place], color=color, marker="*", markersize=14)
    if not all(map(_is_number, values)):
        axes.set_xticks(sorted(set(places.values())), list(dict.fromkeys(values)))
    axes.axhline(0.5, color="0.7", linewidth=0.8, linestyle=":")
    axes.grid(color="0.92")
    axes.legend(fontsize=7, title="best with a star", title_fontsize=7)


def _places(values: Sequence[str]) -> list[float]:
    """Where values stand on an axis: numbers as they are, names one after the other."""
    if all(map(_is_number, values)):
        return [float(value) for value in values]
    order = list(dict.fromkeys(values))
    return [float(order.index(value)) for value in values]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _value(run: SweepRun, column: str) -> float:
    return run.aucs[column].value if column in run.aucs else math.nan


def _read_run(folder: Path, number: int) -> SweepRun:
    overrides = json.loads((folder / OVERRIDES).read_text("utf-8"))
    error = folder / ERROR
    if error.is_file():
        return SweepRun(number, overrides, {}, error=error.read_text("utf-8"))
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    except OSError:
        return SweepRun(number, overrides, {}, error="it ended before its results were written")
    aucs = {}
    for kind, each in metrics["sets"].items():
        for name, found in each["auc"].items():
            values: Any = {k: math.nan if v is None else v for k, v in found.items()}
            aucs[f"{kind}/{name}"] = AUC(**values)
    return SweepRun(number, overrides, aucs, list(metrics["detectors"]), metrics["n_failures"])
