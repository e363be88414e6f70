"""The job behind ``nacd-bench compare``: two folders to tables, a page with pictures, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import Image
from nacd_bench.errors import DataError, Failure, ImageError, UserError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.thresholds import Thresholds, read_thresholds
from nacd_bench.jobs.compare.files import (
    DETECTOR_COLUMNS,
    RATE_COLUMNS,
    TYPE_COLUMNS,
    detector_rows,
    rate_rows,
    type_rows,
    write_changes,
    write_lists,
    write_summary,
)
from nacd_bench.jobs.compare.gate import Gate, gate_from_config, objections, verdict
from nacd_bench.jobs.compare.pictures import Pictures
from nacd_bench.jobs.compare.versions import Compared, Rules, compare_runs
from nacd_bench.ops.boxes import region_holding
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.report.comparison_page import FOLDER, write_comparison
from nacd_bench.runs.folder import clear_parts, new_run_id, run_lock
from nacd_bench.triplets.files import json_bytes, write_whole
from nacd_bench.triplets.record import Box

PICTURES = 400
"""Changes with pictures in the page."""
DEFAULT_RULES = Rules()
OPEN = Gate()


@dataclass(frozen=True)
class Comparison:
    """What a job left in its folder.

    Args:
        folder: where everything lies.
        compared: the figures.
        page: ``index.html``, or None where none was asked for.
        objections: why the gate does not let the later run pass.
        verdict: one line.
        failures: of both runs.
        unseen: pictures that are missing.
    """

    folder: Path
    compared: Compared
    page: Path | None
    objections: Sequence[str]
    verdict: str
    failures: Sequence[Failure]
    unseen: int


def compare(
    before: str | Path,
    after: str | Path,
    folder: str | Path,
    rules: Rules = DEFAULT_RULES,
    gate: Gate = OPEN,
    *,
    report: bool = True,
    pictures: int = PICTURES,
    decode: bool = True,
    show_progress: bool = True,
) -> Comparison:
    """Compare two runs and write what comes of it.

    Args:
        before, after: folders of detect, benchmark or mine runs.
        folder: where results go; an earlier comparison in it is written over.
        rules: what counts as what.
        gate: what the later run may do.
        report: write the page.
        pictures: changes that get pictures.
        decode: decode bitstreams of mined runs for pictures.
        show_progress: a progress bar.

    Raises:
        DataError: see :func:`~nacd_bench.jobs.compare.versions.compare_runs`; a folder in use,
            or that of one of the runs.
    """
    folder = Path(folder)
    if folder.resolve() in (Path(before).resolve(), Path(after).resolve()):
        raise DataError(
            f"expected a folder of its own for the comparison, got that of a run ({folder}). Name "
            "another one: folder=runs/compare"
        )
    done = compare_runs(before, after, rules)
    against = objections(gate, done)
    line = verdict(gate, done, against)
    with run_lock(folder, new_run_id()):
        clear_parts(folder)
        write_changes(folder, done.changes)
        write_summary(folder, done, gate, against, line)
        page: Path | None = None
        unseen: dict[str, str] = {}
        if report:
            number = min(pictures, len(done.pair_of))
            with progress_bar("changes with pictures", number, show_progress) as tick:
                unseen = write_comparison(
                    folder,
                    done.changes,
                    done.pair_of,
                    _Cuts(done, decode),
                    pictures,
                    tick,
                    **_shown(done, gate, against, line),
                )
            page = folder / FOLDER / "index.html"
        missing = [Failure(name, "picture", message) for name, message in unseen.items()]
        write_lists(folder, done.unpaired, [*done.failures, *missing])
    return Comparison(folder, done, page, against, line, done.failures, len(unseen))


def compare_from_config(config: Mapping[str, Any]) -> Comparison:
    """:func:`compare` with the settings of ``conf/compare.yaml``, as plain dictionaries."""
    for name in ("before", "after"):
        if not isinstance(config[name], str):
            raise DataError(f"expected two folders of runs, RUN_A and RUN_B, got {config[name]!r}.")
    pictures = config["pictures"]
    if isinstance(pictures, bool) or not isinstance(pictures, int) or pictures < 0:
        raise DataError(f"expected pictures as a number of changes, got {pictures!r}.")
    try:
        resampling = Resampling(**config["bootstrap"])
    except (TypeError, ValueError) as error:
        raise DataError(f"bootstrap: {error}") from error
    for name in ("iou", "margin", "same", "rate_tolerance"):
        if isinstance(config[name], bool) or not isinstance(config[name], int | float):
            raise DataError(f"expected {name} as a number, got {config[name]!r}.")
    rules = Rules(
        iou=config["iou"],
        by=config["by"],
        thresholds=_thresholds(config["thresholds"]),
        margin=config["margin"],
        same=config["same"],
        rate_tolerance=config["rate_tolerance"],
        resampling=resampling,
    )
    done = compare(
        config["before"],
        config["after"],
        config["folder"],
        rules,
        gate_from_config(config),
        report=config["report"],
        pictures=pictures,
        decode=config["decode"],
        show_progress=config["show_progress"],
    )
    write_whole(done.folder / "settings.json", json_bytes(dict(config)))
    return done


def _thresholds(given: Any) -> Mapping[str, float] | Thresholds:
    """Thresholds by detector, given as such or as a file that a benchmark wrote."""
    if isinstance(given, str):
        return read_thresholds(given)
    for name, value in (given or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"expected thresholds.{name} as a number, got {value!r}.")
    return dict(given or {})


def _shown(done: Compared, gate: Gate, against: Sequence[str], line: str) -> dict[str, Any]:
    """What the page shows above the changes."""
    runs = {}
    for name, run in (("before", done.before), ("after", done.after)):
        codecs = sorted({each.codecs["neural"] for each in run.triplets if each.codecs["neural"]})
        runs[name] = f"{run.folder} ({run.kind}; {', '.join(codecs[:4]) or 'codec not known'})"
    tables: list[tuple[str, Sequence[str], list[list[str]]]] = [
        ("Artifacts by type", TYPE_COLUMNS, type_rows(done)),
        ("Artifacts and scores by detector", DETECTOR_COLUMNS, detector_rows(done)),
    ]
    if done.rates:
        tables.append(("Bits per pixel of the neural codec", RATE_COLUMNS, rate_rows(done)))
    notes = [
        "By type, p is McNemar's exact test on originals with more or fewer triplets that have an "
        "artifact; by detector, Wilcoxon's signed-rank test on the mean score of each original. "
        "All p values are corrected by Holm.",
        f"{len(done.pairs)} pairs of triplets of {len(set(done.clusters))} originals; "
        f"{len(done.unpaired)} results without partner (unpaired.csv); {len(done.failures)} "
        "failures of the runs (failures.csv).",
    ]
    names = f"{done.before.folder.resolve().name} to {done.after.folder.resolve().name}"
    return {
        "title": f"nacd-bench compare: {names}",
        "verdict": line,
        "passed": None if gate.is_open else not against,
        "warnings": done.warnings,
        "runs": runs,
        "tables": tables,
        "notes": notes,
    }


class _Cuts:
    """Pixels of both runs, by pair."""

    def __init__(self, done: Compared, decode: bool) -> None:
        self.pairs = done.pairs
        self.runs = done.before, done.after
        self.pictures = [Pictures(run, decode) for run in self.runs]

    def region(self, pair: int, boxes: Sequence[Box]) -> Box:
        """A crop that a run kept where it holds every box, else what is around them."""
        rows = self.pairs[pair]
        for side in (1, 0):
            kept = self.runs[side].triplets[rows[side]].pictures["neural"].crops
            for place, _ in kept:
                if all(_holds(place, box) for box in boxes):
                    return place
        height, width = self._size(pair)
        return region_holding(boxes, width, height)

    def _size(self, pair: int) -> tuple[int, int]:
        fault: UserError | None = None
        for view in ("original", "after", "before", "traditional"):
            try:
                height, width = self._first(pair, view, None).shape[:2]
                return height, width
            except UserError as error:
                fault = fault or error
        raise fault or ImageError("the runs kept no picture of it.")

    def cut(self, pair: int, view: str, part: Box) -> Image:
        return self._first(pair, view, part)

    def _first(self, pair: int, view: str, part: Box | None) -> Image:
        """From the run that is meant; original and traditional from the later one that has it."""
        sides = {"before": (0,), "after": (1,)}.get(view, (1, 0))
        role = "neural" if view in ("before", "after") else view
        fault: UserError | None = None
        for side in sides:
            row = self.pairs[pair][side]
            try:
                if part is None:
                    return self.pictures[side].whole(row, role)
                return self.pictures[side].cut(row, role, part)
            except UserError as error:
                fault = fault or error
        assert fault is not None
        raise fault


def _holds(place: Box, box: Box) -> bool:
    return place[0] <= box[0] and place[1] <= box[1] and place[2] >= box[2] and place[3] >= box[3]
