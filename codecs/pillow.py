"""Codecs of libraries that run in this process, and those inside Pillow's wheel.

All run on one thread, so that the bytes do not depend on the machine. The rate is the whole file,
except that AVIF, like x265's HEIF, leaves its container out unless told otherwise.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import features
from PIL.JpegImagePlugin import JpegImageFile

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.coding.expected import expected_rates
from nacd_bench.errors import CodecError

QUALITIES = tuple(range(101))
QUANTISERS = [((100 - quality) * 63 + 50) // 100 for quality in QUALITIES]
"""Of AV1 by libavif's quality: some qualities have the same."""
FINENESS = [np.cbrt(q / 150 if q < 75 else q / 50 - 1) for q in QUALITIES]
"""Of WebP's quantiser, as libwebp has it by quality: 0 is the coarsest, 1 the finest."""
PLACE, FLOOR = 4.0, 0.04
"""Bits that JPEG takes to say where a coefficient is that is not 0, and for each pixel beside."""
FAULTS = (OSError, ValueError, KeyError, RuntimeError, SyntaxError, EOFError)
"""What the libraries raise."""


class LibraryCodec(Codec):
    """A codec of a library; the fields of its data class are its parameters."""

    is_neural = False
    content: ClassVar[str]
    """What its bytes are."""
    container: bool = True
    """Whether the container around the coded picture counts as rate."""

    @abstractmethod
    def written(self, image: Image, point: float) -> bytes:
        """:meth:`encode`, with the library's own errors."""

    @abstractmethod
    def read(self, data: bytes) -> Any:
        """The picture, with the library's own errors."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "name"}

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        try:
            return self.written(image, point)
        except FAULTS as error:
            raise CodecError(
                f"{self.name} cannot encode an image of {image.shape[1]} x {image.shape[0]} at "
                f"{self.points.name} {point:g}: {error}. Parameters: {dict(self.parameters)}."
            ) from error

    def decode(self, data: bytes) -> Image:
        try:
            return np.asarray(self.read(data))
        except FAULTS as error:
            raise CodecError(
                f"expected {self.content}, got {len(data)} bytes that do not decode: {error}. "
                "Encode the image again."
            ) from error

    def rate_bytes(self, data: bytes) -> float:
        return len(data) if self.container else media_bytes(data)


class PillowCodec(LibraryCodec):
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

    def written(self, image: Image, point: float) -> bytes:
        file = io.BytesIO()
        Pillow.fromarray(image).save(file, self.file_format, **self.options(image, point))
        return file.getvalue()

    def read(self, data: bytes) -> Any:
        with Pillow.open(io.BytesIO(data), formats=[self.file_format]) as image:
            return image.convert("RGB")


@dataclass(eq=False)
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
    content = "an AVIF file"
    points = OperatingPoints(
        "quality", QUALITIES, ripple=0.45, steps=[0.1 * (a - b) for a, b in pairwise(QUANTISERS)]
    )

    speed: int = 6
    subsampling: str = "4:2:0"
    tune: str = "psnr"
    container: bool = False

    def version(self) -> str:
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


@dataclass(eq=False)
class JPEG(PillowCodec):
    """Baseline or progressive JPEG by libjpeg-turbo with optimised Huffman tables.

    Args:
        subsampling: ``4:2:0``, ``4:2:2`` or ``4:4:4``.
        progressive: progressive scans, a few percent smaller.
    """

    name = "jpeg"
    file_format = "JPEG"
    feature = "libjpeg_turbo"
    content = "a JPEG file"
    points = OperatingPoints("quality", QUALITIES[1:], slope=0.05, ripple=0.3)

    subsampling: str = "4:2:0"
    progressive: bool = False

    def options(self, image: Image, point: float) -> dict[str, Any]:
        return {"quality": int(point), "optimize": True, **self.parameters}

    def expected_rates(self, image: Image) -> NDArray[np.float64]:
        return expected_rates(image, quantiser_steps(), PLACE, FLOOR)


@cache
def quantiser_steps() -> NDArray[np.float64]:
    """Of luma in JPEG by operating point, ``(points, 8, 8)``, as its files have them."""
    gray = np.full((8, 8, 3), 128, np.uint8)
    steps = []
    for point in JPEG.points.values:
        with Pillow.open(io.BytesIO(JPEG().written(gray, point)), formats=["JPEG"]) as file:
            assert isinstance(file, JpegImageFile)
            steps.append(file.quantization[0])
    return np.array(steps, np.float64).reshape(-1, 8, 8)


@dataclass(eq=False)
class WebP(PillowCodec):
    """Lossy WebP (4:2:0).

    Args:
        method: effort, 0 (fast) to 6 (small).
    """

    name = "webp"
    file_format = "WEBP"
    feature = "webp"
    content = "a WebP file"
    points = OperatingPoints(
        "quality", QUALITIES, ripple=1.2, steps=[5.0 * (b - a) for a, b in pairwise(FINENESS)]
    )

    method: int = 6

    def options(self, image: Image, point: float) -> dict[str, Any]:
        return {"quality": int(point), "method": self.method}


@dataclass(eq=False)
class JPEG2000(PillowCodec):
    """JPEG 2000 by OpenJPEG: 9/7 wavelet, one tile, a bare codestream.

    The encoder meets a rate by itself, so that its operating points are rates: 16 per octave from
    1/64 to 16 bpp.

    Args:
        levels: wavelet decompositions, fewer on images too small for them.
        color_transform: decorrelate the colours (ICT), which is worth 3 dB at 0.5 bpp and which
            Pillow leaves out unless it is told to.
    """

    name = "jpeg2000"
    file_format = "JPEG2000"
    feature = "jpg_2000"
    content = "a JPEG 2000 codestream"
    points = OperatingPoints(
        "target_bpp",
        tuple(round(2 ** (k / 16), 6) for k in range(-96, 65)),
        slope=1 / 16,
        ripple=0.75,
    )

    levels: int = 5
    color_transform: bool = True

    def options(self, image: Image, point: float) -> dict[str, Any]:
        levels = min(self.levels, min(image.shape[:2]).bit_length() - 1)
        return {
            "quality_mode": "rates",
            "quality_layers": [24 / point],
            "num_resolutions": levels + 1,
            "irreversible": True,
            "mct": int(self.color_transform),
            "no_jp2": True,
        }


def media_bytes(data: bytes) -> int:
    """The coded picture in a HEIF or AVIF file in bytes: what lies inside its ``mdat`` boxes.

    The rest is the container: file type, item tables, and the parameter sets that it carries once
    per file. ISO/IEC 14496-12, section 4.2: a box is a 32-bit big-endian size, a four-letter type
    and the rest; size 1 announces a 64-bit size after the type, size 0 a box that reaches to the
    end of the file.

    Raises:
        CodecError: no ``mdat`` box, or a box that is longer than the file.

    >>> media_bytes(bytes.fromhex("00000008 66726565  0000000b 6d646174 010203"))
    3
    """
    start = total = 0
    while start < len(data):
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        size = size or len(data) - start
        if not header <= size <= len(data) - start:
            raise CodecError(
                f"expected a box of at most {len(data) - start} bytes at byte {start}, got {size}. "
                "The bitstream is damaged or cut short: encode the image again."
            )
        if data[start + 4 : start + 8] == b"mdat":
            total += size - header
        start += size
    if not total:
        raise CodecError(
            f"expected a HEIF or AVIF file with an mdat box, got {len(data)} bytes without one. "
            "The bitstream is damaged: encode the image again."
        )
    return total
