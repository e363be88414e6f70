"""``nacd-bench validate``: every problem of a data folder or manifest."""

from __future__ import annotations

from nacd_bench.cli.printing import console
from nacd_bench.settings import Names, Processes, checked


@checked
def run(*, source: Names, workers: Processes, show_progress: bool) -> int:
    from nacd_bench.pipeline.progress import progress_bar
    from nacd_bench.triplets.loading import validate
    from nacd_bench.triplets.source import find_triplets

    records, problems = find_triplets(source)
    with progress_bar("triplets", len(records), show_progress) as tick:
        found, notes = validate(records, problems, lambda done, total: tick(len(problems)), workers)
    out = console()
    for problem in found:
        out.print(problem.message, markup=False)
    for note in notes:
        out.print(f"note: {note}", markup=False)
    counted = f" {len(notes)} notes." if notes else ""
    out.print(f"{len(records)} triplets, {len(found)} problems.{counted}")
    return 1 if found else 0
