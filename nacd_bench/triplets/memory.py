"""Whether pictures fit into memory, asked before they are decoded."""

from __future__ import annotations

from pathlib import Path

from nacd_bench.errors import ImageError
from nacd_bench.ops.memory import give_back_memory
from nacd_bench.triplets.batch import WHOLE

PICTURE = 12
"""Bytes that decoding one picture takes per pixel: what the decoder holds, and the planes."""
MAPS, STRIPS = 16, 600 * 10**6
"""Bytes that work on a large triplet takes beside its pixels: per pixel, and for strips and tiles
whatever its size. A little over what ``detect`` and ``benchmark`` take by default."""
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""What a control group may take and what it has, by the files of version 2 and 1."""


def require_memory(
    path: str | Path, width: int, height: int, per_pixel: int, more: int = 0
) -> None:
    """:class:`ImageError` where a picture over 8 megapixels takes more memory than is free: bytes
    per pixel, and ``more``."""
    pixels = width * height
    if pixels <= WHOLE:
        return
    give_back_memory()  # what pictures before this one left
    free, needed = free_memory(), pixels * per_pixel + more
    if free is not None and needed > free:
        raise ImageError(
            f"{path}: expected a picture that fits into memory, got {width} x {height} pixels, "
            f"which take {needed / 1e9:.1f} GB where {free / 1e9:.1f} GB are free. "
            "Cut the image into parts, end other programs or use a larger machine."
        )


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, by the system and its control group; None where
    neither says."""
    found = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    for names in LIMITS:
        limit, used = (_text(root / "sys/fs/cgroup" / name).strip() for name in names)
        if limit.isdigit() and used.isdigit():  # not "max"
            found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):  # another system, or none of this kind
        return ""
