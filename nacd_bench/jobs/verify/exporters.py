"""Tasks as other tools take them: a Label Studio project, a Toloka pool, and who gets what.

A task is one picture in both tools: all of its pictures side by side, each under its caption, so
that one project serves every artifact type.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path

from nacd_bench.jobs.verify.task_files import LABEL_STUDIO, PAGE, SHEETS, TOLOKA, picture_name
from nacd_bench.jobs.verify.tasks import ANSWERS, CANDIDATES_FILE, KEY, QUESTIONS, Key, asked_like
from nacd_bench.runs.schema import SETTINGS
from nacd_bench.triplets.files import writable, write_whole

AUTO, EMBEDDED = "auto", "embedded"
"""Where pictures are: in the JSON, or (anything else) at an address; auto: in it while it is small.
"""
LOCAL_FILES = "/data/local-files/?d=images/"
"""What Label Studio makes of a file under its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""
MOST_BYTES = 50_000_000
"""Of a file that is imported, about: Label Studio takes more, but browsers that upload it struggle.
"""
CONFIG = """<View>
  <Header value="$question"/>
  <Image name="image" value="$image" zoom="true" zoomControl="true" width="100%" maxWidth="none"/>
  <Choices name="answer" toName="image" choice="single" required="true" showInline="true">
    <Choice value="A" hotkey="1"/>
    <Choice value="B" hotkey="2"/>
    <Choice value="same" hotkey="3"/>
  </Choices>
</View>
"""
LABEL_STUDIO_README = """# For Label Studio

These files are for whoever sets up the project. Annotators see only what Label Studio shows them.

1. Create a project; in *Labeling Setup*, *Custom template*, paste `config.xml`.
2. Import {files}.
3. {pictures}
4. Each task is to be looked at by {raters} people. The Community Edition does not hand out tasks by
   number of annotators: let every annotator label all tasks, in an order by random sampling.
5. Export as *JSON* (not JSON-MIN) and give the file to `nacd-bench verify import`.

Keys: 1 is A, 2 is B, 3 is same.
"""
IN_THE_FILES = "The pictures are in the files. `images/` has them once more and is not needed."
ON_THE_DISK = """Let Label Studio serve `images/`: start it with
   `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and
   `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT` set to this folder (the one that `images/` lies in).
   Add a source storage *Local files* with the absolute path of `images/` to the project. It need
   not be synchronised."""
AT_AN_ADDRESS = "The pictures are expected under `{base}`: put the content of `images/` there."

TOLOKA_COLUMNS = ("INPUT:task", "INPUT:question", "INPUT:image", "GOLDEN:answer", "HINT:text")
MEANING = {
    "A": "the picture under A is worse",
    "B": "the picture under B is worse",
    "same": "you see no difference between A and B",
}
TOLOKA_README = """# For Toloka

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
INSTRUCTIONS = """<p>Each task shows copies of a part of a photograph, A and B, compressed in two
ways. Some tasks show the original as well: it is how the picture should look.</p>
<p>Look at the whole of each picture, enlarge it where you are not sure, and answer the question
above it. It is one of these:</p>
<ul>
{questions}</ul>
<p>Choose</p>
<ul>
{answers}</ul>
<p>Neither side is better more often, and some tasks have a known answer.</p>
"""
README = """# Tasks for people

{count} tasks on candidates of `{run}`, {raters} people for each.

{formats}- `{key}`, `{candidates}`, `{settings}`: which side is which, and which answers are known.
  **Raters must not get these files.** Keep this folder: `nacd-bench verify import` needs it.

