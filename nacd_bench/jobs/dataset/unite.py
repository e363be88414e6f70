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
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from nacd_bench.errors import Failure
from nacd_bench.evaluation.duplicates import IOU, with_duplicates
from nacd_bench.jobs.dataset.content import CODEC_FACTS, HASHES, Artifact
from nacd_bench.jobs.dataset.licenses import License, license_of, united_licenses
from nacd_bench.runs.schema import EDGES
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import json_sha256, sha256
from nacd_bench.triplets.record import Box, TripletRecord

Part = tuple[Sequence[TripletRecord], Sequence[Artifact]]
"""The triplets of one source and their artifacts."""
Place = tuple[str, str, Box]
"""Key of the triplet, artifact type, box."""


@dataclass
class United:
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

    records: list[TripletRecord] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def unite(parts: Sequence[Part], iou: float | None = IOU) -> United:
    """Put sources together.

    Args:
        parts: at least one; ids are unique in each.
        iou: artifacts of one image and type whose boxes overlap by more are one; None: all count.
    """
    united = United()
    same: dict[str, list[TripletRecord]] = defaultdict(list)
    statements: dict[Place, list[list[Artifact]]] = defaultdict(list)
    for records, artifacts in parts:
        keys = {record.id: content_key(record) for record in records}
        for record in records:
            same[keys[record.id]].append(record)
        for place, of_place in _by_place(artifacts, keys).items():
            statements[place].append(of_place)
    triplets = _united_triplets(same, united.failures)
    artifacts = _united_artifacts(statements, triplets, united)
    if iou is not None:
        by_id = {record.id: record for record in triplets.values()}
        artifacts = deduplicated(artifacts, by_id, iou)
    counting = {artifact.triplet for artifact in artifacts if artifact.counts}
    labelled = {artifact.triplet for artifact in artifacts}
    for key, record in triplets.items():
        is_free = record.id not in labelled and all(twin.artifact_free for twin in same[key])
        if is_free or record.id in counting:
            free = is_free or None
            united.records.append(replace(record, artifact_free=free, labels=()))
    kept = {record.id for record in united.records}
    united.artifacts = [artifact for artifact in artifacts if artifact.triplet in kept]
    united.counts.update(
        triplets=sum(map(len, same.values())),
        equal_triplets=sum(map(len, same.values())) - len(same),
        renamed=sum(min(same[key], key=_rank).id != r.id for key, r in triplets.items()),
        artifacts=sum(len(artifacts) for _, artifacts in parts),
        duplicates=sum(artifact.status == "duplicates" for artifact in artifacts),
        emptied=len(triplets) - len(kept),
    )
    return united


def _by_place(
    artifacts: Sequence[Artifact], keys: Mapping[str, str]
) -> dict[Place, list[Artifact]]:
    """The artifacts of a source by place; what they are duplicates of is named by its key."""
    ids = {a.id: _artifact_key(keys[a.triplet], a) for a in artifacts}
    by_place: dict[Place, list[Artifact]] = defaultdict(list)
    for artifact in artifacts:
        place = keys[artifact.triplet], artifact.artifact_type, artifact.box
        by_place[place].append(replace(artifact, duplicate_of=ids.get(artifact.duplicate_of or "")))
    return by_place


