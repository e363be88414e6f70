"""Matching one codec's rate to another's: the nearest operating point in few encodes.

What an image's rate and PSNR will be is read off its pixels (:mod:`~nacd_bench.coding.expected`),
up to where the codec's operating points lie on that scale, which first images teach. The search is
a secant on the difference to that curve, with bisection as guard. It ends when no point that was
not encoded may be nearer to a target than the best one, as far as curves bend and sizes scatter:
early where the curve is smooth, later where it is not (small images, whose sizes rise and fall by
single bytes). Several targets of one image share every encode.

>>> from nacd_bench.registry import CODECS
>>> gray = np.arange(96 * 96 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 96, 3)
>>> match, = match_rates(Encodings(CODECS.get("jpeg")(), gray), [2.0])
>>> abs(match.miss) < 0.1
True
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacd_bench.coding.codec import (
    Codec,
    FineControl,
    Image,
    bits_per_pixel,
)
from nacd_bench.coding.expected import FINENESS, expected_curves
from nacd_bench.errors import CodecError
from nacd_bench.ops.psnr import psnr
from nacd_bench.ops.strips import spans
from nacd_bench.triplets.files import write_whole

Floats = NDArray[np.float64]
Seen = Mapping[int, float]
"""Fineness (:mod:`~nacd_bench.coding.expected`) by index of the operating point, of one image."""

UNITS = {"bpp": "bpp", "psnr": "dB"}
LOWEST = {"bpp": 0.05, "psnr": 24.0}
"""A usual value at a codec's first operating point."""
LEAST = 1e-6
"""Octaves between operating points that are expected to have the same rate."""
BEYOND = 8.0
"""Octaves for which an expected curve goes on at either end."""
DB_PER_BIT = 20 * math.log10(2)
"""Decibels that halve an error: PSNR is searched on the scale of bits of error."""
MOST_DB = 100.0
"""Equal images lie far off any curve: a search has no use for more."""
STIFFNESS = 1.0
PRIOR = 0.1
"""Weights of a codec's steps being like their neighbours, and like its first guess."""
TILT = 0.08
"""Spread of an image's slope around what is expected of it, as a share."""
UNTAUGHT = 0.3
"""The same before any image has taught the codec's slope."""
BEND = 0.05
"""Departure from a secant per squared octave of rate (24 Kodak images)."""
RATE_RIPPLE = 0.75
"""Scatter of log2(bpp) around it, times the square root of the size in bytes; see
:class:`~nacd_bench.coding.codec.OperatingPoints`."""
QUALITY_RIPPLE = 0.01
"""Scatter of dB / 6.02 around a smooth curve, which comes from steps of the quantiser."""
CERTAINTY = 3.0
"""Spreads by which a point must miss being nearer before it is left out."""
SURPRISE = 4.0
"""Spreads of a wrong prediction from which on all of them are widened in proportion."""
BISECTION = 4
"""Of so many encodes for one target one halves what is left of the bracket."""
FAR = 1e3
"""Octaves to a neighbour that is not there."""
FINE_STEPS = 5
"""Encodes with a fine control at one operating point."""
FINEST_STEP = 0.004
"""Octaves of a fine control below which its rate is noise: HM's jumps by single decisions."""
WORTH_KEEPING = 1.0
"""Seconds of an encode from which on it is kept until its image is done."""
SECONDS = struct.Struct("<d")


@dataclass(frozen=True)
class Match:
    """The operating point nearest to a target.

    Args:
        target: what was asked, bpp, dB or the point itself.
        got: what the encode has, in the same unit.
        point: the operating point.
        fine: value of the codec's fine control, None where it was not used.
        data: the bitstream.
        bpp: rate of the bitstream.
        encodes: encodes that this target needed; sizes known from other targets are free.
        out_of_range: the target lies beyond the first or last operating point, and a fine control
            did not reach it.
        seconds: time of the encode that made ``data``.
    """

    target: float
    got: float
    point: float
    fine: float | None
    data: bytes
    bpp: float
    encodes: int
    out_of_range: bool
    seconds: float

    @property
    def miss(self) -> float:
        """How far it is off: got / target - 1."""
        return self.got / self.target - 1


