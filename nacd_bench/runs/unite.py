"""Triplets and artifacts of several sources as one, whatever the order of the sources.

What is equal is there once, what people said about it is put together, names that stand for
different things get a part of a hash, and an artifact that is there at several presets, or in
several versions of a codec, counts once: at the highest preset
(:mod:`nacd_bench.evaluation.duplicates`).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nacd_bench.errors import Failure
from nacd_bench.evaluation.duplicates import IOU, keepers, strongest_first
from nacd_bench.runs.dataset import HASHES, REFUSED, Artifact
from nacd_bench.runs.schema import CODECS, EDGES, PLACE
from nacd_bench.triplets.files import json_sha256, sha256
from nacd_bench.triplets.licenses import License, license_of, united_licenses
from nacd_bench.triplets.record import ROLES, TripletRecord

BITSTREAM = ".bin"
"""What the path of a decode ends with that has to be made again."""
Part = tuple[Sequence[TripletRecord], Sequence[Artifact]]
"""The triplets of one source and their artifacts."""


class United(NamedTuple):
    """What several sources are together.

    Args:
        records: the triplets, without labels.
        artifacts: their artifacts.
        failures: contradictions, each with what it cost.
        counts: how many ``triplets`` and ``artifacts`` were given, and of these how many
            ``equal_triplets``, ``equal_artifacts``, ``duplicates`` (the same artifact at another
            preset, version or detector), ``emptied`` triplets (with nothing but duplicates) and
            ``renamed`` ones there were.
    """

    records: list[TripletRecord]
    artifacts: list[Artifact]
    failures: list[Failure]
    counts: dict[str, int]


def unite(parts: Iterable[Part], iou: float | None = IOU) -> United:
    """Put sources together.

    Args:
        parts: ids are unique in each.
        iou: artifacts of one image and type whose boxes overlap by more are one; None: all count.
    """
    twins: dict[str, list[TripletRecord]] = defaultdict(list)
    statements: dict[tuple[Any, ...], list[Artifact]] = defaultdict(list)
    for records, stated in parts:
        keys = {record.id: content_key(record) for record in records}
        for record in records:
            twins[keys[record.id]].append(record)
        for artifact in stated:
            key = keys[artifact.triplet]
            statements[key, artifact.artifact_type, artifact.box].append(artifact)
    failures: list[Failure] = []
    triplets = _united_triplets(twins, failures)
    usable = [pair for pair in sorted(statements.items()) if pair[0][0] in triplets]
    once: dict[str, Artifact] = {}
    for (key, *place), of_place in usable:
        for artifact in _decided(of_place, triplets[key].id, failures):
            name = json.dumps([key, *place, artifact.detector])
            once[name] = replace(artifact, triplet=triplets[key].id)
    ids = distinct_names({key: artifact.id for key, artifact in once.items()})
    named = [replace(artifact, id=ids[key]) for key, artifact in once.items()]
    artifacts = deduplicated(named, triplets.values(), iou)
    kept = _kept(triplets, twins, artifacts)
    counts = {
        "triplets": sum(map(len, twins.values())),
        "equal_triplets": sum(map(len, twins.values())) - len(twins),
        "renamed": sum(all(r.id != t.id for t in twins[key]) for key, r in triplets.items()),
        "artifacts": sum(map(len, statements.values())),
        "equal_artifacts": sum(len(of_place) for _, of_place in usable) - len(once),
        "duplicates": sum(artifact.status == "duplicates" for artifact in artifacts),
        "emptied": len(triplets) - len(kept),
    }
    artifacts = [artifact for artifact in artifacts if artifact.triplet in kept]
    return United(list(kept.values()), artifacts, failures, counts)


def _kept(
    triplets: Mapping[str, TripletRecord],
    twins: Mapping[str, Sequence[TripletRecord]],
    artifacts: Sequence[Artifact],
) -> dict[str, TripletRecord]:
    """By id, the triplets with an artifact that counts, those of which everything was refused, and
    those that are free in all sources."""
    counting = {artifact.triplet for artifact in artifacts if artifact.counts}
    labelled = {artifact.triplet for artifact in artifacts}
    counting |= labelled - {a.triplet for a in artifacts if a.status != REFUSED}
    kept = {}
    for key, record in triplets.items():
        is_free = record.id not in labelled and all(twin.artifact_free for twin in twins[key])
        if is_free or record.id in counting:
            kept[record.id] = replace(record, artifact_free=is_free or None, labels=())
    return kept


def content_key(record: TripletRecord) -> str:
    """What two triplets share that are one: the images, and how they were made."""
    facts = [record.extra.get(name) for name in (*HASHES.values(), "preset")]
    rest = [getattr(record, name) for name in CODECS if not name.endswith("_bpp")]
    return json_sha256([*facts, *rest])


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Names by key; those that several keys have get a part of a hash of theirs.

    >>> distinct_names({"k1": "a", "k2": "b"})
    {'k1': 'a', 'k2': 'b'}
    >>> distinct_names({"k1": "a", "k2": "a"})
    {'k1': 'a-6ab9f1eb', 'k2': 'a-015f7e6b'}
    """
    distinct = dict(names)
    for digits in (8, 64):
        times = Counter(distinct.values())
        for key, name in distinct.items():
            if times[name] > 1:
                distinct[key] = f"{names[key]}-{sha256(key)[:digits]}"
    return distinct


