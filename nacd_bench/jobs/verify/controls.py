"""Control tasks: questions mixed in whose answer is known, to tell who looks from who clicks.

A *planted* control shows the traditional decode on both sides, one of them with a strong artifact
of the task's type put into it; that side is the right answer. An *identical* one shows the same
decode twice, and the right answer is that there is no difference. Both are made of crops of the
same kind as those that people are asked about, so that sizes and contents do not give them away.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nacd_bench.coding.codec import Image
from nacd_bench.errors import TextFinderError
from nacd_bench.jobs.verify.tasks import (
    IDENTICAL,
    PLANTED,
    Task,
    asked_like,
    digest,
    drawn_side,
    task_id,
)
from nacd_bench.planting import KINDS, Scene, plant
from nacd_bench.planting.lettering import with_text
from nacd_bench.planting.scene import TextPlace, luma

Row = Mapping[str, Any]
TaskJob = tuple[Task, Row]
"""What is asked, and the candidate whose crops are shown."""
SIDE = 300
"""Of the part that is shown of another type's crop, in pixels."""
LARGE = 600
"""Side of a crop, in pixels, over which an artifact may be lost in it."""
FEWEST = 2
"""Controls of each artifact type that has tasks: a planted and an identical one."""
TRIES = 3
"""Times that a crop may be used for a planted control, each time with another artifact."""
MECHANISMS = {
    "texture": (("texture", "phases"), ("texture", "lines")),
    "color": (("large_color", "shift"), ("large_color", "balance")),
    "text": (("text", "warp"), ("text", "swap")),
}
"""Kinds and mechanisms of planting by artifact type: those that nobody overlooks."""
TIMES = {"texture": 1, "color": 2, "text": 1}
"""How often an artifact is put in, one over the other: colour at full strength is still mild."""
LEAST_CHANGE = {"texture": 12.0, "color": 8.0, "text": 16.0}
"""Root mean square change inside an artifact, on 0..255, under which it may be overlooked."""
LETTERS = 0.7
"""Height of letters by that of the box around their line."""


class CropTriplet(NamedTuple):
    """The crops of a candidate, ``(H, W, 3)`` uint8, all of one size."""

    original: Image
    neural: Image
    traditional: Image


def control_count(share: float, tasks: int) -> int:
    """Controls for so many tasks of a type.

    >>> control_count(0.1, 200), control_count(0.1, 5), control_count(0, 200)
    (20, 2, 0)
    """
    return max(FEWEST, round(share * tasks)) if share and tasks else 0


def rows_for_controls(
    candidates: Sequence[Row], asked: Set[str], artifact_type: str, seed: int, most: int
) -> list[Row]:
    """Candidates of which controls of a type are made, the best first.

    Those of the type come first, among them those that are not too large, and then those that
    nobody is asked about, so that nobody sees a place twice.

    Args:
        candidates: rows with the columns of candidates.
        asked: ids of those with a task.
        artifact_type: of the controls.
        seed: decides the rest of the order.
        most: rows that are wanted.
    """

    def rank(row: Row) -> tuple[bool, bool, bool, str]:
        side = max(row[f"crop_{axis}1"] - row[f"crop_{axis}0"] for axis in "xy")
        drawn = digest(seed, "control", artifact_type, row["candidate"])
        is_other = row["artifact_type"] != artifact_type
        return is_other, side > LARGE, row["candidate"] in asked, drawn

    return heapq.nsmallest(most, candidates, key=rank)


def planted_jobs(rows: Sequence[Row], artifact_type: str, seed: int) -> Iterator[TaskJob]:
    """Planted controls that may work, the best first."""
    for attempt in range(TRIES):
        for row in rows:
            name = task_id(seed, PLANTED, row["candidate"], attempt, artifact_type)
            side = drawn_side(seed, PLANTED, row["candidate"], str(attempt), artifact_type)
            yield Task(name, artifact_type, PLANTED, row["candidate"], answer=side), row


