"""``nacd-bench detect``: detectors over triplets."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures, listed_oddities
from nacd_bench.cli.report import with_report
from nacd_bench.numbers import number
from nacd_bench.settings import checked


@checked
def run(*, report: bool, **settings: Any) -> int:
    from nacd_bench.jobs.detect import detect
    from nacd_bench.pipeline.methods import arguments
    from nacd_bench.runs.tables import Table

    detected = detect(**arguments(settings))
    out = console()
    rows = []
    for name, artifact_type in detected.detectors.items():
        scores = {key: of[name].score for key, of in detected.results.items() if name in of}
        best = max(scores, key=lambda key: scores[key], default=None)
        count = sum(row["detector"] == name for row in detected.detections)
        strongest = number(None if best is None else scores[best])
        counts = str(len(scores)), str(count)
        rows.append((name, artifact_type, *counts, strongest, best or "-"))
    out.print()
    if settings["data"]["_target_"].endswith(".embedded_sample"):
        out.print("The embedded sample: photographs from installed packages.")
    for line in detected.codecs:
        out.print(line, markup=False)
    listed_oddities(out, {}, detected.notes)
    columns = ("detector", "type", "triplets", "detections", "strongest", "in")
    out.print(Table(columns, rows).rich())
    out.print(
        f"{len(detected.records)} triplets, {detected.computed} computed in "
        f"{detected.seconds:.1f} s. Results: {detected.folder}/ (detections.parquet, scores.parquet"
        + (", overlays/)" if settings["overlays"] else ")"),
        markup=False,
    )
    status = with_report(detected.folder, settings["show_progress"], out) if report else 0
    lines = list(map(str, detected.failures))
    return max(status, listed_failures(out, lines, detected.folder / "failures.csv"))
