"""The voting page, for the people of one lab.

All but ``data.js``, which has the tasks, is the same in every export. Votes stay in the browser and
are saved to a file by whoever votes::

    {"schema": "nacd-bench votes 1", "export": "<id>", "rater": "name",
     "votes": [{"task": "t0...", "answer": "A", "time": "2026-01-01T12:00:00Z", "seconds": 3.2}]}

or as CSV with the columns ``rater,task,answer,time,export``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nacd_bench.jobs.verify.task_files import PAGE
from nacd_bench.jobs.verify.tasks import QUESTIONS, Task, asked_like, shown
from nacd_bench.report.page import write_page

VOTES_SCHEMA = "nacd-bench votes 1"


def write_voting_page(folder: Path, tasks: Mapping[str, Task], export: str) -> Path:
    """Write the page beside its pictures; the path of its ``index.html``.

    Args:
        folder: of the export.
        tasks: by id.
        export: id of the export, which votes name.
    """
    kinds = sorted({asked_like(task.artifact_type) for task in tasks.values()})
    data = {
        "schema": VOTES_SCHEMA,
        "export": export,
        "kinds": [{"question": QUESTIONS[kind], "pictures": shown(kind)} for kind in kinds],
        "tasks": [
            [name, kinds.index(asked_like(tasks[name].artifact_type))] for name in sorted(tasks)
        ],
    }
    return write_page(folder / PAGE, "voting", data, title="Compare pictures")
