"""Colour profiles: which colours a file says that its numbers mean.

Profiles are not applied; they are compared, since numbers of two profiles must not be.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile

SRGB = "sRGB"
NEAR = 3.0
"""Largest distance in Lab at which a profile counts as another: gray gamma 2.2 lies 2.6 from
sRGB's, the primaries of Display P3 over 10."""
_PRIMARIES = {0: "unspecified", 1: SRGB, 2: SRGB, 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {0: "", 1: "", 2: "", 6: "", 13: "", 8: " linear", 16: " PQ", 18: " HLG"}
_SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_TEST_COLORS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 128, 128], [200, 80, 40]]
    + [[value] * 3 for value in (16, 64, 128, 192, 255)],
    np.uint8,
)[None]


def profile_name(icc: bytes, png: Mapping[bytes, bytes], nclx: bytes = b"") -> str:
    """What colours a file's numbers mean: ``"sRGB"``, also where it says nothing, or a name.

    Args:
        icc: its ICC profile.
        png: its chunks ``cICP``, ``sRGB``, ``gAMA`` and ``cHRM``.
        nclx: primaries and transfer function as in an ``nclx`` box, 2 bytes each.

    Raises:
        ValueError: the profile cannot be read.
    """
    if len(png.get(b"cICP", b"")) == 4:
        return _coded(*png[b"cICP"][:2])
    if icc:
        return _icc_name(icc)
    if len(nclx) == 4:
        return _coded(*struct.unpack(">HH", nclx))
    return SRGB if b"sRGB" in png else _png_name(png)


def converted(pixels: NDArray[np.uint8], icc: bytes, to_icc: bytes) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of one profile as the numbers of the same colours in another (none: sRGB)."""
    from PIL import Image, ImageCms

    picture = Image.fromarray(pixels)
    return np.asarray(ImageCms.profileToProfile(picture, _profile(icc), _profile(to_icc)))


def _coded(primaries: int, transfer: int) -> str:
    name = _PRIMARIES.get(primaries, f"primaries {primaries}")
    return name + _TRANSFERS.get(transfer, f" transfer {transfer}")


@lru_cache(maxsize=64)
def _icc_name(icc: bytes) -> str:
    from PIL import ImageCms

    try:
        profile = _profile(icc)
        name = ImageCms.getProfileDescription(profile).strip() or "unnamed"
        lab = _lab(profile)
    except Exception as error:  # lcms's, of whatever kind
        raise ValueError(f"its colour profile cannot be read ({error})") from error
    distance = np.linalg.norm(lab - _lab(_profile(b""))[:, -lab.shape[1] :], axis=-1)
    return SRGB if distance.max() <= NEAR else name


def _png_name(png: Mapping[bytes, bytes]) -> str:
    """What the chunks ``gAMA`` and ``cHRM`` say, in hundred thousandths."""
    differences = []
    if len(png.get(b"gAMA", b"")) == 4:
        gamma = int.from_bytes(png[b"gAMA"], "big") / 1e5
        if abs(gamma - 1 / 2.2) > 0.02:
            differences.append(f"gamma {gamma:g}")
    if len(png.get(b"cHRM", b"")) == 32:
        primaries = np.array(struct.unpack(">8I", png[b"cHRM"])) / 1e5
        if np.abs(primaries - _SRGB_PRIMARIES).max() > 0.01:
            differences.append("primaries " + " ".join(f"{value:g}" for value in primaries))
    return " and ".join(differences) or SRGB


def _profile(icc: bytes) -> ImageCmsProfile:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(io.BytesIO(icc) if icc else ImageCms.createProfile("sRGB"))


def _lab(profile: ImageCmsProfile) -> NDArray[np.float64]:
    """The test colours, or the gray ones of a gray profile, as a profile means them, in Lab."""
    from PIL import Image, ImageCms

    is_gray = profile.profile.xcolor_space.strip() == "GRAY"
    colors = Image.fromarray(_TEST_COLORS[:, 6:, 0] if is_gray else _TEST_COLORS)
    space = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    lab = np.asarray(ImageCms.profileToProfile(colors, profile, space, outputMode="LAB"))
    return np.dstack([lab[..., 0] * (100 / 255), lab[..., 1:].astype(np.int8)])  # L of 8 bits
