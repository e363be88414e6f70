"""Tasks for Label Studio: a labelling configuration and JSON to import.

One project serves every artifact type, because a task is one picture: all of its pictures side by
side, each under its caption.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from nacd_bench.jobs.verify.task_files import LABEL_STUDIO, SHEETS, picture_name
from nacd_bench.jobs.verify.tasks import ANSWERS, QUESTIONS, Task, asked_like
from nacd_bench.triplets.files import write_whole

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
README = """# For Label Studio

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


def write_label_studio(
    folder: Path, tasks: Mapping[str, Task], images: str, sheet_bytes: int, raters: int
) -> list[str]:
    """Write ``config.xml``, ``tasks.json`` (or several) and a ``README.md``.

    Args:
        folder: of the export.
        tasks: by id.
        images: ``"auto"``, ``"embedded"``, or what stands before the name of a picture.
        sheet_bytes: of all pictures.
        raters: who are to look at each task.

    Returns:
        What the user should know, a line each.
    """
    place = folder / LABEL_STUDIO
    notes = []
    base: str | None = None if images == EMBEDDED else images
    if images == AUTO:
        base = None if sheet_bytes <= MOST_BYTES else LOCAL_FILES
        if base is not None:
            notes.append(
                f"The pictures for Label Studio have {sheet_bytes / 1e6:.0f} MB and stay files, "
                f"which it has to serve: see {place / 'README.md'}. With label_studio.images="
                "embedded they are in the JSON all the same, with https://... at an address of "
                "yours."
            )
    names = _write_parts(place, _lines(place, tasks, base))
    pictures = IN_THE_FILES
    if base is not None:
        pictures = ON_THE_DISK if base == LOCAL_FILES else AT_AN_ADDRESS.format(base=base)
    files = ", then ".join(f"`{name}`" for name in names)
    write_whole(place / "config.xml", CONFIG.encode())
    text = README.format(files=files, pictures=pictures, raters=raters)
    write_whole(place / "README.md", text.encode())
    return notes


def _lines(place: Path, tasks: Mapping[str, Task], base: str | None) -> Iterator[str]:
    """The tasks as JSON."""
    for name in sorted(tasks):
        picture = picture_name(name)
        if base is None:
            data = (place / SHEETS[LABEL_STUDIO] / picture).read_bytes()
            image = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        else:
            image = f"{base}{picture}"
        question = f"{QUESTIONS[asked_like(tasks[name].artifact_type)]} ({', '.join(ANSWERS)})"
        yield json.dumps({"data": {"task": name, "question": question, "image": image}})


def _write_parts(place: Path, lines: Iterator[str]) -> list[str]:
    """Write lists of about :data:`MOST_BYTES` at the most; their names."""
    names: list[str] = []
    part: list[str] = []
    size = 0

    def flush() -> None:
        name = "tasks.json" if not names else f"tasks-{len(names) + 1}.json"
        write_whole(place / name, ("[\n" + ",\n".join(part) + "\n]\n").encode())
        names.append(name)

    for line in lines:
        if part and size + len(line) > 1.5 * MOST_BYTES:  # base64 needs a third more
            flush()
            part, size = [], 0
        part.append(line)
        size += len(line)
    flush()
    return names
