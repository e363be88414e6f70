"""Photographs that lie in the wheels of scikit-image, scikit-learn and matplotlib, by name.

They are found in the installed packages and read from there, without importing them and without
any network. Terms: astronaut (NASA), rocket (SpaceX) and hopper (US Navy) are in the public
domain, chelsea, coffee, brick, grass, gravel and camera CC0, china and flower CC BY 2.0;
``skimage.data`` names the sources of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from nacd_bench.errors import DataError, Failure
from nacd_bench.registry import unknown
from nacd_bench.triplets.images import content_hash

PHOTOGRAPHS = {
    "astronaut": ("skimage/data/astronaut.png", "88431cd9653ccd53"),
    "chelsea": ("skimage/data/chelsea.png", "596aa1e7cb875eb7"),
    "china": ("sklearn/datasets/images/china.jpg", "8378025ad2519d64"),
    "coffee": ("skimage/data/coffee.png", "cc02f8ca188b167c"),
    "flower": ("sklearn/datasets/images/flower.jpg", "a77f6ec41e353afd"),
    "motorcycle_left": ("skimage/data/motorcycle_left.png", "db18e9c415761740"),
    "motorcycle_right": ("skimage/data/motorcycle_right.png", "5fc913ae870e42a4"),
    "rocket": ("skimage/data/rocket.jpg", "c2dd0de7c538df8d"),
    "hopper": ("matplotlib/mpl-data/sample_data/grace_hopper.jpg", "a8ca6d734765703b"),
    "tissue": ("skimage/data/ihc.png", "f8dd1aa387ddd1f4"),
    "brick": ("skimage/data/brick.png", "7966caf324f6ba84"),
    "grass": ("skimage/data/grass.png", "b6b6022426b38936"),
    "gravel": ("skimage/data/gravel.png", "c48615b451bf1e60"),
    "camera": ("skimage/data/camera.png", "b0793d2adda0fa6a"),
    "coins": ("skimage/data/coins.png", "f8d773fc9cfa6f4d"),
    "page": ("skimage/data/page.png", "341a6f0a61557662"),
    "text": ("skimage/data/text.png", "bd84aa3a6e3c9887"),
}
"""Where each lies, and how the SHA-256 of its file begins."""


PACKAGES = {
    "skimage": "scikit-image==0.26.0",
    "sklearn": "scikit-learn==1.9.1",
    "matplotlib": "matplotlib==3.11.2",
}
"""Versions that have them."""


def photo_path(name: str) -> Path:
    """The file of a photograph in the installed packages.

    Raises:
        DataError: no such photograph, or the package does not have it, or has another one.
    """
    if name not in PHOTOGRAPHS:
        raise DataError(unknown("photograph", name, list(PHOTOGRAPHS)))
    path, digest = PHOTOGRAPHS[name]
    package, _, inside = path.partition("/")
    spec = find_spec(package)
    got = "none"
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, inside)
        if file.is_file():
            if content_hash(file).startswith(digest):
                return file
            got = "another"
    project = PACKAGES[package]
    raise DataError(
        f"expected the photograph {inside} of the package {project}, got {got}. "
        f"Install it again: pip install --force-reinstall --no-deps {project}"
    )


def photo_paths(names: Iterable[str]) -> tuple[list[Path], list[Failure]]:
    """The files of photographs, and which of them are not what they were; as :func:`photo_path`.

    Raises:
        DataError: unknown names, or none that is there.
    """
    paths, failures = [], []
    for name in names:
        try:
            paths.append(photo_path(name))
        except DataError as error:
            if name not in PHOTOGRAPHS:
                raise
            failures.append(Failure(name, "read", str(error)))
    if failures and not paths:
        raise DataError("\n".join(failure.message for failure in failures))
    return paths, failures
