"""IQA metrics as scores to compare detectors with (paper, eq. 29 and 30).

>>> from nacd_bench.baselines import PSNR
>>> PSNR().higher_is_better
True
"""

from __future__ import annotations

from nacd_bench.baselines.base import Baseline
from nacd_bench.baselines.learned import DISTS, LPIPS
from nacd_bench.baselines.metrics import (
    DSS,
    FSIM,
    GMSD,
    IWSSIM,
    MDSI,
    MSSSIM,
    NLPD,
    PSNR,
    SSIM,
    VSI,
    HaarPSI,
    VIFp,
)

PAPER = ("psnr", "ssim", "ms_ssim", "iw_ssim", "vifp", "fsim", "nlpd")
"""Those of the paper's comparison (section 5)."""

ALL = (*PAPER, "gmsd", "vsi", "haarpsi", "mdsi", "dss")
"""All that need no weights."""


__all__ = [
    "ALL",
    "DISTS",
    "DSS",
    "FSIM",
    "GMSD",
    "IWSSIM",
    "LPIPS",
    "MDSI",
    "MSSSIM",
    "NLPD",
    "PAPER",
    "PSNR",
    "SSIM",
    "VSI",
    "Baseline",
    "HaarPSI",
    "VIFp",
]
