"""``nacd-bench detect``: detectors over triplets, to tables and pictures.

*Plan* which triplets and detectors, *run* what is not there yet, *aggregate* into tables. One
journal record per finished triplet, written after its pictures, lets a run that was killed, at
whatever moment, go on where it was::

    found = detect("triplets/", [Texture(), Boundary()], folder="run")

The run's folder::

    detections.parquet  one row per box over its detector's threshold; detections.csv is the same
    scores.parquet      one row per triplet, one column per detector; scores.csv is the same
    failures.csv        what failed, with its message
    overlays/           one picture per triplet
    heat_maps/          on request: 16-bit PNG per detector and triplet, heat_maps.csv their scale
    config.yaml         the whole configuration, where one was composed
    settings.json       what decides the results; a run is continued only with the same
    journal.jsonl       what is done
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import SkipValidation

from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.pipeline.methods import score_batch, thresholds_by_detector
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.report.heat_map import per_pixel, to_png16
from nacd_bench.report.sheets import Finding, overlay
from nacd_bench.runs.detect_tables import write_tables
from nacd_bench.runs.folder import file_names, open_run
from nacd_bench.runs.journal import Journal
from nacd_bench.settings import Name, Number, checked
from nacd_bench.triplets.batch import ROLES, TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import content_hash, to_8_bit
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import Problem, TripletRecord
from nacd_bench.triplets.source import Source, find_triplets

SCHEMA = "nacd-bench detect 2"
READERS = 4
"""Threads that read images ahead of the detectors."""
GPU_BATCH = 8
"""Triplets of one size that a GPU takes at a time, unless told otherwise."""


@dataclass(frozen=True)
class Detected:
    """What a run left in its folder.

    Args:
        folder: the run's folder.
        records: the triplets, in their order.
        results: the journal's record of each finished triplet, by id.
        detections: rows of ``detections.parquet``.
        failures: what failed; empty when all is well.
        detectors: artifact type by detector, in order.
        computed: triplets that this run computed; 0 when everything was there.
        seconds: how long it took.
    """

    folder: Path
    records: list[TripletRecord]
    results: Mapping[str, Mapping[str, Any]]
    detections: list[dict[str, Any]]
    failures: list[Failure]
    detectors: Mapping[str, str]
    computed: int
    seconds: float

    @property
    def codecs(self) -> list[str]:
        """A line per pair of codecs: which were compared, in how many triplets."""
        pairs = Counter(
            tuple(_codec_and_version(record, role) for role in ROLES[1:]) for record in self.records
        )
        return [
            f"{count} triplets: neural side {neural}, traditional side {traditional}"
            for (neural, traditional), count in pairs.items()
        ]


@checked
def detect(
    source: Annotated[Source | tuple[list[TripletRecord], list[Problem]], SkipValidation],
    detectors: Sequence[Detector],
    folder: Name,
    *,
    thresholds: Mapping[str, float] | Name | None = None,
    overlays: bool = True,
    heat_maps: bool = False,
    batch_size: Number | None = None,
    device: str = "auto",
    show_progress: bool = True,
    failures: Sequence[Failure] = (),
    configuration: str | None = None,
) -> Detected:
    """Run detectors over triplets; one bad image or detector does not lose the others.

    Args:
        source: what :func:`~nacd_bench.triplets.source.find_triplets` takes, or what it returned.
        detectors: one or more, with names of their own.
        folder: where results go; one that holds an unfinished run is continued.
        thresholds: confidence over which a box is a detection, by detector, 0 where it is not
            said; or a file of a benchmark.
        overlays: write a picture per triplet.
        heat_maps: write a 16-bit PNG per triplet and detector.
        batch_size: triplets of one size worked on at a time; 1 on a CPU and 8 on a GPU by default.
        device: ``"auto"`` takes a GPU when there is one.
        show_progress: a progress bar with the time left.
        failures: what failed before, to be listed with the rest.
        configuration: YAML to keep beside the results as ``config.yaml``.

    Raises:
        DataError: no triplets, a folder in use, other settings than those the run began with.
    """
    began = time.perf_counter()
    folder = Path(folder)
    if isinstance(source, tuple) and source and isinstance(source[0], list):
        records, problems = source
    else:
        records, problems = find_triplets(source)  # type: ignore[arg-type]
    place = torch.device(_device(device))
    run = _Run(
        records=list(records),
        detectors=[detector.eval().to(place) for detector in _named(detectors)],
        folder=folder,
        thresholds=thresholds_by_detector(thresholds, detectors),
        overlays=overlays,
        heat_maps=heat_maps,
        batch_size=batch_size or (GPU_BATCH if place.type == "cuda" else 1),
        device=place,
        failures=[*failures, *(Failure(p.subject, "read", p.message) for p in problems)],
    )
    with open_run(folder, "detect", run.settings, configuration=configuration) as opened:
        opened.failures, run.journal = run.failures, opened.journal
        try:
            with progress_bar("triplets", len(records), show_progress) as tick:
                run.execute(tick)
        finally:
            detections = write_tables(folder, run.records, run.results, run.types, run.thresholds)
    seconds = time.perf_counter() - began
    return Detected(
        folder,
        run.records,
        run.results,
        detections,
        run.failures,
        run.types,
        run.computed,
        seconds,
    )


def _named(detectors: Sequence[Detector]) -> Sequence[Detector]:
    if not detectors:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    names = [detector.name for detector in detectors]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(
            f"expected detectors with names of their own, got {', '.join(twice)} twice."
        )
    return detectors


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class _Run:
    """Triplets on their way: read ahead, batched by size, detected, drawn, on record."""

    records: list[TripletRecord]
    detectors: list[Detector]
    folder: Path
    thresholds: Mapping[str, float]
    overlays: bool
    heat_maps: bool
    batch_size: int
    device: torch.device
    failures: list[Failure]
    journal: Journal = field(init=False)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    computed: int = 0

    @property
    def types(self) -> dict[str, str]:
        """Artifact type by detector."""
        return {detector.name: detector.artifact_type for detector in self.detectors}

    @cached_property
    def file_names(self) -> dict[str, str]:
        """Names of pictures, without their suffix, by id."""
        return file_names(record.id for record in self.records)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the results and is the same for a continued run."""
        return {
            "detectors": {detector.name: detector.settings for detector in self.detectors},
            "overlays": self.overlays,
            "heat_maps": self.heat_maps,
        }

    def execute(self, tick: Progress) -> None:
        """Do everything that is not there yet."""
        there = {record["id"]: record for record in self.journal}
        waiting: dict[tuple[Any, ...], list[LoadedTriplet]] = defaultdict(list)
        drawn: deque[Future[dict[str, Any]]] = deque()
        with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(2) as writers:
            for record, loaded in self._read(readers, there):
                if isinstance(loaded, LoadedTriplet):
                    original = loaded.batch.original
                    same = waiting[(original.shape, original.dtype)]
                    same.append(loaded)
                    if len(same) >= self.batch_size:
                        drawn.extend(self._detected(same, writers))
                        same.clear()
                    elif sum(map(len, waiting.values())) >= 4 * self.batch_size:
                        oldest = next(group for group in waiting.values() if group)
                        drawn.extend(self._detected(oldest, writers))
                        oldest.clear()
                else:
                    if isinstance(loaded, Failure):
                        self.failures.append(loaded)
                    else:
                        self.results[record.id] = loaded
                    tick.skip(1)
                while len(drawn) > 2 * self.batch_size:
                    self._keep(drawn.popleft().result(), tick)
            for group in waiting.values():
                if group:
                    drawn.extend(self._detected(group, writers))
            while drawn:
                self._keep(drawn.popleft().result(), tick)

    def _read(
        self, readers: ThreadPoolExecutor, there: Mapping[str, dict[str, Any]]
    ) -> Iterator[tuple[TripletRecord, LoadedTriplet | dict[str, Any] | Failure]]:
        """Every record with its pixels, with what is on record, or with what is wrong with it."""
        ahead: deque[tuple[TripletRecord, Future[Any]]] = deque()
        for record in self.records:
            ahead.append((record, readers.submit(self._load, record, there.get(record.id))))
            if len(ahead) > READERS + self.batch_size:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()

    def _load(
        self, record: TripletRecord, known: dict[str, Any] | None
    ) -> LoadedTriplet | dict[str, Any] | Failure:
        try:
            if known is not None and self._is_whole(record, known):
                return known
            return load_triplet(record)
        except UserError as error:
            return Failure(record.id, "read", str(error))
        except Exception as error:
            return Failure(record.id, "read", f"{record.place}: {type(error).__name__}: {error}")

    def _is_whole(self, record: TripletRecord, known: Mapping[str, Any]) -> bool:
        """Whether a finished triplet's files are what they were and its pictures are there."""
        if known["failed"] or not all((self.folder / file).is_file() for file in known["files"]):
            return False
        hashes = {role: content_hash(getattr(record, role)) for role in ROLES}
        return hashes == known["sha256"]

    # --- detectors

    def _detected(
        self, group: Sequence[LoadedTriplet], writers: ThreadPoolExecutor
    ) -> list[Future[dict[str, Any]]]:
        """Detections of triplets of one size; a batch that fails is repeated one by one."""
        batch = _joined(group).to(self.device)
        scored = score_batch(self.detectors, batch)
        return [
            writers.submit(self._drawn, loaded, results)
            for loaded, results in zip(list(group), scored, strict=True)
        ]

    # --- results

    def _drawn(self, loaded: LoadedTriplet, results: Mapping[str, Result]) -> dict[str, Any]:
        """The journal's record of a triplet; its pictures are written when this returns."""
        name = self.file_names[loaded.record.id]
        files = []
        findings = []
        scales = {}
        good = {name: result for name, result in results.items() if not result.fault}
        for detector in self.detectors:
            if detector.name not in good:
                continue
            one = good[detector.name]
            heat = None
            if one.heat_map is not None and (self.overlays or self.heat_maps):
                heat = per_pixel(one.heat_map, 0, loaded.batch.height, loaded.batch.width)
            findings.append(self._finding(detector, one, heat))
            if self.heat_maps and heat is not None:
                data, low, high = to_png16(heat)
                files.append(f"heat_maps/{detector.name}/{name}.png")
                write_whole(self.folder / files[-1], data)
                scales[detector.name] = [low, high]
        if self.overlays:
            images = {role: to_8_bit(getattr(loaded.batch, role)) for role in ROLES}
            title, subtitle = _titles(loaded.record)
            picture = overlay(**images, findings=findings, title=title, subtitle=subtitle)
            files.append(f"overlays/{name}.png")
            write_whole(self.folder / files[-1], picture)
        return {
            "id": loaded.record.id,
            "sha256": dict(loaded.sha256),
            "notes": {path: list(notes) for path, notes in loaded.notes.items()},
            "scores": {key: one.score for key, one in good.items()},
            "boxes": {key: one.boxes for key, one in good.items()},
            "confidences": {key: one.confidences for key, one in good.items()},
            "scales": scales,
            "failed": {key: one.fault for key, one in results.items() if one.fault},
            "files": files,
        }

    def _finding(self, detector: Detector, one: Result, heat: Any) -> Finding:
        return Finding(
            detector.name,
            (*one.boxes[0],) if one.boxes else None,  # type: ignore[arg-type]
            one.confidences[0] if one.boxes else one.score,
            self.thresholds[detector.name],
            heat,
            detector.heat_map_range,
        )

    def _keep(self, record: dict[str, Any], tick: Progress) -> None:
        self.journal.append(record)
        self.results[record["id"]] = record
        self.computed += 1
        for detector, message in record["failed"].items():
            self.failures.append(Failure(record["id"], detector, message))
        tick(len(self.failures))


def _joined(group: Sequence[LoadedTriplet]) -> TripletBatch:
    if len(group) == 1:
        return group[0].batch
    images = {role: torch.cat([getattr(each.batch, role) for each in group]) for role in ROLES}
    return TripletBatch(**images, ids=[each.record.id for each in group])


def _titles(record: TripletRecord) -> tuple[str, str]:
    sides = []
    for role in ("neural", "traditional"):
        codec = getattr(record, f"{role}_codec") or "unknown codec"
        point, bpp = getattr(record, f"{role}_point"), getattr(record, f"{role}_bpp")
        details = [f"point {point}"] if point else []
        details += [f"{bpp:.3f} bpp"] if bpp else []
        sides.append(f"{role}: {codec}" + (f" ({', '.join(details)})" if details else ""))
    return record.id, " | ".join(sides)


def _codec_and_version(record: TripletRecord, role: str) -> str:
    codec, version = (getattr(record, f"{role}_{fact}") for fact in ("codec", "version"))
    return f"{codec or 'unknown'} ({version})" if version else codec or "unknown"
