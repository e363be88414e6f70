"""Rate against distortion of both sides of a compress run, and how many bits one saves.

BD-rate (Bjontegaard, VCEG-M33, 2001) is the mean difference in rate at equal quality where the two
curves overlap, interpolated by piecewise cubic Hermite polynomials as in the JVET common test
conditions; negative means that the neural codec needs fewer bits. MS-SSIM goes in as
-10 log10(1 - MS-SSIM), which spreads its upper end. Severities of artifacts have no curve: they do
not rise with the rate.

Every mean on one scale is over the same images: those that have every step, with every codec. A
step that gives an image back unchanged has no finite quality and does not count as one.
"""

from __future__ import annotations

import io
import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nacd_bench.evaluation.bootstrap import Clusters, Floats, Resampling, estimate
from nacd_bench.numbers import count, percent
from nacd_bench.ops.psnr import EQUAL
from nacd_bench.ops.ssimulacra2 import SSIMULACRA2_SIDE
from nacd_bench.ops.structure import MSSSIM_SIDE

SIDES = ("neural", "traditional")
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Quality:
    """A scale on which curves are compared.

    Args:
        label: what it is called.
        unit: of its values.
        needs: what there has to be for it to be measured.
        least: overlap without which curves are not compared, in its unit: what goes with 1 dB PSNR.
        decimals: of its values in tables.
    """

    label: str
    unit: str
    needs: str
    least: float
    decimals: int

    @property
    def heading(self) -> str:
        """As it stands over a column."""
        return f"{self.label} in dB" if self.unit == "dB" else self.label


MSSSIM_SIDES, SSIMULACRA2_SIDES = (
    f"sides of {side} pixels" for side in (MSSSIM_SIDE, SSIMULACRA2_SIDE)
)
QUALITIES: Mapping[str, Quality] = {
    "psnr": Quality("PSNR of Y", "dB", "an image", 1.0, 2),
    "msssim": Quality("MS-SSIM of Y", "dB", MSSSIM_SIDES, 1.0, 2),
    "ssimulacra2": Quality("SSIMULACRA 2", "points", SSIMULACRA2_SIDES, 10.0, 1),
    "vmaf": Quality("VMAF", "points", "pip install 'nacd-bench[vmaf]'", 5.0, 1),
}
"""From 0.1 to 1.2 bpp 1 dB of PSNR goes with 1.0 dB of MS-SSIM, 7 points of SSIMULACRA 2 and 3 of
VMAF in x265, and with 1.4, 12 and 7 in hyperprior (six Kodak photographs): half of the way between
is taken."""
LEAST_POINTS = 4
"""Points of a curve without which it is not compared: a cubic through fewer says little."""
LEAST_SHARE = 0.5
"""Part of the narrower curve that has to overlap."""
LEAST_IMAGES = 3
"""Images of which an interval is made: resamples of two are these two and their mean."""
RESAMPLING = Resampling(resamples=1000)


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
        warnings.simplefilter("ignore")  # it warns of a small overlap, which is looked at before
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


def objection(anchor: Floats, test: Floats, quality: Quality) -> str:
    """Why a BD-rate of two curves ``(2, steps)``, bpp and quality, would mislead; empty if not.

    >>> rate, psnr = [0.1, 0.2, 0.4, 0.8], np.array([28.0, 31.0, 34.0, 37.0])
    >>> objection(np.array([rate, psnr]), np.array([rate, psnr + 8]), QUALITIES["psnr"])
    'the curves share 1.00 of 17.00 dB (6 %); 4.50 dB are needed, half of the narrower curve'
    """
    ends = []
    for curve in (anchor, test):
        points = sorted(set(zip(*curve.tolist(), strict=True)))  # a step may be there twice
        if len(points) < LEAST_POINTS:
            return f"{count(len(points), 'different point')}, {LEAST_POINTS} are needed"
        for (bpp, before), (more, after) in pairwise(points):
            if after <= before:
                return f"a curve falls from {bpp:.3f} to {more:.3f} bpp"
        ends.append((points[0][1], points[-1][1]))
    overlap, whole = _overlap(anchor, test)
    half = LEAST_SHARE * min(high - low for low, high in ends)
    if overlap >= max(half, quality.least):
        return ""
    digits, unit = quality.decimals, quality.unit
    needed = f"{half:.{digits}f} {unit} are needed, half of the narrower curve"
    if half < quality.least:
        needed = f"{quality.least:g} {unit} {'is' if quality.least == 1 else 'are'} needed"
    share = percent(overlap / whole)
    return f"the curves share {overlap:.{digits}f} of {whole:.{digits}f} {unit} ({share}); {needed}"


