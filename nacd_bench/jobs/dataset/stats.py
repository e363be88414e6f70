"""What is in a data set, counted: the paper's Table 1 and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nacd_bench.numbers import NOTHING, number, percent
from nacd_bench.runs.dataset import Artifact, DataSet
from nacd_bench.runs.schema import SIDES
from nacd_bench.runs.tables import Table
from nacd_bench.triplets.licenses import UNKNOWN, license_of
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord

QUANTILES = {
    "smallest": 0.0,
    "quarter": 0.25,
    "median": 0.5,
    "three quarters": 0.75,
    "largest": 1.0,
}
TOTAL = "total"
SUMS = ("images", "triplets", "artifact_free_triplets", "artifacts", "verified")
STATES = ("duplicates", "refused", "undecided")


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
    values = {
        # after the known types those of other packages' detectors
        "type": [*dict.fromkeys((*ARTIFACT_TYPES, *sorted(row["type"] for row in rows)))],
        "preset": sorted(places, key=lambda preset: (places[preset], preset)),
        "version": sorted({codec_label(record) for record in dataset.records}),
        "detector": sorted({row["detector"] for row in rows}),
    }

    def crossed(outer: str, inner: str) -> dict[str, dict[str, int]]:
        counts = Counter((row[outer], row[inner]) for row in rows)
        return {a: {b: counts[a, b] for b in values[inner]} for a in values[outer]}

    counts = {name: Counter(row[name] for row in rows) for name in ("type", "detector")}
    states = Counter(artifact.status for artifact in dataset.artifacts)
    rights = {record.source: license_of(record.extra) for record in dataset.records}
    votes = Counter(
        f"{artifact.votes_for or 0} for, {artifact.votes_against or 0} against"
        for artifact in dataset.artifacts
        if artifact.confirmed is not None
    )
    return {
        "images": len(rights),
        "triplets": len(records),
        "artifact_free_triplets": sum(bool(r.artifact_free) for r in dataset.records),
        "artifacts": len(counted),
        "verified": sum(artifact.confirmed is True for artifact in counted),
        **{state: states[state] for state in STATES},
        "by_type": {name: counts["type"][name] for name in values["type"]},
        "by_preset": crossed("preset", "type"),
        "by_version": crossed("version", "type"),
        "by_version_and_preset": crossed("version", "preset"),
        "by_detector": {name: counts["detector"][name] for name in values["detector"]},
        "votes": dict(sorted(votes.items())),
        "box_sizes": _sizes(counted, records),
        "bits_per_pixel": {
            preset: {side: _mean_rate(dataset, preset, side) for side in SIDES}
            for preset in values["preset"]
        },
        "codecs": {
            side: sorted({codec_label(record, side) for record in dataset.records})
            for side in SIDES
        },
        "licenses": _by_count(right.license for right in rights.values()),
        "sources": _by_count(right.image_source or UNKNOWN for right in rights.values()),
    }


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


def _mean_rate(dataset: DataSet, preset: str, side: str) -> float | None:
    records = [record for record in dataset.records if record.extra["preset"] == preset]
    rates = [getattr(record, f"{side}_bpp") for record in records]
    known = [rate for rate in rates if rate is not None]
    return float(np.mean(known)) if known else None


def table_one(stats: Mapping[str, Any]) -> list[Table]:
    """The paper's Table 1: artifacts by type, by quality preset, by codec version and preset."""
    total = sum(stats["by_type"].values())
    by_type = [
        [name, str(count), percent(count / total, 1) if total else NOTHING]
        for name, count in stats["by_type"].items()
    ]
    tables = [Table(("type", "artifacts", "share"), by_type, "Artifacts by type")]
    for key, title, head, inner in (
        ("by_preset", "quality preset", "preset", "by_type"),
        ("by_version", "codec version", "codec", "by_type"),
        ("by_version_and_preset", "codec version and quality preset", "codec", "by_preset"),
    ):
        counts = {name: [*cells.values()] for name, cells in stats[key].items()}
        if len(counts) > 1:
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
