"""What a run of ``nacd-bench compress`` is to do: images, codecs, rates.

Three schemes say which rates the two sides get:

``neural``
    the neural codec runs at its operating points, the traditional one follows its rate times
    ``rate_factor`` (1.2 for HM, 1.0 for VTM in section 4.1 of the paper);
``target``
    both are matched to the same bits per pixel;
``psnr``
    as ``neural``, but the traditional codec follows the luma PSNR.

A traditional codec can follow another one in place of the neural codec: the paper's chain is VTM at
the neural rate and HM at 1.2 times VTM's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.coding.matched import Ask, Photo
from nacd_bench.coding.originals import list_images
from nacd_bench.coding.sides import (
    NEURAL,
    SCHEMES,
    AnyCodec,
    Side,
    built,
    make_side,
    point_steps,
    require_number,
    target_steps,
)
from nacd_bench.errors import UserError
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import json_sha256

METRICS = 2
"""Changes whenever PSNR and MS-SSIM do: results that are there have the old ones."""


@dataclass(frozen=True)
class Follower:
    """A traditional codec and what it follows.

    Args:
        codec: the codec.
        rate_factor: rate asked for, as a multiple of the rate that it follows.
        follows: ``"neural"`` or the label of another traditional codec.
        label: its name in the output; the codec's by default.
    """

    codec: AnyCodec
    rate_factor: float = 1.0
    follows: str = NEURAL
    label: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that fixes the results of a run.

    Args:
        paths: the images.
        sides: the neural codec, then the traditional ones, each after the one it follows.
        scheme: ``"neural"``, ``"target"`` or ``"psnr"``.
        steps: the rates: name and operating point or bits per pixel.
        tolerance: for fine controls, see :func:`nacd_bench.coding.rate.match_rate`.
        left_out: how many pictures of kinds that are not read lie there, by kind.
    """

    paths: tuple[Path, ...]
    sides: tuple[Side, ...]
    scheme: str
    steps: tuple[tuple[str, float], ...]
    tolerance: float | None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def pieces(self) -> int:
        """How many results there will be at most: images, times rates, times codecs."""
        return len(self.paths) * len(self.steps) * len(self.sides)

    @property
    def kind(self) -> str:
        """What followers are asked for."""
        return "psnr" if self.scheme == "psnr" else "bpp"

    def ask(self, side: Side, photo: Photo, preset: str, kind: str, value: float) -> Ask:
        """What is asked of a side, with the hash of everything that fixes the result."""
        fixed = [photo.sha256, side.identity, kind, value, METRICS]
        fixed += [self.tolerance] if kind == "bpp" else []
        return Ask(preset, kind, value, json_sha256(fixed)[:24])


def make_plan(
    images: str | Path | Iterable[str | Path],
    neural: AnyCodec,
    traditional: AnyCodec | Follower | Sequence[AnyCodec | Follower],
    scheme: str,
    points: Sequence[float] | None,
    targets: Sequence[float],
    tolerance: float | None,
    folder: Path | None = None,
) -> Plan:
    """What a run into ``folder`` is to do; every codec is built: a missing one is known now."""
    if scheme not in SCHEMES:
        raise UserError(unknown("scheme", str(scheme), list(SCHEMES)))
    if tolerance is not None:
        require_number("tolerance", tolerance, above=0)
    first = make_side(NEURAL, neural)
    several = isinstance(traditional, Sequence) and not isinstance(traditional, str)
    followers: list[Any] = list(traditional) if several else [traditional]  # type: ignore[arg-type]
    sides = [first]
    for item in followers:
        follower = item if isinstance(item, Follower) else Follower(item)
        codec = built(follower.codec)
        label = follower.label or codec.name
        known = [side.label for side in sides]
        if label in known:
            raise UserError(
                f"two codecs of the run are called '{label}'. Give each traditional codec a label."
            )
        if follower.follows not in known:
            raise UserError(
                f"{label} follows '{follower.follows}', which is not a codec before it: "
                f"{', '.join(known)}."
            )
        if Path(label).name != label or label.startswith("."):
            raise UserError(
                f"expected the label of a codec to do as the name of a folder, got '{label}'."
            )
        require_number("rate_factor", follower.rate_factor, above=0)
        follows = None if scheme == "target" else follower.follows
        sides.append(make_side(label, follower.codec, follows, follower.rate_factor))
    steps = target_steps(targets) if scheme == "target" else point_steps(first.codec, points)
    found = list_images(images, folder, files_only=True)
    return Plan(tuple(found.paths), tuple(sides), scheme, steps, tolerance, found.left_out)
