"""``nacd-bench dataset check``: whether a data set is whole."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console


def run(**config: Any) -> int:
    from nacd_bench.jobs.dataset.check import check
    from nacd_bench.pipeline.progress import progress_bar

    with progress_bar("triplets", 0, config["show_progress"]) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar(0)

        done = check(config["dataset"], config["require_licenses"], config["workers"], progress)
    out = console()
    for line in done.faults:
        out.print(line, markup=False)
    for line in done.remarks:
        out.print(f"Mind: {line}", markup=False)
    out.print(f"{done.triplets} triplets, {done.files} files, {len(done.faults)} faults.")
    return 1 if done.faults else 0
