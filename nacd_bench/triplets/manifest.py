"""Tables of triplets with their labels, as Parquet, CSV or JSON Lines: one reader, one writer.

The three kinds have one schema, the fields of :class:`~nacd_bench.triplets.record.TripletRecord` as
columns. ``labels`` is a list of objects (in CSV: JSON in the cell), paths are relative to the
manifest's folder where the files lie in it, ``schema_version`` says how a row is to be read.
Only the three paths must be there: a missing ``id`` is the stem of the original. Other columns
are kept; in CSV, which has no types, they come back as text.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import (
    as_on_disk,
    csv_bytes,
    file_url,
    is_url,
    writable,
    write_whole,
)
from nacd_bench.triplets.formats import suffix_of
from nacd_bench.triplets.record import TripletRecord, contradictions
from nacd_bench.triplets.rows import (
    COLUMNS,
    PATHS,
    RATES,
    VERSION_COLUMN,
    RowError,
    finite_number,
    is_missing,
    read_row,
    row_id,
)
from nacd_bench.triplets.text_files import TABLE_SUFFIXES, Entry, table_entries

SCHEMA_VERSION = 1
MANIFEST_NAMES = tuple(f"triplets{suffix}" for suffix in TABLE_SUFFIXES)
"""What a manifest in a run folder is called, in the order of preference."""
Row = dict[str, Any]


def read_manifest(path: str | Path) -> list[TripletRecord]:
    """The triplets of a manifest, in order; paths are made openable, images are not opened.

    Raises:
        DataError: the file cannot be read as a table, or anything is wrong in any row; the
            message has every problem with its row (from 1, without the header).
    """
    records, problems = parse_manifest(path)
    require_no_faults(path, [problem.message for problem in problems])
    return records


def require_no_faults(path: str | Path, faults: Sequence[str]) -> None:
    """:class:`DataError` with all the faults of a table's rows."""
    if faults:
        raise DataError(
            f"{path}: expected rows without fault, got {len(faults)} "
            f"problem{'s' if len(faults) > 1 else ''}:\n" + "\n".join(faults)
        )


def parse_manifest(
    path: str | Path, translated: Callable[[Row], Row] = dict
) -> tuple[list[TripletRecord], list[Failure]]:
    """The triplets of the rows that are in order, and what is wrong with the others.

    Args:
        path: the table.
        translated: gives a row the columns of a manifest, or raises a RowError.

    Raises:
        DataError: the file cannot be read as a table at all.
    """
    rows, problems = read_table(path, translated)
    _require_columns(path, rows)
    _require_version(path, rows)
    resolve = partial(resolved, base=folder_of(path))
    times = Counter(row_id(row.cells) for row in rows)
    records = []
    for row in rows:
        record, wrong = read_row(row.cells, row.number, resolve)
        name = row_id(row.cells)
        if name and times[name] > 1:
            wrong.append(f"expected ids that differ, got '{name}' {times[name]} times. Rename it.")
        problems += [_problem(path, row, f"row {row.number}", phrase) for phrase in wrong]
        if record is not None and not wrong:
            records.append(record)
    return records, problems


def read_table(
    path: str | Path, translated: Callable[[Row], Row] = dict
) -> tuple[list[Entry], list[Failure]]:
    """The rows of a CSV, JSON Lines or Parquet file, and a problem for each unreadable one.

    Args:
        path: the table.
        translated: gives a row the columns that are wanted, or raises a RowError.

    Raises:
        DataError: another suffix, or not a table of the kind that the suffix names.
    """
    _require_suffix(path)
    rows = []
    for row in table_entries(path, "a table of triplets"):
        try:
            rows.append(row if row.fault else row._replace(cells=translated(row.cells)))
        except RowError as error:
            rows.append(row._replace(fault=str(error)))
    problems = [_problem(path, row, f"line {row.line}", row.fault) for row in rows if row.fault]
    return [row for row in rows if not row.fault], problems


def _problem(path: str | Path, row: Entry, place: str, phrase: str) -> Failure:
    name = row_id(row.cells)
    return Failure(name or place, "read", f"{path} {place} (id '{name}'): {phrase}")


def write_manifest(path: str | Path, records: Iterable[TripletRecord]) -> None:
    """Write a manifest; the suffix chooses the kind. The file is whole or not there.

    In Parquet an extra column that mixes kinds of values is text, what is none as JSON.

    Raises:
        DataError: another suffix; duplicate ids or values that contradict each other, all of
            them named; values that JSON cannot hold; a place that cannot be written.
    """
    _require_suffix(path)
    records = list(records)
    times = Counter(record.id for record in records)
    wrong = [f"{record.place}: {phrase}" for record in records for phrase in contradictions(record)]
    wrong += [f"id '{name}' {n} times. Rename them." for name, n in times.items() if n > 1]
    clashes = {name for record in records for name in record.extra} & {*COLUMNS, VERSION_COLUMN}
    wrong += [f"extra column '{name}' is one of the schema. Rename it." for name in clashes]
    if wrong:
        raise DataError(f"{path}: expected triplets without fault, got\n" + "\n".join(wrong))
    writer = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}[suffix_of(path)]
    write_whole(path, writer(path, [_row(record, folder_of(path)) for record in records]))


