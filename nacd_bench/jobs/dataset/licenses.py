"""Licence and source of each image, from a table or one for all.

The table has a column ``image`` (hash, path, file name, or name without suffix) and any of
``license``, ``source``, ``author``, ``url``, ``attribution``. What it says about one image, under
whichever of its names, must not contradict itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
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


COLUMNS = tuple(fact.name for fact in fields(License))
"""The extra columns of a manifest."""


def license_of(columns: Mapping[str, Any]) -> License:
    """The licence that the extra columns of a manifest say."""
    known = {name: text(columns[name]) for name in COLUMNS if not is_missing(columns.get(name))}
    return License(**known)


def united_licenses(licenses: Collection[License]) -> License | None:
    """What several statements about one image say together; None when they contradict each other.

    Statements with the same licence, source, address and author may word the attribution
    differently; the first in alphabetical order is taken.
    """
    united: dict[str, str] = {}
    for name in COLUMNS:
        values = {getattr(license, name) for license in licenses} - {"", UNKNOWN}
        if len(values) > 1 and name != "attribution":
            return None
        if values:
            united[name] = min(values)
    return License(**united)


class LicenseTable:
    """Statements about images, found by any of their names.

    Args:
        path: a CSV, Parquet or JSON Lines file, or None for an empty one.
        default: what holds where the table says nothing.

    Raises:
        DataError: not a table with the column ``image``, or a row that cannot be read.
    """

    def __init__(self, path: str | Path | None = None, default: License | None = None) -> None:
        self.default = default or License()
        self._statements: dict[str, dict[str, License]] = defaultdict(dict)
        for place, name, license in _rows(path) if path else ():
            self._statements[name][place] = license

    def of(self, sha256: str, names: Iterable[str]) -> License:
        """The licence of an image.

        Args:
            sha256: hash of its file.
            names: every path under which it was found.

        Raises:
            DataError: statements that contradict each other, all of them named.
        """
        statements: dict[str, License] = {**self._statements.get(sha256, {})}
        for name in names:
            parts = PurePosixPath(composed(name).replace("\\", "/")).parts
            endings = {"/".join(parts[i:]).lstrip("/") for i in range(len(parts))}
            for key in (*endings, stem(name)):
                statements.update(self._statements.get(key, {}))
        united = united_licenses(statements.values())
        if united is None:
            lines = ", ".join(
                f"{place}: {license}" for place, license in sorted(statements.items())
            )
            raise DataError(
                f"expected one licence for the image, got statements that contradict each other: "
                f"{lines}. Correct the table of licences, or leave the image out."
            )
        known = {name: value for name, value in vars(united).items() if value not in ("", UNKNOWN)}
        return replace(self.default, **known)


def given_license(
    license: Any, source: Any, url: Any = "", author: Any = "", attribution: Any = ""
) -> License:
    """The licence of cells, any of which may be empty; a source may be a name or an URL."""
    given = (license, source, url, author, attribution)
    name, source, *rest = ("" if is_missing(cell) else text(cell) for cell in given)
    url = rest[0] or (source if is_url(source) else "")
    return License(name or UNKNOWN, source, url, *rest[1:])


def _rows(path: str | Path) -> Iterator[tuple[str, str, License]]:
    """Place in the table, what it calls the image, and what it says."""
    rows, problems = read_table(path)
    if problems:
        raise DataError("\n".join(problem.message for problem in problems))
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
        name = composed(text(row["image"])).replace("\\", "/")
        is_hash = re.fullmatch("[0-9a-fA-F]{64}", name)
        key = name.lower() if is_hash else name.removeprefix("./").lstrip("/")
        yield place, key, given_license(*(row.get(column) for column in TABLE_COLUMNS))
