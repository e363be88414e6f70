"""Every baseline against its definition in float64, in pictures where order and sign matter."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from checks import fails
from PIL import Image as PILImage
from references import bands_in_scipy, blurred, halves, luma, ms_ssim
from scipy import fft, ndimage, signal
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from nacd_bench.baselines import ALL
from nacd_bench.coding.matched import qualities
from nacd_bench.coding.rate import luma_psnr
from nacd_bench.errors import ImageError, PluginError
from nacd_bench.evaluation.rate_distortion import bd_rates
from nacd_bench.ops.fsim import fsim
from nacd_bench.ops.ssimulacra2 import WEIGHTS
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import BASELINES
from nacd_bench.triplets.batch import TripletBatch

pytestmark = pytest.mark.numeric

Image = np.ndarray


def tensor(*images: Image) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def score(name: str, original: Image, neural: Image, traditional: Image) -> float:
    batch = TripletBatch(tensor(original), tensor(neural), tensor(traditional))
    return float(BASELINES.get(name)()(batch))


def pictures(height: int, width: int) -> tuple[Image, Image, Image]:
    """A photograph's part, a decode without its detail and colour, and a sharp noisy one."""
    rng = np.random.default_rng(height)
    original = np.ascontiguousarray(photo("coffee")[5 : 5 + height, 30 : 30 + width])
    soft = ndimage.gaussian_filter(original.astype(float), (2, 2, 0))
    dull = 0.8 * soft + 0.1 * soft.mean(axis=2, keepdims=True)
    sharp = original + 0.4 * (original - soft) + rng.normal(0, 3, original.shape)
    return original, *(np.rint(x).clip(0, 255).astype(np.uint8) for x in (dull, sharp))


# --- definitions, of an original and a decode of 8 bits


def psnr(o: Image, d: Image) -> float:
    return peak_signal_noise_ratio(luma(o), luma(d), data_range=1.0)


def ssim(o: Image, d: Image) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(luma(o), luma(d), data_range=1.0, **options)


def iw_ssim(o: Image, d: Image) -> float:
    """piq's, whose first argument is the decode: the information weighed is that of the second."""
    return piq.information_weighted_ssim(*(plane(luma(x)) for x in (d, o))).item()


def vifp(o: Image, d: Image) -> float:
    return piq.vif_p(*(plane(luma(x)) for x in (d, o))).item()


def plane(x: Image) -> Tensor:
    return torch.from_numpy(x.clip(0, 1))[None, None]


def fsim_by_piq(o: Image, d: Image) -> float:
    """Of an odd number of pixels, where piq's median is the median."""
    assert o[..., 0].size % 2
    return piq.fsim(plane(luma(o)), plane(luma(d)), chromatic=False).item()


def nlpd(o: Image, d: Image) -> float:
    pairs = zip(bands_in_scipy(luma(o)), bands_in_scipy(luma(d)), strict=True)
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs]))


def gmsd(o: Image, d: Image) -> float:
    """Xue et al. 2014, eq. 1 to 6."""
    go, gd = (prewitt(halves(255 * luma(x))) for x in (o, d))
    return float(((2 * go * gd + 170) / (go**2 + gd**2 + 170)).std())


def prewitt(x: Image) -> Image:
    kernel = np.array([[1, 0, -1]] * 3) / 3
    sides = (ndimage.convolve(x, each, mode="constant") for each in (kernel, kernel.T))
    return np.hypot(*sides)


