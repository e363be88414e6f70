"""Triplets as folders of images: ``orig/ ai/ classic/`` (the released code's layout) by stem.

Our own names ``original/ neural/ traditional/`` are read too, and an ``index.csv`` beside the
folders: a row per stem (column ``name``) with codecs, points and rates, under the names of a
manifest's columns or with ``qp`` for the traditional point.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from nacd_bench.errors import DataError, Failure
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.formats import FORMATS, has_image_suffix, is_passed_over
from nacd_bench.triplets.manifest import read_table
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.rows import is_missing, read_row, text
from nacd_bench.triplets.text_files import Entry

LAYOUT: dict[str, tuple[str, ...]] = {
    "original": ("orig", "original"),
    "neural": ("ai", "neural"),
    "traditional": ("classic", "traditional"),
}
"""Names of the folder of each role."""
INDEX = "index.csv"
Files = dict[str, dict[str, list[Path]]]
"""Image files by role and stem."""
_INDEX_NAMES = {"name": "id", "qp": "traditional_point", "source": "collection"}
_KINDS = ", ".join(FORMATS)


def find_folders(root: str | Path) -> dict[str, Path]:
    """The folders in ``root`` by role; :class:`DataError` where a role has two."""
    folders = {}
    for role, names in LAYOUT.items():
        paths = [Path(root, name) for name in names if Path(root, name).is_dir()]
        if len(paths) > 1:
            raise DataError(
                f"{root}: expected one folder of {role} images, got {paths[0].name} and "
                f"{paths[1].name}. Remove or rename one."
            )
        if paths:
            folders[role] = paths[0]
    return folders


def require_folders(root: str | Path, folders: Mapping[str, Path], hint: str = "") -> None:
    """:class:`DataError` where some of the three are missing, with the near misses in it."""
    names = [path.name for path in listed(root) if path.is_dir()]
    parts = []
    for role, wanted in LAYOUT.items():
        near = [name for name in names if name.lower() in wanted] or [
            match for name in wanted for match in get_close_matches(name, names, cutoff=0.6)
        ]
        if role not in folders:
            parts.append(f"{wanted[0]}/" + (f" (is it {near[0]}?)" if near else ""))
    if parts:
        raise DataError(
            f"{root}: expected the folders orig/, ai/ and classic/ (or original/, neural/ and "
            f"traditional/), got no {', no '.join(parts)}. It has: "
            f"{', '.join(names) or 'no folders'}. Add or rename folders.{hint}"
        )


def read_folder(root: str | Path) -> tuple[list[TripletRecord], list[Failure]]:
    """The triplets of a folder by name, and a line for everything in it that is not used.

    Raises:
        DataError: a role's folder is missing, there twice, unreadable or without any image.
    """
    folders = find_folders(root)
    require_folders(root, folders)
    line = "expected images inside the three folders, got one beside them. Move it."
    problems = [
        Failure(path.name, "read", f"{path}: {line}")
        for path in listed(root)
        if path.is_file() and has_image_suffix(path) and not is_passed_over([path.name])
    ]
    files: Files = {}
    for role, folder in folders.items():
        files[role], strays = _images_by_stem(folder)
        problems += strays
        if not files[role]:
            raise DataError(
                f"{folder}: expected {role} images ({_KINDS}), got none. Put them there, with "
                "equal names before the suffix in the three folders."
                + "".join(f"\n{problem.message}" for problem in problems)
            )
    files = _by_composed_stem(files)
    stems = sorted(set().union(*files.values()))
    unpaired = {
        role: [stem for stem in names if any(stem not in files[other] for other in LAYOUT)]
        for role, names in files.items()
    }
    faults = {stem: _incomplete(stem, files, folders, unpaired) for stem in stems}
    problems += [Failure(stem, "read", line) for stem in stems for line in faults[stem]]
    index, unread = _read_index(Path(root) / INDEX, set(stems))
    problems += unread
    records = []
    for stem in stems:
        if not faults[stem]:
            paths = {role: str(files[role][stem][0]) for role in LAYOUT}
            record, wrong = _record(stem, paths, index, Path(root) / INDEX)
            records.append(record)
            problems += wrong
    return records, problems


def _by_composed_stem(files: Files) -> Files:
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


def _images_by_stem(folder: Path) -> tuple[dict[str, list[Path]], list[Failure]]:
    """The image files of a folder by stem, and what else lies there."""
    images: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for path in listed(folder):
        if is_passed_over([path.name]):
            continue
        if has_image_suffix(path):
            images[path.stem].append(path)
            continue
        line = f"expected an image ({_KINDS}), got another kind of file. Convert it or move it away"
        if path.is_dir():
            line = "expected images only, got a folder. Move its images up or the folder away"
        problems.append(Failure(f"{folder.name}/{path.name}", "read", f"{path}: {line}."))
    return images, problems


def _incomplete(
    stem: str, files: Files, folders: Mapping[str, Path], unpaired: Mapping[str, Sequence[str]]
) -> list[str]:
    """Why the files of a stem make no triplet: missing on a side, or several on one.

    Args:
        stem: the name in question.
        files: the files by role and stem.
        folders: where they lie.
        unpaired: per role the stems that another role lacks, candidates for a misspelling.
    """
    first = next(files[role][stem][0] for role in LAYOUT if stem in files[role])
    lines = []
    for role, folder in folders.items():
        paths = files[role].get(stem, [])
        if not paths:
            near = next((name for name in unpaired[role] if _share_a_start(name, stem)), None)
            got = f"none (is it {files[role][near][0].name}?)" if near else "none"
            lines.append(
                f"{folder / stem}.*: expected the {role} image that belongs to {first}, got {got}. "
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


def _read_index(path: Path, stems: Collection[str]) -> tuple[dict[str, Entry], list[Failure]]:
    """The rows of an index by stem, under our names; nothing where there is no index."""
    if not path.exists():
        return {}, []
    try:
        table, problems = read_table(path)
    except DataError as error:  # the images can be used without it
        return {}, [Failure(path.name, "read", f"{error} Rates and codecs stay unknown.")]
    line = ""
    if not table and not problems:
        line = "expected a row for each triplet, got none; rates and codecs stay unknown. "
        line += "Add rows or remove the file."
    elif table and not {"name", "id"} & {column for row in table for column in row.cells}:
        columns = ", ".join(table[0].cells)
        line = f"expected files' stems in a column 'name', got {columns}. Rename or add it."
    if line:
        return {}, [*problems, Failure(path.name, "read", f"{path}: {line}")]
    index: dict[str, Entry] = {}
    for row in table:
        cells = {_INDEX_NAMES.get(column, column): cell for column, cell in row.cells.items()}
        stem = "" if is_missing(cells.get("id")) else text(cells["id"])
        stem = stem if stem in stems else composed(stem)
        if not stem:
            line = "expected a file's stem in the column 'name', got nothing. Fill it in."
        elif stem in index:
            line = f"expected one row for '{stem}', got another in row {index[stem].number}."
            line += " Remove one."
        elif stem not in stems:
            line = f"expected images named {stem}, got none. Add them or remove the row."
        else:
            index[stem] = row._replace(cells=cells)
            continue
        name = f"row {row.number}"
        problems.append(Failure(stem or name, "read", f"{path} {name}: {line}"))
    return index, problems


def _record(
    stem: str, paths: Mapping[str, str], index: Mapping[str, Entry], path: Path
) -> tuple[TripletRecord, list[Failure]]:
    """The record of a stem with what the index has on it, without where that is unreadable."""
    plain = TripletRecord(stem, paths["original"], paths["neural"], paths["traditional"])
    if stem not in index:
        line = f"expected a row for '{stem}', got none; its rates stay unknown. Add a row."
        return plain, [Failure(stem, "read", f"{path}: {line}")] if index else []
    number = index[stem].number
    record, wrong = read_row({**index[stem].cells, **paths}, number, str)
    place = f"{path} row {number} (id '{stem}')"
    problems = [Failure(stem, "read", f"{place}: {line} The row is not used.") for line in wrong]
    return (replace(record, id=stem) if record else plain), problems
