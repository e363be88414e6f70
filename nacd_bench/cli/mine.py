"""``nacd-bench mine``: from many images to candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.cli.printing import console, listed_failures, listed_oddities
from nacd_bench.errors import PluginError
from nacd_bench.settings import Number, checked

if TYPE_CHECKING:
    from rich.console import Console

    from nacd_bench.jobs.mine.results import Summary


@checked
def run(*, plan: bool | Number, tables: bool, **settings: Any) -> int:
    from nacd_bench.jobs.mine.forecast import SAMPLE, forecast
    from nacd_bench.jobs.mine.run import mine, write_results
    from nacd_bench.pipeline.methods import arguments

    out, folder = console(), Path(settings["folder"])
    if tables:
        return _summary(write_results(folder), folder, out)
    given = arguments(settings)
    failures = given.pop("failures")
    if failures:  # candidates of the other detectors would look like all
        raise PluginError("\n".join(map(str, failures)))
    if plan:
        table, whole = forecast(given, SAMPLE if plan is True else plan)
        out.print(table.rich())
        out.print(whole, markup=False)
        return 0
    done = mine(**given)
    out.print()
    if done.message:
        out.print(done.message, markup=False)
    if done.summary is None:
        out.print(
            f"Shard {settings['shard']} is done ({done.done} images in {done.seconds:.1f} s). "
            f"{done.waiting_for} shards are not; the last writes the tables.",
            markup=False,
        )
        return 0
    status = _summary(done.summary, folder, out)
    out.print(f"{done.done} images worked on in {done.seconds:.1f} s.", markup=False)
    return status


def _summary(summary: Summary, folder: Path, out: Console) -> int:
    from nacd_bench.runs.tables import Table

    listed_oddities(out, summary.left_out, summary.notes)
    rows = [
        (*name.split(" ", 1), str(count), str(summary.kept[name]))
        for name, count in sorted(summary.candidates.items())
    ]
    if rows:
        columns = ("type", "operating point", "candidates", "without duplicates")
        out.print(Table(columns, rows).rich())
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
