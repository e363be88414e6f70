"""The triplets of a validation batch, with a traditional codec's decodes where none are given."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nacd_bench.coding.codec import Codec
from nacd_bench.coding.rate import Encodings, Match, match_rates
from nacd_bench.errors import UserError
from nacd_bench.registry import CODECS
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.images import pixels_sha256, to_8_bit

KEPT = 2000
"""Originals whose bitstreams are kept: a validation set, coded once for all epochs."""


def levels(images: Any, is_decode: bool) -> tuple[Any, str]:
    """Images as they would be written to a file, and the range of a decode that leaves [0, 1].

    Args:
        images: ``(B, 3, H, W)`` sRGB, ``uint8``, or floats of any precision in [0, 1].
        is_decode: a decoder's output, which is clamped; an original outside has another scale.

    Returns:
        uint8 of floats; what a batch of triplets refuses by name, such as NaN, as it is.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point() and images.numel()):
        return images, ""
    images = images.detach().float()
    low, high = (limit.item() for limit in images.aminmax())
    is_outside = low < 0 or high > 1
    if math.isnan(low) or (is_outside and not is_decode):
        return images, ""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels, f"{low:.4g} to {high:.4g}" if is_outside else ""


class Anchor:
    """Decodes of a traditional codec at the rates that a neural codec had.

    Args:
        codec: what codes.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._kept: OrderedDict[str, dict[tuple[int, float | None], Match]] = OrderedDict()

    def decodes(self, originals: Tensor, bpp: Sequence[float]) -> Tensor:
        """Each original at the operating point nearest to its rate.

        Args:
            originals: ``(B, 3, H, W)`` uint8.
            bpp: one per original.

        Returns:
            ``(B, 3, H, W)`` uint8, on the device of the originals.
        """
        decoded = [
            self._decode(to_8_bit(one), rate) for one, rate in zip(originals, bpp, strict=True)
        ]
        stacked = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
        return stacked.contiguous().to(originals.device)

    def _decode(self, image: np.ndarray, bpp: float) -> np.ndarray:
        encodings = Encodings(self.codec, image)
        key = pixels_sha256(image) + str(image.shape)
        encodings.matches |= self._kept.pop(key, {})
        (match,) = match_rates(encodings, [bpp])
        self._kept[key] = encodings.matches
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self.codec.decode(match.data)


@cache
def anchor(name: str) -> Anchor:
    """One for all metrics of a process, which then code an original once."""
    return Anchor(CODECS.get(name)())


def triplets(
    original: Tensor,
    neural: Tensor,
    traditional: Tensor | None,
    bpp: float | Sequence[float] | Tensor | None,
    codec: str,
) -> tuple[TripletBatch, str]:
    """A batch of triplets, and the ranges of decodes that had values outside [0, 1].

    Args:
        original, neural, traditional: ``(B, 3, H, W)``, see :func:`levels`.
        bpp: bits per pixel of each neural result, or one for all, where ``traditional`` is None.
        codec: the traditional codec's registered name.

    Raises:
        UserError: neither decodes nor rates of the traditional side, or not one per image.
        ImageError: see :class:`~nacd_bench.triplets.batch.TripletBatch`.
    """
    images = {"original": original, "neural": neural, "traditional": traditional}
    pixels, ranges = {}, {}
    for role, given in images.items():
        pixels[role], ranges[role] = levels(given, role != "original")
    outside = ", ".join(f"{role} {limits}" for role, limits in ranges.items() if limits)
    first, second, third = pixels.values()
    if traditional is not None:
        batch = TripletBatch(first, second, third)
        return batch.to(batch.device), outside
    if bpp is None:
        raise UserError(
            "expected traditional=, decodes of a traditional codec, or bpp=, the rates at which "
            f"{codec} is to code the originals, got neither."
        )
    TripletBatch(first, second, second)  # wrong images cost no encodes
    try:
        rates = torch.as_tensor(bpp, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"expected bpp as a number, or one per image, got {bpp!r}.") from error
    rates = rates * len(first) if len(rates) == 1 else rates
    if len(rates) != len(first):
        raise UserError(
            f"expected one rate in bpp for each of {len(first)} images, or one for all, got "
            f"{len(rates)}."
        )
    return TripletBatch(first, second, anchor(codec).decodes(first, rates)), outside
