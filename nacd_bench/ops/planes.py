"""Work on planes: OpenCV over each plane of a CPU tensor, functions of pixels block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PlaneFunction = Callable[[NDArray, NDArray], object]

BLOCK = 1 << 15
"""Pixels worked on at a time, so that the intermediate values stay in the cache of a CPU."""


def on_cpu(x: Tensor) -> bool:
    """Whether OpenCV can read the tensor where it lies."""
    return x.device.type == "cpu"


def per_plane(
    x: Tensor,
    function: PlaneFunction,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``function(source, target)`` on each ``(H, W)`` plane of a CPU tensor ``(..., H, W)``.

    Args:
        x: float32, float64 or uint8.
        function: writes its result for a source plane into the target plane.
        size: height and width of the result, those of ``x`` by default.
        dtype: of the result, that of ``x`` by default.
    """
    height, width = size or (x.shape[-2], x.shape[-1])
    out = torch.empty((*x.shape[:-2], height, width), dtype=dtype or x.dtype)
    sources = np.ascontiguousarray(x.detach().numpy()).reshape(-1, *x.shape[-2:])
    targets = out.numpy().reshape(-1, height, width)
    for source, target in zip(sources, targets, strict=True):
        function(source, target)
    return out


def blockwise(function: Callable[..., Tensor], channels: int, *inputs: Tensor) -> Tensor:
    """A function of pixels, block by block on a CPU, in one go elsewhere.

    Args:
        function: ``(B, C, n)`` of each input to ``(B, channels, n)``; it may look at each pixel
            only by itself, and must not write to its arguments.
        channels: of the result.
        inputs: ``(B, C, ...)`` with equal B and pixels.

    Returns:
        ``(B, channels, ...)``.
    """
    flat = [x.flatten(2) for x in inputs]
    shape = (inputs[0].shape[0], channels, *inputs[0].shape[2:])
    count = flat[0].shape[2]
    if not on_cpu(inputs[0]) or count <= BLOCK:
        return function(*flat).view(shape)
    out: Tensor | None = None
    for start in range(0, count, BLOCK):
        part = function(*(x[:, :, start : start + BLOCK] for x in flat))
        if out is None:
            out = part.new_empty(shape[0], channels, count)
        out[:, :, start : start + BLOCK] = part
    assert out is not None
    return out.view(shape)
