"""The job behind ``nacd-bench compare``: two folders to tables, a page with pictures, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.artifact_matching import IOU
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.paired_versions import DEFAULT
from nacd_bench.jobs.compare.files import notes, tables, write_results
from nacd_bench.jobs.compare.verdict import is_gated, objections, verdict
from nacd_bench.jobs.compare.versions import (
    Compared,
    Level,
    Limit,
    Overlap,
    Rules,
    Same,
    compare_runs,
)
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.report.comparison_page import FOLDER, write_comparison
from nacd_bench.report.run_pixels import PairPixels
from nacd_bench.runs.compared_run import codec_of
from nacd_bench.runs.folder import open_run
from nacd_bench.settings import Count, Name, NotNegative, checked


@dataclass(frozen=True)
class Comparison:
    """What a job left in its folder.

    Args:
        folder: where everything lies.
        compared: the figures.
        page: ``index.html``, or None where none was asked for.
        objections: why the later version does not pass.
        verdict: one line.
        unseen: pictures that are missing.
    """

    folder: Path
    compared: Compared
    page: Path | None
    objections: Sequence[str]
    verdict: str
    unseen: int


@checked
def compare(
    before: Name,
    after: Name,
    folder: Name,
    *,
    iou: Overlap = IOU,
    by: Literal["type", "detector"] = "type",
    thresholds: Name | Mapping[str, float] | None = None,
    margin: NotNegative = 0.0,
    same: Same = 0.1,
    rate_tolerance: NotNegative = 0.02,
    bootstrap: Resampling = DEFAULT,
    fail_on_new: Limit = None,
    fail_on_stronger: Limit = None,
    fail_on_worse: Level = None,
    report: bool = True,
    pictures: Count = 400,
    decode: bool = True,
    show_progress: bool = True,
) -> Comparison:
    """Compare two runs and write what comes of it.

    Args:
        before, after: folders of detect, benchmark or mine runs.
        folder: where results go; an earlier comparison in it is written over.
        iou, by, thresholds, margin, same, rate_tolerance, bootstrap: what counts as what, see
            :class:`~nacd_bench.jobs.compare.versions.Rules`.
        fail_on_new, fail_on_stronger, fail_on_worse: what the later run may do, see there.
        report: write the page.
        pictures: changes that get pictures.
        decode: decode bitstreams of mined runs for pictures.
        show_progress: a progress bar.

    Raises:
        DataError: see :func:`~nacd_bench.jobs.compare.versions.compare_runs`; a folder in use, or
            that of another job.
    """
    rules = Rules(
        iou=iou,
        by=by,
        thresholds=thresholds or {},
        margin=margin,
        same=same,
        rate_tolerance=rate_tolerance,
        bootstrap=bootstrap,
        fail_on_new=fail_on_new,
        fail_on_stronger=fail_on_stronger,
        fail_on_worse=fail_on_worse,
    )
    folder = Path(folder)
    if folder.resolve() in (Path(before).resolve(), Path(after).resolve()):
        raise DataError(
            f"expected a folder of its own for the comparison, got that of a run ({folder}). Name "
            "another one: folder=runs/compare"
        )
    compared = compare_runs(before, after, rules)
    against = objections(compared)
    line = verdict(compared, against)
    settings = {"before": str(before), "after": str(after), **asdict(rules)}
    unseen: dict[str, str] = {}
    with open_run(folder, "compare", settings, anew=True, failures=compared.failures) as opened:
        write_results(folder, compared, against, line)
        if report:
            number = min(pictures, len(compared.pair_of))
            with progress_bar("changes with pictures", number, show_progress) as tick:
                unseen = write_comparison(
                    folder,
                    compared.changes,
                    compared.pair_of,
                    PairPixels((compared.before, compared.after), compared.pairs, decode),
                    pictures,
                    tick,
                    title=f"nacd-bench compare: {_name(before)} to {_name(after)}",
                    verdict=line,
                    passed=not against if is_gated(compared) else None,
                    warnings=compared.warnings,
                    runs=_runs(compared),
                    tables=tables(compared),
                    notes=notes(compared),
                )
        opened.failures += [Failure(name, "picture", text) for name, text in unseen.items()]
    page = folder / FOLDER / "index.html" if report else None
    return Comparison(folder, compared, page, against, line, len(unseen))


def _name(folder: str | Path) -> str:
    return Path(folder).resolve().name


def _runs(compared: Compared) -> dict[str, str]:
    runs = {}
    for name, run in (("before", compared.before), ("after", compared.after)):
        codecs = sorted({codec_of(triplet, "neural") for triplet in run.triplets} - {""})
        runs[name] = f"{run.folder} ({run.kind}; {', '.join(codecs[:4]) or 'codec not known'})"
    return runs
