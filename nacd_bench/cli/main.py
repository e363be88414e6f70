"""The command line: ``nacd-bench COMMAND [PATHS] [setting=value ...]``.

Each command is a primary configuration of ``conf/``, composed by Hydra, and a module of
:mod:`nacd_bench.cli` that hands it to the harness and prints what came of it.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

from nacd_bench import __version__
from nacd_bench.cli.printing import console
from nacd_bench.errors import UserError
from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.registry import (
    BASELINES,
    BUILT_IN,
    CODECS,
    DETECTORS,
    TEXT_FINDERS,
    Registry,
    unknown,
)


@dataclass(frozen=True)
class Command:
    """What the command line needs to know of a command.

    Args:
        module: of :mod:`nacd_bench.cli`, whose ``run(config)`` returns the exit status.
        usage: what follows the command's name in the list of commands.
        summary: a line for that list.
        paths: settings that paths on the command line fill in this order, the last one all that
            are left.
        data: the choice of the group ``data`` that paths stand for.
        flags: settings that ``--NAME`` makes true.
    """

    module: str
    usage: str
    summary: str
    paths: tuple[str, ...] = ()
    data: str | None = None
    flags: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {
    "detect": Command(
        "detect",
        "[WHERE]",
        "find, box and score artifacts in triplets of images",
        ("data.source",),
        "triplets",
    ),
    "benchmark": Command(
        "benchmark",
        "[WHERE]",
        "how well each method finds artifacts in labelled triplets",
        ("data.source",),
        "labelled",
    ),
    "report": Command(
        "report",
        "RUN",
        "a run's pictures and figures as pages for a browser",
        ("run",),
        flags=("serve",),
    ),
    "compress": Command(
        "compress", "IMAGES", "make such triplets: two codecs at a matched rate", ("images",)
    ),
    "mine": Command(
        "mine",
        "[IMAGES]",
        "from many images to candidates for artifacts",
        ("images",),
        flags=("plan", "tables"),
    ),
    "verify export": Command(
        "verify_export",
        "RUN",
        "tasks for people, who say whether candidates are artifacts",
        ("run",),
    ),
    "verify import": Command(
        "verify_import",
        "TASKS VOTES",
        "votes back: confirmed candidates, precision of detectors",
        ("tasks", "votes"),
    ),
    "dataset build": Command(
        "dataset_build",
        "VERIFIED",
        "confirmed artifacts to a data set with card and COCO",
        ("verified",),
    ),
    "dataset merge": Command(
        "dataset_merge", "DATA DATA ...", "several data sets as one", ("datasets",)
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

GROUPS: dict[str, Registry] = {
    "detector": DETECTORS,
    "baseline": BASELINES,
    "codec": CODECS,
    "text_finder": TEXT_FINDERS,
}
"""Configuration groups whose choices are registered names."""

QUIET_HYDRA = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""The harness writes its own run folder."""

BROKEN_PIPE = 128 + 13
"""Exit status by the convention of shells: 128 and the number of the signal, SIGPIPE."""

GROUPINGS = {"baseline": ("all", "paper", "none")}
"""Choices of a configuration group that stand for several names."""


def listed(beginning: str = "") -> str:
    """A line for each command whose first word is ``beginning``, for all by default."""
    words = {name: f"{name} {command.usage}".strip() for name, command in COMMANDS.items()}
    wide = max(map(len, words.values())) + 2
    return "\n".join(
        f"  nacd-bench {words[name]:{wide}}{COMMANDS[name].summary}"
        for name in COMMANDS
        if beginning in ("", name.partition(" ")[0])
    )


def usage() -> str:
    """What ``nacd-bench --help`` says."""
    return f"""nacd-bench {__version__}: where a neural image codec damages pictures and a
traditional codec at a comparable rate does not.

{listed()}

  nacd-bench COMMAND --help      what a command takes
  nacd-bench --version

Without any data, detect and benchmark work on photographs from installed packages.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 all well, 1 something failed, 2 wrong usage.

    Where whoever reads the output has gone (``nacd-bench list | head -3``), it ends without a word
    and with 141, as a program does that SIGPIPE ended.
    """
    tune_process()
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # Python flushes both once more at its end
            os.dup2(nowhere, stream.fileno())
        return BROKEN_PIPE
    return status


def _run(arguments: list[str]) -> int:
    command, rest = split_command(arguments)
    if command in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if command == "--version":
        print(f"nacd-bench {__version__}")
        return 0
    group, _, second = command.partition(" ")
    if group in _groups() and second in ("", "-h", "--help", "help"):
        print(listed(group))
        return 0 if second else 2
    if command not in COMMANDS:
        near = get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        _complain(f"unknown command '{command}'.{hint} Known: {', '.join(COMMANDS)}")
        return 2
    try:
        return _composed(command, rest)
    except BrokenPipeError:
        raise
    except UserError as error:
        _complain(str(error))
    except OSError as error:
        _complain(_of_the_system(error))
    except KeyboardInterrupt:
        _complain("stopped. What is done is kept: name the same folder=... to go on.")
        return 130
    return 1


