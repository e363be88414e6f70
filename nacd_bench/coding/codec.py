"""Codecs as the harness sees them, and matching one codec's rate to another's.

Adapters live outside this package (``codecs/``, or anybody's package) and register through the
entry-point group ``nacd_bench.codecs``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from nacd_bench.errors import CodecError, ImageError
from nacd_bench.settings import Positive, options

Image = NDArray[np.uint8]
"""``(H, W, 3)`` sRGB."""
TARGET_POINT = "target_bpp"
"""What operating points are called that are themselves rates."""


def _listed(values: Any) -> Any:
    """A range or an array as a tuple; anything else as it is."""
    return tuple(values) if isinstance(values, range | np.ndarray) else values


@options
class OperatingPoints:
    """The settings that fix a codec's rate.

    Args:
        name: what a point is called (``"qp"``, ``"quality"``, ``"target_bpp"``).
        values: the points in order of **rising rate** (so QPs fall).
        slope: change of log2(bpp) per step along ``values``, a first guess for the rate search.
        ripple: scatter of log2(size) around a smooth curve times the square root of the size in
            bytes: how far the rate search looks around. 0.6 fits HEVC (24 Kodak images).
        steps: the same as ``slope`` for each step, where they differ; 0 for two values that the
            codec takes for one.
    """

    name: str = "point"
    values: Annotated[Sequence[int | float], BeforeValidator(_listed)] = ()
    slope: Positive = 0.1
    ripple: Positive = 0.6
    steps: Sequence[float] | None = None

    @property
    def scale(self) -> NDArray[np.float64]:
        """log2(bpp) at the values ``(points,)``, from 0 at the first, a first guess."""
        steps = [self.slope] * (len(self.values) - 1) if self.steps is None else self.steps
        return np.concatenate([[0.0], np.cumsum(steps)])


@options
class FineControl:
    """A second setting that moves the rate a little at a fixed operating point (HM's ``-LMI``).

    Args:
        name: what the setting is called (``"lmi"``).
        low, high: smallest and largest useful value, both positive.
        neutral: the value at which it changes nothing.
        slope: change of log2(bpp) when the value doubles, a first guess; negative where a larger
            value means fewer bits.
    """

    name: str
    low: float
    high: float
    neutral: float = 1.0
    slope: float = -0.3


class Codec(ABC):
    """An image codec: an image and an operating point to bytes, bytes to an image.

    An instance is one configuration of the codec; everything that changes its output apart from
    the operating point is in :attr:`parameters`.
    """

    name: str
    """What results call it: the adapter's name, unless an instance was given one of its own."""
    points: OperatingPoints
    fine: FineControl | None = None
    """The setting for rates between two operating points, where the codec has one."""
    rate_is_estimated: bool = False
    """True where the rate comes from an entropy model and not from bytes."""
    in_main_process: bool = False
    """True: never sent to a pool of processes (GPU, big models, state)."""
    batch_size: int = 1
    """Images of one size that :meth:`encode_batch` takes at a time."""
    min_size: tuple[int, int] = (1, 1)
    """Smallest height and width."""
    is_neural: bool | None = None
    """Whether it is learned; None where nothing says."""
    peak_memory: int | None = None
    """Bytes that the largest of its own processes took so far, where it has some."""

    @property
    def parameter_count(self) -> int | None:
        """Of its networks, where it says how many."""
        return None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Everything that changes the output apart from the operating point; part of cache keys."""
        return {}

    @abstractmethod
    def version(self) -> str:
        """Name and version of the software that encodes."""

    @abstractmethod
    def encode(self, image: Image, point: float) -> bytes:
        """The bitstream of an image ``(H, W, 3)``; :class:`nacd_bench.errors.CodecError`."""

    def encode_fine(self, image: Image, point: float, value: float) -> bytes:
        """:meth:`encode` with :attr:`fine` set to ``value``; for codecs that have it."""
        raise CodecError(f"{self.name} has no setting between two operating points.")

    def expected_rates(self, image: Image) -> NDArray[np.float64] | None:
        """log2(bpp), rising, that an image is expected to have at each operating point.

        What all images depart from it in the same way is learned; None where nothing is known of
        the codec, and its points are taken for steps of a quantiser.
        """
        return np.log2(self.points.values) if self.points.name == TARGET_POINT else None

    def encode_batch(self, images: Sequence[Image], point: float) -> list[bytes]:
        """The bitstreams of images of one size, in their order."""
        return [self.encode(image, point) for image in images]

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """The images of what :meth:`encode_batch` returned, in its order."""
        return [self.decode(data) for data in bitstreams]

    @abstractmethod
    def decode(self, data: bytes) -> Image:
        """The image of a bitstream, in the size that was given to :meth:`encode`."""

    def rate_bytes(self, data: bytes) -> float:
        """The bytes that count as rate, ``len(data)`` unless the adapter says otherwise."""
        return len(data)

    def command_line(self, point: float, fine: float | None = None) -> str:
        """What was run at an operating point, for the manifest; external programs' arguments."""
        settings = {**self.parameters, self.points.name: f"{point:g}"}
        if fine is not None and self.fine is not None:
            settings[self.fine.name] = f"{fine:g}"
        return " ".join([self.name, *(f"{key}={value}" for key, value in settings.items())])

    def require(self, image: Image, point: float) -> None:
        """What :meth:`encode` expects of its arguments; adapters call it first.

        Raises:
            ImageError: not ``(H, W, 3)`` of ``uint8``, or smaller than :attr:`min_size`.
            CodecError: ``point`` is not one of the operating points.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ImageError(
                f"{self.name} expects an image (height, width, 3) of uint8, got {image.shape} of "
                f"{image.dtype}. Drop an alpha channel and scale deeper images to 8 bits."
            )
        height, width = self.min_size
        if image.shape[0] < height or image.shape[1] < width:
            raise ImageError(
                f"{self.name} expects images of at least {width} x {height} pixels, got "
                f"{image.shape[1]} x {image.shape[0]}. Leave the image out or use another codec."
            )
        self.require_point(point)

    def require_point(self, point: float) -> None:
        """:class:`CodecError` when ``point`` is not one of the operating points."""
        if point not in self.points.values:
            raise CodecError(
                f"{self.name} has no {self.points.name} {point:g}. Known: {_in_words(self.points)}."
            )


def bits_per_pixel(size: float, width: int, height: int) -> float:
    """8 x bytes / pixels of the image as given, before any padding.

    >>> bits_per_pixel(6144, 768, 512)
    0.125
    """
    return 8 * size / (width * height)


def png(image: Image) -> bytes:
    """The file of an image ``(H, W, 3)``, compressed a little: fast, and lossless all the same."""
    from PIL import Image as Pillow

    file = BytesIO()
    Pillow.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _in_words(points: OperatingPoints) -> str:
    values = [f"{value:g}" for value in points.values]
    if len(values) > 12:
        return f"{', '.join(values[:3])}, ..., {', '.join(values[-3:])} ({len(values)} points)"
    return ", ".join(values) or "none"
