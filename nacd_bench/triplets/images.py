"""The one image reader: a file to pixels, or one line that says why not.

What comes back is what the file stores, whole or not at all. Gray and palette images become RGB;
more than 8 bits per sample become float. Colour profiles are not applied and a tag of orientation
does not turn the pixels: codecs code what is stored and their decodes carry neither, so that the
three images of a triplet stay comparable. :attr:`Image.orientation` and :attr:`Image.profile` keep
what the file says. Metadata that is broken is a note, never a reason to refuse whole pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.errors import ImageError
from nacd_bench.triplets.containers import (
    BITS,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    Contents,
    DamagedError,
    exif_orientation,
    largest_sample,
    take_apart,
)
from nacd_bench.triplets.files import read_bytes, sha256
from nacd_bench.triplets.formats import FORMATS, HEAD, SUFFIXES, content_format, suffix_of
from nacd_bench.triplets.memory import PICTURE, require_memory
from nacd_bench.triplets.profiles import SRGB, profile_name

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from pillow_heif import HeifImage

MAX_PIXELS = 2**28
"""Largest image in pixels; what claims to be larger is taken for a decompression bomb."""
ROWS = 256
"""Of a picture that are copied at a time."""
_DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How libjpeg's warnings of damaged pixels begin."""
_KNOWN = ", ".join(FORMATS)
_PLUGINS = {"JPEG 2000": "JPEG2000"}
"""Pillow's names where they are others."""


@dataclass(frozen=True)
class Image:
    """A decoded image file.

    Args:
        pixels: ``(3, H, W)`` sRGB; ``uint8``, or float32 in [0, 1] from more than 8 bits.
        bit_depth: bits per sample in the file: 8, or 9 to 16.
        sha256: of the file's bytes.
        orientation: as its EXIF block or tag says, 1 to 8 (1 is upright); the pixels are as stored.
        profile: what colours its numbers mean, ``"sRGB"`` where it says nothing.
        icc: the profile itself, empty without one.
        notes: what is odd about the file and does not touch its pixels.
    """

    pixels: Tensor
    bit_depth: int
    sha256: str
    orientation: int = 1
    profile: str = SRGB
    icc: bytes = b""
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        return self.pixels.shape[2]


def read_image(path: str | Path) -> Image:
    """Decode an image file of one of :data:`~nacd_bench.triplets.formats.FORMATS`.

    Args:
        path: a file, or an URL that fsspec opens (``s3://bucket/a.png``).

    Raises:
        ImageError: missing, unreadable, empty, truncated or damaged; not an image; with an alpha
            channel; CMYK or Lab; several pictures in one; too large.
    """
    return decode_image(path, read_bytes(path, "an image file", ImageError))


def decode_image(path: str | Path, data: bytes, opaque: bool = False) -> Image:
    """The image in the bytes of a file, as :func:`read_image`.

    Args:
        path: names it in messages.
        data: the file.
        opaque: take a PNG with an alpha channel that hides nothing, as programs write them.
    """
    image_format = _require_format(path, data)
    with _explained(path, image_format):
        contents = take_apart(image_format, data)
        pixels, bits = _decoded(path, image_format, contents, opaque)
    notes, profile = [], SRGB
    suffix = suffix_of(path)
    if suffix in SUFFIXES and suffix not in FORMATS[image_format]:
        notes.append(f"it is a {image_format}, not what its suffix {suffix} says; read as such")
    orientation, fault = contents.orientation or exif_orientation(contents.exif)
    if fault:
        notes.append(f"its EXIF block cannot be read ({fault}), so its orientation is unknown")
    try:
        profile = profile_name(contents.icc, contents.color, contents.nclx)
    except ValueError as error:
        notes.append(f"{error}; taken for sRGB")
    facts = (orientation, profile, contents.icc, tuple(notes))
    return Image(pixels, max(bits, 8), sha256(data), *facts)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image's pixels as stored, by its header; :class:`ImageError`."""
    data = read_bytes(path, "an image file", ImageError)
    image_format = _require_format(path, data)
    with _explained(path, image_format):
        picture = _open(path, take_apart(image_format, data).picture, image_format)
    return picture.size


def read_8_bit(path: str | Path) -> tuple[NDArray[np.uint8], str]:
    """An image as codecs take it, see :func:`to_8_bit`, and the hash of its file; as read_image."""
    image = read_image(path)
    return to_8_bit(image.pixels), image.sha256


def to_8_bit(pixels: Tensor) -> NDArray[np.uint8]:
    """``(3, H, W)``, or a batch of one, as ``(H, W, 3)`` uint8; deeper pixels are rounded."""
    return np.ascontiguousarray(seen_in_8_bit(pixels))


