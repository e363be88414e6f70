"""The Ray engine: the same stages as tasks of a cluster, which may lose machines on the way.

Ray chooses the machine and the process. What is done is on record on the machine that began the
run; images whose process or machine died are handed out again.
"""

from __future__ import annotations

import logging
import math
import os
import socket
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

LOOK = 0.5
"""Seconds between two looks at what the cluster knows."""

CONNECTING = 30.0
"""Seconds that the head of a cluster has to answer; Ray itself would try for many minutes."""

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
        self._unexplained: list[tuple[float, list[Work], int, int]] = []
        self._last_loss = -math.inf
        self._lost: set[str] = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        import ray

        for reference in self._running:
            ray.cancel(reference, force=True)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._unexplained)

    @property
    def room(self) -> bool:
        """Whether another job is wanted."""
        return len(self._running) + len(self._unexplained) < self.count

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
        ended = self._explain()
        if not self._running:
            time.sleep(LOOK if block and not ended else 0)
            return ended
        wait = (LOOK if self._unexplained else None) if block and not ended else 0
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=wait)
        for reference in ready:
            works, deaths, losses = self._running.pop(reference)
            try:
                ended.append((works, ray.get(reference)))
            except exceptions.RayError as error:
                cause = getattr(error, "cause", error)  # of a task that raised: what it raised
                if not isinstance(cause, exceptions.RayError):
                    raise cause from error
                if isinstance(cause, exceptions.ObjectLostError):  # a task could not fetch them
                    self._stages = [ray.put(self.chain)]
                if isinstance(cause, lost):
                    ended += self._again(works, deaths, losses + 1)
                else:
                    self._unexplained.append((time.monotonic(), works, deaths, losses))
        return ended + self._explain()

    def _explain(self) -> list[tuple[list[Work], list[Work]]]:
        """Hand out the images again whose task died, once it is clear what of; those that ended.

        A task may die well before the cluster knows that its machine is gone.
        """
        import ray

        self._notice_losses()
        is_cluster, now, ended = len(ray.nodes()) > 1, time.monotonic(), []
        waiting, self._unexplained = self._unexplained, []
        for died, works, deaths, losses in waiting:
            if abs(died - self._last_loss) < NOTICE:
                ended += self._again(works, deaths, losses + 1)
            elif now - died > NOTICE or not is_cluster:
                ended += self._again(works, deaths + 1, losses)
            else:
                self._unexplained.append((died, works, deaths, losses))
        return ended

    def _again(
        self, works: list[Work], deaths: int, losses: int
    ) -> list[tuple[list[Work], list[Work]]]:
        """Hand out images again, or give them up."""
        if deaths < TRIES and losses < LOSSES:
            self.submit(works, deaths, losses)
            return []
        return [(works, self.chain.died(works))]

    def _notice_losses(self) -> None:
        """Say of each machine that died since the last call that it is gone."""
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
        if not gone:
            return
        self._lost |= gone.keys()
        self._last_loss = time.monotonic()
        needed = "GPU" if self.chain.on_device else "CPU"
        if not ray.cluster_resources().get(needed):
            raise DataError(
                f"expected a machine with a {needed} in the Ray cluster, got none any more. Add "
                "one and start again: what is done is kept."
            )


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
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        if is_ours:
            _connect(address)
            own: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers or None}
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(own if address is None else {}),
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"expected a Ray cluster at {address or 'this machine'}, got {error}. Start one with "
            "ray start --head, or leave address out."
        ) from error
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if is_ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    """Raise :class:`OSError` where nobody listens at ``HOST:PORT`` or ``ray://HOST:PORT``."""
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING).close()
