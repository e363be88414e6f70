"""What a detector returns: boxes, confidences, image scores and the heat map behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class HeatMap:
    """Evidence per window position; larger means the neural result is worse.

    Args:
        values: ``(B, h, w)`` float.
        rows: ``(h,)`` first image row of each window (negative where a window hangs over).
        columns: ``(w,)`` first image column of each window.
        window: height and width of a window in pixels.
    """

    values: Tensor
    rows: Tensor
    columns: Tensor
    window: tuple[int, int]


@dataclass(frozen=True)
class DetectionBatch:
    """The findings of one detector in a batch.

    Args:
        scores: ``(B,)`` float, the image's score: its largest confidence, or a lower fallback.
        boxes: per image ``(n, 4)`` int64, ``[x0, y0, x1, y1]`` half-open, in pixels.
        confidences: per image ``(n,)`` float, falling.
        heat_map: the evidence, or None where a detector has none.
    """

    scores: Tensor
    boxes: Sequence[Tensor]
    confidences: Sequence[Tensor]
    heat_map: HeatMap | None = None

    def __len__(self) -> int:
        return self.scores.shape[0]

    def single(self, index: int) -> DetectionBatch:
        """One image's findings as a batch of one, on the CPU."""
        one = slice(index, index + 1)
        heat_map = self.heat_map
        if heat_map is not None:
            heat_map = replace(heat_map, values=heat_map.values[one].cpu())
        return DetectionBatch(
            self.scores[one].cpu(),
            [self.boxes[index].cpu()],
            [self.confidences[index].cpu()],
            heat_map,
        )
