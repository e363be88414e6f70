"""Image files taken apart: what decoders need, and apart from it what is said about the picture.

Decoders get the file without its metadata, so that whatever is broken there (EXIF, profiles, text,
pointers to further pages) cannot keep whole pixels from being read, nor turn them. Structure that
tells whether the picture is whole is checked on the way.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MOST_PROFILE = 2**24
"""Bytes of an ICC profile; what unpacks to more is left alone."""
ORIENTATION, BITS, COMPRESSION, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT = 274, 258, 259, 262, 284, 339
_DESCRIPTION = {269, 270, 271, 272, 285, 305, 306, 315, 316, 330, ORIENTATION}
_LAST_PIXEL_TAG, _PROFILE, _DNG = 699, 34675, 50706
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_ADOBE = 12
"""Bytes of a whole Adobe segment, which says what colours the samples of a JPEG are."""
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_HEIF_EXIF = re.compile(rb"(infe\x02.{7})Exif", re.DOTALL)
_WEBP_METADATA = {b"EXIF": 0x08, b"XMP ": 0x04, b"ICCP": 0x20}
"""Chunks of metadata and their flags."""


class DamagedError(Exception):
    """What is wrong with a file's structure: ``truncated`` or not."""

    def __init__(self, message: str, truncated: bool = False) -> None:
        super().__init__(message)
        self.truncated = truncated


@dataclass
class Contents:
    """An image file taken apart.

    Args:
        picture: the file without metadata.
        exif: the EXIF block from its byte order on; empty without one.
        icc: the ICC profile; empty without one.
        nclx: primaries and transfer function of a HEIC or AVIF, 2 bytes each; empty without.
        color: PNG's chunks ``gAMA``, ``cHRM``, ``sRGB`` and ``cICP``.
        orientation: of the file's own tag (TIFF), None where it is EXIF's to say.
        frames: pictures in the file; None where only its decoder knows.
        tags: of a TIFF's first picture.
    """

    picture: bytes
    exif: bytes = b""
    icc: bytes = b""
    nclx: bytes = b""
    color: dict[bytes, bytes] = field(default_factory=dict)
    orientation: int | None = None
    frames: int | None = None
    tags: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def take_apart(image_format: str, data: bytes) -> Contents:
    """The contents of a file of a format of :data:`~nacd_bench.triplets.formats.FORMATS`.

    Raises:
        DamagedError: the picture is not whole.
    """
    parts = {"PNG": _png, "JPEG": _jpeg, "WebP": _webp, "TIFF": _tiff, "HEIC": _heif, "AVIF": _heif}
    return parts[image_format](data) if image_format in parts else Contents(data)


