"""``nacd-bench dataset check``: whether a data set is whole and says the same everywhere."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.dataset.coco import CATEGORIES
from nacd_bench.jobs.dataset.content import (
    ARTIFACTS,
    CARD,
    CHECKSUMS,
    COCO,
    HASHES,
    IMAGES,
    TRIPLETS,
    Artifact,
    read_artifacts,
    relative,
)
from nacd_bench.jobs.dataset.licenses import UNKNOWN, license_of, united_licenses
from nacd_bench.runs.schema import SETTINGS
from nacd_bench.triplets.files import composed, sha256
from nacd_bench.triplets.images import content_hash, pixels_sha256, read_8_bit
from nacd_bench.triplets.manifest import parse_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.text_files import lines_of, read_json, read_text
from nacd_bench.triplets.validate import validate

MOST_WORKERS = 8
TABLES = (TRIPLETS, ARTIFACTS, COCO, CARD, SETTINGS)


@dataclass
class Checked:
    """What came of a check.

    Args:
        folder: the data set.
        faults: a line each.
        remarks: what is no fault but should be known.
        triplets, files: how many were looked at.
    """

    folder: Path
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
    done = Checked(folder)
    hashes = _checksums(done)
    done.faults += _in_threads(workers, partial(_file_fault, folder), sorted(hashes.items()))
    records, problems = parse_manifest(folder / TRIPLETS)
    done.triplets = len(records)
    done.faults += [str(each) for each in validate(records, problems, progress, workers)[0]]
    done.faults += _fact_faults(records)
    elsewhere = [
        (record, role)
        for record in records
        for role in HASHES
        if relative(getattr(record, role), folder) not in hashes
    ]
    done.faults += _in_threads(workers, _changed_image, elsewhere)
    done.files = len(hashes) + len(elsewhere)
    _check_licenses(done, records, require_licenses)
    by_id = {record.id: record for record in records}
    try:
        artifacts = read_artifacts(folder / ARTIFACTS)
    except UserError as error:
        done.faults.append(str(error))
    else:
        done.faults += _artifact_faults(artifacts, by_id)
        done.faults += _coco_faults(folder, artifacts, by_id)
    return done


def _checksums(done: Checked) -> dict[str, str]:
    """Hash by name from ``checksums.sha256``; what is wrong with the list is noted."""
    path = done.folder / CHECKSUMS
    try:
        lines = lines_of(read_text(path, "a list of checksums"))
    except DataError as error:
        done.faults.append(str(error))
        return {}
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        place = PurePosixPath(match[2]) if match else PurePosixPath("/")
        if match is None or place.is_absolute() or ".." in place.parts:
            done.faults.append(
                f"{path} line {number}: expected a SHA-256 and a file of this folder, got "
                f"{line[:80]!r}. Copy the list from the source again."
            )
        else:
            found[match[2]] = match[1]
    listed = {composed(str(PurePosixPath(name))) for name in found}
    images = (done.folder / IMAGES).rglob("*")
    there = [relative(str(each), done.folder) for each in sorted(images) if each.is_file()]
    for name in (*TABLES, *there):
        if composed(name) not in listed:
            done.faults.append(
                f"{done.folder / name}: expected its checksum in {CHECKSUMS}, got none. Remove the "
                "file, or copy the list from the source again."
            )
    return found


def _in_threads(
    workers: int, fault: Callable[[Any], str | None], pieces: list[Any]
) -> Iterator[str]:
    with ThreadPoolExecutor(workers) as pool:
        yield from (line for line in pool.map(fault, pieces) if line)


def _file_fault(folder: Path, listed: tuple[str, str]) -> str | None:
    name, digest = listed
    try:
        found = sha256((folder / name).read_bytes())
    except OSError as error:
        return (
            f"{folder / name}: expected the file that {CHECKSUMS} lists, got {error.strerror}. "
            "Copy it again."
        )
    if found != digest:
        return (
            f"{folder / name}: expected SHA-256 {digest[:12]}..., got {found[:12]}...: the file "
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


def _fact_faults(records: list[TripletRecord]) -> Iterator[str]:
    for record in records:
        wanted = ("width", "height", "preset", "preset_index", *HASHES.values())
        lacking = [name for name in wanted if record.extra.get(name) is None]
        if lacking:
            yield (
                f"{record.place}: expected a value in {', '.join(lacking)}, got none. Build the "
                "data set again."
            )


def _check_licenses(done: Checked, records: list[TripletRecord], required: bool) -> None:
    of_image: dict[str, set[Any]] = defaultdict(set)
    for record in records:
        if "license" not in record.extra:
            done.faults.append(
                f"{record.place}: expected a licence, or {UNKNOWN}, got an empty cell. Fill it."
            )
        of_image[str(record.extra.get("image_sha256"))].add(license_of(record.extra))
    for image, licenses in sorted(of_image.items()):
        if united_licenses(licenses) is None:
            done.faults.append(
                f"image {image[:12]}...: expected one licence, got "
                f"{' and '.join(sorted(map(str, licenses)))}. Build the data set again."
            )
    unknown = sum(any(each.license == UNKNOWN for each in some) for some in of_image.values())
    if unknown:
        line = f"the licence of {unknown} of {len(of_image)} images is unknown."
        (done.faults if required else done.remarks).append(line)


def _artifact_faults(
    artifacts: list[Artifact], records: Mapping[str, TripletRecord]
) -> Iterator[str]:
    """Where ``artifacts.parquet`` and the manifest's labels differ."""
    ids = Counter(each.id for each in artifacts)
    labels: dict[str, Counter[Any]] = defaultdict(Counter)
    for each in artifacts:
        labels[each.triplet][each.label] += 1
        if ids[each.id] > 1:
            yield f"{ARTIFACTS}: expected ids that differ, got {each.id} {ids[each.id]} times."
        if each.triplet not in records:
            yield (
                f"{ARTIFACTS}: expected triplets of the manifest, got {each.triplet} in artifact "
                f"{each.id}. Build the data set again."
            )
        if each.duplicate_of is not None and each.duplicate_of not in ids:
            yield (
                f"{ARTIFACTS}: expected duplicate_of to name an artifact, got {each.duplicate_of} "
                f"in {each.id}. Build the data set again."
            )
    for name, record in records.items():
        if Counter(record.labels) != labels[name]:
            yield (
                f"{record.place}: expected the labels that {ARTIFACTS} has, got "
                f"{len(record.labels)} of which {len(Counter(record.labels) - labels[name])} are "
                "others. Build the data set again."
            )


