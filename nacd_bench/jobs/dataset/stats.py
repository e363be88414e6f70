"""What is in a data set, counted: the paper's Table 1 and more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nacd_bench.jobs.dataset.content import SIDES, Artifact, DataSet
from nacd_bench.jobs.dataset.licenses import UNKNOWN, license_of
from nacd_bench.numbers import NOTHING, number, percent
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord

QUANTILES = {
    "smallest": 0.0,
    "quarter": 0.25,
    "median": 0.5,
    "three quarters": 0.75,
    "largest": 1.0,
}
TOTAL = "total"


@dataclass(frozen=True)
class CountTable:
    """A table to print.

    Args:
        title: what it counts.
        columns: their heads; the first one is that of the rows.
        rows: cells as text.
        has_numbers: whether the columns after the first are numbers.
    """

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


def presets_of(dataset: DataSet) -> list[str]:
    """Presets in order of rising rate."""
    place = {str(r.extra["preset"]): int(r.extra["preset_index"]) for r in dataset.records}
    return sorted(place, key=lambda preset: (place[preset], preset))


def dataset_stats(dataset: DataSet) -> dict[str, Any]:
    """Counts of a data set, as JSON holds them.

    Artifacts are those that count: confirmed (or unverified as all), without duplicates.
    """
    records = {record.id: record for record in dataset.records}
    counted = [each for each in dataset.artifacts if each.counts]
    presets = presets_of(dataset)
    versions = sorted({codec_label(record) for record in dataset.records})
    types = [*ARTIFACT_TYPES]  # and those of other packages' detectors
    types += sorted({each.artifact_type for each in counted} - {*types})

    def preset_of(artifact: Artifact) -> str:
        return str(records[artifact.triplet].extra["preset"])

    def version_of(artifact: Artifact) -> str:
        return codec_label(records[artifact.triplet])

    def type_of(artifact: Artifact) -> str:
        return artifact.artifact_type

    return {
        "images": len({record.source for record in dataset.records}),
        "triplets": len(records),
        "artifact_free_triplets": sum(bool(r.artifact_free) for r in dataset.records),
        "artifacts": len(counted),
        "verified": sum(each.confirmed is True for each in counted),
        "duplicates": sum(each.is_found and not each.counts for each in dataset.artifacts),
        "refused": sum(each.confirmed is False for each in dataset.artifacts),
        "undecided": sum(
            each.confirmed is None and not each.is_found for each in dataset.artifacts
        ),
        "by_type": _counts(counted, type_of, types),
        "by_preset": _crossed(counted, preset_of, presets, type_of, types),
        "by_version": _crossed(counted, version_of, versions, type_of, types),
        "by_version_and_preset": _crossed(counted, version_of, versions, preset_of, presets),
        "by_detector": _counts(counted, lambda each: each.detector or UNKNOWN),
        "votes": _counts(
            [each for each in dataset.artifacts if each.confirmed is not None],
            lambda each: f"{each.votes_for or 0} for, {each.votes_against or 0} against",
        ),
        "box_sizes": _sizes(counted, records),
        "bits_per_pixel": _rates(dataset.records, presets),
        "codecs": {
            side: sorted({codec_label(record, side) for record in dataset.records})
            for side in SIDES
        },
        "licenses": _per_image(dataset.records, lambda license: license.license),
        "sources": _per_image(dataset.records, lambda license: license.image_source or UNKNOWN),
    }


def _counts(
    artifacts: Iterable[Artifact], name: Callable[[Artifact], str], known: Sequence[str] = ()
) -> dict[str, int]:
    found = Counter(map(name, artifacts))
    return {each: found[each] for each in known or sorted(found)}


def _crossed(
    artifacts: Sequence[Artifact],
    row: Callable[[Artifact], str],
    rows: Sequence[str],
    column: Callable[[Artifact], str],
    columns: Sequence[str],
) -> dict[str, dict[str, int]]:
    found = Counter((row(each), column(each)) for each in artifacts)
    return {a: {b: found[a, b] for b in columns} for a in rows}


def _sizes(
    artifacts: Sequence[Artifact], records: Mapping[str, TripletRecord]
) -> dict[str, dict[str, float]]:
    """Width, height and share of the image of the boxes, by quantile."""
    if not artifacts:
        return {}
    boxes = np.array([each.box for each in artifacts], np.float64)
    sizes = np.array(
        [[records[each.triplet].extra[name] for name in ("width", "height")] for each in artifacts],
        np.float64,
    )
    sides = boxes[:, 2:] - boxes[:, :2]
    values = {
        "width in pixels": sides[:, 0],
        "height in pixels": sides[:, 1],
        "share of the image": sides.prod(axis=1) / sizes.prod(axis=1),
    }
    return {
        name: {word: float(np.quantile(own, q)) for word, q in QUANTILES.items()}
        for name, own in values.items()
    }


def _rates(
    records: Sequence[TripletRecord], presets: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean rate of both sides by preset."""
    found: dict[str, dict[str, float | None]] = {}
    for preset in presets:
        own = [record for record in records if record.extra["preset"] == preset]
        rates = {side: [getattr(each, f"{side}_bpp") for each in own] for side in SIDES}
        known = {side: [each for each in some if each is not None] for side, some in rates.items()}
        found[preset] = {
            side: math.fsum(some) / len(some) if some else None for side, some in known.items()
        }
    return found


