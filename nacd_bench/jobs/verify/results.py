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

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.agreement import (
    ALL,
    NEURAL,
    SAME,
    SHARES,
    TRADITIONAL,
    Rule,
    is_confirmed,
    krippendorff_alpha,
    precision,
)
from nacd_bench.jobs.verify.tasks import CANDIDATE, CANDIDATES_FILE, Key, Task, read_key
from nacd_bench.jobs.verify.votes import Vote, VotesFile, is_later, read_votes
from nacd_bench.report.figures import write_confirmed
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.schema import CANDIDATES, SUMMARY, VERIFIED, schema
from nacd_bench.runs.tables import write_csv, write_table
from nacd_bench.settings import Name, Names, Number, Share, checked
from nacd_bench.triplets.files import json_bytes, write_whole
from nacd_bench.triplets.text_files import read_columns

DECISIONS = {True: "confirmed", False: "refused", None: "undecided"}
RATER = ("name", "votes", "controls", "right", "dropped", "accuracy")


class Imported(NamedTuple):
    """What votes say.

    Args:
        folder: where it was written.
        rows: ``verified.parquet``.
        raters: everybody who voted, see :class:`Collected`.
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


@dataclass
class Collected:
    """What is left of all votes.

    Args:
        raters: everybody by name: how many ``votes`` (controls included), how many ``controls``, of
            these ``right``, their share as ``accuracy``, and whether the votes are ``dropped``.
        answers: by candidate what each rater said, dropped ones left out.
        faults: votes that do not count, and why.
        repeated: votes that were there twice with the same answer, counted once.
    """

    raters: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    faults: list[Failure] = field(default_factory=list)
    repeated: int = 0


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
    try:
        columns = schema(CANDIDATES)
        candidates = read_columns(Path(tasks) / CANDIDATES_FILE, columns, columns.names)
    except DataError as error:
        raise DataError(
            f"{error} Export again into another folder with the same settings: the ids are the "
            "same."
        ) from error
    asked = [task.candidate for task in key.tasks.values() if task.kind == CANDIDATE]
    candidates = candidates.filter(pc.is_in(candidates["candidate"], pa.array(asked, pa.string())))
    paths = [votes] if isinstance(votes, str | Path) else votes
    files, failures = _read_all(map(str, paths), key.export)
    every_vote = (vote for file in files.values() for vote in file.votes)
    collected = collect(every_vote, key, min_control_accuracy)
    failures += collected.faults
    rows, answers = [], []
    units: dict[str, list[list[str]]] = defaultdict(list)
    for row in candidates.to_pylist():
        given = list(collected.answers.get(row["candidate"], {}).values())
        votes_for = given.count(NEURAL)
        row |= {"votes_for": votes_for, "votes_against": len(given) - votes_for}
        row |= {"votes_same": given.count(SAME), "raters": len(given), "run": key.run}
        rows.append({**row, "confirmed": is_confirmed(given, rule, needed)})
        answers.append(given)
        units[row["artifact_type"]].append(given)
    decisions = Counter(DECISIONS[row["confirmed"]] for row in rows)
    summary = {
        **{"rule": rule, "raters": needed, "min_control_accuracy": min_control_accuracy},
        "files": Counter(file.kind for file in files.values()),  # names may be those of people
        "candidates": len(rows),
        **{name: decisions[name] for name in DECISIONS.values()},
        "votes": sum(map(len, answers)),
        "votes_repeated": collected.repeated,
        "people": len(collected.raters),
        "people_dropped": sum(rater["dropped"] for rater in collected.raters),
        "krippendorff_alpha": {
            kind: krippendorff_alpha(said) for kind, said in {ALL: answers, **units}.items()
        },
        "failures": len(failures),
    }
    folder = Path(folder)
    shares = list(precision(rows, bins))
    table = pa.Table.from_pylist(rows, schema=schema(VERIFIED))
    with open_run(folder, "verify import", {}, failures=failures):
        write_table(folder / VERIFIED, table)
        write_csv(folder / "raters.csv", collected.raters, RATER)
        write_csv(folder / "precision.csv", shares, SHARES)
        write_whole(folder / SUMMARY, json_bytes(summary))
        write_confirmed(folder, shares)
    kinds = {path: file.kind for path, file in files.items()}
    return Imported(folder, table, collected.raters, shares, summary, kinds, failures)


def _read_all(paths: Iterable[str], export: str) -> tuple[dict[str, VotesFile], list[Failure]]:
    """The files of votes that can be read, by path, and what is wrong with all of them."""
    files: dict[str, VotesFile] = {}
    failures: list[Failure] = []
    for path in dict.fromkeys(paths):
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


def collect(votes: Iterable[Vote], key: Key, least_accuracy: float) -> Collected:
    """One answer per rater and candidate, of raters who answered the controls right.

    A rater with several answers to a task is taken by the latest one, in whatever order the votes
    come; where the times do not say which that is (equal, missing, or to be read in two ways),
    none counts.

    Args:
        votes: of all files.
        key: of the export.
        least_accuracy: share of controls that a rater has to answer right, 0 to 1.
    """
    collected = Collected()
    given: dict[str, dict[str, list[Vote]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        if vote.task in key.tasks:
            given[vote.rater][vote.task].append(vote)
        else:
            fault = (
                f"expected a task of this export, got {vote.task!r} by {vote.rater}. "
                "The vote belongs to another export."
            )
            collected.faults.append(Failure(vote.place, "", fault))
    for rater, by_task in sorted(given.items()):
        answers = {task: _counted(several, collected) for task, several in sorted(by_task.items())}
        answers = {task: answer for task, answer in answers.items() if answer}
        if not answers:
            continue
        controls = [task for task in answers if key.tasks[task].kind != CANDIDATE]
        right = sum(answers[task] == key.tasks[task].answer for task in controls)
        accuracy = right / len(controls) if controls else None
        dropped = accuracy is not None and accuracy < least_accuracy
        facts = {"votes": len(answers), "controls": len(controls), "right": right}
        collected.raters.append({"name": rater, **facts, "dropped": dropped, "accuracy": accuracy})
        for task in () if dropped else [task for task in answers if task not in controls]:
            said = meaning(key.tasks[task], str(answers[task]))
            collected.answers[key.tasks[task].candidate][rater] = said
    return collected


def meaning(task: Task, answer: str) -> str:
    """Which result an answer calls the worse one.

    >>> meaning(Task("t1", "texture", CANDIDATE, "c", neural="B"), "B")
    'neural'
    """
    return SAME if answer == SAME else NEURAL if answer == task.neural else TRADITIONAL


def _counted(votes: Sequence[Vote], collected: Collected) -> str | None:
    """The answer that counts of all that a rater gave to a task; None where none does."""
    votes = sorted(votes, key=lambda vote: (vote.answer, vote.time, vote.place))
    answers = list(dict.fromkeys(vote.answer for vote in votes))
    collected.repeated += len(votes) - len(answers)
    if len(answers) == 1:
        return answers[0]
    latest = [
        vote.answer
        for vote in votes
        if all(is_later(vote.time, other.time) for other in votes if other.answer != vote.answer)
    ]
    what = "neither counts, since their times do not say which is the later one"
    if latest:
        what = f"the later one counts, {latest[0]}"
    listed = ", ".join(f"{vote.answer} at {vote.time or 'no time'}" for vote in votes)
    fault = f"{votes[0].rater} answered task {votes[0].task} twice, {' and '.join(answers)} "
    collected.faults.append(Failure(votes[-1].place, "", f"{fault}({listed}): {what}."))
    return latest[0] if latest else None
