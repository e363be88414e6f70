"""Boxes ``[x0, y0, x1, y1]`` in pixels, half-open: how they overlap, and what lies around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

REGION = 300
"""Side in pixels of a reported region (the released code's and the paper's crops)."""


def box_iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union in [0, 1] of boxes ``(..., 4)``, broadcast to ``(...)``.

    That is row by row for ``(n, 4)`` and ``(n, 4)``, which torchvision has not, and of all pairs
    for ``(n, 1, 4)`` and ``(m, 4)``. It is 0 where neither box has an area.

    >>> box_iou([[0, 0, 10, 10], [0, 0, 10, 10]], [[5, 0, 15, 10], [90, 0, 95, 5]]).round(3)
    array([0.333, 0.   ])
    """
    shared, one, other = _areas(first, second)
    union = one + other - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def shared_part(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Share in [0, 1] of the first boxes that lies in the second, as in :func:`box_iou`.

    >>> shared_part([[0, 0, 10, 10], [0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 90, 90]])
    array([0.5, 1. ])
    """
    shared, one, _ = _areas(first, second)
    return np.divide(shared, one, out=np.zeros_like(shared), where=one > 0)


def _areas(first: ArrayLike, second: ArrayLike) -> list[NDArray[np.float64]]:
    """What boxes share, and their areas."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    sides = (high - low).clip(0), a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    return [side.prod(axis=-1) for side in sides]


def regions_around(
    boxes: ArrayLike, width: int, height: int, side: int = REGION, holds: bool = False
) -> NDArray[np.int64]:
    """Squares of ``side`` pixels around the centres of boxes ``(n, 4)``, inside the image.

    Where the image is smaller than the square, the square is cut to the image. Around a box whose
    side differs from the square's by an odd number no whole pixels are centred: the square then
    lies half a pixel to the left, or above. With ``holds`` a side is as long as its box's where
    that is longer.

    >>> regions_around([[0, 136, 20, 264], [690, 136, 710, 264]], 768, 400).tolist()
    [[0, 50, 300, 350], [468, 50, 768, 350]]
    """
    size = np.array([width, height])
    given = np.asarray(boxes, np.int64)
    low, high = given[:, :2].clip(0), given[:, 2:].clip(None, size)
    sides = np.minimum(np.maximum(side, high - low) if holds else side, size)
    first = ((low + high - sides) // 2).clip(0, size - sides)
    return np.concatenate([first, first + sides], axis=1)


def region_holding(
    boxes: ArrayLike, width: int, height: int, side: int = REGION
) -> tuple[int, int, int, int]:
    """The boxes ``(n, 4)`` and at least ``side`` pixels each way, inside the image.

    >>> region_holding([(10, 20, 30, 40), (20, 20, 60, 400)], 640, 480)
    (0, 20, 300, 400)
    """
    corners = np.asarray(boxes, np.int64)
    union = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
    x0, y0, x1, y1 = regions_around(union[None], width, height, side, holds=True)[0].tolist()
    return x0, y0, x1, y1
