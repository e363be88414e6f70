"""Tables: Parquet with a schema version for programs, CSV, and one layout for people.

:class:`Table` is what people read, the same on the console, in Markdown and in LaTeX.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nacd_bench.errors import Failure
from nacd_bench.runs.provenance import versions_of
from nacd_bench.runs.schema import (
    CODECS,
    DETECTIONS,
    EDGES,
    FAILURES,
    LIMITS,
    REAL,
    SCHEMA_VERSION,
    SCORES,
    SETTINGS,
    TABLES,
    TRIPLETS,
    schema,
)
from nacd_bench.triplets.files import csv_bytes, writable, write_whole
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.text_files import read_json

if TYPE_CHECKING:
    from nacd_bench.evaluation.thresholds import FalseAlarms, Limit
    from nacd_bench.triplets.detection import Result

VERSIONS_KEY = b"nacd_bench.versions"
"""Where Parquet files say in the metadata of their schema, as JSON, which versions made them."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""

Row = Mapping[str, Any]
Results = Mapping[str, Mapping[str, "Result"]]
"""By triplet id and method."""


def write_table(
    path: Path, rows: pa.Table | Iterable[Row], schema: pa.Schema | None = None
) -> None:
    """Write rows as ``path.parquet`` and ``path.csv``, each whole or not at all.

    Args:
        path: without suffix.
        rows: an Arrow table, or dictionaries with the columns of the schema.
        schema: columns and types, where the rows are dictionaries.
    """
    if not isinstance(rows, pa.Table):
        values = [
            {key: writable(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
            for row in rows
        ]
        rows = pa.Table.from_pylist(values, schema=schema)
    write_parquet(path.with_name(f"{path.name}.parquet"), rows)
    write_csv(path.with_name(f"{path.name}.csv"), rows.to_pylist(), rows.schema.names)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all."""
    file = io.BytesIO()
    pq.write_table(with_versions(table, path.parent), file)
    write_whole(path, file.getvalue())


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write rows as CSV, whole or not at all; a table without rows has its columns all the same."""
    write_whole(path, csv_bytes(columns, rows))


def write_limits(
    folder: Path,
    types: Mapping[str, str],
    limits: Mapping[str, Limit],
    clean: Mapping[str, FalseAlarms] = MappingProxyType({}),
    clean_triplets: int = 0,
) -> None:
    """Write a run's ``thresholds.csv``, with what is known about their false alarms.

    Args:
        types: artifact type by detector.
        limits: thresholds by detector.
        clean: false alarms in so many clean triplets of the run, by detector.
    """
    from nacd_bench.evaluation.thresholds import exceeds  # which imports SciPy's statistics

    rows = []
    for name, limit in limits.items():
        row: dict[str, Any] = {"detector": name, "artifact_type": types[name]}
        row |= {"threshold": limit.threshold, "by": limit.by}
        for column, alarms in (("expected", limit.expected), ("clean", clean.get(name))):
            if alarms:
                figures = (alarms.per_100, alarms.low, alarms.high)
                row |= dict(zip((column, f"{column}_low", f"{column}_high"), figures, strict=True))
        if name in clean:
            row["clean_triplets"] = clean_triplets
            if limit.expected:
                row["exceeds"] = exceeds(clean[name], limit.expected)
        rows.append(row)
    write_csv(folder / f"{LIMITS}.csv", rows, list(TABLES[LIMITS]))


def write_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Write what failed in a run to its ``failures.csv``, where a spreadsheet takes it for text."""
    rows = [
        {name: f"'{text}" if text[:1] in FORMULA else text for name, text in vars(failure).items()}
        for failure in failures
    ]
    write_csv(folder / FAILURES, rows, list(Failure.__annotations__))


def with_versions(table: pa.Table, folder: Path) -> pa.Table:
    """The table with the versions of schema, detectors and models of the folder's run."""
    settings = folder / SETTINGS
    told = read_json(settings, "the settings of the run") if settings.is_file() else {}
    versions = {**versions_of(told if isinstance(told, dict) else {}), "schema": SCHEMA_VERSION}
    metadata = {**(table.schema.metadata or {}), VERSIONS_KEY: json.dumps(versions)}
    return table.replace_schema_metadata(metadata)


class Best(str):
    """A cell that stands out of its column."""


@dataclass(frozen=True)
class Table:
    """Cells for people.

    Args:
        columns: headings.
        rows: of texts; None is a rule between rows.
        title: of the whole; empty for none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str] | None]
    title: str = ""

    def rich(self) -> Any:
        """For the terminal."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(
            box=box.SIMPLE_HEAD, title=self.title, title_style="", title_justify="left"
        )
        for place, column in enumerate(self.columns):
            made.add_column(Text(column), overflow="fold", no_wrap=place == 0)
        for row in self.rows:
            if row is None:
                made.add_section()
            else:
                made.add_row(*(Text(cell, "bold" * isinstance(cell, Best)) for cell in row))
        return made

    def markdown(self) -> str:
        """
        >>> print(Table(["method", "a|b"], [["psnr", Best("0.9")]]).markdown(), end="")
        | method | a\\|b |
        | --- | --- |
        | psnr | **0.9** |
        """
        rows = [self.columns, ["---"] * len(self.columns), *filter(None, self.rows)]
        lines = []
        for row in rows:
            cells = [f"**{cell}**" if isinstance(cell, Best) else cell for cell in row]
            lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n")
        return "".join(lines)

    def latex(self) -> str:
        """A ``tabular`` for the package booktabs."""
        lines = ["% needs \\usepackage{booktabs}"]
        lines += [rf"\begin{{tabular}}{{l{'c' * (len(self.columns) - 1)}}}", r"\toprule"]
        for row in (self.columns, None, *self.rows):
            cells = [
                rf"\textbf{{{_latex(cell)}}}" if isinstance(cell, Best) else _latex(cell)
                for cell in row or ()
            ]
            lines.append(" & ".join(cells) + r" \\" if cells else r"\midrule")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))


