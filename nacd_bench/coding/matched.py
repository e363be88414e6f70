"""One piece of work of ``nacd-bench compress``: an image, a codec, and what is asked of it.

A piece runs in any process and depends on nothing but itself, so that the files are the same with
one worker and with eight.
"""

from __future__ import annotations

import errno
import struct
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nacd_bench.coding.codec import Codec, Image, bits_per_pixel, png
from nacd_bench.coding.rate import Encodings, Estimate, Match, luma_psnr, match_psnr, match_rates
from nacd_bench.coding.sides import CodecSpec, built
from nacd_bench.errors import DataError, UserError
from nacd_bench.ops.color import luma
from nacd_bench.ops.planes import one_thread
from nacd_bench.ops.structure import MSSSIM_SIDE, ms_ssim
from nacd_bench.triplets.files import sha256, write_whole
from nacd_bench.triplets.images import read_8_bit

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WORTH_KEEPING = 1.0
"""Seconds of an encode from which on it is kept until its job is done."""
SECONDS = struct.Struct("<d")


class DiskFullError(DataError):
    """No room for a result: unlike a codec's failure it stops the run."""


@dataclass(frozen=True)
class Photo:
    """An image to code.

    Args:
        id: its name in the output.
        path: the file.
        sha256: hash of the file.
        width, height: in pixels.
    """

    id: str
    path: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Ask:
    """One result that is wanted.

    Args:
        preset: name of the rate step, the same on both sides; a folder name.
        kind: ``"point"``, ``"bpp"`` or ``"psnr"``.
        value: operating point, bits per pixel or dB.
        key: hash of everything that fixes the result.
    """

    preset: str
    kind: str
    value: float
    key: str


@dataclass(frozen=True)
class Job:
    """What one call to :func:`run_job` does: all asks are of one kind.

    Args:
        photo: the image.
        side: ``"neural"`` or the label of a traditional codec; a folder name.
        codec: what codes it.
        asks: what is wanted.
        folder: the run's folder.
        tolerance: for the codec's fine control, see :func:`nacd_bench.coding.rate.match_rate`.
        estimate: what earlier images taught about the codec's rate.
        kept: folder for finished encodes as long as the job is not.
    """

    photo: Photo
    side: str
    codec: CodecSpec | Codec
    asks: tuple[Ask, ...]
    folder: Path
    tolerance: float | None = None
    estimate: Estimate | None = None
    kept: Path | None = None


class KeptEncodes:
    """Encodes of an unfinished job in a folder, so that a kill does not cost hours of them.

    Args:
        folder: where they lie; for one image in one codec.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> tuple[bytes, float] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        content = path.read_bytes()
        return content[SECONDS.size :], SECONDS.unpack_from(content)[0]

    def put(self, name: str, data: bytes, seconds: float) -> None:
        if seconds >= WORTH_KEEPING:
            write_whole(self.folder / name, SECONDS.pack(seconds) + data)


@dataclass(frozen=True)
class Done:
    """What came of a job, as JSON holds it.

    Args:
        rows: one dictionary per result.
        seen: log2(bpp) or scaled PSNR by index of the operating point, of every encode.
        failures: message by preset.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_job(job: Job) -> Done:
    """Encode, decode, measure and write; a codec that fails becomes a message.

    Raises:
        DiskFullError: unlike any other error it is not the image's.
    """
    try:
        image = read_photo(job.photo)
        codec = built(job.codec)
        if job.asks[0].kind == "point":
            return _points(job, codec, image)
        return _matches(job, codec, image)
    except Exception as error:  # of whatever kind: a codec is somebody else's code
        stop_if_disk_full(error, job.folder)
        return Done(failures={ask.preset: describe(error) for ask in job.asks})


def process_died(job: Job) -> Done:
    """What came of a job that took its process down."""
    error = (
        f"the process that coded it died (crash or out of memory) in {job.side}. "
        "Run the codec on this image alone to see why."
    )
    return Done(failures={ask.preset: error for ask in job.asks})


def run_batch(jobs: Sequence[Job]) -> list[Done]:
    """:func:`run_job` for jobs of one codec, image size and operating point, coded in one call."""
    if len(jobs) == 1:
        return [run_job(jobs[0])]
    try:
        codec, ask = built(jobs[0].codec), jobs[0].asks[0]
        images = [read_photo(job.photo) for job in jobs]
        start = time.perf_counter()
        data = codec.encode_batch(images, ask.value)
        middle = time.perf_counter()
        decoded = codec.decode_batch(data)
        seconds = (middle - start) / len(jobs), (time.perf_counter() - middle) / len(jobs)
    except Exception as error:  # one image may spoil the batch: find out which
        stop_if_disk_full(error, jobs[0].folder)
        return [run_job(job) for job in jobs]
    done = []
    for job, image, stream, picture in zip(jobs, images, data, decoded, strict=True):
        try:
            coded = _Coded(stream, ask.value, None, ask.value, 1, False, *seconds)
            done.append(Done([_row(job, codec, job.asks[0], image, picture, coded)]))
        except Exception as error:
            stop_if_disk_full(error, job.folder)
            done.append(Done(failures={job.asks[0].preset: describe(error)}))
    return done


@dataclass(frozen=True)
class _Coded:
    data: bytes
    point: float
    fine: float | None
    asked: float
    encodes: int
    out_of_range: bool
    encode_seconds: float
    decode_seconds: float


