"""Rows as Parquet, CSV and JSON Lines: bytes to dictionaries by column, and back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.record import Problem
from nacd_bench.triplets.rows import COLUMNS, RATES, VERSION_COLUMN, row_id
from nacd_bench.triplets.text_files import (
    Entry,
    csv_entries,
    json_line_entries,
    parquet_entries,
    read_text,
)

if TYPE_CHECKING:
    import pyarrow

MANIFEST_SUFFIXES = (".parquet", ".csv", ".jsonl")
Row = dict[str, Any]
Rows = tuple[dict[int, Row], list[Problem]]
"""Rows by number, from 1, and those that cannot be read."""
Write = Callable[[str | Path, Sequence[Row]], bytes]


def read_table(path: str | Path) -> Rows:
    """The rows of a CSV, JSON Lines or Parquet file by number (from 1), and unreadable rows.

    Raises:
        DataError: another suffix, or not a table of the kind that the suffix names.
    """
    _writer(path)
    found = entries(path, "a table of triplets")
    rows = {each.number: each.cells for each in found if not each.fault}
    return rows, [
        row_problem(path, each.number, row_id(each.cells), each.fault, f"line {each.line}")
        for each in found
        if each.fault
    ]


def entries(path: str | Path, what: str, separator: str | None = None) -> list[Entry]:
    """The rows of a CSV, JSON Lines or Parquet file, those with a fault included.

    Raises:
        DataError: not a table of the kind that the suffix names.
    """
    if suffix_of(path) == ".parquet":
        return parquet_entries(path, what)
    text = read_text(path, what)
    if suffix_of(path) == ".jsonl":
        return json_line_entries(text)
    if not text.strip():
        raise DataError(
            f"{path}: expected {what}, got an empty file. Its first line names the columns."
        )
    return csv_entries(path, text, separator)


def table_bytes(path: str | Path, rows: Sequence[Row]) -> bytes:
    """The content of a manifest of the kind that the suffix names.

    Args:
        path: where it will be written.
        rows: values by column, all columns of the schema in each; labels as dictionaries.

    In Parquet an extra column that mixes kinds of values is text, what is none as JSON.

    Raises:
        DataError: another suffix, or an extra value that JSON cannot hold.
    """
    return _writer(path)(path, rows)


def row_problem(path: str | Path, number: int, name: str, phrase: str, place: str = "") -> Problem:
    """A problem of one row, which has the id ``name`` or ``""``; ``place`` is its line."""
    place = place or f"row {number}"
    return Problem(name or place, f"{path} {place} (id '{name}'): {phrase}", number)


def _extra_columns(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name not in COLUMNS and name != VERSION_COLUMN]


def _to_csv(path: str | Path, rows: Sequence[Row]) -> bytes:
    file = io.StringIO()
    columns = [VERSION_COLUMN, *COLUMNS, *_extra_columns(rows)]
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        labels = [_without_none(label) for label in row["labels"]]
        writer.writerow({**row, "labels": json.dumps(labels) if labels else ""})
    return file.getvalue().encode()


def _to_json_lines(path: str | Path, rows: Sequence[Row]) -> bytes:
    lines = []
    for row in rows:
        labels = [_without_none(label) for label in row["labels"]]
        content = _without_none({**row, "labels": labels or None})
        try:
            lines.append(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{path}: expected extra values that JSON can hold, got others in triplet "
                f"'{row['id']}' ({error}). Make them text or finite numbers."
            ) from error
    return "".join(lines).encode()


def _to_parquet(path: str | Path, rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    schema = _arrow_schema()
    columns = {
        each.name: pyarrow.array([row[each.name] for row in rows], each.type) for each in schema
    }
    for name in _extra_columns(rows):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(values)
            parquet.write_table(pyarrow.table({name: columns[name]}), io.BytesIO())
        except (pyarrow.ArrowException, OverflowError):  # a mixture, integers of 100 digits, {}
            columns[name] = pyarrow.array([_as_text(value) for value in values], pyarrow.string())
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _arrow_schema() -> pyarrow.Schema:
    import pyarrow

    label = pyarrow.struct(
        [
            ("artifact_type", pyarrow.string()),
            ("box", pyarrow.list_(pyarrow.int64())),
            ("votes_for", pyarrow.int64()),
            ("votes_against", pyarrow.int64()),
            ("confirmed", pyarrow.bool_()),
        ]
    )
    kinds = dict.fromkeys(COLUMNS, pyarrow.string())
    kinds.update(dict.fromkeys(RATES, pyarrow.float64()))
    kinds.update(artifact_free=pyarrow.bool_(), labels=pyarrow.list_(label))
    return pyarrow.schema([(VERSION_COLUMN, pyarrow.int64()), *kinds.items()])


def _as_text(value: Any) -> str | None:
    """A value of a column that Parquet has no type for: text as it is, all else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)


def _without_none(values: Mapping[str, Any]) -> Row:
    return {name: value for name, value in values.items() if value is not None}


def _writer(path: str | Path) -> Write:
    """How the kind of table that a suffix names is written."""
    kinds: dict[str, Write] = {
        ".parquet": _to_parquet,
        ".csv": _to_csv,
        ".jsonl": _to_json_lines,
    }
    suffix = suffix_of(path)
    if suffix not in kinds:
        near = unknown("kind of manifest", suffix or "without suffix", list(kinds))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    return kinds[suffix]
