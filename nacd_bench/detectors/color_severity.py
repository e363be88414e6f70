"""Shifted colours as a rater would grade them, 0 to 3.

Not from the paper. What: distances of chroma between places of 2 to 16 pixels, plain, relative to
chroma, as colour lost, as hue turned, by CIEDE2000, and with chroma doubled within sRGB, some of
them weighted by how calm the chroma around is in the original; and faults of luma, since a place
whose texture is gone shows its cast. Why these: a faint cast on gray is seen and a larger one in a
saturated colour is not, so that plain distances, and a limit such as ``large_color`` has, miss what
raters see. From what data: as
:mod:`~nacd_bench.detectors.texture_severity`.
"""

from __future__ import annotations

from nacd_bench.detectors.severity.detector import SeverityDetector


class ColorSeverity(SeverityDetector):
    """Predicted severity of shifted colours."""

    name = "color_severity"
    artifact_type = "color"
    weights = "color.npz"
