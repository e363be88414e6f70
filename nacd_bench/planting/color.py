"""Shifted colour: over a large area, or a spot that lost its colour."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np

from nacd_bench.planting.scene import Floats, Image, Region, Scene, Sides, blended, luma, place_on

LARGE_SIDES = (96.0, 192.0)
SMALL_SIDES = (48.0, 96.0)
"""Of a region."""
LARGE_EDGE = 16.0
SMALL_EDGE = 3.0
"""Pixels over which a region fades out."""
LARGEST_DIFFERENCE = 8.0
"""Mean CIEDE2000 inside a large region, as planted, at strength 1."""
LARGEST_TURN = math.radians(150)
"""Of hues in a small region, at strength 1."""
LEAST_CHROMA, COLORED = 10.0, 0.5
"""Distance from gray, on 0..255, of a pixel that can lose colour; share of them in a place."""
STEPS = 14
"""Of the search for the shift with a given mean CIEDE2000."""
MOST_LAB, MOST_GAIN = 60.0, 16.0
"""Where that search ends: CIE units, and factor of the red and inverse factor of the blue light."""
GAMMA = 2.2
"""Of a display, about: light from pixels."""


def large_place(scene: Scene, sides: Sides, rng: np.random.Generator) -> Region | None:
    """Anywhere."""
    return place_on(np.ones(scene.shape, bool), 1, sides, rng, edge=LARGE_EDGE)


def small_place(scene: Scene, sides: Sides, rng: np.random.Generator) -> Region | None:
    """Where the original has strong colours."""
    colored = np.hypot(*_chroma(scene.original)) >= LEAST_CHROMA
    return place_on(colored, COLORED, sides, rng, edge=SMALL_EDGE)


def shift(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """a and b of CIE Lab shifted in one direction; the mean CIEDE2000 is strength x 8."""
    from skimage.color import lab2rgb, rgb2lab

    angle = rng.uniform(0, 2 * math.pi)
    direction = np.array([0, math.cos(angle), math.sin(angle)])

    def shifted(pixels: Image, amount: float) -> Floats:
        with warnings.catch_warnings():  # colours that sRGB does not have are clipped
            warnings.filterwarnings("ignore", "Conversion from CIE-LAB")
            return np.asarray(lab2rgb(rgb2lab(pixels) + amount * direction) * 255)

    return _of_difference(scene.neural, region, strength, shifted, MOST_LAB)


def balance(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Another white balance: more red light and less blue, or the reverse; the mean CIEDE2000 is
    strength x 8."""
    sign = rng.choice([-1, 1])

    def balanced(pixels: Image, amount: float) -> Floats:
        gain = MOST_GAIN ** (sign * amount)
        light = (pixels / 255) ** GAMMA * [gain, 1, 1 / gain]
        return np.asarray(light.clip(0, 1) ** (1 / GAMMA) * 255)

    return _of_difference(scene.neural, region, strength, balanced, 1)


def fade(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Colours lose the share ``strength`` of their distance from gray."""
    gray = luma(scene.neural)[:, :, None]
    return gray + (1 - strength) * (scene.neural - gray)


def turn(scene: Scene, region: Region, strength: float, rng: np.random.Generator) -> Floats:
    """Hues turned by strength x 150 degrees; what sRGB has not loses chroma, not hue or luma."""
    y = luma(scene.neural)
    u, v = _chroma(scene.neural)
    angle = strength * LARGEST_TURN * rng.choice([-1, 1])
    u, v = math.cos(angle) * u - math.sin(angle) * v, math.sin(angle) * u + math.cos(angle) * v
    red, blue = y + 1.402 * v, y + 1.772 * u
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    offset = np.stack([red, green, blue], axis=2) - y[:, :, None]
    room = np.where(offset > 0, 255 - y[:, :, None], y[:, :, None])
    share = (room / np.maximum(np.abs(offset), 1e-9)).min(axis=2, keepdims=True)
    return y[:, :, None] + offset * np.minimum(share, 1)


def _chroma(image: Image) -> tuple[Floats, Floats]:
    """U and V on -128..128 (BT.601, full range)."""
    y = luma(image)
    return (image[:, :, 2] - y) / 1.772, (image[:, :, 0] - y) / 1.402


def mean_difference(before: Image, after: Image, mask: Floats) -> float:
    """Mean CIEDE2000 where a mask is 0.5 or more."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    inside = mask >= 0.5
    first, second = (rgb2lab(image[inside][None]) for image in (before, after))
    return float(deltaE_ciede2000(first, second).mean())


def _of_difference(
    image: Image,
    region: Region,
    strength: float,
    changed: Callable[[Image, float], Floats],
    most: float,
) -> Floats:
    """``changed(image, amount)`` whose mean CIEDE2000 is nearest to strength x 8 as planted: faded
    out at the region's edge, clipped, and rounded to 8 bits."""
    wanted = strength * LARGEST_DIFFERENCE
    x0, y0, x1, y1 = region.box
    cut, mask = image[y0:y1, x0:x1], region.mask[y0:y1, x0:x1]
    low, high = 0.0, most
    tried = []
    for _ in range(STEPS):
        middle = (low + high) / 2
        difference = mean_difference(cut, blended(cut, changed(cut, middle), mask), mask)
        tried.append((abs(difference - wanted), middle))
        low, high = (middle, high) if difference < wanted else (low, middle)
    return changed(image, min(tried)[1])


LARGE_MECHANISMS = {"shift": shift, "balance": balance}
SMALL_MECHANISMS = {"fade": fade, "turn": turn}
