"""The one image reader: a file to pixels, or one line that says why not.

What comes back is what the file stores, whole or not at all. Gray and palette images become RGB;
more than 8 bits per sample become float. Colour profiles are not applied and an EXIF orientation
does not turn the pixels: codecs code what is stored and their decodes carry neither, so that the
three images of a triplet stay comparable. :attr:`Image.orientation` keeps the tag for messages.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nacd_bench.data.deep import bits_per_sample, decode_deep
from nacd_bench.data.files import read_bytes
from nacd_bench.data.formats import FORMATS, content_format, suffix_of
from nacd_bench.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PIXELS = 2**28
"""Largest image in pixels; what claims to be larger is taken for a decompression bomb."""
_ORIENTATION_TAG = 0x0112
_KNOWN = ", ".join(FORMATS)


@dataclass(frozen=True)
class Image:
    """A decoded image file.

    Args:
        pixels: ``(3, H, W)`` sRGB; ``uint8``, or float32 in [0, 1] from more than 8 bits.
        bit_depth: bits per sample in the file: 8, or 9 to 16.
        sha256: of the file's bytes.
        orientation: EXIF orientation, 1 to 8 (1 is upright); the pixels are as stored.
    """

    pixels: Tensor
    bit_depth: int
    sha256: str
    orientation: int = 1

    @property
    def height(self) -> int:
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        return self.pixels.shape[2]


def read_image(path: str | Path) -> Image:
    """Decode an image file: PNG, JPEG, WebP, TIFF, BMP or PPM.

    Args:
        path: a file, or an URL that fsspec opens (``s3://bucket/a.png``).

    Raises:
        ImageError: missing, unreadable, empty, truncated or damaged; not an image; named as
            another format than it holds; with an alpha channel; CMYK; several pictures in one.
    """
    return decode_image(path, read_bytes(path, "an image file", ImageError))


def decode_image(path: str | Path, data: bytes) -> Image:
    """The image in the bytes of a file; ``path`` names it in messages. As :func:`read_image`."""
    found = _require_format(path, data)
    if found == "PNG":
        _require_whole_png(path, data)
    picture = _open(path, data, found)
    _require_plain(path, picture, found)
    bits = bits_per_sample(picture, data, found)
    try:
        picture.load()  # also where Pillow's pixels are not used: it finds what is cut short
        pixels = _eight_bit(picture) if bits <= 8 else decode_deep(path, picture, data, found)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plug-ins raise OSError, SyntaxError, struct.error, ...
        raise _broken(path, found, error) from error
    return Image(pixels, max(bits, 8), sha256(data), _orientation(picture))


def sha256(data: bytes) -> str:
    """The hash that names a content in caches and results, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_hash(path: str | Path) -> str:
    """The :func:`sha256` of a file, without decoding it; :class:`ImageError` as in reading."""
    return sha256(read_bytes(path, "an image file", ImageError))


def _require_format(path: str | Path, data: bytes) -> str:
    """The format of the content, which is one that is read and the one that the suffix names."""
    if not data:
        raise ImageError(
            f"{path}: expected an image, got an empty file (0 bytes). Copy or make it again."
        )
    found = content_format(data[:512])
    suffix = suffix_of(path)
    if found not in FORMATS:
        remedy = f"Convert it to PNG; read are {_KNOWN}."
        if found == "Git LFS pointer":
            remedy = "Fetch the real file with git lfs pull."
        elif found in ("text", "unknown"):
            remedy = f"Remove it or put an image there; read are {_KNOWN}."
        what = "unknown content" if found == "unknown" else f"{found} content"
        raise ImageError(f"{path}: expected an image, got {what}. {remedy}")
    if suffix and suffix not in FORMATS[found]:
        raise ImageError(
            f"{path}: expected the content that the suffix {suffix} names, got {found}. "
            f"Rename it to {Path(str(path)).stem}{FORMATS[found][0]} or convert it."
        )
    return found


def _require_whole_png(path: str | Path, data: bytes) -> None:
    """Every chunk up to the end chunk is there with its checksum right.

    Pillow and OpenCV both return pixels for some cut or damaged files, depending on their version.
    """
    position, kind = 8, b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise _truncated(path, "PNG", f"its {len(data)} bytes end before the end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _truncated(path, "PNG", f"its {len(data)} bytes end inside a chunk")
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
            name = kind.decode("ascii", "replace")
            raise ImageError(
                f"{path}: expected a whole PNG, got a damaged one (wrong checksum in chunk "
                f"{name!r}). Copy or make it again."
            )
        position = end + 4


def _open(path: str | Path, data: bytes, found: str) -> PillowImage:
    from PIL import Image as Pillow
    from PIL import ImageFile

    if Pillow.MAX_IMAGE_PIXELS is not None:
        Pillow.MAX_IMAGE_PIXELS = max(Pillow.MAX_IMAGE_PIXELS, MAX_PIXELS)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have asked for half images
    try:
        picture = Pillow.open(io.BytesIO(data), formats=[found])
    except Pillow.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except Exception as error:
        raise _broken(path, found, error) from error
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(path, f"{picture.width} x {picture.height}")
    return picture


def _require_plain(path: str | Path, picture: PillowImage, found: str) -> None:
    """One picture without transparency in gray, palette or RGB."""
    has_alpha = bool({"A", "a"} & set(picture.getbands()))
    if has_alpha or "transparency" in picture.info:
        got = "an alpha channel" if has_alpha else "a transparent colour (tRNS)"
        raise ImageError(
            f"{path}: expected an image without transparency, got {got}. Flatten it, for example "
            f"with magick {Path(str(path)).name} -background white -alpha remove -alpha off out.png"
        )
    # the second picture of a JPEG is a preview or a depth map of the first
    frames = 1 if found == "JPEG" else getattr(picture, "n_frames", 1)
    if frames > 1:
        raise ImageError(
            f"{path}: expected one picture in the file, got {frames}. "
            "Save the one that is meant as a file of its own."
        )
    if picture.mode not in ("1", "L", "P", "RGB", "I") and not picture.mode.startswith("I;16"):
        raise ImageError(
            f"{path}: expected gray, palette or RGB samples of up to 16 bits, got {picture.mode}. "
            "Convert it to sRGB, with its colour profile where it has one, and save it as PNG."
        )


def _eight_bit(picture: PillowImage) -> Tensor:
    """``(3, H, W)`` uint8 of a picture of up to 8 bits per sample."""
    import cv2

    if picture.mode in ("1", "L"):
        gray = torch.from_numpy(np.array(picture.convert("L")))
        return gray.expand(3, -1, -1).contiguous()
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    planes = np.empty((3, picture.height, picture.width), np.uint8)
    cv2.split(np.asarray(picture), list(planes))
    return torch.from_numpy(planes)


def _orientation(picture: PillowImage) -> int:
    tags: Any = getattr(picture, "tag_v2", None)
    if tags is None:
        if "exif" not in picture.info:
            return 1
        tags = picture.getexif()
    value = tags.get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _truncated(path: str | Path, found: str, detail: str) -> ImageError:
    return ImageError(
        f"{path}: expected a whole {found}, got a truncated one ({detail}). Copy or make it again."
    )


def _broken(path: str | Path, found: str, error: Exception) -> ImageError:
    text = str(error).split("<_io")[0].strip() or type(error).__name__
    if "truncated" in text.lower() or "not enough" in text.lower():
        return _truncated(path, found, text)
    return ImageError(
        f"{path}: expected a {found} that can be decoded, got a damaged one or a rare kind "
        f"({text}). Make it again or save it as PNG."
    )


def _too_large(path: str | Path, size: str) -> ImageError:
    return ImageError(
        f"{path}: expected at most {MAX_PIXELS / 1e6:.0f} million pixels, got {size}. "
        "Cut the image into parts."
    )
