"""The README's picture: what the severity detectors box in the sample that comes with nacd-bench.

python benchmarks/findings.py docs/images/findings.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from nacd_bench.detectors import ColorSeverity, TextSeverity, TextureSeverity
from nacd_bench.report.sheets import sheet, tile
from nacd_bench.runs.compared_run import codec_of
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ROLES
from nacd_bench.triplets.sample import sample_triplets

SHOWN = {
    TextureSeverity: "china-high",
    ColorSeverity: "hopper-high",
    TextSeverity: "hopper-high",
}
VIEW, ENLARGED = (150, 84), 2
"""Pixels that are shown around a box, and the side of each on the picture."""

data = sample_triplets()
records = {record.id: record for record in data.records}
rows = []
for made, name in SHOWN.items():
    detector, record = made(), records[name]
    batch = load_triplet(record).batch
    found = detector(batch)
    confidences = found.confidences[0]
    box = np.array(found.boxes[0][int(confidences.argmax())].tolist())
    middle = (box[:2] + box[2:]) // 2
    corner = np.clip(
        middle - np.array(VIEW) // 2, 0, [batch.width - VIEW[0], batch.height - VIEW[1]]
    )
    view = np.concatenate([corner, corner + VIEW])
    tiles = []
    for role in ROLES:
        image = to_8_bit(getattr(batch, role)).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        caption = role
        if role != "original":
            caption = f"{codec_of(record, role)}, {getattr(record, f'{role}_bpp'):.2f} bpp"
        framed = tuple(box * ENLARGED) if role == "neural" else None
        tiles.append((caption, tile(image, tuple(view * ENLARGED), framed)))
    severities = [
        str(grade.severity)
        for grade in data.grades
        if (grade.triplet, grade.side, grade.artifact_type)
        == (name, "neural", detector.artifact_type)
    ]
    heading = f"{detector.artifact_type}: predicted severity {confidences.max():.1f} of 3"
    rows.append((f"{heading}, model raters {', '.join(severities)}", tiles))
Image.fromarray(sheet(rows)).save(Path(sys.argv[1]), quality=92, subsampling=0, optimize=True)
