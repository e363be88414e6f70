"""Somebody else's table of labelled triplets (CSV, JSON, JSON Lines) to records, by a mapping.

The mapping says which column of theirs is what. In YAML; all but the three paths may be left out::

    columns:                      # ours: theirs
      original: "refs/{image}.png"      # with braces: made of columns
      neural: "jpeg_ai/{image}_{q}.png"
      traditional: vvc_path             # without: the column that holds it
      source: image
      id: "{image}@{q}"                 # else the original's stem, and @ the neural point
      artifact_type: kind
      box: [x, y, w, h]                 # four columns, or one that holds four numbers
      confidence: score
      quality: q                        # 006, 012, 025, 050, 075: 100 x bpp asked for
      version: vm                       # of the neural codec
      preset: profile
    box: xywh                     # or corners; of an object or columns with names, these say
    types: {tex: texture, colour: color, none: free}   # theirs: ours; free: no artifact
    values: {neural_codec: JPEG AI}     # the same in all rows
    root: images                  # where paths begin, seen from the table's folder
    rows: annotations.items       # JSON: the list inside the file

Every column of a manifest can be named (``neural_bpp``, ``votes_for``, ``confirmed``,
``artifact_free``, ...). A row is one artifact: rows of one id become one triplet with several
labels and must agree on the rest. JSON is a list of objects; ``a.b`` names a value inside another.
Columns that are not named are left out. What a manifest has no field for goes to extra columns:
``confidence`` (the largest), ``confidences`` (JSON, in the order of the labels, where there are
several), ``quality``, ``target_bpp``, ``preset``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.manifest import folder_of, require_no_faults, resolved
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord, contradictions
from nacd_bench.triplets.rows import (
    COLUMNS,
    PATHS,
    RowError,
    finite_number,
    is_missing,
    read_cells,
    read_row,
    shortened,
    stem,
    text,
)
from nacd_bench.triplets.text_files import load_json, read_json, read_yaml, table_entries

FREE = "free"
QUALITIES = ("006", "012", "025", "050", "075")
"""The rates of the JPEG AI common test conditions, 100 x bits per pixel."""
BOX_FORMATS = {"xywh": "x, y, w, h", "corners": "x0, y0, x1, y1"}
"""What four numbers may be; the first where nothing says so."""
TYPES = (*ARTIFACT_TYPES, FREE)
FIELDS: dict[str, type] = {
    **dict.fromkeys(("columns", "types", "values"), Mapping),
    **dict.fromkeys(("box", "root", "rows"), str),
}
"""What a mapping may hold."""
VOTES = ("votes_for", "votes_against", "confirmed")
TARGETS = (
    *(name for name in COLUMNS if name != "labels"),
    *("artifact_type", "box", *VOTES, "confidence", "quality", "version", "preset"),
)
"""What a column can be mapped to."""
SUFFIXES = (".csv", ".json", ".jsonl")
_HOLE = re.compile(r"\{([^{}]+)\}")
_ENDS = {"x0 y0": "x1 y1", "x1 y1": "x2 y2", "xmin ymin": "xmax ymax", "left top": "right bottom"}
_LAYOUTS = {frozenset(f"{a} {b}".split()): ("corners", f"{a} {b}") for a, b in _ENDS.items()} | {
    frozenset(f"{a} {b}".split()): ("xywh", f"{a} {b}")
    for a, b in product(("x y", *_ENDS), ("w h", "width height"))
}
"""Format and order of the names that say which value of a box is which."""
Row = Mapping[str, Any]


def import_records(
    path: str | Path, mapping: str | Path | Mapping[str, Any]
) -> list[TripletRecord]:
    """The labelled triplets of a foreign table, in the order of their first rows.

    Args:
        path: a ``.csv``, ``.json`` or ``.jsonl`` file or URL.
        mapping: a YAML file, or its content.

    Raises:
        DataError: a file that cannot be read; a mapping or rows with faults, all of them named,
            rows by the line where they begin (JSON: by their number in the list).
    """
    mapped = read_mapping(mapping)
    rows, wrong = _rows(path, mapped["rows"])
    _require_columns(path, mapped["columns"], rows)
    base = resolved(mapped["root"], folder_of(path)) if mapped["root"] else folder_of(path)
    places: dict[str, str] = {}
    records: dict[str, TripletRecord] = {}
    confidences: dict[str, list[float | None]] = {}
    for place, row in rows:
        record, confidence, faults = _read(row, mapped, partial(resolved, base=base))
        if record is not None:
            first = records.setdefault(record.id, record)
            faults = _differences(first, record, places.setdefault(record.id, place))
            if not faults and first is not record:
                labels = first.labels + record.labels
                is_free = first.artifact_free or record.artifact_free
                records[record.id] = replace(first, labels=labels, artifact_free=is_free)
            if not faults and record.labels:
                confidences.setdefault(record.id, []).append(confidence)
        wrong += [f"{path} {place}: {fault}" for fault in faults]
    finished = []
    for number, (name, record) in enumerate(records.items(), 1):
        extra = _extra(record, confidences.get(name, []))
        finished.append(replace(record, extra=extra, row=number))
        faults = list(contradictions(record))
        if record.artifact_free and any(label.confirmed is None for label in record.labels):
            faults.append(
                f"expected id '{name}' to be free of artifacts or to have some, got rows that say "
                "either. Correct one."
            )
        wrong += [f"{path} {places[name]}: {fault}" for fault in faults]
    require_no_faults(path, wrong)
    return finished


def _differences(first: TripletRecord, second: TripletRecord, place: str) -> list[str]:
    """Where two rows of the same id say different things about the triplet."""
    others = dict.fromkeys(("labels", "artifact_free", "extra", "row"))
    had, got = ({**vars(record), **record.extra, **others} for record in (first, second))
    return [
        f"expected the same {name} as in {place} for id '{first.id}', got {got.get(name)!r} "
        f"and {had.get(name)!r}. Correct it, or map id so that they differ."
        for name in {**had, **got}
        if had.get(name) != got.get(name)
    ]


def _extra(record: TripletRecord, confidences: Sequence[float | None]) -> dict[str, Any]:
    extra = dict(record.extra)
    numbers = [confidence for confidence in confidences if confidence is not None]
    if numbers:
        extra["confidence"] = max(numbers)
    if numbers and len(confidences) > 1:
        extra["confidences"] = json.dumps(confidences)
    return extra


def _read(
    row: Row, mapped: Mapping[str, Any], resolve: Callable[[str], str]
) -> tuple[TripletRecord | None, float | None, list[str]]:
    """One foreign row as a triplet with at most one label, its confidence, and what is wrong."""
    columns = mapped["columns"]
    cells, wrong = read_cells(columns, dict.fromkeys(columns, partial(_cell, row)))
    cells |= mapped["values"]
    readers: dict[str, Callable[[Any], Any]] = {
        "confidence": _confidence,
        "quality": _quality,
        "preset": text,
        "artifact_type": partial(_artifact_type, types=mapped["types"]),
        "box": partial(read_box, form=mapped["box"]),
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
    ours |= {"preset": values["preset"], "quality": values["quality"]}
    if values["quality"]:
        ours["target_bpp"] = int(values["quality"]) / 100
    if is_missing(ours.get("neural_point")):
        ours["neural_point"] = values["quality"]
    if kind == FREE:
        ours["artifact_free"] = True
    elif kind:
        votes = {name: cells.get(name) for name in VOTES}
        ours["labels"] = [{"artifact_type": kind, "box": box, **votes}]
    if is_missing(ours.get("id")) and not is_missing(cells.get("original")):
        point = ours["neural_point"]
        suffix = "" if is_missing(point) else f"@{text(point)}"
        ours["id"] = stem(text(cells["original"])) + suffix
    record, faults = read_row(ours, 0, resolve)
    # a path whose template could not be filled is named already, and gives no id
    told = ("expected the path of a file, got nothing", "expected an id") if wrong else ()
    wrong += [fault for fault in faults if not any(phrase in fault for phrase in told)]
    return None if wrong else record, values["confidence"], wrong


def _cell(row: Row, column: str | list[str]) -> Any:
    """What a row has in a column, in a template of columns, or in the four columns of a box."""
    if isinstance(column, list):
        # columns that say which is which are taken by name, others in their order
        values = [_value_at(row, name) for name in column]
        names = [name.rpartition(".")[2] for name in column]
        if all(map(is_missing, values)):
            return None
        return dict(zip(names, values, strict=True)) if _layout_of(names) else values
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


def _confidence(cell: Any) -> float:
    number = finite_number(cell)
    if number is None:
        raise RowError(f"expected a number, got {shortened(cell)}. Correct or empty it.")
    return number


def _artifact_type(cell: Any, types: Mapping[str, str]) -> str:
    theirs = text(cell)
    ours = types.get(theirs, theirs)
    if ours not in TYPES:
        names = list(dict.fromkeys([*TYPES, *types]))
        raise RowError(unknown("type", theirs, names) + ". Add it to types.")
    return ours


def _quality(cell: Any) -> str:
    """One of :data:`QUALITIES` from ``"012"``, ``12`` or ``0.12``.

    >>> _quality("012"), _quality(6), _quality("0.25")
    ('012', '006', '025')
    """
    number = finite_number(cell) or 0
    hundredths = round(number * 100, 6) if 0 < number < 1 else number
    code = f"{hundredths:03.0f}"
    if code not in QUALITIES or int(code) != hundredths:
        raise RowError(
            f"expected one of {', '.join(QUALITIES)}, got {shortened(cell)}. Correct it, or map "
            "the column to neural_point."
        )
    return code


def read_box(cell: Any, form: str | None) -> list[int] | None:
    """A box as corners in whole pixels, grown to hold the given one; None for an empty one.

    Args:
        cell: an object with names such as ``x y w h`` or ``left top right bottom``, in any order;
            a list of four numbers; or text with either.
        form: one of :data:`BOX_FORMATS`; None: what the names say, else ``xywh``.

    Raises:
        RowError: no box, or names that are unknown or of another format.

    >>> read_box({"top": 20, "left": 10, "bottom": 50, "right": 60}, None)
    [10, 20, 60, 50]
    """
    given = _box_in_text(cell) if isinstance(cell, str) else cell
    if isinstance(given, Mapping) and given:
        given, form = _box_by_name(given, form)
    form = form or "xywh"
    if not given or (isinstance(given, Sequence) and all(map(is_missing, given))):
        return None
    numbers = [finite_number(part) for part in given] if isinstance(given, list) else []
    if len(numbers) != 4 or None in numbers:
        raise RowError(
            f"expected four numbers {BOX_FORMATS[form]}, got {shortened(cell)}. "
            "Correct or empty it."
        )
    x, y, right, bottom = (number for number in numbers if number is not None)
    if form == "xywh":
        if right <= 0 or bottom <= 0:
            raise RowError(
                f"expected a width and a height above 0, got {shortened(cell)}. Correct it, "
                "or set box: corners in the mapping."
            )
        right, bottom = x + right, y + bottom
    if 0 < right - x < 1 and 0 < bottom - y < 1:
        raise RowError(
            f"expected pixels, got {shortened(cell)}, smaller than one. Multiply fractions "
            "by the width and height of the image."
        )
    return [math.floor(x), math.floor(y), math.ceil(right), math.ceil(bottom)]


def _box_in_text(text: str) -> Any:
    """``"{...}"`` in JSON, or numbers as in ``"[1, 2, 3, 4]"``."""
    if text.strip().startswith("{"):
        with suppress(ValueError):
            return load_json(text)
    return [part for part in re.split(r"[\s,;]+", text.strip("[](){} ")) if part]


def _box_by_name(given: Mapping[str, Any], form: str | None) -> tuple[list[Any], str]:
    names = ", ".join(map(str, given))
    layout = _layout_of(list(given))
    if layout is None:
        raise RowError(
            f"expected four values named x, y, w, h; left, top, right, bottom; x0, y0, x1, "
            f"y1; or alike, got {names}. Rename them, or map a list of four columns to box."
        )
    named_form, order = layout
    if form not in (None, named_form):
        raise RowError(
            f"expected names of the mapping's box: {form}, got {names}, which are {named_form}. "
            f"Set box: {named_form}, or rename them."
        )
    return [given[name] for name in order], named_form


def _layout_of(names: Sequence[str]) -> tuple[str, list[str]] | None:
    """The format that names stand for and the names in its order; None for unknown ones.

    >>> _layout_of(["Top", "left", "Bottom", "right"])
    ('corners', ['left', 'Top', 'right', 'Bottom'])
    """
    plain = {re.sub(r"[\s_-]", "", str(name)).lower(): name for name in names}
    form, order = _LAYOUTS.get(frozenset(plain), ("", ""))
    if not form or len(names) != 4:
        return None
    return form, [plain[name] for name in order.split()]


def _rows(path: str | Path, inner: str | None) -> tuple[list[tuple[str, Row]], list[str]]:
    """The rows of a table, each with its place in the file, and a line for each unreadable one."""
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        near = unknown("kind of table", suffix or "without suffix", list(SUFFIXES))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    what = "a table of labels"
    if suffix == ".json":
        content = read_json(path, what)
        content = _value_at(content, inner) if inner else content
        items = content if isinstance(content, list) else [content]
        rows, wrong = [(f"item {number}", row) for number, row in enumerate(items, 1)], []
        odd = [place for place, row in rows if not isinstance(row, Mapping)]
        if odd or items is not content:
            raise DataError(
                f"{path}: expected a list of objects{f' at {inner!r}' if inner else ''}, got "
                f"something else at {odd[0] if odd else 'its top'}. Name the list by rows: in the "
                "mapping."
            )
    else:
        entries = table_entries(path, what)
        rows = [(f"line {entry.line}", entry.cells) for entry in entries if not entry.fault]
        wrong = [f"{path} line {entry.line}: {entry.fault}" for entry in entries if entry.fault]
    if not rows and not wrong:
        raise DataError(f"{path}: expected at least one row, got none. Name another file.")
    return rows, wrong


def read_mapping(mapping: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A mapping from its YAML file or content, with every field of :data:`FIELDS`.

    Raises:
        DataError: not YAML; everything in it that is unknown, missing or contradictory.
    """
    where, content = "mapping", mapping
    if not isinstance(mapping, Mapping):
        where, content = str(mapping), read_yaml(mapping, "a mapping")
    if not isinstance(content, Mapping):
        raise DataError(
            f"{where}: expected fields such as columns and types, got "
            f"{type(content).__name__}. See nacd_bench.triplets.foreign for an example."
        )
    given = {name: value for name, value in content.items() if value is not None}
    wrong = list(_kind_faults(given)) or list(_faults(given))
    if wrong:
        raise DataError("\n".join(f"{where}: {fault}" for fault in wrong))
    mapped: dict[str, Any] = {name: given.get(name) for name in FIELDS}
    for name in ("columns", "values", "types"):
        mapped[name] = {str(key): value for key, value in given.get(name, {}).items()}
        if "version" in mapped[name] and name != "types":
            mapped[name].setdefault("neural_version", mapped[name].pop("version"))
    return mapped


