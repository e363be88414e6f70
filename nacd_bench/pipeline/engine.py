"""Images through stages: the one loop of every job over many images, whatever runs the stages.

::

    for work in run([Read(folder), Code(...), Detect(...)], works, workers=8):
        journal.append(work.record())
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, Literal

from nacd_bench.pipeline.stages import Chain, Stage, Work, chains
from nacd_bench.pipeline.workers import Workers, cores

Engine = Literal["local", "ray"]
AHEAD = 2
"""Images on the way per process: one that it works on and one that waits."""
PAUSE = 0.005
"""Seconds between two looks at several pools."""


def run(
    stages: Sequence[Stage],
    works: Iterable[list[Work]],
    *,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
) -> Generator[Work]:
    """Send images through stages; only so many are on the way that memory stays flat.

    Close it (:func:`contextlib.closing`) where the loop over it may end early.

    Args:
        stages: what is done to an image; those on a GPU get a process of their own.
        works: images that go together, usually one; read when they are asked for.
        engine: ``"local"`` for this machine, ``"ray"`` for a cluster.
        workers: processes; one per core by default, 0 for none but this one.
        address: of a Ray cluster; None for one of this machine's own.

    Yields:
        each image when all is done, without its pictures, in the order in which they end.
    """
    coming = iter(works)
    first = next(coming, None)
    if first is None:
        return
    coming = chain([first], coming)
    with ExitStack() as stack:
        groups = chains(stages)
        if engine == "ray":
            from nacd_bench.pipeline.ray import RayWorkers, cluster

            count = stack.enter_context(cluster(address, workers))
            pools: list[Any] = [RayWorkers(count, group) for group in groups]
        else:
            count = cores() if workers is None else workers
            pools = [Workers(_processes(group, count), group, group.died) for group in groups]
        for pool in pools:
            stack.enter_context(pool)
        yield from _sent_through(groups, pools, coming, AHEAD * max(1, count))


def _sent_through(
    groups: Sequence[Chain], pools: Sequence[Any], coming: Iterator[list[Work]], most: int
) -> Iterator[Work]:
    """Images through the pools of the groups of stages, so many of them at a time."""
    waiting: list[deque[list[Work]]] = [deque() for _ in groups]
    on_the_way, more = 0, True
    while more or on_the_way:
        while more and on_the_way < most:
            batch = next(coming, None)
            more = batch is not None
            if batch is not None:
                waiting[0].append(batch)
                on_the_way += 1
        for pool, queue in zip(pools, waiting, strict=True):
            while queue and pool.room:
                pool.submit(queue.popleft())
        busy = [place for place, pool in enumerate(pools) if pool.busy]
        ended = [
            (place, batch)
            for place in busy
            for _, batch in pools[place].finished(block=len(busy) == 1)
        ]
        for place, batch in ended:
            if groups[place].is_last or batch[0].died:
                on_the_way -= 1
                yield from batch
            else:
                waiting[place + 1].append(batch)
        if busy and not ended:
            time.sleep(PAUSE)


def _processes(chain: Chain, workers: int) -> int:
    if chain.stays_here:
        return 0
    return min(workers, 1) if chain.on_device else workers
