"""Files of votes, and what raters said of each candidate.

A file is the voting page's JSON or CSV, or an export of Label Studio or Toloka.
What a file is follows from its content, not its name. Each kind is rows of cells whose columns have
one of a few names. Where both sides are graded, rows have ``severity_A``, ``box_A``, ``severity_B``
and ``box_B``, boxes in pixels of the picture. Tables may have gone through a spreadsheet: another
separator, a byte order mark or UTF-16, capitals, blanks, empty rows and columns, other forms of
dates.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from dateutil import parser

from nacd_bench.errors import DataError, Failure
from nacd_bench.evaluation.agreement import NEURAL, SAME, TRADITIONAL
from nacd_bench.registry import unknown
from nacd_bench.runs.tasks import (
    ANSWERS,
    CANDIDATE,
    GRADE,
    NOTHING,
    SHOWN_SIDES,
    VOTES_SCHEMA,
    Key,
    Task,
)
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.grades import Mark, read_mark
from nacd_bench.triplets.rows import finite_number, is_missing, shortened
from nacd_bench.triplets.text_files import csv_entries, parsed_json, read_text

NAMES = {
    "rater": ("rater", "assignment:worker_id", "annotator", "completed_by", "worker_id"),
    "task": ("task", "input:task"),
    "answer": ("answer", "output:answer"),
    "time": ("time", "assignment:submitted", "assignment:started", "updated_at", "created_at"),
    "export": ("export",),
    "status": ("assignment:status",),
}
"""Names of columns, lower case, by what they hold; the first that is not empty is taken."""
WIDEST_ZONE = timedelta(hours=14)
"""How far a time without a zone may lie from the same time in UTC."""
EPOCHS = (1e8, 1e11, 1e17)
"""Numbers from the first are seconds since 1970, from the second a thousand times more of
milliseconds or microseconds, up to the last."""
Cells = Mapping[str, Any]
Rows = list[tuple[str, Cells | str]]
"""Where a row stands, and its cells, or what is wrong with it."""


class Vote(NamedTuple):
    """One answer of one rater.

    Args:
        rater: as the file names them.
        task: id of the task.
        answer: ``"A"``, ``"B"``, ``"same"``, or that there is ``"nothing"``: no text, nothing to
            judge.
        time: when, as the file has it, or empty.
        place: where it was read, for messages.
        marks: of A and of B, where they were graded.
    """

    rater: str
    task: str
    answer: str
    time: str
    place: str
    marks: tuple[Mark, ...] = ()

    @property
    def said(self) -> str:
        """The answer and the grades, for messages."""
        marks = zip(SHOWN_SIDES, self.marks, strict=False)
        grades = [f"{side} {mark[0]} {list(mark[1] or ())}" for side, mark in marks]
        return ", ".join(grades) or self.answer


class VotesFile(NamedTuple):
    """What was read of a file.

    Args:
        kind: what it was taken for.
        votes: the answers, in the order of the file.
        faults: what cannot be used.
        exports: ids of the exports that the file names; empty where it names none.
    """

    kind: str
    votes: list[Vote]
    faults: list[Failure]
    exports: set[str]


def read_votes(path: str | Path) -> VotesFile:
    """The votes of a file.

    Raises:
        DataError: no file of votes of any known kind.
    """
    # a spreadsheet's old code page can only change how raters' names are written
    text = read_text(path, "a file of votes", fallback="cp1252")
    is_json = re.match(r"\s*[\[{]", text)
    kind, rows = _rows_of_json(path, text) if is_json else _rows_of_table(path, text)
    file = VotesFile(kind, [], [], set())
    answers = {answer.lower(): answer for answer in (*ANSWERS, NOTHING)}
    for place, row in rows:
        cells = _named({} if isinstance(row, str) else row)
        is_open = kind == "Toloka" and not cells["answer"]
        if not isinstance(row, str) and (is_open or cells["status"].upper() == "REJECTED"):
            continue
        answer = answers.get(cells["answer"].lower(), "")
        marks, wrong = ((), []) if isinstance(row, str) or answer == NOTHING else _marks(row)
        if marks:
            a, b = (severity for severity, _ in marks)
            answer = "A" if a > b else "B" if b > a else "same"
        faults = {
            "expected a rater's name, got nothing. Fill it in.": cells["rater"],
            "expected the id of a task, got nothing. Fill it in.": cells["task"],
            " ".join(wrong): not wrong,
            f"expected the answer {', '.join(ANSWERS)}, or grades, got {cells['answer']!r}. "
            "Correct it or remove the row.": answer,
        }
        fault = row if isinstance(row, str) else next((f for f in faults if not faults[f]), "")
        file.exports.update({cells["export"]} - {""})
        if fault:
            file.faults.append(Failure(f"{path} {place}", "", fault))
        else:
            facts = cells["rater"], cells["task"], answer, cells["time"]
            file.votes.append(Vote(*facts, f"{path} {place}", marks))
    return file


def _marks(cells: Cells) -> tuple[tuple[Mark, ...], list[str]]:
    """The grades of A and of B in a row, and what is wrong with them; neither where it has none."""
    given: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, cell in cells.items():
        what, _, side = name.strip().lower().partition("_")
        if side and what in ("severity", "box") and not is_missing(cell):
            given[side.upper()][what] = _in_pixels(cell) if what == "box" else cell
    wrong = [f"{unknown('side', side, list(SHOWN_SIDES))}." for side in given.keys() - {*"AB"}]
    marks = []
    for side in SHOWN_SIDES if given else ():
        mark, faults = read_mark(given[side].get("severity"), given[side].get("box"))
        wrong += [f"{side}: {fault}" for fault in faults]
        marks += [mark] if mark else []
    return (() if wrong else tuple(marks)), wrong


def _in_pixels(cell: Any) -> Any:
    """A box of Label Studio, in percent of its picture, as corners; others as they are."""
    if not isinstance(cell, list) or not all(isinstance(box, Mapping) for box in cell):
        return cell
    if len(cell) != 1:
        return f"{len(cell)} boxes"
    names = ("x", "y", "width", "height", "original_width", "original_height")
    numbers = [finite_number(cell[0].get(name)) for name in names]
    x, y, width, height, across, down = (math.nan if n is None else n for n in numbers)
    corners = ((x, across), (y, down), (x + width, across), (y + height, down))
    places = [percent * length / 100 for percent, length in corners]
    return [round(place) if math.isfinite(place) else str(cell[0]) for place in places]


def _rows_of_json(path: str | Path, text: str) -> tuple[str, Rows]:
    content = parsed_json(path, text, "votes")
    if isinstance(content, Mapping) and content.get("schema") == VOTES_SCHEMA:
        votes = content.get("votes")
        if not isinstance(votes, list):
            raise DataError(f"{path}: expected a list of votes, got {votes!r:.60}. Save it again.")
        shared = {name: content.get(name) for name in ("rater", "export")}
        rows = [{**shared, **vote} if isinstance(vote, Mapping) else shared for vote in votes]
        return "voting page", [(f"vote {number}", row) for number, row in enumerate(rows, 1)]
    tasks = content if isinstance(content, list) else []
    for kind, needed in (("Label Studio, JSON", "annotations"), ("Label Studio, JSON-MIN", "task")):
        if tasks and all(isinstance(task, Mapping) and needed in task for task in tasks):
            several = [_annotations(task) if needed == "annotations" else [task] for task in tasks]
            places = enumerate(several, 1)
            return kind, [(f"task {number}", row) for number, rows in places for row in rows]
    raise _unknown(path, "JSON of another kind")


def _annotations(task: Cells) -> Sequence[Cells | str]:
    """What every annotator said of a task, as Label Studio's JSON has it."""
    rows: list[Cells | str] = []
    try:
        data = task.get("data")
        name = data.get("task") if isinstance(data, Mapping) else None
        for annotation in task["annotations"]:
            choices: dict[str, list[str]] = defaultdict(list)
            boxes: dict[str, list[Cells]] = defaultdict(list)
            for result in annotation.get("result", ()):
                control, value = str(result.get("from_name")), result.get("value", {})
                if result.get("type") == "choices":
                    what = control if control.startswith("severity_") else "answer"
                    choices[what] += map(str, value.get("choices", ()))
                elif control.startswith("box_"):
                    boxes[control].append({**result, **value})
            if not annotation.get("was_cancelled"):  # skipped
                answers = {what: " and ".join(several) for what, several in choices.items()}
                rows.append({**annotation, "task": name, "answer": "", **answers, **boxes})
    except (AttributeError, TypeError) as error:
        fault = f"expected annotations as Label Studio exports them, got others ({error})."
        rows.append(f"{fault} Export again.")
    return rows


