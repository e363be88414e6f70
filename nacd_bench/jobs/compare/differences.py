"""What else than the codec differs between two runs and may be behind other artifacts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.evaluation.artifact_changes import Judged
from nacd_bench.pipeline.methods import limits_of
from nacd_bench.runs.compared_run import (
    DETECT,
    detector_class,
    judges,
    operating_point,
    part_of,
    run_thresholds,
)
from nacd_bench.runs.paired_runs import Pair
from nacd_bench.runs.read import Run
from nacd_bench.triplets.grades import STRONGEST


def shared_types(before: Run, after: Run) -> dict[str, str]:
    """Artifact type of the detectors that both runs have.

    Raises:
        DataError: none of them predicts a severity, so that nothing can be judged.
    """
    shared = {name: kind for name, kind in before.types.items() if after.types.get(name) == kind}
    if not judges(shared):
        raise DataError(
            "expected two runs of the same detectors of severity, got "
            f"{', '.join(before.types) or 'none'} in {before.folder} and "
            f"{', '.join(after.types) or 'none'} in {after.folder}. Scores of other detectors do "
            "not say which version is better (large_color falls where a cast becomes gross) and "
            f"are shown beside only. Run detect on both with {DETECT}."
        )
    return shared


def shared_thresholds(
    runs: Sequence[Run],
    judged: Mapping[str, str],
    given: str | Path | Mapping[str, float],
    criterion: str | None,
) -> dict[str, float]:
    """Severity over which a picture has the artifact, by detector: the one place that decides it.

    Args:
        runs: both; where the user says nothing, the higher one of theirs holds for both.
        judged: detector by artifact type.
        given, criterion: of the user, see :func:`~nacd_bench.pipeline.methods.limits_of`.

    Raises:
        DataError: see there; a threshold for a detector that does not judge.
    """
    names = list(judged.values())
    chosen = limits_of([detector_class(name) for name in names], given, criterion)
    first, second = (run_thresholds(run, names) for run in runs)
    return {
        name: max(first[name], second[name]) if limit.by == "detector" else limit.threshold
        for name, limit in chosen.items()
    }


def mean_rates(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Mean bits per pixel of the neural codec, of all pairs with both rates known (``preset`` is
    ``""``; where there are several operating points), then by operating point from the lowest up.

    ``before`` and ``after`` are means over the same ``n`` triplets, ``change`` is that of these
    means: 0.05 for 5 % more.
    """
    rates_of: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for before, after in pairs:
        first, second = before.neural_bpp, after.neural_bpp
        if first and second:
            rates_of[""].append((first, second))
            rates_of[operating_point(after)].append((first, second))
    rates = []
    for preset, values in rates_of.items():
        mean, later = np.mean(values, axis=0).tolist()
        facts = {"before": mean, "after": later, "change": later / mean - 1, "n": len(values)}
        if preset or len(rates_of) != 2:  # all are those of the only point
            rates.append({"preset": preset, **facts})
    return sorted(rates, key=lambda rate: (bool(rate["preset"]), rate["before"]))


def rate_changes(rates: Iterable[Mapping[str, Any]], tolerance: float) -> list[str]:
    """A line for each of :func:`mean_rates` that changes by more than a share."""
    return [
        f"The second run spends {abs(rate['change']):.1%} "
        f"{'more' if rate['change'] > 0 else 'fewer'} "
        f"bits{' at ' + rate['preset'] if rate['preset'] else ''} "
        f"({rate['before']:.4f} and {rate['after']:.4f} bpp)."
        for rate in rates
        if abs(rate["change"]) > tolerance
    ]


def differences(
    runs: Sequence[Run], types: Mapping[str, str], judged: Mapping[str, str], pairs: Sequence[Pair]
) -> list[str]:
    """A line for everything that differs beside the neural codec.

    Args:
        runs: both.
        types: artifact type of the detectors that both have.
        judged: detector by artifact type.
        pairs: of triplets.
    """
    only = {
        other.folder: ", ".join(name for name in run.types if name not in types)
        for run, other in (runs, runs[::-1])
    }
    first, second = (
        part_of(run.settings, "methods" if run.job == "benchmark" else "detectors") for run in runs
    )
    changed = ", ".join(
        name for name in types if name in first and name in second and first[name] != second[name]
    )
    made, later = (run.settings.get("nacd_bench") for run in runs)
    own, others = (run_thresholds(run, judged.values()) for run in runs)
    differ = ", ".join(name for name in own if own[name] != others[name])
    number = sum(a.extra["traditional"] != b.extra["traditional"] for a, b in pairs)
    lines: list[tuple[Any, str]] = [
        (names, f"Left out: {names}, which {folder} does not have (or as another type).")
        for folder, names in only.items()
    ]
    lines += [
        (
            changed,
            f"The settings of {changed} differ between the runs (settings.json): what is fixed or "
            "new may be due to the detector.",
        ),
        (
            made and later and made != later,
            f"nacd-bench {made} made the first run and {later} the second.",
        ),
        (
            differ,
            f"The runs had different thresholds for {differ}; where none is given, the higher ones "
            "hold for both.",
        ),
        (
            number and runs[0].job == runs[1].job,
            f"In {number} of {len(pairs)} pairs the traditional result is another one: what is "
            "fixed or new may be due to it. Compare both versions with the same.",
        ),
    ]
    return [line for is_so, line in lines if is_so]


def limits(
    judged: Sequence[Judged],
    by_type: Mapping[str, Mapping[str, Any]],
    margin: float,
    level: float | None,
) -> list[str]:
    """A line for whatever could not be seen by these runs even if it were so.

    Args:
        judged: the types.
        by_type: their figures.
        margin: of the rules.
        level: of the gate on rising severities.
    """
    lines = []
    for one in judged:
        ends = int((one.severities >= STRONGEST - margin).all(axis=0).sum())
        if ends:
            lines.append(
                f"In {ends} of {len(one.pairs)} pictures the severity of {one.artifact_type} is at "
                f"the end of the scale in both runs ({STRONGEST} less the margin, or more): what "
                "became worse or better there cannot be seen."
            )
    least = min((len(by_type) * 2.0 ** (1 - len({*one.originals})) for one in judged), default=0.0)
    if level and least >= level:
        lines.append(
            f"fail_on_worse={level:g} can fail nothing: with so few photographs the least p value "
            f"is {min(1.0, least):.3g} (by Holm, {len(by_type)} types)."
        )
    return lines
