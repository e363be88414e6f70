"""What is in a data set, counted: the paper's Table 1 and more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nacd_bench.jobs.dataset.content import Artifact, DataSet
from nacd_bench.jobs.dataset.licenses import UNKNOWN, license_of
from nacd_bench.numbers import NOTHING, number, percent
from nacd_bench.runs.schema import SIDES
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord

QUANTILES = {
    "smallest": 0.0,
    "quarter": 0.25,
    "median": 0.5,
    "three quarters": 0.75,
    "largest": 1.0,
}
TOTAL = "total"


class CountTable(NamedTuple):
    """A table to print: cells as text, the first column names the rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    has_numbers: bool = True


def codec_label(record: TripletRecord, side: str = "neural") -> str:
    """Name and version of a codec, the name once.

    >>> codec_label(TripletRecord("a", "", "", "", neural_codec="vm", neural_version="vm 3.4"))
    'vm 3.4'
    """
    name = getattr(record, f"{side}_codec") or UNKNOWN
    version = getattr(record, f"{side}_version") or ""
    return version if version.lower().startswith(name.lower()) else f"{name} {version}".strip()


def dataset_stats(dataset: DataSet) -> dict[str, Any]:
    """Counts of a data set, as JSON holds them.

    Artifacts are those that count: confirmed (or unverified as all), without duplicates.
    """
    records = {record.id: record for record in dataset.records}
    counted = [artifact for artifact in dataset.artifacts if artifact.counts]
    rows = [
        {
            "type": artifact.artifact_type,
            "preset": str(records[artifact.triplet].extra["preset"]),
            "version": codec_label(records[artifact.triplet]),
            "detector": artifact.detector or UNKNOWN,
        }
        for artifact in counted
    ]
    places = {str(r.extra["preset"]): int(r.extra["preset_index"]) for r in dataset.records}
    presets = sorted(places, key=lambda preset: (places[preset], preset))
    versions = sorted({codec_label(record) for record in dataset.records})
    # after the known types those of other packages' detectors
    types = [*dict.fromkeys((*ARTIFACT_TYPES, *sorted(row["type"] for row in rows)))]
    status = Counter(artifact.status for artifact in dataset.artifacts)
    rights = {record.source: license_of(record.extra) for record in dataset.records}
    return {
        "images": len(rights),
        "triplets": len(records),
        "artifact_free_triplets": sum(bool(r.artifact_free) for r in dataset.records),
        "artifacts": len(counted),
        "verified": sum(artifact.confirmed is True for artifact in counted),
        "duplicates": status["duplicates"],
        "refused": status["refused"],
        "undecided": status["undecided"],
        "by_type": _counts(rows, "type", types),
        "by_preset": _crossed(rows, "preset", presets, "type", types),
        "by_version": _crossed(rows, "version", versions, "type", types),
        "by_version_and_preset": _crossed(rows, "version", versions, "preset", presets),
        "by_detector": _counts(rows, "detector", sorted({row["detector"] for row in rows})),
        "votes": dict(sorted(_votes(dataset.artifacts).items())),
        "box_sizes": _sizes(counted, records),
        "bits_per_pixel": {
            preset: {side: _mean_rate(dataset, preset, side) for side in SIDES}
            for preset in presets
        },
        "codecs": {
            side: sorted({codec_label(record, side) for record in dataset.records})
            for side in SIDES
        },
        "licenses": _by_count(own.license for own in rights.values()),
        "sources": _by_count(own.image_source or UNKNOWN for own in rights.values()),
    }


def _votes(artifacts: Sequence[Artifact]) -> Counter[str]:
    decided = [artifact for artifact in artifacts if artifact.confirmed is not None]
    return Counter(f"{a.votes_for or 0} for, {a.votes_against or 0} against" for a in decided)


def _counts(rows: Sequence[Mapping[str, str]], name: str, values: Sequence[str]) -> dict[str, int]:
    counts = Counter(row[name] for row in rows)
    return {value: counts[value] for value in values}


def _crossed(
    rows: Sequence[Mapping[str, str]], a: str, outer: Sequence[str], b: str, inner: Sequence[str]
) -> dict[str, dict[str, int]]:
    return {value: _counts([r for r in rows if r[a] == value], b, inner) for value in outer}


def _by_count(names: Any) -> dict[str, int]:
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
    sizes = np.array([[extra["width"], extra["height"]] for extra in extras], np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    values = {
        "width in pixels": sides[:, 0],
        "height in pixels": sides[:, 1],
        "share of the image": sides.prod(axis=1) / sizes.prod(axis=1),
    }
    return {
        name: {word: float(np.quantile(all_of_it, q)) for word, q in QUANTILES.items()}
        for name, all_of_it in values.items()
    }


def _mean_rate(dataset: DataSet, preset: str, side: str) -> float | None:
    records = [record for record in dataset.records if record.extra["preset"] == preset]
    rates = [getattr(record, f"{side}_bpp") for record in records]
    known = [rate for rate in rates if rate is not None]
    return math.fsum(known) / len(known) if known else None


def table_one(stats: Mapping[str, Any]) -> list[CountTable]:
    """The paper's Table 1: artifacts by type, by quality preset, by codec version and preset."""
    total = sum(stats["by_type"].values())
    by_type = [
        [name, str(count), percent(count / total, 1) if total else NOTHING]
        for name, count in stats["by_type"].items()
    ]
    tables = [CountTable("Artifacts by type", ("type", "artifacts", "share"), by_type)]
    for key, title, head, inner in (
        ("by_preset", "quality preset", "preset", "by_type"),
        ("by_version", "codec version", "codec", "by_type"),
        ("by_version_and_preset", "codec version and quality preset", "codec", "by_preset"),
    ):
        counts = {name: [*cells.values()] for name, cells in stats[key].items()}
        if len(counts) > 1:
            counts[TOTAL] = [sum(column) for column in zip(*counts.values(), strict=True)]
        rows = [[name, *map(str, cells), str(sum(cells))] for name, cells in counts.items()]
        tables.append(CountTable(f"Artifacts by {title}", (head, *stats[inner], TOTAL), rows))
    return tables


def further_tables(stats: Mapping[str, Any]) -> list[CountTable]:
    """The other counts."""
    names = (
        *("images", "triplets", "artifact_free_triplets", "artifacts", "verified"),
        *("duplicates", "refused", "undecided"),
    )
    rows = [(name.replace("_", " "), str(stats[name])) for name in names]
    tables = [CountTable("The whole", ("what", "number"), rows)]
    for key, head, title in (
        ("by_detector", "detector", "Artifacts by detector"),
        ("votes", "vote", "Votes of decided candidates"),
        ("licenses", "license", "Images by licence"),
        ("sources", "source", "Images by source"),
    ):
        rows = [(name, str(count)) for name, count in stats[key].items()]
        tables.append(CountTable(title, (head, "number"), rows))
    sizes = [
        (name, *(number(value, 6) for value in values.values()))
        for name, values in stats["box_sizes"].items()
    ]
    tables.append(CountTable("Sizes of boxes", ("what", *QUANTILES), sizes))
    rates = [
        (name, *(number(of_side[side]) for side in SIDES))
        for name, of_side in stats["bits_per_pixel"].items()
    ]
    tables.append(CountTable("Mean bits per pixel", ("preset", *SIDES), rates))
    return [table for table in tables if table.rows]
