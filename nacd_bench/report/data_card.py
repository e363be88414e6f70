"""The data card: ``README.md`` of a data set, with the header that the Hugging Face Hub reads.

What is in the data set is counted here: the paper's Table 1 and more. The card's text is
``data_card.md.j2``, in which every value is made plain text of Markdown.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nacd_bench.numbers import NOTHING, number, percent
from nacd_bench.runs.dataset import ARTIFACTS, COCO, Artifact, DataSet
from nacd_bench.runs.provenance import leaves
from nacd_bench.runs.schema import SIDES, TRIPLETS
from nacd_bench.runs.tables import Table
from nacd_bench.triplets.licenses import UNKNOWN, license_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord, is_clean

MOST_IMAGES = 200
"""Images whose licence the card lists; the tables have all."""
SIZES = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6}
HUB_LICENSES = {
    *("apache-2.0", "mit", "cc0-1.0", "cc", "odbl", "pddl", "gpl-3.0", "unlicense", UNKNOWN),
    *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
    *(f"cc-by-sa-{version}" for version in ("3.0", "4.0")),
    *(f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")),
    *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *(f"cc-by-nc-sa-{version}" for version in ("2.0", "3.0", "4.0")),
}
"""Identifiers that the Hub knows, of those that images have."""


MAKING = (*SIDES, "detectors", "thresholds")
"""Settings of a mined folder that the card lists."""
QUANTILES = {
    "smallest": 0.0,
    "quarter": 0.25,
    "median": 0.5,
    "three quarters": 0.75,
    "largest": 1.0,
}
TOTAL = "total"
SUMS = (
    *("images", "triplets", "artifact_free_triplets", "refused_triplets"),
    *("artifacts", "verified"),
)
STATES = ("duplicates", "refused", "undecided")


def dataset_stats(dataset: DataSet) -> dict[str, Any]:
    """Counts of a data set, as JSON holds them.

    Artifacts are those that count: confirmed (or unverified as all), without duplicates.
    """
    records = {record.id: record for record in dataset.records}
    counted = [artifact for artifact in dataset.artifacts if artifact.counts]
    states = Counter(artifact.status for artifact in dataset.artifacts)
    rights = {record.source: license_of(record.extra) for record in dataset.records}
    votes = Counter(
        f"{artifact.votes_for or 0} for, {artifact.votes_against or 0} against"
        for artifact in dataset.artifacts
        if artifact.confirmed is not None
    )
    presets, steps = _presets_by_rate(dataset, counted)
    codecs = {
        side: sorted({record.codec(side) or UNKNOWN for record in dataset.records})
        for side in SIDES
    }
    return {
        "images": len(rights),
        "triplets": len(records),
        "artifact_free_triplets": sum(bool(r.artifact_free) for r in dataset.records),
        "refused_triplets": sum(is_clean(r) and not r.artifact_free for r in dataset.records),
        "artifacts": len(counted),
        "verified": sum(artifact.confirmed is True for artifact in counted),
        **{state: states[state] for state in STATES},
        **_tallies(counted, records, presets, steps, codecs["neural"]),
        "votes": dict(sorted(votes.items())),
        "box_sizes": _sizes(counted, records),
        "bits_per_pixel": _mean_rates(dataset, presets),
        "codecs": codecs,
        "licenses": _by_count(right.license for right in rights.values()),
        "sources": _by_count(right.image_source or UNKNOWN for right in rights.values()),
    }


def _presets_by_rate(dataset: DataSet, counted: Sequence[Artifact]) -> tuple[list[str], list[str]]:
    """Presets of the triplets, and with them those at which a place was boxed, by rising rate."""
    places = {str(r.extra["preset"]): int(r.extra["preset_index"]) for r in dataset.records}
    presets = sorted(places, key=lambda preset: (places[preset], preset))
    for run in dataset.settings.get("runs", ()):  # places may be boxed where nothing was confirmed
        for place, (preset, _) in enumerate(run.get("steps", ())):
            places.setdefault(preset, place)
    boxed = {preset for artifact in counted for preset in artifact.presets}
    return presets, sorted(boxed | {*presets}, key=lambda preset: (places.get(preset, -1), preset))


def _tallies(
    counted: Sequence[Artifact],
    records: Mapping[str, TripletRecord],
    presets: Sequence[str],
    steps: Sequence[str],
    versions: Sequence[str],
) -> dict[str, Any]:
    """Artifacts by type, preset, version of the codec, and detector.

    Args:
        counted: the artifacts.
        records: triplets by id.
        presets, steps: of the triplets, and those at which a place was boxed, by rising rate.
        versions: of the neural codec.
    """
    kinds = [artifact.artifact_type for artifact in counted]
    rates = [str(records[artifact.triplet].extra["preset"]) for artifact in counted]
    codecs = [records[artifact.triplet].codec("neural") or UNKNOWN for artifact in counted]
    # after the known types those of other packages' detectors
    types = [*dict.fromkeys((*ARTIFACT_TYPES, *sorted(kinds)))]
    by_type = Counter(kinds)
    by_detector = Counter(
        name or UNKNOWN
        for artifact in counted
        for name in artifact.found_by or (artifact.detector,)
    )
    boxed = [
        (preset, artifact.artifact_type)
        for artifact, rate in zip(counted, rates, strict=True)
        for preset in artifact.presets or (rate,)
    ]
    tallies: dict[str, Any] = {
        "by_type": {name: by_type[name] for name in types},
        "by_detector": dict(sorted(by_detector.items())),
    }
    for name, rows, outer, columns, inner in (
        ("by_preset", rates, presets, kinds, types),
        ("boxed_at_preset", [row for row, _ in boxed], steps, [kind for _, kind in boxed], types),
        ("by_version", codecs, versions, kinds, types),
        ("by_version_and_preset", codecs, versions, rates, presets),
    ):
        counts = Counter(zip(rows, columns, strict=True))
        tallies[name] = {row: {column: counts[row, column] for column in inner} for row in outer}
    return tallies


def _by_count(names: Iterable[str]) -> dict[str, int]:
    """How often each is there, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _sizes(
    counted: Sequence[Artifact], records: Mapping[str, TripletRecord]
) -> dict[str, dict[str, float]]:
    """Width, height and share of the image of the boxes, by quantile."""
    if not counted:
        return {}
    boxes = np.array([artifact.box for artifact in counted], np.float64)
    extras = [records[artifact.triplet].extra for artifact in counted]
    areas = np.array([extra["width"] * extra["height"] for extra in extras], np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    values = {
        "width in pixels": sides[:, 0],
        "height in pixels": sides[:, 1],
        "share of the image": sides.prod(axis=1) / areas,
    }
    return {
        name: dict(zip(QUANTILES, np.quantile(column, [*QUANTILES.values()]).tolist(), strict=True))
        for name, column in values.items()
    }


def _mean_rates(dataset: DataSet, presets: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Mean bits per pixel by preset and side; None where none is known."""
    means: dict[str, dict[str, float | None]] = {preset: {} for preset in presets}
    for preset, by_side in means.items():
        records = [record for record in dataset.records if record.extra["preset"] == preset]
        for side in SIDES:
            rates = [getattr(record, f"{side}_bpp") for record in records]
            rates = [rate for rate in rates if rate is not None]
            by_side[side] = float(np.mean(rates)) if rates else None
    return means


def table_one(stats: Mapping[str, Any]) -> list[Table]:
    """The paper's Table 1: artifacts by type, by quality preset, by codec version and preset."""
    total = sum(stats["by_type"].values())
    by_type = [
        [name, str(count), percent(count / total, 1) if total else NOTHING]
        for name, count in stats["by_type"].items()
    ]
    tables = [Table(("type", "artifacts", "share"), by_type, "Artifacts by type")]
    for key, title, head, inner in (
        ("by_preset", "quality preset, each once", "preset", "by_type"),
        ("boxed_at_preset", "quality preset, with duplicates", "preset", "by_type"),
        ("by_version", "codec version", "codec", "by_type"),
        ("by_version_and_preset", "codec version and quality preset", "codec", "by_preset"),
    ):
        counts = {name: [*cells.values()] for name, cells in stats[key].items()}
        if len(counts) > 1 and key != "boxed_at_preset":
            counts[TOTAL] = [sum(column) for column in zip(*counts.values(), strict=True)]
        rows = [[name, *map(str, cells), str(sum(cells))] for name, cells in counts.items()]
        tables.append(Table((head, *stats[inner], TOTAL), rows, f"Artifacts by {title}"))
    return tables


def further_tables(stats: Mapping[str, Any]) -> list[Table]:
    """The other counts."""
    whole = {name.replace("_", " "): stats[name] for name in (*SUMS, *STATES)}
    tables = [
        Table((head, "number"), [(name, str(count)) for name, count in counts.items()], title)
        for counts, head, title in (
            (whole, "what", "The whole"),
            (stats["by_detector"], "detector", "Artifacts by detector"),
            (stats["votes"], "vote", "Votes of decided candidates"),
            (stats["licenses"], "license", "Images by licence"),
            (stats["sources"], "source", "Images by source"),
        )
    ]
    for key, head, columns, title, places in (
        ("box_sizes", "what", tuple(QUANTILES), "Sizes of boxes", (6,)),
        ("bits_per_pixel", "preset", SIDES, "Mean bits per pixel", ()),
    ):
        rows = [
            (name, *(number(value, *places) for value in values.values()))
            for name, values in stats[key].items()
        ]
        tables.append(Table((head, *columns), rows, title))
    return [table for table in tables if table.rows]


def card(dataset: DataSet, title: str) -> str:
    """The data card."""
    stats = dataset_stats(dataset)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"listed": markdown_table, "raw": Markup}
    plain = json.dumps(dataset.settings, indent=1, ensure_ascii=False)
    licenses = [(name, str(count)) for name, count in stats["licenses"].items()]
    images = {str(record.source): license_of(record.extra) for record in dataset.records}
    by_image = [
        (name, right.license, right.attribution, right.source_url)
        for name, right in sorted(images.items())
    ]
    return environment.get_template("data_card.md.j2").render(
        **{"TRIPLETS": TRIPLETS, "ARTIFACTS": ARTIFACTS, "COCO": COCO},
        header=_header(stats, title),
        title=title,
        stats=stats,
        table_one=table_one(stats),
        further_tables=further_tables(stats),
        verification=[
            Table(("what", "value"), _rows(summary), "How it was verified")
            for summary in dataset.settings.get("verification", ())
        ],
        warnings=verification_warnings(dataset),
        making=[
            Table(("what", "value"), _rows({name: run.get(name) for name in MAKING}), "Run")
            for run in dataset.settings.get("runs", ())
        ],
        by_license=Table(("licence", "images"), licenses, "Images by licence"),
        by_image=Table(
            ("image", "licence", "attribution", "where"), by_image[:MOST_IMAGES], "Each image"
        ),
        images_left_out=max(0, len(by_image) - MOST_IMAGES),
        settings={"images": None, **dataset.settings},
        settings_json=plain.replace("`", "\\u0060"),  # which cannot end the block around it
    )


def verification_warnings(dataset: DataSet) -> list[str]:
    """What ``verify import`` warned of, each once."""
    summaries = dataset.settings.get("verification", ())
    return [*dict.fromkeys(line for each in summaries for line in each.get("warnings", ()))]


def markdown(text: Any) -> Any:
    r"""Any text as plain text in one line of Markdown; web addresses as links.

    >>> print(markdown("<script> [c](d)"))
    &lt;script&gt; \[c\](d)
    """
    if isinstance(text, Markup):
        return text
    plain = " ".join(str(text).split())
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()*+,;=%-]+", plain):
        return Markup(f"<{plain}>")
    return Markup(re.sub(r"([\\`*_{}\[\]#!~])", r"\\\1", html.escape(plain, quote=False)))


