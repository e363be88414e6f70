"""Artifacts that nobody overlooks, to tell people who look from people who click."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from nacd_bench.errors import TextFinderError
from nacd_bench.planting import KINDS, Scene, plant
from nacd_bench.planting.lettering import with_text
from nacd_bench.planting.scene import Image, TextPlace, luma
from nacd_bench.registry import TEXT_FINDERS

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
LETTERS = 0.7
"""Height of letters by that of the box around their line."""


def strong_artifact(
    original: Image, decode: Image, artifact_type: str, seed: int
) -> tuple[Image, Image, Image] | None:
    """The original, the decode, and the decode with a strong artifact in it, all ``(H, W, 3)``.

    Where the type is text and the images have none, a line is written into all of them. None where
    there is no room for an artifact that nobody overlooks.
    """
    kind, mechanism = MECHANISMS[artifact_type][seed % len(MECHANISMS[artifact_type])]
    texts: list[TextPlace] = []
    if artifact_type == "text":
        texts = sorted(_texts(original), key=lambda place: -place.height)[:1]
    if artifact_type == "text" and not texts:
        zone = (0, 0, original.shape[1], original.shape[0])
        written = [
            with_text(image, zone, np.random.default_rng(seed)) for image in (original, decode)
        ]
        if written[0] is None or written[1] is None:
            return None
        original, decode, texts = written[0][0], written[1][0], [written[1][1]]
    image = decode
    for _ in range(TIMES[artifact_type]):
        scene = Scene(original, image, decode, texts)
        planted = plant(scene, kind, strength=1.0, seed=seed, mechanism=mechanism)
        if planted is None:
            return None
        image, inside = planted.image, planted.mask >= 0.5
    changed = image.astype(np.float64) - decode
    if KINDS[kind].artifact_type != "color":
        changed = luma(changed)[:, :, None]
    change = float(np.sqrt((changed[inside] ** 2).mean()))
    return (original, decode, image) if change >= LEAST_CHANGE[artifact_type] else None


def _texts(original: Image) -> list[TextPlace]:
    """Lines of text that are large enough; none where the finder is not installed."""
    try:
        polygons = _finder().find(original)
    except TextFinderError:
        return []
    texts = []
    for polygon in polygons:
        ends = [np.floor(polygon.points.min(axis=0)), np.ceil(polygon.points.max(axis=0))]
        box = np.clip(np.concatenate(ends), 0, [*original.shape[1::-1]] * 2).astype(int)
        x0, y0, x1, y1 = box.tolist()
        if polygon.confidence >= 0.7 and x1 - x0 >= y1 - y0 >= 12:
            texts.append(TextPlace((x0, y0, x1, y1), LETTERS * (y1 - y0)))
    return texts


@cache
def _finder() -> Any:
    return TEXT_FINDERS.get("rapidocr")()
