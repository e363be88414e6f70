"""Where mined images come from: files, folders, patterns, lists, tar shards, URLs.

A source is listed once, without opening an image, into :class:`Item`s in a fixed order; a shard
takes every n-th of them. An item is read by whichever process works on it.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nacd_bench.coding.originals import files_of, nothing_but
from nacd_bench.errors import DataError, ImageError
from nacd_bench.triplets.files import LARGEST_FILE, file_url, is_url, read_bytes
from nacd_bench.triplets.formats import HEAD, has_image_suffix, is_passed_over, unread_kind

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
BLOCK = 512
"""Bytes of a block of a tar file."""
PIECE = 2**24
"""Bytes that are read at a time: a damaged header may promise more than memory holds."""

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


def list_images(source: AnySource, run_folder: Path | None = None) -> Listing:
    """The images of a source.

    Args:
        source: folders (with all their folders), image files, tar files, patterns, text files of
            any of these (one per line), URLs that fsspec opens (of files, folders, patterns), or a
            list of these.
        run_folder: a folder whose content is no source, wherever it lies.

    Raises:
        DataError: nothing there.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    listing = Listing([], roots=[str(each) for each in sources])
    for path, stamp in _each_once(_files(sources, run_folder, listing.left_out), run_folder):
        if _is_tar(path):
            _add_members(listing, path, stamp)
        else:
            listing.items.append(Item(len(listing.items), file_url(path) or path, path, stamp))
    if not listing.items and not listing.faults:
        raise DataError(
            f"expected images in {', '.join(map(str, sources))}, got "
            f"{nothing_but(listing.left_out)}, and tar files of these."
        )
    return listing


def read_item(item: Item) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: gone, unreadable, or beyond the end of its tar file.
    """
    if item.offset is None or item.size is None:
        return read_bytes(item.path, "an image file", ImageError)
    try:
        file = _opened.tar(item.path, item.stamp)
        file.seek(item.offset)
        data, left = io.BytesIO(), min(item.size, LARGEST_FILE)
        while left and (piece := file.read(min(left, PIECE))):
            data.write(piece)
            left -= len(piece)
    except Exception as error:  # the operating system's, a decompressor's, a remote file system's
        _opened.close()
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


def gone(listing: Listing) -> str | None:
    """A source that was there when it was listed and is not any more, or None."""
    for root in listing.roots:
        if not is_url(root) and not any(each in root for each in "*?[") and not Path(root).exists():
            return root
    return None


def _files(
    sources: Iterable[str | Path], run_folder: Path | None, left_out: Counter[str]
) -> Iterator[tuple[str, str]]:
    """Paths and stamps of all files; pictures of kinds that are not read are counted."""
    for source in sources:
        if is_url(source) and not str(source).startswith("file://"):
            yield from _remote(str(source), left_out)
            continue
        found = files_of(source, lambda path: has_image_suffix(path) or _is_tar(path), run_folder)
        left_out.update(found.left_out)
        for path in found.paths:
            text = _url_in_list(path)
            if text is not None:
                yield from _remote(text, left_out)
            elif os.path.isdir(path):  # noqa: PTH112 - Path's raises where a name is too long
                yield from _files([path], run_folder, left_out)
            else:
                yield str(path), _stamp(path)


def _url_in_list(path: Path) -> str | None:
    """The URL that a line of a text file has, which became a path in that file's folder."""
    parts = path.parts
    for place, part in enumerate(parts[:-1]):
        if part.endswith(":") and len(part) > 2:
            return f"{part}//{'/'.join(parts[place + 1 :])}"
    return None


def _remote(url: str, left_out: Counter[str]) -> Iterator[tuple[str, str]]:
    """The files of an URL, by name."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        if any(each in path for each in "*?["):
            found = system.glob(path, detail=True)
        elif system.isdir(path):
            found = system.find(path, detail=True)
        else:
            found = {path: {**system.info(path), "is_named": True}}
    except Exception as error:  # any of a remote file system's
        raise DataError(
            f"{url}: expected files that can be listed, got {type(error).__name__}: {error}. "
            "Correct the URL, or install what fsspec asks for."
        ) from error
    for name in sorted(found):
        facts = found[name]
        below = set(name.split("/")) - set(path.split("/"))
        if facts.get("type") == "directory" or is_passed_over(below):
            continue
        if facts.get("is_named") or has_image_suffix(name) or _is_tar(name):
            marks = [facts.get(key) for key in ("size", "ETag", "mtime", "LastModified", "created")]
            yield system.unstrip_protocol(name), " ".join(map(str, filter(None, marks)))
        else:
            kind = unread_kind(name, b"")
            left_out.update([kind] if kind else [])


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _each_once(
    files: Iterable[tuple[str, str]], run_folder: Path | None
) -> Iterator[tuple[str, str]]:
    seen = set()
    results = run_folder.resolve() if run_folder is not None else None
    for path, stamp in files:
        is_result = (
            results is not None and not is_url(path) and (results in Path(path).absolute().parents)
        )
        if path not in seen and not is_result:
            seen.add(path)
            yield path, stamp


def _is_tar(path: str | Path) -> bool:
    return str(path).lower().endswith(TARS)


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
                    own = f"{stamp} {place[0]}"
                    listing.items.append(Item(len(listing.items), name, path, own, *place))
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
        there = sum(item.path == path for item in listing.items)
        listing.faults[path] = (
            f"expected a whole tar file, got a damaged one ({type(error).__name__}: {error}). The "
            f"{there} images before the damage are taken. Copy it again."
        )


def _decompressed(path: str) -> IO[bytes]:
    """A tar file's own bytes, to seek in."""
    import fsspec

    ending = path.lower().rpartition(".")[2]
    compression = {"gz": "gzip", "tgz": "gzip", "bz2": "bz2", "xz": "xz"}.get(ending)
    file: Any = fsspec.open(
        path if is_url(path) else f"file://{Path(path).absolute()}", "rb"
    ).open()
    if compression is None:
        return file  # type: ignore[no-any-return]
    opened: IO[bytes] = fsspec.compression.compr[compression](file, mode="rb")
    return opened


class _Opened(threading.local):
    """The tar file that a thread read last: its next image lies behind."""

    file: IO[bytes] | None = None
    key: tuple[str, str] = ("", "")

    def tar(self, path: str, stamp: str) -> IO[bytes]:
        key = path, stamp.rpartition(" ")[0]
        if self.file is None or self.key != key:
            self.close()
            self.file, self.key = _decompressed(path), key
        return self.file

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None


_opened = _Opened()
