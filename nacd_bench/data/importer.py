"""Foreign tables of labelled triplets (CSV, JSON, JSON Lines) to records, by a mapping in YAML.

The mapping says which of their columns is what; everything but the three paths may be left out::

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
    box: xywh                     # or corners: x0, y0, x1, y1
    types: {tex: texture, colour: color, none: free}   # theirs: ours; free: no artifact
    values: {neural_codec: JPEG AI}     # the same in all rows
    root: images                  # where paths begin, seen from the table's folder
    rows: annotations.items       # JSON: the list inside the file
    delimiter: ";"                # CSV; a comma by default

Every column of a manifest can be named (``neural_bpp``, ``votes_for``, ``confirmed``,
``artifact_free``, ...). A row is one artifact: rows of one id become one triplet with several
labels and must agree on the rest. JSON may be a list of objects, an object of them (its keys are
the column ``$key``), or an object of lists of them; ``a.b`` names a value inside another.
Columns that are not named are left out. What a manifest has no field for goes to extra columns:
``confidence`` (the largest), ``confidences`` (JSON, in the order of the labels, where there are
several), ``quality``, ``target_bpp``, ``preset``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.data.files import is_url, read_bytes
from nacd_bench.data.foreign import Rows, foreign_rows, value_at
from nacd_bench.data.manifest import resolved
from nacd_bench.data.record import ARTIFACT_TYPES, TripletRecord, contradictions
from nacd_bench.data.rows import COLUMNS, PATHS, is_missing, read_row, stem, text
from nacd_bench.errors import DataError
from nacd_bench.registry import unknown

QUALITIES = ("006", "012", "025", "050", "075")
"""The rates of the JPEG AI common test conditions, 100 x bits per pixel."""
FREE = "free"
LABEL_COLUMNS = ("artifact_type", "box", "confidence", "votes_for", "votes_against", "confirmed")
OTHER_COLUMNS = ("quality", "version", "preset")
TARGETS = (*(name for name in COLUMNS if name != "labels"), *LABEL_COLUMNS, *OTHER_COLUMNS)
"""What a column can be mapped to."""
BOX_FORMATS = ("xywh", "corners")


@dataclass(frozen=True)
class Mapped:
    """A mapping, checked; the module's docstring has its fields."""

    columns: Mapping[str, Any]
    box: str = "xywh"
    types: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    root: str | None = None
    rows: str | None = None
    delimiter: str = ","


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
    rows, wrong = foreign_rows(path, mapped.rows, mapped.delimiter)
    _require_columns(path, mapped, rows)
    base = resolved(mapped.root, _folder(path)) if mapped.root else _folder(path)
    imported: dict[str, _Triplet] = {}
    for place, row in rows:
        found, faults = _read(row, mapped, partial(resolved, base=base))
        if found is not None and not faults:
            earlier = imported.setdefault(found.record.id, replace(found, place=place))
            if earlier.place != place:
                faults = earlier.differences(found)
                if not faults:
                    imported[found.record.id] = earlier.joined(found)
        wrong += [f"{path} {place}: {fault}" for fault in faults]
    records = [each.finished(i) for i, each in enumerate(imported.values(), 1)]
    for each, record in zip(imported.values(), records, strict=True):
        wrong += [f"{path} {each.place}: {phrase}" for phrase in contradictions(record)]
        if record.artifact_free and any(label.confirmed is None for label in record.labels):
            wrong.append(
                f"{path} {each.place}: expected id '{record.id}' to be free of artifacts or to "
                "have some, got rows that say either. Correct one."
            )
    if wrong:
        raise DataError(
            f"{path}: expected rows without fault, got {len(wrong)} "
            f"problem{'s' if len(wrong) > 1 else ''}:\n" + "\n".join(wrong)
        )
    return records


