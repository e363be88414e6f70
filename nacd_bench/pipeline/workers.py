"""A pool of processes that survives the death of one of them and dies with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Generic, TypeVar

from nacd_bench.errors import UserError

Job = TypeVar("Job")
Done = TypeVar("Done")

GRACE = 2.0
"""Seconds that a worker has to end its children and itself."""


class Workers(Generic[Job, Done]):
    """Runs jobs in other processes.

    A codec that takes its process down breaks the whole pool. Every job that was on the way then
    runs again alone, so that the guilty one is known and the others are not lost.

    Args:
        count: processes; 0 runs every job in this one.
        work: what is done with a job; sent to each process once.
        died: what is to be said of a job that took its process down alone.
        threads: of PyTorch and OpenCV in each process.
        context: how processes start.

    Raises:
        UserError: processes are wanted by a script that each of them would run again.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Job], Done],
        died: Callable[[Job], Done],
        threads: int = 1,
        context: BaseContext | None = None,
    ) -> None:
        if count:
            _require_guard()
        self.count = count
        self.work = work
        self.died = died
        self.threads = threads
        self.context = context
        self._pool: ProcessPoolExecutor | None = None
        self._processes: set[multiprocessing.process.BaseProcess] = set()
        self._running: dict[Future[Done], Job] = {}
        self._suspects: deque[Job] = deque()
        self._here: deque[Job] = deque()

    def __enter__(self) -> Workers[Job, Done]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None and not self._running:
            self._pool.shutdown()
            self._pool = None
        self._close()

    @property
    def busy(self) -> bool:
        return bool(self._running or self._suspects or self._here)

    @property
    def room(self) -> bool:
        """Whether another job would find a process soon."""
        if self.count == 0:
            return not self._here
        return not self._suspects and len(self._running) < 2 * self.count

    def submit(self, job: Job) -> None:
        if self.count == 0:
            self._here.append(job)
        else:
            self._start(job)

    def finished(self, block: bool) -> Iterator[tuple[Job, Done]]:
        """The jobs that ended since the last call; with ``block``, at least one if any is on.

        Raises:
            DataError: a job found the disk full.
        """
        if self._here:
            job = self._here.popleft()
            yield job, self.work(job)
            return
        if not self._running and self._suspects:
            self._start(self._suspects.popleft())
        if not self._running:
            return
        alone = len(self._running) == 1
        ended, _ = wait(self._running, None if block else 0, FIRST_COMPLETED)
        broken: list[Job] = []
        for future in ended:
            job = self._running.pop(future)
            try:
                yield job, future.result()
            except BrokenProcessPool:
                broken.append(job)
        if not broken:
            return
        broken += self._running.values()
        self._running.clear()
        self._close()
        if alone:
            yield broken[0], self.died(broken[0])
        else:
            self._suspects.extend(broken)

    def _start(self, job: Job) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count,
                mp_context=self.context or worker_context(),
                initializer=_prepare_worker,
                initargs=(self.work, self.threads),
            )
        before = set(multiprocessing.active_children())  # an executor does not tell its processes
        try:
            self._running[self._pool.submit(_done, job)] = job
            self._processes |= set(multiprocessing.active_children()) - before
        except BrokenProcessPool:
            self._suspects.append(job)
            self._suspects.extend(self._running.values())
            self._running.clear()
            self._close()

    def _close(self) -> None:
        if self._pool is None:
            return
        processes, self._processes = self._processes, set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()


def finished_jobs(pool: Workers[Job, Done], jobs: Iterable[Job]) -> Iterator[tuple[Job, Done]]:
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


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_at_work = False
_work: Callable[[Any], Any]
"""What this worker does with a job."""


def _done(job: Any) -> Any:
    """A job's work in a worker; when it is told to end, it ends its children and then itself."""
    global _at_work
    try:
        _at_work = True
        return _work(job)
    except SystemExit:
        os._exit(1)
    finally:
        _at_work = False


def _end(*_: object) -> None:
    if _at_work:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut short what follows
        sys.exit(1)  # see _done
    os._exit(1)


def _require_guard() -> None:
    """New processes import the script that runs, and one without a guard begins all over again."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None:
        return
    try:
        source = Path(file).read_text("utf-8")
    except (OSError, ValueError):
        return
    if "__name__" not in source:
        raise UserError(
            f"expected {file} to run its work under `if __name__ == '__main__':`, got a script "
            "that every worker process would begin again. Add that line, or give workers=0."
        )


def worker_context() -> BaseContext:
    """Processes that do not inherit this one's threads; PyTorch is loaded once for all of them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nacd_bench.coding.matched"])
    return context


def _prepare_worker(work: Callable[[Any], Any], threads: int) -> None:
    """Few threads in each, no answer to Ctrl-C (the parent's task), no life after the parent."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):  # not on Windows
            # this thread would not interrupt what that one waits for
            signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)
