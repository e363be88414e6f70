"""Folders whose ``index.csv`` says which files make a triplet, as graded truth has it.

Triplets of one photograph share its original, and those of several rates of one side a decode, so
that equal stems cannot tell them. The index has a column for each role, under the name of its
folder (``orig``, ``ai``, ``classic``) or our own; or two folders of decodes and a column
``photograph`` in place of the originals, which lie in installed packages
(:mod:`nacd_bench.triplets.embedded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure
from nacd_bench.triplets.embedded import photo_path
from nacd_bench.triplets.formats import has_image_suffix
from nacd_bench.triplets.manifest import parse_manifest, read_table
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import RowError, is_missing, text

INDEX = "index.csv"
LAYOUT: dict[str, tuple[str, ...]] = {
    "original": ("orig", "original"),
    "neural": ("ai", "neural"),
    "traditional": ("classic", "traditional"),
}
"""Names of the folder of each role."""
PHOTOGRAPH = "photograph"
"""Column with the name of the installed photograph that is the original."""
NAMES = {
    **{name: role for role, names in LAYOUT.items() for name in names},
    **{"traditional_qp": "traditional_point", "hm_qp": "traditional_point"},
    "hm_bpp": "traditional_bpp",
}
"""Columns of an index that a manifest calls otherwise."""


def read_indexed(root: Path) -> tuple[list[TripletRecord], list[Failure]] | None:
    """The triplets that a folder's index names, and what is wrong with its rows.

    Returns:
        None where there is no such index: the folder is read by stems.

    Raises:
        DataError: the index cannot be read as a table at all.
    """
    path = root / INDEX
    if not path.is_file():
        return None
    try:
        columns = {column for row in read_table(path)[0] for column in row.cells}
    except DataError:
        return None  # the images can be used without it
    if {NAMES.get(column) for column in columns} >= LAYOUT.keys():
        return parse_manifest(path, _renamed)
    folders = {
        role: root / name
        for role, names in LAYOUT.items()
        for name in names
        if (root / name).is_dir()
    }
    if PHOTOGRAPH in columns and {"neural", "traditional"} <= folders.keys():
        files = {
            role: {file.stem: file.name for file in folder.iterdir() if has_image_suffix(file)}
            for role, folder in folders.items()
        }
        decodes = {role: (folders[role].name, files[role]) for role in ("neural", "traditional")}
        return parse_manifest(path, partial(_of_photograph, decodes=decodes))
    return None


def _renamed(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Cells under a manifest's names; the photograph is the source."""
    named = {NAMES.get(column, column): cell for column, cell in cells.items()}
    if PHOTOGRAPH in named:
        named.setdefault("source", named[PHOTOGRAPH])
    return named


def _of_photograph(
    cells: Mapping[str, Any], decodes: Mapping[str, tuple[str, Mapping[str, str]]]
) -> dict[str, Any]:
    """A row of an index whose originals are installed photographs.

    Args:
        decodes: per side its folder and the files in it by stem.
    """
    named = _renamed(cells)
    missing = [column for column in ("id", PHOTOGRAPH) if is_missing(named.get(column))]
    if missing:
        raise RowError(f"expected {' and '.join(missing)}, got nothing. Fill the cell.")
    name = text(named["id"])
    try:
        named["original"] = str(photo_path(text(named[PHOTOGRAPH])))
    except DataError as error:
        raise RowError(str(error)) from error
    for role, (folder, files) in decodes.items():
        if name not in files:
            raise RowError(f"expected {folder}/{name}.*, got none. Add it or remove the row.")
        named[role] = f"{folder}/{files[name]}"
    return named
