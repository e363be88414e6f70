"""Peak memory and seconds of commands over one large triplet.

    python benchmarks/large.py
    python benchmarks/large.py --megapixels 24 100 --commands detect

The triplet is a photograph's mirrored copies side by side and JPEG decodes of them, in a temporary
folder. Memory is the largest resident set of the command's process, from which the system counts
shared libraries too. Detectors that look for text run with --text only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from nacd_bench.planting.photographs import photo
from nacd_bench.runs.tables import Table

DETECTORS = "texture,boundary,large_color,small_color,texture_severity,color_severity"
LIMITS_GB = {24: 1.5, 100: 4.0}
"""What a command may take, by megapixels."""
MAIN = "from nacd_bench.cli.main import main; raise SystemExit(main())"
QUALITIES = {"ai": 20, "classic": 40}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=[24])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--text", action="store_true", help="the detectors of text too")
    options = parser.parse_args()
    detectors = DETECTORS + ",text,text_severity" * options.text
    rows = []
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory() as name:
            triplets = made_triplet(Path(name) / "triplets", megapixels)
            for command in options.commands:
                words = COMMANDS[command](triplets, detectors)
                peak, seconds, status = measured([*words, f"folder={name}/{command}"])
                limit = LIMITS_GB.get(round(megapixels), float("nan"))
                cells = (f"{megapixels:g}", command, f"{peak:.2f}", f"{limit:g}", f"{seconds:.0f}")
                rows.append([*cells, str(status)])
    columns = ("MP", "command", "peak GB", "aim GB", "s", "exit status")
    Console().print(Table(columns, rows).rich())


def _detect(triplets: Path, detectors: str) -> list[str]:
    return ["detect", str(triplets), f"detector=[{detectors}]"]


def _mine(triplets: Path, detectors: str) -> list[str]:
    codecs = ["codec@neural=webp", "codec@traditional=jpeg", "points=[50]", "workers=1"]
    return ["mine", str(triplets / "orig"), f"detector=[{detectors}]", *codecs]


COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {"detect": _detect, "mine": _mine}


def made_triplet(folder: Path, megapixels: float) -> Path:
    """A triplet of three to two, as ``orig/``, ``ai/`` and ``classic/``."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    size = (height, round(1.5 * height))
    tile = photo("astronaut")
    pair = np.concatenate([tile, tile[:, ::-1]], 1)
    four = np.concatenate([pair, pair[::-1]])
    times = [-(-side // length) for side, length in zip(size, four.shape, strict=False)]
    image = Image.fromarray(np.tile(four, (*times, 1))[: size[0], : size[1]])
    for role in ("orig", *QUALITIES):
        (folder / role).mkdir(parents=True)
    image.save(folder / "orig" / "large.png", compress_level=1)
    for role, quality in QUALITIES.items():
        image.save(folder / role / "large.jpg", quality=quality)
    return folder


def measured(words: Sequence[str]) -> tuple[float, float, int]:
    """Peak memory in GB, seconds and exit status of a command."""
    command = [sys.executable, "-c", MAIN, *words, "show_progress=false"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = time.perf_counter() - began
    return usage.ru_maxrss * unit / 1e9, seconds, os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
