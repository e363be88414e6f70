"""Matching one codec's rate to another's: the nearest operating point in few encodes.

log2(bpp) is close to a straight line over the operating points. The search is a secant on it, with
the uncertainty carried along: the curve of an image is a Gaussian process around the running
estimate of its codec, and an operating point is encoded only as long as it may still be nearer to
a target than the best one so far. So it ends early where the curve is smooth and looks around where
it is not (small images, whose sizes rise and fall by single bytes), and finds the nearest point
of the whole ladder. Several targets of one image share every encode.

>>> from nacd_bench.registry import CODECS
>>> gray = np.arange(96 * 96 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 96, 3)
>>> match = match_rate(CODECS.get("jpeg")(), gray, target_bpp=2.0)
>>> abs(match.miss) < 0.1
True
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nacd_bench.coding.codec import Codec, Image, bits_per_pixel
from nacd_bench.errors import CodecError
from nacd_bench.ops.psnr import psnr

Floats = NDArray[np.float64]

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
MEMORY = 64
"""Images that an estimate remembers."""
SMOOTHING = 1.0
"""Operating points over which the running estimate shares what it saw of a step."""


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

    @property
    def pixels(self) -> int:
        return int(self.image.shape[0] * self.image.shape[1])

    def encode(self, index: int) -> bytes:
        """The bitstream at the ``index``-th operating point."""
        if index not in self.data:
            self.data[index], self.seconds[index] = self._made(index)
        return self.data[index]

    def encode_fine(self, index: int, value: float) -> tuple[bytes, float]:
        """Bitstream and seconds at an operating point with the codec's fine control set."""
        return self._made(index, value)

    def _made(self, index: int, fine: float | None = None) -> tuple[bytes, float]:
        point = self.points[index]
        name = f"{index}" if fine is None else f"{index}_{fine!r}"
        known = self.kept.get(name) if self.kept else None
        if known is not None:
            return known
        start = time.perf_counter()
        if fine is None:
            data = self.codec.encode(self.image, point)
        else:
            data = self.codec.encode_fine(self.image, point, fine)
        seconds = time.perf_counter() - start
        if self.kept:
            self.kept.put(name, data, seconds)
        return data, seconds

    def bpp(self, index: int) -> float:
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


def luma_psnr(original: Image, decoded: Image) -> float:
    """PSNR of Y (BT.601) in dB of two images ``(H, W, 3)``; 300 where Y is equal.

    >>> round(luma_psnr(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)), 2)
    48.13
    """
    difference = original.astype(np.float64) - decoded
    return psnr(float(np.mean((difference @ [0.299, 0.587, 0.114]) ** 2)) / 255**2)


class Measure(ABC):
    """What is matched, on a scale where a codec's operating points lie roughly evenly."""

    unit: str
    lowest: float
    """A usual value at a codec's first operating point, in the unit."""

    @abstractmethod
    def of(self, encodings: Encodings, index: int) -> float:
        """The quantity in its unit at an operating point."""

    @abstractmethod
    def scale(self, quantity: float) -> float:
        """From the unit to the scale."""

    @abstractmethod
    def ripple(self, scaled: Floats, encodings: Encodings) -> Floats:
        """Scatter on the scale around a smooth curve."""

    @abstractmethod
    def misses(self, scaled: Floats, target: float) -> Floats:
        """Distance from a target (on the scale), in the unit or in proportion to it."""

    @abstractmethod
    def interval(self, target: float, miss: float) -> tuple[float, float]:
        """The values on the scale that miss a target by ``miss`` or less."""


