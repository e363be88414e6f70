"""Pictures of the strongest candidates of a mined folder: original, neural, traditional."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from nacd_bench.report.contact_sheet import GAP, LINE, stacked
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.triplets.batch import ROLES
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.images import read_8_bit

ROWS = 12
"""Candidates in a picture."""


def write_strongest(folder: Path) -> None:
    """Write ``strongest_<type>.png`` into a mined folder, for every type that it has."""
    candidates = kept(read_mined(folder))
    for old in folder.glob("strongest_*.png"):
        old.unlink()
    for artifact_type in candidates["artifact_type"].unique().to_pylist():
        picture = _sheet(folder, _chosen(candidates, artifact_type))
        write_whole(folder / f"strongest_{artifact_type.replace('/', '_')}.png", picture)


def _chosen(candidates: Any, artifact_type: str) -> list[Mapping[str, Any]]:
    """The strongest of each detector of a type in turn: detectors have scales of their own."""
    import pyarrow.compute as pc

    own = candidates.filter(pc.equal(candidates["artifact_type"], artifact_type))
    order = [("confidence", "descending"), ("candidate", "ascending")]
    turns = [
        own.filter(pc.equal(own["detector"], name)).sort_by(order).slice(0, ROWS).to_pylist()
        for name in sorted(own["detector"].unique().to_pylist())
    ]
    rows = chain.from_iterable(zip_longest(*turns))
    return [row for row in rows if row is not None][:ROWS]


def _sheet(folder: Path, rows: list[Mapping[str, Any]]) -> bytes:
    from PIL import Image, ImageDraw

    strips = []
    for row in rows:
        crops = []
        for role in ROLES:
            crops.append(Image.fromarray(read_8_bit(folder / row[f"crop_{role}"])[0]))
        width = sum(crop.width + GAP for crop in crops)
        strip = Image.new("RGB", (width, crops[0].height + LINE), "white")
        left = 0
        for role, crop in zip(ROLES, crops, strict=True):
            strip.paste(crop, (left, LINE))
            what = f"{row['detector']} {row['confidence']:.4g}, {row['triplet']}"
            said = what[:60] if role == "original" else f"{role} {row[f'{role}_bpp']:.3f} bpp"
            ImageDraw.Draw(strip).text(
                (left + 2, 4), said.encode("ascii", "replace").decode(), "black"
            )
            left += crop.width + GAP
        strips.append(strip)
    return stacked(strips)
