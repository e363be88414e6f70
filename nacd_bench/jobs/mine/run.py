"""The run of ``nacd-bench mine``: plan, engine, journal, tables.

::

    mined = mine("photos/", "jpeg_ai", "hm", "run", detectors=[Texture(), Text()])

The folder is described in :mod:`nacd_bench.runs.candidates`; beside the tables it holds::

    journal/          what is done, see :mod:`nacd_bench.jobs.mine.state`
    failures.csv      what failed twice, with its message
    summary.json      counts
    strongest_*.png   the strongest candidates of each type
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.coding.originals import AnySource, Item, Listing, gone, list_images, read_item
from nacd_bench.coding.sides import AnyCodec, require_number
from nacd_bench.detectors import Detector
from nacd_bench.errors import CodecError, DataError, UserError
from nacd_bench.jobs.mine.plan import make_mining_plan, mining_arguments
from nacd_bench.jobs.mine.results import Summary, write_tables
from nacd_bench.jobs.mine.state import JOURNAL, SCHEMA, State, item_mark, read_state
from nacd_bench.pipeline.local import run_local
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.stages import Work, chains, forget_encodes, of_item, unreadable
from nacd_bench.pipeline.tracking import Tracker, tracked
from nacd_bench.pipeline.workers import cores
from nacd_bench.registry import unknown
from nacd_bench.runs.folder import new_run_id, require_settings, run_lock
from nacd_bench.runs.journal import Journal
from nacd_bench.runs.schema import SETTINGS
from nacd_bench.triplets.files import sha256, write_whole

ENGINES = ("local", "ray")
READERS = 4
"""Threads that read files ahead of the workers."""
ENOUGH = 50
"""Images after which a share of failures means something."""
NEWS = 30.0
"""Seconds between two reports to a tracker."""


@dataclass(frozen=True)
class Mined:
    """What a run left in its folder.

    Args:
        folder: the run's folder.
        summary: what it holds; None as long as other shards are at work.
        done: images that this run worked on; 0 when everything was there.
        waiting_for: shards that are not done.
        seconds: how long it took.
        message: of the tracker.
    """

    folder: Path
    summary: Summary | None
    done: int
    waiting_for: int
    seconds: float
    message: str = ""


def mine(
    images: AnySource,
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: str | Path,
    *,
    detectors: Sequence[Detector],
    engine: str = "local",
    address: str | None = None,
    shard: str = "1/1",
    workers: int | None = None,
    failure_limit: float = 0.2,
    retry_failed: bool = False,
    show_progress: bool = True,
    logger: Mapping[str, Any] | None = None,
    configuration: str | None = None,
    **plan: Any,
) -> Mined:
    """Mine images for artifacts; a run that was stopped, at whatever moment, goes on.

    Args:
        images: see :func:`nacd_bench.coding.originals.list_images`.
        neural, traditional: codecs: registered names, :class:`CodecSpec` or codec objects.
        folder: where results go; shards of one job share it.
        detectors: what finds artifacts.
        engine: ``"local"``, or ``"ray"`` for Ray Data.
        address: of a Ray cluster; ``"auto"`` for the one that this machine is part of, None for a
            cluster of its own on this machine.
        shard: ``"3/64"``: every 64th image, from the third; tables are written by the last shard.
        workers: processes; the number of cores by default, 0 for none but this one.
        failure_limit: share of images that may fail before the run stops.
        retry_failed: work again on images with failures.
        show_progress: a progress bar with rate, candidates and the time left.
        logger: of ``conf/logger``, which gets the numbers of the progress; None for none.
        configuration: YAML to keep beside the results as ``config.yaml``.
        plan: what decides the results, see :func:`make_mining_plan`: ``thresholds``, ``scheme``
            (``"neural"`` or ``"target"``), ``points``, ``targets``, ``rate_factor``,
            ``tolerance``, ``decoded`` (keep decoded images), ``iou`` (of duplicates), ``device``.

    Raises:
        CodecError: too many images fail.
        DataError: no images, a folder in use, other settings than those it began with.
    """
    began = time.perf_counter()
    folder = Path(folder)
    require_number("failure_limit", failure_limit, most=1)
    if engine not in ENGINES:
        raise UserError(unknown("engine", engine, list(ENGINES)))
    if workers is not None and not (isinstance(workers, int) and workers >= 0):
        raise UserError(f"expected workers as a number of processes, 0 or more, got {workers!r}.")
    number, count = parse_shard(shard)
    made = make_mining_plan(neural, traditional, folder, detectors, **plan)
    writer = f"{number}-of-{count}"
    with run_lock(folder / JOURNAL / writer, new_run_id()):
        require_settings(folder, "mine", made.settings)
        if configuration is not None:
            write_whole(folder / "config.yaml", configuration.encode())
        listing = list_images(images, folder)
        items = listing.items[number - 1 :: count]
        state = read_state(folder, retry_failed)
        journal = Journal(folder / JOURNAL / f"{writer}.jsonl", SCHEMA)
        with (
            tracked(logger, folder, made.settings) as tracker,
            progress_bar("images", len(items), show_progress) as progress,
        ):
            run = MiningRun(
                folder, listing, items, state, journal, progress, tracker, failure_limit
            )
            for path, fault in listing.faults.items() if number == 1 else ():
                run.unreadable(unreadable(Item(-1, path, path), DataError(fault)))
            if engine == "ray":
                from nacd_bench.pipeline.ray import run_ray

                run_ray(made.stages, run, folder, address, workers)
            else:
                there = cores() if workers is None else workers
                run_local(chains(made.stages), run.work(), there, run.finished)
            run.report()
        journal.append({"ended": writer, "left_out": listing.left_out})
    ended = read_state(folder).ended
    missing = [k for k in range(1, count + 1) if f"{k}-of-{count}" not in ended]
    summary = None
    if not missing:
        with run_lock(folder / JOURNAL, new_run_id(), wait=True):
            summary = write_results(folder)
    seconds = time.perf_counter() - began
    return Mined(folder, summary, run.done, len(missing), seconds, tracker.message)


def write_results(folder: Path) -> Summary:
    """Tables and pictures of what is done."""
    from nacd_bench.report.sheets import write_strongest

    if not (folder / SETTINGS).is_file():
        raise DataError(f"expected the folder of a nacd-bench mine run, got {folder}.")
    summary = write_tables(folder)
    write_strongest(folder)
    for place in (*(folder / "encodes").glob("*"), folder / "encodes"):
        with suppress(OSError):  # of encodes that are kept for the next run
            place.rmdir()
    return summary


def parse_shard(text: str) -> tuple[int, int]:
    """Number and count of a shard.

    >>> parse_shard("3/64")
    (3, 64)
    """
    number, _, count = str(text).partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(
            f"expected a shard such as 3/64, counted from 1, got {text!r}. "
            "A Slurm array of 64 has --array=1-64 and shard=$SLURM_ARRAY_TASK_ID/64."
        )
    return int(number), int(count)


@dataclass
class MiningRun:
    """The images of a run on their way: read ahead, done once each, on record.

    Args:
        folder: the mined folder.
        listing: all images of the source.
        items: those of this run.
        state: what is done already.
        journal: what this run does.
        progress: counts items.
        tracker: gets the numbers of the progress now and then.
        failure_limit: share of images that may fail.
        failed: items that failed.
        done: images that were worked on.
        candidates: by artifact type.
        told: when the tracker was told last.
    """

    folder: Path
    listing: Listing
    items: Sequence[Item]
    state: State
    journal: Journal
    progress: Progress
    tracker: Tracker
    failure_limit: float
    failed: int = 0
    done: int = 0
    candidates: Counter[str] = field(default_factory=Counter)
    told: float = field(default_factory=time.monotonic)

    def left(self) -> Iterator[Item]:
        """The items that need work."""
        for item in self.items:
            if item_mark(item.name, item.stamp) in self.state.items:
                self.progress.skip(1)
            else:
                yield item

    def work(self) -> Iterator[Work]:
        """Images with their bytes, each content once."""
        ahead: deque[tuple[Item, Future[tuple[bytes, str]]]] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            items = self.left()
            while True:
                while len(ahead) < READERS and (item := next(items, None)) is not None:
                    ahead.append((item, readers.submit(_read, item)))
                if not ahead:
                    return
                item, future = ahead.popleft()
                try:
                    data, digest = future.result()
                except UserError as error:
                    self.unreadable(unreadable(item, error))
                    continue
                if self.is_new(digest):
                    yield Work(item, digest, data)
                else:
                    self.also({**of_item(item), "sha256": digest})

    def is_new(self, digest: str) -> bool:
        """Whether nobody has worked on this content; it counts as begun from now on."""
        key = bytes.fromhex(digest)[:16]
        if key in self.state.images:
            return False
        self.state.images.add(key)
        return True

    def also(self, record: Mapping[str, Any]) -> None:
        """Another name of an image."""
        self.journal.append(record)
        self.progress.skip(1)

    def unreadable(self, record: Mapping[str, Any]) -> None:
        """An item that could not be read."""
        self.journal.append(record)
        root = gone(self.listing)
        if root is not None:
            raise DataError(
                f"expected {root} to stay there, got nothing of that name any more (a network "
                "folder that vanished?). Bring it back and start again: what is done is kept."
            )
        self._count(True, f"{record['name']}: {record['unreadable']}")

    def finished(self, record: Mapping[str, Any]) -> None:
        """An image is done, or set aside with what failed."""
        self.journal.append(record)
        forget_encodes(self.folder, record["sha256"])
        self.seen(record)

    def seen(self, record: Mapping[str, Any]) -> None:
        """Count an image whose record is on the disk."""
        self.done += 1
        self.candidates.update(each["artifact_type"] for each in record["candidates"])
        failures = record["failures"]
        last = failures[-1] if failures else {}
        message = f"{record['name']}: {last.get('stage')} {last.get('preset')}: {last.get('error')}"
        self._count(bool(failures), message)

    def _count(self, failed: bool, message: str) -> None:
        self.failed += failed
        found = ", ".join(f"{kind} {count}" for kind, count in sorted(self.candidates.items()))
        self.progress.note = f"candidates: {found or 'none yet'}"
        self.progress.advance(1, self.failed)
        if time.monotonic() - self.told > NEWS:
            self.report()
        base = max(self.progress.worked, min(len(self.items), ENOUGH))
        if failed and self.failed > self.failure_limit * base:
            raise CodecError(
                f"stopped: {self.failed} of {self.progress.worked} images failed, more than the "
                f"{self.failure_limit:.0%} that may. The last: {message} Remove the cause and "
                "start again with retry_failed=true, or raise failure_limit. What is done is kept."
            )

    def report(self) -> None:
        """The numbers of the progress for the tracker."""
        self.told = time.monotonic()
        elapsed = max(self.told - self.progress.started, 1e-9)
        numbers = {
            "images": self.progress.done,
            "images_per_second": self.progress.worked / elapsed,
            "failures": self.failed,
            "seconds_left": self.progress.left or 0.0,
            **{f"candidates/{kind}": count for kind, count in self.candidates.items()},
        }
        self.tracker.log(lambda logger: logger.log_metrics(numbers, step=self.progress.done))


def _read(item: Item) -> tuple[bytes, str]:
    data = read_item(item)
    return data, sha256(data)


def mine_from_config(config: Mapping[str, Any]) -> Mined:
    """:func:`mine` with the settings of ``conf/mine.yaml``, as plain dictionaries."""
    import yaml

    configuration = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return mine(**mining_arguments(config), configuration=configuration)
