"""The page of a comparison: what changed between two runs, as pictures."""

from __future__ import annotations

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
COLUMNS = (
    *("status", "change", "image", "preset", "artifact_type", "detector", "threshold"),
    *("severity_before", "severity_after", "bpp_before", "bpp_after"),
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
        pictures: changes that get pictures, the strongest first.
        tick: called for each of these.
        shown: what stands above the changes, see ``site/compare.html.j2``.
    """
    severities = (changes[f"severity_{run}"].to_pylist() for run in RUNS)
    order = strongest_first(*severities)
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


def strongest_first(before: Sequence[float], after: Sequence[float]) -> list[int]:
    """Rows by how far the severity changed; of equal changes the more severe first, then the worse.

    >>> strongest_first([0.5, 2.5, 2.0, 2.0], [2.0, 2.5, 0.5, 2.0])
    [0, 2, 1, 3]
    """

    def weight(row: int) -> tuple[float, float, float]:
        first, second = before[row], after[row]
        return -abs(second - first), -max(first, second), first - second

    return sorted(range(len(before)), key=weight)


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
