"""How commands print: lines and tables, failures, one width."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench.numbers import count
from nacd_bench.runs.tables import Table

WIDTH_IN_FILES = 140
"""Of tables where the output is no terminal."""
MOST_LINES = 20
"""Failures and notes shown; the file has them all."""


def show(*parts: str | Table) -> None:
    """Print lines as they are, and tables as wide as the terminal."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    for part in parts:
        with console.capture() as captured:
            if isinstance(part, Table):
                console.print(part.rich(), end="")
        print(captured.get() or part, flush=True)


def show_oddities(
    left_out: Mapping[str, int],
    notes: Mapping[str, Sequence[str]],
    duplicates: Mapping[str, str] | None = None,
) -> None:
    """Print what a search left out, by kind and as copies of others, and notes on files."""
    from nacd_bench.coding.originals import counted

    if left_out:
        number = sum(left_out.values())
        files = f"{count(number, 'file')} of kinds that are not read"
        show(f"{files} {'was' if number == 1 else 'were'} left out: {counted(left_out)}")
    lines = [f"note: {path}: {note}" for path, of_path in notes.items() for note in of_path]
    show(*lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        show(f"and {count(len(lines) - MOST_LINES, 'note')} more")
    twins = (duplicates or {}).items()
    show(*(f"{twin}: left out, the same bytes as {first}" for twin, first in twins))


def show_failures(failures: Iterable[Any], folder: Path, file: str = "failures.csv") -> int:
    """Print what failed and where all of it is listed; the exit status."""
    lines = [f"  {failure}" for failure in failures]
    if not lines:
        return 0
    show(f"\n{len(lines)} failed:", *lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        show(f"  and {len(lines) - MOST_LINES} more")
    show(f"All of them: {folder / file}")
    return 1
