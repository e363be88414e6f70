"""The strongest detections of a type as rows of crops: original, neural, traditional."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from nacd_bench.errors import UserError
from nacd_bench.ops.boxes import regions_around
from nacd_bench.runs.read import Run
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import TripletRecord

SIDE = 300
"""Of a crop in the image, in pixels: the paper's region (sec. 3)."""
GAP, LINE = 6, 20
BOX = (255, 45, 31)


def contact_sheet(run: Run, artifact_type: str, rows: int) -> bytes | None:
    """A PNG of the strongest detections; None where there is none to show.

    Each triplet appears once. Detectors of one type have scales of their own, so they take turns.
    """
    chosen = _chosen(run, artifact_type, rows)
    records = {record.id: record for record in run.records}
    strips = []
    for row in chosen:
        try:
            strips.append(_strip(records[row["image"]], row))
        except UserError:  # an image that is gone is said elsewhere
            continue
    if not strips:
        return None
    return stacked(strips)


def stacked(strips: Sequence[Image.Image]) -> bytes:
    """Pictures one below the other as one PNG."""
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + GAP for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + GAP
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def _chosen(run: Run, artifact_type: str, count: int) -> list[dict]:
    by_detector: dict[str, list[dict]] = {}
    for row in sorted(run.detections, key=lambda row: -row["confidence"]):
        if row["artifact_type"] == artifact_type:
            by_detector.setdefault(row["detector"], []).append(row)
    turns = [
        (place, row) for name in sorted(by_detector) for place, row in enumerate(by_detector[name])
    ]
    chosen: dict[str, dict] = {}
    for _, row in sorted(turns, key=lambda each: each[0]):
        chosen.setdefault(row["image"], row)
        if len(chosen) == count:
            break
    return list(chosen.values())


def _strip(record: TripletRecord, row: dict) -> Image.Image:
    batch = load_triplet(record).batch
    box = [row[edge] for edge in ("x0", "y0", "x1", "y1")]
    left, top, right, bottom = regions_around([box], batch.width, batch.height, SIDE)[0].tolist()
    width, height = right - left, bottom - top
    strip = Image.new("RGB", (3 * SIDE + 2 * GAP, height + LINE), "white")
    draw = ImageDraw.Draw(strip)
    face = _face()
    for column, role in enumerate(ROLES):
        cut = to_8_bit(getattr(batch, role)[..., top : top + height, left : left + width])
        x = column * (SIDE + GAP)
        strip.paste(Image.fromarray(cut), (x, LINE))
        what = f"{row['detector']} {row['confidence']:.4g}, {record.id}" if not column else role
        draw.text((x + 2, 3), what[:46], fill="black", font=face)
        if role == "neural":
            corners = (row["x0"] - left, row["y0"] - top, row["x1"] - left, row["y1"] - top)
            if corners != (0, 0, width, height):
                x0, y0, x1, y1 = corners
                frame = (x + max(x0, 0), LINE + max(y0, 0), x + x1 - 1, LINE + y1 - 1)
                draw.rectangle(frame, outline=BOX, width=2)
    return strip


def _face() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 12)
