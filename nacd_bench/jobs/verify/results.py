"""``nacd-bench verify import``: votes to confirmed candidates, and how good detectors are.

The folder::

    verified.parquet   the candidates that were asked about, with votes and decision; .csv too
    precision.csv      share confirmed by detector, operating point and confidence
    precision.svg      the same by confidence: a precision curve from people
    raters.csv         who voted, how many controls were right, who was dropped
    failures.csv       votes that do not count, and why
    summary.json       rule, raters, agreement, counts
"""

from __future__ import annotations

import io
import itertools
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.agreement import krippendorff_alpha
from nacd_bench.jobs.verify.raters import (
    NEURAL,
    RULES,
    SAME,
    Collected,
    Rater,
    collect,
    confirmed,
)
from nacd_bench.jobs.verify.tasks import CANDIDATE, Key, read_key
from nacd_bench.jobs.verify.tasks import CANDIDATES as CANDIDATES_FILE
from nacd_bench.jobs.verify.votes import read_votes
from nacd_bench.registry import unknown
from nacd_bench.runs.candidates import CANDIDATES, schema
from nacd_bench.triplets.files import csv_bytes, json_bytes, write_whole
from nacd_bench.triplets.text_files import read_columns

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 5
"""Confidence bins of a detector, with about as many candidates each."""
LEVEL = 0.95
ALL = "all"
"""Name of the operating point that stands for all."""


@dataclass(frozen=True)
class Precision:
    """Share of a detector's candidates that people confirmed.

    Args:
        detector, preset: whose; ``"all"`` operating points together have bins of confidence.
        low_confidence, high_confidence: of the candidates.
        mean_confidence: of the candidates.
        decided, confirmed: how many were decided, and confirmed.
        share: confirmed / decided.
        low, high: interval of the share by Clopper and Pearson 1934, 95 % of any number.
    """

    detector: str
    preset: str
    low_confidence: float
    high_confidence: float
    mean_confidence: float
    decided: int
    confirmed: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Verified:
    """What votes say.

    Args:
        folder: where it was written.
        rows: ``verified.parquet``.
        raters: everybody who voted.
        precision: by detector, operating point and confidence.
        alpha: Krippendorff's alpha by artifact type, and of ``"all"``; None where not defined.
        files: what each file of votes was taken for, by path.
        failures: what does not count, and why.
        repeated: votes that were there twice, counted once.
    """

    folder: Path
    rows: pa.Table
    raters: list[Rater]
    precision: list[Precision]
    alpha: Mapping[str, float | None]
    files: Mapping[str, str]
    failures: list[str]
    repeated: int

    @property
    def decisions(self) -> Counter[str]:
        """Candidates that are confirmed, refused, undecided."""
        names = {True: "confirmed", False: "refused", None: "undecided"}
        return Counter(names[each] for each in self.rows["confirmed"].to_pylist())