class Rate(Measure):
    """Bits per pixel, on the scale log2(bpp)."""

    unit = "bpp"
    lowest = 0.05

    def of(self, encodings: Encodings, index: int) -> float:
        return encodings.bpp(index)

    def scale(self, quantity: float) -> float:
        return math.log2(max(quantity, 1e-9))

    def ripple(self, scaled: Floats, encodings: Encodings) -> Floats:
        size = np.maximum(np.exp2(scaled) * encodings.pixels / 8, 16)
        return encodings.codec.points.ripple / np.sqrt(size)

    def misses(self, scaled: Floats, target: float) -> Floats:
        return np.asarray(np.abs(np.exp2(scaled - target) - 1))

    def interval(self, target: float, miss: float) -> tuple[float, float]:
        return target + self.scale(1 - miss), target + math.log2(1 + miss)


class Quality(Measure):
    """Luma PSNR, on the scale dB / 6.02 (bits of error)."""

    unit = "dB"
    lowest = 24.0

    def of(self, encodings: Encodings, index: int) -> float:
        return encodings.psnr(index)

    def scale(self, quantity: float) -> float:
        # equal images lie far off any curve: a search has no use for more than 100 dB
        return min(quantity, 100.0) / (20 * math.log10(2))

    def ripple(self, scaled: Floats, encodings: Encodings) -> Floats:
        return np.full_like(scaled, QUALITY_RIPPLE * encodings.codec.points.ripple)

    def misses(self, scaled: Floats, target: float) -> Floats:
        return np.abs(scaled - target)

    def interval(self, target: float, miss: float) -> tuple[float, float]:
        return target - miss, target + miss


@dataclass
class Estimate:
    """A codec's mean curve over its operating points, learned while it is used.

    Args:
        points: number of operating points.
        slope: first guess of the step between two of them, on the measure's scale.
    """

    points: int
    slope: float
    images: list[dict[int, float]] = field(default_factory=list)

    @classmethod
    def of(cls, codec: Codec) -> Estimate:
        """What is known before the first encode: the codec's own slope."""
        return cls(len(codec.points.values), codec.points.slope)

    def add(self, seen: Mapping[int, float]) -> None:
        """Learn from one image's values by index of the operating point."""
        if seen:
            self.images = [*self.images[-MEMORY + 1 :], dict(seen)]

    @property
    def steps_seen(self) -> int:
        return sum(len(seen) - 1 for seen in self.images)

    def curve(self) -> Floats:
        """The mean curve ``(points,)``; its level is 0 at the first point before any image."""
        total, weight = np.zeros(self.points - 1), np.zeros(self.points - 1)
        for seen in self.images:
            known = sorted(seen)
            for a, b in pairwise(known):
                total[a:b] += (seen[b] - seen[a]) / (b - a)
                weight[a:b] += 1
        index = np.arange(self.points - 1)
        near = np.exp(-0.5 * ((index[:, None] - index) / SMOOTHING) ** 2)
        prior = 2.0
        overall = (self.slope * prior + total.sum()) / (prior + weight.sum())
        steps = (near @ total + overall * prior) / (near @ weight + prior)
        curve = np.concatenate([[0.0], np.cumsum(steps)])
        levels = [np.mean([seen[i] - curve[i] for i in seen]) for seen in self.images]
        return curve + np.mean(levels) if levels else curve


_ESTIMATES: WeakKeyDictionary[Codec, dict[str, Estimate]] = WeakKeyDictionary()
"""The running estimate of each codec object, by what is matched."""


def match_rate(
    codec: Codec,
    image: Image,
    target_bpp: float,
    *,
    tolerance: float | None = None,
    estimate: Estimate | None = None,
) -> Match:
    """The operating point whose rate is nearest to a target.

    Args:
        codec: the codec.
        image: ``(H, W, 3)`` uint8.
        target_bpp: rate in bits per pixel; beyond the codec's range its end is taken and
            :attr:`Match.out_of_range` set.
        tolerance: use the codec's fine control, if it has one, where the nearest operating point
            misses the target by more than this share (0.01 is 1 %).
        estimate: what earlier images taught about the codec; learns from this one. By default the
            one that this codec object has had since its first match.

    Raises:
        CodecError: a target that is not positive, or an encode that fails.
    """
    return match_rates(
        Encodings(codec, image), [target_bpp], tolerance=tolerance, estimate=estimate
    )[0]


