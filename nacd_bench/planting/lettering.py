"""Text in photographs that have none: signs and captions, rendered before any coding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from nacd_bench.planting.scene import Floats, Image, TextPlace, box_of, luma
from nacd_bench.triplets.record import Box

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
)
"""From matplotlib's package: the DejaVu and STIX fonts, both free to use."""
# fmt: off
WORDS = (
    "Open daily", "Exit", "Museum", "No parking", "Bakery", "Harbour 7", "Platform 2", "Coffee",
    "Ticket office", "Room 314", "Sale 50%", "Library", "Caution", "Fresh bread", "Garden",
    "Hotel Astra", "North gate", "Tram 16", "Pharmacy", "Menu", "Please wait", "City hall",
    "Studio B", "Books & maps", "Price 4.95", "Workshop", "Line 8", "Cinema", "Post office",
    "Grand opening", "Level 3", "Flowers", "Old town", "Rent a bike", "Quiet zone",
    "Mind the step", "Orchestra", "Fish market", "Night bus", "Information", "",
)
# fmt: on
HEIGHTS = (10.0, 40.0)
"""Smallest and largest size of letters, in pixels."""
CONTRAST = (90.0, 220.0)
"""Smallest and largest distance of the letters' luma from their ground, on 0..255."""
PLATES = 0.5
"""Share of texts on a plate, as on a sign."""
TILT = 0.06
"""How far a corner leaves its place, in widths and heights: perspective."""
FILL = 0.82
"""Most of the zone's width and height that text takes, the rest is for its tilt."""
SHARPNESS = 4
"""Text is drawn this many times larger."""


def with_text(image: Image, zone: Box, rng: np.random.Generator) -> tuple[Image, TextPlace] | None:
    """The image with a line of text inside a zone, and where it stands.

    Returns:
        None where the zone is too small for the smallest letters.
    """
    x0, y0, x1, y1 = zone
    words = WORDS[rng.integers(len(WORDS))]
    height = float(np.exp(rng.uniform(*np.log(HEIGHTS))))
    font, tilt = FONTS[rng.integers(len(FONTS))], rng.uniform(-TILT, TILT, (4, 2))
    drawn = _drawn(words, font, height)
    fit = min(FILL * (x1 - x0) / drawn.shape[1], FILL * (y1 - y0) / drawn.shape[0], 1)
    if fit < 1:
        height *= fit
        if height < HEIGHTS[0]:
            return None
        drawn = _drawn(words, font, height)
    h, w = drawn.shape
    x = round(rng.uniform(x0 + TILT * w, x1 - (1 + TILT) * w))
    y = round(rng.uniform(y0 + TILT * h, y1 - (1 + TILT) * h))
    corners = (np.array([[0, 0], [w, 0], [w, h], [0, h]]) + tilt * [w, h] + [x, y]).astype("f4")
    letters = _seen(_drawn(words, font, height * SHARPNESS), corners, image.shape[:2])
    plate = _seen(np.ones((h * SHARPNESS, w * SHARPNESS)), corners, image.shape[:2])
    inside = plate >= 0.5
    if not inside.any():
        return None
    ground = image.astype(np.float64)
    if rng.random() < PLATES:
        ground = _over(ground, plate, rng.uniform(20, 235, 3))
    level = float(luma(ground)[inside].mean())
    contrast = rng.uniform(*CONTRAST)
    ink = level + contrast if level + contrast <= 255 or level < 128 else level - contrast
    color = np.clip(ink + rng.uniform(-25, 25, 3), 0, 255)
    written = np.rint(_over(ground, letters, color)).clip(0, 255).astype(np.uint8)
    box = box_of(letters > 0.3)
    return None if box is None else (written, TextPlace(box, height))


def _over(ground: Floats, cover: Floats, color: Floats) -> Floats:
    return ground + cover[:, :, None] * (color - ground)


def _drawn(words: str, font: str, height: float) -> Floats:
    """The words in a line, ``(h, w)`` on [0, 1], with a margin."""
    face = _font(font, round(height))
    left, top, right, bottom = face.getbbox(words)
    margin = height * 0.25
    size = (round(right - left + 2 * margin), round(bottom - top + 2 * margin))
    picture = Pillow.new("L", size)
    ImageDraw.Draw(picture).text((margin - left, margin - top), words, fill=255, font=face)
    return np.asarray(picture, np.float64) / 255


def _seen(picture: Floats, corners: Sequence[Sequence[float]], shape: tuple[int, ...]) -> Floats:
    """A picture with its corners where they are wanted, ``shape`` large."""
    h, w = picture.shape
    small = cv2.getPerspectiveTransform(
        np.array([[0, 0], [w, 0], [w, h], [0, h]], "f4"), np.asarray(corners, "f4")
    )
    # averages over the pixels that fall together, which warping does not
    blurred = cv2.GaussianBlur(picture, (0, 0), SHARPNESS * 0.35)
    return np.asarray(cv2.warpPerspective(blurred, small, shape[::-1], flags=cv2.INTER_LINEAR))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size)
