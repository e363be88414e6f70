"""How commands print: tables, failures, one width."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_IN_FILES = 140
"""Of tables where the output is no terminal."""
MOST_LINES = 20
"""Failures shown; the file has them all."""


def console() -> Console:
    """Standard output, as wide as its terminal."""
    from rich.console import Console

    class ToConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich would end the program here: cli.main does

    is_terminal = sys.stdout.isatty()
    width = None if is_terminal else WIDTH_IN_FILES
    return ToConsole(highlight=False, soft_wrap=not is_terminal, width=width)


def listed_oddities(
    to: Console, left_out: Mapping[str, int], notes: Mapping[str, Sequence[str]]
) -> None:
    """Print what a search left out, by kind, and notes on files, by their names."""
    if left_out:
        from nacd_bench.coding.originals import counted

        to.print(
            f"{sum(left_out.values())} files of kinds that are not read were left out: "
            f"{counted(left_out)}",
            markup=False,
        )
    lines = [f"{path}: {note}" for path, own in notes.items() for note in own]
    for line in lines[:MOST_LINES]:
        to.print(f"note: {line}", markup=False)
    if len(lines) > MOST_LINES:
        to.print(f"and {len(lines) - MOST_LINES} notes more", markup=False)


def listed_failures(to: Console, lines: Sequence[Any], file: Path) -> int:
    """Print what failed, the same only once; the exit status."""
    if not lines:
        return 0
    to.print(f"\n{len(lines)} failed:", markup=False)
    for line in lines[:MOST_LINES]:
        to.print(f"  {line}", markup=False)
    if len(lines) > MOST_LINES:
        to.print(f"  and {len(lines) - MOST_LINES} more", markup=False)
    to.print(f"All of them: {file}", markup=False)
    return 1
