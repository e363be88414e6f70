"""Detectors and baselines in a job: made from a configuration, applied one safe from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from nacd_bench.baselines import Baseline
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure, PluginError, UserError
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.registry import unknown
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch

Method = Detector | Baseline
Outcome = DetectionBatch | float | str
"""Of one triplet: a detector's batch of one on the CPU, a baseline's score, or what went wrong."""


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """A job's arguments: the settings of a configuration, and what its nodes describe, made.

    A detector or baseline that cannot be made (a plug-in that raises on import, a parameter that it
    does not know) is among the ``failures``; the others run.
    """
    given = {name: node for name, node in config.items() if name != "text_finder"}
    failures: list[Failure] = []
    for group in given.keys() & {"detector", "baseline"}:
        given[f"{group}s"], failed = made_methods(group, given.pop(group))
        failures += failed
    if "data" in given:
        given["source"] = made("data", given.pop("data"))
    written = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return {**given, "failures": failures, "configuration": written}


def made(place: str, node: Mapping[str, Any]) -> Any:
    """What a node of the configuration describes; its failure as one line."""
    try:
        return _called(node)
    except UserError:
        raise
    except Exception as error:  # a plug-in may raise anything on import
        raise PluginError(
            f"{place} ({node.get('_target_')}) cannot be made: {type(error).__name__}: {error}. "
            "Correct its settings, or repair or uninstall the package that it comes from."
        ) from error


def made_methods(group: str, nodes: Mapping[str, Any]) -> tuple[list[Any], list[Failure]]:
    """The detectors or baselines of a configuration, and those that cannot be made.

    Args:
        group: ``"detector"`` or ``"baseline"``.
        nodes: their settings by name.

    Raises:
        PluginError: none of them can be made.
    """
    methods, failures = [], []
    for name, node in nodes.items():
        try:
            methods.append(made(f"{group}.{name}", node))
        except UserError as error:
            failures.append(Failure("", name, str(error)))
    if failures and not methods:
        raise PluginError("\n".join(failure.message for failure in failures))
    return methods, failures


def thresholds_by_detector(
    given: Mapping[str, float] | str | Path | None, detectors: Sequence[Detector]
) -> dict[str, float]:
    """The confidence over which a box counts, by detector: 0 where nothing is said of it.

    Args:
        given: thresholds by detector, or a file that a benchmark wrote.
        detectors: those that run.

    Raises:
        DataError: a threshold for a detector that does not run, a file that lacks one.
    """
    types = {detector.name: detector.artifact_type for detector in detectors}
    if isinstance(given, str | Path):
        return read_thresholds(given).of(types)
    for name in given or {}:
        if name not in types:
            raise DataError(unknown("detector in thresholds", name, list(types)))
    return dict.fromkeys(types, 0.0) | dict(given or {})


def outcomes(method: Method, batch: TripletBatch) -> list[Outcome]:
    """What a method says about each triplet; a batch that fails is repeated one by one."""
    try:
        with torch.inference_mode():
            if isinstance(method, Baseline):
                return _numbers(method, method(batch), len(batch))
            return _single(method, method(batch), len(batch))
    except Exception as error:  # a plug-in may raise anything
        if len(batch) > 1:
            return [outcomes(method, batch[index])[0] for index in range(len(batch))]
        is_ours = isinstance(error, UserError)
        return [str(error) if is_ours else f"{type(error).__name__}: {error}"]


def _single(detector: Detector, found: DetectionBatch, count: int) -> list[Outcome]:
    if not isinstance(found, DetectionBatch) or not len(found) == len(found.boxes) == count:
        raise PluginError(
            f"expected detector {detector.name} to return a DetectionBatch of {count}, got "
            f"{type(found).__name__}. Report it to its authors."
        )
    singles: list[Outcome] = []
    for single in (found.single(index) for index in range(count)):
        is_finite = single.scores.isfinite().all() and single.confidences[0].isfinite().all()
        singles.append(single if is_finite else _no_number("detector", detector.name))
    return singles


def _numbers(baseline: Baseline, found: torch.Tensor, count: int) -> list[Outcome]:
    if not isinstance(found, torch.Tensor) or found.shape != (count,):
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise PluginError(
            f"expected baseline {baseline.name} to return a tensor of {count} scores, got {got}. "
            "Report it to its authors."
        )
    scores = found.double().cpu()
    return [
        score.item() if score.isfinite() else _no_number("baseline", baseline.name)
        for score in scores
    ]


def _no_number(kind: str, name: str) -> str:
    return (
        f"expected {kind} {name} to return numbers, got NaN or infinity. Report it to its authors."
    )


def _called(node: Any) -> Any:
    """Hydra's ``instantiate`` for values that mean what they say: a path may hold ``${``."""
    from hydra.utils import get_object

    if isinstance(node, Mapping):
        values = {key: _called(value) for key, value in node.items() if key != "_target_"}
        return get_object(node["_target_"])(**values) if "_target_" in node else values
    return [_called(value) for value in node] if isinstance(node, list) else node
