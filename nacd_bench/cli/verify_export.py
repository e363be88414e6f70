"""``nacd-bench verify export``: tasks for people of candidates."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nacd_bench.cli.printing import console, listed_failures


def run(**config: Any) -> int:
    from nacd_bench.jobs.verify.export import export
    from nacd_bench.jobs.verify.pictures import PAGE
    from nacd_bench.runs.tables import Table
    from nacd_bench.runs.tasks import CANDIDATE, IDENTICAL, PLANTED

    done = export(**config)
    kinds = Counter((task.artifact_type, task.kind) for task in done.key.tasks.values())
    out = console()
    rows = []
    for name in sorted({name for name, _ in kinds}):
        by = [f"{count} {who}" for (kind, who), count in done.detectors.items() if kind == name]
        counts = [kinds[name, kind] for kind in (CANDIDATE, PLANTED, IDENTICAL)]
        asked, *controls = map(str, counts)
        rows.append((name, str(sum(counts)), asked, ", ".join(by), *controls))
    columns = ("type", "tasks", "on candidates", "of", "planted", "identical")
    out.print()
    out.print(Table(columns, rows).rich())
    for note in done.notes:
        out.print(f"Note: {note}", markup=False)
    out.print(
        f"{len(done.key.tasks)} tasks for {done.key.raters} people each: {done.folder}/ "
        f"({', '.join(f'{name}/' for name in done.formats)}). Keep key.json from raters; README.md "
        "says what is for whom.",
        markup=False,
    )
    if PAGE in done.formats:
        out.print(f"To vote, in a browser: {done.folder / PAGE / 'index.html'}", markup=False)
    out.print(f"Then: nacd-bench verify import {done.folder} VOTES", markup=False)
    lines = list(map(str, done.failures))
    return listed_failures(out, lines, done.folder / "failures.csv")
