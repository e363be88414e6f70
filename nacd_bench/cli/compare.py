"""``nacd-bench compare``: what a codec's new version made better, and what worse."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures

GATE_FAILED = 3
"""Exit status when the gate does not let the later run pass."""


def run(**config: Any) -> int:
    from nacd_bench.jobs.compare.files import tables
    from nacd_bench.jobs.compare.run import compare

    done = compare(**config)
    compared = done.compared
    out = console()
    out.print()
    for name, run in (("before", compared.before), ("after", compared.after)):
        out.print(f"{name}: {run.folder}, {run.kind}, {len(run.triplets)} triplets", markup=False)
    for table in tables(compared):
        out.print(table.rich())
    for line in compared.warnings:
        out.print(f"Note: {line}", markup=False)
    if compared.unpaired:
        out.print(
            f"{len(compared.unpaired)} results without partner: {done.folder / 'unpaired.csv'}",
            markup=False,
        )
    out.print(f"Results: {done.folder}/ (changes.csv, summary.json, summary.md)", markup=False)
    if done.page is not None:
        out.print(f"Pictures, for a browser: {done.page}", markup=False)
    if done.unseen:
        out.print(
            f"{done.unseen} pictures are missing, see {done.folder / 'failures.csv'}", markup=False
        )
    lines = list(map(str, compared.failures))
    status = listed_failures(out, lines, done.folder / "failures.csv")
    out.print(done.verdict, markup=False)
    return GATE_FAILED if done.objections else status
