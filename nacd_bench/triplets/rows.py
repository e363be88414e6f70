"""A row of any table (text from CSV, typed values from Parquet and JSON) to a TripletRecord."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from nacd_bench.registry import unknown
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.record import ROLES, Box, Label, TripletRecord, contradictions
from nacd_bench.triplets.text_files import load_json

PATHS = ROLES
RATES = ("neural_bpp", "traditional_bpp")
COLUMNS = tuple(
    column.name for column in fields(TripletRecord) if column.name not in ("extra", "row")
)
"""The columns of a manifest, in order; the schema version comes before them."""
VERSION_COLUMN = "schema_version"
BOX_FORMATS = {"xywh": "x, y, w, h", "corners": "x0, y0, x1, y1"}
"""What four numbers may be."""
LARGEST = 2**53
"""Whole numbers up to this one are the same in every kind of table."""
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class RowError(ValueError):
    """Values that cannot be read: for each what was expected, what came, what to do."""

    def __init__(self, *phrases: str) -> None:
        super().__init__(" ".join(phrases))
        self.phrases = phrases


def read_row(
    row: Mapping[str, Any], number: int, resolve: Callable[[str], str]
) -> tuple[TripletRecord | None, list[str]]:
    """The record of a row, or None with everything that is wrong with the row.

    Args:
        row: values by column; None, ``""`` and NaN are missing values.
        number: the row's place, from 1.
        resolve: makes a path of the table one that can be opened.
    """
    values, wrong = read_cells(row, _COLUMN_READERS)
    for name in PATHS:
        if values[name] is None:
            wrong.append(f"{name}: expected the path of a file, got nothing. Fill the cell.")
        else:
            values[name] = resolve(values[name])
    values["extra"] = {
        name: cell
        for name, cell in row.items()
        if name not in COLUMNS and name != VERSION_COLUMN and not is_missing(cell)
    }
    values["id"] = row_id(row)
    values["artifact_free"] = values["artifact_free"] or None
    values["labels"] = values["labels"] or ()
    record = TripletRecord(**values, row=number)
    wrong.extend(contradictions(record))
    return (None if wrong else record), wrong


def row_id(row: Mapping[str, Any]) -> str:
    """The id of a row: its own, else the stem of its original."""
    if not is_missing(row.get("id")):
        return _name(row["id"])
    original = row.get("original")
    return "" if is_missing(original) else stem(text(original))


def stem(path: str) -> str:
    """The name of a file without its folder and suffix, composed (NFC): it becomes an id.

    >>> stem("s3://bucket/orig/kodim01.png")
    'kodim01'
    """
    name = composed(path.replace("\\", "/").rsplit("/", 1)[-1])
    return name.rpartition(".")[0] or name


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, blank text or NaN."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(value: Any) -> str:
    """A cell as text; a whole number without a decimal point.

    >>> text(37.0), text("  012 "), text(0.25)
    ('37', '012', '0.25')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def finite_number(value: Any) -> float | None:
    """A cell as a number; None for anything else, what is not finite included.

    >>> finite_number(" 0.5"), finite_number("inf"), finite_number(True)
    (0.5, None, None)
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def shortened(value: Any) -> str:
    """A value for a message, in at most 60 characters."""
    try:
        shown = repr(value)
    except ValueError:  # more digits than Python prints
        shown = "a number of thousands of digits"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def read_cells(
    cells: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The values of some columns, None where missing or wrong, and what is wrong with them."""
    values: dict[str, Any] = dict.fromkeys(readers)
    wrong: list[str] = []
    for name, read in readers.items():
        cell = cells.get(name)
        try:
            if not is_missing(cell):
                values[name] = read(cell)
        except RowError as error:
            wrong.extend(f"{name}: {phrase}" for phrase in error.phrases)
    return values, wrong


def _name(value: Any) -> str:
    return composed(text(value))


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise RowError(f"expected a list of names, got {shortened(value)}. Correct it.")
    return tuple(map(_name, value))


