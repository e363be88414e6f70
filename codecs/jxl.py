"""JPEG XL by libjxl, through imagecodecs (the extra ``jxl``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_codecs.pillow import LibraryCodec

DISTANCES = tuple(round(25 * 2 ** (-k / 8), 4) for k in range(73))
"""Butteraugli distances from 25 to 0.05, eight per halving."""


@dataclass(eq=False)
class JXL(LibraryCodec):
    """Lossy JPEG XL (VarDCT), a bare codestream.

    Args:
        effort: 1 (fast) to 9 (small).
    """

    name = "jxl"
    content = "a JPEG XL codestream"
    points = OperatingPoints("distance", DISTANCES, slope=0.08, ripple=1.1)

    effort: int = 7

    def __post_init__(self) -> None:
        _imagecodecs()  # missing: say so now

    def version(self) -> str:
        library = _imagecodecs()
        return f"{library.jpegxl_version()}, imagecodecs {library.__version__}"

    def written(self, image: Image, point: float) -> bytes:
        keywords = {"effort": self.effort, "usecontainer": False, "numthreads": 1}
        pixels = np.ascontiguousarray(image)
        return bytes(_imagecodecs().jpegxl_encode(pixels, distance=point, **keywords))

    def read(self, data: bytes) -> Any:
        return _imagecodecs().jpegxl_decode(data, numthreads=1)


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise CodecError(
            "jxl needs the package imagecodecs, which is not installed. "
            "Install it with: pip install 'nacd-bench[jxl]'"
        ) from error
    return imagecodecs
