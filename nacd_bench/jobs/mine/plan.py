"""What fixes the results of a mining run: codecs, rates, detectors, thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.sides import (
    NEURAL,
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    TargetRate,
    make_side,
    point_steps,
    rate_factor_of,
    target_steps,
)
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError
from nacd_bench.evaluation.duplicates import IOU
from nacd_bench.pipeline.methods import thresholds_by_detector
from nacd_bench.pipeline.stages import Code, Detect, Read, Stage
from nacd_bench.settings import Name, Positive, Share, checked

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


@checked
def make_mining_plan(
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: Path,
    detectors: Sequence[Detector],
    *,
    thresholds: Mapping[str, float] | Name | None = None,
    scheme: Literal["neural", "target"] = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[TargetRate] = TARGETS,
    rate_factor: Positive | None = None,
    tolerance: Positive | None = None,
    decoded: bool = False,
    iou: Share = IOU,
    device: str = "auto",
) -> MiningPlan:
    """The stages of a run, see :func:`mine`; every codec is built: a missing one is known now."""
    import torch

    if not detectors:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    factor = rate_factor_of(traditional, rate_factor)
    by_target = scheme == "target"
    sides = (
        make_side(NEURAL, neural),
        make_side("traditional", traditional, None if by_target else NEURAL, factor),
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
        "traditional": {**_of_side(sides[1]), "rate_factor": factor},
        "scheme": scheme,
        "steps": steps,
        "tolerance": tolerance,
        "detectors": {detector.name: detector.settings for detector in detectors},
        "thresholds": limits,
        "iou": iou,
        "decoded": decoded,
    }
    return MiningPlan(stages, json.loads(json.dumps(settings)))


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
