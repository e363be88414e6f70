"""Licence and source of each image, from a table or one for all.

The table has a column ``image`` (hash, path, file name, or name without suffix) and any of
``license``, ``source``, ``author``, ``url``, ``attribution``. What it says about one image, under
whichever of its names, must not contradict itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import composed, is_url
from nacd_bench.triplets.manifest import read_table
from nacd_bench.triplets.rows import is_missing, stem, text

UNKNOWN = "unknown"
TABLE_COLUMNS = ("license", "source", "url", "author", "attribution")


@dataclass(frozen=True)
class License:
    """What is known about the rights in an image; ``""`` where nothing is.

    Args:
        license: its name, best an SPDX identifier (``CC-BY-4.0``).
        image_source: the collection or site that it is from.
        source_url: where it is found there.
        author: who made it.
        attribution: the line to print beside it.
    """

    license: str = UNKNOWN
    image_source: str = ""
    source_url: str = ""
    author: str = ""
    attribution: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, asdict(self).values()))

    @property
    def columns(self) -> dict[str, str | None]:
        """As extra columns of a manifest, with an attribution made of the rest."""
        parts = (self.author, self.image_source, self.license)
        known = [part for part in parts if part and part != UNKNOWN]
        made = {**asdict(self), "attribution": self.attribution or ", ".join(known)}
        return {name: value or None for name, value in made.items()}


COLUMNS = tuple(each.name for each in fields(License))
"""The extra columns of a manifest."""


def license_of(columns: Mapping[str, Any]) -> License:
    """The licence that the extra columns of a manifest say."""
    found = {name: text(columns[name]) for name in COLUMNS if not is_missing(columns.get(name))}
    return License(**found)


def united_licenses(licenses: Collection[License]) -> License | None:
    """What several statements about one image say together; None when they contradict each other.

    Statements with the same licence, source, address and author may word the attribution
    differently; the first in alphabetical order is taken.
    """
    united: dict[str, str] = {}
    for name in COLUMNS:
        said = {
            getattr(each, name) for each in licenses if getattr(each, name) not in ("", UNKNOWN)
        }
        if len(said) > 1 and name != "attribution":
            return None
        if said:
            united[name] = min(said)
    return License(**united)


class LicenseTable:
    """Statements about images, found by any of their names.

    Args:
        path: a CSV, Parquet or JSON Lines file, or None for an empty one.
        default: what holds where the table says nothing.

    Raises:
        DataError: not a table with the column ``image``, or a row that cannot be read.
    """

    def __init__(self, path: str | None = None, default: License | None = None) -> None:
        self.default = default or License()
        self._said: dict[str, dict[str, License]] = defaultdict(dict)
        for place, name, license in _rows(path) if path else ():
            self._said[name][place] = license

    def of(self, sha256: str, names: Iterable[str]) -> License:
        """The licence of an image.

        Args:
            sha256: hash of its file.
            names: every path under which it was found.

        Raises:
            DataError: statements that contradict each other, all of them named.
        """
        said: dict[str, License] = {**self._said.get(sha256, {})}
        for name in names:
            parts = PurePosixPath(composed(name).replace("\\", "/")).parts
            endings = {"/".join(parts[i:]).lstrip("/") for i in range(len(parts))}
            for key in (*endings, stem(name)):
                said.update(self._said.get(key, {}))
        found = united_licenses(said.values())
        if found is None:
            lines = ", ".join(f"{place}: {each}" for place, each in sorted(said.items()))
            raise DataError(
                f"expected one licence for the image, got statements that contradict each other: "
                f"{lines}. Correct the table of licences, or leave the image out."
            )
        given = {name: value for name, value in asdict(found).items() if value not in ("", UNKNOWN)}
        return License(**{**asdict(self.default), **given})


def given_license(license: str | None, source: str | None) -> License:
    """The licence of all images that no table names; a source may be a name or an URL."""
    url = text(source) if source and is_url(source) else ""
    return License(text(license or UNKNOWN), text(source or ""), url)


def _rows(path: str) -> Iterator[tuple[str, str, License]]:
    """Place in the table, what it calls the image, and what it says."""
    rows, problems = read_table(path)
    if problems:
        raise DataError("\n".join(map(str, problems)))
    columns = {name for row in rows for name in row.cells}
    if "image" not in columns:
        raise DataError(
            f"{path}: expected the columns image and {', '.join(TABLE_COLUMNS)}, got "
            f"{', '.join(sorted(columns)[:20]) or 'no rows'}. Rename or add columns."
        )
    for number, _, row, _ in rows:
        place = f"{path} row {number}"
        if is_missing(row["image"]):
            raise DataError(f"{place}: expected the name of an image, got nothing. Fill the cell.")
        said = {
            name: "" if is_missing(row.get(name)) else text(row[name]) for name in TABLE_COLUMNS
        }
        url = said["url"] or (said["source"] if is_url(said["source"]) else "")
        own = License(
            said["license"] or UNKNOWN, said["source"], url, said["author"], said["attribution"]
        )
        name = composed(text(row["image"])).replace("\\", "/")
        yield place, name.lower() if _is_hash(name) else name.removeprefix("./").lstrip("/"), own


def _is_hash(name: str) -> bool:
    return len(name) == 64 and all(each in "0123456789abcdefABCDEF" for each in name)
