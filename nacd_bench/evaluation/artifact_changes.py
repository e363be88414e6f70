"""What became of a picture's artifacts between two versions, by predicted severity.

Each artifact type has a judge: the detector that predicts its severity, 0 (none) to 3 (strong). A
picture has the artifact where that is over the threshold. The artifact is **new** where only the
later run (after) has it, **fixed** where only the earlier one (before) has it, and **stayed** where
both do. A change of severity that is not larger than the margin is none: over the threshold on both
sides the artifact is then the *same*, or *moved* where the strongest places do not touch; across
the threshold it is **unclear**. Comparing the other way round gives the mirror image of everything.

Severity is a picture's, not a box's: it tells how bad the worst of it is, and a further fault never
lowers it, while boxes after the first only say how they compare with the strongest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Gt, Le

from nacd_bench.evaluation.bootstrap import Floats, Resampling
from nacd_bench.evaluation.paired_versions import DEFAULT, presence_test, score_test
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.evaluation.thresholds import Criterion
from nacd_bench.ops.boxes import box_iou
from nacd_bench.settings import Count, Name, NotNegative, options

COUNTS = (
    *("before", "after", "fixed", "new", "stayed"),
    *("unclear_before", "unclear_after", "stronger", "weaker", "moved"),
)
"""Pictures over the threshold in each run; what became of them; and, of those that stayed, how."""

Limit = Count | Mapping[str, Count] | None
"""A number of artifacts that are allowed, in all or by type; None allows any number."""
Level = Annotated[float, Gt(0), Le(1)] | None
Place = tuple[int, ...]


@options
class Rules:
    """What counts as what, and what the later version may do.

    Args:
        thresholds: severity over which a picture has the artifact, by detector or as a thresholds
            file has them; else that of the runs, the higher one for both.
        criterion: by which, see :mod:`nacd_bench.evaluation.thresholds`; that of the file where
            nothing is said.
        margin: a severity that changes by no more than this did not change.
        rate_tolerance: change of the rate from which on there is a warning.
        bootstrap: of the intervals.
        fail_on_new: new artifacts that are allowed.
        fail_on_stronger: likewise, artifacts that stayed and became stronger.
        fail_on_worse: significance level; a type whose severity rises, with a p value by Holm under
            it, fails the version. None: no test fails it.
    """

    thresholds: Name | Mapping[str, float] = field(default_factory=dict)
    criterion: Criterion | None = None
    margin: NotNegative = 0.25
    rate_tolerance: NotNegative = 0.02
    bootstrap: Resampling = DEFAULT
    fail_on_new: Limit = None
    fail_on_stronger: Limit = None
    fail_on_worse: Level = None


DEFAULT_RULES = Rules()


class Change(NamedTuple):
    """An artifact of a picture, and what became of it.

    Args:
        pair: number of the picture's pair.
        artifact_type: of the artifact.
        status, change: see :func:`what_changed`.
        severity: before and after.
        places: the strongest box before and after, where the severity is over the threshold.
    """

    pair: int
    artifact_type: str
    status: str
    change: str
    severity: tuple[float, float]
    places: tuple[Place | None, Place | None]

    @property
    def rise(self) -> float:
        """Of the severity; below 0 where it fell."""
        return self.severity[1] - self.severity[0]


@dataclass(frozen=True)
class Judged:
    """One artifact type in the pairs of two runs, as its judge sees it.

    Args:
        artifact_type, detector: what is judged, and by whom.
        threshold: severity over which a picture has the artifact.
        originals: of each pair, by name.
        severities: ``(2, pairs)``; NaN where there is none.
        strongest: before and after, the strongest box by pair.
    """

    artifact_type: str
    detector: str
    threshold: float
    originals: Sequence[str]
    severities: Floats
    strongest: Sequence[Mapping[int, Place]]

    @property
    def pairs(self) -> list[int]:
        """Those that both runs have a severity of."""
        return np.flatnonzero(~np.isnan(self.severities).any(axis=0)).tolist()

    def changes(self, margin: float) -> list[Change]:
        """Every artifact once, in the order of the pairs."""
        changes = []
        for pair in self.pairs:
            before, after = self.severities[:, pair].tolist()
            first, second = (
                boxes.get(pair) if severity > self.threshold else None
                for boxes, severity in zip(self.strongest, (before, after), strict=True)
            )
            status, change = what_changed(before, after, self.threshold, margin)
            if change == "same" and first and second and not box_iou(first, second):
                change = "moved"
            if status:
                sides = (before, after), (first, second)
                changes.append(Change(pair, self.artifact_type, status, change, *sides))
        return changes


def what_changed(before: float, after: float, threshold: float, margin: float) -> tuple[str, str]:
    """Status and change of an artifact by its severities; empty where neither run has it.

    >>> what_changed(0.2, 1.9, 1.5, 0.25), what_changed(1.9, 2.9, 1.5, 0.25)
    (('new', ''), ('stayed', 'stronger'))
    >>> what_changed(1.4, 1.6, 1.5, 0.25), what_changed(0.2, 1.4, 1.5, 0.25)
    (('unclear', 'marginal'), ('', ''))
    """
    had, has = before > threshold, after > threshold
    is_apart = abs(after - before) > margin
    if had and has:
        return "stayed", ("stronger" if after > before else "weaker") if is_apart else "same"
    if not (had or has):
        return "", ""
    return ("new" if has else "fixed", "") if is_apart else ("unclear", "marginal")


def counts(changes: Sequence[Change]) -> dict[str, int]:
    """:data:`COUNTS` of changes.

    >>> changes = [Change(0, "text", "new", "", (0.1, 2.0), (None, (0, 0, 9, 9)))]
    >>> {name: number for name, number in counts(changes).items() if number}
    {'after': 1, 'new': 1}
    """
    found = Counter(change.change for change in changes)
    for status, change, severity in ((x.status, x.change, x.severity) for x in changes):
        rises = severity[1] > severity[0]
        found["before"] += status in ("fixed", "stayed") or (status == "unclear" and not rises)
        found["after"] += status in ("new", "stayed") or (status == "unclear" and rises)
        found[f"unclear_{'after' if rises else 'before'}" if change == "marginal" else status] += 1
    return {name: found[name] for name in COUNTS}


def outcome(figures: Mapping[str, int]) -> str:
    """What a type's :data:`COUNTS` say of the later version.

    ``worse``, ``better``, ``mixed``; ``same`` where no severity changed; ``none`` without artifacts
    on either side.
    """
    worse, better = (figures[a] + figures[b] for a, b in (("new", "stronger"), ("fixed", "weaker")))
    if worse or better:
        return "mixed" if worse and better else "worse" if worse else "better"
    return "same" if figures["before"] or figures["after"] else "none"


def figures_by_type(
    judged: Sequence[Judged], changes: Sequence[Change], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Counts, outcome and tests of each type; Holm's correction is over the types."""
    presence, severity = {}, {}
    for one in judged:
        before, after = one.severities[:, one.pairs]
        originals = [one.originals[pair] for pair in one.pairs]
        had, has = before > one.threshold, after > one.threshold
        presence[one.artifact_type] = presence_test(had, has, originals)
        severity[one.artifact_type] = score_test(before, after, originals, resampling)
    presence, severity = holm_corrected(presence), holm_corrected(severity)
    found = {}
    for one in judged:
        kind = one.artifact_type
        counted = counts([change for change in changes if change.artifact_type == kind])
        found[kind] = {
            **{"detector": one.detector, "threshold": one.threshold},
            **{"outcome": outcome(counted), **counted},
            "presence": asdict(presence[kind]),
            "severity": asdict(severity[kind]),
        }
    return found
