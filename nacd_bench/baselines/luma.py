"""Metrics of luma: the paper's seven, and GMSD, HaarPSI and DSS.

Ours are those that a library has not, or not in float64 at a bearable cost: piq's SSIM, VIFp and
IW-SSIM take 10 to 100 times as long there. GMSD and HaarPSI are piq's. Similarities are at most 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nacd_bench.baselines.base import Baseline
from nacd_bench.errors import ImageError
from nacd_bench.ops.dss import DSS_SIDE, dss
from nacd_bench.ops.fsim import fsim
from nacd_bench.ops.iw_ssim import iw_ssim
from nacd_bench.ops.nlpd import MIN_SIDE, nlpd
from nacd_bench.ops.psnr import psnr
from nacd_bench.ops.structure import GAUSSIAN, MSSSIM_SIDE, ms_ssim, ssim
from nacd_bench.ops.vif import VIF_SIDE, vif


class PSNR(Baseline):
    """Peak signal-to-noise ratio in dB; 300 for equal luma."""

    name = "psnr"

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        errors = (reference - test).square().mean(dim=(1, 2, 3))
        return errors.new_tensor([psnr(error) for error in errors.tolist()])


class SSIM(Baseline):
    """Structural similarity (Wang et al. 2004): Gaussian 11 / 1.5, valid windows, full size."""

    name = "ssim"
    min_side = GAUSSIAN

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return ssim(reference, test)


class MSSSIM(Baseline):
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003), five scales."""

    name = "ms_ssim"
    min_side = MSSSIM_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return ms_ssim(reference, test)


class IWSSIM(Baseline):
    """Information-content weighted SSIM (Wang, Li 2011)."""

    name = "iw_ssim"
    min_side = MSSSIM_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        value = iw_ssim(reference, test)
        if value.isnan().any():
            raise ImageError(
                "iw_ssim expects an original with structure at every scale, got one that is flat, "
                "or the same along a side. Leave the image or the metric out."
            )
        return value


class VIFp(Baseline):
    """Visual information fidelity in the pixel domain (Sheikh, Bovik 2006)."""

    name = "vifp"
    min_side = VIF_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return vif(reference, test)


class FSIM(Baseline):
    """Feature similarity (Zhang et al. 2011), on luma."""

    name = "fsim"
    min_side = 32

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return fsim(reference, test)


class NLPD(Baseline):
    """Normalized Laplacian pyramid distance (Laparra et al. 2016)."""

    name = "nlpd"
    higher_is_better = False
    min_side = MIN_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return nlpd(reference, test)


class GMSD(Baseline):
    """Gradient magnitude similarity deviation (Xue et al. 2014)."""

    name = "gmsd"
    higher_is_better = False
    min_side = 8

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import gmsd

        return gmsd(reference, test, data_range=1.0, reduction="none")


class HaarPSI(Baseline):
    """Haar wavelet perceptual similarity (Reisenhofer et al. 2018), on luma."""

    name = "haarpsi"
    min_side = 16

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import haarpsi

        value = haarpsi(reference, test, data_range=1.0, reduction="none")
        # two black pictures have no wavelet coefficient to weigh by, and piq divides by 0
        return torch.where(value.isfinite(), value, 1).clamp(max=1)


class DSS(Baseline):
    """DCT subband similarity (Balanov et al. 2015)."""

    name = "dss"
    min_side = DSS_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return dss(reference, test)
