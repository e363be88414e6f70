"""From a per-pixel map to the one region where its window mean is largest (eq. 5-6, 11-12, 16-17).

Shared by the detectors that report the strongest window of an image.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nacd_bench.detection import REGION, DetectionBatch, HeatMap, centered_boxes
from nacd_bench.ops.filters import box_mean, window_starts

Padding = Literal["valid", "same"]
"""``valid``: windows inside the image, the last flush with the border. ``same``: one window per
pixel (times the stride), hanging over the border, where the map counts as 0; an even window of k
reaches (k - 1) // 2 pixels back, the rest ahead."""


def window_means(x: Tensor, window: int, stride: int, padding: Padding = "valid") -> HeatMap:
    """Means of ``(B, 1, H, W)`` over ``window x window`` pixels (the image's size if smaller)."""
    height, width = x.shape[-2:]
    if padding == "same":
        size = (window, window)
        rows, columns = (torch.arange(0, n, stride) - (window - 1) // 2 for n in (height, width))
    else:
        size = (min(window, height), min(window, width))
        rows, columns = (
            window_starts(height, size[0], stride),
            window_starts(width, size[1], stride),
        )
    return HeatMap(box_mean(x, size, rows, columns)[:, 0], rows, columns, size)


def strongest_window(heat_map: HeatMap, height: int, width: int, region: int) -> DetectionBatch:
    """One region per image around the window of the largest mean, the first one in a tie.

    The region is shifted inside the image; its confidence is the mean, kept when negative.
    """
    flat = heat_map.values.flatten(1)
    best = flat.argmax(dim=1)  # the first maximum in row-major order
    scores = flat.gather(1, best[:, None])[:, 0].float()
    best = best.cpu()
    row, column = best // len(heat_map.columns), best % len(heat_map.columns)
    center_y = heat_map.rows[row] + _reach(heat_map.window[0])
    center_x = heat_map.columns[column] + _reach(heat_map.window[1])
    boxes = centered_boxes(center_x, center_y, width, height, region)
    return DetectionBatch(scores, boxes[:, None].unbind(), scores[:, None].unbind(), heat_map)


def _reach(window: int) -> int:
    return (window - 1) // 2


__all__ = ["REGION", "Padding", "strongest_window", "window_means"]
