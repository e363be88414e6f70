"""``nacd-bench report``: a run as pages for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nacd_bench.cli.printing import console
from nacd_bench.errors import UserError
from nacd_bench.settings import Count, Name, checked

if TYPE_CHECKING:
    from rich.console import Console

Inches = Annotated[float, Field(ge=1, le=40, description="a width of 1 to 40 inches")]
HEAT_MAPS = 24
"""Triplets per detector with a heat map in the report that a job ends with."""


@checked
def run(
    *,
    run: Name,
    heat_maps: Count,
    figures: Inches | None,
    serve: bool,
    port: Count,
    show_progress: bool,
) -> int:
    from nacd_bench.report.figures import write_figures
    from nacd_bench.report.serve import HOST, server
    from nacd_bench.runs.read import read_run

    page = write_run_report(Path(run), heat_maps, show_progress)
    out = console()
    out.print(f"Report: {page}", markup=False)
    if figures is not None:
        written = write_figures(read_run(run), figures)
        out.print(f"{len(written)} figures: {page.parent / 'figures'}", markup=False)
    if serve:
        with server(page.parent, port) as running:
            port = running.server_address[1]
            out.print(f"Serving at http://{HOST}:{port}/ until Ctrl-C", markup=False)
            running.serve_forever()
    return 0


def write_run_report(folder: Path, heat_maps: int, show_progress: bool) -> Path:
    """Write the report of a run with the detectors of its configuration."""
    from nacd_bench.pipeline.methods import made_methods
    from nacd_bench.pipeline.progress import progress_bar
    from nacd_bench.report.run_page import write_report
    from nacd_bench.runs.read import read_run

    run = read_run(folder)
    nodes = run.config.get("detector") or {}
    try:
        detectors = made_methods("detector", nodes)[0] if nodes else []
    except UserError as error:
        run.missing.append(f"heat maps: {error}")
        detectors = []
    with progress_bar("triplets in the report", len(run.records), show_progress) as tick:
        return write_report(run, [each.eval() for each in detectors], heat_maps, tick)


def with_report(folder: Path, show_progress: bool, out: Console) -> int:
    """The report that a job ends with; a fault in it is said and costs no results."""
    try:
        page = write_run_report(folder, HEAT_MAPS, show_progress)
    except (UserError, OSError) as error:
        out.print(f"The report could not be written: {error}", markup=False)
        return 1
    out.print(f"Report, for a browser: {page}", markup=False)
    return 0
