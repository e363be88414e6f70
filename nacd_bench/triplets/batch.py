"""A batch of triplets and the planes that every detector shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from nacd_bench.errors import ImageError
from nacd_bench.ops import color
from nacd_bench.ops.memory import give_back_memory, keep_memory
from nacd_bench.ops.strips import Span, spans
from nacd_bench.triplets.record import ROLES

Result = TypeVar("Result")

WHOLE = 1 << 23
"""Pixels up to which a picture is worked on as a whole."""


class Planes(NamedTuple):
    """One kind of plane for the three images of a batch, each ``(B, C, H, W)``."""

    original: Tensor
    neural: Tensor
    traditional: Tensor


@dataclass(frozen=True)
class TripletBatch:
    """Originals, neural results and traditional results of one size.

    Args:
        original, neural, traditional: ``(B, 3, H, W)`` sRGB, ``uint8``, or float32 or
            float64 in [0, 1].
        ids: one name per triplet, for messages and rows; ``"0", "1", ...`` by default.

    Raises:
        ImageError: no tensor, wrong shape or dtype, sizes that differ, NaN or values outside
            [0, 1].

    >>> gray = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
    >>> round(TripletBatch(gray, gray, gray).y.original[0, 0, 0, 0].item(), 4)
    0.502
    """

    original: Tensor
    neural: Tensor
    traditional: Tensor
    ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        keep_memory()
        for role in ROLES:
            _check(role, getattr(self, role))
        sizes = {role: getattr(self, role).shape for role in ROLES}
        if len(set(sizes.values())) > 1:
            raise ImageError(
                "expected the three images of a triplet to have one size, got "
                + ", ".join(
                    f"{role} {w} x {h} (batch of {b})" for role, (b, _, h, w) in sizes.items()
                )
                + ". Crop or pad them alike before."
            )
        if not self.ids:
            object.__setattr__(self, "ids", tuple(str(i) for i in range(len(self))))
        if len(self.ids) != len(self):
            raise ImageError(f"expected {len(self)} ids, one per triplet, got {len(self.ids)}.")

    def __len__(self) -> int:
        return self.original.shape[0]

    @property
    def height(self) -> int:
        return self.original.shape[2]

    @property
    def width(self) -> int:
        return self.original.shape[3]

    @property
    def images(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.original, self.neural, self.traditional

    @property
    def device(self) -> torch.device:
        return self.original.device

    def to(self, device: torch.device | str) -> TripletBatch:
        """The same batch on another device."""
        images = {role: getattr(self, role).to(device) for role in ROLES}
        return TripletBatch(**images, ids=self.ids)

    def __getitem__(self, index: int | slice) -> TripletBatch:
        """One triplet as a batch of one, or some of them."""
        some = index if isinstance(index, slice) else slice(index, index + 1)
        images = {role: getattr(self, role)[some] for role in ROLES}
        return TripletBatch(**images, ids=tuple(self.ids[some]))

    def cut(self, rows: slice, columns: slice = slice(None)) -> TripletBatch:
        """A part of the pictures."""
        images = {role: getattr(self, role)[..., rows, columns] for role in ROLES}
        return TripletBatch(**images, ids=self.ids)

    @property
    def is_whole(self) -> bool:
        """Whether the pictures are worked on as a whole."""
        return self.height * self.width <= WHOLE

    def strips(self, margin: int = 0, step: int = 1, smaller: int = 1) -> Iterator[Strip]:
        """The rows of large pictures part by part, so that maps of the whole never have to be.

        Smaller pictures are one strip: this batch, whose planes all share.

        Args:
            margin: rows above and below that decide about a row, a multiple of the step.
            step: what strips begin at multiples of.
            smaller: how many times, for many maps of a part.
        """
        if self.is_whole:
            yield Strip(0, self.height, 0, self.height, self)
            return
        for span in spans(self.height, smaller * len(self) * self.width, margin, step):
            part = self.cut(slice(span.first, span.last))
            yield Strip(span.start, span.stop, span.first, span.last, part)
            for planes in ("y", "uv", "lab", "_computed"):  # whoever loops still holds the part
                part.__dict__.pop(planes, None)
            give_back_memory()

    @cached_property
    def y(self) -> Planes:
        """Luma on [0, 1], each ``(B, 1, H, W)`` float32, or float64 if an image is."""
        return self.planes(color.luma)

    @cached_property
    def uv(self) -> Planes:
        """BT.601 chroma centred on 0, each ``(B, 2, H, W)``, dtype as of :attr:`y`."""
        return self.planes(color.chroma)

    @cached_property
    def lab(self) -> Planes:
        """CIE Lab (D65), L in [0, 100], each ``(B, 3, H, W)``, dtype as of :attr:`y`."""
        return self.planes(color.lab)

    def once(self, function: Callable[[TripletBatch], Result]) -> Result:
        """``function(self)``, computed by whichever detector asks first."""
        kept: dict[Any, Any] = self.__dict__.setdefault("_computed", {})
        if function not in kept:
            kept[function] = function(self)
        return kept[function]

    def planes(self, function: Callable[[Tensor], Tensor]) -> Planes:
        """Of the three images, in one precision: the highest of theirs."""
        planes = [function(getattr(self, role)) for role in ROLES]
        dtype = reduce(torch.promote_types, (plane.dtype for plane in planes))
        return Planes(*(plane.to(dtype) for plane in planes))


@dataclass(frozen=True)
class Strip(Span):
    """Some rows of a batch, and more around them: ``batch``."""

    batch: TripletBatch


def _check(role: str, image: Tensor) -> None:
    if not isinstance(image, Tensor):
        raise ImageError(
            f"expected {role} as a torch tensor (B, 3, H, W), got {type(image).__name__}. "
            "Convert it with torch.from_numpy and put the channels before the rows."
        )
    if image.ndim != 4 or image.shape[1] != 3:
        raise ImageError(
            f"expected {role} of shape (B, 3, H, W), got {tuple(image.shape)}. "
            "Drop an alpha channel and repeat a gray channel three times."
        )
    if image.shape[0] == 0 or image.shape[2] == 0 or image.shape[3] == 0:
        raise ImageError(f"expected {role} to hold at least one pixel, got {tuple(image.shape)}.")
    if image.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise ImageError(
            f"expected {role} as uint8, or as float32 or float64 in [0, 1], got {image.dtype}. "
            "Divide integers of more than 8 bits by their largest value; .float() converts others."
        )
    low, high = (0, 1) if image.dtype == torch.uint8 else image.aminmax()
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise ImageError(
            f"expected {role} with values in [0, 1], got {low:.4g} to {high:.4g}. "
            "Scale and clip the image."
        )