def match_rates(
    encodings: Encodings,
    targets: Sequence[float],
    *,
    tolerance: float | None = None,
    estimate: Estimate | None = None,
) -> list[Match]:
    """The matches of several targets of one image in one go, in the order of the targets."""
    matches = _match(Rate(), encodings, targets, estimate)
    if tolerance is None or encodings.codec.fine is None:
        return matches
    return [_refine(encodings, match, tolerance) for match in matches]


def match_psnr(
    encodings: Encodings, targets: Sequence[float], *, estimate: Estimate | None = None
) -> list[Match]:
    """The operating points nearest to targets of luma PSNR in dB; each encode is decoded too."""
    return _match(Quality(), encodings, targets, estimate)


def _match(
    measure: Measure, encodings: Encodings, targets: Sequence[float], estimate: Estimate | None
) -> list[Match]:
    for target in targets:
        if not (math.isfinite(target) and target > 0):
            raise CodecError(
                f"expected a target above 0 {measure.unit}, got {target}. "
                "Ask for a rate between 0.02 and 8 bpp or a PSNR between 20 and 60 dB."
            )
    if estimate is None:
        kept = _ESTIMATES.setdefault(encodings.codec, {})
        estimate = kept.setdefault(measure.unit, Estimate.of(encodings.codec))
    search = _Search(measure, encodings, estimate)
    asked = np.array([measure.scale(target) for target in targets])
    cost = search.run(asked)
    estimate.add(search.seen)
    return [
        _matched(search, target, scaled, int(encodes))
        for target, scaled, encodes in zip(targets, asked, cost, strict=True)
    ]


def _matched(search: _Search, target: float, scaled: float, encodes: int) -> Match:
    encodings, index = search.encodings, search.nearest(scaled)
    return Match(
        target=target,
        got=search.measure.of(encodings, index),
        point=encodings.points[index],
        fine=None,
        data=encodings.encode(index),
        bpp=encodings.bpp(index),
        encodes=encodes,
        out_of_range=search.out_of_range(scaled),
        seconds=encodings.seconds[index],
    )


