"""The detectors: one file per method, each reads like its section of arXiv 2411.06810.

>>> from nacd_bench.detectors import Texture
>>> Texture().artifact_type
'texture'
"""

from nacd_bench.detectors.base import Detector
from nacd_bench.detectors.boundary import Boundary
from nacd_bench.detectors.color_severity import ColorSeverity
from nacd_bench.detectors.large_color import ClippedLargeColor, LargeColor
from nacd_bench.detectors.small_color import SmallColor
from nacd_bench.detectors.text import Text
from nacd_bench.detectors.text_severity import TextSeverity
from nacd_bench.detectors.texture import Texture
from nacd_bench.detectors.texture_severity import TextureSeverity

__all__ = [
    "Boundary",
    "ClippedLargeColor",
    "ColorSeverity",
    "Detector",
    "LargeColor",
    "SmallColor",
    "Text",
    "TextSeverity",
    "Texture",
    "TextureSeverity",
]
