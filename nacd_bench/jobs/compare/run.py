"""The job behind ``nacd-bench compare``: two folders to tables, a page with pictures, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.artifact_changes import Rules
from nacd_bench.jobs.compare.versions import Compared, compare_runs
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.report.comparison_page import FOLDER, write_comparison
from nacd_bench.report.comparison_tables import facts, markdown, notes, tables
from nacd_bench.report.run_pixels import PairPixels
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.schema import CHANGES, TABLES, UNPAIRED
from nacd_bench.runs.tables import write_csv, write_table
from nacd_bench.settings import Count, Name, checked
from nacd_bench.triplets.files import json_bytes, writable, write_whole


@dataclass(frozen=True)
class Comparison:
    """What a job left in its folder.

    Args:
        folder: where everything lies.
        compared: changes and figures.
        page: ``index.html``, or None where none was asked for.
        unseen: pictures that are missing.
    """

    folder: Path
    compared: Compared
    page: Path | None
    unseen: int


@checked
def compare(
    before: Name,
    after: Name,
    folder: Name,
    *,
    report: bool = True,
    pictures: Count = 400,
    decode: bool = True,
    show_progress: bool = True,
    **rules: Any,
) -> Comparison:
    """Compare two runs and write the results.

    Args:
        before, after: folders of detect, benchmark or mine runs.
        folder: where results go; an earlier comparison in it is written over.
        report: write the page.
        pictures: changes that get pictures.
        decode: decode bitstreams of mined runs for pictures.
        show_progress: a progress bar.
        rules: what counts as what, and what the later run may do: see
            :class:`~nacd_bench.evaluation.artifact_changes.Rules`.

    Raises:
        DataError: see :func:`~nacd_bench.jobs.compare.versions.compare_runs`; a folder in use, or
            that of another job.
    """
    folder = Path(folder)
    if folder.resolve() in (Path(before).resolve(), Path(after).resolve()):
        raise DataError(
            f"expected a folder of its own for the comparison, got that of a run ({folder}). Name "
            "another one: folder=runs/compare"
        )
    chosen = Rules(**rules)
    compared = compare_runs(before, after, chosen)
    summary = compared.summary
    settings = {"before": str(before), "after": str(after), **asdict(chosen)}
    unseen: Mapping[str, str] = {}
    with open_run(folder, "compare", settings, anew=True, failures=compared.failures) as opened:
        _write_results(folder, compared, report)
        if report:
            number = min(pictures, len(compared.changes))
            names = (Path(run).resolve().name for run in (before, after))
            with progress_bar("changes with pictures", number, show_progress) as tick:
                unseen = write_comparison(
                    folder,
                    compared.changes,
                    PairPixels(compared.runs, compared.pairs, decode),
                    pictures,
                    tick,
                    title=f"nacd-bench compare: {' to '.join(names)}",
                    verdict=summary["verdict"],
                    passed=summary["passed"],
                    warnings=summary["warnings"],
                    compared=facts(summary),
                    tables=tables(summary),
                    notes=notes(summary),
                )
        opened.failures += [Failure(name, "picture", text) for name, text in unseen.items()]
    page = folder / FOLDER / "index.html" if report else None
    return Comparison(folder, compared, page, len(unseen))


def _write_results(folder: Path, compared: Compared, has_page: bool) -> None:
    """Write the changes, the summary and what is compared with nothing into a folder."""
    page = f"{FOLDER}/index.html" if has_page else None
    write_table(folder / CHANGES, compared.changes)
    write_csv(folder / f"{UNPAIRED}.csv", compared.unpaired, list(TABLES[UNPAIRED]))
    write_whole(folder / "summary.json", json_bytes(compared.summary))
    write_whole(folder / "summary.md", writable(markdown(compared.summary, page)).encode())
