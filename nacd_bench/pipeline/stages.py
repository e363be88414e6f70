"""What is done to one image: read, coded by each codec, scored by detectors, candidates cropped.

Each stage is a callable that adds to the :class:`Work` of an image. It depends on nothing but the
image and its own parameters, so that results are the same in whichever process, engine, order or
shard an image is worked on. What fails is tried a second time and then noted::

    compress  = Read | Code | Code ...
    mine      = Read | Code | Code | Detect
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from nacd_bench.coding.codec import Codec, Image, png
from nacd_bench.coding.matched import describe, facts, qualities, stop_if_disk_full
from nacd_bench.coding.originals import Item, read_item
from nacd_bench.coding.rate import Encodings, Match, Seen, match_rates
from nacd_bench.coding.sides import Side
from nacd_bench.detectors import Detector
from nacd_bench.ops.boxes import region_holding
from nacd_bench.ops.planes import one_thread
from nacd_bench.pipeline.methods import device_of, score_batch
from nacd_bench.runs.candidates import place_of
from nacd_bench.runs.folder import file_name
from nacd_bench.runs.schema import EDGES
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.files import json_sha256, sha256, write_whole
from nacd_bench.triplets.images import decode_image, pixels_sha256, to_8_bit
from nacd_bench.triplets.memory import MAPS, STRIPS, require_memory
from nacd_bench.triplets.record import ROLES

T = TypeVar("T")
Steps = tuple[tuple[str, float], ...]
"""Names of rates, and operating points or bits per pixel, in order of rising rate."""
TRIES = 2
READERS = 4
"""Threads that read files ahead of the workers."""
METRICS = 3
"""Changes whenever the qualities of results do: those that are there have the old ones."""
BY_CONTENT = "{kind}/{sha256:.2}/{sha256:.12}/{preset}-{side}"
"""Where the results of an image lie that is named by its content, as in a mined folder."""
BY_NAME = "{kind}/{side}/{preset}/{name}"
"""Where they lie for people, as in a compressed folder."""


@dataclass
class Work:
    """An image on its way through the stages.

    Args:
        item: where it is.
        name: what its results are called.
        sha256: hash of its file; ``""`` until somebody has read it.
        data: its file, or None where the stage itself has to read it.
        finished: results of earlier runs, by side, preset and the hash of all that fixes them: two
            presets, or anchors, may be one result and have files of their own.
        pixels: ``(H, W, 3)`` uint8.
        width, height: in pixels.
        notes: what is odd about the file and does not touch its pixels.
        coded: what is known of each result, by side and preset.
        decoded: likewise the pictures.
        scores: by preset and detector.
        candidates: rows of ``candidates`` without what ``coded`` says too.
        failures: step and message of what failed twice.
        seconds: by stage.
        died: whether it took its process down.
    """

    item: Item
    name: str = ""
    sha256: str = ""
    data: bytes | None = None
    finished: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    pixels: Image | None = None
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    coded: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    decoded: dict[str, dict[str, Image]] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    died: bool = False

    @property
    def fresh(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The results of this run, by side and preset."""
        return {
            side: {
                preset: row
                for preset, row in rows.items()
                if (side, preset, row["key"]) not in self.finished
            }
            for side, rows in self.coded.items()
        }

    def record(self) -> dict[str, Any]:
        """What the journal keeps."""
        return {
            "sha256": self.sha256,
            **of_item(self.item),
            "width": self.width,
            "height": self.height,
            "notes": self.notes,
            "coded": self.fresh,
            "scores": self.scores,
            "candidates": self.candidates,
            "failures": self.failures,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }

    @contextmanager
    def noted(self, *steps: str) -> Iterator[None]:
        """A failure inside is that of these steps, not the image's."""
        try:
            yield
        except Exception as error:  # of whatever kind: a codec is somebody else's code
            stop_if_disk_full(error, Path())
            message = describe(error).removeprefix(f"{self.item.name}: ")
            self.failures += [(step, message) for step in steps]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Seconds inside count for the stage."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def drop_pictures(self) -> None:
        """Leave behind what takes memory."""
        self.data = self.pixels = None
        self.decoded = {}


def of_item(item: Item) -> dict[str, Any]:
    """An item in the journal."""
    return {"index": item.index, "name": item.name, "stamp": item.stamp}