# --- what methods said about triplets


def write_tables(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Results,
    types: Mapping[str, str],
    thresholds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Write triplets, detections and scores of a ``detect`` run; the rows of the detections.

    Args:
        results: of the triplets that are finished; a detector that failed is left out.
        types: artifact type by detector, in order.
        thresholds: confidence over which a box is a detection, by detector.
    """
    detections = write_detections(folder, records, results, types, thresholds)
    rows = [
        triplet_columns(record)
        | {name: result.score for name, result in results[record.id].items() if not result.fault}
        for record in records
        if record.id in results
    ]
    write_table(folder / SCORES, rows, schema(SCORES, **dict.fromkeys(types, REAL)))
    return detections


def write_detections(
    folder: Path,
    records: Sequence[TripletRecord],
    results: Results,
    types: Mapping[str, str],
    thresholds: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Write the triplets as a manifest and the boxes found in them; the rows of the boxes.

    Args:
        types: artifact type by detector, in order.
        thresholds: confidence over which a box is a detection, by detector; None for every box.
    """
    write_manifest(folder / TRIPLETS, records)
    rows = [
        {
            **triplet_columns(record),
            "artifact_type": artifact_type,
            "detector": name,
            "confidence": confidence,
            **dict(zip(EDGES, box, strict=True)),
        }
        for record in records
        for name, artifact_type in types.items()
        for result in filter(None, [results.get(record.id, {}).get(name)])
        for box, confidence in zip(result.boxes, result.confidences, strict=True)
        if thresholds is None or confidence > thresholds[name]
    ]
    write_table(folder / DETECTIONS, rows, schema(DETECTIONS))
    return rows


def triplet_columns(record: TripletRecord) -> dict[str, Any]:
    """What every row repeats of its triplet."""
    codecs = {name: getattr(record, name) for name in CODECS}
    return {"triplet": record.id, "image": record.source or record.id, **codecs}