def exif_orientation(block: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8; 1 where it says nothing or nonsense.

    Raises:
        ValueError: the block cannot be read.
    """
    block = block.removeprefix(b"Exif\0\0")
    if block[:4] not in (b"II*\0", b"MM\0*"):
        raise ValueError("it does not begin as EXIF does")
    value = _Ifd(block).tags.get(ORIENTATION, (1,))[0]
    return value if 1 <= value <= 8 else 1


# --- PNG


def _png(data: bytes) -> Contents:
    contents = Contents(b"", frames=1)
    kept = [data[:8]]
    position, kind = 8, b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise DamagedError(f"its {len(data)} bytes end before the end chunk", truncated=True)
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise DamagedError(f"its {len(data)} bytes end inside a chunk", truncated=True)
        is_pixels = not kind[0] & 0x20 or kind == b"tRNS"
        is_whole = (
            zlib.crc32(memoryview(data)[position + 4 : end])
            == struct.unpack_from(">I", data, end)[0]
        )
        if is_pixels and not is_whole:
            raise DamagedError(f"wrong checksum in chunk {kind.decode('ascii', 'replace')!r}")
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
    kept, profile = [data[:2]], []
    scans = _Scans()
    position, code = 2, 0
    while code != 0xD9:
        marker = _JPEG_MARKER.search(data, position)
        if marker is None:
            raise DamagedError(f"its {len(data)} bytes have no end marker", truncated=True)
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
            scans.add(code, body)
    fault = scans.fault
    if fault:
        raise DamagedError(fault)
    contents.icc = b"".join(part[2:] for part in sorted(profile))
    contents.picture = b"".join(kept)
    return contents


class _Scans:
    """Which of a JPEG's coefficients its scans bring, and to which bit."""

    def __init__(self) -> None:
        self.is_progressive = False
        self.lowest: dict[int, list[int]] = {}

    def add(self, code: int, body: bytes) -> None:
        """Note a frame's or scan's header."""
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            self.is_progressive = code in (0xC2, 0xC6, 0xCA, 0xCE)
            self.lowest = {component: [99] * 64 for component in body[6::3]}
        elif code == 0xDA and body:
            count = body[0]
            first, last, bits = (*body[1 + 2 * count : 4 + 2 * count], 0, 0, 0)[:3]
            for component in body[1 : 1 + 2 * count : 2]:
                lowest = self.lowest.setdefault(component, [99] * 64)
                band = range(first, min(last, 63) + 1) if self.is_progressive else range(64)
                for place in band:
                    lowest[place] = bits & 15 if self.is_progressive else 0

    @property
    def fault(self) -> str:
        """What the scans do not bring, or nothing."""
        if not self.lowest:
            return "it has no picture in it"
        if any(bit for lowest in self.lowest.values() for bit in lowest):
            return "scans are missing: it ends before its full quality"
        return ""


# --- WebP


def _webp(data: bytes) -> Contents:
    contents = Contents(b"")
    size = 8 + int.from_bytes(data[4:8], "little")
    if size > len(data):
        raise DamagedError(f"its {len(data)} bytes are fewer than {size}", truncated=True)
    kept = []
    position = 12
    while position + 8 <= size:
        kind = data[position : position + 4]
        end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : min(end, size)]
        if kind not in _WEBP_METADATA:
            kept.append(data[position : end + end % 2])
        elif end <= size:
            contents.exif = body if kind == b"EXIF" else contents.exif
            contents.icc = body if kind == b"ICCP" else contents.icc
        position = end + end % 2
    if kept and kept[0][:4] == b"VP8X" and len(kept[0]) > 8:
        kept[0] = kept[0][:8] + bytes([kept[0][8] & ~sum(_WEBP_METADATA.values())]) + kept[0][9:]
    body = b"WEBP" + b"".join(kept)
    contents.picture = b"RIFF" + struct.pack("<I", len(body)) + body
    return contents


# --- HEIC and AVIF


def _heif(data: bytes) -> Contents:
    place = data.find(b"colrnclx") + 8
    # whoever opens the file reads its EXIF block, though only the boxes irot and imir count
    picture = _HEIF_EXIF.sub(rb"\1free", data, count=8)
    return Contents(picture, nclx=data[place : place + 4] if place >= 8 else b"")


# --- TIFF


class _Ifd:
    """A directory of a TIFF file or an EXIF block.

    Args:
        data: the whole file or block.
        place: of the directory; by default the first.

    Raises:
        ValueError: it does not lie inside the data.
    """

    def __init__(self, data: bytes, place: int | None = None) -> None:
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = data[2:4] in (b"+\0", b"\0+")
        count, offset, self.entry = ("Q", "Q", 20) if self.is_big else ("H", "I", 12)
        self.count_format, self.offset_format = self.order + count, self.order + offset
        self.data = data
        try:
            if place is None:
                (place,) = struct.unpack_from(self.offset_format, data, 8 if self.is_big else 4)
            self.place = place
            (self.count,) = struct.unpack_from(self.count_format, data, place)
            self.start = place + struct.calcsize(self.count_format)
            self.end = self.start + self.count * self.entry
            if self.end > len(data):
                raise ValueError("its directory is cut short")
            # the pointer behind the last entry may be missing
            self.next = int.from_bytes(
                data[self.end : self.end + struct.calcsize(self.offset_format)],
                "little" if self.order == "<" else "big",
            )
        except struct.error as error:
            raise ValueError("its directory lies outside") from error

    @property
    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Tags with their entries."""
        for place in range(self.start, self.end, self.entry):
            entry = self.data[place : place + self.entry]
            yield struct.unpack_from(self.order + "H", entry)[0], entry

    def values(self, entry: bytes) -> bytes:
        """The bytes of an entry's values; empty where they lie outside."""
        kind = struct.unpack_from(self.order + "H", entry, 2)[0]
        (count,) = struct.unpack_from(self.offset_format, entry, 4)
        size = _SIZES.get(kind, 0) * count
        width = struct.calcsize(self.offset_format)
        if size <= width:
            return entry[4 + width : 4 + width + size]
        (place,) = struct.unpack_from(self.offset_format, entry, 4 + width)
        return self.data[place : place + size] if place + size <= len(self.data) else b""

    @property
    def tags(self) -> dict[int, tuple[int, ...]]:
        """The tags that hold whole numbers."""
        numbers = {}
        for tag, entry in self.entries:
            letter = _LETTERS.get(struct.unpack_from(self.order + "H", entry, 2)[0])
            values = self.values(entry) if letter else b""
            if values:
                count = len(values) // struct.calcsize(f"={letter}")
                numbers[tag] = struct.unpack(f"{self.order}{count}{letter}", values)
        return numbers


