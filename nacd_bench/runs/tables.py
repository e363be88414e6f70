"""The one writer of tables: Parquet with a schema version for programs, CSV for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import Failure
from nacd_bench.runs.schema import FAILURES, SCHEMA_VERSION
from nacd_bench.triplets.files import csv_bytes, writable, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

VERSION_KEY = b"nacd_bench.schema"
"""Where Parquet files keep it, in the metadata of their schema."""

Row = Mapping[str, Any]


def write_table(
    path: Path, rows: pa.Table | Iterable[Row], schema: pa.Schema | None = None
) -> None:
    """Write rows as ``path.parquet`` and ``path.csv``, each whole or not at all.

    Args:
        path: without suffix.
        rows: an Arrow table, or dictionaries with the columns of the schema.
        schema: columns and types, where the rows are dictionaries.
    """
    import pyarrow as pa

    if not isinstance(rows, pa.Table):
        values = [{key: _writable(value) for key, value in row.items()} for row in rows]
        rows = pa.Table.from_pylist(values, schema=schema)
    write_parquet(path.with_name(f"{path.name}.parquet"), rows)
    write_csv(path.with_name(f"{path.name}.csv"), rows.to_pylist(), rows.schema.names)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(with_version(table), file)
    write_whole(path, file.getvalue())


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write rows as CSV, whole or not at all; a table without rows has its columns all the same."""
    write_whole(path, csv_bytes(columns, rows))


def write_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Write what failed in a run to its ``failures.csv``."""
    write_csv(folder / FAILURES, map(vars, failures), list(Failure.__annotations__))


def with_version(table: pa.Table) -> pa.Table:
    """The table with the schema version in its metadata."""
    metadata = {**(table.schema.metadata or {}), VERSION_KEY: str(SCHEMA_VERSION)}
    return table.replace_schema_metadata(metadata)


def _writable(value: Any) -> Any:
    return writable(value) if isinstance(value, str) else value
