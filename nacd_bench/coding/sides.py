"""The codecs of a run and the rates at which they are asked to code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nacd_bench.coding.codec import Codec
from nacd_bench.errors import DataError, UserError
from nacd_bench.registry import CODECS

NEURAL = "neural"
SCHEMES = ("neural", "target", "psnr")
TARGETS = (0.06, 0.12, 0.25, 0.5, 0.75)
"""Bits per pixel of JPEG AI's common test conditions."""
RAW_BPP = 24
"""Bits per pixel of an image that is not compressed, above which a target makes no sense."""
MOST_POINTS = 8
"""Operating points that are taken of a neural codec with more of them, unless told otherwise."""


@dataclass(frozen=True)
class CodecSpec:
    """A registered codec with its parameters, small enough to send to another process.

    Args:
        name: the name it is registered under.
        parameters: its keywords.
        label: what results call it, in place of the name that it has of itself.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None

    def build(self) -> Codec:
        """The codec; each process builds it once."""
        return _built(self.name, json.dumps(dict(self.parameters), sort_keys=True), self.label)


@cache
def _built(name: str, parameters: str, label: str | None) -> Codec:
    keywords = json.loads(parameters)
    make = CODECS.get(name)
    try:
        codec: Codec = make(**keywords)
    except TypeError as error:
        raise DataError(
            f"codec {name} does not take these parameters: {error}. "
            f"Given: {', '.join(keywords) or 'none'}."
        ) from error
    codec.name = label or codec.name
    return codec


def built(codec: CodecSpec | Codec | str) -> Codec:
    """The codec itself."""
    if isinstance(codec, str):
        return CodecSpec(codec).build()
    return codec.build() if isinstance(codec, CodecSpec) else codec


AnyCodec = CodecSpec | Codec | str
"""A registered name, a name with parameters, or a codec."""


@dataclass(frozen=True)
class Side:
    """One codec of a run.

    Args:
        label: ``"neural"`` or the name of a traditional codec.
        source: what is sent to other processes.
        identity: name, version, parameters.
        follows: the side whose results set its targets; None for one that goes ahead.
        rate_factor: rate asked for, as a multiple of the rate that it follows.
    """

    label: str
    source: CodecSpec | Codec
    identity: Mapping[str, Any]
    follows: str | None = None
    rate_factor: float = 1.0

    @property
    def codec(self) -> Codec:
        """The codec itself; each process builds it once."""
        return built(self.source)


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
    unique = tuple(dict(steps).items())
    if not unique:
        raise UserError("expected at least one operating point or target rate, got none.")
    return unique


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
    return Side(label, source, identity, follows, rate_factor)


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
