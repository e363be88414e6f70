"""What a comparison of two runs leaves in its folder, and shows to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench import numbers
from nacd_bench.jobs.compare.verdict import is_gated
from nacd_bench.jobs.compare.versions import Compared, Counts
from nacd_bench.runs.compared_run import ComparedRun, codec_of
from nacd_bench.runs.schema import CHANGES, SCHEMA_VERSION, TABLES, UNPAIRED, schema
from nacd_bench.runs.tables import Table, write_csv, write_table
from nacd_bench.triplets.files import json_bytes, writable, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ("before", "after", "new", "fixed", "stayed", "stronger", "weaker", "unclear")


def changes_table(changes: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The columns with their types."""
    import pyarrow as pa

    return pa.table(dict(changes), schema=schema(CHANGES))


def write_results(folder: Path, compared: Compared, against: Sequence[str], line: str) -> None:
    """Write the changes, the summary and what is compared with nothing.

    Args:
        folder: of the comparison.
        compared: the figures.
        against: objections to the later version.
        line: the verdict.
    """
    write_table(folder / CHANGES, changes_table(compared.changes))
    write_csv(folder / f"{UNPAIRED}.csv", compared.unpaired, list(TABLES[UNPAIRED]))
    write_whole(folder / "summary.json", json_bytes(summary(compared, against, line)))
    write_whole(folder / "summary.md", writable(markdown(compared, line)).encode())


def summary(compared: Compared, against: Sequence[str], line: str) -> dict[str, Any]:
    """All figures of a comparison, as JSON values but for what is not finite."""
    rules = asdict(compared.rules)
    gate = {name: rules.pop(name) for name in list(rules) if name.startswith("fail_on")}
    return {
        "schema_version": SCHEMA_VERSION,
        "job": "compare",
        "verdict": line,
        "passed": not against if is_gated(compared) else None,
        "objections": against,
        "gate": gate,
        "runs": {"before": _run(compared.before), "after": _run(compared.after)},
        "rules": {
            **rules,
            "given_thresholds": rules["thresholds"],
            "thresholds": compared.thresholds,
        },
        "pairs": len(compared.pairs),
        "originals": len(set(compared.clusters)),
        "unpaired": {
            run: sum(row["run"] == run and not row["detector"] for row in compared.unpaired)
            for run in ("before", "after")
        },
        "total": asdict(compared.total),
        "types": {
            kind: {
                **asdict(counts),
                "per_triplet": asdict(compared.per_triplet[kind]),
                "presence": asdict(compared.presence[kind]),
            }
            for kind, counts in compared.counts.items()
        },
        "detectors": {
            name: {
                "type": compared.types[name],
                **asdict(counts),
                "presence": asdict(compared.detector_presence[name]),
                "scores": asdict(compared.scores[name]),
            }
            for name, counts in compared.counts_by_detector.items()
        },
        "rates": compared.rates,
        "warnings": compared.warnings,
        "failures": len(compared.failures),
    }


def tables(compared: Compared) -> list[Table]:
    """The figures for people: by type, by detector, and rates where some are known."""
    types, detectors, rates = [], [], []
    for kind, counts in compared.counts.items():
        presence, mean = compared.presence[kind], compared.per_triplet[kind]
        per_triplet = numbers.estimate(mean.value, mean.low, mean.high, is_difference=True)
        with_one = f"{presence.with_before} to {presence.with_after} of {presence.n}"
        p = numbers.p_value(presence.p_holm)
        types.append([kind, *_cells(counts), per_triplet, with_one, p])
    for name, counts in compared.counts_by_detector.items():
        test = compared.scores[name]
        bounds = (test.difference.value, test.difference.low, test.difference.high)
        means = f"{numbers.number(test.before)} to {numbers.number(test.after)}"
        difference = numbers.estimate(*bounds, decimals=None, is_difference=True)
        p = numbers.p_value(test.p_holm)
        detectors.append([name, *_cells(counts), means, difference, p])
    for rate in compared.rates:
        if rate["preset"] or len(compared.rates) != 2:  # all are those of the only point
            values = [f"{rate[run]:.4f}" for run in ("before", "after")]
            point = rate["preset"] or "all"
            rates.append([point, str(rate["n"]), *values, f"{rate['change']:+.1%}"])
    by_type = ("type", *COUNTS, "per triplet (95 %)", "triplets with one", "p")
    by_detector = ("detector", *COUNTS, "mean score", "difference (95 %)", "p")
    points = ("operating point", "triplets", "bpp before", "bpp after", "change")
    return [
        Table(by_type, types, "Artifacts by type"),
        Table(by_detector, detectors, "Artifacts and scores by detector"),
        *([Table(points, rates, "Bits per pixel of the neural codec")] if rates else []),
    ]


def notes(compared: Compared) -> list[str]:
    """What people have to know of the tables."""
    return [
        "By type, p is McNemar's exact test on originals with more or fewer triplets that have an "
        "artifact; by detector, Wilcoxon's exact signed-rank test on the mean score of each "
        "original. All p values are corrected by Holm.",
        f"{len(compared.pairs)} pairs of triplets of {len(set(compared.clusters))} originals; "
        f"{len(compared.unpaired)} results without partner (unpaired.csv); "
        f"{len(compared.failures)} failures of the runs (failures.csv).",
    ]


def markdown(compared: Compared, line: str) -> str:
    """The comparison as a page to read, for a pull request or a log."""
    parts = [
        "# Comparison of two runs",
        f"before: `{compared.before.folder}` ({compared.before.kind})  \n"
        f"after: `{compared.after.folder}` ({compared.after.kind})",
        f"**{line}**",
        *(f"- {warning}" for warning in compared.warnings),
    ]
    parts += [table.markdown().rstrip() for table in tables(compared)]
    return "\n\n".join([*parts, *notes(compared)]) + "\n"


def _cells(counts: Counts) -> list[str]:
    """Of :data:`COUNTS`."""
    numbers = {**asdict(counts), "unclear": counts.unclear_before + counts.unclear_after}
    return [str(numbers[name]) for name in COUNTS]


def _run(run: ComparedRun) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "kind": run.kind,
        "triplets": len(run.triplets),
        "boxes": len(run.boxes),
        "neural": sorted({codec_of(triplet, "neural") for triplet in run.triplets}),
        "nacd_bench": run.settings.get("nacd_bench"),
    }
