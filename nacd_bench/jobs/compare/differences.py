"""What else than the codec differs between two runs and may be behind other artifacts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.evaluation.paired_versions import PresenceTest
from nacd_bench.registry import unknown
from nacd_bench.runs.compared_run import ComparedRun, operating_point
from nacd_bench.triplets.record import TripletRecord

FEW = 5
"""Triplets under which nobody wonders that all of them have a box."""
Pairs = Sequence[tuple[TripletRecord, TripletRecord]]


def shared_types(before: ComparedRun, after: ComparedRun) -> dict[str, str]:
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
    runs: Sequence[ComparedRun], types: Mapping[str, str], given: Mapping[str, float]
) -> dict[str, float]:
    """The highest that any of the runs or the user has, so that both are cut at the same place.

    Raises:
        DataError: a threshold for a detector that is not compared.
    """
    for name in given:
        if name not in types:
            raise DataError(unknown("detector in thresholds", name, list(types)))
    return {
        name: max(
            *(run.thresholds.get(name, -math.inf) for run in runs), given.get(name, -math.inf)
        )
        for name in types
    }


def mean_rates(triplets: Pairs) -> list[dict[str, Any]]:
    """Mean bits per pixel of the neural codec, of all pairs with both rates known (``preset`` is
    ``""``), then by operating point from the lowest rate up.

    ``before`` and ``after`` are means over the same ``n`` triplets, ``change`` is that of these
    means: 0.05 for 5 % more.
    """
    rates_of: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for before, after in triplets:
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


def differences(
    before: ComparedRun, after: ComparedRun, types: Mapping[str, str], triplets: Pairs
) -> list[str]:
    """A line for everything that differs beside the neural codec."""
    lines = []
    for run, other in ((before, after), (after, before)):
        only = [name for name in run.types if name not in types]
        if only:
            lines.append(
                f"Left out: {', '.join(only)}, which {other.folder} does not have (or as another "
                "type)."
            )
    changed = [
        name
        for name in types
        if name in before.detectors
        and name in after.detectors
        and before.detectors[name] != after.detectors[name]
    ]
    if changed:
        lines.append(
            f"The settings of {', '.join(changed)} differ between the runs (settings.json): what "
            "is fixed or new may be due to the detector."
        )
    first, second = (run.settings.get("nacd_bench") for run in (before, after))
    if first and second and first != second:
        lines.append(f"nacd-bench {first} made the first run and {second} the second.")
    differ = [n for n in types if before.thresholds.get(n) != after.thresholds.get(n)]
    if differ:
        lines.append(
            f"The runs had different thresholds for {', '.join(differ)}; the higher ones are used "
            "for both."
        )
    other_sides = sum(a.extra["traditional"] != b.extra["traditional"] for a, b in triplets)
    if other_sides and before.kind == after.kind:
        lines.append(
            f"In {other_sides} of {len(triplets)} pairs the traditional result is another one: "
            "what is fixed or new may be due to it. Compare both versions with the same."
        )
    return lines


def rate_changes(rates: Sequence[Mapping[str, Any]], tolerance: float) -> list[str]:
    """A line for each of :func:`mean_rates` that changes by more than a share."""
    return [
        f"The second run spends {abs(rate['change']):.1%} "
        f"{'more' if rate['change'] > 0 else 'fewer'} "
        f"bits{' at ' + rate['preset'] if rate['preset'] else ''} "
        f"({rate['before']:.4f} and {rate['after']:.4f} bpp)."
        for rate in rates
        if abs(rate["change"]) > tolerance
    ]


def idle_settings(
    given: Mapping[str, float],
    margin: float,
    thresholds: Mapping[str, float],
    presence: Mapping[str, PresenceTest],
    has_one_box: bool,
) -> list[str]:
    """A line for each setting that can have no effect on these runs.

    Args:
        given: thresholds of the user, by detector.
        margin: of the rules.
        thresholds: that were used, by detector.
        presence: by detector.
        has_one_box: whether a detector boxes the strongest place only.
    """
    lines = []
    low = [f"{name} {value:g}" for name, value in given.items() if value < thresholds[name]]
    if low:
        lines.append(
            f"Thresholds below those of a run have no effect ({', '.join(low)}): a run keeps "
            "nothing under its own."
        )
    is_scaled = any(value != 0 and math.isfinite(value) for value in thresholds.values())
    if margin and not is_scaled and not has_one_box:
        lines.append("The margin has no effect: it is a share of thresholds that are 0.")
    full = [
        name
        for name, test in presence.items()
        if test.n >= FEW and test.with_before == test.with_after == test.n
    ]
    if full:
        lines.append(
            f"Every triplet has a box of {', '.join(full)} in both runs, so that only confidences "
            "and places can change. Give thresholds= (nacd-bench benchmark writes them)."
        )
    return lines
