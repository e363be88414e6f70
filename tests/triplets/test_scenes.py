"""Photographs of one scene are found, those of others are not."""

import numpy as np
from skimage import data

from nacd_bench.triplets.scenes import scenes


def test_a_stereo_pair_a_burst_and_a_copy_are_one_scene_each() -> None:
    left, right, _ = data.stereo_motorcycle()
    cat = data.chelsea()
    burst = [cat[10:, :440], np.clip(cat[:290, 11:].astype(float) * 1.05, 0, 255).astype(np.uint8)]
    others = [data.astronaut(), data.coffee(), data.rocket()]
    photographs = [left, *burst, others[0], right, *others[1:], others[0].copy()]
    assert scenes(photographs) == [0, 1, 1, 3, 0, 5, 6, 3]


def test_pictures_without_corners_are_what_they_are() -> None:
    gray, dark = np.full((40, 40, 3), 128, np.uint8), np.full((40, 40, 3), 12, np.uint8)
    assert scenes([gray, dark, gray, gray[:20]]) == [0, 1, 0, 3]
    assert scenes([]) == []
