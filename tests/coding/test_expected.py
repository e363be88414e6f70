"""What the DCT says of rate and PSNR, against loops over coefficients and a real quantiser."""

import math

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from nacd_bench.coding.expected import (
    DEAD_ZONE,
    EDGE,
    FINENESS,
    NOISE,
    PLACE,
    SET_IN,
    SLOPES,
    expected_curves,
    expected_rates,
)
from nacd_bench.coding.rate import DB_PER_BIT, luma_psnr
from nacd_bench.planting.photographs import photo

CAT = np.ascontiguousarray(photo("chelsea")[90:186, 120:248])


@pytest.mark.numeric
@pytest.mark.parametrize("octave", [-5, -3, 0])
def test_against_a_loop_over_coefficients(octave):
    luma = CAT @ np.array([0.299, 0.587, 0.114]) - 128
    bits = errors = before = 0.0
    for top in range(0, 96, 8):
        for left in range(0, 128, 8):
            values = dctn(luma[top : top + 8, left : left + 8], norm="ortho").ravel().tolist()
            values[0], before = values[0] - before, values[0]
            for value in values:
                size = math.hypot(value, NOISE)
                bits += math.log2(1 + (size * 2.0**octave) ** EDGE) / EDGE
                above = math.log2(size * 2.0**octave / DEAD_ZONE)
                bits += PLACE / (1 + math.exp(-above / SET_IN))
                errors += 1 / (1 / size**2 + 12 * 4.0**octave)
    place = int(np.flatnonzero(octave == FINENESS)[0])
    curves = expected_curves(CAT)
    # coefficients are told apart by an eighth of an octave, slopes kept within bounds
    assert curves["bpp"][place] == pytest.approx(math.log2(bits / luma.size), abs=0.05)
    steps = np.full((2, 8, 8), [[[2.0**-octave]], [[2.0 ** (-octave - 0.5)]]])
    rate = expected_rates(CAT, steps, PLACE, 0.1)[0]
    assert rate == pytest.approx(math.log2(bits / luma.size + 0.1), abs=0.05)
    psnr = -10 * math.log10(errors / luma.size / 255**2) / DB_PER_BIT
    assert curves["psnr"][place] == pytest.approx(psnr, abs=0.05)


def test_psnr_is_that_of_a_uniform_quantiser():
    gray = np.repeat(CAT[..., 1:2], 3, axis=2)
    coefficients = dctn(gray[..., 0] - 128.0, axes=(0, 1), norm="ortho")
    for octave in (0, -1):
        step = 2.0**-octave
        decoded = idctn(np.round(coefficients / step) * step, norm="ortho") + 128
        decoded = np.repeat(decoded[..., None], 3, axis=2)
        expected = np.interp(octave, FINENESS, expected_curves(gray)["psnr"]) * DB_PER_BIT
        assert luma_psnr(gray, decoded) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (512, 768, 3)])
def test_curves_rise_on_any_image(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for image in (noise, np.full(shape, 90, np.uint8)):
        for curve in expected_curves(image).values():
            rises = np.diff(curve)
            assert np.isfinite(curve).all()
            assert rises.min() >= SLOPES[0] - 1e-9 and rises.max() <= SLOPES[1] + 1e-9
