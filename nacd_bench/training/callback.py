"""The worst findings of a validation epoch as pictures in the experiment's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch import Tensor

from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.ops.boxes import regions_around
from nacd_bench.registry import CODECS, DETECTORS
from nacd_bench.report.sheets import TILE, sheet, tile
from nacd_bench.settings import Number, checked
from nacd_bench.training.batch import triplets
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.images import to_8_bit
from nacd_bench.triplets.record import ROLES

Finding = tuple[float, str, Image.Image]
"""Confidence, caption, picture."""


class WorstFindings(L.Callback):
    """Logs pictures of the strongest findings: original, neural and traditional, box by box.

    ``validation_step`` returns a mapping with ``original``, ``neural``, and ``traditional`` or
    ``bpp``, as :meth:`~nacd_bench.training.ArtifactRate.update` takes them. Loggers with
    ``log_image``, such as ``WandbLogger``, get ``artifacts/<detector>``. Where several processes
    validate, the pictures are those of the first one's share.

    Args:
        detectors: registered names, or detectors.
        count: pictures per detector and epoch.
        every: epochs from one log to the next.
        anchor: see :class:`~nacd_bench.training.ArtifactRate`.
    """

    @checked
    def __init__(
        self,
        detectors: Sequence[str | Detector] = ("texture_severity", "color_severity"),
        count: Number = 4,
        every: Number = 1,
        anchor: str = "x265",
    ) -> None:
        self.detectors: list[Detector] = [
            DETECTORS.get(name)() if isinstance(name, str) else name for name in detectors
        ]
        self.count = count
        self.every = every
        CODECS.get(anchor)
        self.anchor = anchor
        self._worst: dict[str, list[Finding]] = {}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._worst = {detector.name: [] for detector in self.detectors}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        skipped = trainer.current_epoch % self.every
        if trainer.sanity_checking or not trainer.is_global_zero or skipped:
            return
        if not isinstance(outputs, Mapping) or not {"original", "neural"} <= set(outputs):
            raise UserError(
                "WorstFindings expects validation_step to return a mapping with original, neural, "
                f"and traditional or bpp, got {type(outputs).__name__}."
            )
        images = {name: outputs.get(name) for name in (*ROLES, "bpp")}
        triplet, _ = triplets(**images, codec=self.anchor)  # type: ignore[arg-type]
        for detector in self.detectors:
            with torch.no_grad():
                results = detector.to(triplet.device)(triplet).results()
            findings = self._worst[detector.name]
            for index, result in enumerate(results):
                if result.boxes and result.confidences[0] > detector.counts_from:
                    caption = f"{detector.name} {result.confidences[0]:.3g}, image {index} of batch"
                    picture = crop(triplet[index], result)
                    findings.append((result.confidences[0], f"{caption} {batch_idx}", picture))
            self._worst[detector.name] = nlargest(self.count, findings, key=lambda one: one[0])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loggers: list[Any] = [one for one in trainer.loggers if hasattr(one, "log_image")]
        if not loggers and not trainer.sanity_checking:
            rank_zero_warn(
                "WorstFindings: no logger of this trainer takes pictures (log_image, which "
                "WandbLogger has)."
            )
        for name, findings in self._worst.items():
            for logger in loggers if findings else ():
                pictures = [picture for *_, picture in findings]
                captions = [caption for _, caption, _ in findings]
                key = f"artifacts/{name}"
                logger.log_image(key, pictures, step=trainer.global_step, caption=captions)


def crop(triplet: TripletBatch, result: Result) -> Image.Image:
    """The strongest box of a batch of one in the three images, side by side."""
    x0, y0, x1, y1 = result.boxes[0]
    box = (x0, y0, x1, y1)
    view = tuple(regions_around([box], triplet.width, triplet.height, TILE)[0].tolist())
    tiles = [(role, tile(to_8_bit(getattr(triplet, role)), view, box)) for role in ROLES]
    return Image.fromarray(sheet([("", tiles)]))
