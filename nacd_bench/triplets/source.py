"""What a user points at (a folder, a manifest, a run folder, three files) to triplets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nacd_bench.errors import DataError, Failure
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import as_on_disk, is_url
from nacd_bench.triplets.folder import INDEX, find_folders, listed, read_folder, require_folders
from nacd_bench.triplets.formats import has_image_suffix, suffix_of
from nacd_bench.triplets.manifest import MANIFEST_NAMES, parse_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import stem
from nacd_bench.triplets.text_files import TABLE_SUFFIXES

Source = str | Path | Sequence[str | Path]


def find_triplets(source: Source) -> tuple[list[TripletRecord], list[Failure]]:
    """The triplets that a source names, and a line for everything in it that cannot be used.

    Args:
        source: a folder with ``orig/ ai/ classic/``; a manifest; a run folder that holds a
            manifest (``triplets.parquet``), which comes before image folders beside it; or three
            image files in the order original, neural, traditional. No image is opened.

    Raises:
        DataError: nothing that can be read as triplets, or none in it.
    """
    records, problems = _find(source)
    if not records:
        lines = "".join(f"\n{problem.message}" for problem in problems)
        raise DataError(
            f"{source}: expected at least one complete triplet, got none."
            + (f" What is wrong:{lines}" if problems else " Add triplets.")
        )
    return records, problems


def _find(source: Source) -> tuple[list[TripletRecord], list[Failure]]:
    if not isinstance(source, str | Path):
        paths = [str(as_on_disk(path)) for path in source]
        if len(paths) == 1:
            return _find(paths[0])
        if len(paths) != 3:
            raise DataError(
                f"expected three image files ({', '.join(ROLES)}), got {len(paths)}. "
                "Name all three, one folder or one manifest."
            )
        original, neural, traditional = paths
        return [TripletRecord(stem(original), original, neural, traditional)], []
    if is_url(source):
        return parse_manifest(source)
    path = as_on_disk(source)
    if path.is_dir():
        return _find_in_folder(path)
    if suffix_of(path) in TABLE_SUFFIXES:
        if path.name == INDEX and len(find_folders(path.parent)) == len(ROLES):
            return read_folder(path.parent)
        return parse_manifest(path)
    if has_image_suffix(path):
        raise DataError(
            f"{path}: expected three image files (original, neural, traditional), got one. "
            "Name all three, a folder or a manifest."
        )
    raise DataError(
        f"{path}: expected a folder, a manifest ({', '.join(TABLE_SUFFIXES)}) or three images, "
        f"got {'another kind of file' if path.exists() else 'nothing of that name'}. "
        "Correct the path."
    )


def _find_in_folder(path: Path) -> tuple[list[TripletRecord], list[Failure]]:
    for name in MANIFEST_NAMES:
        if (path / name).is_file():
            return parse_manifest(path / name)
    tables = sorted(file.name for file in listed(path) if suffix_of(file) in TABLE_SUFFIXES)
    hint = f" Or name a manifest in it: {', '.join(tables)}." if tables else ""
    require_folders(path, find_folders(path), hint)
    return read_folder(path)
