"""CPU time of finding text, per megapixel, beside decoding.

    python benchmarks/text.py --sizes 0.4 2 8

Prints a table: medians of process CPU time (all threads) for one original, a photograph with a page
of print in it, and the ratio to decoding the PNG files of a triplet of that size.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
from detectors import grown, in_turns, pixels, png_files
from rows import Row, cpu_name, table

from nacd_bench.detectors.text_finders.rapidocr import RapidOCR
from nacd_bench.planting.photographs import photo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.4, 2, 8], help="megapixels")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    options = parser.parse_args()
    print(f"{cpu_name()}\n\n{table(measure(options.sizes, options.runs))}")


def measure(sizes: Sequence[float] = (0.4, 2, 8), runs: int = 3) -> list[Row]:
    """One row per size, and one for photographs without text."""
    rows, finder = [], RapidOCR()
    for size in sizes:
        files = png_files(size)
        plain = pixels(files[0])
        page = plain.copy()
        text = photo("page")[: page.shape[0], : page.shape[1]]
        page[: text.shape[0], : text.shape[1]] = text
        large = grown(np.concatenate([page[:191], page[191:382]]), *plain.shape[:2])
        pictures = {"with print all over": large, "without print": plain}
        seconds = in_turns(
            {
                "decoding": lambda files=files: [pixels(file) for file in files],
                **{
                    name: lambda picture=picture: finder.find(picture)
                    for name, picture in pictures.items()
                },
            },
            runs,
        )
        for name in pictures:
            per_megapixel = seconds[name] / size
            figure = f"{per_megapixel:.2f} s/MP"
            ratio = seconds[name] / seconds["decoding"]
            rows.append(Row(f"text looked for {name}, {size:g} MP", figure, ratio))
    return rows


if __name__ == "__main__":
    main()
