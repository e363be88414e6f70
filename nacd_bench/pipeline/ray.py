"""The Ray Data engine: the same stages as a streaming pipeline, on this machine or on a cluster.

Ray schedules, scales and holds back; each of its actors runs a group of stages in a process of its
own (:class:`~nacd_bench.pipeline.workers.Workers`), so that a codec's crash is handled as in the
local engine, and writes a journal of its own into the mined folder, which all machines share.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.coding.originals import Item, read_item
from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.mine.state import JOURNAL, SCHEMA
from nacd_bench.pipeline.stages import (
    Chain,
    Stage,
    Work,
    chains,
    forget_encodes,
    of_item,
    unreadable,
)
from nacd_bench.pipeline.workers import Workers
from nacd_bench.runs.folder import new_run_id
from nacd_bench.runs.journal import Journal
from nacd_bench.triplets.files import sha256

if TYPE_CHECKING:
    from nacd_bench.jobs.mine.run import MiningRun

BLOCK = 4
"""Images that Ray hands to an actor at a time."""
NEW, TWIN, DONE = "new", "twin", "done"


def run_ray(
    stages: Sequence[Stage],
    run: MiningRun,
    folder: Path,
    address: str | None,
    workers: int | None,
) -> None:
    """Send the images of a run through Ray Data.

    Args:
        stages: what is done to an image.
        run: counts and remembers.
        folder: the mined folder, which every machine of the cluster sees at this path.
        address: ``"auto"`` or ``host:port`` of a cluster; None for one of this machine's own.
        workers: actors on CPUs; as many as there are CPUs by default.

    Raises:
        DataError: no Ray, or no cluster at the address.
        UserError: what a stage raised to stop the run.
    """
    items = list(run.left())
    if not items:
        return
    with _cluster(address, workers) as (ray, is_own):
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        ledger = ray.remote(num_cpus=0)(Ledger).remote(run.state.images)
        rows = ray.data.from_items(
            [{"item": pickle.dumps(item)} for item in items],
            override_num_blocks=-(-len(items) // BLOCK),
        )
        for place, chain in enumerate(chains(stages)):
            rows = rows.map_batches(
                ChainActor,
                fn_constructor_args=(chain, folder.resolve(), ledger, place == 0),
                batch_size=1,
                concurrency=1 if chain.on_device else (count if is_own else (1, count)),
                num_cpus=0 if chain.on_device else 1,
                num_gpus=1 if chain.on_device else 0,
            )
        try:
            for row in rows.iter_rows():
                _count(run, json.loads(row["record"]))
        except ray.exceptions.RayError as error:
            raise _cause(error) from error


class Ledger:
    """Who has begun which content; the one place that all actors ask.

    Args:
        images: hashes of what earlier runs did, 16 bytes each.
    """

    def __init__(self, images: set[bytes]) -> None:
        self.owners: dict[bytes, int] = dict.fromkeys(images, -1)
        self.done: set[bytes] = set()

    def claim(self, digest: str, index: int) -> str:
        """Whether an item is the first with its content; asked again after a crash, it still is."""
        key = bytes.fromhex(digest)[:16]
        if self.owners.setdefault(key, index) != index:
            return TWIN
        return DONE if key in self.done else NEW

    def finish(self, digest: str) -> None:
        """The record of a content is on the disk."""
        self.done.add(bytes.fromhex(digest)[:16])


class ChainActor:
    """A group of stages as Ray Data calls it: a batch of one row in, one row out.

    Args:
        chain: the stages.
        folder: the mined folder.
        ledger: the :class:`Ledger`'s handle.
        is_first: whether it gets items and not the work of another group.
    """

    def __init__(self, chain: Chain, folder: Path, ledger: Any, is_first: bool) -> None:
        name = f"ray-{socket.gethostname()}-{os.getpid()}-{new_run_id()}.jsonl"
        self.folder = folder
        self.journal_path = folder / JOURNAL / name
        self.journal: Journal | None = None
        self.workers: Workers[Work, Any] = Workers(1, chain, chain.died)
        self.ledger = ledger
        self.is_first = is_first

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        if self.is_first:
            work = self._begun(pickle.loads(batch["item"][0]))
        elif batch["record"][0]:
            return {"record": [batch["record"][0]], "work": [b""]}
        else:
            work = pickle.loads(batch["work"][0])
        done = self._worked(work) if isinstance(work, Work) else work
        if isinstance(done, Work):
            return {"record": [""], "work": [pickle.dumps(done)]}
        return {"record": [json.dumps(done)], "work": [b""]}

    def _begun(self, item: Item) -> Work | dict[str, Any]:
        """The image of an item, or a record that says why there is nothing to do."""
        import ray

        try:
            data = read_item(item)
        except UserError as error:
            return unreadable(item, error)
        digest = sha256(data)
        answer = ray.get(self.ledger.claim.remote(digest, item.index))
        if answer == NEW:
            return Work(item, digest, data)
        return {**of_item(item), "sha256": digest, "again": answer == DONE}

    def _worked(self, work: Work) -> Any:
        """The work with more in it, or its record, which is then on the disk."""
        import ray

        self.workers.submit(work)
        while not (ended := list(self.workers.finished(block=True))):
            continue
        done = ended[0][1]
        if not isinstance(done, Work):
            if self.journal is None:
                self.journal = Journal(self.journal_path, SCHEMA)
            self.journal.append(done)
            forget_encodes(self.folder, done["sha256"])
            ray.get(self.ledger.finish.remote(done["sha256"]))
        return done


def _count(run: MiningRun, record: dict[str, Any]) -> None:
    if "unreadable" in record:
        run.unreadable(record)
    elif "coded" in record:
        run.seen(record)
    elif record.pop("again"):
        run.progress.skip(1)
    else:
        run.also(record)


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """Ray, connected; a cluster of its own ends with the run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network unless asked
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DataError(
            "expected the package ray for engine=ray, got none. Install it: pip install "
            "'nacd-bench[ray]', on every machine of the cluster."
        ) from error
    is_own = address is None and not ray.is_initialized()
    try:
        if not ray.is_initialized():
            own: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers or None}
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(own if is_own else {}),
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DataError(
            f"expected a Ray cluster at {address or 'this machine'}, got {error}. Start one with "
            "ray start --head, or leave address out."
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield ray, is_own
    finally:
        if is_own:
            ray.shutdown()


def _cause(error: BaseException) -> Exception:
    """What a stage raised, out of Ray's wrapping."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return DataError(
        f"Ray stopped: {str(error).strip().splitlines()[-1]}. What is done is kept: start again."
    )
