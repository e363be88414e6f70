"""Files of votes: the voting page's JSON and CSV, Label Studio's and Toloka's exports.

What a file is follows from its content, not its name. Tables may have gone through a spreadsheet:
another separator, a byte order mark or UTF-16, capitals, blanks, empty rows and columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
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
}
"""Columns of tables, lower case, by what they hold, the first that is there."""


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
        path: the file.
        kind: what it was taken for.
        votes: the answers, in the order of the file.
        faults: what cannot be used, with its place.
        exports: ids of the exports that the file names; empty where it names none.
    """

    path: str
    kind: str
    votes: list[Vote] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    exports: set[str] = field(default_factory=set)

    def add(self, place: str, rater: Any, task: Any, answer: Any, time: Any = "") -> None:
        """Add an answer, or what is wrong with it."""
        where = f"{self.path} {place}"
        known = {each.lower(): each for each in ANSWERS}
        who, what, said = _text(rater), _text(task), _text(answer)
        if not who:
            self.faults.append(f"{where}: expected a rater's name, got nothing. Fill it in.")
        elif not what:
            self.faults.append(f"{where}: expected the id of a task, got nothing. Fill it in.")
        elif said.lower() not in known:
            self.faults.append(
                f"{where}: expected the answer {', '.join(ANSWERS)}, got {said!r}. "
                "Correct it or remove the row."
            )
        else:
            self.votes.append(Vote(who, what, known[said.lower()], _text(time), where))


def read_votes(path: str | Path) -> VotesFile:
    """The votes of a file.

    Raises:
        DataError: no file of votes of any known kind.
    """
    # a spreadsheet's old code page can only change how raters' names are written
    text = read_text(path, "a file of votes", fallback="cp1252")
    if re.match(r"\s*[\[{]", text):
        found = _from_json(str(path), parsed_json(path, text, "votes"))
    else:
        found = _from_table(str(path), text)
    order = order_of(vote.time for vote in found.votes)
    return replace(found, votes=[replace(vote, order=order) for vote in found.votes])


# --- JSON


def _from_json(path: str, content: Any) -> VotesFile:
    if isinstance(content, Mapping) and content.get("schema") == PAGE_SCHEMA:
        return _from_page(path, content)
    tasks = content if isinstance(content, list) else None
    if tasks and all(isinstance(each, Mapping) and "annotations" in each for each in tasks):
        return _from_label_studio(path, tasks)
    if tasks and all(isinstance(each, Mapping) and "task" in each for each in tasks):
        found = VotesFile(path, "Label Studio, JSON-MIN")
        for number, each in enumerate(tasks, 1):
            who = each.get("annotator", "")
            when = each.get("updated_at") or each.get("created_at")
            found.add(f"entry {number}", who, each["task"], each.get("answer"), when)
        return found
    raise _unknown(path, "JSON of another kind")


def _from_page(path: str, content: Mapping[str, Any]) -> VotesFile:
    found = VotesFile(path, "voting page", exports=_of_export(content.get("export")))
    votes = content.get("votes")
    if not isinstance(votes, list):
        raise DataError(f"{path}: expected a list of votes, got {votes!r:.60}. Save it again.")
    for number, each in enumerate(votes, 1):
        row = each if isinstance(each, Mapping) else {}
        rater = row.get("rater", content.get("rater"))
        found.add(f"vote {number}", rater, row.get("task"), row.get("answer"), row.get("time"))
    return found


def _from_label_studio(path: str, tasks: Sequence[Mapping[str, Any]]) -> VotesFile:
    """Label Studio's JSON export: per task its data and every annotator's results."""
    found = VotesFile(path, "Label Studio, JSON")
    for number, task in enumerate(tasks, 1):
        try:
            _add_task(found, number, task)
        except (AttributeError, TypeError) as error:
            found.faults.append(
                f"{path} task {number}: expected annotations as Label Studio exports them, got "
                f"others ({error}). Export again."
            )
    return found


def _add_task(found: VotesFile, number: int, task: Mapping[str, Any]) -> None:
    data = task.get("data")
    name = data.get("task") if isinstance(data, Mapping) else None
    for each in task["annotations"]:
        if each.get("was_cancelled"):  # skipped
            continue
        choices = [
            choice
            for result in each.get("result", ())
            if result.get("type") == "choices"
            for choice in result.get("value", {}).get("choices", ())
        ]
        answer = choices[0] if len(choices) == 1 else " and ".join(map(str, choices))
        when = each.get("updated_at") or each.get("created_at")
        found.add(f"task {number}", _annotator(each.get("completed_by")), name, answer, when)


def _annotator(value: Any) -> str:
    """Who annotated: a number, or an object with an address."""
    if isinstance(value, Mapping):
        return _text(value.get("email") or value.get("id"))
    return _text(value)


# --- tables


def _from_table(path: str, text: str) -> VotesFile:
    entries = csv_entries(path, text) if text.strip() else []
    rows = [{name.lower(): cell for name, cell in each.cells.items()} for each in entries]
    header = list(rows[0]) if rows else []
    columns = {
        what: next((name for name in names if name in header), "") for what, names in NAMES.items()
    }
    missing = [what for what in ("rater", "task", "answer") if not columns[what]]
    if missing:
        raise _unknown(path, f"a table without {' and '.join(missing)}")
    is_toloka = "input:task" in header
    kind = "Toloka" if is_toloka else "Label Studio, CSV" if "annotator" in header else "table"
    found = VotesFile(path, kind)
    for entry, row in zip(entries, rows, strict=True):
        cells = {what: row.get(name) for what, name in columns.items()}
        if entry.fault:
            found.faults.append(f"{path} line {entry.line}: {entry.fault}")
            continue
        if row.get("assignment:status", "").strip().upper() == "REJECTED":
            continue
        if is_toloka and not _text(cells["answer"]):
            continue  # a task that nobody has answered yet
        found.exports.update(_of_export(cells["export"]))
        place = f"line {entry.line}"
        found.add(place, cells["rater"], cells["task"], cells["answer"], cells["time"])
    return found


def _of_export(value: Any) -> set[str]:
    return {_text(value)} - {""}


def _text(value: Any) -> str:
    """A cell as text, without what spreadsheets put around it."""
    if value is None or isinstance(value, bool | list | dict):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    plain = value if isinstance(value, str) else shortened(value)
    return composed(plain.strip().lstrip("'").strip('"').strip())


def _unknown(path: str, got: str) -> DataError:
    return DataError(
        f"{path}: expected votes from the voting page (JSON, CSV), Label Studio (JSON, JSON-MIN, "
        f"CSV) or Toloka (TSV), got {got}. Tables need the columns rater, task and answer."
    )
