"""The run of ``nacd-bench mine``: plan, engine, journal, tables.

::

    mined = mine("photos/", "jpeg_ai", "hm", "run", detectors=[Texture(), Text()])

The folder is described in :mod:`nacd_bench.runs.candidates`; beside the tables it holds::

    journal/          what is done, see :mod:`nacd_bench.runs.mined`
    failures.csv      what failed twice, with its message
    summary.json      counts
    strongest_*.png   the strongest candidates of each type
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nacd_bench.coding.codec import TARGET_POINT
from nacd_bench.coding.originals import Item, Listing, gone, list_images
from nacd_bench.coding.sides import (
    NEURAL,
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    TargetRate,
    factor_of,
    make_side,
    rate_steps,
)
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.duplicates import IOU
from nacd_bench.evaluation.thresholds import Criterion
from nacd_bench.pipeline.engine import Engine, run
from nacd_bench.pipeline.forecast import SAMPLE, forecast
from nacd_bench.pipeline.methods import chosen_device, limits_of
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.stages import READERS, Code, Detect, Read, Stage, Work, of_item, read_file
from nacd_bench.pipeline.tracking import Tracker, tracked
from nacd_bench.pipeline.workers import ahead
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo_paths
from nacd_bench.runs.candidates import place_of
from nacd_bench.runs.folder import RunFolder, new_run_id, open_run, run_lock
from nacd_bench.runs.mined import Summary, item_mark, read_state, records, write_tables
from nacd_bench.runs.schema import JOURNALS, SETTINGS
from nacd_bench.runs.tables import Table
from nacd_bench.settings import Count, Name, Names, Positive, Share, checked, types_of

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


@checked
def mine(
    images: Names | None,
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: Name,
    *,
    engine: Engine = "local",
    address: str | None = None,
    shard: str = "1/1",
    workers: Count | None = None,
    failure_limit: Share = 0.2,
    retry_failed: bool = False,
    show_progress: bool = True,
    logger: Mapping[str, Any] | None = None,
    configuration: str | None = None,
    **plan: Any,
) -> Mined:
    """Mine images for artifacts; a run that was stopped, at whatever moment, goes on.

    Args:
        images: see :func:`nacd_bench.coding.originals.list_images`; None for photographs from
            installed packages.
        neural, traditional: codecs: registered names, :class:`CodecSpec` or codec objects.
        folder: where results go; shards of one job share it.
        engine: ``"local"``, or ``"ray"`` for Ray.
        address: of a Ray cluster; ``"auto"`` for the one that this machine is part of, None for a
            cluster of its own on this machine.
        shard: ``"3/64"``: every 64th image, from the third; tables are written by the last shard.
        workers: processes; the number of cores by default, 0 for none but this one.
        failure_limit: share of images that may fail before the run stops.
        retry_failed: work again on images with failures.
        show_progress: a progress bar with rate, candidates and the time left.
        logger: of ``conf/logger``, which gets the numbers of the progress; None for none.
        configuration: YAML to keep beside the results as ``config.yaml``.
        plan: what is done to an image, see :func:`make_mining_plan`; ``detectors`` at least.

    Raises:
        CodecError: too many images fail.
        DataError: no images, a folder in use, other settings than those it began with.
    """
    began = time.perf_counter()
    folder = Path(folder)
    number, count = parse_shard(shard)
    stages, settings = make_mining_plan(neural, traditional, folder, **plan)
    name = f"{number}-of-{count}"
    with open_run(folder, "mine", settings, configuration=configuration, shard=name) as opened:
        listing = _listing(images, folder)
        items = listing.items[number - 1 :: count]
        with (
            tracked(logger, folder, settings) as tracker,
            progress_bar("images", len(items), show_progress) as progress,
        ):
            marks, hashes, _ = read_state(folder, retry_failed)
            left = [item for item in items if item_mark(item.name, item.stamp) not in marks]
            progress.skip(len(items) - len(left))
            mining = _Mining(opened, listing, hashes, progress, tracker, failure_limit)
            for path, fault in listing.faults.items() if number == 1 else ():
                mining.unreadable(Item(-1, path, path), fault.removeprefix(f"{path}: "))
            images_left = mining.works(left)
            works = run(stages, images_left, engine=engine, workers=workers, address=address)
            with closing(works):
                for work in works:
                    mining.finish(work)
            mining.report()
        opened.journal.append({"ended": name, "left_out": listing.left_out})
    _, _, ended = read_state(folder)
    missing = [k for k in range(1, count + 1) if f"{k}-of-{count}" not in ended]
    summary = None
    if not missing:
        with run_lock(folder / JOURNALS, new_run_id(), wait=True):
            summary = write_results(folder)
    seconds = time.perf_counter() - began
    return Mined(folder, summary, mining.done, len(missing), seconds, tracker.message)


def _listing(images: Names | None, folder: Path) -> Listing:
    """Of a source; of the photographs of installed packages where there is none."""
    if images is not None:
        return list_images(images, folder)
    paths, failures = photo_paths(COLOR_PHOTOS)
    listing = list_images(paths, folder)
    listing.faults.update({failure.item: failure.message for failure in failures})
    return listing


def plan(arguments: Mapping[str, Any], began: float, sample: int = SAMPLE) -> tuple[Table, str]:
    """What :func:`mine` would take with these arguments; nothing of it stays on the disk.

    Args:
        arguments: of :func:`mine`.
        began: when the command did, by :func:`time.perf_counter`: starting up is counted.
        sample: images to measure.
    """
    source, folder = arguments["images"], Path(arguments["folder"])
    items = _listing(source, folder).items
    taken = types_of(make_mining_plan).keys() & arguments.keys()
    stages, _ = make_mining_plan(**{key: arguments[key] for key in taken} | {"folder": folder})
    here = {"engine": "local", "logger": None, "configuration": None, "failure_limit": 1.0}

    def job(scratch: Path, every: int, _: int) -> list[dict[str, Any]]:
        mine(**{**arguments, **here, "folder": str(scratch), "shard": f"1/{every}"})
        if every > 1:  # the last shard would write them
            write_results(scratch)
        return [record for _, _, record in records(scratch) if "coded" in record]

    on_device = [stage.name for stage in stages if stage.on_device]
    return forecast(job, len(items), arguments["workers"], on_device, began, sample)


@checked
def make_mining_plan(
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: Path,
    detectors: Sequence[Detector],
    *,
    thresholds: Mapping[str, float] | Name | None = None,
    criterion: Criterion | None = None,
    scheme: Literal["neural", "target"] = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[TargetRate] = TARGETS,
    rate_factor: Positive | None = None,
    tolerance: Positive | None = None,
    decoded: bool = False,
    iou: Share = IOU,
    device: str = "auto",
) -> tuple[tuple[Stage, ...], dict[str, Any]]:
    """What :func:`mine` does to an image, and the same as JSON values.

    Args:
        neural, traditional, folder: see :func:`mine`.
        detectors: what finds artifacts.
        thresholds: confidence over which a box is a candidate, by detector, where it is not said
            the detector's own (1.5 of a severity, else 0); or a file of a benchmark.
        criterion: by which, see :mod:`nacd_bench.evaluation.thresholds`; that of the file where
            None.
        scheme: ``"neural"`` or ``"target"``, see :mod:`nacd_bench.jobs.compress.run`.
        points: operating points of the neural codec; all of them by default, at most eight.
        targets: bits per pixel for the scheme ``target``.
        rate_factor: rate of the traditional codec as a multiple of the neural one's; the codec's
            own by default, 1 with the scheme ``target``.
        tolerance: miss of the rate beyond which a codec's fine control is used.
        decoded: keep decoded images.
        iou: overlap of boxes of one type from which on they are one artifact.
        device: where detectors run: ``"auto"`` takes a GPU when there is one.

    Raises:
        UserError: a codec or point that is not there, thresholds that are not for these detectors.
    """
    if not detectors:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    by_target = scheme == "target"
    sides = (
        make_side(NEURAL, neural),
        make_side("traditional", traditional, NEURAL, factor_of(scheme, rate_factor)),
    )
    of_neural = sides[0].codec.points
    if points is None and of_neural.name == TARGET_POINT and set(TARGETS) <= set(of_neural.values):
        points = TARGETS  # JPEG AI's five rates
    steps = rate_steps(sides[0].codec, points, targets if by_target else None)
    order = list(of_neural.values)
    by_rate = sorted(steps, key=lambda step: step[1] if by_target else order.index(step[1]))
    limits = {
        name: limit.threshold for name, limit in limits_of(detectors, thresholds, criterion).items()
    }
    kinds = ("bpp" if by_target else "point", "bpp")
    stages: tuple[Stage, ...] = (
        Read(folder),
        *(
            Code(side, kind, tuple(by_rate), folder, tolerance=tolerance, keep=decoded)
            for side, kind in zip(sides, kinds, strict=True)
        ),
        Detect(list(detectors), limits, folder, chosen_device(device)),
    )
    settings = {
        "neural": _of_side(sides[0]),
        "traditional": {**_of_side(sides[1]), "rate_factor": sides[1].rate_factor},
        "scheme": scheme,
        "steps": by_rate,
        "tolerance": tolerance,
        "detectors": {detector.name: detector.settings for detector in detectors},
        "thresholds": limits,
        "iou": iou,
        "decoded": decoded,
    }
    return stages, json.loads(json.dumps(settings))


def _of_side(side: Side) -> dict[str, Any]:
    spec = side.source
    if not isinstance(spec, CodecSpec):
        return {**side.identity, "codec": None}
    parameters = {
        key: str(Path(value).resolve())
        if isinstance(value, str) and Path(value).is_file()
        else value
        for key, value in spec.parameters.items()
    }  # a later command may run in another folder
    keywords = {"name": spec.name, "parameters": parameters, "label": spec.label}
    return {**side.identity, "codec": keywords}


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
class _Mining:
    """The images of a run on their way: read ahead, done once each, on record."""

    opened: RunFolder
    listing: Listing
    images: set[bytes]
    progress: Progress
    tracker: Tracker
    failure_limit: float
    done: int = 0
    candidates: Counter[str] = field(default_factory=Counter)
    reported: float = field(default_factory=time.monotonic)

    def works(self, items: Sequence[Item]) -> Iterator[list[Work]]:
        """Images with their bytes, each content once."""
        for work in ahead(read_file, items, READERS):
            if work.failures:
                self.unreadable(work.item, work.failures[0][1])
                continue
            work.name = work.sha256
            key = bytes.fromhex(work.sha256)[:16]
            if key in self.images:
                self.opened.journal.append({**of_item(work.item), "sha256": work.sha256})
                self.progress.skip(1)
            else:
                self.images.add(key)
                yield [work]

    def unreadable(self, item: Item, message: str) -> None:
        """Note an item that could not be read; the next run tries again."""
        self.opened.journal.append({**of_item(item), "unreadable": message})
        root = gone(self.listing)
        if root is not None:
            raise DataError(
                f"expected {root} to stay there, got nothing of that name any more (a network "
                "folder that vanished?). Bring it back and start again: what is done is kept."
            )
        self._count(Failure(item.name, "", message))

    def finish(self, work: Work) -> None:
        """Note an image that is done, or set aside with what failed."""
        self.opened.journal.append(work.record())
        encodes = self.opened.folder / place_of("encodes", work.sha256)
        shutil.rmtree(encodes, ignore_errors=True)
        self.done += 1
        self.candidates.update(candidate["artifact_type"] for candidate in work.candidates)
        self._count(Failure(work.item.name, *work.failures[-1]) if work.failures else None)

    def _count(self, failure: Failure | None) -> None:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.candidates.items()))
        self.progress.note = f"candidates: {counts or 'none yet'}"
        self.progress(self.progress.failures + (failure is not None))
        if time.monotonic() - self.reported > NEWS:
            self.report()
        if failure is not None:
            self.progress.require(self.failure_limit, str(failure), " with retry_failed=true")

    def report(self) -> None:
        """The numbers of the progress for the tracker."""
        self.reported = time.monotonic()
        elapsed = max(self.reported - self.progress.started, 1e-9)
        numbers = {
            "images": self.progress.done,
            "images_per_second": self.progress.worked / elapsed,
            "failures": self.progress.failures,
            "seconds_left": self.progress.left or 0.0,
            **{f"candidates/{kind}": count for kind, count in self.candidates.items()},
        }
        self.tracker.log(lambda logger: logger.log_metrics(numbers, step=self.progress.done))
