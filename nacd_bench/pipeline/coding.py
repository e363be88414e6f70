"""From images to triplets at a comparable rate: for ``compress``, ``rank`` and samples.

A codec goes ahead, at operating points or rates, or follows another one at the rate or PSNR that
this got.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nacd_bench.coding.originals import Item, list_images
from nacd_bench.coding.sides import (
    LARGEST_GAP,
    NEURAL,
    AnyCodec,
    CodecSpec,
    Side,
    built,
    make_side,
)
from nacd_bench.errors import Failure, UserError
from nacd_bench.pipeline.engine import run
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.stages import (
    BY_NAME,
    READERS,
    Code,
    Read,
    Stage,
    Steps,
    Work,
    read_file,
)
from nacd_bench.pipeline.workers import ahead
from nacd_bench.runs.candidates import place_of
from nacd_bench.runs.folder import RunFolder, open_run
from nacd_bench.runs.schema import TRIPLETS
from nacd_bench.settings import Name, Names
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import COLUMNS, stem

LONGEST_STEM = 251
"""Bytes of a file's name without its suffix that file systems take."""
PILOTS = 8
"""Images that teach the rate search, those of lowest content hash; the others use what these
taught, whichever is done first."""
RESULT_COLUMNS = (
    *("point", "fine", "asked_kind", "asked", "bpp", "bytes", "file_bytes", "out_of_range"),
    *("encodes", "encode_seconds", "decode_seconds", "peak_memory"),
    *("psnr", "msssim", "ssimulacra2", "vmaf", "bitstream", "command_line"),
)
"""What the manifest says about each side of a triplet."""


