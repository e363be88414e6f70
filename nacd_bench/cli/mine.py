"""``nacd-bench mine``: from many images to candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.cli.printing import console, empty_table, listed_failures, listed_oddities

if TYPE_CHECKING:
    from rich.console import Console

    from nacd_bench.jobs.mine.results import Summary


def run(**config: Any) -> int:
    from nacd_bench.jobs.mine.run import mine_from_config, write_results

    out = console()
    folder = Path(config["folder"])
    if config["plan"]:
        return _forecast(config, out)
    if config["tables"]:
        return _summary(write_results(folder), folder, out)
    done = mine_from_config(config)
    out.print()
    if done.message:
        out.print(done.message, markup=False)
    if done.summary is None:
        out.print(
            f"Shard {config['shard']} is done ({done.done} images in {done.seconds:.1f} s). "
            f"{done.waiting_for} shards are not; the last writes the tables.",
            markup=False,
        )
        return 0
    status = _summary(done.summary, folder, out)
    out.print(f"{done.done} images worked on in {done.seconds:.1f} s.", markup=False)
    return status


def _summary(summary: Summary, folder: Path, out: Console) -> int:
    listed_oddities(out, summary.left_out, summary.notes)
    table = empty_table("type", "operating point", "candidates", "without duplicates")
    for name, count in sorted(summary.candidates.items()):
        kind, _, preset = name.partition(" ")
        table.add_row(kind, preset, str(count), str(summary.kept[name]))
    if table.row_count:
        out.print(table)
    out.print(
        f"{summary.images} images ({summary.names} names), {summary.triplets} triplets, "
        f"{summary.candidates.total()} candidates, {summary.kept.total()} without duplicates; "
        f"{summary.failed} images with failures, {summary.unreadable} unreadable. Results: "
        f"{folder}/ (candidates/, coded/, images/, crops/, bitstreams/, strongest_*.png). Next: "
        f"nacd-bench verify export {folder} folder=TASKS",
        markup=False,
    )
    lines = [str(failure) for failure in summary.failures]
    return listed_failures(out, lines, folder / "failures.csv")


def _forecast(config: dict[str, Any], out: Console) -> int:
    from nacd_bench.jobs.mine.forecast import forecast_from_config

    forecast = forecast_from_config(config)
    table = empty_table("stage", "per image", "whole job", "what")
    for row in forecast.rows():
        table.add_row(*row)
    out.print(table)
    out.print(forecast.sentence(), markup=False)
    return 0
