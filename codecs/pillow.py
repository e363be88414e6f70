"""The codecs inside Pillow's wheel: AVIF, JPEG, WebP and JPEG 2000.

All run on one thread, so that the bytes do not depend on the machine. The rate is the whole file,
except that AVIF, like x265's HEIF, leaves its container out unless told otherwise.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import PIL
from PIL import Image as Pillow
from PIL import features

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_codecs.isobmff import media_bytes

QUALITIES = tuple(range(101))


class PillowCodec(Codec):
    """A codec of Pillow; subclasses say which options belong to an operating point."""

    file_format: ClassVar[str]
    feature: ClassVar[str]
    """Pillow's name for the library, for its version."""

    @abstractmethod
    def options(self, image: Image, point: float) -> dict[str, Any]:
        """What Pillow's ``save`` gets for an image and an operating point."""

    def version(self) -> str:
        library = features.version(self.feature) or "unknown"
        return f"{self.feature} {library}, Pillow {PIL.__version__}"

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        file = io.BytesIO()
        try:
            Pillow.fromarray(image).save(file, self.file_format, **self.options(image, point))
        except (OSError, ValueError, KeyError) as error:
            height, width = image.shape[:2]
            raise CodecError(
                f"{self.name} cannot encode an image of {width} x {height} at {self.points.name} "
                f"{point:g}: {error}. Parameters: {dict(self.parameters)}."
            ) from error
        return file.getvalue()

    def decode(self, data: bytes) -> Image:
        try:
            with Pillow.open(io.BytesIO(data), formats=[self.file_format]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise CodecError(
                f"expected a {self.file_format} file, got {len(data)} bytes that do not decode: "
                f"{error}. Encode the image again."
            ) from error


class AVIF(PillowCodec):
    """AV1 intra by libaom.

    libavif's fast conversion to YCbCr shifts colours by half a level; Pillow offers no other.

    Args:
        speed: 0 (slow) to 10 (fast).
        subsampling: ``4:2:0``, ``4:2:2`` or ``4:4:4``.
        tune: what libaom optimises, ``psnr`` or ``ssim``.
        container: count the AVIF container (about 280 bytes) as rate.
    """

    name = "avif"
    file_format = "AVIF"
    feature = "avif"
    points = OperatingPoints("quality", QUALITIES, slope=0.07)

    def __init__(
        self,
        speed: int = 6,
        subsampling: str = "4:2:0",
        tune: str = "psnr",
        container: bool = False,
    ) -> None:
        self.speed = speed
        self.subsampling = subsampling
        self.tune = tune
        self.container = container

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "speed": self.speed,
            "subsampling": self.subsampling,
            "tune": self.tune,
            "container": self.container,
        }

    def version(self) -> str:
        from PIL import features

        return f"libavif {features.version('avif')}, {super().version()}"

    def options(self, image: Image, point: float) -> dict[str, Any]:
        return {
            "quality": int(point),
            "speed": self.speed,
            "subsampling": self.subsampling,
            "codec": "aom",
            "max_threads": 1,
            "advanced": {"tune": self.tune},
        }

    def rate_bytes(self, data: bytes) -> float:
        return len(data) if self.container else media_bytes(data)


class JPEG(PillowCodec):
    """Baseline or progressive JPEG by libjpeg-turbo with optimised Huffman tables.

    Args:
        subsampling: ``4:2:0``, ``4:2:2`` or ``4:4:4``.
        progressive: progressive scans, a few percent smaller.
    """

    name = "jpeg"
    file_format = "JPEG"
    feature = "libjpeg_turbo"
    points = OperatingPoints("quality", QUALITIES[1:], slope=0.05, ripple=1.5)

    def __init__(self, subsampling: str = "4:2:0", progressive: bool = False) -> None:
        self.subsampling = subsampling
        self.progressive = progressive

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"subsampling": self.subsampling, "progressive": self.progressive}

    def options(self, image: Image, point: float) -> dict[str, Any]:
        return {
            "quality": int(point),
            "subsampling": self.subsampling,
            "progressive": self.progressive,
            "optimize": True,
        }


class WebP(PillowCodec):
    """Lossy WebP (4:2:0).

    Args:
        method: effort, 0 (fast) to 6 (small).
    """

    name = "webp"
    file_format = "WEBP"
    feature = "webp"
    points = OperatingPoints("quality", QUALITIES, slope=0.04, ripple=1.5)

    def __init__(self, method: int = 6) -> None:
        self.method = method

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"method": self.method}

    def options(self, image: Image, point: float) -> dict[str, Any]:
        return {"quality": int(point), "method": self.method}


class JPEG2000(PillowCodec):
    """JPEG 2000 by OpenJPEG: 9/7 wavelet, one tile, a bare codestream.

    The encoder meets a rate by itself, so that its operating points are rates: 16 per octave from
    1/64 to 16 bpp.

    Args:
        levels: wavelet decompositions, fewer on images too small for them.
    """

    name = "jpeg2000"
    file_format = "JPEG2000"
    feature = "jpg_2000"
    points = OperatingPoints(
        "target_bpp", tuple(round(2 ** (k / 16), 6) for k in range(-96, 65)), slope=1 / 16
    )

    def __init__(self, levels: int = 5) -> None:
        self.levels = levels

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"levels": self.levels}

    def options(self, image: Image, point: float) -> dict[str, Any]:
        levels = min(self.levels, min(image.shape[:2]).bit_length() - 1)
        return {
            "quality_mode": "rates",
            "quality_layers": [24 / point],
            "num_resolutions": levels + 1,
            "irreversible": True,
            "no_jp2": True,
        }
