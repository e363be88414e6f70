"""CPU time of the paper's seven metrics beside decoding and beside other libraries.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --runs 9 --sizes 0.26 2 --pyiqa other/bin/python

Prints a table: medians of process CPU time on one thread, for both decodes of one triplet, and the
ratio to decoding its three PNG files in the same run. Tensors are made before, but for all seven
together, which share them, and SSIM and MS-SSIM their finest scale. Other libraries are called once
for each decode, in float32 as their users do (piq in float64 too); a dash stands where a library
has no such metric. pyiqa is not for commercial use, and nothing here needs
it: ``--pyiqa`` is the interpreter of an environment of its own that has it.

Last, all seven in a script that knows nothing of what the command line does for its process before
PyTorch is imported, over the same with it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nacd_bench.pipeline.tuning import tune_process

if "--untuned" not in sys.argv:
    tune_process()

import piq
import torch
import torchmetrics.functional.image as torchmetrics
from detectors import in_turns, pixels, png_files, script_row, tensor
from rows import Row, cpu_name, table

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
TORCHMETRICS: dict[str, tuple[str, dict[str, Any]]] = {
    "psnr": ("peak_signal_noise_ratio", {"data_range": 1.0}),
    "ssim": ("structural_similarity_index_measure", {"data_range": 1.0}),
    "ms_ssim": ("multiscale_structural_similarity_index_measure", {"data_range": 1.0}),
    "vifp": ("visual_information_fidelity", {}),  # on 0..255
}
TOGETHER = "the seven metrics together"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.26, 2], help="megapixels")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--pyiqa", help="an interpreter that has it")
    parser.add_argument("--untuned", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--together", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.together:
        images = [tensor(pixels(file)) for file in png_files(options.together)]
        print(in_turns({"": lambda: together(images)}, options.runs)[""])
        return
    print(f"{cpu_name()}, torch {torch.__version__}\n")
    print(table(measure(options.sizes, options.runs, options.pyiqa)))


def measure(
    sizes: Sequence[float] = (0.26, 2), runs: int = 5, pyiqa: str | None = None
) -> list[Row]:
    """Each metric and all together, by size; and all together in a plain script."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = [row for size in sizes for row in rows_of(size, runs, pyiqa)]
    torch.set_num_threads(threads)
    return [*rows, script_row(__file__, max(sizes), runs)]


def rows_of(megapixels: float, runs: int, pyiqa: str | None) -> list[Row]:
    """Of one size."""
    files = png_files(megapixels)
    ours, others = measured(files, runs)
    if pyiqa:
        others["pyiqa"] = by_pyiqa(pyiqa, files, runs)
    decoding = ours.pop("decoding")
    rows = []
    for name, seconds in ours.items():
        if name == TOGETHER:
            ratios = {
                library: sum(times.values()) / sum(ours[name] for name in times)
                for library, times in others.items()
            }
        else:
            ratios = {
                library: times[name] / seconds for library, times in others.items() if name in times
            }
        aim = f"{RATIO_LIMIT:g} x decoding, piq 5 x" if name == TOGETHER else ""
        what = f"{name}, {megapixels:g} MP"
        rows.append(Row(what, f"{seconds * 1e3:.1f} ms", seconds / decoding, ratios, aim))
    return rows


def together(images: list[torch.Tensor]) -> None:
    """The paper's metrics on one triplet."""
    batch = TripletBatch(*images)
    for name in PAPER:
        BASELINES.get(name)()(batch)


def measured(files: list[bytes], runs: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Seconds of ours by metric, and of each other library."""
    images = [tensor(pixels(file)) for file in files]
    metrics = [BASELINES.get(name)() for name in PAPER]
    made = {metric.name: partial(metric.values, *metric.planes_of(*images)) for metric in metrics}
    steps: dict[tuple[str, str], Callable[[], object]] = {
        ("", "decoding"): lambda: [pixels(file) for file in files],
        **{("", name): values for name, values in made.items()},
        ("", TOGETHER): lambda: together(images),
    }
    for dtype in (torch.float32, torch.float64):
        planes = [luma(image).to(dtype) for image in images]
        library = "piq" if dtype == torch.float32 else "piq, float64"
        for name, (function, options) in PIQ.items():
            steps[library, name] = both(getattr(piq, function), planes, options)
    planes = [luma(image) for image in images]
    for name, (function, options) in TORCHMETRICS.items():
        scaled = planes if options else [255 * plane for plane in planes]
        steps["torchmetrics", name] = both(getattr(torchmetrics, function), scaled, options)
    medians = in_turns(steps, runs)
    libraries = dict.fromkeys(library for library, _ in steps if library)
    return (
        {name: value for (library, name), value in medians.items() if not library},
        {
            wanted: {name: value for (library, name), value in medians.items() if library == wanted}
            for wanted in libraries
        },
    )


def by_pyiqa(interpreter: str, files: list[bytes], runs: int) -> dict[str, float]:
    """Seconds by metric, measured by an interpreter that has pyiqa."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.png") for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file)
        script = Path(__file__).with_name("pyiqa_times.py")
        command = [interpreter, str(script), str(runs), *map(str, paths)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def both(
    metric: Callable[..., object], planes: list[torch.Tensor], options: dict[str, Any]
) -> Callable[[], object]:
    """The metric of each decode against the original."""
    original, *decodes = planes
    return lambda: [metric(decode, original, **options) for decode in decodes]


if __name__ == "__main__":
    main()