def import_votes(
    tasks: str | Path,
    votes: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    rule: str = RULES[0],
    raters: int | None = None,
    min_control_accuracy: float = 0.7,
    bins: int = BINS,
) -> Verified:
    """Read votes back; a file or vote that cannot be used does not lose the others.

    Args:
        tasks: the folder of ``nacd-bench verify export``, with its key.
        votes: files of votes, see :mod:`nacd_bench.jobs.verify.votes`.
        folder: where results go.
        rule: what confirms, see :func:`nacd_bench.jobs.verify.raters.confirmed`.
        raters: how many were to look at each candidate; as exported by default.
        min_control_accuracy: share of controls that a rater has to answer right.
        bins: confidence bins of each detector.

    Raises:
        DataError: no export, no file of votes that can be read.
    """
    import pyarrow as pa

    folder = Path(folder)
    if rule not in RULES:
        raise UserError(unknown("rule", str(rule), list(RULES)))
    if not (isinstance(bins, int) and bins >= 1):
        raise UserError(f"expected bins as a number of 1 or more, got {bins!r}.")
    key = read_key(tasks)
    needed = key.raters if raters is None else raters
    if not (isinstance(needed, int) and needed >= 1):
        raise UserError(f"expected raters as a number of 1 or more, got {raters!r}.")
    candidates = _candidates(Path(tasks), key)
    paths = [votes] if isinstance(votes, str | Path) else list(votes)
    files, all_votes, failures = {}, [], []
    for path in dict.fromkeys(map(str, paths)):
        try:
            found = read_votes(path)
        except UserError as error:
            failures.append(str(error))
            continue
        files[path] = found.kind
        strange = found.exports - {key.export}
        if strange:
            failures.append(
                f"{path}: expected votes of export {key.export}, got some of "
                f"{', '.join(sorted(strange))}. Votes on tasks that both have count."
            )
        all_votes += found.votes
        failures += found.faults
    if not files:
        raise DataError("\n".join(failures) or "expected files of votes, got none.")
    collected = collect(all_votes, key, min_control_accuracy)
    failures += collected.faults
    said = [collected.said.get(name, {}) for name in candidates["candidate"].to_pylist()]
    answers = [list(each.values()) for each in said]
    columns = {
        "votes_for": (pa.int64(), [each.count(NEURAL) for each in answers]),
        "votes_against": (pa.int64(), [len(each) - each.count(NEURAL) for each in answers]),
        "votes_same": (pa.int64(), [each.count(SAME) for each in answers]),
        "raters": (pa.int64(), [len(each) for each in answers]),
        "confirmed": (pa.bool_(), [confirmed(each, rule, needed) for each in answers]),
        "run": (pa.string(), [key.run] * len(answers)),
    }
    for name, (kind, values) in columns.items():
        candidates = candidates.append_column(name, pa.array(values, kind))
    done = Verified(
        folder,
        candidates,
        collected.raters,
        list(_precision(candidates, bins)),
        _alpha(candidates, collected),
        files,
        failures,
        collected.repeated,
    )
    _write(done, {"rule": rule, "raters": needed, "min_control_accuracy": min_control_accuracy})
    return done


def _candidates(tasks: Path, key: Key) -> pa.Table:
    """The candidates that have a task, in the order of the export."""
    import pyarrow as pa

    wanted = schema(CANDIDATES)
    try:
        rows = read_columns(tasks / CANDIDATES_FILE, wanted, wanted.names)
    except DataError as error:
        raise DataError(
            f"{error} Export again into another folder with the same settings: the ids are the "
            "same."
        ) from error
    asked = {task.candidate for task in key.tasks.values() if task.kind == CANDIDATE}
    return rows.filter(pa.array([name in asked for name in rows["candidate"].to_pylist()]))


def _alpha(candidates: pa.Table, collected: Collected) -> dict[str, float | None]:
    units: dict[str, list[list[str]]] = defaultdict(list)
    names = candidates.select(["candidate", "artifact_type"]).to_pylist()
    for row in names:
        answers = list(collected.said.get(row["candidate"], {}).values())
        for kind in (ALL, row["artifact_type"]):
            units[kind].append(answers)
    return {kind: krippendorff_alpha(own) for kind, own in units.items()}


def _precision(candidates: pa.Table, bins: int) -> Iterator[Precision]:
    """Per detector: all of it, its operating points, its bins of confidence."""
    rows = [
        row
        for row in candidates.select(["detector", "preset", "confidence", "confirmed"]).to_pylist()
        if row["confirmed"] is not None
    ]
    for detector in sorted({row["detector"] for row in rows}):
        own = sorted((row for row in rows if row["detector"] == detector), key=_confidence)
        yield _share(detector, ALL, own)
        for preset in sorted({row["preset"] for row in own}):
            yield _share(detector, preset, [row for row in own if row["preset"] == preset])
        parts = _parts([*map(_confidence, own)], bins)
        for part in parts if len(parts) > 1 else ():
            yield _share(detector, ALL, own[part])


