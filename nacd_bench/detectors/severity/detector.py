"""What the detectors of severity for texture and colour share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.detectors.base import Detector
from nacd_bench.detectors.severity.evidence import PLACES, STATISTICS, parts, places, tiles, within
from nacd_bench.detectors.severity.maps import CELL, MAPS, REACH, faults, weighted
from nacd_bench.detectors.severity.model import CLEAR, WORST, SeverityModel, read_model
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, HeatMap

SMALLEST = 64
"""Least side in pixels of a box."""
MOST_BOXES = 8
FAINT = 0.5
"""Boxes after the first have at least this severity."""


class SeverityDetector(Detector):
    """Predicted severity of the neural decode's faults where the traditional decode is better.

    Args:
        model: an ``.npz`` of weights; None takes the ones that come with the package.
    """

    version = "4"
    min_size = (64, 64)
    heat_map_range = (0.0, WORST)
    is_severity = True
    counts_from = CLEAR
    weights: ClassVar[str]
    """File of the weights that come with the package."""
    shape: ClassVar[tuple[int, ...]] = (STATISTICS,)
    """Of the evidence of a tile."""
    place_numbers: ClassVar[int] = PLACES
    """Numbers that tell a place."""

    def __init__(self, model: str | Path | None = None) -> None:
        super().__init__()
        self.model = model

    @cached_property
    def numbers(self) -> SeverityModel:
        """The weights; read when first needed."""
        if self.model is not None:
            return read_model(self.model, self.shape, self.place_numbers)
        with as_file(files(__package__) / "weights" / self.weights) as path:
            return read_model(path, self.shape, self.place_numbers)

    @property
    def settings(self) -> dict[str, Any]:
        return {"detector": self.name, "version": self.version, "model": self.numbers.digest}

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        numbers, parts_of_odds = self.numbers, []

        def evidence() -> Iterator[Tensor]:
            whole = [batch.once(_places)] if batch.is_whole else ()
            for part in whole or parts(*batch.once(faults_of_decodes)):
                parts_of_odds.append(numbers.places(part))
                yield part

        told = tiles(evidence(), numbers.used)
        severities = [numbers.of_used.severity(some).amax(1) for some in told]
        scores, odds = torch.stack(severities).amax(0), within(torch.cat(parts_of_odds, 1))
        heat = scores[:, None, None] * (odds - odds.amax((1, 2), keepdim=True)).exp()
        found = [
            list(self._boxes(one, score, batch.height, batch.width))
            for one, score in zip(odds.cpu().numpy(), scores.tolist(), strict=True)
        ]
        boxes = [torch.tensor([box for box, _ in image]) for image in found]
        confidences = [scores.new_tensor([value for _, value in image]) for image in found]
        rows, columns = (CELL * torch.arange(side) for side in odds.shape[1:])
        heat_map = HeatMap(heat.float(), rows, columns, (CELL, CELL))
        return DetectionBatch(scores.float(), boxes, [c.float() for c in confidences], heat_map)

    def _boxes(
        self, odds: NDArray[np.floating], score: float, height: int, width: int
    ) -> Iterator[tuple[list[int], float]]:
        """Boxes around the peaks of the odds ``(h, w)``, the strongest first.

        The first carries the score, others the share of it that their odds are of the first's.
        """
        strongest = odds.max()
        left = odds.copy()
        for index in range(MOST_BOXES):
            peak = np.unravel_index(left.argmax(), left.shape)
            severity = score * float(np.exp(left[peak] - strongest))
            if index and not severity >= FAINT:
                return
            box = extent(odds, peak, self.numbers.reach, height, width)
            yield box, severity
            x0, y0, x1, y1 = (side // CELL for side in box)
            left[y0 : y1 + 1, x0 : x1 + 1] = -np.inf


def extent(
    odds: NDArray[np.floating], peak: tuple[np.intp, ...], reach: float, height: int, width: int
) -> list[int]:
    """``[x0, y0, x1, y1]`` in pixels of what hangs together around a peak.

    Cells within ``reach`` of the peak's value, at least :data:`SMALLEST` pixels each way where the
    image allows, inside the image.

    >>> extent(np.eye(16) * 9, (4, 4), 1.0, 128, 128)
    [4, 4, 68, 68]
    """
    near = (odds >= odds[peak] - reach).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=4)
    x, y, w, h = (CELL * int(value) for value in stats[labels[peak]][:4])
    sides = []
    for first, length, side in ((x, w, width), (y, h, height)):
        size = min(side, max(length, SMALLEST))
        start = min(max(0, first + (length - size) // 2), side - size)
        sides.append((start, start + size))
    (x0, x1), (y0, y1) = sides
    return [x0, y0, x1, y1]


def _places(batch: TripletBatch) -> Tensor:
    """Evidence of all cells of a picture that is no larger than what is kept of it."""
    return places(*batch.once(faults_of_decodes))


def faults_of_decodes(batch: TripletBatch) -> tuple[Tensor, Tensor]:
    """Maps of the neural and of the traditional decodes' faults."""
    cells = [-(-side // CELL) for side in (batch.height, batch.width)]
    shapes = (len(batch), 2, MAPS, *cells), (len(batch), 2, *cells)
    maps, uv = (torch.empty(shape, device=batch.device) for shape in shapes)
    for strip in batch.strips(REACH, CELL):
        rows = slice(strip.start // CELL, -(-strip.stop // CELL))
        made = faults(*strip.batch.planes(on_unit_scale))
        for whole, part in zip((maps, uv), made, strict=True):
            whole[..., rows, :] = strip.rows(part, CELL)
        if not batch.is_whole:
            give_back_memory()
    neural, traditional = weighted(maps, uv, batch.height, batch.width).unbind(1)
    return neural, traditional


def on_unit_scale(image: Tensor) -> Tensor:
    return image.float().div(255) if image.dtype == torch.uint8 else image.float()
