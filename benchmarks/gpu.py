"""Detectors and metrics on a GPU: the CPU's values, no waiting, and megapixels per second.

    python benchmarks/gpu.py                 a few minutes on a machine with one GPU
    python benchmarks/gpu.py --device cpu --quick

Needs PyTorch, numpy and what nacd-bench itself needs, no files and no network: pictures are made.

1. Every detector and metric on the CPU and on the device: how far scores, confidences and heat maps
   lie apart (scores at most 1e-4, and all three at most a thousandth of the range that the heat map
   is drawn in, from which confidences are read; metrics, which are float64, at most 1e-6), and
   whether boxes are equal.
   With --device cpu the functions that a GPU takes, run there, stand beside the CPU's own. Text is
   not looked for, which no GPU does here: its places are given.
2. The maps of texture, large_color, small_color and the paper's metrics are made once more with
   PyTorch told to raise where the CPU would wait (``torch.cuda.set_sync_debug_mode("error")``). Not
   among them: boundary (Canny's hysteresis is the CPU's) and iw_ssim (eigenvalues of one matrix).
3. Megapixels of triplets per second of the maps of texture, large_color and small_color, by size
   and batch, from pixels that lie on the device and from PNG files in memory; memory; and the share
   of what the device's memory would allow: the bytes that the operations read and write, over the
   measured speed of a copy.

Exits with 1 where values lie apart or something waits.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import Any
from unittest.mock import patch

from nacd_bench.pipeline.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
import torch
from detectors import jpeg, pixels, png, tensor
from rows import cpu_name, markdown
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nacd_bench.baselines import PAPER, Baseline
from nacd_bench.detectors import LargeColor, SmallColor, Text, Texture
from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon
from nacd_bench.errors import UserError
from nacd_bench.pipeline.workers import ahead, cores
from nacd_bench.registry import BASELINES, DETECTORS
from nacd_bench.triplets.batch import TripletBatch

DETECTOR_TOLERANCE, RANGE_TOLERANCE, METRIC_TOLERANCE = 1e-4, 1e-3, 1e-6
WAITING = ("iw_ssim",)
SIZES, BATCHES = (0.26, 2.0), (1, 8, 32)
AIM = 500.0
"""Megapixels per second of the three maps on an H100."""


class Given(TextFinder):
    """Two places, whatever the picture."""

    name = "given"
    settings: Mapping[str, Any] = {}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        corners = ((20, 30, 110, 70), (150, 90, 250, 130))
        return [TextPolygon([x0, y0, x1, y0, x1, y1, x0, y1]) for x0, y0, x1, y1 in corners]


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write."""

    total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if not function.is_view:
            leaves = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
            self.total += sum(x.numel() * x.element_size() for x in leaves)
        return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; --device cpu shows that the script runs")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    print(f"{name}, torch {torch.__version__}\n")
    height, width = (176, 264) if options.quick else (400, 600)
    rows, n_apart = agreement(device, [picture(height, width, seed) for seed in range(2)])
    columns = ("method", "scores", "confidences", "heat map", "boxes")
    print(f"Largest differences between the CPU and {device}\n\n{markdown(columns, rows)}")
    found = waiting(device)
    for fault in found:
        print(fault)
    if device.type == "cuda":
        print(f"{len(found)} of the maps wait for the device")
    else:
        print("What waits shows on a GPU, and in tests/detectors/test_dense_maps.py")
    sizes, batches = ((0.05,), (1, 2)) if options.quick else (SIZES, BATCHES)
    columns = ("MP", "batch", "MP/s", "of the copy's speed", "MP/s with decoding", "GB")
    print(f"\nMaps of texture, large_color and small_color (aim on an H100: {AIM:g} MP/s)\n")
    print(markdown(columns, throughput(device, sizes, batches, options.runs)))
    sys.exit(bool(n_apart or found))


