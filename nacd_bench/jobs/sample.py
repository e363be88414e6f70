"""The embedded sample, ``data=embedded``: triplets without any data or network.

Photographs from installed wheels, coded on the spot: the learned codec that comes with nacd-bench
as the neural side, x265 intra at the same rate as the traditional one.
"""

from __future__ import annotations

from collections.abc import Sequence

from nacd_bench.coding.sides import TargetRate, rate_steps
from nacd_bench.errors import Failure
from nacd_bench.pipeline.coding import code_sides, triplet_sides
from nacd_bench.planting.photographs import COLOR_PHOTOS, TEXT_PHOTOS, photo_paths
from nacd_bench.settings import Name, checked
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.source import find_triplets

NEURAL = "hyperprior"
TRADITIONAL = "x265"
BPP = 0.25


@checked
def embedded_sample(
    folder: Name,
    photos: Sequence[str] = (*COLOR_PHOTOS, *TEXT_PHOTOS),
    neural: str = NEURAL,
    traditional: str = TRADITIONAL,
    bpp: TargetRate = BPP,
    show_progress: bool = True,
) -> tuple[list[TripletRecord], list[Failure]]:
    """Triplets of embedded photographs.

    Args:
        folder: where they are coded; finished ones are there the next time.
        photos: names from :data:`nacd_bench.triplets.embedded.PHOTOGRAPHS`.
        neural, traditional: registered codecs.
        bpp: rate of both, in bits per pixel.
        show_progress: a progress bar.
    """
    paths, missing = photo_paths(photos)
    sides = triplet_sides(neural, [traditional], rate_factor=1.0)
    coded = code_sides(
        paths,
        sides,
        rate_steps(sides[0].codec, None, [bpp]),
        folder,
        show_progress=show_progress,
    )
    records, problems = find_triplets(coded.manifest)
    return records, [*missing, *coded.failures, *problems]
