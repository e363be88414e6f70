"""Rate against distortion of both sides of a compress run, and how many bits one saves.

BD-rate (Bjontegaard, VCEG-M33, 2001) is the mean difference in rate at equal quality where the two
curves overlap, interpolated by piecewise cubic Hermite polynomials as in the JVET common test
conditions; negative means that the neural codec needs fewer bits. MS-SSIM goes in as
-10 log10(1 - MS-SSIM), which spreads its upper end. A step that gives the image back unchanged has
no finite quality, and is left out.
"""

from __future__ import annotations

import io
import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from nacd_bench.ops.psnr import EQUAL

SIDES = ("neural", "traditional")
QUALITIES = ("psnr", "msssim")
LABELS = {"psnr": "PSNR of Y (dB)", "msssim": "MS-SSIM of Y"}
Rows = Sequence[Mapping[str, Any]]


def bd_rate(
    anchor_bpp: Sequence[float],
    anchor_quality: Sequence[float],
    test_bpp: Sequence[float],
    test_quality: Sequence[float],
) -> float:
    """BD-rate in percent; NaN where a curve has under two points or the curves do not overlap.

    >>> rate, psnr = [0.1, 0.2, 0.4, 0.8], [28.0, 31.0, 34.0, 37.0]
    >>> round(bd_rate(rate, psnr, [0.9 * r for r in rate], psnr), 6)
    -10.0
    """
    import bjontegaard

    curves = [_rising(anchor_bpp, anchor_quality), _rising(test_bpp, test_quality)]
    if any(len(bpp) < 2 for bpp, _ in curves):
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a small overlap, which the table shows
        percent = bjontegaard.bd_rate(
            *curves[0], *curves[1], method="pchip", require_matching_points=False, min_overlap=0
        )
    return float(percent)


def _rising(bpp: Sequence[float], quality: Sequence[float]) -> tuple[list[float], list[float]]:
    """The points in order of quality; of equal qualities the cheapest."""
    best: dict[float, float] = {}
    for rate, value in zip(bpp, quality, strict=True):
        if math.isfinite(value):
            best[value] = min(rate, best.get(value, math.inf))
    return [best[value] for value in sorted(best)], sorted(best)


def curves(rows: Rows) -> list[dict[str, Any]]:
    """Mean rate and quality of each codec at each step, those of the neural one first.

    Each step averages over the images of which every codec has a result at that step. Those that a
    codec gives back unchanged have no finite PSNR and are left out, where there are others.

    Args:
        rows: the triplets of a run, see :mod:`nacd_bench.pipeline.coding`.

    Returns:
        ``codec`` (with a note where its rate is estimated), ``preset``, ``images``, ``bpp``,
        ``psnr``, ``msssim``; ``msssim_bpp`` and ``msssim_images`` are of those that are large
        enough for MS-SSIM. A mean of none is NaN.
    """
    labels = list(dict.fromkeys(row["traditional_label"] for row in rows))
    steps: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = defaultdict(dict)
    for row in rows:
        same = steps[row["preset"]].setdefault(row["source"], {})
        same[row["traditional_label"]] = row
    table = []
    for role, label in product(SIDES, labels):
        if role == "neural" and label != labels[0]:  # it is the same against each of them
            continue
        for preset, images in steps.items():
            whole = [same for same in images.values() if len(same) == len(labels)]
            lossy = [
                same
                for same in whole
                if all(row[f"{role}_psnr"] < EQUAL for row in same.values() for role in SIDES)
            ]
            of_step = [same[label] for same in lossy or whole]
            large = [row for row in of_step if row[f"{role}_msssim"] is not None]
            if of_step:
                table.append(
                    {
                        "codec": _name(of_step[0], role),
                        "preset": preset,
                        "images": len(of_step),
                        "bpp": _mean(row[f"{role}_bpp"] for row in of_step),
                        "psnr": _mean(row[f"{role}_psnr"] for row in of_step),
                        "msssim": _mean(row[f"{role}_msssim"] for row in large),
                        "msssim_bpp": _mean(row[f"{role}_bpp"] for row in large),
                        "msssim_images": len(large),
                    }
                )
    return table


def _name(row: Mapping[str, Any], role: str) -> str:
    name = row.get("neural_codec" if role == "neural" else "traditional_label", role)
    return f"{name} (rate estimated)" if row.get(f"{role}_rate_is_estimated") else name


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else math.nan


def bd_rates(rows: Rows) -> list[dict[str, Any]]:
    """BD-rates of the neural codec against each traditional one, image by image, averaged.

    Returns:
        ``neural`` and ``traditional`` (with a note where a rate is estimated), ``quality``
        (``psnr``, ``msssim``), ``percent`` and ``images``: how many have two steps of overlapping
        quality on both sides. Of none the percentage is NaN.
    """
    codecs: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        codecs[row["traditional_label"]][row["source"]].append(row)
    table = []
    for images in codecs.values():
        first = next(iter(images.values()))[0]
        names = {role: _name(first, role) for role in SIDES}
        for quality in QUALITIES:
            percents = []
            for same in images.values():
                columns = []
                for role in reversed(SIDES):
                    columns.append([row[f"{role}_bpp"] for row in same])
                    columns.append([_scaled(row[f"{role}_{quality}"], quality) for row in same])
                percents.append(bd_rate(*columns))
            finite = [percent for percent in percents if math.isfinite(percent)]
            facts = {"quality": quality, "percent": _mean(finite), "images": len(finite)}
            table.append({**names, **facts})
    return table


def _scaled(value: float | None, quality: str) -> float:
    """In dB; infinite for equal planes, NaN for none."""
    if value is None:
        return math.nan
    if quality == "msssim":
        return -10 * math.log10(1 - value) if value < 1 else math.inf
    return value if value < EQUAL else math.inf


def figure(table: Rows, format: str = "svg") -> bytes:
    """Both qualities of :func:`curves` against bits per pixel, as a file that matplotlib writes."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(9, 4), layout="constrained")
    for axes, quality in zip(sheet.subplots(1, 2), QUALITIES, strict=True):
        rate = "bpp" if quality == "psnr" else "msssim_bpp"
        for name in dict.fromkeys(row["codec"] for row in table):
            points = [(row[rate], row[quality]) for row in table if row["codec"] == name]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(LABELS[quality])
        axes.grid(alpha=0.3)
    axes.legend()
    file = io.BytesIO()
    sheet.savefig(file, format=format, metadata={"Date": None} if format == "svg" else None)
    return file.getvalue()
