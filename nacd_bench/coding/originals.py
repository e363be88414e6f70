"""Where images to code come from: files, folders, patterns, lists, tar shards, URLs.

A source is listed once, without opening an image, into items (:class:`Item`) in a fixed order; a
shard takes every n-th of them. An item is read by whichever process works on it.
"""

from __future__ import annotations

import glob
import io
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from typing import IO

from nacd_bench.errors import DataError, ImageError
from nacd_bench.triplets.files import LARGEST_FILE, as_on_disk, file_url, is_url, read_bytes
from nacd_bench.triplets.formats import (
    FORMATS,
    HEAD,
    files_below,
    has_image_suffix,
    is_passed_over,
    suffix_of,
    unread_kind,
)
from nacd_bench.triplets.text_files import lines_of, read_text

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
BLOCK = 512
"""Bytes of a block of a tar file."""
PIECE = 2**24
"""Bytes that are read at a time: a damaged header may promise more than memory holds."""

RESULTS = (".bin", ".part")
"""Suffixes of bitstreams and of files that are being written."""

AnySource = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class Item:
    """An image, before it is opened.

    Args:
        index: its place in the list of all, from 0.
        name: what people see: the path, URL, or ``shard.tar/name.jpg``.
        path: the file that holds it.
        stamp: changes when the file does.
        offset, size: where it lies in a tar file (decompressed), else None.
    """

    index: int
    name: str
    path: str
    stamp: str = ""
    offset: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a source.

    Args:
        items: in their order.
        faults: what could not be listed, and why, by the file's name.
        left_out: how many pictures of kinds that are not read lie there, by kind.
        roots: folders and files that were named, to tell a file that is gone from a whole disk.
    """

    items: list[Item]
    faults: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    roots: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """The files that hold the images."""
        return [Path(item.path) for item in self.items]


def list_images(
    source: AnySource, run_folder: Path | None = None, files_only: bool = False
) -> Listing:
    """The images of a source.

    Folders are searched with all their folders, but for those that are no photographs
    (:data:`~nacd_bench.triplets.formats.NO_PHOTOGRAPHS`) and what other runs left in them; a
    ``.txt`` file has one path per line, relative to itself. The order is that of a list, otherwise
    by name; a path is listed once.

    Args:
        source: folders, image files, tar files, patterns, text files of any of these, URLs that
            fsspec opens (of files, folders, patterns), or a list of these.
        run_folder: a folder whose content is no source, wherever it lies.
        files_only: neither tar files nor URLs.

    Raises:
        DataError: nothing there.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    listing = Listing([], roots=[str(root) for root in sources])
    results = run_folder.resolve() if run_folder is not None else None
    seen: set[str] = set()
    n_results = 0
    for path, stamp, is_named in chain.from_iterable(_files(root, files_only) for root in sources):
        kind = None if path in seen else _kind(path, is_named, files_only)
        if kind is None:
            continue
        if results and not is_url(path) and results in Path(path).absolute().parents:
            n_results += 1
            continue
        seen.add(path)
        if kind == "tar":
            _add_members(listing, path, stamp)
        elif kind == "image":
            listing.items.append(Item(len(listing.items), file_url(path) or path, path, stamp))
        else:
            listing.left_out[kind] += 1
    if not listing.items and not listing.faults:
        kinds = ", ".join(FORMATS) + ("" if files_only else ", and tar files of these")
        raise _no_images(listing, n_results, kinds)
    return listing


def _no_images(listing: Listing, n_results: int, kinds: str) -> DataError:
    got = f"none. Kinds that are read: {kinds}."
    if listing.left_out:
        left_out = counted(listing.left_out)
        got = f"only kinds that are not read: {left_out}. Convert them; read are {kinds}."
    elif n_results:
        got = f"none but {n_results} files in the run's own folder. Name another folder."
    return DataError(f"expected images in {', '.join(listing.roots)}, got {got}")


