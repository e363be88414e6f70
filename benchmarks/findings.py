"""Pictures of the docs: what detectors box in the sample that comes with nacd-bench.

    python benchmarks/findings.py docs/images

findings.jpg is the README's, of the severity detectors; DETECTOR.jpg, for each of the paper's, is
its strongest finding in a photograph that none before it has shown.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nacd_bench.detectors import (
    Boundary,
    ColorSeverity,
    Detector,
    LargeColor,
    SmallColor,
    Text,
    TextSeverity,
    Texture,
    TextureSeverity,
)
from nacd_bench.report.sheets import Row, overlay, sheet, tile
from nacd_bench.runs.compared_run import codec_of
from nacd_bench.runs.schema import SIDES
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ROLES, TripletRecord
from nacd_bench.triplets.sample import sample_triplets

README = {
    TextureSeverity: "china-high",
    ColorSeverity: "hopper-high",
    TextSeverity: "hopper-high",
}
PAPER = (Text, SmallColor, LargeColor, Texture, Boundary)
VIEW, ENLARGED = (150, 84), 2
"""Pixels that are shown around a box, and the side of each on the picture."""


def main(folder: Path) -> None:
    data = sample_triplets()
    records = {record.id: record for record in data.records}
    rows = []
    for made, name in README.items():
        heading, tiles = _row(made(), records[name])
        graded = (name, "neural", made.artifact_type)
        grades = [
            str(grade.severity)
            for grade in data.grades
            if (grade.triplet, grade.side, grade.artifact_type) == graded
        ]
        rows.append((f"{heading}, model raters {', '.join(grades)}", tiles))
    _write(folder / "findings.jpg", sheet(rows))
    shown: set[str] = set()
    for detector in (made() for made in PAPER):
        found = [
            (detector(load_triplet(record).batch).results()[0], record)
            for record in data.records
            if record.source not in shown
        ]
        result, record = max(found, key=lambda item: item[0].score)
        shown.add(str(record.source))
        title = "; ".join(_made(record, side) for side in SIDES)
        results = {detector.name: result}
        data_png = overlay(_images(record), [detector], results, {detector.name: 0.0}, [title])
        _write(folder / f"{detector.name}.jpg", np.array(Image.open(io.BytesIO(data_png))))


def _row(detector: Detector, record: TripletRecord) -> Row:
    """The strongest box and what lies around it, enlarged."""
    found = detector(load_triplet(record).batch).results()[0]
    images, box = _images(record), np.array(found.boxes[0])
    height, width = images["original"].shape[:2]
    middle = (box[:2] + box[2:]) // 2
    corner = np.clip(middle - np.array(VIEW) // 2, 0, np.array([width, height]) - VIEW)
    view = np.concatenate([corner, corner + VIEW])
    tiles = []
    for role, image in images.items():
        enlarged = image.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        framed = tuple(box * ENLARGED) if role == "neural" else None
        caption = role if role == "original" else _made(record, role)
        tiles.append((caption, tile(enlarged, tuple(view * ENLARGED), framed)))
    return f"{detector.artifact_type}: predicted severity {found.score:.1f} of 3", tiles


def _images(record: TripletRecord) -> dict[str, NDArray[np.uint8]]:
    batch = load_triplet(record).batch
    return {role: to_8_bit(getattr(batch, role)) for role in ROLES}


def _made(record: TripletRecord, side: str) -> str:
    return f"{codec_of(record, side)}, {getattr(record, f'{side}_bpp'):.2f} bpp"


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, quality=90, subsampling=0, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
