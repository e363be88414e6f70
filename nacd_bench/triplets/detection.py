"""What a detector returns for a batch, and what any method says about one triplet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from nacd_bench.triplets.batch import WHOLE

MOST_VALUES = WHOLE // 4
"""Of a large picture's heat map that is kept."""


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

    def of(self, index: int) -> HeatMap:
        """Of one image of the batch; of one with more than :data:`WHOLE` values every second,
        third, ... row and column, so that at most :data:`MOST_VALUES` are left."""
        count = self.values[0].numel()
        step = 1 + math.isqrt((count - 1) // MOST_VALUES) if count > WHOLE else 1
        kept = slice(None, None, step)
        values = self.values[index : index + 1, kept, kept].contiguous()
        return replace(self, values=values, rows=self.rows[kept], columns=self.columns[kept])


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

    def results(self) -> list[Result]:
        """What is said about each triplet of the batch."""
        results = []
        scores, evidence = self.scores.tolist(), self.heat_map
        if evidence is not None:
            evidence = replace(evidence, values=evidence.values.cpu())
        for index, (boxes, confidences) in enumerate(
            zip(self.boxes, self.confidences, strict=True)
        ):
            found = boxes.tolist(), confidences.tolist()
            own = evidence and evidence.of(index)
            results.append(Result(scores[index], *found, heat_map=own))
        return results


@dataclass(frozen=True)
class Result:
    """What one method says about one triplet: what caches, journals and tables hold.

    Args:
        score: larger where the neural result is worse; NaN where the method failed.
        boxes: ``[x0, y0, x1, y1]`` each, in pixels of the original; a baseline has none.
        confidences: of the boxes, falling.
        fault: why there is no score; empty where there is one.
        heat_map: the evidence, of a batch of one on the CPU; only where the method ran just now.
    """

    score: float = math.nan
    boxes: Sequence[Sequence[int]] = ()
    confidences: Sequence[float] = ()
    fault: str = ""
    heat_map: HeatMap | None = field(default=None, compare=False, repr=False)

    def as_json(self) -> dict[str, Any]:
        """What journals and caches keep: ``Result(**kept)`` is the same without its heat map."""
        if self.fault:
            return {"fault": self.fault}
        boxes = [list(box) for box in self.boxes]
        return {"score": self.score, "boxes": boxes, "confidences": list(self.confidences)}
