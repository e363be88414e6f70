"""Mining: overhead, kills, memory, de-duplication, Ray.

    python benchmarks/mining.py overhead            harness time over codec and detector time
    python benchmarks/mining.py kills PHOTOS        20 SIGKILLs on each engine, equal tables
    python benchmarks/mining.py memory              20,000 small images, resident memory
    python benchmarks/mining.py duplicates          a million candidates
    python benchmarks/mining.py ray PHOTOS          Ray against the local engine, two workers to one

PHOTOS is a folder of photographs; parts of them are the images that are mined.
"""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.triplets.images import read_8_bit

tune_process()

import numpy as np
import pyarrow as pa
from rows import Row, table

from nacd_bench.coding.codec import png
from nacd_bench.coding.originals import list_images
from nacd_bench.evaluation.duplicates import with_duplicates
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo_path
from nacd_bench.runs.candidates import KEYS, read_mined
from nacd_bench.runs.mined import records

CHEAP = ["codec@neural=webp", "codec@traditional=jpeg", "points=[20,60]"]
CHEAP += ["detector=[texture,large_color]"]
REAL = ["codec@neural=hyperprior", "codec@traditional=x265", "points=[1,2,3,5,6]"]
REAL += ["detector=[texture,boundary,large_color,small_color]"]
OVERHEAD_LIMIT = 0.05
QUIET, TWO = ["show_progress=false"], ["workers=2"]
KILLS = 20


