"""IQA baselines as scores; their values are held against definitions in test_metrics.py."""

from __future__ import annotations

import inspect
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checks import fails
from omegaconf import OmegaConf
from references import PAIRS, blurred
from scipy import ndimage
from torch import Tensor

import nacd_conf
from nacd_bench.baselines import (
    ALL,
    DISTS,
    FSIM,
    GMSD,
    LPIPS,
    PAPER,
    PSNR,
    VMAF,
    Baseline,
    base,
    metrics,
)
from nacd_bench.errors import DataError, ImageError
from nacd_bench.ops import structure
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import BASELINES
from nacd_bench.runs.provenance import score_key
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.record import ROLES

CONF = Path(nacd_conf.__file__).parent

BROUGHT = ("lpips", "dists", "vmaf")
"""Those that need weights or a package of their own."""

FSIM_BY_PIQA = {
    "astronaut": 0.9524554104848407,
    "chelsea": 0.8618624458473693,
    "coffee": 0.8426238376650846,
    "rocket": 0.9385188345808122,
    "china": 0.8095975372055458,
}
"""piqa 1.3.2 in float64, at sizes where its down-sampling by floor equals MATLAB's by rounding."""


@pytest.mark.numeric
@pytest.mark.parametrize("name", PAIRS)
def test_fsim_is_that_of_another_library(name: str) -> None:
    """To 5e-6: piqa takes the lower of both medians of an even number of pixels."""
    weights = np.array([0.299, 0.587, 0.114])
    pair = (torch.from_numpy(image @ weights / 255)[None, None] for image in blurred(name))
    assert FSIM().values(*pair).item() == pytest.approx(FSIM_BY_PIQA[name], abs=5e-6)


def make(name: str, **options: Any) -> Baseline:
    return BASELINES.get(name)(**options)


