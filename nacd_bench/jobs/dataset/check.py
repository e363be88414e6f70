"""``nacd-bench dataset check``: whether a data set is whole and says the same everywhere."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nacd_bench.errors import DataError, UserError
from nacd_bench.runs.dataset import (
    ARTIFACTS,
    CHECKSUMS,
    COCO,
    HASHES,
    IMAGE_FACTS,
    TABLES,
    Artifact,
    coco,
    dataset_of,
    read_artifacts,
    relative,
)
from nacd_bench.runs.schema import IMAGES, TRIPLETS
from nacd_bench.triplets.files import composed, sha256
from nacd_bench.triplets.images import content_hash, pixels_sha256, read_8_bit
from nacd_bench.triplets.licenses import UNKNOWN, License, license_of, united_licenses
from nacd_bench.triplets.loading import MOST_WORKERS, validate
from nacd_bench.triplets.manifest import parse_manifest
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.text_files import lines_of, read_json, read_text

AGAIN = "Build the data set again."


class Checked(NamedTuple):
    """What a check found.

    Args:
        faults: a line each.
        remarks: what is no fault but should be known.
        triplets, files: how many were looked at.
    """

    faults: list[str]
    remarks: list[str]
    triplets: int
    files: int


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
    hashes, faults = _checksums(folder)
    records, problems = parse_manifest(folder / TRIPLETS)
    elsewhere = [
        (record, role)
        for record in records
        for role in HASHES
        if relative(getattr(record, role), folder) not in hashes
    ]
    with ThreadPoolExecutor(workers) as pool:
        faults += filter(None, pool.map(partial(_file_fault, folder), hashes.items()))
        faults += (problem.message for problem in validate(records, problems, progress, workers)[0])
        faults += filter(None, pool.map(_changed_image, elsewhere))
    rights: dict[str, set[License]] = defaultdict(set)
    for record in records:
        names = (*IMAGE_FACTS, *HASHES.values(), "license")
        lacking = dict.fromkeys(name for name in names if name not in record.extra)
        if lacking:
            fault = f"{record.place}: expected a value in {', '.join(lacking)}, got none."
            faults.append(f"{fault} {AGAIN}")
        rights[str(record.extra.get("image_sha256"))].add(license_of(record.extra))
    for image, licenses in sorted(rights.items()):
        if united_licenses(licenses) is None:
            got = " and ".join(sorted(map(str, licenses)))
            faults.append(f"image {image[:12]}...: expected one licence, got {got}. {AGAIN}")
    unknown = sum(any(one.license == UNKNOWN for one in several) for several in rights.values())
    line = f"the licence of {unknown} of {len(rights)} images is unknown."
    remarks = [line] if unknown else []
    try:
        artifacts = read_artifacts(folder / ARTIFACTS)
        faults += _artifact_faults(folder, artifacts, records)
    except UserError as error:
        faults.append(str(error))
    if require_licenses:
        faults, remarks = [*faults, *remarks], []
    return Checked(faults, remarks, len(records), len(hashes) + len(elsewhere))


def _checksums(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Hash by name from ``checksums.sha256``, and what is wrong with the list."""
    path = folder / CHECKSUMS
    try:
        lines = lines_of(read_text(path, "a list of checksums"))
    except DataError as error:
        return {}, [str(error)]
    hashes, faults = {}, []
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
    faults += (
        f"{folder / name}: expected its checksum in {CHECKSUMS}, got none. Remove the file, or "
        "copy the list from the source again."
        for name in (*TABLES, *(relative(str(path), folder) for path in images))
        if composed(name) not in listed
    )
    return dict(sorted(hashes.items())), faults


def _file_fault(folder: Path, listed: tuple[str, str]) -> str | None:
    name, digest = listed
    try:
        content = sha256((folder / name).read_bytes())
    except OSError as error:
        return (
            f"{folder / name}: expected the file that {CHECKSUMS} lists, got {error.strerror}. "
            "Copy it again."
        )
    if content == digest:
        return None
    return (
        f"{folder / name}: expected SHA-256 {digest[:12]}..., got {content[:12]}...: the file was "
        "changed. Copy it again, or build the data set again."
    )


def _changed_image(piece: tuple[TripletRecord, str]) -> str | None:
    """An image outside the folder that is not what it was; one that cannot be read is known."""
    record, role = piece
    path, wanted = getattr(record, role), record.extra.get(HASHES[role])
    try:
        is_file = role == "original"
        digest = content_hash(path) if is_file else pixels_sha256(read_8_bit(path)[0])
    except UserError:
        return None
    if digest == wanted:
        return None
    return (
        f"{record.place}, {role}: expected the image with SHA-256 {str(wanted)[:12]}..., got "
        f"another one in {path}. Put it back as it was, or build the data set again."
    )


def _artifact_faults(
    folder: Path, artifacts: Sequence[Artifact], records: Sequence[TripletRecord]
) -> Iterator[str]:
    """Where ``artifacts.parquet`` and the manifest's labels differ, and the COCO file from both."""
    ids = Counter(artifact.id for artifact in artifacts)
    triplets = {record.id for record in records}
    for artifact in artifacts:
        twin = artifact.duplicate_of
        for is_wrong, what, got in (
            (ids[artifact.id] > 1, "ids that differ", f"{artifact.id} {ids[artifact.id]} times"),
            (artifact.triplet not in triplets, "triplets of the manifest", artifact.triplet),
            (twin is not None and twin not in ids, "duplicate_of to name an artifact", twin),
        ):
            if is_wrong:
                yield f"{ARTIFACTS}, {artifact.id}: expected {what}, got {got}. {AGAIN}"
    labelled = {record.id: record for record in dataset_of(records, artifacts, {}).records}
    for record in records:
        others = Counter(record.labels) - Counter(labelled[record.id].labels)
        if others or len(record.labels) != len(labelled[record.id].labels):
            yield (
                f"{record.place}: expected the labels that {ARTIFACTS} has, got "
                f"{len(record.labels)} of which {others.total()} are others. {AGAIN}"
            )
    usable = [a for a in artifacts if a.triplet in triplets and a.artifact_type in ARTIFACT_TYPES]
    expected = coco(dataset_of(records, usable, {}), folder, "")
    content = read_json(folder / COCO, "annotations")
    for section in ("images", "annotations", "categories", "licenses"):
        entries = content.get(section) if isinstance(content, dict) else None
        texts = [
            composed(json.dumps(part, sort_keys=True)) for part in (entries, expected[section])
        ]
        if texts[0] != texts[1]:
            yield (
                f"{folder / COCO}: expected {section} as {TRIPLETS} and {ARTIFACTS} say, got "
                f"others. Copy it again, or build the data set again."
            )
