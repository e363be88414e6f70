"""How many validation images have an artifact, and how strong: ``torchmetrics`` metrics.

A metric has the parameter ``detector`` in place of a class per detector: detectors come from a
registry that other packages add to, and are the only thing in which such classes would differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import rank_zero_warn

from nacd_bench.detectors import Detector
from nacd_bench.errors import UserError
from nacd_bench.registry import CODECS, DETECTORS
from nacd_bench.settings import checked
from nacd_bench.training.batch import triplets
from nacd_bench.triplets.files import sha256


class ArtifactRate(Metric):
    """Share of images in which a detector finds an artifact: its score is over a threshold.

    Nothing flows back through it: detectors have thresholds, boxes and maxima. States are sums, so
    that processes with batches of different sizes add up; no image is kept.

    Args:
        detector: a registered name, or a detector.
        threshold: score over which an image counts; the detector's own where None (1.5 of a
            predicted severity).
        anchor: the traditional codec where :meth:`update` gets no decodes of one: a registered
            name of :mod:`nacd_bench.registry`.
        options: those of :class:`torchmetrics.Metric`.

    Raises:
        UserError: no such detector or codec, no number as threshold.

    >>> gray = torch.full((1, 3, 64, 64), 0.5)
    >>> rate = ArtifactRate("color_severity")
    >>> rate.update(gray, gray, gray)
    >>> rate.compute()
    tensor(0.)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    @checked
    def __init__(
        self,
        detector: str | Detector = "texture_severity",
        threshold: float | None = None,
        anchor: str = "x265",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        made: Detector = DETECTORS.get(detector)() if isinstance(detector, str) else detector
        self._detector = (made,)  # not a part of the model: nothing of it belongs into checkpoints
        self.threshold = made.counts_from if threshold is None else threshold
        CODECS.get(anchor)  # whose name is wrong now, not after an epoch
        self.anchor = anchor
        self._warned = False
        # In a collection, metrics whose states have the same names and begin with the same values
        # share them; those of another detector or threshold must not.
        facts = json.dumps([made.settings, self.threshold, anchor], sort_keys=True)
        digest = sha256(facts.encode())[:12]
        self._names = [f"{name}_{digest}" for name in ("found", "total", "images")]
        for name in self._names:
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def detector(self) -> Detector:
        """What finds the artifacts."""
        return self._detector[0]

    def update(
        self,
        original: Tensor,
        neural: Tensor,
        traditional: Tensor | None = None,
        bpp: float | Sequence[float] | Tensor | None = None,
    ) -> None:
        """Take a batch.

        Args:
            original, neural, traditional: ``(B, 3, H, W)`` sRGB, ``uint8``, or floats of any
                precision in [0, 1]. They are rounded to 8 bits, as files would be; a decode's
                values outside are clamped, with one warning.
            bpp: where ``traditional`` is None: the neural rates in bits per pixel, one per image
                or one for all, at which the traditional codec codes the originals. Its bitstreams
                are kept by content for the next epochs.

        Raises:
            UserError: neither ``traditional`` nor ``bpp``.
            ImageError: sizes that differ, NaN, an original outside [0, 1], images too small for
                the detector.
        """
        batch, outside = triplets(original, neural, traditional, bpp, self.anchor)
        if outside and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"decodes have values outside [0, 1] ({outside}); they are clamped, as a file "
                "would be. Told once."
            )
        with torch.no_grad():
            scores = self.detector.to(batch.device)(batch).scores.double()
        sums = (scores > self.threshold).sum(), scores.sum(), len(scores)
        for name, more in zip(self._names, sums, strict=True):
            setattr(self, name, getattr(self, name) + more)

    def compute(self) -> Tensor:
        """The share on [0, 1]; NaN of no images."""
        found, _, images = (getattr(self, name) for name in self._names)
        return (found / images).float()

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Values as a figure and its axes, see :meth:`torchmetrics.Metric.plot`."""
        return self._plot(val, ax)


class MeanSeverity(ArtifactRate):
    """Mean predicted severity of images, 0 (none) to 3 (strong).

    Args:
        detector: one that predicts severities, by name or itself.
        anchor, options: see :class:`ArtifactRate`.

    Raises:
        UserError: a detector on another scale.
    """

    plot_upper_bound = 3.0

    @checked
    def __init__(
        self, detector: str | Detector = "texture_severity", anchor: str = "x265", **options: Any
    ) -> None:
        super().__init__(detector, None, anchor, **options)
        if not self.detector.is_severity:
            raise UserError(
                f"expected a detector that predicts severities (texture_severity, color_severity, "
                f"text_severity), got {self.detector.name}, whose scores have a scale of their "
                "own. ArtifactRate takes it."
            )

    def compute(self) -> Tensor:
        """The mean on [0, 3]; NaN of no images."""
        _, total, images = (getattr(self, name) for name in self._names)
        return (total / images).float()
