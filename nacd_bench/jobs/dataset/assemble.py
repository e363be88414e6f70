"""From triplets, artifacts and image files to a data set's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.dataset.card import default_title, write_card
from nacd_bench.jobs.dataset.coco import write_coco
from nacd_bench.jobs.dataset.content import (
    ARTIFACTS,
    CARD,
    CHECKSUMS,
    COCO,
    FAILURES,
    IMAGES,
    TRIPLETS,
    DataSet,
    relative,
    write_tables,
)
from nacd_bench.jobs.dataset.images import MOST_WORKERS, ImageFile, Made, make_images
from nacd_bench.jobs.dataset.unite import Part, content_key, deduplicated, unite
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import cores
from nacd_bench.registry import unknown
from nacd_bench.runs.folder import clear_parts, file_names, require_settings
from nacd_bench.runs.schema import SETTINGS
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import sha256, writable, write_whole
from nacd_bench.triplets.record import Problem, TripletRecord
from nacd_bench.triplets.text_files import read_json

COPY, LINK, REFERENCES = "copy", "link", "references"
MODES = (COPY, LINK, REFERENCES)
"""What becomes of image files."""
LOCK = "run.lock"

Sources = Mapping[str, Mapping[str, ImageFile]]
"""Where the three images of a triplet come from, by its
:func:`~nacd_bench.jobs.dataset.unite.content_key` and role."""


@dataclass(frozen=True)
class Assembled:
    """A data set on disk.

    Args:
        folder: where it lies.
        dataset: what it holds.
        problems: what was left out or is contradictory.
        counts: see :class:`~nacd_bench.jobs.dataset.unite.United`.
    """

    folder: Path
    dataset: DataSet
    problems: Sequence[Problem] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How a data set is put together.

    Args:
        title: of the card; None: made of the codecs' names.
        images: ``copy``, ``link`` (hard links where the file system can), or ``references``: the
            tables name the files where they are.
        iou: artifacts of one image and type whose boxes overlap by more count once; None: all do.
        workers: processes that copy and decode; 0: this one; None: one per core, at most 8.
        show_progress: on standard error.

    Raises:
        UserError: another value.
    """

    title: str | None = None
    images: str = COPY
    iou: float | None = 0.5
    workers: int | None = None
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.images not in MODES:
            raise UserError(f"{unknown('value of images', str(self.images), list(MODES))}.")
        if self.iou is not None and not (isinstance(self.iou, int | float) and 0 <= self.iou <= 1):
            raise UserError(f"expected an IoU from 0 to 1, or null, got {self.iou!r}.")
        if self.workers is not None and not (isinstance(self.workers, int) and self.workers >= 0):
            raise UserError(
                f"expected workers as a number of processes, 0 or more, got {self.workers!r}."
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What of it decides the result."""
        return {"title": self.title, "images": self.images, "iou": self.iou}


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make sure that a folder is empty, or that of a data set which was begun in the same way.

    Raises:
        DataError: it holds something else.
    """
    there = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if there and not (folder / SETTINGS).is_file():
        raise DataError(
            f"expected an empty folder for the data set, got {folder} with {', '.join(there[:5])}. "
            "Name another folder."
        )
    if there:
        try:
            job = read_json(folder / SETTINGS, "settings")["job"]
        except (DataError, LookupError, TypeError):
            job = "something else"
        if job != settings["job"]:
            raise DataError(
                f"expected a folder for {settings['job']}, got {folder} with the results of {job}. "
                "Name another folder."
            )
    require_settings(folder, settings["job"], settings)
    clear_parts(folder)


def assemble(
    folder: Path,
    parts: Sequence[Part],
    sources: Sources,
    problems: Sequence[Problem],
    settings: Mapping[str, Any],
    options: Options,
) -> Assembled:
    """Unite parts, put their images in place, and write all files of a data set.

    Args:
        folder: see :func:`begin`.
        parts: triplets and their artifacts.
        sources: where their images come from.
        problems: what was left out before.
        settings: of the data set.
        options: see :class:`Options`.

    Raises:
        DataError: no triplet is left; ``failures.csv`` says why.
    """
    united = unite(parts, options.iou)
    names = file_names(
        name for record in united.records for name in (record.id, record.source or record.id)
    )
    placed = [_placed(folder, record, names, sources, options) for record in united.records]
    made = _made([files for _, files in placed], options)
    records, faults = [], []
    for record, files in placed:
        wrong = {role: made[file.name].fault for role, file in files.items() if file.name in made}
        lines = [f"{role}: {fault}" for role, fault in wrong.items() if fault]
        faults += [Problem(record.id, line) for line in lines]
        if not lines:
            records.append(record)
    found = [*problems, *united.problems, *faults]
    _write_failures(folder, found)
    if not records:
        raise DataError(
            f"expected at least one triplet for the data set, got none; {len(found)} problems are "
            f"in {folder / FAILURES}. The first: {found[0] if found else 'nothing was confirmed'}"
        )
    there = {record.id: record for record in records}
    artifacts = [each for each in united.artifacts if each.triplet in there]
    if options.iou is not None:  # what was kept of two may be gone
        artifacts = deduplicated(artifacts, there, options.iou)
    dataset = DataSet.of(records, artifacts, settings)
    title = options.title or default_title(dataset)
    write_tables(folder, dataset)
    write_coco(folder, dataset, title)
    write_card(folder, dataset, title)
    _write_checksums(folder, [files for record, files in placed if record.id in there], made)
    return Assembled(folder, dataset, tuple(found), dict(united.counts))


Files = dict[str, ImageFile]
"""By role."""


def _placed(
    folder: Path,
    record: TripletRecord,
    names: Mapping[str, str],
    sources: Sources,
    options: Options,
) -> tuple[TripletRecord, Files]:
    """A triplet with the paths that its images will have, and what makes them."""
    files: Files = {}
    paths: dict[str, str] = {}
    for role, source in sources[content_key(record)].items():
        target = None
        if options.images != REFERENCES:
            target = folder / IMAGES / role / _name(record, role, source, names)
        elif source.is_decode and not source.source:
            source = replace(source, bitstream=None)  # there is nothing that could be named
        paths[role] = str(target or source.source)
        name = f"{role} {record.source if role == 'original' else record.id}"
        files[role] = replace(source, name=name, target=target, link=options.images == LINK)
    return replace(record, **paths), files  # type: ignore[arg-type]


def _name(record: TripletRecord, role: str, source: ImageFile, names: Mapping[str, str]) -> str:
    if role != "original":
        return f"{names[record.id]}.png"
    suffix = PurePosixPath(source.source).suffix
    return f"{names[record.source or record.id]}{suffix if suffix[1:].isalnum() else ''}"


def _made(placed: Sequence[Files], options: Options) -> dict[str, Made]:
    """What came of all images; decodes are not made where the original is not to be had."""
    originals = {files["original"].name: files["original"] for files in placed}
    total = len(originals) + 2 * len(placed)
    with progress_bar("images", total, options.show_progress) as progress:
        made = make_images(originals.values(), _workers(options, len(originals)), progress)
        good = [files for files in placed if not made[files["original"].name].fault]
        decodes = [files[role] for files in good for role in ROLES if role != "original"]
        progress.skip(total - len(originals) - len(decodes))
        return made | make_images(decodes, _workers(options, len(decodes)), progress)


def _workers(options: Options, files: int) -> int:
    if options.workers is not None:
        return options.workers
    return min(MOST_WORKERS, cores()) if files > MOST_WORKERS else 0


def _write_failures(folder: Path, problems: Sequence[Problem]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("triplet", "error"))
    writer.writerows((_cell(each.subject), _cell(str(each))) for each in problems)
    write_whole(folder / FAILURES, writable(text.getvalue()).encode())


def _cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _write_checksums(folder: Path, placed: Sequence[Files], made: Mapping[str, Made]) -> None:
    """Write the hashes of all files, and remove images that do not belong to them."""
    hashes = {name: sha256((folder / name).read_bytes()) for name in _tables()}
    for files in placed:
        for file in files.values():
            if file.target is not None:
                hashes[relative(str(file.target), folder)] = made[file.name].sha256
    for path in (folder / IMAGES).rglob("*"):
        if path.is_file() and relative(str(path), folder) not in hashes:
            path.unlink()
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    write_whole(folder / CHECKSUMS, "".join(lines).encode())


def _tables() -> tuple[str, ...]:
    return TRIPLETS, ARTIFACTS, COCO, CARD, SETTINGS
