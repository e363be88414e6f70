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

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nacd_bench.errors import DataError
from nacd_bench.evaluation.duplicates import found_by, found_rows
from nacd_bench.runs.schema import (
    CODECS,
    EDGES,
    PLACE,
    SAME_PLACE,
    SETTINGS,
    SIDES,
    TRIPLETS,
    VOTES,
    schema,
)
from nacd_bench.runs.tables import write_parquet
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.licenses import COLUMNS as LICENSE_COLUMNS
from nacd_bench.triplets.licenses import license_of
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import ARTIFACT_TYPES, ROLES, Box, Label, TripletRecord
from nacd_bench.triplets.text_files import read_columns, read_json

if TYPE_CHECKING:
    import pyarrow as pa

ARTIFACTS, COCO = "artifacts.parquet", "annotations.json"
CARD, CHECKSUMS = "README.md", "checksums.sha256"
TABLES = (TRIPLETS, ARTIFACTS, COCO, CARD, SETTINGS)
IMAGE_FACTS = ("image_sha256", "width", "height", "preset", "preset_index")
HASHES = {"original": "image_sha256", **{side: f"{side}_sha256" for side in SIDES}}
"""Columns with what identifies an image: the hash of an original's file, of a decode's pixels."""
REFUSED = "refused"
"""Status of what people looked at and did not see."""
ARTIFACT_FACTS = ("candidate", "triplet", *PLACE)
"""Columns of an artifact that are never empty, in the words of mined and verified candidates."""


@dataclass(frozen=True, kw_only=True)
class Artifact(Label):
    """One place in one triplet that a detector boxed, and what people said about it.

    Votes are None where nobody was to be asked, 0 where nobody was asked about this one.

    Args:
        box: where, in pixels of the original.
        id: unique in its data set.
        triplet: id of the triplet.
        detector, confidence: who found it, and how sure.
        duplicate_of: id of the artifact that is the same one and counts in place of this one.
        found_by: confidences of all detectors that boxed its place, the strongest first.
        presets: operating points at which its place was boxed.
    """

    box: Box
    id: str
    triplet: str
    detector: str = ""
    confidence: float = 0.0
    duplicate_of: str | None = None
    found_by: Mapping[str, float] = field(default_factory=dict)
    presets: Sequence[str] = ()

    @property
    def is_found(self) -> bool:
        """Whether it is confirmed, or unverified as all of its data set."""
        is_unasked = self.votes_for is None and self.votes_against is None
        return self.confirmed is True or (self.confirmed is None and is_unasked)

    @property
    def status(self) -> str:
        """What it is counted as: artifacts, duplicates, refused or undecided."""
        if self.is_found:
            return "duplicates" if self.duplicate_of else "artifacts"
        return "undecided" if self.confirmed is None else REFUSED

    @property
    def counts(self) -> bool:
        """Whether it is one of the data set's artifacts: found, and no duplicate."""
        return self.status == "artifacts"

    @property
    def label(self) -> Label:
        """As a manifest has it."""
        label = Label(*(getattr(self, column.name) for column in fields(Label)))
        return replace(label, detectors=tuple(self.found_by) or (self.detector,))


def artifact_of(row: Mapping[str, Any]) -> Artifact:
    """The artifact of a row with :data:`ARTIFACT_FACTS`, and votes and ``duplicate_of`` if any."""
    values = {column.name: row.get(column.name) for column in fields(Artifact)}
    box = tuple(row[edge] for edge in EDGES)
    presets = tuple(row["presets"] or (row["preset"],))
    named = {"id": row["candidate"], "found_by": found_by(row), "presets": presets}
    return Artifact(**{**values, **named, "box": box})


class DataSet(NamedTuple):
    """Triplets with their artifacts.

    Args:
        records: by id; their labels are those of the artifacts.
        artifacts: by triplet and id.
        settings: how it was made: ``runs`` and ``verification`` of what it was made from.
    """

    records: list[TripletRecord]
    artifacts: list[Artifact]
    settings: Mapping[str, Any]


def dataset_of(
    records: Iterable[TripletRecord], artifacts: Iterable[Artifact], settings: Mapping[str, Any]
) -> DataSet:
    """A data set in its order, with the labels of its artifacts."""
    ordered = sorted(artifacts, key=lambda artifact: (artifact.triplet, artifact.id))
    labels: dict[str, list[Label]] = defaultdict(list)
    for artifact in ordered:
        labels[artifact.triplet].append(artifact.label)
    labelled = [replace(record, labels=tuple(labels[record.id])) for record in records]
    return DataSet(sorted(labelled, key=lambda record: record.id), ordered, settings)


