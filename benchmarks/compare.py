"""How long a comparison of two runs takes, by number of detections.

    python benchmarks/compare.py [--detections 100000] [--triplets 20000]

Two detect runs are made up: boxes in random places, three detectors, two operating points of each
image. Timed are reading both runs, and judging with all statistics.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from nacd_bench.jobs.compare.versions import compare_runs
from nacd_bench.runs.compared_run import read_compared
from nacd_bench.runs.schema import CHANGES
from nacd_bench.runs.tables import write_table, write_tables
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.record import TripletRecord

TYPES = {"color_severity": "color", "text_severity": "text", "texture_severity": "texture"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--detections", type=int, default=100_000, help="of each run")
    parser.add_argument("--triplets", type=int, default=20_000, help="of each run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        runs = []
        for seed in (0, 1):
            runs.append(Path(place, f"run-{seed}"))
            make_run(runs[-1], options.triplets, options.detections, seed)
        marks = [time.perf_counter()]
        read = [read_compared(run) for run in runs]
        marks.append(time.perf_counter())
        done = compare_runs(*read)
        marks.append(time.perf_counter())
        write_table(Path(place, CHANGES), done.changes)
        marks.append(time.perf_counter())
    parts = np.diff(marks)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.detections} detections in {options.triplets} triplets on each side: read "
        f"{parts[0]:.1f} s, compared {parts[1]:.1f} s, written {parts[2]:.1f} s; "
        f"{done.summary['total']['stayed']} stayed; at most {memory:.2f} GiB"
    )


def make_run(folder: Path, triplets: int, detections: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir()
    names = list(TYPES)
    of_triplet, of_detector = rng.integers(0, triplets, detections), rng.integers(0, 3, detections)
    corners = rng.integers(0, 400, (detections, 2))
    results = [{name: ([], []) for name in names} for _ in range(triplets)]
    for triplet, detector, (x, y), confidence in zip(
        of_triplet,
        of_detector,
        corners.tolist(),
        rng.uniform(0.5, 3, detections).tolist(),
        strict=True,
    ):
        boxes, confidences = results[triplet][names[detector]]
        boxes.append([x, y, x + 300, y + 300])
        confidences.append(confidence)
    records = []
    for number in range(triplets):
        extra = {"image_sha256": f"{number // 2:064x}", "preset": f"rate-{number % 2}"}
        paths = dict.fromkeys(("original", "neural", "traditional"), "none.png")
        records.append(TripletRecord(f"{number:06}", **paths, neural_bpp=0.5, extra=extra))
    by_triplet = {
        record.id: {
            name: Result(max(confidences, default=0.0), boxes, confidences)
            for name, (boxes, confidences) in of_record.items()
        }
        for record, of_record in zip(records, results, strict=True)
    }
    write_tables(folder, records, by_triplet, TYPES, dict.fromkeys(names, 0.0))
    (folder / "settings.json").write_text(json.dumps({"detectors": {}}))
    (folder / "config.yaml").write_text("thresholds: {}\n")


if __name__ == "__main__":
    main()
