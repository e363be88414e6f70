"""Real photographs that come inside the wheels of scikit-image, scikit-learn and matplotlib.

They are found in the installed packages and read from there, without importing them and without
any network. Terms: astronaut (NASA), rocket (SpaceX) and hopper (US Navy) are in the public
domain, chelsea, coffee, brick, grass, gravel and camera CC0, china and flower CC BY 2.0;
``skimage.data`` names the sources of the others.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.images import read_8_bit

_FILES = {
    "astronaut": "skimage/data/astronaut.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "motorcycle_left": "skimage/data/motorcycle_left.png",
    "motorcycle_right": "skimage/data/motorcycle_right.png",
    "rocket": "skimage/data/rocket.jpg",
    "hopper": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "tissue": "skimage/data/ihc.png",
    "brick": "skimage/data/brick.png",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "camera": "skimage/data/camera.png",
    "coins": "skimage/data/coins.png",
    "page": "skimage/data/page.png",
    "text": "skimage/data/text.png",
}
TEXT_PHOTOS = ("page", "text")
"""Gray photographs of printed pages, 384 x 191 and 448 x 172 pixels."""
COLOR_PHOTOS = tuple(_FILES)[:8]
"""Colour photographs, 451 x 300 to 741 x 500 pixels."""
PLANTING_PHOTOS = tuple(name for name in _FILES if name not in TEXT_PHOTOS)
"""Those and others without text, some of them gray, 384 x 303 to 741 x 500 pixels."""


def photo(name: str) -> NDArray[np.uint8]:
    """A photograph's pixels, ``(H, W, 3)`` uint8 sRGB; as :func:`photo_path`."""
    return read_8_bit(photo_path(name))[0]


def photo_path(name: str) -> Path:
    """The file of a photograph in the installed packages.

    Raises:
        DataError: no such photograph, or the package does not have it.
    """
    if name not in _FILES:
        raise DataError(unknown("photograph", name, list(_FILES)))
    package, _, inside = _FILES[name].partition("/")
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if Path(folder, inside).is_file():
            return Path(folder, inside)
    project = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(package, package)
    raise DataError(
        f"expected the photograph {inside} inside the package {project}, got none. "
        f"Install it again: pip install --force-reinstall {project}"
    )


def embedded() -> list[Path]:
    """The colour photographs."""
    return [photo_path(name) for name in COLOR_PHOTOS]
