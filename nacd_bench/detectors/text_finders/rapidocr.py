"""Text found by PP-OCR's detector (DBNet) with the weights that RapidOCR's wheel carries.

Works offline: the network is read from the wheel, or from a path, and run with ONNX Runtime on the
CPU; RapidOCR turns its probability map into rotated rectangles.

Departs from RapidOCR's pipeline on purpose:

- Pixels are normalised as the network was trained (PaddleOCR, ``PP-OCRv6_small_det.yml``: BGR,
  ImageNet's mean and deviation), not with 0.5: more text found, less invented.
- The image is padded to what the network takes (multiples of 32) and keeps its size up to 4000
  pixels, PaddleOCR's limit; RapidOCR stretches it and caps it at 2000, which loses small text.
- The network sees it in tiles that overlap, so that time and memory do not grow faster than the
  pixels; the rectangles are those of the whole map, larger than a tile too. A tile without edges
  has no text and is left out.
- A confidence is the mean probability inside the contour (RapidOCR's ``slow``), as MMOCR computes
  it, from which the paper's threshold of 0.7 comes. The mean over the rectangle (``fast``) is lower
  by about 0.1. RapidOCR's own call sorts the rectangles without their confidences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon, require_image
from nacd_bench.detectors.text_finders.networks import network_file, open_network
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.triplets.files import sha256

MODEL = "PP-OCRv6_det_small.onnx"
"""The detector in the wheel of rapidocr 3.10."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Normalisation of B, G, R on [0, 1], in this order, as PaddleOCR trains and runs it."""

MULTIPLE = 32
"""The network halves its input five times."""

WHOLE = 2048
"""Longest side in pixels of what the network sees as a whole; training saw 640 and 960."""

TILE = 1536
"""Longest side of the tiles in which it sees larger images."""

OVERLAP = 256
"""Least pixels that a tile shares with the next one."""

SHRUNK = 4
EDGE = 4
"""A tile has edges where neighbours differ by so many levels of 255 when it is shrunk so many
times: all text found with a confidence from 0.7 in 170 photographs does by 8 or more."""

MAX_CANDIDATES = 3000
"""Contours looked at per tile (MMOCR's limit)."""


