"""The normalized Laplacian pyramid distance NLPD.

Laparra, Ballé, Berardino, Simoncelli, "Perceptual image quality assessment using a normalized
Laplacian pyramid", 2016: each band of a Laplacian pyramid is divided by a weighted sum of its
neighbours' magnitudes, with weights fitted to natural images, and the distance is the mean over the
bands of the root mean square difference.

The filters are those of the authors' code, the tap of 0.0072 in the first one included, which the
usual ports drop; they are flipped as MATLAB's ``conv2`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nacd_bench.ops.filters import band, decimated, interpolated, mirrored
from nacd_bench.ops.strips import Deferred, Plane, assembled, strips

LOW_PASS = (0.05, 0.25, 0.4, 0.25, 0.05)
"""Of the pyramid, along each side (Burt and Adelson 1983, a = 0.4)."""

DOUBLING = tuple(2 * weight for weight in LOW_PASS)
"""The same where every other value is 0."""

SIGMA = (0.0248, 0.0185, 0.0179, 0.0191, 0.022, 0.2782)
"""Constant in the denominator of each band, fine to coarse; the last is the low-pass residual."""

NEIGHBORS = (
    (0.1011, 0.1493, 0.1460, 0.1015),
    (0.0757, 0.1986, 0.1846, 0.0837),
    (0.0477, 0.2138, 0.2243, 0.0467),
    (0.0, 0.2503, 0.2616, 0.0),
    (0.0, 0.2598, 0.2552, 0.0),
    (0.0, 0.2215, 0.0717, 0.0),
)
"""Weights of the pixels above, left, right and below in the filter of each band."""

FAR_RIGHT = 0.0072
"""Weight two columns to the right in the filter of the first band."""

MIN_SIDE = 2
"""Smallest height and width: a side of one pixel has nothing to be halved."""


def nlpd(reference: Plane, test: Plane) -> Tensor:
    """NLPD between luma planes ``(B, 1, H, W)`` on [0, 1], as ``(B,)`` at least 0; lower is better.

    Computed in float64.

    >>> x = torch.linspace(0, 1, 1024).view(1, 1, 32, 32)
    >>> nlpd(x, x).item()
    0.0
    """
    planes: Sequence[Plane] = [reference, test]
    distances = []
    for level in range(len(SIGMA)):
        bands, smaller = planes, []
        if level < len(SIGMA) - 1:
            smaller = [assembled(_halved, plane, margin=4, step=2) for plane in planes]
            bands = [
                Deferred(plane.shape, plane.device, partial(band, plane, half, _doubled))
                for plane, half in zip(planes, smaller, strict=True)
            ]
        height, width = planes[0].shape[-2:]
        errors = []
        for span, parts in strips(*bands, margin=1):
            x, y = (span.rows(_normalized(part.double(), level)) for part in parts)
            errors.append((x - y).square_().sum(dim=(1, 2, 3)))
        distances.append((torch.stack(errors).sum(dim=0) / (height * width)).sqrt_())
        planes = smaller
    return torch.stack(distances).mean(dim=0)


def _halved(x: Tensor) -> Tensor:
    x = mirrored(x.double(), 2)
    for dim in (-2, -1):
        x = decimated(x, LOW_PASS, dim)
    return x


def _doubled(x: Tensor) -> Tensor:
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for dim in (-2, -1):
        x = interpolated(x, DOUBLING, dim)
    return x


def _normalized(band: Tensor, level: int) -> Tensor:
    above, left, right, below = NEIGHBORS[level]
    size, total = band.abs(), torch.full_like(band, SIGMA[level])
    total[..., :-1, :].add_(size[..., 1:, :], alpha=above)
    total[..., 1:, :].add_(size[..., :-1, :], alpha=below)
    total[..., :-1].add_(size[..., 1:], alpha=left)
    total[..., 1:].add_(size[..., :-1], alpha=right)
    if level == 0:
        total[..., 2:].add_(size[..., :-2], alpha=FAR_RIGHT)
    return band / total
