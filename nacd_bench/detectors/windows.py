"""From a per-pixel map to the one region where its window mean is largest (eq. 5-6, 11-12, 16-17).

Shared by the detectors that report the strongest window of an image.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nacd_bench.detectors.base import Detector
from nacd_bench.ops.boxes import REGION, regions_around
from nacd_bench.ops.filters import box_mean, window_starts
from nacd_bench.settings import Number
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch, HeatMap

Padding = Literal["valid", "same"]
"""``valid``: windows inside the image, the last flush with the border. ``same``: one window per
pixel (times the stride), hanging over the border, where the map counts as 0; an even window of k
reaches (k - 1) // 2 pixels back, the rest ahead."""


@dataclass(eq=False, repr=False)
class WindowDetector(Detector):
    """Reports the region around the strongest window of each image.

    Args:
        window: side in pixels of the averaging window (the image's side if that is smaller).
        stride: step in pixels between windows.
        padding: ``valid`` keeps windows inside the image, ``same`` lets them hang over.
        region: side in pixels of the reported box.
    """

    window: Number = 128
    stride: Number = 1
    padding: Padding = "valid"
    region: Number = REGION

    @abstractmethod
    def heat_map(self, batch: TripletBatch) -> HeatMap:
        """Means over windows of the map that the detector makes of a batch."""

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.require_size(batch)
        return self.strongest(self.heat_map(batch), batch.height, batch.width)

    def means(
        self,
        strips: Iterable[Tensor],
        height: int,
        width: int,
        combined: Callable[[Tensor], Tensor] = lambda means: means[:, 0].float(),
    ) -> HeatMap:
        """Of the windows of a map, whose rows come part by part.

        Args:
            strips: one below the other ``(B, C, h, W)``, together the map ``(B, C, H, W)``.
            height, width: of the map.
            combined: makes the values ``(B, n, m)`` of the means ``(B, C, n, m)``, float64.
        """
        if self.padding == "same":
            size = (self.window, self.window)
            before = (self.window - 1) // 2
            rows, columns = (torch.arange(0, n, self.stride) - before for n in (height, width))
        else:
            size = (min(self.window, height), min(self.window, width))
            rows = window_starts(height, size[0], self.stride)
            columns = window_starts(width, size[1], self.stride)
        values: Tensor | None = None
        needed, first, done = None, 0, 0  # rows of the map that windows to come hold
        for strip in strips:
            needed = strip if needed is None else torch.cat([needed, strip], dim=2)
            last = first + needed.shape[2]
            ready = len(rows) if last == height else int((rows + size[0] <= last).sum())
            if ready > done:
                means = box_mean(needed, size, rows[done:ready] - first, columns)
                part = combined(means)
                if values is None:
                    values = part.new_empty(len(part), len(rows), len(columns))
                values[:, done:ready] = part
            if ready < len(rows):
                start = min(max(first, int(rows[ready])), last)
                needed, first = needed[:, :, start - first :], start
            done = ready
        assert values is not None  # the last strip makes windows ready
        return HeatMap(values, rows, columns, size)

    def strongest(self, heat_map: HeatMap, height: int, width: int) -> DetectionBatch:
        """One region per image around the window of the largest mean, the first one in a tie.

        Means are compared as float32, in which the rounding of their sums does not show: equal
        windows tie. The region is shifted inside the image; its confidence is the mean, kept when
        negative. Under ``same`` the region surrounds the window's pixel, as in the released code,
        which for an even window lies half a pixel before its centre.
        """
        flat = heat_map.values.flatten(1).float()
        best = flat.argmax(dim=1)  # the first maximum in row-major order
        scores = flat.gather(1, best[:, None])[:, 0]
        # one transfer from a GPU, which waits for nothing before
        places, scores = torch.stack([best.double(), scores.double()]).cpu()
        best, scores = places.long(), scores.float()
        y0 = heat_map.rows[best // len(heat_map.columns)]
        x0 = heat_map.columns[best % len(heat_map.columns)]
        h, w = heat_map.window
        if self.padding == "same":
            y0, x0, h, w = y0 + (h - 1) // 2, x0 + (w - 1) // 2, 1, 1
        windows = torch.stack([x0, y0, x0 + w, y0 + h], dim=-1)
        boxes = torch.from_numpy(regions_around(windows, width, height, self.region))
        return DetectionBatch(scores, boxes[:, None].unbind(), scores[:, None].unbind(), heat_map)
