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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nacd_bench.ops.psnr import EQUAL

SIDES = ("neural", "traditional")
QUALITIES = ("psnr", "msssim")
COLUMNS = ("bpp", *QUALITIES)
TABLE_COLUMNS = (*COLUMNS, "msssim_bpp", "msssim_images")
LABELS = {"psnr": "PSNR of Y (dB)", "msssim": "MS-SSIM of Y"}


@dataclass(frozen=True)
class Curve:
    """One codec's mean over the images at each rate step.

    Args:
        name: the codec, with a note where its rate is estimated.
        presets: names of the rate steps.
        bpp, psnr, msssim: means; NaN where no image is large enough for MS-SSIM.
        images: number of images at each step.
        msssim_bpp, msssim_images: mean rate and number of those that are large enough.
    """

    name: str
    presets: list[str]
    bpp: list[float]
    psnr: list[float]
    msssim: list[float]
    images: list[int]
    msssim_bpp: list[float]
    msssim_images: list[int]


@dataclass(frozen=True)
class BDRate:
    """Mean over images of the BD-rate of the neural codec against a traditional one.

    Args:
        neural, traditional: the codecs, with a note where a rate is estimated; the second is the
            anchor.
        quality: ``"psnr"`` or ``"msssim"``.
        percent: mean over images; NaN where no image has two steps with overlapping quality.
        images: how many images went in.
    """

    neural: str
    traditional: str
    quality: str
    percent: float
    images: int


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


def curves(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The curve of the neural codec, then those of the traditional ones.

    Each step averages over the images of which every codec has a result at that step. Those that a
    codec gives back unchanged have no finite PSNR and are left out, where there are others.

    Args:
        rows: the triplets of a run, see :mod:`nacd_bench.pipeline.coding`.
    """
    labels = list(dict.fromkeys(row["traditional_label"] for row in rows))
    steps: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = defaultdict(dict)
    for row in rows:
        same = steps[row["preset"]].setdefault(row["source"], {})
        same[row["traditional_label"]] = row
    common = {
        preset: _with_loss([same for same in images.values() if len(same) == len(labels)])
        for preset, images in steps.items()
    }
    sides = [("neural", labels[0])] if labels else []
    sides += [("traditional", label) for label in labels]
    return [
        _curve(
            role, {preset: [same[label] for same in images] for preset, images in common.items()}
        )
        for role, label in sides
    ]


def _with_loss(
    images: Sequence[Mapping[str, Mapping[str, Any]]],
) -> Sequence[Mapping[str, Mapping[str, Any]]]:
    """The images that no codec gives back unchanged, or all where there is none."""
    lossy = [
        same
        for same in images
        if all(row[f"{role}_psnr"] < EQUAL for row in same.values() for role in SIDES)
    ]
    return lossy or images


def _curve(role: str, steps: Mapping[str, Sequence[Mapping[str, Any]]]) -> Curve:
    steps = {preset: rows for preset, rows in steps.items() if rows}
    first = next(iter(steps.values()), [{}])[0]
    means = {column: [_mean(rows, role, column) for rows in steps.values()] for column in COLUMNS}
    large = [[row for row in rows if row[f"{role}_msssim"] is not None] for rows in steps.values()]
    return Curve(
        _name(first, role),
        list(steps),
        **means,
        images=[len(rows) for rows in steps.values()],
        msssim_bpp=[_mean(rows, role, "bpp") for rows in large],
        msssim_images=[len(rows) for rows in large],
    )


def _name(row: Mapping[str, Any], role: str) -> str:
    name = row.get("neural_codec" if role == "neural" else "traditional_label", role)
    return f"{name} (rate estimated)" if row.get(f"{role}_rate_is_estimated") else name


def _mean(rows: Sequence[Mapping[str, Any]], role: str, column: str) -> float:
    values = [row[f"{role}_{column}"] for row in rows]
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else math.nan


def bd_rates(rows: Sequence[Mapping[str, Any]]) -> list[BDRate]:
    """BD-rates of the neural codec against each traditional one, image by image, averaged."""
    images: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        images[row["traditional_label"]][row["source"]].append(row)
    rates = []
    for sources in images.values():
        for quality in QUALITIES:
            percents = [_of_image(same, quality) for same in sources.values()]
            finite = [percent for percent in percents if math.isfinite(percent)]
            mean = float(np.mean(finite)) if finite else math.nan
            first = next(row for same in sources.values() for row in same)
            names = _name(first, "neural"), _name(first, "traditional")
            rates.append(BDRate(*names, quality, mean, len(finite)))
    return rates


def _of_image(rows: Sequence[Mapping[str, Any]], quality: str) -> float:
    columns = []
    for role in ("traditional", "neural"):
        columns.append([row[f"{role}_bpp"] for row in rows])
        columns.append([_scaled(row[f"{role}_{quality}"], quality) for row in rows])
    return bd_rate(*columns)


def _scaled(value: float | None, quality: str) -> float:
    """In dB; infinite for equal planes, NaN for none."""
    if value is None:
        return math.nan
    if quality == "msssim":
        return -10 * math.log10(1 - value) if value < 1 else math.inf
    return value if value < EQUAL else math.inf


def figure(by_codec: Sequence[Curve], format: str = "svg") -> bytes:
    """Both qualities against bits per pixel, as a file of a format that matplotlib writes."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(9, 4), layout="constrained")
    for axes, quality in zip(sheet.subplots(1, 2), QUALITIES, strict=True):
        for curve in by_codec:
            rates = curve.bpp if quality == "psnr" else curve.msssim_bpp
            axes.plot(rates, getattr(curve, quality), marker="o", label=curve.name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(LABELS[quality])
        axes.grid(alpha=0.3)
    axes.legend()
    file = io.BytesIO()
    sheet.savefig(file, format=format, metadata={"Date": None} if format == "svg" else None)
    return file.getvalue()


def table(by_codec: Sequence[Curve]) -> list[dict[str, Any]]:
    """The curves as rows, one per codec and step."""
    return [
        {"codec": curve.name, "preset": preset, "images": count}
        | {column: getattr(curve, column)[i] for column in TABLE_COLUMNS}
        for curve in by_codec
        for i, (preset, count) in enumerate(zip(curve.presets, curve.images, strict=True))
    ]
