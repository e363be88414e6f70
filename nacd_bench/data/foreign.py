"""Rows of foreign tables (CSV, JSON, JSON Lines), each with its place in the file."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nacd_bench.data.files import read_bytes
from nacd_bench.data.formats import suffix_of
from nacd_bench.errors import DataError
from nacd_bench.registry import unknown

SUFFIXES = (".csv", ".json", ".jsonl")
Rows = list[tuple[str, Mapping[str, Any]]]
"""Each row with its place in the file (``"line 12"``)."""


def foreign_rows(
    path: str | Path, inner: str | None = None, delimiter: str = ","
) -> tuple[Rows, list[str]]:
    """The rows of a table that is not one of ours.

    Args:
        path: a ``.csv``, ``.json`` or ``.jsonl`` file or URL.
        inner: of JSON, the name of the list (``a.b``: inside another). JSON may be a list of
            objects, an object of them (its keys become the column ``$key``), or one of lists.
        delimiter: of CSV.

    Returns:
        The rows that can be read, and a line for each that cannot.

    Raises:
        DataError: another suffix, no rows, or not a file of its kind at all.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        near = unknown("kind of table", suffix or "without suffix", list(SUFFIXES))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    data = read_bytes(path, "a table of labels", DataError)
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got other bytes at {error.start}. Save it as UTF-8."
        ) from error
    if suffix == ".csv":
        rows, wrong = _from_csv(path, content, delimiter)
    elif suffix == ".json":
        rows, wrong = _from_json(path, content, inner), []
    else:
        rows, wrong = _from_json_lines(path, content)
    if not rows and not wrong:
        raise DataError(f"{path}: expected at least one row, got none. Name another file.")
    return rows, wrong


def _from_csv(path: str | Path, content: str, delimiter: str) -> tuple[Rows, list[str]]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    rows: Rows = []
    wrong: list[str] = []
    header: list[str] = []
    begins = 1
    try:
        for cells in reader:
            place, begins = f"line {begins}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                twice = [name for name, k in Counter(header).items() if name and k > 1]
                if twice:
                    wrong.append(
                        f"{path} {place}: expected columns of different names, got "
                        f"{', '.join(twice)} more than once. Rename one."
                    )
            elif len(cells) != len(header):
                wrong.append(
                    f"{path} {place}: expected {len(header)} cells as in the header, got "
                    f"{len(cells)}. Quote cells that hold {delimiter!r}."
                )
            else:
                rows.append((place, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        wrong.append(
            f"{path} line {reader.line_num}: expected separated values, got a fault ({error}). "
            "Quote cells that hold quotes or line breaks."
        )
    return rows, wrong


def _from_json_lines(path: str | Path, content: str) -> tuple[Rows, list[str]]:
    rows: Rows = []
    wrong = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            fault = "" if isinstance(row, Mapping) else f"a {type(row).__name__}"
        except json.JSONDecodeError as error:
            row, fault = {}, f"text that is no JSON ({error})"
        if fault:
            wrong.append(
                f"{path} line {number}: expected a JSON object, got {fault}. "
                "Write one object per line."
            )
        else:
            rows.append((f"line {number}", row))
    return rows, wrong


def _from_json(path: str | Path, content: str, name: str | None) -> Rows:
    try:
        found = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} line {error.lineno}: expected JSON, got a fault ({error.msg}). Correct it."
        ) from error
    if name:
        found = value_at(found, name) if isinstance(found, Mapping) else None
    rows: Rows = []
    if isinstance(found, Mapping):
        for key, held in found.items():
            several = held if isinstance(held, list) else [held]
            for number, each in enumerate(several, 1):
                place = f"'{key}'" + (f" item {number}" if isinstance(held, list) else "")
                rows.append((place, {"$key": key, **each} if _is_row(each) else each))
    elif isinstance(found, list):
        rows = [(f"item {number}", each) for number, each in enumerate(found, 1)]
    if found is None or not all(_is_row(each) for _, each in rows):
        odd = next((place for place, each in rows if not _is_row(each)), "its content")
        raise DataError(
            f"{path}: expected a list of objects{f' at {name!r}' if name else ''}, "
            f"got something else at {odd}. Name the list by rows: in the mapping."
        )
    return rows


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping)


def value_at(row: Any, column: str) -> Any:
    """A value by the name of its column, or by ``a.b`` inside another; None where there is none."""
    if isinstance(row, Mapping) and column in row:
        return row[column]
    for name in column.split("."):
        if not isinstance(row, Mapping) or name not in row:
            return None
        row = row[name]
    return row
