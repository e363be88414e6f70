"""``compress check=decode``: every bitstream decoded once more, as its receiver would decode it.

A neural codec whose entropy model follows from floating-point sums reads its own bitstreams only
where they are summed in the same order. So they are decoded in a fresh process that never encoded
anything, with another number of threads, and on the other device where there is one.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.matched import describe
from nacd_bench.coding.sides import CodecSpec, Side, built
from nacd_bench.errors import DataError
from nacd_bench.pipeline.coding import CodedImages
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import Workers, finished_jobs
from nacd_bench.triplets.images import read_8_bit

COLUMNS = (
    *("image", "side", "preset", "condition"),
    *("pixels", "share", "max_difference", "x", "y", "error"),
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries read when a process starts."""


CONDITIONS = {1: "1 thread", 2: "2 threads"}


@dataclass(frozen=True)
class Stream:
    """A bitstream of a run, and what it is decoded with.

    Args:
        folder: the run's folder.
        names: image, side and rate step.
        result: what is known of it.
        codec: what decodes it.
        condition: what is different from the run, in words.
    """

    folder: Path
    names: Mapping[str, str]
    result: Mapping[str, Any]
    codec: CodecSpec | Codec
    condition: str

    def row(self, **values: Any) -> dict[str, Any]:
        """A row of the table."""
        return {**dict.fromkeys(COLUMNS, ""), **self.names, "condition": self.condition, **values}


def decoded_again(coded: CodedImages, workers: int, show_progress: bool) -> list[dict[str, Any]]:
    """Decode the bitstreams of a run again; a row for each and each condition.

    Args:
        coded: what the run left; a codec whose rate is estimated has no bitstreams.
        workers: processes of the run; 0 for none but this one.
        show_progress: a progress bar.
    """
    rows = []
    here = [not workers or side.codec.in_main_process for side in coded.sides]
    used = max(torch.get_num_threads() if any(here) else 1, 1)
    for threads, other_device in ((2 if used == 1 else 1, False), (used, True)):
        streams = []
        for work, side in product(coded.works, coded.sides):
            codec = on_other_device(side) if other_device else side.source
            if codec is None or side.codec.rate_is_estimated:
                continue
            condition = codec.parameters["device"] if other_device else CONDITIONS[threads]
            for preset, result in work.coded.get(side.label, {}).items():
                names = {"image": work.name, "side": side.label, "preset": preset}
                streams.append(Stream(coded.folder, names, result, codec, condition))
        if streams:
            rows += _decoded(streams, threads, 1 if any(here) else workers, show_progress)
    return rows


def on_other_device(side: Side) -> CodecSpec | None:
    """The codec on the GPU where it ran on the CPU, and the other way round; None for neither."""
    device = side.codec.parameters.get("device")
    if not (isinstance(side.source, CodecSpec) and device and torch.cuda.is_available()):
        return None
    other = "cuda" if device == "cpu" else "cpu"
    return replace(side.source, parameters={**side.source.parameters, "device": other})


def difference(stream: Stream) -> dict[str, Any]:
    """Decode a bitstream and compare it with the picture of the run."""
    try:
        expected, _ = read_8_bit(stream.folder / stream.result["decoded"])
        data = (stream.folder / stream.result["bitstream"]).read_bytes()
        decoded = built(stream.codec).decode(data)
        if decoded.shape != expected.shape:
            raise DataError(f"expected a picture {expected.shape}, got {decoded.shape}.")
    except Exception as error:  # of whatever kind: a codec is somebody else's code
        return stream.row(error=describe(error))
    distance = np.abs(decoded.astype(np.int16) - expected).max(axis=2)
    differs = distance > 0
    row = {"pixels": int(differs.sum()), "share": float(differs.mean())}
    if differs.any():
        y, x = map(int, np.unravel_index(differs.argmax(), differs.shape))
        row |= {"max_difference": int(distance.max()), "x": x, "y": y}
    return stream.row(**row)


def _died(stream: Stream) -> dict[str, Any]:
    return stream.row(error="the process that decoded it died (crash or out of memory).")


def _decoded(
    streams: list[Stream], threads: int, processes: int, show_progress: bool
) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    places = {id(stream): place for place, stream in enumerate(streams)}
    waiting = []
    for stream in streams:
        try:
            pickle.dumps(stream.codec)
            waiting.append(stream)
        except Exception as error:
            rows[places[id(stream)]] = stream.row(error=f"not for another process: {error}")
    context = multiprocessing.get_context("spawn")
    with (
        _threads_of_children(threads),
        Workers(processes, difference, _died, threads, context) as pool,
        progress_bar("decoded again", len(streams), show_progress) as progress,
    ):
        for stream, row in finished_jobs(pool, waiting):
            rows[places[id(stream)]] = row
            progress(sum(map(is_fault, rows.values())))
    return [rows[place] for place in sorted(rows)]


def is_fault(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a bitstream that was not decoded to the same picture."""
    return bool(row["error"] or row["pixels"])


def in_words(row: Mapping[str, Any]) -> str:
    """A fault as a line."""
    reason = row["error"] or (
        f"{row['pixels']} pixels differ ({row['share']:.2%}), by up to {row['max_difference']}, "
        f"first at ({row['x']}, {row['y']})"
    )
    return f"{row['image']}: {row['side']} {row['preset']}, {row['condition']}: {reason}"


@contextmanager
def _threads_of_children(count: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
