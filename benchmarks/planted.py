"""What the planted sample measures: fairness of clean triplets, and each kind of artifact alone.

    python benchmarks/planted.py
    python benchmarks/planted.py --strength 0.3 --seed 7
    python benchmarks/planted.py --images photos/ --tile 0 --neural jpeg --places 4

Prints

* PSNR of the neural minus that of the traditional side over clean triplets; the aim is a mean
  within 0.5 dB;
* for each detector the AUC between clean triplets and clean triplets of another seed (other texts
  in the same photographs), which should be 0.5 within its interval;
* for each kind of artifact the AUC of every method, triplets with this kind against those of other
  types and clean ones, with the share of a detector's strongest boxes whose centre lies in the
  planted box, and of image centres that do. Methods that do not take so small a tile have none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
from rich.console import Console
from rich.table import Table

from nacd_bench.baselines import PAPER
from nacd_bench.cache import ScoreCache, cache_folder
from nacd_bench.evaluation.auc import AUC, auc_estimates
from nacd_bench.evaluation.comparison import Scores
from nacd_bench.numbers import NOTHING
from nacd_bench.ops.color import luma
from nacd_bench.pipeline.scores import score_triplets
from nacd_bench.planting.sample import (
    NEURAL,
    PLACES,
    TILE,
    TILES,
    TRADITIONAL,
    planted_triplets,
)
from nacd_bench.registry import BASELINES, DETECTORS
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import read_image
from nacd_bench.triplets.record import TripletRecord

DETECTOR_NAMES = ("texture", "boundary", "large_color", "large_color_clip", "small_color", "text")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--neural", default=NEURAL)
    parser.add_argument("--traditional", default=TRADITIONAL)
    parser.add_argument("--size", type=int)
    parser.add_argument("--tile", type=int, default=TILE)
    parser.add_argument("--tiles", type=int, default=TILES)
    parser.add_argument("--places", type=int, default=PLACES)
    options = parser.parse_args()
    console = Console()
    shared: dict[str, Any] = {
        "images": options.images,
        "neural": options.neural,
        "traditional": options.traditional,
        "tile": options.tile,
        "tiles": options.tiles,
        "size": options.size,
        "places": options.places,
    }
    records, problems = planted_triplets(strength=options.strength, seed=options.seed, **shared)
    others, more = planted_triplets(strength=0, seed=options.seed + 1, **shared)
    for problem in (*problems, *more):
        console.print(str(problem), markup=False)
    clean = [record for record in records if record.artifact_free]
    other_clean = [record for record in others if record.artifact_free]
    differences = [psnr(r.original, r.neural) - psnr(r.original, r.traditional) for r in clean]
    console.print(
        f"{len(clean)} clean triplets: PSNR neural - traditional {np.mean(differences):+.2f} dB on "
        f"average, {np.std(differences):.2f} dB standard deviation"
    )
    found = scores([*records, *other_clean])
    table = Table(title="clean against clean of another seed: AUC [95 %]")
    for column in ("detector", "AUC"):
        table.add_column(column)
    for name in DETECTOR_NAMES:
        table.add_row(name, shown(auc(found, name, clean, other_clean)))
    console.print(table)
    console.print(by_kind(records, found))


def by_kind(records: Sequence[TripletRecord], found: Scores) -> Table:
    """Methods x kinds of artifact."""
    kinds = list(dict.fromkeys(r.extra["planted_kind"] for r in records if r.labels))
    table = Table(title="AUC [95 %] of each kind of artifact against other types and clean")
    table.add_column("method", no_wrap=True)
    sides = {}
    for kind in sorted(kinds):
        positives = [r for r in records if r.extra.get("planted_kind") == kind]
        own = positives[0].labels[0].artifact_type
        negatives = [r for r in records if not r.labels or r.labels[0].artifact_type != own]
        sides[kind] = (positives, negatives)
        table.add_column(f"{kind} ({len(positives)} + {len(negatives)})")
    for name in (*DETECTOR_NAMES, *PAPER):
        table.add_row(name, *(shown(auc(found, name, *sides[kind])) for kind in sides))
        if name == DETECTOR_NAMES[-1]:
            table.add_section()
    table.add_section()
    inside = [f"{pointing(found, kind, sides[kind][0]):.2f}" for kind in sides]
    table.add_row("its detector's centre inside", *inside)
    table.add_row("image centre inside", *(f"{central(sides[kind][0]):.2f}" for kind in sides))
    return table


def scores(records: Sequence[TripletRecord]) -> Scores:
    methods = [DETECTORS.get(name)() for name in DETECTOR_NAMES]
    methods += [BASELINES.get(name)() for name in PAPER]
    names = [method.name for method in methods]
    unique = {f"{r.neural} {r.original}": r for r in records}
    renamed = {
        key: TripletRecord(key, r.original, r.neural, r.traditional) for key, r in unique.items()
    }
    place = (cache_folder("scores") or Path("runs")) / "scores.sqlite"
    done = score_triplets(
        list(renamed.values()), dict.fromkeys(renamed, names), methods, ScoreCache(place)
    )
    return done.scores


def auc(
    found: Scores,
    method: str,
    positives: Sequence[TripletRecord],
    negatives: Sequence[TripletRecord],
) -> AUC:
    records = [*positives, *negatives]
    truth = [True] * len(positives) + [False] * len(negatives)
    values = [result_of(found, method, record).score for record in records]
    clusters = [str(record.source) for record in records]
    return auc_estimates(truth, {method: values}, clusters)[method]


def result_of(found: Scores, method: str, record: TripletRecord) -> Result:
    """What a method says, without a score where it failed."""
    return found[method].get(f"{record.neural} {record.original}", Result())


def pointing(found: Scores, kind: str, positives: Sequence[TripletRecord]) -> float:
    hits = []
    for record in positives:
        boxes = result_of(found, kind, record).boxes
        if boxes:
            x0, y0, x1, y1 = boxes[0]
            hits.append(is_inside(record, (x0 + x1) / 2, (y0 + y1) / 2))
        else:
            hits.append(False)
    return float(np.mean(hits))


def central(positives: Sequence[TripletRecord]) -> float:
    hits = []
    for record in positives:
        image = read_image(record.original)
        hits.append(is_inside(record, image.width / 2, image.height / 2))
    return float(np.mean(hits))


def is_inside(record: TripletRecord, x: float, y: float) -> bool:
    box = record.labels[0].box
    return box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]


def psnr(first: str, second: str) -> float:
    y = [luma(read_image(path).pixels[None])[0, 0].numpy() for path in (first, second)]
    return float(-10 * np.log10(np.square(y[0] - y[1]).mean()))


def shown(found: AUC) -> str:
    if np.isnan(found.value):
        return NOTHING
    return f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"


if __name__ == "__main__":
    main()
