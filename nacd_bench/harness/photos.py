"""Finding and reading the images that ``nacd-bench compress`` codes."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np

from nacd_bench.codec import Image
from nacd_bench.data import images
from nacd_bench.data.files import as_on_disk
from nacd_bench.data.formats import SUFFIXES, has_image_suffix
from nacd_bench.data.images import read_image
from nacd_bench.data.text_files import lines_of, read_text
from nacd_bench.errors import DataError


def image_paths(
    source: str | Path | Iterable[str | Path], run_folder: Path | None = None
) -> list[Path]:
    """The images that a folder, a file, a text file of paths, a pattern or a list of these names.

    A folder is searched with all its folders; a ``.txt`` file has one path per line, relative to
    itself. The order is that of a list, otherwise by name; a path is named once.

    Args:
        source: where to look.
        run_folder: a folder that may lie there, whose results are no images to code.

    Raises:
        DataError: nothing there.
    """
    found = files_of(source, has_image_suffix)
    paths = [path for path in found if not _is_result(path, run_folder)]
    if not paths:
        raise DataError(
            f"expected images in {source}, got none. Known kinds: {', '.join(SUFFIXES)}."
        )
    return paths


def _is_result(path: Path, run_folder: Path | None) -> bool:
    if run_folder is None:
        return False
    place, results = path.resolve(), run_folder.resolve()
    return results / "decoded" in place.parents or place == results / "rate_distortion.png"


def files_of(
    source: str | Path | Iterable[str | Path], is_wanted: Callable[[Path], bool]
) -> list[Path]:
    """The files that a source names, see :func:`image_paths`, each once.

    Args:
        source: where to look.
        is_wanted: of the files that a folder or pattern holds; a file that is named is taken.

    Raises:
        DataError: a name that nothing has.
    """
    if isinstance(source, str | Path):
        return list(dict.fromkeys(_paths(source, is_wanted)))
    return list(dict.fromkeys(path for item in source for path in _paths(item, is_wanted)))


def _paths(source: str | Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    path = as_on_disk(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if is_wanted(p) and p.is_file())
        return [p for p in files if not p.name.startswith(".")]
    if path.suffix.lower() == ".txt" and path.is_file():
        lines = lines_of(read_text(path, "a list of images"))
        return [as_on_disk(path.parent / line.strip()) for line in lines if line.strip()]
    if path.exists():
        return [path]
    plain = tuple(takewhile(lambda part: not glob.has_magic(part), path.parts))
    wanted = as_on_disk(Path(*plain)).joinpath(*path.parts[len(plain) :])
    pattern = sorted(glob.glob(str(wanted), recursive=True))  # noqa: PTH207 (absolute ones too)
    found = [Path(name) for name in pattern]
    if not found:
        raise DataError(f"expected an image, a folder or a pattern, got {source}: nothing there.")
    return [p for p in found if is_wanted(p)]


def read_8_bit(path: str | Path) -> tuple[Image, str]:
    """An image as a codec takes it, ``(H, W, 3)`` uint8, and the hash of its file.

    Raises:
        ImageError: see :func:`nacd_bench.data.images.read_image`.
    """
    image = read_image(path)
    return to_8_bit(image), image.sha256


def to_8_bit(image: images.Image) -> Image:
    """The pixels as a codec takes them, ``(H, W, 3)`` uint8; deeper ones are rounded."""
    pixels = image.pixels.permute(1, 2, 0).numpy()
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels)
