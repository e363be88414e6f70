"""Matching one codec's rate to another's: the nearest operating point in few encodes.

What an image's rate and PSNR will be is read off its pixels (:mod:`~nacd_bench.coding.expected`).
A codec departs from that smoothly, an image from its codec smoothly as well, and sizes scatter: a
Gaussian process, which earlier images and every encode tell more of. The target is encoded next
whose point is known best, and the search ends when it is unlikely that a point that was not encoded
is nearer to a target than the best one. Several targets of one image share every encode.

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
from scipy.special import ndtr

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
Numbers = NDArray[np.int64]
Seen = Mapping[int, float]
"""Of one image, by index of the operating point, how much finer its quantiser is than guessed."""

UNITS = {"bpp": "bpp", "psnr": "dB"}
COARSEST = -6.5
"""Usual fineness of a codec's first operating point."""
BEYOND = 8.0
"""Octaves for which an expected curve goes on at either end."""
LEAST = 1e-6
"""Bits between operating points that are expected to have the same rate."""
DB_PER_BIT = 20 * math.log10(2)
"""Decibels that halve an error: PSNR is searched on the scale of bits of error."""
MOST_DB = 100.0
"""Equal images lie far off any curve: a search has no use for more."""
CODECS_DIFFER = 1.0, 1.0, 4.0
IMAGES_DIFFER = 0.03, 0.07, 2.0
"""Departures in octaves of codecs from what is guessed of them, and of images from their codec:
the spread of a level, that of what varies around it, and the octaves within which that is alike
(HM, x265, AVIF and JPEG on Kodak images)."""
RANGE = 6.0, 16.0
"""Octaves between a codec's first and last operating point, where a guess says less or more."""
TAUGHT = 0.01
"""Scatter of what earlier images teach."""
QUALITY_SCATTER = 0.01
"""Scatter of dB / 6.02 around a smooth curve, which comes from steps of the quantiser."""
ALIKE = 0.02
"""Octaves between operating points from which on their sizes scatter each on its own."""
EXACT = 1e-5
"""Spread of a point that was encoded, so that equations can be solved."""
RISK = 0.005
"""Probability at which a nearer operating point is left out."""
UNKNOWN = 0.25
"""Spread in bits of a point beside the nearest from which on it is encoded, however likely."""
CLEARLY = 0.99
"""Share of the best miss below which another one is nearer."""
SURE = 4.5
"""Scatters below or above a target from which on all points further out lie there as well."""
SURPRISE = 4.0
"""Spreads of a wrong prediction from which on all of them are widened in proportion."""
BISECTION = 4
"""Of so many encodes for one target one halves what is left of the bracket."""
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

    @cached_property
    def expected(self) -> dict[str, tuple[Floats, Floats]]:
        """By kind fineness, and the bits that the image is expected to have there."""
        curves = {kind: (FINENESS, bits) for kind, bits in expected_curves(self.image).items()}
        if self._known is not None:
            curves["bpp"] = self._known, self._known
        return {kind: (_extended(scale), _extended(bits)) for kind, (scale, bits) in curves.items()}

    def guess(self, kind: str) -> Floats:
        """Fineness of the operating points ``(points,)`` before any image was encoded."""
        if kind == "bpp" and self._known is not None:
            return self._known
        scale = self.codec.points.scale
        return scale * min(1.0, RANGE[1] / max(scale[-1], LEAST)) + COARSEST

    def fineness(self, kind: str, quantity: float) -> float:
        """Of the quantiser step at which the image is expected to have a rate or PSNR."""
        fineness, bits = self.expected[kind]
        return float(np.interp(_bits(kind, quantity), bits, fineness))

    def seen(self, kind: str) -> dict[int, float]:
        """What the encodes so far teach about the codec, see :data:`Seen`."""
        guess = self.guess(kind)
        return {i: self.fineness(kind, self.quantity(kind, i)) - guess[i] for i in self.indices}


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


def taught(guess: Floats, images: Sequence[Seen]) -> tuple[Floats, Floats]:
    """Departures from a guess ``(points,)`` that are expected of an image, and their covariance."""
    index = np.array([i for seen in images for i in seen], dtype=np.int64)
    image = np.repeat(np.arange(len(images)), [len(seen) for seen in images])
    values = np.array([value for seen in images for value in seen.values()])
    wider = max(1.0, RANGE[0] / max(np.ptp(guess), LEAST))
    codec, own = _smooth(wider * guess, *CODECS_DIFFER), _smooth(guess, *IMAGES_DIFFER)
    codec += _uneven((wider - 1) * np.diff(guess))  # few points may lie anywhere
    place = np.ix_(index, index)
    known = codec[place] + (image[:, None] == image) * own[place] + TAUGHT**2 * np.eye(len(index))
    mean, covariance = given(codec, index, values, known)
    return mean, covariance + own


def _smooth(scale: Floats, level: float, spread: float, reach: float) -> Floats:
    """Covariance ``(points, points)`` of a level and what varies around it (Matern, 5/2)."""
    distance = math.sqrt(5) / reach * np.abs(scale[:, None] - scale)
    alike = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return np.asarray(level**2 + spread**2 * alike)