def picture(height: int, width: int, seed: int) -> list[np.ndarray]:
    """Original and two decodes: 1/f noise in colour, with edges; JPEG of two qualities."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        noise = np.fft.rfft2(rng.normal(size=(height, width))) / frequency
        plane = np.fft.irfft2(noise, s=(height, width))
        planes.append(plane / plane.std())
    image = 128 + 45 * (np.stack(planes, axis=2) * 0.4 + planes[0][..., None])
    for _ in range(12):
        y, x = rng.integers(0, height - 16), rng.integers(0, width - 16)
        image[y : y + rng.integers(8, 60), x : x + rng.integers(8, 60)] += rng.normal(0, 40, 3)
    original = image.clip(0, 255).astype(np.uint8)
    return [original, jpeg(original, 12), jpeg(original, 35)]


def batch_of(images: Sequence[Sequence[np.ndarray]], device: torch.device) -> TripletBatch:
    """Pictures of one size as a batch on the device."""
    roles = (torch.cat([tensor(image) for image in role]) for role in zip(*images, strict=True))
    return TripletBatch(*(role.to(device) for role in roles))


def methods() -> Iterator[Any]:
    """Every detector and metric that can be made here."""
    for registry in (DETECTORS, BASELINES):
        for name in registry:
            try:
                yield Text(Given()) if name == "text" else registry.get(name)()
            except UserError as error:
                print(f"left out: {name}: {str(error).splitlines()[0]}")


def agreement(
    device: torch.device, images: Sequence[Sequence[np.ndarray]]
) -> tuple[list[list[str]], int]:
    """By method the largest differences, and how many methods differ by too much."""
    rows, n_apart = [], 0
    for method in methods():
        with torch.inference_mode():
            try:
                one = method.eval()(batch_of(images, torch.device("cpu")))
            except (UserError, ImportError) as error:  # a network of another package
                print(f"left out: {method.name}: {str(error).splitlines()[0]}")
                continue
            with functions_of(device):
                other = method.to(device)(batch_of(images, device))
        if isinstance(method, Baseline):
            apart = [distance([one], [other])]
            rows.append([method.name, f"{apart[0]:.1e}", "-", "-", "-"])
            n_apart += not apart[0] <= METRIC_TOLERANCE
            continue
        low, high = method.heat_map_range
        of_range = RANGE_TOLERANCE * (high - low)
        same = all(torch.equal(a, b.cpu()) for a, b in zip(one.boxes, other.boxes, strict=True))
        scores = distance([one.scores], [other.scores])
        confidences = distance(one.confidences, other.confidences) if same else math.inf
        heat = distance([one.heat_map.values], [other.heat_map.values])
        cells = (f"{x:.1e}" for x in (scores, confidences, heat))
        rows.append([method.name, *cells, "equal" if same else "differ"])
        is_near = scores <= min(DETECTOR_TOLERANCE, of_range)
        n_apart += not (is_near and max(confidences, heat) <= of_range)
    return rows, n_apart


@contextmanager
def functions_of(device: torch.device) -> Iterator[None]:
    """Where the CPU stands for a GPU: the tensor functions that a GPU takes, and no OpenCV."""
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()) if device.type == "cpu" else ():
            if name.startswith("nacd_bench.") and hasattr(module, "on_cpu"):
                stack.enter_context(patch.object(module, "on_cpu", lambda x: False))
        yield


def distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """The largest difference between tensors on two devices."""
    pairs = zip(first, second, strict=True)
    return max((float((a.cpu() - b.cpu()).abs().max()) for a, b in pairs if len(a)), default=0.0)


def dense_maps() -> dict[str, Callable[[TripletBatch], Any]]:
    """What the three detectors make of a batch before anything of it is looked at."""
    return {
        "texture": Texture().heat_map,
        "large_color": LargeColor().heat_map,
        "small_color": SmallColor().maps,
    }


def waiting(device: torch.device) -> list[str]:
    """The maps and metrics that wait for a GPU, and where."""
    if device.type != "cuda":
        return []
    maps = dense_maps() | {n: BASELINES.get(n)().to(device) for n in PAPER if n not in WAITING}
    images, found = [picture(400, 600, seed) for seed in range(2)], []
    for name, make in maps.items():
        with torch.inference_mode():
            make(batch_of(images, device))  # libraries and tables are loaded once
            batch = batch_of(images, device)
            torch.cuda.synchronize(device)
            torch.cuda.set_sync_debug_mode("error")
            try:
                make(batch)
            except RuntimeError as error:
                found.append(f"{name} waits: {str(error).splitlines()[0]}")
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return found


def throughput(
    device: torch.device, sizes: Sequence[float], batches: Sequence[int], runs: int
) -> Iterator[list[str]]:
    """Rows by size and batch."""
    speed = copy_speed(device)
    for size in sizes:
        height = round((size * 1e6 / 1.5) ** 0.5)
        images = picture(height, round(height * 1.5), 0)
        megapixels = images[0].shape[0] * images[0].shape[1] / 1e6
        files = [png(image) for image in images]
        per_megapixel = traffic(images) / megapixels
        for count in batches:
            row = [f"{size:g}", f"{count}"]
            try:
                yield row + measured(device, images, files, count, runs, per_megapixel / speed)
            except torch.cuda.OutOfMemoryError:
                yield [*row, "does not fit", "-", "-", "-"]


def measured(
    device: torch.device,
    images: Sequence[np.ndarray],
    files: Sequence[bytes],
    count: int,
    runs: int,
    least: float,
) -> list[str]:
    """Cells of one size and batch; ``least`` seconds per megapixel is what a copy would take."""
    maps, is_cuda = dense_maps(), device.type == "cuda"
    total = count * images[0].shape[0] * images[0].shape[1] / 1e6
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)

    def once(batch: TripletBatch) -> None:
        fresh = TripletBatch(batch.original, batch.neural, batch.traditional)
        for make in maps.values():
            make(fresh)
        if is_cuda:
            torch.cuda.synchronize(device)

    def decoded(_: object) -> list[np.ndarray]:
        return [pixels(file) for file in files]

    def from_files() -> None:
        waiting: list[list[np.ndarray]] = []
        for triplet in ahead(decoded, repeat(0, 2 * count), cores(), count):
            waiting.append(triplet)
            if len(waiting) == count:
                once(batch_of(waiting, device))
                waiting = []

    def on_device() -> float:
        batch = batch_of([images] * count, device)
        once(batch)
        return statistics.median(timed(lambda: once(batch)) for _ in range(runs))

    with torch.inference_mode():
        seconds = on_device()
        whole = timed(from_files) / 2
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if is_cuda else None
    return [
        f"{total / seconds:.1f}",
        f"{least * total / seconds:.0%}" if is_cuda else "-",
        f"{total / whole:.1f}",
        "-" if memory is None else f"{memory:.1f}",
    ]


def traffic(images: Sequence[np.ndarray]) -> float:
    """Bytes that the operations of the maps of one triplet read and write on a GPU."""
    with torch.inference_mode(), Traffic() as counted:
        batch = batch_of([images], torch.device("meta"))
        for make in dense_maps().values():
            make(batch)
    return counted.total


def copy_speed(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.zeros(1 << (28 if device.type == "cuda" else 24), dtype=torch.uint8)
    source = source.to(device)
    target = torch.empty_like(source)

    def copied() -> None:
        for _ in range(10):
            target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copied()
    return 20 * len(source) / min(timed(copied) for _ in range(3))


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
