"""One picture per triplet: what each detector found, where, and the evidence.

A row per detector: the whole original with the box, then the same 300 x 300 pixels of the
original, the neural and the traditional result, and of the heat map. Heat maps have one colour
scale per detector for all images of a run, which the legend states.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nacd_bench.report.heat_map import colored

TILE = 300
"""Side of a tile in pixels: crops of 300 x 300 are shown as they are."""
GAP = 8
HEADER = 56
CAPTION = 22
LEGEND = 26
BACKGROUND = (255, 255, 255)
INK = (20, 20, 20)
FAINT = (110, 110, 110)
BOX = (255, 32, 32)
COLUMNS = ("original as a whole", "original", "neural", "traditional", "heat map")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Finding:
    """A detector's strongest detection in an image.

    Args:
        detector: its name.
        box: ``[x0, y0, x1, y1]``, None where the detector has none.
        confidence: of the box, or the image's score without one.
        threshold: from which a confidence counts.
        heat: heat map ``(H, W)``, or None.
        heat_range: values of the first and the last colour.
    """

    detector: str
    box: tuple[int, int, int, int] | None
    confidence: float
    threshold: float
    heat: NDArray[np.float32] | None
    heat_range: tuple[float, float]


def overlay(
    original: Pixels,
    neural: Pixels,
    traditional: Pixels,
    findings: Sequence[Finding],
    title: str,
    subtitle: str,
) -> bytes:
    """The picture as PNG; images are ``(H, W, 3)`` uint8."""
    rows = [finding for finding in findings if finding.box is not None]
    absent = [finding.detector for finding in findings if finding.box is None]
    step = 2 * CAPTION + TILE + LEGEND + GAP
    width = GAP + len(COLUMNS) * (TILE + GAP)
    sheet = Image.new("RGB", (width, HEADER + max(1, len(rows)) * step + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _text(draw, (GAP, 6), title, width - 2 * GAP, size=18)
    notes = f" | no box: {', '.join(absent)}" if absent else ""
    _text(draw, (GAP, 32), subtitle + notes, width - 2 * GAP, size=13, ink=FAINT)
    for number, finding in enumerate(rows):
        _row(sheet, HEADER + number * step, finding, (original, neural, traditional))
    if not rows:
        for column, image in enumerate((original, neural, traditional)):
            sheet.paste(_fitted(image), (GAP + column * (TILE + GAP), HEADER + CAPTION))
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _row(sheet: Image.Image, top: int, finding: Finding, images: Sequence[Pixels]) -> None:
    assert finding.box is not None
    draw = ImageDraw.Draw(sheet)
    counts = finding.confidence > finding.threshold
    x0, y0, x1, y1 = finding.box
    verdict = "" if counts else f", not over its threshold {finding.threshold:g}"
    line = f"{finding.detector} | confidence {finding.confidence:.4g}{verdict}"
    line += f" | box {x0} {y0} {x1} {y1}"
    _text(draw, (GAP, top), line, sheet.width - 2 * GAP, size=15, ink=INK if counts else FAINT)
    top += CAPTION
    height, width = images[0].shape[:2]
    view = _view(finding, height, width)
    tiles = [_boxed(_fitted(images[0]), finding.box, (0, 0, width, height))]
    tiles += [_boxed(_cut(image, view), finding.box, view) for image in images]
    if finding.heat is not None:
        colors = colored(finding.heat, *finding.heat_range)
        tiles.append(_boxed(_cut(colors, view), finding.box, view))
    for column, tile in enumerate(tiles):
        left = GAP + column * (TILE + GAP)
        _text(draw, (left, top + 2), COLUMNS[column], TILE, size=13, ink=FAINT)
        sheet.paste(tile, (left, top + CAPTION))
    if finding.heat is not None:
        _legend(sheet, GAP + 4 * (TILE + GAP), top + CAPTION + TILE + 4, finding.heat_range)


def _legend(sheet: Image.Image, left: int, top: int, heat_range: tuple[float, float]) -> None:
    low, high = heat_range
    ramp = np.linspace(low, high, 120, dtype=np.float32)[None].repeat(10, axis=0)
    sheet.paste(Image.fromarray(colored(ramp, low, high)), (left + 80, top + 3))
    draw = ImageDraw.Draw(sheet)
    _text(draw, (left, top), f"{low:g} or less", 78, size=12, ink=FAINT)
    _text(draw, (left + 206, top), f"{high:g} or more", TILE - 206, size=12, ink=FAINT)


def _view(finding: Finding, height: int, width: int) -> tuple[int, int, int, int]:
    """The tile-sized part of the image to show: around the box, or the peak in a larger box."""
    assert finding.box is not None
    x0, y0, x1, y1 = finding.box
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    if finding.heat is not None and max(x1 - x0, y1 - y0) > TILE:
        inside = finding.heat[y0:y1, x0:x1]
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        x, y = x0 + int(column), y0 + int(row)
    w, h = min(TILE, width), min(TILE, height)
    left = min(max(x - w // 2, 0), width - w)
    top = min(max(y - h // 2, 0), height - h)
    return left, top, left + w, top + h


def _cut(image: Pixels, view: tuple[int, int, int, int]) -> Image.Image:
    x0, y0, x1, y1 = view
    return _fitted(image[y0:y1, x0:x1])


def _fitted(image: Pixels) -> Image.Image:
    """The image in a tile: shrunk where larger, as it is where smaller."""
    height, width = image.shape[:2]
    scale = min(1.0, TILE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Image.fromarray(
            cv2.resize(np.ascontiguousarray(image), size, None, 0, 0, cv2.INTER_AREA)
        )
    return Image.fromarray(np.ascontiguousarray(image))


def _boxed(
    tile: Image.Image, box: tuple[int, int, int, int], view: tuple[int, int, int, int]
) -> Image.Image:
    """The tile of a view with the box drawn in it, but not where it is the tile's own border."""
    left, top, right, bottom = view
    if box == view:
        return tile
    scale_x, scale_y = tile.width / (right - left), tile.height / (bottom - top)
    corners = (
        (box[0] - left) * scale_x,
        (box[1] - top) * scale_y,
        (box[2] - left) * scale_x - 1,
        (box[3] - top) * scale_y - 1,
    )
    if corners[2] >= corners[0] and corners[3] >= corners[1]:  # some pixels, however small
        ImageDraw.Draw(tile).rectangle(corners, outline=BOX, width=2)
    return tile


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    size: int,
    ink: tuple[int, int, int] = INK,
) -> None:
    """One line, cut with an ellipsis where it is longer than ``width`` pixels."""
    font = ImageFont.load_default(size)
    line = " ".join(text.split())
    if draw.textlength(line, font) > width:
        while line and draw.textlength(line + "…", font) > width:
            line = line[:-1]
        line += "…"
    draw.text(place, line, fill=ink, font=font)
