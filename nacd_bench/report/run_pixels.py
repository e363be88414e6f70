"""The pixels of images of two runs, from wherever they still are.

A detect or benchmark run names image files. A mined folder holds crops of its candidates, and the
bitstreams from which the rest is decoded again when the codec can be built.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Codec, Image
from nacd_bench.coding.matched import describe
from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import CodecError, DataError, ImageError, UserError
from nacd_bench.ops.boxes import region_holding
from nacd_bench.ops.planes import one_thread
from nacd_bench.runs.compared_run import part_of
from nacd_bench.runs.read import Run
from nacd_bench.runs.schema import EDGES
from nacd_bench.triplets.files import read_bytes
from nacd_bench.triplets.images import pixels_sha256, read_8_bit
from nacd_bench.triplets.record import ROLES, Box, TripletRecord

KEPT = 24
"""Whole images held at a time: those of a triplet on both sides, and then some."""
ROUNDING = 2
"""Levels by which a decode may differ from that of another machine and still be the same."""
VIEWS = {
    "original": ("original", (1, 0)),
    "before": ("neural", (0,)),
    "after": ("neural", (1,)),
    "traditional": ("traditional", (1, 0)),
}
"""Role of each view of a pair, and the runs that have it: where both do, the later one first."""


class PairPixels:
    """Parts of the images of pairs of triplets.

    Args:
        runs: the earlier and the later one.
        pairs: their triplets that belong together; one is named by the earlier one's id.
        decode: whether to decode bitstreams where there is nothing else.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        pairs: Sequence[tuple[TripletRecord, TripletRecord]],
        decode: bool = True,
    ) -> None:
        self.runs = runs
        self.pairs = {pair[0].id: pair for pair in pairs}
        self.decode = decode
        self._crops: dict[Any, list[tuple[Box, Path]]] = defaultdict(list)
        for side, run in enumerate(runs):
            for row in run.detections if run.job == "mine" else ():
                x0, y0, x1, y1 = (row[f"crop_{edge}"] for edge in EDGES)
                for role in ROLES:
                    if row[f"crop_{role}"]:
                        crop = ((x0, y0, x1, y1), run.folder / row[f"crop_{role}"])
                        self._crops[side, row["triplet"], role].append(crop)
        self._whole = lru_cache(KEPT)(_outcome(self._read))
        self._codec = lru_cache(None)(_outcome(self._built))

    def region(self, pair: str, boxes: Sequence[Box]) -> Box:
        """What to show: a crop that a run kept where it holds every box, else what is around them,
        or all of the image where there is none.

        Raises:
            UserError: nothing of the image is left.
        """
        for side in (1, 0):
            for place, _ in self._crops[side, self.pairs[pair][side].id, "neural"]:
                if boxes and all(_holds(place, box) for box in boxes):
                    return place
        views = [(pair, view) for view in ("original", "after", "before", "traditional")]
        height, width = _first(self.cut, views).shape[:2]
        return region_holding(boxes or [(0, 0, width, height)], width, height)

    def cut(self, pair: str, view: str, part: Box | None = None) -> Image:
        """Part of one of :data:`VIEWS`, or the whole, ``(h, w, 3)`` uint8.

        Raises:
            UserError: it cannot be had; the message says why.
        """
        role, sides = VIEWS[view]
        return _first(self._cut, [(side, pair, role, part) for side in sides])

    def _cut(self, side: int, pair: str, role: str, part: Box | None) -> Image:
        if part is None:
            return _or_raise(self._whole(side, pair, role))
        x0, y0, x1, y1 = part
        for place, path in self._crops[side, self.pairs[pair][side].id, role]:
            if _holds(place, part):
                left, top, right, bottom = place
                try:
                    pixels, _ = read_8_bit(path)
                except UserError:  # another crop or the whole image may do
                    continue
                if pixels.shape[:2] == (bottom - top, right - left):
                    return pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        pixels = _or_raise(self._whole(side, pair, role))
        if x1 > pixels.shape[1] or y1 > pixels.shape[0]:
            raise ImageError(
                f"expected an image that holds the box {list(part)}, got one of "
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels."
            )
        return pixels[y0:y1, x0:x1]

    def _read(self, side: int, pair: str, role: str) -> Image:
        """A whole image ``(H, W, 3)``."""
        run, record = self.runs[side], self.pairs[pair][side]
        fault: UserError = ImageError("the run kept no picture of this place.")
        file, expected = getattr(record, role), record.extra.get(f"{role}_file_sha256")
        if file:
            try:
                stored, sha256 = read_8_bit(file)
                if expected in (None, sha256):
                    return stored
                fault = ImageError(
                    f"{file} changed since the run: it does not show what the run looked at."
                )
            except UserError as error:
                fault = error
        name = record.extra.get(f"{role}_bitstream") if run.job == "mine" else None
        if not name or not self.decode:
            raise fault
        stream = run.folder / name
        data = read_bytes(stream, "a bitstream", DataError)
        codec = _or_raise(self._codec(side, role))
        try:
            with one_thread():  # as in the run: floating point sums differ by their order
                pixels: Image = codec.decode(data)
        except Exception as error:  # of whatever kind: a codec is somebody else's code
            raise CodecError(f"{stream} cannot be decoded: {describe(error)}") from error
        is_same = pixels_sha256(pixels) == record.extra[f"{role}_sha256"]
        if not is_same and not _agrees(pixels, self._crops[side, record.id, role]):
            raise CodecError(
                f"{stream} decodes to other pixels than it did in the run: the codec "
                "changed, or computes in another way on this machine."
            )
        return pixels

    def _built(self, side: int, role: str) -> Codec:
        run = self.runs[side]
        codec = part_of(run.settings, role, "codec")
        try:
            if not codec:
                raise DataError("the run does not say which codec decodes its bitstreams.")
            return CodecSpec(**codec).build()
        except Exception as error:  # a plug-in may raise anything
            message = f"the codec of {run.folder} cannot be made: {describe(error)}"
            raise CodecError(message) from error


def _first(pixels: Callable[..., Image], places: Sequence[tuple[Any, ...]]) -> Image:
    """What the first place has that has it; else the fault of the very first is raised."""
    faults = []
    for place in places:
        try:
            return pixels(*place)
        except UserError as error:
            faults.append(error)
    raise faults[0]


def _outcome(made: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors returned, so that they are remembered like its values."""

    def call(*args: Any) -> Any:
        try:
            return made(*args)
        except UserError as error:
            return error

    return call


def _or_raise(outcome: Any) -> Any:
    if isinstance(outcome, UserError):
        raise outcome
    return outcome


def _holds(place: Box, box: Box) -> bool:
    return place[0] <= box[0] and place[1] <= box[1] and place[2] >= box[2] and place[3] >= box[3]


def _agrees(pixels: Image, crops: Sequence[tuple[Box, Path]]) -> bool:
    """Whether the crops that the run kept of an image show the same, but for rounding."""
    compared = 0
    for (x0, y0, x1, y1), path in crops:
        try:
            kept, _ = read_8_bit(path)
        except UserError:
            continue
        part = pixels[y0:y1, x0:x1].astype(np.int16)
        if kept.shape != part.shape or np.abs(part - kept).max() > ROUNDING:
            return False
        compared += 1
    return compared > 0
