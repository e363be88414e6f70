"""Rates and distortions on RGB: of images here, and as CompressAI's evaluation writes them.

``compressai.utils.eval_model`` and ``bench`` print, and the folder ``results`` of that project
holds, JSON with a list of means over images for each figure::

    {"name": "cheng2020-anchor", "description": "Inference (ans)",
     "results": {"bpp": [0.12, 0.18], "psnr-rgb": [28.6, 30.0], "ms-ssim-rgb": [0.923, 0.946]}}

Some versions call them ``psnr`` and ``ms-ssim`` or ``msssim``, and some files of published figures
have ``ms-ssim-db-rgb``. All are over R, G and B, so that figures of Y do not stand beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nacd_bench.errors import DataError
from nacd_bench.evaluation.rate_distortion import QUALITIES, bd_rate, objection
from nacd_bench.ops.psnr import psnr
from nacd_bench.ops.structure import MSSSIM_SIDE, ms_ssim
from nacd_bench.triplets.text_files import read_json

RGB_QUALITIES = {"psnr": "PSNR of RGB", "msssim": "MS-SSIM of RGB"}
"""Names and labels."""
KEYS: Mapping[str, Sequence[str]] = {
    "psnr": ("psnr-rgb", "psnr"),
    "msssim": ("ms-ssim-rgb", "ms-ssim", "msssim-rgb", "msssim"),
    "msssim in dB": ("ms-ssim-db-rgb", "ms-ssim-rgb-db"),
}
"""What the files call each figure."""
WHAT = "rates and distortions as CompressAI's evaluation writes them"


@dataclass(frozen=True)
class RgbCurve:
    """A codec at its operating points, by rising rate, in means over images.

    Args:
        codec: its name.
        source: the file that says so; empty where it was measured here.
        bpp: bits per pixel.
        values: by quality (:data:`RGB_QUALITIES`), in dB; those that are known.
        bd_rates: by quality, percent of rate against the anchor, where there is one.
        reasons: by quality, why there is none.
    """

    codec: str
    source: str
    bpp: Sequence[float]
    values: Mapping[str, Sequence[float]]
    bd_rates: Mapping[str, float] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


def read_rgb_curve(path: str | Path) -> RgbCurve:
    """A curve from a JSON file of CompressAI's evaluation.

    Raises:
        DataError: no such file, or other content; says which.
    """
    content = read_json(path, WHAT)
    results = content.get("results") if isinstance(content, Mapping) else None
    if not isinstance(results, Mapping):
        raise DataError(
            f'{path}: expected {WHAT}, {{"name": ..., "results": {{"bpp": [...], "psnr-rgb": '
            '[...]}}, got no "results". Name the JSON that eval_model or bench printed.'
        )
    found = {name: next((key for key in keys if key in results), "") for name, keys in KEYS.items()}
    known = {name: key for name, key in found.items() if key}
    if "bpp" not in results or not known:
        raise DataError(
            f'{path}: expected "results" with "bpp" and "psnr-rgb" or "ms-ssim-rgb", got '
            f"{', '.join(map(repr, results)) or 'nothing'}. Results of videos have no rate per "
            "pixel: name those of images."
        )
    columns = {key: _numbers(path, key, results[key]) for key in ("bpp", *known.values())}
    sizes = {key: len(column) for key, column in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} of {key}" for key, size in sizes.items())
        raise DataError(
            f"{path}: expected a value of each figure for each operating point, got {told}. "
            "Evaluate the codec again."
        )
    _require(path, "bpp", columns["bpp"], "rates above 0", lambda x: x > 0)
    values = {name: columns[key] for name, key in known.items()}
    if plain := values.pop("msssim", None):
        _require(path, known["msssim"], plain, "values in (0, 1)", lambda x: 0 < x < 1)
        values["msssim in dB"] = [decibels(value) for value in plain]
    order = sorted(range(sizes["bpp"]), key=columns["bpp"].__getitem__)
    return RgbCurve(
        str(content.get("name") or Path(path).stem),
        Path(path).name,
        [columns["bpp"][place] for place in order],
        {name.split()[0]: [column[place] for place in order] for name, column in values.items()},
    )


def _numbers(path: str | Path, key: str, column: Any) -> list[float]:
    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    if isinstance(column, list) and column and all(map(is_number, column)):
        _require(path, key, column, "finite numbers", math.isfinite)
        return list(map(float, column))
    raise DataError(
        f'{path}: expected numbers for "{key}", [0.12, 0.18, ...], got {column!s:.60}. Correct it.'
    )


def _require(path: str | Path, key: str, column: Sequence[float], what: str, holds: Any) -> None:
    wrong = [value for value in column if not holds(value)]
    if wrong:
        raise DataError(f'{path}: expected {what} for "{key}", got {wrong[0]}. Correct it.')


def decibels(msssim: float) -> float:
    """
    >>> round(decibels(0.9), 6)
    10.0
    """
    return -10 * math.log10(max(1 - msssim, 1e-12))


def rgb_quality(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> tuple[float, float]:
    """PSNR over R, G and B in dB, and the mean of their MS-SSIM, of two images ``(H, W, 3)``.

    NaN for the MS-SSIM of images under :data:`~nacd_bench.ops.structure.MSSSIM_SIDE`.

    >>> gray = np.full((161, 170, 3), 90, np.uint8)
    >>> psnr, msssim = rgb_quality(gray, gray + np.uint8(1))
    >>> round(psnr, 3), msssim > 0.999
    (48.131, True)
    """
    planes = [
        torch.from_numpy(image.transpose(2, 0, 1)[:, None].astype(np.float32) / 255)
        for image in (original, decoded)
    ]
    error = float(np.square(original.astype(np.float64) - decoded).mean()) / 255**2
    is_large = min(original.shape[:2]) >= MSSSIM_SIDE
    return psnr(error), ms_ssim(*planes).mean().item() if is_large else math.nan


def compared(curves: Sequence[RgbCurve], anchor: RgbCurve) -> list[RgbCurve]:
    """The curves with their BD-rates against one, or why one is not there or would mislead."""
    made = []
    for curve in curves:
        rates, reasons = {}, {}
        for quality in RGB_QUALITIES:
            lacking = [each.codec for each in (anchor, curve) if quality not in each.values]
            if lacking:
                reasons[quality] = f"none of {' and '.join(lacking)}"
                continue
            pair = [np.array([each.bpp, each.values[quality]]) for each in (anchor, curve)]
            reasons[quality] = objection(pair[0], pair[1], QUALITIES[quality])
            if not reasons[quality]:
                rates[quality] = bd_rate(*pair[0], *pair[1])
        made.append(replace(curve, bd_rates=rates, reasons=reasons))
    return made
