"""What fixes the results of a mining run: codecs, rates, detectors, thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nacd_bench.coding.sides import (
    NEURAL,
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    TargetRate,
    make_side,
    rate_steps,
)
from nacd_bench.detectors import Detector
from nacd_bench.errors import DataError
from nacd_bench.evaluation.duplicates import IOU
from nacd_bench.pipeline.methods import thresholds_by_detector
from nacd_bench.pipeline.stages import Code, Detect, Read, Stage
from nacd_bench.settings import Name, Positive, Share, checked

TARGET_POINT = "target_bpp"
"""What codecs call their operating points that take a rate in bits per pixel."""


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
) -> tuple[tuple[Stage, ...], dict[str, Any]]:
    """What is done to an image, and the same as JSON values; a codec that is missing is an error.

    The arguments are those of :func:`nacd_bench.jobs.mine.run.mine`.
    """
    import torch

    if not detectors:
        raise DataError("expected at least one detector, got none. Name one: detector=texture")
    by_target = scheme == "target"
    sides = (
        make_side(NEURAL, neural),
        make_side("traditional", traditional, None if by_target else NEURAL, rate_factor),
    )
    of_neural = sides[0].codec.points
    if points is None and of_neural.name == TARGET_POINT and set(TARGETS) <= set(of_neural.values):
        points = TARGETS  # JPEG AI's five rates
    steps = rate_steps(sides[0].codec, points, targets if by_target else None)
    order = list(of_neural.values)
    by_rate = sorted(steps, key=lambda step: step[1] if by_target else order.index(step[1]))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    limits = thresholds_by_detector(thresholds, detectors)
    kinds = ("bpp" if by_target else "point", "bpp")
    stages: tuple[Stage, ...] = (
        Read(folder),
        *(
            Code(side, kind, tuple(by_rate), folder, tolerance=tolerance, keep=decoded)
            for side, kind in zip(sides, kinds, strict=True)
        ),
        Detect(list(detectors), limits, folder, device),
    )
    settings = {
        "neural": _of_side(sides[0]),
        "traditional": {**_of_side(sides[1]), "rate_factor": sides[1].rate_factor},
        "scheme": scheme,
        "steps": by_rate,
        "tolerance": tolerance,
        "detectors": {detector.name: detector.settings for detector in detectors},
        "thresholds": limits,
        "iou": iou,
        "decoded": decoded,
    }
    return stages, json.loads(json.dumps(settings))


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
