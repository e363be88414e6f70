"""Triplets as folders of images: ``orig/ ai/ classic/`` (the released code's layout) by stem.

Our own names ``original/ neural/ traditional/`` are read too, and an ``index.csv`` beside the
folders: a row per stem (column ``name``) with codecs, points and rates, under the names of a
manifest's columns or with ``qp`` for the traditional point.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.formats import FORMATS, has_image_suffix, is_passed_over
from nacd_bench.triplets.record import Problem, TripletRecord
from nacd_bench.triplets.rows import is_missing, read_row, text
from nacd_bench.triplets.tables import read_table

LAYOUT: dict[str, tuple[str, ...]] = {
    "original": ("orig", "original"),
    "neural": ("ai", "neural"),
    "traditional": ("classic", "traditional"),
}
"""Names of the folder of each role."""
INDEX = "index.csv"
_INDEX_NAMES = {"name": "id", "qp": "traditional_point", "source": "collection"}
IndexRow = tuple[int, dict[str, Any]]
"""Number of the row, from 1, and its cells by column of a manifest."""
_KINDS = ", ".join(FORMATS)


@dataclass(frozen=True)
class Folders:
    """The folders of a layout that are there, None where one is missing."""

    original: Path | None
    neural: Path | None
    traditional: Path | None

    @property
    def missing(self) -> list[str]:
        """The roles whose folder is missing."""
        return [each.name for each in fields(self) if getattr(self, each.name) is None]


def find_folders(root: str | Path) -> Folders:
    """The folders of the three roles in ``root``; :class:`DataError` when one is there twice."""
    found = {}
    for role, names in LAYOUT.items():
        there = [Path(root, name) for name in names if Path(root, name).is_dir()]
        if len(there) > 1:
            raise DataError(
                f"{root}: expected one folder of {role} images, got {there[0].name} and "
                f"{there[1].name}. Remove or rename one."
            )
        found[role] = there[0] if there else None
    return Folders(**found)


def read_folder(root: str | Path) -> tuple[list[TripletRecord], list[Problem]]:
    """The triplets of a folder by name, and a line for everything in it that is not used.

    Raises:
        DataError: a role's folder is missing, there twice, unreadable or without any image.
    """
    folders = find_folders(root)
    if folders.missing:
        raise DataError(missing_folders(root, folders))
    problems = _stray_images(Path(root))
    files: dict[str, dict[str, list[Path]]] = {}
    for role in LAYOUT:
        files[role], strays = _images_by_stem(getattr(folders, role))
        problems += strays
        if not files[role]:
            raise DataError(
                f"{getattr(folders, role)}: expected {role} images ({_KINDS}), got "
                "none. Put them there, with equal names before the suffix in the three folders."
                + "".join(f"\n{problem}" for problem in problems)
            )
    files = _by_composed_stem(files)
    stems = sorted({stem for role in LAYOUT for stem in files[role]})
    strangers = {
        role: [name for name in files[role] if any(name not in files[other] for other in LAYOUT)]
        for role in LAYOUT
    }
    paths: dict[str, dict[str, str]] = {}
    for stem in stems:
        wrong = _incomplete(stem, files, folders, strangers)
        problems += [Problem(stem, line) for line in wrong]
        if not wrong:
            paths[stem] = {role: str(files[role][stem][0]) for role in LAYOUT}
    index, faults = _read_index(Path(root) / INDEX, set(stems))
    problems += faults
    records = []
    for stem, three in paths.items():
        record, faults = _record(stem, three, index, Path(root) / INDEX)
        records.append(record)
        problems += faults
    return records, problems


def _by_composed_stem(
    files: Mapping[str, Mapping[str, list[Path]]],
) -> dict[str, dict[str, list[Path]]]:
    """The files by stem in Unicode's composed form, by the very stem where a side has several."""
    times = [Counter(map(composed, by_stem)) for by_stem in files.values()]
    several = {stem for counted in times for stem, n in counted.items() if n > 1}
    return {
        role: {
            stem if composed(stem) in several else composed(stem): paths
            for stem, paths in by_stem.items()
        }
        for role, by_stem in files.items()
    }