def _rate(value: Any) -> float | None:
    if text(value).lower() == "nan":  # as NumPy writes what is missing
        return None
    return read_number(value, "a positive number of bits per pixel")


def read_number(value: Any, what: str = "a number") -> float:
    """A cell as a finite number; :class:`RowError` for anything else."""
    number = finite_number(value)
    if number is None:
        raise RowError(f"expected {what}, got {shortened(value)}. Correct it or leave it empty.")
    return number


def _whole(value: Any, what: str = "a whole number of votes") -> int:
    number = read_number(value, what)
    if not number.is_integer() or abs(number) > LARGEST:
        remedy = "Correct it or leave it empty" if number.is_integer() else "Round it"
        raise RowError(f"expected {what}, got {shortened(value)}. {remedy}.")
    return int(number)


def _flag(value: Any) -> bool:
    flag = _FLAGS.get(text(value).lower())
    if flag is None:
        got = shortened(value)
        raise RowError(f"expected true or false, got {got}. Correct it or leave it empty.")
    return flag


def _box(value: Any) -> Box:
    what = "four whole numbers [x0, y0, x1, y1]"
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise RowError(f"expected {what}, got {shortened(value)}. Correct it or leave it out.")
    x0, y0, x1, y1 = (_whole(number, what) for number in value)
    return x0, y0, x1, y1


def _labels(value: Any) -> tuple[Label, ...]:
    if isinstance(value, str):
        try:
            value = load_json(value)
        except ValueError as error:
            raise RowError(
                'expected a JSON list such as [{"artifact_type": "text", "box": [0, 0, 9, 9]}], '
                f"got text that is no JSON ({error}). Quote the cell as CSV asks."
            ) from None
    if not isinstance(value, list) or not all(isinstance(label, Mapping) for label in value):
        raise RowError(
            f"expected a list of labels, got {shortened(value)}. Put it in square brackets."
        )
    labels: list[Label] = []
    wrong: list[str] = []
    for number, cells in enumerate(value, 1):
        values, faults = read_cells(cells, _LABEL_READERS)
        given = {"artifact_type": values["artifact_type"] or ""}
        given["detectors"] = values["detectors"] or ()
        labels.append(Label(**{**values, **given}))
        strangers = [str(name) for name in cells if name not in _LABEL_READERS]
        faults = [unknown("field", name, list(_LABEL_READERS)) for name in strangers] + faults
        wrong += [f"label {number}: {fault}" for fault in faults]
    if wrong:
        raise RowError(*wrong)
    return tuple(labels)


_LABEL_READERS: dict[str, Callable[[Any], Any]] = {
    "artifact_type": text,
    "box": _box,
    "votes_for": _whole,
    "votes_against": _whole,
    "confirmed": _flag,
    "detectors": _names,
}
_COLUMN_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(COLUMNS, _name),
    **dict.fromkeys(PATHS, text),
    **dict.fromkeys(RATES, _rate),
    "artifact_free": _flag,
    "labels": _labels,
}


def read_box(cell: Any, form: str) -> list[int] | None:
    """A box as corners in whole pixels, grown to hold the given one; None for an empty one.

    Args:
        cell: a list of four numbers, or text with them.
        form: one of :data:`BOX_FORMATS`.

    Raises:
        RowError: no box.

    >>> read_box("(10, 20.5, 50, 30)", "xywh")
    [10, 20, 60, 51]
    """
    parts = re.split(r"[\s,;]+", cell.strip("[](){} ")) if isinstance(cell, str) else cell
    if isinstance(parts, list) and all(map(is_missing, parts)):
        return None
    numbers = [finite_number(part) for part in parts] if isinstance(parts, list) else []
    if len(numbers) != 4 or None in numbers:
        raise RowError(
            f"expected four numbers {BOX_FORMATS[form]}, got {shortened(cell)}. "
            "Correct or empty it; of an object map the four values, as [box.x, box.y, ...]."
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