def read_mapping(mapping: str | Path | Mapping[str, Any]) -> Mapped:
    """A mapping from its YAML file or content.

    Raises:
        DataError: not YAML; everything in it that is unknown, missing or contradictory.
    """
    where = "mapping" if isinstance(mapping, Mapping) else str(mapping)
    content: Any = mapping
    if not isinstance(mapping, Mapping):
        import yaml

        try:
            content = yaml.safe_load(read_bytes(mapping, "a mapping in YAML", DataError))
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise DataError(f"{where}: expected YAML, got a fault ({line}). Correct it.") from error
    if not isinstance(content, Mapping):
        raise DataError(
            f"{where}: expected fields such as columns and types, got "
            f"{type(content).__name__}. See nacd_bench.data.importer for an example."
        )
    wrong = list(_mapping_faults(content))
    if wrong:
        raise DataError("\n".join(f"{where}: {each}" for each in wrong))
    given = {name: value for name, value in content.items() if value is not None}
    for name in ("types", "values"):
        given[name] = {str(k): v for k, v in given.get(name, {}).items()}
    return Mapped(**given)


def _mapping_faults(content: Mapping[str, Any]) -> Iterator[str]:
    known = [each.name for each in fields(Mapped)]
    for name in content:
        if name not in known:
            yield unknown("field", str(name), known)
    kinds = {"columns": Mapping, "types": Mapping, "values": Mapping}
    for name in known:
        kind: type = kinds.get(name, str)
        value = content.get(name)
        if value is not None and not isinstance(value, kind):
            what = "names with values" if kind is Mapping else "text"
            yield f"{name}: expected {what}, got {value!r}. Correct it."
            return
    columns, values = content.get("columns") or {}, content.get("values") or {}
    for name in (*columns, *values):
        if name not in TARGETS:
            yield unknown("column", str(name), list(TARGETS))
    for name in ("box", "confidence", "quality"):
        if name in values:
            yield f"values: expected what all rows share, got {name}. Map it to a column."
    for name in sorted(set(columns) & set(values)):
        yield f"{name}: expected it in columns or in values, got both. Remove one."
    missing = [name for name in PATHS if name not in columns and name not in values]
    if missing:
        yield f"columns: expected {', '.join(PATHS)}, got no {', '.join(missing)}. Add them."
    if content.get("box", "xywh") not in BOX_FORMATS:
        yield f"{unknown('box format', str(content['box']), list(BOX_FORMATS))}"
    if len(content.get("delimiter") or ",") != 1:
        yield f"delimiter: expected one character, got {content['delimiter']!r}. Correct it."
    for theirs, ours in (content.get("types") or {}).items():
        if ours not in (*ARTIFACT_TYPES, FREE):
            yield f"types, {theirs}: " + unknown("type", str(ours), [*ARTIFACT_TYPES, FREE])
    for name, column in columns.items():
        if isinstance(column, str) or (
            name == "box"
            and isinstance(column, Sequence)
            and len(column) == 4
            and all(isinstance(each, str) for each in column)
        ):
            continue
        what = "a column or a list of four" if name == "box" else "the name of a column"
        yield f"columns, {name}: expected {what}, got {column!r}. Correct it."


def _require_columns(path: str | Path, mapped: Mapped, rows: Rows) -> None:
    """Refuse a mapping whose columns are in no row: it is the mapping's fault, not the rows'."""
    wanted: dict[str, str] = {}
    for target, column in mapped.columns.items():
        several = [column] if isinstance(column, str) else column
        for each in several:
            is_template = "{" in each and target != "box"
            wanted.update(dict.fromkeys(_holes(each) if is_template else [each], target))
    absent = {
        column: target
        for column, target in wanted.items()
        if not any(_has(row, column) for _, row in rows)
    }
    if absent and rows:
        known = list(dict.fromkeys(str(name) for _, row in rows for name in row))
        raise DataError(
            "\n".join(
                f"{path}: columns, {target}: {unknown('column', column, known)}"
                for column, target in absent.items()
            )
        )