def _rank(record: TripletRecord) -> tuple[Any, ...]:
    """Decides which of equal triplets is taken, whatever the order of the sources."""
    facts = json.dumps(dict(record.extra), sort_keys=True, default=str)
    return record.id, record.source or "", facts, [getattr(record, role) for role in ROLES]


def _united_triplets(
    twins: Mapping[str, Sequence[TripletRecord]], failures: list[Failure]
) -> dict[str, TripletRecord]:
    """Each triplet once by its key, under an id of its own, with facts that all agree on.

    One image has one licence, one file, one name, and presets of one name have one place in the
    order of rates. Images whose licences contradict each other are left out.
    """
    images: dict[str, list[TripletRecord]] = defaultdict(list)
    for record in chain.from_iterable(twins.values()):
        images[record.extra["image_sha256"]].append(record)
    licenses: dict[str, License] = {}
    for image, records in sorted(images.items()):
        stated = {license_of(record.extra) for record in records}
        license = united_licenses(stated)
        if license is not None:
            licenses[image] = license
            continue
        left_out = sorted({record.id for record in records})
        message = (
            "expected one licence for an image, got "
            f"{' and '.join(sorted(map(str, stated - {License()})))}. Its {len(left_out)} triplets "
            "are left out. Build one of the data sets again."
        )
        failures.append(Failure(left_out[0], "", message))
    once = {
        key: min(same, key=_rank)
        for key, same in sorted(twins.items())
        if same[0].extra["image_sha256"] in licenses
    }
    ids = distinct_names({key: record.id for key, record in once.items()})
    sources = distinct_names(
        {image: min(record.source or record.id for record in images[image]) for image in licenses}
    )
    places = _preset_places(once.values())
    united = {}
    for key, record in once.items():
        image = record.extra["image_sha256"]
        paths = {
            role: min(
                (getattr(twin, role) for twin in same),
                key=lambda path: (path.endswith(BITSTREAM), path),
            )
            for role, same in zip(ROLES, (images[image], twins[key], twins[key]), strict=True)
        }
        facts = {**licenses[image].columns, "preset_index": places[record.extra["preset"]]}
        united[key] = replace(
            record, id=ids[key], source=sources[image], extra={**record.extra, **facts}, **paths
        )
    return united


def _preset_places(records: Iterable[TripletRecord]) -> dict[str, int]:
    """The place of each preset; where sources disagree, all are ordered by their median rate."""
    places: dict[str, set[int]] = defaultdict(set)
    rates: dict[str, list[float]] = defaultdict(list)
    for record in records:
        places[record.extra["preset"]].add(int(record.extra["preset_index"]))
        rates[record.extra["preset"]].append(record.neural_bpp or 0.0)
    if len(set().union(*places.values())) == sum(map(len, places.values())) == len(places):
        return {preset: min(several) for preset, several in places.items()}
    ordered = sorted(rates, key=lambda preset: (float(np.median(rates[preset])), preset))
    return {preset: place for place, preset in enumerate(ordered)}


