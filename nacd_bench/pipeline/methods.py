"""Detectors and baselines in a job: made from a configuration, applied one safe from another."""

from __future__ import annotations

import math
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml

from nacd_bench.baselines import Baseline
from nacd_bench.coding.matched import describe
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, Failure, PluginError, UserError
from nacd_bench.evaluation.thresholds import Limit, read_thresholds, severity_of
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.pipeline.clock import timed
from nacd_bench.registry import unknown
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, Result

Method = Detector | Baseline
_one_reader = threading.Lock()
"""Text is looked for by one thread at a time: finders use all cores themselves, and remember what
they found for the triplets of the same original that wait."""
M = TypeVar("M", Detector, Baseline, Detector | Baseline)


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """A job's arguments: the settings of a configuration, and what its nodes describe, made.

    A detector or baseline that cannot be made (a plug-in that raises on import, a parameter that it
    does not know) is among the ``failures``; the others run.
    """
    given = {name: node for name, node in config.items() if name != "text_finder"}
    failures: list[Failure] = []
    for group in ("detector", "baseline"):
        if group in given:
            given[f"{group}s"], failed = made_methods(group, given.pop(group))
            failures += failed
    if "data" in given:
        with timed("made"):
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


def by_name(methods: Sequence[M]) -> dict[str, M]:
    """The methods by their names, ready to score.

    Raises:
        DataError: none, or two of one name.
    """
    if not methods:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    times = Counter(str(method.name) for method in methods)
    twice = [name for name, count in times.items() if count > 1]
    if twice:
        raise DataError(f"expected methods with names of their own, got {', '.join(twice)} twice.")
    return {str(method.name): method.eval() for method in methods}


def limits_of(
    detectors: Sequence[Detector] | Sequence[type[Detector]],
    given: Mapping[str, float] | str | Path | None = None,
    criterion: str | None = None,
) -> dict[str, Limit]:
    """The confidence over which a box counts, by detector: where all thresholds come from.

    That is the number that is given for it, else what the criterion says, in the thresholds file
    where it needs one, else the detector's own.

    Args:
        detectors: those that run, or classes of those that ran.
        given: thresholds by detector, or a file that a benchmark wrote, in which those of
            predicted severities need not be: their scale is the same everywhere.
        criterion: see :mod:`nacd_bench.evaluation.thresholds`; None for that of the file.

    Raises:
        DataError: a threshold for a detector that does not run, a file that lacks one or has those
            of another version, a severity as criterion for a detector whose scores are none.
    """
    types = {detector.name: detector.artifact_type for detector in detectors}
    numbers = given if isinstance(given, Mapping) else {}
    for name in numbers:
        if name not in types:
            raise DataError(unknown("detector in thresholds", name, list(types)))
    limits = {name: Limit(float(value), "given") for name, value in numbers.items()}
    rest = {one.name: one for one in detectors if one.name not in limits}
    severity = severity_of(criterion or "")
    others = [name for name, one in rest.items() if not one.is_severity]
    if severity is not None and others:
        raise DataError(
            f"expected detectors of severity for criterion={criterion}, got {', '.join(others)}, "
            "whose scores are none. Leave them out, or give their thresholds as numbers."
        )
    if isinstance(given, str | Path):
        limits |= _limits_of_file(given, rest, criterion)
    elif severity is not None and criterion:
        limits |= {name: Limit(severity, criterion) for name in rest}
    elif criterion is not None and rest:
        raise DataError(
            f"expected thresholds=FILE of a nacd-bench benchmark for criterion={criterion}, got "
            "none. Name the file, or choose a severity (severity_1.5) for detectors of severity."
        )
    own = {name: Limit(one.counts_from, "detector") for name, one in rest.items()}
    return {name: limits.get(name) or own[name] for name in types}


def _limits_of_file(
    path: str | Path, detectors: Mapping[str, Detector | type[Detector]], criterion: str | None
) -> dict[str, Limit]:
    """What a thresholds file says of detectors."""
    file = read_thresholds(path)
    differences = file.differences({name: _settings(one) for name, one in detectors.items()})
    if differences:
        raise DataError(
            f"{path}: expected thresholds of {'; '.join(differences)}. Such scores do not "
            "compare: run nacd-bench benchmark again, or give thresholds as numbers."
        )
    known = {name for methods in file.sets.values() for name in methods}
    wanted = {
        name: one.artifact_type
        for name, one in detectors.items()
        if criterion or name in known or not one.is_severity
    }
    limits = {}
    for name, entry in file.entries(wanted, criterion).items():
        assert entry.threshold is not None
        threshold = max(entry.threshold, detectors[name].nothing_found)
        limits[name] = Limit(threshold, criterion or file.criterion, entry.false_alarms)
    return limits