def _points(job: Job, codec: Codec, image: Image) -> Done:
    rows, failures = [], {}
    for ask in job.asks:
        try:
            start = time.perf_counter()
            data = codec.encode(image, ask.value)
            seconds = time.perf_counter() - start
            decoded, decode_seconds = _decoded(codec, data)
            coded = _Coded(data, ask.value, None, ask.value, 1, False, seconds, decode_seconds)
            rows.append(_row(job, codec, ask, image, decoded, coded))
        except Exception as error:
            stop_if_disk_full(error, job.folder)
            failures[ask.preset] = describe(error)
    return Done(rows, failures=failures)


def _matches(job: Job, codec: Codec, image: Image) -> Done:
    encodings = Encodings(codec, image, KeptEncodes(job.kept) if job.kept else None)
    targets = [ask.value for ask in job.asks]
    estimate = Estimate.of(codec)
    estimate.images += job.estimate.images if job.estimate else []
    if job.asks[0].kind == "psnr":
        matches = match_psnr(encodings, targets, estimate=estimate)
    else:
        matches = match_rates(encodings, targets, tolerance=job.tolerance, estimate=estimate)
    rows = []
    for ask, match in zip(job.asks, matches, strict=True):
        decoded, seconds = _decoded(codec, match.data)
        rows.append(_row(job, codec, ask, image, decoded, _of_match(match, seconds)))
    return Done(rows, {str(index): value for index, value in estimate.images[-1].items()})


def _of_match(match: Match, decode_seconds: float) -> _Coded:
    return _Coded(
        match.data,
        match.point,
        match.fine,
        match.target,
        match.encodes,
        match.out_of_range,
        match.seconds,
        decode_seconds,
    )


def _decoded(codec: Codec, data: bytes) -> tuple[Image, float]:
    start = time.perf_counter()
    image = codec.decode(data)
    return image, time.perf_counter() - start


def _row(
    job: Job, codec: Codec, ask: Ask, image: Image, decoded: Image, coded: _Coded
) -> dict[str, Any]:
    """Write the bitstream and the decoded image; everything about the result."""
    size = checked_size(codec, image, decoded, coded.data)
    place = Path(job.side) / ask.preset
    bitstream = Path("bitstreams") / place / f"{job.photo.id}.bin"
    picture = Path("decoded") / place / f"{job.photo.id}.png"
    stream = job.folder / bitstream
    # Results of other parameters may lie there. Whenever a kill comes, a bitstream that is there
    # belongs to the picture that is there.
    if stream.is_file() and stream.read_bytes() != coded.data:
        stream.unlink()
    write_whole(job.folder / picture, png(decoded))
    write_whole(stream, coded.data)
    height, width = image.shape[:2]
    return {
        "key": ask.key,
        "image": job.photo.id,
        "side": job.side,
        "preset": ask.preset,
        "asked": coded.asked,
        "asked_kind": ask.kind,
        "point": float(coded.point),
        "fine": coded.fine,
        "bytes": size,
        "bpp": bits_per_pixel(size, width, height),
        "file_bytes": len(coded.data),
        "file_sha256": sha256(coded.data)[:16],
        "out_of_range": coded.out_of_range,
        "encodes": coded.encodes,
        "encode_seconds": round(coded.encode_seconds, 4),
        "decode_seconds": round(coded.decode_seconds, 4),
        "psnr": round(luma_psnr(image, decoded), 6),
        "msssim": luma_msssim(image, decoded),
        "bitstream": str(bitstream),
        "decoded": str(picture),
        "command_line": codec.command_line(coded.point, coded.fine),
    }


def checked_size(codec: Codec, image: Image, decoded: Image, data: bytes) -> float:
    """The bytes of a bitstream that count as rate; DataError for a decode that is none."""
    if decoded.shape != image.shape or decoded.dtype != np.uint8:
        raise DataError(
            f"expected {codec.name} to decode to {image.shape} of uint8, got {decoded.shape} of "
            f"{decoded.dtype}. The codec has to crop its padding."
        )
    size = float(codec.rate_bytes(data))
    if not size > 0:
        raise DataError(f"expected {codec.name} to write a bitstream, got {size:g} bytes.")
    return size


def read_photo(photo: Photo) -> Image:
    """The pixels of an image, whose file has to be the one that was seen when it was planned."""
    image, sha256 = read_8_bit(photo.path)
    if sha256 != photo.sha256:
        raise DataError(
            f"{photo.path} changed while the run was going on. Start the run again: it keeps what "
            "is done and codes the new pixels."
        )
    return image


def describe(error: Exception) -> str:
    """One line for a failure: the message of our own errors, the kind as well for others."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def stop_if_disk_full(error: BaseException, folder: Path) -> None:
    if isinstance(error, DiskFullError):
        raise error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            raise DiskFullError(
                f"expected room for results in {folder} and for temporary files in "
                f"{tempfile.gettempdir()}, got: {cause}. Make room and start the run again: it "
                "keeps what is done."
            ) from error
        cause = cause.__cause__


def luma_msssim(original: Image, decoded: Image) -> float | None:
    """MS-SSIM of Y of two images ``(H, W, 3)``; None where a side is too small for five scales.

    >>> gray = np.full((161, 170, 3), 90, np.uint8)
    >>> luma_msssim(gray, gray), luma_msssim(gray[:160], gray[:160])
    (1.0, None)
    """
    if min(original.shape[:2]) < MSSSIM_SIDE:
        return None
    x, y = (
        luma(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].double() / 255)
        for image in (original, decoded)
    )
    with one_thread():
        return ms_ssim(x, y).item()
