"""Where the time of a command goes, by part: seconds of wall time inside each.

Parts that run side by side, in threads or processes, add up to more than the whole.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_spent: dict[str, float] = defaultdict(float)
_writing = threading.Lock()


class _Inner(threading.local):
    seconds = 0.0


_inner = _Inner()
"""Of the part that this thread is in: what it spent in parts within that part."""


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Seconds inside count for the part; those of a part within count for that one alone."""
    began, outer, _inner.seconds = time.perf_counter(), _inner.seconds, 0.0
    try:
        yield
    finally:
        took = time.perf_counter() - began
        with _writing:
            _spent[part] += took - _inner.seconds
        _inner.seconds = outer + took


class Clock:
    """The time by part of this process since the clock was made."""

    def __init__(self) -> None:
        self.before = dict(_spent)

    @property
    def seconds(self) -> dict[str, float]:
        """By part, in the order in which parts were first done."""
        spent = {part: seconds - self.before.get(part, 0.0) for part, seconds in _spent.items()}
        return {part: round(seconds, 3) for part, seconds in spent.items() if seconds > 0}

    def __str__(self) -> str:
        return by_part(self.seconds)


def by_part(seconds: Mapping[str, float]) -> str:
    """What a command says at its end; parts that take next to nothing are left out.

    >>> by_part({"made": 12.4, "decoded": 0.61, "report": 0.04})
    'Time by part: made 12 s, decoded 0.6 s'
    """
    parts = [
        f"{part} {each:.{0 if each >= 9.5 else 1}f} s"
        for part, each in seconds.items()
        if each >= 0.05
    ]
    return f"Time by part: {', '.join(parts) or 'none'}"