def _overlap(anchor: Floats, test: Floats) -> tuple[float, float]:
    """Qualities that both curves reach, and those that either does: from lowest to highest."""
    (low, high), (other_low, other_high) = ((c[1].min(), c[1].max()) for c in (anchor, test))
    shared = min(high, other_high) - max(low, other_low)
    return max(0.0, float(shared)), float(max(high, other_high) - min(low, other_low))


@dataclass(frozen=True)
class Measured:
    """A run on one scale of quality.

    Args:
        labels: of the traditional codecs.
        names: what tables call the codecs, by side and label.
        steps: names of the rates, by rising rate.
        images: those that have every step with every codec.
        left_out: why each other image is not among them.
        values: ``(labels, sides, 2, images, steps)``, bits per pixel and quality.
    """

    labels: list[str]
    names: Mapping[tuple[str, str], str]
    steps: list[str]
    images: list[str]
    left_out: dict[str, str]
    values: Floats


def measured(rows: Rows, quality: str) -> Measured:
    """The triplets of a run, see :mod:`nacd_bench.pipeline.coding`, on one of :data:`QUALITIES`."""
    columns = ("traditional_label", "source", "preset")
    names_of = [list(dict.fromkeys(row[column] for row in rows)) for column in columns]
    places = [{name: place for place, name in enumerate(names)} for names in names_of]
    labels, images, steps = names_of
    values = np.full((len(labels), len(SIDES), 2, len(images), len(steps)), np.nan)
    names = {}
    for row in rows:
        label, image, step = (of[row[name]] for of, name in zip(places, columns, strict=True))
        for number, side in enumerate(SIDES):
            values[label, number, :, image, step] = _point(row, side, quality)
            names[side, labels[label]] = _name(row, side)
    finite = np.isfinite(values).all(axis=(0, 1, 2))
    some = np.flatnonzero(finite.any(axis=0)).tolist()  # where all images failed, there is no step
    some.sort(key=lambda step: values[0, 0, 0, finite[:, step], step].mean())
    whole = finite[:, some].all(axis=1) & bool(some)
    left_out = {}
    for number in np.flatnonzero(~whole).tolist():
        lacks = [step for step in some or range(len(steps)) if not finite[number, step]]
        bpp, level = values[:, :, :, number, lacks[0]].transpose(2, 0, 1)
        fault = f"no {QUALITIES[quality].label}"
        if np.isnan(bpp).any():
            fault = f"no result at {steps[lacks[0]]}"
        elif np.isinf(level).any():
            fault = f"unchanged at {steps[lacks[0]]}"
        left_out[images[number]] = fault
    return Measured(
        labels,
        names,
        [steps[step] for step in some],
        [image for image, has_all in zip(images, whole, strict=True) if has_all],
        left_out,
        values[:, :, :, whole][..., some],
    )


def _point(row: Mapping[str, Any], side: str, quality: str) -> tuple[float, float]:
    """Rate and quality of a result: infinite for equal planes, NaN for none."""
    bpp, value = row[f"{side}_bpp"], row.get(f"{side}_{quality}")
    if value is None:
        return bpp, math.nan
    if row[f"{side}_psnr"] >= EQUAL or (quality == "msssim" and value >= 1):
        return bpp, math.inf
    return bpp, -10 * math.log10(1 - value) if quality == "msssim" else value


def _name(row: Mapping[str, Any], role: str) -> str:
    name = row.get("neural_codec" if role == "neural" else "traditional_label", role)
    return f"{name} (rate estimated)" if row.get(f"{role}_rate_is_estimated") else name


def curves(rows: Rows) -> list[dict[str, Any]]:
    """Mean rate and quality of each codec at each step, those of the neural one first.

    Args:
        rows: the triplets of a run, see :mod:`nacd_bench.pipeline.coding`.

    Returns:
        ``quality`` (of :data:`QUALITIES`), ``step``, ``codec`` (with a note where its rate is
        estimated), ``bpp``, ``value`` (MS-SSIM in dB) and ``images``, over which both are means;
        ``gap`` and ``largest_gap`` of the traditional codecs: by what share rates miss what was
        asked for, the mean size and the largest of all triplets of the step.
    """
    table = []
    gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.get("rate_gap") is not None:
            gaps[row["traditional_label"], row["preset"]].append(row["rate_gap"])
    for quality in QUALITIES:
        run = measured(rows, quality)
        sides = [(0, 0), *((label, 1) for label in range(len(run.labels)))]
        for place, step in enumerate(run.steps if run.images else ()):
            for label, side in sides:
                bpp, value = run.values[label, side, :, :, place].mean(axis=1)
                name = run.names[SIDES[side], run.labels[label]]
                facts = {"bpp": float(bpp), "value": float(value), "images": len(run.images)}
                misses = gaps[run.labels[label], step] if side else []
                facts["gap"] = float(np.mean(np.abs(misses))) if misses else math.nan
                facts["largest_gap"] = max(misses, key=abs, default=math.nan)
                table.append({"quality": quality, "step": step, "codec": name, **facts})
    return table


