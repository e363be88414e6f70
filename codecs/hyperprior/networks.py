"""A small learned codec: a linear transform, networks that correct it, a mean-scale hyperprior.

The transform begins as a 16 x 16 DCT and is trained with the rest, so that the codec starts where
classical ones are and a CPU can train it in an evening. Prior: Minnen, Ballé, Toderici, "Joint
autoregressive and hierarchical priors for learned image compression", 2018, without the
autoregressive part. One model for all rates, by a gain per latent and operating point: Cui et al.,
"Asymmetric gained deep image compression with continuous rate adaptation", 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 64
"""Sides are padded to a multiple of this: the latents have 1/16 of them, the hyperlatents 1/64."""
PATCH = 4
"""The first layer takes patches of 4 x 4 pixels."""
BLOCK = 16
"""Side of the linear transform."""
LOWEST_GAIN, HIGHEST_GAIN = 1.6, 14.0
"""Inverse quantisation steps that the lowest and highest weight of the error ask for."""
LOWEST_SCALE = 0.11
"""Of a Gaussian: below, a symbol costs next to nothing."""


@dataclass(frozen=True)
class Size:
    """Numbers of channels, and of operating points.

    Args:
        wide: on a quarter of the resolution.
        deep: on an eighth.
        luma, chroma: frequencies of the linear transform, on a sixteenth: luma and each of two
            chroma planes; together they are the latents.
        hyper: hyperlatents, on 1/64.
        context: between hyperlatents and the latents' means and scales.
        points: operating points.
    """

    wide: int = 64
    deep: int = 128
    luma: int = 120
    chroma: int = 36
    hyper: int = 64
    context: int = 96
    points: int = 8

    @property
    def latents(self) -> int:
        return self.luma + 2 * self.chroma


class Residual(nn.Sequential):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        zeros(self[2])

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def down(inner: int, outer: int, kernel: int = 5) -> nn.Conv2d:
    """Half the resolution."""
    return nn.Conv2d(inner, outer, kernel, stride=2, padding=kernel // 2)


def up(inner: int, outer: int, factor: int = 2) -> nn.Sequential:
    """``factor`` times the resolution."""
    return nn.Sequential(nn.Conv2d(inner, outer * factor**2, 3, padding=1), nn.PixelShuffle(factor))


class Networks(nn.Module):
    """The networks; ``forward`` is for training."""

    def __init__(self, size: Size = Size()) -> None:
        super().__init__()
        self.size = size
        n, d, m, h, c = size.wide, size.deep, size.latents, size.hyper, size.context
        act = nn.LeakyReLU(0.1)
        basis = cosines(size.luma, size.chroma)
        self.transform = nn.Parameter(basis)
        self.inverse_transform = nn.Parameter(basis.clone())
        self.analysis = nn.Sequential(
            nn.PixelUnshuffle(PATCH),
            nn.Conv2d(3 * PATCH**2, n, 3, padding=1),
            Residual(n),
            down(n, d),
            Residual(d),
            act,
            zeros(down(d, m, 3)),
        )
        self.upper_synthesis = nn.Sequential(
            nn.Conv2d(m, 4 * d, 1),
            nn.PixelShuffle(2),
            Residual(d),
            act,
            up(d, n),
        )
        self.patches = nn.Sequential(
            nn.PixelUnshuffle(PATCH), nn.Conv2d(3 * PATCH**2, n, 3, padding=1)
        )
        self.lower_synthesis = nn.Sequential(
            Residual(n),
            Residual(n),
            act,
            zeros(nn.Conv2d(n, 3 * PATCH**2, 3, padding=1)),
            nn.PixelShuffle(PATCH),
        )
        self.hyper_analysis = nn.Sequential(
            nn.Conv2d(m, c, 3, padding=1), act, down(c, c, 3), act, down(c, h, 3)
        )
        self.hyper_synthesis = nn.Sequential(
            up(h, c), nn.ReLU(), up(c, c), nn.ReLU(), nn.Conv2d(c, 2 * m, 3, padding=1)
        )
        gains = torch.linspace(math.log(LOWEST_GAIN), math.log(HIGHEST_GAIN), size.points)
        self.log_gain = nn.Parameter(gains[:, None].repeat(1, m))
        self.log_inverse_gain = nn.Parameter(-gains[:, None].repeat(1, m))
        self.hyper_mean = nn.Parameter(torch.zeros(h))
        self.hyper_log_scale = nn.Parameter(torch.zeros(h))

    def forward(self, image: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded images and rates, with the gradients of a quantiser that adds noise.

        Args:
            image: ``(B, 3, H, W)`` on [0, 1], sides a multiple of 64.
            point: ``(B,)`` operating points, from 0.

        Returns:
            images ``(B, 3, H, W)``, about [0, 1], and estimated bits of latents and hyperlatents
            ``(B,)``.
        """
        y = self.latents(image, point)
        z = self.hyper_analysis(y).float()
        z_mean = self.hyper_mean.view(1, -1, 1, 1)
        z_scale = self.hyper_log_scale.exp().view(1, -1, 1, 1)
        z_bits = gaussian_bits(noisy(z) - z_mean, z_scale)
        mean, scale = self.prior(rounded(z))
        y_bits = gaussian_bits(noisy(y) - mean, scale)
        y_hat = rounded(y - mean) + mean
        decoded = self.decoded(y_hat, point)
        return decoded, z_bits.sum(dim=(1, 2, 3)) + y_bits.sum(dim=(1, 2, 3))

    def prior(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales of the latents, given the hyperlatents."""
        mean, log_scale = self.hyper_synthesis(z).float().chunk(2, dim=1)
        return mean, log_scale.clamp(-4, 6).exp()

    def latents(self, image: Tensor, point: Tensor) -> Tensor:
        """``(B, latents, H / 16, W / 16)``; whole numbers of them are coded."""
        centred = image - 0.5
        weight = self.transform[:, :, None, None]
        with torch.autocast(image.device.type, enabled=False):
            linear = F.conv2d(F.pixel_unshuffle(centred, BLOCK), weight)
        y = linear + self.analysis(centred).float()
        return y * self.log_gain[point].exp()[:, :, None, None]

    def decoded(self, y: Tensor, point: Tensor) -> Tensor:
        """The image of latents."""
        y = y * self.log_inverse_gain[point].exp()[:, :, None, None]
        weight = self.inverse_transform.t()[:, :, None, None]
        with torch.autocast(y.device.type, enabled=False):
            linear = F.pixel_shuffle(F.conv2d(y, weight), BLOCK)
        features = self.upper_synthesis(y) + self.patches(linear)
        return linear + self.lower_synthesis(features).float() + 0.5


def cosines(luma: int, chroma: int) -> Tensor:
    """The lowest frequencies of an orthonormal 16 x 16 DCT of three orthonormal colour axes:
    ``(luma + 2 chroma, 768)``, what the transform begins with."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    dct = torch.cos(math.pi * (2 * k[None, :] + 1) * k[:, None] / (2 * BLOCK))
    dct *= math.sqrt(2 / BLOCK)
    dct[0] /= math.sqrt(2)
    order = (k[:, None] + k[None, :]).flatten().argsort(stable=True)
    planes = torch.einsum("ui,vj->uvij", dct, dct).reshape(BLOCK**2, BLOCK**2)[order]
    axes = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    axes /= axes.norm(dim=1, keepdim=True)
    counts = (luma, chroma, chroma)
    rows = [
        torch.einsum("c,kp->kcp", axis, planes[:count]).reshape(count, -1)
        for axis, count in zip(axes, counts, strict=True)
    ]
    return torch.cat(rows).float()


def zeros(layer: nn.Module) -> nn.Module:
    """A layer that adds nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def noisy(x: Tensor) -> Tensor:
    return x + torch.empty_like(x).uniform_(-0.5, 0.5)


def rounded(x: Tensor) -> Tensor:
    """Rounded, with the gradient of the identity."""
    return x + (x.round() - x).detach()


def gaussian_bits(x: Tensor, scale: Tensor) -> Tensor:
    """Bits of whole numbers around ``x`` under a Gaussian around 0."""
    scale = scale.clamp(min=LOWEST_SCALE)
    x = x.abs()
    upper = torch.erfc((x - 0.5) / (scale * math.sqrt(2)))
    lower = torch.erfc((x + 0.5) / (scale * math.sqrt(2)))
    return -torch.log2(((upper - lower) / 2).clamp(min=2.0**-24))
