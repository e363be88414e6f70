"""How many encodes matching a rate takes, and whether the nearest operating point is found.

    python benchmarks/rate_matching.py IMAGES [--codec x265] [--targets 0.06 0.12 ...] [--ladders 4]

Prints encodes per target with every target on its own and with all targets of an image in one go,
the miss of the rate, and on the first images a comparison with the full ladder of operating points.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from nacd_bench.coding.originals import list_images
from nacd_bench.coding.rate import Encodings, Match, Seen, match_rates
from nacd_bench.registry import CODECS
from nacd_bench.triplets.images import read_8_bit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images")
    parser.add_argument("--codec", default="x265")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.06, 0.12, 0.25, 0.5, 0.75])
    parser.add_argument("--ladders", type=int, default=4, help="images coded at every point")
    parser.add_argument("--tolerance", type=float, help="use the fine control beyond this miss")
    options = parser.parse_args()

    codec = CODECS.get(options.codec)()
    photos = {
        path.stem: read_8_bit(path)[0]
        for path in list_images(options.images, files_only=True).paths
    }
    print(f"{codec.name}: {codec.version()}; {len(photos)} images, targets {options.targets} bpp")

    alone: list[Seen] = []
    together: list[Seen] = []
    single: dict[str, list[Match]] = {}
    one_go: dict[str, list[Match]] = {}

    def matched(name: str, targets: list[float], earlier: list[Seen]) -> list[Match]:
        encodings = Encodings(codec, photos[name])
        tolerance = options.tolerance
        matches = match_rates(encodings, targets, tolerance=tolerance, earlier=earlier)
        earlier.append(encodings.seen("bpp"))
        return matches

    start = time.perf_counter()
    for name in photos:
        single[name] = [matched(name, [target], alone)[0] for target in options.targets]
    middle = time.perf_counter()
    for name in photos:
        one_go[name] = matched(name, options.targets, together)
    report("each target on its own", single, middle - start)
    report("all targets of an image in one go", one_go, time.perf_counter() - middle)
    same = sum(
        a.point == b.point for n in photos for a, b in zip(single[n], one_go[n], strict=True)
    )
    print(f"same operating point both ways: {same} of {len(photos) * len(options.targets)}")

    nearest = 0
    checked = list(photos)[: options.ladders]
    for name in checked:
        full = Encodings(codec, photos[name])
        bpp = np.array([full.quantity("bpp", index) for index in range(len(codec.points.values))])
        for match in single[name]:
            best = codec.points.values[int(np.argmin(np.abs(bpp / match.target - 1)))]
            nearest += best == match.point
    print(
        f"nearest point of the full ladder: {nearest} of {len(checked) * len(options.targets)} "
        f"({', '.join(checked)})"
    )


def report(how: str, found: dict[str, list[Match]], seconds: float) -> None:
    matches = [match for each in found.values() for match in each]
    encodes = np.array([match.encodes for match in matches])
    within = [abs(match.miss) for match in matches if not match.out_of_range]
    print(
        f"{how}: {encodes.sum() / len(matches):.3f} encodes per target, at most {encodes.max()}; "
        f"miss {np.mean(within):.1%} on average, at most {np.max(within):.1%}; "
        f"{sum(match.out_of_range for match in matches)} out of range; {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
