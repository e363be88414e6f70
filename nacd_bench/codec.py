"""Codecs as the harness sees them, and matching one codec's rate to another's.

Adapters live outside this package (``codecs/``, or anybody's package) and register through the
entry-point group ``nacd_bench.codecs``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""``(H, W, 3)`` sRGB."""


@dataclass(frozen=True)
class OperatingPoints:
    """The settings that fix a codec's rate.

    Args:
        name: what a point is called (``"qp"``, ``"quality"``, ``"target_bpp"``).
        values: the points in order of **rising rate** (so QPs fall).
        slope: change of log2(bpp) per step along ``values``, a first guess for the rate search.
    """

    name: str
    values: Sequence[float]
    slope: float = 0.1


class Codec(ABC):
    """An image codec: an image and an operating point to bytes, bytes to an image.

    An instance is one configuration of the codec; everything that changes its output apart from
    the operating point is in :attr:`parameters`.
    """

    name: ClassVar[str]
    points: OperatingPoints
    rate_is_estimated: ClassVar[bool] = False
    """True where the rate comes from an entropy model and not from bytes."""
    min_size: tuple[int, int] = (1, 1)
    """Smallest height and width."""

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

    @abstractmethod
    def decode(self, data: bytes) -> Image:
        """The image of a bitstream, in the size that was given to :meth:`encode`."""

    def rate_bytes(self, data: bytes) -> float:
        """The bytes that count as rate, ``len(data)`` unless the adapter says otherwise."""
        return len(data)


def bits_per_pixel(size: float, width: int, height: int) -> float:
    """8 x bytes / pixels of the image as given, before any padding.

    >>> bits_per_pixel(6144, 768, 512)
    0.125
    """
    return 8 * size / (width * height)
