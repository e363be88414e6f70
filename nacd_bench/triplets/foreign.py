"""Somebody else's table of labelled triplets (CSV, JSON, JSON Lines) to records, by a mapping.

The mapping says which column of theirs is what. In YAML; all but the three paths may be left out::

    columns:                      # ours: theirs
      original: "refs/{image}.png"      # with braces: made of columns
      neural: "jpeg_ai/{image}_{q}.png"
      traditional: vvc_path             # without: the column that holds it
      source: image
      id: "{image}@{q}"                 # else the original's stem, and @ the neural point
      neural_point: q
      artifact_type: kind
      box: [x, y, w, h]                 # four columns, or one that holds four numbers
      confidence: score
      preset: profile
    box: xywh                     # or corners: x0, y0, x1, y1
    types: {tex: texture, colour: color, none: free}   # theirs: ours; free: no artifact
    values: {neural_codec: JPEG AI}     # the same in all rows
    root: images                  # where paths begin, seen from the table's folder
    rows: annotations.items       # JSON: the list inside the file

Where ``severity`` is mapped, a row is no label but a grade (:mod:`nacd_bench.triplets.grades`): one
rater's severity, 0 to 3, of one type on one side, and the box of the strongest place::

    columns: {..., artifact_type: kind, rater: who, side: of, severity: how_strong, box: place}
    sides: {ai: neural, vvc: traditional}     # theirs: ours

Every column of a manifest can be named (``neural_bpp``, ``votes_for``, ``confirmed``,
``artifact_free``, ...). A row is one artifact: rows of one id become one triplet with several
labels and must agree on the rest. JSON is a list of objects; ``a.b`` names a value inside another.
Columns that are not named are left out. What a manifest has no field for goes to extra columns:
``preset``, ``confidence`` (the largest) and ``confidences`` (JSON, in the order of the labels,
where there are several).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from nacd_bench.errors import DataError, UserError
from nacd_bench.registry import unknown
from nacd_bench.settings import options
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.grades import (
    Grade,
    checked_grades,
    find_grades,
    read_grade,
)
from nacd_bench.triplets.manifest import folder_of, require_no_faults, resolved
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord, contradictions
from nacd_bench.triplets.rows import (
    BOX_FORMATS,
    COLUMNS,
    PATHS,
    RowError,
    is_missing,
    read_box,
    read_cells,
    read_number,
    read_row,
    shortened,
    stem,
    text,
)
from nacd_bench.triplets.text_files import read_json, read_yaml, table_entries

FREE = "free"
TYPES = (*ARTIFACT_TYPES, FREE)
VOTES = ("votes_for", "votes_against", "confirmed")
EXTRAS = ("confidence", "preset")
GRADE = ("rater", "side", "severity", "kind")
TARGETS = (
    *(name for name in COLUMNS if name != "labels"),
    *("artifact_type", "box", *VOTES, *EXTRAS, *GRADE),
)
"""What a column can be mapped to."""
SUFFIXES = (".csv", ".json", ".jsonl")
_HOLE = re.compile(r"\{([^{}]+)\}")
Row = Mapping[str, Any]


@options
class TableMapping:
    """What the columns of a foreign table are.

    Args:
        columns: ours to theirs: a name, a template, or for the box four names.
        box: what its four numbers are.
        types, sides: theirs to ours.
        values: what all rows share, by our column.
        root: where paths begin, seen from the table's folder.
        rows: the place of the list inside a JSON file, as ``a.b``.
    """

    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    box: Literal["xywh", "corners"] | None = None
    types: Mapping[str, Literal["texture", "color", "text", "free"]] = field(default_factory=dict)
    sides: Mapping[str, Literal["neural", "traditional"]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    root: str | None = None
    rows: str | None = None

    @property
    def is_graded(self) -> bool:
        """Whether a row is a grade."""
        return "severity" in {**self.columns, **self.values}


def import_graded(
    path: str | Path, mapping: str | Path | Row, raters: Sequence[str] | None = None
) -> tuple[list[TripletRecord], list[Grade], list[str]]:
    """The triplets of a foreign table in the order of their first rows, their grades, and notes.

    Grades are those of its rows or, where no severity is mapped, of a table of grades beside it.

    Args:
        path: a ``.csv``, ``.json`` or ``.jsonl`` file or URL.
        mapping: a YAML file, or its content.
        raters: whose grades there are; None for all those who graded more than a few.

    Raises:
        DataError: a file that cannot be read; a mapping or rows with faults, all of the rows'
            named, by the line where they begin (JSON: by their number in the list).
    """
    mapped = read_mapping(mapping)
    rows, wrong = _rows(path, mapped.rows)
    _require_columns(path, mapped.columns, rows)
    base = resolved(mapped.root, folder_of(path)) if mapped.root else folder_of(path)
    grades: list[Grade] = []
    places: dict[str, str] = {}
    of_triplet: dict[str, list[TripletRecord]] = {}
    for place, row in rows:
        record, cells, faults = _record(row, mapped, partial(resolved, base=base))
        if record is not None and mapped.is_graded:
            grade, faults = _grade(record.id, cells, mapped, int(place.split()[-1]))
            grades += [] if grade is None else [grade]
        if record is not None and not faults:
            same = of_triplet.setdefault(record.id, [record])
            faults = _differences(same[0], record, places.setdefault(record.id, place))
            if not faults and record is not same[0]:
                same.append(record)
        wrong += [f"{path} {place}: {fault}" for fault in faults]
    records = [_merged(same, number) for number, same in enumerate(of_triplet.values(), 1)]
    for record in records:
        faults = list(contradictions(record))
        if record.artifact_free and any(label.confirmed is None for label in record.labels):
            faults.append(
                f"expected id '{record.id}' to be free of artifacts or to have some, got rows that "
                "say either. Correct one."
            )
        wrong += [f"{path} {places[record.id]}: {fault}" for fault in faults]
    check = checked_grades(path, grades, records, raters) if mapped.is_graded else None
    used, misgraded, notes = check or find_grades(str(path), records, raters)
    require_no_faults(path, wrong + [failure.message for failure in misgraded])
    return records, used, notes


def _differences(first: TripletRecord, second: TripletRecord, place: str) -> list[str]:
    """Where two rows of the same id say different things about the triplet."""
    others = dict.fromkeys(("labels", "artifact_free", "extra", "row", "confidence"))
    had, got = ({**vars(record), **record.extra, **others} for record in (first, second))
    return [
        f"expected the same {name} as in {place} for id '{first.id}', got {got.get(name)!r} "
        f"and {had.get(name)!r}. Correct it, or map id so that they differ."
        for name in {**had, **got}
        if had.get(name) != got.get(name)
    ]


def _merged(rows: Sequence[TripletRecord], number: int) -> TripletRecord:
    """One triplet with the labels and confidences of its rows."""
    extra = {name: value for name, value in rows[0].extra.items() if name != "confidence"}
    confidences = [row.extra.get("confidence") for row in rows if row.labels]
    if numbers := [confidence for confidence in confidences if confidence is not None]:
        extra["confidence"] = max(numbers)
        if len(confidences) > 1:
            extra["confidences"] = json.dumps(confidences)
    labels = tuple(label for row in rows for label in row.labels)
    is_free = any(row.artifact_free for row in rows) or None
    return replace(rows[0], labels=labels, artifact_free=is_free, extra=extra, row=number)


def _grade(
    triplet: str, cells: Row, mapped: TableMapping, line: int
) -> tuple[Grade | None, list[str]]:
    """The grade of a row, if it has one, and what is wrong with it."""
    if is_missing(cells.get("severity")) and cells["box"] is None:
        return None, []
    side = "" if is_missing(cells.get("side")) else text(cells["side"])
    ours = {name: cells.get(name) for name in ("rater", "severity", "kind", "artifact_type", "box")}
    ours |= {"triplet": triplet, "side": mapped.sides.get(side, side)}
    return read_grade(ours, line)


def _record(
    row: Row, mapped: TableMapping, resolve: Callable[[str], str]
) -> tuple[TripletRecord | None, Row, list[str]]:
    """One foreign row as a triplet with at most one label, its cells, and what is wrong with it."""
    cells, wrong = read_cells(mapped.columns, dict.fromkeys(mapped.columns, partial(_cell, row)))
    cells |= mapped.values
    readers: dict[str, Callable[[Any], Any]] = {
        "confidence": read_number,
        "preset": text,
        "artifact_type": partial(_artifact_type, types=mapped.types),
        "box": partial(read_box, form=mapped.box or "xywh"),
    }
    values, faults = read_cells(cells, readers)
    wrong += faults
    kind, box = values["artifact_type"], values["box"]
    if box is not None and (kind == FREE or is_missing(cells.get("artifact_type"))):
        wrong.append(
            f"box: expected a type beside a box, got {kind or 'nothing'} and {box}. "
            "Fill in the type or empty the box."
        )
    ours = {name: cell for name, cell in cells.items() if name in COLUMNS}
    ours |= {name: values[name] for name in EXTRAS}
    if kind == FREE:
        ours["artifact_free"] = True
    elif kind and not mapped.is_graded:
        votes = {name: cells.get(name) for name in VOTES}
        ours["labels"] = [{"artifact_type": kind, "box": box, **votes}]
    point = ours.get("neural_point")
    if is_missing(ours.get("id")) and not is_missing(cells.get("original")):
        ours["id"] = stem(text(cells["original"])) + (
            "" if is_missing(point) else f"@{text(point)}"
        )
    record, faults = read_row(ours, 0, resolve)
    # a path whose template could not be filled is named already, and gives no id
    told = ("expected the path of a file, got nothing", "expected an id") if wrong else ()
    wrong += [fault for fault in faults if not any(phrase in fault for phrase in told)]
    return None if wrong else record, {**cells, "artifact_type": kind, "box": box}, wrong


def _cell(row: Row, column: str | Sequence[str]) -> Any:
    """What a row has in a column, in a template of columns, or in the four columns of a box."""
    if not isinstance(column, str):
        return [_value_at(row, name) for name in column]
    if "{" not in column:
        return _value_at(row, column)
    empty = [name for name in _HOLE.findall(column) if is_missing(_value_at(row, name))]
    if empty:
        raise RowError(
            f"expected a value in the column {', '.join(empty)} for '{column}', got nothing. "
            "Fill it."
        )
    return _HOLE.sub(lambda hole: text(_value_at(row, hole[1])), column)


def _value_at(row: Any, column: str) -> Any:
    """A value by the name of its column, or by ``a.b`` inside another; None where there is none."""
    if isinstance(row, Mapping) and column in row:
        return row[column]
    for name in column.split("."):
        if not isinstance(row, Mapping) or name not in row:
            return None
        row = row[name]
    return row


def _artifact_type(cell: Any, types: Mapping[str, str]) -> str:
    theirs = text(cell)
    ours = types.get(theirs, theirs)
    if ours not in TYPES:
        raise RowError(unknown("type", theirs, list({**dict.fromkeys(TYPES), **types})))
    return ours


def _rows(path: str | Path, inner: str | None) -> tuple[list[tuple[str, Row]], list[str]]:
    """The rows of a table, each with its place in the file, and a line for each unreadable one."""
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        near = unknown("kind of table", suffix or "without suffix", list(SUFFIXES))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    what = "a table of labels"
    if suffix == ".json":
        content = read_json(path, what)
        items = _value_at(content, inner) if inner else content
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise DataError(
                f"{path}: expected a list of objects{f' at {inner!r}' if inner else ''}, got "
                f"{shortened(items)}. Name the list by rows: in the mapping."
            )
        rows, wrong = [(f"item {number}", row) for number, row in enumerate(items, 1)], []
    else:
        entries = table_entries(path, what)
        rows = [(f"line {entry.line}", entry.cells) for entry in entries if not entry.fault]
        wrong = [f"{path} line {entry.line}: {entry.fault}" for entry in entries if entry.fault]
    if not rows and not wrong:
        raise DataError(f"{path}: expected at least one row, got none. Name another file.")
    return rows, wrong


def read_mapping(mapping: str | Path | Row) -> TableMapping:
    """A mapping from its YAML file or content.

    Raises:
        DataError: not YAML; what in it is unknown, missing or contradictory.
    """
    where, content = "mapping", mapping
    if not isinstance(mapping, Mapping):
        where, content = str(mapping), read_yaml(mapping, "a mapping")
    if not isinstance(content, Mapping):
        raise DataError(
            f"{where}: expected fields such as columns and types, got "
            f"{type(content).__name__}. See nacd_bench.triplets.foreign for an example."
        )
    try:
        mapped = TableMapping(
            **{str(k): value for k, value in content.items() if value is not None}
        )
    except UserError as error:
        raise DataError(f"{where}: {error}") from error
    columns, values = mapped.columns, mapped.values
    wrong = [unknown("column", name, list(TARGETS)) for name in {*columns, *values} - {*TARGETS}]
    wrong += [
        f"{name}: expected it in columns or in values, got both. Remove one."
        for name in columns
        if name in values
    ]
    wrong += [
        f"columns: expected {', '.join(PATHS)}, got no {name}. Add it."
        for name in PATHS
        if name not in columns and name not in values
    ]
    wrong += [
        f"columns, {name}: expected a column{' or a list of four' * (name == 'box')}, got "
        f"{column!r:.60}. Correct it."
        for name, column in columns.items()
        if not isinstance(column, str) and (name != "box" or len(column) != 4)
    ]
    given = {**columns, **values}
    if "box" in given and mapped.box is None:
        wrong.append(
            f"expected box: {' or '.join(BOX_FORMATS)} beside columns, got nothing. Say what the "
            "numbers of a box are."
        )
    needed = ("rater", "side", "artifact_type", "severity")
    if any(name in given for name in GRADE):
        wrong += [
            f"columns: expected {', '.join(needed)} of a grade, got no {name}. Add it."
            for name in needed
            if name not in given
        ]
    if wrong:
        raise DataError("\n".join(f"{where}: {fault}" for fault in wrong))
    return mapped


def _require_columns(
    path: str | Path,
    columns: Mapping[str, str | Sequence[str]],
    rows: Sequence[tuple[str, Row]],
) -> None:
    """Refuse a mapping whose columns are in no row: it is the mapping's fault, not the rows'."""
    faults = []
    for target, column in columns.items():
        for part in [column] if isinstance(column, str) else column:
            for name in _HOLE.findall(part) or [part]:
                if not any(name in row or _value_at(row, name) is not None for _, row in rows):
                    names = list(dict.fromkeys(str(key) for _, row in rows for key in row))
                    faults.append(f"{path}: columns, {target}: {unknown('column', name, names)}")
    if faults and rows:
        raise DataError("\n".join(faults))
