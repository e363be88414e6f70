"""Graded truth: how strong an artifact is on each side of a triplet, and where, by rater.

Grades are a table beside a manifest or an ``index.csv``, ``grades.jsonl`` (``.csv``, ``.parquet``),
a row for each triplet, rater, type and side::

    {"triplet": "a", "rater": "P", "type": "color", "side": "neural", "severity": 2,
     "box": [195, 120, 300, 290]}

The severity is 0 (no place where this side shows the artifact and the other one, at the same place,
is clearly better), 1 slight, 2 clear, 3 strong; the box is around the strongest such place, in
pixels of the original, half-open, and there is none at 0. A rater who saw nothing to judge (no
readable text) has no row. A column ``kind`` says whether the rater is a ``human`` or, as where it
is missing, a ``model``.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import DataError, Failure, ImageError
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import composed, is_url, writable, write_whole
from nacd_bench.triplets.images import image_size
from nacd_bench.triplets.manifest import folder_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, Box, TripletRecord
from nacd_bench.triplets.rows import (
    RowError,
    finite_number,
    is_missing,
    read_box,
    read_cells,
    shortened,
    text,
)
from nacd_bench.triplets.source import Source, Triplets, find_triplets
from nacd_bench.triplets.text_files import TABLE_SUFFIXES, table_entries

GRADES = tuple(f"grades{suffix}" for suffix in (".jsonl", ".csv", ".parquet"))
"""What a table of grades is called."""
SIDES = ("neural", "traditional")
KINDS = ("model", "human")
STRONGEST = 3
STEP = "grades"
"""Of a failure that is about grades."""
FEW = 0.1
"""Share of the triplets of the busiest rater under which a name is not taken for a rater's."""
INSIDE = 0.5
"""Share of a box that has to lie in the image, for it to be cut at the border."""
Mark = tuple[int, Box | None]
"""A severity, and the box of the strongest place."""
COLUMNS = ("triplet", "rater", "type", "side", "severity", "box", "kind")


@dataclass(frozen=True)
class Grade:
    """What one rater said of one side of a triplet.

    Args:
        triplet, rater: their ids.
        artifact_type: one of :data:`~nacd_bench.triplets.record.ARTIFACT_TYPES`.
        side: one of :data:`SIDES`.
        severity: 0 to 3.
        box: of the strongest place; None where none was drawn.
        kind: one of :data:`KINDS`.
        line: of the file; not part of the content.
    """

    triplet: str
    rater: str
    artifact_type: str
    side: str
    severity: int
    box: Box | None = None
    kind: str = "model"
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class GradedData:
    """Triplets with their grades.

    Args:
        records: those with a grade.
        grades: of them.
        failures: what is wrong with others.
        notes: what is odd and was used all the same.
    """

    records: Sequence[TripletRecord]
    grades: Sequence[Grade]
    failures: Sequence[Failure] = ()
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Ratings:
    """The grades of one type and side as arrays, a row for each triplet.

    Args:
        severity: ``(n, raters)`` float64, NaN where a rater said nothing.
        boxes: ``(n, raters, 4)`` float64, NaN where none was drawn.
    """

    severity: NDArray[np.float64]
    boxes: NDArray[np.float64]


def with_grades(source: Source | Triplets | GradedData) -> GradedData:
    """The triplets of a source, or those that were looked for before, and the grades beside them.

    Faults of grades are not among the failures: ``validate`` and ``agree`` tell them.

    Raises:
        DataError: no triplets.
    """
    if isinstance(source, GradedData):
        return source
    grades: list[Grade] = []
    if isinstance(source, tuple) and source and isinstance(source[0], list):
        records, problems = cast(Triplets, source)
        return GradedData(records, grades, problems)
    place = cast(Source, source)
    records, problems = find_triplets(place)
    with suppress(DataError):
        grades, _, _ = find_grades(place, records)
    return GradedData(records, grades, problems)


