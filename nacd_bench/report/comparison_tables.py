"""A comparison of two runs for people: tables and Markdown of what its summary says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from nacd_bench import numbers
from nacd_bench.runs.schema import RUNS, SIDES
from nacd_bench.runs.tables import Table

MOST_CODECS = 4
"""Codecs of a run that are named."""


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures for people: by type, by detectors beside, and rates where some are known."""
    types, beside, rates = [], [], []
    for kind, figures in summary["types"].items():
        with_one, test = figures["presence"], figures["severity"]
        bounds = (test["difference"][name] for name in ("value", "low", "high"))
        change = numbers.estimate(*bounds, decimals=2, is_difference=True)
        types.append(
            [
                kind,
                f"{with_one['with_before']} to {with_one['with_after']} of {with_one['n']}",
                f"{test['before']:.2f} to {test['after']:.2f}, {change}",
                _two(figures, "new", "stronger"),
                _two(figures, "fixed", "weaker"),
                numbers.p_value(test["p_holm"]),
            ]
        )
    for name, figures in summary["beside"].items():
        says = "contradicts" if figures["contradicts"] else ""
        counts = (str(figures[count]) for count in ("rose", "fell"))
        beside.append([name, figures["type"], *counts, numbers.p_value(figures["p_holm"]), says])
    for rate in summary["rates"]:
        bpp = [f"{rate[run]:.4f}" for run in RUNS]
        point = rate["preset"] or "all"
        rates.append([point, str(rate["n"]), *bpp, f"{rate['change']:+.1%}"])
    by_type = ("type", "pictures with it", "mean severity, change (95 %)", "worse", "better", "p")
    others = ("detector", "type", "rose", "fell", "p", "severity")
    points = ("operating point", "triplets", "bpp before", "bpp after", "change")
    return [
        Table(by_type, types, "Artifacts by predicted severity"),
        *([Table(others, beside, "Beside, for information: photographs")] if beside else []),
        *([Table(points, rates, "Bits per pixel of the neural codec")] if rates else []),
    ]


def facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """What was compared, and by which rules."""
    rules = summary["rules"]
    cuts = (f"{name} {value:g}" for name, value in rules["thresholds"].items())
    gates = (f"{name}={limit}" for name, limit in summary["gate"].items() if limit is not None)
    return {
        **{name: _run(run) for name, run in summary["runs"].items()},
        "thresholds": ", ".join(cuts),
        "margin": f"{rules['margin']:g}",
        "gate": ", ".join(gates) or "none",
    }


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What people have to know of the tables."""
    lines = [
        "Severity is predicted, 0 (none) to 3 (strong), of each picture's worst. Worse: new or "
        "stronger by more than the margin; better: fixed or weaker. p: Wilcoxon's exact "
        "signed-rank test on the mean of each photograph, corrected by Holm."
    ]
    contradicting = [name for name, own in summary["beside"].items() if own["contradicts"]]
    if contradicting:
        lines.append(
            f"{', '.join(contradicting)}: the score went the other way than the severity on most "
            "photographs that changed. It does not decide: the paper's scores do not grow with "
            "every fault (large_color counts CIEDE2000 beyond 8 as 0)."
        )
    return [
        *lines,
        f"{summary['pairs']} pairs of triplets of {summary['originals']} originals; "
        f"{summary['unpaired_results']} results without partner (unpaired.csv); "
        f"{summary['failures']} failures of the runs (failures.csv).",
    ]


def markdown(summary: Mapping[str, Any], page: str | None = None) -> str:
    """The comparison as a page to read, for a pull request or a log.

    Args:
        summary: as in ``summary.json``.
        page: the page with pictures, from where the text lies.
    """
    told = [f"- {name}: {_literal(value)}" for name, value in facts(summary).items()]
    told += [f"- Note: {warning}" for warning in summary["warnings"]]
    parts = [f"**{summary['verdict']}**", "\n".join(told)]
    first, *others = (table.markdown().rstrip() for table in tables(summary))
    worst = [_worst(change, page) for change in summary["worst"]]
    columns = ("picture", "type", "what", "severity", "box", "page")
    if worst:
        first += f"\n\nThe worst {len(worst)}:\n\n{Table(columns, worst).markdown().rstrip()}"
    return "\n\n".join([*parts, first, *others, *notes(summary)]) + "\n"


def _worst(change: Mapping[str, Any], page: str | None) -> list[str]:
    """Cells of an artifact that is new or stronger."""
    status = change["status"]
    filters = {"status": status, "artifact_type": change["artifact_type"], "q": change["image"]}
    if change["preset"]:
        filters["preset"] = change["preset"]
    name = " ".join(filter(None, (change["image"], change["preset"])))
    return [
        _literal(name),
        change["artifact_type"],
        "new" if status == "new" else "stronger",
        f"{change['severity_before']:.2f} to {change['severity_after']:.2f}",
        "-" if change["box"] is None else ", ".join(map(str, change["box"])),
        f"[pictures]({page}#?{urlencode(filters)})" if page else "-",
    ]


def _literal(text: str) -> str:
    """Text that Markdown shows as it is, in a line."""
    line = " ".join(text.replace("`", "'").split())
    return f"`{line}`"


def _run(run: Mapping[str, Any]) -> str:
    """Folder, kind and codecs of both sides with their versions."""
    codecs = (
        f"{side} {', '.join(filter(None, run[side][:MOST_CODECS])) or 'codec not known'}"
        for side in SIDES
    )
    return f"{run['folder']} ({run['kind']}; {'; '.join(codecs)})"


def _two(figures: Mapping[str, int], first: str, second: str) -> str:
    """Their sum, and each where there are some."""
    total = figures[first] + figures[second]
    return f"{total} ({figures[first]} {first}, {figures[second]} {second})" if total else "0"
