"""The image files of a data set: copied, decoded again from bitstreams, or only looked at.

A file that is there and right is kept, so that a build that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.coding.codec import png
from nacd_bench.coding.matched import describe, stop_if_disk_full
from nacd_bench.coding.originals import read_named
from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import DataError, ImageError
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import Workers, cores, finished_jobs
from nacd_bench.runs.unite import BITSTREAM
from nacd_bench.triplets.files import linked, read_bytes, sha256, write_whole
from nacd_bench.triplets.images import decode_image, pixels_sha256, to_8_bit

MOST_WORKERS = 8


@dataclass(frozen=True)
class ImageFile:
    """An image that a data set needs.

    Args:
        name: what results are known by.
        source: the file that it is, or the bitstream of which it is decoded.
        sha256: what it has to be: the hash of the file, or with ``is_decode`` that of its pixels
            (:func:`~nacd_bench.triplets.images.pixels_sha256`).
        is_decode: a codec's result.
        target: where it is to lie, or None to leave it where it is.
        link: a hard link will do.
        codec: what decodes the bitstream; None where nobody knows.
        version: of the codec that wrote it, for messages.
    """

    name: str
    source: str
    sha256: str
    is_decode: bool = False
    target: Path | None = None
    link: bool = False
    codec: CodecSpec | None = None
    version: str | None = None


Outcome = tuple[str, str]
"""The hash of an image's file, and why there is none."""


def make_images(
    files: Iterable[ImageFile], workers: int | None, show_progress: bool
) -> dict[str, Outcome]:
    """Make images in so many processes, 0 for this one; the outcome of each by its name."""
    once = {file.name: file for file in files}
    if workers is None:
        workers = min(MOST_WORKERS, cores()) if len(once) > MOST_WORKERS else 0
    outcomes: dict[str, Outcome] = {}
    with progress_bar("images", len(once), show_progress) as progress:
        # where a codec wants to be in this process, all are made here
        count = 0 if any(map(_belongs_here, once.values())) else workers
        with Workers(count, make_image, _died) as pool:
            for file, outcome in finished_jobs(pool, once.values()):
                outcomes[file.name] = outcome
                progress(progress.failures + bool(outcome[1]))
    return outcomes


def make_image(file: ImageFile) -> Outcome:
    """Put one image where it is to lie; a fault becomes a message.

    Raises:
        DiskFullError: no room, which is not the image's fault.
    """
    try:
        if file.target is not None and file.target.is_file():
            data = file.target.read_bytes()
            if _is_right(file, data):
                return sha256(data), ""
        data = _decoded(file) if file.source.endswith(BITSTREAM) else _copied(file)
        is_link = file.target is not None and file.link and linked(file.source, file.target)
        if file.target is not None and not is_link:
            write_whole(file.target, data)
        return sha256(data), ""
    except Exception as error:  # of whatever kind: a codec is somebody else's code
        stop_if_disk_full(error, file.target or Path())
        return "", describe(error)


def _died(file: ImageFile) -> Outcome:
    message = (
        "the process that decoded it died (crash or out of memory). Decode its bitstream alone to "
        "see why, or mine with decoded=true."
    )
    return "", message


def _belongs_here(file: ImageFile) -> bool:
    """Whether its codec wants to be in this process."""
    try:
        return file.codec is not None and file.codec.build().in_main_process
    except Exception:  # said of each image by what works on it
        return False


def _is_right(file: ImageFile, data: bytes) -> bool:
    if not file.is_decode:
        return sha256(data) == file.sha256
    try:
        image = decode_image(f"{file.name}.png", data)
    except ImageError:
        return False
    return pixels_sha256(to_8_bit(image.pixels)) == file.sha256


def _copied(file: ImageFile) -> bytes:
    """The bytes of an image file that is what it should be."""
    if file.target is None:  # it is named by a table, whose readers know files and URLs only
        what = "an image file (one in a tar file takes images=copy)"
        data = read_bytes(file.source, what, ImageError)
    else:
        data = read_named(file.source)
    if not _is_right(file, data):
        what = "pixels" if file.is_decode else "bytes"
        raise DataError(
            f"{file.source}: expected the {what} that were mined (SHA-256 "
            f"{file.sha256[:12]}...), got others. Put the file back as it was, or mine again."
        )
    return data


def _decoded(file: ImageFile) -> bytes:
    """A PNG of the pixels that its codec decodes once more."""
    if file.codec is None or file.target is None:
        raise DataError(
            "expected a decoded image to refer to, got none: they were not kept. Give images=copy, "
            "or mine with decoded=true."
        )
    data = read_bytes(file.source, "a bitstream of the mined folder", DataError)
    try:
        codec = file.codec.build()
    except Exception as error:
        raise DataError(
            f"expected codec {file.codec.name} to decode {file.source}, got: {describe(error)} "
            "Install it as for mining, or mine with decoded=true."
        ) from error
    image = codec.decode(data)
    if pixels_sha256(image) != file.sha256:
        try:
            version = codec.version()
        except Exception as error:
            version = describe(error)
        raise DataError(
            f"{file.source}: expected to decode to the pixels that were mined (SHA-256 "
            f"{file.sha256[:12]}...), got others. The codec was '{file.version}' and is "
            f"'{version}' now: install that version on a machine like that one, "
            "or mine with decoded=true."
        )
    return png(image)
