"""Broken boundaries: edges leave their place."""

from __future__ import annotations

import numpy as np

from nacd_bench.planting.scene import (
    Floats,
    Region,
    Scene,
    blurred,
    displaced,
    luma,
    place_on,
    smooth_noise,
)

SIDES = (56.0, 96.0)
"""Smallest and largest width and height of a region, in pixels."""
LARGEST_SHIFT = 4.0
"""Pixels, at strength 1."""
BEND = 7.0
"""Sigma in pixels of the field that bends edges."""
TOOTH = (2, 5)
"""Fewest and most rows of a tooth."""
SCALE = 1.5
"""Sigma in pixels at which edges are looked for."""
LEAST_SLOPE = 10.0
"""Largest slope, on 0..255 per pixel, of a place with an edge."""


def place(scene: Scene, rng: np.random.Generator) -> Region | None:
    """Where the original has strong edges and no text."""
    size = (rng.uniform(*SIDES), rng.uniform(*SIDES))
    slope = np.hypot(*np.gradient(blurred(luma(scene.original), SCALE)))
    found = place_on(slope, size, rng, [each.around(2 * SCALE) for each in scene.texts])
    return found if found and slope[found.mask >= 0.5].max() >= LEAST_SLOPE else None


def bend(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """A smooth displacement whose largest is strength x 4 pixels."""
    dx, dy = (smooth_noise(scene.shape, BEND, rng) for _ in range(2))
    most = np.hypot(dx, dy)[region.mask > 0].max()
    shift = strength * LARGEST_SHIFT / most
    return displaced(scene.neural, shift * dx, shift * dy)


def teeth(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Rows or columns shifted in bands of 2 to 5, each by at most strength x 4 pixels: an edge
    becomes a saw."""
    upright = rng.random() < 0.5
    length = scene.shape[0 if upright else 1]
    bands = np.repeat(np.arange(length), rng.integers(TOOTH[0], TOOTH[1] + 1, length))[:length]
    shift = strength * LARGEST_SHIFT * rng.uniform(0.5, 1, length) * (-1.0) ** np.arange(length)
    moved = shift[bands]
    still = np.zeros(scene.shape)
    if upright:
        return displaced(scene.neural, still + moved[:, None], still)
    return displaced(scene.neural, still, still + moved[None, :])


MECHANISMS = {"bend": bend, "teeth": teeth}