def counted(left_out: Mapping[str, int]) -> str:
    """Counts by kind, the most first.

    >>> counted({"dng": 1, "jxl": 2})
    '2 jxl, 1 dng'
    """
    order = sorted(left_out, key=lambda kind: (-left_out[kind], kind))
    return ", ".join(f"{left_out[kind]} {kind}" for kind in order)


def read_item(item: Item) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: gone, unreadable, or beyond the end of its tar file.
    """
    if item.offset is None or item.size is None:
        return read_bytes(item.path, "an image file", ImageError)
    try:
        file = _tar_file(item.path, item.stamp)
        file.seek(item.offset)
        data, left = io.BytesIO(), min(item.size, LARGEST_FILE)
        while left and (piece := file.read(min(left, PIECE))):
            data.write(piece)
            left -= len(piece)
    except Exception as error:  # the operating system's, a decompressor's, a remote file system's
        _opened.key = None
        raise ImageError(
            f"{item.name}: expected a tar file that can be read, got {type(error).__name__}: "
            f"{error}. Copy {item.path} again."
        ) from error
    if data.tell() < item.size:
        raise ImageError(
            f"{item.name}: expected {item.size} bytes, got {data.tell()}: {item.path} is cut short "
            f"(or this is over {LARGEST_FILE / 1e9:.1f} GB). Copy it again."
        )
    return data.getvalue()


def read_named(name: str) -> bytes:
    """The bytes of an image by the name that it has in a listing: a file, an URL, a tar's member.

    Raises:
        ImageError: nothing there, or it cannot be read.
    """
    tar = None if Path(name).is_file() else tar_of(name)
    if tar is None:
        return read_bytes(name, "an image file", ImageError)
    place = tar if is_url(tar) else f"file://{Path(tar).absolute()}"
    return read_bytes(f"tar://{name.removeprefix(f'{tar}/')}::{place}", "an image file", ImageError)


def tar_of(name: str) -> str | None:
    """The tar file in a name, or None.

    >>> tar_of("data/shard-0.tar/a/b.png"), tar_of("a.tar.png")
    ('data/shard-0.tar', None)
    """
    places = [
        place
        for place, letter in enumerate(name)
        if letter == "/" and name[:place].lower().endswith(TARS)
    ]
    return name[: places[0]] if places else None


def gone(listing: Listing) -> str | None:
    """A source that was there when it was listed and is not any more, or None."""
    for root in listing.roots:
        if not is_url(root) and not glob.has_magic(root) and not Path(root).exists():
            return root
    return None


def _files(source: str | Path, files_only: bool) -> Iterator[tuple[str, str, bool]]:
    """Paths of all files of a source, their stamps, and whether they are named one by one."""
    path = as_on_disk(source)
    if is_url(source):
        yield from [(str(source), "", True)] if files_only else _remote(str(source))
    elif path.is_dir():
        for file in sorted(file for file, run in files_below(path) if not run):
            yield from _named(file, False, files_only)
    elif path.suffix.lower() == ".txt" and path.is_file():
        for line in map(str.strip, lines_of(read_text(path, "a list of images"))):
            if line:
                name = line if is_url(line) else as_on_disk(path.parent / line)
                yield from _named(name, True, files_only)
    elif path.exists():
        yield from _named(path, True, files_only)
    else:
        plain = tuple(takewhile(lambda part: not glob.has_magic(part), path.parts))
        wanted = as_on_disk(Path(*plain)).joinpath(*path.parts[len(plain) :])
        is_pattern = len(plain) < len(path.parts) or os.path.lexists(path)
        names = sorted(glob.glob(str(wanted), recursive=True)) if is_pattern else []  # noqa: PTH207
        if not names:
            raise DataError(
                f"expected an image, a folder or a pattern, got {str(source)[:200]}: nothing there."
            )
        for name in names:
            if not is_passed_over(set(Path(name).parts) - set(wanted.parts)):
                yield from _named(name, has_image_suffix(name), files_only)


def _named(path: str | Path, is_named: bool, files_only: bool) -> Iterator[tuple[str, str, bool]]:
    """The file that a name stands for, or the files where it is a folder's or a URL."""
    if is_url(path) or (is_named and os.path.isdir(path)):  # noqa: PTH112 - long names
        yield from _files(path, files_only)
    else:
        stamp = ""
        with suppress(OSError):
            facts = Path(path).stat()
            stamp = f"{facts.st_size} {facts.st_mtime_ns}"
        yield str(path), stamp, is_named


