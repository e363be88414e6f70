"""The numbers of a severity detector: what they are, how they are read, what they say."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.errors import UserError
from nacd_bench.triplets.files import sha256

FORMAT = 3
"""Of the file; changes with the evidence that the numbers are for."""

WORST = 3.0
"""The largest severity."""
CLEAR = 1.5
"""The severity from which a side counts, and at which the line of calibration bends."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SeverityModel:
    """Weights >= 0 on logarithms of evidence.

    A tile's ``s = bias + sum(weights * log(1 + evidence / scale))`` becomes the severity
    ``s + bend * max(0, s - 1.5)``, cut to 0 to 3;
    the odds that a rater points at a place are ``exp(sum(place_weights * log(1 + evidence /
    place_scale)))``.

    Args:
        scale, weights: of the evidence of a tile, any shape, both alike.
        bias: severity of a tile without any fault, at most 0.
        bend: how much steeper severity grows from 1.5 on, at least -1.
        place_scale, place_weights: of the evidence of a place ``(K,)``.
        reach: how far, in the logarithm of the odds, a box goes down from its peak.
        card: what the numbers were fitted to, and how well they did; any JSON.
    """

    scale: Array
    weights: Array
    bias: float
    bend: float
    place_scale: Array
    place_weights: Array
    reach: float
    card: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the numbers."""
        arrays = (self.scale, self.weights, self.place_scale, self.place_weights)
        numbers = [array.astype("<f4").tobytes() for array in arrays]
        return sha256(b"".join([*numbers, repr((self.bias, self.bend, self.reach)).encode()]))

    @cached_property
    def used(self) -> list[int]:
        """Which of a tile's numbers have a weight, at least one."""
        return np.flatnonzero(self.weights).tolist() or [0]

    @cached_property
    def of_used(self) -> SeverityModel:
        """The same of tiles that are told by :attr:`used` numbers alone."""
        scale, weights = (array.ravel()[self.used] for array in (self.scale, self.weights))
        return replace(self, scale=scale, weights=weights)

    def severity(self, evidence: Tensor) -> Tensor:
        """Of tiles ``(..., *scale.shape)``: ``(...)`` in [0, 3], float64."""
        scale, weights = (_like(array, evidence) for array in (self.scale, self.weights))
        terms = (evidence.double() / scale).log1p_().mul_(weights)
        plain = terms.flatten(-weights.ndim).sum(-1) + self.bias
        return (plain + self.bend * (plain - CLEAR).clamp(min=0)).clamp_(0, WORST)

    def places(self, evidence: Tensor) -> Tensor:
        """Logarithm of the odds of ``(B, K, h, w)``: ``(B, h, w)`` float64."""
        scale, weights = (
            torch.from_numpy(array).to(evidence)[:, None, None]
            for array in (self.place_scale, self.place_weights)
        )
        return (evidence / scale).log1p_().mul_(weights).sum(1, dtype=torch.float64)

    def save(self, path: str | Path) -> None:
        """Write the numbers, in float32, as ``.npz``."""
        np.savez_compressed(
            path,
            format=FORMAT,
            scale=self.scale,
            weights=self.weights,
            bias=self.bias,
            bend=self.bend,
            place_scale=self.place_scale,
            place_weights=self.place_weights,
            reach=self.reach,
            card=json.dumps(self.card),
        )


def _like(array: Array, evidence: Tensor) -> Tensor:
    return torch.from_numpy(array).to(evidence.device, torch.float64)


def read_model(path: str | Path, shape: tuple[int, ...], places: int) -> SeverityModel:
    """The numbers in a file.

    Args:
        path: an ``.npz`` that :meth:`SeverityModel.save` wrote.
        shape, places: of the evidence of a tile and of a place.

    Raises:
        UserError: no such file, a damaged one, or one for other evidence.
    """
    remedy = "Give the model that fit made with this version, or leave model out."
    try:
        with np.load(path, allow_pickle=False) as arrays:
            numbers = {name: arrays[name] for name in arrays.files}
        version = int(numbers.pop("format"))
        card = json.loads(str(numbers.pop("card")))
        bias, bend, reach = (float(numbers.pop(name)) for name in ("bias", "bend", "reach"))
        model = SeverityModel(bias=bias, bend=bend, reach=reach, card=card, **numbers)
        shapes = [array.shape for array in numbers.values()]
    except FileNotFoundError:
        raise UserError(
            f"expected a severity model at {path}, got no such file. {remedy}"
        ) from None
    except Exception as error:  # a damaged archive fails in many ways, none of them documented
        raise UserError(
            f"expected a severity model in {path}, got a file that does not read as one "
            f"({error!s:.100}). {remedy}"
        ) from error
    finite = all(np.isfinite(array).all() for array in (*numbers.values(), [bias, bend, reach]))
    if version != FORMAT or shapes != [shape, shape, (places,), (places,)] or not finite:
        raise UserError(
            f"expected a severity model of format {FORMAT} with finite weights of shape {shape} "
            f"and {places}, got format {version} with {shapes[1]} and {shapes[-1]} in {path}. "
            f"{remedy}"
        )
    if min(model.weights.min(), model.scale.min(), model.place_scale.min(), 1 + bend) < 0:
        raise UserError(f"expected weights of at least 0 in {path}, got less. {remedy}")
    return model
