"""The prior of the latents in whole numbers, so that any two machines agree on every bit.

A range decoder goes astray where its probabilities differ from the encoder's in the last bit, and
floating-point convolutions differ between machines, libraries and numbers of threads. Hyperlatents
are whole numbers; with weights and activations as whole numbers too, every sum is exact in float64
in whatever order it is made (Ballé, Johnston, Minnen, "Integer networks for data compression with
latent-variable models", 2019).
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

WEIGHT_STEPS = 1 << 12
"""Of weights per 1."""
STEPS = 1 << 8
"""Of activations, means and logarithms of scales per 1."""
SCALES_PER_UNIT = 16
"""Of the table of scales, per 1 of their logarithm."""
LOWEST_LOG, HIGHEST_LOG = -2.25, 6.0
"""Of scales; the lowest is about 0.105."""
MOST = 1 << 20
"""Activations are kept below this, so that sums stay far under 2^53."""

SCALES: NDArray[np.float64] = np.exp(
    LOWEST_LOG
    + np.arange(round((HIGHEST_LOG - LOWEST_LOG) * SCALES_PER_UNIT) + 1) / SCALES_PER_UNIT
).round(6)
"""Standard deviations that latents can have; rounded, since ``exp`` may differ in its last bit."""


class WholePrior:
    """The hyper-synthesis in whole numbers.

    Args:
        layers: of :class:`~nacd_codecs.hyperprior.networks.Networks`: convolutions, ReLU and
            pixel shuffles.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self.steps: list[tuple[Tensor, Tensor] | int | None] = []
        for layer in layers.modules():
            if isinstance(layer, nn.Conv2d):
                weight = (layer.weight.detach().double() * WEIGHT_STEPS).round()
                assert layer.bias is not None
                bias = (layer.bias.detach().double() * (WEIGHT_STEPS * STEPS)).round()
                self.steps.append((weight, bias))
            elif isinstance(layer, nn.PixelShuffle):
                self.steps.append(layer.upscale_factor)
            elif isinstance(layer, nn.ReLU):
                self.steps.append(None)

    def __call__(self, z: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """Means and scales of the latents.

        Args:
            z: hyperlatents ``(1, C, h, w)``, whole numbers.

        Returns:
            means as multiples of 1 / 256, ``(1, latents, 4 h, 4 w)`` float32, and scales out of
            :data:`SCALES`, the same shape.
        """
        x = z.double().cpu() * STEPS
        for step in self.steps:
            if isinstance(step, tuple):
                weight, bias = step
                x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
                x = (x / WEIGHT_STEPS).round().clamp(-MOST, MOST)
            elif isinstance(step, int):
                x = F.pixel_shuffle(x, step)
            else:
                x = x.relu()
        mean, log_scale = x.chunk(2, dim=1)
        place = ((log_scale / STEPS - LOWEST_LOG) * SCALES_PER_UNIT).round()
        place = place.clamp(0, len(SCALES) - 1).long()
        return (mean / STEPS).float(), SCALES[place.numpy()]