@dataclass(frozen=True)
class _Triplet:
    """A record with the confidence of each label; grows as rows of the same id are met."""

    record: TripletRecord
    confidences: tuple[float | None, ...] = ()
    place: str = ""

    def differences(self, other: _Triplet) -> list[str]:
        """Where another row of the same id says something else about the triplet."""
        names = [name for name in COLUMNS if name not in ("labels", "artifact_free")]
        pairs = [(n, getattr(self.record, n), getattr(other.record, n)) for n in names]
        extras = {**self.record.extra, **other.record.extra}
        pairs += [(n, self.record.extra.get(n), other.record.extra.get(n)) for n in extras]
        return [
            f"expected the same {name} as in {self.place} for id '{self.record.id}', got {got!r} "
            f"and {had!r}. Correct it, or map id so that they differ."
            for name, had, got in pairs
            if had != got
        ]

    def joined(self, other: _Triplet) -> _Triplet:
        record = replace(
            self.record,
            labels=self.record.labels + other.record.labels,
            artifact_free=self.record.artifact_free or other.record.artifact_free,
        )
        return replace(self, record=record, confidences=self.confidences + other.confidences)

    def finished(self, number: int) -> TripletRecord:
        extra = dict(self.record.extra)
        known = [each for each in self.confidences if each is not None]
        if known:
            extra["confidence"] = max(known)
        if known and len(self.confidences) > 1:
            extra["confidences"] = json.dumps(self.confidences)
        return replace(self.record, extra=extra, row=number)


def _read(
    row: Mapping[str, Any], mapped: Mapped, resolve: Callable[[str], str]
) -> tuple[_Triplet | None, list[str]]:
    """One foreign row as a triplet with at most one label, and what is wrong with it."""
    wrong: list[str] = []

    def cell(target: str) -> Any:
        if target in mapped.values:
            return mapped.values[target]
        column = mapped.columns.get(target)
        if column is None:
            return None
        if "{" in column:
            empty = [name for name in _holes(column) if is_missing(value_at(row, name))]
            if empty:
                wrong.append(
                    f"{target}: expected a value in the column {', '.join(empty)} for "
                    f"'{column}', got nothing. Fill it."
                )
                return None
            return _HOLE.sub(lambda hole: text(value_at(row, hole[1])), column)
        return value_at(row, column)

    ours: dict[str, Any] = {name: cell(name) for name in COLUMNS if name != "labels"}
    extra: dict[str, Any] = {}
    if not is_missing(preset := cell("preset")):
        extra["preset"] = text(preset)
    if is_missing(ours["neural_version"]):
        ours["neural_version"] = cell("version")
    if not is_missing(given := cell("quality")):
        quality = _quality(given)
        if quality is None:
            wrong.append(
                f"quality: expected one of {', '.join(QUALITIES)}, got {given!r}. Correct it, or "
                "map the column to neural_point."
            )
        else:
            extra |= {"quality": quality, "target_bpp": int(quality) / 100}
            if is_missing(ours["neural_point"]):
                ours["neural_point"] = quality
    label, confidence, is_free = _label(row, mapped, cell, wrong)
    if is_free:
        ours["artifact_free"] = True
    if label is not None:
        ours["labels"] = [label]
    if is_missing(ours["id"]) and not is_missing(ours["original"]):
        point = ours["neural_point"]
        suffix = "" if is_missing(point) else f"@{text(point)}"
        ours["id"] = stem(text(ours["original"])) + suffix
    # a path whose template could not be filled has been named already, and gives no id
    named_already = ("expected the path of a file, got nothing", "expected an id") if wrong else ()
    record, phrases = read_row(ours, 0, resolve)
    wrong += [each for each in phrases if not any(part in each for part in named_already)]
    if record is None or wrong:
        return None, wrong
    confidences = () if label is None else (confidence,)
    return _Triplet(replace(record, extra=extra, row=None), confidences), []


