"""``nacd-bench benchmark -m``: a benchmark per combination of swept values.

Sweeping is Hydra's: its grammar for values, its launchers and sweepers.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.cli.composing import (
    chosen,
    hydra,
    is_choice,
    is_setting,
    kind_of,
    types_of_command,
    with_names,
    without_presets,
)
from nacd_bench.cli.printing import show
from nacd_bench.errors import UserError
from nacd_bench.jobs.benchmark.run import benchmark, objective
from nacd_bench.numbers import count
from nacd_bench.pipeline.methods import arguments
from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.report.sweep import (
    ERROR,
    note_run,
    read_sweep,
    sweep_table,
    write_sweep,
)
from nacd_bench.settings import Name, refused

QUIET = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")
"""The harness writes its own run folders."""


def sweep(command: str, words: Sequence[str]) -> int:
    """Benchmarks of all combinations, and one table and plot over all of them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if command != "benchmark":
        raise UserError(f"expected sweeps (-m) of benchmark, got one of {command}.")
    paths = [word for word in words if not is_setting(word)]
    settings = [word.lstrip("+") for word in words if is_setting(word)]
    settings += ["data=labelled"] if paths else []
    try:
        overrides = OverridesParser.create().parse_overrides(settings)
        folders = [str(x.value()) for x in overrides if x.key_or_group == "folder"]
        if "" in folders:
            raise refused("folder", Name, "")
        folder = Path(folders[-1] if folders else time.strftime("runs/sweep-%Y%m%d-%H%M%S"))
        place = str(folder).replace("\\", "\\\\").replace("'", "\\'")
        choices = [x for x in overrides if is_choice(x.key_or_group)]
        with hydra() as running:
            if not any(choice.is_sweep_override() for choice in choices):
                config = chosen(running, command, [str(choice.input_line) for choice in choices])
                plain, kinds = OmegaConf.to_container(config), types_of_command(command)
                for override in overrides:
                    if override not in choices:
                        kind_of(command, plain, kinds, override.key_or_group)
            # the one way to Hydra's launchers that does not go through sys.argv
            running.multirun(
                command,
                partial(_job, folder, paths),
                [
                    *settings,
                    *QUIET,
                    f"hydra.sweep.dir='{place}'",
                    "hydra.sweep.subdir=${hydra.job.num}",
                ],
                with_log_configuration=False,
            )
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise UserError(
            f"expected settings of a sweep in Hydra's grammar, got {' '.join(settings)}: "
            f"{str(cause).splitlines()[0]}"
        ) from error
    done = read_sweep(folder)
    write_sweep(done)
    failed = [f"run {run.number}: {run.error}" for run in done.runs if run.error]
    failed += [
        f"run {run.number}: {count(run.n_failures, 'failure')}, see "
        f"{folder / str(run.number)}/failures.csv"
        for run in done.runs
        if run.n_failures
    ]
    show("", sweep_table(done), f"Table and plot: {folder}/ (sweep.csv, sweep.md, sweep.png)")
    show(*failed)
    return 1 if failed or not done.runs else 0


def _job(folder: Path, paths: Sequence[str], config: Any) -> float:
    """One run of a sweep, in whatever process its launcher chose; the optimiser's objective."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    tune_process()
    job = HydraConfig.get()
    run_folder = folder / str(job.job.num)
    note_run(run_folder, job.overrides.task)
    print(f"run {job.job.num}: {' '.join(job.overrides.task)}", file=sys.stderr, flush=True)
    try:
        with open_dict(config):
            config.folder = str(run_folder)
            for name, value in with_names("benchmark", paths):
                OmegaConf.update(config, name, value)
        plain: Any = OmegaConf.to_container(without_presets(config), resolve=True)
        del plain["report"]  # the sweep has one table and plot
        return objective(benchmark(**arguments(plain)))
    except (UserError, OSError) as error:  # the other runs go on
        (run_folder / ERROR).write_text(str(error), "utf-8")
        return math.nan