def _rows_of_table(path: str | Path, text: str) -> tuple[str, Rows]:
    entries = csv_entries(path, text) if text.strip() else []
    header = {name.lower() for name in entries[0].cells} if entries else set()
    missing = [what for what in ("rater", "task", "answer") if header.isdisjoint(NAMES[what])]
    if missing:
        raise _unknown(path, f"a table without {' and '.join(missing)}")
    kind = "Label Studio, CSV" if "annotator" in header else "table"
    kind = "Toloka" if "input:task" in header else kind
    return kind, [(f"line {entry.line}", entry.fault or entry.cells) for entry in entries]


def _named(cells: Cells) -> dict[str, str]:
    """The cells of a row by what they hold."""
    texts = {name.lower(): _text(value) for name, value in cells.items()}
    return {
        what: next(filter(None, (texts.get(name) for name in names)), "")
        for what, names in NAMES.items()
    }


def _text(value: Any) -> str:
    """A cell as text, without what spreadsheets put around it."""
    if isinstance(value, Mapping):  # Label Studio's annotator
        return _text(value.get("email") or value.get("id"))
    if value is None or isinstance(value, bool | list):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    plain = value if isinstance(value, str) else shortened(value)
    return composed(plain.strip().lstrip("'").strip('"').strip())


def _unknown(path: str | Path, got: str) -> DataError:
    return DataError(
        f"{path}: expected votes from the voting page (JSON, CSV), Label Studio (JSON, JSON-MIN, "
        f"CSV) or Toloka (TSV), got {got}. Tables need the columns rater, task and answer."
    )


