"""Where results are remembered between runs: scores, and text polygons.

An SQLite file takes them from several processes at once and is whole after a kill.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from nacd_bench.errors import DataError

FOLDER_VARIABLE = "NACD_BENCH_CACHE"
"""Environment variable that moves the cache; ``off`` turns it off."""
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""


def cache_folder(kind: str) -> Path | None:
    """The folder for what is remembered of a kind (``"polygons"``); None for nowhere.

    That is in ``$NACD_BENCH_CACHE``, else in ``nacd-bench`` in the user's cache folder.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen is None:
        return user_cache_path("nacd-bench", appauthor=False) / kind
    return None if chosen in ("", "off") else Path(chosen).expanduser() / kind


class ScoreCache:
    """JSON records by key, in one file.

    Args:
        path: the file; made with its folder where it is not there.

    Raises:
        DataError: the place cannot be written, or the file is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{path.parent}: expected a folder for the cache that can be written, got "
                f"{error.strerror}. Set cache=FOLDER to another one."
            ) from error
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, record TEXT NOT NULL)"
            )

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The records of those keys that are there."""
        query = "SELECT key, record FROM scores WHERE key IN (SELECT value FROM json_each(?))"
        with self._connected() as connection:
            rows = connection.execute(query, [json.dumps(list(keys))]).fetchall()
        return {key: json.loads(record) for key, record in rows}

    def put(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Write records, all of them or none; they are on the disk when this returns."""
        rows = [(key, json.dumps(record, allow_nan=False)) for key, record in records.items()]
        with self._connected() as connection:
            connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction: none is shared between processes or threads."""
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path}: expected a cache that can be read and written, got "
                f"{type(error).__name__}: {error}. Make room, delete the file (what it holds is "
                "computed again), or set cache=FOLDER to another place."
            ) from error
