"""``nacd-bench compress``: from images to triplets at a comparable rate.

*Plan* what is wanted, *run* what is not there yet, *aggregate* into a manifest. A run folder holds
a journal with one record per finished piece of work, so that a run that was killed, at whatever
moment, goes on where it was::

    compressed = compress("photos/", neural="compressai", traditional="x265", folder="run")

The run's folder::

    run.json            what was run: codecs, versions, parameters, scheme
    triplets.parquet    the manifest, one row per triplet; triplets.csv is the same
    failures.csv        what failed, with its message
    rate_distortion.*   table, figure and BD-rates
    bitstreams/         neural/quality-3/kodim01.bin, x265/quality-3/kodim01.bin, ...
    decoded/            the same as PNG
    decode_check.csv    with check=decode: what a second decode gives
    journal.jsonl       what is done
    encodes/            while it runs: long encodes of what is not done
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench import __version__
from nacd_bench.coding.curves import BDRate, Curve, bd_rates, curves
from nacd_bench.coding.matched import (
    Ask,
    Done,
    Job,
    Photo,
    describe,
    process_died,
    run_batch,
    run_job,
)
from nacd_bench.coding.rate import Estimate
from nacd_bench.coding.sides import (
    NEURAL,
    TARGETS,
    AnyCodec,
    Side,
    codec_from_config,
    require_number,
)
from nacd_bench.errors import CodecError, UserError
from nacd_bench.jobs.compress.decode_check import COLUMNS, decoded_again, is_fault
from nacd_bench.jobs.compress.plan import Follower, Plan, make_plan
from nacd_bench.jobs.compress.results import triplet_rows, write_results
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.workers import Workers, cores
from nacd_bench.runs.folder import clear_parts, new_run_id, run_lock
from nacd_bench.runs.journal import Journal
from nacd_bench.triplets.files import csv_bytes, json_bytes, json_sha256, sha256, write_whole
from nacd_bench.triplets.images import read_image
from nacd_bench.triplets.rows import stem

LONGEST_STEM = 251
"""Bytes of a file's name without its suffix that file systems take."""
PILOTS = 8
"""Images that teach the rate search; later ones use what these taught, whichever is done first."""
SCHEMA = "nacd-bench compress 1"


@dataclass(frozen=True)
class Compressed:
    """What a run left in its folder.

    Args:
        folder: the run's folder.
        manifest: the table of triplets.
        rows: one dictionary per triplet, as in the manifest.
        failures: image, side, preset and message of what failed.
        left_out: how many pictures of kinds that are not read lie there, by kind.
        notes: what is odd about an image's file or name and does not touch its pixels.
        duplicates: images left out because another file has the same bytes, and that one.
        encodes: encodes that this run's results needed; 0 when everything was there.
        curves: mean rate and quality of each codec, the neural one first.
        bd_rates: how many bits the neural codec saves.
        decoded_again: what a second decode of each bitstream gave, with ``check="decode"``.
    """

    folder: Path
    manifest: Path
    rows: list[dict[str, Any]]
    failures: list[dict[str, str]]
    left_out: Mapping[str, int]
    notes: dict[str, list[str]]
    duplicates: dict[str, str]
    encodes: int
    curves: list[Curve]
    bd_rates: list[BDRate]
    decoded_again: list[dict[str, Any]]