@dataclass
class CodedImages:
    """What a run left in its folder.

    Args:
        folder: the run's folder.
        sides: the codecs, each after the one that it follows: of ``compress`` the neural one first.
        steps: the rates: name and operating point or bits per pixel.
        tolerance: share by which a traditional rate may miss what it was asked for.
        left_out: how many pictures of kinds that are not read lie there, by kind.
        images: how many there are, those that failed and those left out included.
        works: the images with what is known of each result, in their order.
        failures: what failed.
        notes: what is odd about an image's file or name and does not touch its pixels.
        duplicates: images left out because another file has the same bytes, and that one.
        encodes: encodes that this run's results needed; 0 when everything was there.
        seconds: of this run's work by stage, summed over processes.
        curves: rows of :func:`~nacd_bench.evaluation.rate_distortion.curves`.
        bd_rates: rows of :func:`~nacd_bench.evaluation.rate_distortion.bd_rates`.
        not_averaged: see :func:`~nacd_bench.evaluation.rate_distortion.left_out`.
        settings: what decides the results.
        decoded_again: what a second decode of each bitstream gave, with ``check="decode"``.
    """

    folder: Path
    sides: tuple[Side, ...]
    steps: Steps
    tolerance: float
    left_out: Mapping[str, int]
    images: int
    works: list[Work] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    encodes: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    curves: list[dict[str, Any]] = field(default_factory=list)
    bd_rates: list[dict[str, Any]] = field(default_factory=list)
    not_averaged: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    decoded_again: list[dict[str, Any]] = field(default_factory=list)

    @property
    def manifest(self) -> Path:
        """The table of triplets; ``triplets.csv`` is the same."""
        return self.folder / TRIPLETS

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per triplet, in the order of images, rates and traditional codecs."""
        by_label = {side.label: side for side in self.sides}
        pairs = []
        for follower in self.sides:
            leader = follower
            while leader.follows is not None:
                leader = by_label[leader.follows]
            pairs += [(leader, follower)] if leader is not follower else []
        return [
            _triplet(work, preset, leader, follower, self.tolerance)
            for work in self.works
            for preset, _ in self.steps
            for leader, follower in pairs
            if all(preset in work.coded.get(side.label, {}) for side in (leader, follower))
        ]


def code_sides(
    images: Names,
    sides: tuple[Side, ...],
    steps: Steps,
    folder: Name,
    *,
    kinds: tuple[str, str] = ("bpp", "bpp"),
    job: str = "compress",
    settings: Mapping[str, Any] | None = None,
    tolerance: float | None = None,
    workers: int | None = None,
    failure_limit: float = 0.2,
    show_progress: bool = True,
    measures: Sequence[str] = (),
    pilots: int = PILOTS,
) -> CodedImages:
    """Code images with codecs, each of which goes ahead or follows one before it.

    A result has the hash of everything that fixes it; one that is there is not made again, whatever
    else was changed. Arguments that are not here are those of
    :func:`nacd_bench.jobs.compress.run.compress`.

    Args:
        sides: the codecs.
        steps: what those that go ahead are asked for.
        kinds: of what is asked of those that go ahead, and of those that follow, see
            :class:`~nacd_bench.pipeline.stages.Code`.
        job: whose folder it is.
        measures: the qualities of results beside PSNR.
        settings: what else decides the job's results.
        pilots: images that come first and teach the rate search.
    """
    folder = Path(folder)
    listing = list_images(images, folder, files_only=True)
    stages = [
        Code(
            side=side,
            kind=kinds[side.follows is not None],
            steps=steps,
            folder=folder,
            place=BY_NAME,
            tolerance=tolerance,
            keep=True,
            measures=measures,
        )
        for side in sides
    ]
    codecs = {
        side.label: {
            **side.identity,
            "follows": side.follows,
            "rate_factor": side.rate_factor,
            "rate_is_estimated": side.codec.rate_is_estimated,
        }
        for side in sides
    }
    settings = {**(settings or {}), "steps": dict(steps), "tolerance": tolerance, "codecs": codecs}
    largest = LARGEST_GAP if tolerance is None else tolerance
    coded = CodedImages(folder, sides, steps, largest, listing.left_out, len(listing.items))
    coded.settings = settings
    with (
        open_run(folder, job, settings, anew=True) as opened,
        progress_bar("images", len(listing.items), show_progress) as progress,
    ):
        coding = _Coding(coded, stages, opened, progress, failure_limit)
        try:
            first, others = _with_pilots(listing.items, pilots)
            coding.code(first, workers)
            coding.learn()
            coding.code(others, workers)
        except BaseException:
            with suppress(UserError):  # the first error is the one to show
                _write(coded, opened.failures)
            raise
        _write(coded, opened.failures)
    return coded


def _write(coded: CodedImages, failures: list[Failure]) -> None:
    """The manifest of what is there."""
    coded.works.sort(key=lambda work: work.item.index)
    coded.failures = failures
    with suppress(OSError):  # of encodes that are kept for the next run
        for place in (*(coded.folder / "encodes").glob("*"), coded.folder / "encodes"):
            place.rmdir()
    records = [_record(row, coded.folder) for row in coded.rows]
    write_manifest(coded.manifest, records)
    write_manifest(coded.manifest.with_suffix(".csv"), records)


def _with_pilots(items: Sequence[Item], count: int) -> tuple[list[Item], list[Item]]:
    """The images of lowest content hash, which no name and no order changes, and the others."""
    hashes = [work.sha256 or "unreadable" for work in ahead(read_file, items, READERS)]
    limit = sorted(hashes)[:count][-1:]
    split: tuple[list[Item], list[Item]] = [], []
    for item, digest in zip(items, hashes, strict=True):
        split[[digest] > limit].append(item)
    return split


def triplet_sides(
    neural: AnyCodec, traditional: Sequence[AnyCodec], rate_factor: float | None = None
) -> tuple[Side, ...]:
    """The codecs, built: a missing one is known now."""
    sides = {NEURAL: make_side(NEURAL, neural)}
    for codec in traditional:
        label = built(codec).name
        follows = codec.follows if isinstance(codec, CodecSpec) else NEURAL
        if follows not in sides:
            raise UserError(
                f"{label} follows '{follows}', which is not a codec before it: {', '.join(sides)}."
            )
        factor = rate_factor if len(sides) == 1 else None
        _require_own(label, sides)
        sides[label] = make_side(label, codec, follows, factor)
    return tuple(sides.values())


def anchored_sides(codecs: Sequence[AnyCodec], anchor: AnyCodec) -> tuple[Side, ...]:
    """Codecs under their own names, and the anchor after each of them, at the rate that it got."""
    sides: dict[str, Side] = {}
    for codec in codecs:
        label = built(codec).name
        follower = f"{built(anchor).name}-at-{label}"
        _require_own(label, sides)
        sides[label] = make_side(label, codec)
        sides[follower] = make_side(follower, anchor, label, 1.0)
    return tuple(sides.values())


def _require_own(label: str, labels: Collection[str]) -> None:
    """Refuse a name that another codec has, or that does not do as that of a folder."""
    if label in labels:
        raise UserError(f"two codecs of the run are called '{label}'. Give each codec a label.")
    if Path(label).name != label or label.startswith("."):
        raise UserError(
            f"expected the label of a codec to do as the name of a folder, got '{label}'."
        )


@dataclass
class _Coding:
    """Images on their way: each content once, under a name of its own, on record."""

    coded: CodedImages
    stages: list[Code]
    opened: RunFolder
    progress: Progress
    failure_limit: float

    def __post_init__(self) -> None:
        self.first_with: dict[str, str] = {}
        self.named: dict[str, str] = {}
        self.earlier: dict[str, dict[str, Any]] = {}
        self.finished: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = defaultdict(dict)
        for record in self.opened.journal:
            self.earlier[record["sha256"]] = record
            for side, rows in record["coded"].items():
                known = {(side, preset, row["key"]): row for preset, row in rows.items()}
                self.finished[record["sha256"]] |= known

    def code(self, items: Sequence[Item], workers: int | None) -> None:
        """Do everything that is not there yet."""
        stages: list[Stage] = [Read(self.coded.folder), *self.stages]
        with closing(run(stages, self._batches(items), workers=workers)) as works:
            for work in works:
                fresh = [row for rows in work.fresh.values() for row in rows.values()]
                if fresh:
                    self.opened.journal.append(work.record())
                self.coded.encodes += sum(row["encodes"] for row in fresh)
                self.coded.seconds.update(work.seconds)
                encodes = self.coded.folder / place_of("encodes", work.sha256)
                shutil.rmtree(encodes, ignore_errors=True)
                self._done(work)
                self.progress()
                self._note_failures(work)

    def learn(self) -> None:
        """What the first images taught about the rates goes with the others."""
        pilots = sorted(self.coded.works, key=lambda work: work.item.index)
        for place, stage in enumerate(self.stages):
            earlier: list[dict[int, float]] = []
            for work in pilots:
                rows = work.coded.get(stage.name, {}).values()
                seen = [point for row in rows for point in row.get("departures", {}).items()]
                earlier.append({int(index): value for index, value in seen})
            self.stages[place] = replace(stage, earlier=earlier)

    def _batches(self, items: Sequence[Item]) -> Iterator[list[Work]]:
        """Images that go together: of one size where the neural codec takes several.

        They are put together in fixed blocks, whether they are finished or not: a batch may change
        what a network computes.
        """
        size, works = self.stages[0].side.codec.batch_size, self._works(items)
        read = Read(self.coded.folder)
        while block := list(islice(works, max(8, 4 * size) if size > 1 else 1)):
            if size > 1:
                read(block)
            of_size: dict[tuple[int, int], list[Work]] = defaultdict(list)
            for work in block:
                of_size[work.height, work.width].append(work)
            for same in of_size.values():
                for batch in (same[i : i + size] for i in range(0, len(same), size)):
                    if any(stage.missing(work) for work in batch for stage in self.stages):
                        yield batch
                        continue
                    for work in batch:
                        self._done(work)
                        self.progress.skip(1)

    def _works(self, items: Sequence[Item]) -> Iterator[Work]:
        """Images with their bytes, each content once."""
        for work in ahead(read_file, items, READERS):
            path = work.item.path
            if work.failures:
                self.progress()
                self._note_failures(work)
                continue
            first = self.first_with.setdefault(work.sha256, path)
            if first != path:
                self.coded.duplicates[path] = first
                self.progress.skip(1)
                continue
            work.name = self._name_of_its_own(path, work.sha256)
            work.finished = self.finished[work.sha256]
            if work.sha256 in self.earlier:
                record = self.earlier[work.sha256]
                work.width, work.height = record["width"], record["height"]
                work.notes = tuple(record["notes"])
            yield work

    def _name_of_its_own(self, path: str, digest: str) -> str:
        """The name of an image in the results, which no other has on any file system."""
        name = unique = stem(Path(path).name)
        first = self.named.setdefault(name.casefold(), path)
        if first != path or len(os.fsencode(name)) > LONGEST_STEM:
            cut = os.fsencode(name)[: LONGEST_STEM - 9].decode("utf-8", "ignore")
            unique = f"{cut}-{digest[:8]}"
        if Path(first).stem != Path(path).stem:
            self.coded.notes[path] = [
                f"its name differs from that of {first} by case or Unicode form only, one file on "
                f"some systems; it is {unique} in the results"
            ]
        return unique

    def _done(self, work: Work) -> None:
        self.coded.works.append(work)
        work.data = None
        if work.notes:
            notes = self.coded.notes.get(work.item.path, [])
            self.coded.notes[work.item.path] = [*work.notes, *notes]

    def _note_failures(self, work: Work) -> None:
        if work.failures:
            failures = [Failure(work.item.path, *failure) for failure in work.failures]
            self.opened.failures += failures
            self.progress.failures += 1
            last = f"{failures[-1]} Results: {self.coded.folder}."
            self.progress.require(self.failure_limit, last)


def _triplet(
    work: Work, preset: str, neural: Side, traditional: Side, tolerance: float
) -> dict[str, Any]:
    sides = {"neural": neural, "traditional": traditional}
    results = {role: work.coded[side.label][preset] for role, side in sides.items()}
    follower = results["traditional"]
    by_rate = follower["asked_kind"] == "bpp"
    gap = follower["bpp"] / follower["asked"] - 1 if by_rate else None
    row: dict[str, Any] = {
        "id": f"{work.name}_{preset}_{traditional.label}",
        "source": work.name,
        "image_sha256": work.sha256,
        "width": work.width,
        "height": work.height,
        "preset": preset,
        "original": work.item.path,
        "neural": results["neural"]["decoded"],
        "traditional": results["traditional"]["decoded"],
        "traditional_label": traditional.label,
        "rate_gap": gap,
        "over_tolerance": None if gap is None else abs(gap) > tolerance,
    }
    for role, side in sides.items():
        facts = {
            "codec": side.codec.name,
            "version": side.identity["version"],
            "parameters": json.dumps(side.identity["parameters"], sort_keys=True),
            "point_name": side.codec.points.name,
            "rate_is_estimated": side.codec.rate_is_estimated,
            "is_neural": side.codec.is_neural,
            "parameter_count": side.codec.parameter_count,
            **{name: results[role].get(name) for name in RESULT_COLUMNS},
        }
        row |= {f"{role}_{name}": value for name, value in facts.items()}
    return row


def _record(row: Mapping[str, Any], folder: Path) -> TripletRecord:
    """A triplet as the manifest has it; what is only of interest to codecs goes into ``extra``."""
    values = {name: row[name] for name in COLUMNS if name in row}
    for role in ("neural", "traditional"):
        values[role] = str(folder / row[role])
        values[f"{role}_point"] = f"{row[f'{role}_point']:g}"
    extra = {name: value for name, value in row.items() if name not in values}
    return TripletRecord(**values, extra=extra)
