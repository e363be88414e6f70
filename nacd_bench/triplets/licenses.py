"""Licence and source of each image, from a table or one for all.

The table has a column ``image`` (hash, path, file name, or name without suffix) and any of
``license``, ``source``, ``author``, ``url``, ``attribution``. What it says about one image, under
whichever of its names, must not contradict itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import composed, is_url
from nacd_bench.triplets.manifest import read_table, require_no_faults
from nacd_bench.triplets.rows import is_missing, stem, text

UNKNOWN = "unknown"
TABLE_COLUMNS = ("license", "source", "url", "author", "attribution")


class License(NamedTuple):
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
        return "; ".join(filter(None, self))

    @property
    def columns(self) -> dict[str, str | None]:
        """As extra columns of a manifest, with an attribution made of the rest."""
        parts = {self.author: None, self.image_source: None, self.license: None}
        made = self.attribution or ", ".join(part for part in parts if part not in ("", UNKNOWN))
        return {
            name: value or None for name, value in self._replace(attribution=made)._asdict().items()
        }


COLUMNS = License._fields
"""The extra columns of a manifest."""


def license_of(columns: Mapping[str, Any]) -> License:
    """The licence that the extra columns of a manifest say."""
    return License(
        **{name: text(columns[name]) for name in COLUMNS if not is_missing(columns.get(name))}
    )


def united_licenses(licenses: Collection[License]) -> License | None:
    """What several statements about one image say together; None when they contradict each other.

    Statements with the same licence, source, address and author may word the attribution
    differently; the first in alphabetical order is taken.
    """
    stated = {name: {getattr(one, name) for one in licenses} - {"", UNKNOWN} for name in COLUMNS}
    if any(len(values) > 1 for name, values in stated.items() if name != "attribution"):
        return None
    return License(**{name: min(values) for name, values in stated.items() if values})


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
        if path is None:
            return
        rows, problems = read_table(path)
        require_no_faults(path, [problem.message for problem in problems])
        columns = {name for row in rows for name in row.cells}
        if "image" not in columns:
            raise DataError(
                f"{path}: expected the columns image and {', '.join(TABLE_COLUMNS)}, got "
                f"{', '.join(sorted(columns)[:20]) or 'no rows'}. Rename or add columns."
            )
        for row in rows:
            place, name = f"{path} row {row.number}", row.cells["image"]
            if is_missing(name):
                raise DataError(
                    f"{place}: expected the name of an image, got nothing. Fill the cell."
                )
            name = composed(text(name)).replace("\\", "/")
            is_hash = re.fullmatch("[0-9a-fA-F]{64}", name)
            name = name.lower() if is_hash else name.removeprefix("./").lstrip("/")
            cells = (row.cells.get(column) for column in TABLE_COLUMNS)
            self._statements[name][place] = given_license(*cells)

    def of(self, sha256: str, names: Iterable[str]) -> License:
        """The licence of an image.

        Args:
            sha256: hash of its file.
            names: every path under which it was found.

        Raises:
            DataError: statements that contradict each other, all of them named.
        """
        keys = {sha256, *map(stem, names := list(names))}
        for name in names:
            parts = PurePosixPath(composed(name).replace("\\", "/")).parts
            keys |= {"/".join(parts[place:]).lstrip("/") for place in range(len(parts))}
        statements: dict[str, License] = {}
        for key in keys & self._statements.keys():
            statements |= self._statements[key]
        united = united_licenses(statements.values())
        if united is None:
            lines = (f"{place}: {license}" for place, license in sorted(statements.items()))
            raise DataError(
                f"expected one licence for the image, got statements that contradict each other: "
                f"{', '.join(lines)}. Correct the table of licences, or leave the image out."
            )
        stated = {
            name: cell for name, cell in united._asdict().items() if cell not in ("", UNKNOWN)
        }
        return self.default._replace(**stated)


def given_license(
    license: Any, source: Any, url: Any = "", author: Any = "", attribution: Any = ""
) -> License:
    """The licence of cells, any of which may be empty; a source may be a name or an URL."""
    given = (license, source, url, author, attribution)
    name, source, url, *rest = ("" if is_missing(cell) else text(cell) for cell in given)
    return License(name or UNKNOWN, source, url or (source if is_url(source) else ""), *rest)
