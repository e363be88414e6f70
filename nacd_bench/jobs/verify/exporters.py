"""Tasks as tools take them: the voting page, a Label Studio project, a Toloka pool; who gets what.

A task of an export is an id, a question, a picture and, of controls, the right answer. For Label
Studio and Toloka the picture is all of the task's pictures side by side, each under its caption, so
that one project serves every artifact type.

The voting page is for the people of one lab. All but its ``data.js``, which has the tasks, is the
same in every export. Votes stay in the browser and are saved to a file by whoever votes::

    {"schema": "nacd-bench votes 1", "export": "<id>", "rater": "name",
     "votes": [{"task": "t0...", "answer": "A", "time": "2026-01-01T12:00:00Z", "seconds": 3.2}]}

or as CSV with the columns ``rater,task,answer,time,export``. Where both sides are graded a vote has
``severity_A``, ``box_A``, ``severity_B`` and ``box_B`` too, and Label Studio gets the pictures one
by one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from nacd_bench.jobs.verify.pictures import FOLDERS, LABEL_STUDIO, PAGE, TOLOKA, picture_name
from nacd_bench.report.page import write_page
from nacd_bench.runs.tasks import GRADE, NOTHING, SHOWN_SIDES, VOTES_SCHEMA, Key
from nacd_bench.triplets.files import csv_bytes, writable, write_whole

AUTO, EMBEDDED = "auto", "embedded"
"""Where pictures are: in the JSON, or (anything else) at an address; auto: in it while it is small.
"""
LOCAL_FILES = "/data/local-files/?d=images/"
"""What Label Studio makes of a file under its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""
MOST_BYTES = 50_000_000
"""Of pictures in a file that is imported: Label Studio takes more, but browsers that upload it
struggle."""
TOLOKA_COLUMNS = ("INPUT:task", "INPUT:question", "INPUT:image", "GOLDEN:answer", "HINT:text")
TEMPLATES = Path(__file__).parent / "templates"


def write_exports(
    folder: Path, key: Key, formats: Sequence[str], label_studio_images: str, toloka_images: str
) -> list[str]:
    """Write what each tool takes, and a ``README.md`` that says who gets which part.

    Args:
        folder: of the export, with the pictures.
        key: what it asks.
        formats: the tools.
        label_studio_images: ``"auto"``, ``"embedded"``, or what stands before a picture's name.
        toloka_images: what stands before a picture's name.

    Returns:
        What the user should know, a line each.
    """
    notes: list[str] = []
    if PAGE in formats:
        _write_page(folder / PAGE, key)
    if LABEL_STUDIO in formats:
        notes += _write_label_studio(folder / LABEL_STUDIO, key, label_studio_images)
    if TOLOKA in formats:
        _write_toloka(folder / TOLOKA, key, toloka_images)
    _write_text(folder / "README.md", "export.md.j2", key=key, formats=formats)
    return notes


def _write_page(folder: Path, key: Key) -> None:
    looks = {name: (task.wording, task.shown, task.answers) for name, task in key.tasks.items()}
    kinds = sorted(set(looks.values()))
    data = {
        "schema": VOTES_SCHEMA,
        "export": key.export,
        "grades": key.question == GRADE,
        "kinds": [
            dict(zip(("question", "pictures", "answers"), kind, strict=True)) for kind in kinds
        ],
        "tasks": [
            [name, kinds.index(looks[name]), key.tasks[name].frame] for name in sorted(looks)
        ],
    }
    write_page(folder, "voting", data, title="Compare pictures", question=key.question)


def _write_label_studio(folder: Path, key: Key, images: str) -> list[str]:
    """Write ``config.xml``, ``tasks.json`` and a ``README.md``; what the user should know."""
    notes = []
    if images == AUTO:
        pictures = (folder / FOLDERS[LABEL_STUDIO]).glob("*/*.png")
        size = sum(path.stat().st_size for path in pictures)
        images = EMBEDDED if size <= MOST_BYTES else LOCAL_FILES
        if images == LOCAL_FILES:
            notes.append(
                f"The pictures for Label Studio have {size / 1e6:.0f} MB and stay files, which it "
                f"has to serve: see {folder / 'README.md'}. With label_studio_images=embedded they "
                "are in the JSON all the same, with https://... at an address of yours."
            )

    def image(name: str) -> str:
        if images != EMBEDDED:
            return f"{images}{name}"
        data = (folder / FOLDERS[LABEL_STUDIO] / name).read_bytes()
        return f"data:image/png;base64,{base64.b64encode(data).decode()}"

    lines = []
    for name, task in sorted(key.tasks.items()):
        data = {"task": name, "question": f"{task.wording} ({', '.join(task.answers)})"}
        if key.question == GRADE:
            data["question"] = task.wording
            data |= {side: image(picture_name(name, f"-{side}")) for side in task.shown}
        else:
            data["image"] = image(picture_name(name))
        lines.append(json.dumps({"data": data}))
    write_whole(folder / "tasks.json", ("[\n" + ",\n".join(lines) + "\n]\n").encode())
    can_be_nothing = any(NOTHING in task.answers for task in key.tasks.values())
    given = {"key": key, "sides": SHOWN_SIDES, "can_be_nothing": can_be_nothing}
    _write_text(folder / "config.xml", "label_studio.xml.j2", **given)
    given = {"key": key, "images": images, "local_files": LOCAL_FILES}
    _write_text(folder / "README.md", "label_studio.md.j2", **given)
    return notes


def _write_toloka(folder: Path, key: Key, images: str) -> None:
    """Write ``tasks.tsv``, ``instructions.html`` and a ``README.md``."""
    rows = [
        {
            "task": name,
            "question": task.wording,
            "image": f"{images}{picture_name(name)}",
            "answer": task.answer or "",
        }
        for name, task in sorted(key.tasks.items())
    ]
    cells = [dict(zip(TOLOKA_COLUMNS, (*row.values(), ""), strict=True)) for row in rows]
    write_whole(folder / "tasks.tsv", csv_bytes(TOLOKA_COLUMNS, cells, delimiter="\t"))
    questions = sorted({row["question"] for row in rows})
    answers = sorted({answer for task in key.tasks.values() for answer in task.answers})
    _write_text(
        folder / "instructions.html", "toloka.html.j2", questions=questions, answers=answers
    )
    given = {"key": key, "images": images, "answers": answers, "rows": rows}
    _write_text(folder / "README.md", "toloka.md.j2", **given)


def _write_text(path: Path, template: str, **given: Any) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    write_whole(path, writable(environment.get_template(template).render(given)).encode())
