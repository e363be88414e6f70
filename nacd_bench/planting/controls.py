"""Artifacts that nobody overlooks, to tell people who look from people who click."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from nacd_bench.errors import TextFinderError
from nacd_bench.planting import KINDS, Scene, plant
from nacd_bench.planting.scene import Image, TextPlace, luma
from nacd_bench.registry import TEXT_FINDERS
from nacd_bench.triplets.record import Box

MECHANISMS = {
    "texture": (("texture", "phases"), ("texture", "lines")),
    "color": (("large_color", "shift"), ("large_color", "balance")),
    "text": (("text", "warp"), ("text", "swap")),
}
"""Kinds and mechanisms of planting by artifact type: those that nobody overlooks."""
TIMES = {"texture": 1, "color": 2, "text": 1}
"""How often an artifact is put in, one over the other: colour at full strength is still mild."""
LEAST_CHANGE = {"texture": 12.0, "color": 8.0, "text": 16.0}
"""Root mean square change inside an artifact, on 0..255, under which it may be overlooked."""
SURE, LENGTH = 0.9, 2.0
"""Confidence of a line of text, and its width by its height, under which windows and feathers pass
for text too."""
LETTERS = 0.7
"""Height of letters by that of the box around their line."""


def strong_artifact(
    original: Image, decode: Image, artifact_type: str, seed: int, zone: Box
) -> Image | None:
    """The decode with a strong artifact in a zone of it, ``(H, W, 3)``.

    None where there is no room for an artifact that nobody overlooks: no texture, no text.

    Args:
        original, decode: ``(H, W, 3)`` of one size.
        artifact_type: texture, color or text.
        seed: decides the kind and the place.
        zone: box that the artifact lies in.
    """
    kind, mechanism = MECHANISMS[artifact_type][seed % len(MECHANISMS[artifact_type])]
    x0, y0, x1, y1 = zone
    part = slice(y0, y1), slice(x0, x1)
    texts = _texts(original, zone) if artifact_type == "text" else []
    if artifact_type == "text" and not texts:
        return None
    before = np.ascontiguousarray(decode[part])
    image = before
    for _ in range(TIMES[artifact_type]):
        scene = Scene(np.ascontiguousarray(original[part]), image, before, texts)
        planted = plant(scene, kind, strength=1.0, seed=seed, mechanism=mechanism)
        if planted is None:
            return None
        image, inside = planted.image, planted.mask >= 0.5
    changed = image.astype(np.float64) - before
    if KINDS[kind].artifact_type != "color":
        changed = luma(changed)[:, :, None]
    if float(np.sqrt((changed[inside] ** 2).mean())) < LEAST_CHANGE[artifact_type]:
        return None
    whole = decode.copy()
    whole[part] = image
    return whole


def _texts(original: Image, zone: Box) -> list[TextPlace]:
    """The largest line of text in a zone, in its pixels; none where no finder is installed."""
    try:
        polygons = _finder().find(original)
    except TextFinderError:
        return []
    x0, y0, x1, y1 = zone
    texts = []
    for polygon in polygons:
        ends = [np.floor(polygon.points.min(axis=0)), np.ceil(polygon.points.max(axis=0))]
        width, height = ends[1] - ends[0]
        if polygon.confidence < SURE or width < LENGTH * height:
            continue
        box = np.clip(np.concatenate(ends), [x0, y0] * 2, [x1, y1] * 2).astype(int)
        left, top, right, bottom = (box - [x0, y0] * 2).tolist()
        if right - left >= bottom - top >= 12:
            texts.append(TextPlace((left, top, right, bottom), LETTERS * (bottom - top)))
    return sorted(texts, key=lambda place: -place.height)[:1]


@cache
def _finder() -> Any:
    return TEXT_FINDERS.get("rapidocr")()
