"""Rows as Parquet, CSV and JSON Lines: bytes to dictionaries by column, and back."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.data.files import read_bytes
from nacd_bench.data.formats import suffix_of
from nacd_bench.data.record import Problem
from nacd_bench.data.rows import COLUMNS, PATHS, RATES, VERSION_COLUMN, row_id
from nacd_bench.errors import DataError
from nacd_bench.registry import unknown

if TYPE_CHECKING:
    import pyarrow

MANIFEST_SUFFIXES = (".parquet", ".csv", ".jsonl")
Row = dict[str, Any]
Rows = tuple[dict[int, Row], list[Problem]]
"""Rows by number, from 1, and those that cannot be read."""
Read = Callable[[str | Path, bytes], Rows]
Write = Callable[[str | Path, Sequence[Row]], bytes]


def read_table(path: str | Path) -> Rows:
    """The rows of a CSV, JSON Lines or Parquet file by number (from 1), and unreadable rows.

    Raises:
        DataError: another suffix, or not a table of the kind that the suffix names.
    """
    read, _ = _kind(path)
    data = read_bytes(path, "a table of triplets", DataError)
    if not data.strip() and suffix_of(path) != ".jsonl":  # which has no header
        raise DataError(
            f"{path}: expected a table of triplets, got an empty file. A manifest has at least the "
            f"columns {', '.join(PATHS)}."
        )
    return read(path, data)


def table_bytes(path: str | Path, rows: Sequence[Row]) -> bytes:
    """The content of a manifest of the kind that the suffix names.

    Args:
        path: where it will be written.
        rows: values by column, all columns of the schema in each; labels as dictionaries.

    Raises:
        DataError: another suffix, or an extra column whose values the kind cannot hold.
    """
    _, write = _kind(path)
    return write(path, rows)


def row_problem(path: str | Path, number: int, name: str, phrase: str) -> Problem:
    """A problem of one row, which has the id ``name`` or ``""``."""
    return Problem(name or f"row {number}", f"{path} row {number} (id '{name}'): {phrase}", number)


def _from_parquet(path: str | Path, data: bytes) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: expected a Parquet file, got one that cannot be read "
            f"({str(error).splitlines()[0]}). Copy or write it again."
        ) from error
    return dict(enumerate(rows, 1)), []


def _from_csv(path: str | Path, data: bytes) -> Rows:
    lines = csv.reader(io.StringIO(_decoded(path, data), newline=""), strict=True)
    try:
        header, *cells = [line for line in lines if line]
    except csv.Error as error:
        raise DataError(
            f"{path}: expected comma-separated values, got a fault in line {lines.line_num} "
            f"({error}). Quote cells that hold commas, quotes or line breaks."
        ) from error
    header = [name.strip() for name in header]
    twice = sorted(name for name, n in Counter(header).items() if n > 1)
    if twice:
        raise DataError(
            f"{path}: expected columns of different names, got {', '.join(twice)} more than once. "
            "Rename or remove one."
        )
    rows, problems = {}, []
    for number, line in enumerate(cells, 1):
        row = dict(zip(header, line, strict=False))
        if len(line) != len(header):
            phrase = (
                f"expected {len(header)} cells as in the header, got {len(line)}. "
                "Quote cells that hold commas."
            )
            problems.append(row_problem(path, number, row_id(row), phrase))
        else:
            rows[number] = row
    return rows, problems


def _from_json_lines(path: str | Path, data: bytes) -> Rows:
    rows, problems = {}, []
    lines = [line for line in _decoded(path, data).splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            fault = "" if isinstance(row, dict) else f"a {type(row).__name__}"
        except json.JSONDecodeError as error:
            fault = f"text that is no JSON ({error})"
        if fault:
            phrase = f"expected a JSON object in one line, got {fault}. Write one object per line."
            problems.append(row_problem(path, number, "", phrase))
        else:
            rows[number] = row
    return rows, problems


def _decoded(path: str | Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got other bytes at {error.start}. Save it as UTF-8."
        ) from error


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
        try:
            columns[name] = pyarrow.array([row.get(name) for row in rows])
        except pyarrow.ArrowException as error:
            raise DataError(
                f"{path}: expected one kind of value in the extra column '{name}', got a mixture "
                f"({error}). Make them all text, or write .jsonl."
            ) from error
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


def _without_none(values: Mapping[str, Any]) -> Row:
    return {name: value for name, value in values.items() if value is not None}


def _kind(path: str | Path) -> tuple[Read, Write]:
    """How the kind of table that a suffix names is read and written."""
    kinds: dict[str, tuple[Read, Write]] = {
        ".parquet": (_from_parquet, _to_parquet),
        ".csv": (_from_csv, _to_csv),
        ".jsonl": (_from_json_lines, _to_json_lines),
    }
    suffix = suffix_of(path)
    if suffix not in kinds:
        near = unknown("kind of manifest", suffix or "without suffix", list(kinds))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    return kinds[suffix]
