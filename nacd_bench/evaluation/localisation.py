"""Whether the boxes of a detector lie where people saw the artifact.

::

    pointing accuracy  share of images whose strongest box has its centre in a labelled box of the
                       type (the pointing game of Zhang et al. 2016, arXiv 1608.00507, for boxes)
    mean IoU           mean over images of the largest IoU of the strongest box with a labelled one
    average precision  of all boxes in all images, negatives included, at an IoU of 0.3 and of 0.5

The first two are over images with labelled boxes; an image without a detection counts as a miss
and as IoU 0. Beside them stands what the same boxes would reach at a random place of their image
(expected) and at its centre. Average precision follows COCO (greedy matching from the strongest box
down, each labelled box once, precision interpolated at 101 recalls) and equals torchmetrics with
pycocotools on boxes of differing confidence; boxes of equal confidence count together, so that the
order of images does not matter. It is written here because the bootstrap needs it as a function of
weights (matching once, 10,000 sums), which no library offers, and pycocotools would be a compiled
dependency for these forty lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import (
    DEFAULT,
    Clusters,
    Floats,
    IntervalEstimate,
    Resampling,
    Statistic,
    estimate,
)
from nacd_bench.ops.boxes import box_iou

IOUS = (0.3, 0.5)
RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads the precision."""
GRID = 64
"""Places along each side of an image that stand for all places of a box."""


@dataclass(frozen=True)
class Hit:
    """Where a box lies, or the mean over some.

    Args:
        pointing: whether its centre lies in a labelled box.
        iou: its largest IoU with one.
    """

    pointing: float
    iou: float


class Placed:
    """One image: where the artifacts of a type are, and where a detector says they are.

    Args:
        labelled: ``(m, 4)`` boxes ``[x0, y0, x1, y1]``, half-open; empty when the image has no such
            artifact; None when it has one in an unknown place.
        boxes: ``(n, 4)``, the detector's; kept from the strongest down.
        confidences: ``(n,)``.
        cluster: its source image.
        size: width and height of the image; None where they are not known.

    ``hit`` says whether the centre of the strongest box lies in a labelled one, and how much they
    overlap.

    Raises:
        ValueError: boxes and confidences that do not fit.
    """

    def __init__(
        self,
        labelled: ArrayLike | None,
        boxes: ArrayLike,
        confidences: ArrayLike,
        cluster: str,
        size: tuple[int, int] | None = None,
    ) -> None:
        places = np.asarray(boxes, np.float64).reshape(-1, 4)
        values = np.asarray(confidences, np.float64).reshape(-1)
        if len(places) != len(values):
            raise ValueError(
                "Expected a confidence for each box. "
                f"Got {len(values)} confidences and {len(places)} boxes."
            )
        if np.isnan(values).any():
            raise ValueError("Expected confidences without NaN. Got NaN.")
        order = np.lexsort([*places.T[::-1], -values])  # equal ones by place, not as they came
        self.boxes, self.confidences = places[order], values[order]
        self.is_known = labelled is not None
        self.labelled = np.asarray([] if labelled is None else labelled, np.float64).reshape(-1, 4)
        self.ious = box_iou(self.boxes[:, None], self.labelled)
        self.cluster = cluster
        self.size = size
        self.hit = self._hit(self.boxes[:1])

    def _hit(self, boxes: Floats) -> Hit:
        """Mean over boxes ``(n, 4)``, 0 where there are none."""
        centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        inside = (self.labelled[:, :2] <= centers) & (centers < self.labelled[:, 2:])
        points = inside.all(axis=-1).any(axis=-1)
        ious = box_iou(boxes[:, None], self.labelled).max(axis=-1, initial=0)
        return Hit(*(float(each.mean()) if len(boxes) else 0.0 for each in (points, ious)))

    def guesses(self) -> tuple[Hit, Hit] | None:
        """The strongest box at a random place of the image (expected) and at its centre; None where
        the image's size is not known."""
        if self.size is None:
            return None
        sides = (self.boxes[:1, 2:] - self.boxes[:1, :2])[:, None]
        room = self.size - sides
        steps = (np.arange(GRID) + 0.5) / GRID
        shares = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        corners = shares * room, np.array([[0.5, 0.5]]) * room
        random, centered = (
            self._hit(np.concatenate([corner, corner + sides], axis=-1).reshape(-1, 4))
            for corner in corners
        )
        return random, centered

    def matches(self, iou: float) -> NDArray[np.bool_]:
        """``(n,)`` whether each box takes a labelled box of its own, the strongest first."""
        free = np.ones(len(self.labelled), bool)
        hits = np.zeros(len(self.boxes), bool)
        for i, row in enumerate(self.ious):
            open_to = np.where(free & (row >= iou), row, -1.0)
            if open_to.max(initial=-1) >= 0:
                hits[i] = True
                free[np.argmax(open_to)] = False
        return hits