def _coco_faults(
    folder: Path, artifacts: list[Artifact], records: Mapping[str, TripletRecord]
) -> Iterator[str]:
    """Where ``annotations.json`` is no COCO or differs from the tables."""
    try:
        content = read_json(folder / COCO, "annotations")
        images = {each["id"]: each for each in content["images"]}
        wanted_images = Counter(
            (composed(relative(r.neural, folder)), r.extra.get("width"), r.extra.get("height"))
            for r in records.values()
        )
        got_images = Counter(
            (composed(i["file_name"]), i["width"], i["height"]) for i in images.values()
        )
        licenses = {each["id"] for each in content["licenses"]}
        found = Counter(
            (composed(images[each["image_id"]]["file_name"]), each["category_id"], *each["bbox"])
            for each in content["annotations"]
        )
        ids = [each["id"] for each in content["annotations"]]
        names = {each["name"]: each["id"] for each in content["categories"]}
        unlicensed = [i["file_name"] for i in images.values() if i["license"] not in licenses]
    except DataError as error:
        yield str(error)
        return
    except (LookupError, TypeError, AttributeError) as error:
        yield (
            f"{folder / COCO}: expected annotations as COCO, got {type(error).__name__}: {error}. "
            "Copy it again, or build the data set again."
        )
        return
    expected = Counter(
        (
            composed(relative(records[each.triplet].neural, folder)),
            CATEGORIES[each.artifact_type],
            *(x0, y0, x1 - x0, y1 - y0),
        )
        for each in artifacts
        if each.is_found and each.triplet in records and each.artifact_type in CATEGORIES
        for x0, y0, x1, y1 in [each.box]
    )
    repairs = "Build the data set again."
    if len(images) != len(content["images"]) or len(set(ids)) != len(ids):
        yield f"{folder / COCO}: expected ids that differ, got some more than once. {repairs}"
    if names != CATEGORIES:
        yield f"{folder / COCO}: expected the categories {CATEGORIES}, got {names}. {repairs}"
    if got_images != wanted_images:
        odd = [name for name, *_ in (got_images - wanted_images) + (wanted_images - got_images)]
        yield (
            f"{folder / COCO}: expected the images of {TRIPLETS}, got others or other sizes: "
            f"{', '.join(odd[:5])}. {repairs}"
        )
    if found != expected:
        odd = [str(list(each)) for each in (found - expected) + (expected - found)]
        yield (
            f"{folder / COCO}: expected the confirmed artifacts of {ARTIFACTS}, got others: "
            f"{', '.join(odd[:5])}. {repairs}"
        )
    if unlicensed:
        yield (
            f"{folder / COCO}: expected a licence for each image, got none for "
            f"{', '.join(unlicensed[:5])}. {repairs}"
        )
