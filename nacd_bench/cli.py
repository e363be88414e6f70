"""The command line: ``nacd-bench COMMAND [PATHS] [setting=value ...]``.

Each command is a primary configuration of ``conf/``, composed by Hydra, and a function here that
hands it to the harness and prints what came of it.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench import __version__
from nacd_bench.errors import UserError
from nacd_bench.harness.tuning import tune_process
from nacd_bench.registry import (
    BASELINES,
    BUILT_IN,
    CODECS,
    DETECTORS,
    TEXT_FINDERS,
    Registry,
    unknown,
)

if TYPE_CHECKING:
    from rich.console import Console

USAGE = f"""nacd-bench {__version__}: where a neural image codec damages pictures and a traditional
codec at a comparable rate does not.

  nacd-bench detect [WHERE]      find, box and score artifacts in triplets of images
  nacd-bench benchmark [WHERE]   how well each method finds artifacts in labelled triplets
  nacd-bench report RUN          a run's pictures and figures as pages for a browser
  nacd-bench compress IMAGES     make such triplets: two codecs at a matched rate
  nacd-bench import TABLE        read somebody else's table of labelled triplets
  nacd-bench validate WHERE      list every problem of a data folder or manifest
  nacd-bench list                detectors, baselines, codecs and text finders that are there

  nacd-bench COMMAND --help      what a command takes
  nacd-bench --version

Without any data, detect and benchmark work on photographs from installed packages.
"""

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

DATA = {"detect": "triplets", "benchmark": "labelled"}
"""What paths are to commands that take data: a choice of the group ``data``."""

GROUPINGS = {"baseline": ("all", "paper", "none")}
"""Choices of a configuration group that stand for several names."""

WIDTH_IN_FILES = 140
"""Of tables where the output is no terminal."""
HEAT_MAPS = 24
"""Triplets per detector with a heat map in the report that a job ends with."""
MOST_LINES = 20
"""Failures shown; the file has them all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 all well, 1 something failed, 2 wrong usage."""
    tune_process()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        print(f"nacd-bench {__version__}")
        return 0
    if command not in COMMANDS:
        near = get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        _complain(f"unknown command '{command}'.{hint} Known: {', '.join(COMMANDS)}")
        return 2
    try:
        return _composed(command, rest)
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
    from omegaconf import OmegaConf

    if command == "report":
        arguments = ["serve=true" if each == "--serve" else each for each in arguments]
    overrides, paths = split_arguments(arguments)
    check_choices(overrides)
    register_plugins()
    if command in DATA and paths:
        overrides.append(f"data={DATA[command]}")
    if "-m" in overrides or "--multirun" in overrides:
        return _swept(command, overrides, paths)
    outcome: list[int | BaseException] = []

    def task(config: Any) -> None:
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True)
            outcome.append(COMMANDS[command](_with_paths(command, plain, paths)))
        except (UserError, OSError, KeyboardInterrupt) as error:
            outcome.append(error)  # Hydra would print it as a crash

    stopped = _by_hydra(command, overrides, task)
    for error in outcome:
        if isinstance(error, BaseException):
            raise error
    return max((status for status in outcome if isinstance(status, int)), default=stopped)


def _by_hydra(command: str, overrides: Sequence[str], task: Callable[[Any], Any]) -> int:
    """Call a task with what Hydra composes; the status where Hydra itself ended the program."""
    import hydra

    before = sys.argv
    sys.argv = [f"nacd-bench {command}", *overrides, *QUIET_HYDRA]
    try:
        hydra.main(version_base="1.3", config_path="pkg://nacd_conf", config_name=command)(task)()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def _swept(command: str, overrides: list[str], paths: list[str]) -> int:
    """A benchmark per combination of swept values, and one table and plot over all of them."""
    from nacd_bench.harness.benchmark_table import to_rich
    from nacd_bench.harness.sweep import read_sweep, sweep_layout, write_sweep

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
    console = _console()
    console.print()
    console.print(to_rich(sweep_layout(sweep)))
    console.print(f"Table and plot: {folder}/ (sweep.csv, sweep.md, sweep.png)", markup=False)
    failed = [f"run {run.number}: {run.error}" for run in sweep.runs if run.error]
    failed += [
        f"run {run.number}: {run.n_failures} failures, see {folder / str(run.number)}/failures.csv"
        for run in sweep.runs
        if run.n_failures
    ]
    for line in failed:
        console.print(line, markup=False)
    return 1 if failed or not sweep.runs else 0


def _sweep_job(folder: Path, paths: list[str], config: Any) -> float:
    """One run of a sweep, in whatever process its launcher chose; the optimiser's objective."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    from nacd_bench.harness.benchmark import benchmark_from_config
    from nacd_bench.harness.sweep import ERROR, note_run, objective

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
    if paths:
        value = paths[0] if len(paths) == 1 else paths
        if command in DATA:
            config["data"]["source"] = value
        elif command == "compress":
            config["images"] = value
        elif command == "report":
            config["run"] = value
        elif command in ("validate", "import"):
            config["source"] = value
        else:
            raise UserError(f"expected no paths for {command}, got {' '.join(paths)}.")
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