def content_key(record: TripletRecord) -> str:
    """What two triplets share that are one: the images, and how they were made."""
    facts = [record.extra.get(name) for name in (*HASHES.values(), "preset")]
    rest = [getattr(record, name) for name in CODEC_FACTS if not name.endswith("_bpp")]
    return json_sha256([*facts, *rest])


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Names by key; those that several keys have get a part of a hash of theirs.

    >>> distinct_names({"k1": "a", "k2": "b"})
    {'k1': 'a', 'k2': 'b'}
    >>> distinct_names({"k1": "a", "k2": "a"})
    {'k1': 'a-6ab9f1eb', 'k2': 'a-015f7e6b'}
    """
    found = dict(names)
    for digits in (8, 64):
        times = Counter(found.values())
        for key, name in found.items():
            if times[name] > 1:
                found[key] = f"{names[key]}-{sha256(key)[:digits]}"
    return found


def _rank(record: TripletRecord) -> tuple[Any, ...]:
    """Decides which of equal triplets is taken, whatever the order of the sources."""
    facts = json.dumps(dict(record.extra), sort_keys=True, default=str)
    return record.id, record.source or "", facts, [getattr(record, role) for role in ROLES]


def _united_triplets(
    same: Mapping[str, Sequence[TripletRecord]], failures: list[Failure]
) -> dict[str, TripletRecord]:
    """Each triplet once by its key, under an id of its own, with facts that all agree on.

    One image has one licence, one id of its own, and presets of one name have one place in the
    order of rates. Images whose licences contradict each other are left out.
    """
    triplets = {key: min(twins, key=_rank) for key, twins in sorted(same.items())}
    stated: dict[str, set[License]] = defaultdict(set)
    for record in (record for twins in same.values() for record in twins):
        stated[_image(record)].add(license_of(record.extra))
    licenses = {image: united_licenses(several) for image, several in sorted(stated.items())}
    for image in [image for image, license in licenses.items() if license is None]:
        left_out = sorted(record.id for record in triplets.values() if _image(record) == image)
        got = " and ".join(sorted(map(str, stated[image] - {License()})))
        message = (
            f"expected one licence for an image, got {got}. Its {len(left_out)} triplets are left "
            "out. Build one of the data sets again."
        )
        failures.append(Failure(left_out[0], "", message))
    triplets = {key: r for key, r in triplets.items() if licenses[_image(r)] is not None}
    ids = distinct_names({key: record.id for key, record in triplets.items()})
    images: dict[str, str] = {}
    for record in triplets.values():
        name = record.source or record.id
        images[_image(record)] = min(name, images.get(_image(record), name))
    images = distinct_names(images)
    places = _preset_places(list(triplets.values()))
    return {
        key: replace(
            record,
            id=ids[key],
            source=images[_image(record)],
            extra={
                **record.extra,
                **licenses[_image(record)].columns,  # type: ignore[union-attr]
                "preset_index": places[str(record.extra["preset"])],
            },
        )
        for key, record in triplets.items()
    }


def _image(record: TripletRecord) -> str:
    return str(record.extra["image_sha256"])


def _preset_places(records: Sequence[TripletRecord]) -> dict[str, int]:
    """The place of each preset; where sources disagree, all are ordered by their median rate."""
    places: dict[str, set[int]] = defaultdict(set)
    rates: dict[str, list[float]] = defaultdict(list)
    for record in records:
        places[str(record.extra["preset"])].add(int(record.extra["preset_index"]))
        rates[str(record.extra["preset"])].append(record.neural_bpp or 0.0)
    if len(set().union(*places.values())) == sum(map(len, places.values())) == len(places):
        return {preset: min(several) for preset, several in places.items()}
    ordered = sorted(rates, key=lambda preset: (float(np.median(rates[preset])), preset))
    return {preset: place for place, preset in enumerate(ordered)}


def _united_artifacts(
    statements: Mapping[Place, Sequence[Sequence[Artifact]]],
    triplets: Mapping[str, TripletRecord],
    united: United,
) -> list[Artifact]:
    """Each artifact once, with what was decided about its place, under an id of its own.

    Args:
        statements: by place, the artifacts of each source.
        triplets: by key; artifacts of others are left out.
        united: contradictions and equal ones are noted there.
    """
    once: dict[str, Artifact] = {}
    given = 0
    for place, sources in sorted(statements.items()):
        key = place[0]
        if key in triplets:
            given += sum(map(len, sources))
            for artifact in _decided(sources, triplets[key].id, united.failures):
                once[_artifact_key(key, artifact)] = replace(artifact, triplet=triplets[key].id)
    united.counts["equal_artifacts"] = given - len(once)
    ids = distinct_names({key: artifact.id for key, artifact in once.items()})
    return [
        replace(artifact, id=ids[key], duplicate_of=ids.get(artifact.duplicate_of or ""))
        for key, artifact in once.items()
    ]


def _artifact_key(triplet: str, artifact: Artifact) -> str:
    """What tells an artifact from all others, given the key of its triplet."""
    return json.dumps([triplet, artifact.artifact_type, artifact.box, artifact.detector])


def _decided(
    sources: Sequence[Sequence[Artifact]], triplet: str, failures: list[Failure]
) -> list[Artifact]:
    """What is known about one place of one triplet: an artifact per detector.

    Every source has asked people of its own: votes are added. A decision stands over none. Where
    one confirms and another refuses, nothing is decided, and the votes are those of all detectors;
    a decision without votes counts as one.

    Args:
        sources: the artifacts at that place, by source.
        triplet: its name, for the failure.
        failures: where a contradiction is noted.
    """
    by_detector: dict[str, list[Artifact]] = defaultdict(list)
    for artifact in (artifact for source in sources for artifact in source):
        by_detector[artifact.detector].append(artifact)
    best = [
        replace(
            max(several, key=_weight),
            votes_for=_added(artifact.votes_for for artifact in several),
            votes_against=_added(artifact.votes_against for artifact in several),
        )
        for _, several in sorted(by_detector.items())
    ]
    decisions = {a.confirmed for source in sources for a in source} - {None}
    if len(decisions) < 2:
        return best
    # what a source says alike of two detectors was said once, about their common place
    once = [pair for source in sources for pair in {(a.confirmed, _votes(a)) for a in source}]
    votes_for, votes_against = (sum(votes[side] for _, votes in once) for side in (0, 1))
    message = (
        f"expected one decision about the {best[0].artifact_type} artifact at "
        f"{list(best[0].box)}, got one that confirms it and one that refuses it. It stays "
        f"undecided, with {votes_for} votes for and {votes_against} against. Verify it again."
    )
    failures.append(Failure(triplet, "", message))
    return [
        replace(artifact, confirmed=None, votes_for=votes_for, votes_against=votes_against)
        for artifact in best
    ]


def _votes(artifact: Artifact) -> tuple[int, int]:
    given = artifact.votes_for or 0, artifact.votes_against or 0
    alone = int(artifact.confirmed is True), int(artifact.confirmed is False)
    return given if any(given) else alone


def _added(votes: Iterable[int | None]) -> int | None:
    """The sum of votes; None where nobody was to be asked."""
    given = [count for count in votes if count is not None]
    return sum(given) if given else None


def _weight(artifact: Artifact) -> tuple[Any, ...]:
    """Of several statements about one artifact the strongest: decided, then by votes."""
    votes = (artifact.votes_for or 0) + (artifact.votes_against or 0)
    rest = artifact.is_found, artifact.confidence, artifact.id, artifact.duplicate_of or ""
    return artifact.confirmed is not None, votes, artifact.votes_for or 0, *rest


def deduplicated(
    artifacts: Sequence[Artifact], records: Mapping[str, TripletRecord], iou: float
) -> list[Artifact]:
    """The artifacts with ``duplicate_of`` set anew for those that are found.

    Args:
        artifacts: of the records.
        records: by id.
        iou: boxes that overlap by more are one artifact.
    """
    found = [artifact for artifact in artifacts if artifact.is_found]
    keepers: dict[str, str | None] = {}
    if found:
        facts = ("artifact_type", "detector", "confidence")
        rows = [
            {
                "candidate": artifact.id,
                **{name: getattr(artifact, name) for name in facts},
                **dict(zip(EDGES, artifact.box, strict=True)),
                "image_sha256": records[artifact.triplet].extra["image_sha256"],
                "preset_index": int(records[artifact.triplet].extra["preset_index"]),
            }
            for artifact in found
        ]
        table = with_duplicates(pa.Table.from_pylist(rows), iou)
        columns = (table[name].to_pylist() for name in ("candidate", "duplicate_of"))
        keepers = dict(zip(*columns, strict=True))
    ids = {artifact.id for artifact in artifacts}
    followed = dict(keepers)
    for artifact in artifacts:
        other = artifact.duplicate_of
        if artifact.id not in keepers:  # it follows the one that it was a duplicate of
            followed[artifact.id] = (keepers.get(other) or other) if other in ids else None
    return [replace(artifact, duplicate_of=followed[artifact.id]) for artifact in artifacts]