def _kind_faults(given: Mapping[str, Any]) -> Iterator[str]:
    """Fields that are unknown or of another kind."""
    for name, value in given.items():
        if name not in FIELDS:
            yield unknown("field", str(name), list(FIELDS))
        elif not isinstance(value, FIELDS[name]):
            what = "text" if FIELDS[name] is str else "names with values"
            yield f"{name}: expected {what}, got {value!r:.60}. Correct it."


def _faults(given: Mapping[str, Any]) -> Iterator[str]:
    """What is unknown, missing or contradictory in fields of the right kind."""
    columns, values = given.get("columns", {}), given.get("values", {})
    for name in (*columns, *values):
        if name not in TARGETS:
            yield unknown("column", str(name), list(TARGETS))
    for name in ("box", "confidence", "quality"):
        if name in values:
            yield f"values: expected what all rows share, got {name}. Map it to a column."
    for name in sorted(set(map(str, columns)) & set(map(str, values))):
        yield f"{name}: expected it in columns or in values, got both. Remove one."
    missing = [name for name in PATHS if name not in columns and name not in values]
    if missing:
        yield f"columns: expected {', '.join(PATHS)}, got no {', '.join(missing)}. Add them."
    for name, column in columns.items():
        is_four = name == "box" and isinstance(column, list) and len(column) == 4
        if not all(isinstance(part, str) for part in (column if is_four else [column])):
            what = "a column or a list of four" if name == "box" else "the name of a column"
            yield f"columns, {name}: expected {what}, got {column!r:.60}. Correct it."
    if given.get("box", "xywh") not in BOX_FORMATS:
        yield unknown("box format", given["box"], list(BOX_FORMATS))
    for theirs, ours in given.get("types", {}).items():
        if ours not in TYPES:
            yield f"types, {theirs}: " + unknown("type", str(ours), list(TYPES))


def _require_columns(
    path: str | Path, columns: Mapping[str, str | list[str]], rows: Sequence[tuple[str, Row]]
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