def identical_jobs(rows: Sequence[Row], artifact_type: str, seed: int) -> Iterator[TaskJob]:
    """Controls that show a decode twice."""
    for row in rows:
        name = task_id(seed, IDENTICAL, row["candidate"], 0, artifact_type)
        yield Task(name, artifact_type, IDENTICAL, row["candidate"], answer="same"), row


def control_pair(job: TaskJob, crops: CropTriplet, seed: int) -> tuple[CropTriplet, Image] | None:
    """What a control is made of: the crops that it shows, and the decode of its right answer.

    The other side is ``crops.traditional``. None where no strong artifact can be planted.
    """
    task, row = job
    if row["artifact_type"] != task.artifact_type:  # the middle of it
        height, width = crops.original.shape[:2]
        top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
        part = slice(top, top + SIDE), slice(left, left + SIDE)
        crops = CropTriplet(*(np.ascontiguousarray(crop[part]) for crop in crops))
    if task.kind == IDENTICAL:
        is_neural = int(digest(seed, task.id)[:8], 16) % 2
        decode = crops.neural if is_neural else crops.traditional
        return CropTriplet(crops.original, decode, decode), decode
    drawn = int(digest(seed, "plant", task.id)[:8], 16)
    choices = MECHANISMS[asked_like(task.artifact_type)]
    kind, mechanism = choices[drawn % len(choices)]
    texts: tuple[TextPlace, ...] = ()
    if KINDS[kind].artifact_type == "text":
        crops, texts = _with_letters(crops, drawn)
    planted = _planted(crops, kind, mechanism, drawn, texts)
    return None if planted is None else (crops, planted)


def _planted(
    crops: CropTriplet, kind: str, mechanism: str, seed: int, texts: Sequence[TextPlace]
) -> Image | None:
    artifact_type = KINDS[kind].artifact_type
    image, inside = crops.traditional, np.zeros(0, bool)
    for _ in range(TIMES[artifact_type]):
        scene = Scene(crops.original, image, crops.traditional, texts)
        done = plant(scene, kind, strength=1.0, seed=seed, mechanism=mechanism)
        if done is None:
            return None
        image, inside = done.image, done.mask >= 0.5
    changed = image.astype(np.float64) - crops.traditional
    if artifact_type != "color":
        changed = luma(changed)[:, :, None]
    change = float(np.sqrt((changed[inside] ** 2).mean()))
    return image if change >= LEAST_CHANGE[artifact_type] else None


def _with_letters(crops: CropTriplet, seed: int) -> tuple[CropTriplet, tuple[TextPlace, ...]]:
    """The crops and where they have text; a line is written where nobody finds any."""
    height, width = crops.original.shape[:2]
    try:
        polygons = _finder().find(crops.original)
    except TextFinderError:  # one that is not installed: letters are written instead
        polygons = []
    places = []
    for polygon in polygons:
        x0, y0 = np.floor(polygon.points.min(axis=0)).clip(0).astype(int).tolist()
        x1, y1 = (
            np.ceil(polygon.points.max(axis=0)).clip(None, (width, height)).astype(int).tolist()
        )
        if polygon.confidence >= 0.7 and x1 - x0 >= y1 - y0 >= 12:
            places.append(TextPlace((x0, y0, x1, y1), LETTERS * (y1 - y0)))
    if places:
        return crops, (max(places, key=lambda place: place.height),)
    rng = [np.random.default_rng(seed) for _ in crops]
    written = [with_text(crop, (0, 0, width, height), rng[i]) for i, crop in enumerate(crops)]
    if None in written:
        return crops, ()
    images, texts = zip(*written, strict=True)  # type: ignore[arg-type]
    return CropTriplet(*images), texts[-1:]


@cache
def _finder() -> Any:
    from nacd_bench.registry import TEXT_FINDERS

    return TEXT_FINDERS.get("rapidocr")()