def _settings(detector: Detector | type[Detector]) -> Mapping[str, Any]:
    """Of a detector; of a class its version."""
    if isinstance(detector, Detector):
        return detector.settings
    return {"version": detector.version}


def chosen_device(name: str) -> str:
    """The name of a device: ``"auto"`` is a GPU when this machine has one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def device_of(name: str) -> torch.device:
    """The device of this machine with a name.

    Raises:
        UserError: this machine has no such device.
    """
    name = chosen_device(name)
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device={name}: expected a device of this machine ({str(error).splitlines()[0]}). "
            "Take device=cpu, or device=auto for a GPU when there is one."
        ) from error


def score_batch(methods: Sequence[Method], batch: TripletBatch) -> list[dict[str, Result]]:
    """What each method says about each triplet: the one scoring of a batch, whoever runs it.

    A method that raises, or returns what is no number, has a fault in place of a score and costs
    the others nothing; a batch that it fails on is repeated triplet by triplet.

    Args:
        methods: detectors and baselines with names of their own, on the device of the batch.
        batch: triplets of one size.

    Returns:
        for each triplet its results by method.
    """
    by_method = {}
    for method in sorted(methods, key=_maps_kept):
        by_method[method.name] = _results(method, batch)
        if not batch.is_whole:
            give_back_memory()
    return [{str(m.name): by_method[m.name][i] for m in methods} for i in range(len(batch))]


def _maps_kept(method: Method) -> int:
    """What a method leaves in memory: nothing, a heat map, or maps for others of its kind. Those
    that leave more come later, so that what others take does not come on top of it."""
    if not isinstance(method, Detector):
        return 0
    return 1 + (method.is_severity and method.artifact_type != "text")


def _results(method: Method, batch: TripletBatch) -> list[Result]:
    if isinstance(method, Detector):
        part = "text" if method.artifact_type == "text" else "detectors"
    else:
        part = "metrics"
    try:
        with _one_reader if part == "text" else nullcontext(), timed(part), torch.inference_mode():
            results = _read(method, method(batch), len(batch))
    except torch.cuda.OutOfMemoryError as error:
        if len(batch) == 1:
            return [Result(fault=f"the GPU has no memory for one triplet: {describe(error)}")]
        half = len(batch) // 2
        print(
            f"{method.name}: the GPU has no memory for {len(batch)} triplets at a time, takes half",
            file=sys.stderr,
        )
        torch.cuda.empty_cache()
        parts = batch[:half], batch[half:]
        return [result for part in parts for result in _results(method, part)]
    except Exception as error:  # a plug-in may raise anything
        if len(batch) > 1:
            return [_results(method, batch[index])[0] for index in range(len(batch))]
        return [Result(fault=describe(error))]
    fault = (
        f"expected {method.name} to return numbers, got NaN or infinity. Report it to its authors."
    )
    return [
        result
        if all(map(math.isfinite, (result.score, *result.confidences)))
        else Result(fault=fault)
        for result in results
    ]


def _read(method: Method, output: Any, count: int) -> list[Result]:
    """What a method returned for so many triplets, one by one."""
    if isinstance(method, Baseline):
        expected = f"a tensor of {count} scores"
        is_right = isinstance(output, torch.Tensor) and output.shape == (count,)
    else:
        expected = f"a DetectionBatch of {count}"
        is_right = isinstance(output, DetectionBatch) and len(output) == len(output.boxes) == count
    if not is_right:
        shape = getattr(output, "shape", None)
        got = type(output).__name__ if shape is None else f"shape {tuple(shape)}"
        raise PluginError(
            f"expected {method.name} to return {expected}, got {got}. Report it to its authors."
        )
    if isinstance(output, DetectionBatch):
        return output.results()
    return [Result(score) for score in output.double().tolist()]


def _called(node: Any) -> Any:
    """Hydra's ``instantiate`` for values that mean what they say: a path may hold ``${``."""
    from hydra.utils import get_object

    if isinstance(node, Mapping):
        values = {key: _called(value) for key, value in node.items() if key != "_target_"}
        return get_object(node["_target_"])(**values) if "_target_" in node else values
    return [_called(value) for value in node] if isinstance(node, list) else node
