"""``nacd-bench dataset check``: whether a data set is whole and says the same everywhere."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.dataset.coco import coco
from nacd_bench.jobs.dataset.content import (
    ARTIFACTS,
    CARD,
    CHECKSUMS,
    COCO,
    HASHES,
    IMAGE_FACTS,
    IMAGES,
    TRIPLETS,
    Artifact,
    DataSet,
    read_artifacts,
    relative,
)
from nacd_bench.jobs.dataset.licenses import UNKNOWN, License, license_of, united_licenses
from nacd_bench.runs.schema import SETTINGS
from nacd_bench.triplets.files import composed, sha256
from nacd_bench.triplets.images import content_hash, pixels_sha256, read_8_bit
from nacd_bench.triplets.manifest import parse_manifest
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.text_files import lines_of, read_json, read_text
from nacd_bench.triplets.validate import validate

MOST_WORKERS = 8
TABLES = (TRIPLETS, ARTIFACTS, COCO, CARD, SETTINGS)
AGAIN = "Build the data set again."


@dataclass
class Checked:
    """What a check found.

    Args:
        faults: a line each.
        remarks: what is no fault but should be known.
        triplets, files: how many were looked at.
    """

    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    triplets: int = 0
    files: int = 0


def check(
    folder: str | Path,
    require_licenses: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Every fault of a data set.

    Args:
        folder: the data set.
        require_licenses: an unknown licence is a fault.
        workers: threads that read; None: one per processor, at most 8.
        progress: called as ``progress(done, total)`` after each triplet.

    Raises:
        DataError: no manifest that can be read as a table.
    """
    folder = Path(folder)
    if not (folder / TRIPLETS).is_file():
        raise DataError(
            f"expected the folder of a data set from nacd-bench dataset build, got {folder}, which "
            f"has no {TRIPLETS}. Name that folder."
        )
    workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    checked = Checked()
    hashes = _checksums(folder, checked.faults)
    records, problems = parse_manifest(folder / TRIPLETS)
    elsewhere = [
        (record, role)
        for record in records
        for role in HASHES
        if relative(getattr(record, role), folder) not in hashes
    ]
    with ThreadPoolExecutor(workers) as pool:
        checked.faults += filter(None, pool.map(partial(_file_fault, folder), hashes.items()))
        wrong, _ = validate(records, problems, progress, workers)
        checked.faults += (problem.message for problem in wrong)
        checked.faults += filter(None, pool.map(_changed_image, elsewhere))
    for record in records:
        lacking = [name for name in (*IMAGE_FACTS, *HASHES.values()) if name not in record.extra]
        if lacking:
            names = ", ".join(dict.fromkeys(lacking))
            checked.faults.append(f"{record.place}: expected a value in {names}, got none. {AGAIN}")
    _check_licenses(checked, records, require_licenses)
    try:
        artifacts = read_artifacts(folder / ARTIFACTS)
        checked.faults += _artifact_faults(artifacts, records)
        checked.faults += _coco_faults(folder, artifacts, records)
    except UserError as error:
        checked.faults.append(str(error))
    checked.triplets, checked.files = len(records), len(hashes) + len(elsewhere)
    return checked


def _checksums(folder: Path, faults: list[str]) -> dict[str, str]:
    """Hash by name from ``checksums.sha256``; what is wrong with the list is noted."""
    path = folder / CHECKSUMS
    try:
        lines = lines_of(read_text(path, "a list of checksums"))
    except DataError as error:
        faults.append(str(error))
        return {}
    hashes = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([^/].*)", line)
        if match and ".." not in PurePosixPath(match[2]).parts:
            hashes[match[2]] = match[1]
        elif line.strip():
            faults.append(
                f"{path} line {number}: expected a SHA-256 and a file of this folder, got "
                f"{line[:80]!r}. Copy the list from the source again."
            )
    listed = {composed(str(PurePosixPath(name))) for name in hashes}
    images = sorted(path for path in (folder / IMAGES).rglob("*") if path.is_file())
    for name in (*TABLES, *(relative(str(path), folder) for path in images)):
        if composed(name) not in listed:
            faults.append(
                f"{folder / name}: expected its checksum in {CHECKSUMS}, got none. Remove the "
                "file, or copy the list from the source again."
            )
    return dict(sorted(hashes.items()))


