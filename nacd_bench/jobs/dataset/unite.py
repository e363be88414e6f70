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

from nacd_bench.evaluation.duplicates import IOU, with_duplicates
from nacd_bench.jobs.dataset.content import CODEC_FACTS, EDGES, HASHES, Artifact
from nacd_bench.jobs.dataset.licenses import License, license_of, united_licenses
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import json_sha256, sha256
from nacd_bench.triplets.record import Box, Problem, TripletRecord

Part = tuple[Sequence[TripletRecord], Sequence[Artifact]]
"""The triplets of one source and their artifacts."""


@dataclass
class United:
    """What came of several sources.

    Args:
        records: the triplets, without labels.
        artifacts: their artifacts.
        problems: contradictions, each with what it cost.
        counts: how many ``triplets`` and ``artifacts`` were given, and of these how many
            ``equal_triplets``, ``equal_artifacts``, ``duplicates`` (the same artifact at another
            preset, version or detector), ``emptied`` triplets (with nothing but duplicates) and
            ``renamed`` ones there were.
    """

    records: list[TripletRecord] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def unite(parts: Sequence[Part], iou: float | None = IOU) -> United:
    """Put sources together.

    Args:
        parts: at least one; ids are unique in each.
        iou: artifacts of one image and type whose boxes overlap by more are one; None: all count.
    """
    united = United()
    united.counts["triplets"] = sum(len(records) for records, _ in parts)
    united.counts["artifacts"] = sum(len(artifacts) for _, artifacts in parts)
    by_content: dict[str, list[TripletRecord]] = defaultdict(list)
    found: dict[str, list[list[Artifact]]] = defaultdict(list)
    for records, artifacts in parts:
        keys = {record.id: content_key(record) for record in records}
        for record in records:
            by_content[keys[record.id]].append(record)
        own = {each.id: _artifact_key(keys[each.triplet], each) for each in artifacts}
        of_part: dict[str, list[Artifact]] = defaultdict(list)
        for each in artifacts:
            twin = own.get(each.duplicate_of or "")
            of_part[keys[each.triplet]].append(replace(each, duplicate_of=twin))
        for key, several in of_part.items():
            found[key].append(several)
    triplets = {key: min(same, key=_rank) for key, same in sorted(by_content.items())}
    united.counts["equal_triplets"] = united.counts["triplets"] - len(triplets)
    triplets = _with_one_license(triplets, by_content, united.problems)
    triplets = _with_image_names(_with_preset_order(triplets))
    names = distinct_names({key: record.id for key, record in triplets.items()})
    united.counts["renamed"] = sum(names[key] != record.id for key, record in triplets.items())
    artifacts = _united_artifacts({key: found[key] for key in triplets}, names, united)
    facts = {names[key]: record for key, record in triplets.items()}
    if iou is not None:
        artifacts = deduplicated(artifacts, facts, iou)
    has_one = {each.triplet for each in artifacts if each.counts}
    is_labelled = {each.triplet for each in artifacts}
    for key, record in triplets.items():
        is_free = names[key] not in is_labelled and all(r.artifact_free for r in by_content[key])
        if is_free or names[key] in has_one:
            free = True if is_free else None
            united.records.append(replace(record, id=names[key], artifact_free=free, labels=()))
    there = {record.id for record in united.records}
    united.counts["emptied"] = len(triplets) - len(there)
    united.artifacts = [each for each in artifacts if each.triplet in there]
    united.counts["duplicates"] = sum(
        each.is_found and each.duplicate_of is not None for each in artifacts
    )
    return united


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


def _with_one_license(
    triplets: Mapping[str, TripletRecord],
    by_content: Mapping[str, Sequence[TripletRecord]],
    problems: list[Problem],
) -> dict[str, TripletRecord]:
    """The triplets with what all say about the rights in their image; contradictory ones go."""
    said: dict[str, set[Any]] = defaultdict(set)
    for same in by_content.values():
        for record in same:
            said[str(record.extra["image_sha256"])].add(license_of(record.extra))
    licenses = {image: united_licenses(each) for image, each in said.items()}
    for image in sorted(image for image, license in licenses.items() if license is None):
        ids = sorted(r.id for r in triplets.values() if r.extra["image_sha256"] == image)
        got = " and ".join(sorted(map(str, said[image] - {License()})))
        problems.append(
            Problem(
                ids[0],
                f"expected one licence for an image, got {got}. Its {len(ids)} triplets are left "
                "out. Build one of the data sets again.",
            )
        )
    kept = {}
    for key, record in triplets.items():
        license = licenses[str(record.extra["image_sha256"])]
        if license is not None:
            kept[key] = replace(record, extra={**record.extra, **license.columns})
    return kept


def _with_preset_order(triplets: Mapping[str, TripletRecord]) -> dict[str, TripletRecord]:
    """Presets of one name have one place; where sources disagree, all are ordered by their rate."""
    places: dict[str, set[int]] = defaultdict(set)
    rates: dict[str, list[float]] = defaultdict(list)
    for record in triplets.values():
        places[str(record.extra["preset"])].add(int(record.extra["preset_index"]))
        rates[str(record.extra["preset"])].append(record.neural_bpp or 0.0)
    taken = Counter(place for own in places.values() for place in own)
    if all(len(own) == 1 for own in places.values()) and max(taken.values(), default=1) == 1:
        return dict(triplets)
    ordered = sorted(rates, key=lambda preset: (float(np.median(rates[preset])), preset))
    place = {preset: index for index, preset in enumerate(ordered)}
    return {
        key: replace(
            record, extra={**record.extra, "preset_index": place[str(record.extra["preset"])]}
        )
        for key, record in triplets.items()
    }