When the votes are there: `nacd-bench verify import FOLDER VOTES`, with this folder and the files of
votes.
"""
FOR_WHOM = {
    PAGE: "`page/` is for raters. Copy or zip it, open `index.html` in a browser, vote, save the "
    "votes and hand in the file. No server and no network are needed.",
    LABEL_STUDIO: "`label_studio/` is for whoever sets up Label Studio, see its README.",
    TOLOKA: "`toloka/` is for the requester at Toloka, see its README.",
}


def write_label_studio(folder: Path, key: Key, images: str) -> list[str]:
    """Write ``config.xml``, ``tasks.json`` (or several) and a ``README.md``.

    Args:
        folder: of the export.
        key: what it asks.
        images: ``"auto"``, ``"embedded"``, or what stands before the name of a picture.

    Returns:
        What the user should know, a line each.
    """
    place = folder / LABEL_STUDIO
    pictures = {task: place / SHEETS[LABEL_STUDIO] / picture_name(task) for task in key.tasks}
    notes = []
    if images == AUTO:
        size = sum(path.stat().st_size for path in pictures.values())
        images = EMBEDDED if size <= MOST_BYTES else LOCAL_FILES
        if images == LOCAL_FILES:
            notes.append(
                f"The pictures for Label Studio have {size / 1e6:.0f} MB and stay files, which it "
                f"has to serve: see {place / 'README.md'}. With label_studio_images=embedded they "
                "are in the JSON all the same, with https://... at an address of yours."
            )
    parts: list[list[str]] = [[]]
    size = 0
    for name, question in _questions(key).items():
        image = f"{images}{picture_name(name)}"
        if images == EMBEDDED:
            data = base64.b64encode(pictures[name].read_bytes()).decode()
            image = f"data:image/png;base64,{data}"
        question = f"{question} ({', '.join(ANSWERS)})"
        line = json.dumps({"data": {"task": name, "question": question, "image": image}})
        size += len(line)
        if parts[-1] and size > 1.5 * MOST_BYTES:  # base64 needs a third more
            parts.append([])
            size = len(line)
        parts[-1].append(line)
    names = ["tasks.json", *(f"tasks-{number}.json" for number in range(2, len(parts) + 1))]
    for name, part in zip(names, parts, strict=True):
        write_whole(place / name, ("[\n" + ",\n".join(part) + "\n]\n").encode())
    steps = {EMBEDDED: IN_THE_FILES, LOCAL_FILES: ON_THE_DISK}
    text = LABEL_STUDIO_README.format(
        files=", then ".join(f"`{name}`" for name in names),
        pictures=steps.get(images, AT_AN_ADDRESS.format(base=images)),
        raters=key.raters,
    )
    write_whole(place / "config.xml", CONFIG.encode())
    write_whole(place / "README.md", text.encode())
    return notes


def write_toloka(folder: Path, key: Key, images: str) -> None:
    """Write ``tasks.tsv``, ``instructions.html`` and a ``README.md``.

    Args:
        folder: of the export.
        key: what it asks.
        images: what stands before the name of a picture.
    """
    place = folder / TOLOKA
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(TOLOKA_COLUMNS)
    questions = _questions(key)
    for name, question in questions.items():
        cells = (name, question, f"{images}{picture_name(name)}", key.tasks[name].answer or "", "")
        writer.writerow(" ".join(cell.split()) for cell in cells)
    write_whole(place / "tasks.tsv", table.getvalue().encode())
    asked = [html.escape(question) for question in sorted(set(questions.values()))]
    text = INSTRUCTIONS.format(
        questions="".join(f"<li>{question}</li>\n" for question in asked),
        answers="".join(f"<li><b>{word}</b>: {MEANING[word]}</li>\n" for word in ANSWERS),
    )
    write_whole(place / "instructions.html", text.encode())
    where = f"{images} and the name of the file" if images else "relative to that place"
    text = TOLOKA_README.format(
        images=f"{where}, for example `{images}{picture_name(min(key.tasks))}`",
        answers=", ".join(ANSWERS),
        raters=key.raters,
    )
    write_whole(place / "README.md", text.encode())


def write_readme(folder: Path, key: Key, formats: Iterable[str]) -> None:
    """Write ``README.md``, which says who gets which part of an export."""
    text = README.format(
        count=len(key.tasks),
        run=key.run,
        raters=key.raters,
        formats="".join(f"- {FOR_WHOM[name]}\n" for name in formats),
        key=KEY,
        candidates=CANDIDATES_FILE,
        settings=SETTINGS,
    )
    write_whole(folder / "README.md", writable(text).encode())


def _questions(key: Key) -> dict[str, str]:
    """What is asked in each task, by id, in order."""
    tasks = sorted(key.tasks.items())
    return {name: QUESTIONS[asked_like(task.artifact_type)] for name, task in tasks}
