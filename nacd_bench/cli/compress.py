"""``nacd-bench compress``: images to triplets."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.printing import console, empty_table, listed_failures, listed_oddities
from nacd_bench.numbers import share


def run(**settings: Any) -> int:
    from nacd_bench.jobs.compress.decode_check import in_words, is_fault
    from nacd_bench.jobs.compress.run import compress

    done = compress(**settings)
    out = console()
    listed_oddities(out, done.coded.left_out, done.coded.notes)
    for twin, first in done.coded.duplicates.items():
        out.print(f"{twin}: left out, the same bytes as {first}", markup=False)
    table = empty_table("codec", "step", "bpp", "PSNR of Y in dB", "MS-SSIM of Y", "images")
    for curve in done.curves:
        steps = zip(curve.presets, curve.bpp, curve.psnr, curve.msssim, curve.images, strict=True)
        for preset, bpp, psnr, msssim, images in steps:
            table.add_row(
                curve.name, preset, share(bpp, 4), f"{psnr:.2f}", share(msssim, 6), str(images)
            )
    out.print(table)
    for rate in done.bd_rates:
        if rate.images:
            out.print(
                f"BD-rate by {rate.quality} of {rate.neural} against {rate.traditional}: "
                f"{rate.percent:+.1f} % (mean of {rate.images} images)",
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