def tensor(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def batch() -> TripletBatch:
    """Two photographs, the neural side blurred more."""
    originals, neural, traditional = [], [], []
    for name in ("astronaut", "coffee"):
        original = photo(name)[:200, :190]
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

    @pytest.mark.parametrize("name", ALL)
    def test_perfect_decodes(self, name: str, batch: TripletBatch) -> None:
        perfect = TripletBatch(batch.original, batch.neural, batch.original)
        assert (make(name)(perfect) > 0).all() and make(name)(perfect).isfinite().all()

    @pytest.mark.parametrize("name", ALL)
    def test_deep_images(self, name: str, batch: TripletBatch) -> None:
        images = (batch.original, batch.neural, batch.traditional)
        deep = TripletBatch(*(image.float() / 255 for image in images))
        assert torch.allclose(make(name)(deep), make(name)(batch), atol=1e-5)

    def test_ssims_share_their_finest_scale(
        self, batch: TripletBatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        counted = structure.mean_similarity

        def similarity(original: Tensor, test: Tensor) -> Tensor:
            sizes.append(original.shape[-1])
            return counted(original, test)

        for module in (structure, metrics):
            monkeypatch.setattr(module, "mean_similarity", similarity)
        single = batch[0]
        scores = [make(name)(single) for name in ("ssim", "ms_ssim", "ssim")]
        assert sizes.count(batch.width) == 1 and len(sizes) == len(structure.SCALE_WEIGHTS)
        alone = [make(name) for name in ("ssim", "ms_ssim", "ssim")]
        for score, metric in zip(scores, alone, strict=True):
            neural, traditional = metric.values(*metric.planes_of(*batch[0].images))
            assert score.item() == (traditional - neural).item()

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
        fails(ImageError, message, make(name), small)
        padded = make(name, small="pad")(small)
        assert padded.shape == (1,) and padded.isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="need a GPU")
    @pytest.mark.parametrize("name", ALL)
    def test_gpu(self, name: str, batch: TripletBatch) -> None:
        found = make(name).cuda()(batch.to("cuda")).cpu()
        assert torch.allclose(found, make(name)(batch), atol=1e-5)


class TestLearned:
    @pytest.fixture(scope="class")
    def weights(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        """Random backbones, saved as torchvision's own are."""
        from torchvision.models import alexnet, vgg16

        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("weights")
        for name, network in {"alex": alexnet, "vgg": vgg16}.items():
            with torch.device("meta"):  # no time for the layers behind the features
                shapes = {k: v.shape for k, v in network(weights=None).state_dict().items()}
            state = {
                k: torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:]))
                if k.endswith("weight")
                else torch.zeros(shape)
                for k, shape in shapes.items()
                if k.startswith("features.")
            }
            torch.save(state, folder / f"{name}.pth")
        return {name: folder / f"{name}.pth" for name in ("alex", "vgg")}

    def test_lpips_is_the_formula_on_these_features(
        self, weights: dict[str, Path], batch: TripletBatch
    ) -> None:
        """Zhang et al. 2018, eq. 1, layer by layer with torchvision's own network."""
        from torchvision.models import alexnet

        metric = LPIPS(weights["alex"])
        features = alexnet(weights=None).features.eval().double()
        features.load_state_dict(
            {k.removeprefix("features."): v for k, v in torch.load(weights["alex"]).items()}
        )
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x, y = (image.double() / 127.5 - 1 for image in (batch.original, batch.neural))
        x, y = (x - shift) / scale, (y - shift) / scale
        expected, layer = torch.zeros(2, dtype=torch.float64), 0
        for index, module in enumerate(features[:12]):
            x, y = module(x), module(y)
            if index in (1, 4, 7, 9, 11):
                a, b = (v / (v.square().sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
                weight = getattr(metric.network, f"lin{layer}").model[-1].weight
                expected += ((a - b).square() * weight).sum(1).mean(dim=(1, 2))
                layer += 1
        reference, test = (image.double() / 255 for image in (batch.original, batch.neural))
        found = metric.values(reference, test)
        assert torch.allclose(
            found.double(), expected, atol=1e-6
        )  # float32 features and (found > 0).all()

    def test_dists_is_the_formula_on_these_features(self, weights: dict[str, Path]) -> None:
        """Ding et al. 2020, eq. 5 to 7, in float64; flat images too."""
        metric = DISTS(weights["vgg"])
        images = torch.randint(0, 256, (3, 3, 34, 33), generator=torch.Generator().manual_seed(1))
        images[2] = 200
        network, double = metric.network, images.double() / 255
        features = [
            each.double().flatten(2).numpy() for each in network.forward_once(double.float())
        ]
        alpha, beta = (w.double().flatten().numpy() for w in (network.alpha, network.beta))
        for first, second in ((0, 1), (0, 2), (2, 0), (2, 2)):
            similarity, start = 0.0, 0
            for feature in features:
                for x, y in zip(feature[first], feature[second], strict=True):
                    texture = (2 * x.mean() * y.mean() + 1e-6) / (
                        x.mean() ** 2 + y.mean() ** 2 + 1e-6
                    )
                    covariance = ((x - x.mean()) * (y - y.mean())).mean()
                    structure = (2 * covariance + 1e-6) / (x.var() + y.var() + 1e-6)
                    similarity += alpha[start] * texture + beta[start] * structure
                    start += 1
            expected = 1 - similarity / (alpha.sum() + beta.sum())
            found = metric.values(double[[first]], double[[second]]).item()
            assert found == pytest.approx(expected, abs=1e-6) and found >= 0  # float32 features

    @pytest.mark.parametrize("kind", [LPIPS, DISTS])
    def test_scores(
        self, kind: type[LPIPS | DISTS], weights: dict[str, Path], batch: TripletBatch
    ) -> None:
        metric = kind(weights["alex" if kind is LPIPS else "vgg"])
        batch = TripletBatch(*(getattr(batch, role)[..., :72, :80] for role in ROLES))
        assert (metric(batch) > 0).all()
        one, other = batch[1], TripletBatch(batch.original, batch.traditional, batch.neural)[1]
        both = TripletBatch(
            *(torch.cat([getattr(x, role) for x in (one, other)]) for role in ROLES)
        )
        scores = metric(both)
        assert scores[0] == -scores[1] == metric(one)[0]

    @pytest.mark.parametrize("kind", [LPIPS, DISTS])
    def test_weights_are_asked_for_and_never_fetched(
        self, kind: type[LPIPS | DISTS], tmp_path: Path
    ) -> None:
        fails(DataError, "as a local file, got none", kind)
        fails(DataError, r"no file .*none\.pth", kind, tmp_path / "none.pth")
        (tmp_path / "bad.pth").write_bytes(b"not weights")
        fails(DataError, "expected torchvision's state dictionary", kind, tmp_path / "bad.pth")

    def test_other_backbones_are_refused(self, weights: dict[str, Path]) -> None:
        with pytest.raises(DataError, match="expected torchvision's state dictionary"):
            LPIPS(weights["vgg"], backbone="alex")


class TestNames:
    def test_groups(self) -> None:
        for group, names in {"paper": PAPER, "all": ALL}.items():
            assert OmegaConf.load(CONF / "baseline" / f"{group}.yaml").defaults == list(names)
        assert len(PAPER) == 7 and set(PAPER) < set(ALL)
        assert {*ALL, *BROUGHT} <= set(BASELINES)

    def test_names_are_those_of_the_classes(self) -> None:
        for name in (*ALL, *BROUGHT):
            assert BASELINES.get(name).name == name

    @pytest.mark.parametrize("name", [*ALL, *BROUGHT])
    def test_configuration(self, name: str) -> None:
        node = OmegaConf.load(CONF / "baseline" / f"{name}.yaml")
        given = {key: value for key, value in node.items() if key != "_target_"}
        parameters = inspect.signature(BASELINES.get(name)).parameters.values()
        assert given == {p.name: p.default for p in parameters}

    def test_settings(self) -> None:
        assert PSNR(small="pad").settings == {"baseline": "psnr", "version": "3", "small": "pad"}

    def test_another_version_of_a_package_is_another_score(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = SimpleNamespace(VMAF=lambda **of: torch.nn.Identity())
        monkeypatch.setitem(sys.modules, "vmaf_torch", network)
        keys = []
        for number in ("1.0", "1.1"):
            monkeypatch.setattr(base, "version", lambda name, number=number: number)
            packages = {cls.name: cls().settings.get("package") for cls in (PSNR, GMSD, VMAF)}
            gmsd, vmaf = f"piq {number}", f"vmaf-torch {number}"
            assert packages == {"psnr": None, "gmsd": gmsd, "vmaf": vmaf}
            keys.append(score_key({}, VMAF().settings))
        assert keys[0] != keys[1]


def test_libraries_load_when_used() -> None:
    code = (
        "import sys; import nacd_bench.baselines\n"
        "lazy = ('piq', 'torchmetrics', 'torchvision', 'vmaf_torch')\n"
        "print([module for module in lazy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_a_plain_script_keeps_the_memory_that_is_freed() -> None:
    """SSIM takes the same planes again, and fresh ones each time where malloc gives back what is
    freed, as the environment tells it to here: five times as many pages as the first time took."""
    code = (
        "import resource, torch\n"
        "from nacd_bench.baselines import SSIM\n"
        "from nacd_bench.triplets.batch import TripletBatch\n"
        "images = torch.randint(0, 256, (3, 1, 3, 512, 1024), dtype=torch.uint8)\n"
        "faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]\n"
        "for _ in range(6):\n"
        "    SSIM()(TripletBatch(*images))\n"
        "    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
        "print(faults[1] - faults[0], faults[6] - faults[1])"
    )
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    first, next_five = map(int, done.stdout.split())
    assert next_five < first
