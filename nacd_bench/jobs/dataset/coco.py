"""The confirmed artifacts of a data set as COCO, for pycocotools, FiftyOne, torchvision and others.

An image is the neural result of a triplet, where the artifact is to be seen; the two others are
named beside it. An artifact that counts elsewhere as the same one is annotated too, with its
``duplicate_of``: it is in the picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nacd_bench.runs.dataset import COCO, DataSet, relative
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.licenses import license_of
from nacd_bench.triplets.record import ARTIFACT_TYPES

CATEGORIES = {name: number for number, name in enumerate(ARTIFACT_TYPES, 1)}


def coco(dataset: DataSet, folder: Path, description: str) -> dict[str, Any]:
    """The content of ``annotations.json``.

    Args:
        dataset: the data set.
        folder: where it lies; file names are relative to it.
        description: what people see.
    """
    licenses = sorted({license_of(record.extra).license for record in dataset.records})
    number = {record.id: place for place, record in enumerate(dataset.records, 1)}
    artifacts = [artifact for artifact in dataset.artifacts if artifact.is_found]
    return {
        "info": {"description": description, "version": "1"},
        "licenses": [{"id": i, "name": name, "url": ""} for i, name in enumerate(licenses, 1)],
        "categories": [
            {"id": place, "name": name, "supercategory": "artifact"}
            for name, place in CATEGORIES.items()
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
                "category_id": CATEGORIES[artifact.artifact_type],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "segmentation": [],
                "candidate": artifact.id,
                "detector": artifact.detector,
                "detector_confidence": artifact.confidence,  # FiftyOne has its own confidence
                "votes_for": artifact.votes_for,
                "votes_against": artifact.votes_against,
                "duplicate_of": artifact.duplicate_of,
            }
            for place, artifact in enumerate(artifacts, 1)
            for x0, y0, x1, y1 in [artifact.box]
        ],
    }


def write_coco(folder: Path, dataset: DataSet, description: str) -> None:
    """Write ``annotations.json``."""
    content = json.dumps(coco(dataset, folder, description), ensure_ascii=False, indent=1)
    write_whole(folder / COCO, content.encode("utf-8", "backslashreplace"))