def parts(photos: str | Sequence[str], folder: Path, count: int, width: int, height: int) -> Path:
    """So many parts of photographs as images of their own."""
    folder.mkdir()
    made = 0
    while made < count:
        for path in list_images(photos, files_only=True).paths:
            pixels, _ = read_8_bit(path)
            if (pixels.shape[1] > pixels.shape[0]) != (width > height):
                pixels = pixels.transpose(1, 0, 2)
            rng = np.random.default_rng(made)
            y = int(rng.integers(0, max(1, pixels.shape[0] - height + 1)))
            x = int(rng.integers(0, max(1, pixels.shape[1] - width + 1)))
            part = pixels[y : y + height, x : x + width]
            part = part[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
            part[0, 0] = rng.integers(0, 256, 3)  # so that no two are the same
            (folder / f"{made:05}.png").write_bytes(png(np.ascontiguousarray(part)))
            made += 1
            if made == count:
                break
    return folder


def mine(images: Path, folder: Path, *settings: str) -> subprocess.Popen[bytes]:
    """``nacd-bench mine`` in a process."""
    command = [sys.executable, "-m", "nacd_bench.cli.main", "mine", str(images), f"folder={folder}"]
    return subprocess.Popen([*command, *settings, *QUIET], stdout=subprocess.DEVNULL)


def seconds(images: Path, folder: Path, *settings: str) -> float:
    """How long a run takes as a whole."""
    began = time.perf_counter()
    if mine(images, folder, *settings).wait():
        raise SystemExit(f"nacd-bench mine failed: {folder}")
    return time.perf_counter() - began


def equal(a: Path, b: Path) -> bool:
    """Whether two mined folders have the same tables, row for row."""
    return all(read_mined(a, table).equals(read_mined(b, table)) for table in KEYS)


def overhead() -> None:
    """The table of :func:`measure`."""
    print(table(measure()))


def measure(few: int = 8, many: int = 32, processes: int = 2) -> list[Row]:
    """Wall time times processes over the time inside codecs and detectors, of what many images take
    more than few: starting is not among it."""
    walls, insides = [], []
    with tempfile.TemporaryDirectory() as name:
        for count in (few, many):
            photos = [photo_path(photo) for photo in COLOR_PHOTOS]
            images = parts(photos, Path(name) / f"{count}", count, 720, 480)
            folder = Path(name) / f"{count}-run"
            walls.append(seconds(images, folder, f"workers={processes}", *REAL))
            stages = ("neural", "traditional", "detect")
            done = [record for _, _, record in records(folder) if "seconds" in record]
            insides.append(sum(one["seconds"].get(stage, 0.0) for one in done for stage in stages))
    wall, inside = (after - before for before, after in (walls, insides))
    return [
        Row(
            f"mine, {many - few} images of 0.35 MP at five rates, {processes} processes",
            f"{wall:.0f} s; overhead {processes * wall / inside - 1:.1%}",
            aim=f"overhead {OVERHEAD_LIMIT:.0%}",
        )
    ]


def kills(photos: str) -> None:
    """Random SIGKILLs of the whole program on each engine, each while images are being done."""
    with tempfile.TemporaryDirectory() as name:
        images = parts(photos, Path(name) / "images", 200, 256, 192)
        whole = Path(name) / "whole"
        seconds(images, whole, *REAL)
        for engine in ("local", "ray"):
            folder, killed, rng = Path(name) / engine, 0, random.Random(1)
            while killed < KILLS:
                before = lines(folder)
                process = mine(images, folder, f"engine={engine}", *REAL)
                while process.poll() is None and lines(folder) == before:
                    time.sleep(0.02)
                time.sleep(1.5 * rng.random())
                if process.poll() is not None:
                    break  # it came to its end before
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
            left = 200 - lines(folder)
            seconds(images, folder, f"engine={engine}", *REAL)
            print(
                f"{engine}: {killed} kills, {left} images left after the last, {lines(folder)} "
                f"records in the end, tables equal: {equal(whole, folder)}",
                flush=True,
            )


def lines(folder: Path) -> int:
    """Images on record."""
    return sum("coded" in record for _, _, record in records(folder))


def memory() -> None:
    """Resident memory of the program and its workers over many small images."""
    import psutil

    with tempfile.TemporaryDirectory() as name:
        images = Path(name) / "images"
        images.mkdir()
        rng = np.random.default_rng(0)
        base = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for index in range(20_000):
            noise = rng.integers(0, 24, base.shape, dtype=np.uint8)
            (images / f"{index:05}.png").write_bytes(png(base // 2 + noise))
        settings = [*CHEAP[:2], "points=[60]", "detector=[large_color]"]
        folder = Path(name) / "run"
        process = mine(images, folder, "detector.large_color.window=32", *settings)
        journal, seen = folder / "journal" / "1-of-1.jsonl", []
        while process.poll() is None:
            time.sleep(2)
            try:
                family = [psutil.Process(process.pid)]
                family += family[0].children(recursive=True)
                sizes = [each.memory_info().rss / 1e6 for each in family]
                done = journal.read_bytes().count(b"\n") if journal.exists() else 0
            except (psutil.Error, OSError):
                continue
            seen.append((done, sum(sizes), sizes[0]))
        steady = np.array([each for each in seen if 1000 <= each[0] < 20_000])
        for place, what in ((1, "all processes"), (2, "the main one")):
            slope = np.polyfit(steady[:, 0], steady[:, place], 1)[0] * 1000
            low, high = steady[:, place].min(), steady[:, place].max()
            print(f"{what}: {low:.0f} to {high:.0f} MB, slope {slope:.3f} MB per 1,000 images")


def duplicates() -> None:
    """De-duplication of a million rows."""
    rng, count = np.random.default_rng(0), 1_000_000
    digests = np.array([f"{number:064x}" for number in rng.integers(0, 2**60, 60_000)])
    x, y = rng.integers(0, 700, count), rng.integers(0, 400, count)
    table = pa.table(
        {
            "candidate": [f"candidate-{number}" for number in range(count)],
            "image_sha256": digests[rng.integers(0, len(digests), count)],
            "artifact_type": np.array(["texture", "color", "text"])[rng.integers(0, 3, count)],
            "preset_index": rng.integers(0, 5, count),
            "detector": np.array(["texture", "boundary"])[rng.integers(0, 2, count)],
            "confidence": rng.random(count),
            **{"x0": x, "y0": y, "x1": x + 300, "y1": y + 300},
        }
    )
    began = time.perf_counter()
    found = with_duplicates(table)
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{count:,} rows: {took:.1f} s, {found['duplicate_of'].null_count:,} kept, {peak:.1f} GB")


def ray(photos: str) -> None:
    """The two engines on the same images, and one and two Ray workers on a CPU-bound stage.

    What an engine takes to start is in the first ratio and not in the second, which is of the time
    that more images take.
    """
    with tempfile.TemporaryDirectory() as name:
        many = parts(photos, Path(name) / "many", 120, 760, 508)
        few = parts(photos, Path(name) / "few", 20, 760, 508)
        took = {}
        for engine in ("local", "ray"):
            took[engine] = seconds(many, Path(name) / engine, f"engine={engine}", *REAL, *TWO)
            print(f"{engine}: {took[engine]:.1f} s for 120 images", flush=True)
        print(f"ray / local: {took['ray'] / took['local']:.2f}", flush=True)
        settings = ["engine=ray", *CHEAP[:2], "points=[5,20,40,60,80]", REAL[-1]]
        more = {}
        for workers in (1, 2):
            both = [
                seconds(
                    images, Path(name) / f"{images.name}-{workers}", f"workers={workers}", *settings
                )
                for images in (few, many)
            ]
            more[workers] = both[1] - both[0]
            print(f"{workers} Ray workers: {both[0]:.1f} s for 20 images, {both[1]:.1f} s for 120")
        print(f"one Ray worker / two, on detectors: {more[1] / more[2]:.2f}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
