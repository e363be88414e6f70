"""What people are asked about a candidate, and on which side the neural result stands.

Ids and sides are hashes of the seed and the candidate's id, so that they depend neither on the
order nor on the number of tasks. A rater sees neither, so that an id does not lead to a side even
where the seed is known.

Control tasks are mixed in, whose answer is known. A *planted* one shows the traditional decode on
both sides, one of them with a strong artifact of the task's type put into the place that is framed;
that side is the right answer. An *identical* one shows the same decode twice, and the right answer
is that there is no difference.

There are two questions: which side is *worse*, the paper's, and to *grade* both sides: how strong
is the artifact on each, 0 to 3, and where. The side with the higher grade is the worse one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import json_bytes, json_sha256, write_whole
from nacd_bench.triplets.text_files import read_json

ANSWERS = ("A", "B", "same")
"""What a rater may say."""
SHOWN_SIDES = ANSWERS[:2]
NOTHING = "nothing"
"""There is no text to compare; in place of grades: there is nothing to judge."""
GRADE = "grade"
Question = Literal["worse", "grade"]
QUESTIONS = {
    "texture": "Which copy shows more distorted texture, compared with the original?",
    "color": (
        "Each picture is a checkerboard of the original and a copy. "
        "In which do you see the squares or shifted colours more?"
    ),
    "text": "In which picture is the text harder to read or more garbled?",
}
"""By artifact type; types of other packages are asked about like texture."""
GRADINGS = {
    "texture": (
        "In A, and in B: where is the texture most distorted, and clearly better in the other "
        "copy? How strong is it there?"
    ),
    "color": (
        "In A, and in B: where are colours shifted or lost most, and clearly better in the other "
        "copy? How strong is it there?"
    ),
    "text": (
        "In A, and in B: where is text hardest to read or most garbled, and clearly better in the "
        "other copy? How strong is it there?"
    ),
}
"""What is asked where both sides are graded."""
CANDIDATE, PLANTED, IDENTICAL = "candidate", "planted", "identical"
"""Kinds of tasks: the first asks, the answer of the other two is known."""
KEY, CANDIDATES_FILE, TRIPLETS_FILE = "key.json", "candidates.parquet", "triplets.jsonl"
"""Files of an export that no rater may see."""
SCHEMA, VOTES_SCHEMA = "nacd-bench verification 2", "nacd-bench votes 1"
"""Of ``key.json``, and of the votes that the voting page saves."""


@dataclass(frozen=True)
class Task:
    """One question.

    Args:
        id: what raters and their tools see.
        artifact_type: decides the question.
        kind: ``"candidate"``, ``"planted"`` or ``"identical"``.
        candidate: id of the candidate whose crops it is made of.
        neural: the side of the neural result, ``"A"`` or ``"B"``; None for controls.
        answer: the right one of a control, else None.
        question: which side is worse, or the grades of both.
        frame: where to look, in pixels of the pictures; None: everywhere.
    """

    id: str
    artifact_type: str
    kind: str
    candidate: str
    neural: str | None = None
    answer: str | None = None
    question: Question = "worse"
    frame: Sequence[int] | None = None

    @property
    def wording(self) -> str:
        """What is asked."""
        questions = GRADINGS if self.question == GRADE else QUESTIONS
        return questions[asked_like(self.artifact_type)]

    @property
    def answers(self) -> tuple[str, ...]:
        """What a rater may say: of text also that there is none.

        >>> Task("t1", "text", CANDIDATE, "c").answers
        ('A', 'B', 'same', 'nothing')
        """
        can_be_absent = self.question == GRADE or asked_like(self.artifact_type) == "text"
        return (*ANSWERS, NOTHING) if can_be_absent else ANSWERS

    @property
    def shown(self) -> tuple[str, ...]:
        """What a rater sees, by caption, in order.

        >>> Task("t1", "text", CANDIDATE, "c").shown
        ('A', 'B')
        >>> Task("t1", "texture", CANDIDATE, "c").shown
        ('original', 'A', 'B')
        """
        has_original = self.question == GRADE or asked_like(self.artifact_type) == "texture"
        return ("original", *SHOWN_SIDES) if has_original else SHOWN_SIDES


@dataclass(frozen=True)
class Key:
    """What turns answers into votes.

    Args:
        run: the mined folder, absolute.
        raters: how many were to look at each candidate.
        tasks: by id.
        export: id of the export, which votes name.
    """

    run: str
    raters: int
    tasks: Mapping[str, Task]
    export: str

    @property
    def question(self) -> Question:
        """What all the tasks ask."""
        return next((task.question for task in self.tasks.values()), "worse")


def asked_like(artifact_type: str) -> str:
    """The one of :data:`QUESTIONS` that is asked about an artifact type.

    >>> asked_like("color"), asked_like("blocking")
    ('color', 'texture')
    """
    return artifact_type if artifact_type in QUESTIONS else "texture"


def drawn(seed: int, *names: str) -> int:
    """A number of 64 bits that the seed and some names decide."""
    return int(json_sha256([seed, *names])[:16], 16)


def new_task(
    seed: int,
    kind: str,
    candidate: str,
    artifact_type: str,
    attempt: int = 0,
    question: Question = "worse",
    frame: Sequence[int] | None = None,
) -> Task:
    """A question on a candidate's crops; its letter in front keeps spreadsheets from reading its
    id as a number.

    >>> new_task(0, PLANTED, "kodim01_quality-3_texture_0", "texture").id
    'td650f8c7d9160171'
    """
    names = [kind, candidate, str(attempt), artifact_type]
    names += [question] if question == GRADE else []
    side = ANSWERS[drawn(seed, "side", *names) % 2]
    answer = {PLANTED: side, IDENTICAL: "same"}.get(kind)
    neural = side if kind == CANDIDATE else None
    name = f"t{drawn(seed, 'id', *names):016x}"
    return Task(name, artifact_type, kind, candidate, neural, answer, question, frame)


def write_key(folder: Path, key: Key) -> None:
    """Write ``key.json`` into the folder of an export."""
    in_order = replace(key, tasks=dict(sorted(key.tasks.items())))
    write_whole(folder / KEY, json_bytes({"schema": SCHEMA, **asdict(in_order)}))


def read_key(folder: str | Path) -> Key:
    """The key of an export.

    Raises:
        DataError: no export, or another version's.
    """
    path = Path(folder) / KEY
    if not path.is_file():
        raise DataError(
            f"expected the folder of a nacd-bench verify export, got {folder}, which has no {KEY}. "
            "Name the folder with the key, not the one that raters got."
        )
    content = read_json(path, "the key of an export")
    schema = content.pop("schema", None) if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise DataError(
            f"{path}: expected a key of {SCHEMA}, got {schema}. Use the version that wrote it."
        )
    try:
        tasks = {name: Task(**task) for name, task in content.pop("tasks").items()}
        return Key(**content, tasks=tasks)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected the key as verify export wrote it, got a damaged one "
            f"({type(error).__name__}: {error}). Export again into another folder with the same "
            "seed: the key is the same."
        ) from error
