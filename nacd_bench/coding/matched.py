"""One image at one rate: coded, decoded, measured, and what goes wrong on the way."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nacd_bench.baselines.base import Baseline
from nacd_bench.coding.codec import Codec, Image, bits_per_pixel
from nacd_bench.coding.rate import Match, luma_psnr
from nacd_bench.errors import DataError, PluginError, UserError
from nacd_bench.ops.planes import one_thread
from nacd_bench.registry import BASELINES

MEASURES = {"msssim": "ms_ssim", "ssimulacra2": "ssimulacra2", "vmaf": "vmaf"}
"""What curves have beside PSNR: columns of a run's table, and the metric of each."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(DataError):
    """No room for a result: unlike a codec's failure it stops the run."""


def facts(codec: Codec, image: Image, match: Match, decoded: Image) -> dict[str, Any]:
    """What tables say about an image that was coded and decoded again.

    Raises:
        DataError: the decoded image has another size, or nothing was written.
    """
    if decoded.shape != image.shape or decoded.dtype != np.uint8:
        raise DataError(
            f"expected {codec.name} to decode to {image.shape} of uint8, got {decoded.shape} of "
            f"{decoded.dtype}. The codec has to crop its padding."
        )
    size = float(codec.rate_bytes(match.data))
    if not size > 0:
        raise DataError(f"expected {codec.name} to write a bitstream, got {size:g} bytes.")
    return {
        "asked": match.target,
        "point": float(match.point),
        "fine": match.fine,
        "bytes": size,
        "bpp": bits_per_pixel(size, image.shape[1], image.shape[0]),
        "file_bytes": len(match.data),
        "out_of_range": match.out_of_range,
        "encodes": match.encodes,
        "encode_seconds": round(match.seconds, 4),
        "psnr": round(luma_psnr(image, decoded), 6),
        "command_line": codec.command_line(match.point, match.fine),
    }


def describe(error: Exception) -> str:
    """One line for a failure: the message of our own errors, the kind as well for others."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def stop_if_disk_full(error: BaseException, folder: Path) -> None:
    """Raise :class:`DiskFullError` where that is what lies behind a failure."""
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


def qualities(
    original: Image, decoded: Image, measures: Collection[str] = MEASURES
) -> dict[str, float | None]:
    """Of two images ``(H, W, 3)`` the metrics that curves have beside PSNR; None for one that the
    image is too small for, and for VMAF without its package.

    >>> gray = np.full((161, 170, 3), 90, np.uint8)
    >>> qualities(gray, gray, ["msssim"]), qualities(gray[:160], gray[:160], ["msssim"])
    ({'msssim': 1.0}, {'msssim': None})
    """
    values: dict[str, float | None] = {}
    images = [
        torch.tensor(image).permute(2, 0, 1)[None]  # a copy: a decoder's may not be writable
        for image in ((original, decoded) if measures else ())
    ]
    for name in measures:
        values[name], metric = None, _metric(MEASURES[name])
        if metric is not None and min(original.shape[:2]) >= metric.min_side:
            with one_thread():
                values[name] = metric.values(*metric.planes_of(*images)).item()
    return values


@cache
def _metric(name: str) -> Baseline | None:
    """A metric with its constants, or None where its package is not there."""
    try:
        metric: Baseline = BASELINES.get(name)()
    except PluginError:
        return None
    return metric
