"""CPU time of planes and detectors beside that of decoding, and peak memory.

    python benchmarks/detectors.py
    python benchmarks/detectors.py --runs 9 --sizes 0.4 2
    python benchmarks/detectors.py --triplet orig.png neural.png traditional.png

Prints a table: on the CPU, medians of process CPU time (all threads) at three sizes, and the ratio
of planes and detectors to decoding the three PNG files in the same run; the aim is 6 at most.
Decoding is Pillow's, to an array; putting the channels before the rows ("tensors") counts on
neither side. Peak memory is that of a fresh process at the largest size, under 2.5 GB (1e9 bytes).
With a GPU, also triplets per second and the largest batch at 0.4 megapixels.

Without --triplet the images are copies of a photograph from scikit-image's wheel, and JPEG decodes
of them.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from nacd_bench.detectors import Boundary, Detector, LargeColor, SmallColor, Texture
from nacd_bench.planting.photographs import photo
from nacd_bench.triplets.batch import TripletBatch

DETECTORS: tuple[type[Detector], ...] = (Texture, Boundary, LargeColor, SmallColor)
Key = TypeVar("Key", str, tuple[str, str])

RATIO_LIMIT = 6.0
MEMORY_LIMIT_GB = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.4, 2, 8], help="megapixels")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument(
        "--triplet", nargs=3, type=Path, help="three PNG files, continued by copies"
    )
    parser.add_argument("--memory", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        run_once(options.memory, options.triplet)
        return
    console = Console()
    console.print(
        f"{cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}"
    )
    largest = max(options.sizes)
    peak = peak_memory_gb(largest, options.triplet)  # first: see there
    console.print(cpu_table(options.sizes, options.runs, options.triplet))
    console.print(f"peak memory at {largest:g} MP: {peak:.2f} GB (aim: {MEMORY_LIMIT_GB})")
    if torch.cuda.is_available():
        console.print(gpu_table(options.runs))


def cpu_table(sizes: Sequence[float], runs: int, triplet: Sequence[Path] | None) -> Table:
    table = Table(title=f"CPU seconds, medians of {runs}")
    table.add_column("what")
    columns = []
    for size in sizes:
        table.add_column(f"{size:g} MP", justify="right")
        columns.append(measured(png_files(size, triplet), runs))
    for name in columns[0]:
        table.add_row(name, *(f"{column[name]:.3f}" for column in columns))
    table.add_section()
    ratios = (column["planes and detectors"] / column["decoding"] for column in columns)
    table.add_row(f"ratio to decoding (aim: {RATIO_LIMIT:g})", *(f"{r:.2f}" for r in ratios))
    return table


def measured(files: Sequence[bytes], runs: int) -> dict[str, float]:
    """CPU seconds by step."""
    detectors = [detector() for detector in DETECTORS]
    arrays = [pixels(file) for file in files]
    images = [tensor(array) for array in arrays]
    batch = TripletBatch(*images)

    def planes() -> TripletBatch:
        fresh = TripletBatch(*images)
        assert fresh.y and fresh.uv and fresh.lab
        return fresh

    def everything() -> None:
        fresh = TripletBatch(*images)
        for detector in detectors:
            detector(fresh)

    planes_of_batch = (batch.y, batch.uv, batch.lab)
    assert planes_of_batch
    steps: dict[str, Callable[[], object]] = {
        "decoding": lambda: [pixels(file) for file in files],
        "tensors": lambda: [tensor(array) for array in arrays],
        "planes": planes,
        **{each.name: lambda each=each: each(batch) for each in detectors},  # type: ignore[misc]
        "planes and detectors": everything,
    }
    return in_turns(steps, runs)


def in_turns(steps: Mapping[Key, Callable[[], object]], runs: int) -> dict[Key, float]:
    """Median CPU seconds of each step, one after the other, so that noise hits all alike."""
    times: dict[Key, list[float]] = {name: [] for name in steps}
    with torch.inference_mode():
        for run in range(runs + 1):
            for name, step in steps.items():
                began = time.process_time()
                step()
                if run:  # the first run warms up
                    times[name].append(time.process_time() - began)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def png_files(megapixels: float, triplet: Sequence[Path] | None = None) -> list[bytes]:
    """Original, neural and traditional of a 3:2 image of that many pixels, as PNG."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    if triplet:
        sources = [np.array(Image.open(path).convert("RGB")) for path in triplet]
        return [png(grown(source, height, width)) for source in sources]
    original = grown(np.ascontiguousarray(photo("coffee")), height, width)
    return [png(original), png(jpeg(original, 15)), png(jpeg(original, 35))]


def grown(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Copies side by side, each moved down, which PNG decodes like one large photograph."""
    rows = -(-height // image.shape[0]) + 1
    column = np.tile(image, (rows, 1, 1))
    columns = range(-(-width // image.shape[1]))
    moved = [np.roll(column, 137 * number, axis=0)[:height] for number in columns]
    return np.ascontiguousarray(np.hstack(moved)[:, :width])


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def pixels(file: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(file)))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def peak_memory_gb(megapixels: float, triplet: Sequence[Path] | None) -> float:
    """Of a new process that detects once. Its count begins at the peak of the process that starts
    it, so that this is called before anything large is."""
    command = [sys.executable, __file__, "--memory", str(megapixels)]
    if triplet:
        command += ["--triplet", *map(str, triplet)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def run_once(megapixels: float, triplet: Sequence[Path] | None) -> None:
    """Decode and detect once, and print the peak memory of this process in GB."""
    batch = TripletBatch(*(tensor(pixels(file)) for file in png_files(megapixels, triplet)))
    with torch.inference_mode():
        for kind in DETECTORS:
            kind()(batch)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def gpu_table(runs: int) -> Table:
    """Triplets per second by batch size, up to the largest batch that fits."""
    one = [tensor(pixels(file)) for file in png_files(0.4)]
    detectors = [detector().cuda() for detector in DETECTORS]
    table = Table(title=f"{torch.cuda.get_device_name()}, 0.4 MP, medians of {runs}")
    for column in ("batch", "triplets per second", "peak memory in GB"):
        table.add_column(column, justify="right")
    size = 1
    while True:
        torch.cuda.reset_peak_memory_stats()
        try:
            images = [image.repeat(size, 1, 1, 1).cuda() for image in one]
            times = []
            with torch.inference_mode():
                for run in range(runs + 1):
                    batch = TripletBatch(*images)
                    torch.cuda.synchronize()
                    began = time.perf_counter()
                    for detector in detectors:
                        detector(batch)
                    torch.cuda.synchronize()
                    if run:
                        times.append(time.perf_counter() - began)
        except RuntimeError as error:  # out of memory, or more elements than an operation counts
            table.add_row(f"{size}", f"does not fit: {type(error).__name__}", "")
            return table
        peak = torch.cuda.max_memory_allocated() / 1e9
        table.add_row(f"{size}", f"{size / statistics.median(times):.1f}", f"{peak:.1f}")
        del images, batch
        size *= 2


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
