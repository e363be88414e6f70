"""The rows of large planes part by part, so that maps of the whole never have to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Literal

import torch
from torch import Tensor

from nacd_bench.ops.memory import give_back_memory

STRIP = 1 << 20
"""Pixels of a strip of a larger plane, without its margins."""
CPU_STRIP, GPU_STRIP = 1 << 18, 1 << 23
"""The same of a metric, on a CPU of what its cache holds; a GPU loses time with small ones."""

MANY = 10
"""Strips after which memory is given back: its pieces pile up where strips differ a little."""


@dataclass(frozen=True)
class Span:
    """Some rows of a plane, and more around them.

    Args:
        start, stop: the rows.
        first, last: where their margins begin and end.
    """

    start: int
    stop: int
    first: int
    last: int

    def rows(self, x: Tensor, step: int = 1) -> Tensor:
        """Those of a map ``(..., h, W)`` of rows and margins that are not in the margins.

        ``step`` is how many rows of the plane one of the map's is.
        """
        first, last = (self.start - self.first) // step, -(-(self.stop - self.first) // step)
        return x[..., first:last, :]


def spans(
    height: int, width: int, margin: int = 0, step: int = 1, pixels: int | None = None
) -> Iterator[Span]:
    """Parts of a plane, one below the other.

    Args:
        width: of the plane, or of several side by side.
        margin: rows above and below that decide about a row, a multiple of the step.
        step: what parts begin at multiples of.
        pixels: of a part without its margins; :data:`STRIP` by default.
    """
    rows = max(step, (pixels or STRIP) // width // step * step)
    for start in range(0, height, rows):
        stop = min(height, start + rows)
        yield Span(start, stop, max(0, start - margin), min(height, stop + margin))


class Deferred:
    """A plane ``(B, C, H, W)`` whose rows are made whenever they are asked for.

    Args:
        shape: of the plane.
        device: where its rows are made.
        made: its rows from a slice of their numbers; of several images each or all.

    >>> zeros = Deferred((1, 1, 4, 2), "cpu", lambda rows: torch.zeros(1, 1, 4, 2)[..., rows, :])
    >>> zeros[..., 1:3, :].shape
    torch.Size([1, 1, 2, 2])
    """

    def __init__(
        self,
        shape: Sequence[int],
        device: torch.device | str,
        *made: Callable[[slice], Tensor],
    ) -> None:
        self.shape = torch.Size(shape)
        self.device = torch.device(device)
        self._made = made

    def __getitem__(self, index: tuple[EllipsisType, slice, slice]) -> Tensor:
        _, rows, columns = index
        start, stop, _ = rows.indices(self.shape[-2])
        images = [made(slice(start, stop))[..., columns] for made in self._made]
        return images[0] if len(images) == 1 else torch.cat(images)

    def split(self, size: Literal[1] = 1) -> list[Deferred]:
        """Each image that has a function of its own."""
        shape = size, *self.shape[1:]
        return [Deferred(shape, self.device, made) for made in self._made]


Plane = Tensor | Deferred
"""Of either, ``plane[..., rows, :]`` are some rows."""


def made(plane: Plane) -> Tensor:
    """All of a plane."""
    return plane[..., :, :]


def kept(plane: Deferred) -> Plane:
    """A plane of a few strips as a tensor, so that it is made once."""
    height, width = plane.shape[-2:]
    return assembled(lambda rows: rows, plane) if height * width <= 8 * _pixels(plane) else plane


def _pixels(plane: Plane) -> int:
    return CPU_STRIP if plane.device.type == "cpu" else GPU_STRIP


def strips(
    *planes: Plane, margin: int = 0, window: int = 1, step: int = 1
) -> Iterator[tuple[Span, list[Tensor]]]:
    """Parts of planes of one size.

    Args:
        margin: rows above and below that decide about a row, a multiple of the step.
        window: rows of the windows that the parts hold, each window once: spans are of windows.
        step: what parts begin at multiples of.
    """
    height, width = planes[0].shape[-2:]
    more = window - 1
    for number, span in enumerate(spans(height - more, width, margin, step, _pixels(planes[0])), 1):
        yield span, [plane[..., span.first : span.last + more, :] for plane in planes]
        if number % MANY == 0:
            give_back_memory()


def assembled(
    function: Callable[[Tensor], Tensor],
    plane: Plane,
    margin: int = 0,
    window: int = 1,
    step: int = 1,
) -> Tensor:
    """``function`` of a plane, part by part as :func:`strips`; a row of it is ``step`` rows."""
    height = plane.shape[-2] - window + 1
    whole: Tensor | None = None
    for span, (rows,) in strips(plane, margin=margin, window=window, step=step):
        part = span.rows(function(rows), step)
        if span.stop - span.start == height:
            return part
        if whole is None:
            whole = part.new_empty((*part.shape[:-2], -(-height // step), part.shape[-1]))
        whole[..., span.start // step : -(-span.stop // step), :] = part
    assert whole is not None  # a plane has rows
    return whole
