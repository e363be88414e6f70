"""Text that the neural codec garbled.

Paper section 3.5, eq. 26-28. Text is found on the original only; each piece is compared by FSIM
(Zhang, Zhang, Mou, Zhang, "FSIM: a feature similarity index for image quality assessment", 2011)
between the original and each decode.

Open in the paper and decided here: text counts from a confidence of 0.7 and from 400 pixels of its
axis-aligned bounding box; FSIM is taken on luma; boxes are the regions around the pieces of text,
and those that overlap by an IoU over 0.12 become their union with the largest confidence. Where
text is dense, such unions grow into the whole picture: beyond one and a half of a region's side the
boxes are those of its paragraphs instead. An image without text has the score -1.

The released code crops along the text's angle and reports its best piece only; it is not followed.
``recommended`` looks for text in the image enlarged twice, and boxes little more than the piece.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.detectors.base import Detector
from nacd_bench.detectors.text_finders.cache import Cached
from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon
from nacd_bench.ops.boxes import REGION, box_iou, regions_around
from nacd_bench.ops.fsim import fsim
from nacd_bench.ops.planes import one_thread
from nacd_bench.settings import NotNegative, Number, Positive, Share, checked
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, HeatMap
from nacd_bench.triplets.images import seen_in_8_bit

NO_TEXT = -1.0
"""Score of an image in which no text was found."""


class Text(Detector):
    """Garbled text (3.5).

    Args:
        finder: what finds text; RapidOCR, its polygons remembered on disk, by default.
        min_confidence: of a piece of text.
        min_area: of its bounding box, in pixels.
        chromatic: FSIMc on RGB instead of FSIM on luma.
        min_crop: side in pixels up to which smaller crops are padded by their last pixels.
        merge_iou: overlap over which two regions become one.
        region: side in pixels of the region around a piece of text.
        largest: side in pixels over which regions do not become one: their paragraphs are the
            boxes. None unites whatever hangs together.
        enlarge: factor by which the original is enlarged for the finder, unless that looks images
            up by their id. Finds smaller text, at the price of its square in time.
    """

    name = "text"
    artifact_type = "text"
    heat_map_range = (0.0, 0.2)
    presets = {"recommended": {"enlarge": 2.0, "region": 64}}

    @checked
    def __init__(
        self,
        finder: TextFinder | None = None,
        min_confidence: Share = 0.7,
        min_area: NotNegative = 400.0,
        chromatic: bool = False,
        min_crop: Number = 32,
        merge_iou: Share = 0.12,
        region: Number = REGION,
        largest: Number | None = 3 * REGION // 2,
        enlarge: Positive = 1.0,
    ) -> None:
        super().__init__()
        if finder is None:
            from nacd_bench.detectors.text_finders.rapidocr import RapidOCR

            finder = Cached(RapidOCR())
        self.finder = finder
        self.min_confidence = min_confidence
        self.min_area = min_area
        self.chromatic = chromatic
        self.min_crop = min_crop
        self.merge_iou = merge_iou
        self.region = region
        self.largest = largest
        self.enlarge = enlarge

    @property
    def by_content(self) -> bool:
        return self.finder.by_content

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        singles = [batch[index] for index in range(len(batch))]
        crops = [self._text_boxes(single) for single in singles]  # before there are maps
        dtype = torch.promote_types(batch.original.dtype, torch.float32)
        shape = len(batch), batch.height, batch.width
        maps = torch.zeros(shape, dtype=dtype, device=batch.device)
        results = map(self._one, singles, crops, maps)
        scores, boxes, confidences = zip(*results, strict=True)
        rows, columns = torch.arange(batch.height), torch.arange(batch.width)
        heat_map = HeatMap(maps, rows, columns, (1, 1))
        return DetectionBatch(torch.stack(scores), boxes, confidences, heat_map)

    def _one(
        self, single: TripletBatch, crops: Tensor, heat: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score, boxes and confidences of one triplet by the boxes of its text; its evidence goes
        to a heat map of zeros."""
        if not len(crops):
            return heat.new_tensor(NO_TEXT), crops, heat.new_empty(0)
        with one_thread():
            values = torch.cat([self._confidence(single, crop) for crop in crops.tolist()])
        values = values.to(heat)
        for index in values.argsort().tolist():  # where pieces overlap, the strongest is on top
            x0, y0, x1, y1 = crops[index].tolist()
            heat[y0:y1, x0:x1] = values[index]
        regions = torch.from_numpy(regions_around(crops, single.width, single.height, self.region))
        boxes, confidences = merged(
            regions, values.cpu(), self.merge_iou, crops.cpu(), self.largest
        )
        confidences = confidences.to(values)
        return confidences[0], boxes, confidences

    def _text_boxes(self, single: TripletBatch) -> Tensor:
        """Bounding boxes ``(n, 4)`` of the text that counts, cut to the image."""
        image = seen_in_8_bit(single.original)
        boxes = [
            bounding_box(polygon, single.width, single.height)
            for polygon in self.finder.find_enlarged(image, self.enlarge, single.ids[0])
            if polygon.confidence >= self.min_confidence
        ]
        large = [box for box in boxes if (box[2] - box[0]) * (box[3] - box[1]) >= self.min_area]
        return torch.tensor(large, dtype=torch.int64).view(-1, 4)

    def _confidence(self, single: TripletBatch, crop: list[int]) -> Tensor:
        """FSIM(original, traditional) - FSIM(original, neural) of one crop (eq. 27), in float64."""
        x0, y0, x1, y1 = crop
        part = single.cut(slice(y0, y1), slice(x0, x1))
        original, neural, traditional = map(
            self._padded, part.planes(_on_unit_scale) if self.chromatic else part.y
        )
        of_traditional, of_neural = fsim(original, torch.cat([traditional, neural])).split(1)
        return of_traditional - of_neural

    def _padded(self, crop: Tensor) -> Tensor:
        """At least ``min_crop`` pixels on each side, the last pixels repeated all around."""
        bottom, right = (max(0, self.min_crop - side) for side in crop.shape[-2:])
        top, left = bottom // 2, right // 2
        return F.pad(crop, (left, right - left, top, bottom - top), mode="replicate")


