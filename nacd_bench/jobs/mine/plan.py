"""What fixes the results of a mining run: codecs, rates, detectors, thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.sides import (
    NEURAL,
    SCHEMES,
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    codec_from_config,
    make_side,
    point_steps,
    require_number,
    target_steps,
)
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError, PluginError, UserError
from nacd_bench.evaluation.duplicates import IOU
from nacd_bench.pipeline.methods import made_methods, thresholds_by_detector
from nacd_bench.pipeline.stages import Code, Detect, Read, Stage
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo_path
from nacd_bench.registry import unknown
from nacd_bench.settings import Name

TARGET_POINT = "target_bpp"
"""What codecs call their operating points that take a rate in bits per pixel."""


@dataclass(frozen=True)
class MiningPlan:
    """Everything that fixes the results of a run.

    Args:
        stages: what is done to an image.
        settings: the same as JSON values.
    """

    stages: tuple[Stage, ...]
    settings: dict[str, Any]


def make_mining_plan(
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: Path,
    detectors: Sequence[Detector],
    *,
    thresholds: Mapping[str, float] | Name | None = None,
    scheme: str = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[float] = TARGETS,
    rate_factor: float = 1.0,
    tolerance: float | None = None,
    decoded: bool = False,
    iou: float = IOU,
    device: str = "auto",
) -> MiningPlan:
    """The stages of a run, see :func:`mine`; every codec is built: a missing one is known now."""
    import torch

    if scheme not in SCHEMES[:2]:
        raise UserError(unknown("scheme", str(scheme), list(SCHEMES[:2])))
    if not detectors:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    require_number("rate_factor", rate_factor, above=0)
    require_number("iou", iou, most=1)
    if tolerance is not None:
        require_number("tolerance", tolerance, above=0)
    by_target = scheme == "target"
    sides = (
        make_side(NEURAL, neural),
        make_side("traditional", traditional, None if by_target else NEURAL, rate_factor),
    )
    chosen = _test_conditions(sides[0].codec) if points is None else points
    steps = target_steps(targets) if by_target else point_steps(sides[0].codec, chosen)
    steps = _rising(steps, sides[0].codec, by_target)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    limits = thresholds_by_detector(thresholds, detectors)
    kinds = ("bpp" if by_target else "point", "bpp")
    stages: tuple[Stage, ...] = (
        Read(folder),
        *(
            Code(side, kind, steps, folder, tolerance=tolerance, keep=decoded)
            for side, kind in zip(sides, kinds, strict=True)
        ),
        Detect(list(detectors), limits, folder, device),
    )
    settings = {
        "neural": _of_side(sides[0]),
        "traditional": {**_of_side(sides[1]), "rate_factor": rate_factor},
        "scheme": scheme,
        "steps": steps,
        "tolerance": tolerance,
        "detectors": {detector.name: detector.settings for detector in detectors},
        "thresholds": limits,
        "iou": iou,
        "decoded": decoded,
    }
    return MiningPlan(stages, json.loads(json.dumps(settings)))


def mining_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`mine` that a configuration means.

    Raises:
        PluginError: a detector cannot be made: candidates of the others would look like all.
    """
    settings = dict(config)
    for name in ("tables", "plan", "text_finder", "preset"):
        settings.pop(name, None)
    neural, _ = codec_from_config(settings.pop("neural"))
    traditional, own_factor = codec_from_config(settings.pop("traditional"))
    factor = settings.pop("rate_factor", None)
    detectors, failures = made_methods("detector", settings.pop("detector"))
    if failures:
        raise PluginError("\n".join(str(failure) for failure in failures))
    thresholds = settings.pop("thresholds")
    images = settings.pop("images")
    return {
        **settings,
        "images": [photo_path(name) for name in COLOR_PHOTOS] if images is None else images,
        "neural": neural,
        "traditional": traditional,
        "rate_factor": own_factor if factor is None else factor,
        "detectors": detectors,
        "thresholds": thresholds,
    }


def _of_side(side: Side) -> dict[str, Any]:
    spec = side.source
    if not isinstance(spec, CodecSpec):
        return {**side.identity, "codec": None}
    parameters = {
        key: str(Path(value).resolve())
        if isinstance(value, str) and Path(value).is_file()
        else value
        for key, value in spec.parameters.items()
    }  # a later command may run in another folder
    keywords = {"name": spec.name, "parameters": parameters, "label": spec.label}
    return {**side.identity, "codec": keywords}


def _test_conditions(codec: Codec) -> Sequence[float] | None:
    """JPEG AI's five rates for a codec that takes target rates; None for another one."""
    takes_rates = codec.points.name == TARGET_POINT and set(TARGETS) <= set(codec.points.values)
    return TARGETS if takes_rates else None


def _rising(
    steps: Sequence[tuple[str, float]], codec: Codec, by_target: bool
) -> tuple[tuple[str, float], ...]:
    """Steps in order of rising rate, which is the order of quality."""
    values = list(codec.points.values)
    order = (lambda step: step[1]) if by_target else (lambda step: values.index(step[1]))
    return tuple(sorted(steps, key=order))
