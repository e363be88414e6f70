"""Folders of small real triplets for the tests of jobs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from nacd_bench.planting.photographs import photo
from nacd_bench.triplets.record import ROLES as IMAGE_ROLES

ROLES = ("orig", "ai", "classic")


def small_photo(name: str, height: int = 96, width: int = 128, top: int = 60) -> np.ndarray:
    """Part of an embedded photograph, ``(H, W, 3)`` uint8."""
    return photo(name)[top : top + height, 60 : 60 + width]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def write_images(folder: Path, *images: np.ndarray) -> dict[str, str]:
    """The paths of a triplet's images by role: PNG files of three images, or of one."""
    paths = {role: str(folder / f"{role}.png") for role in IMAGE_ROLES}
    for path, image in zip(paths.values(), images * (3 // len(images)), strict=True):
        Image.fromarray(image).save(path)
    return paths


def make_triplets(root: Path, names: tuple[str, ...] = ("astronaut", "coffee", "rocket")) -> Path:
    """A folder ``orig/ ai/ classic/``: the neural side is a worse JPEG than the traditional one."""
    for number, name in enumerate(names):
        original = small_photo(name, 96, 128 if number % 2 == 0 else 112)
        images = {"orig": original, "ai": jpeg(original, 8), "classic": jpeg(original, 40)}
        for role, image in images.items():
            (root / role).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / role / f"{name}.png")
    return root
