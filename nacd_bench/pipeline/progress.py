"""The one progress of long jobs: how much is done, how long it took, how long it will take.

On a terminal it is a bar; in a log it is a line every half minute. Pieces that an earlier run did
count as done, but say nothing about the time that is left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nacd_bench.errors import CodecError
from nacd_bench.numbers import count

ENOUGH = 50
"""Pieces after which a share of failures means something."""
QUIET = 30.0
"""Seconds between two lines of a log."""


class Progress:
    """Counts the pieces of a job.

    Args:
        what: what the pieces are (``"images"``).
        total: how many there are.
        is_logged: print a line now and then.
    """

    def __init__(self, what: str, total: int, is_logged: bool = False) -> None:
        self.what = what
        self.total = total
        self.is_logged = is_logged
        self.done = 0
        self.worked = 0
        self.failures = 0
        self.note = ""
        self.started = self.last = self.printed = time.monotonic()

    def __call__(self, failures: int | None = None, count: int = 1) -> None:
        """So many more pieces were worked on; failures so far, where there are new ones."""
        self.done += count
        self.worked += count
        if failures is not None:
            self.failures = failures
        self.last = time.monotonic()
        if self.is_logged and self.last - self.printed >= QUIET:
            self.printed = self.last
            print(self, file=sys.stderr, flush=True)

    def skip(self, count: int) -> None:
        """Some pieces need no work: there already, or not possible."""
        self.done += count

    def require(self, limit: float, last: str, how: str = "") -> None:
        """Stop a job of which too many pieces fail.

        Args:
            limit: share of the pieces that may fail, of at least :data:`ENOUGH`.
            last: the last failure.
            how: how to start again.

        Raises:
            CodecError: more failed.
        """
        count = max(self.worked, min(self.total, ENOUGH))
        if self.failures > limit * count:
            raise CodecError(
                f"stopped: {self.failures} of {count} {self.what} failed, more than the "
                f"{limit:.0%} that may. The last: {last} What is done is kept: remove the cause "
                f"and start again{how}, or raise failure_limit."
            )

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at the speed so far; None before the first piece.

        >>> progress = Progress("images", 100)
        >>> progress.skip(90)
        >>> progress.started -= 20
        >>> progress(count=2)
        >>> round(progress.left)
        80
        """
        if self.done >= self.total:
            return 0.0
        if not self.worked:
            return None
        expected = (self.last - self.started) / self.worked * (self.total - self.done)
        return max(0.0, expected - (time.monotonic() - self.last))

    def __str__(self) -> str:
        elapsed = clock(time.monotonic() - self.started)
        left = "unknown" if self.left is None else clock(self.left)
        line = f"{self.done}/{self.total} {self.what}, elapsed {elapsed}, left {left}, "
        if self.note and self.worked:
            line += f"{self.worked / max(self.last - self.started, 1e-9):.2g} per second, "
        return line + ", ".join(filter(None, [count(self.failures, "failure"), self.note]))


@contextmanager
def progress_bar(what: str, total: int, show: bool) -> Iterator[Progress]:
    """Progress on standard error: call what it yields for each piece, or its methods."""
    has_bar = show and sys.stderr.isatty()
    progress = Progress(what, total, is_logged=show and not has_bar)
    if not has_bar:
        yield progress
        if show:
            print(progress, file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def drawn() -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True)
        table.add_row(ProgressBar(max(progress.total, 1), progress.done), str(progress))
        return table

    with Live(get_renderable=drawn, console=Console(stderr=True), refresh_per_second=4):
        yield progress


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
