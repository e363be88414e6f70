"""The pixels of an image of a run, from wherever they still are.

A detect or benchmark run names image files. A mined folder holds crops of its candidates, and the
bitstreams from which the rest is decoded again when the codec can be built.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from nacd_bench.coding.codec import Codec, Image
from nacd_bench.coding.matched import describe
from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import CodecError, DataError, ImageError, UserError
from nacd_bench.jobs.compare.compared_run import ComparedRun, Picture
from nacd_bench.ops.planes import one_thread
from nacd_bench.triplets.files import read_bytes
from nacd_bench.triplets.images import pixels_sha256, read_8_bit
from nacd_bench.triplets.record import Box

KEPT = 12
"""Whole images held at a time: those of a triplet on both sides, and then some."""
ROUNDING = 2
"""Levels by which a decode may differ from that of another machine and still be the same."""


class Pictures:
    """Cuts of a run's images.

    Args:
        run: whose images.
        decode: whether to decode bitstreams where there is nothing else.
    """

    def __init__(self, run: ComparedRun, decode: bool = True) -> None:
        self.run = run
        self.decode = decode
        self._kept: OrderedDict[tuple[int, str], Image | str] = OrderedDict()
        self._codecs: dict[str, Codec | str] = {}

    def cut(self, triplet: int, role: str, part: Box) -> Image:
        """Part of an image, ``(h, w, 3)`` uint8.

        Raises:
            UserError: it cannot be had; the message says why.
        """
        x0, y0, x1, y1 = part
        for place, path in self.run.triplets[triplet].pictures[role].crops:
            a, b, c, d = place
            if a <= x0 and b <= y0 and x1 <= c and y1 <= d:
                try:
                    pixels, _ = read_8_bit(path)
                except UserError:  # another crop or the whole image may do
                    continue
                if pixels.shape[:2] == (d - b, c - a):
                    return np.ascontiguousarray(pixels[y0 - b : y1 - b, x0 - a : x1 - a])
        pixels = self.whole(triplet, role)
        if x1 > pixels.shape[1] or y1 > pixels.shape[0]:
            raise ImageError(
                f"expected an image that holds the box {list(part)}, got one of "
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels."
            )
        return np.ascontiguousarray(pixels[y0:y1, x0:x1])

    def whole(self, triplet: int, role: str) -> Image:
        """An image ``(H, W, 3)`` uint8; :class:`UserError` as in :meth:`cut`."""
        key = triplet, role
        if key not in self._kept:
            try:
                self._kept[key] = self._whole(self.run.triplets[triplet].pictures[role], role)
            except UserError as error:
                self._kept[key] = str(error)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        found = self._kept[key]
        if isinstance(found, str):
            raise ImageError(found)
        return found

    def _whole(self, picture: Picture, role: str) -> Image:
        fault: UserError | None = None
        if picture.file is not None:
            try:
                return _unchanged(picture)
            except UserError as error:
                fault = error
        if picture.bitstream is not None and self.decode:
            return self._decoded(picture, picture.bitstream, role)
        raise fault or ImageError("the run kept no picture of this place.")

    def _decoded(self, picture: Picture, bitstream: Path, side: str) -> Image:
        data = read_bytes(bitstream, "a bitstream", DataError)
        codec = self._built(side)
        try:
            with one_thread():  # as in the run: floating point sums differ by their order
                pixels = codec.decode(data)
        except Exception as error:  # of whatever kind: a codec is somebody else's code
            raise CodecError(f"{bitstream} cannot be decoded: {describe(error)}") from error
        if pixels_sha256(pixels) != picture.pixels_sha256 and not _agrees(pixels, picture):
            raise CodecError(
                f"{bitstream} decodes to other pixels than it did in the run: the codec changed, "
                "or computes in another way on this machine."
            )
        return pixels

    def _built(self, side: str) -> Codec:
        """The codec of a side; what keeps it from being built is said every time."""
        if side not in self._codecs:
            try:
                if side not in self.run.codecs:
                    raise DataError("the run does not say which codec decodes its bitstreams.")
                self._codecs[side] = CodecSpec(**self.run.codecs[side]).build()
            except Exception as error:  # a plug-in may raise anything
                fault = f"the codec of {self.run.folder} cannot be made: {describe(error)}"
                self._codecs[side] = fault
        found = self._codecs[side]
        if isinstance(found, str):
            raise CodecError(found)
        return found


def _agrees(pixels: Image, picture: Picture) -> bool:
    """Whether the crops that the run kept of an image show the same, but for rounding."""
    compared = 0
    for (x0, y0, x1, y1), path in picture.crops:
        try:
            kept, _ = read_8_bit(path)
        except UserError:
            continue
        part = pixels[y0:y1, x0:x1].astype(np.int16)
        if kept.shape != part.shape or np.abs(part - kept).max() > ROUNDING:
            return False
        compared += 1
    return compared > 0


def _unchanged(picture: Picture) -> Image:
    assert picture.file is not None
    pixels, sha256 = read_8_bit(picture.file)
    if picture.file_sha256 is not None and sha256 != picture.file_sha256:
        raise ImageError(
            f"{picture.file} changed since the run: it does not show what the run looked at."
        )
    return pixels
