"""``nacd-bench verify import``: votes to confirmed candidates, and how good detectors are.

The folder::

    verified.parquet   the candidates that were asked about, with votes and decision; .csv too
    precision.csv      share confirmed by detector, operating point and confidence
    precision.svg      the same by confidence: a precision curve from people; .png too
    raters.csv         who voted, how many controls were right, who was dropped
    failures.csv       votes that do not count, and why
    summary.json       rule, raters, agreement, counts
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.agreement import (
    ALL,
    NEURAL,
    SAME,
    SHARES,
    Rule,
    is_confirmed,
    krippendorff_alpha,
    precision,
)
from nacd_bench.jobs.verify.raters import collect
from nacd_bench.jobs.verify.tasks import CANDIDATE, CANDIDATES_FILE, Key, read_key
from nacd_bench.jobs.verify.votes import VotesFile, read_votes
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.schema import CANDIDATES, VERIFIED, schema
from nacd_bench.runs.tables import write_csv, write_table
from nacd_bench.settings import Name, Names, Number, Share, checked
from nacd_bench.triplets.files import json_bytes, write_whole
from nacd_bench.triplets.text_files import read_columns

DECISIONS = {True: "confirmed", False: "refused", None: "undecided"}


@dataclass(frozen=True)
class Imported:
    """What votes say.

    Args:
        folder: where it was written.
        rows: ``verified.parquet``.
        raters: everybody who voted, see :class:`~nacd_bench.jobs.verify.raters.Collected`.
        precision: by detector, operating point and confidence, see
            :data:`~nacd_bench.evaluation.agreement.SHARES`.
        summary: ``summary.json``.
        kinds: what each file of votes was taken for, by path.
        failures: what does not count, and why.
    """

    folder: Path
    rows: pa.Table
    raters: Sequence[Mapping[str, Any]]
    precision: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    kinds: Mapping[str, str]
    failures: Sequence[Failure]


@checked
def import_votes(
    tasks: Name,
    votes: Names,
    folder: Name,
    *,
    rule: Rule = "any",
    raters: Number | None = None,
    min_control_accuracy: Share = 0.7,
    bins: Number = 5,
) -> Imported:
    """Read votes back; a file or vote that cannot be used does not lose the others.

    Args:
        tasks: the folder of ``nacd-bench verify export``, with its key.
        votes: files of votes, see :mod:`nacd_bench.jobs.verify.votes`.
        folder: where results go.
        rule: what confirms, see :func:`nacd_bench.evaluation.agreement.is_confirmed`.
        raters: how many were to look at each candidate; as exported by default.
        min_control_accuracy: share of controls that a rater has to answer right.
        bins: confidence bins of each detector.

    Raises:
        DataError: no export, no file of votes that can be read.
    """
    key = read_key(tasks)
    needed = raters or key.raters
    candidates = _candidates(Path(tasks), key)
    paths = [votes] if isinstance(votes, str | Path) else votes
    files, failures = _read_all(dict.fromkeys(map(str, paths)), key.export)
    collected = collect(
        (vote for file in files.values() for vote in file.votes), key, min_control_accuracy
    )
    failures += collected.faults
    names = candidates["candidate"].to_pylist()
    answers = [list(collected.answers.get(name, {}).values()) for name in names]
    for name, values in {
        "votes_for": [own.count(NEURAL) for own in answers],
        "votes_against": [len(own) - own.count(NEURAL) for own in answers],
        "confirmed": [is_confirmed(own, rule, needed) for own in answers],
        "votes_same": [own.count(SAME) for own in answers],
        "raters": list(map(len, answers)),
        "run": [key.run] * len(answers),
    }.items():
        column = schema(VERIFIED).field(name)
        candidates = candidates.append_column(column, pa.array(values, column.type))
    units: dict[str, list[list[str]]] = defaultdict(list)
    for kind, own in zip(candidates["artifact_type"].to_pylist(), answers, strict=True):
        units[ALL].append(own)
        units[kind].append(own)
    decisions = Counter(map(DECISIONS.get, candidates["confirmed"].to_pylist()))
    summary = {
        **{"rule": rule, "raters": needed, "min_control_accuracy": min_control_accuracy},
        "files": Counter(file.kind for file in files.values()),  # names may be those of people
        "candidates": len(candidates),
        **{name: decisions[name] for name in DECISIONS.values()},
        "votes": sum(map(len, answers)),
        "votes_repeated": collected.repeated,
        "people": len(collected.raters),
        "people_dropped": sum(rater["dropped"] for rater in collected.raters),
        "krippendorff_alpha": {kind: krippendorff_alpha(own) for kind, own in units.items()},
        "failures": len(failures),
    }
    shares = list(precision(candidates.to_pylist(), bins))
    kinds = {path: file.kind for path, file in files.items()}
    done = Imported(Path(folder), candidates, collected.raters, shares, summary, kinds, failures)
    _write(done)
    return done


def _read_all(
    paths: Sequence[str] | Mapping[str, Any], export: str
) -> tuple[dict[str, VotesFile], list[Failure]]:
    """The files of votes that can be read, by path, and what is wrong with all of them."""
    files: dict[str, VotesFile] = {}
    failures: list[Failure] = []
    for path in paths:
        try:
            files[path] = read_votes(path)
        except UserError as error:
            failures.append(Failure(path, "", str(error).removeprefix(f"{path}: ")))
            continue
        strange = files[path].exports - {export}
        if strange:
            fault = (
                f"expected votes of export {export}, got some of {', '.join(sorted(strange))}. "
                "Votes on tasks that both have count."
            )
            failures.append(Failure(path, "", fault))
        failures += files[path].faults
    if not files:
        raise DataError("\n".join(map(str, failures)) or "expected files of votes, got none.")
    return files, failures


def _candidates(tasks: Path, key: Key) -> pa.Table:
    """The candidates that have a task, in the order of the export."""
    try:
        rows = read_columns(tasks / CANDIDATES_FILE, schema(CANDIDATES), schema(CANDIDATES).names)
    except DataError as error:
        raise DataError(
            f"{error} Export again into another folder with the same settings: the ids are the "
            "same."
        ) from error
    asked = {task.candidate for task in key.tasks.values() if task.kind == CANDIDATE}
    return rows.filter(pa.array([name in asked for name in rows["candidate"].to_pylist()]))


def _write(done: Imported) -> None:
    folder = done.folder
    with open_run(folder, "verify import", {}, failures=done.failures):
        write_table(folder / VERIFIED, done.rows)
        columns = ("name", "votes", "controls", "right", "dropped", "accuracy")
        write_csv(folder / "raters.csv", done.raters, columns)
        write_csv(folder / "precision.csv", done.precision, SHARES)
        write_whole(folder / "summary.json", json_bytes(done.summary))
        for kind in ("svg", "png"):
            write_whole(folder / f"precision.{kind}", _figure(done.precision, kind))


def _figure(shares: Sequence[Mapping[str, Any]], kind: str) -> bytes:
    """Share confirmed against confidence, one panel per detector, as a file of a format."""
    from matplotlib.figure import Figure

    of_detector: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for share in shares:
        if share["preset"] == ALL:
            of_detector[share["detector"]].append(share)
    count = max(1, len(of_detector))
    sheet = Figure(figsize=(3.4 * count, 3.2), layout="constrained")
    panels = sheet.subplots(1, count, squeeze=False, sharey=True)[0]
    for (name, (whole, *bins)), axes in zip(of_detector.items(), panels, strict=False):
        low, middle, high, x = (
            np.array([part[column] for part in bins or [whole]])
            for column in ("low", "share", "high", "mean_confidence")
        )
        ends = np.maximum([middle - low, high - middle], 0)
        axes.errorbar(x, middle, yerr=ends, marker="o", capsize=3)
        axes.axhline(whole["share"], color="0.6", linewidth=0.8, linestyle=":")
        title = f"{name}, {whole['decided']} candidates"
        axes.set(title=title, xlabel="confidence", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share confirmed, 95 % interval")
    file = io.BytesIO()
    sheet.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()
