"""What is done to one image that is mined: coded twice at each rate, compared, candidates cropped.

Each stage is a callable that takes a :class:`Work` and returns it with more in it. A stage depends
on nothing but the image and its own parameters, so that results are the same in whichever process,
engine, order or shard an image is worked on. What fails is tried a second time and then noted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from nacd_bench.coding.codec import Codec, Image, bits_per_pixel, png
from nacd_bench.coding.matched import KeptEncodes, checked_size, describe, stop_if_disk_full
from nacd_bench.coding.originals import Item, read_item
from nacd_bench.coding.rate import Encodings, Estimate, luma_psnr, match_rates
from nacd_bench.coding.sides import CodecSpec, built
from nacd_bench.detectors import Detector
from nacd_bench.ops.boxes import region_holding
from nacd_bench.ops.planes import one_thread
from nacd_bench.pipeline.methods import score_batch
from nacd_bench.runs.candidates import place_of
from nacd_bench.runs.folder import file_name
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.files import sha256, write_whole
from nacd_bench.triplets.images import decode_image, pixels_sha256, to_8_bit

T = TypeVar("T")
Steps = tuple[tuple[str, float], ...]
"""Names of rates, and operating points or bits per pixel, in order of rising rate."""
TRIES = 2


@dataclass
class Work:
    """An image on its way through the stages.

    Args:
        item: where it is.
        sha256: hash of its file; ``""`` until somebody has read it.
        data: its file, or None where the stage itself has to read it.
        pixels: ``(H, W, 3)`` uint8.
        decoded: results by preset and side.
        coded: by preset, the columns of ``coded`` that are known.
        candidates: rows of ``candidates`` without what ``coded`` says too.
        failures: stage, preset and message of what failed twice.
        seconds: by stage.
        notes: what is odd about the file and does not touch its pixels.
    """

    item: Item
    sha256: str = ""
    data: bytes | None = None
    pixels: Image | None = None
    decoded: dict[str, dict[str, Image]] = field(default_factory=dict)
    coded: dict[str, dict[str, Any]] = field(default_factory=dict)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What the journal keeps."""
        height, width = (0, 0) if self.pixels is None else self.pixels.shape[:2]
        return {
            "sha256": self.sha256,
            **of_item(self.item),
            "width": width,
            "height": height,
            "coded": self.coded,
            "candidates": self.candidates,
            "failures": self.failures,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "notes": self.notes,
        }

    def fail(self, stage: str, preset: str, message: str) -> None:
        """Note what failed for good."""
        self.failures.append({"stage": stage, "preset": preset, "error": message})


def of_item(item: Item) -> dict[str, Any]:
    """An item in the journal."""
    return {"index": item.index, "name": item.name, "stamp": item.stamp}


def unreadable(item: Item, error: Exception) -> dict[str, Any]:
    """The journal's record of an item that could not be read; the next run tries again."""
    return {**of_item(item), "unreadable": describe(error).removeprefix(f"{item.name}: ")}


class Stage(Protocol):
    """One step; ``on_device`` says whether it wants the one process that owns the GPU."""

    @property
    def name(self) -> str: ...

    @property
    def on_device(self) -> bool: ...

    def __call__(self, work: Work) -> Work: ...


class Read:
    """The image's bytes and pixels.

    Args:
        folder: the mined folder, of which what a kill left half written for this image is removed.
    """

    name = "read"
    on_device = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, work: Work) -> Work:
        if work.data is None:
            work.data = read_item(work.item)
            work.sha256 = sha256(work.data)
        data, work.data = work.data, None
        with timed(work, self.name):
            self._read(work, data)
        return work

    def _read(self, work: Work, data: bytes) -> None:
        for kind in ("bitstreams", "crops", "decoded"):
            place = self.folder / place_of(kind, work.sha256)
            for part in place.glob(".*.part") if place.is_dir() else ():
                part.unlink(missing_ok=True)
        try:
            image = decode_image(work.item.name, data)
            work.pixels, work.notes = to_8_bit(image.pixels), image.notes
        except Exception as error:
            work.fail(self.name, "", describe(error).removeprefix(f"{work.item.name}: "))


@dataclass
class Neural:
    """The neural codec at each rate.

    Args:
        codec: what codes.
        steps: the rates.
        kind: ``"point"`` where they are its operating points, ``"bpp"`` where it is matched.
        tolerance: for its fine control, see :func:`nacd_bench.coding.rate.match_rates`.
        folder: the mined folder.
        keep: whether decoded images are kept.
    """

    codec: CodecSpec | Codec
    steps: Steps
    kind: str
    tolerance: float | None
    folder: Path
    keep: bool = False
    name = "neural"

    @property
    def on_device(self) -> bool:
        return built(self.codec).in_main_process

    def __call__(self, work: Work) -> Work:
        image = work.pixels
        if image is None:
            return work
        codec = built(self.codec)
        with timed(work, self.name):
            if self.kind == "bpp":
                _matched(work, self, codec, image, dict(self.steps))
                return work
            encodings = _encodings(work, self, codec, image)
            for preset, point in self.steps:
                with noted(work, self.name, preset):
                    data = twice(partial(encodings.encode, encodings.points.index(point)))
                    _keep(work, self, codec, image, preset, data, point)
        return work


