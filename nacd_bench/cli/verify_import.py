"""``nacd-bench verify import``: votes to confirmed candidates."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, empty_table, listed_failures
from nacd_bench.numbers import estimate, percent, share


def run(**config: Any) -> int:
    from nacd_bench.jobs.verify.results import ALL, import_votes

    done = import_votes(**config)
    out = console()
    for path, kind in done.files.items():
        out.print(f"{path}: {kind}", markup=False)
    people = empty_table("rater", "votes", "controls", "right", "")
    for rater in done.raters:
        right = percent(rater.accuracy)
        dropped = "dropped" if rater.dropped else "" if rater.controls else "no controls answered"
        people.add_row(rater.name, str(rater.votes), str(rater.controls), right, dropped)
    out.print(people)
    shares = empty_table("detector", "operating point", "decided", "share confirmed [95 %]")
    seen = set()
    for each in done.precision:
        if (each.detector, each.preset) not in seen:  # bins of confidence are in precision.csv
            seen.add((each.detector, each.preset))
            interval = estimate(each.share, each.low, each.high)
            preset = each.preset if each.preset != ALL else "all"
            shares.add_row(each.detector, preset, str(each.decided), interval)
    out.print(shares)
    alphas = [f"{kind} {share(value)}" for kind, value in done.alpha.items()]
    decisions = done.decisions
    out.print(
        f"{decisions['confirmed']} confirmed, {decisions['refused']} refused, "
        f"{decisions['undecided']} undecided of {len(done.rows)} candidates. Krippendorff's alpha: "
        f"{', '.join(alphas)}. Results: {done.folder}/ (verified.parquet, precision.csv, "
        f"precision.png, raters.csv). Next: nacd-bench dataset build {done.folder} folder=DATA",
        markup=False,
    )
    return listed_failures(out, done.failures, done.folder / "failures.csv")
