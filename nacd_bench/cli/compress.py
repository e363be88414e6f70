"""``nacd-bench compress``: images to triplets."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, listed_failures, listed_oddities
from nacd_bench.numbers import share


def run(**settings: Any) -> int:
    from nacd_bench.jobs.compress.decode_check import in_words, is_fault
    from nacd_bench.jobs.compress.run import compress
    from nacd_bench.runs.tables import Table

    done = compress(**settings)
    out = console()
    listed_oddities(out, done.coded.left_out, done.coded.notes)
    for twin, first in done.coded.duplicates.items():
        out.print(f"{twin}: left out, the same bytes as {first}", markup=False)
    rows = []
    for step in done.curves:
        numbers = share(step["bpp"], 4), f"{step['psnr']:.2f}", share(step["msssim"], 6)
        rows.append((step["codec"], step["preset"], *numbers, str(step["images"])))
    columns = ("codec", "step", "bpp", "PSNR of Y in dB", "MS-SSIM of Y", "images")
    out.print(Table(columns, rows).rich())
    for rate in done.bd_rates:
        if rate["images"]:
            out.print(
                "BD-rate by {quality} of {neural} against {traditional}: {percent:+.1f} % "
                "(mean of {images} images)".format(**rate),
                markup=False,
            )
    out.print(
        f"{len(done.rows)} triplets, {done.encodes} encodes. Manifest: {done.coded.manifest}. "
        f"Next: nacd-bench detect {done.folder}",
        markup=False,
    )
    faults = [in_words(row) for row in filter(is_fault, done.decoded_again)]
    if done.decoded_again:
        out.print(
            f"Decoded again in a fresh process: {len(done.decoded_again)} decodes, "
            f"{len(faults) or 'none'} with another picture.",
            markup=False,
        )
    status = listed_failures(out, faults, done.folder / "decode_check.csv")
    lines = [str(failure) for failure in done.failures]
    return max(status, listed_failures(out, lines, done.folder / "failures.csv"))