def readings(text: str) -> list[datetime]:
    """What a time means with the day first, and with the month first; nothing for what is no time.

    >>> [str(reading.date()) for reading in readings("1/9/2026")]
    ['2026-09-01', '2026-01-09']
    >>> readings("2026-01-09T12:00:00Z") == readings("2026-01-09T13:00:00+01:00")
    True
    """
    is_number = re.fullmatch(r"\d+(\.\d*)?", text)
    number = float(text) if is_number else 0.0
    while EPOCHS[1] <= number < EPOCHS[2]:
        number /= 1e3
    if EPOCHS[0] <= number < EPOCHS[1]:
        return 2 * [datetime.fromtimestamp(number, UTC)]
    # in ISO 8601 and in 9.1.2026 there is no doubt
    sure = re.match(r"\d{4}|\s*\d{1,2}\.", text)
    orders = [sure[0].endswith(".")] * 2 if sure else [True, False]
    start = datetime(1970, 1, 1)
    try:
        return [parser.parse(text, default=start, dayfirst=order) for order in orders]
    except (ValueError, OverflowError):
        return []


def is_later(one: str, other: str) -> bool:
    """Whether a time is later than another, whichever order of day and month both have.

    One with a time zone is later than one without when it is so in every zone.
    """
    pairs = list(zip(readings(one), readings(other), strict=False))
    return bool(pairs) and all(_surely_later(a, b) for a, b in pairs)


def _surely_later(a: datetime, b: datetime) -> bool:
    if (a.tzinfo is None) == (b.tzinfo is None):
        return a > b
    return a.replace(tzinfo=a.tzinfo or UTC) - b.replace(tzinfo=b.tzinfo or UTC) > WIDEST_ZONE