def _uneven(steps: Floats) -> Floats:
    """Covariance ``(points, points)`` where each step departs on its own, by its spread."""
    variances = np.concatenate([[0.0], np.cumsum(steps**2)])
    return np.asarray(np.minimum.outer(variances, variances))


def given(
    covariance: Floats, index: Numbers, values: Floats, known: Floats
) -> tuple[Floats, Floats]:
    """Mean and covariance of normal variables once some were measured.

    Args:
        covariance: ``(n, n)``, before; their mean is 0.
        index: ``(k,)``, those that were measured, some more than once.
        values: ``(k,)``, what was measured.
        known: ``(k, k)``, covariance of what was measured.
    """
    weights = np.linalg.solve(known, covariance[index])
    return values @ weights, covariance - covariance[:, index] @ weights


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
    """Encodes until it is unlikely that another operating point is nearer to any target."""
    goals = [_bits(kind, target) for target in targets]
    forecast = Forecast(encodings, kind, earlier)
    encodes, surprise = [0] * len(targets), 1.0
    while True:
        expected, spread, scatter = forecast.update()
        got = {index: encodings.quantity(kind, index) for index in sorted(encodings.indices)}
        steps = np.gradient(expected) if len(expected) > 1 else np.ones(1)
        doubts = []
        for place, (target, goal) in enumerate(zip(targets, goals, strict=True)):
            miss = min((abs(value - target) for value in got.values()), default=math.inf)
            low, high = (_bits(kind, target + side * CLEARLY * miss) for side in (-1, 1))
            below, above = ((end - expected) / (surprise * spread) for end in (low, high))
            first = max((i for i in got if expected[i] + SURE * scatter[i] < low), default=-1)
            last = min((i for i in got if expected[i] - SURE * scatter[i] > high), default=None)
            rivals = [i for i in range(len(expected))[first + 1 : last] if i not in got]
            nearest = min(got, key=lambda index: abs(got[index] - target), default=0)
            beside = nearest + (1 if got.get(nearest, 0.0) < target else -1)
            unknown = beside in rivals and spread[beside] > UNKNOWN
            if not unknown and np.sum((ndtr(above) - ndtr(below))[rivals]) < RISK:
                continue
            index = min(rivals, key=lambda index: abs(expected[index] - goal))
            if encodes[place] % BISECTION == BISECTION - 1:
                index = rivals[len(rivals) // 2]
            doubts.append((spread[index] / max(steps[index], LEAST), place, index))
        if not doubts:
            break
        _, place, index = min(doubts)  # what is known best: it teaches the others
        encodes[place] += 1
        error = abs(_bits(kind, encodings.quantity(kind, index)) - expected[index])
        surprise = max(surprise, error / (SURPRISE * spread[index]))
    matches = []
    for target, goal, count in zip(targets, goals, encodes, strict=True):
        index = min(got, key=lambda index: abs(got[index] - target))
        match = replace(encodings.at(index), target=target, got=got[index], encodes=count)
        matches.append(replace(match, out_of_range=not expected.min() <= goal <= expected.max()))
    return matches


class Forecast:
    """Rate or PSNR of an image at all operating points, as far as its encodes tell.

    Args:
        encodings: the image in its codec.
        kind: ``"bpp"`` or ``"psnr"``.
        earlier: what earlier images taught.
    """

    def __init__(self, encodings: Encodings, kind: str, earlier: Sequence[Seen]) -> None:
        self.encodings = encodings
        self.kind = kind
        self.guess = encodings.guess(kind)
        self.mean, self.covariance = taught(self.guess, earlier)
        self.expected, self.slope = self._in_bits(self.mean)

    def update(self) -> tuple[Floats, Floats, Floats]:
        """Expected bits ``(points,)``, their spread, and how much of that is scatter."""
        seen = self.encodings.seen(self.kind)
        index = np.array(sorted(seen), dtype=np.int64)
        scatter = self._scatter() / self.slope
        apart = np.abs(self.guess[:, None] - self.guess) / ALIKE
        covariance = self.covariance + np.outer(scatter, scatter) * np.exp(-apart)
        off = np.array([seen[i] for i in index]) - self.mean[index]
        known = covariance[np.ix_(index, index)] + EXACT**2 * np.eye(len(index))
        change, left = given(covariance, index, off, known)
        self.expected, self.slope = self._in_bits(self.mean + change)
        spread = np.sqrt(np.diag(left).clip(EXACT**2)) * self.slope
        return self.expected, spread, self._scatter()

    def _in_bits(self, departures: Floats) -> tuple[Floats, Floats]:
        """Bits ``(points,)`` at departures from the guess, and how they rise with fineness."""
        fineness, bits = self.encodings.expected[self.kind]
        slopes = np.diff(bits) / np.diff(fineness)
        values = self.guess + departures
        place = np.searchsorted(fineness, values).clip(1, len(slopes)) - 1
        return np.interp(values, fineness, bits), slopes[place]

    def _scatter(self) -> Floats:
        """Of bits ``(points,)`` around a smooth curve."""
        ripple = self.encodings.codec.points.ripple
        if self.kind == "psnr":
            return np.full_like(self.expected, ripple * QUALITY_SCATTER)
        pixels = self.encodings.image.shape[0] * self.encodings.image.shape[1]
        return ripple / np.sqrt(np.maximum(np.exp2(self.expected) * pixels / 8, 16))


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
