"""What malloc does with memory that is freed (glibc; elsewhere nothing happens)."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Numbers of malloc's parameters (malloc.h)."""


@cache
def keep_memory() -> None:
    """Keep what is freed from now on: a plane is fresh memory each time otherwise, and its page
    faults cost as much as the work on it."""
    _glibc("mallopt", M_MMAP_MAX, 0)
    _glibc("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_memory() -> None:
    """Return memory that was freed to the system: pieces of the planes of large pictures hardly
    ever fit together again."""
    _glibc("malloc_trim", 0)


def _glibc(function: str, *arguments: int) -> None:
    if sys.platform.startswith("linux"):
        getattr(ctypes.CDLL(None), function, lambda *_: None)(*arguments)  # musl has none