def _on_unit_scale(image: Tensor) -> Tensor:
    return image.double() / 255 if image.dtype == torch.uint8 else image


def bounding_box(polygon: TextPolygon, width: int, height: int) -> list[int]:
    """The polygon's axis-aligned bounding box ``[x0, y0, x1, y1]`` in whole pixels of the image.

    >>> bounding_box(TextPolygon([-3, 2.5, 9, 2.5, 9, 4, -3, 4]), 20, 20)
    [0, 2, 9, 4]
    """
    low, high = np.floor(polygon.points.min(axis=0)), np.ceil(polygon.points.max(axis=0))
    limit = np.array([width, height])
    corners = [*low.clip(0, limit), *high.clip(0, limit)]
    return [int(corner) for corner in corners]


def merged(
    regions: Tensor,
    confidences: Tensor,
    iou: float,
    pieces: Tensor | None = None,
    largest: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Regions ``(n, 4)`` that hang together by an IoU over ``iou``, as their unions.

    Args:
        regions, confidences: of the pieces of text.
        iou: overlap over which two regions become one.
        pieces: ``(n, 4)``, the pieces themselves.
        largest: side of a union from which on the paragraphs of its pieces stand for it.

    Returns:
        the boxes ``(m, 4)`` and the largest confidence in each ``(m,)``, falling.

    >>> boxes = torch.tensor([[0, 0, 10, 10], [5, 0, 15, 10], [40, 40, 50, 50]])
    >>> merged(boxes, torch.tensor([0.1, 0.3, 0.2]), 0.12)[0].tolist()
    [[0, 0, 15, 10], [40, 40, 50, 50]]
    """
    unions, strongest = [], []
    for members in _groups(torch.as_tensor(box_iou(regions[:, None], regions) > iou)):
        union = _union(regions[members])
        parts, boxes = [members], regions
        if pieces is not None and largest and (union[2:] - union[:2]).max() > largest:
            parts, boxes = [members[part] for part in _groups(near(pieces[members]))], pieces
        unions += [_union(boxes[part]) for part in parts]
        strongest += [confidences[part].amax() for part in parts]
    values = torch.stack(strongest)
    order = values.argsort(descending=True, stable=True)
    return torch.stack(unions)[order], values[order]


def near(pieces: Tensor) -> Tensor:
    """Which pieces of text ``(n, 4)`` are of one paragraph, ``(n, n)`` bool: the gap
    between them is at most half of their letters' height (the smaller side of the smaller piece).

    >>> near(torch.tensor([[0, 0, 90, 20], [0, 30, 90, 50], [0, 95, 90, 115]])).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    low, high = pieces[:, :2], pieces[:, 2:]
    gaps = torch.maximum(low[:, None], low) - torch.minimum(high[:, None], high)
    letters = (high - low).amin(1)
    return 2 * gaps.amax(2) <= torch.minimum(letters[:, None], letters)


def _union(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)])


def _groups(linked: Tensor) -> list[Tensor]:
    """The indices of what hangs together in a graph ``(n, n)``, group by group."""
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(linked, directed=False)
    return [torch.from_numpy(group == index).nonzero()[:, 0] for index in range(count)]
