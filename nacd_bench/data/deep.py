"""Images of more than 8 bits per sample, which Pillow opens and silently cuts to 8 in RGB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # TIFF tags
_SPACE = rb"(?:\s|#[^\n]*\n)+"
_PPM_HEADER = re.compile(rb"P([2356])" + (_SPACE + rb"(\d+)") * 3 + rb"\s")


def bits_per_sample(picture: PillowImage, data: bytes, found: str) -> int:
    """Bits per sample as the file's header states them (PPM: bits of its largest value)."""
    if found == "PNG":
        return data[24]
    if found == "TIFF":
        return max(picture.tag_v2.get(_BITS, (1,)))  # type: ignore[attr-defined]
    if found == "PPM":
        header = _PPM_HEADER.match(data)
        return int(header[4]).bit_length() if header else 8
    return 8


def decode_deep(path: str | Path, picture: PillowImage, data: bytes, found: str) -> Tensor:
    """``(3, H, W)`` float32 in [0, 1] of a picture of 9 to 16 bits per sample.

    Raises:
        ImageError: a kind of TIFF or PPM that would be read wrongly, or damaged.
    """
    if found == "PPM":
        samples, largest = _ppm(path, data)
    else:
        if found == "TIFF":
            _require_plain_tiff(path, picture)
        samples, largest = _opencv(path, data), 65535
    if samples.shape[:2] != (picture.height, picture.width):
        raise _unreadable(path, f"{samples.shape[1]} x {samples.shape[0]} samples")
    scaled = np.ascontiguousarray(samples.astype(np.float32).transpose(2, 0, 1)) / largest
    return torch.from_numpy(np.broadcast_to(scaled, (3, *scaled.shape[1:])).copy())


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
    if deep.dtype != np.uint16 or deep.shape[2] not in (1, 3):
        raise _unreadable(path, f"{deep.shape[2]} channels of {deep.dtype}")
    return deep[:, :, ::-1]


def _ppm(path: str | Path, data: bytes) -> tuple[NDArray[np.uint16], int]:
    """``(H, W, 1 or 3)`` of a binary PPM or PGM, and its largest value."""
    header = _PPM_HEADER.match(data)
    if header is None or header[1] in b"23":
        raise _unreadable(path, "samples written as text")
    width, height, largest = (int(header[i]) for i in (2, 3, 4))
    channels = 3 if header[1] == b"6" else 1
    samples = np.frombuffer(data, ">u2", height * width * channels, header.end())
    if samples.max() > largest:
        raise _unreadable(path, f"values above its largest value {largest}")
    return samples.astype(np.uint16).reshape(height, width, channels), largest


def _require_plain_tiff(path: str | Path, picture: PillowImage) -> None:
    """Unsigned samples, pixel by pixel, 0 is black: OpenCV misreads the others without a word."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    bits = set(tags.get(_BITS, (1,)))
    if bits != {16}:
        raise _unreadable(path, f"TIFF samples of {' and '.join(map(str, sorted(bits)))} bits")
    if set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise _unreadable(path, "TIFF samples that are signed or float")
    if tags.get(_PLANAR, 1) != 1:
        raise _unreadable(path, "TIFF channels in separate planes")
    if tags.get(_PHOTOMETRIC) not in (1, 2):
        raise _unreadable(path, f"TIFF photometric interpretation {tags.get(_PHOTOMETRIC)}")


def _unreadable(path: str | Path, got: str) -> ImageError:
    return ImageError(
        f"{path}: expected plain unsigned samples of 9 to 16 bits, got {got}. "
        "Save it as PNG of 16 bits."
    )
