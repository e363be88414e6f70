"""The page of a comparison: what changed between two runs, as pictures that a browser opens.

``compare/index.html`` has verdict, warnings and tables, written here by Jinja; ``compare.js`` makes
the list of changes out of ``data.js``. Nothing is fetched from anywhere, and every name that comes
from a user reaches the page as text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nacd_bench import __version__
from nacd_bench.errors import UserError
from nacd_bench.report.page import safe_json
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import pixels_sha256
from nacd_bench.triplets.record import Box

SITE = Path(__file__).parent / "site"
FOLDER = "compare"
ROWS = 5000
"""Most changes in the page; the tables have all of them."""
"""Least side in pixels of what is shown of an image."""
MOST_SIDE = 600
"""Larger regions are shown reduced to this side."""
QUALITY = 92
EDGES = ("x0", "y0", "x1", "y1")
VIEWS = ("original", "before", "after", "traditional")
STATUSES = ("new", "fixed", "stayed", "unclear")

Pixels = NDArray[np.uint8]


class Cuts(Protocol):
    """Where pixels come from."""

    def region(self, pair: int, boxes: Sequence[Box]) -> Box:
        """What to show of a pair's image around some boxes; ``UserError`` where it is unknown."""

    def cut(self, pair: int, view: str, part: Box) -> Pixels:
        """Part of one of :data:`VIEWS`; ``UserError`` says why there is none."""