def _parts(values: Sequence[float], bins: int) -> list[slice]:
    """Rows of each bin of rising values, about as many in each; equal values are in one bin.

    >>> _parts([0.1, 0.2, 0.2, 0.3], 2), _parts([0.5, 0.5, 0.5], 2)
    ([slice(0, 1, None), slice(1, 4, None)], [slice(0, 3, None)])
    """
    cuts = [part[0] for part in np.array_split(np.arange(len(values)), min(bins, len(values)))]
    starts = sorted({bisect_left(values, values[cut]) for cut in cuts})
    return [slice(*ends) for ends in itertools.pairwise([*starts, len(values)])]


def _confidence(row: Mapping[str, Any]) -> float:
    return float(row["confidence"])


def _share(detector: str, preset: str, rows: Sequence[Mapping[str, Any]]) -> Precision:
    from scipy.stats import binomtest

    yes, count = sum(row["confirmed"] for row in rows), len(rows)
    interval = binomtest(yes, count).proportion_ci(LEVEL, method="exact")
    values = [_confidence(row) for row in rows]
    ends = min(values), max(values), float(np.mean(values))
    share = yes / count
    return Precision(detector, preset, *ends, count, yes, share, interval.low, interval.high)


# --- files


def _write(done: Verified, settings: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(done.rows, file)
    write_whole(done.folder / "verified.parquet", file.getvalue())
    verified = csv_bytes(done.rows.schema.names, done.rows.to_pylist())
    write_whole(done.folder / "verified.csv", verified)
    names = ["name", "votes", "controls", "right", "dropped"]
    rows = [{**asdict(each), "accuracy": each.accuracy} for each in done.raters]
    write_whole(done.folder / "raters.csv", csv_bytes([*names, "accuracy"], rows))
    shares = [asdict(each) for each in done.precision]
    write_whole(done.folder / "precision.csv", csv_bytes(list(Precision.__annotations__), shares))
    failures = [{"message": each} for each in done.failures]
    write_whole(done.folder / "failures.csv", csv_bytes(["message"], failures))
    summary = {
        **settings,
        "files": dict(Counter(done.files.values())),  # their names may be those of people
        "candidates": len(done.rows),
        **{name: done.decisions[name] for name in ("confirmed", "refused", "undecided")},
        "votes": sum(done.rows["raters"].to_pylist()),
        "votes_repeated": done.repeated,
        "people": len(done.raters),
        "people_dropped": sum(each.dropped for each in done.raters),
        "krippendorff_alpha": done.alpha,
        "failures": len(done.failures),
    }
    write_whole(done.folder / "summary.json", json_bytes(summary))
    for kind in ("svg", "png"):
        write_whole(done.folder / f"precision.{kind}", _figure(done.precision, kind))


def _figure(shares: Sequence[Precision], kind: str) -> bytes:
    """Share confirmed against confidence, one panel per detector, as a file of a format."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(each.detector for each in shares))
    sheet = Figure(figsize=(3.4 * max(1, len(names)), 3.2), layout="constrained")
    panels = sheet.subplots(1, max(1, len(names)), squeeze=False, sharey=True)[0]
    for name, axes in zip(names, panels, strict=False):
        whole, *rest = [each for each in shares if each.detector == name and each.preset == ALL]
        bins = rest or [whole]
        below = [each.share - each.low for each in bins]
        above = [each.high - each.share for each in bins]
        axes.errorbar(
            [each.mean_confidence for each in bins],
            [each.share for each in bins],
            yerr=np.maximum([below, above], 0),
            marker="o",
            capsize=3,
        )
        axes.axhline(whole.share, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(title=f"{name}, {whole.decided} candidates", xlabel="confidence", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share confirmed, 95 % interval")
    file = io.BytesIO()
    sheet.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()
