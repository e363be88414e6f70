"""Metrics by a trained network, whose weights the user brings: nothing is downloaded.

torchmetrics carries the small weights that LPIPS and DISTS add; the backbones are torchvision's
AlexNet and VGG-16, read from a local file (``alexnet-owt-7be5be79.pth``, ``vgg16-397923af.pth``).
Networks run in float32, for which their weights were trained: off by 1e-6 from float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nacd_bench.baselines.base import Baseline, Small
from nacd_bench.errors import DataError
from nacd_bench.triplets.images import content_hash

Backbone = Literal["alex", "vgg"]

STABILIZER = 1e-6
"""Of DISTS, c1 and c2."""


class Learned(Baseline):
    """A baseline whose settings name its weights by their content, wherever the file lies."""

    weights: str

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "weights": content_hash(self.weights)}


class LPIPS(Learned):
    """Learned perceptual image patch similarity (Zhang et al. 2018): a distance.

    Args:
        weights: torchvision's state dictionary of the backbone.
        backbone: ``alex`` or ``vgg`` (VGG-16).
        small: see :class:`Baseline`.
    """

    name = "lpips"
    in_color = True
    higher_is_better = False
    min_side = 64

    def __init__(
        self,
        weights: str | Path | None = None,
        backbone: Backbone = "alex",
        small: Small = "error",
    ) -> None:
        super().__init__(small)
        self.weights = str(_required(weights, self.name))
        self.backbone = backbone
        from torchmetrics.functional.image.lpips import _LPIPS

        self.network = _LPIPS(pretrained=True, net=backbone, pnet_rand=True)
        _load_convolutions(self.network.net, self.weights, self.name)
        self.network.eval().requires_grad_(False)

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return self.network(reference.float(), test.float(), normalize=True).flatten()


class DISTS(Learned):
    """Deep image structure and texture similarity (Ding et al. 2020): a distance.

    The features are float32, what is said of them float64: their variance may be far under the
    square of their mean, from which torchmetrics' float32 subtracts it.

    Args:
        weights: torchvision's state dictionary of VGG-16.
        small: see :class:`Baseline`.
    """

    name = "dists"
    in_color = True
    higher_is_better = False
    min_side = 32

    def __init__(self, weights: str | Path | None = None, small: Small = "error") -> None:
        super().__init__(small)
        self.weights = str(_required(weights, self.name))
        from torchmetrics.functional.image import dists
        from torchvision.models import vgg16

        # torchmetrics would download the backbone: it gets one without weights, which come after
        own, dists.vgg16 = dists.vgg16, lambda weights=None: vgg16(weights=None)
        try:
            self.network = dists.DISTSNetwork()
        finally:
            dists.vgg16 = own
        _load_convolutions(self.network, self.weights, self.name)
        self.network.eval().requires_grad_(False)

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        network = self.network
        features = (network.forward_once(image.float()) for image in (reference, test))
        weights = zip(
            *(w.double().split(network.chns, 1) for w in (network.alpha, network.beta)), strict=True
        )
        total = reference.new_zeros(len(reference))
        for x, y, (alpha, beta) in zip(*features, weights, strict=True):
            x, y = x.double(), y.double()
            mx, my = (f.mean(dim=(2, 3), keepdim=True) for f in (x, y))
            vx, vy, vd = (
                f.square().mean(dim=(2, 3), keepdim=True)
                for f in (x - mx, y - my, (x - mx) - (y - my))
            )
            texture = (mx - my).square() / (mx.square() + my.square() + STABILIZER)
            structure = vd / (vx + vy + STABILIZER)
            total += (alpha * texture + beta * structure).sum(dim=(1, 2, 3))
        return total / (network.alpha.double().sum() + network.beta.double().sum())


def _required(weights: str | Path | None, name: str) -> Path:
    if weights is None or not Path(weights).is_file():
        got = "none" if weights is None else f"no file {weights}"
        raise DataError(
            f"expected the weights of {name}'s backbone as a local file, got {got}. Fetch "
            f"torchvision's and name them: baseline.{name}.weights=FILE"
        )
    return Path(weights)


def _load_convolutions(network: nn.Module, path: str, name: str) -> None:
    """Give the network's convolutions, in order, the weights of a torchvision state dictionary."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        features = [value for key, value in state.items() if key.startswith("features.")]
        convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
        backbone = [each for each in convolutions if each.kernel_size != (1, 1)]
        for layer, weight, bias in zip(backbone, features[::2], features[1::2], strict=True):
            layer.load_state_dict({"weight": weight, "bias": bias})
    except Exception as error:  # torch.load raises whatever it meets
        raise DataError(
            f"{path}: expected torchvision's state dictionary of {name}'s backbone, got "
            f"{type(error).__name__}: {str(error).splitlines()[0]:.150}"
        ) from error