@dataclass(frozen=True)
class Table:
    """A table above the changes.

    Args:
        caption: what it says.
        columns: headings.
        rows: cells, the first of each row names it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Page:
    """What the page shows beside the changes.

    Args:
        title: of the page.
        verdict: one line.
        passed: whether the gate let the later run pass; None without a gate.
        warnings: a line each.
        runs: what is known of both, by label.
        tables: counts, tests and rates.
        notes: a line each, under the tables.
    """

    title: str
    verdict: str
    passed: bool | None
    warnings: Sequence[str]
    runs: Mapping[str, str]
    tables: Sequence[Table]
    notes: Sequence[str] = ()


@dataclass
class _Shown:
    """A change in the page: its place in the table of changes, its pictures, what is missing."""

    row: int
    place: int
    part: Box | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def write_page(
    folder: Path,
    page: Page,
    changes: Mapping[str, Sequence[Any]],
    pair_of: NDArray[np.int64],
    cuts: Cuts,
    pictures: int,
    tick: Any = lambda failures: None,
) -> tuple[Path, dict[str, str]]:
    """Write ``compare/`` into a comparison's folder.

    Args:
        folder: of the comparison.
        page: what stands above the changes.
        changes: columns of the changes, equally long.
        pair_of: the pair of each change.
        cuts: where pixels come from.
        pictures: changes that get pictures, the strongest of each status in turn.
        tick: called for each of these.

    Returns:
        the page, and why pictures are missing, by triplet.
    """
    place = folder / FOLDER
    order = strongest_first(changes)
    shown = [_Shown(row, number) for number, row in enumerate(order[:ROWS])]
    pictured = shown[:pictures]
    faults: dict[str, str] = {}
    for each in sorted(pictured, key=lambda each: (pair_of[each.row], each.place)):
        _picture(place, each, changes, int(pair_of[each.row]), cuts)
        tick(len(faults))
        for view, message in each.faults.items():
            name = changes["triplet_after" if view == "after" else "triplet_before"][each.row]
            faults.setdefault(f"{name} {view}", message)
    _remove_others(place, {name for each in pictured for name in each.pictures.values()})
    data = _data(page, changes, shown, len(order), min(pictures, len(order)))
    write_whole(place / "data.js", f"window.COMPARISON = {safe_json(data)};\n".encode())
    for name in ("style.css", "compare.css", "numbers.js", "compare.js"):
        write_whole(place / name, (SITE / name).read_bytes())
    html = _html(page, len(order)).encode("utf-8", "backslashreplace")
    write_whole(place / "index.html", html)
    return place / "index.html", faults


def strongest_first(changes: Mapping[str, Sequence[Any]]) -> list[int]:
    """Rows from the strongest change down, the statuses in turn.

    Confidences of different detectors have different scales: each change counts by its place among
    those of its detector and status.

    >>> strongest_first({"status": ["stayed", "new", "new"], "detector": ["a", "a", "b"],
    ...                  "strength": [9.0, 0.1, 5.0]})
    [1, 2, 0]
    """
    strength = np.asarray(changes["strength"], np.float64)
    groups: dict[tuple[str, str], int] = {}
    names = zip(changes["status"], changes["detector"], strict=True)
    group = np.array([groups.setdefault(each, len(groups)) for each in names], np.int64)
    rank = np.empty(len(group), np.int64)
    falling = np.lexsort((-strength, group))
    counts = np.bincount(group, minlength=len(groups))
    rank[falling] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    status = np.array([STATUSES.index(each) for each in changes["status"]], np.int64)
    detector = np.unique(np.asarray(changes["detector"], str), return_inverse=True)[1]
    return np.lexsort((detector, status, rank)).tolist() if len(group) else []


def _picture(
    folder: Path, shown: _Shown, changes: Mapping[str, Sequence[Any]], pair: int, cuts: Cuts
) -> None:
    boxes = [box for box in _boxes(changes, shown.row) if box is not None]
    try:
        shown.part = cuts.region(pair, boxes)
    except UserError as error:
        shown.faults["original"] = str(error)
        return
    for view in VIEWS:
        try:
            pixels = cuts.cut(pair, view, shown.part)
        except UserError as error:
            shown.faults[view] = str(error)
            continue
        shown.pictures[view] = _write_image(folder, pixels)


def _boxes(changes: Mapping[str, Sequence[Any]], row: int) -> list[Box | None]:
    """Before and after."""
    found: list[Box | None] = []
    for run in ("before", "after"):
        x0, y0, x1, y1 = (changes[f"{edge}_{run}"][row] for edge in EDGES)
        found.append(None if x0 is None else (x0, y0, x1, y1))
    return found


def _write_image(folder: Path, pixels: Pixels) -> str:
    """Write a picture named by what it shows, so that two changes share it; its name."""
    from PIL import Image

    digest = pixels_sha256(pixels)[:20]
    name = f"pictures/{digest}-{pixels.shape[1]}x{pixels.shape[0]}.webp"
    if not (folder / name).is_file():
        picture = Image.fromarray(pixels)
        picture.thumbnail((MOST_SIDE, MOST_SIDE))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=QUALITY, method=1)
        write_whole(folder / name, file.getvalue())
    return name


def _remove_others(folder: Path, wanted: set[str]) -> None:
    """What an earlier comparison in this folder showed and this one does not."""
    for path in (folder / "pictures").glob("*.webp"):
        if f"pictures/{path.name}" not in wanted:
            path.unlink()


def _data(
    page: Page,
    changes: Mapping[str, Sequence[Any]],
    shown: Sequence[_Shown],
    total: int,
    pictured: int,
) -> dict[str, Any]:
    """What ``compare.js`` reads."""
    names = (
        *("status", "change", "image", "preset", "artifact_type", "detector", "iou", "threshold"),
        *("detector_before", "detector_after", "confidence_before", "confidence_after"),
        *("score_before", "score_after", "bpp_before", "bpp_after"),
    )
    return {
        "title": page.title,
        "total": total,
        "pictured": pictured,
        "changes": [
            {
                **{name: changes[name][each.row] for name in names},
                "place": each.place,
                "boxes": _boxes(changes, each.row),
                "part": each.part,
                "pictures": each.pictures,
                "faults": each.faults,
            }
            for each in shown
        ],
    }


def _html(page: Page, total: int) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(SITE), autoescape=True)
    return environment.get_template("compare.html.j2").render(
        page=page, version=__version__, total=total, statuses=STATUSES
    )
