"""Votes to what raters said about each candidate: controls first, then one vote per rater."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nacd_bench.errors import Failure
from nacd_bench.evaluation.agreement import NEURAL, SAME, TRADITIONAL
from nacd_bench.jobs.verify.tasks import CANDIDATE, Key, Task
from nacd_bench.jobs.verify.times import is_later, readings
from nacd_bench.jobs.verify.votes import Vote


@dataclass
class Collected:
    """What is left of all votes.

    Args:
        raters: everybody by name: how many ``votes`` (controls included), how many ``controls``, of
            these ``right``, their share as ``accuracy``, and whether the votes are ``dropped``.
        answers: by candidate what each rater said, dropped ones left out.
        faults: votes that do not count, and why.
        repeated: votes that were there twice with the same answer, counted once.
    """

    raters: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)
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
        if vote.task in key.tasks:
            given[vote.rater][vote.task].append(vote)
        else:
            fault = (
                f"expected a task of this export, got {vote.task!r} by {vote.rater}. "
                "The vote belongs to another export."
            )
            collected.faults.append(Failure(vote.place, "", fault))
    for rater, by_task in sorted(given.items()):
        answers = {task: _counted(several, collected) for task, several in sorted(by_task.items())}
        answers = {task: answer for task, answer in answers.items() if answer}
        if not answers:
            continue
        controls = [task for task in answers if key.tasks[task].kind != CANDIDATE]
        right = sum(answers[task] == key.tasks[task].answer for task in controls)
        accuracy = right / len(controls) if controls else None
        dropped = accuracy is not None and accuracy < least_accuracy
        facts = {"votes": len(answers), "controls": len(controls), "right": right}
        collected.raters.append({"name": rater, **facts, "dropped": dropped, "accuracy": accuracy})
        for task in () if dropped else [task for task in answers if task not in controls]:
            said = meaning(key.tasks[task], str(answers[task]))
            collected.answers.setdefault(key.tasks[task].candidate, {})[rater] = said
    return collected


def meaning(task: Task, answer: str) -> str:
    """Which result an answer calls the worse one.

    >>> meaning(Task("t1", "texture", CANDIDATE, "c", neural="B"), "B")
    'neural'
    """
    return SAME if answer == SAME else NEURAL if answer == task.neural else TRADITIONAL


def _counted(votes: Sequence[Vote], collected: Collected) -> str | None:
    """The answer that counts of all that a rater gave to a task; None where none does."""
    votes = sorted(votes, key=lambda vote: (vote.answer, vote.time, vote.place))
    answers = list(dict.fromkeys(vote.answer for vote in votes))
    collected.repeated += len(votes) - len(answers)
    if len(answers) == 1:
        return answers[0]
    times = [(vote, readings(vote.time, vote.order)) for vote in votes]
    latest = [
        vote.answer
        for vote, time in times
        if all(is_later(time, t) for other, t in times if other.answer != vote.answer)
    ]
    what = "neither counts, since their times do not say which is the later one"
    if latest:
        what = f"the later one counts, {latest[0]}"
    listed = ", ".join(f"{vote.answer} at {vote.time or 'no time'}" for vote in votes)
    fault = f"{votes[0].rater} answered task {votes[0].task} twice, {' and '.join(answers)} "
    collected.faults.append(Failure(votes[-1].place, "", f"{fault}({listed}): {what}."))
    return latest[0] if latest else None
