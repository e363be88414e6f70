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

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.jobs.verify.label_studio import write_label_studio
from nacd_bench.jobs.verify.making import Making, Options, is_number
from nacd_bench.jobs.verify.page import write_voting_page
from nacd_bench.jobs.verify.selection import Selection, selected
from nacd_bench.jobs.verify.task_files import (
    LABEL_STUDIO,
    PAGE,
    TOLOKA,
    make_task,
    remove_other_pictures,
    task_died,
)
from nacd_bench.jobs.verify.tasks import (
    CANDIDATES,
    KEY,
    SCHEMA,
    Key,
    Task,
    export_id,
    write_key,
)
from nacd_bench.jobs.verify.toloka import write_toloka
from nacd_bench.pipeline.workers import Workers, cores
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.folder import SETTINGS, clear_parts, new_run_id, require_settings, run_lock
from nacd_bench.runs.tables import write_failures
from nacd_bench.triplets.files import sha256, writable, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 50
"""Tasks that are not worth starting processes for."""
LOCK, FAILURES, README = "run.lock", "failures.csv", "README.md"
README_TEXT = """# Tasks for people

{count} tasks on candidates of `{run}`, {raters} people for each.

{formats}- `{key}`, `{candidates}`, `{settings}`: which side is which, and which answers are known.
  **Raters must not get these files.** Keep this folder: `nacd-bench verify import` needs it.

When the votes are there: `nacd-bench verify import FOLDER VOTES`, with this folder and the files of
votes.
"""
FOR_WHOM = {
    PAGE: "`page/` is for raters. Copy or zip it, open `index.html` in a browser, vote, save the "
    "votes and hand in the file. No server and no network are needed.",
    LABEL_STUDIO: "`label_studio/` is for whoever sets up Label Studio, see its README.",
    TOLOKA: "`toloka/` is for the requester at Toloka, see its README.",
}


@dataclass(frozen=True)
class Exported:
    """An export on disk.

    Args:
        folder: where it lies.
        key: what it asks.
        detectors: candidates that are asked about, by artifact type and detector.
        failures: candidates that were left out.
        notes: what the user should know.
    """

    folder: Path
    key: Key
    detectors: Mapping[tuple[str, str], int]
    failures: Sequence[Failure] = ()
    notes: Sequence[str] = ()


EVERYTHING = Selection()
PLAIN = Options()


def export(
    run: str | Path,
    folder: str | Path,
    selection: Selection = EVERYTHING,
    options: Options = PLAIN,
) -> Exported:
    """Make tasks for people of the candidates of a mined folder.

    Args:
        run: the mined folder.
        folder: where the tasks go; one that was stopped goes on.
        selection: which candidates.
        options: how.

    Raises:
        DataError: no mined folder, nothing to ask, or a folder with something else in it.
    """
    run, folder = Path(run), Path(folder)
    candidates = kept(read_mined(run))
    chosen = selected(candidates, selection)
    names = "\n".join(chosen["candidate"].to_pylist())
    settings = {
        "job": "verify export",
        "schema": SCHEMA,
        **asdict(selection),
        **options.settings,
        "candidates_sha256": sha256(names),
    }
    if folder.resolve() == run.resolve():
        raise DataError(
            f"expected a folder of its own for the tasks, got the mined folder {run}. Name "
            "another: folder=tasks"
        )
    with run_lock(folder, new_run_id()):
        _require_own(folder)
        require_settings(folder, "verify export", settings)
        clear_parts(folder)
        with Workers(_workers(options, len(chosen)), make_task, task_died) as pool:
            making = Making(pool, run, folder, options)
            tasks = making.candidates(chosen)
            controls = making.controls(candidates, tasks) if tasks else []
        _write_failures(folder, making.failures)
        if not tasks:
            first = making.failures[0].message
            raise DataError(
                f"expected at least one candidate with its crops, got none of {len(chosen)}; "
                f"{folder / FAILURES} has them all. The first: {first}"
            )
        everything = {task.id: task for task in (*tasks, *controls)}
        key = Key(
            run=str(run.resolve()),
            raters=options.raters,
            tasks=everything,
            export=export_id(settings, everything),
            settings=settings,
        )
        _write_candidates(folder, chosen, tasks)
        notes = [*making.notes, *_write_formats(folder, key, options, making.sheet_bytes)]
        remove_other_pictures(folder, key.tasks)
        write_key(folder, key)
    return Exported(folder, key, _counted(chosen, tasks), making.failures, notes)