@dataclass
class Traditional:
    """The traditional codec at the rates of the neural one, all of them in one search.

    Args:
        codec: what codes.
        rate_factor: traditional bits per pixel / neural bits per pixel asked for.
        targets: bits per pixel by preset where both codecs meet targets; else None.
        tolerance, folder, keep: as of :class:`Neural`.
    """

    codec: CodecSpec | Codec
    rate_factor: float
    targets: Mapping[str, float] | None
    tolerance: float | None
    folder: Path
    keep: bool = False
    name = "traditional"

    @property
    def on_device(self) -> bool:
        return built(self.codec).in_main_process

    def __call__(self, work: Work) -> Work:
        if work.pixels is None or not work.coded:
            return work
        rates = {
            preset: self.targets[preset] if self.targets else row["neural_bpp"] * self.rate_factor
            for preset, row in work.coded.items()
        }
        with timed(work, self.name):
            _matched(work, self, built(self.codec), work.pixels, rates)
        return work


@dataclass
class Detect:
    """Detectors on each triplet, and crops of what they box.

    Args:
        detectors: sent to other processes as they are.
        thresholds: confidence over which a box is a candidate, by detector.
        folder: the mined folder.
        device: where detectors run.
    """

    detectors: Sequence[Detector]
    thresholds: Mapping[str, float]
    folder: Path
    device: str = "cpu"
    name = "detect"

    def __post_init__(self) -> None:
        self._there: list[Detector] | None = None

    @property
    def on_device(self) -> bool:
        return self.device != "cpu"

    def __call__(self, work: Work) -> Work:
        if work.pixels is None:
            return work
        presets = [preset for preset, sides in work.decoded.items() if len(sides) == 2]
        if self._there is None:
            self._there = [detector.eval().to(self.device) for detector in self.detectors]
        for group in [presets] if self.on_device else [[preset] for preset in presets]:
            if group:
                with timed(work, self.name), one_thread():
                    self._detect(work, group)
        work.decoded = {}
        return work

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_there": None}

    def _detect(self, work: Work, presets: Sequence[str]) -> None:
        original = work.pixels
        assert original is not None and self._there is not None
        sides = {"original": [original] * len(presets)}
        sides |= {role: [work.decoded[preset][role] for preset in presets] for role in ROLES[1:]}
        images = {role: _tensor(each).to(self.device) for role, each in sides.items()}
        name = f"{work.item.name} "
        batch = TripletBatch(**images, ids=[f"{name}{preset}" for preset in presets])
        results = score_batch(self._there, batch)
        for detector in self._there:
            for preset, by_detector in zip(presets, results, strict=True):
                result = by_detector[detector.name]
                if result.fault:
                    work.fail(f"detect {detector.name}", preset, result.fault)
                else:
                    with noted(work, f"detect {detector.name}", preset):
                        self._candidates(work, preset, detector, result)

    def _candidates(self, work: Work, preset: str, detector: Detector, result: Result) -> None:
        row = work.coded[preset]
        row.setdefault("scores", {})[detector.name] = result.score
        boxes, confidences = result.boxes, result.confidences
        order = sorted(range(len(boxes)), key=lambda i: (-confidences[i], boxes[i]))
        over = [i for i in order if confidences[i] > self.thresholds.get(detector.name, 0.0)]
        for number, i in enumerate(over):
            work.candidates.append(
                {
                    "preset": preset,
                    "detector": detector.name,
                    "artifact_type": detector.artifact_type,
                    "confidence": confidences[i],
                    "number": number,
                    **_edges("", boxes[i]),
                    **self._cropped(work, preset, f"{detector.name}-{number}", boxes[i]),
                }
            )

    def _cropped(self, work: Work, preset: str, name: str, box: Sequence[int]) -> dict[str, Any]:
        """Write the crops of a candidate; where they lie and what they show."""
        original = work.pixels
        assert original is not None
        x0, y0, x1, y1 = region_holding([box], original.shape[1], original.shape[0])
        row: dict[str, Any] = _edges("crop_", (x0, y0, x1, y1))
        place = place_of("crops", work.sha256)
        for role, image in {"original": original, **work.decoded[preset]}.items():
            file = f"{place}/{file_name(f'{preset}-{name}-{role}')}.png"
            write_whole(self.folder / file, png(np.ascontiguousarray(image[y0:y1, x0:x1])))
            row[f"crop_{role}"] = file
        return row