def seen_in_8_bit(pixels: Tensor) -> NDArray[np.uint8]:
    """As :func:`to_8_bit`, of 8 bits a view: of large pictures a copy is much."""
    levels = pixels if pixels.dtype == torch.uint8 else (pixels * 255).round().byte()
    height, width = levels.shape[-2:]
    return levels.reshape(3, height, width).permute(1, 2, 0).cpu().numpy()


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """What tells one decoded image ``(H, W, 3)`` from another."""
    return sha256(np.ascontiguousarray(image).data)


def content_hash(path: str | Path) -> str:
    """The :func:`sha256` of a file, without decoding it; :class:`ImageError` as in reading."""
    return sha256(read_bytes(path, "an image file", ImageError))


def _require_format(path: str | Path, data: bytes) -> str:
    """The format of the content, which is one that is read."""
    if not data:
        raise ImageError(
            f"{path}: expected an image, got an empty file (0 bytes). Copy or make it again."
        )
    image_format = content_format(data[:HEAD])
    if image_format not in FORMATS:
        remedy = f"Convert it to PNG; read are {_KNOWN}."
        if image_format == "Git LFS pointer":
            remedy = "Fetch the real file with git lfs pull."
        elif image_format in ("text", "unknown"):
            remedy = f"Remove it or put an image there; read are {_KNOWN}."
        what = "unknown content" if image_format == "unknown" else f"{image_format} content"
        raise ImageError(f"{path}: expected an image, got {what}. {remedy}")
    return image_format


def _decoded(
    path: str | Path, image_format: str, contents: Contents, opaque: bool
) -> tuple[Tensor, int]:
    """``(3, H, W)`` of a file's picture, and its bits per sample."""
    if image_format == "TIFF":
        _require_plain_tiff(path, contents.tags)
    picture: Any = _open(path, contents.picture, image_format)
    if image_format == "HEIC":
        return _heic(path, picture, contents)
    if opaque and picture.has_transparency_data:
        picture = _without_alpha(path, picture)
    if contents.frames is None:  # the second picture of a JPEG is a preview or a depth map
        contents.frames = getattr(picture, "n_frames", 1)
    _require_plain(path, picture, contents.frames)
    largest = largest_sample(contents, image_format)
    if image_format == "JPEG":
        _require_whole_jpeg(contents.picture)
    picture.load()  # also where Pillow's pixels are not used: it finds what is cut short
    contents.exif = contents.exif or picture.info.get("exif", b"")
    if not contents.icc:
        contents.icc = picture.info.get("icc_profile") or b""
    if largest > 255:
        return _deep(path, picture, contents.picture, largest), largest.bit_length()
    return _eight_bit(picture), largest.bit_length()


def _heic(path: str | Path, picture: Any, contents: Contents) -> tuple[Tensor, int]:
    """``(3, H, W)`` of a HEIC's main picture, and its bits per sample.

    It comes upright: in this format turning is a part of decoding.
    """
    if "A" in picture.mode:
        raise _transparent(path, "an alpha channel")
    contents.icc = picture.info.get("icc_profile") or b""
    samples, bits = np.atleast_3d(np.asarray(picture)), picture.info["bit_depth"]
    if bits > 8:
        return _scaled(samples, 2**bits - 1), bits
    planes = np.broadcast_to(samples.transpose(2, 0, 1), (3, *samples.shape[:2]))
    return torch.from_numpy(np.ascontiguousarray(planes)), bits


