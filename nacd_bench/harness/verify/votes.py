"""Files of votes: the voting page's JSON and CSV, Label Studio's and Toloka's exports.

What a file is follows from its content, not its name. Tables may have gone through a spreadsheet:
another separator, a byte order mark or UTF-16, capitals, blanks, empty rows and columns.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.data.files import read_bytes
from nacd_bench.errors import DataError
from nacd_bench.harness.verify.tasks import ANSWERS

PAGE_SCHEMA = "nacd-bench votes 1"
SEPARATORS = ",;\t|"
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
        time: when, as text that sorts (ISO 8601), or empty.
        place: where it was read, for messages.
    """

    rater: str
    task: str
    answer: str
    time: str
    place: str


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
    data = read_bytes(path, "a file of votes", DataError)
    text = _decoded(path, data)
    if text.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise DataError(
                f"{path}: expected votes as JSON, got a damaged file ({error}). Save it again."
            ) from error
        return _from_json(str(path), content)
    return _from_table(str(path), text)


def _decoded(path: str | Path, data: bytes) -> str:
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
    encodings = [marks[mark] for mark in marks if data.startswith(mark)] or ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path}: expected text in UTF-8, got other bytes. Save it as UTF-8.")


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
    return found


def _annotator(value: Any) -> str:
    """Who annotated: a number, or an object with an address."""
    if isinstance(value, Mapping):
        return _text(value.get("email") or value.get("id"))
    return _text(value)


# --- tables


def _from_table(path: str, text: str) -> VotesFile:
    rows = [[cell.strip() for cell in row] for row in _rows(path, text)]
    rows = [row for row in rows if any(row)]
    header = [name.lower() for name in rows[0]] if rows else []
    columns = {
        what: next((header.index(name) for name in names if name in header), None)
        for what, names in NAMES.items()
    }
    missing = [what for what in ("rater", "task", "answer") if columns[what] is None]
    if missing:
        raise _unknown(path, f"a table without {' and '.join(missing)}")
    is_toloka = "input:task" in header
    kind = "Toloka" if is_toloka else "Label Studio, CSV" if "annotator" in header else "table"
    found = VotesFile(path, kind)
    for number, row in enumerate(rows[1:], 2):
        cells = {
            what: row[place] if place is not None and place < len(row) else ""
            for what, place in columns.items()
        }
        status = header.index("assignment:status") if "assignment:status" in header else None
        if status is not None and status < len(row) and row[status].upper() == "REJECTED":
            continue
        if is_toloka and not cells["answer"]:
            continue  # a task that nobody has answered yet
        found.exports.update(_of_export(cells["export"]))
        place = f"line {number}"
        found.add(place, cells["rater"], cells["task"], cells["answer"], cells["time"])
    return found


def _rows(path: str, text: str) -> Iterator[list[str]]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    except csv.Error as error:
        raise DataError(
            f"{path}: expected a table of votes, got a fault ({error}). Save it again as CSV."
        ) from error


def _of_export(value: Any) -> set[str]:
    return {_text(value)} - {""}


def _text(value: Any) -> str:
    """A cell as text, without what spreadsheets put around it."""
    if value is None or isinstance(value, bool | list | dict):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lstrip("'").strip('"').strip()


def _unknown(path: str, got: str) -> DataError:
    return DataError(
        f"{path}: expected votes from the voting page (JSON, CSV), Label Studio (JSON, JSON-MIN, "
        f"CSV) or Toloka (TSV), got {got}. Tables need the columns rater, task and answer."
    )
