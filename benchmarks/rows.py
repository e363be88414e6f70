"""What the benchmarks share: rows of one table, and the processor's name."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nacd_bench.runs.tables import Table

DECODING = "PNG decoding"
LIBRARIES = ("piq", "piq, float64", "torchmetrics", "pyiqa")


@dataclass(frozen=True)
class Row:
    """One measurement beside others of the same run.

    Args:
        what: was measured.
        figure: the measurement with its unit.
        over_decoding: times that decoding the triplet's PNG files takes.
        libraries: by library, times that it takes of what this takes.
        aim: what is wanted.
    """

    what: str
    figure: str
    over_decoding: float | None = None
    libraries: Mapping[str, float] = field(default_factory=dict)
    aim: str = ""


def table(rows: Iterable[Row]) -> str:
    """Rows as Markdown."""
    columns = ("what", "this", f"/ {DECODING}", *(f"{name} / this" for name in LIBRARIES), "aim")
    cells = [
        [
            row.what,
            row.figure,
            _ratio(row.over_decoding),
            *(_ratio(row.libraries.get(name)) for name in LIBRARIES),
            row.aim,
        ]
        for row in rows
    ]
    return markdown(columns, cells)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells as a Markdown table."""
    return Table(list(columns), [list(row) for row in rows]).markdown()


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.{2 if value < 10 else 0 if value >= 100 else 1}f}"


def cpu_name() -> str:
    """Of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
