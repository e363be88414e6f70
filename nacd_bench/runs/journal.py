"""What lets a long job be killed at any moment: a journal.

A record is one line of JSON, written in one go and flushed to the disk after the files that it
speaks of. A line that a kill cut short is dropped when the journal is read again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError


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
        return (record for _, record in read_journal(self.path, self.schema))

    def _drop_torn_line(self) -> None:
        if not self.path.exists() or not (size := self.path.stat().st_size):
            return
        with self.path.open("rb+") as file:
            with mmap(file.fileno(), size, access=ACCESS_READ) as content:
                end = content.rfind(b"\n") + 1
            file.truncate(end)


def read_journal(path: Path, schema: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every record and where its line begins, without torn and damaged lines; nothing is changed.

    Raises:
        DataError: the file was written by another schema.
    """
    with path.open("rb") as file:
        start = 0
        for line in file:
            try:
                record = dict(json.loads(line)) if line.endswith(b"\n") else None
            except (ValueError, TypeError):
                record = None
            if start == 0 and record not in (None, {"schema": schema}):
                raise DataError(
                    f"expected a journal of {schema} in {path}, got {str(record)[:60]}. "
                    "Another version wrote it: use that version, or a new folder."
                )
            if start and record is not None:
                yield start, record
            start += len(line)
