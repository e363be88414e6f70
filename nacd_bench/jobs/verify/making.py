"""Making the tasks of an export: those that ask about candidates, and controls among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import Failure, UserError
from nacd_bench.jobs.verify.controls import (
    Recipe,
    attempts,
    control_count,
    identical,
    rows_for_controls,
)
from nacd_bench.jobs.verify.label_studio import AUTO
from nacd_bench.jobs.verify.task_files import FORMATS, Job, Made
from nacd_bench.jobs.verify.tasks import Task, candidate_task
from nacd_bench.pipeline.progress import Progress, progress_bar
from nacd_bench.pipeline.workers import Workers
from nacd_bench.registry import unknown

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("candidate", "artifact_type"),
    *(f"{kind}{edge}" for kind in ("", "crop_") for edge in ("x0", "y0", "x1", "y1")),
    *(f"crop_{role}" for role in ("original", "neural", "traditional")),
)
"""Of a candidate, what its task is made of."""
BATCH = 10_000
"""Rows that are turned into tasks together."""
SPARE = 4
"""Candidates that are at hand for a control: not each of them has room for an artifact."""


@dataclass(frozen=True)
class Options:
    """How tasks are made.

    Args:
        formats: of :data:`~nacd_bench.jobs.verify.task_files.FORMATS`.
        controls: control tasks by tasks, for each type; at least two of each unless 0.
        raters: how many are to look at each task.
        seed: decides sides, ids and controls.
        cell: of a checkerboard at the most, in pixels; smaller in smaller artifacts.
        label_studio_images: ``"auto"``, ``"embedded"``, or what stands before a picture's name.
        toloka_images: what stands before a picture's name.
        workers: processes; 0: this one; None: one per core.
        show_progress: on standard error.

    Raises:
        UserError: a value that cannot be.
    """

    formats: Sequence[str] = FORMATS
    controls: float = 0.1
    raters: int = 3
    seed: int = 0
    cell: int = 32
    label_studio_images: str = AUTO
    toloka_images: str = ""
    workers: int | None = None
    show_progress: bool = True

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise UserError(unknown("format", str(name), list(FORMATS)))
        if not self.formats:
            raise UserError(f"expected formats, got none. Known: {', '.join(FORMATS)}.")
        if not (is_number(self.controls) and 0 <= self.controls <= 1):
            raise UserError(f"expected controls as a share from 0 to 1, got {self.controls!r}.")
        for name, least in (("raters", 1), ("seed", 0), ("cell", 1), ("workers", 0)):
            value = getattr(self, name)
            if name == "workers" and value is None:
                continue
            if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
                raise UserError(f"expected {name} as a whole number >= {least}, got {value!r}.")
        for name in ("label_studio_images", "toloka_images"):
            if not isinstance(getattr(self, name), str):
                setting = name.replace("_images", ".images")
                raise UserError(f"expected {setting} as text, got {getattr(self, name)!r}.")

    @property
    def settings(self) -> dict[str, Any]:
        """What of it decides the result."""
        values = asdict(self)
        del values["workers"], values["show_progress"]
        return {**values, "formats": [each for each in FORMATS if each in self.formats]}


def is_number(value: Any) -> bool:
    """Whether a setting is a number; True is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass
class Making:
    """The tasks of an export, made by a pool of processes.

    Args:
        pool: runs :func:`~nacd_bench.jobs.verify.task_files.make_task`.
        run: the mined folder.
        folder: of the export.
        options: how.
        failures: candidates whose pictures could not be made.
        notes: what the user should know.
        sheet_bytes: of the files that show all pictures of a task.
    """

    pool: Workers[Job, Made]
    run: Path
    folder: Path
    options: Options
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sheet_bytes: int = 0

    def candidates(self, chosen: pa.Table) -> list[Task]:
        """Make the tasks that ask about candidates; one without its crops is a failure."""
        recipes = (
            Recipe(candidate_task(self.options.seed, row["candidate"], row["artifact_type"]), row)
            for batch in chosen.select(COLUMNS).to_batches(max_chunksize=BATCH)
            for row in batch.to_pylist()
        )
        tasks = []
        with progress_bar("tasks", len(chosen), self.options.show_progress) as progress:
            for recipe, made in self._made(recipes):
                if made.fault is None:
                    tasks.append(recipe.task)
                else:
                    self.failures.append(Failure(recipe.task.candidate, "", made.fault))
                progress(len(self.failures))
        self.failures.sort(key=lambda failure: failure.item)
        return tasks

    def controls(self, candidates: pa.Table, tasks: Sequence[Task]) -> list[Task]:
        """Make the controls of each type that has tasks, half of them planted, half identical."""
        asked = {task.candidate for task in tasks}
        rows = candidates.select(COLUMNS)
        counts = Counter(task.artifact_type for task in tasks)
        wanted = {kind: control_count(self.options.controls, n) for kind, n in counts.items()}
        total = sum(wanted.values())
        controls: list[Task] = []
        with progress_bar("control tasks", total, self.options.show_progress) as progress:
            for kind, count in sorted(wanted.items()):
                seed = self.options.seed
                best = rows_for_controls(rows, asked, kind, seed, most=SPARE * (count + 1))
                for_planted, for_same = (best[::2], best[1::2]) if len(best) > 1 else (best, best)
                planted = attempts(for_planted, kind, seed)
                same = (identical(row, kind, seed) for row in for_same)
                made = self._first(planted, count - count // 2, progress)
                made += self._first(same, count // 2, progress)
                if len(made) < count:
                    self.notes.append(
                        f"{len(made)} of {count} control tasks for {kind} could be made: no other "
                        "crops have room for an artifact that nobody overlooks."
                    )
                controls += made
        return controls

    def _first(self, recipes: Iterator[Recipe], count: int, progress: Progress) -> list[Task]:
        """The first controls that can be made, whatever the number of processes."""
        tasks: list[Task] = []
        while wave := list(islice(recipes, count - len(tasks))):
            for recipe, made in self._made(wave):
                if made.fault is None and not made.is_unfit:
                    tasks.append(recipe.task)
                    progress(0)
        return tasks

    def _made(self, recipes: Iterable[Recipe]) -> Iterator[tuple[Recipe, Made]]:
        """What came of recipes, in the order in which they are done."""
        waiting = iter(recipes)
        is_more = True
        while is_more or self.pool.busy:
            while is_more and self.pool.room:
                recipe = next(waiting, None)
                is_more = recipe is not None
                if recipe is not None:
                    self.pool.submit(self._job(recipe))
            for job, made in self.pool.finished(block=True):
                self.sheet_bytes += made.sheet_bytes
                yield job.recipe, made

    def _job(self, recipe: Recipe) -> Job:
        options = self.options
        formats = tuple(options.formats)
        return Job(recipe, self.run, self.folder, formats, options.seed, options.cell)