def markdown_table(table: Table) -> str:
    """A table with its title."""
    rows = [list(map(markdown, row or ())) for row in (table.columns, *table.rows)]
    return Markup(f"**{markdown(table.title)}**\n\n{Table(rows[0], rows[1:]).markdown().rstrip()}")


def _header(stats: Mapping[str, Any], title: str) -> str:
    names = {name.lower().replace(" ", "-") for name in stats["licenses"]}
    licenses = sorted(name if name in HUB_LICENSES else "other" for name in names)
    content = {
        "pretty_name": " ".join(title.split()),
        "license": licenses[0] if len(set(licenses)) == 1 else sorted(set(licenses)),
        "task_categories": ["object-detection"],
        "tags": ["image-compression", "visual-artifacts", "neural-codec"],
        "size_categories": [
            next((word for word, most in SIZES.items() if stats["triplets"] < most), "n>1M")
        ],
        "configs": [
            {"config_name": "artifacts", "data_files": ARTIFACTS, "default": True},
            {"config_name": "triplets", "data_files": TRIPLETS},
        ],
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _rows(summary: Any) -> list[tuple[str, str]]:
    """Names and values of nested objects; lists stay out, they are in the settings."""
    return [
        (name.replace(".", ", "), str(value))
        for name, value in leaves(summary).items()
        if isinstance(value, str | int | float)
    ]
