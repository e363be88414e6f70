"""What every baseline has: an image-quality metric turned into an artifact score.

Eq. 29 and 30 of arXiv 2411.06810: the metric of (original, traditional) minus that of (original,
neural), the other way round for a distance, so that larger always means that neural is worse.

What they share is here; a metric says how two planes become a number. That is its definition in
float64. Triplets are taken one by one, each in memory of its own and on one thread, so that a score
depends neither on its batch nor on the machine's cores in the last bit, and exchanging the decodes
changes its sign and nothing else. Both decodes of a triplet go through the metric together, so that
the original's part of it is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacd_bench.errors import ImageError
from nacd_bench.ops.color import luma
from nacd_bench.ops.planes import on_cpu, one_thread
from nacd_bench.ops.strips import Deferred, made
from nacd_bench.settings import settings_of
from nacd_bench.triplets.batch import WHOLE, Planes, TripletBatch
from nacd_bench.triplets.memory import require_memory

Small = Literal["error", "pad"]
"""What happens to images under the smallest size: an error, or replication of the last pixels."""


class Baseline(nn.Module):
    """A metric as a score.

    Subclasses say the facts below, in their first line or in their body, and write
    :meth:`values` where these are not a ``metric`` alone::

        class SSIM(Baseline, name="ssim", metric=ssim, min_side=11):
            ...

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
    in_strips: ClassVar[bool] = False
    """Whether it takes planes of :class:`~nacd_bench.ops.strips.Deferred`, whose rows it asks for
    part by part, where pictures are large."""
    memory: ClassVar[int] = 300
    """Bytes per pixel that it takes where it works on large pictures as a whole."""
    version: ClassVar[str] = "3"
    """Changes whenever the scores do; part of every cache key."""
    package: ClassVar[str] = ""
    """The distribution whose code computes it; its version is part of the settings."""
    metric: ClassVar[Callable[[Tensor, Tensor], Tensor]]
    """What :meth:`values` is by default."""

    def __init_subclass__(cls, **facts: Any) -> None:
        super().__init_subclass__()
        for name, fact in facts.items():
            setattr(cls, name, staticmethod(fact) if name == "metric" else fact)

    def __init__(self, small: Small = "error") -> None:
        super().__init__()
        self.small: Small = small

    @property
    def settings(self) -> dict[str, Any]:
        """Name, version and every parameter, as JSON values: what decides the scores."""
        by = {"package": f"{self.package} {version(self.package)}"} if self.package else {}
        return {"baseline": self.name, "version": self.version, **by, **settings_of(self)}

    def values(self, reference: Tensor, tests: Tensor) -> Tensor:
        """The metric of each of several tests against one reference.

        :class:`ImageError` where the metric has no value.

        Args:
            reference: float64 ``(1, C, H, W)`` on [0, 1].
            tests: like it ``(T, C, H, W)``.

        Returns:
            ``(T,)``.
        """
        return type(self).metric(reference, tests)

    def forward(self, batch: TripletBatch) -> Tensor:
        """Scores ``(B,)`` float64, larger means that neural is worse.

        Raises:
            ImageError: images under the smallest size, unless they are padded.
        """
        with one_thread():
            return torch.cat([self._score(single) for single in batch.once(_singles)])

    def _score(self, single: TripletBatch) -> Tensor:
        of_neural, of_traditional = self.values_of(single).double().split(1)
        if self.higher_is_better:
            return of_traditional - of_neural
        return of_neural - of_traditional

    def values_of(self, single: TripletBatch) -> Tensor:
        """:meth:`values` of both decodes of a batch of one."""
        return self.values(*self._planes(single))

    def planes_of(self, original: Tensor, *decodes: Tensor) -> tuple[Any, Any]:
        """What :meth:`values` takes, of an image ``(1, 3, H, W)`` and decodes of it, which are of
        the smallest size at least."""
        of_image = _on_unit_scale if self.in_color else _luma
        planes = _deferred(of_image, original), _deferred(of_image, *decodes)
        is_large = original.shape[2:].numel() > WHOLE
        return planes if self.in_strips and is_large else (made(planes[0]), made(planes[1]))

    def _planes(self, single: TripletBatch) -> tuple[Any, Any]:
        if not self.in_strips and on_cpu(single.original):
            place = f"{single.ids[0]}, {self.name}"
            require_memory(place, single.width, single.height, self.memory)
        if not single.is_whole and min(single.height, single.width) >= self.min_side:
            return self.planes_of(*single.images)
        planes = single.once(_planes_of_color if self.in_color else _planes_of_luma)
        original, *decodes = map(self._large_enough, planes)
        return original, torch.cat(decodes)

    def _large_enough(self, plane: Tensor) -> Tensor:
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


def _singles(batch: TripletBatch) -> list[TripletBatch]:
    return [batch[index] for index in range(len(batch))]


def _planes_of_color(single: TripletBatch) -> Planes:
    return single.planes(_on_unit_scale)


def _planes_of_luma(single: TripletBatch) -> Planes:
    return single.planes(_luma)


def _deferred(of_image: Callable[[Tensor], Tensor], *images: Tensor) -> Deferred:
    """The planes of images of one size, made when they are needed."""
    channels = of_image(images[0][..., :1, :1]).shape[1]

    def rows_of(image: Tensor, rows: slice) -> Tensor:
        return of_image(image[..., rows, :])

    shape = len(images), channels, *images[0].shape[2:]
    return Deferred(shape, images[0].device, *(partial(rows_of, image) for image in images))


def _luma(image: Tensor) -> Tensor:
    return luma(_on_unit_scale(image)).clamp_(0, 1)  # weights that sum to 1 may round to more


def _on_unit_scale(image: Tensor) -> Tensor:
    """Float64 on [0, 1]; the memory of each is laid out as every other's."""
    pixels = image.clone(memory_format=torch.contiguous_format)
    return pixels.double().div_(255) if pixels.dtype == torch.uint8 else pixels.double()