def listed(folder: str | Path) -> list[Path]:
    """What lies in a folder, by name; :class:`DataError` when it cannot be listed."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder that can be listed, got {error.strerror}. "
            f"Allow it, for example with chmod u+rx {folder}."
        ) from error


def missing_folders(root: str | Path, folders: Folders) -> str:
    """The message for a folder that lacks some of the three, with the near misses in it."""
    there = [path.name for path in listed(root) if path.is_dir()]
    parts = []
    for role in folders.missing:
        names = LAYOUT[role]
        near = [name for name in there if name.lower() in names] or [
            match for name in names for match in get_close_matches(name, there, cutoff=0.6)
        ]
        hint = f" (is it {near[0]}?)" if near else ""
        parts.append(f"{names[0]}/{hint}")
    return (
        f"{root}: expected the folders orig/, ai/ and classic/ (or original/, neural/ and "
        f"traditional/), got no {', no '.join(parts)}. It has: {', '.join(there) or 'no folders'}. "
        "Add or rename folders."
    )


def _images_by_stem(folder: Path) -> tuple[dict[str, list[Path]], list[Problem]]:
    """The image files of a folder by stem, and what else lies there."""
    found: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for path in listed(folder):
        if is_passed_over([path.name]):
            continue
        if path.is_dir() and not has_image_suffix(path):
            line = "expected images only, got a folder. Move its images up or the folder away."
            problems.append(Problem(f"{folder.name}/{path.name}", f"{path}: {line}"))
        elif not has_image_suffix(path):
            line = f"expected an image ({_KINDS}), got another kind of file. "
            remedy = "Convert it or move it away."
            problems.append(Problem(f"{folder.name}/{path.name}", f"{path}: {line}{remedy}"))
        else:
            found[path.stem].append(path)
    return found, problems


def _stray_images(root: Path) -> list[Problem]:
    """Images that lie beside the three folders."""
    line = "expected images inside the three folders, got one beside them. Move it."
    return [
        Problem(path.name, f"{path}: {line}")
        for path in listed(root)
        if path.is_file() and has_image_suffix(path) and not is_passed_over([path.name])
    ]


def _incomplete(
    stem: str,
    files: Mapping[str, Mapping[str, Sequence[Path]]],
    folders: Folders,
    strangers: Mapping[str, Sequence[str]],
) -> list[str]:
    """Why the files of a stem make no triplet: missing on a side, or several on one.

    Args:
        stem: the name in question.
        files: the files by role and stem.
        folders: where they lie.
        strangers: per role the stems that another role lacks, candidates for a misspelling.
    """
    there = next(files[role][stem][0] for role in LAYOUT if stem in files[role])
    lines = []
    for role in LAYOUT:
        folder, paths = getattr(folders, role), files[role].get(stem, [])
        if not paths:
            near = next((name for name in strangers[role] if _share_a_start(name, stem)), None)
            got = f"none (is it {files[role][near][0].name}?)" if near else "none"
            lines.append(
                f"{folder / stem}.*: expected the {role} image that belongs to {there}, got {got}. "
                "Add it or remove the others."
            )
        elif len(paths) > 1:
            lines.append(
                f"{folder / stem}.*: expected one {role} image of that name, got "
                f"{' and '.join(path.name for path in paths)}. Remove or rename all but one."
            )
    return lines


def _share_a_start(name: str, stem: str) -> bool:
    """``kodim01_rec`` or ``Kodim01`` for ``kodim01``."""
    name, stem = name.lower(), stem.lower()
    return name.startswith(stem) or stem.startswith(name)


def _read_index(path: Path, stems: Collection[str]) -> tuple[dict[str, IndexRow], list[Problem]]:
    """The rows of an index by stem with their numbers; nothing where there is no index."""
    if not path.exists():
        return {}, []
    try:
        table, problems = read_table(path)
    except DataError as error:  # the images can be used without it
        return {}, [Problem(path.name, f"{error} Rates and codecs stay unknown.")]
    if not table and not problems:
        line = "expected a row for each triplet, got none; rates and codecs stay unknown."
        return {}, [Problem(path.name, f"{path}: {line} Add rows or remove the file.")]
    if table and not {"name", "id"} & {column for cells in table.values() for column in cells}:
        columns = ", ".join(next(iter(table.values())))
        line = f"expected files' stems in a column 'name', got {columns}."
        return {}, [*problems, Problem(path.name, f"{path}: {line} Rename or add it.")]
    rows: dict[str, IndexRow] = {}
    for number, cells in table.items():
        row = {_INDEX_NAMES.get(column, column): cell for column, cell in cells.items()}
        if is_missing(row.get("id")):
            line = "expected a file's stem in the column 'name', got nothing. Fill it in."
            problems.append(Problem(f"row {number}", f"{path} row {number}: {line}", number))
            continue
        stem = text(row["id"])
        stem = stem if stem in stems else composed(stem)
        if stem in rows:
            line = f"expected one row for '{stem}', got another in row {rows[stem][0]}. Remove one."
            problems.append(Problem(stem, f"{path} row {number}: {line}", number))
        elif stem not in stems:
            line = f"expected images named {stem}, got none. Add them or remove the row."
            problems.append(Problem(stem, f"{path} row {number}: {line}", number))
        else:
            rows[stem] = (number, row)
    return rows, problems


def _record(
    stem: str, paths: Mapping[str, str], index: Mapping[str, IndexRow], path: Path
) -> tuple[TripletRecord, list[Problem]]:
    """The record of a stem with what the index has on it, without where that is unreadable."""
    plain = TripletRecord(stem, paths["original"], paths["neural"], paths["traditional"])
    if stem not in index:
        line = f"expected a row for '{stem}', got none; its rates stay unknown. Add a row."
        return plain, [Problem(stem, f"{path}: {line}")] if index else []
    number, row = index[stem]
    record, wrong = read_row({**row, **paths}, number, str)
    problems = [
        Problem(stem, f"{path} row {number} (id '{stem}'): {line} The row is not used.", number)
        for line in wrong
    ]
    return (replace(record, id=stem) if record else plain), problems
