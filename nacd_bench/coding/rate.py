"""Matching one codec's rate to another's: the nearest operating point in few encodes.

log2(bpp) is close to a straight line over the operating points. The search is a secant on it, with
the uncertainty carried along: the curve of an image is a Gaussian process around the running
estimate of its codec, and an operating point is encoded only as long as it may still be nearer to
a target than the best one so far. So it ends early where the curve is smooth and looks around where
it is not (small images, whose sizes rise and fall by single bytes), and finds the nearest point
of the whole ladder. Several targets of one image share every encode.

>>> from nacd_bench.registry import CODECS
>>> gray = np.arange(96 * 96 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 96, 3)
>>> match, = match_rates(Encodings(CODECS.get("jpeg")(), gray), [2.0])
>>> abs(match.miss) < 0.1
True
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nacd_bench.coding.codec import Codec, Image, bits_per_pixel
from nacd_bench.errors import CodecError
from nacd_bench.ops.psnr import psnr

Floats = NDArray[np.float64]

UNITS = {"bpp": "bpp", "psnr": "dB"}
LOWEST = {"bpp": 0.05, "psnr": 24.0}
"""A usual value at a codec's first operating point."""
DB_PER_BIT = 20 * math.log10(2)
"""Decibels that halve an error: PSNR is searched on the scale of bits of error."""
MOST_DB = 100.0
"""Equal images lie far off any curve: a search has no use for more."""
OFFSET_SD = 1.0
"""How far one image's log2(bpp) lies from its codec's mean (24 Kodak images: 0.7 to 1.2)."""
UNSEEN_OFFSET_SD = 3.0
"""The same for the first image, when the mean is a guess."""
SLOPE_SD = 0.15
"""Relative spread of the slope over images."""
UNSEEN_SLOPE_SD = 0.5
"""The same as long as no two points of one image have been seen: the codec's slope is a guess."""
QUALITY_RIPPLE = 0.01
"""Scatter of dB / 6.02 around a smooth curve, which comes from steps of the quantiser."""
BEND_SD = 0.15
"""Departure of log2(bpp) from the mean curve, moved and tilted, ..."""
BEND_LENGTH = 1.5
"""... and over how many octaves of rate it keeps its sign."""
CERTAINTY = 3.0
"""Standard deviations by which a point must miss being nearer before it is left out."""
SURPRISE = 4.0
"""Standard deviations of a wrong prediction from which on all of them are widened in proportion."""
FINE_STEPS = 5
"""Encodes with a fine control at one operating point."""
FINEST_STEP = 0.004
"""Octaves of a fine control below which its rate is noise: HM's jumps by single decisions."""


@dataclass(frozen=True)
class Match:
    """The operating point nearest to a target.

    Args:
        target: what was asked, bpp or dB.
        got: what came, in the same unit.
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


class Kept(Protocol):
    """Where finished encodes are kept beyond the life of a process."""

    def get(self, name: str) -> tuple[bytes, float] | None:
        """Bitstream and seconds of an encode that was put there."""

    def put(self, name: str, data: bytes, seconds: float) -> None:
        """Keep an encode."""


class Encodings:
    """One image in one codec: every operating point is encoded at most once.

    Args:
        codec: the codec.
        image: ``(H, W, 3)`` uint8.
        kept: encodes of this image in this codec by a process that was killed.
    """

    def __init__(self, codec: Codec, image: Image, kept: Kept | None = None) -> None:
        self.codec = codec
        self.image = image
        self.kept = kept
        self.points = codec.points.values
        self.data: dict[int, bytes] = {}
        self.seconds: dict[int, float] = {}
        self._psnr: dict[int, float] = {}

    def encode(self, index: int) -> bytes:
        """The bitstream at the ``index``-th operating point."""
        if index not in self.data:
            self.data[index], self.seconds[index] = self.encode_fine(index, None)
        return self.data[index]

    def encode_fine(self, index: int, value: float | None) -> tuple[bytes, float]:
        """Bitstream and seconds at an operating point with the codec's fine control set."""
        name = f"{index}" if value is None else f"{index}_{value!r}"
        kept = self.kept.get(name) if self.kept else None
        if kept is not None:
            return kept
        start = time.perf_counter()
        if value is None:
            data = self.codec.encode(self.image, self.points[index])
        else:
            data = self.codec.encode_fine(self.image, self.points[index], value)
        seconds = time.perf_counter() - start
        if self.kept:
            self.kept.put(name, data, seconds)
        return data, seconds

    def at(self, point: float) -> Match:
        """The result at an operating point."""
        self.codec.require_point(point)
        index = self.points.index(point)
        data, bpp = self.encode(index), self.bpp(index)
        return Match(point, point, point, None, data, bpp, 1, False, self.seconds[index])

    def bpp(self, index: int) -> float:
        """Bits per pixel at the ``index``-th operating point."""
        return self.rate(self.encode(index))

    def rate(self, data: bytes) -> float:
        """Bits per pixel of a bitstream of this image."""
        height, width = self.image.shape[:2]
        return bits_per_pixel(self.codec.rate_bytes(data), width, height)

    def psnr(self, index: int) -> float:
        """Luma PSNR in dB of the decoded image at the ``index``-th operating point."""
        if index not in self._psnr:
            self._psnr[index] = luma_psnr(self.image, self.codec.decode(self.encode(index)))
        return self._psnr[index]

    def quantity(self, kind: str, index: int) -> float:
        """``"bpp"`` or ``"psnr"`` at the ``index``-th operating point."""
        return self.psnr(index) if kind == "psnr" else self.bpp(index)

    def seen(self, kind: str) -> dict[int, float]:
        """What the encodes so far teach an :class:`Estimate`, by operating point."""
        return {index: float(_scaled(kind, self.quantity(kind, index))) for index in self.data}


