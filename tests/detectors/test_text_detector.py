"""The text detector with text whose place is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from checks import fails
from piq import fsim as fsim_of_piq

from nacd_bench.detectors import Text
from nacd_bench.detectors.text import bounding_box, merged
from nacd_bench.detectors.text_finders import TextFinder, TextPolygon
from nacd_bench.errors import TextFinderError, UserError
from nacd_bench.ops.boxes import box_iou
from nacd_bench.ops.color import luma
from nacd_bench.ops.fsim import fsim
from nacd_bench.planting.photographs import photo
from nacd_bench.triplets.batch import TripletBatch


class Known(TextFinder):
    """Says where text is, by image."""

    name = "known"
    by_content = False

    def __init__(self, **boxes: list[tuple[int, ...]]) -> None:
        self.boxes = boxes

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"boxes": self.boxes}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        if image_id not in self.boxes:
            raise TextFinderError(f"{image_id}: unknown")
        polygons = []
        for x0, y0, x1, y1, *rest in self.boxes[image_id]:
            confidence = rest[0] / 100 if rest else 1.0
            polygons.append(TextPolygon([x0, y0, x1, y0, x1, y1, x0, y1], confidence))
        return polygons


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


def page(side: str = "neural", name: str = "page", blur: float = 1.5) -> TripletBatch:
    """The page of scikit-image, of which one side is blurred at 100..200, 60..100."""
    original = np.ascontiguousarray(photo("page"))
    damaged = original.copy()
    damaged[60:100, 100:200] = cv2.GaussianBlur(damaged[60:100, 100:200], (0, 0), blur)
    pair = (damaged, original) if side == "neural" else (original, damaged)
    return TripletBatch(tensor(original), tensor(pair[0]), tensor(pair[1]), ids=[name])


WORDS = [(100, 60, 200, 100), (10, 120, 90, 150)]


@pytest.mark.numeric
def test_garbled_text_is_found_and_sides_change_the_sign() -> None:
    detector = Text(Known(page=WORDS), region=60)
    found = detector(page())
    assert found.scores.item() > 0.01 and found.boxes[0][0].tolist() == [120, 50, 180, 110]
    assert found.confidences[0][1].item() == 0
    other = detector(page("traditional"))
    assert other.confidences[0].min().item() == pytest.approx(-found.scores.item(), abs=1e-6)
    assert found.heat_map is not None and other.heat_map is not None
    assert (found.heat_map.values + other.heat_map.values).abs().max() < 1e-6
    assert Text(Known(page=WORDS))(page("traditional")).scores.item() == 0


@pytest.mark.numeric
def test_confidence_is_the_difference_of_fsim_on_the_crop() -> None:
    """In float64; luma rounded to float32 is 3e-8 off."""
    batch = page()
    crops = [
        luma(image.double() / 255)[..., 60:100, 100:200] for image in (batch.original, batch.neural)
    ]
    expected = 1 - fsim(*crops).item()
    assert expected == pytest.approx(1 - fsim_of_piq(*crops, chromatic=False).item(), abs=2e-3)
    assert Text(Known(page=WORDS[:1]))(batch).scores.item() == pytest.approx(expected, abs=1e-6)
    in_color = Text(Known(page=WORDS[:1]), chromatic=True)(batch)
    assert in_color.scores.item() == pytest.approx(expected, abs=1e-3)  # the page is gray


@pytest.mark.numeric
@pytest.mark.parametrize("axis", [2, 3])
def test_mirrored_text_has_mirrored_boxes(axis: int) -> None:
    """Words have even sides, as the region has; FSIM of even sides is symmetric to 1e-4."""
    batch = page()
    height, width = batch.height, batch.width
    images = (image.flip(axis) for image in (batch.original, batch.neural, batch.traditional))
    turned = [
        (x0, height - y1, x1, height - y0) if axis == 2 else (width - x1, y0, width - x0, y1)
        for x0, y0, x1, y1 in WORDS
    ]
    found = Text(Known(page=WORDS), region=60)(batch)
    mirrored = Text(Known(page=turned), region=60)(TripletBatch(*images, ids=["page"]))
    assert mirrored.scores.item() == pytest.approx(found.scores.item(), abs=1e-4)
    boxes = found.boxes[0].clone()
    low, high, side = (1, 3, height) if axis == 2 else (0, 2, width)
    boxes[:, low], boxes[:, high] = side - found.boxes[0][:, high], side - found.boxes[0][:, low]
    assert mirrored.boxes[0].tolist() == boxes.tolist()


def test_no_text() -> None:
    found = Text(Known(page=[]))(page())
    assert found.scores.item() == -1 and len(found.boxes[0]) == len(found.confidences[0]) == 0
    assert found.heat_map is not None and (found.heat_map.values == 0).all()


def test_what_counts_as_text() -> None:
    small, unsure = (10, 10, 29, 31), (40, 40, 80, 80, 69)
    assert Text(Known(page=[small, unsure]))(page()).scores.item() == -1
    assert Text(Known(page=[small]), min_area=399)(page()).scores.item() == 0
    assert Text(Known(page=[unsure]), min_confidence=0.69)(page()).scores.item() == 0


def test_regions_that_overlap_become_one() -> None:
    near = [(100, 60, 200, 100), (20, 60, 90, 100)]
    assert Text(Known(page=near), region=120)(page()).boxes[0].tolist() == [[0, 20, 210, 140]]
    assert len(Text(Known(page=near), region=60)(page()).boxes[0]) == 2


def test_boxes_of_dense_text_follow_its_paragraphs() -> None:
    lines = [(20, top, 260, top + 12) for top in (10, 26, 42, 110, 126)]
    text = Text(Known(page=lines), region=100, largest=150)
    boxes = sorted(text(page()).boxes[0].tolist())
    assert boxes == [[20, 10, 260, 54], [20, 110, 260, 138]]
    (whole,) = Text(Known(page=lines), region=100, largest=None)(page()).boxes[0].tolist()
    assert whole[3] - whole[1] > 128 and text(page()).scores == text(page()).confidences[0][0]


@pytest.mark.numeric
def test_merging_is_transitive_and_keeps_the_largest() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [6, 0, 16, 10], [12, 0, 22, 10], [50, 50, 60, 60]])
    unions, confidences = merged(boxes, torch.tensor([0.1, -0.5, 0.3, 0.2]), 0.2)
    assert unions.tolist() == [[0, 0, 22, 10], [50, 50, 60, 60]]
    assert confidences.tolist() == pytest.approx([0.3, 0.2])
    assert box_iou(boxes[0], boxes[1]) == pytest.approx(40 / 160)


def test_boxes_are_cut_to_the_image() -> None:
    polygon = TextPolygon([-5, -5, 500, -5, 500, 900, -5, 900])
    assert bounding_box(polygon, 40, 30) == [0, 0, 40, 30]


def test_heat_map_holds_each_piece() -> None:
    found = Text(Known(page=WORDS), region=60)(page())
    assert found.heat_map is not None
    values = found.heat_map.values[0]
    assert values.shape == photo("page").shape[:2]
    assert values[80, 150] == found.scores[0] and values[0, 0] == 0


@pytest.mark.numeric
def test_batches_and_order() -> None:
    first, second = page(name="a"), page(blur=3.0, name="b")
    detector = Text(Known(a=WORDS, b=WORDS[:1]), region=60)
    for order in ((first, second), (second, first)):
        roles = ("original", "neural", "traditional")
        images = [torch.cat([getattr(each, role) for each in order]) for role in roles]
        together = detector(TripletBatch(*images, ids=[each.ids[0] for each in order]))
        for index, alone in enumerate(map(detector, order)):
            assert together.scores[index].item() == pytest.approx(alone.scores.item(), abs=1e-6)
            assert together.boxes[index].tolist() == alone.boxes[0].tolist()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 400), (33, 20)])
def test_any_size_and_flat(height: int, width: int) -> None:
    flat = torch.full((1, 3, height, width), 99, dtype=torch.uint8)
    whole = Text(Known(flat=[(0, 0, width, height)]), min_area=1)
    found = whole(TripletBatch(flat, flat, flat, ids=["flat"]))
    left = max(0, (width - 300) // 2)  # the region around the middle
    assert found.scores.item() == 0
    assert found.boxes[0].tolist() == [[left, 0, width - left, height]]


@pytest.mark.numeric
def test_deep_images() -> None:
    batch = page()
    deep = [image.float() / 255 for image in (batch.original, batch.neural, batch.traditional)]
    detector = Text(Known(page=WORDS))
    found = detector(TripletBatch(*deep, ids=["page"]))
    assert found.scores.item() == pytest.approx(detector(batch).scores.item(), abs=1e-5)


class Seen(Known):
    """Finds one word on pixels, and keeps how large what it looked at was."""

    by_content = True

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        self.shape = image.shape
        height, width = image.shape[:2]
        x0, y0, x1, y1 = width / 4, height / 4, width / 2, height / 2
        return [TextPolygon([x0, y0, x1, y0, x1, y1, x0, y1])]


@pytest.mark.parametrize(("factor", "shape"), [(1.0, (191, 384, 3)), (2.0, (382, 768, 3))])
def test_text_is_looked_for_in_the_enlarged_image(factor: float, shape: tuple[int, ...]) -> None:
    finder = Seen()
    boxes = Text(finder, enlarge=factor)._text_boxes(page())
    assert finder.shape == shape and boxes.tolist() == [[96, 47, 192, 96]]


def test_a_finder_that_looks_images_up_is_asked_for_the_image_itself() -> None:
    places = [Text(Known(page=WORDS), enlarge=factor)._text_boxes(page()) for factor in (1.0, 2.0)]
    assert places[0].tolist() == places[1].tolist() == [list(word) for word in WORDS]


def test_recommended_preset() -> None:
    detector = Text.preset("recommended", finder=Known(page=WORDS))
    assert (detector.enlarge, detector.region, detector.min_confidence) == (2.0, 64, 0.7)
    found = detector(page())
    assert found.scores.item() == Text(Known(page=WORDS))(page()).scores.item() > 0.01
    assert found.boxes[0][0].tolist() == [118, 48, 182, 112]
    fails(UserError, "text has no preset 'best'. Known: paper, recommended", Text.preset, "best")


def test_errors_of_the_finder_pass() -> None:
    fails(TextFinderError, "other: unknown", Text(Known(page=[])), page(name="other"))


def test_default_finder_reads_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NACD_BENCH_CACHE", "off")
    assert Text()(page()).scores.item() > 0.005


def test_settings_name_the_finder() -> None:
    assert Text(Known(page=[])).settings["finder"] == {"boxes": {"page": []}}
