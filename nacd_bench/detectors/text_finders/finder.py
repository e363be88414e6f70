"""The port for text finders: pixels in, polygons with confidences out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from nacd_bench.errors import ImageError, TextFinderError


@dataclass(frozen=True, eq=False)
class TextPolygon:
    """One piece of text.

    Args:
        points: ``(n, 2)`` corners, x and y in pixels with the image's top left corner at (0, 0);
            also a flat list ``[x1, y1, x2, y2, ...]``. At least four; they may lie outside.
        confidence: that it is text, in [0, 1]; 1 for an annotation.
        text: what it says, where known.

    Raises:
        TextFinderError: fewer than four points, or values that are no such numbers.

    >>> TextPolygon([0, 0, 9, 0, 9, 4, 0, 4]).points.shape
    (4, 2)
    """

    points: np.ndarray
    confidence: float = 1.0
    text: str = ""

    def __post_init__(self) -> None:
        try:
            points = np.array(self.points, dtype=np.float64)
            points = points.reshape(-1, 2) if points.ndim == 1 else points
            confidence = float(self.confidence)
        except (TypeError, ValueError, OverflowError) as error:
            raise TextFinderError(
                f"expected a polygon's points and confidence as numbers, got {self.points!r:.80} "
                f"and {self.confidence!r:.20}."
            ) from error
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 4:
            raise TextFinderError(
                "expected a text polygon of at least 4 points (x, y), got shape "
                f"{points.shape}. Write a rectangle as its four corners."
            )
        if not np.isfinite(points).all() or not 0 <= confidence <= 1:  # false for NaN too
            raise TextFinderError(
                "expected a text polygon with finite points and a confidence in [0, 1], got "
                f"points {points.tolist()!s:.80}, confidence {confidence:.4g}."
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "confidence", confidence)

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """The polygon of a JSON entry ``{"points": ..., "confidence": 0.9, "text": "..."}``."""
        if not isinstance(entry, Mapping) or "points" not in entry:
            raise TextFinderError(
                f'expected a text polygon as an object with "points", got {entry!r:.80}.'
            )
        return cls(entry["points"], entry.get("confidence", 1.0), str(entry.get("text", "")))

    def to_entry(self) -> dict[str, Any]:
        """What :meth:`from_entry` reads."""
        entry = {"points": self.points.tolist(), "confidence": self.confidence}
        return {**entry, "text": self.text} if self.text else entry


class TextFinder(ABC):
    """Finds text. Subclasses say :attr:`settings` and :meth:`find`."""

    name: str
    """The registered name."""
    by_content: bool = True
    """Whether the pixels alone decide the polygons, so that these can be cached by them."""
    max_side: float = math.inf
    """The longer side in pixels beyond which an image is shrunk."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """All that decides the polygons beside the pixels: parameters, versions of library and
        model. JSON values; part of every cache key."""

    @abstractmethod
    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        """The text in ``image``, ``(H, W, 3)`` uint8 RGB, with all confidences.

        Args:
            image_id: the image's name, for messages and for finders that look it up.

        Raises:
            TextFinderError: the finder is not installed, dies, or does not know the image.
        """

    def find_enlarged(
        self, image: np.ndarray, factor: float, image_id: str = ""
    ) -> list[TextPolygon]:
        """As :meth:`find`, small lettering too: the image is enlarged for it, the polygons are not.

        A finder that looks images up by their id is asked as it is.

        Args:
            factor: of both sides, as far as the finder does not shrink the image again. It costs
                its square in time.
        """
        import cv2

        require_image(image, image_id)
        height, width = image.shape[:2]
        factor = min(factor, max(1.0, self.max_side / max(height, width)))
        if factor == 1 or not self.by_content:
            return self.find(image, image_id)
        size = [max(1, round(side * factor)) for side in (width, height)]
        enlarged = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        scale = np.array(size) / (width, height)
        return [
            replace(polygon, points=polygon.points / scale)
            for polygon in self.find(enlarged, image_id)
        ]

    def close(self) -> None:  # noqa: B027 - most finders keep nothing running
        """Ends what the finder keeps running; the next :meth:`find` starts it anew."""


def require_image(image: np.ndarray, image_id: str) -> None:
    """:class:`ImageError` unless ``image`` is ``(H, W, 3)`` uint8 with at least one pixel."""
    shape = np.shape(image)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or image.dtype != np.uint8:
        raise ImageError(
            f"{named(image_id)}expected a uint8 RGB image (H, W, 3) to find text in, got "
            f"{getattr(image, 'dtype', type(image).__name__)} {shape}. Convert it before."
        )


def named(image_id: str) -> str:
    """The start of a message about one image."""
    return f"{image_id}: " if image_id else ""
