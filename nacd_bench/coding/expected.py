"""Rate and PSNR that an image is expected to have at any quantiser step, before it is coded.

Its DCT coefficients say so: one of size c costs log2(c / q) bits at a step q where it is larger,
and next to nothing where it is smaller (reverse water-filling, the rate of Gaussian sources); the
error that is left is the smaller one of c^2 and that of a uniform quantiser, q^2 / 12. No codec is
met by these numbers; but what each codec departs from them is much the same on all images.

Steps are told by their fineness, -log2(q), which rises with the rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from nacd_bench.coding.codec import Image

Floats = NDArray[np.float64]

FINENESS = np.arange(-24.0, 25.0)
"""Octaves of fineness at which rate and PSNR are worked out: further than any codec goes."""
BLOCK = 8
BLOCKS = 4096
"""Most blocks of 8 x 8 that are looked at; of large images every so manieth."""
NOISE = 0.1
"""Levels of 255 that any coefficient has at least: nothing is free."""
EDGE = 8.0
"""How sharply costs set in: any value from 4 does."""
SLOPES = 0.02, 2.0
"""Least and most that rate or PSNR rise in an octave of fineness: of an image without content too,
whose rate any byte changes."""
BINS = 8
"""Sizes of coefficients told apart in an octave."""


def expected_curves(image: Image) -> dict[str, Floats]:
    """At each of :data:`FINENESS` log2(bpp), and luma PSNR in bits of error (dB / 6.02).

    Args:
        image: ``(H, W, 3)`` uint8.

    Returns:
        ``"bpp"`` and ``"psnr"``, rising.

    >>> gray = np.full((16, 16, 3), 90, np.uint8)
    >>> noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    >>> rates = [expected_curves(image)["bpp"] for image in (gray, noise)]
    >>> bool((rates[0] < rates[1]).all())
    True
    """
    octaves = np.log2(_coefficients(image) ** 2 + NOISE**2) / 2
    counts, edges = np.histogram(octaves, int(BINS * (octaves.max() - octaves.min())) + 1)
    sizes, shares = (edges[1:] + edges[:-1]) / 2, counts / counts.sum()
    bits = np.logaddexp2(0, EDGE * (FINENESS[:, None] + sizes)) / EDGE
    errors = 1 / (4.0**-sizes + 12 * 4.0 ** FINENESS[:, None])
    curves = {"bpp": np.log2(bits @ shares), "psnr": np.log2(255) - np.log2(errors @ shares) / 2}
    return {kind: _rising(curve) for kind, curve in curves.items()}


def _rising(curve: Floats) -> Floats:
    """A curve that rises by :data:`SLOPES` in an octave, and ends where it did."""
    rises = np.diff(curve).clip(*SLOPES)
    return curve[-1] - np.concatenate([np.cumsum(rises[::-1])[::-1], [0.0]])


def _coefficients(image: Image) -> Floats:
    """DCT coefficients ``(blocks, 8, 8)`` of luma, levels of 255."""
    luma = image @ np.array([0.299, 0.587, 0.114]) - 128
    height, width = luma.shape
    luma = np.pad(luma, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = (side // BLOCK for side in luma.shape)
    blocks = (
        luma.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3).reshape(-1, BLOCK, BLOCK)
    )
    some = blocks[:: -(-len(blocks) // BLOCKS)]
    return np.asarray(dctn(some, axes=(1, 2), norm="ortho"))
