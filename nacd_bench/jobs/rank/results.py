"""The files of a ranking: tables for programs, for people and for a paper, and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nacd_bench import numbers
from nacd_bench.evaluation.rgb_curves import RGB_QUALITIES, RgbCurve
from nacd_bench.jobs.rank.entrants import Entrant, Row
from nacd_bench.jobs.rank.ranking import EVERY, Ranking
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.report.rank_page import Finding, write_rank_page
from nacd_bench.runs.schema import CODINGS, EDGES, PAIRS, RANKING, REAL, RGB_CURVES, WHOLE, schema
from nacd_bench.runs.tables import Table, write_table
from nacd_bench.triplets.files import writable, write_whole

AROUND = 1.5
"""Times our rates, up to which curves of others are drawn."""


def write_results(
    folder: Path, ranking: Ranking, pictures: int | None, show_progress: bool
) -> Path | None:
    """Write everything into a folder; the page, where there is one.

    Args:
        pictures: findings on the page; None for no page.
    """
    kinds = list(ranking.judged)
    of_types = {f"{kind}_severity": REAL for kind in kinds}
    of_types |= {f"{kind}_{what}": WHOLE for kind in kinds for what in ("artifacts", "better")}
    codings = [row for each in ranking.entrants for row in each.rows]
    write_table(folder / CODINGS, codings, schema(CODINGS, **of_types))
    columns = [
        f"{kind}_{what}{end}"
        for kind in (*kinds, EVERY)
        for what in ("per_100", "per_100_mp")
        for end in ("", "_low", "_high")
    ]
    columns += [f"{kind}_better_per_100" for kind in (*kinds, EVERY)]
    write_table(folder / RANKING, ranking.rows, schema(RANKING, **dict.fromkeys(columns, REAL)))
    write_table(folder / PAIRS, _pairs(ranking), schema(PAIRS))
    if ranking.curves:
        write_table(folder / RGB_CURVES, _points(ranking.curves), schema(RGB_CURVES))
    written = tables(ranking)
    parts = [f"## {table.title}\n\n{table.markdown()}" for table in written]
    notes = [f"- {note}" for note in (*ranking.notes, *explained(ranking))]
    text = "\n".join(["# Codecs ranked by their artifacts\n", *parts, *notes, ""])
    write_whole(folder / "summary.md", writable(text).encode())
    latex = "\n".join(f"% {table.title}\n{table.latex()}" for table in written)
    write_whole(folder / "table.tex", writable(latex).encode())
    if pictures is None:
        return None
    worst = findings(ranking)[:pictures]
    at_rates = [row for row in ranking.rows if row["preset"] != EVERY]
    rates = [row["bpp"] for row in at_rates if "bpp" in row]
    at_rates += [
        {"codec": row["codec"], "bpp": row["bpp"], "source": row["source"]}
        | {f"{quality}_rgb": row.get(quality) for quality in RGB_QUALITIES}
        for row in _points(ranking.curves)
        if min(rates) / AROUND <= row["bpp"] <= max(rates) * AROUND
    ]
    with progress_bar("findings with pictures", len(worst), show_progress) as tick:
        return write_rank_page(
            folder,
            at_rates,
            _panels(ranking),
            worst,
            lambda _: tick(0),
            title="nacd-bench rank",
            tables=written,
            notes=ranking.notes,
            explained=explained(ranking),
        )


def _panels(ranking: Ranking) -> dict[str, str]:
    """Columns of the figure and their titles."""
    return {
        "severity": "mean severity",
        f"{EVERY}_per_100": "artifacts per 100 photographs",
        "any": "share of photographs with any",
        **{f"{kind}_per_100": f"{kind} artifacts per 100" for kind in ranking.judged},
        "psnr": "PSNR of Y in dB",
        "msssim": "MS-SSIM of Y",
        **{f"{name}_rgb": f"{label} in dB" for name, label in RGB_QUALITIES.items()},
    }


def findings(ranking: Ranking) -> list[Finding]:
    """The strongest place of each type in each scene, of whichever codec, the worst first."""
    by_detector = {name: kind for kind, name in ranking.judged.items()}
    wanted = set(ranking.photographs)
    worst: dict[tuple[str, str], tuple[float, Entrant, Row, Row]] = {}
    for entrant in ranking.entrants:
        of_triplet = {row["triplet"]: row for row in entrant.rows if row["image_sha256"] in wanted}
        for place in entrant.run.detections:
            kind, coding = by_detector.get(place["detector"]), of_triplet.get(place["triplet"])
            if kind is None or coding is None:
                continue
            found = (place["confidence"], entrant, coding, place)
            key = (ranking.scenes[coding["image_sha256"]], kind)
            if key not in worst or found[0] > worst[key][0]:
                worst[key] = found
    strongest = sorted(worst.items(), key=lambda item: (-item[1][0], item[0]))
    return [
        Finding(
            image=coding["image"],
            preset=coding["preset"],
            artifact_type=kind,
            codec=entrant.name,
            severity=severity,
            box=tuple(place[edge] for edge in EDGES),
            views=_views(ranking, entrant, coding),
        )
        for (_, kind), (severity, entrant, coding, place) in strongest
    ]


def _views(ranking: Ranking, entrant: Entrant, coding: Row) -> list[tuple[str, str]]:
    """The original, the codec, the anchor at its rate, and the others at the nearest rate."""
    record = entrant.records[coding["triplet"]]
    views = [("original", record.original), (_caption(entrant, coding), record.neural)]
    bpp = coding["traditional_bpp"]
    rate = "" if bpp is None else f", {bpp:.3f} bpp"
    views.append((f"anchor {coding['anchor']}{rate}", record.traditional))
    for other in ranking.entrants:
        same = [row for row in other.rows if row["image_sha256"] == coding["image_sha256"]]
        if other is not entrant and same:
            nearest = min(
                same, key=lambda row: abs((row["neural_bpp"] or 0) - (coding["neural_bpp"] or 0))
            )
            caption = _caption(other, nearest)
            views.append((caption, other.records[nearest["triplet"]].neural))
    return views


def _caption(entrant: Entrant, coding: Row) -> str:
    bpp = coding["neural_bpp"]
    return entrant.name + ("" if bpp is None else f", {bpp:.3f} bpp")


def _pairs(ranking: Ranking) -> list[Row]:
    return [
        {"first": first, "second": second, "difference": test.difference.value}
        | {"difference_low": test.difference.low, "difference_high": test.difference.high}
        | {"p": test.p, "p_holm": test.p_holm}
        for (first, second), test in ranking.tests.items()
    ]


def _points(curves: Sequence[RgbCurve]) -> list[Row]:
    return [
        {"codec": curve.codec, "source": curve.source or None, "bpp": bpp}
        | {name: values[place] for name, values in curve.values.items()}
        | {f"bd_rate_{name}": rate for name, rate in (curve.bd_rates or {}).items()}
        for curve in curves
        for place, bpp in enumerate(curve.bpp)
    ]


def _beside(curves: Sequence[RgbCurve]) -> Table:
    """BD-rates on RGB of the codecs here and of those that somebody else measured."""
    rows = [
        [
            curve.codec,
            f"elsewhere: {curve.source}" if curve.source else "here",
            f"{curve.bpp[0]:.3f} to {curve.bpp[-1]:.3f}",
            *(
                "anchor" if curve.bd_rates is None else _percent(curve.bd_rates.get(quality))
                for quality in RGB_QUALITIES
            ),
        ]
        for curve in curves
    ]
    columns = ("codec", "measured", "bpp", *(f"BD-rate, {name}" for name in RGB_QUALITIES.values()))
    return Table(columns, rows, "Beside curves that were measured elsewhere")


def tables(ranking: Ranking) -> list[Table]:
    """The figures for people: artifacts, rates and costs, every two codecs, and each rate."""
    means = [row for row in ranking.rows if row["preset"] == EVERY]
    kinds = list(ranking.judged)
    artifacts: list[list[str] | None] = []
    for row in means:
        if row["is_anchor"]:
            artifacts.append(None)
        artifacts.append(
            [
                row["codec"],
                _place(row),
                str(row["photographs"]),
                _decimals(row.get("bpp"), 3),
                _estimate(row, "severity", 2),
                *(_estimate(row, f"{kind}_per_100", 0) for kind in kinds),
                _estimate(row, f"{EVERY}_per_100_mp", 0),
                _estimate(row, "any", 2),
                _decimals(row.get(f"{EVERY}_better_per_100"), 0),
            ]
        )
    headings = (
        *("codec", "rank", "n", "bpp", "severity"),
        *(f"{kind} per 100" for kind in kinds),
        *("per 100 MP", "any", "better"),
    )
    made = [Table(headings, artifacts, "Worse than the anchor"), _costs(means)]
    made += [_beside(ranking.curves)] if ranking.curves else []
    if ranking.tests:
        rows = [
            [
                f"{first} - {second}",
                numbers.estimate(
                    test.difference.value,
                    *(test.difference.low, test.difference.high),
                    decimals=2,
                    is_difference=True,
                ),
                numbers.p_value(test.p),
                numbers.p_value(test.p_holm),
            ]
            for (first, second), test in ranking.tests.items()
        ]
        made.append(Table(("codecs", "severity", "p", "p (Holm)"), rows, "Every two codecs"))
    at_rates: list[list[str] | None] = []
    for entrant in ranking.entrants:
        at_rates += [None] if at_rates and entrant.rows else []
        at_rates += [
            [
                *(row["codec"], row["preset"], _decimals(row.get("bpp"), 3)),
                *(_decimals(row.get("psnr"), 2), _decimals(row.get("msssim"), 4)),
                _estimate(row, "severity", 2),
                _estimate(row, f"{EVERY}_per_100", 0),
                _estimate(row, "any", 2),
            ]
            for row in ranking.rows
            if row["codec"] == entrant.name and row["preset"] != EVERY
        ]
    columns = (
        "codec",
        "rate",
        "bpp",
        "PSNR in dB",
        "MS-SSIM",
        "severity",
        "per 100",
        "any",
    )
    return [*made, Table(columns, at_rates, "At each rate")]


def _costs(means: Sequence[Row]) -> Table:
    rows = [
        [
            row["codec"],
            *(_decimals(row.get("psnr"), 2), _decimals(row.get("msssim"), 4)),
            *(
                "-" if row["is_anchor"] else _percent(row.get(f"bd_rate_{name}"))
                for name in ("psnr", "msssim")
            ),
            *(numbers.number(row.get(f"{name}_seconds"), 3) for name in ("encode", "decode")),
            *(numbers.number(row.get(f"{name}_mp_per_second"), 3) for name in ("encode", "decode")),
            "-" if row.get("peak_memory") is None else numbers.size(row["peak_memory"]),
            "-" if row.get("parameters") is None else f"{row['parameters'] / 1e6:.3g} M",
        ]
        for row in means
    ]
    columns = (
        *("codec", "PSNR", "MS-SSIM", "BD-rate, PSNR", "BD-rate, MS-SSIM"),
        *("encode s", "decode s", "encode MP/s", "decode MP/s", "memory", "parameters"),
    )
    return Table(columns, rows, "Rate, distortion and cost")


def explained(ranking: Ranking) -> list[str]:
    """What a reader has to know of the tables."""
    elsewhere = (
        "Curves measured elsewhere are what their files say, of whatever photographs and machine "
        "these were: they compare with ours only on the same photographs. They are on RGB, as ours "
        "beside them: BD-rates of the mean curves, MS-SSIM in dB."
    )
    return [
        *([elsewhere] if ranking.curves else []),
        f"Severity is relative to {ranking.anchor}, coded at the rate that each codec got: 0 (no "
        "artifact that the anchor has not) to 3 (strong), predicted, of each picture's worst place "
        f"of {', '.join(ranking.judged)}; its mean is over photographs, rates and types. An "
        "artifact is a place over the threshold, 1.5 unless another was given; better are those "
        "of the anchor where the codec has none.",
        "Intervals are of 95 % over photographs. p: paired permutation over photographs, corrected "
        "by Holm. Codecs whose intervals of the rank overlap share one.",
        "Seconds are those of one image on one process of this machine, and peak memory is that of "
        "a codec's own process.",
    ]


def _place(row: Row) -> str:
    if row["is_anchor"]:
        return "anchor"
    if row["out"]:
        return "out"
    rank = row.get("rank")
    return "-" if rank is None else f"{rank} [{row['rank_low']}, {row['rank_high']}]"


def _estimate(row: Row, name: str, decimals: int) -> str:
    bounds = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    return numbers.estimate(*bounds, decimals=decimals)


def _decimals(value: float | None, decimals: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:+.1f} %"
