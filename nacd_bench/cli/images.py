"""The way from images to confirmed artifacts: what its commands print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.cli import STARTED
from nacd_bench.cli.printing import show, show_failures, show_oddities
from nacd_bench.errors import PluginError
from nacd_bench.numbers import count, estimate, gaps, percent, share
from nacd_bench.pipeline.clock import by_part
from nacd_bench.runs.tables import Table
from nacd_bench.settings import Number, checked

if TYPE_CHECKING:
    from nacd_bench.evaluation.bootstrap import IntervalEstimate
    from nacd_bench.pipeline.coding import CodedImages
    from nacd_bench.runs.mined import Summary

MOST_NAMED = 5
"""Pairs or images that a line names; files have all."""


@checked
def compress(*, plan: bool | Number, **settings: Any) -> int:
    from nacd_bench.jobs.compress import run as job

    if plan:
        show(*job.plan(settings, STARTED, *([] if plan is True else [plan])))
        return 0
    done = job.compress(**settings)
    show_oddities(done.left_out, done.notes, done.duplicates)
    show(*_rates(done), *_off_rates(done), *_savings(done))
    show(
        f"{count(len(done.rows), 'triplet')}, {count(done.encodes, 'encode')}. Manifest: "
        f"{done.manifest}. Next: nacd-bench detect {done.folder}",
        by_part(done.seconds),
    )
    faults = [job.in_words(row) for row in filter(job.is_fault, done.decoded_again)]
    if done.decoded_again:
        show(
            f"Decoded again in a fresh process: {count(len(done.decoded_again), 'decode')}, "
            f"{len(faults) or 'none'} with another picture."
        )
    status = show_failures(faults, done.folder, "decode_check.csv")
    return max(status, show_failures(done.failures, done.folder))


def _rates(done: CodedImages) -> Iterator[Table]:
    """Rate and quality of the codecs, those of one step together, and how far pairs lie apart."""
    from nacd_bench.evaluation.rate_distortion import QUALITIES

    qualities = list(dict.fromkeys(row["quality"] for row in done.curves))
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in done.curves:
        cells.setdefault(row["step"], {}).setdefault(row["codec"], {})[row["quality"]] = row
    rows: list[list[str] | None] = []
    for step, of_step in cells.items():
        rows += [None] if rows else []
        for codec, values in of_step.items():
            first = next(iter(values.values()))
            texts = [
                f"{values[name]['value']:.{QUALITIES[name].decimals}f}" if name in values else "-"
                for name in qualities
            ]
            shown = [step, codec, share(first["bpp"], 4), *texts, str(first["images"])]
            rows.append([*shown, gaps(first["gap"], first["largest_gap"])])
    headings = [QUALITIES[name].heading for name in qualities]
    if rows:
        yield Table(["step", "codec", "bpp", *headings, "images", "gap, mean (largest)"], rows)


def _off_rates(done: CodedImages) -> Iterator[str]:
    """The pairs that do not lie at one rate, the worst by name."""
    off = [row for row in done.rows if row["over_tolerance"]]
    off.sort(key=lambda row: -abs(row["rate_gap"]))
    if off:
        worst = [
            f"{row['source']} at {row['preset']} with {row['traditional_label']} "
            f"({100 * row['rate_gap']:+.1f} %{', end of range' * row['traditional_out_of_range']})"
            for row in off
        ]
        yield (
            f"{len(off)} of {count(len(done.rows), 'pair')} miss{'es' * (len(off) == 1)} the rate "
            f"by more than {percent(done.tolerance)} (over_tolerance in the manifest): "
            f"{_few(worst)}"
        )


def _savings(done: CodedImages) -> Iterator[str]:
    """BD-rates as sentences, and which images are in no mean."""
    from nacd_bench.evaluation.rate_distortion import LEAST_IMAGES, QUALITIES

    for quality, images in done.not_averaged.items():
        faults = [f"{name} ({fault})" for name, fault in images.items()]
        yield f"In no mean of {QUALITIES[quality].label}: {_few(faults)}"
    for rate in done.bd_rates:
        what = "BD-rate by {} of {neural} against {traditional}".format(
            QUALITIES[rate["quality"]].label, **rate
        )
        if not rate["of"]:
            yield f"{what}: n/a ({rate['reason']})"
            continue
        of = f"mean of {count(rate['images'], 'image')}"
        if rate["of"] != "images":
            faults = [f"{name}: {fault}" for name, fault in rate["unqualified"].items()]
            of = f"of the mean curves: {rate['reason']}: {_few(faults)}"
        value, *ends = (rate[name] for name in ("percent", "low", "high"))
        number = estimate(value, *ends, decimals=1, is_difference=True)
        if rate["images"] < LEAST_IMAGES:
            number, of = f"{value:+.1f}", f"{of}, too few for an interval"
        yield f"{what}: {number} % ({of})"


def _few(texts: Sequence[str]) -> str:
    """The first ones, and how many more there are."""
    more = len(texts) - MOST_NAMED
    return "; ".join(texts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _all_made(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a job that needs every method: what the others say would look like all."""
    from nacd_bench.pipeline.methods import arguments

    given = arguments(settings)
    if failures := given.pop("failures"):
        raise PluginError("\n".join(map(str, failures)))
    return given


