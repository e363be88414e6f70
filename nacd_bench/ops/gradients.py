"""Edges of an image and the agreement of two images' gradients."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import gaussian_blur, sobel
from nacd_bench.ops.planes import blockwise

Gradient = tuple[Tensor, Tensor]
"""Horizontal and vertical derivative, of one shape."""

TIE = 1 + 2e-9
"""Squared magnitudes are equal where they differ by less than this factor: float64 sums come to
1e-15."""

VANISHING = 2e-7
"""A gradient (weights 1 2 1, divided by 8) shorter than this is rounding: float32 sums of luma in
[0, 1] come to 1.2e-7, and the shortest gradient of 8-bit colour is 1 / 255000 / 8 = 4.9e-7."""


RIDGE_REACH = 4
"""Rows around a ridge that decide about it: two of the blur, one of the gradient, one beside."""


EIGHTH = math.tan(math.pi / 8)
"""Slope of the border between directions that are rounded to 0 and to 45 degrees."""


def ridges(y: Tensor, low: float, high: float) -> Tensor:
    """Canny's edges of luma on [0, 1] before hysteresis: 1 is over ``low``, 2 over ``high``.

    Gaussian 5 x 5 of sigma 1, Sobel (1 2 1, not normalised), and maxima along the gradient rounded
    to 45 degrees, in float64: kornia's Canny, thresholds on its scale. Both sides of a step between
    two flat areas are equal maxima, and both are edges: kornia leaves them to the rounding of its
    sums. :data:`RIDGE_REACH` rows around a pixel decide.

    Returns:
        ``(B, 1, H, W)`` uint8.
    """
    gx, gy = sobel(gaussian_blur(y.double(), 5, 1.0))
    power = (gx * gx).addcmul_(gy, gy).add_(1e-6)
    padded = F.pad(power, (1, 1, 1, 1))
    power *= TIE
    height, width = y.shape[-2:]

    def is_over(down: int, right: int) -> Tensor:
        """Whether neither the neighbour this way nor the other way is larger."""
        ahead, behind = (
            padded[..., 1 + r : 1 + r + height, 1 + c : 1 + c + width]
            for r, c in ((down, right), (-down, -right))
        )
        return power > torch.maximum(ahead, behind)

    # the gradient's direction, rounded to 45 degrees
    is_falling = gx * gy > 0
    gx.abs_()
    gy.abs_()
    is_level, is_steep = gy < gx * EIGHTH, gx < gy * EIGHTH
    is_ridge = (is_falling & is_over(1, 1)) | (~is_falling & is_over(1, -1))
    is_ridge &= ~(is_level | is_steep)
    is_ridge |= (is_level & is_over(0, 1)) | (is_steep & is_over(1, 0))
    weak = is_ridge & (power > low**2)
    return weak.byte().add_(weak & (power > high**2))


def hysteresis(ridges: Tensor) -> Tensor:
    """Of :func:`ridges` a boolean map of those that hang together (8 neighbours) with a strong one.

    One labelling of connected components in place of kornia's repeated dilation. On a CPU the map
    takes the place of the ridges.
    """
    marks = ridges.cpu()
    for plane in marks[:, 0].numpy():
        _keep_edges(plane)
    return marks.view(torch.bool).to(ridges.device)


def cosine(a: Gradient, b: Gradient, epsilon: float = 0.0) -> Tensor:
    """Cosine of the angle between two gradients, 0 where either vanishes.

    ``epsilon``, added to the product of their lengths, takes the place of :data:`VANISHING`.
    """
    least = 0.0 if epsilon else VANISHING**2

    def of_pixels(ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor) -> Tensor:
        dot = (ax * bx).addcmul_(ay, by)
        a_squared, b_squared = ((x * x).addcmul_(y, y) for x, y in ((ax, ay), (bx, by)))
        dot.mul_((a_squared >= least) & (b_squared >= least))
        norm = (a_squared * b_squared).sqrt_().add_(epsilon or torch.finfo(dot.dtype).tiny)
        return dot.div_(norm).clamp_(-1, 1)

    flat = (part.reshape(1, 1, -1) for part in (*a, *b))
    return blockwise(of_pixels, 1, *flat).view(a[0].shape)


def _keep_edges(ridges: np.ndarray) -> None:
    count, labels = cv2.connectedComponents(ridges, connectivity=8)
    keep, labels = np.zeros(count, dtype=bool), np.ravel(labels)
    keep[labels[np.flatnonzero(ridges > 1)]] = True
    places = np.flatnonzero(ridges)  # few pixels are
    ridges.reshape(-1)[places] = keep[labels[places]]
