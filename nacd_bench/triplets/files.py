"""Reading a file or URL as a whole, and writing one so that it is whole or not there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from nacd_bench.errors import DataError, UserError

LARGEST_FILE = 2**32
"""Bytes of a file that is read as a whole."""


def is_url(path: str | Path) -> bool:
    """Whether a path is an URL for fsspec (``s3://...``, ``file://...``)."""
    return "://" in str(path)


def read_bytes(path: str | Path, what: str, error: type[UserError]) -> bytes:
    """All bytes of a local file, or of an URL that fsspec opens.

    Args:
        path: the file.
        what: what it should be, for the message (``"an image file"``).
        error: the kind of error to raise.

    Raises:
        error: missing, a folder, not readable.
    """
    try:
        local = _local(path)
        if local is None and is_url(path):
            import fsspec

            with fsspec.open(str(path), "rb") as file:
                return file.read()
        place = as_on_disk(local or path)
        status = place.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            got = "a device, pipe or socket"  # which may have no end
        elif status.st_size > LARGEST_FILE:
            got = f"{status.st_size / 1e9:.1f} GB, of {LARGEST_FILE / 1e9:.1f} at most"
        else:
            return place.read_bytes()
    except FileNotFoundError as cause:
        got = "a link to nothing" if Path(path).is_symlink() else "nothing of that name"
        if len(_forms_on_disk(Path(path))) > 1:
            got += " but several that look like it, in other Unicode forms (NFC, NFD)"
        raise error(
            f"{path}: expected {what}, got {got}. Correct the path or put the file there."
        ) from cause
    except IsADirectoryError as cause:
        raise error(f"{path}: expected {what}, got a folder. Name a file in it.") from cause
    except PermissionError as cause:
        raise error(
            f"{path}: expected {what} that may be read, got no permission. "
            f"Allow it, for example with chmod u+r {path}."
        ) from cause
    except Exception as cause:  # the operating system's, or any of a remote file system's
        raise error(
            f"{path}: expected {what} that can be read, got {type(cause).__name__}: {cause}. "
            "Correct the path or copy the file to a local disk."
        ) from cause
    raise error(f"{path}: expected {what}, got {got}. Name a file.")


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): what two names share that look the same.

    macOS and its archives have names decomposed (NFD), people and tables write them composed.

    >>> composed("cafe\u0301") == "caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def as_on_disk(path: str | Path) -> Path:
    """A path with its names in the Unicode form that the disk has.

    A file of the very name is taken; else the only thing whose names differ in form.
    """
    forms = _forms_on_disk(Path(path))
    return forms[0] if len(forms) == 1 else Path(path)


def _forms_on_disk(path: Path) -> list[Path]:
    if str(path).isascii() or os.path.lexists(path):
        return [path]
    forms = []
    for parent in _forms_on_disk(path.parent):
        exact = parent / path.name
        if os.path.lexists(exact):
            forms.append(exact)
            continue
        try:
            names = _names_by_form(parent, parent.stat().st_mtime_ns)
        except (OSError, ValueError):
            continue
        forms += [parent / name for name in names.get(composed(path.name), ())]
    return forms


@lru_cache(maxsize=16)  # a manifest names thousands of files of few folders
def _names_by_form(folder: Path, changed: int) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names only
        if not name.isascii():
            names.setdefault(composed(name), []).append(name)
    return names


def writable(text: str) -> str:
    """Text that files can hold: bytes of a file name that are no UTF-8 become ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_bytes(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], delimiter: str = ","
) -> bytes:
    """A CSV file with these columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return writable(text.getvalue()).encode()


def plain(value: Any, keeps_infinite: bool = False) -> Any:
    """A value that JSON and files can hold: data classes as objects, NaN and infinity as None.

    >>> plain({"auc": float("nan"), "n": (1, 2.5)})
    {'auc': None, 'n': [1, 2.5]}
    """
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float):
        is_kept = math.isfinite(value) or (keeps_infinite and not math.isnan(value))
        return value if is_kept else None
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner, keeps_infinite) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, keeps_infinite) for inner in value]
    return value


def json_bytes(value: Any) -> bytes:
    """The content of a JSON file for people and programs, see :func:`plain`."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    return f"{text}\n".encode()


def sha256(content: bytes | memoryview | str) -> str:
    """The hash that names a content in caches and results, as 64 hexadecimal digits."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()


def json_sha256(value: Any) -> str:
    """The :func:`sha256` of a JSON value, whatever the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True, default=str))


def file_url(path: str) -> str | None:
    """An URL for a path with bytes that are no UTF-8, which tables cannot hold; else None.

    >>> file_url("/photos/a.png") is None, file_url("/bad\\udcff.png")
    (True, 'file:///bad%FF.png')
    """
    return Path(path).absolute().as_uri() if writable(path) != path else None


def _local(path: str | Path) -> str | None:
    """The file that a ``file://`` URL means, whether or not its characters are escaped."""
    text = str(path)
    if not text.startswith("file://"):
        return None
    plain = text.removeprefix("file://")
    return plain if Path(plain).exists() else os.fsdecode(unquote_to_bytes(plain))


def part_of(path: Path) -> Path:
    """The temporary file beside a path that becomes it; as short for a name of 255 bytes.

    >>> len(part_of(Path("a" * 255)).name) < 50
    True
    """
    name = sha256(os.fsencode(path.name))[:16]
    return path.with_name(f".{name}.{os.getpid()}.part")


def linked(source: str | Path, target: Path) -> bool:
    """Whether a file could be had at a second place by a hard link, in place of what was there.

    Not across file systems, and not of URLs.
    """
    part = part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, part)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        return False
    return True


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a kill never leaves half of it.

    Raises:
        DataError: the place cannot be written.
    """
    path = Path(path)
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: expected a place that can be written, got {type(error).__name__}: "
            f"{error.strerror}. Choose another folder, free space or change the permissions."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
