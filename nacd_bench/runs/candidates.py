"""Candidates: places that detectors box in mined images, before people look at them.

A mined folder (``nacd-bench mine``) is read by everything that comes after it through this file::

    settings.json                    what made it: neural and traditional (each with codec, the
                                     keywords of a CodecSpec), detectors, thresholds
    candidates/artifact_type=T/preset=P/part-0.parquet     one row per candidate
    coded/preset=P/part-0.parquet    one row per image and operating point
    images/part-0.parquet            one row per image; columns of all three: runs/schema.py
    bitstreams/ab/<sha256>/          <preset>-neural.bin, <preset>-traditional.bin
    crops/ab/<sha256>/               PNG files, named by the candidates' rows
    encodes/ab/<sha256>/             while it runs: long encodes of what is not done
    decoded/ab/<sha256>/             on request: <preset>-neural.png, <preset>-traditional.png

Paths in the tables are relative to the mined folder, unless they name an image that was mined.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nacd_bench.errors import DataError
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, schema
from nacd_bench.runs.tables import with_versions
from nacd_bench.triplets.text_files import read_parquet

PARTITIONS = {CANDIDATES: ("artifact_type", "preset"), CODED: ("preset",), IMAGES: ()}
"""Columns that name the subfolders of a table (as Hive does) and are not in its files."""
KEYS = {
    CANDIDATES: ("image_sha256", "preset_index", "detector", "number"),
    CODED: ("image_sha256", "preset_index"),
    IMAGES: ("image_sha256",),
}
"""Columns by which the rows of a table are sorted; no two rows have the same."""


def read_mined(folder: str | Path, table: str = CANDIDATES) -> pa.Table:
    """One table of a mined folder, all of its partitions, in the order of :data:`KEYS`.

    Raises:
        DataError: no mined folder, or a file in it that cannot be read.
    """
    place = Path(folder) / table
    if not place.is_dir():
        raise DataError(
            f"expected the folder of a nacd-bench mine run, got {folder}, which has no {table}/. "
            "Name the folder that the run printed; one that was stopped first has to go on."
        )
    parts = []
    for path in sorted(place.rglob("*.parquet")):
        part = read_parquet(path)
        for level in path.relative_to(place).parts[:-1]:
            name, _, value = level.partition("=")
            part = part.append_column(name, pa.array([unquote(value)] * len(part), pa.string()))
        try:
            parts.append(part.select(schema(table).names).cast(schema(table)))
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise DataError(
                f"{path}: expected the columns of nacd-bench mine, got others "
                f"({str(error).splitlines()[0]}). Let nacd-bench mine write it again."
            ) from error
    whole = pa.concat_tables(parts) if parts else schema(table).empty_table()
    return whole.sort_by([(name, "ascending") for name in KEYS[table]])


class TablesWriter:
    """Writes the tables of a mined folder in place of what is there, piece by piece.

    Pieces come in the order of :data:`KEYS`. Nothing that is there changes before the end.

    Args:
        folder: the mined folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writers: dict[Path, tuple[Path, pq.ParquetWriter]] = {}

    def __enter__(self) -> TablesWriter:
        return self

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows with all columns of the table's schema."""
        rows = rows.cast(schema(table)).sort_by([(name, "ascending") for name in KEYS[table]])
        names = list(PARTITIONS[table])
        groups = rows.group_by(names).aggregate([]).to_pylist() if names else [{}]
        for values in groups:
            part = rows
            for name, value in values.items():
                part = part.filter(pc.equal(part[name], value))
            levels = [f"{name}={quote(values[name], safe='')}" for name in names]
            place = Path(self.folder, table, *levels, "part-0.parquet")
            part = part.drop_columns(names)
            if place not in self._writers:
                place.parent.mkdir(parents=True, exist_ok=True)
                hidden = place.with_name(f".{place.name}.part")
                made = pq.ParquetWriter(hidden, with_versions(part, self.folder).schema)
                self._writers[place] = hidden, made
            self._writers[place][1].write_table(part)

    def __exit__(self, kind: object, *_: object) -> None:
        for place, (hidden, writer) in self._writers.items():
            writer.close()
            if kind is None:
                hidden.replace(place)
            else:
                hidden.unlink(missing_ok=True)
        for table in KEYS if kind is None else ():
            (self.folder / table).mkdir(parents=True, exist_ok=True)
            for old in set((self.folder / table).rglob("*.parquet")) - self._writers.keys():
                old.unlink()


def kept(candidates: pa.Table) -> pa.Table:
    """The candidates that are no duplicates."""
    return candidates.filter(pc.is_null(candidates["duplicate_of"]))


def place_of(kind: str, sha256: str) -> str:
    """The folder of an image's files of a kind, by the hash of its file; 256 folders share them.

    >>> place_of("crops", "c14cddc0aa11ffee")
    'crops/c1/c14cddc0aa11'
    """
    return f"{kind}/{sha256[:2]}/{sha256[:12]}"