def read_file(item: Item) -> Work:
    """An image with the bytes of its file and their hash, or why it cannot be read."""
    work = Work(item)
    with work.noted("read"):
        work.data = read_item(item)
        work.sha256 = sha256(work.data)
    return work


@dataclass
class Read:
    """The image's bytes and pixels.

    Args:
        folder: the run's folder.
    """

    folder: Path
    name = "read"
    on_device = False

    def __call__(self, works: Sequence[Work]) -> None:
        for work in works:
            if work.pixels is None and not work.failures:
                with work.noted(self.name), work.timed(self.name):
                    self._read(work)

    def _read(self, work: Work) -> None:
        for kind in ("bitstreams", "crops", "decoded"):  # what a kill left half written
            for part in (self.folder / place_of(kind, work.sha256)).glob(".*.part"):
                part.unlink(missing_ok=True)
        assert work.data is not None
        image = decode_image(work.item.name, work.data)
        work.pixels, work.notes = to_8_bit(image.pixels), image.notes
        work.height, work.width = work.pixels.shape[:2]
        work.data = None


@dataclass
class Code:
    """One codec at each rate, all rates of an image in one search.

    Args:
        side: the codec, and whether it follows another one's results.
        kind: what is asked of it: ``"point"``, ``"bpp"`` or ``"psnr"``.
        steps: operating points or targets of a codec that follows none.
        folder: the run's folder.
        place: where results lie in it, :data:`BY_CONTENT` or :data:`BY_NAME`.
        tolerance: for its fine control, see :func:`nacd_bench.coding.rate.match_rates`.
        keep: whether decoded images are kept.
        measures: the qualities beside PSNR, see :data:`~nacd_bench.coding.matched.MEASURES`.
        earlier: what earlier images taught about the codec's rate.
    """

    side: Side
    kind: str
    steps: Steps
    folder: Path
    place: str = BY_CONTENT
    tolerance: float | None = None
    keep: bool = False
    measures: Sequence[str] = ()
    earlier: Sequence[Seen] = ()

    @property
    def name(self) -> str:
        return self.side.label

    @property
    def on_device(self) -> bool:
        return self.side.codec.in_main_process

    def __call__(self, works: Sequence[Work]) -> None:
        if len(works) > 1 and self.kind == "point":
            for preset, point in self.steps:
                self._code_together(works, preset, point)
        for work in works:
            missing = self.missing(work)
            if missing and work.pixels is not None:
                with work.timed(self.name):
                    self._code(work, missing)

    def missing(self, work: Work) -> dict[str, float]:
        """The rates by preset that have no result; results of earlier runs become the work's."""
        rows = work.coded.setdefault(self.name, {})
        wanted = dict(self.steps)
        if self.side.follows is not None:
            leader = work.coded.get(self.side.follows, {})
            factor = 1.0 if self.kind == "psnr" else self.side.rate_factor
            wanted = {preset: row[self.kind] * factor for preset, row in leader.items()}
        missing = {}
        for preset, value in wanted.items():
            row = work.finished.get(key := (self.name, preset, self._key(work, value)))
            if row is not None and self._is_whole(work, preset, row):
                rows[preset] = row
            elif preset not in rows:
                work.finished.pop(key, None)
                missing[preset] = value
        return missing

    def _key(self, work: Work, value: float) -> str:
        """The hash of everything that fixes a result."""
        fixed = [work.sha256, self.side.identity, self.kind, value, METRICS]
        return json_sha256(fixed + ([self.tolerance] if self.kind == "bpp" else []))[:24]

    def _is_whole(self, work: Work, preset: str, row: Mapping[str, Any]) -> bool:
        """Whether the files of a result lie where this run would put them."""
        stream, picture = self._places(work, preset)
        files = [self.folder / file for file in (stream, picture) if file]
        return (
            [row["bitstream"], row["decoded"]] == [stream, picture]
            and all(map(Path.is_file, files))
            and sha256(files[0].read_bytes())[:16] == row["file_sha256"]
        )

    def _places(self, work: Work, preset: str) -> tuple[str, str | None]:
        """Bitstream and decoded image, or None where that is not kept."""
        names = {"side": self.name, "preset": file_name(preset), "name": work.name}
        stream, picture = (
            self.place.format(kind=kind, sha256=work.sha256, **names)
            for kind in ("bitstreams", "decoded")
        )
        return f"{stream}.bin", f"{picture}.png" if self.keep else None

    def _code_together(self, works: Sequence[Work], preset: str, point: float) -> None:
        """All images in one call, whichever of them it is for; a batch that fails is left."""
        missing = [preset in self.missing(work) for work in works]
        images = [work.pixels for work in works if work.pixels is not None]
        if not any(missing) or len(images) < len(works):
            return
        try:
            began = time.perf_counter()
            codec = self.side.codec
            streams = codec.encode_batch(images, point)
            seconds = (time.perf_counter() - began) / len(works)
            pictures = codec.decode_batch(streams)
            spent = (time.perf_counter() - began) / len(works)
        except Exception as error:  # one image may spoil the batch: each goes alone
            stop_if_disk_full(error, self.folder)
            return
        for i, work in enumerate(works):
            bpp = codec.rate_bytes(streams[i]) * 8 / (work.width * work.height)
            match = Match(point, point, point, None, streams[i], bpp, 1, False, seconds)
            work.seconds[self.name] = work.seconds.get(self.name, 0.0) + spent
            if missing[i]:
                with work.noted(f"{self.name} {preset}"):
                    self._keep(work, preset, match, pictures[i], spent - seconds)

    def _code(self, work: Work, missing: Mapping[str, float]) -> None:
        codec = self.side.codec
        assert work.pixels is not None
        identity = json_sha256(self.side.identity)[:16]
        # by what the codec is, so that an anchor that follows several codecs encodes once
        place = self.folder / place_of("encodes", work.sha256) / f"{codec.name}-{identity}"
        encodings = Encodings(codec, work.pixels, place)
        groups = [[preset] for preset in missing] if self.kind == "point" else [list(missing)]
        for presets in groups:
            with work.noted(*(f"{self.name} {preset}" for preset in presets)):
                values = [missing[preset] for preset in presets]
                code = partial(
                    match_rates,
                    encodings,
                    values,
                    self.kind,
                    tolerance=self.tolerance,
                    earlier=self.earlier,
                )
                for preset, match in zip(presets, twice(code), strict=True):
                    with work.noted(f"{self.name} {preset}"):
                        began = time.perf_counter()
                        decoded = twice(partial(codec.decode, match.data))
                        self._keep(work, preset, match, decoded, time.perf_counter() - began)
        for preset, row in work.coded[self.name].items():
            if (self.name, preset, row["key"]) not in work.finished and self.kind != "point":
                row["departures"] = encodings.seen(self.kind)

    def _keep(
        self, work: Work, preset: str, match: Match, decoded: Image, decode_seconds: float
    ) -> None:
        """Write bitstream and decoded image, and note everything about the result."""
        assert work.pixels is not None
        row = facts(self.side.codec, work.pixels, match, decoded)
        row |= qualities(work.pixels, decoded, self.measures)
        stream, picture = self._places(work, preset)
        file = self.folder / stream
        # Results of other parameters may lie there. Whenever a kill comes, a bitstream that is
        # there belongs to the picture that is there.
        if file.is_file() and file.read_bytes() != match.data:
            file.unlink()
        if picture:
            write_whole(self.folder / picture, png(decoded))
        write_whole(file, match.data)
        work.coded[self.name][preset] = row | {
            "key": self._key(work, match.target),
            "asked_kind": self.kind,
            "decode_seconds": round(decode_seconds, 4),
            "peak_memory": self.side.codec.peak_memory,
            "sha256": pixels_sha256(decoded),
            "file_sha256": sha256(match.data)[:16],
            "bitstream": stream,
            "decoded": picture,
        }
        work.decoded.setdefault(preset, {})[self.name] = decoded


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

    @property
    def on_device(self) -> bool:
        return self.device != "cpu"

    def __call__(self, works: Sequence[Work]) -> None:
        device = device_of(self.device)
        for detector in self.detectors:
            detector.eval().to(device)  # costs nothing where it is there
        for work in works:
            presets = [preset for preset, sides in work.decoded.items() if len(sides) == 2]
            for group in [presets] if self.on_device else [[preset] for preset in presets]:
                if group and work.pixels is not None:
                    with work.noted(self.name), work.timed(self.name), one_thread():
                        self._detect(work, work.pixels, group)

    def _detect(self, work: Work, original: Image, presets: Sequence[str]) -> None:
        if not self.on_device:
            per_pixel = 9 * len(presets) + MAPS
            require_memory(work.item.name, work.width, work.height, per_pixel, STRIPS)
        planes = {}
        for role in ROLES:  # a decode is let go as soon as its planes are there
            images = [work.decoded[preset].pop(role, original) for preset in presets]
            stack = np.stack([image.transpose(2, 0, 1) for image in images])
            planes[role] = torch.from_numpy(stack).to(self.device)
        batch = TripletBatch(**planes, ids=[f"{work.item.name} {preset}" for preset in presets])
        del images, stack
        results = score_batch(self.detectors, batch)
        for detector in self.detectors:
            for place, (preset, by_detector) in enumerate(zip(presets, results, strict=True)):
                result = by_detector[detector.name]
                step = f"detect {detector.name} {preset}"
                if result.fault:
                    work.failures.append((step, result.fault))
                else:
                    with work.noted(step):
                        self._candidates(work, batch[place], preset, detector, result)

    def _candidates(
        self, work: Work, triplet: TripletBatch, preset: str, detector: Detector, result: Result
    ) -> None:
        """Note the score and the boxes over the threshold, and write their crops."""
        work.scores.setdefault(preset, {})[detector.name] = result.score
        strongest_first = sorted(
            zip(result.confidences, result.boxes, strict=True), key=lambda c: (-c[0], c[1])
        )
        threshold = self.thresholds.get(detector.name, 0.0)
        for number, (confidence, box) in enumerate(strongest_first):
            if not confidence > threshold:
                break
            x0, y0, x1, y1 = region_holding([box], work.width, work.height)
            row: dict[str, Any] = {
                "preset": preset,
                "detector": detector.name,
                "artifact_type": detector.artifact_type,
                "confidence": confidence,
                "number": number,
                **dict(zip(EDGES, box, strict=True)),
                **{f"crop_{edge}": v for edge, v in zip(EDGES, (x0, y0, x1, y1), strict=True)},
            }
            crop = triplet.cut(slice(y0, y1), slice(x0, x1))
            for role in ROLES:
                name = file_name(f"{preset}-{detector.name}-{number}-{role}")
                row[f"crop_{role}"] = f"{place_of('crops', work.sha256)}/{name}.png"
                write_whole(self.folder / row[f"crop_{role}"], png(to_8_bit(getattr(crop, role))))
            work.candidates.append(row)


