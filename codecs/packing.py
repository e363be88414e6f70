"""The strings of a learned codec as one bitstream, with nothing in it that a decoder does not need.

Layout: image height and width, the shape of the latent, the number of strings, the length of each,
then the strings. Numbers are LEB128: seven bits per byte, the top bit says that another byte
follows. For an image of 768 x 512 with two strings that is about 12 bytes, which count as rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nacd_bench.errors import CodecError


@dataclass(frozen=True)
class Packed:
    """What a learned decoder needs.

    Args:
        height, width: size of the image, without padding.
        shape: shape of the latent, empty where the module's strings carry it.
        strings: entropy-coded strings.
    """

    height: int
    width: int
    shape: tuple[int, ...]
    strings: tuple[bytes, ...]


def pack(packed: Packed) -> bytes:
    """One bitstream.

    >>> data = pack(Packed(512, 768, (8, 12), (b"hyper", b"latent")))
    >>> len(data) - len(b"hyperlatent"), unpack(data).strings
    (10, (b'hyper', b'latent'))
    """
    numbers = [packed.height, packed.width, len(packed.shape), *packed.shape, len(packed.strings)]
    numbers += [len(string) for string in packed.strings]
    return b"".join(_number(value) for value in numbers) + b"".join(packed.strings)


def unpack(data: bytes) -> Packed:
    """The inverse of :func:`pack`; :class:`CodecError` for a damaged bitstream."""
    reader = _Reader(data)
    height, width = reader.number(), reader.number()
    shape = tuple(reader.numbers())
    lengths = reader.numbers()
    strings = tuple(reader.string(length) for length in lengths)
    if reader.position != len(data):
        raise _damaged(data, f"{len(data) - reader.position} bytes too many")
    return Packed(height, width, shape, strings)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def number(self) -> int:
        value = shift = 0
        while True:
            if self.position >= len(self.data):
                raise _damaged(self.data, "cut short in its header")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def numbers(self) -> Sequence[int]:
        count = self.number()
        if count > len(self.data):
            raise _damaged(self.data, f"{count} numbers announced")
        return [self.number() for _ in range(count)]

    def string(self, length: int) -> bytes:
        if length > len(self.data) - self.position:
            raise _damaged(self.data, "cut short")
        self.position += length
        return self.data[self.position - length : self.position]


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _damaged(data: bytes, how: str) -> CodecError:
    return CodecError(
        f"expected a bitstream of a learned codec, got {len(data)} bytes: {how}. "
        "Encode the image again."
    )