def compress(
    images: str | Path | Iterable[str | Path],
    neural: AnyCodec,
    traditional: AnyCodec | Follower | Sequence[AnyCodec | Follower],
    folder: str | Path,
    *,
    scheme: str = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[float] = TARGETS,
    tolerance: float | None = None,
    workers: int | None = None,
    failure_limit: float = 0.2,
    check: str | None = None,
    show_progress: bool = True,
) -> Compressed:
    """Code images with a neural codec and traditional ones at a comparable rate.

    Args:
        images: a folder, a file, a text file of paths, a pattern, or a list of these.
        neural: the codec under test: a registered name, a :class:`CodecSpec` or a codec object.
        traditional: the codec to compare with, or several with what each of them follows.
        folder: where results go; one that holds an unfinished run is continued.
        scheme: ``"neural"``, ``"target"`` or ``"psnr"``, see above.
        points: operating points of the neural codec; all of them by default, and at most eight,
            evenly spread, of a codec with more.
        targets: bits per pixel for the scheme ``target``.
        tolerance: miss of the rate beyond which a codec's fine control is used.
        workers: processes; the number of cores by default, 0 for none but this one.
        failure_limit: share of images that may fail before the run stops.
        check: ``"decode"`` decodes every bitstream again, in a fresh process.
        show_progress: a progress bar with the time left.

    Raises:
        CodecError: too many images fail, or a codec cannot be used at all.
        DataError: no images, a folder in use, a full disk.
    """
    folder = Path(folder)
    require_number("failure_limit", failure_limit, most=1)
    if workers is not None and not (isinstance(workers, int) and workers >= 0):
        raise UserError(
            f"expected workers to be a number of processes, 0 or more, got {workers!r}."
        )
    if check not in (None, "decode"):
        raise UserError(f"expected check to be decode or null, got {check!r}.")
    plan = make_plan(images, neural, traditional, scheme, points, targets, tolerance, folder)
    run_id = new_run_id()
    with run_lock(folder, run_id):
        clear_parts(folder)
        run = _Run(plan, folder, failure_limit)
        _describe(plan, run, run_id)
        count = cores() if workers is None else workers
        try:
            with (
                Workers(count, run_job, process_died) as pool,
                progress_bar("results", plan.pieces, show_progress) as progress,
            ):
                run.execute(pool, progress)
        except BaseException:
            with suppress(UserError):  # the first error is the one to show
                _finish(plan, run, run_id)
            raise
        checked = None
        if check:
            rows = [
                row
                for _, sides in run.results()
                for each in sides.values()
                for row in each.values()
            ]
            checked = decoded_again(folder, rows, run.sides, count, show_progress)
        return _finish(plan, run, run_id, checked)


def compress_from_config(config: Mapping[str, Any]) -> Compressed:
    """:func:`compress` with the settings of ``conf/compress.yaml``, as plain dictionaries.

    A codec is a dictionary with its ``name``; ``rate_factor`` in it is the one it has as a
    traditional codec, the other entries are its parameters.
    """
    settings = dict(config)
    neural, _ = codec_from_config(settings.pop("neural"))
    traditional, own_factor = codec_from_config(settings.pop("traditional"))
    factor = settings.pop("rate_factor", None)
    followers = [Follower(traditional, own_factor if factor is None else factor)]
    for entry in settings.pop("then", None) or ():
        followers.append(_follower(entry))
    return compress(neural=neural, traditional=followers, **settings)


def _follower(entry: object) -> Follower:
    keys = ("codec", "follows", "rate_factor", "label")
    if not isinstance(entry, Mapping) or "codec" not in entry or not entry.keys() <= {*keys}:
        raise UserError(
            f"expected an entry of then to have codec, and perhaps {', '.join(keys[1:])}, got "
            f"{entry!r}."
        )
    codec, own_factor = codec_from_config(entry["codec"])
    options = {key: entry[key] for key in ("follows", "label") if key in entry}
    return Follower(codec, entry.get("rate_factor", own_factor), **options)


@dataclass
class _Image:
    """Where an image is on its way: per side, what is there and how much is still out."""

    index: int
    photo: Photo
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    out: dict[str, int] = field(default_factory=dict)


