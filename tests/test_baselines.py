"""IQA baselines against independent libraries, and as scores."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import visual_information_fidelity

import nacd_conf
from nacd_bench.baselines import (
    ALL,
    DISTS,
    FSIM,
    LPIPS,
    MSSSIM,
    PAPER,
    PSNR,
    SSIM,
    Baseline,
    VIFp,
    baseline_names,
)
from nacd_bench.data.photos import photos
from nacd_bench.errors import DataError, ImageError
from nacd_bench.registry import BASELINES
from nacd_bench.triplet import TripletBatch

CONF = Path(nacd_conf.__file__).parent

PAIRS = {
    "astronaut": (301, 451, 1.0),
    "chelsea": (300, 451, 2.0),
    "coffee": (255, 333, 1.5),
    "rocket": (362, 381, 0.8),
    "china": (217, 199, 3.0),
}
"""Height, width and blur of five pairs of photographs, odd sizes among them."""

FSIM_BY_PIQA = {
    "astronaut": 0.9524554104848407,
    "chelsea": 0.8618624458473693,
    "coffee": 0.8426238376650846,
    "rocket": 0.9385188345808122,
    "china": 0.8095975372055458,
}
"""piqa 1.3.2 in float64, at sizes where its down-sampling by floor equals MATLAB's by rounding."""


