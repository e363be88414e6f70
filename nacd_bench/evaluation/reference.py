"""Somebody else's AUCs to stand beside ours, from a file that says where they come from::

    source: "arXiv 2411.06810, Table 2"
    sets:
      texture: {texture: 0.0, psnr: 0.0}    # AUC by method
      text: {text: 0.0}

The figures of the paper lie in ``paper.yaml`` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen
from pydantic import Field

from nacd_bench.settings import Share, options
from nacd_bench.triplets.record import ARTIFACT_TYPES
from nacd_bench.triplets.text_files import read_yaml_as

ArtifactType = Annotated[str, Field(pattern=f"^({'|'.join(ARTIFACT_TYPES)})$")]


@options
class Reference:
    """Published figures.

    Args:
        source: where they were published.
        sets: AUC in [0, 1] by artifact type and method.
    """

    source: Annotated[str, MinLen(1)]
    sets: Mapping[ArtifactType, Mapping[str, Share]]


def read_reference(path: str | Path) -> Reference:
    """The figures of a file, or with ``"paper"`` those of arXiv 2411.06810, Table 2.

    Raises:
        DataError: it cannot be read, or has something else; all faults are named.
    """
    if path == "paper":
        path = Path(str(files(__package__) / "paper.yaml"))
    return read_yaml_as(path, Reference, "a file of reference figures")
