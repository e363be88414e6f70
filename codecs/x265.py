"""x265, the HEVC encoder inside pillow-heif's wheel, as an intra codec without any installation.

4:2:0, constant QP, preset *placebo*, tuned for PSNR: within 2 % of HM's rate at equal PSNR. It is
the traditional codec that is always there.

The encoder runs on one thread, so that the bytes do not depend on the machine's core count (with
threads x265 switches on wavefronts, which changes them); the harness runs many images at a time.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Image, OperatingPoints
from nacd_codecs.pillow import LibraryCodec

SMALLEST_FOR_CTU_64 = 32
"""x265 refuses its 64 x 64 coding tree units when a side is shorter than this."""


@dataclass(eq=False)
class X265(LibraryCodec):
    """x265 intra through pillow-heif.

    Args:
        preset: x265's speed preset, from ``ultrafast`` to ``placebo``.
        tune: x265's tuning, ``psnr`` or ``ssim``.
        chroma: 420, 422 or 444.
        container: count the HEIF container (about 380 bytes) as rate. By default only the coded
            picture counts; the container with the parameter sets in it does not.

    >>> codec = X265(preset="ultrafast")
    >>> gray = np.full((64, 64, 3), 128, np.uint8)
    >>> data = codec.encode(gray, 30)
    >>> codec.decode(data).shape, 330 < len(data) - codec.rate_bytes(data) < 460
    ((64, 64, 3), True)
    """

    name = "x265"
    points = OperatingPoints("qp", tuple(range(51, -1, -1)), slope=0.2)
    content = "a HEIF file with an HEVC picture"

    preset: str = "placebo"
    tune: str = "psnr"
    chroma: int = 420
    container: bool = False

    def version(self) -> str:
        from pillow_heif import libheif_info

        info = libheif_info()
        encoder = info["encoders"].get("x265", "no x265")
        return f"{encoder}, libheif {info['libheif']}, pillow-heif {version('pillow-heif')}"

    def written(self, image: Image, point: float) -> bytes:
        import pillow_heif

        height, width = image.shape[:2]
        # A new dictionary each time: pillow-heif adds entries to the one that it is given.
        settings = {
            "preset": self.preset,
            "tune": self.tune,
            "x265:qp": str(int(point)),
            "x265:pools": "none",
        }
        if min(height, width) < SMALLEST_FOR_CTU_64:
            settings["x265:ctu"] = "32"
        heif = pillow_heif.from_bytes("RGB", (width, height), np.ascontiguousarray(image).tobytes())
        file = io.BytesIO()
        heif.save(file, format="HEIF", chroma=self.chroma, enc_params=settings)
        return file.getvalue()

    def read(self, data: bytes) -> Any:
        import pillow_heif

        heif = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        return heif.to_pillow().convert("RGB")
