"""Curves that somebody else measured beside those of the codecs here: on RGB, as theirs are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nacd_bench.errors import DataError
from nacd_bench.evaluation.rgb_curves import (
    RGB_QUALITIES,
    RgbCurve,
    compared,
    decibels,
    rgb_quality,
)
from nacd_bench.jobs.rank.entrants import Entrant, Row
from nacd_bench.jobs.rank.ranking import Ranking, bd_rate_notes
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import ahead
from nacd_bench.triplets.images import read_8_bit

READERS = 2


def rgb_curves(ranking: Ranking, others: Sequence[RgbCurve], show_progress: bool) -> list[RgbCurve]:
    """The anchor's curve, those of the codecs that are ranked, and the others, with BD-rates.

    The anchor was coded at the rates of every codec; its curve is that at the rates of the one that
    spans the widest range.

    Raises:
        UserError: a picture of the runs is gone, or a rate is not known.
    """
    coded = [entrant for entrant in ranking.entrants if entrant.rows]
    runners = [entrant for entrant in coded if not entrant.out] or coded
    for entrant in runners:
        if not all(row["neural_bpp"] and row["traditional_bpp"] for row in entrant.rows):
            raise DataError(
                f"expected rates of {entrant.name} and its anchor for curves=..., got none of some "
                "triplets. Leave curves= out, or give the rates in the table of triplets."
            )
    widest = max(runners, key=lambda each: _reach(each.on(ranking.photographs)))
    jobs = [(each, "neural", row) for each in runners for row in each.on(ranking.photographs)]
    jobs += [(widest, "traditional", row) for row in widest.on(ranking.photographs)]
    measured: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = {}
    with progress_bar("pictures measured on RGB", len(jobs), show_progress) as tick:
        for (entrant, side, row), point in zip(jobs, ahead(_point, jobs, READERS), strict=True):
            of_codec = measured.setdefault((entrant.name, side), defaultdict(list))
            of_codec[row["preset"]].append(point)
            tick(0)
    anchor, *own = (
        _mean_curve(name if side == "neural" else ranking.rows[-1]["codec"], points)
        for (name, side), points in reversed(measured.items())
    )
    taken = Counter(curve.codec for curve in (anchor, *own, *others))
    named = [
        replace(curve, codec=f"{curve.codec} ({curve.source})") if taken[curve.codec] > 1 else curve
        for curve in others
    ]
    curves = compared([*own[::-1], *named], anchor)
    ranking.notes += bd_rate_notes(
        (
            (curve.codec, RGB_QUALITIES[quality], f"n/a ({reason})")
            for curve in curves
            for quality, reason in curve.reasons.items()
            if reason
        ),
        anchor.codec,
    )
    return [anchor, *curves]


def _reach(rows: Sequence[Row]) -> Any:
    rates = [row["traditional_bpp"] for row in rows]
    return max(rates) - min(rates)


def _point(job: tuple[Entrant, str, Row]) -> tuple[float, ...]:
    """Rate, PSNR and MS-SSIM of one side of a coding."""
    entrant, side, row = job
    record = entrant.records[row["triplet"]]
    original, _ = read_8_bit(record.original)
    decoded, _ = read_8_bit(getattr(record, side))
    return row[f"{side}_bpp"], *rgb_quality(original, decoded)


def _mean_curve(codec: str, points: dict[str, list[tuple[float, ...]]]) -> RgbCurve:
    """Of codings by rate; qualities that are not known of all are left out."""
    means = np.array([np.mean(each, axis=0) for each in points.values()])
    bpp, *columns = means[np.argsort(means[:, 0])].T.tolist()
    values = dict(zip(RGB_QUALITIES, columns, strict=True))
    values["msssim"] = [decibels(value) for value in values["msssim"]]
    whole = {name: column for name, column in values.items() if np.isfinite(column).all()}
    return RgbCurve(codec, "", bpp, whole)
