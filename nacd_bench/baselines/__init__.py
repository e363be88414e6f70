"""IQA metrics as scores to compare detectors with (paper, eq. 29 and 30).

>>> from nacd_bench.baselines import PSNR
>>> PSNR().higher_is_better
True
"""

from __future__ import annotations

from nacd_bench.baselines.base import Baseline
from nacd_bench.baselines.learned import DISTS, LPIPS
from nacd_bench.baselines.metrics import (
    CIEDE2000,
    DSS,
    FSIM,
    GMSD,
    IWSSIM,
    MDSI,
    MSSSIM,
    NLPD,
    PSNR,
    PSNRHVSM,
    PSNRRGB,
    SSIM,
    SSIMULACRA2,
    VSI,
    HaarPSI,
    VIFp,
)
from nacd_bench.baselines.vmaf import VMAF

PAPER = ("psnr", "ssim", "ms_ssim", "iw_ssim", "vifp", "fsim", "nlpd")
"""Those of the paper's comparison (section 5)."""

ALL = (
    *PAPER,
    *("gmsd", "vsi", "haarpsi", "mdsi", "dss"),
    *("psnr_rgb", "psnr_hvsm", "ciede2000", "ssimulacra2"),
)
"""All that need neither weights nor a package of their own."""


__all__ = [
    "ALL",
    "CIEDE2000",
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
    "PSNRHVSM",
    "PSNRRGB",
    "SSIM",
    "SSIMULACRA2",
    "VMAF",
    "VSI",
    "Baseline",
    "HaarPSI",
    "VIFp",
]
