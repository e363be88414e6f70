"""Maps on a GPU are made without the CPU ever waiting for one of their values.

Where there is no GPU, the ``meta`` device stands for it: it takes the same functions, has no values
that could be fetched, and raises where a shape would depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nacd_bench.baselines import PAPER
from nacd_bench.detectors import Boundary, ClippedLargeColor, LargeColor, SmallColor, Texture
from nacd_bench.registry import BASELINES
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import HeatMap

SIZES = [(200, 300), (163, 401)]
WAITING = ("iw_ssim",)
"""Its weights follow from the eigenvalues of one small matrix per scale."""


class NoWaiting(TorchDispatchMode):
    """Refuses copies from a CPU that a GPU would be waited for."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        tensors = [x for x in tree_leaves((args, named)) if isinstance(x, Tensor)]
        of_cpu = [x for x in tensors if x.device.type == "cpu" and x.ndim]
        out = function(*args, **named)
        results = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if of_cpu and any(x.device.type == "meta" for x in (*tensors, *results)):
            assert named.get("non_blocking"), f"{function} waits for a copy"
        return out


def meta_batch(height: int, width: int) -> TripletBatch:
    images = torch.empty(3, 2, 3, height, width, dtype=torch.uint8, device="meta")
    return TripletBatch(*images)


MAPS: dict[str, Callable[[TripletBatch], Any]] = {
    **{
        f"{kind.name} {preset}": kind.preset(preset).heat_map
        for kind in (Texture, LargeColor, ClippedLargeColor)
        for preset in ("paper", *kind.presets)
    },
    "small_color": SmallColor().maps,
    **{name: BASELINES.get(name)() for name in PAPER if name not in WAITING},
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", SIZES)
def test_no_map_waits(name: str, size: tuple[int, int]) -> None:
    with torch.inference_mode(), NoWaiting():
        made = MAPS[name](meta_batch(*size))
    for each in tree_leaves(made.values if isinstance(made, HeatMap) else made):
        assert each.device.type == "meta" and len(each) == 2


@pytest.mark.parametrize("make", [Boundary().heat_map, *(BASELINES.get(n)() for n in WAITING)])
def test_what_waits(make: Callable[[TripletBatch], Any]) -> None:
    """Canny's ridges and hysteresis, and eigenvalues."""
    with pytest.raises((RuntimeError, NotImplementedError)):
        make(meta_batch(200, 300))


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x[torch.tensor([0])],
        lambda x: torch.ones(2).to("meta") + x,
        lambda x: x.copy_(torch.ones(2)),
    ],
)
def test_waiting_is_noticed(waiting: Callable[[Tensor], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)), NoWaiting():
        waiting(torch.empty(2, device="meta"))


def test_a_copy_that_nothing_waits_for_is_fine() -> None:
    with NoWaiting():
        assert torch.ones(2).to("meta", non_blocking=True).device.type == "meta"
