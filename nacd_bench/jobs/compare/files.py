"""What a comparison of two runs leaves in its folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench import numbers
from nacd_bench.errors import Failure
from nacd_bench.jobs.compare.gate import Gate
from nacd_bench.jobs.compare.pairs import Unpaired
from nacd_bench.triplets.files import csv_bytes, json_bytes, writable, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from nacd_bench.jobs.compare.compared_run import ComparedRun
    from nacd_bench.jobs.compare.versions import Compared, Counts

SCHEMA_VERSION = 1
TEXTS = (
    *("status", "change", "image", "preset", "artifact_type", "detector"),
    *("triplet_before", "triplet_after", "detector_before", "detector_after", "original_sha256"),
)
WHOLE = tuple(f"{edge}_{run}" for run in ("before", "after") for edge in ("x0", "y0", "x1", "y1"))


def write_changes(folder: Path, changes: Mapping[str, Sequence[Any]]) -> None:
    """``changes.parquet`` and ``changes.csv``."""
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    table = changes_table(changes)
    file = io.BytesIO()
    pq.write_table(table, file)
    write_whole(folder / "changes.parquet", file.getvalue())
    file = io.BytesIO()
    pc.write_csv(table, file)
    write_whole(folder / "changes.csv", file.getvalue())


def changes_table(changes: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The columns with their types."""
    import pyarrow as pa

    columns = {}
    for name, values in changes.items():
        if name in TEXTS:
            plain = [None if each is None else writable(each) for each in values]
            columns[name] = pa.array(plain, pa.string())
        else:
            columns[name] = pa.array(values, pa.int64() if name in WHOLE else pa.float64())
    return pa.table(columns)


def write_summary(
    folder: Path, done: Compared, gate: Gate, against: Sequence[str], line: str
) -> None:
    """``summary.json`` and ``summary.md``."""
    found = summary(done, gate, against, line)
    write_whole(folder / "summary.json", json_bytes(found))
    write_whole(folder / "summary.md", writable(markdown(done, line)).encode())


def write_lists(folder: Path, unpaired: Sequence[Unpaired], failures: Sequence[Failure]) -> None:
    """``unpaired.csv`` and ``failures.csv``."""
    for name, kind, rows in (
        ("unpaired", Unpaired, unpaired),
        ("failures", Failure, failures),
    ):
        columns = [each.name for each in fields(kind)]
        values = [asdict(row) for row in rows]  # type: ignore[call-overload]
        write_whole(folder / f"{name}.csv", csv_bytes(columns, values))


def summary(done: Compared, gate: Gate, against: Sequence[str], line: str) -> dict[str, Any]:
    """All figures of a comparison, as JSON values but for what is not finite."""
    return {
        "schema_version": SCHEMA_VERSION,
        "job": "compare",
        "verdict": line,
        "passed": None if gate.is_open else not against,
        "objections": list(against),
        "gate": {f"fail_on_{name}": limit for name, limit in asdict(gate).items()},
        "runs": {"before": _run(done.before), "after": _run(done.after)},
        "rules": {
            **asdict(done.rules),
            "given_thresholds": asdict(done.rules)["thresholds"],
            "thresholds": dict(done.thresholds),
        },
        "pairs": len(done.pairs),
        "originals": len(set(done.clusters)),
        "unpaired": {
            run: sum(each.run == run and not each.detector for each in done.unpaired)
            for run in ("before", "after")
        },
        "total": asdict(done.total),
        "types": {
            kind: {
                **asdict(counts),
                "per_triplet": asdict(done.per_triplet[kind]),
                "presence": asdict(done.presence[kind]),
            }
            for kind, counts in done.counts.items()
        },
        "detectors": {
            name: {
                "type": done.types[name],
                **asdict(counts),
                "presence": asdict(done.detector_presence[name]),
                "scores": asdict(done.scores[name]),
            }
            for name, counts in done.counts_by_detector.items()
        },
        "rates": [asdict(each) for each in done.rates],
        "warnings": list(done.warnings),
        "failures": len(done.failures),
    }


COUNT_COLUMNS = ("before", "after", "new", "fixed", "stayed", "stronger", "weaker", "unclear")


def count_cells(counts: Counts) -> list[str]:
    """The cells of :data:`COUNT_COLUMNS`."""
    known = {**asdict(counts), "unclear": counts.unclear_before + counts.unclear_after}
    return [str(known[name]) for name in COUNT_COLUMNS]


def type_rows(done: Compared) -> list[list[str]]:
    """One row per type: counts, triplets with an artifact, p."""
    rows = []
    for kind, counts in done.counts.items():
        test, mean = done.presence[kind], done.per_triplet[kind]
        rows.append(
            [
                kind,
                *count_cells(counts),
                numbers.estimate(mean.value, mean.low, mean.high, is_difference=True),
                f"{test.with_before} to {test.with_after} of {test.n}",
                numbers.p_value(test.p_holm),
            ]
        )
    return rows


TYPE_COLUMNS = (
    "type",
    *COUNT_COLUMNS,
    "per triplet (95 %)",
    "triplets with one",
    "p",
)


def detector_rows(done: Compared) -> list[list[str]]:
    """One row per detector: counts, mean scores and their difference, p."""
    rows = []
    for name, counts in done.counts_by_detector.items():
        test = done.scores[name]
        mean = test.difference
        rows.append(
            [
                name,
                *count_cells(counts),
                f"{numbers.number(test.before)} to {numbers.number(test.after)}",
                numbers.estimate(
                    mean.value, mean.low, mean.high, decimals=None, is_difference=True
                ),
                numbers.p_value(test.p_holm),
            ]
        )
    return rows


DETECTOR_COLUMNS = (
    "detector",
    *COUNT_COLUMNS,
    "mean score",
    "difference (95 %)",
    "p",
)


def rate_rows(done: Compared) -> list[list[str]]:
    """One row for all triplets and one per preset."""
    shown = [each for each in done.rates if each.preset or len(done.rates) != 2]
    return [
        [
            each.preset or "all",
            str(each.n),
            f"{each.before:.4f}",
            f"{each.after:.4f}",
            f"{each.change:+.1%}",
        ]
        for each in shown
    ]


RATE_COLUMNS = ("operating point", "triplets", "bpp before", "bpp after", "change")


def markdown(done: Compared, line: str) -> str:
    """The comparison as a page to read, for a pull request or a log."""
    parts = [
        "# Comparison of two runs",
        f"before: `{done.before.folder}` ({done.before.kind})  \n"
        f"after: `{done.after.folder}` ({done.after.kind})",
        f"**{line}**",
        *(f"- {warning}" for warning in done.warnings),
        _markdown_table(TYPE_COLUMNS, type_rows(done)),
        "p: McNemar's exact test on originals with more or fewer triplets that have an artifact.",
        _markdown_table(DETECTOR_COLUMNS, detector_rows(done)),
        "p: Wilcoxon's exact signed-rank test on the mean score of each original. All p values are "
        "corrected by Holm.",
        _markdown_table(RATE_COLUMNS, rate_rows(done)) if done.rates else "No rates are known.",
        f"{len(done.pairs)} pairs of triplets of {len(set(done.clusters))} originals, "
        f"{len(done.unpaired)} results without partner (unpaired.csv).",
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in each) + " |" for each in lines
    )


def _run(run: ComparedRun) -> dict[str, Any]:
    codecs = sorted({triplet.codecs["neural"] for triplet in run.triplets})
    return {
        "folder": writable(str(run.folder)),
        "kind": run.kind,
        "triplets": len(run.triplets),
        "boxes": len(run.confidences),
        "neural": codecs,
        "nacd_bench": run.version,
    }
