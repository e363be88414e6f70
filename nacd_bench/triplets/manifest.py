"""Tables of triplets with their labels, as Parquet, CSV or JSON Lines: one reader, one writer.

The three kinds have one schema, the fields of :class:`~nacd_bench.triplets.record.TripletRecord` as
columns. ``labels`` is a list of objects (in CSV: JSON in the cell), paths are relative to the
manifest's folder where the files lie in it, ``schema_version`` says how a row is to be read.
Only the three paths must be there: a missing ``id`` is the stem of the original. Other columns
are kept; in CSV, which has no types, they come back as text.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import as_on_disk, file_url, is_url, writable, write_whole
from nacd_bench.triplets.record import Problem, TripletRecord, contradictions
from nacd_bench.triplets.rows import COLUMNS, PATHS, VERSION_COLUMN, is_missing, read_row, row_id
from nacd_bench.triplets.tables import MANIFEST_SUFFIXES, Row, read_table, row_problem, table_bytes

SCHEMA_VERSION = 1
MANIFEST_NAMES = tuple(f"triplets{suffix}" for suffix in MANIFEST_SUFFIXES)
"""What a manifest in a run folder is called, in the order of preference."""


def read_manifest(path: str | Path) -> list[TripletRecord]:
    """The triplets of a manifest, in order; paths are made openable, images are not opened.

    Raises:
        DataError: the file cannot be read as a table, or anything is wrong in any row; the
            message has every problem with its row (from 1, without the header).
    """
    records, problems = parse_manifest(path)
    if problems:
        raise DataError(
            f"{path}: expected rows without fault, got {len(problems)} "
            f"problem{'s' if len(problems) > 1 else ''}:\n" + "\n".join(map(str, problems))
        )
    return records


def parse_manifest(path: str | Path) -> tuple[list[TripletRecord], list[Problem]]:
    """The triplets of the rows that are in order, and what is wrong with the others.

    Raises:
        DataError: the file cannot be read as a table at all.
    """
    rows, problems = read_table(path)
    _require_columns(path, rows)
    _require_version(path, rows)
    resolve = partial(resolved, base=_folder(path))
    times = Counter(row_id(row) for row in rows.values())
    records = []
    for number, row in rows.items():
        record, wrong = read_row(row, number, resolve)
        name = row_id(row)
        if name and times[name] > 1:
            wrong.append(f"expected ids that differ, got '{name}' {times[name]} times. Rename it.")
        problems += [row_problem(path, number, name, phrase) for phrase in wrong]
        if record is not None and not wrong:
            records.append(record)
    return records, sorted(problems, key=lambda each: each.row or 0)


def write_manifest(path: str | Path, records: Iterable[TripletRecord]) -> None:
    """Write a manifest; the suffix chooses the kind. The file is whole or not there.

    Raises:
        DataError: another suffix; duplicate ids or values that contradict each other, all of
            them named; a place that cannot be written.
    """
    records = list(records)
    times = Counter(record.id for record in records)
    wrong = [f"{each.place}: {phrase}" for each in records for phrase in contradictions(each)]
    wrong += [f"id '{name}' {n} times. Rename them." for name, n in times.items() if n > 1]
    clashes = {name for each in records for name in each.extra} & {*COLUMNS, VERSION_COLUMN}
    wrong += [f"extra column '{name}' is one of the schema. Rename it." for name in clashes]
    if wrong:
        raise DataError(f"{path}: expected triplets without fault, got\n" + "\n".join(wrong))
    write_whole(path, table_bytes(path, [_row(each, path) for each in records]))


def resolved(path: str, base: str) -> str:
    """A path of a manifest that lies in ``base``; URLs and absolute paths stay as they are.

    Local names get the Unicode form that the disk has, see :func:`.files.as_on_disk`.

    >>> resolved("orig/a.png", "data"), resolved("s3://bucket/a.png", "data")
    ('data/orig/a.png', 's3://bucket/a.png')
    """
    if is_url(path):
        return path
    return f"{base}/{path}" if is_url(base) else str(as_on_disk(Path(base) / path))


def _folder(path: str | Path) -> str:
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


def _require_columns(path: str | Path, rows: Mapping[int, Row]) -> None:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    if not columns:
        return
    missing = [name for name in PATHS if name not in columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(PATHS)}; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Got {', '.join(columns[:20])}. "
            "Rename or add columns."
        )


def _require_version(path: str | Path, rows: Mapping[int, Row]) -> None:
    for number, row in rows.items():
        version = row.get(VERSION_COLUMN)
        if is_missing(version):
            continue
        try:
            is_known = 1 <= float(version) <= SCHEMA_VERSION  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            is_known = False
        if not is_known:
            raise DataError(
                f"{path} row {number}: expected {VERSION_COLUMN} 1 to {SCHEMA_VERSION}, got "
                f"{version}. A newer nacd-bench wrote it: upgrade with pip install -U nacd-bench."
            )


def _row(record: TripletRecord, path: str | Path) -> Row:
    values = {name: getattr(record, name) for name in COLUMNS}
    values.update({name: _relative(values[name], _folder(path)) for name in PATHS})
    values["labels"] = [
        {**asdict(label), "box": list(label.box) if label.box else None} for label in record.labels
    ]
    extra = {name: value for name, value in record.extra.items() if not is_missing(value)}
    row = {VERSION_COLUMN: SCHEMA_VERSION, **values, **extra}
    return {k: writable(v) if isinstance(v, str) else v for k, v in row.items()}
