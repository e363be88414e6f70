"""What a user points at (a folder, a manifest, a run folder, three files or patterns) to triplets.

A folder has the images of each role in a folder of its own, ``orig/ ai/ classic/`` (the released
code's layout) or ``original/ neural/ traditional/``, with equal names before the suffix, those of
sub-folders included. An ``index.csv`` beside them has a row per stem (column ``name``) with codecs,
points and rates, under the names of a manifest's columns or with ``qp`` for the traditional point.
An index that names the files itself is read by :mod:`nacd_bench.triplets.indexed`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure
from nacd_bench.triplets.files import as_on_disk, composed, is_url
from nacd_bench.triplets.formats import (
    FORMATS,
    files_below,
    has_image_suffix,
    is_passed_over,
    suffix_of,
)
from nacd_bench.triplets.indexed import INDEX, LAYOUT, read_indexed
from nacd_bench.triplets.manifest import MANIFEST_NAMES, parse_manifest, read_table
from nacd_bench.triplets.patterns import NAME, Files, are_patterns, files_by_name
from nacd_bench.triplets.record import ROLES, TripletRecord
from nacd_bench.triplets.rows import is_missing, read_row, stem, text
from nacd_bench.triplets.text_files import TABLE_SUFFIXES, Entry

Source = str | Path | Sequence[str | Path]
Triplets = tuple[list[TripletRecord], list[Failure]]
_INDEX_NAMES = {"name": "id", "qp": "traditional_point", "source": "collection"}
_KINDS = ", ".join(FORMATS)


def find_triplets(source: Source) -> Triplets:
    """The triplets that a source names, and a line for everything in it that cannot be used.

    Args:
        source: a folder with ``orig/ ai/ classic/``, or one whose ``index.csv`` names files; a
            manifest; a run folder that holds a manifest (``triplets.parquet``), which comes before
            image folders beside it; or three image files in the order original, neural,
            traditional, or three patterns of such files
            (:mod:`~nacd_bench.triplets.patterns`). No image is opened.

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


def _find(source: Source) -> Triplets:
    paths = [source] if isinstance(source, str | Path) else list(source)
    if are_patterns(paths):
        return _read_patterns(list(map(str, paths)))
    if len(paths) == len(ROLES):
        original, neural, traditional = (str(as_on_disk(path)) for path in paths)
        return [TripletRecord(stem(original), original, neural, traditional)], []
    if len(paths) == 1 and is_url(paths[0]):
        return parse_manifest(paths[0])
    path = as_on_disk(paths[0]) if paths else Path()
    if len(paths) != 1 or (has_image_suffix(path) and not path.is_dir()):
        raise DataError(
            f"{path}: expected three image files ({', '.join(ROLES)}), got "
            f"{len(paths) if len(paths) != 1 else 'one'}. Name all three, a "
            "folder, a manifest, or three patterns in quotes (nacd-bench validate --help)."
        )
    if path.is_dir():
        return _read_any_folder(path)
    if path.name == INDEX:
        indexed = read_indexed(path.parent)
        if indexed is not None:
            return indexed
        if any((path.parent / name).is_dir() for name in LAYOUT["original"]):
            return _read_folder(path.parent)
    if suffix_of(path) in TABLE_SUFFIXES:
        return parse_manifest(path)
    raise DataError(
        f"{path}: expected a folder, a manifest ({', '.join(TABLE_SUFFIXES)}) or three images, "
        f"got {'another kind of file' if path.exists() else 'nothing of that name'}. "
        "Correct the path."
    )


def _read_any_folder(path: Path) -> Triplets:
    """By the manifest or the index in it, else by name."""
    manifest = next(filter(Path.is_file, map(path.joinpath, MANIFEST_NAMES)), None)
    if manifest:
        return parse_manifest(manifest)
    return read_indexed(path) or _read_folder(path)


def _read_folder(root: Path) -> Triplets:
    """The triplets of a folder by name, and a line for everything in it that is not used."""
    line = "expected images inside the three folders, got one beside them. Move it."
    problems = [
        Failure(path.name, "read", f"{path}: {line}")
        for path in _listed(root)
        if path.is_file() and has_image_suffix(path) and not is_passed_over([path.name])
    ]
    files: Files = {}
    for role, folder in _folders(root).items():
        files[role], strays = _images_by_stem(folder)
        problems += strays
        if not files[role]:
            raise DataError(
                f"{folder}: expected {role} images ({_KINDS}), got none. Put them there, with "
                "equal names before the suffix in the three folders."
                + "".join(f"\n{problem.message}" for problem in problems)
            )
    patterns = {role: str(folder / f"{NAME}.*") for role, folder in _folders(root).items()}
    complete, incomplete = _complete(files, patterns)
    index, unread = _read_index(root / INDEX, set().union(*files.values()))
    records, unused = [], []
    for name, paths in complete.items():
        record, wrong = _record(name, paths, index, root / INDEX)
        records.append(record)
        unused += wrong
    return records, [*problems, *incomplete, *unread, *unused]


def _read_patterns(patterns: Sequence[str]) -> Triplets:
    """The triplets of files that fit three patterns, and a line for those that make none."""
    if len(patterns) != len(ROLES):
        raise DataError(
            f"{' '.join(patterns)}: expected three patterns ({', '.join(ROLES)}), got "
            f"{len(patterns)}. Name all three."
        )
    by_role = dict(zip(ROLES, patterns, strict=True))
    files, problems, _ = files_by_name(by_role)
    complete, incomplete = _complete(files, by_role)
    records = [TripletRecord(name, **paths) for name, paths in complete.items()]
    return records, [*problems, *incomplete]