Stage = Read | Code | Detect
"""One step for images that go together, usually one; ``on_device`` says whether it wants the one
process that owns the GPU."""


@dataclass
class Chain:
    """Stages that run one after the other in one process.

    Args:
        stages: in their order.
        is_last: whether nothing comes after them: pictures are then left behind.
    """

    stages: list[Stage]
    is_last: bool

    @property
    def on_device(self) -> bool:
        return self.stages[0].on_device

    @property
    def stays_here(self) -> bool:
        """Whether a codec object in it is never to be sent to another process."""
        codecs = [stage.side.source for stage in self.stages if isinstance(stage, Code)]
        return any(isinstance(codec, Codec) and codec.in_main_process for codec in codecs)

    def __call__(self, works: list[Work]) -> list[Work]:
        for stage in self.stages:
            stage(works)
        for work in works if self.is_last else ():
            work.drop_pictures()
        return works

    def died(self, works: list[Work]) -> list[Work]:
        """Images that took their process down twice."""
        names = ", ".join(stage.name for stage in self.stages)
        message = (
            "the process that worked on it died twice (crash or out of memory) in one of: "
            f"{names}. Run the codec on this image alone to see why."
        )
        for work in works:
            work.died = True
            work.failures.append(("process", message))
            work.drop_pictures()
        return works


def chains(stages: Sequence[Stage]) -> list[Chain]:
    """Stages that follow each other in one place, together."""
    groups = [list(group) for _, group in groupby(stages, lambda stage: stage.on_device)]
    return [Chain(group, group is groups[-1]) for group in groups]


def twice(action: Callable[[], T]) -> T:
    """What an action returns, or returns when it is tried again."""
    for _ in range(TRIES - 1):
        try:
            return action()
        except Exception as error:  # of whatever kind: a codec is somebody else's code
            stop_if_disk_full(error, Path())
    return action()
