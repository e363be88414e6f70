"""Tasks for Toloka: a table of tasks, control tasks with their golden answers, instructions."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping
from pathlib import Path

from nacd_bench.jobs.verify.task_files import TOLOKA, picture_name
from nacd_bench.jobs.verify.tasks import ANSWERS, QUESTIONS, Task, asked_like
from nacd_bench.triplets.files import write_whole

COLUMNS = ("INPUT:task", "INPUT:question", "INPUT:image", "GOLDEN:answer", "HINT:text")
MEANING = {
    "A": "the picture under A is worse",
    "B": "the picture under B is worse",
    "same": "you see no difference between A and B",
}
README = """# For Toloka

These files are for the requester. `tasks.tsv` has the answers of the control tasks: performers must
not get it.

1. Put the content of `images/` where performers can load it. `INPUT:image` is {images}.
2. Create a project with the input fields `task` (string), `question` (string) and `image` (URL or
   string), the output field `answer` (string: {answers}), a picture of `image`, the text of
   `question`, and a radio group for `answer`. The instructions are in `instructions.html`.
3. Create a pool with an overlap of {raters}, upload `tasks.tsv`, and mix the tasks, so that nobody
   can tell the control tasks. These are the lines with `GOLDEN:answer`.
4. Download the results (*assignments*, TSV with all columns) and give them to
   `nacd-bench verify import`.
"""


def write_toloka(folder: Path, tasks: Mapping[str, Task], base: str, raters: int) -> None:
    """Write ``tasks.tsv``, ``instructions.html`` and a ``README.md``.

    Args:
        folder: of the export.
        tasks: by id.
        base: what stands before the name of a picture.
        raters: who are to look at each task.
    """
    place = folder / TOLOKA
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in sorted(tasks):
        question = QUESTIONS[asked_like(tasks[name].artifact_type)]
        cells = (name, question, f"{base}{picture_name(name)}", tasks[name].answer or "", "")
        writer.writerow(" ".join(cell.split()) for cell in cells)
    write_whole(place / "tasks.tsv", text.getvalue().encode())
    asked = {asked_like(task.artifact_type) for task in tasks.values()}
    write_whole(place / "instructions.html", _instructions(asked).encode())
    images = f"{base} and the name of the file" if base else "relative to that place"
    images = f"{images}, for example `{base}{picture_name(min(tasks))}`"
    readme = README.format(images=images, answers=", ".join(ANSWERS), raters=raters)
    write_whole(place / "README.md", readme.encode())


def _instructions(asked: set[str]) -> str:
    """What performers read before they begin, as the part of a page."""
    questions = "".join(f"<li>{html.escape(QUESTIONS[kind])}</li>\n" for kind in sorted(asked))
    answers = "".join(
        f"<li><b>{answer}</b>: {html.escape(MEANING[answer])}</li>\n" for answer in ANSWERS
    )
    return f"""<p>Each task shows copies of a part of a photograph, A and B, compressed in two ways.
Some tasks show the original as well: it is how the picture should look.</p>
<p>Look at the whole of each picture, enlarge it where you are not sure, and answer the question
above it. It is one of these:</p>
<ul>
{questions}</ul>
<p>Choose</p>
<ul>
{answers}</ul>
<p>Neither side is better more often, and some tasks have a known answer.</p>
"""