class _Search:
    """Encodes until no operating point may be nearer to any target than the ones it has."""

    def __init__(self, measure: Measure, encodings: Encodings, estimate: Estimate) -> None:
        self.measure = measure
        self.encodings = encodings
        self.curve = estimate.curve()
        if not estimate.images:
            self.curve += measure.scale(measure.lowest)
        position = self.curve - self.curve.mean()
        slope_sd = math.hypot(SLOPE_SD, UNSEEN_SLOPE_SD / (1 + estimate.steps_seen))
        distance = (position[:, None] - position) / BEND_LENGTH
        self.covariance = (
            (OFFSET_SD if estimate.images else UNSEEN_OFFSET_SD) ** 2
            + slope_sd**2 * np.outer(position, position)
            + BEND_SD**2 * np.exp(-0.5 * distance**2)
        )
        self.surprise = 1.0
        self.seen: dict[int, float] = {}
        for index in encodings.data:
            self._look(index)

    def run(self, targets: Floats) -> NDArray[np.int64]:
        """Encode what is needed for ``targets`` (on the scale); the encodes each of them took."""
        cost = np.zeros(len(targets), np.int64)
        while True:
            mean, sd = self._predict()
            candidates = {
                i: index
                for i, target in enumerate(targets)
                if (index := self._candidate(mean, sd, target)) is not None
            }
            if not candidates:
                return cost
            owner = self._most_urgent(targets, list(candidates))
            index = candidates[owner]
            before = len(self.encodings.data)
            error = self._look(index) - mean[index]
            self.surprise *= max(1.0, abs(error) / (SURPRISE * sd[index]))
            cost[owner] += len(self.encodings.data) - before

    def _most_urgent(self, targets: Floats, owners: list[int]) -> int:
        """The target to work on: the middle one first, then always the one that is farthest off."""
        if not self.seen:
            return int(np.argsort(targets)[len(targets) // 2])
        return max(owners, key=lambda i: np.abs(self._values(list(self.seen)) - targets[i]).min())

    def nearest(self, target: float) -> int:
        """The seen point that misses a target least; the first in order of rate among equals."""
        seen = sorted(self.seen)
        return seen[int(np.argmin(self.measure.misses(self._values(seen), target)))]

    def out_of_range(self, target: float) -> bool:
        mean, _ = self._predict()
        return bool(target < mean.min() or target > mean.max())

    def _look(self, index: int) -> float:
        self.seen[index] = self.measure.scale(self.measure.of(self.encodings, index))
        return self.seen[index]

    def _values(self, seen: Sequence[int]) -> Floats:
        return np.array([self.seen[i] for i in seen])

    def _best_miss(self, target: float) -> float:
        if not self.seen:
            return math.inf
        return float(self.measure.misses(self._values(list(self.seen)), target).min())

    def _candidate(self, mean: Floats, sd: Floats, target: float) -> int | None:
        """The unseen point to try next for a target: the one most likely to be nearer."""
        if not self.seen:
            return int(np.argmin(np.abs(mean - target)))
        low, high = self.measure.interval(target, self._best_miss(target))
        floor, ceiling = self._bounds()
        reach = CERTAINTY * sd
        possible = np.maximum(mean - reach, floor) < high
        possible &= np.minimum(mean + reach, ceiling) > low
        possible[list(self.seen)] = False
        if not possible.any():
            return None
        doubt = np.where(possible, np.abs(mean - target) / (sd + 0.02), np.inf)
        return int(np.argmin(doubt))

    def _bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest values ``(points,)`` of a curve that rises up to its ripple."""
        floor, ceiling = np.full_like(self.curve, -np.inf), np.full_like(self.curve, np.inf)
        known = sorted(self.seen)
        values = self._values(known)
        slack = CERTAINTY * math.sqrt(2) * self.measure.ripple(values, self.encodings)
        floor[known], ceiling[known] = values - slack, values + slack
        return np.maximum.accumulate(floor), np.minimum.accumulate(ceiling[::-1])[::-1]

    def _predict(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(points,)`` of the curve, given what was seen."""
        if not self.seen:
            return self.curve, np.sqrt(np.diag(self.covariance))
        known = sorted(self.seen)
        values = self._values(known)
        noise = self.measure.ripple(values, self.encodings) ** 2
        gram = self.covariance[np.ix_(known, known)] + np.diag(noise)
        weights = np.linalg.solve(gram, self.covariance[known]).T
        mean = self.curve + weights @ (values - self.curve[known])
        variance = np.diag(self.covariance) - (weights * self.covariance[:, known]).sum(1)
        noise = self.measure.ripple(mean, self.encodings) ** 2
        left_over = values - mean[known]  # what no smooth curve explains, carried to the neighbours
        mean += np.interp(np.arange(len(mean)), known, left_over)
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
        if any(abs(octave - known) < FINEST_STEP for known in seen):
            return  # the end of the range, or a jump of the rate
        value = round(2**octave, 4)  # as it stands in tables and command lines
        octave = math.log2(value)
        data, seconds = encodings.encode_fine(index, value)
        bpp = encodings.rate(data)
        before, seen[octave] = dict(seen), math.log2(bpp)
        near = min(before, key=lambda known: abs(known - octave))
        measured = (seen[octave] - seen[near]) / (octave - near)
        slope = measured if measured * control.slope > 0 else slope
        point = encodings.points[index]
        yield replace(match, got=bpp, point=point, fine=value, data=data, bpp=bpp, seconds=seconds)