def _folders(root: Path) -> dict[str, Path]:
    """The folder of each role; :class:`DataError` where one is missing or there twice."""
    names = [path.name for path in _listed(root) if path.is_dir()]
    folders, missing = {}, []
    for role, wanted in LAYOUT.items():
        of_role = [name for name in wanted if name in names]
        if len(of_role) > 1:
            raise DataError(
                f"{root}: expected one folder of {role} images, got {' and '.join(of_role)}. "
                "Remove or rename one."
            )
        if of_role:
            folders[role] = root / of_role[0]
            continue
        near = [name for name in names if name.lower() in wanted]
        near += [match for name in wanted for match in get_close_matches(name, names, cutoff=0.6)]
        missing.append(f"{wanted[0]}/" + (f" (is it {near[0]}?)" if near else ""))
    if missing:
        tables = [path.name for path in _listed(root) if suffix_of(path) in TABLE_SUFFIXES]
        hint = f" Or name a manifest in it: {', '.join(tables)}." if tables else ""
        raise DataError(
            f"{root}: expected the folders orig/, ai/ and classic/ (or original/, neural/ and "
            f"traditional/), got no {', no '.join(missing)}. It has: "
            f"{', '.join(names) or 'no folders'}. Add or rename folders, or name three patterns "
            f"(nacd-bench validate --help).{hint}"
        )
    return folders


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, by name; :class:`DataError` when it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder that can be listed, got {error.strerror}. "
            f"Allow it, for example with chmod u+rx {folder}."
        ) from error


def _images_by_stem(folder: Path) -> tuple[dict[str, list[Path]], list[Failure]]:
    """The image files of a folder, sub-folders included, by what comes before the suffix, in
    Unicode's composed form, and what else lies there."""
    images: dict[str, list[Path]] = defaultdict(list)
    problems = []
    _listed(folder)
    for path in sorted(path for path, run in files_below(folder) if not run):
        name = path.relative_to(folder)
        if has_image_suffix(path):
            images[composed(name.with_name(path.stem).as_posix())].append(path)
            continue
        line = f"expected an image ({_KINDS}), got another kind of file. Convert it or move it away"
        problems.append(Failure(f"{folder.name}/{name.as_posix()}", "read", f"{path}: {line}."))
    return images, problems


def _complete(
    files: Files, patterns: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], list[Failure]]:
    """The file of each role by name, and why other names make no triplet."""
    complete, incomplete = {}, []
    for name in sorted(set().union(*files.values())):
        faults = _incomplete(name, files, patterns)
        incomplete += [Failure(name, "read", fault) for fault in faults]
        if not faults:
            complete[name] = {role: str(of_role[name][0]) for role, of_role in files.items()}
    return complete, incomplete


def _incomplete(name: str, files: Files, patterns: Mapping[str, str]) -> list[str]:
    """Why the files of a name make no triplet: missing on a side, or several on one."""
    first_role = next(role for role in LAYOUT if name in files[role])
    first = files[first_role][name][0]
    lines = []
    for role, of_role in files.items():
        paths = of_role.get(name, [])
        place = patterns[role].replace(NAME, name)
        if not paths:
            alone = (other for other in of_role if other not in files[first_role])
            near = next((other for other in alone if _share_a_start(other, name)), None)
            got = f"none (is it {of_role[near][0].name}?)" if near else "none"
            lines.append(
                f"{place}: expected the {role} image that belongs to {first}, got {got}. "
                "Add it or remove the others."
            )
        elif len(paths) > 1:
            lines.append(
                f"{place}: expected one {role} image of that name, got "
                f"{' and '.join(map(str, paths))}. Remove or rename all but one."
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
    if not problems and not any({"name", "id"} & row.cells.keys() for row in table):
        line = "expected a row for each triplet with the files' stem in a column 'name', got "
        line += f"{', '.join(table[0].cells) if table else 'none'}; rates and codecs stay unknown. "
        line += "Add it or remove the file."
        return {}, [Failure(path.name, "read", f"{path}: {line}")]
    index: dict[str, Entry] = {}
    for row in table:
        cells = {_INDEX_NAMES.get(column, column): cell for column, cell in row.cells.items()}
        name = "" if is_missing(cells.get("id")) else composed(text(cells["id"]))
        if not name:
            line = "expected a file's stem in the column 'name', got nothing. Fill it in."
        elif name in index:
            line = f"expected one row for '{name}', got another in row {index[name].number}."
            line += " Remove one."
        elif name not in stems:
            line = f"expected images named {name}, got none. Add them or remove the row."
        else:
            index[name] = row._replace(cells=cells)
            continue
        place = f"row {row.number}"
        problems.append(Failure(name or place, "read", f"{path} {place}: {line}"))
    return index, problems


def _record(
    name: str, paths: Mapping[str, Any], index: Mapping[str, Entry], path: Path
) -> tuple[TripletRecord, list[Failure]]:
    """The record of a stem with what the index has on it, without where that is unreadable."""
    plain = TripletRecord(id=name, **paths)
    if name not in index:
        line = f"expected a row for '{name}', got none; its rates stay unknown. Add a row."
        return plain, [Failure(name, "read", f"{path}: {line}")] if index else []
    number = index[name].number
    record, wrong = read_row({**index[name].cells, **paths}, number, str)
    place = f"{path} row {number} (id '{name}')"
    problems = [Failure(name, "read", f"{place}: {line} The row is not used.") for line in wrong]
    return (replace(record, id=name) if record else plain), problems
