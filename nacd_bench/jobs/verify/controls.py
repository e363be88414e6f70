"""Control tasks: questions mixed in whose answer is known, to tell who looks from who clicks.

A *planted* control shows the traditional decode on both sides, one of them with a strong artifact
of the task's type put into it; that side is the right answer. An *identical* one shows the same
decode twice, and the right answer is that there is no difference. Both are made of crops of the
same kind as those that people are asked about, so that sizes and contents do not give them away.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    import pyarrow as pa

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


@dataclass(frozen=True)
class Recipe:
    """How a control is made again.

    Args:
        task: what is asked.
        row: the candidate whose crops are used.
        attempt: decides the artifact.
    """

    task: Task
    row: Mapping[str, Any]
    attempt: int = 0


@dataclass(frozen=True)
class Crops:
    """Of a candidate, ``(H, W, 3)`` uint8, all of one size."""

    original: Image
    neural: Image
    traditional: Image

    def middle(self, side: int) -> Crops:
        """The middle of it, at most ``side`` pixels wide and high."""
        height, width = self.original.shape[:2]
        top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
        rows, columns = slice(top, top + side), slice(left, left + side)
        parts = (self.original, self.neural, self.traditional)
        return Crops(*(np.ascontiguousarray(each[rows, columns]) for each in parts))


def control_count(share: float, tasks: int) -> int:
    """Controls for so many tasks of a type.

    >>> control_count(0.1, 200), control_count(0.1, 5), control_count(0, 200)
    (20, 2, 0)
    """
    return max(FEWEST, round(share * tasks)) if share and tasks else 0


def rows_for_controls(
    candidates: pa.Table, asked: Set[str], artifact_type: str, seed: int, most: int
) -> list[dict[str, Any]]:
    """Candidates of which controls of a type are made, the best first.

    Those of the type come first, among them those that are not too large, and then those that
    nobody is asked about, so that nobody sees a place twice.

    Args:
        candidates: rows with the columns of candidates.
        asked: ids of those with a task of their own.
        artifact_type: of the controls.
        seed: decides the rest of the order.
        most: rows that are wanted.
    """

    def column(name: str) -> list[Any]:
        return candidates[name].to_pylist()

    places = []
    edges = [column(f"crop_{edge}") for edge in ("x0", "y0", "x1", "y1")]
    facts = zip(column("candidate"), column("artifact_type"), *edges, strict=True)
    for index, (name, own, x0, y0, x1, y1) in enumerate(facts):
        is_large = max(x1 - x0, y1 - y0) > LARGE
        drawn = digest(seed, "control", artifact_type, name)
        places.append((own != artifact_type, is_large, name in asked, drawn, index))
    chosen = [place[-1] for place in heapq.nsmallest(most, places)]
    return candidates.take(chosen).to_pylist()


def attempts(rows: Sequence[Mapping[str, Any]], artifact_type: str, seed: int) -> Iterator[Recipe]:
    """Planted controls that may work, the best first."""
    for attempt in range(TRIES):
        for row in rows:
            name = task_id(seed, PLANTED, row["candidate"], attempt, artifact_type)
            side = drawn_side(seed, PLANTED, row["candidate"], str(attempt), artifact_type)
            task = Task(name, artifact_type, PLANTED, row["candidate"], answer=side)
            yield Recipe(task, row, attempt)


def identical(row: Mapping[str, Any], artifact_type: str, seed: int) -> Recipe:
    """The control that shows a decode twice."""
    name = task_id(seed, IDENTICAL, row["candidate"], 0, artifact_type)
    return Recipe(Task(name, artifact_type, IDENTICAL, row["candidate"], answer="same"), row)


def control_pair(recipe: Recipe, crops: Crops, seed: int) -> tuple[Crops, Image] | None:
    """What a control is made of: the crops that it shows, and the decode of its right answer.

    The other side is ``crops.traditional``. None where no strong artifact can be planted.
    """
    artifact_type = recipe.task.artifact_type
    cut = crops if recipe.row["artifact_type"] == artifact_type else crops.middle(SIDE)
    if recipe.task.kind == IDENTICAL:
        one = cut.neural if int(digest(seed, recipe.task.id)[:8], 16) % 2 else cut.traditional
        return Crops(cut.original, one, one), one
    own = int(digest(seed, "plant", recipe.task.id)[:8], 16)
    choices = MECHANISMS[asked_like(artifact_type)]
    kind, mechanism = choices[own % len(choices)]
    texts: tuple[TextPlace, ...] = ()
    if KINDS[kind].artifact_type == "text":
        cut, texts = _with_letters(cut, own)
    planted = _planted(cut, kind, mechanism, own, texts)
    return None if planted is None else (cut, planted)


def _planted(
    crops: Crops, kind: str, mechanism: str, own: int, texts: Sequence[TextPlace]
) -> Image | None:
    artifact_type = KINDS[kind].artifact_type
    image, inside = crops.traditional, np.zeros(0, bool)
    for _ in range(TIMES[artifact_type]):
        scene = Scene(crops.original, image, crops.traditional, texts)
        done = plant(scene, kind, strength=1.0, seed=own, mechanism=mechanism)
        if done is None:
            return None
        image, inside = done.image, done.mask >= 0.5
    changed = image.astype(np.float64) - crops.traditional
    if artifact_type != "color":
        changed = luma(changed)[:, :, None]
    change = float(np.sqrt((changed[inside] ** 2).mean()))
    return image if change >= LEAST_CHANGE[artifact_type] else None


def _with_letters(crops: Crops, own: int) -> tuple[Crops, tuple[TextPlace, ...]]:
    """The crops and where they have text; a line is written where nobody finds any."""
    texts = _texts(crops.original)
    if texts:
        return crops, texts
    height, width = crops.original.shape[:2]
    written = []
    for image in (crops.original, crops.neural, crops.traditional):
        done = with_text(image, (0, 0, width, height), np.random.default_rng(own))
        if done is None:
            return crops, ()
        written.append(done[0])
        texts = (done[1],)
    return Crops(*written), texts


def _texts(image: Image) -> tuple[TextPlace, ...]:
    try:
        found = _finder().find(image)
    except TextFinderError:  # one that is not installed: letters are written instead
        return ()
    height, width = image.shape[:2]
    places = []
    for polygon in found:
        x0, y0 = np.floor(polygon.points.min(axis=0)).clip(0)
        x1, y1 = np.ceil(polygon.points.max(axis=0)).clip(None, (width, height))
        if polygon.confidence >= 0.7 and x1 - x0 >= y1 - y0 >= 12:
            box = (int(x0), int(y0), int(x1), int(y1))
            places.append(TextPlace(box, LETTERS * (box[3] - box[1])))
    largest = sorted(places, key=lambda each: each.height, reverse=True)
    return tuple(largest[:1])


@cache
def _finder() -> Any:
    from nacd_bench.registry import TEXT_FINDERS

    return TEXT_FINDERS.get("rapidocr")()
