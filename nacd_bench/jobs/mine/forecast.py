"""``nacd-bench mine --plan``: what a whole job would take, from a handful of its images."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench.coding.originals import Item, list_images, read_item
from nacd_bench.errors import DataError
from nacd_bench.jobs.mine.run import make_mining_plan
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.stages import Stage, Work
from nacd_bench.pipeline.workers import cores
from nacd_bench.planting.photographs import embedded
from nacd_bench.runs.schema import SIDES
from nacd_bench.runs.tables import Table
from nacd_bench.settings import types_of
from nacd_bench.triplets.files import sha256

SAMPLE = 5
"""Images that are measured, unless told otherwise."""
KINDS = ("bitstreams", "crops", "decoded")
CORES, GPUS, DISK = "core-hours", "GPU-hours", "GB on the disk"


def forecast(arguments: Mapping[str, Any], count: int = SAMPLE) -> tuple[Table, str]:
    """A forecast of :func:`~nacd_bench.jobs.mine.run.mine`; nothing of it stays on the disk.

    Args:
        arguments: those of :func:`~nacd_bench.jobs.mine.run.mine`.
        count: images to measure.

    Returns:
        by stage and kind of file what it takes, and the whole job in words.
    """
    images, workers = arguments["images"], arguments["workers"]
    items = list_images(embedded() if images is None else images, Path(arguments["folder"])).items
    taken = types_of(make_mining_plan).keys() & arguments.keys()
    with tempfile.TemporaryDirectory() as name:
        keywords = {key: arguments[key] for key in taken} | {"folder": Path(name)}
        stages, settings = make_mining_plan(**keywords)
        most = min(len(items), count + 1)  # evenly spread, and one more to warm up on
        sample = [items[(2 * place + 1) * len(items) // (2 * most)] for place in range(most)]
        measured = []
        with progress_bar("images measured", len(sample), arguments["show_progress"]) as tick:
            for item in sample:
                measured.append(_measured(item, stages, Path(name)))
                tick(0)
    measured = [(work, size) for work, size in measured if work.width]
    measured = measured[1:] or measured  # the first one loaded models and libraries
    if not measured:
        raise DataError(
            f"expected images that can be coded, got {len(sample)} that cannot. The first: "
            f"{sample[0].name}. nacd-bench mine says why."
        )
    rows = []
    totals: dict[str, float] = defaultdict(float)
    for name, values, unit, whole_unit, units in _quantities(measured, stages):
        total = statistics.fmean(values) * len(items) / units
        totals[whole_unit] += total
        rows.append([name, f"{_spread(values)} {unit}".strip(), _number(total), whole_unit])
    workers = cores() if workers is None else max(workers, 1)
    hours = max(totals[CORES] / workers, totals[GPUS])
    how_long = f"{hours / 24:.1f} days" if hours > 48 else f"{hours:.2g} hours"
    megapixels = statistics.fmean(work.width * work.height / 1e6 for work, _ in measured)
    return Table(("stage", "per image", "whole job", "what"), rows), (
        f"{len(items):,} images at {len(settings['steps'])} operating points: "
        f"{_number(totals[CORES])} core-hours, {_number(totals[GPUS])} GPU-hours, "
        f"{_number(totals[DISK])} GB, about {how_long} on this machine with {workers} "
        f"processes. Measured on {len(measured)} images of {megapixels:.2f} megapixels in the "
        "mean; the ± is one standard error. Time for reading files is not in it."
    )


def _measured(item: Item, stages: Sequence[Stage], folder: Path) -> tuple[Work, dict[str, int]]:
    """One image through all stages, one after the other, and its bytes on the disk by kind."""
    before = {kind: _size(folder / kind) for kind in KINDS}
    work = Work(item)
    with work.noted("read"):
        work.data = read_item(item)
        work.sha256 = work.name = sha256(work.data)
    for stage in stages:
        stage([work])
    work.drop_pictures()
    return work, {kind: _size(folder / kind) - before[kind] for kind in KINDS}


def _quantities(
    measured: Sequence[tuple[Work, Mapping[str, int]]], stages: Sequence[Stage]
) -> Iterator[tuple[str, list[float], str, str, float]]:
    """What a job takes of each thing: its name, a value and unit per image, those of the whole."""
    for stage in stages:
        seconds = [work.seconds.get(stage.name, 0.0) for work, _ in measured]
        yield stage.name, seconds, "s", GPUS if stage.on_device else CORES, 3600.0
    for side in SIDES:
        encodes = [
            float(sum(row["encodes"] for row in work.coded.get(side, {}).values()))
            for work, _ in measured
        ]
        yield f"{side} encodes", encodes, "", "encodes", 1.0
    for kind in KINDS:
        yield kind, [size[kind] / 1e3 for _, size in measured], "kB", DISK, 1e6


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _spread(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    mean = _number(statistics.fmean(values))
    return mean if error is None else f"{mean} ± {_number(error)}"


def _number(value: float) -> str:
    """Three digits, and all of them before the point.

    >>> _number(12345.6), _number(0.001234)
    ('12,346', '0.00123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
