"""``nacd-bench verify export``: candidates of a mined folder to tasks for people.

The folder of an export::

    page/                the voting page                        this is what raters get
    label_studio/        config.xml, tasks.json, images/        for who sets up the project
    toloka/              tasks.tsv, instructions.html, images/  for the requester
    key.json             which side is neural, which tasks are controls; never for raters
    candidates.parquet   the candidates that are asked about, as they were mined
    triplets.jsonl       the triplets that are graded, where whole decodes are there
    settings.json        what was asked for
    failures.csv         candidates that were left out, and why
    README.md            what to do with all this

Where both sides are graded, whole triplets may take the place of candidates: each is asked about
once for each artifact type.

A picture that is there is not made again, so that an export that was stopped goes on.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import MinLen

from nacd_bench.errors import DataError, Failure, ImageError
from nacd_bench.evaluation.duplicates import found_by
from nacd_bench.jobs.verify.exporters import AUTO, write_exports
from nacd_bench.jobs.verify.pictures import (
    TOLOKA,
    Format,
    Row,
    TaskJob,
    frame_of,
    make_task,
    remove_other_pictures,
    task_died,
)
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import Workers, cores, finished_jobs
from nacd_bench.registry import unknown
from nacd_bench.report.sheets import strongest_in_turn
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.compared_run import read_compared
from nacd_bench.runs.folder import open_run, require_own
from nacd_bench.runs.schema import CANDIDATES, FAILURES, schema
from nacd_bench.runs.tables import write_parquet
from nacd_bench.runs.tasks import (
    CANDIDATE,
    CANDIDATES_FILE,
    GRADE,
    IDENTICAL,
    PLANTED,
    TRIPLETS_FILE,
    Key,
    Question,
    Task,
    drawn,
    new_task,
    write_key,
)
from nacd_bench.settings import Count, Name, Number, Processes, Share, checked
from nacd_bench.triplets.files import json_sha256, sha256
from nacd_bench.triplets.images import image_size
from nacd_bench.triplets.manifest import resolved, write_manifest
from nacd_bench.triplets.record import ARTIFACT_TYPES, ROLES, TripletRecord, cluster_names
from nacd_bench.triplets.source import find_triplets

FEW = 50
"""Tasks that are not worth starting processes for."""
FEWEST = 2
"""Controls of each artifact type that has tasks: a planted and an identical one."""
SPARE = 4
"""Candidates that are at hand for a control: not each of them has room for an artifact."""
TRIES = 3
"""Times that a crop may be used for a planted control, each time with another artifact."""
LARGE = 600
"""Side of a crop, in pixels, over which an artifact may be lost in it."""
COLUMNS = (
    *("candidate", "artifact_type"),
    *(f"{kind}{edge}" for kind in ("", "crop_") for edge in ("x0", "y0", "x1", "y1")),
    *(f"crop_{role}" for role in ROLES),
)
"""Of a candidate, what its task is made of."""
FOUND = ("candidate", "artifact_type", "detector", "confidence", "preset", "found_by")
"""Of a candidate, what decides whether people are asked about it."""
FORMATS: tuple[Format, ...] = get_args(Format)
Words = str | Sequence[str] | None


class Exported(NamedTuple):
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
    failures: Sequence[Failure]
    notes: Sequence[str]


@checked
def export(
    run: Name,
    folder: Name,
    *,
    question: Question = "worse",
    formats: Format | Annotated[Sequence[Format], MinLen(1)] | None = None,
    types: Words = None,
    detectors: Words = None,
    presets: Words = None,
    limit: Number | None = None,
    min_confidence: Mapping[str, float] | None = None,
    controls: Share = 0.1,
    raters: Number = 3,
    seed: Count = 0,
    cell: Number = 32,
    frame: bool = True,
    label_studio_images: str = AUTO,
    toloka_images: str = "",
    workers: Processes = None,
    show_progress: bool = True,
) -> Exported:
    """Make tasks for people of the candidates of a mined folder.

    Args:
        run: the mined folder; to grade, also a folder or manifest of triplets.
        folder: where the tasks go; one that was stopped goes on.
        question: which side is ``"worse"``, or to ``"grade"`` both.
        formats: the tools that tasks are made for; None: all that can ask the question.
        types, detectors, presets: what candidates have to be; None: anything.
        limit: candidates of each type, the strongest of each detector in turn.
        min_confidence: of a candidate, by detector.
        controls: control tasks by tasks, for each type; at least two of each unless 0.
        raters: how many are to look at each task.
        seed: decides sides, ids and controls.
        cell: of a checkerboard at the most, in pixels; smaller in smaller artifacts.
        frame: whether pictures show where to look, alike on all sides; not to grade.
        label_studio_images: ``"auto"``, ``"embedded"``, or what stands before a picture's name.
        toloka_images: what stands before a picture's name.
        workers: processes.
        show_progress: on standard error.

    Raises:
        DataError: no mined folder, nothing to ask, or a folder with something else in it.
    """
    run, folder = Path(run), Path(folder)
    if folder.resolve() == run.resolve():
        raise DataError(
            f"expected a folder of its own for the tasks, got the mined folder {run}. Name "
            "another: folder=tasks"
        )
    wanted = tools(question, formats)
    candidates, records, failures, notes = asked_about(run, question)
    given = {"artifact_type": types, "detector": detectors, "preset": presets}
    names = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    chosen = selected(candidates, names, min_confidence or {}, limit)
    settings = {
        **names,
        **{"limit": limit, "min_confidence": min_confidence or {}, "formats": wanted},
        **{"controls": controls, "raters": raters, "seed": seed, "cell": cell, "frame": frame},
        **{"label_studio_images": label_studio_images, "toloka_images": toloka_images},
        **({"question": question} if question == GRADE else {}),
        "candidates_sha256": sha256("\n".join(chosen["candidate"].to_pylist())),
    }
    is_framed = frame and question != GRADE
    require_own(folder)
    if workers is None:
        workers = cores() if len(chosen) > FEW else 0
    make = partial(make_task, run=run, folder=folder, formats=wanted, seed=seed, cell=cell)
    with (
        open_run(folder, "verify export", settings) as this,
        Workers(workers, make, task_died) as pool,
    ):
        this.failures += failures
        tasks = []
        jobs = []
        for row in chosen.select(COLUMNS).to_pylist():
            name, kind = row["candidate"], row["artifact_type"]
            task = new_task(
                *(seed, CANDIDATE, name, kind),
                question=question,
                frame=frame_of(row) if is_framed else None,
            )
            jobs.append((task, row))
        with progress_bar("tasks", len(jobs), show_progress) as progress:
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
                f"{folder / FAILURES} has them all. The first: {this.failures[0].message}"
            )
        mixed_in, unmade = _controls(
            pool, candidates, tasks, controls, seed, is_framed, show_progress
        )
        notes += unmade
        by_id = {task.id: task for task in (*tasks, *mixed_in)}
        key = Key(str(run.resolve()), raters, by_id, json_sha256([settings, sorted(by_id)])[:16])
        asked = pa.array([task.candidate for task in tasks], pa.string())
        chosen = chosen.filter(pc.is_in(chosen["candidate"], asked))
        write_parquet(folder / CANDIDATES_FILE, chosen)
        _write_triplets(folder, records, chosen)
        notes += write_exports(folder, key, wanted, label_studio_images, toloka_images)
        remove_other_pictures(folder, key.tasks)
        write_key(folder, key)
    by_detector = Counter(
        (row["artifact_type"], detector)
        for row in chosen.select(FOUND).to_pylist()
        for detector in found_by(row)
    )
    return Exported(folder, key, wanted, dict(sorted(by_detector.items())), this.failures, notes)


def tools(question: Question, formats: Format | Sequence[Format] | None) -> list[Format]:
    """The tools that ask a question, those given or all.

    Raises:
        DataError: one that has no boxes to draw, to grade.
    """
    able = [name for name in FORMATS if question != GRADE or name != TOLOKA]
    if formats is None:
        return able
    if question == GRADE and TOLOKA in formats:
        raise DataError(
            f"expected formats in which boxes are drawn ({', '.join(able)}) to grade, got "
            f"{TOLOKA}. Leave it out."
        )
    return [name for name in FORMATS if name in formats]


def _write_triplets(folder: Path, records: Sequence[TripletRecord], chosen: pa.Table) -> None:
    """Write the manifest of the triplets that are graded, where their files are there."""
    ids = set(chosen["triplet"].to_pylist())
    graded = [record for record in records if record.id in ids]
    if graded:
        write_manifest(folder / TRIPLETS_FILE, graded)


def asked_about(
    run: Path, question: Question
) -> tuple[pa.Table, list[TripletRecord], list[Failure], list[str]]:
    """The candidates of a mined folder, or the whole of each triplet for each type.

    Returns:
        The candidates; to grade, the triplets whose files are there; what cannot be used; notes.
    """
    if question != GRADE or (run / CANDIDATES).is_dir():
        candidates = kept(read_mined(run))
        if question != GRADE:
            return candidates, [], [], []
        can_be = pc.is_in(candidates["artifact_type"], pa.array(ARTIFACT_TYPES))
        others = sorted(candidates.filter(pc.invert(can_be))["artifact_type"].unique().to_pylist())
        notes = [
            f"Candidates of type {name} are left out: no grades of it exist." for name in others
        ]
        mined = [
            replace(record, source=str(record.extra["image"]), extra={})
            for record in read_compared(run).records
            if record.neural and record.traditional
        ]
        if not mined:
            notes.append(
                "The mined folder has no whole decodes, so that agree has no triplets to read with "
                "the grades. Mine with decoded=true for these."
            )
        return candidates.filter(can_be), mined, [], notes
    records, failures = find_triplets(run)
    here = str(Path.cwd())
    rows = []
    for record, source in zip(records, cluster_names(records), strict=True):
        try:
            width, height = image_size(record.original)
        except ImageError as error:
            failures.append(Failure(record.id, "", str(error)))
            continue
        whole = {"x0": 0, "y0": 0, "x1": width, "y1": height}
        facts = {
            **{"image": source, "image_path": record.original, "width": width, "height": height},
            **{"triplet": record.id, "preset": "none", "detector": "none", "confidence": 1.0},
            **{"number": 0, **whole, **{f"crop_{edge}": place for edge, place in whole.items()}},
            **{f"crop_{role}": resolved(getattr(record, role), here) for role in ROLES},
        }
        rows += [
            {"candidate": f"{record.id}_{kind}", "artifact_type": kind, **facts}
            for kind in ARTIFACT_TYPES
        ]
    return pa.Table.from_pylist(rows, schema=schema(CANDIDATES)), records, failures, []


def selected(
    candidates: pa.Table,
    names: Mapping[str, Sequence[str] | None],
    min_confidence: Mapping[str, float],
    limit: int | None,
) -> pa.Table:
    """The candidates that people are asked about, in their order.

    Args:
        candidates: the rows.
        names: what is taken, by column (type, detector, preset); None: anything. A place that
            several detectors boxed is one of each.
        min_confidence: by detector.
        limit: rows of each type, the strongest of each detector in turn.

    Raises:
        DataError: a name that no candidate has, or nothing is left.
    """
    rows = [
        {**row, "detector": detector, "confidence": confidence}
        for row in candidates.select(FOUND).to_pylist()
        for detector, confidence in found_by(row).items()
    ]
    for column, given in (*names.items(), ("detector", list(min_confidence))):
        known = sorted({row[column] for row in rows})
        for name in given or ():
            if name not in known:
                what = unknown(column.replace("_", " "), name, known)
                raise DataError(f"{what} in this mined folder")
    rows = [
        row
        for row in rows
        if all(given is None or row[column] in given for column, given in names.items())
        if row["confidence"] >= min_confidence.get(row["detector"], -math.inf)
    ]
    kinds = sorted({row["artifact_type"] for row in rows})
    strongest: list[str] = []
    for kind in kinds:
        in_turn = (row["candidate"] for row in strongest_in_turn(rows, kind))
        strongest += list(dict.fromkeys(in_turn))[:limit]
    taken = candidates.filter(pc.is_in(candidates["candidate"], pa.array(strongest, pa.string())))
    if not len(taken):
        raise DataError(
            "expected candidates that pass types, detectors, presets, limit and min_confidence, "
            f"got none of {len(candidates)} without duplicates. Ask for less, or mine with lower "
            "thresholds."
        )
    return taken


def control_jobs(
    rows: Sequence[Row],
    asked: Set[str],
    kind: str,
    artifact_type: str,
    seed: int,
    count: int,
    question: Question = "worse",
    is_framed: bool = True,
) -> Iterator[TaskJob]:
    """Controls of a kind and type that may work, the best first.

    They are made of candidates of the type: of those that are not too large before others, and then
    of those that nobody is asked about, so that nobody sees a place twice.

    Args:
        rows: with the columns of candidates, of the photographs that raters see.
        asked: ids of candidates with a task.
        kind: planted or identical; neither is made of what the other is made of.
        artifact_type: of the controls.
        seed: decides the rest of the order.
        count: controls of the type that are wanted.
        question: of the export.
        is_framed: whether they show where to look.
    """

    def rank(row: Row) -> tuple[bool, bool, int]:
        side = max(row[f"crop_{axis}1"] - row[f"crop_{axis}0"] for axis in "xy")
        by_chance = drawn(seed, "control", artifact_type, row["candidate"])
        return side > LARGE, row["candidate"] in asked, by_chance

    rows = [row for row in rows if row["artifact_type"] == artifact_type]
    best = heapq.nsmallest(SPARE * (count + 1), rows, key=rank)
    half = best[::2] if kind == PLANTED else best[1::2] or best
    for attempt in range(TRIES if kind == PLANTED else 1):
        for row in half:
            name, frame = row["candidate"], frame_of(row) if is_framed else None
            yield new_task(seed, kind, name, artifact_type, attempt, question, frame), row


def _controls(
    pool: Workers[TaskJob, str],
    candidates: pa.Table,
    tasks: Sequence[Task],
    share: float,
    seed: int,
    is_framed: bool,
    show_progress: bool,
) -> tuple[list[Task], list[str]]:
    """The controls of each type that has tasks, half of them planted, half identical; and notes."""
    if not share:
        return [], []
    asked = {task.candidate for task in tasks}
    counts = Counter(task.artifact_type for task in tasks)
    wanted = {kind: max(FEWEST, round(share * count)) for kind, count in sorted(counts.items())}
    images = candidates.filter(pc.is_in(candidates["candidate"], pa.array(asked)))["image"]
    of_asked = candidates.filter(pc.is_in(candidates["image"], pc.unique(images)))
    rows = of_asked.select(COLUMNS).to_pylist()
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
            planted, identical = (
                control_jobs(rows, asked, how, kind, seed, count, tasks[0].question, is_framed)
                for how in (PLANTED, IDENTICAL)
            )
            made = [*first(planted, count - count // 2), *first(identical, count // 2)]
            if len(made) < count:
                notes.append(
                    f"{len(made)} of {count} control tasks for {kind} could be made: no other "
                    "crops of these photographs have room for an artifact that nobody overlooks."
                )
            controls += made
    return controls, notes
