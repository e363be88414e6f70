"""The image files that a command-line codec takes: PNG, PPM, raw planes and YUV4MPEG2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nacd_bench.coding.codec import Image, png
from nacd_bench.errors import CodecError, ImageError
from nacd_bench.registry import unknown
from nacd_bench.triplets.images import decode_image, to_8_bit
from nacd_codecs.yuv import (
    DEPTHS,
    YuvFormat,
    planes_from_bytes,
    planes_to_bytes,
    to_image,
    to_planes,
)

KINDS = {
    "png": (8, 16),
    "ppm": tuple(range(8, 17)),
    "yuv420p": DEPTHS,
    "yuv444p": DEPTHS,
    "y4m": DEPTHS,
}
"""Kinds of files and their bit depths."""


@dataclass(frozen=True)
class ImageFormat:
    """A kind of image file.

    Args:
        kind: ``"png"``, ``"ppm"``, ``"yuv420p"``, ``"yuv444p"``, or ``"y4m"`` (only to be read).
        depth: bits per sample: 8 or 16 for PNG, 8 to 16 for PPM, 8, 10 or 12 for planes (above 8
            stored as 16-bit little-endian). PNG, PPM and Y4M are read at the depth they have.
        matrix: of the planes, see :class:`~nacd_codecs.yuv.YuvFormat`.
        range: likewise.
    """

    kind: str = "png"
    depth: int = 8
    matrix: Literal["bt601", "bt709"] = "bt601"
    range: Literal["full", "limited"] = "full"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CodecError(unknown("image format", str(self.kind), list(KINDS)))
        if self.depth not in KINDS[self.kind]:
            depths = [str(depth) for depth in KINDS[self.kind]]
            raise CodecError(unknown(f"bit depth of {self.kind}", str(self.depth), depths))

    @property
    def has_planes(self) -> bool:
        """True where the file does not say its own size."""
        return self.kind.startswith("yuv")

    def planes_in(self, chroma: Any) -> YuvFormat:
        """What the samples of planes mean."""
        depth: Any = self.depth
        return YuvFormat(chroma, depth, self.matrix, self.range)

    @property
    def planes(self) -> YuvFormat:
        return self.planes_in(int(self.kind[3:6]))

    @property
    def places(self) -> dict[str, int | str]:
        """What a command may have to be told of raw planes, the last in ffmpeg's words.

        >>> ImageFormat("yuv420p", 10).places
        {'chroma': 420, 'bit_depth': 10, 'pixel_format': 'yuv420p10le'}
        """
        if not self.has_planes:
            return {}
        pixels = self.kind + (f"{self.depth}le" if self.depth > 8 else "")
        return {"chroma": self.planes.chroma, "bit_depth": self.depth, "pixel_format": pixels}

    @property
    def suffix(self) -> str:
        return ".yuv" if self.has_planes else f".{self.kind}"

    def written(self, image: Image) -> bytes:
        """The file of an image ``(H, W, 3)``."""
        if self.has_planes:
            return planes_to_bytes(to_planes(image, self.planes))
        if self.kind == "png" and self.depth == 8:
            return png(image)
        top = 2**self.depth - 1
        samples = np.rint(image.astype(np.float64) * (top / 255)).astype(np.uint16)
        if self.kind == "png":
            import cv2

            return cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
        data = samples.astype("u1" if self.depth == 8 else ">u2").tobytes()
        return f"P6\n{image.shape[1]} {image.shape[0]}\n{top}\n".encode() + data

    def read(self, data: bytes, width: int, height: int, depth: int | None = None) -> Image:
        """The image ``(H, W, 3)`` of a file; its size and stored depth are used for planes only.

        Raises:
            CodecError: a damaged file, a transparent image or a wrong number of bytes.
        """
        if self.kind == "y4m":
            return self._read_y4m(data)
        if self.has_planes:
            planes = planes_from_bytes(data, self.planes, width, height, depth)
            return to_image(planes, self.planes, width, height)
        try:
            return to_8_bit(decode_image(f"output.{self.kind}", data, opaque=True).pixels)
        except ImageError as error:
            raise CodecError(
                f"expected a whole {self.kind.upper()} file, got {len(data)} bytes that do not "
                f"decode: {error}"
            ) from error

    def _read_y4m(self, data: bytes) -> Image:
        """The first picture of a YUV4MPEG2 file."""
        header, _, frames = data.partition(b"\n")
        sizes = re.match(rb"YUV4MPEG2 W(\d+) H(\d+).* C(\d{3})(?:\w*p(\d+))?", header)
        if not sizes:
            raise CodecError(
                f"expected a whole Y4M file with its chroma format, got {len(data)} bytes that "
                f"begin with {header[:60]!r}."
            )
        width, height, chroma, depth = (int(number or 8) for number in sizes.groups())
        planes = self.planes_in(chroma)
        samples = frames.partition(b"\n")[2]  # after the line FRAME
        return to_image(
            planes_from_bytes(samples, planes, width, height, depth), planes, width, height
        )