class Encodings:
    """One image in one codec: nothing is encoded twice.

    Args:
        codec: the codec.
        image: ``(H, W, 3)`` uint8.
        folder: where encodes that took long are kept, so that a kill does not cost hours of them.
    """

    def __init__(self, codec: Codec, image: Image, folder: Path | None = None) -> None:
        self.codec = codec
        self.image = image
        self.folder = folder
        self.points = codec.points.values
        self.matches: dict[tuple[int, float | None], Match] = {}
        self._psnr: dict[int, float] = {}

    def at(self, index: int, fine: float | None = None) -> Match:
        """The encode at the ``index``-th operating point, its fine control at ``fine``."""
        if (index, fine) not in self.matches:
            point = self.points[index]
            data, seconds = self._encoded(index, fine)
            height, width = self.image.shape[:2]
            bpp = bits_per_pixel(self.codec.rate_bytes(data), width, height)
            match = Match(point, point, point, fine, data, bpp, 1, False, seconds)
            self.matches[index, fine] = match
        return self.matches[index, fine]

    def _encoded(self, index: int, fine: float | None) -> tuple[bytes, float]:
        """Bitstream and seconds, from the folder where they are kept there."""
        name = f"{index}" if fine is None else f"{index}_{fine!r}"
        path = self.folder / name if self.folder else None
        if path and path.is_file():
            content = path.read_bytes()
            return content[SECONDS.size :], SECONDS.unpack_from(content)[0]
        start, arguments = time.perf_counter(), (self.image, self.points[index])
        data = (
            self.codec.encode(*arguments)
            if fine is None
            else self.codec.encode_fine(*arguments, fine)
        )
        seconds = time.perf_counter() - start
        if path and seconds >= WORTH_KEEPING:
            write_whole(path, SECONDS.pack(seconds) + data)
        return data, seconds

    def quantity(self, kind: str, index: int) -> float:
        """``"bpp"`` or luma ``"psnr"`` in dB at the ``index``-th operating point."""
        match = self.at(index)
        if kind == "bpp":
            return match.bpp
        if index not in self._psnr:
            self._psnr[index] = luma_psnr(self.image, self.codec.decode(match.data))
        return self._psnr[index]

    @property
    def indices(self) -> list[int]:
        """The operating points that were encoded."""
        return [index for index, fine in self.matches if fine is None]

    @cached_property
    def _known(self) -> Floats | None:
        """What the codec says of its operating points' rates."""
        return self.codec.expected_rates(self.image)

    @property
    def _scale(self) -> Floats:
        """The operating points, as far apart as they usually are."""
        return self.codec.points.slope * np.arange(len(self.points), dtype=np.float64)

    @cached_property
    def expected(self) -> dict[str, tuple[Floats, Floats]]:
        """By kind fineness, and the bits that the image is expected to have there."""
        curves = {kind: (FINENESS, bits) for kind, bits in expected_curves(self.image).items()}
        if self._known is not None:
            curves["bpp"] = self._scale, self._known
        return {kind: (_extended(scale), _extended(bits)) for kind, (scale, bits) in curves.items()}

    def guess(self, kind: str) -> Floats:
        """The codec's curve ``(points,)`` before any image taught it."""
        if kind == "bpp" and self._known is not None:
            return self._scale
        return self._scale + self.fineness(kind, LOWEST[kind])

    def fineness(self, kind: str, quantity: float) -> float:
        """Of the quantiser step at which the image is expected to have a rate or PSNR."""
        fineness, bits = self.expected[kind]
        return float(np.interp(_bits(kind, quantity), bits, fineness))

    def seen(self, kind: str) -> dict[int, float]:
        """What the encodes so far teach about the codec, see :data:`Seen`."""
        return {i: self.fineness(kind, self.quantity(kind, i)) for i in self.indices}


def _extended(line: Floats) -> Floats:
    """A line that goes on at its ends."""
    return np.concatenate([[line[0] - BEYOND], line, [line[-1] + BEYOND]])


def luma_psnr(original: Image, decoded: Image) -> float:
    """PSNR of Y (BT.601) in dB of two images ``(H, W, 3)``; 300 where Y is equal.

    >>> round(luma_psnr(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)), 2)
    48.13
    """
    error = 0.0
    for span in spans(*original.shape[:2]):
        rows = slice(span.start, span.stop)
        difference = original[rows].astype(np.float64) - decoded[rows]
        error += float(np.sum((difference @ [0.299, 0.587, 0.114]) ** 2))
    return psnr(error / decoded[..., 0].size / 255**2)


