"""Triplets scored per second by processes and batch size.

    python benchmarks/throughput.py --triplets 48

Prints a table: megapixels of triplets (PNG files on a disk, 0.39 megapixels each) per second of
wall time through decoding, the four dense detectors and the paper's metrics, once every process has
done its first batch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

from detectors import DETECTORS, png_files
from rows import Row, cpu_name, table

from nacd_bench.baselines import PAPER
from nacd_bench.pipeline.methods import Method
from nacd_bench.pipeline.scoring import Task, batches, scored
from nacd_bench.pipeline.workers import Workers, finished_jobs
from nacd_bench.registry import BASELINES
from nacd_bench.triplets.record import TripletRecord

SIZE = 0.39


@dataclass
class Score:
    """Scores triplets in batches of one size; the work of a process."""

    batch_size: int

    def __call__(self, records: Sequence[TripletRecord]) -> int:
        import torch

        methods: list[Method] = [kind() for kind in DETECTORS]
        methods += [BASELINES.get(name)() for name in PAPER]
        names = tuple(method.name for method in methods)
        tasks: list[Task] = [(record, names) for record in records]
        made = batches(tasks, self.batch_size, readers=0)
        return sum(len(scored(batch, methods, torch.device("cpu"))) for batch in made)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--triplets", type=int, default=24)
    options = parser.parse_args()
    print(f"{cpu_name()}\n\n{table(measure(options.triplets))}")


def measure(
    triplets: int = 24, workers: Sequence[int] = (1, 2), batch_sizes: Sequence[int] = (1, 2, 4, 8)
) -> list[Row]:
    """A row per number of processes, by batch size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        record = triplet_in(Path(folder))
        for count in workers:
            for size in batch_sizes:
                speed = megapixels_per_second(record, triplets, count, size)
                what = f"scored by {count} process{'es' * (count > 1)}, batches of {size}"
                rows.append(Row(what, f"{speed:.2f} MP/s"))
    return rows


def megapixels_per_second(
    record: TripletRecord, triplets: int, workers: int, batch_size: int
) -> float:
    """Through so many processes, a batch at a time."""
    with Workers(workers, Score(batch_size), lambda job: 0) as pool:
        list(finished_jobs(pool, [[record]] * workers))  # libraries load
        began = time.perf_counter()
        jobs = [[record] * batch_size] * (triplets // batch_size)
        done = sum(count for _, count in finished_jobs(pool, jobs))
        return done * SIZE / (time.perf_counter() - began)


def triplet_in(folder: Path) -> TripletRecord:
    """One of :data:`SIZE` megapixels."""
    places = []
    for role, file in zip(("original", "neural", "traditional"), png_files(SIZE), strict=True):
        places.append(folder / f"{role}.png")
        places[-1].write_bytes(file)
    return TripletRecord("", *map(str, places))


if __name__ == "__main__":
    main()