def _decided(
    statements: Sequence[Artifact], triplet: str, failures: list[Failure]
) -> list[Artifact]:
    """What is known about one place of one triplet: an artifact per detector.

    Every source has asked people of its own: votes are added. A decision stands over none. Where
    one confirms and another refuses, nothing is decided.

    Args:
        statements: the artifacts of all sources at that place.
        triplet: its name, for the failure.
        failures: where a contradiction is noted.
    """
    by_detector: dict[str, list[Artifact]] = defaultdict(list)
    for artifact in statements:
        by_detector[artifact.detector].append(artifact)
    decided = [
        replace(
            max(several, key=_weight),
            found_by=strongest_first(artifact.found_by for artifact in several),
            presets=tuple(sorted({name for artifact in several for name in artifact.presets})),
            votes_for=_added(artifact.votes_for for artifact in several),
            votes_against=_added(artifact.votes_against for artifact in several),
        )
        for _, several in sorted(by_detector.items())
    ]
    if len({artifact.confirmed for artifact in statements} - {None}) < 2:
        return decided
    votes = [(artifact.votes_for or 0, artifact.votes_against or 0) for artifact in decided]
    votes_for, votes_against = map(max, zip(*votes, strict=True))
    message = (
        f"expected one decision about the {decided[0].artifact_type} artifact at "
        f"{list(decided[0].box)}, got one that confirms it and one that refuses it. It stays "
        f"undecided, with {votes_for} votes for and {votes_against} against. Verify it again."
    )
    failures.append(Failure(triplet, "", message))
    return [
        replace(artifact, confirmed=None, votes_for=votes_for, votes_against=votes_against)
        for artifact in decided
    ]


def _added(votes: Iterable[int | None]) -> int | None:
    """The sum of votes; None where nobody was to be asked."""
    given = [count for count in votes if count is not None]
    return sum(given) if given else None


def _weight(artifact: Artifact) -> tuple[Any, ...]:
    """Of several statements about one artifact the strongest: decided, then by votes."""
    votes = (artifact.votes_for or 0) + (artifact.votes_against or 0)
    rest = artifact.votes_for or 0, artifact.is_found, artifact.confidence, artifact.id
    return artifact.confirmed is not None, votes, *rest


def deduplicated(
    artifacts: Sequence[Artifact], records: Iterable[TripletRecord], iou: float | None
) -> list[Artifact]:
    """The artifacts with ``duplicate_of`` set anew; those that are found stand for the others.

    Args:
        artifacts: of the records.
        records: the triplets.
        iou: boxes that overlap by more are one artifact; None: none is a duplicate.
    """
    if iou is None or not artifacts:
        return [replace(artifact, duplicate_of=None) for artifact in artifacts]
    facts = {record.id: record.extra for record in records}
    rows = [
        {
            "candidate": artifact.id,
            **{name: getattr(artifact, name) for name in PLACE if name not in EDGES},
            **dict(zip(EDGES, artifact.box, strict=True)),
            **{name: facts[artifact.triplet][name] for name in ("image_sha256", "preset_index")},
        }
        for artifact in artifacts
    ]
    is_found = np.array([artifact.is_found for artifact in artifacts])
    kept = [artifacts[place] for place in keepers(pa.Table.from_pylist(rows), iou, is_found)]
    found_by: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    presets: dict[str, set[str]] = defaultdict(set)
    for artifact, keeper in zip(artifacts, kept, strict=True):
        presets[keeper.id].update(artifact.presets)
        if artifact.triplet == keeper.triplet:
            found_by[keeper.id].append(artifact.found_by)
    return [
        replace(
            artifact,
            duplicate_of=None if keeper is artifact else keeper.id,
            found_by=strongest_first(found_by[artifact.id] or [artifact.found_by]),
            presets=tuple(sorted(presets[artifact.id] or artifact.presets)),
        )
        for artifact, keeper in zip(artifacts, kept, strict=True)
    ]