def codec_curve(guess: Floats, images: Sequence[Seen]) -> Floats:
    """A codec's mean curve ``(points,)``, before any image what is guessed.

    Its steps fit best to what was seen and are much like their neighbours.
    """
    if not images:
        return guess
    steps = len(guess) - 1
    pairs = [(seen, a, b) for seen in images for a, b in pairwise(sorted(seen))]
    index = np.arange(steps)
    spans = np.array([(index >= a) & (index < b) for _, a, b in pairs]).reshape(len(pairs), steps)
    alike, usual = STIFFNESS * np.eye(max(0, steps - 1), steps), PRIOR * np.eye(steps)
    alike -= np.roll(alike, 1, axis=1)
    rises = [seen[b] - seen[a] for seen, a, b in pairs]
    known = np.concatenate([rises, np.zeros(len(alike)), PRIOR * np.diff(guess)])
    rises = np.linalg.lstsq(np.concatenate([spans, alike, usual]), known, rcond=None)[0]
    curve = np.concatenate([[0.0], np.cumsum(rises.clip(0))])
    return curve + np.mean([np.mean([seen[i] - curve[i] for i in seen]) for seen in images])


def match_rates(
    encodings: Encodings,
    targets: Sequence[float],
    kind: str = "bpp",
    *,
    tolerance: float | None = None,
    earlier: Sequence[Seen] = (),
) -> list[Match]:
    """The operating points nearest to targets, in the order of the targets.

    Args:
        encodings: the image in its codec.
        targets: beyond the codec's range its end is taken and :attr:`Match.out_of_range` set.
        kind: what the targets are: ``"bpp"``, ``"psnr"`` (luma, in dB) or ``"point"``.
        tolerance: use the codec's fine control, if it has one, where the nearest operating point
            misses a rate by more than this share (0.01 is 1 %).
        earlier: what earlier images taught about the codec, see :meth:`Encodings.seen`.

    Raises:
        CodecError: a target that is not positive, no such point, or an encode that fails.
    """
    codec = encodings.codec
    if kind == "point":
        for point in targets:
            codec.require_point(point)
        matches = [encodings.at(encodings.points.index(point)) for point in targets]
        return [
            replace(match, target=point, got=point)
            for match, point in zip(matches, targets, strict=True)
        ]
    for target in targets:
        if not (math.isfinite(target) and target > 0):
            raise CodecError(
                f"expected a target above 0 {UNITS[kind]}, got {target}. "
                "Ask for a rate between 0.02 and 8 bpp or a PSNR between 20 and 60 dB."
            )
    matches = _nearest(encodings, targets, kind, [seen for seen in earlier if seen])
    if tolerance is None or codec.fine is None or kind == "psnr":
        return matches
    return [_refine(encodings, match, tolerance) for match in matches]


def _bits(kind: str, quantity: float) -> float:
    """log2(bpp), or a PSNR in bits of error."""
    return min(quantity, MOST_DB) / DB_PER_BIT if kind == "psnr" else math.log2(max(quantity, 1e-9))


