"""Whether the boxes of a detector lie where people saw the artifact.

::

    pointing accuracy  share of images whose strongest box has its centre in a labelled box of the
                       type (the pointing game of Zhang et al. 2016, arXiv 1608.00507, for boxes)
    mean IoU           mean over images of the largest IoU of the strongest box with a labelled one
    average precision  of all boxes in all images, negatives included, at an IoU of 0.3 and of 0.5

The first two are over images with labelled boxes; an image without a detection counts as a miss
and as IoU 0. Average precision follows COCO (greedy matching from the strongest box down, each
labelled box once, precision interpolated at 101 recalls) and equals torchmetrics with pycocotools
on boxes of differing confidence; boxes of equal confidence count together, so that the order of
images does not matter. It is written here because the bootstrap needs it as a function of weights
(matching once, 10,000 sums), which no library offers, and pycocotools would be a compiled
dependency for these forty lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


class Placed:
    """One image: where the artifacts of a type are, and where a detector says they are.

    Args:
        labelled: ``(m, 4)`` boxes ``[x0, y0, x1, y1]``, half-open; empty when the image has no such
            artifact; None when it has one in an unknown place.
        boxes: ``(n, 4)``, the detector's; kept from the strongest down.
        confidences: ``(n,)``.
        cluster: its source image.

    ``points_inside`` says whether the centre of the strongest box lies in a labelled one,
    ``best_iou`` is its overlap with one.

    Raises:
        ValueError: boxes and confidences that do not fit.
    """

    def __init__(
        self,
        labelled: ArrayLike | None,
        boxes: ArrayLike,
        confidences: ArrayLike,
        cluster: str,
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
        centers = (self.boxes[:1, None, :2] + self.boxes[:1, None, 2:]) / 2
        is_inside = (self.labelled[:, :2] <= centers) & (centers < self.labelled[:, 2:])
        self.points_inside = bool(is_inside.all(axis=-1).any())
        self.best_iou = float(self.ious[:1].max(initial=0))

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


@dataclass(frozen=True)
class Localisation:
    """How well one detector finds the place.

    Args:
        pointing, mean_iou: over images with labelled boxes.
        average_precision: by IoU, over all images.
        n_labelled: labelled boxes.
        n_boxes: the detector's boxes.
        n_unplaced: images left out because the place of their artifact is not known.
    """

    pointing: IntervalEstimate
    mean_iou: IntervalEstimate
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

    return Localisation(
        mean([float(image.points_inside) for image in boxed]),
        mean([image.best_iou for image in boxed]),
        {
            iou: estimate(_average_precision(placed, iou), everywhere, resampling, sources)
            for iou in ious
        },
        sum(len(image.labelled) for image in placed),
        sum(len(image.boxes) for image in placed),
        len(images) - len(placed),
    )


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
