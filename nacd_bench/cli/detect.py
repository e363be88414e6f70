"""``nacd-bench detect``: detectors over triplets."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, empty_table, listed_failures, listed_oddities
from nacd_bench.cli.report import with_report
from nacd_bench.numbers import number
from nacd_bench.settings import checked


@checked
def run(*, report: bool, **settings: Any) -> int:
    from nacd_bench.jobs.detect import detect
    from nacd_bench.pipeline.methods import arguments

    found = detect(**arguments(settings))
    out = console()
    table = empty_table("detector", "type", "triplets", "detections", "strongest", "in")
    for name, artifact_type in found.detectors.items():
        scores = {key: result["scores"].get(name) for key, result in found.results.items()}
        known = {key: score for key, score in scores.items() if score is not None}
        best = max(known, key=lambda key: known[key], default=None)
        count = sum(row["detector"] == name for row in found.detections)
        strongest = number(None if best is None else known[best])
        table.add_row(name, artifact_type, str(len(known)), str(count), strongest, best or "-")
    out.print()
    if settings["data"]["_target_"].endswith(".embedded_sample"):
        out.print("The embedded sample: photographs from installed packages.")
    for line in found.codecs:
        out.print(line, markup=False)
    results = found.results.values()
    listed_oddities(out, {}, {path: n for r in results for path, n in r["notes"].items()})
    out.print(table)
    out.print(
        f"{len(found.records)} triplets, {found.computed} computed in {found.seconds:.1f} s. "
        f"Results: {found.folder}/ (detections.parquet, scores.parquet"
        + (", overlays/)" if settings["overlays"] else ")"),
        markup=False,
    )
    status = with_report(found.folder, settings["show_progress"], out) if report else 0
    lines = list(map(str, found.failures))
    return max(status, listed_failures(out, lines, found.folder / "failures.csv"))
