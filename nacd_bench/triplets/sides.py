"""Whether two images of a triplet show one picture in one way: as large, as turned, as coloured.

A file may say that its picture is to be turned, or in what colours its numbers are; neither is
applied. Somebody else's codec may have applied them, and its decodes then fit no original. Where
what the files say differs, their pixels tell which it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from nacd_bench.triplets.images import Image
from nacd_bench.triplets.profiles import converted
from nacd_bench.triplets.record import ROLES, TripletRecord

SMALL = 64
"""Longer side of what is compared, in pixels: small enough that coding does not show."""
COLOURS = "colour profiles differ and are not applied, numbers are compared as they are stored"
FITS = 0.5
"""Share of the squared error below which another way of turning or colouring fits better."""


def sides_fault(record: TripletRecord, images: Mapping[str, Image]) -> str | None:
    """The line that says why the images of a triplet do not belong together, or None."""
    fault = _size_fault(record, images)
    if fault or "original" not in images:
        return fault
    for role in ROLES[1:]:
        if role in images:
            way = other_way(images["original"], images[role])
            if way:
                return (
                    f"{record.place}: expected a {role} image ({getattr(record, role)}) of the "
                    f"pixels that its original ({record.original}) stores, got {way}"
                )
    return None


def other_way(original: Image, decode: Image) -> str | None:
    """How a decode of the same size shows its original turned or in other colours, or None."""
    is_turned = {original.orientation, decode.orientation} != {1}
    if not is_turned and original.profile == decode.profile:
        return None
    small, test = _small(original), _small(decode)
    errors = {name: _error(turned, test) for name, turned in _turns(small)}
    best = min(errors, key=lambda name: errors[name])
    if is_turned and best and errors[best] < FITS * errors[""]:
        return (
            f"the original's {best}: orientations (EXIF) are {original.orientation} and "
            f"{decode.orientation} and are not applied. Save both upright before coding "
            "(magick in.jpg -auto-orient out.png)."
        )
    if original.profile == decode.profile:
        return None
    pixels = small.permute(1, 2, 0).round().numpy().astype(np.uint8)
    try:
        recolored = converted(pixels, original.icc, decode.icc)
    except Exception:  # a profile of another kind, or none at all: nobody can tell
        return None
    error = _error(torch.from_numpy(recolored.copy()).permute(2, 0, 1).float(), test)
    if error >= FITS * errors[""]:
        return None
    return (
        f"its colours converted: profiles are {original.profile} and {decode.profile} and "
        "are not applied. Convert both to one profile before coding (magick in.png "
        "-profile sRGB.icc out.png)."
    )


def sides_notes(images: Mapping[str, Image]) -> list[str]:
    """Phrases on what differs between the images of a triplet and is compared all the same."""
    what = "bit depths differ, all are compared on the scale from black to white"
    depths = {role: image.bit_depth for role, image in images.items()}
    profiles = {role: image.profile for role, image in images.items()}
    return _differing(COLOURS, profiles) + _differing(what, depths)


def _differing(what: str, values: Mapping[str, object]) -> list[str]:
    shown = ", ".join(f"{role} {value}" for role, value in values.items())
    return [f"{what} ({shown})"] if len(set(values.values())) > 1 else []


def _size_fault(record: TripletRecord, images: Mapping[str, Image]) -> str | None:
    sizes = {role: (image.width, image.height) for role, image in images.items()}
    if len(set(sizes.values())) <= 1:
        return None
    remedy = "Crop or pad them alike before."
    if len({frozenset(size) for size in sizes.values()}) == 1 and any(
        image.orientation > 4 for image in images.values()
    ):
        remedy = (
            "One has an EXIF orientation that turns it, and pixels are taken as stored: save it "
            "upright (magick in.jpg -auto-orient out.png) and code that."
        )
    shown = ", ".join(
        f"{role} {width} x {height} ({getattr(record, role)})"
        for role, (width, height) in sizes.items()
    )
    return f"{record.place}: expected three images of one size, got {shown}. {remedy}"


def _small(image: Image) -> Tensor:
    """``(3, h, w)`` float32 in 0..255 of the same shape, at most :data:`SMALL` long."""
    scale = min(1.0, SMALL / max(image.height, image.width))
    size = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    largest = 1 if image.bit_depth == 8 else 255
    return adaptive_avg_pool2d(image.pixels.float(), size) * largest


def _turns(small: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The eight ways to turn and mirror that keep the shape, ``""`` as it is."""
    for quarters in range(4):
        turned = torch.rot90(small, quarters, (1, 2))
        if turned.shape == small.shape:
            name = f"turned by {90 * quarters} degrees" if quarters else ""
            yield name, turned
            yield f"mirrored {name}".strip(), turned.flip(2)


def _error(first: Tensor, second: Tensor) -> float:
    return (first - second).square().mean().item()
