"""``nacd-bench dataset build``: verified artifacts, and other data sets, to a data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import DataError, Failure
from nacd_bench.jobs.dataset.images import ImageFile, Outcome, make_images
from nacd_bench.jobs.dataset.sources import Sources
from nacd_bench.report.data_card import card
from nacd_bench.runs.dataset import (
    CARD,
    CHECKSUMS,
    HASHES,
    TABLES,
    DataSet,
    dataset_of,
    write_tables,
)
from nacd_bench.runs.folder import RunFolder, file_names, open_run, require_alike, require_own
from nacd_bench.runs.schema import CANDIDATES, CODECS, FAILURES, IMAGES
from nacd_bench.runs.unite import deduplicated, unite
from nacd_bench.settings import Count, Name, Names, Processes, Share, checked
from nacd_bench.triplets.files import json_sha256, sha256, write_whole
from nacd_bench.triplets.licenses import UNKNOWN, LicenseTable, given_license
from nacd_bench.triplets.record import TripletRecord

Mode = Literal["copy", "link", "references"]
Files = dict[tuple[str, str], ImageFile]
"""By the triplet's id and the role."""


class Built(NamedTuple):
    """A data set on disk.

    Args:
        folder: where it lies.
        dataset: what it holds.
        counts: see :class:`~nacd_bench.runs.unite.United`.
        failures: what was left out or is contradictory.
    """

    folder: Path
    dataset: DataSet
    counts: Mapping[str, int]
    failures: Sequence[Failure]


@checked
def build(
    inputs: Names,
    folder: Name,
    *,
    unverified: bool = False,
    license: str | None = None,
    source: str | None = None,
    licenses: Name | None = None,
    negatives: Count = 0,
    seed: Count = 0,
    mined: Names = (),
    originals: Name | None = None,
    title: str | None = None,
    images: Mode = "copy",
    iou: Share | None = 0.5,
    workers: Processes = None,
    show_progress: bool = True,
) -> Built:
    """Build a data set; one that was stopped, at whatever moment, goes on.

    Args:
        inputs: what ``nacd-bench verify import`` left, mined folders, data sets, in any order.
        folder: where the data set goes.
        unverified: take mined folders as they are.
        license, source: of all mined images that the table does not name.
        licenses: see :class:`~nacd_bench.triplets.licenses.LicenseTable`.
        negatives: so many triplets in which no detector found a candidate, as artifact-free ones,
            of as many images as there are.
        seed: decides which.
        mined: where the mined folders lie now, if they were moved.
        originals: folder in which the mined images lie now, if they were moved.
        title: of the card; None: made of the codecs' names.
        images: ``copy``, ``link`` (hard links where the file system can), or ``references``: the
            tables name the files where they are.
        iou: artifacts of one image and type whose boxes overlap by more count once; None: all do.
        workers: processes that copy and decode; None: one per core, at most 8.
        show_progress: on standard error.

    Raises:
        DataError: nothing confirmed, no usable triplet, a damaged table, runs of other versions,
            another data set in the folder.
    """
    folder = Path(folder)
    inputs, mined = (
        [places] if isinstance(places, str | Path) else places for places in (inputs, mined)
    )
    places = sorted({Path(place).resolve() for place in inputs})
    if not places or folder.resolve() in places:
        raise DataError(
            f"expected inputs and another folder for the data set, got "
            f"{', '.join(map(str, places)) or 'none'} into {folder}. Name them all."
        )
    for path in map(Path, mined):
        if not (path / CANDIDATES).is_dir():
            raise DataError(
                f"expected the mined folders' places in mined, got {path}, which is none. Correct "
                "it or leave it out."
            )
    table = LicenseTable(licenses, given_license(license, source))
    sources = Sources(table, originals, [Path(place) for place in mined])
    for place in places:
        sources.add(place, unverified)
    require_alike(sources.runs)
    if negatives:
        sources.add_negatives(negatives, seed)
    united = unite(sources.parts, iou)
    settings = {
        **{"title": title, "images": images, "iou": iou, "license": license, "source": source},
        "content_sha256": json_sha256(
            [*map(_content, united.records), *map(vars, united.artifacts)]
        ),
        "negatives": {"number": negatives, "seed": seed},
        "runs": _distinct(sources.runs.values()),
        "verification": _distinct(sources.verification),
    }
    require_own(folder)
    failures = [*sources.failures, *united.failures]
    with open_run(folder, "dataset build", settings, failures=failures) as run:
        files = _image_files(folder, united.records, sources.codecs, images)
        outcomes = make_images(files.values(), workers, show_progress)
        records = _kept_triplets(united.records, files, outcomes, run)
        if not records:
            first = run.failures[0] if run.failures else "nothing was confirmed"
            raise DataError(
                f"expected at least one triplet for the data set, got none; {len(run.failures)} "
                f"problems are in {folder / FAILURES}. The first: {first}"
            )
        artifacts = [artifact for artifact in united.artifacts if artifact.triplet in records]
        # what was kept of two may be gone
        artifacts = deduplicated(artifacts, records.values(), iou)
        dataset = dataset_of(records.values(), artifacts, settings)
        codecs = sorted({record.codec("neural") or UNKNOWN for record in dataset.records})
        title = title or f"Visual artifacts of {', '.join(codecs)}"
        write_tables(folder, dataset, title)
        text = card(dataset, title)
        write_whole(folder / CARD, text.encode("utf-8", "backslashreplace"))
        _write_checksums(folder, dataset, files, outcomes)
    return Built(folder, dataset, united.counts, run.failures)


