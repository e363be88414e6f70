"""Results of a codec that ran elsewhere: decoded images and their byte counts on disk.

They are listed in a CSV file with a header and the columns ``original``, ``decoded``, ``bytes`` (or
``bpp``) and ``point``; paths are relative to the file, other columns are ignored::

    original,point,decoded,bytes
    photos/a.png,0.25,decoded/a_025.png,12288

An image is recognised by its pixels, not by its name.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_codecs.image_files import read_png


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
        self.table = Path(table)
        self.software = software
        self.rate_is_estimated = estimated
        self.rows = list(_rows(self.table))
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
            raise CodecError(
                f"{self.table} has no result at {self.points.name} {point:g} for this image of "
                f"{image.shape[1]} x {image.shape[0]}. Add a row whose original has its pixels."
            )
        size = row.size
        if size is None:
            size = (row.bpp or 0.0) * image.shape[0] * image.shape[1] / 8
        digest = hashlib.sha256(row.decoded.read_bytes()).hexdigest()
        stands_for = {"decoded": str(row.decoded), "sha256": digest, "bytes": size}
        return json.dumps(stands_for, sort_keys=True).encode()

    def decode(self, data: bytes) -> Image:
        return _read(Path(_note(data)["decoded"]))

    def rate_bytes(self, data: bytes) -> float:
        return float(_note(data)["bytes"])

    @cached_property
    def _by_content(self) -> dict[tuple[str, float], Row]:
        contents = {path: _content(_read(path)) for path in {row.original for row in self.rows}}
        return {(contents[row.original], row.point): row for row in self.rows}


def _rows(table: Path) -> Iterator[Row]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, lines = set(reader.fieldnames or ()), list(reader)
    except OSError as error:
        raise CodecError(
            f"expected a CSV file of results, got {table}: {error.strerror}. Give its path."
        ) from error
    missing = {"original", "point", "decoded"} - columns
    if missing or not columns & {"bytes", "bpp"}:
        missing |= set() if columns & {"bytes", "bpp"} else {"bytes"}
        raise CodecError(
            f"{table} lacks the columns {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(columns)) or 'none'}. Name them in its first line."
        )
    if not lines:
        raise CodecError(f"expected at least one result in {table}, got only its first line.")
    for number, line in enumerate(lines, start=2):
        try:
            size = float(line["bytes"]) if line.get("bytes") else None
            bpp = float(line["bpp"]) if line.get("bpp") else None
            point = float(line["point"])
        except ValueError as error:
            raise CodecError(f"line {number} of {table}: expected numbers, got {error}.") from error
        if not max(size or 0, bpp or 0) > 0:
            raise CodecError(
                f"line {number} of {table}: expected bytes or bpp above 0, got "
                f"bytes={line.get('bytes')!r}, bpp={line.get('bpp')!r}."
            )
        folder = table.parent
        yield Row(folder / line["original"], point, folder / line["decoded"], size, bpp)


def _read(path: Path) -> Image:
    from PIL import Image as Pillow

    try:
        data = path.read_bytes()
        if data.startswith(b"\x89PNG"):
            return read_png(data)
        with Pillow.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise CodecError(
            f"expected an image in {path}, got {type(error).__name__}: {error}. Correct the table."
        ) from error


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