@dataclass(eq=False)
class RapidOCR(TextFinder):
    """PP-OCR's text detector.

    Args:
        model: an ONNX file of PP-OCR's detector: a path, or a file name in RapidOCR's wheel.
        max_side: the longer side in pixels beyond which the image is shrunk for the network.
        min_side: the shorter side in pixels up to which the image is enlarged. Finds smaller text,
            at the price of time.
        mask_threshold: probability from which a pixel belongs to text.
        min_confidence: confidence under which a polygon is dropped here already.
        unclip_ratio: how far the network's shrunken regions are grown back.
        threads: of the network; None leaves it to ONNX Runtime.
    """

    name = "rapidocr"

    model: str | Path = MODEL
    max_side: int = 4000
    min_side: int = 0
    mask_threshold: float = 0.3
    min_confidence: float = 0.3
    unclip_ratio: float = 1.5
    threads: int | None = None

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "finder": self.name,
            "rapidocr": version("rapidocr"),
            "onnxruntime": version("onnxruntime"),
            "model": self.model_path.name,
            "sha256": sha256(self.model_path.read_bytes()),
            "tiles": [WHOLE, TILE, OVERLAP, SHRUNK, EDGE, MAX_CANDIDATES],
            "max_side": self.max_side,
            "min_side": self.min_side,
            "mask_threshold": self.mask_threshold,
            "min_confidence": self.min_confidence,
            "unclip_ratio": self.unclip_ratio,
        }

    @cached_property
    def model_path(self) -> Path:
        """The network's file; :class:`TextFinderError` when there is none."""
        return network_file(self.model, "det")

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        require_image(image, image_id)
        pixels, scale = self._network_size(image)
        probability = self._probability(pixels)
        # The map covers the padding too, so its size in the image's pixels is a little larger.
        height, width = (round(side / scale) for side in probability.shape[2:])
        rectangles, confidences = self._rectangles(probability, (height, width))
        return [
            TextPolygon(points, min(float(confidence), 1.0))
            for points, confidence in zip(rectangles, confidences, strict=True)
        ]

    def _network_size(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """The image at the network's scale, padded at the right and the bottom; and the scale."""
        height, width = image.shape[:2]
        scale = max(1.0, self.min_side / min(height, width))
        scale = min(scale, self.max_side / max(height, width))
        if scale != 1:
            height, width = max(1, round(height * scale)), max(1, round(width * scale))
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=method)
        bottom, right = -height % MULTIPLE, -width % MULTIPLE
        return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), scale

    def _probability(self, pixels: np.ndarray) -> np.ndarray:
        """That a pixel is text, ``(1, 1, H, W)``: where tiles overlap, the larger one's."""
        whole = np.zeros((1, 1, *pixels.shape[:2]), np.float32)
        tiles = _tiles(*pixels.shape[:2])
        if len(tiles) > 1:
            give_back_memory()  # what making the pixels left
        for tile in tiles:
            if _has_edges(pixels[tile]):
                part = whole[(..., *tile)]
                np.maximum(part, self._network(_normalized(pixels[tile]), False), out=part)
        self._network(np.zeros((1, 3, MULTIPLE, MULTIPLE), np.float32), True)
        if len(tiles) > 1:
            give_back_memory()
        return whole

    @cached_property
    def _network(self) -> Callable[[np.ndarray, bool], np.ndarray]:
        """Text probability: ``(1, 3, H, W)`` normalised BGR to ``(1, 1, H, W)``."""
        return open_network(self.model_path, self.threads)

    def _rectangles(
        self, probability: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, list[float]]:
        """Rectangles ``(n, 4, 2)`` and confidences of a probability map, in pixels of an image of
        that height and width."""
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        process = DBPostProcess(
            thresh=self.mask_threshold,
            box_thresh=self.min_confidence,
            max_candidates=MAX_CANDIDATES * len(_tiles(*probability.shape[2:])),
            unclip_ratio=self.unclip_ratio,
            score_mode="slow",
            use_dilation=False,
        )
        found: tuple[np.ndarray, list[float]] = process(probability, size)
        return found

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_network", None)  # an open network cannot be copied to another process
        return state


def _normalized(pixels: np.ndarray) -> np.ndarray:
    """Network input ``(1, 3, H, W)`` float32 of ``(H, W, 3)`` uint8 RGB."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    table = ((levels - MEAN) / DEVIATION).T
    blue_green_red = pixels[..., ::-1].transpose(2, 0, 1)
    planes = np.empty((1, *blue_green_red.shape), np.float32)
    for row, plane, place in zip(table, blue_green_red, planes[0], strict=True):
        np.take(row, plane, out=place, mode="clip")  # without one copy more
    return planes


def _tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of what the network sees at a time: all of it, or tiles of one size.

    >>> len(_tiles(2048, 2048)), len(_tiles(3000, 1024))
    (1, 3)
    """
    longest = WHOLE if max(height, width) <= WHOLE else TILE
    return list(product(_along(height, longest), _along(width, longest)))


def _along(side: int, longest: int) -> list[slice]:
    """The fewest tiles along a side, all of one length, that overlap enough.

    >>> _along(1024, 1536), _along(2016, 1536)
    ([slice(0, 1024, None)], [slice(0, 1152, None), slice(864, 2016, None)])
    """
    count = max(1, math.ceil((side - OVERLAP) / (longest - OVERLAP)))
    length = math.ceil((side + (count - 1) * OVERLAP) / count / MULTIPLE) * MULTIPLE
    starts = [(side - length) * place // max(1, count - 1) for place in range(count)]
    return [slice(start, start + length) for start in starts]


def _has_edges(tile: np.ndarray) -> bool:
    """Whether there may be text in a tile ``(H, W, 3)`` uint8."""
    size = [side // SHRUNK for side in (tile.shape[1], tile.shape[0])]
    shrunk = cv2.resize(tile, size, interpolation=cv2.INTER_AREA)
    steps = cv2.absdiff(shrunk[1:], shrunk[:-1]), cv2.absdiff(shrunk[:, 1:], shrunk[:, :-1])
    return max(int(step.max()) for step in steps) >= EDGE