def _kept_triplets(
    records: Sequence[TripletRecord], files: Files, outcomes: Mapping[str, Outcome], run: RunFolder
) -> dict[str, TripletRecord]:
    """Triplets whose images are all to be had, with their paths, by id; others are failures."""
    kept = {}
    for record in records:
        needed = {role: files[record.id, role] for role in HASHES}
        faults = {role: outcomes[file.name][1] for role, file in needed.items()}
        for role, fault in faults.items():
            if fault:
                run.fail(record.id, role, fault)
        if not any(faults.values()):
            paths: Any = {role: str(file.target or file.source) for role, file in needed.items()}
            kept[record.id] = replace(record, **paths)
    return kept


def _write_checksums(
    folder: Path, dataset: DataSet, files: Files, outcomes: Mapping[str, Outcome]
) -> None:
    """Write the hashes of all files, and remove images that do not belong to them."""
    hashes = {name: sha256((folder / name).read_bytes()) for name in TABLES}
    for record in dataset.records:
        for file in (files[record.id, role] for role in HASHES):
            if file.target is not None:
                hashes[file.target.relative_to(folder).as_posix()] = outcomes[file.name][0]
    for path in (folder / IMAGES).rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in hashes:
            path.unlink()
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    write_whole(folder / CHECKSUMS, "".join(lines).encode())


def _content(record: TripletRecord) -> list[Any]:
    """What decides a triplet of a data set, wherever its images lie."""
    facts = [getattr(record, name) for name in ("id", "source", "artifact_free", *CODECS)]
    return [*facts, record.extra]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each JSON value once, whatever their order."""
    return [json.loads(text) for text in sorted({json.dumps(v, sort_keys=True) for v in values})]


def _image_files(
    folder: Path,
    records: Sequence[TripletRecord],
    codecs: Mapping[str, CodecSpec | None],
    mode: Mode,
) -> Files:
    """What makes the image of each role of a triplet, and the path that it will have."""
    names = file_names(name for r in records for name in (r.id, r.source or r.id))
    files = {}
    for record in records:
        for role, column in HASHES.items():
            path = getattr(record, role)
            item, suffix = record.id, ".png"
            if role == "original":
                item, suffix = record.source or record.id, PurePosixPath(path).suffix
                suffix = suffix if suffix[1:].isalnum() else ""
            files[record.id, role] = ImageFile(
                name=f"{role} {item}",
                source=path,
                sha256=record.extra[column],
                is_decode=role != "original",
                target=None
                if mode == "references"
                else folder / IMAGES / role / f"{names[item]}{suffix}",
                link=mode == "link",
                codec=codecs.get(path),
                version=getattr(record, f"{role}_version", None),
            )
    return files
