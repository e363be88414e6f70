"""Detectors and baselines in a job: made from a configuration, applied one safe from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nacd_bench.baselines import Baseline
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure, PluginError, UserError
from nacd_bench.registry import DETECTORS
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch

Method = Detector | Baseline
Outcome = DetectionBatch | float | str
"""Of one triplet: a detector's batch of one on the CPU, a baseline's score, or what went wrong."""


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
        if "_target_" not in node:  # a preset knows detectors that were not chosen
            _require_preset(group, name, node)
            continue
        try:
            methods.append(made(f"{group}.{name}", node))
        except UserError as error:
            failures.append(Failure("", name, str(error)))
    if failures and not methods:
        raise PluginError("\n".join(failure.message for failure in failures))
    return methods, failures


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


def _require_preset(group: str, name: str, node: Mapping[str, Any]) -> None:
    is_known = group == "detector" and name in DETECTORS
    presets = DETECTORS.get(name).presets if is_known else {}
    if dict(node) not in [dict(preset) for preset in presets.values()]:
        raise DataError(
            f"expected settings only of {group}s that run, got some of {group}.{name}. "
            f"Add {name} to {group}=[...] or leave them out."
        )