def _detect(config: dict[str, Any]) -> int:
    from nacd_bench.harness.detect import detect_from_config

    found = detect_from_config(config)
    console = _console()
    table = _table("detector", "type", "triplets", "detections", "strongest", "in")
    for name, artifact_type in found.detectors.items():
        scores = {key: result["scores"].get(name) for key, result in found.results.items()}
        known = {key: score for key, score in scores.items() if score is not None}
        best = max(known, key=lambda key: known[key], default=None)
        count = sum(row["detector"] == name for row in found.detections)
        strongest = "-" if best is None else f"{known[best]:.4g}"
        table.add_row(name, artifact_type, str(len(known)), str(count), strongest, best or "-")
    console.print()
    if config["data"]["_target_"].endswith(".embedded_sample"):
        console.print("The embedded sample: photographs from installed packages.")
    for line in found.codecs:
        console.print(line, markup=False)
    console.print(table)
    console.print(
        f"{len(found.records)} triplets, {found.computed} computed in {found.seconds:.1f} s. "
        f"Results: {found.folder}/ (detections.parquet, scores.parquet"
        + (", overlays/)" if config["overlays"] else ")"),
        markup=False,
    )
    status = _with_report(config, found.folder, console)
    lines = [": ".join(filter(None, (f.subject, f.method, f.message))) for f in found.failures]
    return max(status, _listed_failures(console, lines, found.folder / "failures.csv"))


def _compress(config: dict[str, Any]) -> int:
    from nacd_bench.harness.compress import compress_from_config

    done = compress_from_config(config)
    console = _console()
    for twin, first in done.duplicates.items():
        console.print(f"{twin}: left out, the same bytes as {first}", markup=False)
    table = _table("codec", "step", "bpp", "PSNR of Y in dB", "MS-SSIM of Y", "images")
    for curve in done.curves:
        steps = zip(curve.presets, curve.bpp, curve.psnr, curve.msssim, curve.images, strict=True)
        for preset, bpp, psnr, msssim, images in steps:
            table.add_row(
                curve.name, preset, f"{bpp:.4f}", f"{psnr:.2f}", f"{msssim:.4f}", str(images)
            )
    console.print(table)
    for rate in done.bd_rates:
        if rate.images:
            console.print(
                f"BD-rate by {rate.quality} of {rate.neural} against {rate.traditional}: "
                f"{rate.percent:+.1f} % (mean of {rate.images} images)",
                markup=False,
            )
    console.print(
        f"{len(done.rows)} triplets, {done.encodes} encodes. Manifest: {done.manifest}. "
        f"Next: nacd-bench detect {done.folder}",
        markup=False,
    )
    lines = [
        f"{each['image']}: {each['side']} {each['preset']}: {each['error']}"
        for each in done.failures
    ]
    return _listed_failures(console, lines, done.folder / "failures.csv")


def _benchmark(config: dict[str, Any]) -> int:
    from nacd_bench.harness.benchmark import benchmark_from_config
    from nacd_bench.harness.benchmark_table import layout, places_table, tests_table, to_rich

    done, message = benchmark_from_config(config)
    console = _console()
    console.print()
    for each in done.comparisons.values():
        for note in each.notes:
            console.print(f"set {each.artifact_type}: {note}", markup=False)
    console.print(to_rich(layout(done)))
    for table in (tests_table(done), places_table(done)):
        if table.row_count:
            console.print(table)
    if done.reference is not None:
        console.print(f"Reference: {done.reference.source}", markup=False)
    console.print(
        f"{done.scored.computed} scores computed, {done.scored.cached} from the cache, in "
        f"{done.facts['wall_seconds']:.1f} s. Results: {done.folder}/ (metrics.json, "
        "scores.parquet, table.md, table.tex, thresholds.yaml, curves/, sets/)",
        markup=False,
    )
    if message:
        console.print(message, markup=False)
    status = _with_report(config, done.folder, console)
    lines = [": ".join(filter(None, (f.subject, f.method, f.message))) for f in done.failures]
    return max(status, _listed_failures(console, lines, done.folder / "failures.csv"))


def _validate(config: dict[str, Any]) -> int:
    from nacd_bench.data.source import find_triplets
    from nacd_bench.data.validate import validate
    from nacd_bench.harness.progress import progress_bar

    records, problems = find_triplets(config["source"])
    with progress_bar("triplets", len(records), config["show_progress"]) as tick:
        found = validate(
            records, problems, lambda done, total: tick(len(problems)), config["workers"]
        )
    console = _console()
    for problem in found:
        console.print(str(problem), markup=False)
    console.print(f"{len(records)} triplets, {len(found)} problems.")
    return 1 if found else 0


