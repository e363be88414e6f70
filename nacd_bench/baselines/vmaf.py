"""VMAF by the package vmaf-torch (the extra ``vmaf``), which carries the model.

Li, Aaron, Katsavounidis, Moorthy, Manohara, "Toward a practical perceptual video quality metric",
2016.
"""

from __future__ import annotations

from torch import Tensor

from nacd_bench.baselines.base import Baseline, Small
from nacd_bench.errors import PluginError

BLACK, WHITE = 16, 235
"""Levels of Y in video of 8 bits, which the model was trained on (ITU-R BT.601)."""


class VMAF(Baseline, name="vmaf", min_side=17, package="vmaf-torch"):
    """Video multi-method assessment fusion (Li et al. 2016) of a still, the slowest of all.

    The model is v0.6.1. Luma has whole levels of 16 to 235, as in video, and no motion. Values are
    not cut to 0 to 100, where bad decodes would tie.

    Args:
        neg: no gain for more contrast than the original's (VMAF NEG).
        small: see :class:`Baseline`.
    """

    def __init__(self, neg: bool = False, small: Small = "error") -> None:
        super().__init__(small)
        self.neg = neg
        try:
            from vmaf_torch import VMAF as Network
        except ImportError as error:
            raise PluginError(
                f"vmaf needs the package vmaf-torch, which does not load: {error}. "
                "Install it with: pip install 'nacd-bench[vmaf]'"
            ) from error
        self.network = Network(enable_motion=False, NEG=neg).double().requires_grad_(False)

    def values(self, reference: Tensor, tests: Tensor) -> Tensor:
        pair = (reference.expand_as(tests), tests)
        levels = ((BLACK + (WHITE - BLACK) * plane).round() for plane in pair)
        score: Tensor = self.network(*levels)
        return score.flatten()
