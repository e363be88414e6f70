"""Garbled text as a rater would grade it, 0 to 3.

Not from the paper. What: text is found on the original, enlarged twice so that small lettering
counts; a recogniser reads each piece in the original and in both decodes, and what it no longer
reads (probability of the original's characters, characters changed), with the faults of luma
inside the piece, makes the severity, also as far as it exceeds the traditional decode's. Why these:
letters that look sharp may be other letters; a reader notices, a similarity of structure does not.
From what data: as :mod:`~nacd_bench.detectors.texture_severity`.

No text found is severity 0. The recogniser's errors are the same for both decodes; text that it
does not read in the original (confidence under 0.3) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.detectors.severity.detector import FAINT, SeverityDetector, on_unit_scale
from nacd_bench.detectors.severity.maps import CELL, REACH, luma_faults
from nacd_bench.detectors.text import bounding_box
from nacd_bench.detectors.text_finders.cache import Cached
from nacd_bench.detectors.text_finders.finder import TextFinder
from nacd_bench.detectors.text_finders.rapidocr import RapidOCR
from nacd_bench.detectors.text_finders.reader import PPOCRReader, Reading, straightened
from nacd_bench.ops.color import luma
from nacd_bench.triplets.batch import Strip, TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, HeatMap
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.images import pixels_sha256, seen_in_8_bit, to_8_bit

LUMA_FAULTS = (0, 8, 16, 1, 9, 3, 11, 7)
"""Of :func:`~nacd_bench.detectors.severity.maps.luma_faults`: contrast-structure at three scales,
energy lost and error at two, gradients."""

FAULTS = 4 + len(LUMA_FAULTS)
"""Numbers per piece of text and decode."""

READABLE = 0.3
"""Least confidence with which a piece is read in the original."""

SOUND = 5.0
"""Letters without fault that a mean starts from, so that one or two do not make a severity."""

ENLARGE = 2.0
"""Factor by which the original is enlarged for the finder."""

KEPT = 1 << 25
"""Bytes of readings that are kept of the last original: its first fifteen lines or so."""

TILE = 512
STEP = 64
"""Side of a tile and step between tiles, in pixels."""


Line = tuple[NDArray[np.float32], list[int]]
"""Corners of a piece of text, and its bounding box."""


@dataclass(frozen=True)
class Pieces:
    """The text of one triplet.

    Args:
        boxes: ``(n, 4)`` int64.
        letters: ``(n,)`` how many are read in the original, times the square of the confidence
            with which they are read: what is hardly text hardly counts.
        faults: ``(n, 2, FAULTS)`` of the neural and of the traditional decode.
    """

    boxes: NDArray[np.int64]
    letters: NDArray[np.float64]
    faults: NDArray[np.float64]

    @property
    def exchanged(self) -> Pieces:
        """With the traditional decode as the neural one."""
        return Pieces(self.boxes, self.letters, self.faults[:, ::-1])

    @property
    def evidence(self) -> NDArray[np.float64]:
        """``(n, 2 FAULTS)``: the neural decode's faults, and how far they exceed the other's."""
        own, other = self.faults[:, 0], self.faults[:, 1]
        return np.concatenate([own, (own - other).clip(0)], axis=1)

    def tiles(self) -> NDArray[np.float64]:
        """What a severity is predicted from in overlapping tiles: ``(T, 2 FAULTS, 2)``.

        The mean over the tile's letters and :data:`SOUND` more without fault, and the root of the
        sum of squares over its letters: how much of the text, and how much text.
        """
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        last = np.maximum(self.boxes[:, 2:].max(axis=0) - TILE, 0)
        rows, columns = (np.arange(0, limit + STEP, STEP) for limit in (last[1], last[0]))
        members = {
            tuple(np.flatnonzero(((centres >= (x, y)) & (centres < (x + TILE, y + TILE))).all(1)))
            for y in rows.tolist()
            for x in columns.tolist()
        } - {()}
        evidence, means = self.evidence, []
        for member in sorted(members):
            index = list(member)
            letters, faults = self.letters[index, None], evidence[index]
            mean = (letters * faults).sum(axis=0) / (letters.sum() + SOUND)
            squares = (letters * faults**2).sum(axis=0)
            means.append(np.stack([mean, np.sqrt(squares)], axis=1))
        return np.array(means)


class TextSeverity(SeverityDetector):
    """Predicted severity of garbled text.

    Args:
        finder: what finds text, in the image enlarged twice; PP-OCR's detector, its polygons
            remembered on disk, by default.
        reader: what reads it; PP-OCR's recogniser by default.
        model: an ``.npz`` of weights; None takes the ones that come with the package.
    """

    name = "text_severity"
    artifact_type = "text"
    weights = "text.npz"
    shape = (2 * FAULTS, 2)
    place_numbers = 2 * FAULTS

    def __init__(
        self,
        finder: TextFinder | None = None,
        reader: PPOCRReader | None = None,
        model: str | Path | None = None,
    ) -> None:
        super().__init__(model)
        self.finder = finder or Cached(RapidOCR())
        self.reader = reader or PPOCRReader()
        self._last: tuple[str, list[Line], list[Reading]] = ("", [], [])

    @property
    def by_content(self) -> bool:
        return self.finder.by_content

    @property
    def settings(self) -> dict[str, Any]:
        parts = {"finder": dict(self.finder.settings), "reader": self.reader.settings}
        return {**super().settings, **parts}

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        results = [self._one(batch[index]) for index in range(len(batch))]
        scores, boxes, confidences, maps = zip(*results, strict=True)
        rows, columns = (CELL * torch.arange(side) for side in maps[0].shape)
        heat_map = HeatMap(torch.stack(maps), rows, columns, (CELL, CELL))
        return DetectionBatch(torch.stack(scores), boxes, confidences, heat_map)

    def _one(self, single: TripletBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score, boxes, confidences and heat map of one triplet."""
        cells = (-(-single.height // CELL), -(-single.width // CELL))
        heat = torch.zeros(cells, device=single.device)
        pieces = self.pieces(single)
        if not len(pieces.letters):
            return heat.new_zeros(()), torch.zeros(0, 4).long(), heat.new_empty(0), heat
        score = float(self.numbers.severity(torch.from_numpy(pieces.tiles())).max())
        odds = self.odds(pieces)
        values = score * np.exp(odds - odds.max())
        order = np.argsort(-values, kind="stable")
        for index in order[::-1]:  # where pieces overlap, the strongest is on top
            x0, y0, x1, y1 = (int(side) // CELL for side in pieces.boxes[index])
            heat[y0 : y1 + 1, x0 : x1 + 1] = float(values[index])
        kept = order[: max(1, int((values >= FAINT).sum()))]
        confidences = heat.new_tensor(values[kept])
        return heat.new_tensor(score), torch.from_numpy(pieces.boxes[kept]), confidences, heat

    def odds(self, pieces: Pieces) -> NDArray[np.float64]:
        """Logarithm of the odds that a rater points at each piece: longer ones are seen first."""
        terms = np.log1p(pieces.evidence / self.numbers.place_scale) * self.numbers.place_weights
        return np.log(pieces.letters) + terms.sum(axis=1)

    def pieces(self, single: TripletBatch) -> Pieces:
        """The text of a batch of one that can be read in the original."""
        boxes, letters, faults = [], [], []
        for box, reading, *decodes in self._readings(single):
            boxes.append(box)
            letters.append(float(max(1, reading.says.sum())) * reading.confidence**2)
            faults.append([reading.faults(decode) for decode in decodes])
        read = np.array(faults).reshape(-1, 2, FAULTS - len(LUMA_FAULTS))
        return Pieces(
            np.array(boxes, np.int64).reshape(-1, 4),
            np.array(letters),
            np.concatenate([read, luma_faults_in(boxes, single)], axis=2),
        )

    def _readings(
        self, single: TripletBatch
    ) -> Iterator[tuple[list[int], Reading, Reading, Reading]]:
        """The box of each line that can be read in the original, and how each image reads there.

        Readings come one by one, since each takes megabytes.
        """
        lines, known = self._lines(single)
        pictures = [_cut(image, lines) for image in single.images]
        for number, ((_, box), line, *decodes) in enumerate(zip(lines, *pictures, strict=True)):
            reading = known[number] if number < len(known) else self.reader.read(line)
            if number == len(known) and sum(r.probabilities.nbytes for r in known) < KEPT:
                known.append(reading)
            if reading.confidence >= READABLE:
                neural, traditional = map(self.reader.read, decodes)
                yield box, reading, neural, traditional

    def _lines(self, single: TripletBatch) -> tuple[list[Line], list[Reading]]:
        """The lines of an original, and the readings of its first ones; of the last one it is
        known, for its other rates."""
        original, name = seen_in_8_bit(single.original), single.ids[0]
        key = json_sha256(
            [original.shape, pixels_sha256(original), "" if self.by_content else name]
        )
        if self._last[0] != key:
            lines = []
            for polygon in self.finder.find_enlarged(original, ENLARGE, name):
                corners = cv2.boxPoints(cv2.minAreaRect(polygon.points.astype(np.float32)))
                box = bounding_box(polygon, single.width, single.height)
                if box[0] < box[2] and box[1] < box[3]:
                    lines.append((np.asarray(corners, np.float32), box))
            self._last = key, lines, []
        return self._last[1:]


def _cut(image: Tensor, lines: list[Line]) -> list[NDArray[np.uint8]]:
    """The lines of an image, straightened."""
    pixels = to_8_bit(image)
    return [straightened(pixels, corners) for corners, _ in lines]


def luma_faults_in(boxes: list[list[int]], single: TripletBatch) -> NDArray[np.float64]:
    """Means over boxes of :func:`faults_of_luma`: ``(n, 2, len(LUMA_FAULTS))``."""
    if not boxes:
        return np.zeros((0, 2, len(LUMA_FAULTS)))
    made = [faults_of_luma(strip) for strip in single.strips(REACH, CELL)]
    maps = torch.cat(made, 2).double()
    cells = [[side // CELL for side in box] for box in boxes]
    means = [maps[..., y0 : y1 + 1, x0 : x1 + 1].mean((2, 3)) for x0, y0, x1, y1 in cells]
    return torch.stack(means).cpu().numpy()


def faults_of_luma(strip: Strip) -> Tensor:
    """:data:`LUMA_FAULTS` of the neural and of the traditional decode: ``(2, n, h, w)``."""
    y = [luma(image) for image in strip.batch.planes(on_unit_scale)]
    return strip.rows(luma_faults(*y)[0][:, LUMA_FAULTS], CELL)