class _Run:
    """A plan on its way through the workers."""

    def __init__(self, plan: Plan, folder: Path, failure_limit: float) -> None:
        self.plan = plan
        self.sides = {side.label: side for side in plan.sides}
        self.folder = folder
        self.failure_limit = failure_limit
        self.failures: list[dict[str, str]] = []
        self.encodes = 0
        self.images: dict[str, _Image] = {}
        self.by_content: dict[str, str] = {}
        self.duplicates: dict[str, str] = {}
        self.notes: dict[str, list[str]] = {}
        self.named: dict[str, Path] = {}
        self.to_pool: deque[Job] = deque()
        self.here: deque[list[Job]] = deque()
        self.held: dict[str, list[_Image]] = {side.label: [] for side in plan.sides}
        self.pilots_out = {side.label: min(PILOTS, len(plan.paths)) for side in plan.sides}
        self.taught: dict[str, dict[int, dict[int, float]]] = defaultdict(dict)
        self.journal = Journal(folder / "journal.jsonl", SCHEMA)
        self.rows: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, dict[str, float]] = defaultdict(dict)
        self.files: dict[str, dict[str, Any]] = {}
        self.progress = Progress("results", plan.pieces)
        for record in self.journal:
            self._remember(record)

    # --- what the journal knows

    def _remember(self, record: Mapping[str, Any]) -> None:
        for row in record.get("rows", ()):
            self.rows[row["key"]] = row
        if record.get("seen"):
            self.seen[record["teaches"]].update(record["seen"])
        if "file" in record:
            self.files[record["file"]["path"]] = record["file"]

    def _finished(self, ask: Ask, photo: Photo) -> dict[str, Any] | None:
        """The row of a result that is there, files included."""
        row = self.rows.get(ask.key)
        if row is None or row["image"] != photo.id or row["preset"] != ask.preset:
            return None
        stream = self.folder / row["bitstream"]
        if not (self.folder / row["decoded"]).is_file() or not stream.is_file():
            return None
        return row if sha256(stream.read_bytes())[:16] == row["file_sha256"] else None

    def _lesson(self, side: Side, photo: Photo) -> str:
        """Name of what an image teaches about a side's rate."""
        return json_sha256([photo.sha256, side.identity, self.plan.kind])[:24]

    def _kept(self, side: Side, photo: Photo) -> Path:
        """Where a job keeps its encodes until it is done."""
        return self.folder / "encodes" / f"{side.label}-{self._lesson(side, photo)}"

    # --- the loop

    def execute(self, pool: Workers[Job, Done], progress: Progress) -> None:
        """Do everything that is not there yet."""
        self.progress = progress
        blocks = self._blocks()
        more = True
        while True:
            while more and len(self.to_pool) + len(self.here) < 2 * max(1, pool.count):
                more = self._take_in(next(blocks, None))
            while self.to_pool and pool.room:
                pool.submit(self.to_pool.popleft())
            if self.here:
                batch = self.here.popleft()
                for job, done in zip(batch, run_batch(batch), strict=True):
                    self._handle(job, done)
            for job, done in pool.finished(block=not self.here):
                self._handle(job, done)
            if not (more or self.here or self.to_pool or pool.busy):
                break

    def _blocks(self) -> Iterator[list[tuple[int, Path]]]:
        """The images in fixed groups, so that batches do not depend on what is done already."""
        size = max(8, 4 * self.plan.sides[0].codec.batch_size)
        numbered = list(enumerate(self.plan.paths))
        for start in range(0, len(numbered), size):
            yield numbered[start : start + size]

    def _take_in(self, block: list[tuple[int, Path]] | None) -> bool:
        """Read the next images and queue what does not wait for anything."""
        if block is None:
            return False
        images = []
        for index, path in block:
            image = self._entered(index, path)
            if image is None:
                self._pilots_go_on(index)
                self.progress.skip(len(self.plan.steps) * len(self.plan.sides))
            else:
                images.append(image)
        for side in self.plan.sides:
            if side.follows is None:
                self._start(side, images)
        return True

    def _entered(self, index: int, path: Path) -> _Image | None:
        """An image with its hash and name; None for one that cannot be read or is there twice."""
        try:
            facts = self._facts(path)
        except UserError as error:
            message = describe(error).removeprefix(f"{path}: ")
            self._fail(str(path), "image", "", message)
            return None
        if facts.get("notes"):
            self.notes[str(path)] = facts["notes"]
        twin = self.by_content.setdefault(facts["sha256"], str(path))
        if twin != str(path):
            self.duplicates[str(path)] = twin
            return None
        name = self._own_name(path, facts["sha256"])
        size = facts["width"], facts["height"]
        self.images[name] = _Image(index, Photo(name, facts["path"], facts["sha256"], *size))
        return self.images[name]

    def _own_name(self, path: Path, sha256: str) -> str:
        """The name of an image in the results, which no other has on any file system."""
        name = stem(path.name)
        key = name.casefold()
        if key in self.named or len(os.fsencode(name)) > LONGEST_STEM:
            cut = os.fsencode(name)[: LONGEST_STEM - 9].decode("utf-8", "ignore")
            name = f"{cut}-{sha256[:8]}"
        first = self.named.setdefault(key, path)
        if first.stem != path.stem and first is not path:
            note = (
                f"its name differs from that of {first} by case or Unicode form only, one file on "
                f"some systems; it is {name} in the results"
            )
            self.notes[str(path)] = [*self.notes.get(str(path), ()), note]
        return name

    def _facts(self, path: Path) -> dict[str, Any]:
        """Hash and size of an image, read only where the file is not the one on record."""
        place = str(path.resolve())
        try:
            stamp = [path.stat().st_size, path.stat().st_mtime_ns]
        except OSError:  # gone, or a name too long: reading it says so
            stamp = []
        known = self.files.get(place)
        if known is None or known["stamp"] != stamp:
            image = read_image(path)
            known = {"path": place, "stamp": stamp, "sha256": image.sha256}
            known |= {"width": image.width, "height": image.height, "notes": list(image.notes)}
            self.journal.append({"file": known})
            self.files[place] = known
        return known

    # --- from images to jobs

    def _start(self, side: Side, images: Sequence[_Image]) -> None:
        """Queue a side's work on images for which it has all it needs."""
        if side.label == NEURAL and self.plan.scheme != "target":
            self._start_points(side, images)
            return
        for image in images:
            ready = image.index < PILOTS or self.pilots_out[side.label] == 0
            if ready:
                self._start_matches(side, image)
            else:
                self.held[side.label].append(image)

    def _start_points(self, side: Side, images: Sequence[_Image]) -> None:
        """One job per image and operating point; together in batches where the codec takes them."""
        sizes: dict[tuple[int, int], list[_Image]] = defaultdict(list)
        for image in images:
            sizes[image.photo.height, image.photo.width].append(image)
            image.out[side.label] = len(self.plan.steps)
        count = side.codec.batch_size
        for same in sizes.values():
            groups = [same[i : i + count] for i in range(0, len(same), count)]
            for group in groups:
                for preset, point in self.plan.steps:
                    self._queue_batch(side, group, preset, point)
        for image in images:
            if not image.out[side.label]:
                self._side_done(side, image)

    def _queue_batch(self, side: Side, group: Sequence[_Image], preset: str, point: float) -> None:
        jobs, missing = [], 0
        for image in group:
            ask = self.plan.ask(side, image.photo, preset, "point", point)
            row = self._finished(ask, image.photo)
            if row is not None:
                image.rows[side.label][preset] = row
                image.out[side.label] -= 1
                self.progress.skip(1)
            missing += row is None
            jobs.append(Job(image.photo, side.label, side.source, (ask,), self.folder))
        if missing:
            self._queue(side, jobs if side.codec.batch_size > 1 else jobs[:missing])

    def _start_matches(self, side: Side, image: _Image) -> None:
        """One job per image: all its targets in one go."""
        asks = []
        for preset, value in self.plan.steps:
            if side.follows is None:
                target = value
            else:
                leader = image.rows[side.follows].get(preset)
                if leader is None:  # it failed, which is on record
                    self.progress.skip(1)
                    continue
                target = leader["psnr"] if self.plan.kind == "psnr" else leader["bpp"]
                target *= 1 if self.plan.kind == "psnr" else side.rate_factor
            ask = self.plan.ask(side, image.photo, preset, self.plan.kind, target)
            row = self._finished(ask, image.photo)
            if row is None:
                asks.append(ask)
            else:
                image.rows[side.label][preset] = row
                self.progress.skip(1)
        image.out[side.label] = len(asks)
        if not asks:
            self._side_done(side, image)
            return
        job = Job(
            image.photo,
            side.label,
            side.source,
            tuple(asks),
            self.folder,
            self.plan.tolerance,
            self._estimate(side, image),
            self._kept(side, image.photo),
        )
        self._queue(side, [job])

    def _queue(self, side: Side, jobs: list[Job]) -> None:
        if side.codec.in_main_process:
            self.here.append(jobs)
        else:
            self.to_pool.extend(jobs)

    def _estimate(self, side: Side, image: _Image) -> Estimate | None:
        """What the pilot images taught; nothing for these themselves."""
        if image.index < PILOTS:
            return None
        lessons = self.taught[side.label]
        estimate = Estimate.of(side.codec)
        for index in sorted(lessons):
            estimate.add(lessons[index])
        return estimate

    # --- from jobs to results

    def _handle(self, job: Job, done: Done) -> None:
        image = self.images[job.photo.id]
        side = self.sides[job.side]
        there = image.rows[side.label]
        fresh = [row for row in done.rows if row["preset"] not in there]
        failed = {preset: text for preset, text in done.failures.items() if preset not in there}
        if not (fresh or failed):
            return
        self.encodes += sum(row["encodes"] for row in fresh)
        if fresh:
            record = {"rows": fresh, "seen": done.seen, "teaches": self._lesson(side, image.photo)}
            self.journal.append(record)
            self._remember(record)
        there.update({row["preset"]: row for row in fresh})
        self.progress.advance(len(fresh) + len(failed), len(self.failures) + len(failed))
        for preset, message in failed.items():
            self._fail(image.photo.path, side.label, preset, message)
        if job.kept:
            shutil.rmtree(job.kept, ignore_errors=True)
        image.out[side.label] -= len(fresh) + len(failed)
        if image.out[side.label] == 0:
            self._side_done(side, image)

    def _side_done(self, side: Side, image: _Image) -> None:
        """All that was asked of a side for an image is there or failed: what waited goes on."""
        lesson = self.seen.get(self._lesson(side, image.photo))
        if image.index < PILOTS and lesson:
            self.taught[side.label][image.index] = {int(i): v for i, v in lesson.items()}
        for follower in self.plan.sides:
            if follower.follows == side.label:
                self._start(follower, [image])
        self._pilot_done(side, image.index)

    def _pilot_done(self, side: Side, index: int) -> None:
        if index >= PILOTS:
            return
        self.pilots_out[side.label] -= 1
        if self.pilots_out[side.label] == 0:
            held, self.held[side.label] = self.held[side.label], []
            self._start(side, held)

    def _pilots_go_on(self, index: int) -> None:
        """An image that will not be coded keeps nobody waiting."""
        for side in self.plan.sides:
            self._pilot_done(side, index)

    def _fail(self, path: str, side: str, preset: str, message: str) -> None:
        failure = {"image": path, "side": side, "preset": preset, "error": message}
        self.failures.append(failure)
        self.journal.append({"failure": failure})
        failed = len({failure["image"] for failure in self.failures})
        if failed > self.failure_limit * len(self.plan.paths):
            what = f"{side} {preset}".strip()
            raise CodecError(
                f"stopped: {failed} of {len(self.plan.paths)} images failed, more than the "
                f"{self.failure_limit:.0%} that may. The last: {path}, {what}: {message} "
                f"What is done is kept in {self.folder}: remove the cause and start again, or "
                "raise failure_limit."
            )

    def results(self) -> list[tuple[Photo, Mapping[str, Mapping[str, Any]]]]:
        """The images in order, each with its rows by side and preset."""
        images = sorted(self.images.values(), key=lambda image: image.index)
        return [(image.photo, image.rows) for image in images]


