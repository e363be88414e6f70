"""What else than the codec differs between two runs and may be behind other artifacts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import Floats
from nacd_bench.jobs.compare.compared_run import CodedTriplet, ComparedRun
from nacd_bench.jobs.compare.pairs import point_of
from nacd_bench.registry import unknown

Pairs = Sequence[tuple[CodedTriplet, CodedTriplet]]


@dataclass(frozen=True)
class Rate:
    """Mean bits per pixel of the neural codec.

    Args:
        preset: of which triplets, ``""`` for all.
        before, after: means over the same triplets.
        change: of these means, 0.05 for 5 % more.
        n: triplets with both rates known.
    """

    preset: str
    before: float
    after: float
    change: float
    n: int


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


def mean_rates(triplets: Pairs) -> list[Rate]:
    """Of all pairs with both rates known, then by operating point from the lowest rate up."""
    known: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for before, after in triplets:
        first, second = before.bpp["neural"], after.bpp["neural"]
        if first and second:
            known[""].append((first, second))
            known[point_of(after)].append((first, second))
    names = sorted(known, key=lambda name: (bool(name), np.mean([a for a, _ in known[name]])))
    return [_rate(name, np.array(known[name])) for name in names]


def _rate(preset: str, values: Floats) -> Rate:
    first, second = values.mean(axis=0).tolist()
    return Rate(preset, first, second, second / first - 1, len(values))


def differences(
    before: ComparedRun, after: ComparedRun, types: Mapping[str, str], triplets: Pairs
) -> list[str]:
    """A line for everything that differs beside the neural codec."""
    found = []
    for run, other in ((before, after), (after, before)):
        only = [name for name in run.types if name not in types]
        if only:
            found.append(
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
        found.append(
            f"The settings of {', '.join(changed)} differ between the runs (settings.json): what "
            "is fixed or new may be due to the detector."
        )
    if before.version and after.version and before.version != after.version:
        found.append(
            f"nacd-bench {before.version} made the first run and {after.version} the second."
        )
    differ = [n for n in types if before.thresholds.get(n) != after.thresholds.get(n)]
    if differ:
        found.append(
            f"The runs had different thresholds for {', '.join(differ)}; the higher ones are used "
            "for both."
        )
    other_sides = sum(a.traditional_identity != b.traditional_identity for a, b in triplets)
    if other_sides and before.kind == after.kind:
        found.append(
            f"In {other_sides} of {len(triplets)} pairs the traditional result is another one: "
            "what is fixed or new may be due to it. Compare both versions with the same."
        )
    return found


def rate_changes(rates: Sequence[Rate], tolerance: float) -> list[str]:
    """A line for each mean rate that changes by more than a share."""
    return [
        f"The second run spends {abs(rate.change):.1%} {'more' if rate.change > 0 else 'fewer'} "
        f"bits{f' at {rate.preset}' if rate.preset else ''} "
        f"({rate.before:.4f} and {rate.after:.4f} bpp)."
        for rate in rates
        if abs(rate.change) > tolerance
    ]
