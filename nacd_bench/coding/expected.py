"""Rate and PSNR that an image is expected to have at any quantiser step, before it is coded.

Its DCT coefficients say so: one of size c costs log2(c / q) bits at a step q where it is larger,
and what it takes to say that it is not 0; the first of a block is predicted from the block to the
left, as codecs do in one way or another. The error that is left is the smaller one of c^2 and that
of a uniform quantiser, q^2 / 12. No codec is met by these numbers; but what each codec departs from
them is much the same on all images.

Steps are told by their fineness, -log2(q), which rises with the rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.special import expit

from nacd_bench.coding.codec import Image

Floats = NDArray[np.float64]

FINENESS = np.arange(-24.0, 25.0)
"""Octaves of fineness at which rate and PSNR are worked out: further than any codec goes."""
BLOCK = 8
BLOCKS = 4096
"""Most blocks of 8 x 8 that are looked at; of large images every so manieth."""
NOISE = 0.1
"""Levels of 255 that any coefficient has at least: nothing is free."""
EDGE = 4.0
"""How sharply the costs of a size set in: any value from 4 does."""
PLACE = 2.0
"""Bits that say where a coefficient is that is not 0 (fitted to HM and x265 on Kodak images)."""
DEAD_ZONE = 0.57
"""Share of a step from which on a coefficient is not 0."""
SET_IN = 0.15
"""Octaves in which that sets in."""
SLOPES = 0.02, 2.0
"""Least and most that rate or PSNR rise in an octave of fineness: of an image without content too,
whose rate any byte changes."""
LEAST = 0.001
"""The same between operating points of a codec whose quantiser is known."""
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
    sizes, shares = _sizes(image)
    whole = shares.sum(0)
    errors = 1 / (4.0**-sizes + 12 * 4.0 ** FINENESS[:, None])
    rate = _bits(FINENESS[:, None] + sizes, PLACE) @ whole
    curves = {"bpp": np.log2(rate), "psnr": np.log2(255) - np.log2(errors @ whole) / 2}
    return {kind: _rising(curve, SLOPES[0]) for kind, curve in curves.items()}


def expected_rates(image: Image, steps: Floats, place: float, floor: float) -> Floats:
    """log2(bpp), rising, of a codec whose quantiser is known, up to what all images have in common.

    Args:
        image: ``(H, W, 3)`` uint8.
        steps: ``(points, 8, 8)``, levels of 255 in an orthonormal DCT, by operating point.
        place: bits that say where a coefficient is that is not 0.
        floor: bits that every pixel costs beside, if its block is empty.
    """
    sizes, shares = _sizes(image)
    fineness = -np.log2(steps).reshape(-1, BLOCK**2, 1)
    rates = floor + (_bits(fineness + sizes, place) * shares).sum((1, 2))
    return _rising(np.log2(rates), LEAST)


def _bits(relative: Floats, place: float) -> Floats:
    """Cost of coefficients by their size in octaves above the quantiser's step."""
    placed = expit((relative - np.log2(DEAD_ZONE)) / SET_IN)
    return place * placed + np.logaddexp2(0, EDGE * relative) / EDGE


def _rising(curve: Floats, least: float) -> Floats:
    """A curve whose rises are neither below the least nor above the most; it ends where it did."""
    rises = np.diff(curve).clip(least, SLOPES[1])
    return curve[-1] - np.concatenate([np.cumsum(rises[::-1])[::-1], [0.0]])


def _sizes(image: Image) -> tuple[Floats, Floats]:
    """Sizes of coefficients in octaves ``(bins,)``, the shares ``(64, bins)`` that have them."""
    octaves = np.log2(_coefficients(image) ** 2 + NOISE**2) / 2
    above = (BINS * (octaves - octaves.min())).astype(np.int64)
    bins = int(above.max()) + 1
    places = above + bins * np.arange(BLOCK**2)
    counts = np.bincount(places.ravel(), minlength=bins * BLOCK**2).reshape(-1, bins)
    return octaves.min() + (np.arange(bins) + 0.5) / BINS, counts / octaves.size


def _coefficients(image: Image) -> Floats:
    """DCT coefficients ``(blocks, 64)`` of luma, levels of 255; the first ones' differences."""
    weights = np.array([0.299, 0.587, 0.114])
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")
    columns = padded.shape[1] // BLOCK
    lines = padded.reshape(-1, BLOCK, columns, BLOCK, 3)  # of blocks; one at a time takes little
    means = BLOCK * np.concatenate([(line @ weights - 128).mean((0, 2)) for line in lines])
    every = slice(None, None, -(-len(means) // BLOCKS))
    some = np.arange(len(means))[every]
    blocks = lines[some // columns, :, some % columns] @ weights - 128
    coefficients = np.asarray(dctn(blocks, axes=(1, 2), norm="ortho"))
    coefficients[:, 0, 0] = np.diff(means, prepend=0)[every]
    return coefficients.reshape(-1, BLOCK**2)
