"""The strings of a learned codec as one bitstream, with nothing in it that a decoder does not need.

Layout: image height and width, the shape of the latent, the number of strings, the length of each,
then the strings. Numbers are LEB128: seven bits per byte, the top bit says that another byte
follows. For an image of 768 x 512 with two strings that is about 12 bytes, which count as rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nacd_bench.errors import CodecError


def pack(height: int, width: int, shape: Sequence[int], strings: Sequence[bytes]) -> bytes:
    """One bitstream.

    Args:
        height, width: size of the image, without padding.
        shape: shape of the latent, empty where the module's strings carry it.
        strings: entropy-coded strings.

    >>> data = pack(512, 768, (8, 12), (b"hyper", b"latent"))
    >>> len(data) - len(b"hyperlatent"), unpack(data)
    (10, (512, 768, (8, 12), (b'hyper', b'latent')))
    """
    header = bytearray()
    for value in (height, width, len(shape), *shape, len(strings), *map(len, strings)):
        while value > 0x7F:
            header.append(value & 0x7F | 0x80)
            value >>= 7
        header.append(value)
    return bytes(header) + b"".join(strings)


def unpack(data: bytes) -> tuple[int, int, tuple[int, ...], tuple[bytes, ...]]:
    """What :func:`pack` took; :class:`CodecError` for a damaged bitstream."""
    source = iter(data)
    try:
        height, width = _number(source), _number(source)
        shape = tuple(_number(source) for _ in range(_number(source)))
        lengths = [_number(source) for _ in range(_number(source))]
    except EOFError:
        raise _damaged(data, "cut short in its header") from None
    body = bytes(source)
    if len(body) != sum(lengths):
        raise _damaged(data, f"{sum(lengths)} bytes of strings expected, {len(body)} there")
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    strings = (body[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return height, width, shape, tuple(strings)


def _number(source: Iterator[int]) -> int:
    value = shift = 0
    for byte in source:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value
    raise EOFError


def _damaged(data: bytes, how: str) -> CodecError:
    return CodecError(
        f"expected a bitstream of a learned codec, got {len(data)} bytes: {how}. "
        "Encode the image again."
    )
