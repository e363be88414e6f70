"""The picture files of a task, made in any process, the same in each.

    page/pictures/ab/<task>-A.png, <task>-B.png, <task>-original.png     for the voting page
    label_studio/images/ab/<task>.png, toloka/images/ab/<task>.png       all of them in one

Names and bytes say nothing about sides and controls: A and B are coded alike, and every file has
one and the same time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.coding.codec import Image, png
from nacd_bench.coding.matched import describe, stop_if_disk_full
from nacd_bench.errors import ImageError
from nacd_bench.jobs.verify.controls import Crops, Recipe, control_pair
from nacd_bench.jobs.verify.pictures import cell_size, sheet, task_pictures
from nacd_bench.jobs.verify.tasks import ANSWERS, CANDIDATE, shown
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import read_8_bit

PAGE, LABEL_STUDIO, TOLOKA = "page", "label_studio", "toloka"
FORMATS = (PAGE, LABEL_STUDIO, TOLOKA)
"""Each is the folder of the same name."""
SHEETS = {LABEL_STUDIO: "images", TOLOKA: "images"}
"""Formats that show all pictures of a task in one file, and the folder of these files."""
TIME = 946_684_800
"""When every picture was written, as its file says: 2000, a time that archives can hold."""


@dataclass(frozen=True)
class Job:
    """The pictures of a task.

    Args:
        recipe: the task, and the row of candidates that it is made of.
        run: the mined folder.
        folder: of the export.
        formats: of :data:`FORMATS`.
        seed: of the export.
        cell: of a checkerboard at the most, in pixels.
    """

    recipe: Recipe
    run: Path
    folder: Path
    formats: tuple[str, ...]
    seed: int
    cell: int


@dataclass(frozen=True)
class Made:
    """What came of a job.

    Args:
        sheet_bytes: of the file with all pictures in one; 0 where no format has it.
        fault: why there are no pictures, or None.
        is_unfit: nothing strong can be planted there, which is nobody's fault.
    """

    sheet_bytes: int = 0
    fault: str | None = None
    is_unfit: bool = False


def picture_name(task: str, suffix: str = "") -> str:
    """A file of a task in a folder of pictures; 256 folders share them.

    >>> picture_name("t5d95d4db5e3a50dd", "-A")
    '5d/t5d95d4db5e3a50dd-A.png'
    """
    return f"{task[1:3]}/{task}{suffix}.png"


def task_files(folder: Path, formats: tuple[str, ...], task: str, kind: str) -> dict[str, Path]:
    """The files of a task: those of the page by caption, and the sheets by format."""
    files = {name: folder / name / SHEETS[name] / picture_name(task) for name in SHEETS}
    files = {name: path for name, path in files.items() if name in formats}
    if PAGE in formats:
        for caption in shown(kind):
            files[caption] = folder / PAGE / "pictures" / picture_name(task, f"-{caption}")
    return files


def make_task(job: Job) -> Made:
    """Make and write the pictures of a task, unless they are there.

    Raises:
        DiskFullError: no room; whatever else goes wrong is the task's fault.
    """
    try:
        return _made(job)
    except Exception as error:  # one bad crop costs no other task
        stop_if_disk_full(error, job.folder)
        return Made(fault=describe(error))


def task_died(job: Job) -> Made:
    """What came of a job that took its process down."""
    name = job.recipe.row["candidate"]
    return Made(fault=f"the process that read the crops of {name} died (out of memory?).")


def remove_other_pictures(folder: Path, tasks: Collection[str]) -> None:
    """Remove pictures of tasks that are not part of the export after all."""
    for place in (folder / PAGE / "pictures", *(folder / name / SHEETS[name] for name in SHEETS)):
        for path in place.glob("*/*.png"):
            if path.stem.partition("-")[0] not in tasks:
                path.unlink()


def _made(job: Job) -> Made:
    task = job.recipe.task
    files = task_files(job.folder, job.formats, task.id, task.artifact_type)
    if not all(path.is_file() for path in files.values()):
        pictures = _pictures(job)
        if pictures is None:
            return Made(is_unfit=True)
        _write(files, pictures)
    sheets = [files[name] for name in SHEETS if name in files]
    return Made(sheets[0].stat().st_size if sheets else 0)


def _pictures(job: Job) -> Mapping[str, Image] | None:
    row, task = job.recipe.row, job.recipe.task
    crops = read_crops(job.run, row)
    if task.kind == CANDIDATE:
        sides = {"A": crops.neural, "B": crops.traditional}
        if task.neural == "B":
            sides = {"A": crops.traditional, "B": crops.neural}
    else:
        pair = control_pair(job.recipe, crops, job.seed)
        if pair is None:
            return None
        crops, right = pair
        sides = {each: right if each == task.answer else crops.traditional for each in ANSWERS[:2]}
    size = crops.original.shape[1], crops.original.shape[0]
    if row["artifact_type"] == task.artifact_type:
        size = row["x1"] - row["x0"], row["y1"] - row["y0"]
    cell = cell_size(job.cell, *size)
    return task_pictures(task.artifact_type, crops.original, sides["A"], sides["B"], cell)


def read_crops(run: Path, row: Mapping[str, object]) -> Crops:
    """The three crops of a candidate.

    Raises:
        ImageError: one is missing or damaged, or their sizes differ.
    """
    names = {role: row[f"crop_{role}"] for role in ("original", "neural", "traditional")}
    lacking = [role for role, name in names.items() if not name]
    if lacking:
        raise ImageError(
            f"expected the crops of {row['candidate']}, got none for {', '.join(lacking)}. Mine "
            "again into the same folder."
        )
    crops = Crops(**{role: read_8_bit(run / str(name))[0] for role, name in names.items()})
    sizes = {each.shape for each in (crops.original, crops.neural, crops.traditional)}
    if len(sizes) > 1:
        raise ImageError(
            f"expected three crops of one size, got {sorted(sizes)} for {row['candidate']}. Mine "
            "again into an empty folder."
        )
    return crops


def _write(files: Mapping[str, Path], pictures: Mapping[str, Image]) -> None:
    sheets = [path for name, path in files.items() if name in SHEETS]
    coded = {path: png(pictures[name]) for name, path in files.items() if name not in SHEETS}
    if sheets:
        coded[sheets[0]] = png(sheet(pictures))
    for path, data in coded.items():
        write_whole(path, data)
        os.utime(path, (TIME, TIME))
    for path in sheets[1:]:
        _link(sheets[0], path)


def _link(source: Path, path: Path) -> None:
    """The same file at a second place, without its room where the file system can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        path.hardlink_to(source)
    except OSError:
        write_whole(path, source.read_bytes())
        os.utime(path, (TIME, TIME))