def find_grades(
    source: Source,
    records: Sequence[TripletRecord],
    raters: Sequence[str] | None = None,
) -> tuple[list[Grade], list[Failure], list[str]]:
    """The grades beside the data, what is wrong with others, and notes; without a file nothing.

    Boxes that hang over the border are cut and noted; those that lie outside are faults.

    Args:
        source: a folder, a manifest or an index, as
            :func:`~nacd_bench.triplets.source.find_triplets` takes it.
        records: its triplets.
        raters: the names that count; None for all those who graded more than a few.

    Raises:
        DataError: the file cannot be read as a table.
    """
    paths = [source] if isinstance(source, str | Path) else list(source)
    if len(paths) != 1 or is_url(paths[0]):
        return [], [], []
    folder = Path(paths[0])
    folder = folder if folder.is_dir() else Path(folder_of(folder))
    files = [folder / name for name in GRADES if (folder / name).is_file()]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise DataError(f"{folder}: expected one table of grades, got {names}. Remove one.")
    return read_grades(files[0], records, raters) if files else ([], [], [])


def read_grades(
    path: str | Path, records: Sequence[TripletRecord], raters: Sequence[str] | None = None
) -> tuple[list[Grade], list[Failure], list[str]]:
    """The grades of a file, see :func:`find_grades`; the sizes of the originals are read.

    Raises:
        DataError: another suffix, or no table of its kind.
    """
    if Path(path).suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"{path}: expected a table of grades ({', '.join(TABLE_SUFFIXES)}), got another kind "
            "of file. Rename or convert it."
        )
    grades, failures = [], []
    for row in table_entries(path, "a table of grades"):
        grade, faults = (None, [row.fault]) if row.fault else read_grade(row.cells, row.line)
        if grade is None:
            name = "" if is_missing(row.cells.get("triplet")) else text(row.cells["triplet"])
            line = f"{path} line {row.line}: {' '.join(faults)} The line is not used."
            failures.append(Failure(name or f"line {row.line}", STEP, line))
        else:
            grades.append(grade)
    checked, faulty, notes = checked_grades(path, grades, records, raters)
    return checked, failures + faulty, notes


def checked_grades(
    path: str | Path,
    grades: Sequence[Grade],
    records: Sequence[TripletRecord],
    raters: Sequence[str] | None = None,
) -> tuple[list[Grade], list[Failure], list[str]]:
    """The grades of a file that can be used, what is wrong with others, and notes.

    What the grades of a file say of one another, of triplets and raters, and of the sizes of the
    originals, which are read; of those that cannot be, whoever decodes them tells.
    """
    failures: list[Failure] = []
    there = raters_of(grades)
    checks: Sequence[Check] = (
        partial(_of_unknown_triplets, records=records),
        partial(_of_unknown_raters, raters=raters),
        _repeated,
    )
    for check in checks:
        unused = list(check(grades))
        lines = {grade.line for grade, _ in unused}
        grades = [grade for grade in grades if grade.line not in lines]
        failures += [
            Failure(grade.triplet, STEP, f"{path} line {grade.line}: {phrase}")
            for grade, phrase in unused
            if phrase
        ]
    for name in sorted(set(raters or ()) - set(raters_of(grades))):
        line = f"{path}: {unknown('rater in raters', name, there)}"
        failures.append(Failure(name, STEP, line))
    within, outside, notes = _inside(path, grades, records)
    return within, failures + outside, notes


def ungraded(records: Sequence[TripletRecord], grades: Sequence[Grade]) -> list[Failure]:
    """The triplets without any grade."""
    graded = {grade.triplet for grade in grades}
    return [
        Failure(
            record.id,
            STEP,
            f"{record.place}: expected grades of it, got none; it is in no figure. Add them.",
        )
        for record in records
        if record.id not in graded
    ]


def raters_of(grades: Sequence[Grade]) -> list[str]:
    """The raters' names, in order."""
    return sorted({grade.rater for grade in grades})


