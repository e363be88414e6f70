"""The boxes of an ISO base media file (HEIF, AVIF), as far as the rate needs them.

ISO/IEC 14496-12, section 4.2: a box is a 32-bit big-endian size, a four-letter type and the rest;
size 1 announces a 64-bit size after the type, size 0 a box that reaches to the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from nacd_bench.errors import CodecError


def media_bytes(data: bytes) -> int:
    """The coded picture in a HEIF or AVIF file in bytes: what lies inside its ``mdat`` boxes.

    The rest is the container: file type, item tables, and the parameter sets that it carries once
    per file.

    Raises:
        CodecError: no ``mdat`` box, or a box that is longer than the file.

    >>> media_bytes(bytes.fromhex("00000008 66726565  0000000b 6d646174 010203"))
    3
    """
    sizes = [end - start for kind, start, end in boxes(data) if kind == b"mdat"]
    if not sizes:
        raise CodecError(
            f"expected a HEIF or AVIF file with an mdat box, got {len(data)} bytes without one. "
            "The bitstream is damaged: encode the image again."
        )
    return sum(sizes)


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, first byte and end of the contents of each box at the top level of a file."""
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        header = 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = start + size if size else len(data)
        if end < start + header or end > len(data):
            raise CodecError(
                f"expected a box of at most {len(data) - start} bytes at byte {start}, got {size}. "
                "The bitstream is damaged or cut short: encode the image again."
            )
        yield data[start + 4 : start + 8], start + header, end
        start = end
