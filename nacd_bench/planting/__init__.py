"""Artifacts put into a real decode on purpose: type, place and strength are known.

One file per type of artifact; each kind has several mechanisms, none of which uses the formula of
the detector that looks for it. Everything else in the image stays what the codec made.

>>> flat = np.full((192, 192, 3), 128, np.uint8)
>>> planted = plant(Scene(flat, flat, flat), "large_color", strength=0.5, seed=1)
>>> planted.artifact_type, bool((planted.image == flat).all())
('color', False)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.planting import color, text, texture
from nacd_bench.planting.scene import Floats, Image, Region, Scene, Sides, blended
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import Box

Mechanism = Callable[[Scene, Region, float, np.random.Generator], Floats]

__all__ = ["KINDS", "Kind", "Planted", "Region", "Scene", "plant"]


@dataclass(frozen=True)
class Kind:
    """A kind of artifact.

    Args:
        artifact_type: the type that a label has.
        sides: of its regions.
        place: ``(scene, sides, rng)`` to a region; None where the scene has none for it.
        mechanisms: ways to make it, by name, each ``(scene, region, strength, rng)`` to the image
            ``(H, W, 3)`` on 0..255 that the region's mask blends in.
        measured: its strength in the result ``(decode, planted, mask)``, where that is a
            quantity that a mechanism may fall short of.
    """

    artifact_type: str
    sides: Sides
    place: Callable[[Scene, Sides, np.random.Generator], Region | None]
    mechanisms: Mapping[str, Mechanism]
    measured: Callable[[Image, Image, Floats], float] | None = None


KINDS: dict[str, Kind] = {
    "texture": Kind("texture", texture.SIDES, texture.place, texture.MECHANISMS),
    "boundary": Kind("texture", texture.EDGE_SIDES, texture.edge_place, texture.EDGE_MECHANISMS),
    "large_color": Kind(
        *("color", color.LARGE_SIDES, color.large_place, color.LARGE_MECHANISMS),
        color.mean_difference,
    ),
    "small_color": Kind("color", color.SMALL_SIDES, color.small_place, color.SMALL_MECHANISMS),
    "text": Kind("text", text.SIDES, text.place, text.MECHANISMS),
}
"""By the name of the detector that looks for it."""


@dataclass(frozen=True)
class Planted:
    """A decode with an artifact in it.

    Args:
        image: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` on [0, 1], where and how much of it is in the image; soft at its edge.
        box: the rectangle around the mask's upper half.
        kind, artifact_type, mechanism: what it is.
        strength: from 0, which changes nothing, to 1.
        difference: mean CIEDE2000 between decode and image where the mask is 0.5 or more, of
            ``large_color``: strength x 8, or as much as there are colours for in sRGB.
    """

    image: Image
    mask: Floats
    box: Box
    kind: str
    artifact_type: str
    mechanism: str
    strength: float
    difference: float | None = None


def plant(
    scene: Scene,
    kind: str,
    strength: float = 0.5,
    seed: int = 0,
    mechanism: str | None = None,
    size: float | None = None,
) -> Planted | None:
    """Put one artifact into the neural side of a scene.

    Place and mechanism depend on the seed and not on the strength, so that a stronger artifact is
    the same one.

    Args:
        scene: the images.
        kind: one of :data:`KINDS`.
        strength: from 0 to 1; each mechanism says what it means physically.
        seed: decides place, mechanism and every random detail.
        mechanism: one of the kind's; drawn by the seed by default.
        size: side of the region in pixels, or length of the part of a line of text; drawn from the
            kind's range by default.

    Returns:
        None where the scene has no place for it: no text, no colour.

    Raises:
        DataError: no such kind or mechanism, a strength outside [0, 1].
    """
    if kind not in KINDS:
        raise DataError(unknown("kind of artifact", kind, list(KINDS)))
    if not 0 <= strength <= 1:
        raise DataError(f"expected a strength from 0 to 1, got {strength}.")
    chosen = KINDS[kind]
    if mechanism is not None and mechanism not in chosen.mechanisms:
        raise DataError(unknown(f"mechanism of {kind}", mechanism, list(chosen.mechanisms)))
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    drawn = list(chosen.mechanisms)[rng.integers(len(chosen.mechanisms))]
    name = mechanism or drawn
    region = chosen.place(scene, (size, size) if size else chosen.sides, rng)
    if region is None:
        return None
    if strength == 0:
        image = scene.neural.copy()
    else:
        changed = chosen.mechanisms[name](scene, region, strength, rng)
        image = blended(scene.neural, changed, region.mask)
    difference = chosen.measured and chosen.measured(scene.neural, image, region.mask)
    return Planted(
        image, region.mask, region.box, kind, chosen.artifact_type, name, strength, difference
    )
