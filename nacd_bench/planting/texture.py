"""Broken texture: another luma with the same mean in a textured place, edges out of their place."""

from __future__ import annotations

import math

import cv2
import numpy as np

from nacd_bench.planting.scene import (
    Floats,
    Region,
    Scene,
    Sides,
    blurred,
    displaced,
    luma,
    place_on,
    warped,
    with_luma,
    without,
)

SIDES = (64.0, 192.0)
"""Of a region with texture."""
GRAIN = 5.0
"""Sigma in pixels of what counts as local mean; texture is the rest."""
LEAST_DETAIL, TEXTURED = 2.5, 0.5
"""Distance from the local mean, on 0..255, of a pixel of texture; share of them in a place."""
LARGEST_TURN = math.pi / 2
"""Of lines, at strength 1."""
EDGE_SIDES = (48.0, 144.0)
"""Of a region with edges."""
LARGEST_SHIFT = 4.0
"""Pixels, at strength 1."""
BEND = 7.0
"""Sigma in pixels of the field that bends edges."""
TOOTH = (2, 5)
"""Fewest and most rows of a tooth."""
SCALE = 1.5
"""Sigma in pixels at which edges are looked for."""
LEAST_SLOPE, EDGED = 10.0, 0.04
"""Slope, on 0..255 per pixel, of an edge's pixel; share of them in a place."""


def place(scene: Scene, sides: Sides, rng: np.random.Generator) -> Region | None:
    """Where the original has texture and no text."""
    textured = np.abs(_detail(luma(scene.original))) >= LEAST_DETAIL
    return place_on(
        textured, TEXTURED, sides, rng, [text.around(2 * GRAIN) for text in scene.texts]
    )


def weak(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """The luma of the codec's much lower rate; strength is its share."""
    y = luma(scene.neural)
    return with_luma(scene.neural, y + strength * (luma(scene.weak) - y))


def phases(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """A texture with the same local mean and power spectrum but other phases; at strength s they
    are turned by up to s half turns."""
    y = luma(scene.neural)
    detail = _detail(y)
    x0, y0, x1, y1 = region.box
    weight = region.mask[y0:y1, x0:x1]
    patch = detail[y0:y1, x0:x1] * weight
    noise = np.fft.rfft2(rng.standard_normal(patch.shape))
    turned = np.fft.rfft2(patch) * np.exp(1j * strength * np.angle(noise))
    other = np.fft.irfft2(turned, patch.shape)
    # energy moves out of the mask, and a few phases must stay real
    other *= np.sqrt((weight * patch**2).sum() / max((weight * other**2).sum(), 1e-12))
    changed = detail.copy()
    changed[y0:y1, x0:x1] = other
    return with_luma(scene.neural, y + changed - detail)


def lines(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Texture in another direction: turned by strength x 90 degrees about the region's centre."""
    y = luma(scene.neural)
    detail = _detail(y)
    angle = math.degrees(strength * LARGEST_TURN) * rng.choice([-1, 1])
    turn = cv2.getRotationMatrix2D(region.center, angle, 1)
    bare = detail * without([text.around(2 * GRAIN) for text in scene.texts], scene.shape)
    turned = cv2.warpAffine(
        bare, turn, detail.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return with_luma(scene.neural, y + np.asarray(turned) - detail)


def _detail(y: Floats) -> Floats:
    return y - blurred(y, GRAIN)


def edge_place(scene: Scene, sides: Sides, rng: np.random.Generator) -> Region | None:
    """Where the original has strong edges and no text."""
    slope = np.hypot(*np.gradient(blurred(luma(scene.original), SCALE)))
    return place_on(
        *(slope >= LEAST_SLOPE, EDGED, sides, rng),
        [text.around(2 * SCALE) for text in scene.texts],
    )


def bend(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """A smooth displacement whose largest is strength x 4 pixels."""
    return warped(scene.neural, region, strength * LARGEST_SHIFT, BEND, rng)


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


MECHANISMS = {"weak": weak, "phases": phases, "lines": lines}
EDGE_MECHANISMS = {"bend": bend, "teeth": teeth}