def luma_psnr(original: Image, decoded: Image) -> float:
    """PSNR of Y (BT.601) in dB of two images ``(H, W, 3)``; 300 where Y is equal.

    >>> round(luma_psnr(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)), 2)
    48.13
    """
    difference = original.astype(np.float64) - decoded
    return psnr(float(np.mean((difference @ [0.299, 0.587, 0.114]) ** 2)) / 255**2)


@dataclass
class Estimate:
    """A codec's mean curve over its operating points, learned from images.

    Args:
        points: number of operating points.
        slope: first guess of the step between two of them, in octaves or bits of error.
        images: values by index of the operating point, see :meth:`Encodings.seen`.
    """

    points: int
    slope: float
    images: list[Mapping[int, float]] = field(default_factory=list)

    @classmethod
    def of(cls, codec: Codec) -> Estimate:
        """What is known before the first encode: the codec's own slope."""
        return cls(len(codec.points.values), codec.points.slope)

    def add(self, seen: Mapping[int, float]) -> None:
        """Learn from one image."""
        if seen:
            self.images.append(dict(seen))

    def curve(self) -> Floats:
        """The mean curve ``(points,)``; its level is 0 at the first point before any image."""
        total, weight = np.zeros(self.points - 1), np.zeros(self.points - 1)
        for seen in self.images:
            for a, b in pairwise(sorted(seen)):
                total[a:b] += (seen[b] - seen[a]) / (b - a)
                weight[a:b] += 1
        index = np.arange(self.points - 1)
        near = np.exp(-0.5 * (index[:, None] - index) ** 2)  # a step is like its neighbours
        prior = 2.0
        overall = (self.slope * prior + total.sum()) / (prior + weight.sum())
        steps = (near @ total + overall * prior) / (near @ weight + prior)
        curve = np.concatenate([[0.0], np.cumsum(steps)])
        levels = [np.mean([seen[i] - curve[i] for i in seen]) for seen in self.images]
        return curve + np.mean(levels) if levels else curve


def match_rates(
    encodings: Encodings,
    targets: Sequence[float],
    *,
    tolerance: float | None = None,
    estimate: Estimate | None = None,
) -> list[Match]:
    """The operating points whose rates are nearest to targets, in the order of the targets.

    Args:
        encodings: the image in its codec.
        targets: bits per pixel; beyond the codec's range its end is taken and
            :attr:`Match.out_of_range` set.
        tolerance: use the codec's fine control, if it has one, where the nearest operating point
            misses the target by more than this share (0.01 is 1 %).
        estimate: what earlier images taught about the codec.

    Raises:
        CodecError: a target that is not positive, or an encode that fails.
    """
    matches = _Search("bpp", encodings, estimate).run(targets)
    if tolerance is None or encodings.codec.fine is None:
        return matches
    return [_refine(encodings, match, tolerance) for match in matches]


def match_psnr(
    encodings: Encodings, targets: Sequence[float], *, estimate: Estimate | None = None
) -> list[Match]:
    """The operating points nearest to targets of luma PSNR in dB; each encode is decoded too."""
    return _Search("psnr", encodings, estimate).run(targets)


