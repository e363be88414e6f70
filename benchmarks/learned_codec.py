"""Rate and distortion of the learned codec beside JPEG and x265, and its speed.

    python benchmarks/learned_codec.py kodak/
    python benchmarks/learned_codec.py kodak/ --figure docs/images/hyperprior_rd.png

Prints a table: mean bits per pixel by real bytes, mean PSNR over R, G and B in dB, mean MS-SSIM of
luma, for every operating point; the same at 0.25 and 0.5 bpp, between operating points; and the
median time of coding a picture of 0.4 megapixels on one core. Without a folder it takes photographs
from installed packages.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from nacd_bench.pipeline.tuning import tune_process
from nacd_bench.triplets.images import read_8_bit

tune_process()  # as the command line does

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from nacd_bench.coding.codec import Codec, Image, bits_per_pixel
from nacd_bench.coding.originals import list_images
from nacd_bench.ops.color import luma
from nacd_bench.ops.structure import ms_ssim
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo
from nacd_bench.registry import CODECS

LADDERS: dict[str, Sequence[float]] = {
    "hyperprior": (1, 2, 3, 4, 5, 6, 7, 8),
    "jpeg": (2, 4, 6, 8, 10, 14, 18, 24, 32, 42, 55, 70),
    "x265": (46, 43, 40, 37, 34, 31, 28, 25),
}
RATES = (0.25, 0.5)
Curve = list[tuple[float, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="?", type=Path)
    parser.add_argument("--figure", type=Path, help="PNG or SVG of the curves")
    options = parser.parse_args()
    images = (
        [read_8_bit(path)[0] for path in list_images(options.images, files_only=True).paths]
        if options.images
        else [photo(name) for name in COLOR_PHOTOS]
    )
    console = Console()
    curves: dict[str, Curve] = {}
    table = Table(title=f"means over {len(images)} images")
    for column in ("codec", "point", "bpp", "PSNR (dB)", "MS-SSIM"):
        table.add_column(column, justify="right")
    for name, points in LADDERS.items():
        codec = CODECS.get(name)()
        curves[name] = [mean_of(codec, images, point) for point in points]
        for point, row in zip(points, curves[name], strict=True):
            table.add_row(name, f"{point:g}", *(f"{value:.4f}" for value in row))
        table.add_section()
    console.print(table)
    between = Table(title="between operating points")
    for column in ("codec", *(f"{rate} bpp: PSNR, MS-SSIM" for rate in RATES)):
        between.add_column(column)
    for name, curve in curves.items():
        between.add_row(name, *("{:.2f} dB, {:.4f}".format(*at(curve, rate)) for rate in RATES))
    console.print(between)
    console.print(speed())
    if options.figure:
        draw(curves, options.figure, len(images))


def mean_of(codec: Codec, images: Sequence[Image], point: float) -> tuple[float, float, float]:
    rows = []
    for image in images:
        data = codec.encode(image, point)
        decoded = codec.decode(data)
        error = np.square(image.astype(float) - decoded).mean()
        pair = [luma(torch.tensor(x).permute(2, 0, 1)[None]) for x in (image, decoded)]
        rate = bits_per_pixel(codec.rate_bytes(data), image.shape[1], image.shape[0])
        rows.append((rate, 10 * np.log10(255**2 / error), ms_ssim(*pair).item()))
    bpp, psnr, similarity = np.mean(rows, axis=0)
    return float(bpp), float(psnr), float(similarity)


def at(curve: Curve, rate: float) -> tuple[float, float]:
    """PSNR and MS-SSIM at a rate; NaN outside the curve."""
    bpp, psnr, similarity = np.transpose(curve)
    return (
        float(np.interp(rate, bpp, psnr, np.nan, np.nan)),
        float(np.interp(rate, bpp, similarity, np.nan, np.nan)),
    )


def speed() -> str:
    codec = CODECS.get("hyperprior")()
    picture = np.ascontiguousarray(np.tile(photo("coffee"), (2, 2, 1))[:512, :768])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        codec.decode(codec.encode(picture, 4))
        seconds.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return f"encode and decode 768 x 512 on one core: {statistics.median(seconds):.2f} s (aim: 1)"


def draw(curves: dict[str, Curve], path: Path, count: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, column, label in zip(
        figure.subplots(1, 2), (1, 2), ("PSNR of RGB (dB)", "MS-SSIM of luma (dB)"), strict=True
    ):
        for name, curve in curves.items():
            shown = [row for row in curve if row[0] <= 1.5]
            y = [row[1] if column == 1 else -10 * np.log10(1 - row[2]) for row in shown]
            axes.plot([row[0] for row in shown], y, marker="o", markersize=3, label=name)
        axes.set(xlabel="bits per pixel", ylabel=label)
        axes.grid(color="0.92")
    axes.legend(title=f"means over {count} images")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
