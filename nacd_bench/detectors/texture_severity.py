"""Broken texture as a rater would grade it, 0 to 3.

Not from the paper. What: faults of luma at four scales (contrast-structure, energy lost, energy
invented, gradients) and of chroma, of the neural decode and as far as they exceed the traditional
decode's. Why these: on graded JPEG AI pictures a loss of local energy beside the original's, and
what it exceeds on the traditional side, follows raters better than any similarity alone. From what
data: 276 triplets of 102 photographs, three model raters; see docs/severity.md.
"""

from __future__ import annotations

from nacd_bench.detectors.severity.detector import SeverityDetector


class TextureSeverity(SeverityDetector):
    """Predicted severity of broken texture and boundaries."""

    name = "texture_severity"
    artifact_type = "texture"
    weights = "texture.npz"
