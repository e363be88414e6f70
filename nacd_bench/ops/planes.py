"""Running an OpenCV function over every plane of a CPU tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PlaneFunction = Callable[[NDArray, NDArray], object]


def on_cpu(x: Tensor) -> bool:
    """Whether OpenCV can read the tensor where it lies."""
    return x.device.type == "cpu"


def per_plane(
    x: Tensor,
    function: PlaneFunction,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``function(source, target)`` on each ``(H, W)`` plane of a CPU tensor ``(B, C, H, W)``.

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