def ratings(
    grades: Sequence[Grade], ids: Sequence[str], raters: Sequence[str], kind: str, side: str
) -> Ratings:
    """The grades of one artifact type and side, in the order of triplets and raters.

    >>> one = Grade("a", "P", "text", "neural", 2, (0, 0, 9, 9))
    >>> ratings([one], ["a", "b"], ["P"], "text", "neural").severity.tolist()
    [[2.0], [nan]]
    """
    row, column = ({name: i for i, name in enumerate(names)} for names in (ids, raters))
    severity = np.full((len(ids), len(raters)), np.nan)
    boxes = np.full((len(ids), len(raters), 4), np.nan)
    for grade in grades:
        if (grade.artifact_type, grade.side) == (kind, side) and grade.triplet in row:
            place = row[grade.triplet], column[grade.rater]
            severity[place] = grade.severity
            boxes[place] = np.nan if grade.box is None else grade.box
    return Ratings(severity, boxes)


Check = Callable[[Sequence[Grade]], Iterator[tuple[Grade, str]]]
"""Gives the grades that are not used and why; "" for those that the reason of another covers."""


def _of_unknown_triplets(
    grades: Sequence[Grade], records: Sequence[TripletRecord]
) -> Iterator[tuple[Grade, str]]:
    ids = [record.id for record in records]
    known, times = set(ids), Counter(grade.triplet for grade in grades)
    for grade in grades:
        if grade.triplet not in known:
            count = times.pop(grade.triplet, 0)
            phrase = (
                f"{unknown('triplet', grade.triplet, ids[:20])}. Its {count} grades are not used."
            )
            yield grade, phrase if count else ""


def _of_unknown_raters(
    grades: Sequence[Grade], raters: Sequence[str] | None
) -> Iterator[tuple[Grade, str]]:
    """Grades by a name that was not given or, where none were, by one with very few triplets."""
    triplets: dict[str, set[str]] = defaultdict(set)
    for grade in grades:
        triplets[grade.rater].add(grade.triplet)
    counts = {rater: len(graded) for rater, graded in triplets.items()}
    most = max(counts.values(), default=0)
    wrong = {
        name: f"{unknown('rater', name, list(raters))}."
        if raters is not None
        else f"expected raters who graded more than a few triplets, got '{name}' with {count} of "
        f"{most}. Correct the name, or say whose grades count: raters=[{','.join(sorted(counts))}]."
        for name, count in counts.items()
        if (name not in raters if raters is not None else count < FEW * most)
    }
    for grade in grades:
        if grade.rater in wrong:
            phrase = wrong[grade.rater]
            wrong[grade.rater] = ""
            yield grade, phrase and f"{phrase} The rater's grades are not used."


def _repeated(grades: Sequence[Grade]) -> Iterator[tuple[Grade, str]]:
    """Second grades of one thing by one rater: of equal ones the first counts, else none."""
    groups: dict[tuple[str, ...], list[Grade]] = defaultdict(list)
    for grade in grades:
        groups[grade.triplet, grade.rater, grade.artifact_type, grade.side].append(grade)
    for (_, rater, kind, side), several in groups.items():
        if len(several) == 1:
            continue
        first, *others = several
        places = " and ".join(str(grade.line) for grade in several)
        phrase = f"expected one grade of {kind}, {side}, by {rater}, got lines {places}"
        if all(grade == first for grade in others):
            phrase += ", all the same; one counts. Remove the others."
        else:
            phrase += " that differ; none counts. Keep one."
            yield first, ""
        yield others[0], phrase
        yield from ((grade, "") for grade in others[1:])


def _inside(
    path: str | Path, grades: Sequence[Grade], records: Sequence[TripletRecord]
) -> tuple[list[Grade], list[Failure], list[str]]:
    """The grades with boxes cut at the border, and those whose box lies outside the original.

    Of an original that cannot be read, whoever decodes it tells.
    """
    originals = {record.id: record.original for record in records}
    sizes: dict[str, tuple[int, int] | None] = {}
    within, faults, notes = [], [], []
    for grade in grades:
        original = originals[grade.triplet]
        if original not in sizes:
            sizes[original] = None
            with suppress(ImageError):
                sizes[original] = image_size(original)
        size = sizes[original]
        if grade.box is None or size is None:
            within.append(grade)
            continue
        cut = cut_box(grade.box, size)
        place = (
            f"{path} line {grade.line}: expected a box inside the {size[0]} x {size[1]} pixels of "
            f"{original}, got {list(grade.box)}"
        )
        if cut is None:
            line = f"{place}. The line is not used. Correct the box."
            faults.append(Failure(grade.triplet, STEP, line))
            continue
        if cut != grade.box:
            notes.append(f"{place}; it is cut at the border")
        within.append(replace(grade, box=cut))
    return within, faults, notes


