"""The pictures of a task, made in any process, the same in each.

::

    page/pictures/ab/<task>-A.png, <task>-B.png, <task>-original.png     for the voting page
    label_studio/images/ab/<task>.png, toloka/images/ab/<task>.png       all of them in one; one by
                                                                         one where they are graded

Names and bytes say nothing about sides and controls: A and B are coded alike, and every file has
one and the same time. Controls are made of crops of the same type and of the same photographs as
those that people are asked about, and framed like these, so that neither sizes nor contents give
them away.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from nacd_bench.coding.codec import Image, png
from nacd_bench.coding.matched import describe, stop_if_disk_full
from nacd_bench.errors import ImageError
from nacd_bench.ops.boxes import regions_around
from nacd_bench.planting.controls import strong_artifact
from nacd_bench.report.sheets import sheet
from nacd_bench.runs.tasks import CANDIDATE, GRADE, IDENTICAL, Task, asked_like, drawn
from nacd_bench.triplets.files import linked, write_whole
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.manifest import resolved
from nacd_bench.triplets.record import ROLES, Box

PAGE, LABEL_STUDIO, TOLOKA = "page", "label_studio", "toloka"
Format = Literal["page", "label_studio", "toloka"]
"""Each is the folder of the same name."""
FOLDERS = {PAGE: "pictures", LABEL_STUDIO: "images", TOLOKA: "images"}
"""Of the picture files of a format."""
TIME = 946_684_800
"""When every picture was written, as its file says: 2000, a time that archives can hold."""
MARGIN, LEAST_FRAME = 8, 96
"""Pixels between a place and its frame, and of a frame's side at the least."""
FRAME, FRAME_WIDTH = (255, 45, 31), 2
"""Colour, and width in pixels, of a frame that is drawn into a picture."""
LEAST_CELL = 4
"""Pixels of a checkerboard's cell at the least."""
CELLS_PER_BOX = 3
"""Cells along the shorter side of an artifact at the least, so that no cell can hide it."""

Row = Mapping[str, Any]
TaskJob = tuple[Task, Row]
"""What is asked, and the candidate whose crops are shown."""


class CropTriplet(NamedTuple):
    """The crops of a candidate, ``(H, W, 3)`` uint8, all of one size."""

    original: Image
    neural: Image
    traditional: Image


def picture_name(task: str, suffix: str = "") -> str:
    """A file of a task in a folder of pictures; 256 folders share them.

    >>> picture_name("t5d95d4db5e3a50dd", "-A")
    '5d/t5d95d4db5e3a50dd-A.png'
    """
    return f"{task[1:3]}/{task}{suffix}.png"


def frame_of(row: Row) -> Box | None:
    """Where a rater is to look, in pixels of a candidate's crops; None where that is all of them.

    >>> crop = {"crop_x0": 100, "crop_y0": 0, "crop_x1": 400, "crop_y1": 300}
    >>> frame_of({**crop, "x0": 200, "y0": 0, "x1": 320, "y1": 30})
    (92, 0, 228, 96)
    """
    width, height = (row[f"crop_{axis}1"] - row[f"crop_{axis}0"] for axis in "xy")
    place = [
        row[f"{axis}{end}"] - row[f"crop_{axis}0"] + margin
        for end, margin in ((0, -MARGIN), (1, MARGIN))
        for axis in "xy"
    ]
    x0, y0, x1, y1 = regions_around([place], width, height, LEAST_FRAME, holds=True)[0].tolist()
    return None if (x1 - x0, y1 - y0) == (width, height) else (x0, y0, x1, y1)


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
        files: dict[Path, str] = {}
        for name in formats:
            for caption in task.shown if name == PAGE or task.question == GRADE else ("",):
                suffix = caption and f"-{caption}"
                files[folder / name / FOLDERS[name] / picture_name(task.id, suffix)] = caption
        if all(path.is_file() for path in files):
            return ""
        pictures = task_pictures(job, read_crops(run, job[1]), seed, cell)
        if pictures is None:
            return "no strong artifact can be planted there."
        framed = [(name, with_frame(picture, task.frame)) for name, picture in pictures.items()]
        written: dict[str, Path] = {}
        for path, caption in files.items():
            # a picture that is there already is linked, without its room where the file system can
            if not (caption in written and linked(written[caption], path)):
                picture = pictures[caption] if caption else sheet([("", framed)], least=0)
                write_whole(path, png(picture))
                os.utime(path, (TIME, TIME))
            written[caption] = path
    except Exception as error:  # one bad crop costs no other task
        stop_if_disk_full(error, folder)
        return describe(error)
    return ""


