"""What every detector has: its facts, its presets and one size check."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from typing_extensions import Self

from nacd_bench.detection import DetectionBatch
from nacd_bench.errors import ImageError, UserError
from nacd_bench.triplet import TripletBatch


class Detector(nn.Module, ABC):
    """Finds one kind of artifact: how much worse is neural than traditional, and where.

    Subclasses set the class facts below and write :meth:`forward`.
    """

    name: ClassVar[str]
    """The registered name."""
    artifact_type: ClassVar[str]
    """``texture``, ``color`` or ``text``: the label that this detector is tested against."""
    paper_section: ClassVar[str] = ""
    """Section of arXiv 2411.06810."""
    version: ClassVar[str] = "1"
    """Changes whenever the scores do; part of every cache key."""
    heat_map_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """Heat-map values drawn with the first and the last colour, the same for every image."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named parameter sets beside the paper's, which is the default."""

    @classmethod
    def preset(cls, name: str, **parameters: Any) -> Self:
        """The detector with the parameters of a preset, ``parameters`` on top."""
        if name == "paper":
            return cls(**parameters)
        if name not in cls.presets:
            known = ", ".join(["paper", *cls.presets])
            raise UserError(f"detector {cls.name} has no preset '{name}'. Known: {known}")
        return cls(**{**cls.presets[name], **parameters})

    @property
    def settings(self) -> dict[str, Any]:
        """Name, version and every parameter, as JSON values: what decides the results.

        A parameter is kept under its own name; one that has ``settings`` itself (a text finder)
        is named by these.
        """
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        values = {name: getattr(self, name, None) for name in names}
        return {
            "detector": self.name,
            "version": self.version,
            **{name: _plain(value) for name, value in values.items()},
        }

    @property
    def min_size(self) -> tuple[int, int]:
        """Smallest height and width that the detector takes."""
        return (1, 1)

    @abstractmethod
    def forward(self, batch: TripletBatch) -> DetectionBatch:
        """Detections in each triplet of the batch."""

    def require_size(self, batch: TripletBatch) -> None:
        """:class:`ImageError` when the batch is smaller than :attr:`min_size`."""
        height, width = self.min_size
        if batch.height < height or batch.width < width:
            raise ImageError(
                f"{self.name} expects images of at least {width} x {height} pixels, got "
                f"{batch.width} x {batch.height}. Leave this detector out or use larger images."
            )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(value.settings) if hasattr(value, "settings") else repr(value)
