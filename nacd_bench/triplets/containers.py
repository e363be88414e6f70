"""Image files taken apart: what decoders need, and apart from it what is said about the picture.

Decoders get the file without its metadata, so that whatever is broken there (EXIF, profiles, text,
pointers to further pages) cannot keep whole pixels from being read, nor turn them. Structure that
tells whether the picture is whole is checked on the way.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_PROFILE = 2**24
"""Bytes of an ICC profile; what unpacks to more is left alone."""
ORIENTATION, BITS, COMPRESSION, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT = 274, 258, 259, 262, 284, 339
_DESCRIPTION = {269, 270, 271, 272, 285, 305, 306, 315, 316, 330, ORIENTATION}
_LAST_PIXEL_TAG, _DNG = 699, 50706
_ADOBE = 12
"""Bytes of a whole Adobe segment, which says what colours the samples of a JPEG are."""
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SPACE = rb"(?:\s|#[^\n]*\n)+"
PPM_HEADER = re.compile(rb"P([2356])" + (_SPACE + rb"(\d+)") * 3 + rb"\s")
"""Kind, width, height and largest value."""
_HEIF_EXIF = re.compile(rb"(infe\x02.{7})Exif", re.DOTALL)


class DamagedError(Exception):
    """The picture is not whole: ``"truncated"`` or ``"damaged"``, and what shows it."""


@dataclass
class Contents:
    """An image file taken apart.

    Args:
        picture: the file without metadata.
        exif: the EXIF block from its byte order on; empty without one.
        icc: the ICC profile; empty without one.
        nclx: primaries and transfer function of a HEIC or AVIF, 2 bytes each; empty without.
        color: PNG's chunks ``gAMA``, ``cHRM``, ``sRGB`` and ``cICP``.
        orientation: of the file's own tag (TIFF), as :func:`exif_orientation`; None where it is
            EXIF's to say.
        frames: pictures in the file; None where only its decoder knows.
        tags: of a TIFF's first picture.
    """

    picture: bytes
    exif: bytes = b""
    icc: bytes = b""
    nclx: bytes = b""
    color: dict[bytes, bytes] = field(default_factory=dict)
    orientation: tuple[int, str] | None = None
    frames: int | None = None
    tags: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def take_apart(image_format: str, data: bytes) -> Contents:
    """The contents of a file of a format of :data:`~nacd_bench.triplets.formats.FORMATS`.

    Raises:
        DamagedError: the picture is not whole.
    """
    parts = {"PNG": _png, "JPEG": _jpeg, "TIFF": _tiff, "HEIC": _heif, "AVIF": _heif}
    return parts[image_format](data) if image_format in parts else Contents(data)


def largest_sample(contents: Contents, image_format: str) -> int:
    """The largest value of a sample, by the file's header or its bits."""
    data, bits = contents.picture, 8
    if image_format == "PPM" and (header := PPM_HEADER.match(data)):
        return int(header[4])
    if image_format == "PNG":
        bits = data[24]
    elif image_format == "TIFF":
        bits = max(contents.tags.get(BITS, (1,)))
    elif image_format == "AVIF":
        flags = data[data.find(b"av1C") + 6]
        bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    elif image_format == "JPEG 2000":
        sizes = data.find(b"\xff\x4f\xff\x51") + 40
        count = int.from_bytes(data[sizes : sizes + 2], "big")
        bits = max((byte & 0x7F) + 1 for byte in data[sizes + 2 : sizes + 2 + 3 * count : 3])
    return 2**bits - 1


