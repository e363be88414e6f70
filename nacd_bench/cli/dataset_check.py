"""``nacd-bench dataset check``: whether a data set is whole."""

from __future__ import annotations

from nacd_bench.cli.printing import console
from nacd_bench.settings import Name, Processes, checked


@checked
def run(*, dataset: Name, require_licenses: bool, workers: Processes, show_progress: bool) -> int:
    from nacd_bench.jobs.dataset.check import check
    from nacd_bench.pipeline.progress import progress_bar

    with progress_bar("triplets", 0, show_progress) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar(0)

        done = check(dataset, require_licenses, workers, progress)
    out = console()
    for line in done.faults:
        out.print(line, markup=False)
    for line in done.remarks:
        out.print(f"Mind: {line}", markup=False)
    out.print(f"{done.triplets} triplets, {done.files} files, {len(done.faults)} faults.")
    return 1 if done.faults else 0
