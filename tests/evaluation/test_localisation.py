"""Localisation: small cases by hand, average precision against pycocotools."""

import itertools
import math

import numpy as np
import pytest
from checks import fails

from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.localisation import Hit, Placed, localisation
from nacd_bench.ops.boxes import box_iou

pytestmark = pytest.mark.numeric

FAST = Resampling(resamples=300)
BOX = [100, 100, 200, 200]
HALF = [150, 100, 250, 200]  # IoU 1/3 with BOX; its centre x = 200 lies just outside
FAR = [500, 500, 600, 600]
NAMES = itertools.count(10**6)


def image(labelled: object, boxes: object = (), confidences: object = None) -> Placed:
    given = np.arange(len(boxes), 0, -1) if confidences is None else confidences  # type: ignore[arg-type]
    return Placed(labelled, boxes, given, str(next(NAMES)))  # type: ignore[arg-type]


def drawn(seed: int, n: int = 40) -> list[Placed]:
    """Up to two labelled boxes, up to three found ones near them or elsewhere."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(n):
        count = int(rng.integers(0, 3))
        corner = rng.integers(0, 300, (count, 2))
        labelled = np.hstack([corner, corner + rng.integers(40, 200, (count, 2))])
        boxes = []
        for _ in range(int(rng.integers(0, 4))):
            if count and rng.random() < 0.7:
                shift = rng.integers(-40, 41, 4) * rng.choice([0.3, 1])
                boxes.append(labelled[rng.integers(count)] + shift)
            else:
                place = rng.integers(0, 300, 2)
                boxes.append(np.concatenate([place, place + rng.integers(40, 200, 2)]))
        found = np.array(boxes, float).reshape(-1, 4).round()
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        images.append(Placed(labelled, found, rng.random(len(found)).round(6), f"own {number:02}"))
    return images


class TestAveragePrecision:
    # torchmetrics 1.9.0 MeanAveragePrecision(iou_thresholds=[iou]) with pycocotools 2.0.11 (in
    # float32) on drawn(seed), all of one class
    @pytest.mark.parametrize(
        ("seed", "at_30", "at_50"),
        [
            (0, 0.11864696, 0.09984820),
            (1, 0.32000205, 0.25573444),
            (2, 0.30500528, 0.21561049),
            (3, 0.14408678, 0.06295188),
            (4, 0.24799965, 0.11278128),
            (5, 0.21963996, 0.17625906),
        ],
    )
    def test_equals_pycocotools(self, seed: int, at_30: float, at_50: float) -> None:
        found = localisation(drawn(seed), resampling=Resampling(2)).average_precision
        assert found[0.3].value == pytest.approx(at_30, abs=1e-6)
        assert found[0.5].value == pytest.approx(at_50, abs=1e-6)

    def test_a_labelled_box_is_found_once(self) -> None:
        """Hit, then the same box again: precision 1 up to recall 1 all the same."""
        images = [image([BOX, FAR], [BOX, BOX])]
        assert localisation(images, [0.5], FAST).average_precision[0.5].value == pytest.approx(
            51 / 101
        )

    def test_the_iou_decides(self) -> None:
        found = localisation([image([BOX], [HALF])], resampling=FAST).average_precision
        assert (found[0.3].value, found[0.5].value) == (1, 0)

    def test_boxes_in_negatives_count_against(self) -> None:
        images = [image([BOX], [BOX], [0.5]), image([], [FAR], [0.9])]
        assert localisation(images, [0.5], FAST).average_precision[0.5].value == 0.5

    def test_ties_do_not_depend_on_the_order(self) -> None:
        images = [image([BOX], [BOX], [0.5]), image([], [FAR], [0.5]), image([BOX], [FAR], [0.5])]
        values = [
            localisation([images[i] for i in order], [0.5], FAST).average_precision[0.5].value
            for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2])
        ]
        assert values[0] == values[1] == values[2] == pytest.approx(51 / 101 / 3)

    def test_no_detection_at_all(self) -> None:
        found = localisation([image([BOX]), image([])], resampling=FAST)
        assert found.average_precision[0.5].value == 0
        assert (found.pointing.value, found.mean_iou.value, found.n_boxes) == (0, 0, 0)


class TestPlace:
    def test_pointing_and_iou_of_the_strongest_box(self) -> None:
        images = [
            image([BOX, FAR], [FAR, HALF]),
            image([BOX], [HALF, BOX]),
            image([BOX], [HALF, BOX], [0.1, 0.2]),
            image([BOX]),
            image([], [BOX]),
        ]
        found = localisation(images, resampling=FAST)
        assert found.pointing.value == 0.5
        assert found.mean_iou.value == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
        assert (found.pointing.n, found.average_precision[0.3].n) == (4, 5)
        assert (found.n_labelled, found.n_boxes) == (5, 7)

    def test_unknown_places_are_left_out_and_counted(self) -> None:
        found = localisation([image([BOX], [BOX]), image(None, [FAR])], resampling=FAST)
        assert (found.n_unplaced, found.n_boxes, found.pointing.value) == (1, 1, 1)

    def test_iou_of_nothing(self) -> None:
        assert box_iou(np.zeros((0, 1, 4)), np.array([BOX], float)).shape == (0, 1)
        assert box_iou(np.array([[1.0, 1, 1, 1]]), np.array([[1.0, 1, 1, 1]])).item() == 0


class TestInterval:
    def test_holds_the_value_and_follows_the_seed(self) -> None:
        first = localisation(drawn(1), resampling=FAST)
        for each in (first.pointing, first.mean_iou, *first.average_precision.values()):
            assert each.low < each.value < each.high
        assert first == localisation(drawn(1), resampling=FAST)
        assert first != localisation(drawn(1), resampling=Resampling(300, seed=1))

    def test_copies_in_a_cluster_add_nothing(self) -> None:
        named = [
            Placed(e.labelled, e.boxes, e.confidences, f"{i:02}") for i, e in enumerate(drawn(2))
        ]
        once = localisation(named, [0.3], FAST)
        twice = localisation([each for each in named for _ in range(2)], [0.3], FAST)
        assert twice.pointing.n == 2 * once.pointing.n
        assert twice.pointing.n_clusters == once.pointing.n_clusters
        for a, b in ((once.pointing, twice.pointing), (once.mean_iou, twice.mean_iou)):
            assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high))

    def test_images_without_a_source_are_their_own(self) -> None:
        images = [*drawn(3), Placed([BOX], [BOX], [1.0], "0")]
        assert localisation(images, resampling=FAST).average_precision[0.3].n_clusters == 41


class TestBadInput:
    def test_no_labelled_box(self) -> None:
        fails(DataError, "got none in 2 images", localisation, [image([], [BOX]), image(None)])

    def test_confidences_that_do_not_fit(self) -> None:
        fails(ValueError, "2 confidences and 1 boxes", image, [BOX], [BOX], [1, 2])

    def test_nan(self) -> None:
        fails(ValueError, "without NaN", image, [BOX], [BOX], [math.nan])


class TestGuesses:
    @pytest.mark.parametrize("seed", range(4))
    def test_chance_is_the_mean_over_every_place(self, seed: int) -> None:
        """Against a loop over all whole pixels; the grid's steps are within 2 pixels."""
        rng = np.random.default_rng(seed)
        width, height = 130, 90
        corners = rng.integers(0, (80, 40), (2, 2))
        labelled = np.hstack([corners, corners + rng.integers(15, 50, (2, 2))])
        w, h = rng.integers(10, 60, 2)
        found = Placed(labelled, [[0, 0, w, h]], [1.0], "a", (width, height))
        inside, ious = [], []
        for x in range(width - w + 1):
            for y in range(height - h + 1):
                box = np.array([x, y, x + w, y + h])
                cx, cy = x + w / 2, y + h / 2
                inside.append(any(a <= cx < c and b <= cy < d for a, b, c, d in labelled))
                ious.append(max(box_iou(box, each) for each in labelled))
        guesses = found.guesses()
        assert guesses is not None
        chance, center = guesses
        assert chance.pointing == pytest.approx(np.mean(inside), abs=0.02)
        assert chance.iou == pytest.approx(np.mean(ious), abs=0.005)
        middle = [(width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2]
        assert center.iou == pytest.approx(max(box_iou(middle, each) for each in labelled))

    def test_they_stand_beside_the_figures(self) -> None:
        """A box as large as the image is at its centre and everywhere; no box hits nothing."""
        whole = Placed([[40, 40, 60, 60]], [[0, 0, 100, 100]], [1], "a", (100, 100))
        none = Placed([[0, 0, 50, 50]], [], [], "b", (100, 100))
        found = localisation([whole, none], resampling=FAST)
        assert found.by_chance == found.at_centre == Hit(0.5, 0.02)
        unknown = localisation([image([BOX], [BOX]), whole], resampling=FAST)
        assert unknown.by_chance is unknown.at_centre is None
