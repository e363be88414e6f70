"""Heat maps as pictures: per pixel, on one colour scale, and as 16-bit files."""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heappush, heapreplace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nacd_bench.detectors import Detector
from nacd_bench.report.page import WEBP, write_picture
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import HeatMap, Result
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.loading import LoadedTriplet

SHOWN = 24
"""Triplets per detector whose heat maps a report shows: those with the highest scores."""
SIDE = 400
"""Largest side of a heat map's picture; it is smooth."""
STEPS = 65535
"""Largest value of a 16-bit file."""
_one_writer = threading.Lock()
"""Triplets may be alike, and share a picture."""


def per_pixel(heat_map: HeatMap, index: int, height: int, width: int) -> NDArray[np.float32]:
    """One image's heat map ``(height, width)``, see :func:`at`."""
    return at(heat_map, index, np.arange(height), np.arange(width))


def at(
    heat_map: HeatMap, index: int, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.float32]:
    """One image's heat map at pixels, each between the windows centred around it.

    Pixels further out than the outermost centres take those windows' values.

    Args:
        rows, columns: of the pixels ``(h,)`` and ``(w,)``, rising.
    """
    values = heat_map.values[index].float().cpu().numpy()
    y = _positions(heat_map.rows.cpu().numpy(), heat_map.window[0], rows)
    x = _positions(heat_map.columns.cpu().numpy(), heat_map.window[1], columns)
    if np.array_equal(y, np.arange(len(values))) and np.array_equal(x, np.arange(values.shape[1])):
        return values
    size = (len(y), len(x))
    grid_x = np.broadcast_to(x, size).astype(np.float32)
    grid_y = np.broadcast_to(y[:, None], size).astype(np.float32)
    linear, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(values, grid_x, grid_y, linear, borderMode=border), np.float32)


def _positions(starts: NDArray, window: int, pixels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Where pixels lie between window centres, in windows."""
    return np.interp(pixels, starts + (window - 1) / 2, np.arange(len(starts)))


class ShownHeatMaps:
    """Writes the pictures of heat maps that a report shows while the maps are there.

    Those with the highest scores so far: what the report then lacks, it computes.

    Args:
        run: the run's folder.
        detectors: whose heat maps they are.
    """

    def __init__(self, run: Path, detectors: Sequence[Detector]) -> None:
        self.folder = run / "report"
        self.detectors = detectors
        self._scores: dict[str, list[float]] = defaultdict(list)

    def keep(self, triplet: LoadedTriplet, results: Mapping[str, Result]) -> None:
        """Those of one triplet, where they are among the first :data:`SHOWN` of their detector."""
        for detector in self.detectors:
            result, highest = results.get(detector.name), self._scores[detector.name]
            if result is None or result.heat_map is None:
                continue
            if len(highest) == SHOWN and result.score <= highest[0]:
                continue
            (heappush if len(highest) < SHOWN else heapreplace)(highest, result.score)
            path = self.folder / picture_name(detector, triplet)
            with _one_writer:
                if not path.is_file():
                    write_heat_picture(path, detector, result.heat_map, triplet.batch)


def picture_name(detector: Detector, triplet: LoadedTriplet) -> str:
    """Of a detector's heat map of a triplet, in the folder of a report."""
    digest = json_sha256([dict(triplet.sha256), detector.settings])[:20]
    return f"heat/{detector.name}/{digest}.webp"


def write_heat_picture(
    path: Path, detector: Detector, heat_map: HeatMap, batch: TripletBatch
) -> None:
    """Write the heat map of a batch of one in colours, at most :data:`SIDE` pixels each way."""
    step = -(-max(batch.height, batch.width) // (2 * SIDE))
    rows, columns = (np.arange(step // 2, side, step) for side in (batch.height, batch.width))
    values = at(heat_map, 0, rows, columns)
    write_picture(path, colored(values, *detector.heat_map_range), SIDE, **WEBP)


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