def _tiff(data: bytes) -> Contents:
    try:
        first = _Ifd(data)
    except ValueError as error:
        raise DamagedError(str(error), truncated=True) from error
    tags = first.tags
    if data[8:10] == b"CR" or _DNG in tags or tags.get(PHOTOMETRIC) == (32803,):
        raise DamagedError("it is a camera's raw file")
    if tags.get(254, (0,))[0] & 1:
        raise DamagedError("its first picture is a preview, as in a camera's raw file")
    _require_whole_strips(tags, len(data))
    kept = [e for tag, e in first.entries if tag <= _LAST_PIXEL_TAG and tag not in _DESCRIPTION]
    picture = bytearray(data)
    table = struct.pack(first.count_format, len(kept)) + b"".join(kept)
    table += bytes(struct.calcsize(first.offset_format))  # no next picture
    begin = first.start - struct.calcsize(first.count_format)
    picture[begin : begin + len(table)] = table
    orientation = tags.get(ORIENTATION, (1,))[0]
    return Contents(
        bytes(picture),
        icc=next((first.values(entry) for tag, entry in first.entries if tag == _PROFILE), b""),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        frames=1 + _further_pictures(data, first),
        tags=tags,
    )


def _further_pictures(data: bytes, ifd: _Ifd) -> int:
    """Pictures behind the first that can be found and are no smaller versions of another."""
    count, seen = 0, {ifd.place}
    while ifd.next and ifd.next not in seen and len(seen) < 1000:
        seen.add(ifd.next)
        try:
            ifd = _Ifd(data, ifd.next)
        except ValueError:
            break
        tags = ifd.tags
        if not {256, 257} <= tags.keys():
            break
        count += not tags.get(254, (0,))[0] & 1
    return count


def _require_whole_strips(tags: Mapping[int, tuple[int, ...]], size: int) -> None:
    for places, counts in ((273, 279), (324, 325)):
        for place, count in zip(tags.get(places, ()), tags.get(counts, ()), strict=False):
            if place + count > size:
                raise DamagedError(f"its {size} bytes end inside the pixels", truncated=True)
    counts_there = tags.get(279, ())
    if tags.get(COMPRESSION, (1,)) != (1,) or not all(counts_there) or not counts_there:
        return
    width, height, bits = tags.get(256, (0,))[0], tags.get(257, (0,))[0], tags.get(BITS, (1,))
    samples = tags.get(277, (1,))[0]
    deepest = max(bits)
    planes = samples if tags.get(PLANAR, (1,)) == (2,) else 1
    line = (width * deepest * (samples // planes) + 7) // 8
    if tags.get(PHOTOMETRIC, (0,))[0] == 6:  # chroma may be of lower resolution
        line = (width * deepest + 7) // 8
    if sum(counts_there) < line * height * planes:
        raise DamagedError("its strips are shorter than its lines", truncated=True)
