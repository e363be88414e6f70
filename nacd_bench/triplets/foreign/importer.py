"""Foreign tables of labelled triplets (CSV, JSON, JSON Lines) to records, by a mapping in YAML.

:mod:`nacd_bench.triplets.foreign.mapping` says what a mapping has. A row is
one artifact: rows of one id become
one triplet with several labels and must agree on the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import is_url
from nacd_bench.triplets.foreign.boxes import read_box
from nacd_bench.triplets.foreign.mapping import FREE, Mapped, read_mapping
from nacd_bench.triplets.foreign.rows import Rows, foreign_rows, value_at
from nacd_bench.triplets.manifest import resolved
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord, contradictions
from nacd_bench.triplets.rows import (
    COLUMNS,
    RowError,
    finite_number,
    is_missing,
    read_row,
    shortened,
    stem,
    text,
)

QUALITIES = ("006", "012", "025", "050", "075")
"""The rates of the JPEG AI common test conditions, 100 x bits per pixel."""


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


def _require_columns(path: str | Path, mapped: Mapped, rows: Rows) -> None:
    """Refuse a mapping whose columns are in no row: it is the mapping's fault, not the rows'."""
    absent = {
        column: target
        for column, target in mapped.named.items()
        if not any(_has(row, column) for _, row in rows)
    }
    if absent and rows:
        names = list(dict.fromkeys(str(name) for _, row in rows for name in row))
        raise DataError(
            "\n".join(
                f"{path}: columns, {target}: {unknown('column', column, names)}"
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
    given = _ForeignRow(row, mapped)
    ours = {name: given.cell(name) for name in COLUMNS if name != "labels"}
    extra = given.extra()
    for name, value in (
        ("neural_version", given.cell("version")),
        ("neural_point", extra.get("quality")),
    ):
        if is_missing(ours[name]):
            ours[name] = value
    kind = given.artifact_type()
    confidence = given.number("confidence")
    label = given.label(kind)
    ours["artifact_free"] = True if kind == FREE else ours["artifact_free"]
    ours["labels"] = [label] if label else None
    if is_missing(ours["id"]) and not is_missing(ours["original"]):
        point = ours["neural_point"]
        suffix = "" if is_missing(point) else f"@{text(point)}"
        ours["id"] = stem(text(ours["original"])) + suffix
    # a path whose template could not be filled has been named already, and gives no id
    named = ("expected the path of a file, got nothing", "expected an id") if given.wrong else ()
    record, phrases = read_row(ours, 0, resolve)
    wrong = [each for each in phrases if not any(part in each for part in named)]
    wrong = list(dict.fromkeys([*given.wrong, *wrong]))  # a cell may be asked for twice
    if record is None or wrong:
        return None, wrong
    confidences = (confidence,) if label else ()
    return _Triplet(replace(record, extra=extra, row=None), confidences), []


@dataclass
class _ForeignRow:
    """A row under our names; what is wrong with it is collected."""

    row: Mapping[str, Any]
    mapped: Mapped
    wrong: list[str] = field(default_factory=list)

    def cell(self, target: str) -> Any:
        """A cell, or None where it is not mapped, empty, or made of an empty one."""
        try:
            return self.mapped.cell(self.row, target)
        except RowError as error:
            self.wrong += error.phrases
            return None

    def number(self, target: str) -> float | None:
        given = self.cell(target)
        if is_missing(given):
            return None
        number = finite_number(given)
        if number is None:
            got = f"got {shortened(given)}. Correct or empty it."
            self.wrong.append(f"{target}: expected a number, {got}")
        return number

    def artifact_type(self) -> str:
        """Our name of the type; ``""`` where there is none or an unknown one."""
        named = self.cell("artifact_type")
        if is_missing(named):
            return ""
        theirs = text(named)
        ours = self.mapped.types.get(theirs, theirs)
        known = (*ARTIFACT_TYPES, FREE)
        if ours in known:
            return ours
        names = list(dict.fromkeys([*known, *self.mapped.types]))
        self.wrong.append(unknown("type", theirs, names) + ". Add it to types.")
        return ""

    def label(self, kind: str) -> dict[str, Any] | None:
        """The label as a manifest has it, None for a row without an artifact."""
        try:
            box = read_box(self.cell("box"), self.mapped.box)
        except RowError as error:
            self.wrong += error.phrases
            box = None
        if kind in ARTIFACT_TYPES:
            votes = {name: self.cell(name) for name in ("votes_for", "votes_against", "confirmed")}
            return {"artifact_type": kind, "box": box, **votes}
        named = self.cell("artifact_type")
        if box is not None and (kind or is_missing(named)):
            self.wrong.append(
                f"box: expected a type beside a box, got {text(named) if kind else 'nothing'} and "
                f"{box}. Fill in the type or empty the box."
            )
        return None

    def extra(self) -> dict[str, Any]:
        """What a manifest has no field for."""
        extra: dict[str, Any] = {}
        if not is_missing(preset := self.cell("preset")):
            extra["preset"] = text(preset)
        if is_missing(given := self.cell("quality")):
            return extra
        quality = _quality(given)
        if quality is None:
            self.wrong.append(
                f"quality: expected one of {', '.join(QUALITIES)}, got {shortened(given)}. Correct "
                "it, or map the column to neural_point."
            )
            return extra
        return extra | {"quality": quality, "target_bpp": int(quality) / 100}


def _quality(value: Any) -> str | None:
    """One of :data:`QUALITIES` from ``"012"``, ``12`` or ``0.12``.

    >>> _quality("012"), _quality(6), _quality("0.25"), _quality(60)
    ('012', '006', '025', None)
    """
    number = finite_number(value)
    if number is None:
        return None
    hundredths = round(number * 100, 6) if 0 < number < 1 else number
    code = f"{int(hundredths):03d}" if float(hundredths).is_integer() else ""
    return code if code in QUALITIES else None


def _has(row: Any, column: str) -> bool:
    return column in row or ("." in column and value_at(row, column) is not None)


def _folder(path: str | Path) -> str:
    return str(path).rpartition("/")[0] if is_url(path) else str(Path(path).parent)
