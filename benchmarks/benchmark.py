"""Where the time of scoring goes: decoding, detectors, baselines, and everything else.

    python benchmarks/benchmark.py
    python benchmarks/benchmark.py --triplets 20 --manifest labelled.parquet

Scores triplets with the five detectors and the paper's seven baselines as ``nacd-bench benchmark``
does, with a cold cache and again with a warm one, and prints seconds of wall time. Overhead is what
is neither decoding, detector nor baseline: hashing, batching, Lightning, the cache; the aim is
under 10 % of the cold run.

Without --manifest the images are 512 x 512 cuts of photographs from installed packages, JPEG on one
side and WebP on the other.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
from rich.console import Console
from rich.table import Table

import nacd_bench.pipeline.scoring as loop
from nacd_bench.baselines import PAPER, Baseline
from nacd_bench.cache import ScoreCache
from nacd_bench.coding.codec import png
from nacd_bench.detectors import Detector
from nacd_bench.pipeline.scores import score_triplets
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.planting.photographs import PLANTING_PHOTOS, photo
from nacd_bench.registry import BASELINES, CODECS, DETECTORS
from nacd_bench.triplets.manifest import read_manifest
from nacd_bench.triplets.record import TripletRecord

DETECTOR_NAMES = ("texture", "boundary", "large_color", "small_color", "text")
SIDE = 512
AIM = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--triplets", type=int, default=100)
    parser.add_argument("--manifest", type=Path)
    options = parser.parse_args()
    os.environ["NACD_BENCH_CACHE"] = "off"  # text polygons too
    spent: dict[str, float] = defaultdict(float)
    methods: list[Any] = [DETECTORS.get(name)() for name in DETECTOR_NAMES]
    methods += [BASELINES.get(name)() for name in PAPER]
    for method in methods:
        kind = "detectors" if isinstance(method, Detector) else "baselines"
        assert isinstance(method, Detector | Baseline)
        method.forward = timed(method.forward, spent, kind)
    loop.load_triplet = timed(loop.load_triplet, spent, "decoding")
    with tempfile.TemporaryDirectory() as folder:
        records = (
            read_manifest(options.manifest)[: options.triplets]
            if options.manifest
            else made(Path(folder), options.triplets)
        )
        wanted = {record.id: [method.name for method in methods] for record in records}
        table = Table(title=f"{len(records)} triplets, seconds")
        for column in ("cache", "all", "decoding", "detectors", "baselines", "rest", "share"):
            table.add_column(column, justify="right")
        for name in ("cold", "warm"):
            spent.clear()
            began = time.perf_counter()
            cache = ScoreCache(Path(folder) / "scores.sqlite")
            found = score_triplets(
                records, wanted, methods, cache, Engine(num_workers=0, show_progress=False)
            )
            total = time.perf_counter() - began
            assert not found.failures, found.failures[0]
            rest = total - sum(spent.values())
            parts = [spent[part] for part in ("decoding", "detectors", "baselines")]
            share = f"{rest / total:.1%}" if name == "cold" else f"{found.computed} computed"
            table.add_row(name, *(f"{part:.2f}" for part in (total, *parts, rest)), share)
    Console().print(table)
    print(f"aim: a rest under {AIM:.0%} of the cold run, nothing computed in the warm one")


def timed(function: Callable[..., Any], spent: dict[str, float], part: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] += time.perf_counter() - began

    return call


def made(folder: Path, count: int) -> list[TripletRecord]:
    """Triplets of cuts from embedded photographs, reflected where they are smaller."""
    rng = np.random.default_rng(0)
    codecs = {"neural": CODECS.get("jpeg")(), "traditional": CODECS.get("webp")()}
    records = []
    for number in range(count):
        picture = photo(PLANTING_PHOTOS[number % len(PLANTING_PHOTOS)])
        short = [max(0, SIDE - side) for side in picture.shape[:2]]
        whole = np.pad(picture, ((0, short[0]), (0, short[1]), (0, 0)), mode="reflect")
        top, left = (int(rng.integers(side - SIDE + 1)) for side in whole.shape[:2])
        cut = np.ascontiguousarray(whole[top : top + SIDE, left : left + SIDE])
        images = {"original": cut}
        for role, codec in codecs.items():
            images[role] = codec.decode(codec.encode(cut, codec.points.values[30]))
        paths = {role: folder / f"{number}-{role}.png" for role in images}
        for role, path in paths.items():
            path.write_bytes(png(images[role]))
        places = {role: str(path) for role, path in paths.items()}
        records.append(TripletRecord(f"{number}", **places))
    return records


if __name__ == "__main__":
    main()