def resolved(path: str, base: str) -> str:
    """A path of a manifest that lies in ``base``; URLs and absolute paths stay as they are.

    Local names get the Unicode form that the disk has, see :func:`.files.as_on_disk`.

    >>> resolved("orig/a.png", "data"), resolved("s3://bucket/a.png", "data")
    ('data/orig/a.png', 's3://bucket/a.png')
    """
    if is_url(path):
        return path
    return f"{base}/{path}" if is_url(base) else str(as_on_disk(Path(base) / path))


def folder_of(path: str | Path) -> str:
    """The folder of a file or URL."""
    return str(path).rpartition("/")[0] if is_url(path) else str(Path(path).parent)


def _relative(path: str, base: str) -> str:
    """The path as the manifest in ``base`` has it: relative where the file lies in that folder."""
    if is_url(path) or is_url(base):
        return path.removeprefix(f"{base}/")
    # lexically, so that links in a data set stay links
    whole, folder = Path(os.path.abspath(path)), Path(os.path.abspath(base))  # noqa: PTH100
    if whole.is_relative_to(folder) and file_url(whole.relative_to(folder).as_posix()) is None:
        return whole.relative_to(folder).as_posix()
    return file_url(str(whole)) or str(whole)


def _require_suffix(path: str | Path) -> None:
    suffix = suffix_of(path)
    if suffix not in TABLE_SUFFIXES:
        near = unknown("kind of manifest", suffix or "without suffix", list(TABLE_SUFFIXES))
        raise DataError(f"{path}: {near}. Rename or convert it.")


def _require_columns(path: str | Path, rows: Sequence[Entry]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    missing = [name for name in PATHS if name not in columns]
    if columns and missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(PATHS)}; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Got {', '.join(columns[:20])}. "
            "Rename or add columns."
        )


def _require_version(path: str | Path, rows: Sequence[Entry]) -> None:
    for row in rows:
        cell = row.cells.get(VERSION_COLUMN)
        version = SCHEMA_VERSION if is_missing(cell) else finite_number(cell) or 0
        if not 1 <= version <= SCHEMA_VERSION:
            raise DataError(
                f"{path} row {row.number}: expected {VERSION_COLUMN} 1 to {SCHEMA_VERSION}, got "
                f"{cell}. A newer nacd-bench wrote it: upgrade with pip install -U nacd-bench."
            )


def _row(record: TripletRecord, folder: str) -> Row:
    """The cells of a record that say something."""
    labels = [
        {k: v for k, v in asdict(label).items() if v not in (None, ())} for label in record.labels
    ]
    cells = {VERSION_COLUMN: SCHEMA_VERSION, **vars(record), **record.extra, "labels": labels}
    cells.update({name: _relative(cells[name], folder) for name in PATHS})
    del cells["extra"], cells["row"]
    return {
        name: writable(cell) if isinstance(cell, str) else cell
        for name, cell in cells.items()
        if not is_missing(cell)
    }


def _csv(path: str | Path, rows: Sequence[Row]) -> bytes:
    columns = dict.fromkeys([VERSION_COLUMN, *COLUMNS, *(name for row in rows for name in row)])
    labels = [json.dumps(row["labels"]) if row["labels"] else "" for row in rows]
    return csv_bytes(
        list(columns), [{**row, "labels": cell} for row, cell in zip(rows, labels, strict=True)]
    )


def _json_lines(path: str | Path, rows: Sequence[Row]) -> bytes:
    lines = []
    for row in rows:
        try:
            lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{path}: expected extra values that JSON can hold, got others in triplet "
                f"'{row['id']}' ({error}). Make them text or finite numbers."
            ) from error
    return "".join(lines).encode()


def _parquet(path: str | Path, rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    text, whole = pa.string(), pa.int64()
    label = {"artifact_type": text, "box": pa.list_(whole), "votes_for": whole}
    label |= {"votes_against": whole, "confirmed": pa.bool_(), "detectors": pa.list_(text)}
    kinds = {VERSION_COLUMN: whole, **dict.fromkeys(COLUMNS, text)}
    kinds |= dict.fromkeys(RATES, pa.float64())
    kinds |= {"artifact_free": pa.bool_(), "labels": pa.list_(pa.struct(list(label.items())))}
    columns = {name: pa.array([row.get(name) for row in rows], kinds[name]) for name in kinds}
    for name in {name: None for row in rows for name in row if name not in kinds}:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
            parquet.write_table(pa.table({name: columns[name]}), io.BytesIO())
        except (pa.ArrowException, OverflowError):  # a mixture, integers of 100 digits, {}
            columns[name] = pa.array([_as_text(value) for value in values], text)
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def _as_text(value: Any) -> str | None:
    """A value of a column that Parquet has no type for: text as it is, all else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)
