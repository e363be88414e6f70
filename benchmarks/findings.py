"""Pictures of the docs: what detectors box in the sample that comes with nacd-bench.

    python benchmarks/findings.py docs/images

gallery_TYPE.jpg has what the severity detectors find at 1.5 or more, the strongest of a photograph
and six photographs at most; findings.jpg, the README's, three of them; DETECTOR.jpg, for each of
the paper's, its strongest finding in a photograph that none before it has shown.
"""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from collections.abc import Sequence
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
from nacd_bench.runs.schema import SIDES
from nacd_bench.triplets.detection import Result
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
SEVERE, MOST = 1.5, 6
VIEW, ENLARGED = (150, 84), 2
"""Pixels that are shown around a box, and the side of each on the picture."""


def main(folder: Path) -> None:
    data = sample_triplets()
    rows: list[Row] = []
    for made, name in README.items():
        detector = made()
        grades: dict[str, list[str]] = defaultdict(list)
        for grade in data.grades:
            if (grade.side, grade.artifact_type) == ("neural", detector.artifact_type):
                grades[grade.triplet].append(str(grade.severity))
        strongest: dict[str, tuple[Result, TripletRecord]] = {}
        for found in _found(detector, [record for record in data.records if record.id in grades]):
            photo = str(found[1].source)
            strongest[photo] = max(
                strongest.get(photo, found), found, key=lambda each: each[0].score
            )
        order = sorted(strongest.values(), key=lambda each: -each[0].score)
        shown = {
            record.id: _row(detector.artifact_type, result, record, grades[record.id])
            for result, record in order[:MOST]
            if result.score >= SEVERE
        }
        _write(folder / f"gallery_{detector.artifact_type}.jpg", sheet([*shown.values()]))
        rows.append(shown[name])
    _write(folder / "findings.jpg", sheet(rows))
    left = list(data.records)
    for detector in (made() for made in PAPER):
        result, record = max(_found(detector, left), key=lambda found: found[0].score)
        left = [other for other in left if other.source != record.source]
        title = "; ".join(_made(record, side) for side in SIDES)
        results = {detector.name: result}
        batch = load_triplet(record).batch
        picture = overlay(batch, [detector], results, {detector.name: 0.0}, [title])
        _write(folder / f"{detector.name}.jpg", np.array(Image.open(io.BytesIO(picture))))


def _found(
    detector: Detector, records: Sequence[TripletRecord]
) -> list[tuple[Result, TripletRecord]]:
    return [(detector(load_triplet(each).batch).results()[0], each) for each in records]


def _row(kind: str, found: Result, record: TripletRecord, grades: Sequence[str]) -> Row:
    """The strongest box and what lies around it, enlarged."""
    batch, box = load_triplet(record).batch, np.array(found.boxes[0])
    middle = (box[:2] + box[2:]) // 2
    corner = np.clip(
        middle - np.array(VIEW) // 2, 0, [batch.width - VIEW[0], batch.height - VIEW[1]]
    )
    left, top, right, bottom = view = (*corner, *(corner + VIEW))
    tiles = []
    for role in ROLES:
        part = to_8_bit(getattr(batch, role))[top:bottom, left:right]
        enlarged = part.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        caption = role if role == "original" else _made(record, role)
        tiles.append((caption, tile(enlarged, view, tuple(box) if role == "neural" else None)))
    severities = f"predicted severity {found.score:.1f} of 3, model raters {', '.join(grades)}"
    return f"{record.source}, {kind}: {severities}", tiles


def _made(record: TripletRecord, side: str) -> str:
    return f"{record.codec(side)}, {getattr(record, f'{side}_bpp'):.2f} bpp"


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, quality=90, subsampling=0, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
