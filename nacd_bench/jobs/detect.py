"""``nacd-bench detect``: detectors over triplets, to tables and pictures.

*Load* triplets, *score* them, *draw* pictures. One journal record per finished triplet, written
after its pictures, lets a run that was killed, at whatever moment, go on where it was::

    found = detect("triplets/", [Texture(), Boundary()], folder="run")

The run's folder::

    detections.parquet  one row per box over its detector's threshold; detections.csv is the same
    scores.parquet      one row per triplet, one column per detector; scores.csv is the same
    failures.csv        what failed, with its message
    thresholds.csv      the thresholds, and false alarms on clean triplets
    clean/              the same of clean triplets, where they were asked for
    overlays/           one picture per triplet
    heat_maps/          on request: 16-bit PNG per detector and triplet, heat_maps.csv their scale
    config.yaml         the whole configuration, where one was composed
    settings.json       what decides the results; a run is continued only with the same
    journal.jsonl       what is done
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import SkipValidation

from nacd_bench.detectors import Detector
from nacd_bench.errors import Failure, UserError
from nacd_bench.evaluation.thresholds import (
    Criterion,
    FalseAlarms,
    Limit,
    exceeds,
    false_alarms,
)
from nacd_bench.numbers import count
from nacd_bench.pipeline.clock import timed
from nacd_bench.pipeline.methods import by_name, device_of, limits_of
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.scoring import (
    READERS,
    LoadedBatch,
    all_scored,
    batches,
    usual_batch_size,
)
from nacd_bench.pipeline.workers import ahead
from nacd_bench.report.heat_map import ShownHeatMaps, per_pixel, to_png16
from nacd_bench.report.sheets import overlay
from nacd_bench.runs.folder import RunFolder, file_names, open_run
from nacd_bench.runs.schema import CLEAN, HEAT_MAPS, SIDES, TABLES
from nacd_bench.runs.tables import write_csv, write_limits, write_tables
from nacd_bench.settings import Name, Number, checked
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.grades import GRADES, GradedData, with_grades, write_grades
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.loading import LoadedTriplet
from nacd_bench.triplets.record import ROLES, TripletRecord, cluster_names, exchanged
from nacd_bench.triplets.source import Source, Triplets

EXCHANGED = "exchanged"
"""Clean triplets: those of the run with their sides exchanged."""
WRITERS = 2
"""Threads that draw pictures of what was scored."""


@dataclass(frozen=True)
class Detected:
    """What a run left in its folder.

    Args:
        folder: the run's folder.
        records: the triplets, in their order.
        results: of each finished triplet by id, by detector; those without fault.
        notes: what is odd about files, by path.
        detections: rows of ``detections.parquet``.
        failures: what failed; empty when all is well.
        detectors: artifact type by detector, in order.
        computed: triplets that this run computed; 0 when everything was there.
        seconds: how long it took.
        limits: the thresholds, by detector.
        clean: false alarms on clean triplets, by detector; empty where none were asked for.
    """

    folder: Path
    records: list[TripletRecord]
    results: Mapping[str, Mapping[str, Result]]
    notes: Mapping[str, Sequence[str]]
    detections: list[dict[str, Any]]
    failures: list[Failure]
    detectors: Mapping[str, str]
    computed: int
    seconds: float
    limits: Mapping[str, Limit] = field(default_factory=dict)
    clean: Mapping[str, FalseAlarms] = field(default_factory=dict)

    @property
    def alarming(self) -> list[str]:
        """Detectors with more false alarms on clean triplets than their thresholds promise."""
        return [
            name
            for name, alarms in self.clean.items()
            if (expected := self.limits[name].expected) and exceeds(alarms, expected)
        ]

    @property
    def codecs(self) -> list[str]:
        """A line per pair of codecs: which were compared, in how many triplets."""
        pairs = Counter(
            tuple(record.codec(side) or "unknown" for side in SIDES) for record in self.records
        )
        return [
            f"{count(number, 'triplet')}: neural side {neural}, traditional side {traditional}"
            for (neural, traditional), number in pairs.items()
        ]


@checked
def detect(
    source: Annotated[Source | Triplets | GradedData, SkipValidation],
    detectors: Sequence[Detector],
    folder: Name,
    *,
    thresholds: Mapping[str, float] | Name | None = None,
    criterion: Criterion | None = None,
    clean: Literal["exchanged"] | Source | None = None,
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
        source: see :func:`~nacd_bench.triplets.grades.with_grades`.
        detectors: one or more, with names of their own.
        folder: where results go; one that holds an unfinished run is continued.
        thresholds: confidence over which a box is a detection, by detector, where it is not said
            the detector's own (1.5 of a severity, else 0); or a file of a benchmark.
        criterion: by which, see :mod:`nacd_bench.evaluation.thresholds`; that of the file where
            None.
        clean: triplets without artifacts of neural codecs, on which false alarms are counted:
            ``"exchanged"`` takes the triplets themselves, the traditional result for the neural
            one; or what ``source`` takes, such as two traditional codecs at one rate.
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
    data = with_grades(source)
    records, grades, problems = list(data.records), list(data.grades), list(data.failures)
    place = device_of(device)
    detectors = [detector.to(place) for detector in by_name(detectors).values()]
    types = {detector.name: detector.artifact_type for detector in detectors}
    chosen = limits_of(detectors, thresholds, criterion)
    limits = {name: limit.threshold for name, limit in chosen.items()}
    settings = {
        "detectors": {detector.name: detector.settings for detector in detectors},
        "overlays": overlays,
        "heat_maps": heat_maps,
    }
    others = None
    if clean is not None:
        others = detect(
            (exchanged(records), []) if clean == EXCHANGED else clean,
            detectors,
            folder / CLEAN,
            thresholds=limits,
            overlays=overlays,
            batch_size=batch_size,
            device=str(place),
            show_progress=show_progress,
        )
        problems = [*problems, *others.failures]
    alarms = _alarms(others)
    names = file_names(record.id for record in records)
    shown = ShownHeatMaps(folder, detectors)
    draw = partial(_drawn, folder, names, detectors, limits, overlays, heat_maps, shown)
    size = batch_size or usual_batch_size(place.type)
    n_before = 0
    kept: dict[str, dict[str, Any]] = {}
    with (
        open_run(
            folder, "detect", settings, configuration=configuration, failures=[*failures, *problems]
        ) as run,
        progress_bar("triplets", len(records), show_progress) as tick,
    ):
        if grades:
            write_grades(folder / GRADES[0], grades)
        try:
            kept.update(_kept(folder, records, run.journal))
            n_before = len(kept)
            tick.skip(n_before)
            tasks = [(record, tuple(types)) for record in records if record.id not in kept]
            results = _results(run, batches(tasks, size), detectors, place, tick)
            for item in ahead(draw, results, WRITERS, 2 * size, _is_large):
                run.journal.append(item)
                kept[item["id"]] = item
                run.failures += _faults(item)
                tick(len(run.failures))
        finally:
            finished = {triplet: _without_faults(item) for triplet, item in kept.items()}
            detections = write_tables(folder, records, finished, types, limits)
            _write_scales(folder, records, kept)
            write_limits(folder, types, chosen, alarms, len(others.results) if others else 0)
    return Detected(
        folder=folder,
        records=list(records),
        results={record.id: finished[record.id] for record in records if record.id in finished},
        notes={path: lines for item in kept.values() for path, lines in item["notes"].items()},
        detections=detections,
        failures=run.failures,
        detectors=types,
        computed=len(kept) - n_before,
        seconds=time.perf_counter() - began,
        limits=chosen,
        clean=alarms,
    )


def _alarms(clean: Detected | None) -> dict[str, FalseAlarms]:
    """The false alarms in clean triplets, by detector."""
    return {name: _alarms_of(clean, name) for name in clean.detectors} if clean else {}


def _alarms_of(clean: Detected, detector: str) -> FalseAlarms:
    """The false alarms of a detector in clean triplets."""
    scored = [record for record in clean.records if detector in clean.results.get(record.id, {})]
    threshold = clean.limits[detector].threshold
    found = [clean.results[record.id][detector].confidences for record in scored]
    fired = [max(confidences, default=threshold) > threshold for confidences in found]
    return false_alarms(fired, cluster_names(scored))


def _kept(
    folder: Path, records: Sequence[TripletRecord], journal: Iterable[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The journal's records of triplets whose files are what they were, with their pictures."""
    items = {item["id"]: item for item in journal}

    def is_whole(record: TripletRecord) -> bool:
        item = items.get(record.id)
        if item is None or any("fault" in result for result in item["results"].values()):
            return False
        if not all((folder / file).is_file() for file in item["files"]):
            return False
        try:
            return all(content_hash(getattr(record, r)) == item["sha256"][r] for r in ROLES)
        except UserError:  # whoever loads it will say what is wrong
            return False

    whole = zip(records, ahead(is_whole, records, READERS), strict=True)
    return {record.id: items[record.id] for record, is_there in whole if is_there}


