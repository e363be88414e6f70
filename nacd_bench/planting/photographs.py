"""The photographs of :mod:`nacd_bench.triplets.embedded` as pixels, by what they are good for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nacd_bench.triplets.embedded import PHOTOGRAPHS
from nacd_bench.triplets.embedded import photo_path as photo_path
from nacd_bench.triplets.embedded import photo_paths as photo_paths
from nacd_bench.triplets.images import read_8_bit

TEXT_PHOTOS = ("page", "text")
"""Gray photographs of printed pages, 384 x 191 and 448 x 172 pixels."""
COLOR_PHOTOS = tuple(PHOTOGRAPHS)[:8]
"""Colour photographs, 451 x 300 to 741 x 500 pixels."""
PLANTING_PHOTOS = tuple(
    name for name in PHOTOGRAPHS if name not in (*TEXT_PHOTOS, "motorcycle_right")
)
"""Those but one of a stereo pair, and others without text, some of them gray, 384 x 303 to
741 x 500 pixels."""


def photo(name: str) -> NDArray[np.uint8]:
    """A photograph's pixels, ``(H, W, 3)`` uint8 sRGB; as :func:`photo_path`."""
    return read_8_bit(photo_path(name))[0]