def _label(
    row: Mapping[str, Any], mapped: Mapped, cell: Callable[[str], Any], wrong: list[str]
) -> tuple[dict[str, Any] | None, float | None, bool]:
    """The label of a row as a manifest has it, its confidence, and whether the type is ``free``."""
    named = cell("artifact_type")
    kind = ""
    if not is_missing(named):
        theirs = text(named)
        kind = mapped.types.get(theirs, theirs)
        if kind not in (*ARTIFACT_TYPES, FREE):
            known = [*ARTIFACT_TYPES, FREE, *mapped.types]
            wrong.append(unknown("type", theirs, list(dict.fromkeys(known))) + ". Add it to types.")
    box = _box(row, mapped, wrong)
    confidence = None
    if not is_missing(given := cell("confidence")):
        confidence = _number(given)
        if confidence is None:
            wrong.append(f"confidence: expected a number, got {given!r}. Correct or empty it.")
    if kind in ("", FREE):
        if box is not None:
            wrong.append(
                f"box: expected a type beside a box, got {text(named) if kind else 'nothing'} and "
                f"{box}. Fill in the type or empty the box."
            )
        return None, None, kind == FREE
    if kind not in ARTIFACT_TYPES:
        return None, None, False
    label = {name: cell(name) for name in ("votes_for", "votes_against", "confirmed")}
    return {"artifact_type": kind, "box": box, **label}, confidence, False


def _box(row: Mapping[str, Any], mapped: Mapped, wrong: list[str]) -> list[int] | None:
    """A box as corners in whole pixels, grown to hold the given one."""
    column = mapped.columns.get("box")
    if column is None:
        return None
    given: Any = value_at(row, column) if isinstance(column, str) else None
    if not isinstance(column, str):
        given = [value_at(row, each) for each in column]
        if all(is_missing(each) for each in given):
            return None
    if given is None or given == [] or (isinstance(given, str) and is_missing(given)):
        return None
    numbers = _numbers(given)
    names = "x, y, w, h" if mapped.box == "xywh" else "x0, y0, x1, y1"
    if numbers is None:
        wrong.append(f"box: expected four numbers {names}, got {given!r}. Correct or empty it.")
        return None
    x, y, right, bottom = numbers
    if mapped.box == "xywh":
        if right <= 0 or bottom <= 0:
            wrong.append(
                f"box: expected a width and a height above 0, got {given!r}. Correct it, or set "
                "box: corners in the mapping."
            )
            return None
        right, bottom = x + right, y + bottom
    if 0 < right - x < 1 and 0 < bottom - y < 1:
        wrong.append(
            f"box: expected pixels, got {given!r}, smaller than one. Multiply fractions by the "
            "width and height of the image."
        )
        return None
    return [math.floor(x), math.floor(y), math.ceil(right), math.ceil(bottom)]


def _numbers(value: Any) -> list[float] | None:
    """Four finite numbers from a list, an object's values, or text such as ``"[1, 2, 3, 4]"``."""
    if isinstance(value, str):
        value = [each for each in re.split(r"[\s,;]+", value.strip("[](){} ")) if each]
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [_number(each) for each in value]
    return None if None in numbers else [each for each in numbers if each is not None]


def _number(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _quality(value: Any) -> str | None:
    """One of :data:`QUALITIES` from ``"012"``, ``12`` or ``0.12``.

    >>> _quality("012"), _quality(6), _quality("0.25"), _quality(60)
    ('012', '006', '025', None)
    """
    number = _number(value)
    if number is None:
        return None
    hundredths = round(number * 100, 6) if 0 < number < 1 else number
    code = f"{int(hundredths):03d}" if float(hundredths).is_integer() else ""
    return code if code in QUALITIES else None


_HOLE = re.compile(r"\{([^{}]+)\}")


def _holes(template: str) -> list[str]:
    return _HOLE.findall(template)


def _has(row: Any, column: str) -> bool:
    return column in row or ("." in column and value_at(row, column) is not None)


def _folder(path: str | Path) -> str:
    return str(path).rpartition("/")[0] if is_url(path) else str(Path(path).parent)