def exif_orientation(block: bytes) -> tuple[int, str]:
    """The orientation in an EXIF block, 1 to 8, and why the block cannot be read.

    It is 1 where the block is empty, unreadable, or says nothing or nonsense.
    """
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1, "it does not begin as EXIF does" if block else ""
    try:
        (place,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(order + "HHIHxx", block, entry)
            if tag == ORIENTATION and kind == 3 and number:
                return value if 1 <= value <= 8 else 1, ""
    except struct.error:
        return 1, "its directory lies outside or is cut short"
    return 1, ""


# --- PNG


def _png(data: bytes) -> Contents:
    contents = Contents(b"", frames=1)
    kept = [data[:8]]
    position, kind = 8, b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise DamagedError("truncated", f"its {len(data)} bytes end before the end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise DamagedError("truncated", f"its {len(data)} bytes end inside a chunk")
        is_pixels = not kind[0] & 0x20 or kind == b"tRNS"
        is_whole = (
            zlib.crc32(memoryview(data)[position + 4 : end])
            == struct.unpack_from(">I", data, end)[0]
        )
        if is_pixels and not is_whole:
            raise DamagedError(
                "damaged", f"wrong checksum in chunk {kind.decode('ascii', 'replace')!r}"
            )
        if is_pixels:
            kept.append(data[position : end + 4])
        elif is_whole:
            _png_metadata(contents, kind, data[position + 8 : end])
        position = end + 4
    contents.picture = b"".join(kept)
    return contents


def _png_metadata(contents: Contents, kind: bytes, body: bytes) -> None:
    if kind == b"eXIf":
        contents.exif = body
    elif kind == b"iCCP":
        packed = body.partition(b"\0")[2][1:]
        unpacker = zlib.decompressobj()
        try:
            profile = unpacker.decompress(packed, MOST_PROFILE)
        except zlib.error:
            return
        contents.icc = profile if unpacker.eof else b""
    elif kind in (b"gAMA", b"cHRM", b"sRGB", b"cICP"):
        contents.color[kind] = body
    elif kind == b"acTL" and len(body) == 8:
        contents.frames = max(1, int.from_bytes(body[:4], "big"))


# --- JPEG


def _jpeg(data: bytes) -> Contents:
    contents = Contents(b"", frames=1)  # what lies behind its end is a preview or a depth map
    kept, profile, segments = [data[:2]], [], []
    position, code = 2, 0
    while code != 0xD9:
        marker = _JPEG_MARKER.search(data, position)
        if marker is None:
            raise DamagedError("truncated", f"its {len(data)} bytes have no end marker")
        kept.append(data[position : marker.start()])
        code = data[marker.start() + 1]
        end = marker.end()
        if code not in (0xD8, 0xD9):
            end += int.from_bytes(data[end : end + 2], "big")
        body = data[marker.end() + 2 : end]
        position = end
        if code == 0xE1 and body.startswith(b"Exif\0\0"):
            contents.exif = contents.exif or body[6:]
        elif code == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile.append(body[12:])
        elif code == 0xE0 and body.startswith(b"JFIF\0"):
            # a decoder only warns of a later version, and of damage only when it is the first
            kept.append(b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0")
        elif code == 0xEE and len(body) < _ADOBE:
            pass  # libjpeg looks at whole ones only, Pillow breaks off
        elif not (0xE0 <= code <= 0xED or code in (0xEF, 0xFE)):
            kept.append(data[marker.start() : end])
            segments.append((code, body))
    if fault := _scans_fault(segments):
        raise DamagedError("damaged", fault)
    contents.icc = b"".join(part[2:] for part in sorted(profile))
    contents.picture = b"".join(kept)
    return contents


def _scans_fault(segments: Sequence[tuple[int, bytes]]) -> str:
    """What the scans of a JPEG do not bring of its coefficients to the last bit, or nothing.

    Args:
        segments: codes of markers with their bodies.
    """
    is_progressive = False
    lowest: dict[int, list[int]] = {}
    for code, body in segments:
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            is_progressive = code in (0xC2, 0xC6, 0xCA, 0xCE)
            lowest = {component: [99] * 64 for component in body[6::3]}
        elif code == 0xDA and body:
            end = 1 + 2 * body[0]
            first, last, bits = (*body[end : end + 3], 0, 0, 0)[:3]
            for component in body[1:end:2]:
                bits_of = lowest.setdefault(component, [99] * 64)
                band = range(first, min(last, 63) + 1) if is_progressive else range(64)
                for place in band:
                    bits_of[place] = bits & 15 if is_progressive else 0
    if not lowest:
        return "it has no picture in it"
    is_whole = not any(bit for component in lowest.values() for bit in component)
    return "" if is_whole else "scans are missing: it ends before its full quality"


# --- HEIC and AVIF


def _heif(data: bytes) -> Contents:
    place = data.find(b"colrnclx") + 8
    # whoever opens the file reads its EXIF block, though only the boxes irot and imir count
    picture = _HEIF_EXIF.sub(rb"\1free", data, count=8)
    return Contents(picture, nclx=data[place : place + 4] if place >= 8 else b"")


# --- TIFF


def _tiff(data: bytes) -> Contents:
    """With a directory of the first picture's pixels alone, written over its own."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # broken tags are no matter here
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages: list[Any] = list(file.pages)
            page, order, is_big = pages[0], file.byteorder, file.is_bigtiff
    except Exception as error:  # of whatever kind: damage shows everywhere
        raise DamagedError("truncated", f"its directories: {error}") from error
    tags = {tag.code: _whole_numbers(tag.value) for tag in page.tags}
    if data[8:10] == b"CR" or _DNG in tags or tags.get(PHOTOMETRIC) == (32803,):
        raise DamagedError("damaged", "it is a camera's raw file")
    if page.is_reduced:
        raise DamagedError("damaged", "its first picture is a preview, as in a camera's raw file")
    _require_whole_strips(tags, len(data))
    size, count_format, offset = (20, "Q", 8) if is_big else (12, "H", 4)
    entries = [
        data[tag.offset : tag.offset + size]
        for tag in page.tags
        if tag.code <= _LAST_PIXEL_TAG and tag.code not in _DESCRIPTION
    ]
    table = struct.pack(order + count_format, len(entries)) + b"".join(entries) + bytes(offset)
    orientation = tags.get(ORIENTATION, (1,))[0]
    return Contents(
        data[: page.offset] + table + data[page.offset + len(table) :],
        icc=page.iccprofile or b"",
        orientation=(orientation if 1 <= orientation <= 8 else 1, ""),
        frames=1 + sum(other.imagewidth and not other.is_reduced for other in pages[1:]),
        tags=tags,
    )


def _whole_numbers(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(map(int, values)) if all(isinstance(number, int) for number in values) else ()


def _require_whole_strips(tags: Mapping[int, tuple[int, ...]], size: int) -> None:
    for places, counts in ((273, 279), (324, 325)):
        for place, count in zip(tags.get(places, ()), tags.get(counts, ()), strict=False):
            if place + count > size:
                raise DamagedError("truncated", f"its {size} bytes end inside the pixels")
    lengths = tags.get(279, ())
    if tags.get(COMPRESSION, (1,)) != (1,) or not all(lengths) or not lengths:
        return
    (width, *_), (height, *_), (samples, *_) = (tags.get(tag, (1,)) for tag in (256, 257, 277))
    planes = samples if tags.get(PLANAR, (1,)) == (2,) else 1
    if tags.get(PHOTOMETRIC, (0,))[0] == 6:  # chroma may be of lower resolution
        samples = planes
    line = (width * max(tags.get(BITS, (1,))) * (samples // planes) + 7) // 8
    if sum(lengths) < line * height * planes:
        raise DamagedError("truncated", "its strips are shorter than its lines")