class Chain:
    """Stages that run one after the other in one process.

    Args:
        stages: in their order.
        is_last: whether nothing comes after them: what comes out is then the journal's record.
    """

    def __init__(self, stages: Sequence[Stage], is_last: bool) -> None:
        self.stages = list(stages)
        self.is_last = is_last

    @property
    def on_device(self) -> bool:
        return self.stages[0].on_device

    @property
    def stays_here(self) -> bool:
        """Whether a codec object in it is never to be sent to another process."""
        codecs = [stage.codec for stage in self.stages if isinstance(stage, Neural | Traditional)]
        return any(isinstance(each, Codec) and each.in_main_process for each in codecs)

    def __call__(self, work: Work) -> Any:
        for stage in self.stages:
            work = stage(work)
        return work.record() if self.is_last else work

    def died(self, work: Work) -> dict[str, Any]:
        """The record of an image that took its process down twice."""
        names = ", ".join(stage.name for stage in self.stages)
        work.fail(
            "process",
            "",
            f"the process that worked on it died twice (crash or out of memory) in one of: {names}."
            " Run the codec on this image alone to see why.",
        )
        return work.record()


def chains(stages: Sequence[Stage]) -> list[Chain]:
    """Stages that follow each other in one place, together."""
    groups: list[list[Stage]] = []
    for stage in stages:
        if groups and groups[-1][0].on_device == stage.on_device:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    return [Chain(group, group is groups[-1]) for group in groups]


def twice(action: Callable[[], T]) -> T:
    """What an action returns, or returns when it is tried again."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return action()
        except Exception as error:  # of whatever kind: a codec is somebody else's code
            if not left:
                raise
            stop_if_disk_full(error, Path())
    raise AssertionError


@contextmanager
def noted(work: Work, stage: str, *presets: str) -> Any:
    """A failure inside is the presets', not the image's."""
    try:
        yield
    except Exception as error:
        stop_if_disk_full(error, Path())
        for preset in presets:
            work.fail(stage, preset, describe(error))


@contextmanager
def timed(work: Work, stage: str) -> Any:
    """Seconds inside count for the stage."""
    began = time.perf_counter()
    try:
        yield
    finally:
        work.seconds[stage] = work.seconds.get(stage, 0.0) + time.perf_counter() - began


def _encodings(work: Work, stage: Neural | Traditional, codec: Codec, image: Image) -> Encodings:
    """An image's encodes; long ones are kept until the image is done, beyond a kill."""
    kept = KeptEncodes(stage.folder / place_of("encodes", work.sha256) / stage.name)
    return Encodings(codec, image, kept)


def forget_encodes(folder: Path, sha256: str) -> None:
    """Remove what was kept of an image that is done."""
    shutil.rmtree(folder / place_of("encodes", sha256), ignore_errors=True)


def _matched(
    work: Work,
    stage: Neural | Traditional,
    codec: Codec,
    image: Image,
    rates: Mapping[str, float],
) -> None:
    with noted(work, stage.name, *rates):
        encodings = _encodings(work, stage, codec, image)
        matches = twice(
            lambda: match_rates(
                encodings,
                list(rates.values()),
                tolerance=stage.tolerance,
                estimate=Estimate.of(codec),
            )
        )
        for preset, match in zip(rates, matches, strict=True):
            with noted(work, stage.name, preset):
                _keep(work, stage, codec, image, preset, match.data, match.point, match.encodes)
                work.coded[preset][f"{stage.name}_out_of_range"] = match.out_of_range


def _keep(
    work: Work,
    stage: Neural | Traditional,
    codec: Codec,
    image: Image,
    preset: str,
    data: bytes,
    point: float,
    encodes: int = 1,
) -> None:
    """Decode a bitstream, write it, and note everything about it."""
    decoded = twice(lambda: codec.decode(data))
    size = checked_size(codec, image, decoded, data)
    side = stage.name
    name = f"{file_name(preset)}-{side}"
    row = {
        "point": f"{point:g}",
        "bpp": bits_per_pixel(size, image.shape[1], image.shape[0]),
        "bytes": size,
        "sha256": pixels_sha256(decoded),
        "bitstream": f"{place_of('bitstreams', work.sha256)}/{name}.bin",
        "decoded": f"{place_of('decoded', work.sha256)}/{name}.png" if stage.keep else None,
        "psnr": round(luma_psnr(image, decoded), 6),
        "encodes": encodes,
        "out_of_range": False,
    }
    write_whole(stage.folder / str(row["bitstream"]), data)
    if stage.keep:
        write_whole(stage.folder / str(row["decoded"]), png(decoded))
    facts = {f"{side}_{fact}": value for fact, value in row.items()}
    work.coded.setdefault(preset, {}).update(facts)
    work.decoded.setdefault(preset, {})[side] = decoded


def _tensor(images: Sequence[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))


def _edges(kind: str, box: Sequence[int]) -> dict[str, int]:
    return {f"{kind}{edge}": v for edge, v in zip(("x0", "y0", "x1", "y1"), box, strict=True)}
