"""Artifacts while a neural codec trains, in a Lightning loop or one of your own.

>>> from nacd_bench.training import ArtifactRate, MeanSeverity
>>> MeanSeverity("color_severity").higher_is_better
False
"""

from nacd_bench.training.metrics import ArtifactRate, MeanSeverity

__all__ = ["ArtifactRate", "MeanSeverity"]
