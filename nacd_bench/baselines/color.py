"""Metrics of RGB images, by piq."""

from __future__ import annotations

from torch import Tensor

from nacd_bench.baselines.base import Baseline
from nacd_bench.ops.filters import reduced


class VSI(Baseline):
    """Visual saliency-induced index (Zhang, Shen, Li 2014)."""

    name = "vsi"
    in_color = True
    min_side = 8

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import vsi

        return vsi(reference, test, data_range=1.0, reduction="none").clamp(max=1)


class MDSI(Baseline):
    """Mean deviation similarity index (Nafchi et al. 2016): a distance."""

    name = "mdsi"
    in_color = True
    higher_is_better = False
    min_side = 8

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import mdsi

        # piq's arguments: the distorted image comes first; its own reduction rounds 2.5 to 2
        return mdsi(reduced(test), reduced(reference), data_range=1.0, reduction="none")
