"""Scores remembered by what they were computed from: three images' content and the method.

An SQLite file takes them from several processes at once and is whole after a kill. A key is the
hash of everything that decides a score: file contents, the method's settings and version, the
versions of the libraries that compute.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nacd_bench import __version__
from nacd_bench.errors import DataError
from nacd_bench.triplets.files import json_sha256

LIBRARIES = ("torch", "piq", "torchmetrics", "opencv-python-headless")
"""Their versions are part of every key."""
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""
READING = 2
"""Changes whenever the same files may become other pixels, or be refused: scores that are kept from
before are then computed again."""
AT_A_TIME = 500
"""Keys per query: SQLite's oldest limit is 999."""


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
                f"{path.parent}: expected a folder for scores that can be written, got "
                f"{error.strerror}. Set cache=FOLDER to another one."
            ) from error
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, record TEXT NOT NULL)"
            )

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The records of those keys that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, dict[str, Any]] = {}
        with self._connected() as connection:
            for first in range(0, len(wanted), AT_A_TIME):
                some = wanted[first : first + AT_A_TIME]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, record FROM scores WHERE key IN ({marks})", some
                )
                found.update((key, json.loads(record)) for key, record in rows)
        return found

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
                f"{self.path}: expected a file of scores that can be read and written, got "
                f"{type(error).__name__}: {error}. Make room, delete the file (scores are computed "
                "again), or set cache=FOLDER to another place."
            ) from error


def score_key(sha256: Mapping[str, str], settings: Mapping[str, Any], **more: str) -> str:
    """The key of a method's score on a triplet.

    Args:
        sha256: of each image file, by role.
        settings: name, version and parameters of the method.
        more: what else decides it (precision; the triplet's id where a method looks at it).
    """
    by = {"reading": READING, "method": settings, "versions": _versions()}
    parts = {"images": dict(sha256), **by, **more}
    return json_sha256(parts)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return ("nacd-bench", __version__), *((name, version(name)) for name in LIBRARIES)
