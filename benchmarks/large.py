"""Peak memory and seconds of commands over one large triplet.

    python benchmarks/large.py
    python benchmarks/large.py --megapixels 24 100 --commands detect benchmark

The triplet is a photograph's mirrored copies side by side and JPEG decodes of them, in a temporary
folder. Memory is the largest resident set of the command's process, from which the system counts
shared libraries too. Detectors that look for text run with --text only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from nacd_bench.cache import FOLDER_VARIABLE
from nacd_bench.planting.photographs import photo
from nacd_bench.runs.tables import Table

DETECTORS = "texture,boundary,large_color,small_color,texture_severity,color_severity"
LIMITS_GB = {24: 1.5, 100: 4.0}
"""What a command may take, by megapixels."""
COMMAND = """
import sys
from nacd_bench.cli.main import main
if main(sys.argv[1:]):
    sys.exit(1)
with open("/proc/self/status") as file:  # getrusage may begin at the peak of who started it
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
"""
"""The command line, with kB of peak memory at the end (Linux)."""
QUIET = "show_progress=false"
LABELLED = "labelled.jsonl"
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
                words = [*COMMANDS[command](triplets, detectors), f"folder={name}/{command}"]
                cells = [
                    f"{megapixels:g}",
                    command,
                    f"{LIMITS_GB.get(round(megapixels), math.nan):g}",
                ]
                try:
                    seconds, peak, printed = measured(*words, QUIET, cache=f"{name}/cache")
                    cells += [f"{peak:.2f}", f"{seconds:.0f}", printed.splitlines()[-1]]
                except RuntimeError as error:
                    cells += ["-", "-", f"failed: {error}"]
                rows.append(cells)
    columns = ("MP", "command", "aim GB", "peak GB", "s", "")
    Console().print(Table(columns, rows).rich())


def _chosen(detectors: str | None) -> list[str]:
    return [f"detector=[{detectors}]"] if detectors else []


def _detect(triplets: Path, detectors: str | None) -> list[str]:
    return ["detect", str(triplets), *_chosen(detectors)]


def _benchmark(triplets: Path, detectors: str | None) -> list[str]:
    return ["benchmark", str(triplets / LABELLED), "logger=none", *_chosen(detectors)]


def _mine(triplets: Path, detectors: str | None) -> list[str]:
    codecs = ["codec@neural=webp", "codec@traditional=jpeg", "points=[50]", "workers=0"]
    return ["mine", str(triplets / "orig"), *_chosen(detectors), *codecs]


COMMANDS: dict[str, Callable[[Path, str | None], list[str]]] = {
    "detect": _detect,
    "benchmark": _benchmark,
    "mine": _mine,
}


def made_triplet(folder: Path, megapixels: float) -> Path:
    """A triplet of three to two, as ``orig/``, ``ai/`` and ``classic/``; with its sides exchanged
    it is the clean one of a labelled pair."""
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
    labels = [{"artifact_type": kind, "box": [0, 0, 64, 64]} for kind in ("texture", "color")]
    rows = [
        {"id": "with", "neural": "ai", "traditional": "classic", "labels": labels},
        {"id": "without", "neural": "classic", "traditional": "ai", "artifact_free": True},
    ]
    for row in rows:
        row |= {role: f"{row[role]}/large.jpg" for role in ("neural", "traditional")}
        row |= {"original": "orig/large.png", "source": row["id"]}
    (folder / LABELLED).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def measured(*words: str, cache: str) -> tuple[float, float, str]:
    """Wall time of a command in a process of its own, its peak memory in GB, what it prints.

    RuntimeError where it fails.
    """
    command = [sys.executable, "-c", COMMAND, *words]
    environment = os.environ | {FOLDER_VARIABLE: cache}
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout[-300:]}{done.stderr[-300:]}")
    *lines, peak = done.stdout.splitlines()
    return took, int(peak) * 1024 / 1e9, "\n".join(lines)


if __name__ == "__main__":
    main()