def _require_whole_jpeg(data: bytes) -> None:
    """What libjpeg warns of, which Pillow does not pass on.

    Decoded at an eighth of the size: every code is read, and few pixels are made.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_factor=8, strict=True)
    except ValueError as error:
        if str(error).startswith(_DAMAGE):  # others are kinds of JPEG that it does not read
            raise DamagedError("damaged", error) from error


def _without_alpha(path: str | Path, picture: PillowImage) -> PillowImage:
    """The picture without an alpha channel that hides nothing."""
    if picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise _transparent(path, "transparent pixels")
    return picture.convert("RGB")


def _open(path: str | Path, data: bytes, image_format: str) -> PillowImage | HeifImage:
    """The picture, whose pixels are not decoded yet."""
    from PIL import Image as Pillow
    from PIL import ImageFile

    if image_format == "HEIC":
        import pillow_heif

        file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        main: HeifImage = file[file.primary_index]
        _require_size(path, *main.size)
        return main

    Pillow.MAX_IMAGE_PIXELS = None  # Pillow warns before it refuses; the limit here only refuses
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have asked for half images
    picture = Pillow.open(io.BytesIO(data), formats=[_PLUGINS.get(image_format, image_format)])
    _require_size(path, picture.width, picture.height)
    return picture


def _require_plain(path: str | Path, picture: PillowImage, frames: int) -> None:
    """One picture without transparency in gray, palette or RGB."""
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        raise _transparent(path, "an alpha channel")
    if "transparency" in picture.info:
        raise _transparent(path, "a transparent colour")
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


def _transparent(path: str | Path, got: str) -> ImageError:
    return ImageError(
        f"{path}: expected an image without transparency, got {got}. Flatten it, for example "
        f"with magick {Path(str(path)).name} -background white -alpha remove -alpha off out.png"
    )


def _eight_bit(picture: PillowImage) -> Tensor:
    """``(3, H, W)`` uint8 of a picture of up to 8 bits per sample."""
    import cv2

    if picture.mode in ("1", "L"):
        gray = torch.from_numpy(np.array(picture.convert("L")))
        return gray.expand(3, -1, -1).contiguous()
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    planes = np.empty((3, picture.height, picture.width), np.uint8)
    for top in range(0, picture.height, ROWS):
        rows = slice(top, min(top + ROWS, picture.height))
        pixels = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
        cv2.split(pixels, list(planes[:, rows]))
    return torch.from_numpy(planes)


def _deep(path: str | Path, picture: PillowImage, data: bytes, largest: int) -> Tensor:
    """``(3, H, W)`` float32 in [0, 1] of 9 to 16 bits per sample, which Pillow cuts to 8 in RGB."""
    samples = _opencv(path, data)
    if samples.max() > largest:
        raise _unreadable(path, f"values above its largest value {largest}")
    if samples.shape[:2] != (picture.height, picture.width):
        raise _unreadable(path, f"{samples.shape[1]} x {samples.shape[0]} samples")
    return _scaled(samples, largest)


def _scaled(samples: NDArray[np.uint16], largest: int) -> Tensor:
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


def _require_plain_tiff(path: str | Path, tags: Mapping[int, tuple[int, ...]]) -> None:
    """Kinds of TIFF that a decoder refuses for another reason or misreads without a word."""
    bits, photometric = set(tags.get(BITS, (1,))), tags.get(PHOTOMETRIC, (1,))[0]
    formats, is_deep = tags.get(SAMPLE_FORMAT, (1,)), max(bits) > 8
    kinds = {2: "signed", 3: "float", 5: "complex", 6: "complex"}
    faults = {
        f"TIFF samples that are {kinds.get(max(formats), 'unknown')}": not {*formats} <= {1, 4},
        "colours in CIE Lab": photometric in (8, 9, 10),
        "CMYK": photometric == 5,
        f"TIFF samples of {' and '.join(map(str, sorted(bits)))} bits": is_deep and bits != {16},
        "TIFF channels in separate planes": is_deep and tags.get(PLANAR, (1,)) != (1,),
        f"TIFF photometric interpretation {photometric}": is_deep and photometric not in (1, 2),
    }
    if got := next((fault for fault, is_so in faults.items() if is_so), ""):
        raise _unreadable(path, got)


def _unreadable(path: str | Path, got: str) -> ImageError:
    return ImageError(
        f"{path}: expected plain unsigned samples, gray or RGB, of up to 16 bits, got {got}. "
        "Convert it to sRGB and save it as PNG."
    )


@contextmanager
def _explained(path: str | Path, image_format: str) -> Iterator[None]:
    """Whatever a decoder raises as an :class:`ImageError` that says what to do."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # Pillow's plug-ins raise OSError, SyntaxError, struct.error, ...
        kind, fault = error.args if isinstance(error, DamagedError) else ("", error)
        text = " ".join(str(fault).split("<_io")[0].split()) or type(error).__name__
        if "truncated" in text.lower() or "not enough" in text.lower():
            kind = kind or "truncated"
        if kind:
            raise ImageError(
                f"{path}: expected a whole {image_format}, got a {kind} one ({text}). "
                "Copy or make it again."
            ) from error
        raise ImageError(
            f"{path}: expected a {image_format} that can be decoded, got a damaged one or a rare "
            f"kind ({text}). Make it again or save it as PNG."
        ) from error


def _require_size(path: str | Path, width: int, height: int) -> None:
    """:class:`ImageError` where a picture has more pixels than :data:`MAX_PIXELS`, or than memory
    has room for."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: expected at most {MAX_PIXELS / 1e6:.0f} million pixels, got {width} x "
            f"{height}. Cut the image into parts."
        )
    require_memory(path, width, height, PICTURE)
