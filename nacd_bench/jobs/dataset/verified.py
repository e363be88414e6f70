"""What a data set is built from: verified candidates, and the mined folders behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import DataError
from nacd_bench.jobs.dataset.content import read_settings
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, schema
from nacd_bench.triplets.files import read_bytes, sha256
from nacd_bench.triplets.text_files import read_columns, read_json

if TYPE_CHECKING:
    import pyarrow as pa

VERIFIED, SUMMARY = "verified.parquet", "summary.json"


def verified_schema() -> pa.Schema:
    """Columns of ``verified.parquet`` that are read: those of candidates, the votes, the run.

    ``confirmed`` is null for undecided; ``run`` is the path of the mined folder.
    """
    import pyarrow as pa

    votes = [("votes_for", pa.int64()), ("votes_against", pa.int64()), ("confirmed", pa.bool_())]
    return pa.schema([*schema(CANDIDATES), *votes, ("run", pa.string())])


@dataclass(frozen=True)
class Verified:
    """Candidates with what people said about them.

    Args:
        rows: columns of :func:`verified_schema`.
        is_voted: False where nobody was asked.
        sha256: of the table.
        summary: of the verification: rule, raters, agreement; empty where it is not there.
        place: the folder of the table.
    """

    rows: pa.Table
    is_voted: bool
    sha256: str
    summary: dict[str, Any]
    place: Path

    @property
    def found(self) -> pa.Table:
        """The rows that are artifacts of the data set: confirmed, or all where nobody voted."""
        import pyarrow.compute as pc

        return self.rows.filter(pc.fill_null(self.rows["confirmed"], not self.is_voted))


def read_verified(source: str | Path, unverified: bool = False) -> Verified:
    """The table of verified candidates in a folder or file, or a mined folder in place of it.

    Args:
        source: what ``nacd-bench verify import`` left, or a mined folder.
        unverified: take all candidates of a mined folder that are no duplicates.

    Raises:
        DataError: neither, a damaged table, or a mined folder without ``unverified``.
    """
    path = Path(source)
    if path.is_dir() and not (path / VERIFIED).is_file() and (path / CANDIDATES).is_dir():
        if not unverified:
            raise DataError(
                f"expected verified candidates, got the mined folder {path}, on which nobody "
                "voted. Verify it first (nacd-bench verify export), or give unverified=true for a "
                "data set of whatever detectors found."
            )
        return _unverified(path)
    table = path / VERIFIED if path.is_dir() else path
    if not table.is_file():
        raise DataError(
            f"expected the folder of nacd-bench verify import, got {path}, which has no "
            f"{VERIFIED}. Name that folder, or a mined folder with unverified=true."
        )
    rows = read_columns(table, verified_schema(), verified_schema().names)
    summary = table.parent / SUMMARY
    return Verified(
        rows,
        True,
        sha256(read_bytes(table, "a table", DataError)),
        _json(summary) if summary.is_file() else {},
        table.parent,
    )


def _unverified(folder: Path) -> Verified:
    import pyarrow as pa

    rows = kept(read_mined(folder))
    for name in ("votes_for", "votes_against", "confirmed"):
        rows = rows.append_column(name, pa.nulls(len(rows), verified_schema().field(name).type))
    rows = rows.append_column("run", pa.array([str(folder.absolute())] * len(rows), pa.string()))
    digest = sha256("".join(rows["candidate"].to_pylist()).encode())
    return Verified(rows, False, digest, {}, folder)


def _json(path: Path) -> dict[str, Any]:
    found = read_json(path, "the summary of the verification")
    return found if isinstance(found, dict) else {"summary": found}


@dataclass(frozen=True)
class MinedRun:
    """A mined folder, as far as a data set needs it.

    Args:
        folder: where it lies.
        settings: what made it.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def codec(self, side: str) -> CodecSpec | None:
        """What decodes its bitstreams, or None where the settings do not say."""
        given = self.settings.get(side, {}).get("codec")
        return CodecSpec(**given) if isinstance(given, dict) and "name" in given else None

    @cached_property
    def coded(self) -> pa.Table:
        """One row per triplet."""
        return read_mined(self.folder, CODED)

    @cached_property
    def candidates(self) -> pa.Table:
        """One row per candidate, duplicates included."""
        return read_mined(self.folder, CANDIDATES)

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """Every place where an image was found, by its hash."""
        table = read_mined(self.folder, IMAGES)
        columns = (table[name].to_pylist() for name in ("image_sha256", "names"))
        return dict(zip(*columns, strict=True))


def find_run(name: str, verified: Verified, mined: Sequence[str | Path] = ()) -> MinedRun:
    """The mined folder that a verified row names.

    Args:
        name: its path when it was verified.
        verified: the table; relative paths may start in its folder.
        mined: where the folders of the table lie now: the only one, or those of the same name.

    Raises:
        DataError: it is not there, or is no mined folder.
    """
    runs = set(verified.rows["run"].to_pylist())
    moved = [Path(each) for each in mined]
    if not (len(moved) == 1 and len(runs) == 1):
        moved = [each for each in moved if each.resolve().name == Path(name).name]
    for folder in (*moved, Path(name), verified.place / name):
        if (folder / CANDIDATES).is_dir():
            return MinedRun(folder, read_settings(folder))
    raise DataError(
        f"expected the mined folder {name} of the verified candidates, got nothing there. Name the "
        "place where it lies now with mined=FOLDER."
    )
