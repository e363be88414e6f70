"""Settings of a process that works on large planes with many threads."""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Numbers of malloc's parameters (glibc, malloc.h)."""


def tune_process() -> None:
    """Make freed memory and idle threads cheap; call it before torch is imported.

    A plane of 8 megapixels is fresh memory each time unless malloc keeps what is freed, and its
    page faults cost as much as the work on it. OpenMP's idle threads spin unless told to sleep, and
    take the time of working ones on a busy machine. What the user set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