@checked
def mine(*, plan: bool | Number, tables: bool, **settings: Any) -> int:
    from nacd_bench.jobs.mine import run as job

    folder = Path(settings["folder"])
    if tables:
        return _show_candidates(job.write_results(folder), folder)
    given = _all_made(settings)
    if plan:
        show(*job.plan(given, STARTED, *([] if plan is True else [plan])))
        return 0
    done = job.mine(**given)
    show("", *filter(None, [done.message]))
    if done.summary is None:
        show(
            f"Shard {settings['shard']} is done ({count(done.done, 'image')} in "
            f"{done.seconds:.1f} s). {count(done.waiting_for, 'shard')} "
            f"{'is' if done.waiting_for == 1 else 'are'} not; the last writes the tables."
        )
        return 0
    status = _show_candidates(done.summary, folder)
    show(f"{count(done.done, 'image')} worked on in {done.seconds:.1f} s.")
    show(by_part(done.summary.seconds))
    return status


def _show_candidates(summary: Summary, folder: Path) -> int:
    show_oddities(summary.left_out, summary.notes)
    rows = [
        [*name.split(" ", 1), str(number), str(summary.kept[name])]
        for name, number in sorted(summary.candidates.items())
    ]
    if rows:
        show(Table(("type", "operating point", "candidates", "without duplicates"), rows))
    show(
        f"{count(summary.images, 'image')} ({count(summary.names, 'name')}), "
        f"{count(summary.triplets, 'triplet')}, "
        f"{count(summary.candidates.total(), 'candidate')}, {summary.kept.total()} without "
        f"duplicates; {count(summary.failed, 'image')} with failures, {summary.unreadable} "
        "unreadable. Results: "
        f"{folder}/ (candidates/, coded/, images/, crops/, bitstreams/, strongest_*.png). Next: "
        f"nacd-bench verify export {folder} folder=TASKS"
    )
    return show_failures(summary.failures, folder)


@checked
def rank(*, plan: bool | Number, **settings: Any) -> int:
    from nacd_bench.jobs.rank import run as job
    from nacd_bench.jobs.rank.results import explained, tables

    given = _all_made(settings)
    if plan:
        show(*job.plan(given, STARTED, *([] if plan is True else [plan])))
        return 0
    done = job.rank(**given)
    encodes = ""
    if done.coded is not None:
        show_oddities(done.coded.left_out, done.coded.notes, done.coded.duplicates)
        encodes = f"{count(done.coded.encodes, 'encode')}. "
    show(
        "",
        *tables(done.ranking),
        *(f"Note: {note}" for note in done.ranking.notes),
        *explained(done.ranking),
    )
    show(
        f"{encodes}Results: {done.folder}/ (summary.md, table.tex, "
        "ranking.csv, codings.csv, pairs.csv)"
    )
    if done.page is not None:
        show(f"Curves and the worst findings, for a browser: {done.page}")
    return show_failures(done.failures, done.folder)


