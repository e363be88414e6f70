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


class Learned(Baseline, in_color=True, higher_is_better=False, package="torchmetrics"):
    """A baseline whose settings name its weights by their content, wherever the file lies."""

    network: Any
    memory = 3000

    def __init__(self, weights: str | Path | None, small: Small) -> None:
        super().__init__(small)
        if weights is None or not Path(weights).is_file():
            got = "none" if weights is None else f"no file {weights}"
            raise DataError(
                f"expected the weights of {self.name}'s backbone as a local file, got {got}. Fetch "
                f"torchvision's and name them: baseline.{self.name}.weights=FILE"
            )
        self.weights = str(weights)

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "weights": content_hash(self.weights)}

    def load(self, backbone: nn.Module) -> None:
        """Give the backbone's convolutions, in order, the weights of the file."""
        try:
            state = torch.load(self.weights, map_location="cpu", weights_only=True)
            features = [value for key, value in state.items() if key.startswith("features.")]
            layers = [
                layer
                for layer in backbone.modules()
                if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
            ]
            for layer, weight, bias in zip(layers, features[::2], features[1::2], strict=True):
                layer.load_state_dict({"weight": weight, "bias": bias})
        except Exception as error:  # torch.load raises whatever it meets
            raise DataError(
                f"{self.weights}: expected torchvision's state dictionary of {self.name}'s "
                f"backbone, got {type(error).__name__}: {str(error).splitlines()[0]:.150}"
            ) from error
        self.network.eval().requires_grad_(False)


class LPIPS(Learned, name="lpips", min_side=64):
    """Learned perceptual image patch similarity (Zhang et al. 2018): a distance.

    Args:
        weights: torchvision's state dictionary of the backbone.
        backbone: ``alex`` or ``vgg`` (VGG-16).
        small: see :class:`Baseline`.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        backbone: Backbone = "alex",
        small: Small = "error",
    ) -> None:
        super().__init__(weights, small)
        self.backbone = backbone
        from torchmetrics.functional.image.lpips import _LPIPS

        self.network = _LPIPS(pretrained=True, net=backbone, pnet_rand=True)
        self.load(self.network.net)

    def values(self, reference: Tensor, tests: Tensor) -> Tensor:
        pair = (reference.expand_as(tests).float(), tests.float())
        return self.network(*pair, normalize=True).flatten()


class DISTS(Learned, name="dists", min_side=32):
    """Deep image structure and texture similarity (Ding et al. 2020): a distance.

    The features are float32, what is said of them float64: their variance may be far under the
    square of their mean, from which torchmetrics' float32 subtracts it.

    Args:
        weights: torchvision's state dictionary of VGG-16.
        small: see :class:`Baseline`.
    """

    def __init__(self, weights: str | Path | None = None, small: Small = "error") -> None:
        super().__init__(weights, small)
        from torchmetrics.functional.image import dists
        from torchvision.models import vgg16

        # torchmetrics would download the backbone: it gets one without weights, which come after
        downloading, dists.vgg16 = dists.vgg16, lambda weights=None: vgg16(weights=None)
        try:
            self.network = dists.DISTSNetwork()
        finally:
            dists.vgg16 = downloading
        self.load(self.network)

    def values(self, reference: Tensor, tests: Tensor) -> Tensor:
        network = self.network
        features = (network.forward_once(image.float()) for image in (reference, tests))
        weights = zip(
            *(w.double().split(network.chns, 1) for w in (network.alpha, network.beta)), strict=True
        )
        total = tests.new_zeros(len(tests))
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
