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

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.matched import Ask, CodecSpec, Photo, built
from nacd_bench.coding.originals import find_images
from nacd_bench.errors import UserError
from nacd_bench.registry import unknown
from nacd_bench.triplets.files import json_sha256

NEURAL = "neural"
METRICS = 2
"""Changes whenever PSNR and MS-SSIM do: results that are there have the old ones."""
SCHEMES = ("neural", "target", "psnr")
TARGETS = (0.06, 0.12, 0.25, 0.5, 0.75)
"""Bits per pixel of JPEG AI's common test conditions."""
RAW_BPP = 24
"""Bits per pixel of an image that is not compressed, above which a target makes no sense."""
MOST_POINTS = 8
"""Operating points that are taken of a neural codec with more of them, unless told otherwise."""

AnyCodec = CodecSpec | Codec | str
"""A registered name, a name with parameters, or a codec."""


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
class Side:
    """One codec of a run.

    Args:
        label: ``"neural"`` or the name of a traditional codec.
        source: what is sent to other processes.
        codec: the codec itself.
        identity: name, version, parameters.
        follows: the side whose results set its targets; None for one that goes ahead.
        rate_factor: see :class:`Follower`.
    """

    label: str
    source: CodecSpec | Codec
    codec: Codec
    identity: Mapping[str, Any]
    follows: str | None = None
    rate_factor: float = 1.0


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
    found = find_images(images, folder)
    return Plan(tuple(found.paths), tuple(sides), scheme, steps, tolerance, found.left_out)


def target_steps(targets: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Names and bits per pixel of target rates, each once."""
    for target in targets:
        require_number("targets", target, above=0, most=RAW_BPP)
    return _each_once((f"bpp-{value:g}", float(value)) for value in targets)


def point_steps(codec: Codec, points: Sequence[float] | None) -> tuple[tuple[str, float], ...]:
    """Names and values of operating points, each once; all of a codec's, or eight, for None."""
    chosen = points if points is not None else _spread(codec.points.values, MOST_POINTS)
    for point in chosen:
        require_number("points", point)
        codec.require_point(point)
    return _each_once((f"{codec.points.name}-{value:g}", float(value)) for value in chosen)


def _each_once(steps: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    found = tuple(dict(steps).items())
    if not found:
        raise UserError("expected at least one operating point or target rate, got none.")
    return found


def make_side(
    label: str,
    given: AnyCodec,
    follows: str | None = None,
    rate_factor: float = 1.0,
) -> Side:
    """One codec of a run, built, so that a missing one is known now."""
    source = CodecSpec(given) if isinstance(given, str) else given
    codec = built(source)
    identity = {
        "name": codec.name,
        "version": codec.version(),
        "parameters": json.loads(json.dumps(dict(codec.parameters), default=str)),
    }
    return Side(label, source, codec, identity, follows, rate_factor)


def _spread(values: Sequence[float], most: int) -> list[float]:
    """At most ``most`` of the values, evenly spread, the ends included.

    >>> _spread(range(101), 5)
    [0, 25, 50, 75, 100]
    """
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def require_number(
    name: str, value: object, above: float = -math.inf, most: float = math.inf
) -> None:
    """:class:`UserError` where a setting is no finite number, or not within its range.

    >>> require_number("targets", 0.25, above=0, most=24)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and above < value <= most and math.isfinite(value):  # type: ignore[operator,arg-type]
        return
    within = [f"above {above:g}"] if above > -math.inf else []
    within += [f"at most {most:g}"] if most < math.inf else []
    wanted = " ".join(["a number", " and ".join(within)]).strip()
    raise UserError(f"expected {name} to be {wanted}, got {value!r}.")


def codec_from_config(config: object) -> tuple[CodecSpec, float]:
    """A codec and its rate factor from a dictionary with its name and parameters."""
    if not isinstance(config, Mapping) or "name" not in config:
        raise UserError(
            f"expected a codec such as {{name: hm}}, got {config!r}. On the command line: "
            "codec@neural=hm or codec@traditional=hm."
        )
    parameters = dict(config)
    factor = parameters.pop("rate_factor", 1.0)
    name, label = parameters.pop("name"), parameters.pop("label", None)
    return CodecSpec(name, parameters, label), factor
