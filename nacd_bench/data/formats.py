"""The image formats that are read, and telling what a file really holds by its first bytes."""

from __future__ import annotations

from pathlib import PurePath

FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
"""Formats that are read and the suffixes that belong to each."""

SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""Suffixes of image files, lower case."""

_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIF",
}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"P2", "PPM"),
    (b"P3", "PPM"),
    (b"P5", "PPM"),
    (b"P6", "PPM"),
    (b"GIF8", "GIF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"v/1\x01", "OpenEXR"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"version https://git-lfs", "Git LFS pointer"),
)


def content_format(head: bytes) -> str:
    """The name of the format that a file's first bytes show: ``"PNG"``, ``"text"``, ``"unknown"``.

    >>> content_format(b"\\xff\\xd8\\xff\\xe0 JFIF"), content_format(b"hello there")
    ('JPEG', 'text')
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "ISO media")
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return "text" if head and _is_text(head[:512]) else "unknown"


def has_image_suffix(path: str | PurePath) -> bool:
    """Whether a file's name is that of an image format which is read."""
    return suffix_of(path) in SUFFIXES


def suffix_of(path: str | PurePath) -> str:
    """The suffix in lower case with its dot, of a path or an URL; ``""`` where there is none."""
    return PurePath(str(path)).suffix.lower()


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")  # the cut falls inside a character
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
