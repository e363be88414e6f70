"""The commands, as the command line knows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """What the command line needs to know of a command.

    Args:
        module: of :mod:`nacd_bench.cli`, whose ``run(**settings)`` prints what was done and returns
            the exit status.
        usage: what follows the command's name in the list of commands.
        summary: a line for that list.
        paths: settings that paths on the command line fill in this order, the last one all that
            are left.
        data: the choice of the group ``data`` that paths stand for.
        flags: settings that ``--NAME`` makes true.
        job: the function that takes the settings that ``run`` does not take itself.
    """

    module: str
    usage: str
    summary: str
    paths: tuple[str, ...] = ()
    data: str | None = None
    flags: tuple[str, ...] = ()
    job: str = ""


COMMANDS: dict[str, Command] = {
    "detect": Command(
        "detect",
        "[WHERE]",
        "find, box and score artifacts in triplets of images",
        ("data.source",),
        "triplets",
        job="nacd_bench.jobs.detect:detect",
    ),
    "benchmark": Command(
        "benchmark",
        "[WHERE]",
        "how well each method finds artifacts in labelled triplets",
        ("data.source",),
        "labelled",
        job="nacd_bench.jobs.benchmark.run:benchmark",
    ),
    "report": Command(
        "report",
        "RUN",
        "a run's pictures and figures as pages for a browser",
        ("run",),
        flags=("serve",),
    ),
    "compress": Command(
        "compress",
        "IMAGES",
        "make such triplets: two codecs at a matched rate",
        ("images",),
        job="nacd_bench.jobs.compress.run:compress",
    ),
    "mine": Command(
        "mine",
        "[IMAGES]",
        "from many images to candidates for artifacts",
        ("images",),
        flags=("plan", "tables"),
        job="nacd_bench.jobs.mine.run:mine",
    ),
    "verify export": Command(
        "verify_export",
        "RUN",
        "tasks for people, who say whether candidates are artifacts",
        ("run",),
        job="nacd_bench.jobs.verify.export:export",
    ),
    "verify import": Command(
        "verify_import",
        "TASKS VOTES",
        "votes back: confirmed candidates, precision of detectors",
        ("tasks", "votes"),
        job="nacd_bench.jobs.verify.results:import_votes",
    ),
    "dataset build": Command(
        "dataset_build",
        "INPUT ...",
        "confirmed artifacts, and other data sets, to one with card and COCO",
        ("inputs",),
        job="nacd_bench.jobs.dataset.build:build",
    ),
    "dataset stats": Command(
        "dataset_stats", "DATA", "what is in a data set, counted", ("dataset",)
    ),
    "dataset check": Command("dataset_check", "DATA", "whether a data set is whole", ("dataset",)),
    "compare": Command(
        "compare",
        "RUN_A RUN_B",
        "two versions of a codec: what is fixed, new, or stayed",
        ("before", "after"),
        job="nacd_bench.jobs.compare.run:compare nacd_bench.jobs.compare.versions:Rules",
    ),
    "import": Command(
        "import_table", "TABLE", "read somebody else's table of labelled triplets", ("source",)
    ),
    "validate": Command(
        "validate", "WHERE", "list every problem of a data folder or manifest", ("source",)
    ),
    "list": Command(
        "list_plugins", "", "detectors, baselines, codecs and text finders that are there"
    ),
}
"""By their words on the command line; the configuration of ``verify export`` is verify_export."""