def _kind(path: str, is_named: bool, files_only: bool) -> str | None:
    """``"tar"``, ``"image"``, the kind of a picture that is not read, or None for other files."""
    if not files_only and path.lower().endswith(TARS):
        return "tar"
    if is_named or has_image_suffix(path):
        return "image"
    head = b""
    if suffix_of(path) in RESULTS or not (is_url(path) or Path(path).is_file()):
        return None
    with suppress(OSError):
        if not is_url(path):
            with Path(path).open("rb") as file:
                head = file.read(HEAD)
    return unread_kind(path, head)


def _remote(url: str) -> Iterator[tuple[str, str, bool]]:
    """The files of an URL, as :func:`_files`; an unread kind is known by its name only."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        if glob.has_magic(path):
            files = system.glob(path, detail=True)
        elif system.isdir(path):
            files = system.find(path, detail=True)
        else:
            files = {path: {**system.info(path), "is_named": True}}
    except Exception as error:  # any of a remote file system's
        raise DataError(
            f"{url}: expected files that can be listed, got {type(error).__name__}: {error}. "
            "Correct the URL, or install what fsspec asks for."
        ) from error
    for name in sorted(files):
        facts = files[name]
        below = set(name.split("/")) - set(path.split("/"))
        if facts.get("type") != "directory" and not is_passed_over(below):
            marks = [facts.get(key) for key in ("size", "ETag", "mtime", "LastModified", "created")]
            stamp = " ".join(map(str, filter(None, marks)))
            yield system.unstrip_protocol(name), stamp, "is_named" in facts


def _add_members(listing: Listing, path: str, stamp: str) -> None:
    """The images in a tar file; what follows a damage is left out and said."""
    try:
        with _decompressed(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if not member.isfile() or is_passed_over(member.name.split("/")):
                    pass
                elif has_image_suffix(member.name):
                    place = member.offset_data, member.size
                    name = f"{file_url(path) or path}/{member.name}"
                    mark = f"{stamp} {place[0]}"
                    listing.items.append(Item(len(listing.items), name, path, mark, *place))
                else:
                    content = tar.extractfile(member)
                    kind = unread_kind(member.name, content.read(HEAD) if content else b"")
                    listing.left_out.update([kind] if kind else [])
                tar.members.clear()  # type: ignore[attr-defined]  # a shard may have a million
            end = tar.offset
            file.seek(end)
            rest = file.read(BLOCK)
        if rest.strip(b"\0"):
            raise tarfile.ReadError(f"no header at byte {end}")
    except Exception as error:  # tarfile's, the operating system's, a decompressor's
        count = sum(item.path == path for item in listing.items)
        listing.faults[path] = (
            f"expected a whole tar file, got a damaged one ({type(error).__name__}: {error}). The "
            f"{count} images before the damage are taken. Copy it again."
        )


def _decompressed(path: str) -> IO[bytes]:
    """A tar file's own bytes, to seek in."""
    import fsspec

    ending = path.lower().rpartition(".")[2]
    compression = {"gz": "gzip", "tgz": "gzip", "bz2": "bz2", "xz": "xz"}.get(ending)
    url = path if is_url(path) else f"file://{Path(path).absolute()}"
    file: IO[bytes] = fsspec.open(url, "rb", compression=compression).open()
    return file


_opened = threading.local()
"""The tar file that a thread read last: its next image lies behind."""


def _tar_file(path: str, stamp: str) -> IO[bytes]:
    """The bytes of a tar file, opened once by a thread that reads its images one after another."""
    key = path, stamp.rpartition(" ")[0]
    if getattr(_opened, "key", None) != key:
        _opened.key = None
        _opened.file = _decompressed(path)
        _opened.key = key
    file: IO[bytes] = _opened.file
    return file