def haarpsi(o: Image, d: Image) -> float:
    """Reisenhofer et al. 2018, eq. 8 to 12, on luma; C = 30, alpha = 4.2."""

    def coefficients(x: Image, scale: int, across: bool) -> Image:
        side = 2**scale
        haar = np.ones((side, side)) / side
        haar[side // 2 :] *= -1
        whole = signal.convolve2d(x, haar.T if across else haar)
        return np.abs(whole[side // 2 :, side // 2 :][: x.shape[0], : x.shape[1]])

    x, y = (halves(255 * luma(image)) for image in (o, d))
    total = weights = 0.0
    for across in (False, True):
        weight = np.maximum(coefficients(x, 3, across), coefficients(y, 3, across))
        similarity = np.zeros_like(x)
        for scale in (1, 2):
            a, b = coefficients(x, scale, across), coefficients(y, scale, across)
            similarity += (2 * a * b + 30) / (a**2 + b**2 + 30) / 2
        total += (weight / (1 + np.exp(-4.2 * similarity))).sum()
        weights += weight.sum()
    share = total / weights
    return float((math.log(share / (1 - share)) / 4.2) ** 2)


def vsi(o: Image, d: Image) -> float:
    """Zhang, Shen, Li 2014, of 256 x 256 pixels, where the saliency needs no scaling."""
    assert o.shape == (256, 256, 3)
    v, u = np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij")
    radius = np.hypot(u, v)
    radius[0, 0] = 1
    band = np.exp(-(np.log(radius / 0.021) ** 2) / (2 * 1.34**2)) * (np.hypot(u, v) <= 0.5)
    band[0, 0] = 0
    row, column = np.meshgrid(np.arange(256) - 127.0, np.arange(256) - 127.0, indexing="ij")
    near = np.exp(-(row**2 + column**2) / 145**2)

    def spread(x: Image) -> Image:
        return (x - x.min()) / (x.max() - x.min())

    def saliency(image: Image) -> Image:
        lab = rgb2lab(image, illuminant="D50")
        seen = np.sqrt(sum(fft.ifft2(fft.fft2(c) * band).real ** 2 for c in np.moveaxis(lab, 2, 0)))
        warm = spread(lab[..., 1]) ** 2 + spread(lab[..., 2]) ** 2
        return spread(seen * near * (1 - np.exp(-warm / 0.001**2)))

    def lmn(image: Image) -> Image:
        weights = [(0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17)]
        return np.moveaxis(image.astype(float) @ np.transpose(weights), 2, 0)

    def scharr(x: Image) -> Image:
        kernel = np.outer([3, 10, 3], [1, 0, -1]) / 16
        sides = (ndimage.convolve(x, each, mode="constant") for each in (kernel, kernel.T))
        return np.hypot(*sides)

    def likeness(a: Image, b: Image, c: float) -> Image:
        return (2 * a * b + c) / (a**2 + b**2 + c)

    so, sd = saliency(o), saliency(d)
    (lo, mo, no), (ld, md, nd) = lmn(o), lmn(d)
    colour = (likeness(mo, md, 130) * likeness(no, nd, 130)).astype(complex) ** 0.02
    value = likeness(so, sd, 1.27) * likeness(scharr(lo), scharr(ld), 386) ** 0.4 * colour.real
    weight = np.maximum(so, sd)
    return float((value * weight).sum() / weight.sum())


def mdsi(o: Image, d: Image) -> float:
    """Nafchi et al. 2016, eq. 1 to 9: decode and mean, less original and mean."""

    def lhm(image: Image) -> Image:
        weights = [(0.2989, 0.5870, 0.1140), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17)]
        planes = np.moveaxis(image.astype(float) @ np.transpose(weights), 2, 0)
        return np.stack([halves(x) for x in planes]) if min(image.shape[:2]) >= 384 else planes

    def likeness(a: Image, b: Image, c: float) -> Image:
        return (2 * a * b + c) / (a**2 + b**2 + c)

    (lo, ho, mo), (ld, hd, md) = lhm(o), lhm(d)
    go, gd, gf = prewitt(lo), prewitt(ld), prewitt((lo + ld) / 2)
    structure = likeness(go, gd, 140) + likeness(gd, gf, 55) - likeness(go, gf, 55)
    colour = (2 * (ho * hd + mo * md) + 550) / (ho**2 + hd**2 + mo**2 + md**2 + 550)
    both = (0.6 * structure + 0.4 * colour).astype(complex) ** 0.25
    return float(np.abs(both - both.mean()).mean() ** 0.25)


def dss(o: Image, d: Image) -> float:
    """Balanov et al. 2015, subband by subband."""
    weights, values = [], []
    taps = np.exp(-np.array([1, 0, 1]) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2

    def mean(x: Image) -> Image:
        return ndimage.convolve(x, window, mode="constant")

    def worst(x: Image) -> float:
        return float(np.sort(x.ravel())[: round(0.05 * x.size)].mean())

    def coded(image: Image) -> Image:
        h, w = (side // 8 for side in image.shape[:2])
        blocks = (255 * luma(image))[: 8 * h, : 8 * w].reshape(h, 8, w, 8)
        return fft.dctn(blocks, axes=(1, 3), norm="ortho")

    co, cd = coded(o), coded(d)
    for m in range(8):
        for n in range(8):
            weight = math.exp(-((m + 0.5) ** 2 + (n + 0.5) ** 2) / (2 * 1.55**2))
            if weight < 0.01:
                continue
            x, y, c = co[:, m, :, n], cd[:, m, :, n], 300 if m or n else 1000
            vx, vy = (np.maximum(mean(p * p) - mean(p) ** 2, 0) for p in (x, y))
            value = worst((2 * np.sqrt(vx * vy) + c) / (vx + vy + c))
            if not (m or n):
                covariance = mean(x * y) - mean(x) * mean(y)
                value *= worst((covariance + c) / (np.sqrt(vx * vy) + c))
            weights.append(weight)
            values.append(value)
    return float(np.average(values, weights=weights))


def psnr_rgb(o: Image, d: Image) -> float:
    return peak_signal_noise_ratio(o, d, data_range=255)


def mean_ciede2000(o: Image, d: Image) -> float:
    return float(deltaE_ciede2000(rgb2lab(o), rgb2lab(d)).mean())


def psnr_hvsm(o: Image, d: Image) -> float:
    """Ponomarenko et al. 2007, block by block, with the first sensitivity that they print."""
    file = io.BytesIO()
    PILImage.new("L", (8, 8)).save(file, "JPEG", quality=50)  # T.81's table as it is
    table = np.reshape(PILImage.open(file).quantization[0], (8, 8))  # type: ignore[attr-defined]
    sensitivity, masking = 1.608443 * 16 / table, (10 / table) ** 2

    def variance(x: Image) -> float:
        return float(x.var(ddof=1) * x.size)

    def hides(block: Image, coefficients: Image) -> float:
        energy = (coefficients**2 * masking).sum() - coefficients[0, 0] ** 2 * masking[0, 0]
        quarters = [block[i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
        return math.sqrt(energy * sum(map(variance, quarters)) / variance(block)) / 32

    total, blocks = 0.0, 0
    for i in range(0, o.shape[0] - 7, 8):
        for j in range(0, o.shape[1] - 7, 8):
            pair = [luma(x[i : i + 8, j : j + 8]) for x in (o, d)]
            a, b = (fft.dctn(x, norm="ortho") for x in pair)
            hidden = max(map(hides, pair, (a, b))) / masking
            hidden[0, 0] = 0
            total += ((np.maximum(np.abs(a - b) - hidden, 0) * sensitivity) ** 2).mean()
            blocks += 1
    return -10 * math.log10(total / blocks)


def ssimulacra2(o: Image, d: Image) -> float:
    """The author's description, scale by scale, with the three cosines of his blur."""
    n, omega = np.arange(-4, 5), np.pi / 10 * np.array([1, 3, 5])
    taps = np.array([0.17893914, 0.07272614, 0.01295582]) @ np.cos(omega[:, None] * n)

    def light(image: Image) -> Image:
        x = image / 255
        return np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)

    def xyb(x: Image) -> Image:
        bias, short = 0.0037930732552754493, (0.24342268924547819, 0.20476744424496821)
        weights = [(0.3, 0.622, 0.078), (0.23, 0.692, 0.078), (*short, 1 - sum(short))]
        m = np.cbrt(x @ np.transpose(weights) + bias) - np.cbrt(bias)
        y = (m[..., 0] + m[..., 1]) / 2
        return np.stack([7 * (m[..., 0] - m[..., 1]) + 0.42, y + 0.01, m[..., 2] - y + 0.55])

    def blur(x: Image) -> Image:
        for axis in (1, 2):
            x = ndimage.correlate1d(x, taps, axis=axis, mode="constant")
        return x

    x, y, total = light(o), light(d), 0.0
    for scale in range(6):
        if scale:
            x, y = (np.stack([halves(p, "edge") for p in np.moveaxis(z, 2, 0)], 2) for z in (x, y))
        a, b = xyb(x), xyb(y)
        ma, mb = blur(a), blur(b)
        va, vb, c = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        lost = 1 - (1 - (ma - mb) ** 2) * (2 * c + 0.0009) / (va + vb + 0.0009)
        edges = (1 + abs(b - mb)) / (1 + abs(a - ma)) - 1
        maps = np.maximum([lost, edges, -edges], 0)
        norms = [(maps**power).mean(axis=(2, 3)) ** (1 / power) for power in (1, 4)]
        total += (np.concatenate(norms).T * np.array(WEIGHTS)[:, scale]).sum()
    total *= 0.9562382616834844
    factors = (6.248496625763138e-05, -0.020884521182843837, 2.326765642916932, 0)
    return float(100 - 10 * np.polyval(factors, total) ** 0.6276336467831387)


DEFINITIONS = {
    "psnr": (psnr, 1),
    "ssim": (ssim, 1),
    "ms_ssim": (ms_ssim, 1),
    "iw_ssim": (iw_ssim, 1),
    "vifp": (vifp, 1),
    "fsim": (fsim_by_piq, 1),
    "nlpd": (nlpd, -1),
    "gmsd": (gmsd, -1),
    "haarpsi": (haarpsi, 1),
    "mdsi": (mdsi, -1),
    "dss": (dss, 1),
    "vsi": (vsi, 1),
    "psnr_rgb": (psnr_rgb, 1),
    "psnr_hvsm": (psnr_hvsm, 1),
    "ciede2000": (mean_ciede2000, -1),
    "ssimulacra2": (ssimulacra2, 1),
}
"""Of each baseline, and whether higher is better."""


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [(name, 163, 171) for name in ALL if name != "vsi"] + [("vsi", 256, 256), ("mdsi", 385, 389)],
)
def test_scores_are_differences_of_the_definition(name: str, height: int, width: int) -> None:
    """To 1e-9 of values of about 1 (dB for PSNR): float64 sums of 10^5 terms keep eleven digits,
    and piq's, which are subtracted from the square of a mean on 0..255, keep ten."""
    definition, sign = DEFINITIONS[name]
    original, neural, traditional = pictures(height, width)
    expected = sign * (definition(original, traditional) - definition(original, neural))
    # skimage's colour matrices have six digits, and VSI sees that through the rim of its saliency;
    # piq adds 1e-8 to what VIF divides by; printed constants of four to eight digits
    rounded = dict.fromkeys(("ciede2000", "psnr_hvsm", "ssimulacra2"), 1e-5)
    tolerance = {"vsi": 2e-5, "vifp": 1e-8, **rounded}.get(name, 1e-9)
    assert abs(expected) > 0.005
    assert score(name, original, neural, traditional) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", ["vifp", "iw_ssim", "mdsi", "ssimulacra2"])
def test_metrics_that_are_not_symmetric_know_the_original(name: str) -> None:
    """The other order is far off, so that the test above sees it."""
    definition, _ = DEFINITIONS[name]
    original, dull, _ = pictures(163, 171)
    assert abs(definition(original, dull) - definition(dull, original)) > 1e-3


def test_fsim_reduces_as_the_authors_do() -> None:
    """FeatureSIM.m: conv2(..., 'same') with a mean of n x n, then every n-th pixel."""
    original, _, decode = pictures(387, 395)
    kernel = np.ones((2, 2)) / 4
    small = [
        signal.convolve2d(luma(x), kernel)[1:, 1:][: x.shape[0], : x.shape[1]][::2, ::2]
        for x in (original, decode)
    ]
    expected = fsim(*(plane(x) for x in small)).item()
    assert fsim(plane(luma(original)), plane(luma(decode))).item() == pytest.approx(
        expected, abs=1e-12
    )


def test_chromatic_fsim_is_that_of_piq() -> None:
    """To 1e-5: piq's YIQ weights have a fourth digit where the authors' have three."""
    original, _, decode = (tensor(x).double() / 255 for x in pictures(101, 99))
    assert fsim(original, decode).item() == pytest.approx(
        piq.fsim(original, decode).item(), abs=1e-5
    )


# --- values that others publish

BY_AUTHORS = {
    # psnr-hvsm 0.3.0, held against the authors' code; ssimulacra2 of libjxl 0.11.2, both orders
    "astronaut": (32.137679647454476, 61.27650354, 64.10497105),
    "chelsea": (27.258066192534418, 24.60055311, 25.61353549),
    "coffee": (27.544607161326336, 25.61137043, 26.87433705),
    "rocket": (38.02871394148825, 57.45753952, 59.6769397),
    "china": (20.21535910758709, -14.57236589, -14.36541542),
}


@pytest.mark.parametrize("name", BY_AUTHORS)
def test_values_of_the_authors_programs(name: str) -> None:
    """SSIMULACRA 2 to 0.1: the tool takes roots and powers by polynomials in float32."""
    original, decode = blurred(name)
    hvsm, there, back = BY_AUTHORS[name]
    assert value("psnr_hvsm", original, decode) == pytest.approx(hvsm, abs=1e-5)
    assert value("ssimulacra2", original, decode) == pytest.approx(there, abs=0.1)
    assert value("ssimulacra2", decode, original) == pytest.approx(back, abs=0.1)


def test_mean_ciede2000_is_that_of_published_pairs() -> None:
    """Pairs 17, 21, 25 and 29 of Sharma, Wu, Dalal 2005, as colours of pixels."""
    pairs = [
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (50, 3.1736, 0.5854), 1.0),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ]
    first, second, distances = zip(*pairs, strict=True)
    rgb = [torch.from_numpy(lab2rgb([colors])).permute(2, 0, 1)[None] for colors in (first, second)]
    found = BASELINES.get("ciede2000")().values(*rgb).item()
    assert found == pytest.approx(np.mean(distances), abs=1e-4)


def test_psnr_is_of_luma_and_psnr_rgb_of_three_channels() -> None:
    """One level of blue everywhere: 255^2 / (1 / 3), and / 0.114^2 of Y."""
    gray = np.full((9, 8, 3), 100, np.uint8)
    blue = gray + np.array([0, 0, 1], np.uint8)
    assert value("psnr_rgb", gray, blue) == pytest.approx(10 * math.log10(3 * 255**2), abs=1e-9)
    assert value("psnr", gray, blue) == pytest.approx(20 * math.log10(255 / 0.114), abs=1e-9)


class TestVMAF:
    @pytest.fixture(autouse=True)
    def package(self) -> None:
        pytest.importorskip("vmaf_torch", reason="need vmaf-torch (pip install 'nacd-bench[vmaf]')")

    @pytest.mark.parametrize("neg", [False, True])
    def test_values_are_those_of_libvmaf(self, neg: bool, tmp_path: Path) -> None:
        """Of ffmpeg, to 0.1, both orders; it computes in whole numbers and cuts at 0 and 100."""
        metric = BASELINES.get("vmaf")(neg=neg)
        for name in ("astronaut", "china"):
            pair = blurred(name)
            for original, decode in (pair, pair[::-1]):
                unbounded = metric.values(plane(luma(original)), plane(luma(decode))).item()
                expected = libvmaf(original, decode, neg, tmp_path)
                assert min(max(unbounded, 0), 100) == pytest.approx(expected, abs=0.1)

    def test_larger_means_that_neural_is_worse(self) -> None:
        original, dull, sharp = (tensor(x) for x in pictures(163, 171))
        metric = BASELINES.get("vmaf")()
        score = metric(TripletBatch(original, dull, sharp))
        assert score.item() > 10
        assert torch.equal(metric(TripletBatch(original, sharp, dull)), -score)
        assert metric(TripletBatch(original, dull, dull)).item() == 0
        deep = (x.float() / 255 for x in (original, dull, sharp))
        assert metric(TripletBatch(*deep)).item() == pytest.approx(score.item(), abs=1e-5)

    def test_bad_decodes_do_not_tie(self) -> None:
        """libvmaf calls both 0."""
        original = plane(luma(pictures(163, 171)[0]))
        metric = BASELINES.get("vmaf")()
        bad, worse = (metric.values(original, x - original * x).item() for x in (0.5, 1))
        assert max(bad, worse) < 0 and bad != worse

    def test_small_and_degenerate_pictures(self) -> None:
        images = degenerate(BASELINES.get("vmaf").min_side)
        values = [value("vmaf", x, y) for x in images.values() for y in images.values()]
        assert all(map(math.isfinite, values))
        small = TripletBatch(*(tensor(x[:16]) for x in list(images.values())[:3]))
        with pytest.raises(ImageError, match="vmaf expects images of at least 17 x 17 pixels"):
            BASELINES.get("vmaf")()(small)
        assert BASELINES.get("vmaf")(small="pad")(small).isfinite().all()


def libvmaf(original: Image, decode: Image, neg: bool, folder: Path) -> float:
    """By ffmpeg, of luma as it is: gray chroma, and no other conversion."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    inputs = []
    for name, image in (("decode", decode), ("original", original)):  # as ffmpeg takes them
        levels = np.rint(16 + 219 * luma(image)).astype(np.uint8)
        chroma = np.full((2, *levels.shape), 128, np.uint8)
        (folder / name).write_bytes(levels.tobytes() + chroma.tobytes())
        size = f"{levels.shape[1]}x{levels.shape[0]}"
        inputs += ["-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", size, "-i", name]
    model = f"version=vmaf_v0.6.1{'neg' if neg else ''}"
    graph = f"[0:v][1:v]libvmaf=model={model}:log_fmt=json:log_path=log"
    command = [ffmpeg, *inputs, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return float(json.loads((folder / "log").read_text())["pooled_metrics"]["vmaf"]["mean"])


def test_vmaf_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vmaf_torch", None)
    fails(PluginError, r"needs the package vmaf-torch.*nacd-bench\[vmaf\]", BASELINES.get("vmaf"))


# --- exact antisymmetry, and what must not matter


def batch_of_all_kinds() -> TripletBatch:
    """A photograph, noise, a flat decode, a flat decode of another level, equal decodes."""
    original, soft, sharp = pictures(171, 165)
    noise = np.random.default_rng(4).integers(0, 256, (3, *original.shape), dtype=np.uint8)
    flat = np.full_like(original, 200)
    triplets = [
        (original, soft, sharp),
        tuple(noise),
        (original, flat, sharp),
        (original, flat, np.full_like(original, 255)),
        (original, soft, soft),
    ]
    return TripletBatch(*(tensor(*side) for side in zip(*triplets, strict=True)))


@pytest.mark.parametrize(
    ("name", "deep"), [(name, False) for name in ALL] + [("psnr", True), ("mdsi", True)]
)
def test_exchanged_decodes_change_the_sign_and_nothing_else(name: str, deep: bool) -> None:
    """Bit for bit, in one batch, at any place in it, on one thread or two."""
    batch = batch_of_all_kinds()
    if deep:
        batch = TripletBatch(
            *(x.float() / 255 for x in (batch.original, batch.neural, batch.traditional))
        )
    both = TripletBatch(
        torch.cat([batch.original, batch.original]),
        torch.cat([batch.neural, batch.traditional]),
        torch.cat([batch.traditional, batch.neural]),
    )
    metric = BASELINES.get(name)()
    scores = metric(both)
    assert scores.isfinite().all() and scores[4] == 0
    assert torch.equal(scores[:5], -scores[5:])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(before, 2))
        assert torch.equal(metric(batch[2]), scores[2:3])
    finally:
        torch.set_num_threads(before)


# --- degenerate pictures


def degenerate(side: int) -> dict[str, Image]:
    rng = np.random.default_rng(side)
    shape = (side, side + 1, 3)
    gray = rng.integers(0, 256, (*shape[:2], 1), dtype=np.uint8).repeat(3, axis=2)
    dot = np.full(shape, 255, np.uint8)
    dot[side // 2, side // 2] = 0
    flats = {str(level): np.full(shape, level, np.uint8) for level in (0, 200, 255)}
    return flats | {"gray": gray, "dot": dot, "color": rng.integers(0, 256, shape, dtype=np.uint8)}


def value(name: str, original: Image, decode: Image) -> float:
    kind = BASELINES.get(name)
    pair = (original, decode)
    planes = (tensor(x).double() / 255 if kind.in_color else plane(luma(x)) for x in pair)
    return float(kind().values(*planes))


def test_dss_of_flat_pictures_with_themselves_is_exactly_1() -> None:
    """What rounding leaves of their variance and covariance differs, and by processor."""
    for level in range(256):
        flat = np.full((64, 64, 3), level, np.uint8)
        assert value("dss", flat, flat) == 1


@pytest.mark.parametrize("name", ALL)
def test_degenerate_pictures_have_a_value_in_range(name: str) -> None:
    """Of the smallest size: flat, black, white, gray, a single dot, equal ones."""
    kind = BASELINES.get(name)
    best = 300.0 if name.startswith("psnr") else float(kind.higher_is_better)
    best = 100.0 if name == "ssimulacra2" else best
    images = degenerate(kind.min_side)
    for first, original in images.items():
        for second, decode in images.items():
            if name == "iw_ssim" and first.isdigit():
                message = "structure at every scale, got one that is flat"
                fails(ImageError, message, value, name, original, decode)
                continue
            got = value(name, original, decode)
            assert math.isfinite(got), (first, second)
            if first == second:
                assert got == pytest.approx(best, abs=1e-14)  # HaarPSI takes a logarithm back
            elif name != "vifp":  # more contrast than the original's is more than 1
                assert got <= best if kind.higher_is_better else got >= 0


def test_flat_pictures_have_the_values_of_the_definitions() -> None:
    """White against 200: no structure is lost, and SSIM is its luminance term."""
    white, gray = (np.full((176, 177, 3), level, np.uint8) for level in (255, 200))
    luminance = (2 * 200 / 255 + 1e-4) / (1 + (200 / 255) ** 2 + 1e-4)
    for name, expected in {"ssim": luminance, "ms_ssim": luminance**0.1333, "vifp": 1.0}.items():
        assert value(name, white, gray) == pytest.approx(expected, abs=1e-12)


def test_a_flat_decode_has_no_phase_congruency() -> None:
    """Rounding decides nothing: what depends on the level is the step to the border's zeros."""
    for side in (64, 101):
        original = plane(luma(pictures(side, side)[0]))
        dark = [fsim(original, torch.full_like(original, i * 1e-8)).item() for i in range(4)]
        assert max(dark) - min(dark) < 1e-6
        assert abs(fsim(original, torch.full_like(original, 129 / 255)).item() - dark[0]) < 0.06


def test_an_original_that_repeats_along_a_side_has_no_iw_ssim() -> None:
    rng = np.random.default_rng(0)
    stripes = np.broadcast_to(rng.integers(0, 256, (1, 176, 1), dtype=np.uint8), (170, 176, 3))
    noise = rng.integers(0, 256, stripes.shape, dtype=np.uint8)
    fails(ImageError, "the same along a side", score, "iw_ssim", stripes, noise, stripes)


# --- what saturated


def test_psnr_over_100_db_is_no_tie() -> None:
    """16 bits: one level of blue in one pixel and in ten, 10 dB apart to float32's steps."""
    original = np.full((1, 3, 64, 64), 30000 / 65535, np.float32)
    one, ten = original.copy(), original.copy()
    one[0, 2, 0, 0] = ten[0, 2, 0, :10] = 30001 / 65535
    batch = TripletBatch(*(torch.from_numpy(x) for x in (original, ten, one)))
    error = (0.114 / 65535) ** 2 / 64**2
    metric = BASELINES.get("psnr")()
    assert float(metric(batch)) == pytest.approx(10.0, abs=1e-9)
    equal = TripletBatch(batch.original, batch.traditional, batch.original)
    # a level is 1.526e-5, and float32 rounds it by up to 3e-8 here: 0.2 %, 0.02 dB
    assert float(metric(equal)) == pytest.approx(300 + 10 * math.log10(error), abs=0.02)


def test_luma_psnr_of_compress_is_no_tie_over_100_db() -> None:
    original = np.zeros((512, 512, 3), np.uint8)
    one, two = original.copy(), original.copy()
    one[0, 0, 2] = two[0, :2, 2] = 1
    found = luma_psnr(original, one)
    assert found == pytest.approx(10 * math.log10(255**2 * 512**2 / 0.114**2), abs=1e-9)
    assert found - luma_psnr(original, two) == pytest.approx(10 * math.log10(2), abs=1e-9)
    assert luma_psnr(original, original) == 300


def test_ms_ssim_of_compress_keeps_its_difference_from_1() -> None:
    """A bright page with one gray line: in dB of 1 - MS-SSIM to 1e-4, where six digits of MS-SSIM
    are 0.04 dB and float32 has no digit at all."""
    page = np.full((200, 210, 3), 250, np.uint8)
    page[90:94, 20:190] = 180
    decode = page.copy()
    decode[100, 50:60] = 249
    found = qualities(page, decode)["msssim"]
    assert found is not None and 1e-8 < 1 - found < 1e-5
    assert math.log10(1 - found) == pytest.approx(math.log10(1 - ms_ssim(page, decode)), abs=1e-5)


def test_steps_without_loss_are_left_out_of_the_bd_rate() -> None:
    """Both codecs' best step is lossless: what is left is 10 % of rate at every quality."""
    quality = [(30.0, 0.95), (34.0, 0.98), (36.0, 0.99), (38.0, 0.995), (300.0, 1.0)]
    rows = [
        {
            "traditional_label": "x",
            "source": "a",
            "preset": str(step),
            "neural_bpp": 0.9 * 2**step,
            "traditional_bpp": 2.0**step,
        }
        | {f"{side}_psnr": psnr for side in ("neural", "traditional")}
        | {f"{side}_msssim": msssim for side in ("neural", "traditional")}
        for step, (psnr, msssim) in enumerate(quality)
    ]
    rows[-1]["neural_bpp"] = 8 * rows[-1]["traditional_bpp"]  # would count for most of the scale
    assert [row["percent"] for row in bd_rates(rows)[:2]] == [pytest.approx(-10)] * 2


def test_the_definitions_are_of_all_baselines() -> None:
    assert DEFINITIONS.keys() == {*ALL}