def artifact_table(dataset: DataSet, folder: Path) -> pa.Table:
    """The rows of ``artifacts.parquet``: artifacts with what their triplets say."""
    import pyarrow as pa

    facts = {
        record.id: {
            "image": record.source,
            **{role: relative(getattr(record, role), folder) for role in ROLES},
            **{name: record.extra.get(name) for name in (*IMAGE_FACTS, *LICENSE_COLUMNS)},
            **{name: getattr(record, name) for name in CODECS},
        }
        for record in dataset.records
    }
    rows = [
        {
            **asdict(artifact),
            "candidate": artifact.id,
            "found_by": found_rows(artifact.found_by),
            **dict(zip(EDGES, artifact.box, strict=True)),
            **facts[artifact.triplet],
        }
        for artifact in dataset.artifacts
    ]
    return pa.Table.from_pylist(rows, schema=schema("artifacts"))


def coco(dataset: DataSet, folder: Path, description: str) -> dict[str, Any]:
    """The content of ``annotations.json``, for pycocotools, FiftyOne, torchvision and others.

    An image is the neural result of a triplet, where the artifact is to be seen; the two others are
    named beside it. An artifact that counts elsewhere as the same one is annotated too, with its
    ``duplicate_of``: it is in the picture.

    Args:
        dataset: the data set.
        folder: where it lies; file names are relative to it.
        description: what people see.
    """
    categories = {name: place for place, name in enumerate(ARTIFACT_TYPES, 1)}
    licenses = sorted({license_of(record.extra).license for record in dataset.records})
    number = {record.id: place for place, record in enumerate(dataset.records, 1)}
    artifacts = [artifact for artifact in dataset.artifacts if artifact.is_found]
    return {
        "info": {"description": description, "version": "1"},
        "licenses": [{"id": i, "name": name, "url": ""} for i, name in enumerate(licenses, 1)],
        "categories": [
            {"id": place, "name": name, "supercategory": "artifact"}
            for name, place in categories.items()
        ],
        "images": [
            {
                "id": number[record.id],
                "file_name": relative(record.neural, folder),
                "width": record.extra.get("width"),
                "height": record.extra.get("height"),
                "license": licenses.index(license_of(record.extra).license) + 1,
                "triplet": record.id,
                "original": relative(record.original, folder),
                "traditional": relative(record.traditional, folder),
                "preset": record.extra.get("preset"),
                "attribution": record.extra.get("attribution") or "",
            }
            for record in dataset.records
        ],
        "annotations": [
            {
                "id": place,
                "image_id": number[artifact.triplet],
                "category_id": categories[artifact.artifact_type],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "segmentation": [],
                "candidate": artifact.id,
                "detector": artifact.detector,
                "detector_confidence": artifact.confidence,  # FiftyOne has its own confidence
                "found_by": dict(artifact.found_by),
                "presets": list(artifact.presets),
                "votes_for": artifact.votes_for,
                "votes_against": artifact.votes_against,
                "duplicate_of": artifact.duplicate_of,
            }
            for place, artifact in enumerate(artifacts, 1)
            for x0, y0, x1, y1 in [artifact.box]
        ],
    }


def write_tables(folder: Path, dataset: DataSet, title: str) -> None:
    """Write manifest, artifacts and COCO annotations."""
    write_manifest(folder / TRIPLETS, dataset.records)
    write_parquet(folder / ARTIFACTS, artifact_table(dataset, folder))
    annotations = json.dumps(coco(dataset, folder, title), ensure_ascii=False, indent=1)
    write_whole(folder / COCO, annotations.encode("utf-8", "backslashreplace"))


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
    return dataset_of(records, read_artifacts(folder / ARTIFACTS), read_settings(folder))


def read_artifacts(path: Path) -> list[Artifact]:
    """The rows of ``artifacts.parquet``.

    Raises:
        DataError: not a Parquet file, or without a column that is needed.
    """
    columns = [*ARTIFACT_FACTS, *VOTES, "duplicate_of", *SAME_PLACE, "preset"]
    table = read_columns(path, schema("artifacts"), columns)
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
