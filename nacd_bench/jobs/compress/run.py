"""``nacd-bench compress``: from images to triplets at a comparable rate.

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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nacd_bench.coding.curves import bd_rates, curves, figure
from nacd_bench.coding.sides import TARGETS, AnyCodec, TargetRate
from nacd_bench.errors import Failure
from nacd_bench.jobs.compress.decode_check import COLUMNS, decoded_again, is_fault
from nacd_bench.pipeline.coding import CodedImages, Follower, code_triplets
from nacd_bench.pipeline.workers import cores
from nacd_bench.runs.schema import SUMMARY
from nacd_bench.runs.tables import write_csv
from nacd_bench.settings import Count, Name, Names, Positive, Share, checked
from nacd_bench.triplets.files import json_bytes, write_whole


@dataclass(frozen=True)
class Compressed:
    """What a run left in its folder.

    Args:
        coded: images, results, failures.
        rows: one dictionary per triplet, as in the manifest.
        curves: rows of :func:`~nacd_bench.coding.curves.curves`.
        bd_rates: rows of :func:`~nacd_bench.coding.curves.bd_rates`.
        decoded_again: what a second decode of each bitstream gave, with ``check="decode"``.
    """

    coded: CodedImages
    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    bd_rates: list[dict[str, Any]]
    decoded_again: list[dict[str, Any]]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.coded.folder

    @property
    def failures(self) -> list[Failure]:
        """What failed; empty when all is well."""
        return self.coded.failures

    @property
    def encodes(self) -> int:
        """Encodes that this run's results needed; 0 when everything was there."""
        return self.coded.encodes


@checked
def compress(
    images: Names,
    neural: AnyCodec,
    traditional: AnyCodec | Follower,
    folder: Name,
    *,
    scheme: Literal["neural", "target", "psnr"] = "neural",
    points: Sequence[float] | None = None,
    targets: Sequence[TargetRate] = TARGETS,
    rate_factor: Positive | None = None,
    then: Sequence[Follower] = (),
    tolerance: Positive | None = None,
    workers: Count | None = None,
    failure_limit: Share = 0.2,
    check: Literal["decode"] | None = None,
    show_progress: bool = True,
) -> Compressed:
    """Code images with a neural codec and traditional ones at a comparable rate.

    Args:
        images: a folder, a file, a text file of paths, a pattern, or a list of these.
        neural: the codec under test: a registered name, a
            :class:`~nacd_bench.coding.sides.CodecSpec` or a codec object.
        traditional: the codec to compare with, perhaps with what it is called.
        folder: where results go; one that holds an unfinished run is continued.
        scheme: ``"neural"``, ``"target"`` or ``"psnr"``, see :mod:`nacd_bench.pipeline.coding`.
        points: operating points of the neural codec; all of them by default, and at most eight,
            evenly spread, of a codec with more.
        targets: bits per pixel for the scheme ``target``.
        rate_factor: rate of the traditional codec as a multiple of the neural one's; the codec's
            own by default.
        then: more traditional codecs, with what each of them follows.
        tolerance: miss of the rate beyond which a codec's fine control is used.
        workers: processes; the number of cores by default, 0 for none but this one.
        failure_limit: share of images that may fail before the run stops.
        check: ``"decode"`` decodes every bitstream again, in a fresh process.
        show_progress: a progress bar with the time left.

    Raises:
        CodecError: too many images fail, or a codec cannot be used at all.
        DataError: no images, a folder in use, a full disk.
    """
    coded = code_triplets(
        images,
        neural,
        traditional,
        folder,
        scheme=scheme,
        points=points,
        targets=targets,
        rate_factor=rate_factor,
        then=then,
        tolerance=tolerance,
        workers=workers,
        failure_limit=failure_limit,
        show_progress=show_progress,
    )
    rows, checked = coded.rows, []
    if check:
        count = cores() if workers is None else workers
        checked = decoded_again(coded, count, show_progress)
        write_csv(coded.folder / "decode_check.csv", checked, COLUMNS)
    by_codec, saved = curves(rows), bd_rates(rows)
    for name, values in (("rate_distortion", by_codec), ("bd_rate", saved)):
        write_csv(coded.folder / f"{name}.csv", values, list(values[0] if values else ()))
    for kind in ("svg", "png") if rows else ():
        write_whole(coded.folder / f"rate_distortion.{kind}", figure(by_codec, kind))
    summary = {
        "images": coded.images,
        "left_out": coded.left_out,
        "notes": coded.notes,
        "duplicates": coded.duplicates,
        "failures": len(coded.failures),
        "decode_check": {"decodes": len(checked), "faults": sum(map(is_fault, checked))}
        if check
        else None,
    }
    write_whole(coded.folder / SUMMARY, json_bytes(summary))
    return Compressed(coded, rows, by_codec, saved, checked)
