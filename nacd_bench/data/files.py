"""Reading a file or URL as a whole, and writing one so that it is whole or not there."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from nacd_bench.errors import DataError, UserError


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
        if local is not None:
            return Path(local).read_bytes()
        if is_url(path):
            import fsspec

            with fsspec.open(str(path), "rb") as file:
                return file.read()
        return Path(path).read_bytes()
    except FileNotFoundError as cause:
        got = "a link to nothing" if Path(path).is_symlink() else "nothing of that name"
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


def writable(text: str) -> str:
    """Text that files can hold: bytes of a file name that are no UTF-8 become ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A CSV file with these columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return writable(text.getvalue()).encode()


def finite(value: Any) -> Any:
    """JSON values that files can hold: what is not finite becomes None.

    >>> finite({"auc": float("nan"), "n": (1, 2.5)})
    {'auc': None, 'n': [1, 2.5]}
    """
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


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


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a kill never leaves half of it.

    Raises:
        DataError: the place cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
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
        part_is_left = part.parent.is_dir() and part.exists()
        if part_is_left:
            part.unlink(missing_ok=True)
