"""Every speed that this project states, of one run on one machine, as one table.

    python benchmarks/all.py                      about ten minutes; writes docs/performance.md
    python benchmarks/all.py --only metrics text
    python benchmarks/all.py --quick              seconds, to see that it runs; writes nothing

``--pyiqa`` is the interpreter of an environment that has pyiqa, which nothing here needs. What a
part cannot measure here (a codec that is missing) is a row that says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import detectors
import large
import metrics
import mining
import rate_matching
import text
import throughput
from rows import Row, cpu_name, table

from nacd_bench.planting.photographs import COLOR_PHOTOS, photo

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGINNING, END = "<!-- made by benchmarks/all.py -->\n", "<!-- until here -->"
MAIN_JOB_LIMIT, LIST_LIMIT, HELP_LIMIT = 60, 1.0, 0.6
SMALL_JOB = ["data.tiles=8", "sets.n=2", "bootstrap.resamples=50", "report=false"]
Part = Callable[[], list[Row]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts())
    parser.add_argument("--pyiqa", help="an interpreter that has it")
    options = parser.parse_args()
    chosen = parts(options.quick, options.pyiqa)
    rows, failed = measured({name: chosen[name] for name in options.only or chosen})
    said = (
        f"{cpu_name()}, {os.cpu_count()} cores; Python {sys.version.split()[0]}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "piq", "torchmetrics"))
        + f"; {date.today()}; nacd-bench {version('nacd-bench')}."
    )
    page = f"\n{said}\n\n{table(rows)}"
    print(page)
    if not (options.quick or options.only):
        before, _, rest = PAGE.read_text().partition(BEGINNING)
        PAGE.write_text(f"{before}{BEGINNING}{page}\n{END}{rest.partition(END)[2]}")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def parts(quick: bool = False, pyiqa: str | None = None) -> dict[str, Part]:
    """What is measured, by name, in an order in which memory grows."""
    if not quick:
        return {
            "large": large_pictures,
            "detectors": partial(detectors.measure, runs=3),
            "metrics": partial(metrics.measure, runs=3, pyiqa=pyiqa),
            "text": text.measure,
            "rates": rate_matching.measure,
            "throughput": throughput.measure,
            "mining": mining.measure,
            "commands": commands,
        }
    photos = {name: photo(name)[:64, :96] for name in COLOR_PHOTOS[:2]}
    return {
        "large": partial(large_pictures, 0.2),
        "detectors": partial(detectors.measure, (0.03,), 1),
        "metrics": partial(metrics.measure, (0.05,), 1, pyiqa),
        "text": partial(text.measure, (0.05,), 1),
        "rates": partial(rate_matching.measure, photos, ("jpeg",), (0.5, 1.0), 1),
        "throughput": partial(throughput.measure, 1, (1,), (1,)),
        "mining": partial(mining.measure, 1, 2),
        "commands": partial(commands, SMALL_JOB),
    }


def measured(parts: dict[str, Part]) -> tuple[list[Row], list[str]]:
    """The rows of the parts, one after the other; one that fails is a row, and named beside."""
    rows: list[Row] = []
    failed = []
    for name, part in parts.items():
        began = time.perf_counter()
        try:
            rows += part()
        except Exception as error:  # the other parts are worth having
            rows.append(Row(name, f"not measured: {type(error).__name__}: {error}"))
            failed.append(name)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, failed


def large_pictures(megapixels: float = 24) -> list[Row]:
    """Commands over large triplets, reports included."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        triplets = large.made_triplet(Path(folder) / "triplets", megapixels)
        works = {"detect": "one triplet", "benchmark": "two triplets", "mine": "one original"}
        for command, what in works.items():
            job = [
                *large.COMMANDS[command](triplets, None),
                f"folder={folder}/{command}",
                large.QUIET,
            ]
            took, memory, printed = large.measured(*job, cache=f"{folder}/cache")
            figure = f"{took:.0f} s, {memory:.2f} GB. {printed.splitlines()[-1]}"
            aim = f"{large.LIMITS_GB[24]} GB, report 10 s"
            rows.append(Row(f"nacd-bench {command}, {what} of {megapixels:g} MP", figure, aim=aim))
    return rows


def commands(settings: list[str] | None = None) -> list[Row]:
    """The main job with an empty cache, and what should answer at once."""
    with tempfile.TemporaryDirectory() as folder:
        job = ["benchmark", "logger=none", "show_progress=false", f"folder={folder}/run"]
        took, _, printed = large.measured(*job, *(settings or []), cache=f"{folder}/cache")
        (inside,) = (line for line in printed.splitlines() if line.startswith("Time by part"))
        answers = {
            words: min(large.measured(*words.split(), cache=f"{folder}/cache")[0] for _ in range(3))
            for words in ("list", "detect --help")
        }
    return [
        Row("main job, nothing cached", f"{took:.0f} s. {inside}", aim=f"{MAIN_JOB_LIMIT} s"),
        Row("nacd-bench list", f"{answers['list']:.2f} s", aim=f"{LIST_LIMIT:g} s"),
        Row("nacd-bench detect --help", f"{answers['detect --help']:.2f} s", aim=f"{HELP_LIMIT} s"),
    ]


if __name__ == "__main__":
    main()
