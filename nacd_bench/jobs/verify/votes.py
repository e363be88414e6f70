"""Files of votes: the voting page's JSON and CSV, Label Studio's and Toloka's exports.

What a file is follows from its content, not its name. Each kind is rows of cells whose columns have
one of a few names. Tables may have gone through a spreadsheet: another separator, a byte order mark
or UTF-16, capitals, blanks, empty rows and columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, Failure
from nacd_bench.jobs.verify.tasks import ANSWERS
from nacd_bench.jobs.verify.times import order_of
from nacd_bench.triplets.files import composed
from nacd_bench.triplets.rows import shortened
from nacd_bench.triplets.text_files import csv_entries, parsed_json, read_text

PAGE_SCHEMA = "nacd-bench votes 1"
NAMES = {
    "rater": ("rater", "assignment:worker_id", "annotator", "completed_by", "worker_id"),
    "task": ("task", "input:task"),
    "answer": ("answer", "output:answer"),
    "time": ("time", "assignment:submitted", "assignment:started", "updated_at", "created_at"),
    "export": ("export",),
    "status": ("assignment:status",),
}
"""Names of columns, lower case, by what they hold; the first that is not empty is taken."""

Rows = list[tuple[str, Mapping[str, Any] | str]]
"""Where a row stands, and its cells, or what is wrong with it."""


@dataclass(frozen=True)
class Vote:
    """One answer of one rater.

    Args:
        rater: as the file names them.
        task: id of the task.
        answer: ``"A"``, ``"B"`` or ``"same"``.
        time: when, as the file has it, or empty.
        place: where it was read, for messages.
        order: of day and month in the file's dates, where these say it (:mod:`.times`).
    """

    rater: str
    task: str
    answer: str
    time: str
    place: str
    order: str = ""


@dataclass(frozen=True)
class VotesFile:
    """What was read of a file.

    Args:
        kind: what it was taken for.
        votes: the answers, in the order of the file.
        faults: what cannot be used.
        exports: ids of the exports that the file names; empty where it names none.
    """

    kind: str
    votes: list[Vote] = field(default_factory=list)
    faults: list[Failure] = field(default_factory=list)
    exports: set[str] = field(default_factory=set)


def read_votes(path: str | Path) -> VotesFile:
    """The votes of a file.

    Raises:
        DataError: no file of votes of any known kind.
    """
    # a spreadsheet's old code page can only change how raters' names are written
    text = read_text(path, "a file of votes", fallback="cp1252")
    is_json = re.match(r"\s*[\[{]", text)
    kind, rows = _rows_of_json(path, text) if is_json else _rows_of_table(path, text)
    file = VotesFile(kind)
    cells_of = [cells if isinstance(cells, str) else _named(cells) for _, cells in rows]
    order = order_of(cells["time"] for cells in cells_of if not isinstance(cells, str))
    answers = {answer.lower(): answer for answer in ANSWERS}
    for (place, _), cells in zip(rows, cells_of, strict=True):
        where, fault = f"{path} {place}", ""
        if isinstance(cells, str):
            file.faults.append(Failure(where, "", cells))
            continue
        is_open = kind == "Toloka" and not cells["answer"]
        if is_open or cells["status"].upper() == "REJECTED":
            continue
        file.exports.update({cells["export"]} - {""})
        answer = answers.get(cells["answer"].lower())
        if not cells["rater"]:
            fault = "expected a rater's name, got nothing. Fill it in."
        elif not cells["task"]:
            fault = "expected the id of a task, got nothing. Fill it in."
        elif answer is None:
            fault = (
                f"expected the answer {', '.join(ANSWERS)}, got {cells['answer']!r}. "
                "Correct it or remove the row."
            )
        if fault:
            file.faults.append(Failure(where, "", fault))
        else:
            vote = Vote(cells["rater"], cells["task"], str(answer), cells["time"], where, order)
            file.votes.append(vote)
    return file


def _rows_of_json(path: str | Path, text: str) -> tuple[str, Rows]:
    content = parsed_json(path, text, "votes")
    if isinstance(content, Mapping) and content.get("schema") == PAGE_SCHEMA:
        votes = content.get("votes")
        if not isinstance(votes, list):
            raise DataError(f"{path}: expected a list of votes, got {votes!r:.60}. Save it again.")
        shared = {name: content.get(name) for name in ("rater", "export")}
        rows = [{**shared, **vote} if isinstance(vote, Mapping) else shared for vote in votes]
        return "voting page", [(f"vote {number}", row) for number, row in enumerate(rows, 1)]
    tasks = content if isinstance(content, list) else []
    for kind, needed in (("Label Studio, JSON", "annotations"), ("Label Studio, JSON-MIN", "task")):
        if tasks and all(isinstance(task, Mapping) and needed in task for task in tasks):
            found: Rows = []
            for number, task in enumerate(tasks, 1):
                place = f"task {number}"
                found += _annotations(place, task) if needed == "annotations" else [(place, task)]
            return kind, found
    raise _unknown(path, "JSON of another kind")


def _annotations(place: str, task: Mapping[str, Any]) -> Rows:
    """What every annotator said of a task, as Label Studio's JSON has it."""
    rows: Rows = []
    try:
        data = task.get("data")
        name = data.get("task") if isinstance(data, Mapping) else None
        for annotation in task["annotations"]:
            choices = [
                choice
                for result in annotation.get("result", ())
                if result.get("type") == "choices"
                for choice in result.get("value", {}).get("choices", ())
            ]
            answer = " and ".join(map(str, choices))
            if not annotation.get("was_cancelled"):  # skipped
                rows.append((place, {**annotation, "task": name, "answer": answer}))
    except (AttributeError, TypeError) as error:
        fault = f"expected annotations as Label Studio exports them, got others ({error}). "
        rows.append((place, f"{fault}Export again."))
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


def _named(cells: Mapping[str, Any]) -> dict[str, str]:
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
