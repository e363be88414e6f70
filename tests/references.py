"""Definitions in numpy and scipy that tests of more than one folder compare with."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from nacd_bench.ops.nlpd import FAR_RIGHT, LOW_PASS, NEIGHBORS, SIGMA
from nacd_bench.planting.photographs import photo

Image = np.ndarray

PAIRS = {
    "astronaut": (301, 451, 1.0),
    "chelsea": (300, 451, 2.0),
    "coffee": (255, 333, 1.5),
    "rocket": (362, 381, 0.8),
    "china": (217, 199, 3.0),
}
"""Height, width and blur of five pairs of photographs, odd sizes among them."""


def blurred(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and its Gaussian blur, 8 bits."""
    height, width, sigma = PAIRS[name]
    original = photo(name)[:height, :width]
    soft = ndimage.gaussian_filter(original.astype(np.float64), (sigma, sigma, 0), mode="reflect")
    return original, np.clip(np.rint(soft), 0, 255).astype(np.uint8)


def luma(image: Image) -> Image:
    return image.astype(np.float64) @ [0.299, 0.587, 0.114] / 255


def ms_ssim(o: Image, d: Image) -> float:
    """The authors' definition (ssim_mscale_new.m: valid windows, 2 x 2 means that keep the last
    row and column of odd sides), which piqa 1.3.2 agrees with to 5e-7."""
    x, y = luma(o), luma(d)
    kernel = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    kernel /= kernel.sum()

    def blur(plane: Image) -> Image:
        for axis in (0, 1):
            plane = ndimage.correlate1d(plane, kernel, axis=axis)
        return plane[5:-5, 5:-5]

    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, y = (halves(plane, "symmetric") for plane in (x, y))
        mx, my = blur(x), blur(y)
        structure = (2 * (blur(x * y) - mx * my) + 9e-4) / (
            blur(x * x) - mx**2 + blur(y * y) - my**2 + 9e-4
        )
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        product *= ((structure * luminance) if scale == 4 else structure).mean() ** weight
    return float(product)


def halves(plane: Image, beyond: str = "constant") -> Image:
    """2 x 2 means; what lies beyond an odd side is given as numpy's mode of padding."""
    even = np.pad(plane, [(0, side % 2) for side in plane.shape], mode=beyond)  # type: ignore[call-overload]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def bands_in_scipy(image: np.ndarray) -> list[np.ndarray]:
    """NLP_dist.m's pyramid, written with scipy's filters."""
    low = np.outer(LOW_PASS, LOW_PASS)
    current, bands = image, []
    for _ in range(5):
        smaller = ndimage.correlate(current, low, mode="reflect")[::2, ::2]
        padded = np.pad(smaller, 1, mode="edge")
        spread = np.zeros([2 * side for side in padded.shape])
        spread[::2, ::2] = 4 * padded
        larger = ndimage.correlate(spread, low, mode="constant")
        rows, columns = current.shape
        bands.append(current - larger[2 : 2 + rows, 2 : 2 + columns])
        current = smaller
    bands.append(current)
    normalized = []
    for level, band in enumerate(bands):
        up, left, right, down = NEIGHBORS[level]
        kernel = np.zeros((5, 5))
        kernel[1, 2], kernel[2, 1], kernel[2, 3], kernel[3, 2] = up, left, right, down
        kernel[2, 4] = FAR_RIGHT if level == 0 else 0
        normalized.append(band / (SIGMA[level] + signal.convolve2d(np.abs(band), kernel, "same")))
    return normalized
