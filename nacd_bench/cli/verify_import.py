"""``nacd-bench verify import``: votes to confirmed candidates."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures
from nacd_bench.numbers import estimate, percent, share


def run(**config: Any) -> int:
    from nacd_bench.jobs.verify.results import DECISIONS, import_votes
    from nacd_bench.runs.tables import Table

    done = import_votes(**config)
    out = console()
    for path, kind in done.kinds.items():
        out.print(f"{path}: {kind}", markup=False)
    people = []
    for rater in done.raters:
        note = "" if rater["controls"] else "no controls answered"
        note = "dropped" if rater["dropped"] else note
        numbers = str(rater["votes"]), str(rater["controls"])
        people.append((rater["name"], *numbers, percent(rater["accuracy"]), note))
    out.print(Table(("rater", "votes", "controls", "right", ""), people).rich())
    shares: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in done.precision:
        interval = estimate(row["share"], row["low"], row["high"])
        place = row["detector"], row["preset"]
        shares.setdefault(place, (*place, str(row["decided"]), interval))  # bins: precision.csv
    columns = ("detector", "operating point", "decided", "share confirmed [95 %]")
    out.print(Table(columns, list(shares.values())).rich())
    alphas = done.summary["krippendorff_alpha"].items()
    counts = ", ".join(f"{done.summary[name]} {name}" for name in DECISIONS.values())
    out.print(
        f"{counts} of {len(done.rows)} candidates. Krippendorff's alpha: "
        f"{', '.join(f'{kind} {share(value)}' for kind, value in alphas)}. Results: {done.folder}/ "
        "(verified.parquet, precision.csv, precision.png, raters.csv). Next: nacd-bench dataset "
        f"build {done.folder} folder=DATA",
        markup=False,
    )
    lines = list(map(str, done.failures))
    return listed_failures(out, lines, done.folder / "failures.csv")
