"""``nacd-bench verify import``: votes to confirmed candidates, and how good detectors are.

The folder::

    verified.parquet   the candidates that were asked about, with votes and decision; .csv too
    precision.csv      share confirmed by detector, operating point and confidence
    precision.svg      the same by confidence: a precision curve from people; .png too
    grades.jsonl       severities and boxes, where both sides were graded; triplets.jsonl beside it
    ranking.csv        codecs by what raters prefer
    raters.csv         who voted, how many controls were right, who was dropped
    failures.csv       votes that do not count, and why
    summary.json       rule, raters, agreement, counts, what chance gives, warnings
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    precision,
)
from nacd_bench.evaluation.bootstrap import IntervalEstimate
from nacd_bench.evaluation.chance import agreement, beyond_chance, confirmed_by_chance, warnings
from nacd_bench.evaluation.ranking import Ranked, preferences, ranking
from nacd_bench.report.figures import write_confirmed
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.schema import CANDIDATES, SUMMARY, VERIFIED, schema
from nacd_bench.runs.tables import write_csv, write_table
from nacd_bench.runs.tasks import (
    CANDIDATE,
    CANDIDATES_FILE,
    GRADE,
    NOTHING,
    SHOWN_SIDES,
    TRIPLETS_FILE,
    Key,
    Task,
    read_key,
)
from nacd_bench.runs.votes import Vote, VotesFile, collect, meaning, read_votes
from nacd_bench.settings import Name, Names, Number, Share, checked
from nacd_bench.triplets.files import json_bytes, write_whole
from nacd_bench.triplets.grades import GRADES, Grade, cut_box, write_grades
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.text_files import read_columns

DECISIONS = {True: "confirmed", False: "refused", None: "undecided"}
RANKING = ("codec", "preferred", "strength", "low", "high")
RATER = ("name", "votes", "controls", "right", "dropped", "accuracy")


class Imported(NamedTuple):
    """What votes say.

    Args:
        folder: where it was written.
        rows: ``verified.parquet``.
        raters: everybody who voted, see :class:`~nacd_bench.runs.votes.Collected`.
        ranking: the codecs, the one that raters prefer first.
        precision: by detector, operating point and confidence, see
            :data:`~nacd_bench.evaluation.agreement.SHARES`.
        summary: ``summary.json``.
        grades: ``grades.jsonl``.
        kinds: what each file of votes was taken for, by path.
        failures: what does not count, and why.
    """

    folder: Path
    rows: pa.Table
    raters: Sequence[Mapping[str, Any]]
    ranking: Sequence[Ranked]
    precision: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    grades: Sequence[Grade]
    kinds: Mapping[str, str]
    failures: Sequence[Failure]


@checked
def import_votes(
    tasks: Name,
    votes: Names,
    folder: Name,
    *,
    rule: Rule = "majority",
    raters: Number | None = None,
    min_control_accuracy: Share = 0.7,
    bins: Number = 5,
) -> Imported:
    """Read votes back; a file or vote that cannot be used does not lose the others.

    Args:
        tasks: the folder of ``nacd-bench verify export``, with its key.
        votes: files of votes, see :mod:`nacd_bench.runs.votes`.
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
    asked_about = _asked_candidates(tasks, key)
    paths = [votes] if isinstance(votes, str | Path) else votes
    files, failures = _read_all(map(str, paths), key.export)
    every_vote = (vote for file in files.values() for vote in file.votes)
    collected = collect(every_vote, key, min_control_accuracy)
    failures += collected.faults
    grades, outside = graded(collected.graded, asked_about)
    failures += outside
    sides = {task.candidate: task.neural for task in key.tasks.values() if task.neural}
    rows, conclusions = concluded(asked_about, collected.answers, sides, rule, needed)
    decisions = Counter(DECISIONS[row["confirmed"]] for row in rows)
    summary = {
        **{"rule": rule, "raters": needed, "min_control_accuracy": min_control_accuracy},
        "files": Counter(file.kind for file in files.values()),  # names may be those of people
        "candidates": len(rows),
        **{name: decisions[name] for name in DECISIONS.values()},
        "votes": sum(row["raters"] for row in rows),
        "votes_repeated": collected.repeated,
        "people": len(collected.raters),
        "people_dropped": sum(rater["dropped"] for rater in collected.raters),
        **conclusions,
        "failures": len(failures),
        **({"grades": len(grades)} if key.question == GRADE else {}),
    }
    folder = Path(folder)
    shares = list(precision(rows, bins))
    table = pa.Table.from_pylist(rows, schema=schema(VERIFIED))
    ranked = ranking(preferences(rows))
    with open_run(folder, "verify import", {}, failures=failures):
        write_table(folder / VERIFIED, table)
        write_csv(folder / "raters.csv", collected.raters, RATER)
        write_csv(folder / "precision.csv", shares, SHARES)
        write_csv(folder / "ranking.csv", _ranking_rows(ranked), RANKING)
        write_whole(folder / SUMMARY, json_bytes(summary))
        write_confirmed(folder, shares)
        if grades:
            write_grades(folder / GRADES[0], grades)
        if grades and (Path(tasks) / TRIPLETS_FILE).is_file():
            ids = {grade.triplet for grade in grades}
            records = [r for r in read_manifest(Path(tasks) / TRIPLETS_FILE) if r.id in ids]
            write_manifest(folder / TRIPLETS_FILE, records)
    kinds = {path: file.kind for path, file in files.items()}
    return Imported(
        *(folder, table, collected.raters, ranked, shares, summary, grades, kinds, failures)
    )


def _asked_candidates(tasks: Name, key: Key) -> list[dict[str, Any]]:
    """Rows of the candidates that an export asks about, with the mined folder."""
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
    return [{**row, "run": key.run} for row in candidates.to_pylist()]


