"""Photographs that lie in the wheels of scikit-image, scikit-learn and matplotlib, by name.

They are found in the installed packages and read from there, without importing them and without
any network. Terms: astronaut (NASA), rocket (SpaceX) and hopper (US Navy) are in the public
domain, chelsea, coffee, brick, grass, gravel and camera CC0, china and flower CC BY 2.0;
``skimage.data`` names the sources of the others.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown

PHOTOGRAPHS = {
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


def photo_path(name: str) -> Path:
    """The file of a photograph in the installed packages.

    Raises:
        DataError: no such photograph, or the package does not have it.
    """
    if name not in PHOTOGRAPHS:
        raise DataError(unknown("photograph", name, list(PHOTOGRAPHS)))
    package, _, inside = PHOTOGRAPHS[name].partition("/")
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if Path(folder, inside).is_file():
            return Path(folder, inside)
    project = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(package, package)
    raise DataError(
        f"expected the photograph {inside} inside the package {project}, got none. "
        f"Install it again: pip install --force-reinstall {project}"
    )
