"""The pictures of a task: crops, checkerboards, and all of a task side by side in one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image as Pillow

from nacd_bench.coding.codec import Image
from nacd_bench.jobs.verify.tasks import asked_like
from nacd_bench.report import sheets

LEAST_CELL = 4
"""Pixels of a checkerboard's cell at the least."""
CELLS_PER_BOX = 3
"""Cells along the shorter side of an artifact at the least, so that no cell can hide it."""


def cell_size(largest: int, width: int, height: int) -> int:
    """The cell for an artifact of this size, in pixels.

    >>> cell_size(30, 300, 300), cell_size(30, 24, 40), cell_size(30, 5, 5)
    (30, 8, 4)
    """
    return max(LEAST_CELL, min(largest, min(width, height) // CELLS_PER_BOX))


def checkerboard(original: Image, decode: Image, cell: int) -> Image:
    """Cells of the original and of the decode in turns, ``(H, W, 3)``; the first is the original's.

    >>> ones = np.ones((2, 4, 3), np.uint8)
    >>> checkerboard(0 * ones, ones, 2)[:, :, 0].tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    rows, columns = (np.arange(length) // cell for length in original.shape[:2])
    is_decode = (rows[:, None] + columns[None, :]) % 2 == 1
    return np.where(is_decode[:, :, None], decode, original)


def task_pictures(
    artifact_type: str, original: Image, a: Image, b: Image, cell: int
) -> dict[str, Image]:
    """What a rater sees, by caption, in order.

    Args:
        artifact_type: texture shows the original too, color two checkerboards, text two decodes.
        original, a, b: ``(H, W, 3)``, of one size.
        cell: of the checkerboards, in pixels.
    """
    asked = asked_like(artifact_type)
    if asked == "color":
        return {side: checkerboard(original, each, cell) for side, each in (("A", a), ("B", b))}
    return {"original": original, "A": a, "B": b} if asked == "texture" else {"A": a, "B": b}


def sheet(pictures: Mapping[str, Image]) -> Image:
    """All pictures of a task side by side, each under its caption, pixel by pixel."""
    tiles = [(caption, Pillow.fromarray(picture)) for caption, picture in pictures.items()]
    return sheets.sheet([("", tiles)], least=0)