def verify_export(**settings: Any) -> int:
    from nacd_bench.jobs.verify import export as job
    from nacd_bench.jobs.verify.pictures import PAGE
    from nacd_bench.runs.tasks import CANDIDATE, IDENTICAL, PLANTED

    done = job.export(**settings)
    tasks, folder = done.key.tasks, done.folder
    kinds = Counter((task.artifact_type, task.kind) for task in tasks.values())
    rows = []
    for name in sorted({name for name, _ in kinds}):
        detectors = [
            f"{number} {who}" for (kind, who), number in done.detectors.items() if kind == name
        ]
        asked, *controls = (kinds[name, kind] for kind in (CANDIDATE, PLANTED, IDENTICAL))
        counts = (sum((asked, *controls)), asked, ", ".join(detectors), *controls)
        rows.append([name, *map(str, counts)])
    table = Table(("type", "tasks", "on candidates", "of", "planted", "identical"), rows)
    people = "1 person" if done.key.raters == 1 else f"{done.key.raters} people"
    show("", table, *(f"Note: {note}" for note in done.notes))
    show(
        f"{count(len(tasks), 'task')} for {people} each: {folder}/ "
        f"({', '.join(f'{name}/' for name in done.formats)}). Keep key.json from raters; "
        "README.md says what is for whom."
    )
    if PAGE in done.formats:
        show(f"To vote, in a browser: {folder / PAGE / 'index.html'}")
    show(f"Then: nacd-bench verify import {folder} VOTES")
    return show_failures(done.failures, folder)


def _strength(made: IntervalEstimate) -> str:
    return estimate(made.value, made.low, made.high, is_difference=True)


def verify_import(**settings: Any) -> int:
    from nacd_bench.jobs.verify.results import DECISIONS, import_votes

    done = import_votes(**settings)
    show(*(f"{path}: {kind}" for path, kind in done.kinds.items()))
    raters = []
    for rater in done.raters:
        note = "" if rater["controls"] else "no controls answered"
        note = "dropped" if rater["dropped"] else note
        numbers = str(rater["votes"]), str(rater["controls"]), percent(rater["accuracy"])
        raters.append([rater["name"], *numbers, note])
    shares: dict[tuple[str, str], list[str]] = {}
    for row in done.precision:
        interval = estimate(row["share"], row["low"], row["high"])
        place = row["detector"], row["preset"]
        cells = [*place, str(row["decided"]), interval, percent(row["chance"])]
        shares.setdefault(place, cells)  # bins: precision.csv
    columns = ("detector", "operating point", "decided", "share confirmed [95 %]", "by chance")
    ranked = [
        [each.codec, percent(each.preferred), _strength(each.strength)] for each in done.ranking
    ]
    show(
        Table(("rater", "votes", "controls", "right", ""), raters),
        Table(columns, list(shares.values())),
        Table(("codec", "preferred", "strength [95 % by photograph]"), ranked),
    )
    if done.grades:
        show(
            f"{len(done.grades)} grades in {done.folder / 'grades.jsonl'}. To compare detectors "
            f"with them: nacd-bench agree {done.folder}, or where the triplets are with "
            f"data.grades={done.folder / 'grades.jsonl'}"
        )
    summary = done.summary
    alphas = summary["krippendorff_alpha"].items()
    beyond = summary["seen_minus_chance"]
    counts = ", ".join(f"{summary[name]} {name}" for name in DECISIONS.values())
    show(
        f"{counts} of {count(len(done.rows), 'candidate')}, rule {summary['rule']}.",
        f"Confirmed of those decided: {percent(summary['seen'])}, by chance "
        f"{percent(summary['by_chance'])}; difference [95 % by photograph] "
        f"{estimate(*beyond.values(), is_difference=True)}.",
        "Krippendorff's alpha [95 % by photograph]: "
        f"{', '.join(f'{kind} {estimate(*value.values())}' for kind, value in alphas)}.",
        *(f"Warning: {line}" for line in summary["warnings"]),
        f"Results: {done.folder}/ (verified.parquet, precision.csv, precision.png, ranking.csv, "
        f"raters.csv, summary.json). Next: nacd-bench dataset build {done.folder} folder=DATA",
    )
    return show_failures(done.failures, done.folder)