def _composed(command: str, arguments: Sequence[str]) -> int:
    """Let Hydra compose a command's configuration, and run it."""
    flags = COMMANDS[command].flags
    arguments = [
        f"{each[2:]}=true" if each.startswith("--") and each[2:] in flags else each
        for each in arguments
    ]
    overrides, paths = split_arguments(arguments)
    check_choices(overrides)
    register_plugins()
    if COMMANDS[command].data and paths:
        overrides.append(f"data={COMMANDS[command].data}")
    if not {"-h", "--help"}.isdisjoint(overrides):
        return _helped(command, overrides)
    if "-m" in overrides or "--multirun" in overrides:
        return _swept(command, overrides, paths)
    if any(override.startswith("-") for override in overrides):  # --cfg, --info
        return _by_hydra(command, overrides, lambda config: None)
    config = _with_paths(command, composed(command, overrides), paths)
    return import_module(f"nacd_bench.cli.{COMMANDS[command].module}").run(config)


def composed(command: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A command's configuration with the settings that were given, as plain values.

    Raises:
        UserError: a setting that is not there, or a value that cannot be read.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    try:
        with initialize_config_module("nacd_conf", version_base="1.3"):
            config = compose(command.replace(" ", "_"), [*overrides])
            plain: Any = OmegaConf.to_container(config, resolve=True)
            return plain
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        node, name = getattr(cause, "parent_node", None), getattr(cause, "full_key", None)
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and node is not None and name:
            group = name.rpartition(".")[0]
            names = [
                f"{group}.{key}".lstrip(".") for key in node if key not in ("_target_", "hydra")
            ]
            raise UserError(unknown(f"setting of {command}", name, names)) from error
        raise UserError(
            f"expected settings of {command} as name=value, got {' '.join(overrides)}: "
            f"{str(cause).splitlines()[0]}. Quote values with other signs than letters and digits."
        ) from error


def _helped(command: str, overrides: Sequence[str]) -> int:
    """Print Hydra's help with the comments of the command's configuration, which Hydra drops."""
    with redirect_stdout(StringIO()) as printed:
        status = _by_hydra(command, overrides, lambda config: None)
    lines = printed.getvalue().splitlines()
    source = files("nacd_conf").joinpath(f"{command.replace(' ', '_')}.yaml").read_text("utf-8")
    for match in re.finditer(r"^(\w+:)([^#\n]*)(#.*(?:\n +#.*)*)", source, re.MULTILINE):
        key, value, comment = match.groups()
        for i, line in enumerate(lines):
            if line.startswith(key):
                lines[i] = f"{line:{len(key + value)}}{comment}"
    print("\n".join(lines))
    return status


def _by_hydra(command: str, overrides: Sequence[str], task: Callable[[Any], Any]) -> int:
    """Call a task with what Hydra composes; the status where Hydra itself ended the program."""
    import hydra

    name = command.replace(" ", "_")
    before = sys.argv
    sys.argv = [f"nacd-bench {command}", *overrides, *QUIET_HYDRA]
    try:
        hydra.main(version_base="1.3", config_path="pkg://nacd_conf", config_name=name)(task)()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def _swept(command: str, overrides: list[str], paths: list[str]) -> int:
    """A benchmark per combination of swept values, and one table and plot over all of them."""
    from nacd_bench.jobs.benchmark.sweep import read_sweep, sweep_layout, write_sweep
    from nacd_bench.jobs.benchmark.table import to_rich

    if command != "benchmark":
        raise UserError(f"expected sweeps (-m) of benchmark, got one of {command}.")
    given = [each.partition("=")[2] for each in overrides if each.startswith("folder=")]
    folder = Path(given[-1] if given else time.strftime("runs/sweep-%Y%m%d-%H%M%S"))
    place = str(folder).replace("'", "\\'")
    status = _by_hydra(
        command,
        [*overrides, f"hydra.sweep.dir='{place}'", "hydra.sweep.subdir=${hydra.job.num}"],
        partial(_sweep_job, folder, paths),
    )
    if status:
        return status
    sweep = read_sweep(folder)
    write_sweep(sweep)
    out = console()
    out.print()
    out.print(to_rich(sweep_layout(sweep)))
    out.print(f"Table and plot: {folder}/ (sweep.csv, sweep.md, sweep.png)", markup=False)
    failed = [f"run {run.number}: {run.error}" for run in sweep.runs if run.error]
    failed += [
        f"run {run.number}: {run.n_failures} failures, see {folder / str(run.number)}/failures.csv"
        for run in sweep.runs
        if run.n_failures
    ]
    for line in failed:
        out.print(line, markup=False)
    return 1 if failed or not sweep.runs else 0


def _sweep_job(folder: Path, paths: list[str], config: Any) -> float:
    """One run of a sweep, in whatever process its launcher chose; the optimiser's objective."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    from nacd_bench.jobs.benchmark.run import benchmark_from_config
    from nacd_bench.jobs.benchmark.sweep import ERROR, note_run, objective

    tune_process()
    job = HydraConfig.get()
    own = folder / str(job.job.num)
    note_run(own, job.overrides.task)
    print(f"run {job.job.num}: {' '.join(job.overrides.task)}", file=sys.stderr, flush=True)
    try:
        with open_dict(config):
            config.folder = str(own)
        plain: Any = OmegaConf.to_container(config, resolve=True)
        return objective(benchmark_from_config(_with_paths("benchmark", plain, paths))[0])
    except (UserError, OSError) as error:  # the other runs go on
        (own / ERROR).write_text(str(error), "utf-8")
        return math.nan


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command, of one word or two, and what follows it.

    >>> split_command(["list", "kind=codecs"])
    ('list', ['kind=codecs'])
    """
    two = " ".join(arguments[:2])
    if two in COMMANDS:
        return two, list(arguments[2:])
    if arguments and arguments[0] in _groups():
        return two, list(arguments[2:])
    return (arguments[0], list(arguments[1:])) if arguments else ("--help", [])


def _groups() -> set[str]:
    """First words of the commands that have two."""
    return {name.partition(" ")[0] for name in COMMANDS if " " in name}


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings and options for Hydra, and paths: what exists, or what is neither.

    >>> split_arguments(["triplets/", "folder=run", "--cfg", "job"])
    (['folder=run', '--cfg', 'job'], ['triplets/'])
    """
    overrides: list[str] = []
    paths: list[str] = []
    takes_value = False
    for argument in arguments:
        is_option = argument.startswith("-")
        is_setting = re.match(r"[+~]*[\w./@-]+=|~", argument) is not None
        if takes_value or is_option or (is_setting and not Path(argument).exists()):
            overrides.append(argument)
        else:
            paths.append(argument)
        takes_value = is_option and argument in ("--cfg", "-c", "--package", "-p", "--info", "-i")
    return overrides, paths


def _with_paths(command: str, config: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """The configuration with the paths where the command wants them, nothing left out."""
    names = COMMANDS[command].paths
    if paths and not names:
        raise UserError(f"expected no paths for {command}, got {' '.join(paths)}.")
    given: dict[str, str | list[str]] = dict(zip(names[:-1], paths, strict=False))
    rest = paths[len(names) - 1 :]
    if rest:
        given[names[-1]] = rest[0] if len(rest) == 1 else rest
    for name, value in given.items():
        *groups, last = name.split(".")
        node = config
        for group in groups:
            node = node[group]
        node[last] = value
    missing = list(_missing(config))
    if missing:
        settings = ", ".join(f"{name}=..." for name in missing)
        raise UserError(f"expected {settings} (see nacd-bench {command} --help), got nothing.")
    return config


def _missing(config: Any, place: str = "") -> list[str]:
    if isinstance(config, Mapping):
        return [
            name
            for key, value in config.items()
            for name in _missing(value, f"{place}.{key}" if place else str(key))
        ]
    return [place] if config == "???" else []


def check_choices(overrides: Sequence[str]) -> None:
    """:class:`UserError` with the near misses for a choice that nothing is registered under."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        registry = GROUPS.get(group.partition("@")[0])
        if registry is None:
            continue
        for name in re.split(r"[\[\],\s'\"]+", value):
            is_grouping = name in GROUPINGS.get(registry.kind, ())
            if name and name not in registry and not is_grouping and not name.startswith("$"):
                raise UserError(unknown(registry.kind, name, list(registry)))


def register_plugins() -> None:
    """Make what other packages registered a choice of its configuration group."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for group, registry in GROUPS.items():
        for name, entry in registry.entries.items():
            if entry.origin == BUILT_IN or not isinstance(entry.target, str):
                continue
            if group == "codec":
                store.store(name, {"name": name}, group)
            else:
                package = f"{group}.{name}" if group in ("detector", "baseline") else group
                target = entry.target.replace(":", ".")
                store.store(name, {"_target_": target}, group, package)


def _complain(message: str) -> None:
    print(f"nacd-bench: {message}", file=sys.stderr)


def _of_the_system(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
