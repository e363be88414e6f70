"""Sheets of pictures: what detectors box in one triplet, and the strongest detections of many.

A sheet has rows of tiles, each tile under its caption and pixel by pixel. Heat maps have one colour
scale per detector for all images of a run, which their captions state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nacd_bench.coding.codec import png
from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.evaluation.duplicates import found_by
from nacd_bench.ops.boxes import regions_around
from nacd_bench.report.heat_map import at, colored
from nacd_bench.report.page import fitted
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.read import Run
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import read_8_bit, to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ROLES, Box

TILE = 300
"""Side of a tile in pixels at the most: the paper's region (sec. 3) is shown as it is."""
GAP, LINE = 8, 22
INK, FRAME = (20, 20, 20), (255, 32, 32)
CANDIDATES = 12
"""In a picture of the strongest candidates."""

Pixels = NDArray[np.uint8]
Row = tuple[str, Sequence[tuple[str, Image.Image]]]
"""A heading, which may be empty, and tiles with their captions."""


def sheet(rows: Sequence[Row], lines: Sequence[str] = (), least: int = TILE) -> Pixels:
    """Rows one below the other, under lines of text, in columns of at least so many pixels.

    Returns:
        ``(H, W, 3)``.
    """
    column = max(least, *(tile.width for _, row in rows for _, tile in row)) + GAP
    width = GAP + column * max(len(row) for _, row in rows)
    heights = [(1 + bool(heading)) * LINE + max(t.height for _, t in row) for heading, row in rows]
    height = LINE * len(lines) + sum(heights) + GAP * (len(rows) + 1)
    made = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(made)
    top = GAP
    for line in lines:
        _write(draw, (GAP, top), line, width - 2 * GAP)
        top += LINE
    for (heading, row), below in zip(rows, heights, strict=True):
        first = top + bool(heading) * LINE
        _write(draw, (GAP, top), heading, width - 2 * GAP)
        for place, (caption, tile) in enumerate(row):
            left = GAP + place * column
            _write(draw, (left, first), caption, column - GAP)
            made.paste(tile, (left, first + LINE))
        top += below + GAP
    return np.array(made)


def tile(part: Pixels, view: Box, box: Box | None = None) -> Image.Image:
    """Part of an image ``(h, w, 3)``, reduced where it is larger than a tile.

    Args:
        part: what is shown.
        view: where it lies in the image.
        box: drawn into it, unless it is the tile's own border.
    """
    left, top, right, bottom = view
    shown = Image.fromarray(part)
    shown.thumbnail((TILE, TILE))
    if box is not None and box != view:
        scale = np.array([shown.width / (right - left), shown.height / (bottom - top)] * 2)
        x0, y0, x1, y1 = (np.array(box) - [left, top, left, top]) * scale
        if x1 - 1 >= x0 and y1 - 1 >= y0:  # some pixels, however small
            ImageDraw.Draw(shown).rectangle((x0, y0, x1 - 1, y1 - 1), outline=FRAME, width=2)
    return shown


def tiles(
    batch: TripletBatch, view: Box, boxes: Mapping[str, Box]
) -> list[tuple[str, Image.Image]]:
    """A part of the three images of a batch of one, under their roles, with a box in each."""
    left, top, right, bottom = view
    part = batch.cut(slice(top, bottom), slice(left, right))
    return [(role, tile(to_8_bit(getattr(part, role)), view, boxes.get(role))) for role in ROLES]


def overlay(
    batch: TripletBatch,
    detectors: Sequence[Detector],
    results: Mapping[str, Result],
    thresholds: Mapping[str, float],
    lines: Sequence[str],
) -> bytes:
    """What each detector found in a triplet, as PNG.

    A row per detector: the whole original with its strongest box, then the same 300 x 300 pixels of
    the original, the neural and the traditional result, and of the heat map.

    Args:
        batch: of the one triplet.
        detectors: in the order of the rows.
        results: by detector.
        thresholds: from which a confidence counts, by detector.
        lines: of text above.
    """
    rows: list[Row] = []
    absent = []
    whole = fitted(to_8_bit(batch.original), TILE)
    for detector in detectors:
        result = results[detector.name]
        if result.boxes:
            rows.append(_row(batch, whole, detector, result, thresholds[detector.name]))
        elif not result.fault:
            absent.append(detector.name)
    if not rows:
        rows = [("", tiles(batch, (0, 0, batch.width, batch.height), {}))]
    notes = [f"no box: {', '.join(absent)}"] if absent else []
    return png(sheet(rows, [*lines, *notes]))


