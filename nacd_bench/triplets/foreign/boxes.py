"""Boxes as other people's tables have them: an object's values by name, four numbers by place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nacd_bench.triplets.rows import RowError, finite_number, is_missing, shortened
from nacd_bench.triplets.text_files import load_json

BOX_FORMATS = {"xywh": "x, y, w, h", "corners": "x0, y0, x1, y1"}
"""What four numbers may be; the first where nothing says so."""
_ENDS = {
    ("x0", "y0"): ("x1", "y1"),
    ("x1", "y1"): ("x2", "y2"),
    ("xmin", "ymin"): ("xmax", "ymax"),
    ("left", "top"): ("right", "bottom"),
}
_SIZES = (("w", "h"), ("width", "height"))
_LAYOUTS: dict[frozenset[str], tuple[str, tuple[str, ...]]] = {
    frozenset(start + end): ("corners", start + end) for start, end in _ENDS.items()
} | {
    frozenset(start + size): ("xywh", start + size)
    for start in (("x", "y"), *_ENDS)
    for size in _SIZES
}
"""Format and order of the names that say which value is which, by the names."""


def read_box(given: Any, form: str | None) -> list[int] | None:
    """A box as corners in whole pixels, grown to hold the given one; None for an empty one.

    Args:
        given: an object with names such as ``x y w h`` or ``left top right bottom``, in any order;
            a list of four numbers; or text with either.
        form: one of :data:`BOX_FORMATS`; None: what the names say, else ``xywh``.

    Raises:
        RowError: no box, or names that are unknown or of another format.

    >>> read_box({"top": 20, "left": 10, "bottom": 50, "right": 60}, None)
    [10, 20, 60, 50]
    """
    cell = given
    if isinstance(given, str):
        given = _from_text(given)
    if isinstance(given, Mapping) and given:
        given, form = _by_name(given, form)
    form = form or next(iter(BOX_FORMATS))
    if not given or (isinstance(given, Sequence) and all(map(is_missing, given))):
        return None
    numbers = [finite_number(each) for each in given] if isinstance(given, list) else []
    if len(numbers) != 4 or None in numbers:
        raise RowError(
            f"box: expected four numbers {BOX_FORMATS[form]}, got {shortened(cell)}. "
            "Correct or empty it."
        )
    x, y, right, bottom = (each for each in numbers if each is not None)
    if form == "xywh":
        if right <= 0 or bottom <= 0:
            raise RowError(
                f"box: expected a width and a height above 0, got {shortened(cell)}. Correct it, "
                "or set box: corners in the mapping."
            )
        right, bottom = x + right, y + bottom
    if 0 < right - x < 1 and 0 < bottom - y < 1:
        raise RowError(
            f"box: expected pixels, got {shortened(cell)}, smaller than one. Multiply fractions "
            "by the width and height of the image."
        )
    return [math.floor(x), math.floor(y), math.ceil(right), math.ceil(bottom)]


def layout_of(names: Sequence[str]) -> tuple[str, list[str]] | None:
    """The format that names stand for and the names in its order; None for unknown ones.

    >>> layout_of(["Top", "left", "Bottom", "right"])
    ('corners', ['left', 'Top', 'right', 'Bottom'])
    """
    plain = {re.sub(r"[\s_-]", "", str(name)).lower(): name for name in names}
    if len(names) != 4 or frozenset(plain) not in _LAYOUTS:
        return None
    form, order = _LAYOUTS[frozenset(plain)]
    return form, [plain[name] for name in order]


def _by_name(given: Mapping[str, Any], form: str | None) -> tuple[list[Any], str]:
    names = ", ".join(map(str, given))
    layout = layout_of(list(given))
    if layout is None:
        raise RowError(
            f"box: expected four values named x, y, w, h; left, top, right, bottom; x0, y0, x1, "
            f"y1; or alike, got {names}. Rename them, or map a list of four columns to box."
        )
    said, order = layout
    if form not in (None, said):
        raise RowError(
            f"box: expected names of the mapping's box: {form}, got {names}, which are {said}. "
            f"Set box: {said}, or rename them."
        )
    return [given[name] for name in order], said


def _from_text(text: str) -> Any:
    """``"{...}"`` in JSON, or numbers as in ``"[1, 2, 3, 4]"``."""
    if text.strip().startswith("{"):
        try:
            return load_json(text)
        except ValueError:
            pass
    return [each for each in re.split(r"[\s,;]+", text.strip("[](){} ")) if each]
