"""Metrics by a formula: the paper's seven, and those that codec research adds to them.

Ours are those that a library has not, or not in float64 at a bearable cost: piq's SSIM, VIFp and
IW-SSIM take 10 to 100 times as long there. GMSD, VSI, HaarPSI and MDSI are piq's. Similarities are
at most 1.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from nacd_bench.baselines.base import Baseline
from nacd_bench.errors import ImageError
from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import lab
from nacd_bench.ops.dss import BLOCK, DSS_SIDE, dss
from nacd_bench.ops.filters import reduced
from nacd_bench.ops.fsim import fsim
from nacd_bench.ops.iw_ssim import iw_ssim
from nacd_bench.ops.nlpd import MIN_SIDE, nlpd
from nacd_bench.ops.psnr import LEAST_ERROR
from nacd_bench.ops.psnr_hvsm import visible_error
from nacd_bench.ops.ssimulacra2 import SSIMULACRA2_SIDE, ssimulacra2
from nacd_bench.ops.strips import Plane, strips
from nacd_bench.ops.structure import GAUSSIAN, MSSSIM_SIDE, mean_similarity, ms_ssim, ssim
from nacd_bench.ops.vif import VIF_SIDE, vif
from nacd_bench.triplets.batch import TripletBatch


def _decibels(errors: Tensor) -> Tensor:
    return errors.clamp(min=LEAST_ERROR).log10() * -10


def _psnr(reference: Plane, test: Plane) -> Tensor:
    sums = [(x - y).square_().sum(dim=(1, 2, 3)) for _, (x, y) in strips(reference, test)]
    return _decibels(torch.stack(sums).sum(dim=0) / test.shape[1:].numel())


def _psnr_hvsm(reference: Tensor, test: Tensor) -> Tensor:
    return _decibels(visible_error(reference, test))


def _ciede2000(reference: Plane, test: Plane) -> Tensor:
    sums = []
    for _, rows in strips(reference, test):
        pair = torch.broadcast_tensors(*map(lab, rows))
        sums.append(ciede2000(*pair).sum(dim=(1, 2, 3)))
    return torch.stack(sums).sum(dim=0) / test.shape[2:].numel()


def _iw_ssim(reference: Plane, test: Plane) -> Tensor:
    value = iw_ssim(reference, test)
    if value.isnan().any():
        raise ImageError(
            "iw_ssim expects an original with structure at every scale, got one that is flat, "
            "or the same along a side. Leave the image or the metric out."
        )
    return value


def _by_piq(name: str, reference: Tensor, test: Tensor) -> Tensor:
    import piq

    metric = partial(getattr(piq, name), data_range=1.0, reduction="none")
    # one by one: rounding of its convolutions depends on the place in the batch
    return torch.cat([metric(reference, one) for one in test.split(1)])


def _similarity_by_piq(name: str, reference: Tensor, test: Tensor) -> Tensor:
    """At most 1, which rounding may pass; 1 of two black pictures, where HaarPSI divides by 0."""
    values = _by_piq(name, reference, test)
    return torch.where(values.isfinite(), values, 1).clamp(max=1)


def _mdsi(reference: Tensor, test: Tensor) -> Tensor:
    # piq's arguments: the distorted image comes first; its own reduction rounds 2.5 to 2
    return torch.cat([_by_piq("mdsi", reduced(one), reduced(reference)) for one in test.split(1)])


class InStrips(Baseline, in_strips=True):
    """A metric of ours that is worked out in strips where pictures are large."""


class PSNR(InStrips, name="psnr", metric=_psnr):
    """Peak signal-to-noise ratio of luma (Y) in dB; 300 for equal luma."""


class PSNRRGB(InStrips, name="psnr_rgb", metric=_psnr, in_color=True):
    """Peak signal-to-noise ratio over R, G and B together in dB; 300 for equal pictures."""


class PSNRHVSM(Baseline, name="psnr_hvsm", metric=_psnr_hvsm, min_side=BLOCK):
    """PSNR of what is visible in luma (PSNR-HVS-M, Ponomarenko et al. 2007) in dB; at most 300."""


class SSIMULACRA2(
    Baseline,
    name="ssimulacra2",
    metric=ssimulacra2,
    min_side=SSIMULACRA2_SIDE,
    in_color=True,
    memory=1000,
):
    """SSIMULACRA 2.1 (Sneyers 2023): lost structure, new and lost edges, at six scales."""


class CIEDE2000(
    InStrips, name="ciede2000", metric=_ciede2000, in_color=True, higher_is_better=False
):
    """Mean colour difference CIEDE2000 over the pixels: a distance."""


class SSIM(InStrips, name="ssim", metric=ssim, min_side=GAUSSIAN):
    """Structural similarity (Wang et al. 2004): Gaussian 11 / 1.5, valid windows, full size."""

    def values_of(self, single: TripletBatch) -> Tensor:
        if min(single.height, single.width) < MSSSIM_SIDE:
            return super().values_of(single)
        return single.once(_finest_similarity)[:, 1]


class MSSSIM(InStrips, name="ms_ssim", metric=ms_ssim, min_side=MSSSIM_SIDE):
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003), five scales."""

    def values_of(self, single: TripletBatch) -> Tensor:
        if min(single.height, single.width) < MSSSIM_SIDE:
            return super().values_of(single)
        return ms_ssim(*self._planes(single), finest=single.once(_finest_similarity))


def _finest_similarity(single: TripletBatch) -> Tensor:
    """What SSIM and MS-SSIM share."""
    return mean_similarity(*SSIM()._planes(single))


class IWSSIM(InStrips, name="iw_ssim", metric=_iw_ssim, min_side=MSSSIM_SIDE):
    """Information-content weighted SSIM (Wang, Li 2011)."""


class VIFp(InStrips, name="vifp", metric=vif, min_side=VIF_SIDE):
    """Visual information fidelity in the pixel domain (Sheikh, Bovik 2006)."""


class FSIM(InStrips, name="fsim", metric=fsim, min_side=32):
    """Feature similarity (Zhang et al. 2011), on luma."""


class NLPD(InStrips, name="nlpd", metric=nlpd, min_side=MIN_SIDE, higher_is_better=False):
    """Normalized Laplacian pyramid distance (Laparra et al. 2016)."""


class ByPIQ(Baseline, package="piq"):
    """A metric that piq computes."""


class GMSD(ByPIQ, name="gmsd", metric=partial(_by_piq, "gmsd"), min_side=8, higher_is_better=False):
    """Gradient magnitude similarity deviation (Xue et al. 2014): a distance."""


class HaarPSI(ByPIQ, name="haarpsi", metric=partial(_similarity_by_piq, "haarpsi"), min_side=16):
    """Haar wavelet perceptual similarity (Reisenhofer et al. 2018), on luma."""


class DSS(Baseline, name="dss", metric=dss, min_side=DSS_SIDE):
    """DCT subband similarity (Balanov et al. 2015)."""


class VSI(ByPIQ, name="vsi", metric=partial(_similarity_by_piq, "vsi"), min_side=8, in_color=True):
    """Visual saliency-induced index (Zhang, Shen, Li 2014)."""


class MDSI(ByPIQ, name="mdsi", metric=_mdsi, min_side=8, in_color=True, higher_is_better=False):
    """Mean deviation similarity index (Nafchi et al. 2016): a distance."""
