"""Votes to what raters said about each candidate: controls first, then one vote per rater."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nacd_bench.errors import UserError
from nacd_bench.jobs.verify.tasks import CANDIDATE, Key, Task
from nacd_bench.jobs.verify.times import is_later, readings
from nacd_bench.jobs.verify.votes import Vote
from nacd_bench.registry import unknown

NEURAL, TRADITIONAL, SAME = "neural", "traditional", "same"
"""What a rater said, whichever sides were shown: that side is the worse one, or none is."""
RULES = ("any", "majority", "unanimous")


@dataclass(frozen=True)
class Rater:
    """One person.

    Args:
        name: as in the files.
        votes: tasks answered, controls included.
        controls: controls answered.
        right: of these.
        dropped: whether the votes do not count.
    """

    name: str
    votes: int
    controls: int
    right: int
    dropped: bool

    @property
    def accuracy(self) -> float | None:
        """Share of the controls that were right; None without any."""
        return self.right / self.controls if self.controls else None


@dataclass
class Collected:
    """What is left of all votes.

    Args:
        raters: everybody, by name.
        said: by candidate what each rater said, dropped ones left out.
        faults: votes that do not count, and why.
        repeated: votes that were there twice with the same answer, counted once.
    """

    raters: list[Rater] = field(default_factory=list)
    said: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
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
    if not 0 <= least_accuracy <= 1:
        raise UserError(f"expected min_control_accuracy from 0 to 1, got {least_accuracy}.")
    found = Collected()
    answers = _one_each(votes, key, found)
    by_rater: dict[str, dict[str, str]] = defaultdict(dict)
    for (rater, task), vote in answers.items():
        by_rater[rater][task] = vote.answer
    for name in sorted(by_rater):
        given = by_rater[name]
        controls = [task for task in given if key.tasks[task].kind != CANDIDATE]
        right = sum(given[task] == key.tasks[task].answer for task in controls)
        dropped = bool(controls) and right / len(controls) < least_accuracy
        found.raters.append(Rater(name, len(given), len(controls), right, dropped))
        for task, answer in {} if dropped else given.items():
            own = key.tasks[task]
            if own.kind == CANDIDATE:
                found.said.setdefault(own.candidate, {})[name] = meaning(own, answer)
    return found


def meaning(task: Task, answer: str) -> str:
    """Which result an answer calls the worse one.

    >>> meaning(Task("t1", "texture", CANDIDATE, "c", neural="B"), "B")
    'neural'
    """
    if answer == SAME:
        return SAME
    return NEURAL if answer == task.neural else TRADITIONAL


def confirmed(said: Sequence[str], rule: str, raters: int) -> bool | None:
    """Whether people saw an artifact; None as long as too few have looked.

    Args:
        said: what each rater said.
        rule: ``"any"``: one of the raters is enough (section 4.2); ``"majority"``: more than half;
            ``"unanimous"``: all.
        raters: how many were to look.

    >>> confirmed(["neural", "same"], "any", 3), confirmed(["same", "same"], "any", 3)
    (True, None)
    >>> confirmed(["neural", "same", "traditional"], "majority", 3)
    False
    """
    if rule not in RULES:
        raise UserError(unknown("rule", str(rule), list(RULES)))
    count = max(raters, len(said))
    yes, no = said.count(NEURAL), len(said) - said.count(NEURAL)
    needed = {"any": 1, "majority": count // 2 + 1, "unanimous": count}[rule]
    if yes >= needed:
        return True
    return False if no > count - needed else None


def _one_each(votes: Iterable[Vote], key: Key, found: Collected) -> Mapping[tuple[str, str], Vote]:
    """The vote of each rater on each task that counts, whatever the order of all."""
    given: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.task in key.tasks:
            given[vote.rater, vote.task].append(vote)
        else:
            found.faults.append(
                f"{vote.place}: expected a task of this export, got {vote.task!r} by {vote.rater}. "
                "The vote belongs to another export."
            )
    kept: dict[tuple[str, str], Vote] = {}
    for (rater, task), own in sorted(given.items()):
        own.sort(key=lambda vote: (vote.answer, vote.time, vote.place))
        answers = list(dict.fromkeys(vote.answer for vote in own))
        found.repeated += len(own) - len(answers)
        latest = own[0] if len(answers) == 1 else _latest(own)
        if latest is not None:
            kept[rater, task] = latest
        if len(answers) > 1:
            what = "neither counts, since their times do not say which is the later one"
            if latest is not None:
                what = f"the later one counts, {latest.answer}"
            times = ", ".join(f"{vote.answer} at {vote.time or 'no time'}" for vote in own)
            found.faults.append(
                f"{own[-1].place}: {rater} answered task {task} twice, {' and '.join(answers)} "
                f"({times}): {what}."
            )
    return kept


def _latest(votes: Sequence[Vote]) -> Vote | None:
    """The vote that is later than every one with another answer; None where there is none."""
    times = [readings(vote.time, vote.order) for vote in votes]
    for vote, time in zip(votes, times, strict=True):
        others = [t for v, t in zip(votes, times, strict=True) if v.answer != vote.answer]
        if all(is_later(time, other) for other in others):
            return vote
    return None
