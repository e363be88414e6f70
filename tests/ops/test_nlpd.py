"""NLPD against reference values and against an implementation with scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from references import bands_in_scipy
from scipy import ndimage
from shared_data import SHARED, needs_shared
from skimage import data

from nacd_bench.ops.nlpd import nlpd

pytestmark = pytest.mark.numeric

GOLDEN = SHARED / "golden" / "nlpd.json"


def plane(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None, None]


def camera_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    reference = data.camera() / 255
    soft = ndimage.gaussian_filter(reference, 2.0, mode="reflect", truncate=4.0)
    return [
        (reference, soft),
        (reference, np.rint(soft * 255) / 255),
        (reference[:301, :451], soft[:301, :451]),
    ]


@needs_shared("golden")
@pytest.mark.parametrize("number", range(3))
def test_reference_values(number: int) -> None:
    expected = json.loads(GOLDEN.read_text())["pairs"][number]["faithful"]
    assert nlpd(*map(plane, camera_pairs()[number])).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (37, 51), (2, 3), (3, 40)])
def test_is_the_definition(height: int, width: int) -> None:
    first, second = np.random.default_rng(height).random((2, height, width))
    pairs = zip(bands_in_scipy(first), bands_in_scipy(second), strict=True)
    expected = np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])
    assert nlpd(plane(first), plane(second)).item() == pytest.approx(expected, abs=1e-12)


def test_batches_and_symmetry() -> None:
    draw = torch.rand(2, 3, 1, 40, 45, generator=torch.Generator().manual_seed(0))
    together = nlpd(draw[0], draw[1])
    assert torch.allclose(nlpd(draw[1], draw[0]), together, atol=1e-12)
    for index in range(3):
        one = slice(index, index + 1)
        assert torch.allclose(nlpd(draw[0, one], draw[1, one])[0], together[index], atol=1e-12)
