"""The page of a comparison: what changed between two runs, as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacd_bench.errors import UserError
from nacd_bench.report.page import write_page, write_picture
from nacd_bench.report.run_pixels import VIEWS, PairPixels
from nacd_bench.runs.schema import EDGES
from nacd_bench.triplets.images import pixels_sha256
from nacd_bench.triplets.record import Box

FOLDER = "compare"
ROWS = 5000
"""Most changes in the page; the tables have all of them."""
MOST_SIDE = 600
"""Larger regions are shown reduced to this side."""
STATUSES = ("new", "fixed", "stayed", "unclear")
COLUMNS = (
    *("status", "change", "image", "preset", "artifact_type", "detector", "iou", "threshold"),
    *("detector_before", "detector_after", "confidence_before", "confidence_after"),
    *("score_before", "score_after", "bpp_before", "bpp_after"),
)
"""Of a change, in the page."""


def write_comparison(
    folder: Path,
    changes: Mapping[str, Sequence[Any]],
    pair_of: NDArray[np.int64],
    pixels: PairPixels,
    pictures: int,
    tick: Callable[[int], None],
    **shown: Any,
) -> dict[str, str]:
    """Write ``compare/`` into a comparison's folder; why pictures are missing, by triplet.

    Args:
        folder: of the comparison.
        changes: columns of the changes, equally long.
        pair_of: the pair of each change.
        pixels: of the pairs.
        pictures: changes that get pictures, the strongest of each status in turn.
        tick: called for each of these.
        shown: what stands above the changes, see ``site/compare.html.j2``.
    """
    order = strongest_first(changes)
    entries = [
        {
            **{name: changes[name][row] for name in COLUMNS},
            "row": row,
            "place": place,
            "boxes": _boxes(changes, row),
            "part": None,
            "pictures": {},
            "faults": {},
        }
        for place, row in enumerate(order[:ROWS])
    ]
    faults: dict[str, str] = {}
    for entry in sorted(entries[:pictures], key=lambda entry: pair_of[entry["row"]]):
        _add_pictures(folder / FOLDER, entry, int(pair_of[entry["row"]]), pixels)
        tick(len(faults))
        for view, message in entry["faults"].items():
            side = "after" if view == "after" else "before"
            faults.setdefault(f"{changes[f'triplet_{side}'][entry['row']]} {view}", message)
    names = {name for entry in entries for name in entry["pictures"].values()}
    for path in (folder / FOLDER / "pictures").glob("*.webp"):  # of an earlier comparison
        if f"pictures/{path.name}" not in names:
            path.unlink()
    counts = {"total": len(order), "pictured": min(pictures, len(order))}
    write_page(folder / FOLDER, "compare", {**counts, "changes": entries}, **shown)
    return faults


def strongest_first(changes: Mapping[str, Sequence[Any]]) -> list[int]:
    """Rows from the strongest change down, the statuses in turn.

    Confidences of different detectors have different scales: each change counts by its place among
    those of its detector and status.

    >>> strongest_first({"status": ["stayed", "new", "new"], "detector": ["a", "a", "b"],
    ...                  "strength": [9.0, 0.1, 5.0]})
    [1, 2, 0]
    """
    groups = list(zip(changes["status"], changes["detector"], strict=True))
    falling = np.argsort(-np.nan_to_num(changes["strength"], nan=-1.0), kind="stable")
    places: Counter[tuple[str, str]] = Counter()
    rank = {}
    for row in falling.tolist():
        rank[row] = places[groups[row]]
        places[groups[row]] += 1
    return sorted(
        rank, key=lambda row: (rank[row], STATUSES.index(groups[row][0]), groups[row][1], row)
    )


def _add_pictures(folder: Path, entry: dict[str, Any], pair: int, source: PairPixels) -> None:
    try:
        entry["part"] = source.region(pair, [box for box in entry["boxes"] if box is not None])
    except UserError as error:
        entry["faults"]["original"] = str(error)
        return
    for view in VIEWS:
        try:
            pixels = source.cut(pair, view, entry["part"])
        except UserError as error:
            entry["faults"][view] = str(error)
            continue
        # named by what it shows, so that two changes share it
        name = f"pictures/{pixels_sha256(pixels)[:20]}-{pixels.shape[1]}x{pixels.shape[0]}.webp"
        if not (folder / name).is_file():
            write_picture(folder / name, pixels, MOST_SIDE, quality=92, method=1)
        entry["pictures"][view] = name


def _boxes(changes: Mapping[str, Sequence[Any]], row: int) -> list[Box | None]:
    """Before and after."""
    boxes: list[Box | None] = []
    for run in ("before", "after"):
        x0, y0, x1, y1 = (changes[f"{edge}_{run}"][row] for edge in EDGES)
        boxes.append(None if x0 is None else (x0, y0, x1, y1))
    return boxes
