"""A row of any table (text from CSV, typed values from Parquet and JSON) to a TripletRecord."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from nacd_bench.registry import unknown
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.record import Box, Label, TripletRecord, contradictions
from nacd_bench.triplets.text_files import load_json

T = TypeVar("T")

PATHS = ROLES
RATES = ("neural_bpp", "traditional_bpp")
TEXTS = (
    "source",
    "neural_codec",
    "neural_version",
    "neural_point",
    "traditional_codec",
    "traditional_version",
    "traditional_point",
)
COLUMNS = tuple(each.name for each in fields(TripletRecord) if each.name not in ("extra", "row"))
"""The columns of a manifest, in order; the schema version comes before them."""
VERSION_COLUMN = "schema_version"
LARGEST = 2**53
"""Whole numbers up to this one are the same in every kind of table."""
LABEL_FIELDS = tuple(each.name for each in fields(Label))


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
    values: dict[str, Any] = {}
    wrong: list[str] = []

    def take(name: str, convert: Callable[[Any], Any]) -> None:
        cell = row.get(name)
        values[name] = None
        try:
            if not is_missing(cell):
                values[name] = convert(cell)
        except RowError as error:
            wrong.extend(f"{name}: {phrase}" for phrase in error.phrases)

    for name in TEXTS:
        take(name, lambda cell: composed(text(cell)))
    for name in RATES:
        take(name, _rate)
    take("artifact_free", _flag)
    take("labels", _labels)
    for name in PATHS:
        take(name, text)
        if values[name] is None:
            wrong.append(f"{name}: expected the path of a file, got nothing. Fill the cell.")
        else:
            values[name] = resolve(values[name])
    extra = {
        name: cell
        for name, cell in row.items()
        if name not in COLUMNS and name != VERSION_COLUMN and not is_missing(cell)
    }
    values["id"] = row_id(row)
    values["artifact_free"] = values["artifact_free"] or None
    values["labels"] = values["labels"] or ()
    record = TripletRecord(**values, extra=extra, row=number)
    wrong.extend(contradictions(record))
    return (None if wrong else record), wrong


def row_id(row: Mapping[str, Any]) -> str:
    """The id of a row: its own, else the stem of its original."""
    named, original = row.get("id"), row.get("original")
    if not is_missing(named):
        return composed(text(named))
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


def _rate(value: Any) -> float | None:
    rate = _number(value, "a positive number of bits per pixel")
    return None if math.isnan(rate) else rate


def _number(value: Any, what: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise RowError(
            f"expected {what}, got {shortened(value)}. Correct it or leave it empty."
        ) from None


def _whole(value: Any, what: str) -> int:
    number = _number(value, what)
    if not number.is_integer():
        raise RowError(f"expected {what}, got {shortened(value)}. Round it.")
    if abs(number) > LARGEST:
        raise RowError(f"expected {what}, got {shortened(value)}. Correct it or leave it empty.")
    return int(number)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    flag = known.get(text(value).lower())
    if flag is None:
        raise RowError(
            f"expected true or false, got {shortened(value)}. Correct it or leave it empty."
        )
    return flag


def _labels(value: Any) -> tuple[Label, ...]:
    if isinstance(value, str):
        try:
            value = load_json(value)
        except ValueError as error:
            raise RowError(
                'expected a JSON list such as [{"artifact_type": "text", "box": [0, 0, 9, 9]}], '
                f"got text that is no JSON ({error}). Quote the cell as CSV asks."
            ) from None
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise RowError(
            f"expected a list of labels, got {shortened(value)}. Put it in square brackets."
        )
    labels: list[Label] = []
    wrong: list[str] = []
    for number, each in enumerate(value, 1):
        try:
            labels.append(_label(each))
        except RowError as error:
            wrong.extend(f"label {number}: {phrase}" for phrase in error.phrases)
    if wrong:
        raise RowError(*wrong)
    return tuple(labels)


def _label(value: Mapping[str, Any]) -> Label:
    wrong = [
        unknown("field", str(name), list(LABEL_FIELDS))
        for name in value
        if name not in LABEL_FIELDS
    ]

    def take(name: str, convert: Callable[[Any], T]) -> T | None:
        cell = value.get(name)
        try:
            return None if is_missing(cell) else convert(cell)
        except RowError as error:
            wrong.extend(f"{name}: {phrase}" for phrase in error.phrases)
            return None

    label = Label(
        artifact_type=take("artifact_type", text) or "",
        box=take("box", _box),
        votes_for=take("votes_for", _votes),
        votes_against=take("votes_against", _votes),
        confirmed=take("confirmed", _flag),
    )
    if wrong:
        raise RowError(*wrong)
    return label


def _votes(value: Any) -> int:
    return _whole(value, "a whole number of votes")


def _box(value: Any) -> Box:
    what = "four whole numbers [x0, y0, x1, y1]"
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise RowError(f"expected {what}, got {shortened(value)}. Correct it or leave it out.")
    x0, y0, x1, y1 = (_whole(each, what) for each in value)
    return x0, y0, x1, y1


def shortened(value: Any) -> str:
    """A value for a message, in at most 60 characters."""
    try:
        shown = repr(value)
    except ValueError:  # more digits than Python prints
        shown = "a number of thousands of digits"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
