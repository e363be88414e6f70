"""The picture in an HEVC or VVC stream, and the padding around the image in it.

Size, chroma format and bit depth are read from the stream's sequence parameter set (Rec. ITU-T
H.265, 7.3.2.2; H.266, 7.3.2.4), so that the bytes of a codec are the encoder's own file, with
nothing around it, and any decoder plays them.

One thing has no place in such a stream: the rows and columns by which an image was padded, to an
even size for 4:2:0. :func:`mark_padding` appends a unit of a type that the standards leave to
applications, 6 bytes (AV1: 7) that every decoder skips. They count as rate like all others, and
the stream of an image that needs no padding has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nacd_bench.errors import CodecError

MARK = {
    "hevc": b"\0\0\1\x7e\x01",
    "vvc": b"\0\0\1\x00\xf9",
    "av1": b"\x7a\x05nacd",
}
"""What comes before the byte with the padding: start code and header of a unit of unspecified type
(63 of HEVC, 31 of VVC), or the header of a padding unit of AV1 (type 15) and four letters."""
CONSTRAINT_BITS = 71
"""Flags of VVC's general constraints, between the presence flag and the count of later ones."""


@dataclass(frozen=True)
class CodedPicture:
    """What a decoder will put out.

    Args:
        width: width of Y.
        height: height of Y.
        chroma: 400, 420, 422 or 444.
        depth: bits per sample.
    """

    width: int
    height: int
    chroma: int
    depth: int


def coded_picture(data: bytes, standard: str) -> CodedPicture:
    """The picture that an Annex B stream of ``standard`` (``"hevc"``, ``"vvc"``) holds.

    Raises:
        CodecError: there is no sequence parameter set, or it is damaged.
    """
    is_parameter_set, parse = PARAMETER_SETS[standard]
    for start in re.finditer(b"\0\0\1", data):
        unit = data[start.end() : start.end() + 512]  # a parameter set is shorter
        if len(unit) > 2 and is_parameter_set(unit):
            try:
                return parse(_Bits(unit[2:].replace(b"\0\0\3", b"\0\0")))
            except (ValueError, IndexError) as error:
                raise CodecError(
                    "the stream's sequence parameter set is damaged; encode again."
                ) from error
    raise CodecError(
        f"expected a stream of {standard.upper()} with a sequence parameter set, got {len(data)} "
        "bytes without one. They are damaged or another codec's; encode the image again."
    )


def mark_padding(data: bytes, standard: str, columns: int, rows: int) -> bytes:
    """The stream, with a unit at its end that holds the padding, 0 to 7 columns and rows.

    >>> mark_padding(b"", "hevc", 0, 0), mark_padding(b"", "hevc", 1, 0).hex()
    (b'', '0000017e0181')
    """
    if not columns and not rows:
        return data
    return data + MARK[standard] + bytes([0x80 | rows << 3 | columns])


def split_padding(data: bytes, standard: str) -> tuple[bytes, int, int]:
    """The stream without that unit, and the columns and rows to cut off its picture.

    >>> split_padding(mark_padding(b"stream", "vvc", 1, 7), "vvc")
    (b'stream', 1, 7)
    """
    mark = MARK[standard]
    if data[-len(mark) - 1 : -1] != mark:
        return data, 0, 0
    return data[: -len(mark) - 1], data[-1] & 7, data[-1] >> 3 & 7


class _Bits:
    """Reads unsigned integers from bytes, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def u(self, count: int) -> int:
        self.at += count
        return int(self.bits[self.at - count : self.at] or "0", 2)

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (H.265, 9.2)."""
        zeros = self.bits.index("1", self.at) - self.at
        self.at += zeros
        return self.u(zeros + 1) - 1

    def align(self) -> None:
        self.at += -self.at % 8


def _hevc(bits: _Bits) -> CodedPicture:
    bits.u(4)  # video parameter set
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(96)  # general profile, tier and level
    if sub_layers:
        present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
        bits.u(2 * (8 - sub_layers))
        for profile, level in present:
            bits.u(88 * profile + 8 * level)
    bits.ue()  # identifier
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    return _size_and_depth(bits, chroma)


def _vvc(bits: _Bits) -> CodedPicture:
    bits.u(8)  # identifiers
    sub_layers = bits.u(3)
    chroma = bits.u(2)
    bits.u(2)  # coding tree unit
    if bits.u(1):
        bits.u(18)  # profile, tier, level, two flags
        if bits.u(1):
            bits.u(CONSTRAINT_BITS)
            bits.u(bits.u(8))
        bits.align()
        levels = sum(bits.u(1) for _ in range(sub_layers))
        bits.align()
        bits.u(8 * levels)
        bits.u(32 * bits.u(8))
    bits.u(1)
    if bits.u(1):  # reference picture resampling
        bits.u(1)
    return _size_and_depth(bits, chroma, subpictures=True)


def _size_and_depth(bits: _Bits, chroma: int, subpictures: bool = False) -> CodedPicture:
    width, height = bits.ue(), bits.ue()
    if bits.u(1):  # conformance window, in chroma samples
        horizontal = 2 if chroma in (1, 2) else 1
        vertical = 2 if chroma == 1 else 1
        width -= horizontal * (bits.ue() + bits.ue())
        height -= vertical * (bits.ue() + bits.ue())
    if subpictures and bits.u(1):
        raise ValueError("subpictures")
    return CodedPicture(width, height, (400, 420, 422, 444)[chroma], 8 + bits.ue())


PARAMETER_SETS: dict[str, tuple[Callable[[bytes], bool], Callable[[_Bits], CodedPicture]]] = {
    "hevc": (lambda unit: (unit[0] >> 1) & 63 == 33, _hevc),
    "vvc": (lambda unit: unit[1] >> 3 == 15, _vvc),
}
"""By standard: whether a unit is a sequence parameter set, and its reader."""
