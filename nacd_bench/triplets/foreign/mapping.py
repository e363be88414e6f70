"""The mapping of ``nacd-bench import``: which column of somebody else's table is what.

In YAML; everything but the three paths may be left out::

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
    delimiter: ";"                # CSV; the one of the header by default

Every column of a manifest can be named (``neural_bpp``, ``votes_for``, ``confirmed``,
``artifact_free``, ...). A row is one artifact: rows of one id become one triplet with several
labels and must agree on the rest. JSON may be a list of objects, an object of them (its keys are
the column ``$key``), or an object of lists of them; ``a.b`` names a value inside another.
Columns that are not named are left out. What a manifest has no field for goes to extra columns:
``confidence`` (the largest), ``confidences`` (JSON, in the order of the labels, where there are
several), ``quality``, ``target_bpp``, ``preset``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.foreign.boxes import BOX_FORMATS, layout_of
from nacd_bench.triplets.foreign.rows import value_at
from nacd_bench.triplets.record import ARTIFACT_TYPES
from nacd_bench.triplets.rows import COLUMNS, PATHS, RowError, is_missing, text
from nacd_bench.triplets.text_files import read_yaml

FREE = "free"
LABEL_COLUMNS = ("artifact_type", "box", "confidence", "votes_for", "votes_against", "confirmed")
OTHER_COLUMNS = ("quality", "version", "preset")
TARGETS = (*(name for name in COLUMNS if name != "labels"), *LABEL_COLUMNS, *OTHER_COLUMNS)
"""What a column can be mapped to."""
_HOLE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Mapped:
    """A mapping, checked; the module's docstring has its fields."""

    columns: Mapping[str, Any]
    box: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    root: str | None = None
    rows: str | None = None
    delimiter: str | None = None

    def cell(self, row: Mapping[str, Any], target: str) -> Any:
        """What a row has for one of ours; None where nothing is mapped.

        Raises:
            RowError: a template with an empty column.
        """
        column = self.values.get(target, self.columns.get(target))
        if target in self.values or column is None:
            return column
        if not isinstance(column, str):
            return self._cells(row, column)
        if target == "box" or "{" not in column:
            return value_at(row, column)
        empty = [name for name in _HOLE.findall(column) if is_missing(value_at(row, name))]
        if empty:
            raise RowError(
                f"{target}: expected a value in the column {', '.join(empty)} for '{column}', got "
                "nothing. Fill it."
            )
        return _HOLE.sub(lambda hole: text(value_at(row, hole[1])), column)

    def _cells(self, row: Mapping[str, Any], columns: Sequence[str]) -> Any:
        """The four columns of a box: by the names that are known, else in their order."""
        values = [value_at(row, each) for each in columns]
        if all(map(is_missing, values)):
            return None
        names = [each.rpartition(".")[2] for each in columns]
        return dict(zip(names, values, strict=True)) if layout_of(names) else values

    @property
    def named(self) -> dict[str, str]:
        """The columns that are named, each with what it is for."""
        found: dict[str, str] = {}
        for target, column in self.columns.items():
            several = [column] if isinstance(column, str) else column
            for each in several:
                holes = _HOLE.findall(each) if target != "box" else []
                found.update(dict.fromkeys(holes or [each], target))
        return found


def read_mapping(mapping: str | Path | Mapping[str, Any]) -> Mapped:
    """A mapping from its YAML file or content.

    Raises:
        DataError: not YAML; everything in it that is unknown, missing or contradictory.
    """
    where, content = "mapping", mapping
    if not isinstance(mapping, Mapping):
        where, content = str(mapping), read_yaml(mapping, "a mapping")
    if not isinstance(content, Mapping):
        raise DataError(
            f"{where}: expected fields such as columns and types, got "
            f"{type(content).__name__}. See nacd_bench.triplets.foreign.mapping for an example."
        )
    wrong = list(_kind_faults(content)) or [*_column_faults(content), *_value_faults(content)]
    if wrong:
        raise DataError("\n".join(f"{where}: {each}" for each in wrong))
    given = {name: value for name, value in content.items() if value is not None}
    for name in ("types", "values"):
        given[name] = {str(k): v for k, v in given.get(name, {}).items()}
    return Mapped(**given)


def _kind_faults(content: Mapping[str, Any]) -> Iterator[str]:
    """Fields that are unknown or of another kind."""
    names = [each.name for each in fields(Mapped)]
    for name, value in content.items():
        kind = Mapping if name in ("columns", "types", "values") else str
        if name not in names:
            yield unknown("field", str(name), names)
        elif value is not None and not isinstance(value, kind):
            what = "names with values" if kind is Mapping else "text"
            yield f"{name}: expected {what}, got {value!r:.60}. Correct it."


def _column_faults(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with ``columns`` and with what ``values`` has in their place."""
    columns, values = content.get("columns") or {}, content.get("values") or {}
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
        is_list = name == "box" and isinstance(column, list) and len(column) == 4
        if not all(isinstance(each, str) for each in (column if is_list else [column])):
            what = "a column or a list of four" if name == "box" else "the name of a column"
            yield f"columns, {name}: expected {what}, got {column!r:.60}. Correct it."


def _value_faults(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the fields that have a few values."""
    form = content.get("box")
    if form is not None and form not in BOX_FORMATS:
        yield unknown("box format", form, list(BOX_FORMATS))
    if len(content.get("delimiter") or ",") != 1:
        yield f"delimiter: expected one character, got {content['delimiter']!r:.60}. Correct it."
    for theirs, ours in (content.get("types") or {}).items():
        if ours not in (*ARTIFACT_TYPES, FREE):
            yield f"types, {theirs}: " + unknown("type", str(ours), [*ARTIFACT_TYPES, FREE])