def _results(
    run: RunFolder,
    loaded: Iterable[LoadedBatch | Failure],
    detectors: Sequence[Detector],
    place: torch.device,
    tick: Progress,
) -> Iterator[tuple[LoadedTriplet, Mapping[str, Result]]]:
    """Triplets with their results; those that cannot be read become failures of the run."""
    for batch in all_scored(loaded, detectors, place):
        if isinstance(batch, Failure):
            run.failures.append(batch)
            tick.skip(1)
        else:
            yield from batch
            del batch  # it would be here while the next is worked on


def _is_large(scored: tuple[LoadedTriplet, Mapping[str, Result]]) -> bool:
    return not scored[0].batch.is_whole


def _faults(item: Mapping[str, Any]) -> list[Failure]:
    results = item["results"].items()
    return [Failure(item["id"], name, said["fault"]) for name, said in results if "fault" in said]


def _without_faults(item: Mapping[str, Any]) -> dict[str, Result]:
    results = item["results"].items()
    return {name: Result(**result) for name, result in results if "score" in result}


def _write_scales(
    folder: Path, records: Sequence[TripletRecord], items: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write what the pixels of heat maps mean, where there are some."""
    scales = [
        {"triplet": record.id, "detector": name, **scale}
        for record in records
        for name, scale in items.get(record.id, {"scales": {}})["scales"].items()
    ]
    if scales:
        write_csv(folder / f"{HEAT_MAPS}.csv", scales, list(TABLES[HEAT_MAPS]))


@timed("pictures")
def _drawn(
    folder: Path,
    names: Mapping[str, str],
    detectors: Sequence[Detector],
    thresholds: Mapping[str, float],
    overlays: bool,
    heat_maps: bool,
    shown: ShownHeatMaps,
    triplet: tuple[LoadedTriplet, Mapping[str, Result]],
) -> dict[str, Any]:
    """The journal's record of a triplet; its pictures are written when this returns."""
    loaded, results = triplet
    name = names[loaded.record.id]
    shown.keep(loaded, results)
    files, scales = [], {}
    for detector in detectors:
        heat_map = results[detector.name].heat_map
        if heat_maps and heat_map is not None:
            heat = per_pixel(heat_map, 0, loaded.batch.height, loaded.batch.width)
            data, low, high = to_png16(heat)
            files.append(f"heat_maps/{detector.name}/{name}.png")
            write_whole(folder / files[-1], data)
            scales[detector.name] = {"file": files[-1], "low": low, "high": high}
    if overlays:
        titles = _titles(loaded.record)
        picture = overlay(loaded.batch, detectors, results, thresholds, titles)
        files.append(f"overlays/{name}.png")
        write_whole(folder / files[-1], picture)
    return {
        "id": loaded.record.id,
        "sha256": dict(loaded.sha256),
        "notes": {path: list(notes) for path, notes in loaded.notes.items()},
        "results": {key: result.as_json() for key, result in results.items()},
        "scales": scales,
        "files": files,
    }


def _titles(record: TripletRecord) -> tuple[str, str]:
    sides = []
    for role in SIDES:
        codec = record.codec(role) or "unknown codec"
        point, bpp = getattr(record, f"{role}_point"), getattr(record, f"{role}_bpp")
        details = [f"point {point}"] if point else []
        details += [f"{bpp:.3f} bpp"] if bpp else []
        sides.append(f"{role}: {codec}" + (f" ({', '.join(details)})" if details else ""))
    return record.id, " | ".join(sides)
