"""Time that the adapters add to an external encoder's own, at 0.4 megapixels.

For each encoder found on this machine the adapter's ``encode`` and the bare command line it ran are
timed in turn, on the same files. Run it on a machine with nothing else to do::

    python benchmarks/external_codecs.py --codecs hm ffmpeg --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from nacd_bench.coding.codec import Image, bits_per_pixel
from nacd_bench.errors import CodecError
from nacd_codecs.command import CommandLine, ffmpeg, hm, vtm
from nacd_codecs.process import work_folder

CODECS = {"hm": hm, "vtm": vtm, "ffmpeg": ffmpeg}
TARGET = 0.10
"""Share of the encoder's own time that the adapter may add."""


def photograph(path: Path | None, width: int = 768, height: int = 512) -> Image:
    """A photograph ``(512, 768, 3)``: the file's, or scikit-image's cup of coffee."""
    if path is None:
        import skimage.data

        picture = Pillow.fromarray(skimage.data.coffee())
    else:
        picture = Pillow.open(path).convert("RGB")
    return np.asarray(picture.resize((width, height), Pillow.Resampling.LANCZOS))


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(codec: CommandLine, image: Image, qp: int, repeats: int) -> str:
    """One row: rate, median seconds of the adapter and of the bare encoder, and the overhead."""
    ours, bare = [], []
    with work_folder() as folder:
        data, finished = codec.encode_in(folder, image, qp)
        words = finished.arguments
        for _ in range(repeats):
            ours.append(timed(lambda: codec.encode(image, qp)))
            bare.append(timed(lambda: subprocess.run(words, capture_output=True, check=False)))
    adapter, encoder = statistics.median(ours), statistics.median(bare)
    rate = bits_per_pixel(codec.rate_bytes(data), image.shape[1], image.shape[0])
    overhead = adapter / encoder - 1
    verdict = "ok" if overhead < TARGET else "too much"
    return (
        f"{codec.version():44} qp {qp}  {rate:6.3f} bpp  adapter {adapter:7.3f} s  "
        f"encoder {encoder:7.3f} s  overhead {overhead:+6.1%} (target < {TARGET:.0%}: {verdict})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--image", type=Path, help="photograph to encode")
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=["hm", "ffmpeg"])
    parser.add_argument("--qp", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    image = photograph(arguments.image)
    for name in arguments.codecs:
        try:
            print(measure(CODECS[name](), image, arguments.qp, arguments.repeats), flush=True)
        except CodecError as error:
            print(f"{name}: left out: {error}", flush=True)


if __name__ == "__main__":
    main()
