"""Results of a codec that ran elsewhere: decoded images and their byte counts on disk.

They are listed in a CSV file with a header and the columns ``original``, ``decoded``, ``bytes`` (or
``bpp``) and ``point``; paths are relative to the file, other columns are ignored::

    original,point,decoded,bytes
    photos/a.png,0.25,decoded/a_025.png,12288

An image is recognised by its pixels, not by its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.codec import Codec, Image, OperatingPoints
from nacd_bench.data import images
from nacd_bench.data.files import as_on_disk, read_bytes
from nacd_bench.data.rows import finite_number
from nacd_bench.data.sides import other_way
from nacd_bench.data.text_files import csv_entries, read_text
from nacd_bench.errors import CodecError, DataError, ImageError


@dataclass(frozen=True)
class Row:
    """One result: where it is and what it cost."""

    original: Path
    point: float
    decoded: Path
    size: float | None
    """Bytes, or None where the table gives bits per pixel."""
    bpp: float | None


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
        self._unread: list[str] = []
        rates = {row.point: [] for row in self.rows}  # type: dict[float, list[float]]
        for row in self.rows:
            rates[row.point].append(row.size if row.size is not None else row.bpp or 0.0)
        rising = sorted(rates, key=lambda point: (np.mean(rates[point]), point))
        self.points = OperatingPoints(point_name, tuple(rising), slope=0.8)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "table_sha256": hashlib.sha256(self.table.read_bytes()).hexdigest()[:16],
            "estimated": self.rate_is_estimated,
        }

    def version(self) -> str:
        return self.software

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        row = self._by_content.get((_content(image), point))
        if row is None:
            unread = f" Originals that cannot be read: {self._unread[0]}" if self._unread else ""
            raise CodecError(
                f"{self.table} has no result at {self.points.name} {point:g} for this image of "
                f"{image.shape[1]} x {image.shape[0]}. Add a row whose original has its pixels."
                f"{unread}"
            )
        size = row.size
        if size is None:
            size = (row.bpp or 0.0) * image.shape[0] * image.shape[1] / 8
        original, decoded = _read(row.original), _read(row.decoded)
        way = (
            other_way(original, decoded) if original.pixels.shape == decoded.pixels.shape else None
        )
        if way:
            raise CodecError(f"{row.decoded}: expected the pixels of {row.original}, got {way}")
        digest = decoded.sha256
        stands_for = {"decoded": str(row.decoded), "sha256": digest, "bytes": size}
        return json.dumps(stands_for, sort_keys=True).encode()

    def decode(self, data: bytes) -> Image:
        return images.to_8_bit(_read(Path(_note(data)["decoded"])))

    def rate_bytes(self, data: bytes) -> float:
        return float(_note(data)["bytes"])

    @cached_property
    def _by_content(self) -> dict[tuple[str, float], Row]:
        contents = {}
        for path in dict.fromkeys(row.original for row in self.rows):
            try:
                contents[path] = _content(images.to_8_bit(_read(path)))
            except CodecError as error:  # costs only the image that it is an original of
                self._unread.append(str(error))
        rows = [row for row in self.rows if row.original in contents]
        return {(contents[row.original], row.point): row for row in rows}


def _rows(table: Path) -> Iterator[Row]:
    try:
        entries = csv_entries(table, read_text(table, "a CSV file of results", CodecError))
    except DataError as error:
        raise CodecError(str(error)) from error
    columns = set(entries[0].cells) if entries else set()
    if not entries:
        raise CodecError(f"expected at least one result in {table}, got at most its first line.")
    missing = {"original", "point", "decoded"} - columns
    if missing or not columns & {"bytes", "bpp"}:
        missing |= set() if columns & {"bytes", "bpp"} else {"bytes"}
        raise CodecError(
            f"{table} lacks the columns {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(columns)) or 'none'}. Name them in its first line."
        )
    for _, line, cells, fault in entries:
        if fault:
            raise CodecError(f"line {line} of {table}: {fault}")
        numbers = {name: finite_number(cells.get(name)) for name in ("bytes", "bpp", "point")}
        given = {name: cells.get(name, "").strip() for name in numbers}
        odd = [name for name in numbers if given[name] and numbers[name] is None]
        if odd or numbers["point"] is None:
            name = odd[0] if odd else "point"
            raise CodecError(
                f"line {line} of {table}: expected a number in {name}, got {given[name]!r}."
            )
        size, bpp = numbers["bytes"], numbers["bpp"]
        if not max(size or 0, bpp or 0) > 0:
            raise CodecError(
                f"line {line} of {table}: expected bytes or bpp above 0, got "
                f"bytes={given['bytes']!r}, bpp={given['bpp']!r}."
            )
        original, decoded = (
            as_on_disk(table.parent / cells[name].strip()) for name in ("original", "decoded")
        )
        yield Row(original, numbers["point"], decoded, size, bpp)


def _read(path: Path) -> images.Image:
    try:
        return images.decode_image(path, read_bytes(path, "an image", ImageError), opaque=True)
    except ImageError as error:
        raise CodecError(f"{error} Or correct the table.") from error


def _content(image: Image) -> str:
    return hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).data).hexdigest()


def _note(data: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(data))
    except ValueError as error:
        raise CodecError(
            f"expected a note of a precomputed result, got {len(data)} other bytes. "
            "Decode with the codec that encoded them."
        ) from error
