"""Commands on tables and data sets: their job, and what it prints."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.cli.printing import show, show_failures
from nacd_bench.errors import Failure, UserError
from nacd_bench.numbers import count
from nacd_bench.runs.tables import Table
from nacd_bench.settings import Name, Names, Processes, checked

if TYPE_CHECKING:
    from nacd_bench.triplets.record import TripletRecord

NOTES = {
    "equal_triplets": "triplets were there more than once",
    "equal_artifacts": "artifacts were there more than once",
    "duplicates": "artifacts count elsewhere as the same one",
    "emptied": "triplets were left out, nothing in them counts",
    "renamed": "triplets got a new id, others had theirs",
}
"""What is told of the counts of a build."""


def build(**settings: Any) -> int:
    from nacd_bench.evaluation.balanced import balanced_sets
    from nacd_bench.jobs.dataset import build as job
    from nacd_bench.report.data_card import dataset_stats, table_one, verification_warnings
    from nacd_bench.triplets.licenses import UNKNOWN

    made = job.build(**settings)
    stats = dataset_stats(made.dataset)
    show(*table_one(stats))
    counts = {what: made.counts.get(name) for name, what in NOTES.items()}
    show(*(f"{number} {what}." for what, number in counts.items() if number))
    unknown, images = stats["licenses"].get(UNKNOWN, 0), stats["images"]
    if unknown:
        show(f"The licence of {unknown} of {images} images is unknown.")
    show(*(f"Warning: {line}" for line in verification_warnings(made.dataset)))
    free, refused = stats["artifact_free_triplets"], stats["refused_triplets"]
    show(
        f"{count(stats['artifacts'], 'artifact')} in "
        f"{count(stats['triplets'] - free - refused, 'triplet')} of {count(images, 'image')}; "
        f"without: {count(refused, 'triplet')} in which all was refused, {free} in which nothing "
        f"was found. Data set: {made.folder}."
    )
    try:
        balanced_sets(made.dataset.records, n=1)
        show(f"Next: nacd-bench benchmark {shlex.quote(str(made.folder))} sets.n=null")
    except UserError as error:
        show(
            f"No test set can be drawn of it: {error}",
            "Next: nacd-bench dataset build again with negatives=N into another folder, or with "
            "more verified candidates.",
        )
    return show_failures(made.failures, made.folder)


@checked
def stats(*, dataset: Name, output: Names | None) -> int:
    from nacd_bench.report.data_card import dataset_stats, further_tables, markdown_table, table_one
    from nacd_bench.runs.dataset import read_dataset
    from nacd_bench.triplets.files import json_bytes, write_whole

    outputs = [Path(output)] if isinstance(output, str | Path) else list(map(Path, output or ()))
    for path in outputs:
        if path.suffix not in (".json", ".md"):
            raise UserError(f"expected output as a file with .json or .md, got {path}. Rename it.")
    counts = dataset_stats(read_dataset(dataset))
    tables = [*table_one(counts), *further_tables(counts)]
    show(*tables)
    text = "\n\n".join(map(markdown_table, tables)).encode("utf-8", "backslashreplace")
    for path in outputs:
        write_whole(path, text + b"\n" if path.suffix == ".md" else json_bytes(counts))
        show(f"Written: {path}")
    return 0


@checked
def check(*, dataset: Name, require_licenses: bool, workers: Processes, show_progress: bool) -> int:
    from nacd_bench.jobs.dataset import check as job
    from nacd_bench.pipeline.progress import progress_bar

    with progress_bar("triplets", 0, show_progress) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar(0)

        done = job.check(dataset, require_licenses, workers, progress)
    show(*done.faults, *(f"Mind: {line}" for line in done.remarks))
    show(f"{done.triplets} triplets, {done.files} files, {len(done.faults)} faults.")
    return 1 if done.faults else 0


@checked
def import_table(*, source: Name, mapping: Name, output: Name, raters: Sequence[str] | None) -> int:
    from nacd_bench.triplets.foreign import import_graded
    from nacd_bench.triplets.grades import GRADES, raters_of, ungraded, write_grades
    from nacd_bench.triplets.manifest import folder_of, write_manifest

    records, grades, notes = import_graded(source, mapping, raters)
    write_manifest(output, records)
    show(*(f"note: {note}" for note in notes))
    if grades:
        path = Path(folder_of(output)) / GRADES[0]
        write_grades(path, grades)
        missing = len(ungraded(records, grades))
        show(
            f"{len(grades)} grades by the raters {', '.join(raters_of(grades))}"
            f"{f'; {missing} triplets have none' if missing else ''}. Written: {path}. To compare "
            f"detectors with them: nacd-bench agree {output}"
        )
    labels = Counter(label.artifact_type for record in records for label in record.labels)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(labels.items())) or "none"
    free = sum(bool(record.artifact_free) for record in records)
    show(
        f"{len(records)} triplets, labels: {counts}; {free} free of artifacts. Written: {output}. "
        f"Images were not opened: nacd-bench validate {output}"
    )
    return 0


@checked
def validate(
    *,
    source: Names,
    pairs: bool,
    raters: Sequence[str] | None,
    workers: Processes,
    show_progress: bool,
) -> int:
    from nacd_bench.pipeline.progress import progress_bar
    from nacd_bench.triplets import loading
    from nacd_bench.triplets.grades import find_grades, raters_of, ungraded
    from nacd_bench.triplets.source import find_triplets

    records, problems = find_triplets(source)
    if pairs:
        return _show_pairs(source, records, problems)
    grades, misgraded, cut = find_grades(source, records, raters)
    if grades or misgraded:
        problems += [*misgraded, *ungraded(records, grades)]
    with progress_bar("triplets", len(records), show_progress) as tick:
        problems, notes = loading.validate(
            records, problems, lambda done, total: tick(len(problems)), workers
        )
    notes += cut
    show(*(problem.message for problem in problems), *(f"note: {note}" for note in notes))
    if grades:
        show(f"{len(grades)} grades by the raters {', '.join(raters_of(grades))}.")
    counted = f" {count(len(notes), 'note')}." if notes else ""
    show(f"{count(len(records), 'triplet')}, {count(len(problems), 'problem')}.{counted}")
    return 1 if problems else 0


def _show_pairs(
    source: Names, records: Sequence[TripletRecord], problems: Sequence[Failure]
) -> int:
    """Which files make a triplet, what is in the way of others, and images that fit no pattern."""
    from nacd_bench.triplets.patterns import are_patterns, files_by_name
    from nacd_bench.triplets.record import ROLES

    files = [[getattr(record, role) for role in ROLES] for record in records]
    folders = {Path(file).parent for of_one in files for file in of_one}
    is_one_kind = len({folder.is_absolute() for folder in folders}) == 1
    common = os.path.commonpath(folders) if is_one_kind else os.curdir
    rows = [
        [record.id, *(os.path.relpath(file, common) for file in of_one)]
        for record, of_one in zip(records, files, strict=True)
    ]
    table = Table(["id", *ROLES], rows, f"Files in {common or os.curdir}")
    show(table, *(problem.message for problem in problems))
    paths = [source] if isinstance(source, str | Path) else source
    if are_patterns(paths):
        others = files_by_name(dict(zip(ROLES, map(str, paths), strict=True)))[2]
        show(*(f"note: {path}: fits none of the patterns." for path in others))
    show(f"{count(len(records), 'triplet')}, {count(len(problems), 'problem')}; no image opened.")
    return 1 if problems else 0
