"""``nacd-bench compress``: from images to triplets at a comparable rate.

Three schemes say which rates the two sides get:

``neural``
    the neural codec runs at its operating points, the traditional one follows its rate times
    ``rate_factor`` (1.2 for HM, 1.0 for VTM in section 4.1 of the paper);
``target``
    the neural codec takes its operating point nearest to each target in bits per pixel, the
    traditional one follows the rate that it got;
``psnr``
    as ``neural``, but the traditional codec follows the luma PSNR.

A traditional codec can follow another one in place of the neural codec: the paper's chain is VTM at
the neural rate and HM at 1.2 times VTM's.

A run that was killed, at whatever moment, goes on where it was::

    compressed = compress("photos/", neural="compressai", traditional="x265", folder="run")

The run's folder::

    settings.json       what was run: codecs, versions, parameters, scheme
    triplets.parquet    the manifest, one row per triplet; triplets.csv is the same
    failures.csv        what failed, with its message
    summary.json        counts, what is odd about images, duplicates
    rate_distortion.*   table, figure and BD-rates
    bitstreams/         neural/quality-3/kodim01.bin, x265/quality-3/kodim01.bin, ...
    decoded/            the same as PNG
    decode_check.csv    with check=decode: what a second decode gives
    journal.jsonl       what is done
    encodes/            while it runs: long encodes of what is not done
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.matched import MEASURES, describe
from nacd_bench.coding.originals import list_images
from nacd_bench.coding.sides import (
    NEURAL,
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    TargetRate,
    built,
    codec_of,
    factor_of,
    rate_steps,
)
from nacd_bench.errors import DataError
from nacd_bench.evaluation.rate_distortion import bd_rates, curves, figure, left_out
from nacd_bench.pipeline.coding import PILOTS, CodedImages, code_sides, triplet_sides
from nacd_bench.pipeline.forecast import SAMPLE, forecast
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.workers import Workers, cores, finished_jobs
from nacd_bench.runs.folder import Journal, journal_schema
from nacd_bench.runs.schema import JOURNAL, SUMMARY
from nacd_bench.runs.tables import Table, write_csv
from nacd_bench.settings import Count, Name, Names, Positive, Share, checked
from nacd_bench.triplets.files import json_bytes, write_whole
from nacd_bench.triplets.images import read_8_bit

COLUMNS = (
    *("image", "side", "preset", "condition"),
    *("pixels", "share", "max_difference", "x", "y", "error"),
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries read when a process starts."""
CONDITIONS = {1: "1 thread", 2: "2 threads"}


Stream = tuple[Path, dict[str, Any], Mapping[str, Any], CodecSpec | Codec]
"""A bitstream of a run: the run's folder, the row of the table without what the decode gives, what
is known of the result, and the codec that decodes it."""


@checked
def compress(
    images: Names,
    neural: AnyCodec,
    traditional: AnyCodec,
    folder: Name,
    *,
    scheme: Literal["neural", "target", "psnr"] = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[TargetRate] = TARGETS,
    rate_factor: Positive | None = None,
    then: Sequence[AnyCodec] = (),
    tolerance: Positive | None = None,
    workers: Count | None = None,
    failure_limit: Share = 0.2,
    check: Literal["decode"] | None = None,
    show_progress: bool = True,
    pilots: Count = PILOTS,
) -> CodedImages:
    """Code images with a neural codec and traditional ones at a comparable rate.

    Args:
        images: a folder, a file, a text file of paths, a pattern, or a list of these.
        neural: the codec under test: a registered name, a
            :class:`~nacd_bench.coding.sides.CodecSpec` or a codec object.
        traditional: the codec to compare with, perhaps with what it is called.
        folder: where results go; one that holds an unfinished run is continued.
        scheme: ``"neural"``, ``"target"`` or ``"psnr"``, see :mod:`nacd_bench.jobs.compress.run`.
        points: operating points of the neural codec; all of them by default, and at most eight,
            evenly spread, of a codec with more.
        targets: bits per pixel for the scheme ``target``.
        rate_factor: rate of the traditional codec as a multiple of the neural one's; the codec's
            own by default, 1 with the scheme ``target``.
        then: more traditional codecs, each perhaps with another one before it that it follows.
        tolerance: miss of the rate that is marked, 10 % by default, and beyond which a codec's
            fine control is used, only where it is given.
        workers: processes; the number of cores by default, 0 for none but this one.
        failure_limit: share of images that may fail before the run stops.
        check: ``"decode"`` decodes every bitstream again, in a fresh process.
        show_progress: a progress bar with the time left.
        pilots: images that come first and teach the rate search.

    Raises:
        CodecError: too many images fail, or a codec cannot be used at all.
        DataError: no images, a folder in use, a full disk.
    """
    sides = triplet_sides(neural, [traditional, *then], factor_of(scheme, rate_factor))
    coded = code_sides(
        images,
        sides,
        rate_steps(sides[0].codec, points, targets if scheme == "target" else None),
        folder,
        kinds=("bpp" if scheme == "target" else "point", "psnr" if scheme == "psnr" else "bpp"),
        settings={"scheme": scheme},
        tolerance=tolerance,
        workers=workers,
        failure_limit=failure_limit,
        show_progress=show_progress,
        measures=tuple(MEASURES),
        pilots=pilots,
    )
    if check:
        count = cores() if workers is None else workers
        coded.decoded_again = decoded_again(coded, count, show_progress)
        write_csv(coded.folder / "decode_check.csv", coded.decoded_again, COLUMNS)
    _write_curves(coded)
    faults = sum(map(is_fault, coded.decoded_again))
    summary = {
        "images": coded.images,
        "left_out": coded.left_out,
        "notes": coded.notes,
        "duplicates": coded.duplicates,
        "not_averaged": coded.not_averaged,
        "unqualified": {
            f"{rate['traditional']} {rate['quality']}": rate["unqualified"]
            for rate in coded.bd_rates
            if rate["unqualified"]
        },
        "failures": len(coded.failures),
        "seconds": {stage: round(seconds, 1) for stage, seconds in coded.seconds.items()},
        "decode_check": {"decodes": len(coded.decoded_again), "faults": faults} if check else None,
    }
    write_whole(coded.folder / SUMMARY, json_bytes(summary))
    return coded


