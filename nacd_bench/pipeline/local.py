"""The local engine: all cores of this machine, and one process for its GPU."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from nacd_bench.pipeline.stages import Chain, Work
from nacd_bench.pipeline.workers import Workers

AHEAD = 2
"""Images on the way per process: one that it works on and one that waits."""
PAUSE = 0.005
"""Seconds between two looks at several pools."""


def run_local(
    chains: Sequence[Chain],
    work: Iterator[Work],
    workers: int,
    finished: Callable[[dict[str, Any]], None],
) -> None:
    """Send images through their stages; only so many are on the way that memory stays flat.

    Args:
        chains: groups of stages; each group on a GPU gets one process, the others ``workers`` each.
        work: the images, read when they are asked for.
        workers: processes; 0 does everything in this one.
        finished: takes the record of each image.
    """
    with ExitStack() as stack:
        pools = [
            stack.enter_context(Workers(_processes(chain, workers), chain, chain.died))
            for chain in chains
        ]
        waiting: list[deque[Any]] = [deque() for _ in chains]
        most = AHEAD * max(1, workers)
        on_the_way, more = 0, True
        while more or on_the_way:
            while more and on_the_way < most:
                following = next(work, None)
                more = following is not None
                if following is not None:
                    waiting[0].append(following)
                    on_the_way += 1
            for pool, queue in zip(pools, waiting, strict=True):
                while queue and pool.room:
                    pool.submit(queue.popleft())
            busy = [place for place, pool in enumerate(pools) if pool.busy]
            came = False
            for place in busy:
                for _, done in pools[place].finished(block=len(busy) == 1):
                    came = True
                    if isinstance(done, Work):
                        waiting[place + 1].append(done)
                    else:
                        on_the_way -= 1
                        finished(done)
            if busy and not came:
                time.sleep(PAUSE)


def _processes(chain: Chain, workers: int) -> int:
    if chain.stays_here:
        return 0
    return min(workers, 1) if chain.on_device else workers
