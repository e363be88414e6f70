"""CPU time of planes and detectors beside that of decoding, and peak memory.

    python benchmarks/detectors.py
    python benchmarks/detectors.py --runs 9 --sizes 0.4 2
    python benchmarks/detectors.py --triplet orig.png neural.png traditional.png

Prints a table: medians of process CPU time (all threads), and the ratio to decoding the three PNG
files in the same run. Decoding is Pillow's, to an array; putting the channels before the rows
counts on neither side. Peak memory is that of a fresh process at the largest size (1e9 bytes).

Without --triplet the images are copies of a photograph from scikit-image's wheel, and JPEG decodes
of them.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nacd_bench.pipeline.tuning import tune_process

if "--untuned" not in sys.argv:
    tune_process()  # as the command line does

import numpy as np
import torch
from PIL import Image
from rows import Row, cpu_name, table

from nacd_bench.detectors import (
    Boundary,
    ColorSeverity,
    Detector,
    LargeColor,
    SmallColor,
    Texture,
    TextureSeverity,
)
from nacd_bench.detectors.color_differences import lab_differences
from nacd_bench.planting.photographs import photo
from nacd_bench.triplets.batch import TripletBatch

DETECTORS: tuple[type[Detector], ...] = (Texture, Boundary, LargeColor, SmallColor)
Key = TypeVar("Key", str, tuple[str, str])
TOGETHER = "the four detectors together"
SEVERITIES = "texture_severity and color_severity together"

RATIO_LIMIT = 3.5
SEVERITIES_LIMIT = 2
SCRIPT_LIMIT = 1.1
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
    parser.add_argument("--untuned", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--together", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        run_once(options.memory, options.triplet)
        return
    if options.together:
        print(measured(png_files(options.together), options.runs)[TOGETHER])
        return
    print(f"{cpu_name()}, torch {torch.__version__} with {torch.get_num_threads()} threads\n")
    print(table(measure(options.sizes, options.runs, options.triplet)))


def measure(
    sizes: Sequence[float] = (0.4, 2, 8), runs: int = 5, triplet: Sequence[Path] | None = None
) -> list[Row]:
    """Each of the paper's detectors, planes and these together, and the severities of pixels."""
    peak = peak_memory_gb(max(sizes), triplet)  # first: see there
    rows = []
    for size in sizes:
        seconds = measured(png_files(size, triplet), runs)
        decoding = seconds.pop("decoding")
        aims = {
            TOGETHER: f"{RATIO_LIMIT:g} x decoding",
            SEVERITIES: f"{SEVERITIES_LIMIT} x the four",
        }
        for name, of_step in seconds.items():
            figure = f"{of_step:.3f} s"
            if name == SEVERITIES:
                figure += f", {of_step / seconds[TOGETHER]:.2f} x the four"
            ratio = of_step / decoding
            rows.append(Row(f"{name}, {size:g} MP", figure, ratio, aim=aims.get(name, "")))
    memory = Row(
        f"memory of the four, {max(sizes):g} MP", f"{peak:.2f} GB", aim=f"{MEMORY_LIMIT_GB} GB"
    )
    return [*rows, memory, script_row(__file__, 2, runs)]


def script_row(script: str, megapixels: float, runs: int) -> Row:
    """What a benchmark's ``--together`` costs in a plain script, beside the command's process."""
    bare = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, script, "--together", str(megapixels), "--runs", str(runs)]
    plain, as_command = (
        float(
            subprocess.run(
                [*command, *options], stdout=subprocess.PIPE, text=True, check=True, env=bare
            ).stdout
        )
        for options in (["--untuned"], [])
    )
    return Row(
        f"the same in a plain script, {megapixels:g} MP",
        f"{plain / as_command:.2f} x the command's",
        aim=f"{SCRIPT_LIMIT:g} x",
    )


def measured(files: Sequence[bytes], runs: int) -> dict[str, float]:
    """CPU seconds by step."""
    detectors = [detector() for detector in DETECTORS]
    severities = [TextureSeverity(), ColorSeverity()]
    images = [tensor(pixels(file)) for file in files]
    batch = TripletBatch(*images)

    def planes() -> TripletBatch:
        fresh = TripletBatch(*images)
        assert fresh.y
        fresh.once(lab_differences)
        return fresh

    def together(detectors: Sequence[Detector]) -> None:
        fresh = TripletBatch(*images)
        for detector in detectors:
            detector(fresh)

    assert batch.y
    batch.once(lab_differences)
    steps: dict[str, Callable[[], object]] = {
        "decoding": lambda: [pixels(file) for file in files],
        "planes": planes,
        **{each.name: lambda each=each: each(batch) for each in detectors},  # type: ignore[misc]
        TOGETHER: lambda: together(detectors),
        SEVERITIES: lambda: together(severities),
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


if __name__ == "__main__":
    main()
