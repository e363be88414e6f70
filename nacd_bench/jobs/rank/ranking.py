"""The figures of codecs on the photographs that all of them coded, their ranks and tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nacd_bench.errors import DataError, ImageError
from nacd_bench.evaluation.bootstrap import FEW, Floats, IntervalEstimate, Resampling
from nacd_bench.evaluation.codec_ranks import (
    CodecRank,
    codec_ranks,
    pair_tests,
    rate_of,
    severity_of,
    share_of,
)
from nacd_bench.evaluation.paired_versions import PairedTest
from nacd_bench.evaluation.rate_distortion import QUALITIES, bd_rates
from nacd_bench.evaluation.rgb_curves import RgbCurve
from nacd_bench.jobs.rank.entrants import Entrant, Row
from nacd_bench.numbers import count, percent
from nacd_bench.runs.schema import FACTS
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.scenes import scenes

EVERY = "all"
"""In place of a rate: the mean of all; in place of a type: the artifacts of all."""
LEARNT_ON = "severity was learnt on JPEG AI VM 3.3 networks against HM"
KINDS = {False: "not neural", None: "not said to be neural"}
"""Codecs whose severities are none that were learnt."""
COMPARED = ("psnr", "msssim")
"""Qualities of which there are BD-rates."""
SAME_RATE = 0.1
"""Share by which the mean rates of codecs may differ before it is said."""


@dataclass
class Ranking:
    """What a job made of its entrants.

    Args:
        entrants: in the order of the table: those ranked by mean severity, then the others.
        anchor: the codec of all references, with its version.
        judged: the detector that judges each artifact type.
        photographs: hashes of those that all ranked codecs coded at every rate.
        scenes: by photograph, the first one of its scene.
        ranks, tests: of those that are ranked.
        rows: of the table ``ranking``.
        curves: on RGB, the anchor's first, where somebody else's are to stand beside them.
        notes: what a reader has to know.
    """

    entrants: list[Entrant]
    anchor: str
    judged: Mapping[str, str]
    photographs: list[str]
    scenes: dict[str, str]
    ranks: dict[str, CodecRank] = field(default_factory=dict)
    tests: dict[tuple[str, str], PairedTest] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    curves: list[RgbCurve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def ranked(
    entrants: Sequence[Entrant], judged: Mapping[str, str], anchor: str, resampling: Resampling
) -> Ranking:
    """Rank codecs by mean severity on the photographs that all have.

    Raises:
        DataError: there is no such photograph.
    """
    runners = [entrant for entrant in entrants if not entrant.out]
    every = set().union(*(entrant.tried for entrant in entrants))
    counting = runners or [entrant for entrant in entrants if entrant.whole]
    common = set.intersection(*(entrant.whole for entrant in counting)) if counting else set()
    if not common:
        told = ", ".join(f"{len(each.whole)} of {each.name}" for each in entrants)
        raise DataError(
            f"expected photographs that all codecs have at every rate, got none in common: {told}. "
            "Code the same files with all of them."
        )
    names = {row["image_sha256"]: row["image"] for each in entrants for row in each.rows}
    photographs = sorted(common, key=lambda key: (names[key], key))
    ranking = Ranking([], anchor, judged, photographs, _scenes(entrants, photographs))
    severity = {each.name: _means(each, ranking, "severity") for each in runners}
    ranking.ranks = codec_ranks(severity, resampling)
    ranking.tests = pair_tests({name: severity[name] for name in ranking.ranks}, resampling)
    by_name = {each.name: each for each in runners}
    ranking.entrants = [by_name[name] for name in ranking.ranks]
    ranking.entrants += [each for each in entrants if each.out]
    for entrant in ranking.entrants:
        for preset in (EVERY, *entrant.presets):
            ranking.rows.append(_figures(entrant, preset, ranking, resampling))
    ranking.rows.append(_of_anchor(ranking))
    ranking.notes = [*_notes(ranking, len(every))]
    return ranking


def _scenes(entrants: Sequence[Entrant], photographs: Sequence[str]) -> dict[str, str]:
    """For each photograph the first one of its scene; one that is gone is a scene of its own."""
    files = {
        record.extra["image_sha256"] or record.original: record.original
        for each in entrants
        for record in each.records.values()
    }
    there, pixels = [], []
    for key in photographs:
        try:
            pixels.append(read_8_bit(files[key])[0])
            there.append(key)
        except ImageError:
            continue
    first = {key: there[place] for key, place in zip(there, scenes(pixels), strict=True)}
    return {key: first.get(key, key) for key in photographs}


def _by_scene(rows: Sequence[Row], ranking: Ranking, values: Floats) -> Floats:
    """Means of ``(n,)`` values of rows over each scene, those of a photograph first."""
    of_photograph: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        of_photograph.setdefault(row["image_sha256"], []).append(value)
    of_scene: dict[str, list[float]] = {}
    for key in ranking.photographs:
        if key in of_photograph:
            of_scene.setdefault(ranking.scenes[key], []).append(float(np.mean(of_photograph[key])))
    return np.array([np.mean(each) for each in of_scene.values()])


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)


def _means(entrant: Entrant, ranking: Ranking, name: str) -> Floats:
    """A column of an entrant by scene."""
    rows = entrant.on(ranking.photographs)
    return _by_scene(rows, ranking, _column(rows, name))


def _figures(entrant: Entrant, preset: str, ranking: Ranking, resampling: Resampling) -> Row:
    """A codec at one rate, or in the mean of all."""
    rows = [row for row in entrant.on(ranking.photographs) if preset in (EVERY, row["preset"])]
    figures: Row = {"codec": entrant.name, "anchor": ranking.anchor, "preset": preset}
    figures |= {"is_anchor": False, "is_neural": entrant.is_neural, "out": entrant.out}
    figures |= {
        "photographs": len({row["image_sha256"] for row in rows}),
        "scenes": len({ranking.scenes[row["image_sha256"]] for row in rows}),
        "parameters": entrant.parameters,
        **_facts(rows, "neural"),
    }
    if not rows:
        return figures

    def by_scene(values: Floats) -> Floats:
        return _by_scene(rows, ranking, values)

    severity = by_scene(_column(rows, "severity"))
    ones = np.ones(len(severity))
    figures |= _interval("severity", severity_of(severity, resampling), 1.0)
    megapixels = by_scene(_column(rows, "megapixels"))
    kinds: dict[str, Sequence[str]] = {kind: [kind] for kind in ranking.judged}
    for name, several in {**kinds, EVERY: list(ranking.judged)}.items():
        found = sum(_column(rows, f"{kind}_artifacts") for kind in several)
        better = sum(_column(rows, f"{kind}_better") for kind in several)
        per_photograph = by_scene(np.asarray(found))
        mean = rate_of(per_photograph, ones, resampling)
        figures |= _interval(f"{name}_per_100", mean, 100.0)
        if np.isfinite(megapixels).all():
            mean = rate_of(per_photograph, megapixels, resampling)
            figures |= _interval(f"{name}_per_100_mp", mean, 100.0)
        figures[f"{name}_better_per_100"] = 100 * float(by_scene(np.asarray(better)).mean())
    is_damaged = np.asarray(sum(_column(rows, f"{k}_artifacts") for k in ranking.judged) > 0)
    figures |= _interval("any", share_of(by_scene(is_damaged.astype(float)), resampling), 1.0)
    if preset == EVERY:
        figures |= _bd_rates(rows)
        rank = ranking.ranks.get(entrant.name)
        if rank is not None and rank.rank is not None:
            figures |= {"rank": rank.rank, "rank_low": rank.low, "rank_high": rank.high}
    return figures


def _interval(name: str, mean: IntervalEstimate, scale: float) -> Row:
    low = max(mean.low, 0.0) if mean.low == mean.low else mean.low
    bounds = {name: mean.value, f"{name}_low": low, f"{name}_high": mean.high}
    return {key: scale * value for key, value in bounds.items()}


def _facts(rows: Sequence[Row], side: str) -> Row:
    """Rate, quality and cost of a side: means, and the largest memory."""
    values = {name: _column(rows, f"{side}_{name}") for name in FACTS}
    known = {name: value[np.isfinite(value)] for name, value in values.items()}
    facts: Row = {name: float(each.mean()) for name, each in known.items() if len(each)}
    if len(known["peak_memory"]):
        facts["peak_memory"] = float(known["peak_memory"].max())
    megapixels = _column(rows, "megapixels")
    for name in ("encode", "decode"):
        seconds = values[f"{name}_seconds"]
        both = np.isfinite(seconds) & np.isfinite(megapixels)
        if seconds[both].sum() > 0:
            facts[f"{name}_mp_per_second"] = float(megapixels[both].sum() / seconds[both].sum())
    return facts


def _bd_rates(rows: Sequence[Row]) -> Row:
    """BD-rates against the anchor, and why one is not there or not the mean of the photographs."""
    triplets = [
        {**row, "source": row["image_sha256"], "traditional_label": row["anchor"] or "anchor"}
        for row in rows
        if row["neural_bpp"] and row["traditional_bpp"] and row["neural_psnr"]
    ]
    made: Row = {f"bd_rate_{name}_reason": "no rates and PSNR in its run" for name in COMPARED}
    for rate in bd_rates(triplets):
        if rate["quality"] in COMPARED:
            name = f"bd_rate_{rate['quality']}"
            made[name] = rate["percent"] if math.isfinite(rate["percent"]) else None
            made[f"{name}_reason"] = rate["reason"]
    return made


def _of_anchor(ranking: Ranking) -> Row:
    """The reference: the anchor at the rates of all codecs that are ranked, or of all."""
    counting = [each for each in ranking.entrants if not each.out] or ranking.entrants
    rows = [row for each in counting for row in each.on(ranking.photographs)]
    return {
        **{
            "codec": rows[0]["anchor"],
            "anchor": ranking.anchor,
            "preset": EVERY,
            "is_anchor": True,
        },
        **{"photographs": len(ranking.photographs), "scenes": len(set(ranking.scenes.values()))},
        **_facts(rows, "traditional"),
    }


def _notes(ranking: Ranking, tried: int) -> Sequence[str]:
    notes = []
    common, units = len(ranking.photographs), len(set(ranking.scenes.values()))
    if common < tried:
        notes.append(
            f"{common} of {count(tried, 'photograph')} count: those that every ranked codec has at "
            "every rate."
        )
    if units < common:
        notes.append(
            f"{common} photographs show {count(units, 'scene')}: a stereo pair or a burst counts "
            "as one photograph."
        )
    runners = [each for each in ranking.entrants if not each.out]
    if units < FEW:
        notes.append(
            f"No ranks: {count(units, 'photograph')} {'is' if units == 1 else 'are'} fewer than "
            f"the {FEW} without which an order says little."
        )
    notes += [f"{each.name} is not ranked: {each.out}." for each in ranking.entrants if each.out]
    rates = {
        row["codec"]: row["bpp"]
        for row in ranking.rows
        if row["preset"] == EVERY and not row["is_anchor"] and not row["out"] and "bpp" in row
    }
    if rates and max(rates.values()) > (1 + SAME_RATE) * min(rates.values()):
        told = ", ".join(f"{name} {bpp:.3f}" for name, bpp in rates.items())
        notes.append(
            f"The rates differ by more than {percent(SAME_RATE)}: {told} bits per pixel. More bits "
            "make fewer artifacts: compare the curves, or choose rates= that all codecs reach."
        )
    notes += bd_rate_notes(_unlike(ranking), ranking.rows[-1]["codec"])
    for is_neural, what in KINDS.items():
        others = [each.name for each in ranking.entrants if each.is_neural is is_neural]
        if others:
            notes.append(f"{', '.join(others)}: {what}: {LEARNT_ON}.")
    if len({tuple(each.presets) for each in runners}) > 1:
        notes.append("The codecs have different operating points; a row of a rate is of one codec.")
    return notes


def bd_rate_notes(reasons: Iterable[tuple[str, str, str]], anchor: str) -> Sequence[str]:
    """What BD-rates are that a reader misses or takes for others, in one sentence a reason.

    Args:
        reasons: codec, quality and what there is to say.
        anchor: the codec of all of them.
    """
    qualities: dict[tuple[str, str], list[str]] = {}
    for codec, label, reason in reasons:
        qualities.setdefault((codec, reason), []).append(label)
    codecs: dict[tuple[str, str], list[str]] = {}
    for (codec, reason), labels in qualities.items():
        codecs.setdefault((" and ".join(labels), reason), []).append(codec)
    return [
        f"BD-rate by {labels} of {', '.join(names)} against {anchor}: {reason}."
        for (labels, reason), names in codecs.items()
    ]


def _unlike(ranking: Ranking) -> Iterator[tuple[str, str, str]]:
    """The BD-rates that are not there, or are of mean curves, and why."""
    for row in ranking.rows:
        for quality in COMPARED:
            name = f"bd_rate_{quality}"
            if reason := row.get(f"{name}_reason"):
                is_none = row.get(name) is None
                told = f"n/a ({reason})" if is_none else f"of the mean curves, {reason}"
                yield row["codec"], QUALITIES[quality].label, told