def _nearest(
    encodings: Encodings, targets: Sequence[float], kind: str, earlier: Sequence[Seen]
) -> list[Match]:
    """Encodes until no operating point may be nearer to any target than those that it has."""
    curve = codec_curve(encodings.guess(kind), earlier)
    goals = [_bits(kind, target) for target in targets]
    middle = float(np.median(goals))
    encodes, surprise = [0] * len(targets), 1.0
    while True:
        expected, spread = _expected(encodings, kind, curve, TILT if earlier else UNTAUGHT)
        got = {index: encodings.quantity(kind, index) for index in sorted(encodings.indices)}
        doubts = []
        for place, (target, goal) in enumerate(zip(targets, goals, strict=True)):
            miss = min((abs(value - target) for value in got.values()), default=math.inf)
            low, high = _bits(kind, target - miss), _bits(kind, target + miss)
            reach = surprise * CERTAINTY * spread
            may_be = (expected + reach > low) & (expected - reach < high)
            sure = 1.5 * CERTAINTY * spread
            first = max((i for i in got if expected[i] + sure[i] < low), default=0)
            last = min((i for i in got if expected[i] - sure[i] > high), default=len(curve))
            rivals = [i for i in range(first, last) if may_be[i] and i not in got]
            if not rivals:
                continue
            index = min(rivals, key=lambda index: abs(expected[index] - goal))
            if encodes[place] % BISECTION == BISECTION - 1:
                index = rivals[len(rivals) // 2]
            off = min((abs(expected[i] - goal) for i in got), default=-abs(goal - middle))
            doubts.append((off, place, index))
        if not doubts:
            break
        _, place, index = max(doubts)  # the middle target first, then what is farthest off
        encodes[place] += 1
        error = abs(_bits(kind, encodings.quantity(kind, index)) - expected[index])
        surprise = max(surprise, error / (SURPRISE * spread[index]))
    matches = []
    for target, goal, count in zip(targets, goals, encodes, strict=True):
        index = min(got, key=lambda index: abs(got[index] - target))
        match = replace(encodings.at(index), target=target, got=got[index], encodes=count)
        matches.append(replace(match, out_of_range=not expected.min() <= goal <= expected.max()))
    return matches


def _expected(encodings: Encodings, kind: str, curve: Floats, tilt: float) -> tuple[Floats, Floats]:
    """Bits ``(points,)`` as the curve through what was seen has them, and their spread."""
    seen, (fineness, bits) = encodings.seen(kind), encodings.expected[kind]
    if not seen:
        return np.interp(curve, fineness, bits), np.full_like(curve, FAR)
    order, index = sorted(seen), np.arange(len(curve))
    off = [seen[i] - curve[i] for i in order]
    usual = np.interp(curve, fineness, bits) + LEAST * index
    expected = np.interp(curve + np.interp(usual, usual[order], off), fineness, bits)
    octaves = np.abs(expected[:, None] - expected[order])
    below = np.where(index[:, None] >= order, octaves, FAR).min(1)
    above = np.where(index[:, None] <= order, octaves, FAR).min(1)
    bend = np.minimum(tilt * np.minimum(below, above), BEND * below * above)
    pixels = encodings.image.shape[0] * encodings.image.shape[1]
    scatter = QUALITY_RIPPLE * np.ones_like(expected)
    if kind == "bpp":
        scatter = RATE_RIPPLE / np.sqrt(np.maximum(np.exp2(expected) * pixels / 8, 16))
    return expected, np.hypot(bend, encodings.codec.points.ripple * scatter)


def _refine(encodings: Encodings, match: Match, tolerance: float) -> Match:
    """The match with its codec's fine control set so that the miss is within ``tolerance``.

    The control is found by a secant over its octaves. Where it does not get there from the nearest
    operating point (its range ends, or sizes jump by more than the tolerance), the point on the
    other side of the target is tried as well.
    """
    control, before = encodings.codec.fine, len(encodings.matches)
    assert control is not None
    best = match
    nearest = encodings.points.index(match.point)
    for index in (nearest, nearest + (1 if match.bpp < match.target else -1)):
        if abs(best.miss) <= tolerance or not 0 <= index < len(encodings.points):
            break
        slope, start = control.slope, encodings.at(index)
        misses = {math.log2(control.neutral): math.log2(start.bpp / match.target)}
        for _ in range(FINE_STEPS):
            value = _next_fine(control, misses, slope)
            octave = math.log2(value)
            near = min(misses, key=lambda tried: abs(tried - octave))
            if abs(octave - near) < FINEST_STEP:
                break  # the end of the range, or a jump of the rate
            tried = replace(encodings.at(index, value), target=match.target)
            tried = replace(tried, got=tried.bpp)
            misses[octave] = math.log2(tried.bpp / match.target)
            measured = (misses[octave] - misses[near]) / (octave - near)
            slope = measured if measured * control.slope > 0 else slope
            best = min(best, tried, key=lambda one: abs(one.miss))
            if abs(best.miss) <= tolerance:
                break
    encodes = match.encodes + len(encodings.matches) - before
    out_of_range = match.out_of_range and abs(best.miss) > tolerance
    return replace(best, encodes=encodes, out_of_range=out_of_range)


def _next_fine(control: FineControl, misses: Mapping[float, float], slope: float) -> float:
    """Where a secant through octaves of a fine control and misses in octaves of rate meets 0."""
    crossings = [
        (b - a, a + (b - a) * misses[a] / (misses[a] - misses[b]))
        for a, b in pairwise(sorted(misses))
        if misses[a] * misses[b] < 0
    ]
    last = min(misses, key=lambda octave: abs(misses[octave]))
    octave = min(crossings)[1] if crossings else last - misses[last] / slope
    value = min(max(2**octave, control.low), control.high)
    return round(value, 4)  # as it stands in tables and command lines
