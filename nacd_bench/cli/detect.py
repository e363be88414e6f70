"""``nacd-bench detect``: detectors over triplets."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, empty_table, listed_failures, listed_oddities
from nacd_bench.cli.report import with_report
from nacd_bench.numbers import number


def run(config: dict[str, Any]) -> int:
    from nacd_bench.jobs.detect import detect_from_config

    found = detect_from_config(config)
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
    if config["data"]["_target_"].endswith(".embedded_sample"):
        out.print("The embedded sample: photographs from installed packages.")
    for line in found.codecs:
        out.print(line, markup=False)
    results = found.results.values()
    listed_oddities(out, {}, {path: n for r in results for path, n in r["notes"].items()})
    out.print(table)
    out.print(
        f"{len(found.records)} triplets, {found.computed} computed in {found.seconds:.1f} s. "
        f"Results: {found.folder}/ (detections.parquet, scores.parquet"
        + (", overlays/)" if config["overlays"] else ")"),
        markup=False,
    )
    status = with_report(config, found.folder, out)
    lines = list(map(str, found.failures))
    return max(status, listed_failures(out, lines, found.folder / "failures.csv"))
