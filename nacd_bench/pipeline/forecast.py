"""``--plan``: what a job over many images would take, from the job itself on some of them.

The sample goes through as many processes as the job would, so that cores that are in each other's
way count as they will. The first image of each process is no measure of the others: it loads models
and libraries, which is part of starting up.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.numbers import count, duration, size
from nacd_bench.pipeline.workers import cores
from nacd_bench.runs.tables import Table

SAMPLE = 6
"""Images that are measured, unless told otherwise."""
KINDS = ("bitstreams", "decoded", "crops")
Records = Sequence[Mapping[str, Any]]
"""Lines of a run's journal, in the order in which its images were done."""


def forecast(
    job: Callable[[Path, int, int], Records],
    total: int,
    workers: int | None,
    on_device: Collection[str],
    began: float,
    sample: int = SAMPLE,
    teachers: int = 0,
) -> tuple[Table, str]:
    """By stage and kind of file what a job takes, and the whole of it in words.

    Args:
        job: does every n-th of its images in a folder, of which so many teach the others, and
            returns its journal.
        total: how many images there are.
        workers: processes; the number of cores by default, 0 for none but this one.
        on_device: stages that have one process for all images.
        began: when the command did, by :func:`time.perf_counter`.
        sample: images to measure.
        teachers: how many images of the whole job come first and teach the others.
    """
    processes = cores() if workers is None else max(workers, 1)
    every = max(1, -(-total // (sample + processes)))
    taught = processes + (sample + 1) // 2 if teachers else 0
    with tempfile.TemporaryDirectory() as name:
        records = job(Path(name), every, taught)
        spent = time.perf_counter() - began
        files = {kind: _bytes(Path(name) / kind) / max(len(records), 1) for kind in KINDS}
    records = [record for record in records if any(record.get("coded", {}).values())]
    if not records:
        raise DataError(
            f"expected images that can be coded, got {count(-(-total // every), 'image')} that "
            "cannot. Without --plan the command says why."
        )
    first = processes if len(records) > processes else 0
    measured, teaching = records[first:], min(max(taught - first, 0), len(records) - first)
    weights = _weights(teaching, len(measured) - teaching, teachers, total)
    rows = [
        [name, _spread(values, unit), shown(_sum(weights, values))]
        for name, values, unit, shown in _quantities(measured)
    ]
    rows += [[kind, size(each), size(each * total)] for kind, each in files.items() if each]
    held = _held(measured, on_device, processes if workers != 0 else 0)
    of_sample = _weights(teaching, len(measured) - teaching, taught, len(records))
    once = max(0.0, spent - _sum(of_sample, held))
    pixels = statistics.fmean(record["width"] * record["height"] / 1e6 for record in measured)
    return Table(("stage", "per image", "whole job"), rows), (
        f"{count(total, 'image')}: about {duration(once + _sum(weights, held))} on this machine "
        f"with {processes} process{'' if processes == 1 else 'es'}, {duration(once)} of it once "
        f"(starting up, models, tables); {size(sum(files.values()) * total)}. Measured on "
        f"{count(len(measured), 'image')} of {pixels:.2f} megapixels in the mean; the ± is one "
        "standard error. Times of stages are those of one core or GPU."
    )


def _weights(teaching: int, others: int, teachers: int, total: int) -> list[float]:
    """How many images of a job each measured one stands for: those that teach come first.

    >>> _weights(2, 3, 8, 20), _weights(2, 3, 8, 5), _weights(0, 2, 0, 20)
    ([4.0, 4.0, 4.0, 4.0, 4.0], [2.5, 2.5, 0.0, 0.0, 0.0], [10.0, 10.0])
    """
    first = min(total, teachers if others else total) if teaching else 0
    return [first / max(teaching, 1)] * teaching + [(total - first) / max(others, 1)] * others


def _sum(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _quantities(
    records: Records,
) -> Iterator[tuple[str, list[float], str, Callable[[float], str]]]:
    """What images take: its name, the value of each, a unit, and how the whole is shown."""
    for stage in dict.fromkeys(stage for record in records for stage in record["seconds"]):
        yield stage, [record["seconds"].get(stage, 0.0) for record in records], "s", duration
    for side in records[0]["coded"]:
        results = [record["coded"].get(side, {}).values() for record in records]
        encodes = [float(sum(row["encodes"] for row in of_image)) for of_image in results]
        yield f"{side} encodes", encodes, "", "{:,.0f}".format


def _held(records: Records, on_device: Collection[str], processes: int) -> list[float]:
    """Seconds that each image holds up a job: its share of the processes, or of what has one."""
    held = []
    for record in records:
        alone = sum(s for stage, s in record["seconds"].items() if stage in on_device)
        shared = sum(record["seconds"].values()) - alone
        held.append(max(alone, shared / processes) if processes else alone + shared)
    return held


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _spread(values: Sequence[float], unit: str) -> str:
    """The mean with its standard error."""
    text = f"{statistics.fmean(values):.3g}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values) / len(values) ** 0.5:.2g}"
    return f"{text} {unit}".strip()
