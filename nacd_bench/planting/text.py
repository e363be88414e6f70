"""Garbled text: strokes that no longer make letters."""

from __future__ import annotations

import numpy as np

from nacd_bench.planting.scene import (
    Floats,
    Region,
    Scene,
    Sides,
    TextPlace,
    region,
    smooth,
    warped,
)

SIDES = (48.0, 192.0)
"""Shortest and longest part of a line, in pixels; shorter lines as a whole."""
MARGIN = 2
"""Pixels around a line of text that belong to it."""
EDGE = 3.0
"""Pixels over which a region fades out."""
LARGEST_WARP = 0.22
"""Displacement in heights of a letter, at strength 1: as far as the strokes of a letter lie
apart."""
WAVE = 0.18
"""Sigma of the warp, in heights of a letter."""
GLYPH = 0.6
"""Width of a letter in its heights, about."""


def place(scene: Scene, sides: Sides, rng: np.random.Generator) -> Region | None:
    """A part of one of the lines of text."""
    if not scene.texts:
        return None
    x0, y0, x1, y1 = scene.texts[int(rng.integers(len(scene.texts)))].box
    length = min(round(rng.uniform(*sides)), x1 - x0)
    x0 = int(rng.integers(x0, x1 - length, endpoint=True))
    x1 = x0 + length
    height, width = scene.shape
    xs, ys = np.arange(width)[None, :], np.arange(height)[:, None]
    inside = np.minimum(
        np.minimum(xs - x0, x1 - 1 - xs), np.minimum(ys - y0, y1 - 1 - ys)
    )  # pixels to the border of the box
    return region(smooth((inside + MARGIN + EDGE) / EDGE))


def weak(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """The codec's much lower rate; strength is its share."""
    return scene.neural + strength * (scene.weak.astype(np.float64) - scene.neural)


def warp(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Strokes displaced by up to strength x 0.22 heights of a letter."""
    height = _letter_height(scene, region)
    reach = strength * LARGEST_WARP * height
    return warped(scene.neural, region, reach, max(1, WAVE * height), rng)


def swap(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Lower halves of letters change places with those of their neighbours; strength is the share
    of letters, in whole pairs and at least one."""
    changed = scene.neural.astype(np.float64)
    x0, y0, x1, y1 = region.box
    width = max(2, round(GLYPH * _letter_height(scene, region)))
    starts = np.arange(x0, x1 - 2 * width + 1, 2 * width)
    if not len(starts):
        width = max(1, (x1 - x0) // 2)
        starts = np.array([x0])
    middle = (y0 + y1) // 2
    order = rng.permutation(len(starts))
    for left in starts[order[: max(1, round(strength * len(starts)))]]:
        pair = slice(left, left + 2 * width)
        changed[middle:y1, pair] = np.roll(changed[middle:y1, pair], width, axis=1)
    return changed


def _letter_height(scene: Scene, region: Region) -> float:
    """Of the line of text that the region is in, or nearest to."""
    x, y = region.center

    def distance(text: TextPlace) -> float:
        x0, y0, x1, y1 = text.box
        return max(x0 - x, x - x1, 0) + max(y0 - y, y - y1, 0)

    return min(scene.texts, key=distance).height


MECHANISMS = {"weak": weak, "warp": warp, "swap": swap}
