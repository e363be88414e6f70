"""The page of a comparison: what changed between two runs, as pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from nacd_bench.errors import UserError
from nacd_bench.report.page import write_page, write_picture
from nacd_bench.report.run_pixels import VIEWS, PairPixels
from nacd_bench.runs.schema import EDGES, RUNS
from nacd_bench.triplets.images import pixels_sha256

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
    changes: pa.Table,
    pixels: PairPixels,
    pictures: int,
    tick: Callable[[int], None],
    **shown: Any,
) -> dict[str, str]:
    """Write ``compare/`` into a comparison's folder; why pictures are missing, by triplet.

    Args:
        folder: of the comparison.
        changes: the table ``changes``.
        pixels: of the pairs.
        pictures: changes that get pictures, the strongest of each status in turn.
        tick: called for each of these.
        shown: what stands above the changes, see ``site/compare.html.j2``.
    """
    columns = (changes[name].to_pylist() for name in ("status", "detector", "strength"))
    order = strongest_first(*columns)
    rows = changes.take(pa.array(order[:ROWS], pa.int64())).to_pylist()
    entries = []
    for place, row in enumerate(rows):
        boxes = [[row[f"{edge}_{run}"] for edge in EDGES] for run in RUNS]
        entries.append(
            {
                **{name: row[name] for name in COLUMNS},
                "row": order[place],
                "place": place,
                "boxes": [None if box[0] is None else box for box in boxes],
                "part": None,
                "pictures": {},
                "faults": {},
            }
        )
    faults: dict[str, str] = {}
    # those of a pair together, which share its images
    shown_first = zip(entries[:pictures], rows, strict=False)
    for entry, row in sorted(shown_first, key=lambda entry: entry[1]["triplet_before"]):
        _add_pictures(folder / FOLDER, entry, row["triplet_before"], pixels)
        tick(len(faults))
        for view, message in entry["faults"].items():
            run = "after" if view == "after" else "before"
            faults.setdefault(f"{row[f'triplet_{run}']} {view}", message)
    names = {name for entry in entries for name in entry["pictures"].values()}
    for path in (folder / FOLDER / "pictures").glob("*.webp"):  # of an earlier comparison
        if f"pictures/{path.name}" not in names:
            path.unlink()
    counts = {"total": len(order), "pictured": min(pictures, len(order))}
    write_page(folder / FOLDER, "compare", {**counts, "changes": entries}, **shown)
    return faults


def strongest_first(
    statuses: Sequence[str], detectors: Sequence[str], strengths: Sequence[float]
) -> list[int]:
    """Rows from the strongest change down, the statuses in turn.

    Confidences of different detectors have different scales: each change counts by its place among
    those of its detector and status.

    >>> strongest_first(["stayed", "new", "new"], ["a", "a", "b"], [9.0, 0.1, 5.0])
    [1, 2, 0]
    """
    groups = list(zip(map(STATUSES.index, statuses), detectors, strict=True))
    falling = [1.0 if math.isnan(strength) else -strength for strength in strengths]
    taken: Counter[tuple[int, str]] = Counter()
    rank = {}
    for row in sorted(range(len(falling)), key=falling.__getitem__):
        rank[row] = taken[groups[row]]
        taken[groups[row]] += 1
    return sorted(rank, key=lambda row: (rank[row], *groups[row], row))


def _add_pictures(folder: Path, entry: dict[str, Any], pair: str, source: PairPixels) -> None:
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
