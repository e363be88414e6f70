"""Finding and reading the images that ``nacd-bench compress`` codes."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import as_on_disk
from nacd_bench.triplets.formats import (
    FORMATS,
    HEAD,
    has_image_suffix,
    is_passed_over,
    unread_kind,
)
from nacd_bench.triplets.text_files import lines_of, read_text

_OWN = (".bin", ".part")
"""Suffixes of bitstreams and of files that are being written."""


@dataclass(frozen=True)
class FoundFiles:
    """What a search found.

    Args:
        paths: the files, each once.
        left_out: how many pictures of kinds that are not read lie there, by kind.
    """

    paths: list[Path]
    left_out: Counter[str] = field(default_factory=Counter)


def find_images(
    source: str | Path | Iterable[str | Path], run_folder: Path | None = None
) -> FoundFiles:
    """The images that a folder, a file, a text file of paths, a pattern or a list of these names.

    A folder is searched with all its folders, but for those that are no photographs
    (:data:`~nacd_bench.triplets.formats.NO_PHOTOGRAPHS`); a ``.txt`` file has one path per line,
    relative to itself. The order is that of a list, otherwise by name; a path is named once.

    Args:
        source: where to look.
        run_folder: a folder that may lie there, whose results are no images to code.

    Raises:
        DataError: nothing there.
    """
    found = files_of(source, has_image_suffix, run_folder)
    paths = [path for path in found.paths if not _is_result(path, run_folder)]
    if not paths:
        raise DataError(f"expected images in {source}, got {nothing_but(found.left_out)}.")
    return FoundFiles(paths, found.left_out)


def nothing_but(left_out: Mapping[str, int]) -> str:
    """What a search that found nothing has found, for its message."""
    kinds = ", ".join(FORMATS)
    if not left_out:
        return f"none. Kinds that are read: {kinds}"
    return f"only kinds that are not read: {counted(left_out)}. Convert them; read are {kinds}"


def counted(left_out: Mapping[str, int]) -> str:
    """Counts by kind, the most first.

    >>> counted({"dng": 1, "jxl": 2})
    '2 jxl, 1 dng'
    """
    order = sorted(left_out, key=lambda kind: (-left_out[kind], kind))
    return ", ".join(f"{left_out[kind]} {kind}" for kind in order)


def _is_result(path: Path, run_folder: Path | None) -> bool:
    if run_folder is None:
        return False
    place, results = path.resolve(), run_folder.resolve()
    return results / "decoded" in place.parents or place == results / "rate_distortion.png"


def files_of(
    source: str | Path | Iterable[str | Path],
    is_wanted: Callable[[Path], bool],
    run_folder: Path | None = None,
) -> FoundFiles:
    """The files that a source names, see :func:`find_images`.

    Args:
        source: where to look.
        is_wanted: of the files that a folder or pattern holds; a file that is named is taken.
        run_folder: what lies in it is not counted among what is left out.

    Raises:
        DataError: a name that nothing has.
    """
    paths: dict[Path, None] = {}
    left_out: dict[Path, str] = {}
    results = run_folder.resolve() if run_folder is not None else None
    for item in [source] if isinstance(source, str | Path) else source:
        for path, is_named in _paths(item):
            if is_named or is_wanted(path):
                paths[path] = None
            elif results is None or results not in path.resolve().parents:
                kind = _unread_kind(path)
                if kind:
                    left_out[path] = kind
    return FoundFiles(list(paths), Counter(left_out.values()))


def _paths(source: str | Path) -> Iterator[tuple[Path, bool]]:
    """Files, and whether they are named one by one."""
    path = as_on_disk(source)
    if not os.path.lexists(path) and not glob.has_magic(str(path)):
        raise DataError(
            f"expected an image, a folder or a pattern, got {str(source)[:200]}: nothing there."
        )
    if path.is_dir():
        yield from ((each, False) for each in sorted(_walk(path)))
    elif path.suffix.lower() == ".txt" and path.is_file():
        for line in lines_of(read_text(path, "a list of images")):
            if line.strip():
                yield as_on_disk(path.parent / line.strip()), True
    elif path.exists():
        yield path, True
    else:
        plain = tuple(takewhile(lambda part: not glob.has_magic(part), path.parts))
        wanted = as_on_disk(Path(*plain)).joinpath(*path.parts[len(plain) :])
        names = sorted(glob.glob(str(wanted), recursive=True))  # noqa: PTH207 (absolute ones too)
        if not names:
            raise DataError(
                f"expected an image, a folder or a pattern, got {source}: nothing there."
            )
        for name in names:
            if not is_passed_over(set(Path(name).parts) - set(wanted.parts)):
                yield Path(name), False


def _walk(folder: Path) -> Iterator[Path]:
    """The files of a folder and its folders that may be photographs."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_passed_over([name])]
        for name in names:
            path = Path(place, name)
            if not is_passed_over([name]) and path.is_file():
                yield path


def _unread_kind(path: Path) -> str | None:
    if path.suffix.lower() in _OWN or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return unread_kind(path, file.read(HEAD))
    except OSError:
        return unread_kind(path, b"")
