"""Processes that survive the death of one of them and die with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from nacd_bench.errors import DataError, UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

TRIES = 2
"""Times that a job may take its process down before it is given up."""
GRACE = 2.0
"""Seconds that a worker has to end its children and itself."""


class Workers(Generic[Job, Result]):
    """Runs jobs in other processes, one in each at a time.

    A job that takes its process down is run once more in a new one; the others notice nothing.

    Args:
        count: processes; 0 runs every job in this one.
        work: what is done with a job; sent to each process once.
        died: the result of a job that took its process down twice.
        threads: of PyTorch and OpenCV in each process.
        context: how processes start.

    Raises:
        UserError: processes are wanted by a script that each of them would run again.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Job], Result],
        died: Callable[[Job], Result],
        threads: int = 1,
        context: BaseContext | None = None,
    ) -> None:
        if count:
            _require_guard()
        self.count = count
        self.work = work
        self.died = died
        self.threads = threads
        self.context = context or worker_context()
        self._here: deque[Job] = deque()
        self._idle: list[Connection] = []
        self._running: dict[Connection, tuple[Job, int]] = {}
        self._processes: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Workers[Job, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(list(self._processes))

    @property
    def busy(self) -> bool:
        return bool(self._running or self._here)

    @property
    def room(self) -> bool:
        """Whether another job would find a process now."""
        return len(self._running) < self.count if self.count else not self._here

    def submit(self, job: Job, deaths: int = 0) -> None:
        """Start a job, which has taken down so many processes already."""
        if self.count == 0:
            self._here.append(job)
            return
        connection = self._idle.pop() if self._idle else self._started()
        try:
            connection.send(job)
        except ConnectionError:  # it died while it had nothing to do
            self._end([connection])
            connection = self._started()
            connection.send(job)
        self._running[connection] = job, deaths

    def finished(self, block: bool) -> list[tuple[Job, Result]]:
        """The jobs that ended since the last call; with ``block``, it waits for news of one.

        Raises:
            Exception: of whatever kind, what the work raised.
        """
        if self._here:
            job = self._here.popleft()
            return [(job, self.work(job))]
        ended = []
        for connection in wait(list(self._running), None if block else 0) if self._running else ():
            assert isinstance(connection, Connection)
            job, deaths = self._running.pop(connection)
            try:
                error, result = connection.recv()
            except (EOFError, ConnectionError):
                self._end([connection])
                if deaths + 1 < TRIES:
                    self.submit(job, deaths + 1)
                else:
                    ended.append((job, self.died(job)))
                continue
            self._idle.append(connection)
            if error is not None:
                raise error
            ended.append((job, result))
        return ended

    def _started(self) -> Connection:
        connection, other = multiprocessing.Pipe()
        process = self.context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(other, self.work, self.threads)
        )
        process.start()
        other.close()
        self._processes[connection] = process
        return connection

    def _end(self, connections: Iterable[Connection]) -> None:
        processes = [self._processes.pop(connection) for connection in connections]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()


def finished_jobs(pool: Workers[Job, Result], jobs: Iterable[Job]) -> Iterator[tuple[Job, Result]]:
    """Every job with its result, as they end; jobs are taken when there is room for one."""
    waiting, more = iter(jobs), True
    while more or pool.busy:
        while more and pool.room:
            for job in waiting:
                pool.submit(job)
                break
            else:
                more = False
        yield from pool.finished(block=True)


def ahead(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    threads: int,
    more: int = 0,
    alone: Callable[[Job], bool] = lambda job: False,
) -> Iterator[Result]:
    """The function of each job in order, by threads that are a few jobs ahead.

    Args:
        threads: 0 for none: each job is done when its result is asked for.
        more: jobs begun beyond those that the threads work on.
        alone: whether a job has to wait until those before it are done, and those after it wait
            until its result was taken: it needs the memory.

    >>> list(ahead(len, ["a", "bc"], threads=2))
    [1, 2]
    """
    for is_alone, some in groupby(jobs, alone):
        if is_alone or not threads:
            yield from map(function, some)
            continue
        with ThreadPoolExecutor(threads) as pool:
            futures: deque[Future[Result]] = deque()
            for job in some:
                futures.append(pool.submit(function, job))
                if len(futures) > threads + more:
                    yield futures.popleft().result()
            yield from (future.result() for future in futures)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_context() -> BaseContext:
    """Processes that do not inherit this one's threads; PyTorch is loaded once for all of them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nacd_bench.coding.matched"])
    return context


def set_threads(count: int) -> None:
    """Threads of PyTorch and OpenCV in this process."""
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def _serve(connection: Connection, work: Callable[[Any], Any], threads: int) -> None:
    """Jobs until the parent ends this process: no answer to Ctrl-C, no life after the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    end_with_parent()
    set_threads(threads)
    try:
        while True:
            job = connection.recv()
            outcome: tuple[Exception | None, Any]
            try:
                outcome = None, work(job)
            except Exception as error:
                outcome = error, None
            try:
                connection.send(outcome)
            except (TypeError, AttributeError, ValueError) as error:
                connection.send((DataError(f"a result cannot leave its process: {error}"), None))
    finally:  # whatever ended it; what the work left behind does not matter any more
        os._exit(1)


def _exit(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut short what follows
    sys.exit(1)  # the work ends its children on the way out


def end_with_parent() -> None:
    """Let this process, which another one started, not live on when that is killed."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):  # not on Windows
            # this thread would not interrupt what that one waits for
            signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)


def _require_guard() -> None:
    """New processes import the script that runs, and one without a guard begins all over again."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None:
        return
    source = "__name__"
    with suppress(OSError, ValueError):
        source = Path(file).read_text("utf-8")
    if "__name__" not in source:
        raise UserError(
            f"expected {file} to run its work under `if __name__ == '__main__':`, got a script "
            "that every worker process would begin again. Add that line, or give workers=0."
        )