@dataclass
class Collected:
    """What is left of all votes.

    Args:
        raters: everybody by name: how many ``votes`` (controls included), how many ``controls``, of
            these ``right``, their share as ``accuracy``, and whether the votes are ``dropped``.
        answers: by candidate what each rater said, dropped ones left out.
        graded: tasks on candidates with the votes that grade both sides, likewise.
        faults: votes that do not count, and why.
        repeated: votes that were there twice with the same answer, counted once.
    """

    raters: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    graded: list[tuple[Task, Vote]] = field(default_factory=list)
    faults: list[Failure] = field(default_factory=list)
    repeated: int = 0


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
        asked = key.tasks.get(vote.task)
        if asked is None:
            fault = (
                f"expected a task of this export, got {vote.task!r} by {vote.rater}. "
                "The vote belongs to another export."
            )
        else:
            has_marks = asked.question == GRADE and vote.answer != NOTHING
            if vote.answer in asked.answers and has_marks == bool(vote.marks):
                given[vote.rater][vote.task].append(vote)
                continue
            wanted = f"one of {', '.join(asked.answers)}"
            wanted = "severities of A and B" if asked.question == GRADE else wanted
            fault = (
                f"expected {wanted} for {vote.task} by {vote.rater}, got {vote.said}. Correct it."
            )
        collected.faults.append(Failure(vote.place, "", fault))
    for rater, by_task in sorted(given.items()):
        counted = [_counted(several, collected) for _, several in sorted(by_task.items())]
        answers = {vote.task: vote for vote in counted if vote}
        if not answers:
            continue
        controls = [task for task in answers if key.tasks[task].kind != CANDIDATE]
        right = sum(worse_side(answers[task].answer) == key.tasks[task].answer for task in controls)
        accuracy = right / len(controls) if controls else None
        dropped = accuracy is not None and accuracy < least_accuracy
        facts = {"votes": len(answers), "controls": len(controls), "right": right}
        collected.raters.append({"name": rater, **facts, "dropped": dropped, "accuracy": accuracy})
        for task in () if dropped else [task for task in answers if task not in controls]:
            answer = meaning(key.tasks[task], answers[task].answer)
            collected.answers[key.tasks[task].candidate][rater] = answer
            if answers[task].marks:
                collected.graded.append((key.tasks[task], answers[task]))
    return collected


def worse_side(answer: str) -> str:
    """Which side an answer calls worse; neither where there is nothing to judge."""
    return SAME if answer == NOTHING else answer


def meaning(task: Task, answer: str) -> str:
    """Which result an answer calls the worse one; the answer itself where it calls none so.

    >>> meaning(Task("t1", "texture", CANDIDATE, "c", neural="B"), "B")
    'neural'
    """
    if answer not in SHOWN_SIDES:
        return answer
    return NEURAL if answer == task.neural else TRADITIONAL


def _counted(votes: Sequence[Vote], collected: Collected) -> Vote | None:
    """The vote that counts of all that a rater gave to a task; None where none does."""
    votes = sorted(votes, key=lambda vote: (vote.said, vote.time, vote.place))
    answers = list(dict.fromkeys(vote.said for vote in votes))
    collected.repeated += len(votes) - len(answers)
    if len(answers) == 1:
        return votes[0]
    latest = [
        vote
        for vote in votes
        if all(is_later(vote.time, other.time) for other in votes if other.said != vote.said)
    ]
    what = "neither counts, since their times do not say which is the later one"
    if latest:
        what = f"the later one counts, {latest[0].said}"
    listed = ", ".join(f"{vote.said} at {vote.time or 'no time'}" for vote in votes)
    fault = f"{votes[0].rater} answered task {votes[0].task} twice, {' and '.join(answers)} "
    collected.faults.append(Failure(votes[-1].place, "", f"{fault}({listed}): {what}."))
    return latest[0] if latest else None