def blurred(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and its Gaussian blur, 8 bits."""
    height, width, sigma = PAIRS[name]
    original = photos()[name][:height, :width]
    soft = ndimage.gaussian_filter(original.astype(np.float64), (sigma, sigma, 0), mode="reflect")
    return original, np.clip(np.rint(soft), 0, 255).astype(np.uint8)


def luma_pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    weights = np.array([0.299, 0.587, 0.114])
    first, second = (image.astype(np.float64) @ weights / 255 for image in blurred(name))
    return first, second


def value(baseline: Baseline, name: str) -> float:
    pair = (torch.from_numpy(plane)[None, None].to(baseline.dtype) for plane in luma_pair(name))
    return baseline.values(*pair).item()


def msssim_in_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """The authors' definition in float64 (ssim_mscale_new.m: valid windows, 2 x 2 means that keep
    the last row and column of odd sides), which piqa 1.3.2 agrees with to 5e-7 on these pairs."""
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets**2) / 4.5)
    kernel /= kernel.sum()

    def blur(plane: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            plane = ndimage.correlate1d(plane, kernel, axis=axis)
        return plane[5:-5, 5:-5]

    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            for_both = []
            for plane in (x, y):
                odd = [(0, side % 2) for side in plane.shape]
                even = np.pad(plane, odd, mode="symmetric")
                for_both.append(
                    (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
                )
            x, y = for_both
        mx, my = blur(x), blur(y)
        structure = (2 * (blur(x * y) - mx * my) + 9e-4) / (
            blur(x * x) - mx**2 + blur(y * y) - my**2 + 9e-4
        )
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        product *= ((structure * luminance) if scale == 4 else structure).mean() ** weight
    return float(product)


@pytest.mark.parametrize("name", PAIRS)
class TestAgainstIndependentLibraries:
    """Within 1e-4 (dB for PSNR), as comparing methods needs; in float64 they agree to 1e-8."""

    def test_psnr(self, name: str) -> None:
        expected = peak_signal_noise_ratio(*luma_pair(name), data_range=1.0)
        assert value(PSNR(), name) == pytest.approx(expected, abs=1e-8)

    def test_ssim(self, name: str) -> None:
        x, y = luma_pair(name)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected = structural_similarity(x, y, data_range=1.0, **options)
        assert value(SSIM(), name) == pytest.approx(expected, abs=1e-5)

    def test_ms_ssim(self, name: str) -> None:
        assert value(MSSSIM(), name) == pytest.approx(msssim_in_scipy(*luma_pair(name)), abs=1e-8)

    def test_vifp(self, name: str) -> None:
        x, y = (torch.from_numpy(plane)[None, None] * 255 for plane in luma_pair(name))
        expected = visual_information_fidelity(y, x).item()
        assert value(VIFp(), name) == pytest.approx(expected, abs=1e-4)

    def test_fsim(self, name: str) -> None:
        assert value(FSIM(), name) == pytest.approx(FSIM_BY_PIQA[name], abs=1e-5)


def make(name: str, **options: Any) -> Baseline:
    return BASELINES.get(name)(**options)


def tensor(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def batch() -> TripletBatch:
    """Two photographs, the neural side blurred more."""
    originals, neural, traditional = [], [], []
    for name in ("astronaut", "coffee"):
        original = photos()[name][:200, :190]
        originals.append(original)
        for sigma, side in ((2.0, neural), (0.8, traditional)):
            side.append(ndimage.gaussian_filter(original, (sigma, sigma, 0)))
    return TripletBatch(*(tensor(*each) for each in (originals, neural, traditional)))


class TestScores:
    @pytest.mark.parametrize("name", ALL)
    def test_larger_means_that_neural_is_worse(self, name: str, batch: TripletBatch) -> None:
        scores = make(name)(batch)
        assert scores.shape == (2,) and scores.dtype == torch.float64
        assert (scores > 1e-4).all()
        swapped = TripletBatch(batch.original, batch.traditional, batch.neural)
        assert torch.equal(make(name)(swapped), -scores)

    @pytest.mark.parametrize("name", ALL)
    def test_batches_do_not_matter(self, name: str, batch: TripletBatch) -> None:
        together = make(name)(batch)
        for index in range(2):
            alone = make(name)(batch[index])
            assert together[index].item() == alone.item()

    @pytest.mark.parametrize("name", ALL)
    def test_equal_sides_and_perfect_decodes(self, name: str, batch: TripletBatch) -> None:
        equal = TripletBatch(batch.original, batch.neural, batch.neural)
        assert (make(name)(equal) == 0).all()
        perfect = TripletBatch(batch.original, batch.neural, batch.original)
        assert (make(name)(perfect) > 0).all() and make(name)(perfect).isfinite().all()

    @pytest.mark.parametrize("name", ALL)
    def test_flat_images_give_numbers(self, name: str) -> None:
        flat = torch.full((1, 3, 180, 170), 128, dtype=torch.uint8)
        if name == "iw_ssim":  # divides by the covariance of the original's structure
            with pytest.raises(ImageError, match="structure at every scale, got one that is flat"):
                make(name)(TripletBatch(flat, flat, flat))
            return
        assert make(name)(TripletBatch(flat, flat, flat)).item() == 0

    @pytest.mark.parametrize("name", ALL)
    def test_deep_images(self, name: str, batch: TripletBatch) -> None:
        images = (batch.original, batch.neural, batch.traditional)
        deep = TripletBatch(*(image.float() / 255 for image in images))
        assert torch.allclose(make(name)(deep), make(name)(batch), atol=1e-5)

    @pytest.mark.parametrize("name", ALL)
    def test_small_images(self, name: str) -> None:
        side = BASELINES.get(name).min_side
        generator = torch.Generator().manual_seed(0)
        size = (3, 1, 3, side, side + 1)
        images = torch.randint(100, 120, size, dtype=torch.uint8, generator=generator)
        assert make(name)(TripletBatch(*images)).isfinite().all()
        if side == 1:
            return
        small = TripletBatch(*images[..., : side - 1, :])
        message = f"{name} expects images of at least {side} x {side} pixels, got {side + 1} x"
        with pytest.raises(ImageError, match=message):
            make(name)(small)
        padded = make(name, small="pad")(small)
        assert padded.shape == (1,) and padded.isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="need a GPU")
    @pytest.mark.parametrize("name", ALL)
    def test_gpu(self, name: str, batch: TripletBatch) -> None:
        found = make(name).cuda()(batch.to("cuda")).cpu()
        assert torch.allclose(found, make(name)(batch), atol=1e-5)


class TestTraps:
    """What the libraries' defaults would do instead."""

    def test_ssim_is_not_downsampled(self) -> None:
        from piq import ssim

        x, y = (
            torch.from_numpy(np.tile(plane, (2, 2)))[None, None] for plane in luma_pair("china")
        )
        by_default = ssim(x, y, data_range=1.0)
        assert abs(SSIM().values(x, y).item() - by_default.item()) > 0.01

    def test_ms_ssim_of_odd_sides_is_not_that_of_piq(self) -> None:
        from piq import multi_scale_ssim

        x, y = (torch.from_numpy(plane)[None, None] for plane in luma_pair("china"))
        assert abs(multi_scale_ssim(x, y).item() - value(MSSSIM(), "china")) > 1e-3

    def test_vifp_knows_which_image_is_the_reference(self) -> None:
        x, y = (torch.from_numpy(plane)[None, None] for plane in luma_pair("coffee"))
        assert abs(VIFp().values(x, y).item() - VIFp().values(y, x).item()) > 0.05


