"""The image files that a command-line codec reads and writes: PNG, PPM and raw planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.coding.codec import Image, png
from nacd_bench.errors import CodecError, ImageError
from nacd_bench.registry import unknown
from nacd_bench.triplets.images import decode_image, to_8_bit
from nacd_codecs.yuv import YuvFormat, planes_from_bytes, planes_to_bytes, to_image, to_planes

DEPTHS = {
    "png": (8, 16),
    "ppm": tuple(range(8, 17)),
    "yuv420p": (8, 10, 12),
    "yuv444p": (8, 10, 12),
}
"""Kinds of files and their bit depths."""


@dataclass(frozen=True)
class ImageFormat:
    """A kind of image file.

    Args:
        kind: ``"png"``, ``"ppm"``, ``"yuv420p"`` or ``"yuv444p"``.
        depth: bits per sample: 8 or 16 for PNG, 8 to 16 for PPM, 8, 10 or 12 for planes (above 8
            stored as 16-bit little-endian). PNG and PPM files are read at the depth they have.
        matrix: of the planes, see :class:`~nacd_codecs.yuv.YuvFormat`.
        range: likewise.
    """

    kind: str = "png"
    depth: int = 8
    matrix: str = "bt601"
    range: str = "full"

    def __post_init__(self) -> None:
        if self.kind not in DEPTHS:
            raise CodecError(unknown("image format", str(self.kind), list(DEPTHS)))
        if self.depth not in DEPTHS[self.kind]:
            known = [str(depth) for depth in DEPTHS[self.kind]]
            raise CodecError(unknown(f"bit depth of {self.kind}", str(self.depth), known))
        if self.has_planes:
            self.planes  # noqa: B018  (validates matrix and range)

    @property
    def has_planes(self) -> bool:
        """True where the file does not say its own size."""
        return self.kind.startswith("yuv")

    @property
    def planes(self) -> YuvFormat:
        return YuvFormat(int(self.kind[3:6]), self.depth, self.matrix, self.range)

    @property
    def suffix(self) -> str:
        return ".yuv" if self.has_planes else f".{self.kind}"

    def file_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an image in the file: even for 4:2:0."""
        return self.planes.coded_size(width, height) if self.has_planes else (width, height)

    def written(self, image: Image) -> bytes:
        """The file of an image ``(H, W, 3)``."""
        if self.has_planes:
            return planes_to_bytes(to_planes(image, self.planes))
        if self.kind == "ppm":
            return _ppm(image, self.depth)
        return _deep_png(image) if self.depth == 16 else png(image)

    def read(self, data: bytes, width: int, height: int) -> Image:
        """The image ``(H, W, 3)`` of a file; width and height are used for planes only.

        Raises:
            CodecError: a damaged file, a transparent image or a wrong number of bytes.
        """
        if self.has_planes:
            return to_image(
                planes_from_bytes(data, self.planes, width, height), self.planes, width, height
            )
        try:
            return to_8_bit(decode_image(f"output.{self.kind}", data, opaque=True).pixels)
        except ImageError as error:
            raise CodecError(
                f"expected a whole {self.kind.upper()} file, got {len(data)} bytes that do not "
                f"decode: {error}"
            ) from error


def _scaled(samples: NDArray[Any], source: int, target: int) -> NDArray[Any]:
    """Samples from 0..source to 0..target, rounded."""
    if source == target:
        return samples
    return np.rint(samples.astype(np.float64) * (target / source))


def _deep_png(image: Image) -> bytes:
    import cv2

    _, data = cv2.imencode(".png", _scaled(image[..., ::-1], 255, 65535).astype(np.uint16))
    return data.tobytes()


def _ppm(image: Image, depth: int) -> bytes:
    top = 2**depth - 1
    samples = _scaled(image, 255, top).astype("u1" if depth == 8 else ">u2")
    return f"P6\n{image.shape[1]} {image.shape[0]}\n{top}\n".encode() + samples.tobytes()
