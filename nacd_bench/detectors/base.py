"""What every detector has: its facts, its presets and one size check."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import nn

from nacd_bench.errors import ImageError, UserError
from nacd_bench.ops.planes import one_thread
from nacd_bench.settings import held, settings_of
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch


class Detector(nn.Module, ABC):
    """Finds one kind of artifact: how much worse is neural than traditional, and where.

    Subclasses set the class facts below and write :meth:`forward`. Their parameters may be the
    fields of a data class (``eq=False``).
    """

    name: ClassVar[str]
    """The registered name."""
    artifact_type: ClassVar[str]
    """``texture``, ``color`` or ``text``: the label that this detector is tested against."""
    version: ClassVar[str] = "2"
    """Changes whenever the scores do; part of every cache key."""
    min_size: ClassVar[tuple[int, int]] = (1, 1)
    """Smallest height and width that the detector takes."""
    heat_map_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """Heat-map values drawn with the first and the last colour, the same for every image."""
    is_severity: ClassVar[bool] = False
    """Whether scores and confidences are predicted severities: 0 (none) to 3 (strong)."""
    nothing_found: ClassVar[float] = 0.0
    """Confidence and score up to which nothing was found; no threshold lies under it."""
    counts_from: ClassVar[float] = 0.0
    """Confidence over which a box counts where the user does not say."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named parameter sets beside the paper's, which is the default."""

    def __post_init__(self) -> None:
        held(self)
        super().__init__()

    @classmethod
    def preset(cls, name: str, **parameters: Any) -> Self:
        """The detector with the parameters of a preset, ``parameters`` on top."""
        if name == "paper":
            return cls(**parameters)
        if name not in cls.presets:
            names = ", ".join(["paper", *cls.presets])
            raise UserError(f"detector {cls.name} has no preset '{name}'. Known: {names}")
        return cls(**{**cls.presets[name], **parameters})

    @property
    def by_content(self) -> bool:
        """Whether pixels alone decide the results; False where the triplet's id does too."""
        return True

    @property
    def settings(self) -> dict[str, Any]:
        """Name, version and every parameter, as JSON values: what decides the results."""
        return {"detector": self.name, "version": self.version, **settings_of(self)}

    def __call__(self, batch: TripletBatch) -> DetectionBatch:
        """:meth:`forward`, on one thread."""
        with one_thread():
            detections: DetectionBatch = super().__call__(batch)
        return detections

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
