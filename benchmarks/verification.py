"""How often ``verify import`` warns of votes that mean nothing, and of votes that do.

Raters are simulated: at random with a rate of *same*, or right in a share of the candidates. Each
run is a set of candidates of some photographs, of which a share are artifacts; the others look the
same on both sides.

    python benchmarks/verification.py runs=200
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nacd_bench.evaluation.agreement import NEURAL, SAME, TRADITIONAL
from nacd_bench.jobs.verify.results import concluded

SIZES = ((5, 4), (10, 4), (30, 4), (100, 1))
"""Photographs, and candidates of each."""
RATERS = 3
AT_RANDOM = (0.0, 1 / 3, 0.8)
"""Rates of *same*."""
RIGHT = 0.8
ARTIFACTS = (0.5, 1.0)
"""Share of candidates that are artifacts, for raters who are right in :data:`RIGHT` of them."""


def main(runs: int = 200) -> None:
    """Print, for each kind of raters, rule and size, the share of runs with a warning."""
    kinds: list[dict[str, float]] = [{"same": rate} for rate in AT_RANDOM]
    kinds += [{"right": RIGHT, "artifacts": share} for share in ARTIFACTS]
    print("| raters | rule |", *(f"{a} x {b} |" for a, b in SIZES))
    print("| --- | --- |", *("--- |" for _ in SIZES))
    for kind in kinds:
        for rule in ("majority", "any", "unanimous"):
            shares = [
                np.mean([is_warned(size, rule, seed, **kind) for seed in range(runs)])
                for size in SIZES
            ]
            words = ", ".join(f"{name} {value:.2g}" for name, value in kind.items())
            print(f"| {words} | {rule} |", *(f"{share:.3f} |" for share in shares), flush=True)


def is_warned(
    size: tuple[int, int],
    rule: Any,
    seed: int,
    same: float | None = None,
    right: float = 0.0,
    artifacts: float = 0.0,
) -> bool:
    """Whether simulated votes are warned of."""
    rng = np.random.default_rng(seed)
    photographs, each = size
    rows, answers, sides = [], {}, {}
    for number in range(photographs * each):
        name = f"c{number}"
        kind = "texture" if number % 2 else "color"
        rows.append({"candidate": name, "artifact_type": kind, "image": f"{number // each}"})
        sides[name] = "AB"[rng.integers(2)]
        truth = NEURAL if rng.random() < artifacts else SAME
        others = [answer for answer in (NEURAL, TRADITIONAL, SAME) if answer != truth]
        answers[name] = {}
        for rater in range(RATERS):
            if same is not None:
                answer = SAME if rng.random() < same else (NEURAL, TRADITIONAL)[rng.integers(2)]
            else:
                answer = truth if rng.random() < right else others[rng.integers(2)]
            answers[name][f"r{rater}"] = answer
    return bool(concluded(rows, answers, sides, rule, RATERS)[1]["warnings"])


if __name__ == "__main__":
    main(*(int(argument.removeprefix("runs=")) for argument in sys.argv[1:]))
