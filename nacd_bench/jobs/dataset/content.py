"""What a data set holds, and its tables on disk.

A folder::

    triplets.parquet     the manifest: a row per triplet, which every command reads
    artifacts.parquet    a row per artifact, flat
    annotations.json     the confirmed artifacts as COCO, boxes in the neural results
    images/original/     images/neural/  images/traditional/, unless the manifest refers elsewhere
    README.md            the data card
    settings.json        how it was made
    checksums.sha256     of all of these
    failures.csv         what could not be taken
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from nacd_bench.errors import DataError
from nacd_bench.jobs.dataset.licenses import COLUMNS as LICENSE_COLUMNS
from nacd_bench.runs.schema import EDGES, SETTINGS, SIDES, schema
from nacd_bench.runs.tables import write_parquet
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import Box, Label, TripletRecord
from nacd_bench.triplets.text_files import read_columns, read_json

TRIPLETS, ARTIFACTS, COCO = "triplets.parquet", "artifacts.parquet", "annotations.json"
CARD, CHECKSUMS = "README.md", "checksums.sha256"
IMAGES = "images"
"""The folder of image files."""
IMAGE_FACTS = ("image_sha256", "width", "height", "preset", "preset_index")
HASHES = {"original": "image_sha256", **{side: f"{side}_sha256" for side in SIDES}}
"""Columns with what identifies an image: the hash of an original's file, of a decode's pixels."""
CODEC_FACTS = tuple(
    f"{side}_{fact}" for side in SIDES for fact in ("codec", "version", "point", "bpp")
)


ARTIFACT_FACTS = ("candidate", "triplet", "artifact_type", "detector", "confidence", *EDGES)
DECISION = ("votes_for", "votes_against", "confirmed", "duplicate_of")
"""Columns of an artifact, in the words of mined and verified candidates; these may be empty."""


@dataclass(frozen=True)
class Artifact:
    """One place in one triplet that a detector boxed.

    Args:
        id: unique in its data set.
        triplet: id of the triplet.
        artifact_type: one of :data:`~nacd_bench.triplets.record.ARTIFACT_TYPES`.
        box: where, in pixels of the original.
        detector, confidence: who found it, and how sure.
        votes_for, votes_against: of people; None where nobody was to be asked, 0 where nobody was
            asked about this one.
        confirmed: True, False (refused), or None (not decided).
        duplicate_of: id of the artifact that is the same one and counts in place of this one.
    """

    id: str
    triplet: str
    artifact_type: str
    box: Box
    detector: str = ""
    confidence: float = 0.0
    votes_for: int | None = None
    votes_against: int | None = None
    confirmed: bool | None = None
    duplicate_of: str | None = None

    @property
    def is_found(self) -> bool:
        """Whether it is confirmed, or unverified as all of its data set."""
        is_unasked = self.votes_for is None and self.votes_against is None
        return self.confirmed is True or (self.confirmed is None and is_unasked)

    @property
    def counts(self) -> bool:
        """Whether it is one of the data set's artifacts: found, and no duplicate."""
        return self.is_found and self.duplicate_of is None

    @property
    def status(self) -> str:
        """What it is counted as: artifacts, duplicates, refused or undecided."""
        if self.is_found:
            return "artifacts" if self.counts else "duplicates"
        return "undecided" if self.confirmed is None else "refused"

    @property
    def label(self) -> Label:
        """As a manifest has it."""
        return Label(
            self.artifact_type, self.box, self.votes_for, self.votes_against, self.confirmed
        )


def artifact_of(row: Mapping[str, Any]) -> Artifact:
    """The artifact of a row with :data:`ARTIFACT_FACTS` and any of :data:`DECISION`."""
    facts = {name: row[name] for name in ("triplet", "artifact_type", "detector", "confidence")}
    x0, y0, x1, y1 = (row[edge] for edge in EDGES)
    decision: dict[str, Any] = {name: row.get(name) for name in DECISION}
    return Artifact(id=row["candidate"], box=(x0, y0, x1, y1), **facts, **decision)


