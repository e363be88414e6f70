"""``nacd-bench mine --plan``: what a whole job would take, from a handful of its images."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacd_bench.coding.originals import Item, list_images, read_item
from nacd_bench.errors import DataError
from nacd_bench.jobs.mine.plan import make_mining_plan
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.stages import Stage, Work
from nacd_bench.pipeline.workers import cores
from nacd_bench.planting.photographs import embedded
from nacd_bench.settings import types_of
from nacd_bench.triplets.files import sha256

SAMPLE = 5
"""Images that are measured, unless told otherwise."""
SIDES = ("neural", "traditional")
KINDS = ("bitstreams", "crops", "decoded")
HOUR, GIGABYTE = 3600.0, 1e9


@dataclass(frozen=True)
class Forecast:
    """What was measured, per image, and how many images there are.

    Args:
        images: of the whole job.
        operating_points: at which each of them is coded.
        seconds: by stage, one value per measured image.
        on_device: stages whose seconds are those of a GPU.
        encodes: by side, one value per measured image.
        size: bytes on the disk by kind of file, one value per measured image.
        megapixels: of each measured image.
        workers: processes of the job on this machine.
    """

    images: int
    operating_points: int
    seconds: Mapping[str, Sequence[float]]
    on_device: Sequence[str]
    encodes: Mapping[str, Sequence[float]]
    size: Mapping[str, Sequence[float]]
    megapixels: Sequence[float]
    workers: int

    @property
    def core_hours(self) -> float:
        """Of all stages on CPUs, for the whole job."""
        return self._hours(name for name in self.seconds if name not in self.on_device)

    @property
    def gpu_hours(self) -> float:
        """Of all stages on a GPU, for the whole job."""
        return self._hours(self.on_device)

    @property
    def gigabytes(self) -> float:
        """On the disk, for the whole job."""
        return sum(map(statistics.fmean, self.size.values())) * self.images / GIGABYTE

    def _hours(self, stages: Iterator[str] | Sequence[str]) -> float:
        return sum(statistics.fmean(self.seconds[name]) for name in stages) * self.images / HOUR

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Stage or quantity, per image, whole job, unit."""
        for name, values in self.seconds.items():
            unit = "GPU-hours" if name in self.on_device else "core-hours"
            hours = statistics.fmean(values) * self.images / HOUR
            yield name, f"{_spread(values)} s", _number(hours), unit
        for side, values in self.encodes.items():
            total = statistics.fmean(values) * self.images
            yield f"{side} encodes", _spread(values), f"{total:,.0f}", "encodes"
        for kind, values in self.size.items():
            kilobytes = [value / 1e3 for value in values]
            total = statistics.fmean(values) * self.images / GIGABYTE
            yield kind, f"{_spread(kilobytes)} kB", _number(total), "GB on the disk"

    def sentence(self) -> str:
        """The whole job in words."""
        hours = max(self.core_hours / max(self.workers, 1), self.gpu_hours)
        how_long = f"{hours / 24:.1f} days" if hours > 48 else f"{hours:.2g} hours"
        return (
            f"{self.images:,} images at {self.operating_points} operating points: "
            f"{_number(self.core_hours)} core-hours, {_number(self.gpu_hours)} GPU-hours, "
            f"{_number(self.gigabytes)} GB, about {how_long} on this machine with {self.workers} "
            f"processes. Measured on {len(self.megapixels)} images of "
            f"{statistics.fmean(self.megapixels):.2f} megapixels in the mean; the ± is one "
            "standard error. Time for reading files is not in it."
        )


def forecast(arguments: Mapping[str, Any], count: int = SAMPLE) -> Forecast:
    """A forecast of :func:`~nacd_bench.jobs.mine.run.mine`; nothing of it stays on the disk.

    Args:
        arguments: those of :func:`~nacd_bench.jobs.mine.run.mine`.
        count: images to measure.
    """
    images, workers = arguments["images"], arguments["workers"]
    listing = list_images(embedded() if images is None else images, Path(arguments["folder"]))
    taken = types_of(make_mining_plan).keys() & arguments.keys()
    with tempfile.TemporaryDirectory() as name:
        made = make_mining_plan(**{key: arguments[key] for key in taken} | {"folder": Path(name)})
        sample = _sample(listing.items, count)
        with progress_bar("images measured", len(sample), arguments["show_progress"]) as tick:
            measured = []
            for item in sample:
                measured.append(_measured(item, made.stages, Path(name)))
                tick(0)
    measured = [(work, size) for work, size in measured if work.width]
    measured = measured[1:] or measured  # the first one loaded models and libraries
    if not measured:
        raise DataError(
            f"expected images that can be coded, got {len(sample)} that cannot. The first: "
            f"{sample[0].name}. nacd-bench mine says why."
        )
    return Forecast(
        images=len(listing.items),
        operating_points=len(made.settings["steps"]),
        seconds={
            s.name: [work.seconds.get(s.name, 0.0) for work, _ in measured] for s in made.stages
        },
        on_device=[stage.name for stage in made.stages if stage.on_device],
        encodes={
            side: [
                float(sum(row["encodes"] for row in work.coded.get(side, {}).values()))
                for work, _ in measured
            ]
            for side in SIDES
        },
        size={kind: [float(size[kind]) for _, size in measured] for kind in KINDS},
        megapixels=[work.width * work.height / 1e6 for work, _ in measured],
        workers=cores() if workers is None else max(workers, 1),
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
    work.pixels, work.decoded = None, {}
    return work, {kind: _size(folder / kind) - before[kind] for kind in KINDS}


def _sample(items: Sequence[Item], count: int) -> list[Item]:
    """Items evenly spread, and one more to warm up on."""
    most = min(len(items), count + 1)
    return [items[(2 * place + 1) * len(items) // (2 * most)] for place in range(most)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _spread(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    if len(values) < 2:
        return _number(mean)
    return f"{_number(mean)} ± {_number(statistics.stdev(values) / len(values) ** 0.5)}"


def _number(value: float) -> str:
    """Three digits, and all of them before the point.

    >>> _number(12345.6), _number(0.001234)
    ('12,346', '0.00123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