def export_from_config(config: Mapping[str, Any]) -> Exported:
    """:func:`export` with the settings of ``conf/verify_export.yaml``, as plain dictionaries."""
    limit = config["limit"]
    if limit is not None and not (type(limit) is int and limit > 0):
        raise UserError(f"expected limit as a whole number over 0, or null, got {limit!r}.")
    least = config["min_confidence"]
    if not isinstance(least, Mapping) or not all(is_number(value) for value in least.values()):
        raise UserError(
            f"expected min_confidence as numbers by detector, got {least!r}. For example "
            "+min_confidence.texture=0.05"
        )
    if not isinstance(config["run"], str):
        raise DataError(f"expected the folder of one mine run, got {config['run']!r}.")
    selection = Selection(
        types=_names(config, "types"),
        detectors=_names(config, "detectors"),
        presets=_names(config, "presets"),
        limit=limit,
        min_confidence=dict(least),
    )
    options = Options(
        formats=_names(config, "formats") or (),
        label_studio_images=config["label_studio"]["images"],
        toloka_images=config["toloka"]["images"] or "",
        **{
            name: config[name]
            for name in ("controls", "raters", "seed", "cell", "workers", "show_progress")
        },
    )
    return export(config["run"], config["folder"], selection, options)


def _names(config: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = config[name]
    if value is None:
        return None
    return tuple(str(each) for each in (value if isinstance(value, list) else [value]))


def _require_own(folder: Path) -> None:
    there = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if there and not (folder / SETTINGS).is_file():
        raise DataError(
            f"expected an empty folder for the tasks, got {folder} with {', '.join(there[:5])}. "
            "Name another folder."
        )


def _workers(options: Options, tasks: int) -> int:
    if options.workers is not None:
        return options.workers
    return cores() if tasks > FEW else 0


def _counted(chosen: pa.Table, tasks: Sequence[Task]) -> dict[tuple[str, str], int]:
    there = {task.candidate for task in tasks}
    columns = (chosen[name].to_pylist() for name in ("candidate", "artifact_type", "detector"))
    rows = zip(*columns, strict=True)
    return dict(sorted(Counter((kind, by) for name, kind, by in rows if name in there).items()))


def _write_candidates(folder: Path, chosen: pa.Table, tasks: Sequence[Task]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    there = pa.array([task.candidate for task in tasks], pa.string())
    file = io.BytesIO()
    pq.write_table(chosen.filter(pc.is_in(chosen["candidate"], there)), file)
    write_whole(folder / CANDIDATES, file.getvalue())


def _write_failures(folder: Path, failures: Sequence[Failure]) -> None:
    write_failures(folder, failures)


def _write_formats(folder: Path, key: Key, options: Options, sheet_bytes: int) -> list[str]:
    """Write what belongs to each format, and a file that says who gets which."""
    notes = []
    if PAGE in options.formats:
        write_voting_page(folder, key.tasks, key.export)
    if LABEL_STUDIO in options.formats:
        images = options.label_studio_images
        notes += write_label_studio(folder, key.tasks, images, sheet_bytes, key.raters)
    if TOLOKA in options.formats:
        write_toloka(folder, key.tasks, options.toloka_images, key.raters)
    text = README_TEXT.format(
        count=len(key.tasks),
        run=key.run,
        raters=key.raters,
        formats="".join(f"- {FOR_WHOM[each]}\n" for each in FOR_WHOM if each in options.formats),
        key=KEY,
        candidates=CANDIDATES,
        settings=SETTINGS,
    )
    write_whole(folder / README, writable(text).encode())
    return notes
