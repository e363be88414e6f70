"""Heat maps as pictures: per pixel, on one colour scale, and as 16-bit files."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nacd_bench.triplets.detection import HeatMap

STEPS = 65535
"""Largest value of a 16-bit file."""


def per_pixel(heat_map: HeatMap, index: int, height: int, width: int) -> NDArray[np.float32]:
    """One image's heat map ``(height, width)``: each pixel between the windows centred around it.

    Pixels further out than the outermost centres take those windows' values.
    """
    values = heat_map.values[index].float().cpu().numpy()
    y = _positions(heat_map.rows.cpu().numpy(), heat_map.window[0], height)
    x = _positions(heat_map.columns.cpu().numpy(), heat_map.window[1], width)
    if values.shape == (height, width) and y[0] == 0 and x[0] == 0:
        return values
    grid_x = np.broadcast_to(x, (height, width)).astype(np.float32)
    grid_y = np.broadcast_to(y[:, None], (height, width)).astype(np.float32)
    linear, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(values, grid_x, grid_y, linear, borderMode=border), np.float32)


def _positions(starts: NDArray, window: int, length: int) -> NDArray[np.float64]:
    """Where pixels lie between window centres, in windows."""
    return np.interp(np.arange(length), starts + (window - 1) / 2, np.arange(len(starts)))


def colored(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Heat-map values as colours ``(H, W, 3)``: ``low`` and less is black, ``high`` and more light.

    >>> colored(np.array([[-1.0, 0.0]], np.float32), 0, 1).tolist() == [[[0, 0, 4], [0, 0, 4]]]
    True
    """
    levels = np.rint((values - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def to_png16(values: NDArray[np.float32]) -> tuple[bytes, float, float]:
    """A 16-bit gray PNG of a map, and the values of its 0 and its 65535.

    ``value = low + (high - low) * pixel / 65535``; both are in the file too, as text chunks.
    """
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    levels = np.rint((values.astype(np.float64) - low) / span * STEPS).astype(np.uint16)
    text = PngInfo()
    text.add_text("low", repr(low))
    text.add_text("high", repr(low + span))
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", pnginfo=text, compress_level=3)
    return file.getvalue(), low, low + span
