"""``nacd-bench dataset build``: verified artifacts, and other data sets, to a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from nacd_bench.errors import DataError, Failure
from nacd_bench.jobs.dataset.card import default_title, write_card
from nacd_bench.jobs.dataset.coco import write_coco
from nacd_bench.jobs.dataset.content import (
    ARTIFACTS,
    CARD,
    CHECKSUMS,
    COCO,
    IMAGES,
    TRIPLETS,
    DataSet,
    relative,
    write_tables,
)
from nacd_bench.jobs.dataset.images import MOST_WORKERS, ImageFile, Outcome, make_images
from nacd_bench.jobs.dataset.licenses import LicenseTable, given_license
from nacd_bench.jobs.dataset.sources import Sources
from nacd_bench.jobs.dataset.unite import content_key, deduplicated, unite
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import cores
from nacd_bench.runs.folder import RunFolder, file_names, open_run, require_alike, require_own
from nacd_bench.runs.schema import FAILURES, SETTINGS
from nacd_bench.settings import Count, Name, Names, Processes, Share, checked
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import read_bytes, sha256, write_whole
from nacd_bench.triplets.record import TripletRecord

Mode = Literal["copy", "link", "references"]
Files = dict[str, ImageFile]
"""By role."""


@dataclass(frozen=True)
class Built:
    """A data set on disk.

    Args:
        folder: where it lies.
        dataset: what it holds.
        counts: see :class:`~nacd_bench.jobs.dataset.unite.United`.
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
        licenses: see :class:`~nacd_bench.jobs.dataset.licenses.LicenseTable`.
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
    places = sorted({Path(place).resolve() for place in _listed(inputs)})
    if not places or folder.resolve() in places:
        raise DataError(
            f"expected inputs and another folder for the data set, got "
            f"{', '.join(map(str, places)) or 'none'} into {folder}. Name them all."
        )
    table = LicenseTable(licenses, given_license(license, source))
    sources = Sources(table, originals, [Path(place) for place in _listed(mined)])
    for place in places:
        sources.add(place, unverified)
    require_alike(sources.settings)
    if negatives:
        sources.add_negatives(negatives, seed)
    read = licenses and sha256(read_bytes(licenses, "a table of licences", DataError))
    settings = {
        **{"title": title, "images": images, "iou": iou},
        "inputs": sorted(sources.hashes, key=str),
        "rights": {"license": license, "source": source, "table_sha256": read},
        "negatives": {"number": negatives, "seed": seed},
        **sources.provenance,
    }
    require_own(folder)
    with open_run(folder, "dataset build", settings, failures=sources.failures) as run:
        united = unite(sources.parts, iou)
        run.failures += united.failures
        placed = _placed(folder, united.records, sources.images, images)
        outcomes = _outcomes([files for _, files in placed], workers, show_progress)
        kept = [placing for placing in placed if not _failed(*placing, outcomes, run)]
        if not kept:
            first = run.failures[0] if run.failures else "nothing was confirmed"
            raise DataError(
                f"expected at least one triplet for the data set, got none; {len(run.failures)} "
                f"problems are in {folder / FAILURES}. The first: {first}"
            )
        records = {record.id: record for record, _ in kept}
        artifacts = [artifact for artifact in united.artifacts if artifact.triplet in records]
        if iou is not None:  # what was kept of two may be gone
            artifacts = deduplicated(artifacts, records, iou)
        dataset = DataSet.of(records.values(), artifacts, settings)
        title = title or default_title(dataset)
        write_tables(folder, dataset)
        write_coco(folder, dataset, title)
        write_card(folder, dataset, title)
        _write_checksums(folder, [files for _, files in kept], outcomes)
    return Built(folder, dataset, united.counts, run.failures)


def _failed(
    record: TripletRecord, files: Files, outcomes: Mapping[str, Outcome], run: RunFolder
) -> bool:
    """Whether an image of a triplet is not to be had, which is noted."""
    faults = {role: outcomes.get(file.name, ("", ""))[1] for role, file in files.items()}
    for role, fault in faults.items():
        if fault:
            run.fail(record.id, role, fault)
    return any(faults.values())


def _listed(places: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [places] if isinstance(places, str | Path) else places


def _placed(
    folder: Path,
    records: Sequence[TripletRecord],
    images: Mapping[tuple[str, str], ImageFile],
    mode: Mode,
) -> list[tuple[TripletRecord, Files]]:
    """Triplets with the paths that their images will have, and what makes them."""
    names = file_names(name for r in records for name in (r.id, r.source or r.id))
    placed = []
    for record in records:
        files: Files = {}
        for role in ROLES:
            item, key, suffix = record.id, content_key(record), ".png"
            if role == "original":
                item, key = record.source or record.id, str(record.extra["image_sha256"])
                suffix = PurePosixPath(images[role, key].source).suffix
            suffix = suffix if suffix[1:].isalnum() else ""
            target = folder / IMAGES / role / f"{names[item]}{suffix}"
            files[role] = replace(
                images[role, key],
                name=f"{role} {item}",
                target=None if mode == "references" else target,
                link=mode == "link",
            )
        paths = {role: str(file.target or file.source) for role, file in files.items()}
        placed.append((replace(record, **paths), files))  # type: ignore[arg-type]
    return placed


def _outcomes(
    placed: Sequence[Files], workers: int | None, show_progress: bool
) -> dict[str, Outcome]:
    """Make all images; decodes are not made where the original is not to be had."""

    def processes(files: int) -> int:
        most = min(MOST_WORKERS, cores()) if files > MOST_WORKERS else 0
        return most if workers is None else workers

    originals = {files["original"].name: files["original"] for files in placed}
    total = len(originals) + 2 * len(placed)
    with progress_bar("images", total, show_progress) as progress:
        outcomes = make_images(originals.values(), processes(len(originals)), progress)
        good = [files for files in placed if not outcomes[files["original"].name][1]]
        decodes = [files[role] for files in good for role in ROLES[1:]]
        progress.skip(total - len(originals) - len(decodes))
        return outcomes | make_images(decodes, processes(len(decodes)), progress)


def _write_checksums(
    folder: Path, placed: Sequence[Files], outcomes: Mapping[str, Outcome]
) -> None:
    """Write the hashes of all files, and remove images that do not belong to them."""
    tables = (TRIPLETS, ARTIFACTS, COCO, CARD, SETTINGS)
    hashes = {name: sha256((folder / name).read_bytes()) for name in tables}
    for file in (file for files in placed for file in files.values()):
        if file.target is not None:
            hashes[relative(str(file.target), folder)] = outcomes[file.name][0]
    for path in (folder / IMAGES).rglob("*"):
        if path.is_file() and relative(str(path), folder) not in hashes:
            path.unlink()
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    write_whole(folder / CHECKSUMS, "".join(lines).encode())
