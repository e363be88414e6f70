"""``nacd-bench verify export``: candidates of a mined folder to tasks for people.

The folder of an export::

    page/                the voting page                        this is what raters get
    label_studio/        config.xml, tasks.json, images/        for who sets up the project
    toloka/              tasks.tsv, instructions.html, images/  for the requester
    key.json             which side is neural, which tasks are controls; never for raters
    candidates.parquet   the candidates that are asked about, as they were mined
    settings.json        what was asked for
    failures.csv         candidates that were left out, and why
    README.md            what to do with all this

A picture that is there is not made again, so that an export that was stopped goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, get_args

import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import MinLen

from nacd_bench.errors import DataError, Failure
from nacd_bench.jobs.verify.controls import (
    TaskJob,
    control_count,
    identical_jobs,
    planted_jobs,
    rows_for_controls,
)
from nacd_bench.jobs.verify.exporters import AUTO, write_label_studio, write_readme, write_toloka
from nacd_bench.jobs.verify.page import write_voting_page
from nacd_bench.jobs.verify.selection import selected
from nacd_bench.jobs.verify.task_files import (
    LABEL_STUDIO,
    PAGE,
    TOLOKA,
    Format,
    make_task,
    remove_other_pictures,
    task_died,
)
from nacd_bench.jobs.verify.tasks import (
    CANDIDATES_FILE,
    Key,
    Task,
    candidate_task,
    export_id,
    write_key,
)
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import Workers, cores, finished_jobs
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.folder import open_run, require_own
from nacd_bench.runs.tables import write_parquet
from nacd_bench.settings import Count, Name, Number, Processes, Share, checked
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import sha256

FEW = 50
"""Tasks that are not worth starting processes for."""
SPARE = 4
"""Candidates that are at hand for a control: not each of them has room for an artifact."""
COLUMNS = (
    *("candidate", "artifact_type"),
    *(f"{kind}{edge}" for kind in ("", "crop_") for edge in ("x0", "y0", "x1", "y1")),
    *(f"crop_{role}" for role in ROLES),
)
"""Of a candidate, what its task is made of."""
FORMATS: tuple[Format, ...] = get_args(Format)
Words = str | Sequence[str] | None


@dataclass(frozen=True)
class Exported:
    """An export on disk.

    Args:
        folder: where it lies.
        key: what it asks.
        formats: the tools that it is for.
        detectors: candidates that are asked about, by artifact type and detector.
        failures: candidates that were left out.
        notes: what the user should know.
    """

    folder: Path
    key: Key
    formats: Sequence[str]
    detectors: Mapping[tuple[str, str], int]
    failures: Sequence[Failure] = ()
    notes: Sequence[str] = ()


@checked
def export(
    run: Name,
    folder: Name,
    *,
    formats: Format | Annotated[Sequence[Format], MinLen(1)] = FORMATS,
    types: Words = None,
    detectors: Words = None,
    presets: Words = None,
    limit: Number | None = None,
    min_confidence: Mapping[str, float] | None = None,
    controls: Share = 0.1,
    raters: Number = 3,
    seed: Count = 0,
    cell: Number = 32,
    label_studio_images: str = AUTO,
    toloka_images: str = "",
    workers: Processes = None,
    show_progress: bool = True,
) -> Exported:
    """Make tasks for people of the candidates of a mined folder.

    Args:
        run: the mined folder.
        folder: where the tasks go; one that was stopped goes on.
        formats: the tools that tasks are made for.
        types, detectors, presets: what candidates have to be; None: anything.
        limit: candidates of each type, the strongest of each detector in turn.
        min_confidence: of a candidate, by detector.
        controls: control tasks by tasks, for each type; at least two of each unless 0.
        raters: how many are to look at each task.
        seed: decides sides, ids and controls.
        cell: of a checkerboard at the most, in pixels; smaller in smaller artifacts.
        label_studio_images: ``"auto"``, ``"embedded"``, or what stands before a picture's name.
        toloka_images: what stands before a picture's name.
        workers: processes.
        show_progress: on standard error.

    Raises:
        DataError: no mined folder, nothing to ask, or a folder with something else in it.
    """
    run, folder = Path(run), Path(folder)
    candidates = kept(read_mined(run))
    asked_for = {"artifact_type": types, "detector": detectors, "preset": presets}
    names = {
        column: [given] if isinstance(given, str) else given for column, given in asked_for.items()
    }
    chosen = selected(candidates, names, min_confidence or {}, limit)
    wanted = [name for name in FORMATS if name in formats]
    settings = {
        **names,
        **{"limit": limit, "min_confidence": min_confidence or {}, "formats": wanted},
        **{"controls": controls, "raters": raters, "seed": seed, "cell": cell},
        **{"label_studio_images": label_studio_images, "toloka_images": toloka_images},
        "candidates_sha256": sha256("\n".join(chosen["candidate"].to_pylist())),
    }
    if folder.resolve() == run.resolve():
        raise DataError(
            f"expected a folder of its own for the tasks, got the mined folder {run}. Name "
            "another: folder=tasks"
        )
    require_own(folder)
    if workers is None:
        workers = cores() if len(chosen) > FEW else 0
    make = partial(make_task, run=run, folder=folder, formats=wanted, seed=seed, cell=cell)
    with (
        open_run(folder, "verify export", settings) as this,
        Workers(workers, make, task_died) as pool,
    ):
        jobs = (
            (candidate_task(seed, row["candidate"], row["artifact_type"]), row)
            for row in chosen.select(COLUMNS).to_pylist()
        )
        tasks = []
        with progress_bar("tasks", len(chosen), show_progress) as progress:
            for (task, _), fault in finished_jobs(pool, jobs):
                if fault:
                    this.fail(task.candidate, "", fault)
                else:
                    tasks.append(task)
                progress(len(this.failures))
        this.failures.sort(key=lambda failure: failure.item)
        if not tasks:
            raise DataError(
                f"expected at least one candidate with its crops, got none of {len(chosen)}; "
                f"{folder / 'failures.csv'} has them all. The first: {this.failures[0].message}"
            )
        known, notes = _controls(pool, candidates, tasks, controls, seed, show_progress)
        everything = {task.id: task for task in (*tasks, *known)}
        key = Key(str(run.resolve()), raters, everything, export_id(settings, everything))
        made = pa.array([task.candidate for task in tasks], pa.string())
        chosen = chosen.filter(pc.is_in(chosen["candidate"], made))
        write_parquet(folder / CANDIDATES_FILE, chosen)
        if PAGE in wanted:
            write_voting_page(folder, key.tasks, key.export)
        if LABEL_STUDIO in wanted:
            notes += write_label_studio(folder, key, label_studio_images)
        if TOLOKA in wanted:
            write_toloka(folder, key, toloka_images)
        write_readme(folder, key, wanted)
        remove_other_pictures(folder, key.tasks)
        write_key(folder, key)
    columns = (chosen[name].to_pylist() for name in ("artifact_type", "detector"))
    by_detector = dict(sorted(Counter(zip(*columns, strict=True)).items()))
    return Exported(folder, key, wanted, by_detector, this.failures, notes)


def _controls(
    pool: Workers[TaskJob, str],
    candidates: pa.Table,
    tasks: Sequence[Task],
    share: float,
    seed: int,
    show_progress: bool,
) -> tuple[list[Task], list[str]]:
    """The controls of each type that has tasks, half of them planted, half identical; and notes."""
    asked = {task.candidate for task in tasks}
    counts = Counter(task.artifact_type for task in tasks)
    wanted = {kind: control_count(share, count) for kind, count in sorted(counts.items())}
    rows = candidates.select(COLUMNS).to_pylist() if share else []
    controls: list[Task] = []
    notes = []

    def first(jobs: Iterator[TaskJob], count: int) -> Iterable[Task]:
        """The first controls that can be made, whatever the number of processes."""
        while wave := list(islice(jobs, count)):
            for (task, _), fault in finished_jobs(pool, wave):
                if not fault:
                    count -= 1
                    progress(0)
                    yield task

    with progress_bar("control tasks", sum(wanted.values()), show_progress) as progress:
        for kind, count in wanted.items():
            best = rows_for_controls(rows, asked, kind, seed, most=SPARE * (count + 1))
            halves = (best[::2], best[1::2]) if len(best) > 1 else (best, best)
            made = [*first(planted_jobs(halves[0], kind, seed), count - count // 2)]
            made += first(identical_jobs(halves[1], kind, seed), count // 2)
            if len(made) < count:
                notes.append(
                    f"{len(made)} of {count} control tasks for {kind} could be made: no other "
                    "crops have room for an artifact that nobody overlooks."
                )
            controls += made
    return controls, notes