def _with_image_names(triplets: Mapping[str, TripletRecord]) -> dict[str, TripletRecord]:
    """One id for the same image, different ones for different images."""
    names: dict[str, str] = {}
    for record in triplets.values():
        image, name = str(record.extra["image_sha256"]), record.source or record.id
        names[image] = min(name, names.get(image, name))
    names = distinct_names(names)
    return {
        key: replace(record, source=names[str(record.extra["image_sha256"])])
        for key, record in triplets.items()
    }


def _united_artifacts(
    found: Mapping[str, Sequence[Sequence[Artifact]]], names: Mapping[str, str], united: United
) -> list[Artifact]:
    """Each artifact once, with what was decided about its place, under an id of its own.

    Args:
        found: by the key of their triplet, the artifacts of each source.
        names: of the triplets, by key.
        united: what is found out on the way.
    """
    once: dict[str, Artifact] = {}
    for key, sources in found.items():
        places: dict[tuple[str, Box], dict[int, list[Artifact]]] = defaultdict(dict)
        for number, own in enumerate(sources):
            for each in own:
                places[each.artifact_type, each.box].setdefault(number, []).append(each)
        for _, same in sorted(places.items()):
            for each in _decided(list(same.values()), names[key], united.problems):
                once[_artifact_key(key, each)] = replace(each, triplet=names[key])
    given = sum(len(own) for sources in found.values() for own in sources)
    united.counts["equal_artifacts"] = given - len(once)
    ids = distinct_names({key: each.id for key, each in once.items()})
    return [
        replace(each, id=ids[key], duplicate_of=ids.get(each.duplicate_of or ""))
        for key, each in once.items()
    ]


def _artifact_key(triplet: str, artifact: Artifact) -> str:
    """What tells an artifact from all others, given the key of its triplet."""
    return json.dumps([triplet, artifact.artifact_type, artifact.box, artifact.detector])


def _decided(
    sources: Sequence[Sequence[Artifact]], triplet: str, problems: list[Problem]
) -> list[Artifact]:
    """What is known about one place of one triplet: an artifact per detector.

    Every source has asked people of its own: votes are added. A decision stands over none. Where
    one confirms and another refuses, nothing is decided, and the votes are those of all detectors;
    a decision without votes counts as one.

    Args:
        sources: the artifacts at that place, by source.
        triplet: its name, for the problem.
        problems: where a contradiction is noted.
    """
    same = [each for own in sources for each in own]
    decisions = {each.confirmed for each in same} - {None}
    by_detector: dict[str, list[Artifact]] = defaultdict(list)
    for each in same:
        by_detector[each.detector].append(each)
    best = [
        replace(
            max(own, key=_weight),
            votes_for=_added(each.votes_for for each in own),
            votes_against=_added(each.votes_against for each in own),
        )
        for _, own in sorted(by_detector.items())
    ]
    if len(decisions) < 2:
        return best
    # what a source says alike of two detectors was said once, about their common place
    said = [statement for own in sources for statement in {(e.confirmed, _votes(e)) for e in own}]
    votes_for, votes_against = (
        sum(each) for each in zip(*(votes for _, votes in said), strict=True)
    )
    problems.append(
        Problem(
            triplet,
            f"expected one decision about the {best[0].artifact_type} artifact at "
            f"{list(best[0].box)}, got one that confirms it and one that refuses it. It stays "
            f"undecided, with {votes_for} votes for and {votes_against} against. Verify it again.",
        )
    )
    return [
        replace(each, confirmed=None, votes_for=votes_for, votes_against=votes_against)
        for each in best
    ]


def _votes(artifact: Artifact) -> tuple[int, int]:
    given = artifact.votes_for or 0, artifact.votes_against or 0
    alone = int(artifact.confirmed is True), int(artifact.confirmed is False)
    return given if any(given) else alone


def _added(votes: Iterable[int | None]) -> int | None:
    """The sum of votes; None where nobody was to be asked."""
    given = [each for each in votes if each is not None]
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
    import pyarrow as pa

    found = [each for each in artifacts if each.is_found]
    columns: dict[str, list[Any]] = {
        "candidate": [each.id for each in found],
        "image_sha256": [records[each.triplet].extra["image_sha256"] for each in found],
        "artifact_type": [each.artifact_type for each in found],
        "preset_index": [int(records[each.triplet].extra["preset_index"]) for each in found],
        "detector": [each.detector for each in found],
        "confidence": [each.confidence for each in found],
    }
    columns |= {edge: [each.box[i] for each in found] for i, edge in enumerate(EDGES)}
    twins = with_duplicates(pa.table(columns), iou)["duplicate_of"].to_pylist() if found else []
    keeper = dict(zip(columns["candidate"], twins, strict=True))
    ids = {each.id for each in artifacts}
    return [replace(each, duplicate_of=_keeper(each, keeper, ids)) for each in artifacts]


def _keeper(artifact: Artifact, keeper: Mapping[str, str | None], ids: Iterable[str]) -> str | None:
    if artifact.id in keeper:
        return keeper[artifact.id]
    other = artifact.duplicate_of
    if other is None or other not in ids:
        return None
    return keeper.get(other) or other