class TestLearned:
    @pytest.fixture(scope="class")
    def weights(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        """Random backbones, saved as torchvision's own are."""
        from torchvision.models import alexnet, vgg16

        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("weights")
        for name, network in {"alex": alexnet(weights=None), "vgg": vgg16(weights=None)}.items():
            state = {k: v for k, v in network.state_dict().items() if k.startswith("features.")}
            torch.save(state, folder / f"{name}.pth")
        return {name: folder / f"{name}.pth" for name in ("alex", "vgg")}

    def test_lpips_is_the_formula_on_these_features(
        self, weights: dict[str, Path], batch: TripletBatch
    ) -> None:
        """Zhang et al. 2018, eq. 1, layer by layer with torchvision's own network."""
        from torchvision.models import alexnet

        metric = LPIPS(weights["alex"])
        features = alexnet(weights=None).features.eval()
        features.load_state_dict(
            {k.removeprefix("features."): v for k, v in torch.load(weights["alex"]).items()}
        )
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x, y = (image.float() / 127.5 - 1 for image in (batch.original, batch.neural))
        x, y = (x - shift) / scale, (y - shift) / scale
        expected, layer = torch.zeros(2), 0
        for index, module in enumerate(features[:12]):
            x, y = module(x), module(y)
            if index in (1, 4, 7, 9, 11):
                a, b = (v / (v.square().sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
                weight = getattr(metric.network, f"lin{layer}").model[-1].weight
                expected += ((a - b).square() * weight).sum(1).mean(dim=(1, 2))
                layer += 1
        reference, test = (image.float() / 255 for image in (batch.original, batch.neural))
        found = metric.values(reference, test)
        assert torch.allclose(found, expected, atol=1e-6) and (found > 0).all()

    @pytest.mark.parametrize("kind", [LPIPS, DISTS])
    def test_scores(
        self, kind: type[LPIPS | DISTS], weights: dict[str, Path], batch: TripletBatch
    ) -> None:
        metric = kind(weights["alex" if kind is LPIPS else "vgg"])
        assert (metric(batch) > 0).all()
        equal = TripletBatch(batch.original, batch.neural, batch.neural)
        assert (metric(equal) == 0).all()
        assert metric(batch[1]).item() == metric(batch)[1].item()

    @pytest.mark.parametrize("kind", [LPIPS, DISTS])
    def test_weights_are_asked_for_and_never_fetched(
        self, kind: type[LPIPS | DISTS], tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="as a local file, got none"):
            kind()
        with pytest.raises(DataError, match=r"no file .*none\.pth"):
            kind(tmp_path / "none.pth")
        (tmp_path / "bad.pth").write_bytes(b"not weights")
        with pytest.raises(DataError, match="expected torchvision's state dictionary"):
            kind(tmp_path / "bad.pth")

    def test_other_backbones_are_refused(self, weights: dict[str, Path]) -> None:
        with pytest.raises(DataError, match="expected torchvision's state dictionary"):
            LPIPS(weights["vgg"], backbone="alex")


class TestNames:
    def test_groups(self) -> None:
        assert baseline_names("paper") == list(PAPER) and len(PAPER) == 7
        assert baseline_names("all") == list(ALL) and set(PAPER) < set(ALL)
        assert baseline_names("none") == [] and baseline_names(["nlpd"]) == ["nlpd"]
        assert set(ALL) | {"lpips", "dists"} <= set(BASELINES)

    def test_names_are_those_of_the_classes(self) -> None:
        for name in (*ALL, "lpips", "dists"):
            assert BASELINES.get(name).name == name

    @pytest.mark.parametrize("name", [*ALL, "lpips", "dists"])
    def test_configuration(self, name: str) -> None:
        node = OmegaConf.load(CONF / "baseline" / f"{name}.yaml")
        given = {key: value for key, value in node.items() if key != "_target_"}
        parameters = inspect.signature(BASELINES.get(name)).parameters.values()
        assert given == {p.name: p.default for p in parameters}

    def test_settings(self) -> None:
        assert PSNR(small="pad").settings == {"baseline": "psnr", "version": "1", "small": "pad"}


def test_libraries_load_when_used() -> None:
    code = (
        "import sys; import nacd_bench.baselines\n"
        "print([m for m in ('piq', 'torchmetrics', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
