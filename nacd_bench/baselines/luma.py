"""Metrics of luma: the paper's seven, and GMSD, HaarPSI and DSS.

piq computes most; its IW-SSIM, VIFp and FSIM agree with the authors' MATLAB code. PSNR, MS-SSIM
(piq's treats odd sides otherwise than the authors) and NLPD (the ports drop a tap) are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nacd_bench.baselines.base import Baseline
from nacd_bench.errors import ImageError
from nacd_bench.ops.nlpd import MIN_SIDE, nlpd
from nacd_bench.ops.structure import MSSSIM_SIDE, ms_ssim

MOST_PSNR = 100.0
"""dB for equal images, whose PSNR is infinite: then differences stay numbers."""


class PSNR(Baseline):
    """Peak signal-to-noise ratio in dB, at most 100."""

    name = "psnr"
    dtype = torch.float64

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        error = (reference - test).square().mean(dim=(1, 2, 3))
        return (-10 * torch.log10(error)).clamp(max=MOST_PSNR)


class SSIM(Baseline):
    """Structural similarity (Wang et al. 2004): Gaussian 11 / 1.5, valid windows, full size."""

    name = "ssim"
    min_side = 11

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import ssim

        found = ssim(reference, test, data_range=1.0, reduction="none", downsample=False)
        assert isinstance(found, Tensor)
        return found


class MSSSIM(Baseline):
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003), five scales."""

    name = "ms_ssim"
    dtype = torch.float64
    min_side = MSSSIM_SIDE

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        return ms_ssim(reference, test)


class IWSSIM(Baseline):
    """Information-content weighted SSIM (Wang, Li 2011)."""

    name = "iw_ssim"
    dtype = torch.float64
    min_side = 161

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import information_weighted_ssim

        try:
            return information_weighted_ssim(reference, test, data_range=1.0, reduction="none")
        except torch.linalg.LinAlgError:
            raise ImageError(
                "iw_ssim expects an original with structure at every scale, got one that is flat. "
                "Leave the image or the metric out."
            ) from None


class VIFp(Baseline):
    """Visual information fidelity in the pixel domain (Sheikh, Bovik 2006)."""

    name = "vifp"
    min_side = 41

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import vif_p

        # piq's arguments: the distorted image comes first
        return vif_p(test, reference, data_range=1.0, reduction="none")


class FSIM(Baseline):
    """Feature similarity (Zhang et al. 2011), on luma."""

    name = "fsim"
    min_side = 32

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import fsim

        return fsim(reference, test, data_range=1.0, reduction="none", chromatic=False)


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

        return haarpsi(reference, test, data_range=1.0, reduction="none")


class DSS(Baseline):
    """DCT subband similarity (Balanov et al. 2015)."""

    name = "dss"
    dtype = torch.float64
    min_side = 31

    def values(self, reference: Tensor, test: Tensor) -> Tensor:
        from piq import dss

        return dss(reference, test, data_range=1.0, reduction="none")