def graded(
    votes: Iterable[tuple[Task, Vote]], candidates: Sequence[Mapping[str, Any]]
) -> tuple[list[Grade], list[Failure]]:
    """Each rater's grades of triplets: of several crops, that of the strongest place.

    Args:
        votes: one for each rater and candidate.
        candidates: their rows.

    Returns:
        The grades in order, with boxes in pixels of the original, and those that lie outside.
    """
    rows = {row["candidate"]: row for row in candidates}
    strongest: dict[tuple[str, ...], Grade] = {}
    faults = []
    for task, vote in sorted(votes, key=lambda each: (each[0].candidate, each[1].rater)):
        row = rows[task.candidate]
        left, top = row["crop_x0"], row["crop_y0"]
        size = row["crop_x1"] - left, row["crop_y1"] - top
        for shown, (severity, box) in zip(SHOWN_SIDES, vote.marks, strict=True):
            cut = None if box is None else cut_box(box, size)
            if box is not None and cut is None:
                fault = (
                    f"expected a box inside the {size[0]} x {size[1]} pixels of {shown}, got "
                    f"{list(box)}. The grade is not used. Correct the box."
                )
                faults.append(Failure(vote.place, "", fault))
                continue
            side = meaning(task, shown)
            place = row["triplet"], task.artifact_type, vote.rater, side
            moved = cut and (cut[0] + left, cut[1] + top, cut[2] + left, cut[3] + top)
            if place not in strongest or severity > strongest[place].severity:
                triplet, kind, rater, side = place
                grade = Grade(triplet, rater, kind, side, severity, moved, "human")
                strongest[place] = grade
    return [grade for _, grade in sorted(strongest.items())], faults


def concluded(
    candidates: Iterable[Mapping[str, Any]],
    answers: Mapping[str, Mapping[str, str]],
    sides: Mapping[str, str],
    rule: Rule,
    raters: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What raters said of each candidate, and whether all of it means more than chance.

    Args:
        candidates: rows.
        answers: by candidate and rater, which result is the worse one.
        sides: by candidate, where the neural result stood.
        rule, raters: see :func:`nacd_bench.evaluation.agreement.is_confirmed`.

    Returns:
        The rows with votes, decision, and the probability of a confirmation by chance; ``seen``,
        ``by_chance``, ``seen_minus_chance``, ``krippendorff_alpha`` and ``warnings`` of the
        summary.
    """
    same = _same_rates(answers.values())
    rows, units = [], []
    for candidate in candidates:
        by_rater = answers.get(candidate["candidate"], {})
        given = list(by_rater.values())
        votes_for = given.count(NEURAL)
        row = {**candidate, "votes_for": votes_for, "votes_against": len(given) - votes_for}
        nothing = given.count(NOTHING)
        row |= {"votes_same": given.count(SAME) + nothing, "votes_nothing": nothing}
        row["raters"] = len(given)
        row["confirmed"] = is_confirmed(given, rule, raters)
        row["chance"] = confirmed_by_chance([same[rater] for rater in by_rater], rule, raters)
        rows.append(row)
        units.append([_side(answer, sides[row["candidate"]]) for answer in given])
    beyond = beyond_chance(rows)
    alphas = _alphas(rows, units)
    decided = [row for row in rows if row["confirmed"] is not None]
    seen, by_chance = (
        math.fsum(row[name] for row in decided) / len(decided) if decided else None
        for name in ("confirmed", "chance")
    )
    return rows, {
        "seen": seen,
        "by_chance": by_chance,
        "seen_minus_chance": _as_json(beyond),
        "krippendorff_alpha": {kind: _as_json(alpha) for kind, alpha in alphas.items()},
        "warnings": warnings(seen, by_chance, beyond, alphas[ALL]),
    }


def _ranking_rows(ranked: Iterable[Ranked]) -> list[dict[str, Any]]:
    return [
        {"codec": each.codec, "preferred": each.preferred}
        | {"strength": each.strength.value, "low": each.strength.low, "high": each.strength.high}
        for each in ranked
    ]


def _same_rates(answers: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """By rater the share of candidates on which they chose no side."""
    given: dict[str, list[bool]] = defaultdict(list)
    for by_rater in answers:
        for rater, answer in by_rater.items():
            given[rater].append(answer not in (NEURAL, TRADITIONAL))
    return {rater: sum(chose_none) / len(chose_none) for rater, chose_none in given.items()}


def _side(answer: str, neural: str) -> str:
    """What a rater said as it was shown: sides are drawn, so that agreement on them is no chance
    even where the neural side is the worse one of all candidates.

    >>> _side("neural", "B"), _side("traditional", "B"), _side("same", "B")
    ('B', 'A', 'same')
    """
    other = next(side for side in SHOWN_SIDES if side != neural)
    return {NEURAL: neural, TRADITIONAL: other}.get(answer, answer)


def _alphas(
    rows: Sequence[Mapping[str, Any]], units: Sequence[Sequence[str]]
) -> dict[str, IntervalEstimate]:
    """Agreement in all and by artifact type."""
    kinds = sorted({row["artifact_type"] for row in rows})
    alphas = {}
    for kind in (ALL, *kinds):
        own = [place for place, row in enumerate(rows) if kind in (ALL, row["artifact_type"])]
        photographs = [rows[place]["image"] for place in own]
        alphas[kind] = agreement([units[place] for place in own], photographs)
    return alphas


def _as_json(estimated: IntervalEstimate) -> dict[str, float | None]:
    values = {name: getattr(estimated, name) for name in ("value", "low", "high")}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


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
