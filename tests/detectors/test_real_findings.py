"""What the README shows: the severity detectors on real decodes, where raters saw it too."""

from __future__ import annotations

import pytest

from nacd_bench.detectors import ColorSeverity, TextSeverity, TextureSeverity
from nacd_bench.detectors.severity.detector import SeverityDetector
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.sample import sample_triplets


@pytest.mark.parametrize(
    ("detector", "photo"),
    [(TextureSeverity, "china"), (ColorSeverity, "hopper"), (TextSeverity, "hopper")],
)
def test_the_readmes_findings(detector: type[SeverityDetector], photo: str) -> None:
    data = sample_triplets(photos=[photo], rates=["high"])
    batch = load_triplet(data.records[0]).batch
    made = detector()
    found = made(batch)
    assert found.confidences[0].max() >= 1.5
    x0, y0, x1, y1 = found.boxes[0][int(found.confidences[0].argmax())].tolist()
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    raters = [
        grade.box
        for grade in data.grades
        if (grade.artifact_type, grade.side) == (made.artifact_type, "neural") and grade.box
    ]
    assert any(box[0] <= x < box[2] and box[1] <= y < box[3] for box in raters)
    exchanged = TripletBatch(batch.original, batch.traditional, batch.neural)
    assert made(exchanged).scores[0] < 1.5
