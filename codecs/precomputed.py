"""Results of a codec that ran elsewhere: decoded images and their byte counts on disk.

They are listed in a CSV file with a header and the columns ``original``, ``decoded``, ``bytes`` (or
``bpp``) and ``point``; paths are relative to the file, other columns are ignored::

    original,point,decoded,bytes
    photos/a.png,0.25,decoded/a_025.png,12288

An image is recognised by its pixels, not by its name. A row that cannot be used costs the image
that it is of, and no other.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError, DataError, ImageError
from nacd_bench.triplets import images
from nacd_bench.triplets.files import as_on_disk, read_bytes, sha256
from nacd_bench.triplets.rows import finite_number
from nacd_bench.triplets.sides import other_way
from nacd_bench.triplets.text_files import csv_entries, read_text

_COLUMNS = ("original", "point", "decoded", "bytes", "bpp")


@dataclass(frozen=True)
class Listed:
    """One result.

    Args:
        original, decoded: its images.
        point: None where nobody can tell: then the fault is that of all points of the original.
        bytes, bpp: what it cost; one of them may be None.
        fault: why it cannot be used; ``""`` where it can.
    """

    original: Path
    decoded: Path
    point: float | None
    bytes: float | None
    bpp: float | None
    fault: str


class Precomputed(Codec):
    """Decoded images and byte counts from a table.

    Args:
        table: the CSV file.
        software: name and version of the codec that made the results.
        point_name: what its operating points are called.
        estimated: the byte counts come from an entropy model.
    """

    name = "precomputed"
    in_main_process = True

    def __init__(
        self,
        table: str | Path,
        software: str = "unnamed software",
        point_name: str = "point",
        estimated: bool = False,
    ) -> None:
        self.table = as_on_disk(table)
        self.software = software
        self.rate_is_estimated = estimated
        self.rows = list(_rows(self.table))
        self._unread = [row.fault for row in self.rows if row.fault]
        rates: dict[float, list[float]] = defaultdict(list)
        for row in self.rows:
            if row.point is not None and not row.fault:
                rates[row.point].append(row.bytes or row.bpp or 0.0)
        if not rates:
            raise CodecError(self._unread[0])
        rising = sorted(rates, key=lambda point: (np.mean(rates[point]), point))
        self.points = OperatingPoints(point_name, tuple(rising), slope=0.8)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "table_sha256": sha256(self.table.read_bytes())[:16],
            "estimated": self.rate_is_estimated,
        }

    def version(self) -> str:
        return self.software

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        content = _content(image)
        row = self._by_content.get((content, None)) or self._by_content.get((content, point))
        if row is None:
            unread = f" Rows that cannot be read: {self._unread[0]}" if self._unread else ""
            raise CodecError(
                f"{self.table} has no result at {self.points.name} {point:g} for this image of "
                f"{image.shape[1]} x {image.shape[0]}. Add a row whose original has its pixels."
                f"{unread}"
            )
        if row.fault:
            raise CodecError(row.fault)
        pixels = image.shape[0] * image.shape[1]
        size = row.bytes or (row.bpp or 0.0) * pixels / 8
        original, decoded = _read(row.original), _read(row.decoded)
        same_size = original.pixels.shape == decoded.pixels.shape
        if same_size and (way := other_way(original, decoded)):
            raise CodecError(f"{row.decoded}: expected the pixels of {row.original}, got {way}")
        stands_for = {"decoded": str(row.decoded), "sha256": decoded.sha256, "bytes": size}
        return json.dumps(stands_for, sort_keys=True).encode()

    def decode(self, data: bytes) -> Image:
        return images.to_8_bit(_read(Path(_note(data)["decoded"])).pixels)

    def rate_bytes(self, data: bytes) -> float:
        return float(_note(data)["bytes"])

    @cached_property
    def _by_content(self) -> dict[tuple[str, float | None], Listed]:
        contents = {}
        for path in dict.fromkeys(row.original for row in self.rows):
            try:
                contents[path] = _content(images.to_8_bit(_read(path).pixels))
            except CodecError as error:  # costs only the image that it is an original of
                self._unread.append(str(error))
        rows = [row for row in self.rows if row.original in contents]
        return {(contents[row.original], row.point): row for row in rows}


def _rows(table: Path) -> Iterator[Listed]:
    try:
        entries = csv_entries(table, read_text(table, "a CSV file of results", CodecError))
    except DataError as error:
        raise CodecError(str(error)) from error
    if not entries:
        raise CodecError(f"expected at least one result in {table}, got at most its first line.")
    columns = set(entries[0].cells)
    missing = {"original", "point", "decoded"} - columns
    if not columns & {"bytes", "bpp"}:
        missing.add("bytes")
    if missing:
        raise CodecError(
            f"{table} lacks the columns {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(columns)) or 'none'}. Name them in its first line."
        )
    for _, line, cells, fault in entries:
        given = {name: (cells.get(name) or "").strip() for name in _COLUMNS}
        numbers = {name: finite_number(given[name]) for name in ("point", "bytes", "bpp")}
        for name, value in numbers.items():
            if value is None and (given[name] or name == "point"):
                fault = fault or f"expected a number in {name}, got {given[name]!r}."
        if max(numbers["bytes"] or 0, numbers["bpp"] or 0) <= 0:
            size = f"bytes={given['bytes']!r}, bpp={given['bpp']!r}"
            fault = fault or f"expected bytes or bpp above 0, got {size}."
        yield Listed(
            as_on_disk(table.parent / given["original"]),
            as_on_disk(table.parent / given["decoded"]),
            **numbers,
            fault=fault and f"line {line} of {table}: {fault}",
        )


def _read(path: Path) -> images.Image:
    try:
        return images.decode_image(path, read_bytes(path, "an image", ImageError), opaque=True)
    except ImageError as error:
        raise CodecError(f"{error} Or correct the table.") from error


def _content(image: Image) -> str:
    return f"{image.shape} {images.pixels_sha256(image)}"


def _note(data: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(data))
    except ValueError as error:
        raise CodecError(
            f"expected a note of a precomputed result, got {len(data)} other bytes. "
            "Decode with the codec that encoded them."
        ) from error
