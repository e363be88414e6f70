"""Runs of detectors and other methods, their reports and comparisons: what commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from nacd_bench.cli.printing import show, show_failures, show_oddities
from nacd_bench.errors import UserError
from nacd_bench.evaluation.thresholds import Criterion, severity_of
from nacd_bench.numbers import count, estimate, number
from nacd_bench.runs.schema import THRESHOLDS
from nacd_bench.runs.tables import Table
from nacd_bench.settings import Count, Name, checked

if TYPE_CHECKING:
    from nacd_bench.detectors import Detector
    from nacd_bench.evaluation.thresholds import Limit
    from nacd_bench.jobs.detect import Detected
    from nacd_bench.runs.read import Run

Inches = Annotated[float, Field(ge=1, le=40, description="a width of 1 to 40 inches")]
HEAT_MAPS = 24
"""Triplets per detector with a heat map in the report that a job ends with."""
GATE_FAILED = 3
"""Exit status when the gate of a comparison does not let the later run pass."""


@checked
def detect(*, report: bool, **settings: Any) -> int:
    from nacd_bench.jobs import detect as job
    from nacd_bench.pipeline.clock import Clock
    from nacd_bench.pipeline.methods import arguments
    from nacd_bench.triplets.sample import ABOUT

    clock = Clock()
    done = job.detect(**arguments(settings))
    rows = []
    for name, artifact_type in done.detectors.items():
        scores = {
            key: results[name].score for key, results in done.results.items() if name in results
        }
        best = max(scores, key=lambda key: scores[key], default=None)
        found = sum(row["detector"] == name for row in done.detections)
        strongest = number(None if best is None else scores[best])
        rows.append([name, artifact_type, str(len(scores)), str(found), strongest, best or "-"])
    is_sample = settings["data"]["_target_"].endswith(".sample_triplets")
    show("", *[ABOUT] * is_sample, *done.codecs)
    show_oddities({}, done.notes)
    show(
        Table(("detector", "type", "triplets", "detections", "strongest", "in"), rows),
        f"{count(len(done.records), 'triplet')}, {done.computed} computed in "
        f"{done.seconds:.1f} s. Results: {done.folder}/ (detections.parquet, scores.parquet"
        + (", overlays/)" if settings["overlays"] else ")"),
        *_false_alarms(done),
    )
    status = _with_report(done.folder, settings["show_progress"]) if report else 0
    show(str(clock))
    return max(status, show_failures(done.failures, done.folder))


def _false_alarms(done: Detected) -> list[Table | str]:
    """Thresholds with the false alarms that they promise and give, where either is known."""
    if not done.clean and not any(limit.expected for limit in done.limits.values()):
        return []
    rows = []
    for name, limit in done.limits.items():
        told = [limit.expected, *([done.clean[name]] if done.clean else [])]
        shown = [
            "-" if one is None else estimate(one.per_100, one.low, one.high, decimals=1)
            for one in told
        ]
        rows.append([name, number(limit.threshold), limit.by, *shown])
    columns = ["detector", "threshold", "by", "expected", *(["here"] if done.clean else [])]
    warnings = [
        f"Warning: {name} finds more in clean triplets than its threshold promises (Fisher's exact "
        "test, one-sided at 5 %): these images are not like those that it was chosen on. Choose a "
        "higher threshold, or run nacd-bench benchmark on labelled triplets of your own."
        for name in done.alarming
    ]
    return [Table(columns, rows, "False alarms per 100 clean triplets, 95 % intervals"), *warnings]


@checked
def benchmark(*, report: bool, **settings: Any) -> int:
    from nacd_bench.jobs.benchmark import run as job
    from nacd_bench.jobs.benchmark.results import further_tables, main_table
    from nacd_bench.pipeline.clock import Clock
    from nacd_bench.pipeline.methods import arguments

    clock = Clock()
    done = job.benchmark(**arguments(settings))
    show(
        "",
        *(
            f"set {comparison.artifact_type}: {note}"
            for comparison in done.comparisons.values()
            for note in comparison.notes
        ),
        *(f"Not drawn: {why}" for why in done.undrawn.values()),
        main_table(done),
        *further_tables(done),
        *([f"Reference: {done.reference.source}"] if done.reference is not None else []),
        f"{count(done.scored.computed, 'score')} computed, {done.scored.cached} from the cache, in "
        f"{done.facts['wall_seconds']:.1f} s. Results: {done.folder}/ (metrics.json, "
        "scores.parquet, table.md, table.tex, thresholds.yaml, curves/, sets/)",
        *filter(None, [done.message]),
    )
    status = _with_report(done.folder, settings["show_progress"]) if report else 0
    show(str(clock))
    return max(status, show_failures(done.failures, done.folder))


@checked
def agree(**settings: Any) -> int:
    from nacd_bench.jobs.agree import run as job
    from nacd_bench.jobs.agree.results import tables
    from nacd_bench.pipeline.methods import arguments

    agreed = job.agree(**arguments(settings))
    computed, cached = (
        sum(getattr(scored, name) for scored in agreed.scored.values())
        for name in ("computed", "cached")
    )
    show(
        "",
        *tables(agreed),
        *(f"note: {note}" for note in agreed.notes),
        f"{computed} scores computed, {cached} from the cache, in "
        f"{agreed.facts['wall_seconds']:.1f} s. Results: {agreed.folder}/ (agreement.csv, "
        "agreement.json, table.md, scores.parquet, agreement.svg)",
        f"Disagreements, for a browser: {agreed.page}",
    )
    return show_failures(agreed.failures, agreed.folder)


def compare(**settings: Any) -> int:
    from nacd_bench.jobs.compare import run as job
    from nacd_bench.report.comparison_tables import facts, tables

    done = job.compare(**settings)
    folder, summary = done.folder, done.compared.summary
    unpaired = summary["unpaired_results"]
    show(
        "",
        *(f"{name}: {fact}" for name, fact in facts(summary).items()),
        *tables(summary),
        *(f"Note: {line}" for line in summary["warnings"]),
        *([f"{unpaired} results without partner: {folder / 'unpaired.csv'}"] if unpaired else []),
        f"Results: {folder}/ (changes.csv, summary.json, summary.md)",
    )
    if done.page is not None:
        show(f"Pictures, for a browser: {done.page}")
    if done.unseen:
        show(f"{done.unseen} pictures are missing, see {folder / 'failures.csv'}")
    status = show_failures(done.compared.failures, folder)
    show(summary["verdict"])
    return GATE_FAILED if summary["objections"] else status


@checked
def report(
    *,
    run: Name,
    heat_maps: Count,
    thresholds: Mapping[str, float] | Name,
    criterion: Criterion | None,
    figures: Inches | None,
    serve: bool,
    port: Count,
    show_progress: bool,
) -> int:
    from nacd_bench.report.figures import write_figures
    from nacd_bench.report.serve import HOST, server
    from nacd_bench.runs.read import read_run

    page = _write_report(Path(run), heat_maps, show_progress, thresholds, criterion)
    show(f"Report: {page}")
    if figures is not None:
        written = write_figures(read_run(run), figures)
        show(f"{len(written)} figures: {page.parent / 'figures'}")
    if serve:
        with server(page.parent, port) as running:
            show(f"Serving at http://{HOST}:{running.server_address[1]}/ until Ctrl-C")
            running.serve_forever()
    return 0


def _with_report(folder: Path, show_progress: bool) -> int:
    """The report that a job ends with; a fault in it is said and costs no results."""
    try:
        page = _write_report(folder, HEAT_MAPS, show_progress)
    except (UserError, OSError) as error:
        show(f"The report could not be written: {error}")
        return 1
    show(f"Report, for a browser: {page}")
    return 0


def _write_report(
    folder: Path,
    heat_maps: int,
    show_progress: bool,
    thresholds: Mapping[str, float] | str | Path | None = None,
    criterion: str | None = None,
) -> Path:
    """Write the report of a run with the detectors of its configuration.

    Args:
        folder: of the run.
        heat_maps: triplets per detector with a heat map.
        show_progress: a progress bar.
        thresholds, criterion: what the page begins with, as ``detect`` takes them; the run's own
            where nothing is said.
    """
    from nacd_bench.pipeline.clock import timed
    from nacd_bench.pipeline.methods import limits_of, made_methods
    from nacd_bench.pipeline.progress import progress_bar
    from nacd_bench.report.run_page import write_report
    from nacd_bench.runs.read import read_run

    run = read_run(folder)
    job = str(run.settings.get("job", run.job))
    if job not in ("detect", "benchmark"):
        page = folder / job / "index.html"
        raise UserError(
            f"expected the folder of a detect or benchmark run, got that of {job}, {folder}. "
            + (f"Its page is {page}." if page.is_file() else f"Run nacd-bench detect {folder}.")
        )
    nodes = run.config.get("detector") or {}
    try:
        detectors = made_methods("detector", nodes)[0] if nodes else []
    except UserError as error:
        run.missing.append(f"heat maps: {error}")
        detectors = []
    own = folder / THRESHOLDS
    if thresholds or (criterion and not own.is_file()):
        limits = limits_of(detectors, thresholds or None, criterion)
    elif own.is_file():
        limits = _reached(run, detectors, own, criterion)
    else:
        names = {detector.name for detector in detectors}
        rows = [row for row in run.limits if row["detector"] in names]
        numbers = {row["detector"]: float(row["threshold"]) for row in rows}
        limits = limits_of(detectors, numbers)
    starts = {name: limit.threshold for name, limit in limits.items()}
    with (
        timed("report"),
        progress_bar("triplets in the report", len(run.records), show_progress) as tick,
    ):
        made = [detector.eval() for detector in detectors]
        return write_report(run, made, heat_maps, tick, starts)


def _reached(
    run: Run, detectors: Sequence[Detector], file: Path, criterion: str | None
) -> dict[str, Limit]:
    """The limits by a benchmark's own file of those detectors that have one; the page says where
    one that was asked for is not there."""
    from nacd_bench.pipeline.methods import limits_of

    if criterion and severity_of(criterion) is not None:
        return limits_of(detectors, None, criterion)
    limits: dict[str, Limit] = {}
    for detector in detectors:
        try:
            limits |= limits_of([detector], file, criterion)
        except UserError as error:
            run.missing += [str(error)] if criterion else []
    return limits
