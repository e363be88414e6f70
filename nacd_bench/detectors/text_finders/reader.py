"""How well a piece of text still reads: PP-OCR's recogniser on the same polygon of two images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nacd_bench.detectors.text_finders.networks import network_file, open_network
from nacd_bench.triplets.files import sha256

MODEL = "PP-OCRv6_rec_small.onnx"
"""The recogniser in the wheel of rapidocr 3.10."""

HEIGHT = 48
WIDEST = 960
"""Pixels of a line for the network: its height, and the width beyond which it is squeezed."""

TALL = 1.5
"""Height over width from which a line is read from top to bottom."""

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What the recogniser sees in a line.

    Args:
        probabilities: ``(steps, characters)``, the first character is "none".
    """

    probabilities: Floats

    @cached_property
    def best(self) -> NDArray[np.int64]:
        return self.probabilities.argmax(axis=1)

    @property
    def says(self) -> NDArray[np.bool_]:
        """Steps at which a character is seen."""
        return self.best != 0

    @property
    def confidence(self) -> float:
        """Mean probability of the characters seen; 0 without any."""
        return float(self.probabilities.max(axis=1)[self.says].mean()) if self.says.any() else 0.0

    @property
    def characters(self) -> list[int]:
        """Without repetitions and without "none"."""
        new = np.diff(self.best, prepend=0) != 0
        return [int(character) for character in self.best[new & self.says]]

    def faults(self, decode: Reading) -> list[float]:
        """How much less the decode says what this, the original, says; each 0 to 1.

        Probability of its characters lost where it sees one, and over all steps; distance of the
        distributions (1 - Bhattacharyya coefficient); share of characters changed.
        """
        steps = np.arange(len(self.best))
        kept = decode.probabilities[steps, self.best]
        overlap = np.sqrt(decode.probabilities * self.probabilities).sum(axis=1)
        says = self.says
        edits = SequenceMatcher(None, self.characters, decode.characters, autojunk=False)
        lost = [1 - kept[says].mean(), 1 - kept.mean(), 1 - overlap[says].mean()]
        return [max(0.0, float(value)) for value in (*lost, 1 - edits.ratio())]


@dataclass(eq=False)
class PPOCRReader:
    """PP-OCR's recogniser.

    Args:
        model: an ONNX file of PP-OCR's recogniser: a path, or a file name in RapidOCR's wheel.
        threads: of the network; None leaves it to ONNX Runtime.
    """

    model: str | Path = MODEL
    threads: int | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        return {"reader": self.path.name, "sha256": sha256(self.path.read_bytes())}

    @cached_property
    def path(self) -> Path:
        return network_file(self.model, "rec")

    @cached_property
    def _network(self) -> Callable[[np.ndarray, bool], np.ndarray]:
        return open_network(self.path, self.threads)

    def read(self, line: Image) -> Reading:
        """What a :func:`straightened` line says."""
        pixels = (line[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5
        return Reading(
            self._network(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]), True)[0]
        )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_network", None)  # an open network cannot be copied to another process
        return state


def straightened(image: Image, corners: Floats) -> Image:
    """The line within four corners ``(4, 2)`` of an image ``(H, W, 3)`` RGB, as a picture of
    :data:`HEIGHT` rows; what is tall is turned by a quarter."""
    total, slope = corners.sum(axis=1), corners[:, 1] - corners[:, 0]
    ordered = corners[[total.argmin(), slope.argmin(), total.argmax(), slope.argmax()]]
    across, down = ordered - np.roll(ordered, -1, axis=0), ordered - np.roll(ordered, 1, axis=0)
    width = float(np.linalg.norm(across[[0, 2]], axis=1).max())
    height = float(np.linalg.norm(down[[0, 2]], axis=1).max())
    if height > TALL * width:
        ordered, width, height = np.roll(ordered, 1, axis=0), height, width
    columns = int(np.clip(round(HEIGHT * width / max(height, 1)), 16, WIDEST))
    target = np.array([[0, 0], [columns, 0], [columns, HEIGHT], [0, HEIGHT]], np.float32)
    transform = cv2.getPerspectiveTransform(ordered.astype(np.float32), target)
    line = cv2.warpPerspective(
        image, transform, (columns, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(line, np.uint8)