def _finish(
    plan: Plan, run: _Run, run_id: str, checked: list[dict[str, Any]] | None = None
) -> Compressed:
    """Write what is there; all that the run can tell."""
    rows = triplet_rows(plan, run.results())
    found = curves(rows), bd_rates(rows)
    manifest = write_results(run.folder, rows, run.failures, *found)
    if checked is not None:
        write_whole(run.folder / "decode_check.csv", csv_bytes(COLUMNS, checked))
    _describe(plan, run, run_id, checked)
    with suppress(OSError):  # of encodes that are kept for the next run
        (run.folder / "encodes").rmdir()
    lists = (run.failures, plan.left_out, run.notes, run.duplicates)
    return Compressed(run.folder, manifest, rows, *lists, run.encodes, *found, checked or [])


def _describe(
    plan: Plan, run: _Run, run_id: str, checked: list[dict[str, Any]] | None = None
) -> None:
    """The run in words, for people and for the report."""
    description = {
        "run": run_id,
        "nacd_bench": __version__,
        "scheme": plan.scheme,
        "steps": dict(plan.steps),
        "tolerance": plan.tolerance,
        "images": len(plan.paths),
        "left_out": plan.left_out,
        "notes": run.notes,
        "duplicates": run.duplicates,
        "failures": len(run.failures),
        "decode_check": checked
        and {"decodes": len(checked), "faults": sum(map(is_fault, checked))},
        "codecs": {
            side.label: {
                **side.identity,
                "follows": side.follows,
                "rate_factor": side.rate_factor,
                "rate_is_estimated": side.codec.rate_is_estimated,
            }
            for side in plan.sides
        },
    }
    write_whole(run.folder / "run.json", json_bytes(description))