def _report(config: dict[str, Any]) -> int:
    from nacd_bench.report.figures import write_figures
    from nacd_bench.report.run import read_run
    from nacd_bench.report.serve import HOST, server

    width = config["figures"]
    if width is not None and not (isinstance(width, int | float) and 1 <= width <= 40):
        raise UserError(f"expected figures as a width of 1 to 40 inches, got {width!r}.")
    page = _write_report(Path(config["run"]), config["heat_maps"], config["show_progress"])
    console = _console()
    console.print(f"Report: {page}", markup=False)
    if width is not None:
        written = write_figures(read_run(config["run"]), width)
        console.print(f"{len(written)} figures: {page.parent / 'figures'}", markup=False)
    if config["serve"]:
        with server(page.parent, config["port"]) as running:
            port = running.server_address[1]
            console.print(f"Serving at http://{HOST}:{port}/ until Ctrl-C", markup=False)
            running.serve_forever()
    return 0


def _write_report(folder: Path, heat_maps: int, show_progress: bool) -> Path:
    """Write the report of a run with the detectors of its configuration."""
    from nacd_bench.harness.methods import made_methods
    from nacd_bench.harness.progress import progress_bar
    from nacd_bench.report.page import write_report
    from nacd_bench.report.run import read_run

    run = read_run(folder)
    nodes = run.config.get("detector") or {}
    try:
        detectors = made_methods("detector", nodes)[0] if nodes else []
    except UserError as error:
        run.missing.append(f"heat maps: {error}")
        detectors = []
    with progress_bar("triplets in the report", len(run.records), show_progress) as tick:
        return write_report(run, [each.eval() for each in detectors], heat_maps, tick)


def _with_report(config: Mapping[str, Any], folder: Path, console: Console) -> int:
    """The report that a job ends with; a fault in it is said and costs no results."""
    if not config["report"]:
        return 0
    try:
        page = _write_report(folder, HEAT_MAPS, config["show_progress"])
    except (UserError, OSError) as error:
        console.print(f"The report could not be written: {error}", markup=False)
        return 1
    console.print(f"Report, for a browser: {page}", markup=False)
    return 0


def _import(config: dict[str, Any]) -> int:
    from nacd_bench.data.importer import import_records
    from nacd_bench.data.manifest import write_manifest

    records = import_records(config["source"], config["mapping"])
    write_manifest(config["output"], records)
    labels = Counter(label.artifact_type for record in records for label in record.labels)
    counts = [f"{count} {name}" for name, count in sorted(labels.items())]
    free = sum(bool(record.artifact_free) for record in records)
    _console().print(
        f"{len(records)} triplets, labels: {', '.join(counts) or 'none'}; {free} free of "
        f"artifacts. Written: {config['output']}. Images were not opened: nacd-bench validate "
        f"{config['output']}",
        markup=False,
    )
    return 0


def _list(config: dict[str, Any]) -> int:
    registries = {
        "detectors": DETECTORS,
        "baselines": BASELINES,
        "codecs": CODECS,
        "text_finders": TEXT_FINDERS,
    }
    if config["kind"] != "all" and config["kind"] not in registries:
        raise UserError(unknown("kind", config["kind"], ["all", *registries]))
    table = _table("kind", "name", "from", "what it is")
    faults: list[str] = []
    for plural, registry in registries.items():
        if config["kind"] not in ("all", plural):
            continue
        for name, entry in registry.entries.items():
            origin = "built in" if entry.origin == BUILT_IN else entry.origin
            try:
                what = _first_line(entry.load())
            except UserError as error:
                faults.append(str(error))
                what = "does not load, see below"
            table.add_row(registry.kind, name, origin, what)
        faults += registry.clashes
    console = _console()
    console.print(table)
    for fault in faults:
        console.print(fault, markup=False)
    return 1 if faults else 0


COMMANDS: dict[str, Callable[[dict[str, Any]], int]] = {
    "detect": _detect,
    "benchmark": _benchmark,
    "report": _report,
    "compress": _compress,
    "import": _import,
    "validate": _validate,
    "list": _list,
}


def _first_line(thing: Any) -> str:
    return ((thing.__doc__ or "").strip().splitlines() or ["-"])[0]


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    width = None if is_terminal else WIDTH_IN_FILES
    return Console(highlight=False, soft_wrap=not is_terminal, width=width)


def _listed_failures(console: Console, lines: Sequence[str], file: Path) -> int:
    """Print what failed, the same only once; the exit status."""
    if not lines:
        return 0
    console.print(f"\n{len(lines)} failed:", markup=False)
    for line in lines[:MOST_LINES]:
        console.print(f"  {line}", markup=False)
    if len(lines) > MOST_LINES:
        console.print(f"  and {len(lines) - MOST_LINES} more", markup=False)
    console.print(f"All of them: {file}", markup=False)
    return 1


def _complain(message: str) -> None:
    print(f"nacd-bench: {message}", file=sys.stderr)


def _of_the_system(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
