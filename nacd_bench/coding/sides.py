"""The codecs of a run and the rates at which they are asked to code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from annotated_types import Gt, Le
from pydantic import BeforeValidator, Field

from nacd_bench.coding.codec import Codec
from nacd_bench.errors import DataError, UserError
from nacd_bench.registry import CODECS
from nacd_bench.settings import Positive, options

NEURAL = "neural"
TARGETS = (0.06, 0.12, 0.25, 0.5, 0.75)
"""Bits per pixel of JPEG AI's common test conditions."""
RAW_BPP = 24
"""Bits per pixel of an image that is not compressed, above which a target makes no sense."""
LARGEST_GAP = 0.1
"""Share by which a rate may miss what was asked for, where no tolerance is given: nearest in HEVC,
whose steps are 10 to 20 % of the rate, is seldom worse."""
MOST_POINTS = 8
"""Operating points that are taken of a neural codec with more of them, unless told otherwise."""


@options
class CodecSpec:
    """A registered codec with its parameters, small enough to send to another process.

    Args:
        name: the name it is registered under.
        parameters: its keywords.
        label: what results call it, in place of the name that it has of itself.
        rate_factor: rate that it is asked for, as a multiple of the rate that it follows.
        follows: ``"neural"`` or the label of another traditional codec.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    rate_factor: Positive = 1.0
    follows: str = NEURAL

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


def codec_of(given: Any) -> Any:
    """A codec's name and parameters, from a dictionary with all of them or from its name alone.

    >>> codec_of({"name": "hm", "chroma": 444, "rate_factor": 1.2})
    CodecSpec(name='hm', parameters={'chroma': 444}, label=None, rate_factor=1.2, follows='neural')
    """
    if isinstance(given, str):
        return CodecSpec(given)
    if not isinstance(given, Mapping):
        return given
    if "name" not in given:
        raise UserError(
            f"expected a codec such as {{name: hm}}, got {given!r}. On the command line: "
            "codec@neural=hm or codec@traditional=hm."
        )
    names = ("name", "label", "rate_factor", "follows")
    facts = {name: given[name] for name in names if name in given}
    return CodecSpec(parameters={k: v for k, v in given.items() if k not in facts}, **facts)


AnyCodec = Annotated[
    CodecSpec | Codec | str,
    BeforeValidator(codec_of),
    Field(description="a codec such as hm or {name: hm}"),
]
"""A registered name, a name with parameters, or a codec."""
TargetRate = Annotated[float, Gt(0), Le(RAW_BPP)]


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


def rate_steps(
    codec: Codec, points: Sequence[float] | None, targets: Sequence[float] | None = None
) -> tuple[tuple[str, float], ...]:
    """Names and values of target rates in bpp, or else of operating points, each once.

    Without either, all operating points of the codec, or eight of them, evenly spread.
    """
    name, values = ("bpp", targets) if targets is not None else (codec.points.name, points)
    if values is None:
        values, most = codec.points.values, MOST_POINTS
        if len(values) > most:
            values = [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
    if targets is None:
        for point in values:
            codec.require_point(point)
    if not values:
        raise UserError("expected at least one operating point or target rate, got none.")
    return tuple({f"{name}-{value:g}": float(value) for value in values}.items())


def factor_of(scheme: str, rate_factor: float | None) -> float | None:
    """The rate factor of the traditional codec; None for its own. At targets both have one rate."""
    return 1.0 if scheme == "target" and rate_factor is None else rate_factor


def make_side(
    label: str,
    given: AnyCodec,
    follows: str | None = None,
    rate_factor: float | None = None,
) -> Side:
    """One codec of a run, built, so that a missing one is an error now; the factor or its own."""
    source = CodecSpec(given) if isinstance(given, str) else given
    if rate_factor is None:
        rate_factor = source.rate_factor if isinstance(source, CodecSpec) else 1.0
    codec = built(source)
    identity = {
        "name": codec.name,
        "version": codec.version(),
        "parameters": json.loads(json.dumps(dict(codec.parameters), default=str)),
    }
    return Side(label, source, identity, follows, rate_factor)
