"""What else than the codec differs between two runs and may be behind other artifacts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.runs.compared_run import operating_point, part_of, run_thresholds
from nacd_bench.runs.paired_runs import Pair
from nacd_bench.runs.read import Run

FEW = 5
"""Triplets under which nobody wonders that all of them have a box."""


def shared_types(before: Run, after: Run) -> dict[str, str]:
    """Artifact type of the detectors that both runs have; :class:`DataError` when there is none."""
    shared = {name: kind for name, kind in before.types.items() if after.types.get(name) == kind}
    if not shared:
        raise DataError(
            "expected two runs of the same detectors, got "
            f"{', '.join(before.types) or 'none'} in {before.folder} and "
            f"{', '.join(after.types) or 'none'} in {after.folder}. Run one of them again with the "
            "detectors of the other."
        )
    return shared


def shared_thresholds(
    runs: Sequence[Run], types: Mapping[str, str], given: Mapping[str, float]
) -> dict[str, float]:
    """The highest that any of the runs or the user has, so that both are cut at the same place.

    Raises:
        DataError: a threshold for a detector that is not compared.
    """
    for name in given:
        if name not in types:
            raise DataError(unknown("detector in thresholds", name, list(types)))
    told = [*map(run_thresholds, runs), given]
    return {name: max(values.get(name, -math.inf) for values in told) for name in types}


def mean_rates(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Mean bits per pixel of the neural codec, of all pairs with both rates known (``preset`` is
    ``""``), then by operating point from the lowest rate up.

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


def differences(runs: Sequence[Run], types: Mapping[str, str], pairs: Sequence[Pair]) -> list[str]:
    """A line for everything that differs beside the neural codec."""
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
    thresholds = [run_thresholds(run) for run in runs]
    differ = ", ".join(name for name in types if thresholds[0][name] != thresholds[1][name])
    others = sum(a.extra["traditional"] != b.extra["traditional"] for a, b in pairs)
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
            f"The runs had different thresholds for {differ}; the higher ones are used for both.",
        ),
        (
            others and runs[0].job == runs[1].job,
            f"In {others} of {len(pairs)} pairs the traditional result is another one: what is "
            "fixed or new may be due to it. Compare both versions with the same.",
        ),
    ]
    return [line for is_so, line in lines if is_so]


def idle_settings(
    given: Mapping[str, float],
    margin: float,
    thresholds: Mapping[str, float],
    presence: Mapping[str, Mapping[str, Any]],
    has_one_box: bool,
) -> list[str]:
    """A line for each setting that can have no effect on these runs.

    Args:
        given: thresholds of the user, by detector.
        margin: of the rules.
        thresholds: that were used, by detector.
        presence: tests by detector.
        has_one_box: whether a detector boxes the strongest place only.
    """
    low = ", ".join(f"{name} {x:g}" for name, x in given.items() if x < thresholds[name])
    is_scaled = any(value != 0 and math.isfinite(value) for value in thresholds.values())
    full = ", ".join(
        name
        for name, test in presence.items()
        if test["n"] >= FEW and test["with_before"] == test["with_after"] == test["n"]
    )
    lines = [
        (
            low,
            f"Thresholds below those of a run have no effect ({low}): a run keeps nothing under "
            "its own.",
        ),
        (
            margin and not is_scaled and not has_one_box,
            "The margin has no effect: it is a share of thresholds that are 0.",
        ),
        (
            full,
            f"Every triplet has a box of {full} in both runs, so that only confidences and places "
            "can change. Give thresholds= (nacd-bench benchmark writes them).",
        ),
    ]
    return [line for is_so, line in lines if is_so]
