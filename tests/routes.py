"""The ways that the tensor functions take: each is compared with float64, not with the others."""

from __future__ import annotations

import pytest
import torch

from nacd_bench.ops import color, filters, planes

ROUTES = ["opencv", "pytorch", *(["cuda"] if torch.cuda.is_available() else [])]


def take(route: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The device of a route: OpenCV on a CPU, PyTorch's functions there, or on a GPU."""
    if route == "pytorch":
        for module in (color, filters, planes):
            monkeypatch.setattr(module, "on_cpu", lambda x: False)
    return "cuda" if route == "cuda" else "cpu"
