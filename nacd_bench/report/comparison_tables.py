"""A comparison of two runs for people: tables and Markdown of what its summary says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nacd_bench import numbers
from nacd_bench.runs.schema import RUNS
from nacd_bench.runs.tables import Table

COUNTS = ("before", "after", "new", "fixed", "stayed", "stronger", "weaker", "unclear")


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures for people: by type, by detector, and rates where some are known."""
    types, detectors, rates = [], [], []
    for kind, figures in summary["types"].items():
        test = figures["presence"]
        with_one = f"{test['with_before']} to {test['with_after']} of {test['n']}"
        per_triplet = _difference(figures["per_triplet"], 3)
        p = numbers.p_value(test["p_holm"])
        types.append([kind, *_counts(figures), per_triplet, with_one, p])
    for name, figures in summary["detectors"].items():
        test = figures["scores"]
        means = f"{numbers.number(test['before'])} to {numbers.number(test['after'])}"
        difference, p = _difference(test["difference"], None), numbers.p_value(test["p_holm"])
        detectors.append([name, *_counts(figures), means, difference, p])
    for rate in summary["rates"]:
        if rate["preset"] or len(summary["rates"]) != 2:  # all are those of the only point
            bpp = [f"{rate[run]:.4f}" for run in RUNS]
            point = rate["preset"] or "all"
            rates.append([point, str(rate["n"]), *bpp, f"{rate['change']:+.1%}"])
    by_type = ("type", *COUNTS, "per triplet (95 %)", "triplets with one", "p")
    by_detector = ("detector", *COUNTS, "mean score", "difference (95 %)", "p")
    points = ("operating point", "triplets", "bpp before", "bpp after", "change")
    return [
        Table(by_type, types, "Artifacts by type"),
        Table(by_detector, detectors, "Artifacts and scores by detector"),
        *([Table(points, rates, "Bits per pixel of the neural codec")] if rates else []),
    ]


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What people have to know of the tables."""
    return [
        "By type, p is McNemar's exact test on originals with more or fewer triplets that have an "
        "artifact; by detector, Wilcoxon's exact signed-rank test on the mean score of each "
        "original. All p values are corrected by Holm.",
        f"{summary['pairs']} pairs of triplets of {summary['originals']} originals; "
        f"{summary['unpaired_results']} results without partner (unpaired.csv); "
        f"{summary['failures']} failures of the runs (failures.csv).",
    ]


def markdown(summary: Mapping[str, Any]) -> str:
    """The comparison as a page to read, for a pull request or a log."""
    runs = [f"{name}: `{run['folder']}` ({run['kind']})" for name, run in summary["runs"].items()]
    parts = ["# Comparison of two runs", "  \n".join(runs), f"**{summary['verdict']}**"]
    parts += [f"- {warning}" for warning in summary["warnings"]]
    parts += [table.markdown().rstrip() for table in tables(summary)]
    return "\n\n".join([*parts, *notes(summary)]) + "\n"


def _counts(figures: Mapping[str, Any]) -> list[str]:
    """Of :data:`COUNTS`."""
    unclear = figures["unclear_before"] + figures["unclear_after"]
    return [str({**figures, "unclear": unclear}[name]) for name in COUNTS]


def _difference(mean: Mapping[str, float], decimals: int | None) -> str:
    bounds = (mean[name] for name in ("value", "low", "high"))
    return numbers.estimate(*bounds, decimals=decimals, is_difference=True)