def _scaled(kind: str, quantity: float) -> float:
    """On a scale where a codec's operating points lie roughly evenly."""
    return min(quantity, MOST_DB) / DB_PER_BIT if kind == "psnr" else math.log2(max(quantity, 1e-9))


class _Search:
    """Encodes until no operating point may be nearer to any target than the ones it has."""

    def __init__(self, kind: str, encodings: Encodings, estimate: Estimate | None) -> None:
        self.kind = kind
        self.encodings = encodings
        estimate = estimate or Estimate.of(encodings.codec)
        self.curve = estimate.curve()
        steps, offset_sd = sum(len(seen) - 1 for seen in estimate.images), OFFSET_SD
        if not estimate.images:
            self.curve += _scaled(kind, LOWEST[kind])
            offset_sd = UNSEEN_OFFSET_SD
        position = self.curve - self.curve.mean()
        slope_sd = math.hypot(SLOPE_SD, UNSEEN_SLOPE_SD / (1 + steps))
        distance = (position[:, None] - position) / BEND_LENGTH
        self.covariance = (
            offset_sd**2
            + slope_sd**2 * np.outer(position, position)
            + BEND_SD**2 * np.exp(-0.5 * distance**2)
        )
        self.surprise = 1.0
        self.seen = encodings.seen(kind)

    def run(self, targets: Sequence[float]) -> list[Match]:
        """Encode what is needed for the targets."""
        for target in targets:
            if not (math.isfinite(target) and target > 0):
                raise CodecError(
                    f"expected a target above 0 {UNITS[self.kind]}, got {target}. "
                    "Ask for a rate between 0.02 and 8 bpp or a PSNR between 20 and 60 dB."
                )
        scaled = [_scaled(self.kind, target) for target in targets]
        cost = [0] * len(targets)
        while True:
            mean, sd = self._predict()
            candidates = [self._candidate(mean, sd, target) for target in scaled]
            owners = [i for i, index in enumerate(candidates) if index is not None]
            if not owners:
                break
            if self.seen:  # the target that is farthest off; the middle one first
                owner = max(
                    owners, key=lambda i: min(abs(v - scaled[i]) for v in self.seen.values())
                )
            else:
                owner = int(np.argsort(scaled)[len(scaled) // 2])
            index = candidates[owner]
            assert index is not None
            before = len(self.encodings.data)
            quantity = self.encodings.quantity(self.kind, index)
            self.seen[index] = _scaled(self.kind, quantity)
            error = abs(self.seen[index] - mean[index])
            self.surprise *= max(1.0, error / (SURPRISE * sd[index]))
            cost[owner] += len(self.encodings.data) - before
        ends = mean.min(), mean.max()
        matches = []
        for target, value, encodes in zip(targets, scaled, cost, strict=True):
            index = sorted(self.seen)[int(np.argmin(self._misses(value)))]
            match = self.encodings.at(self.encodings.points[index])
            got = self.encodings.quantity(self.kind, index)
            is_out = bool(value < ends[0] or value > ends[1])
            matches.append(
                replace(match, target=target, got=got, encodes=encodes, out_of_range=is_out)
            )
        return matches

    def _unscaled(self, values: Floats | float) -> Floats:
        return np.asarray(values * DB_PER_BIT if self.kind == "psnr" else np.exp2(values))

    def _misses(self, target: float) -> Floats:
        """How far off in its unit every point is that was seen, in order of rate."""
        values = np.array([self.seen[index] for index in sorted(self.seen)])
        return np.abs(self._unscaled(values) - self._unscaled(target))

    def _candidate(self, mean: Floats, sd: Floats, target: float) -> int | None:
        """The unseen point to try next for a target: the one most likely to be nearer."""
        if not self.seen:
            return int(np.argmin(np.abs(mean - target)))
        floor, ceiling = self._bounds()
        low = self._unscaled(np.maximum(mean - CERTAINTY * sd, floor))
        high = self._unscaled(np.minimum(mean + CERTAINTY * sd, ceiling))
        middle, miss = self._unscaled(target), self._misses(target).min()
        possible = (low < middle + miss) & (high > middle - miss)
        possible[list(self.seen)] = False
        if not possible.any():
            return None
        doubt = np.where(possible, np.abs(mean - target) / (sd + 0.02), np.inf)
        return int(np.argmin(doubt))

    def _bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest values ``(points,)`` of a curve that rises up to its ripple."""
        floor, ceiling = np.full_like(self.curve, -np.inf), np.full_like(self.curve, np.inf)
        seen = sorted(self.seen)
        values = np.array([self.seen[index] for index in seen])
        slack = CERTAINTY * math.sqrt(2) * self._ripple(values)
        floor[seen], ceiling[seen] = values - slack, values + slack
        return np.maximum.accumulate(floor), np.minimum.accumulate(ceiling[::-1])[::-1]

    def _ripple(self, values: Floats) -> Floats:
        """Scatter around a smooth curve."""
        ripple = self.encodings.codec.points.ripple
        if self.kind == "psnr":
            return np.full_like(values, QUALITY_RIPPLE * ripple)
        pixels = self.encodings.image.shape[0] * self.encodings.image.shape[1]
        return np.asarray(ripple / np.sqrt(np.maximum(np.exp2(values) * pixels / 8, 16)))

    def _predict(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(points,)`` of the curve, given what was seen."""
        variance = np.diag(self.covariance)
        if not self.seen:
            return self.curve, np.sqrt(variance)
        seen = sorted(self.seen)
        values = np.array([self.seen[index] for index in seen])
        gram = self.covariance[np.ix_(seen, seen)] + np.diag(self._ripple(values) ** 2)
        weights = np.linalg.solve(gram, self.covariance[seen]).T
        mean = self.curve + weights @ (values - self.curve[seen])
        variance = variance - (weights * self.covariance[:, seen]).sum(1)
        noise = self._ripple(mean) ** 2
        left_over = values - mean[seen]  # what no smooth curve explains, carried to the neighbours
        mean += np.interp(np.arange(len(mean)), seen, left_over)
        return mean, self.surprise * np.sqrt(np.maximum(variance, 0) + noise)


def _refine(encodings: Encodings, match: Match, tolerance: float) -> Match:
    """The match with its codec's fine control set so that the miss is within ``tolerance``.

    Where the control does not get there from the nearest operating point (its range ends, or sizes
    jump by more than the tolerance), the point on the other side of the target is tried as well.
    """
    best, encodes = match, match.encodes
    nearest = encodings.points.index(match.point)
    across = nearest + (1 if match.bpp < match.target else -1)
    for index in (nearest, across):
        if abs(best.miss) <= tolerance or not 0 <= index < len(encodings.points):
            break
        before = len(encodings.data)
        encodings.encode(index)
        encodes += len(encodings.data) - before
        for tried in _fine_steps(encodings, index, match):
            encodes += 1
            best = tried if abs(tried.miss) < abs(best.miss) else best
            if abs(best.miss) <= tolerance:
                break
    out_of_range = best.out_of_range and abs(best.miss) > tolerance
    return replace(best, encodes=encodes, out_of_range=out_of_range)


def _fine_steps(encodings: Encodings, index: int, match: Match) -> Iterator[Match]:
    """Encodes with the fine control at one operating point, each nearer to the target's rate.

    The control's octaves are found by a secant, and between two that lie on both sides of the
    target by the straight line between them.
    """
    control = encodings.codec.fine
    assert control is not None
    asked, slope = math.log2(match.target), control.slope
    ends = math.log2(control.low), math.log2(control.high)
    seen = {math.log2(control.neutral): math.log2(encodings.bpp(index))}
    for _ in range(FINE_STEPS):
        low = [octave for octave, rate in seen.items() if rate < asked]
        high = [octave for octave, rate in seen.items() if rate >= asked]
        if low and high:
            a, b = min(product(low, high), key=lambda pair: abs(pair[0] - pair[1]))
            octave = a + (b - a) * (asked - seen[a]) / (seen[b] - seen[a])
        else:
            last = min(seen, key=lambda octave: abs(seen[octave] - asked))
            octave = min(max(last + (asked - seen[last]) / slope, ends[0]), ends[1])
        if any(abs(octave - tried) < FINEST_STEP for tried in seen):
            return  # the end of the range, or a jump of the rate
        value = round(2**octave, 4)  # as it stands in tables and command lines
        octave = math.log2(value)
        data, seconds = encodings.encode_fine(index, value)
        bpp = encodings.rate(data)
        before, seen[octave] = dict(seen), math.log2(bpp)
        near = min(before, key=lambda tried: abs(tried - octave))
        measured = (seen[octave] - seen[near]) / (octave - near)
        slope = measured if measured * control.slope > 0 else slope
        point = encodings.points[index]
        yield replace(match, got=bpp, point=point, fine=value, data=data, bpp=bpp, seconds=seconds)