def _row(
    batch: TripletBatch, original: Pixels, detector: Detector, result: Result, threshold: float
) -> Row:
    x0, y0, x1, y1 = result.boxes[0]
    center = box = (x0, y0, x1, y1)
    confidence, heat_map = result.confidences[0], result.heat_map
    if heat_map is not None and max(x1 - x0, y1 - y0) > TILE:  # the peak in a larger box
        heat = at(heat_map, 0, np.arange(y0, y1), np.arange(x0, x1))
        y, x = np.unravel_index(int(heat.argmax()), heat.shape)
        center = (x0 + int(x), y0 + int(y)) * 2
    view = tuple(regions_around([center], batch.width, batch.height, TILE)[0].tolist())
    verdict = "" if confidence > threshold else f", not over its threshold {threshold:g}"
    heading = f"{detector.name} | confidence {confidence:.4g}{verdict} | box {x0} {y0} {x1} {y1}"
    whole = (0, 0, batch.width, batch.height)
    shown = [("original as a whole", tile(original, whole, box))]
    shown += tiles(batch, view, dict.fromkeys(ROLES, box))
    if heat_map is not None:
        low, high = detector.heat_map_range
        left, top, right, bottom = view
        heat = at(heat_map, 0, np.arange(top, bottom), np.arange(left, right))
        drawn = np.asarray(tile(colored(heat, low, high), view, box))
        ramp = np.linspace(low, high, drawn.shape[1], dtype=np.float32)[None].repeat(10, axis=0)
        gap = np.full((4, drawn.shape[1], 3), 255, np.uint8)
        legend = np.concatenate([drawn, gap, colored(ramp, low, high)])
        caption = f"heat map: {low:g} or less to {high:g} or more"
        shown.append((caption, Image.fromarray(legend)))
    return heading, shown


def contact_sheet(run: Run, artifact_type: str, count: int) -> bytes | None:
    """A PNG of a type's strongest detections, of each triplet one; None where there is none."""
    records = {record.id: record for record in run.records}
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in strongest_in_turn(run.detections, artifact_type):
        chosen.setdefault(row["triplet"], row)
    rows: list[Row] = []
    for name, row in list(chosen.items())[:count]:
        try:
            batch = load_triplet(records[name]).batch
        except UserError:  # the report's page names images that are gone
            continue
        box = (row["x0"], row["y0"], row["x1"], row["y1"])
        view = tuple(regions_around([box], batch.width, batch.height, TILE)[0].tolist())
        shown = tiles(batch, view, {"neural": box})
        rows.append((f"{row['detector']} {row['confidence']:.4g}, {name}", shown))
    return png(sheet(rows)) if rows else None


def write_strongest(folder: Path) -> None:
    """Write ``strongest_<type>.png`` into a mined folder, for every type that it has."""
    import pyarrow.compute as pc

    candidates = kept(read_mined(folder))
    order = [("confidence", "descending"), ("candidate", "ascending")]
    for old in folder.glob("strongest_*.png"):
        old.unlink()
    for artifact_type in candidates["artifact_type"].unique().to_pylist():
        of_type = candidates.filter(pc.equal(candidates["artifact_type"], artifact_type))
        strongest: list[dict[str, Any]] = []
        for name in of_type["detector"].unique().to_pylist():
            of_detector = of_type.filter(pc.equal(of_type["detector"], name))
            strongest += of_detector.sort_by(order).slice(0, CANDIDATES).to_pylist()
        rows: list[Row] = []
        for row in strongest_in_turn(strongest, artifact_type)[:CANDIDATES]:
            crops = {role: read_8_bit(folder / row[f"crop_{role}"])[0] for role in ROLES}
            captions = {role: f"{role} {row[f'{role}_bpp']:.3f} bpp" for role in ROLES[1:]}
            shown = [(captions.get(role, role), Image.fromarray(crops[role])) for role in ROLES]
            found = [f"{name} {confidence:.4g}" for name, confidence in found_by(row).items()]
            rows.append((", ".join([*found, row["triplet"]]), shown))
        file = folder / f"strongest_{artifact_type.replace('/', '_')}.png"
        write_whole(file, png(sheet(rows)))


def strongest_in_turn(
    rows: Iterable[Mapping[str, Any]], artifact_type: str
) -> list[Mapping[str, Any]]:
    """Detections of a type, the strongest of each detector in turn: each has a scale of its own."""
    by_detector: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: -row["confidence"]):
        if row["artifact_type"] == artifact_type:
            by_detector[row["detector"]].append(row)
    turns = zip_longest(*(by_detector[name] for name in sorted(by_detector)))
    return [row for turn in turns for row in turn if row is not None]


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """One line, cut with an ellipsis where it is longer than ``width`` pixels."""
    font = _font()
    line = " ".join(text.split())
    if draw.textlength(line, font) > width:
        while line and draw.textlength(f"{line}…", font) > width:
            line = line[:-1]
        line += "…"
    draw.text(place, line, INK, font)


@cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 13)