def task_died(job: TaskJob) -> str:
    """The fault of a task that took its process down."""
    return f"the process that read the crops of {job[0].candidate} died (out of memory?)."


def remove_other_pictures(folder: Path, tasks: Collection[str]) -> None:
    """Remove pictures of tasks that are not part of the export after all."""
    for name, pictures in FOLDERS.items():
        for path in (folder / name / pictures).glob("*/*.png"):
            if path.stem.partition("-")[0] not in tasks:
                path.unlink()


def read_crops(run: Path, row: Row) -> CropTriplet:
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
    paths = (resolved(row[f"crop_{role}"], str(run)) for role in ROLES)
    crops = CropTriplet(*(read_8_bit(path)[0] for path in paths))
    sizes = {crop.shape for crop in crops}
    if len(sizes) > 1:
        raise ImageError(
            f"expected three crops of one size, got {sorted(sizes)} for {row['candidate']}. Mine "
            "again into an empty folder."
        )
    return crops


def task_pictures(
    job: TaskJob, crops: CropTriplet, seed: int, cell: int
) -> dict[str, Image] | None:
    """What a rater sees, by caption, in order; None for a control that cannot be made.

    Texture shows the original too, color two checkerboards, text two decodes; where they are
    graded, each shows the original and two decodes.
    """
    task, row = job
    asked = asked_like(task.artifact_type)
    width, height = row["x1"] - row["x0"], row["y1"] - row["y0"]
    original, first, second = crops
    if task.kind == IDENTICAL:
        first = second = first if drawn(seed, task.id) % 2 else second
    elif task.kind != CANDIDATE:
        zone = frame_of(row) or (0, 0, *original.shape[1::-1])
        by_chance = drawn(seed, "plant", task.id) >> 32
        control = strong_artifact(original, second, asked, by_chance, zone)
        if control is None:
            return None
        first = control
    if asked == "color" and task.question != GRADE:
        size = max(LEAST_CELL, min(cell, min(width, height) // CELLS_PER_BOX))
        first, second = (checkerboard(original, decode, size) for decode in (first, second))
    is_turned = "B" in (task.neural, task.answer)
    a, b = (second, first) if is_turned else (first, second)
    pictures = {"original": original, "A": a, "B": b}
    return {caption: pictures[caption] for caption in task.shown}


def with_frame(picture: Image, frame: Sequence[int] | None) -> Pillow.Image:
    """A picture with its frame, if any."""
    drawn_on = Pillow.fromarray(picture)
    if frame is not None:
        x0, y0, x1, y1 = frame
        edges = (x0, y0, x1 - 1, y1 - 1)
        ImageDraw.Draw(drawn_on).rectangle(edges, outline=FRAME, width=FRAME_WIDTH)
    return drawn_on


def checkerboard(original: Image, decode: Image, cell: int) -> Image:
    """Cells of the original and of the decode in turns, ``(H, W, 3)``; the first is the original's.

    >>> ones = np.ones((2, 4, 3), np.uint8)
    >>> checkerboard(0 * ones, ones, 2)[:, :, 0].tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    rows, columns = (np.arange(length) // cell for length in original.shape[:2])
    is_decode = (rows[:, None] + columns[None, :]) % 2 == 1
    return np.where(is_decode[:, :, None], decode, original)