@dataclass(frozen=True)
class DataSet:
    """Triplets with their artifacts.

    Args:
        records: by id; their labels are those of the artifacts.
        artifacts: by triplet and id.
        settings: how it was made: ``runs`` and ``verification`` of what it was made from.
    """

    records: tuple[TripletRecord, ...]
    artifacts: tuple[Artifact, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        records: Iterable[TripletRecord],
        artifacts: Iterable[Artifact],
        settings: Mapping[str, Any],
    ) -> DataSet:
        """A data set in its order, with the labels of its artifacts."""
        ordered = sorted(artifacts, key=lambda artifact: (artifact.triplet, artifact.id))
        labels: dict[str, list[Label]] = defaultdict(list)
        for artifact in ordered:
            labels[artifact.triplet].append(artifact.label)
        labelled = [replace(record, labels=tuple(labels[record.id])) for record in records]
        labelled.sort(key=lambda record: record.id)
        return cls(tuple(labelled), tuple(ordered), settings)


def write_tables(folder: Path, dataset: DataSet) -> None:
    """Write manifest and artifacts."""
    write_manifest(folder / TRIPLETS, dataset.records)
    of_triplet = {
        record.id: {
            "image": record.source,
            **{role: relative(getattr(record, role), folder) for role in ROLES},
            **{name: record.extra.get(name) for name in (*IMAGE_FACTS, *LICENSE_COLUMNS)},
            **{name: getattr(record, name) for name in CODEC_FACTS},
        }
        for record in dataset.records
    }
    rows = [
        {
            **asdict(artifact),
            "candidate": artifact.id,
            **dict(zip(EDGES, artifact.box, strict=True)),
            **of_triplet[artifact.triplet],
        }
        for artifact in dataset.artifacts
    ]
    write_parquet(folder / ARTIFACTS, pa.Table.from_pylist(rows, schema=schema("artifacts")))


def read_dataset(folder: str | Path) -> DataSet:
    """A data set from its folder; images are not opened.

    Raises:
        DataError: no folder of a data set, or a table in it that cannot be used.
    """
    folder = Path(folder)
    missing = [name for name in (TRIPLETS, ARTIFACTS, SETTINGS) if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"expected the folder of a data set from nacd-bench dataset build, got {folder}, which "
            f"has no {', '.join(missing)}. Name that folder; build it again where it is not whole."
        )
    records = read_manifest(folder / TRIPLETS)
    lacking = [
        f"{record.place}: {name}"
        for record in records
        for name in ("preset", *HASHES.values())
        if not isinstance(record.extra.get(name), str)
    ]
    if lacking:
        raise DataError(
            f"{folder / TRIPLETS}: expected the columns of a data set, got none in "
            f"{', '.join(lacking[:5])}. Build the data set again."
        )
    return DataSet.of(records, read_artifacts(folder / ARTIFACTS), read_settings(folder))


def read_artifacts(path: Path) -> list[Artifact]:
    """The rows of ``artifacts.parquet``.

    Raises:
        DataError: not a Parquet file, or without a column that is needed.
    """
    table = read_columns(path, schema("artifacts"), [*ARTIFACT_FACTS, *DECISION])
    incomplete = [name for name in ARTIFACT_FACTS if table[name].null_count]
    if incomplete:
        raise DataError(
            f"{path}: expected a value in each row, got empty cells in {', '.join(incomplete)}. "
            "Build the data set again."
        )
    return list(map(artifact_of, table.to_pylist()))


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a data set or mined folder; DataError where they cannot be read."""
    path = folder / SETTINGS
    settings = read_json(path, "the settings of the run")
    if not isinstance(settings, dict):
        raise DataError(f"{path}: expected a JSON object, got another value. Copy the file again.")
    return settings


def relative(path: str, folder: Path) -> str:
    """A path of a record as tables have it: relative where the file lies in the data set.

    >>> relative("data/images/a.png", Path("data")), relative("/photos/a.png", Path("data"))
    ('images/a.png', '/photos/a.png')
    """
    return path.removeprefix(f"{folder}/")