def cut_box(box: Box, size: tuple[int, int]) -> Box | None:
    """A box cut at the border of an image; None where less than half of it lies inside.

    >>> cut_box((-2, 0, 8, 10), (100, 100)), cut_box((95, 0, 110, 10), (100, 100))
    ((0, 0, 8, 10), None)
    """
    x0, y0, x1, y1 = box
    cut = max(x0, 0), max(y0, 0), min(x1, size[0]), min(y1, size[1])
    area = max(0, cut[2] - cut[0]) * max(0, cut[3] - cut[1])
    return None if area < INSIDE * (x1 - x0) * (y1 - y0) else cut


def read_mark(severity: Any, box: Any) -> tuple[Mark | None, list[str]]:
    """What a rater said of one picture, or None and everything that is wrong with it."""
    cells = {"severity": severity, "box": box}
    values, wrong = read_cells(cells, {name: _READERS[name] for name in cells})
    if is_missing(severity):
        wrong.append("severity: expected a value, got nothing. Fill it in.")
    wrong += _needless_box(values)
    return (None if wrong else (values["severity"], values["box"])), wrong


def write_grades(path: Path, grades: Iterable[Grade]) -> None:
    """Write a table of grades as JSON Lines, a row for each."""
    rows = []
    for grade in grades:
        values = asdict(grade) | {"type": grade.artifact_type}
        rows.append(json.dumps({name: values[name] for name in COLUMNS}, ensure_ascii=False))
    write_whole(path, writable("".join(f"{row}\n" for row in rows)).encode())


def _needless_box(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with a box at severity 0; nothing where there is none."""
    if values["box"] is None or values["severity"] != 0:
        return []
    return [
        f"box: expected none where the severity is 0, got {list(values['box'])}. Empty it, or "
        "raise the severity."
    ]


def read_grade(row: Mapping[str, Any], line: int) -> tuple[Grade | None, list[str]]:
    """The grade of a row, or None and everything that is wrong with it.

    Args:
        row: values by column; None, ``""`` and NaN are missing values.
        line: the row's place in its file.
    """
    cells = {("type" if name == "artifact_type" else name): cell for name, cell in row.items()}
    values, wrong = read_cells(cells, _READERS)
    told = {phrase.partition(":")[0] for phrase in wrong}
    wrong += [
        f"{name}: expected a value, got nothing. Fill it in."
        for name in COLUMNS[:5]
        if values[name] is None and name not in told
    ]
    wrong += [unknown("column", name, list(COLUMNS)) + "." for name in cells if name not in COLUMNS]
    wrong += _needless_box(values)
    if wrong:
        return None, wrong
    kind = values.pop("kind") or KINDS[0]
    return Grade(artifact_type=values.pop("type"), kind=kind, line=line, **values), []


def _severity(cell: Any) -> int:
    number = finite_number(cell)
    if number is None or number not in range(STRONGEST + 1):
        raise RowError(
            f"expected a severity of 0, 1, 2 or {STRONGEST}, got {shortened(cell)}. Correct it."
        )
    return int(number)


def _box(cell: Any) -> Box | None:
    given = read_box(cell, "corners")
    if given is None:
        return None
    x0, y0, x1, y1 = given
    if x1 <= x0 or y1 <= y0:
        raise RowError(
            f"expected a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {given}. Correct it."
        )
    return x0, y0, x1, y1


def _one_of(names: Sequence[str], what: str) -> Callable[[Any], str]:
    def read(cell: Any) -> str:
        name = text(cell)
        if name not in names:
            raise RowError(f"{unknown(what, name, list(names))}.")
        return name

    return read


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "triplet": lambda cell: composed(text(cell)),
    "rater": text,
    "type": _one_of(ARTIFACT_TYPES, "artifact type"),
    "side": _one_of(SIDES, "side"),
    "severity": _severity,
    "box": _box,
    "kind": _one_of(KINDS, "kind of rater"),
}
