"""What artifacts are planted into, and where there is room for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nacd_bench.triplets.record import Box

Image = NDArray[np.uint8]
"""``(H, W, 3)`` sRGB."""
Floats = NDArray[np.float64]
Sides = tuple[float, float]
"""Smallest and largest width and height of a region, in pixels."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Y of R, G, B (ITU-R BT.601)."""
EDGE = 10.0
"""Pixels over which a region fades out."""


@dataclass(frozen=True)
class TextPlace:
    """A line of text in the original.

    Args:
        box: around it.
        height: of its letters, in pixels.
    """

    box: Box
    height: float

    def around(self, margin: float) -> Box:
        """The box and ``margin`` pixels on each side."""
        x0, y0, x1, y1 = self.box
        more = math.ceil(margin)
        return x0 - more, y0 - more, x1 + more, y1 + more


@dataclass(frozen=True)
class Scene:
    """The images that mechanisms take from, all of one size.

    Args:
        original, neural: the two sides of a triplet.
        weak: the neural codec's result at a much lower rate.
        texts: where the original has text.
    """

    original: Image
    neural: Image
    weak: Image
    texts: Sequence[TextPlace] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return self.neural.shape[0], self.neural.shape[1]


@dataclass(frozen=True)
class Region:
    """A place with a soft edge.

    Args:
        mask: ``(H, W)`` on [0, 1].
        box: the rectangle around everything of 0.5 or more.
    """

    mask: Floats
    box: Box

    @property
    def center(self) -> tuple[float, float]:
        """``(x, y)``."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2


def blended(image: Image, changed: Floats, mask: Floats) -> Image:
    """The image with ``changed`` where the mask is 1, rounded to 8 bits."""
    return np.rint(image + mask[:, :, None] * (changed - image)).clip(0, 255).astype(np.uint8)


def luma(image: NDArray[np.generic]) -> Floats:
    """Y on 0..255 of ``(H, W, 3)``."""
    return np.asarray(image @ LUMA, np.float64)


def with_luma(image: Image, wanted: Floats) -> Floats:
    """The image with another luma and its own chroma."""
    return image + (wanted - luma(image))[:, :, None]


def blurred(plane: Floats, sigma: float) -> Floats:
    """A Gaussian of ``sigma`` pixels, borders reflected."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def place_on(
    wanted: NDArray[np.bool_],
    share: float,
    sides: Sides,
    rng: np.random.Generator,
    avoid: Sequence[Box] = (),
    edge: float = EDGE,
) -> Region | None:
    """A rounded region, anywhere in the image where it holds enough of what is wanted.

    Args:
        wanted: ``(H, W)``, pixels that the artifact needs.
        share: least share of them in the region's rectangle, above 0.
        sides: smallest and largest width and height of the region in pixels; at most half of the
            image's.
        rng: chooses size, shape and place.
        avoid: what the region fades out at.
        edge: pixels over which it fades out.

    Returns:
        None where no place has enough outside ``avoid``.
    """
    height, width = wanted.shape
    w, h = (min(rng.uniform(*sides), most / 2) for most in (width, height))
    free = without(avoid, wanted.shape)
    kernel = odd(w), odd(h)
    # counts of whole pixels: exact, so that places are the same on every processor
    held = cv2.boxFilter(wanted * free, -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT)
    xs = np.arange(width)[None, :]
    ys = np.arange(height)[:, None]
    fits = (xs >= w / 2 - 1) & (xs <= width - w / 2) & (ys >= h / 2 - 1) & (ys <= height - h / 2)
    places = np.flatnonzero(fits & (held >= share * kernel[0] * kernel[1]))
    if not len(places):
        return None
    y, x = np.unravel_index(rng.choice(places), wanted.shape)
    power = rng.uniform(2, 4)
    distance = (np.abs((xs - x) / (w / 2)) ** power + np.abs((ys - y) / (h / 2)) ** power) ** (
        1 / power
    )
    mask = smooth((1 - distance) * min(w, h) / 2 / edge) * soft(free, edge)
    return region(mask)


def without(boxes: Sequence[Box], shape: tuple[int, ...]) -> Floats:
    """1 outside the boxes, 0 inside."""
    free = np.ones(shape)
    for x0, y0, x1, y1 in boxes:
        free[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 0
    return free


def region(mask: Floats) -> Region | None:
    """The region of a mask; None where it is nowhere 0.5."""
    box = box_of(mask >= 0.5)
    return None if box is None else Region(mask, box)


def box_of(pixels: NDArray[np.bool_]) -> Box | None:
    """The rectangle around all that is True; None where nothing is."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def soft(free: Floats, edge: float) -> Floats:
    """A mask of 0 and 1 that rises to 1 over ``edge`` pixels."""
    if free.all():
        return free
    distance = cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return smooth(np.asarray(distance, np.float64) / edge)


def smooth(x: NDArray[np.floating]) -> Floats:
    """From 0 to 1 without corners, as x goes from 0 to 1."""
    t = np.clip(x, 0, 1).astype(np.float64)
    return t * t * (3 - 2 * t)


def warped(
    image: Image, region: Region, reach: float, sigma: float, rng: np.random.Generator
) -> Floats:
    """The image displaced at random, smoothly below ``sigma`` pixels, in the region by at most
    ``reach`` pixels."""
    noise = [blurred(rng.standard_normal(region.mask.shape), sigma) for _ in range(2)]
    dx, dy = (plane / np.abs(plane).max() for plane in noise)
    shift = reach / np.hypot(dx, dy)[region.mask > 0].max()
    return displaced(image, shift * dx, shift * dy)


def displaced(image: Image, dx: Floats, dy: Floats) -> Floats:
    """The image with each pixel taken from ``(x + dx, y + dy)``, borders reflected."""
    height, width = image.shape[:2]
    xs = np.arange(width)[None, :] + dx
    ys = np.arange(height)[:, None] + dy
    return np.asarray(
        cv2.remap(
            image.astype(np.float64),  # sums whose rounding does not show in 8 bits
            xs.astype(np.float32),
            ys.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
    )


def odd(x: float) -> int:
    """The odd number at or below x."""
    return max(1, int(x) - (int(x) + 1) % 2)
