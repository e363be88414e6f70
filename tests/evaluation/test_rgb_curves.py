"""Curves of CompressAI's evaluation: how its files are read, and figures on RGB like theirs."""

import json
import math

import numpy as np
import pytest
import torch
from checks import fails
from skimage import data
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from nacd_bench.errors import DataError
from nacd_bench.evaluation.rate_distortion import bd_rate
from nacd_bench.evaluation.rgb_curves import RgbCurve, compared, read_rgb_curve, rgb_quality

pytestmark = pytest.mark.numeric

RESULTS = {
    "psnr-rgb": [30.0, 28.0, 32.5, 34.0],
    "ms-ssim-rgb": [0.95, 0.92, 0.97, 0.98],
    "bpp": [0.2, 0.1, 0.4, 0.7],
    "encoding_time": [1.0, 1.0, 1.0, 1.0],
}


def written(path, results, **more):
    path.write_text(json.dumps({"name": "net", "description": "Inference", **more} | results))
    return path


class TestFiles:
    @pytest.mark.parametrize(
        "names", [{}, {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}, {"ms-ssim-rgb": "msssim"}]
    )
    def test_whatever_the_figures_are_called(self, tmp_path, names):
        results = {names.get(key, key): values for key, values in RESULTS.items()}
        curve = read_rgb_curve(written(tmp_path / "a.json", {"results": results}))
        assert (curve.codec, curve.source) == ("net", "a.json")
        assert curve.bpp == [0.1, 0.2, 0.4, 0.7]
        assert curve.values["psnr"] == [28.0, 30.0, 32.5, 34.0]
        expected = [-10 * math.log10(1 - value) for value in (0.92, 0.95, 0.97, 0.98)]
        assert curve.values["msssim"] == pytest.approx(expected)

    def test_published_figures_in_decibels_alone(self, tmp_path):
        results = {"bpp": [0.1, 0.2], "ms-ssim-db-rgb": [11.0, 13.0]}
        curve = read_rgb_curve(written(tmp_path / "a.json", {"results": results}, meta={}))
        assert curve.values == {"msssim": [11.0, 13.0]}

    @pytest.mark.parametrize(
        ("results", "message"),
        [
            ({}, 'no "results"'),
            ({"results": [1]}, 'no "results"'),
            ({"results": {}}, "got nothing"),
            ({"results": {"bitrate": [90.0], "psnr-rgb": [30.0]}}, "'bitrate'.*videos"),
            ({"results": {"bpp": [0.1]}}, '"psnr-rgb" or "ms-ssim-rgb"'),
            ({"results": {"bpp": [0.1, 0.2], "psnr": [30.0]}}, "2 of bpp, 1 of psnr"),
            ({"results": {"bpp": [0.1, 0], "psnr": [30.0, 31]}}, 'rates above 0 for "bpp", got 0'),
            ({"results": {"bpp": ["0.1"], "psnr": [30.0]}}, 'numbers for "bpp"'),
            ({"results": {"bpp": [], "psnr": []}}, 'numbers for "bpp"'),
            ({"results": {"bpp": [0.1], "psnr": [math.nan]}}, 'finite numbers for "psnr"'),
            ({"results": {"bpp": [0.1], "ms-ssim": [12.0]}}, r"\(0, 1\) for \"ms-ssim\", got 12"),
        ],
    )
    def test_others_are_refused_with_what_is_wrong(self, tmp_path, results, message):
        fails(DataError, message, read_rgb_curve, written(tmp_path / "a.json", results))

    def test_no_file_and_no_json(self, tmp_path):
        fails(DataError, "nowhere.json", read_rgb_curve, tmp_path / "nowhere.json")
        (tmp_path / "b.json").write_text("Evaluating net | 1")
        fails(DataError, "b.json line 1: .* as JSON", read_rgb_curve, tmp_path / "b.json")


class TestFigures:
    def test_as_other_libraries_have_them(self):
        original = data.astronaut()[:200, :180]
        noise = np.random.default_rng(0).integers(-20, 21, original.shape)
        decoded = np.clip(original + noise, 0, 255).astype(np.uint8)
        psnr, _ = rgb_quality(original, decoded)
        assert psnr == pytest.approx(peak_signal_noise_ratio(original, decoded), abs=1e-9)
        planes = [
            torch.from_numpy(each.transpose(2, 0, 1)[:, None] / 255.0)
            for each in (original, decoded)
        ]
        # sides that halve evenly: torchmetrics drops an odd last row
        even = [plane[..., :176, :176] for plane in planes]
        expected = [
            multiscale_structural_similarity_index_measure(
                y[None], x[None], data_range=1.0, sigma=1.5, kernel_size=11
            ).item()
            for x, y in zip(*even, strict=True)
        ]
        _, msssim = rgb_quality(original[:176, :176], decoded[:176, :176])
        assert msssim == pytest.approx(np.mean(expected), abs=2e-4)

    def test_small_images_have_no_msssim(self):
        small = np.zeros((160, 200, 3), np.uint8)
        assert math.isnan(rgb_quality(small, small)[1])

    def test_bd_rates_are_of_the_curves_or_none(self):
        bpp, psnr = [0.1, 0.2, 0.4, 0.8], [28.0, 31.0, 34.0, 37.0]
        anchor = RgbCurve("anchor", "", bpp, {"psnr": psnr})
        half = RgbCurve("half", "a.json", [0.05, 0.1, 0.2, 0.4], {"psnr": psnr, "msssim": psnr})
        far = RgbCurve("far", "b.json", bpp, {"psnr": [value + 20 for value in psnr]})
        short = RgbCurve("short", "c.json", bpp[:2], {"psnr": psnr[:2]})
        rates = [curve.bd_rates for curve in compared([half, far, short], anchor)]
        assert rates[0] == {"psnr": pytest.approx(bd_rate(bpp, psnr, half.bpp, psnr))}
        assert rates[0]["psnr"] == pytest.approx(-50)
        assert rates[1:] == [{}, {}]
