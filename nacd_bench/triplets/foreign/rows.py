"""Rows of foreign tables (CSV, JSON, JSON Lines), each with its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.tables import entries
from nacd_bench.triplets.text_files import read_json

SUFFIXES = (".csv", ".json", ".jsonl")
Rows = list[tuple[str, Mapping[str, Any]]]
"""Each row with its place in the file (``"line 12"``)."""


def foreign_rows(
    path: str | Path, inner: str | None = None, separator: str | None = None
) -> tuple[Rows, list[str]]:
    """The rows of a table that is not one of ours.

    Args:
        path: a ``.csv``, ``.json`` or ``.jsonl`` file or URL.
        inner: of JSON, the name of the list (``a.b``: inside another). JSON may be a list of
            objects, an object of them (its keys become the column ``$key``), or one of lists.
        separator: of CSV; that of its header by default.

    Returns:
        The rows that can be read, and a line for each that cannot.

    Raises:
        DataError: another suffix, no rows, or not a file of its kind at all.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        near = unknown("kind of table", suffix or "without suffix", list(SUFFIXES))
        raise DataError(f"{path}: {near}. Rename or convert it.")
    if suffix == ".json":
        rows, wrong = _from_json(path, read_json(path, "a table of labels"), inner), []
    else:
        found = entries(path, "a table of labels", separator)
        rows = [(f"line {each.line}", each.cells) for each in found if not each.fault]
        wrong = [f"{path} line {each.line}: {each.fault}" for each in found if each.fault]
    if not rows and not wrong:
        raise DataError(f"{path}: expected at least one row, got none. Name another file.")
    return rows, wrong


def _from_json(path: str | Path, content: Any, name: str | None) -> Rows:
    found = value_at(content, name) if name else content
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