FIGURES = tuple(figure.name for figure in fields(Hit))


@dataclass(frozen=True)
class Localisation:
    """How well one detector finds the place.

    Args:
        pointing, mean_iou: over images with labelled boxes.
        by_chance, at_centre: what the same boxes reach at a random place and at the centre; None
            where the size of an image is not known.
        average_precision: by IoU, over all images.
        n_labelled: labelled boxes.
        n_boxes: the detector's boxes.
        n_unplaced: images left out because the place of their artifact is not known.
    """

    pointing: IntervalEstimate
    mean_iou: IntervalEstimate
    by_chance: Hit | None
    at_centre: Hit | None
    average_precision: dict[float, IntervalEstimate]
    n_labelled: int
    n_boxes: int
    n_unplaced: int


def localisation(
    images: Sequence[Placed],
    ious: Sequence[float] = IOUS,
    resampling: Resampling = DEFAULT,
) -> Localisation:
    """Pointing accuracy, mean IoU and average precision with their intervals.

    Args:
        images: of one test set, positives and negatives, for one artifact type.
        ious: least IoU of a match, each above 0.

    Raises:
        DataError: no image has a labelled box.
    """
    placed = [image for image in images if image.is_known]
    has_box = np.array([len(image.labelled) > 0 for image in placed], bool)
    if not has_box.any():
        raise DataError(
            "expected an image with a labelled box of the type, got none in "
            f"{len(images)} images. Add boxes to the labels."
        )
    boxed = [image for image in placed if len(image.labelled)]
    units = Clusters(np.ones(len(boxed)), [image.cluster for image in boxed])
    everywhere = Clusters(has_box, [image.cluster for image in placed])
    sources = units.on_sides[0]

    def mean(values: list[float]) -> IntervalEstimate:
        return estimate(lambda w: w @ np.array(values) / w.sum(axis=1), units, resampling, sources)

    guesses = [image.guesses() for image in boxed]
    by_chance, at_centre = (
        None if None in guesses else _mean_hit([each[place] for each in guesses if each])
        for place in (0, 1)
    )
    return Localisation(
        mean([image.hit.pointing for image in boxed]),
        mean([image.hit.iou for image in boxed]),
        by_chance,
        at_centre,
        {
            iou: estimate(_average_precision(placed, iou), everywhere, resampling, sources)
            for iou in ious
        },
        sum(len(image.labelled) for image in placed),
        sum(len(image.boxes) for image in placed),
        len(images) - len(placed),
    )


def _mean_hit(hits: Sequence[Hit]) -> Hit:
    return Hit(*(float(np.mean([getattr(hit, figure) for hit in hits])) for figure in FIGURES))


def _average_precision(images: Sequence[Placed], iou: float) -> Statistic:
    """COCO's average precision as a function of the images' weights."""
    confidences = np.concatenate([image.confidences for image in images])
    hits = np.concatenate([image.matches(iou) for image in images])
    of_box = np.repeat(np.arange(len(images)), [len(image.boxes) for image in images])
    labelled = np.array([len(image.labelled) for image in images], np.float64)
    order = np.argsort(-confidences, kind="stable")
    hits, of_box, confidences = hits[order], of_box[order], confidences[order]
    is_last = np.append(confidences[1:] != confidences[:-1], True)[: len(confidences)]

    def statistic(weights: Floats) -> Floats:
        of_boxes = weights[:, of_box]
        tp = np.cumsum(of_boxes * hits, axis=1)[:, is_last]
        positive = np.cumsum(of_boxes, axis=1)[:, is_last]
        recall = tp / (weights @ labelled)[:, None]
        precision = np.divide(tp, positive, out=np.zeros_like(tp), where=positive > 0)
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        padded = np.hstack([best_from_here, np.zeros((len(weights), 1))])
        at = np.array([np.searchsorted(row, RECALLS) for row in recall])
        return np.take_along_axis(padded, at, axis=1).mean(axis=1)

    return statistic
