"""``nacd-bench dataset stats``: what is in a data set, counted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nacd_bench.cli.printing import console, empty_table
from nacd_bench.errors import UserError
from nacd_bench.settings import Name, Names, checked

if TYPE_CHECKING:
    from rich.console import Console

    from nacd_bench.jobs.dataset.stats import CountTable

SUFFIXES = (".json", ".md")


@checked
def run(*, dataset: Name, output: Names | None) -> int:
    from nacd_bench.jobs.dataset.card import markdown_table
    from nacd_bench.jobs.dataset.content import read_dataset
    from nacd_bench.jobs.dataset.stats import dataset_stats, further_tables, table_one
    from nacd_bench.triplets.files import write_whole

    outputs = [Path(output)] if isinstance(output, str | Path) else list(map(Path, output or ()))
    for path in outputs:
        if path.suffix not in SUFFIXES:
            raise UserError(
                f"expected output as a file with {' or '.join(SUFFIXES)}, got {path}. Rename it."
            )
    stats = dataset_stats(read_dataset(dataset))
    tables = [*table_one(stats), *further_tables(stats)]
    out = console()
    print_tables(out, tables)
    for path in outputs:
        content = json.dumps(stats, indent=2, ensure_ascii=False)
        if path.suffix == ".md":
            content = "\n\n".join(map(markdown_table, tables))
        write_whole(path, f"{content}\n".encode("utf-8", "backslashreplace"))
        out.print(f"Written: {path}", markup=False)
    return 0


def print_tables(to: Console, tables: Iterable[CountTable]) -> None:
    """Print tables with their titles; the first column is text, the others are numbers."""
    from rich.text import Text

    for each in tables:
        table = empty_table(*each.columns)
        table.title, table.title_justify = Text(each.title), "left"
        for column in table.columns[1:]:
            column.justify = "right"
        for row in each.rows:
            table.add_row(*map(Text, row))
        to.print(table)
