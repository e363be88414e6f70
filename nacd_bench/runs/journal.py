"""What lets a long job be killed at any moment: a journal.

A record is one line of JSON, written in one go and flushed to the disk after the files that it
speaks of. A line that a kill cut short is dropped when the journal is read again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError

BLOCK = 1 << 16
"""Bytes that are read at a time, from the end, to find the last whole line."""


class Journal:
    """Records that are only ever added.

    Args:
        path: the file; its folder exists.
        schema: name and version of the records; a file with another schema is refused.

    Raises:
        DataError: the file was written by another schema.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self.schema = schema
        self._drop_torn_line()
        if not path.exists() or path.stat().st_size == 0:
            self.append({"schema": schema})

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            DataError: no room, or no permission.
        """
        line = json.dumps(record, sort_keys=True, allow_nan=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"expected {self.path} to take another record, got {error.strerror}. Make room or "
                "change its permissions, and start the run again: it keeps what is done."
            ) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The records in order of writing, without those that a dying disk damaged."""
        with self.path.open("rb") as file:
            found = _record(next(file))
            if found != {"schema": self.schema}:
                raise DataError(
                    f"expected a journal of {self.schema} in {self.path}, got {found}. "
                    "Another version wrote it: use that version, or a new folder."
                )
            yield from (record for record in map(_record, file) if record is not None)

    def _drop_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - BLOCK)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    file.truncate(start + found + 1)
                    return
                end = start
            file.truncate(0)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return None