def _write_curves(coded: CodedImages) -> None:
    """Tables and figures of rate against distortion."""
    rows = coded.rows
    coded.curves, coded.bd_rates, coded.not_averaged = curves(rows), bd_rates(rows), left_out(rows)
    for name, values in (("rate_distortion", coded.curves), ("bd_rate", coded.bd_rates)):
        cells = [{key: cell for key, cell in row.items() if key != "unqualified"} for row in values]
        write_csv(coded.folder / f"{name}.csv", cells, list(cells[0] if cells else ()))
    for kind in ("svg", "png") if coded.curves else ():
        write_whole(coded.folder / f"rate_distortion.{kind}", figure(coded.curves, kind))


def plan(arguments: Mapping[str, Any], began: float, sample: int = SAMPLE) -> tuple[Table, str]:
    """What :func:`compress` would take with these arguments; nothing of it stays on the disk.

    Args:
        arguments: of :func:`compress`; ``check`` is not in the forecast.
        began: when the command did, by :func:`time.perf_counter`: starting up is counted.
        sample: images to measure.
    """
    items = list_images(arguments["images"], Path(arguments["folder"]), files_only=True).items
    sides = {NEURAL: codec_of(arguments["neural"])}
    for codec in map(codec_of, (arguments["traditional"], *arguments["then"])):
        sides[built(codec).name] = codec

    def job(scratch: Path, every: int, pilots: int) -> list[dict[str, Any]]:
        images = [item.path for item in items[::every]]
        here = {"images": images, "folder": str(scratch), "failure_limit": 1.0, "check": None}
        compress(**{**arguments, **here, "pilots": pilots})
        return list(Journal(scratch / JOURNAL, journal_schema("compress")))

    on_device = [label for label, codec in sides.items() if built(codec).in_main_process]
    return forecast(job, len(items), arguments["workers"], on_device, began, sample, PILOTS)


# --- check=decode
#
# Every bitstream is decoded once more, as its receiver would decode it. A neural codec whose
# entropy model follows from floating-point sums reads its own bitstreams only where they are summed
# in the same order. So they are decoded in a fresh process that never encoded anything, with
# another number of threads, and on the other device where there is one.


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
        streams: list[Stream] = []
        for work, side in product(coded.works, coded.sides):
            codec = on_other_device(side) if other_device else side.source
            if codec is None or side.codec.rate_is_estimated:
                continue
            condition = codec.parameters["device"] if other_device else CONDITIONS[threads]
            for preset, result in work.coded.get(side.label, {}).items():
                names = (work.name, side.label, preset, condition)
                row = dict.fromkeys(COLUMNS, "") | dict(zip(COLUMNS, names, strict=False))
                streams.append((coded.folder, row, result, codec))
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
    folder, row, result, codec = stream
    try:
        expected, _ = read_8_bit(folder / result["decoded"])
        decoded = built(codec).decode((folder / result["bitstream"]).read_bytes())
        if decoded.shape != expected.shape:
            raise DataError(f"expected a picture {expected.shape}, got {decoded.shape}.")
    except Exception as error:  # of whatever kind: a codec is somebody else's code
        return row | {"error": describe(error)}
    distance = np.abs(decoded.astype(np.int16) - expected).max(axis=2)
    differs = distance > 0
    row = row | {"pixels": int(differs.sum()), "share": float(differs.mean())}
    if differs.any():
        y, x = map(int, np.unravel_index(differs.argmax(), differs.shape))
        row |= {"max_difference": int(distance.max()), "x": x, "y": y}
    return row


def _died(stream: Stream) -> dict[str, Any]:
    return stream[1] | {"error": "the process that decoded it died (crash or out of memory)."}


def _decoded(
    streams: list[Stream], threads: int, processes: int, show_progress: bool
) -> list[dict[str, Any]]:
    """The rows of bitstreams that are decoded in other processes, in their order."""
    rows: dict[int, dict[str, Any]] = {}
    waiting = []
    for stream in streams:
        try:
            pickle.dumps(stream[3])
            waiting.append(stream)
        except Exception as error:
            rows[id(stream)] = stream[1] | {"error": f"not for another process: {error}"}
    with (
        _threads_of_children(threads),
        Workers(processes, difference, _died, threads, get_context("spawn")) as pool,
        progress_bar("decoded again", len(streams), show_progress) as progress,
    ):
        for stream, row in finished_jobs(pool, waiting):
            rows[id(stream)] = row
            progress(sum(map(is_fault, rows.values())))
    return [rows[id(stream)] for stream in streams]


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
    before = {name: os.environ[name] for name in THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ.update(before)
