"""The picture files of a task, made in any process, the same in each.

    page/pictures/ab/<task>-A.png, <task>-B.png, <task>-original.png     for the voting page
    label_studio/images/ab/<task>.png, toloka/images/ab/<task>.png       all of them in one

Names and bytes say nothing about sides and controls: A and B are coded alike, and every file has
one and the same time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nacd_bench.coding.codec import Image, png
from nacd_bench.coding.matched import describe, stop_if_disk_full
from nacd_bench.errors import ImageError
from nacd_bench.jobs.verify.controls import CropTriplet, TaskJob, control_pair
from nacd_bench.jobs.verify.pictures import cell_size, sheet, task_pictures
from nacd_bench.jobs.verify.tasks import CANDIDATE, shown
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import linked, write_whole
from nacd_bench.triplets.images import read_8_bit

PAGE, LABEL_STUDIO, TOLOKA = "page", "label_studio", "toloka"
Format = Literal["page", "label_studio", "toloka"]
"""Each is the folder of the same name."""
SHEETS = {LABEL_STUDIO: "images", TOLOKA: "images"}
"""Formats that show all pictures of a task in one file, and the folder of these files."""
TIME = 946_684_800
"""When every picture was written, as its file says: 2000, a time that archives can hold."""


def picture_name(task: str, suffix: str = "") -> str:
    """A file of a task in a folder of pictures; 256 folders share them.

    >>> picture_name("t5d95d4db5e3a50dd", "-A")
    '5d/t5d95d4db5e3a50dd-A.png'
    """
    return f"{task[1:3]}/{task}{suffix}.png"


def make_task(
    job: TaskJob, run: Path, folder: Path, formats: Sequence[str], seed: int, cell: int
) -> str:
    """Make and write the pictures of a task, unless they are there; why they could not be made.

    Args:
        job: the task, and the row of candidates that it is made of.
        run: the mined folder.
        folder: of the export.
        formats: of the export.
        seed: of the export.
        cell: of a checkerboard at the most, in pixels.

    Raises:
        DiskFullError: no room; whatever else goes wrong is the task's fault.
    """
    try:
        task = job[0]
        sheets = [folder / f / SHEETS[f] / picture_name(task.id) for f in formats if f in SHEETS]
        files = {}
        if PAGE in formats:
            for caption in shown(task.artifact_type):
                path = folder / PAGE / "pictures" / picture_name(task.id, f"-{caption}")
                files[path] = caption
        if all(path.is_file() for path in (*files, *sheets)):
            return ""
        pictures = _pictures(job, run, seed, cell)
        if pictures is None:
            return "no strong artifact can be planted there."
        for path, caption in files.items():
            _write(path, png(pictures[caption]))
        if sheets:
            _write(sheets[0], png(sheet(pictures)))
        for path in sheets[1:]:  # without its room where the file system can
            if not linked(sheets[0], path):
                _write(path, sheets[0].read_bytes())
    except Exception as error:  # one bad crop costs no other task
        stop_if_disk_full(error, folder)
        return describe(error)
    return ""


def task_died(job: TaskJob) -> str:
    """The fault of a task that took its process down."""
    return f"the process that read the crops of {job[0].candidate} died (out of memory?)."


def remove_other_pictures(folder: Path, tasks: Collection[str]) -> None:
    """Remove pictures of tasks that are not part of the export after all."""
    for place in (folder / PAGE / "pictures", *(folder / name / SHEETS[name] for name in SHEETS)):
        for path in place.glob("*/*.png"):
            if path.stem.partition("-")[0] not in tasks:
                path.unlink()


def read_crops(run: Path, row: Mapping[str, Any]) -> CropTriplet:
    """The three crops of a candidate.

    Raises:
        ImageError: one is missing or damaged, or their sizes differ.
    """
    lacking = [role for role in ROLES if not row[f"crop_{role}"]]
    if lacking:
        raise ImageError(
            f"expected the crops of {row['candidate']}, got none for {', '.join(lacking)}. Mine "
            "again into the same folder."
        )
    crops = CropTriplet(*(read_8_bit(run / row[f"crop_{role}"])[0] for role in ROLES))
    sizes = {crop.shape for crop in crops}
    if len(sizes) > 1:
        raise ImageError(
            f"expected three crops of one size, got {sorted(sizes)} for {row['candidate']}. Mine "
            "again into an empty folder."
        )
    return crops


def _pictures(job: TaskJob, run: Path, seed: int, cell: int) -> Mapping[str, Image] | None:
    task, row = job
    crops = read_crops(run, row)
    a, b = crops.neural, crops.traditional
    if task.kind == CANDIDATE:
        is_turned = task.neural == "B"
    else:
        pair = control_pair(job, crops, seed)
        if pair is None:
            return None
        crops, right = pair
        a, b = right, crops.traditional
        is_turned = task.answer == "B"
    if is_turned:
        a, b = b, a
    height, width = crops.original.shape[:2]
    if row["artifact_type"] == task.artifact_type:
        width, height = row["x1"] - row["x0"], row["y1"] - row["y0"]
    size = cell_size(cell, width, height)
    return task_pictures(task.artifact_type, crops.original, a, b, size)


def _write(path: Path, data: bytes) -> None:
    write_whole(path, data)
    os.utime(path, (TIME, TIME))
