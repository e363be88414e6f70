"""How many encodes matching a rate takes, and whether the nearest operating point is found.

    python benchmarks/rate_matching.py
    python benchmarks/rate_matching.py IMAGES --codecs hm --targets 0.06 0.12 --ladders 2

Prints encodes per target with every target on its own and with all targets of an image in one go,
the miss of the rate, and on the first images a comparison with the full ladder of operating points.
Without images it takes photographs from installed packages, of half their size; a codec that is not
installed is a row that says so. No point of an image is encoded twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from rows import Row, table

from nacd_bench.coding.codec import Codec, Image
from nacd_bench.coding.originals import list_images
from nacd_bench.coding.rate import Encodings, Match, Seen, match_rates
from nacd_bench.errors import CodecError
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo
from nacd_bench.registry import CODECS
from nacd_bench.triplets.images import read_8_bit

TARGETS = (0.06, 0.12, 0.25, 0.5, 0.75)
CODED = ("jpeg", "x265", "avif", "hm")
LIMITS = {"one": 2.2, "all": 1.3}
"""Encodes per target that are wanted, with one target of an image and with five."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="?")
    parser.add_argument("--codecs", nargs="+", default=CODED)
    parser.add_argument("--targets", type=float, nargs="+", default=TARGETS)
    parser.add_argument("--ladders", type=int, default=2, help="images coded at every point")
    parser.add_argument("--tolerance", type=float, help="use the fine control beyond this miss")
    options = parser.parse_args()
    photos = (
        {
            path.stem: read_8_bit(path)[0]
            for path in list_images(options.images, files_only=True).paths
        }
        if options.images
        else None
    )
    rest = (options.codecs, options.targets, options.ladders, options.tolerance)
    print(table(measure(photos, *rest)))


def measure(
    photos: Mapping[str, Image] | None = None,
    codecs: Sequence[str] = CODED,
    targets: Sequence[float] = TARGETS,
    ladders: int = 2,
    tolerance: float | None = None,
) -> list[Row]:
    """Two rows per codec: targets on their own, and all targets of an image in one go."""
    photos = photos or {name: halved(photo(name)) for name in COLOR_PHOTOS}
    rows = []
    for name in codecs:
        try:
            codec = encoded_once(CODECS.get(name)())
        except CodecError as error:
            rows.append(Row(f"encodes per target, {name}", f"not measured: {error}"))
            continue
        alone = {target: matched(codec, photos, [target], tolerance) for target in targets}
        single = {name: [alone[target][name][0] for target in targets] for name in photos}
        together = matched(codec, photos, targets, tolerance)
        nearest = [
            point
            for name in list(photos)[:ladders]
            for point in nearest_points(codec, photos[name], targets)
        ]
        for how, matches in (("one", single), ("all", together)):
            every = [match for of_image in matches.values() for match in of_image]
            encodes = sum(match.encodes for match in every) / len(every)
            miss = np.mean([abs(match.miss) for match in every if not match.out_of_range])
            found = [match.point for name in list(photos)[:ladders] for match in matches[name]]
            n_nearest = sum(a == b for a, b in zip(found, nearest, strict=True))
            number = "one target" if how == "one" else f"{len(targets)} targets"
            what = f"encodes per target, {codec.name}, {number} an image, {len(photos)} images"
            share = f"nearest point in {n_nearest} of {len(nearest)}"
            figure = f"{encodes:.2f}; {share}, mean miss {miss:.1%}"
            rows.append(Row(what, figure, aim=f"{LIMITS[how]:g}"))
    return rows


def halved(image: Image) -> Image:
    """Means of 2 x 2 pixels: slow encoders are measured as well."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.asarray(blocks.mean((1, 3)).round().astype(np.uint8))


def encoded_once(codec: Codec) -> Codec:
    """A codec that keeps its bitstreams; every use of one counts as an encode all the same."""
    encode, images = codec.encode, dict[int, Image]()

    @cache
    def kept(place: int, point: float) -> bytes:
        return encode(images[place], point)

    def encode_once(image: Image, point: float) -> bytes:
        images[id(image)] = image
        return kept(id(image), point)

    changed: Any = codec
    changed.encode = encode_once
    return codec


def matched(
    codec: Codec, photos: Mapping[str, Image], targets: Sequence[float], tolerance: float | None
) -> dict[str, list[Match]]:
    """A run over the photos with some targets: earlier ones teach later ones."""
    earlier: list[Seen] = []
    matches = {}
    for name, pixels in photos.items():
        encodings = Encodings(codec, pixels)
        matches[name] = match_rates(encodings, targets, tolerance=tolerance, earlier=earlier)
        earlier.append(encodings.seen("bpp"))
    return matches


def nearest_points(codec: Codec, pixels: Image, targets: Sequence[float]) -> list[float]:
    """By the full ladder of operating points."""
    full = Encodings(codec, pixels)
    values = codec.points.values
    bpp = np.array([full.quantity("bpp", index) for index in range(len(values))])
    return [values[int(np.argmin(np.abs(bpp / target - 1)))] for target in targets]


if __name__ == "__main__":
    main()
