"""JPEG XL by libjxl, through imagecodecs (the extra ``jxl``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError

DISTANCES = tuple(round(25 * 2 ** (-k / 8), 4) for k in range(73))
"""Butteraugli distances from 25 to 0.05, eight per halving."""


class JXL(Codec):
    """Lossy JPEG XL (VarDCT), a bare codestream.

    Args:
        effort: 1 (fast) to 9 (small).
    """

    name = "jxl"
    points = OperatingPoints("distance", DISTANCES, slope=0.08, ripple=1.5)

    def __init__(self, effort: int = 7) -> None:
        self.effort = effort
        _imagecodecs()  # missing: say so now

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"effort": self.effort}

    def version(self) -> str:
        library = _imagecodecs()
        return f"{library.jpegxl_version()}, imagecodecs {library.__version__}"

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        try:
            return bytes(
                _imagecodecs().jpegxl_encode(
                    np.ascontiguousarray(image),
                    distance=point,
                    effort=self.effort,
                    usecontainer=False,
                    numthreads=1,
                )
            )
        except (RuntimeError, ValueError) as error:
            height, width = image.shape[:2]
            raise CodecError(
                f"jxl cannot encode an image of {width} x {height} at distance {point:g}: {error}. "
                f"Parameters: {dict(self.parameters)}."
            ) from error

    def decode(self, data: bytes) -> Image:
        try:
            return np.asarray(_imagecodecs().jpegxl_decode(data, numthreads=1))
        except (RuntimeError, ValueError) as error:
            raise CodecError(
                f"expected a JPEG XL codestream, got {len(data)} bytes that do not decode: "
                f"{error}. Encode the image again."
            ) from error


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise CodecError(
            "jxl needs the package imagecodecs, which is not installed. "
            "Install it with: pip install 'nacd-bench[jxl]'"
        ) from error
    return imagecodecs