def _per_image(records: Sequence[TripletRecord], name: Callable[[Any], str]) -> dict[str, int]:
    """How many images have a licence or source, the most frequent first."""
    of_image = {record.source: name(license_of(record.extra)) for record in records}
    found = Counter(of_image.values())
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def table_one(stats: Mapping[str, Any]) -> list[CountTable]:
    """The paper's Table 1: artifacts by type, by quality preset, by codec version and preset."""
    kinds = [*stats["by_type"], TOTAL]
    total = sum(stats["by_type"].values())
    by_type = [[name, str(n), _percent(n, total)] for name, n in stats["by_type"].items()]
    return [
        CountTable("Artifacts by type", ("type", "artifacts", "share"), by_type),
        _crossed_table("Artifacts by quality preset", "preset", stats["by_preset"], kinds),
        _crossed_table("Artifacts by codec version", "codec", stats["by_version"], kinds),
        _crossed_table(
            "Artifacts by codec version and quality preset",
            "codec",
            stats["by_version_and_preset"],
            [*stats["by_preset"], TOTAL],
        ),
    ]


def further_tables(stats: Mapping[str, Any]) -> list[CountTable]:
    """The other counts."""
    numbers = ("images", "triplets", "artifact_free_triplets", "artifacts", "verified")
    rows = [(name.replace("_", " "), str(stats[name])) for name in numbers]
    rows += [(name, str(stats[name])) for name in ("duplicates", "refused", "undecided")]
    tables = [CountTable("The whole", ("what", "number"), rows)]
    names = {"by_detector": "Artifacts by detector", "votes": "Votes of decided candidates"}
    names |= {"licenses": "Images by licence", "sources": "Images by source"}
    for key, title in names.items():
        cells = [(name, str(count)) for name, count in stats[key].items()]
        tables.append(CountTable(title, (key.removeprefix("by_").rstrip("s"), "number"), cells))
    sizes = [
        (name, *(number(value, 6) for value in own.values()))
        for name, own in stats["box_sizes"].items()
    ]
    tables.append(CountTable("Sizes of boxes", ("what", *QUANTILES), sizes))
    rates = [
        (name, *(number(own[side]) for side in SIDES))
        for name, own in stats["bits_per_pixel"].items()
    ]
    tables.append(CountTable("Mean bits per pixel", ("preset", *SIDES), rates))
    return [table for table in tables if table.rows]


def _crossed_table(
    title: str, head: str, counts: Mapping[str, Mapping[str, int]], columns: Sequence[str]
) -> CountTable:
    """A row per key with its sum, and a row of sums where there are several."""
    rows = [[name, *map(str, own.values()), str(sum(own.values()))] for name, own in counts.items()]
    if len(rows) > 1:
        sums = [sum(own[column] for own in counts.values()) for column in columns[:-1]]
        rows.append([TOTAL, *map(str, sums), str(sum(sums))])
    return CountTable(title, (head, *columns), rows)


def _percent(part: int, whole: int) -> str:
    return percent(part / whole, 1) if whole else NOTHING
