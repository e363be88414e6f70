"""``nacd-bench dataset stats``: what is in a data set, counted."""

from __future__ import annotations

import json
from pathlib import Path

from nacd_bench.cli.printing import console
from nacd_bench.errors import UserError
from nacd_bench.settings import Name, Names, checked

SUFFIXES = (".json", ".md")


@checked
def run(*, dataset: Name, output: Names | None) -> int:
    from nacd_bench.report.data_card import dataset_stats, further_tables, markdown_table, table_one
    from nacd_bench.runs.dataset import read_dataset
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
    for table in tables:
        out.print(table.rich())
    for path in outputs:
        content = json.dumps(stats, indent=2, ensure_ascii=False)
        if path.suffix == ".md":
            content = "\n\n".join(map(markdown_table, tables))
        write_whole(path, f"{content}\n".encode("utf-8", "backslashreplace"))
        out.print(f"Written: {path}", markup=False)
    return 0
