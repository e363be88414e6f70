"""The commands, as the command line knows them: a row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Command:
    """What the command line needs to know of a command.

    Args:
        place: ``module:function`` in :mod:`nacd_bench.cli`, see :meth:`run`.
        usage: what follows the command's name in the list of commands.
        summary: a line for that list.
        paths: settings that paths on the command line fill in this order, the last one all that
            are left.
        data: the choice of the group ``data`` that paths stand for.
        flags: settings that ``--NAME`` makes true.
        jobs: ``module:object`` in :mod:`nacd_bench.jobs` of all that take settings which the
            function passes on.
    """

    place: str
    usage: str
    summary: str
    paths: tuple[str, ...] = ()
    data: str | None = None
    flags: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()

    def run(self, **settings: Any) -> int:
        """Call the command's function, which prints the results; the exit status."""
        status: int = self.targets[0](**settings)
        return status

    @property
    def targets(self) -> list[Any]:
        """The function, and what else takes the settings."""
        places = [f"cli.{self.place}", *(f"jobs.{job}" for job in self.jobs)]
        return [_loaded(f"nacd_bench.{place}") for place in places]


def _loaded(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


COMMANDS: dict[str, Command] = {
    "detect": Command(
        "runs:detect",
        "[WHERE]",
        "find, box and score artifacts in triplets of images",
        ("data.source",),
        "triplets",
        jobs=("detect:detect",),
    ),
    "benchmark": Command(
        "runs:benchmark",
        "[WHERE]",
        "how well each method finds artifacts in labelled triplets",
        ("data.source",),
        "labelled",
        jobs=("benchmark.run:benchmark",),
    ),
    "agree": Command(
        "runs:agree",
        "[WHERE]",
        "how near detectors and metrics come to a rater on graded triplets",
        ("data.source",),
        "graded",
        jobs=("agree.run:agree",),
    ),
    "report": Command(
        "runs:report",
        "RUN",
        "a run's pictures and figures as pages for a browser",
        ("run",),
        flags=("serve",),
    ),
    "compress": Command(
        "images:compress",
        "IMAGES",
        "make such triplets: two codecs at a matched rate",
        ("images",),
        flags=("plan",),
        jobs=("compress.run:compress",),
    ),
    "mine": Command(
        "images:mine",
        "[IMAGES]",
        "from many images to candidates for artifacts",
        ("images",),
        flags=("plan", "tables"),
        jobs=("mine.run:mine", "mine.run:make_mining_plan"),
    ),
    "rank": Command(
        "images:rank",
        "[IMAGES]",
        "which codec makes the fewest artifacts, and what it costs",
        ("images",),
        flags=("plan",),
        jobs=("rank.run:rank",),
    ),
    "verify export": Command(
        "images:verify_export",
        "RUN",
        "tasks for people, who say whether candidates are artifacts",
        ("run",),
        jobs=("verify.export:export",),
    ),
    "verify import": Command(
        "images:verify_import",
        "TASKS VOTES",
        "votes back: confirmed candidates, precision of detectors",
        ("tasks", "votes"),
        jobs=("verify.results:import_votes",),
    ),
    "dataset build": Command(
        "datasets:build",
        "INPUT ...",
        "confirmed artifacts, and other data sets, to one with card and COCO",
        ("inputs",),
        jobs=("dataset.build:build",),
    ),
    "dataset stats": Command(
        "datasets:stats", "DATA", "what is in a data set, counted", ("dataset",)
    ),
    "dataset check": Command("datasets:check", "DATA", "whether a data set is whole", ("dataset",)),
    "compare": Command(
        "runs:compare",
        "RUN_A RUN_B",
        "two versions of a codec: what is fixed, new, or stayed",
        ("before", "after"),
        jobs=("compare.run:compare", "compare.versions:Rules"),
    ),
    "import": Command(
        "datasets:import_table",
        "TABLE",
        "read somebody else's table of labelled triplets",
        ("source",),
    ),
    "validate": Command(
        "datasets:validate",
        "WHERE",
        "list every problem of a data folder or manifest",
        ("source",),
        flags=("pairs",),
    ),
    "list": Command(
        "plugins:list_plugins", "", "detectors, baselines, codecs and text finders that are there"
    ),
}
"""By their words on the command line; the configuration of ``verify export`` is verify_export."""