def left_out(rows: Rows) -> dict[str, dict[str, str]]:
    """The images that are in no mean and why, by quality; those without any value have none."""
    runs = {quality: measured(rows, quality) for quality in QUALITIES}
    return {quality: run.left_out for quality, run in runs.items() if run.steps and run.left_out}


def bd_rates(rows: Rows) -> list[dict[str, Any]]:
    """BD-rates of the neural codec against each traditional one.

    Where all images qualify it is the mean over them, else that of the mean curves.

    Returns:
        ``neural`` and ``traditional`` (with a note where a rate is estimated), ``quality``,
        ``percent`` with the ends ``low`` and ``high`` of its 95 % interval over images, ``of``
        (``images`` or ``mean curves``), ``images``, ``overlap`` of the mean curves and the
        ``range`` of qualities of either, in the unit of the quality, and ``reason``: why there is
        no percentage, or why it is not that of the images; ``unqualified``: by image, why it has
        none of its own. Numbers that are not there are NaN.
    """
    table = []
    for quality, scale in QUALITIES.items():
        run = measured(rows, quality)
        for place, label in enumerate(run.labels):
            facts = {side: run.names[side, label] for side in SIDES} | {"quality": quality}
            test, anchor = run.values[place]
            table.append(facts | _bd_rate_of(run, anchor, test, scale))
    return table


def _bd_rate_of(run: Measured, anchor: Floats, test: Floats, scale: Quality) -> dict[str, Any]:
    """The figure of two codecs ``(2, images, steps)`` with its interval, or why there is none."""
    images, numbers = run.images, ("percent", "low", "high", "overlap", "range")
    nothing: dict[str, Any] = {"of": "", "images": len(images), **dict.fromkeys(numbers, math.nan)}
    nothing["unqualified"] = {}
    if not images:
        missing = set(run.left_out.values()) == {f"no {scale.label}"}
        reason = f"not measured: it needs {scale.needs}" if missing else "no image has all steps"
        return {**nothing, "reason": reason}
    means = anchor.mean(axis=1), test.mean(axis=1)
    shared = dict(zip(("overlap", "range"), _overlap(*means), strict=True))
    of_images = [(anchor[:, place], test[:, place]) for place in range(len(images))]
    faults = {
        name: fault
        for name, pair in zip(images, of_images, strict=True)
        if (fault := objection(*pair, scale))
    }
    if faults and (fault := objection(*means, scale)):
        return {**nothing, **shared, "reason": fault}
    if faults:

        def percents(weights: Floats) -> Floats:
            shares = weights / weights.sum(axis=1, keepdims=True)
            drawn = ([row @ values for values in (*anchor, *test)] for row in shares)
            return np.array([bd_rate(*columns) for columns in drawn])
    else:
        each = np.array([bd_rate(*own_anchor, *own_test) for own_anchor, own_test in of_images])

        def percents(weights: Floats) -> Floats:
            return weights @ each / weights.sum(axis=1)

    found = estimate(percents, Clusters(np.zeros(len(images))), RESAMPLING)
    verb = "does" if len(faults) == 1 else "do"
    reason = f"{len(faults)} of {count(len(images), 'image')} {verb} not qualify" if faults else ""
    bounds = {"low": found.low, "high": found.high} if len(images) >= LEAST_IMAGES else {}
    return {
        **nothing,
        **{"percent": found.value, **bounds, "of": "mean curves" if faults else "images"},
        **{**shared, "reason": reason, "unqualified": faults},
    }


def figure(table: Rows, format: str = "svg") -> bytes:
    """Every quality of :func:`curves` against bits per pixel, as a file that matplotlib writes."""
    from matplotlib.figure import Figure

    qualities = list(dict.fromkeys(row["quality"] for row in table))
    sheet = Figure(figsize=(4.5 * len(qualities), 4), layout="constrained")
    for axes, quality in zip(
        sheet.subplots(1, len(qualities), squeeze=False)[0], qualities, strict=True
    ):
        rows = [row for row in table if row["quality"] == quality]
        for name in dict.fromkeys(row["codec"] for row in rows):
            points = [(row["bpp"], row["value"]) for row in rows if row["codec"] == name]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(QUALITIES[quality].heading)
        axes.grid(alpha=0.3)
    axes.legend()
    file = io.BytesIO()
    sheet.savefig(file, format=format, metadata={"Date": None} if format == "svg" else None)
    return file.getvalue()
