"""CPU time of the paper's seven metrics beside decoding and beside other libraries.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --runs 9 --sizes 0.26 2 --untuned

Prints a table: medians of process CPU time on one thread, for both decodes of one triplet, and the
ratio to decoding its three PNG files in the same run. ``piq`` and ``pyiqa`` are called once for
each decode, on tensors that are made before, in float32 as their users do (piq in float64 too); a
dash stands where a library has no such metric or is not installed (pyiqa is not for commercial use,
and nothing here needs it). ``--untuned`` leaves out what the command line does for its process
before PyTorch is imported, as in a script that calls the package.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from nacd_bench.pipeline.tuning import tune_process

if "--untuned" not in sys.argv:
    tune_process()

import piq
import torch
from detectors import cpu_name, in_turns, pixels, png_files, tensor
from rich.console import Console
from rich.table import Table

from nacd_bench.baselines import PAPER
from nacd_bench.ops.color import luma
from nacd_bench.registry import BASELINES
from nacd_bench.triplets.batch import TripletBatch

RATIO_LIMIT = 8.0
PIQ: dict[str, tuple[str, dict[str, Any]]] = {
    "psnr": ("psnr", {}),
    "ssim": ("ssim", {"downsample": False}),
    "ms_ssim": ("multi_scale_ssim", {}),
    "iw_ssim": ("information_weighted_ssim", {}),
    "vifp": ("vif_p", {}),
    "fsim": ("fsim", {"chromatic": False}),
}
"""Its function for each metric and how it is called to mean the same; it has no NLPD."""
PYIQA = {"psnr": "psnry", "ssim": "ssim", "ms_ssim": "ms_ssim", "vifp": "vif", "fsim": "fsim"}
PYIQA["nlpd"] = "nlpd"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.26, 2], help="megapixels")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--untuned", action="store_true", help="as a script calls the package")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    console.print(
        f"{cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    for size in options.sizes:
        console.print(table_of(size, options.runs))


def table_of(megapixels: float, runs: int) -> Table:
    ours, others = measured(png_files(megapixels), runs)
    decoding = ours.pop("decoding")
    title = f"{megapixels:g} MP, CPU milliseconds, medians of {runs}; decoding {decoding * 1e3:.0f}"
    table = Table("metric", "this", "/ decoding", *others, title=title)
    for name, seconds in ours.items():
        rest = (times.get(name) for times in others.values())
        table.add_row(
            name,
            f"{seconds * 1e3:.1f}",
            f"{seconds / decoding:.1f}",
            *("-" if other is None else f"{other * 1e3:.1f}" for other in rest),
        )
    shared = ours["together"] / decoding
    table.caption = f"together {shared:.1f} x decoding (aim: {RATIO_LIMIT:g})"
    for library, times in others.items():
        same = sum(ours[name] for name in times)
        if same:
            table.caption += f"; {library} / this, where both have it: "
            table.caption += f"{sum(times.values()) / same:.1f}"
    return table


def measured(files: list[bytes], runs: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Seconds of ours by metric, and of each other library."""
    images = [tensor(pixels(file)) for file in files]
    batch = TripletBatch(*images)
    metrics = {name: BASELINES.get(name)() for name in PAPER}

    def together() -> None:
        fresh = TripletBatch(*images)
        for metric in metrics.values():
            metric(fresh)

    steps: dict[tuple[str, str], Callable[[], object]] = {
        ("", "decoding"): lambda: [pixels(file) for file in files],
        **{("", name): lambda metric=metric: metric(batch) for name, metric in metrics.items()},  # type: ignore[misc]
        ("", "together"): together,
    }
    for dtype in (torch.float32, torch.float64):
        planes = [luma(image).to(dtype) for image in images]
        for name, (function, options) in PIQ.items():
            steps[f"piq, {str(dtype)[-7:]}", name] = both(getattr(piq, function), planes, options)
    if find_spec("pyiqa"):
        import pyiqa

        unit = [image.float() / 255 for image in images]
        for name, model in PYIQA.items():
            steps["pyiqa", name] = both(pyiqa.create_metric(model, device="cpu"), unit, {})
    medians = in_turns(steps, runs)
    libraries = dict.fromkeys(library for library, _ in steps if library)
    return (
        {name: value for (library, name), value in medians.items() if not library},
        {
            wanted: {name: value for (library, name), value in medians.items() if library == wanted}
            for wanted in libraries
        },
    )


def both(
    metric: Callable[..., object], planes: list[torch.Tensor], options: dict[str, Any]
) -> Callable[[], object]:
    """The metric of each decode against the original."""
    original, *decodes = planes
    return lambda: [metric(decode, original, **options) for decode in decodes]


if __name__ == "__main__":
    main()
