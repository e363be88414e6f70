"""The Ray engine: the same stages as tasks of a cluster, which may lose machines on the way.

Ray chooses the machine and the process. What is done is on record on the machine that began the
run; images whose process or machine died are handed out again.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.pipeline.stages import Chain, Work
from nacd_bench.pipeline.workers import TRIES, set_threads
from nacd_bench.runs.folder import new_run_id

LOSSES = 5
"""Machines that an image may lose before it is given up: it may be what takes them down."""

NOTICE = 40.0
"""Seconds after which a cluster knows of a machine that it is gone."""

_chains: dict[str, Chain] = {}
"""The stages that this process of a cluster knows."""


class RayWorkers:
    """A group of stages on a cluster, as :class:`~nacd_bench.pipeline.workers.Workers`.

    Args:
        count: images that are worked on at a time.
        chain: the stages.
    """

    def __init__(self, count: int, chain: Chain) -> None:
        import ray

        self.count = count
        self.chain = chain
        self._name = new_run_id()
        self._stages = [ray.put(chain)]  # in a list, so that a process fetches them only once
        needs: dict[str, Any] = (
            {"num_cpus": 0, "num_gpus": 1} if chain.on_device else {"num_cpus": 1}
        )
        self._task = ray.remote(max_retries=0, max_calls=0, **needs)(_work)
        self._running: dict[Any, tuple[list[Work], int, int]] = {}
        self._is_unexplained = False
        self._lost: set[str] = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        import ray

        deadline = time.monotonic() + (NOTICE if self._is_unexplained and kind is None else 0)
        while not self._lost_machines() and time.monotonic() < deadline:
            time.sleep(0.5)
        for reference in self._running:
            ray.cancel(reference, force=True)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    @property
    def room(self) -> bool:
        """Whether another job is wanted."""
        return len(self._running) < self.count

    def submit(self, works: list[Work], deaths: int = 0, losses: int = 0) -> None:
        """Hand out images, which have taken down so many processes and machines already."""
        reference = self._task.remote(self._name, self._stages, works)
        self._running[reference] = works, deaths, losses

    def finished(self, block: bool) -> list[tuple[list[Work], list[Work]]]:
        """The images that ended since the last call; with ``block``, it waits for news of one.

        Raises:
            Exception: of whatever kind, what a stage raised to stop the run.
        """
        import ray
        from ray import exceptions

        lost = (exceptions.NodeDiedError, exceptions.ObjectLostError)
        self._lost_machines()
        ended = []
        references = list(self._running)
        ready, _ = ray.wait(references, num_returns=1, timeout=None if block else 0)
        for reference in ready:
            works, deaths, losses = self._running.pop(reference)
            try:
                ended.append((works, ray.get(reference)))
            except exceptions.RayError as error:
                cause = getattr(error, "cause", error)  # of a task that raised: what it raised
                if not isinstance(cause, exceptions.RayError):
                    raise cause from error
                is_loss = self._lost_machines() or isinstance(cause, lost)
                if isinstance(cause, exceptions.ObjectLostError):  # a task could not fetch them
                    self._stages = [ray.put(self.chain)]
                self._is_unexplained |= not is_loss and len(ray.nodes()) > 1
                deaths, losses = deaths + (not is_loss), losses + is_loss
                if deaths < TRIES and losses < LOSSES:
                    self.submit(works, deaths, losses)
                else:
                    ended.append((works, self.chain.died(works)))
        return ended

    def _lost_machines(self) -> bool:
        """Whether machines died since the last call; it is said once of each."""
        import ray

        gone = {
            node["NodeID"]: node["NodeManagerAddress"]
            for node in ray.nodes()
            if not node["Alive"] and node["NodeID"] not in self._lost
        }
        for address in gone.values():
            print(
                f"A machine of the Ray cluster is gone ({address}): its images are done again on "
                "those that are left.",
                file=sys.stderr,
            )
        self._lost |= gone.keys()
        self._is_unexplained &= not gone
        needed = "GPU" if self.chain.on_device else "CPU"
        if gone and not ray.cluster_resources().get(needed):
            raise DataError(
                f"expected a machine with a {needed} in the Ray cluster, got none any more. Add "
                "one and start again: what is done is kept."
            )
        return bool(gone)


def _work(name: str, stages: list[Any], works: list[Work]) -> list[Work]:
    """A task: images through stages that the process keeps."""
    if name not in _chains:
        import ray

        set_threads(1)
        _chains[name] = ray.get(stages[0])
    return _chains[name](works)


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[int]:
    """Ray, connected: how many CPUs it has. A cluster of its own ends with the run.

    Raises:
        DataError: no Ray, or no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network unless asked
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise DataError(
            "expected the package ray for engine=ray, got none. Install it: pip install "
            "'nacd-bench[ray]', on every machine of the cluster."
        ) from error
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            own: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers or None}
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(own if address is None else {}),
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DataError(
            f"expected a Ray cluster at {address or 'this machine'}, got {error}. Start one with "
            "ray start --head, or leave address out."
        ) from error
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if is_ours:
            ray.shutdown()
