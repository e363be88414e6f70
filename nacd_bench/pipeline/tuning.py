"""Settings of a process that works on large planes with many threads."""

from __future__ import annotations

import os

from nacd_bench.ops.memory import keep_memory


def tune_process() -> None:
    """Make freed memory and idle threads cheap; call it before torch is imported.

    OpenMP's idle threads spin unless told to sleep, and take the time of working ones on a busy
    machine. What the user set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_memory()