def _file_fault(folder: Path, listed: tuple[str, str]) -> str | None:
    name, digest = listed
    try:
        content = sha256((folder / name).read_bytes())
    except OSError as error:
        return (
            f"{folder / name}: expected the file that {CHECKSUMS} lists, got {error.strerror}. "
            "Copy it again."
        )
    if content != digest:
        return (
            f"{folder / name}: expected SHA-256 {digest[:12]}..., got {content[:12]}...: the file "
            "was changed. Copy it again, or build the data set again."
        )
    return None


def _changed_image(piece: tuple[TripletRecord, str]) -> str | None:
    """An image outside the folder that is not what it was; one that cannot be read is known."""
    record, role = piece
    path, wanted = getattr(record, role), record.extra.get(HASHES[role])
    try:
        is_file = role == "original"
        found = content_hash(path) if is_file else pixels_sha256(read_8_bit(path)[0])
    except UserError:
        return None
    if found == wanted:
        return None
    return (
        f"{record.place}, {role}: expected the image with SHA-256 {str(wanted)[:12]}..., got "
        f"another one in {path}. Put it back as it was, or build the data set again."
    )


def _check_licenses(checked: Checked, records: Sequence[TripletRecord], required: bool) -> None:
    of_image: dict[str, set[License]] = defaultdict(set)
    for record in records:
        if "license" not in record.extra:
            checked.faults.append(
                f"{record.place}: expected a licence, or {UNKNOWN}, got an empty cell. Fill it."
            )
        of_image[str(record.extra.get("image_sha256"))].add(license_of(record.extra))
    for image, licenses in sorted(of_image.items()):
        if united_licenses(licenses) is None:
            got = " and ".join(sorted(map(str, licenses)))
            checked.faults.append(
                f"image {image[:12]}...: expected one licence, got {got}. {AGAIN}"
            )
    unknown = sum(any(own.license == UNKNOWN for own in some) for some in of_image.values())
    if unknown:
        line = f"the licence of {unknown} of {len(of_image)} images is unknown."
        (checked.faults if required else checked.remarks).append(line)


def _artifact_faults(
    artifacts: Sequence[Artifact], records: Sequence[TripletRecord]
) -> Iterator[str]:
    """Where ``artifacts.parquet`` and the manifest's labels differ."""
    ids = Counter(artifact.id for artifact in artifacts)
    triplets = {record.id for record in records}
    labels: dict[str, Counter[Any]] = defaultdict(Counter)
    for artifact in artifacts:
        labels[artifact.triplet][artifact.label] += 1
        twin = artifact.duplicate_of
        for is_wrong, what, got in (
            (ids[artifact.id] > 1, "ids that differ", f"{artifact.id} {ids[artifact.id]} times"),
            (artifact.triplet not in triplets, "triplets of the manifest", artifact.triplet),
            (twin is not None and twin not in ids, "duplicate_of to name an artifact", twin),
        ):
            if is_wrong:
                yield f"{ARTIFACTS}, {artifact.id}: expected {what}, got {got}. {AGAIN}"
    for record in records:
        own = Counter(record.labels)
        if own != labels[record.id]:
            yield (
                f"{record.place}: expected the labels that {ARTIFACTS} has, got "
                f"{len(record.labels)} of which {len(own - labels[record.id])} are others. {AGAIN}"
            )


def _coco_faults(
    folder: Path, artifacts: Sequence[Artifact], records: Sequence[TripletRecord]
) -> Iterator[str]:
    """Where ``annotations.json`` is no COCO, or not what is made of the tables."""
    triplets = {record.id for record in records}
    usable = [a for a in artifacts if a.triplet in triplets and a.artifact_type in ARTIFACT_TYPES]
    try:
        content = read_json(folder / COCO, "annotations")
        expected = coco(DataSet.of(records, usable, {}), folder, "")
        for section in ("images", "annotations", "categories", "licenses"):
            entries, wanted = map(_counted, (content[section], expected[section]))
            odd = sorted((entries - wanted) + (wanted - entries))
            if odd:
                yield (
                    f"{folder / COCO}: expected {section} as {TRIPLETS} and {ARTIFACTS} say, got "
                    f"others: {', '.join(odd)[:200]}. {AGAIN}"
                )
    except (LookupError, TypeError) as error:
        yield (
            f"{folder / COCO}: expected annotations as COCO, got {type(error).__name__}: {error}. "
            f"Copy it again, or build the data set again."
        )


def _counted(entries: Sequence[Mapping[str, Any]]) -> Counter[str]:
    return Counter(composed(json.dumps(entry, sort_keys=True)) for entry in entries)
