"""Large pictures: what is worked out strip by strip is what the whole gives."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest
import torch
from triplet_folder import jpeg, small_photo

from nacd_bench.detectors import Detector
from nacd_bench.detectors.severity.maps import CELL, REACH
from nacd_bench.detectors.text_severity import faults_of_luma
from nacd_bench.ops import strips
from nacd_bench.registry import BASELINES, DETECTORS
from nacd_bench.triplets import batch as batches
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.record import ROLES

NAMES = ("texture", "boundary", "large_color", "large_color_clip", "small_color")
DENSE = {
    f"{name} {preset}": DETECTORS.get(name).preset(preset)
    for name in NAMES
    for preset in ("paper", *DETECTORS.get(name).presets)
}
DENSE["windows apart"] = DETECTORS.get("large_color")(window=8, stride=50)
SIZES = [(203, 331), (371, 161)]


def part(height: int, width: int) -> TripletBatch:
    """Two triplets."""
    originals = [small_photo(name, height, width, 20) for name in ("astronaut", "coffee")]
    sides = [[jpeg(each, quality) for each in originals] for quality in (10, 30)]
    stacks = [np.stack(side).transpose(0, 3, 1, 2) for side in (originals, *sides)]
    return TripletBatch(*map(torch.from_numpy, stacks))


def tall(height: int, width: int) -> TripletBatch:
    """Two triplets, over each other's mirrored copy."""
    batch = part(height, width)
    return TripletBatch(*(torch.cat([x, x.flip(2)], 2) for x in map(batch.__getattribute__, ROLES)))


def in_strips(monkeypatch: pytest.MonkeyPatch, rows: int, width: int) -> None:
    monkeypatch.setattr(batches, "WHOLE", 1)
    monkeypatch.setattr(strips, "STRIP", 2 * rows * width)
    monkeypatch.setattr(strips, "CPU_STRIP", rows * width)


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("rows", [7, 100])
def test_dense_maps(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector: Detector = DENSE[name]
    for height, width in SIZES:
        whole = detector(part(height, width))
        with monkeypatch.context() as patch:
            in_strips(patch, rows, width)
            strips = detector(part(height, width))
        assert whole.heat_map is not None and strips.heat_map is not None
        for made in ("scores", "heat_map.values"):  # float32, of values up to 16
            get = attrgetter(made)
            torch.testing.assert_close(get(strips), get(whole), rtol=2e-7, atol=1e-7)
        for first, second in zip(strips.boxes, whole.boxes, strict=True):
            assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["texture_severity", "color_severity"])
@pytest.mark.parametrize("rows", [40, 120])
def test_severities(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector: Detector = DETECTORS.get(name)()
    whole = detector(tall(371, 161))
    in_strips(monkeypatch, rows, 161)
    strips = detector(tall(371, 161))
    assert whole.heat_map is not None and strips.heat_map is not None
    assert whole.scores.min() > 0.5
    torch.testing.assert_close(strips.scores, whole.scores, rtol=0, atol=1e-6)
    torch.testing.assert_close(strips.heat_map.values, whole.heat_map.values, rtol=0, atol=1e-6)
    assert all(map(torch.equal, strips.boxes, whole.boxes))


def test_faults_beside_text(monkeypatch: pytest.MonkeyPatch) -> None:
    single = part(203, 331)[0]
    (whole,) = (faults_of_luma(strip) for strip in single.strips())
    in_strips(monkeypatch, 20, 331)
    strips = [faults_of_luma(strip) for strip in single.strips(REACH, CELL)]
    torch.testing.assert_close(torch.cat(strips, 2), whole, rtol=0, atol=1e-6)


IN_STRIPS = [name for name in BASELINES if getattr(BASELINES.get(name), "in_strips", False)]


@pytest.mark.parametrize("name", IN_STRIPS)
@pytest.mark.parametrize(("height", "width"), [(203, 331), (371, 161)])
def test_metrics(name: str, height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = part(height, width)
    metric = BASELINES.get(name)()
    whole = metric(batch)
    assert whole.abs().min() > 1e-5
    for rows in (5, 90):
        in_strips(monkeypatch, rows, width)
        torch.testing.assert_close(metric(part(height, width)), whole, rtol=0, atol=1e-11)


def test_strips_cover_the_picture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = part(203, 331)
    assert next(batch.strips()).batch is batch
    in_strips(monkeypatch, 40, 331)
    strips = list(batch.strips(margin=8, step=16))
    assert [(strip.start, strip.stop, strip.first) for strip in strips] == [
        *[(start, start + 32, max(0, start - 8)) for start in range(0, 192, 32)],
        (192, 203, 184),
    ]
    own = torch.cat([strip.rows(strip.batch.original) for strip in strips], dim=2)
    assert torch.equal(own, batch.original)
