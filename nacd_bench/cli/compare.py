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
    summary = done.compared.summary
    out = console()
    out.print()
    for name, run in summary["runs"].items():
        out.print(
            f"{name}: {run['folder']}, {run['kind']}, {run['triplets']} triplets", markup=False
        )
    for table in tables(summary):
        out.print(table.rich())
    for line in summary["warnings"]:
        out.print(f"Note: {line}", markup=False)
    if summary["unpaired_results"]:
        where = done.folder / "unpaired.csv"
        out.print(f"{summary['unpaired_results']} results without partner: {where}", markup=False)
    out.print(f"Results: {done.folder}/ (changes.csv, summary.json, summary.md)", markup=False)
    if done.page is not None:
        out.print(f"Pictures, for a browser: {done.page}", markup=False)
    if done.unseen:
        out.print(
            f"{done.unseen} pictures are missing, see {done.folder / 'failures.csv'}", markup=False
        )
    status = listed_failures(out, done.compared.failures, done.folder / "failures.csv")
    out.print(summary["verdict"], markup=False)
    return GATE_FAILED if summary["objections"] else status
