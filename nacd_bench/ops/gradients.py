"""Edges of an image and the agreement of two images' gradients."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from nacd_bench.ops.filters import gaussian_blur, sobel
from nacd_bench.ops.planes import blockwise

Gradient = tuple[Tensor, Tensor]
"""Horizontal and vertical derivative, each ``(B, 1, H, W)``."""

TIE = 1e-9
"""Magnitudes that differ by less are equal: float64 sums come to 1e-15."""

VANISHING = 2e-7
"""A gradient (weights 1 2 1, divided by 8) shorter than this is rounding: float32 sums of luma in
[0, 1] come to 1.2e-7, and the shortest gradient of 8-bit colour is 1 / 255000 / 8 = 4.9e-7."""


RIDGE_REACH = 4
"""Rows around a ridge that decide about it: two of the blur, one of the gradient, one beside."""


def canny(y: Tensor, low: float, high: float) -> Tensor:
    """Canny's edges of a luma plane ``(B, 1, H, W)`` on [0, 1], as a boolean map.

    Gaussian 5 x 5 of sigma 1, Sobel (1 2 1, not normalised), maxima along the gradient rounded to
    45 degrees, and hysteresis: what lies over ``low`` and hangs together (8 neighbours) with
    something over ``high``. This is kornia's Canny in float64, thresholds on its scale; its
    hysteresis by repeated dilation is replaced by one labelling of connected components. Both sides
    of a step between two flat areas are equal maxima, and both are edges: kornia leaves them to the
    rounding of its sums.
    """
    return hysteresis(ridges(y, low, high))


def ridges(y: Tensor, low: float, high: float) -> Tensor:
    """Canny's edges ``(B, 1, H, W)`` uint8 before hysteresis: 1 is over ``low``, 2 over ``high``.

    :data:`RIDGE_REACH` rows around a pixel decide.
    """
    gx, gy = sobel(gaussian_blur(y.double(), 5, 1.0))
    magnitude = blockwise(lambda x, y: (x * x).addcmul_(y, y).add_(1e-6).sqrt_(), 1, gx, gy)
    weak = _ridges(magnitude, gx, gy, low)
    return weak.byte().add_(weak & (magnitude > high))


def hysteresis(ridges: Tensor) -> Tensor:
    """Of :func:`ridges`, those that hang together with a strong one, as a boolean map."""
    edges = np.stack([_hysteresis(plane) for plane in ridges[:, 0].cpu().numpy()])
    return torch.from_numpy(edges)[:, None].to(ridges.device)


def cosine(a: Gradient, b: Gradient, epsilon: float = 0.0) -> Tensor:
    """Cosine of the angle between two gradients ``(B, 1, H, W)``, 0 where either vanishes.

    ``epsilon``, added to the product of their lengths, takes the place of :data:`VANISHING`.
    """
    least = 0.0 if epsilon else VANISHING**2

    def of_pixels(ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor) -> Tensor:
        dot = (ax * bx).addcmul_(ay, by)
        a_squared, b_squared = ((x * x).addcmul_(y, y) for x, y in ((ax, ay), (bx, by)))
        dot.mul_((a_squared >= least) & (b_squared >= least))
        norm = (a_squared * b_squared).sqrt_().add_(epsilon or torch.finfo(dot.dtype).tiny)
        return dot.div_(norm).clamp_(-1, 1)

    return blockwise(of_pixels, 1, *a, *b)


def _ridges(magnitude: Tensor, gx: Tensor, gy: Tensor, low: float) -> Tensor:
    """Pixels over ``low`` and under neither neighbour along the gradient, outside counting 0."""
    height, width = magnitude.shape[-2:]
    candidates = torch.nonzero((magnitude > low).flatten()).squeeze(1)
    padded = torch.nn.functional.pad(magnitude, (1, 1, 1, 1)).flatten()
    plane, rest = candidates // (height * width), candidates % (height * width)
    stride = width + 2
    center = plane * (height + 2) * stride + (rest // width + 1) * stride + rest % width + 1
    # the step to the neighbour in the gradient's direction, rounded to 45 degrees
    angle = torch.atan2(gy.flatten()[candidates], gx.flatten()[candidates])
    eighth = torch.round(angle * (4 / torch.pi)).long() % 4
    step = torch.tensor([1, stride + 1, stride, stride - 1], device=gx.device)[eighth]
    here = padded[center] + TIE
    is_ridge = (here > padded[center + step]) & (here > padded[center - step])
    ridges = torch.zeros_like(magnitude, dtype=torch.bool)
    ridges.view(-1)[candidates[is_ridge]] = True
    return ridges


def _hysteresis(ridges: np.ndarray) -> np.ndarray:
    count, labels = cv2.connectedComponents(ridges, connectivity=8)
    keep = np.zeros(count, dtype=bool)
    keep[labels[ridges > 1]] = True
    keep[0] = False
    return keep[labels]
