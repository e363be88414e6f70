"""``nacd-bench benchmark``: who finds what."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures
from nacd_bench.cli.report import with_report
from nacd_bench.settings import checked


@checked
def run(*, report: bool, **settings: Any) -> int:
    from nacd_bench.jobs.benchmark.results import further_tables, main_table
    from nacd_bench.jobs.benchmark.run import benchmark
    from nacd_bench.pipeline.methods import arguments

    done = benchmark(**arguments(settings))
    out = console()
    out.print()
    for each in done.comparisons.values():
        for note in each.notes:
            out.print(f"set {each.artifact_type}: {note}", markup=False)
    for table in (main_table(done), *further_tables(done)):
        out.print(table.rich())
    if done.reference is not None:
        out.print(f"Reference: {done.reference.source}", markup=False)
    out.print(
        f"{done.scored.computed} scores computed, {done.scored.cached} from the cache, in "
        f"{done.facts['wall_seconds']:.1f} s. Results: {done.folder}/ (metrics.json, "
        "scores.parquet, table.md, table.tex, thresholds.yaml, curves/, sets/)",
        markup=False,
    )
    if done.message:
        out.print(done.message, markup=False)
    status = with_report(done.folder, settings["show_progress"], out) if report else 0
    lines = list(map(str, done.failures))
    return max(status, listed_failures(out, lines, done.folder / "failures.csv"))
