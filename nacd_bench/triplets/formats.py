"""What a photograph is: the formats that are read, and the names that are none.

A file's format is told by its first bytes; its name decides only whether a search takes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pnm"),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "GIF": (".gif",),
}
"""Formats that are read and the suffixes that belong to each."""

SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""Suffixes of image files, lower case."""

UNREAD = frozenset((
    ".jxl", ".jxr", ".wdp", ".hdp", ".bpg", ".flif", ".qoi", ".exr", ".hdr", ".psd", ".psb", ".xcf",
    ".tga", ".dds", ".pcx", ".sgi", ".jls", ".pfm", ".pam", ".heics", ".heifs", ".avifs",
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf",
    ".pef", ".srw", ".x3f", ".3fr", ".fff", ".iiq", ".mrw", ".dcr", ".kdc", ".erf", ".mef", ".mos",
    ".rwl", ".gpr", ".raw",
))  # fmt: skip
"""Suffixes of pictures in kinds that are not read; the last three lines are cameras' raw files."""

HEAD = 512
"""Bytes of a file's beginning that tell its format."""

NO_PHOTOGRAPHS = (
    ".*", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "#snapshot", "__macosx",
    "__pycache__", "$recycle.bin", "recycler", "system volume information", "lost+found",
    "thumbs.db", "ehthumbs.db", "desktop.ini", "lost.dir", "node_modules",
)  # fmt: skip
"""Patterns, in lower case, of files and folders that programs leave beside photographs, with all
that lies in such a folder. ``.*`` has the hidden ones: ``.thumbnails``, ``.ipynb_checkpoints``,
``.git``, ``.venv``, ``.Trash-1000``, ``.dtrash``, ``.picasaoriginals``, ``.DS_Store`` and
``._a.jpg``."""

_AVIF_BRANDS, _HEIC_BRANDS = {b"avif", b"avis"}, {b"heic", b"heix", b"heim", b"heis", b"mif1"}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
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
        size = int.from_bytes(head[:4], "big")
        brands = {head[i : i + 4] for i in (8, *range(16, min(size, len(head)), 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIC" if brands & _HEIC_BRANDS else "ISO media"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return "text" if head and _is_text(head[:512]) else "unknown"


def has_image_suffix(path: str | PurePath) -> bool:
    """Whether a file's name is that of an image format which is read."""
    return suffix_of(path) in SUFFIXES


def is_passed_over(parts: Iterable[str]) -> bool:
    """Whether any of a path's names is of those that programs leave beside photographs.

    Args:
        parts: the names below the folder that somebody named, the file's own among them.

    >>> is_passed_over(["trip", "@eaDir", "a.jpg"]), is_passed_over(["trip", "a.jpg"])
    (True, False)
    """
    names = [part.lower() for part in parts if part not in (".", "..")]
    return any(fnmatchcase(name, pattern) for name in names for pattern in NO_PHOTOGRAPHS)


def files_below(folder: str | Path) -> Iterator[tuple[Path, str]]:
    """The files of a folder and its folders that may be photographs.

    Yields:
        a file, and the folder of the run that it is a result of, ``""`` for other files. A run is
        known by the files that all of ours begin with; the folder itself is what it was named for.
    """
    run = ""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_passed_over([name])]
        if not (run and place.startswith(run + os.sep)):
            begun = "settings.json" in names and not {"run.lock", "config.yaml"}.isdisjoint(names)
            run = place if begun and place != str(folder) else ""
        for name in names:
            path = Path(place, name)
            if not is_passed_over([name]) and path.is_file():
                yield path, run


def unread_kind(path: str | PurePath, head: bytes) -> str | None:
    """The kind of a picture that is not read, by its suffix or first bytes; None for no picture.

    >>> unread_kind("a.CR2", b""), unread_kind("a", b"\\xff\\xd8\\xff"), unread_kind("a.md", b"# a")
    ('cr2', 'JPEG without suffix', None)
    """
    suffix = suffix_of(path)
    if suffix in UNREAD:
        return suffix[1:]
    picture = content_format(head)
    if picture not in (*FORMATS, "JPEG XL", "OpenEXR", "Photoshop") or len(head) < 3:
        return None
    return f"{picture} named {suffix}" if suffix else f"{picture} without suffix"


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
