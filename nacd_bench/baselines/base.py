"""What every baseline has: an image-quality metric turned into an artifact score.

Eq. 29 and 30 of arXiv 2411.06810: the metric of (original, traditional) minus that of (original,
neural), the other way round for a distance, so that larger always means that neural is worse.

What they share is here; a metric says how two planes become a number. On a CPU triplets are taken
one by one, so that a score does not depend on its batch in the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacd_bench.errors import ImageError
from nacd_bench.settings import settings_of
from nacd_bench.triplet import TripletBatch

Small = Literal["error", "pad"]
"""What happens to images under the smallest size: an error, or replication of the last pixels."""


class Baseline(nn.Module, ABC):
    """A metric as a score. Subclasses set the class facts and write :meth:`values`.

    Args:
        small: ``error`` refuses images under :attr:`min_side`, ``pad`` repeats their last pixels.
    """

    name: ClassVar[str]
    """The registered name."""
    higher_is_better: ClassVar[bool] = True
    """False for a distance."""
    min_side: ClassVar[int] = 1
    """Smallest height and width that the metric takes."""
    in_color: ClassVar[bool] = False
    """Whether it takes RGB instead of luma."""
    dtype: ClassVar[torch.dtype] = torch.float32
    """Precision of the metric: float64 where float32 is off by more than 1e-5."""
    version: ClassVar[str] = "1"
    """Changes whenever the scores do; part of every cache key."""

    def __init__(self, small: Small = "error") -> None:
        super().__init__()
        self.small: Small = small

    @property
    def settings(self) -> dict[str, Any]:
        """Name, version and every parameter, as JSON values: what decides the scores."""
        return {"baseline": self.name, "version": self.version, **settings_of(self)}

    @abstractmethod
    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        """The metric of each pair of planes ``(B, C, H, W)`` of :attr:`dtype` on [0, 1], ``(B,)``.

        :class:`ImageError` where the metric has no value.
        """

    def forward(self, batch: TripletBatch) -> Tensor:
        """Scores ``(B,)`` float64, larger means that neural is worse.

        Raises:
            ImageError: images under the smallest size, unless they are padded.
        """
        planes = [self._sized(plane) for plane in self._planes(batch)]
        if planes[0].is_cuda:
            return self._scores(*planes)
        triplets = zip(*(plane.split(1) for plane in planes), strict=True)
        return torch.cat([self._scores(*triplet) for triplet in triplets])

    def _scores(self, original: Tensor, neural: Tensor, traditional: Tensor) -> Tensor:
        difference = (
            self.values(original, traditional).double() - self.values(original, neural).double()
        )
        return difference if self.higher_is_better else -difference

    def _planes(self, batch: TripletBatch) -> list[Tensor]:
        if not self.in_color:
            return [plane.to(self.dtype).clamp(0, 1) for plane in batch.y]
        images = (batch.original, batch.neural, batch.traditional)
        return [
            image.to(self.dtype) / 255 if image.dtype == torch.uint8 else image.to(self.dtype)
            for image in images
        ]

    def _sized(self, plane: Tensor) -> Tensor:
        missing = [max(0, self.min_side - side) for side in plane.shape[-2:]]
        if not any(missing):
            return plane
        if self.small == "error":
            height, width = plane.shape[-2:]
            raise ImageError(
                f"{self.name} expects images of at least {self.min_side} x {self.min_side} "
                f"pixels, got {width} x {height}. Leave it out, use larger images, or set "
                "small=pad to repeat the last pixels."
            )
        return F.pad(plane, (0, missing[1], 0, missing[0]), mode="replicate")
