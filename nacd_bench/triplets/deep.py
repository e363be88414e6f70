"""Images of more than 8 bits per sample, which Pillow opens and silently cuts to 8 in RGB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.errors import ImageError
from nacd_bench.triplets.containers import BITS, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT, Contents

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_PPM_HEADER = re.compile(rb"P([2356])" + (_SPACE + rb"(\d+)") * 3 + rb"\s")


def bits_per_sample(contents: Contents, image_format: str) -> int:
    """Bits per sample as the file's header states them (PPM: bits of its largest value)."""
    data = contents.picture
    if image_format == "PNG":
        return data[24]
    if image_format == "TIFF":
        return max(contents.tags.get(BITS, (1,)))
    if image_format == "PPM":
        header = _PPM_HEADER.match(data)
        return int(header[4]).bit_length() if header else 8
    if image_format == "AVIF":
        flags = data[data.find(b"av1C") + 6]
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    if image_format == "JPEG 2000":
        sizes = data.find(b"\xff\x4f\xff\x51") + 40
        count = int.from_bytes(data[sizes : sizes + 2], "big")
        return max((byte & 0x7F) + 1 for byte in data[sizes + 2 : sizes + 2 + 3 * count : 3])
    return 8


def decode_deep(
    path: str | Path, picture: PillowImage, contents: Contents, image_format: str, bits: int
) -> Tensor:
    """``(3, H, W)`` float32 in [0, 1] of a picture of 9 to 16 bits per sample.

    Raises:
        ImageError: a kind of TIFF or PPM that would be read wrongly, or damaged.
    """
    samples, largest = _opencv(path, contents.picture), 2**bits - 1
    if image_format == "PPM" and (header := _PPM_HEADER.match(contents.picture)):
        largest = int(header[4])
        if samples.max() > largest:
            raise _unreadable(path, f"values above its largest value {largest}")
    if samples.shape[:2] != (picture.height, picture.width):
        raise _unreadable(path, f"{samples.shape[1]} x {samples.shape[0]} samples")
    return scaled(samples, largest)


def scaled(samples: NDArray[np.uint16], largest: int) -> Tensor:
    """``(H, W, 1 or 3)`` samples up to ``largest`` as ``(3, H, W)`` float32 in [0, 1]."""
    planes = np.ascontiguousarray(samples.astype(np.float32).transpose(2, 0, 1)) / largest
    return torch.from_numpy(np.broadcast_to(planes, (3, *planes.shape[1:])).copy())


def _opencv(path: str | Path, data: bytes) -> NDArray[np.uint16]:
    """``(H, W, 1 or 3)`` in the order R, G, B."""
    import cv2

    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        samples = None
    if samples is None:
        raise _unreadable(path, "samples that cannot be decoded")
    deep: NDArray[np.uint16] = np.atleast_3d(np.asarray(samples, dtype=samples.dtype))
    if deep.dtype != np.uint16 or deep.shape[2] not in (1, 3, 4):
        raise _unreadable(path, f"{deep.shape[2]} channels of {deep.dtype}")
    return deep[:, :, 2::-1]  # whether the fourth, alpha, hides anything was looked at before


def require_plain_tiff(path: str | Path, tags: Mapping[int, tuple[int, ...]]) -> None:
    """Kinds of TIFF that a decoder refuses for another reason or misreads without a word."""
    bits, photometric = set(tags.get(BITS, (1,))), tags.get(PHOTOMETRIC, (1,))[0]
    if not set(tags.get(SAMPLE_FORMAT, (1,))) <= {1, 4}:
        kinds = {2: "signed", 3: "float", 5: "complex", 6: "complex"}
        kind = kinds.get(max(tags[SAMPLE_FORMAT]), "unknown")
        raise _unreadable(path, f"TIFF samples that are {kind}")
    if photometric in (8, 9, 10):
        raise _unreadable(path, "colours in CIE Lab")
    if photometric == 5:
        raise _unreadable(path, "CMYK")
    if max(bits) <= 8:
        return
    if bits != {16}:
        raise _unreadable(path, f"TIFF samples of {' and '.join(map(str, sorted(bits)))} bits")
    if tags.get(PLANAR, (1,)) != (1,):
        raise _unreadable(path, "TIFF channels in separate planes")
    if photometric not in (1, 2):
        raise _unreadable(path, f"TIFF photometric interpretation {photometric}")


def _unreadable(path: str | Path, got: str) -> ImageError:
    return ImageError(
        f"{path}: expected plain unsigned samples, gray or RGB, of up to 16 bits, got {got}. "
        "Convert it to sRGB and save it as PNG."
    )
