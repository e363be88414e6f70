"""Somebody else's AUCs to stand beside ours, from a file that says where they come from::

source: "arXiv 2411.06810, Table 2"
sets:
  texture: {texture: 0.0, psnr: 0.0}    # AUC by method
  text: {text: 0.0}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nacd_bench.errors import DataError
from nacd_bench.registry import unknown
from nacd_bench.triplets.record import ARTIFACT_TYPES
from nacd_bench.triplets.text_files import read_yaml


@dataclass(frozen=True)
class Reference:
    """Published figures.

    Args:
        source: where they were published.
        sets: AUC in [0, 1] by artifact type and method.
    """

    source: str
    sets: Mapping[str, Mapping[str, float]]


def read_reference(path: str | Path) -> Reference:
    """The figures of a file.

    Raises:
        DataError: it cannot be read, or has something else; all faults are named.
    """
    content = read_yaml(path, "a file of reference figures")
    if not isinstance(content, Mapping) or not isinstance(content.get("sets"), Mapping):
        raise DataError(
            f"{path}: expected `source` and `sets` (AUC by artifact type and method), got "
            "something else. docs/benchmark.md has an example."
        )
    if not content.get("source"):
        raise DataError(f"{path}: expected `source`, which says where the figures are from.")
    wrong = []
    for name, methods in content["sets"].items():
        if name not in ARTIFACT_TYPES:
            wrong.append(unknown("artifact type", str(name), list(ARTIFACT_TYPES)))
        if not isinstance(methods or {}, Mapping):
            wrong.append(f"expected AUC by method for {name}, got {methods!r:.60}")
            continue
        for method, value in (methods or {}).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not (0 <= value <= 1) or math.isnan(value):
                wrong.append(f"expected an AUC from 0 to 1 for {name}.{method}, got {value!r:.60}")
    if wrong:
        raise DataError(f"{path}: " + "; ".join(wrong))
    sets = {
        name: {str(method): float(value) for method, value in (methods or {}).items()}
        for name, methods in content["sets"].items()
    }
    return Reference(str(content["source"]), sets)
