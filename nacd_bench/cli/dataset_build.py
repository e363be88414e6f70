"""``nacd-bench dataset build``: verified artifacts to a data set."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures


def run(**config: Any) -> int:
    from nacd_bench.jobs.dataset.build import build
    from nacd_bench.report.data_card import dataset_stats, table_one
    from nacd_bench.triplets.licenses import UNKNOWN

    made = build(**config)
    stats = dataset_stats(made.dataset)
    out = console()
    for table in table_one(stats):
        out.print(table.rich())
    counts = made.counts
    notes = {
        "equal_triplets": "triplets were there more than once",
        "equal_artifacts": "artifacts were there more than once",
        "duplicates": "artifacts count elsewhere as the same one",
        "emptied": "triplets were left out, nothing in them counts",
        "renamed": "triplets got a new id, others had theirs",
    }
    for name, what in notes.items():
        if counts.get(name):
            out.print(f"{counts[name]} {what}.", markup=False)
    unknown = stats["licenses"].get(UNKNOWN, 0)
    if unknown:
        out.print(f"The licence of {unknown} of {stats['images']} images is unknown.")
    free = stats["artifact_free_triplets"]
    out.print(
        f"{stats['artifacts']} artifacts in {stats['triplets'] - free} triplets of "
        f"{stats['images']} images, {free} triplets free of artifacts. Data set: {made.folder}. "
        f"Next: nacd-bench benchmark {made.folder}",
        markup=False,
    )
    return listed_failures(out, list(map(str, made.failures)), made.folder / "failures.csv")
