"""Photographs of one scene, which are one piece of evidence: a burst, a stereo pair, a copy.

Two photographs show one scene where many of their corners (ORB, Rublee et al., ICCV 2011) are the
same ones seen from two places: matched one to one, clearly better than to any other corner (Lowe
2004, ratio 0.75), and on the epipolar lines of one pair of cameras (RANSAC). Pictures whose colours
have little in common are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 640
"""Pictures are reduced to it."""
CORNERS = 600
RATIO = 0.75
LEAST_CORNERS = 40
"""That agree; a stereo pair has 145, and of all pairs of the 24 Kodak
photographs none has more than 11."""
LEAST_COLOURS = 0.4
"""Of the histogram that two pictures have in common."""
BINS = 8
"""Of the histogram, in each colour."""


def scenes(photographs: Sequence[NDArray[np.uint8]]) -> list[int]:
    """For each photograph ``(H, W, 3)`` the place of the first one of its scene.

    >>> flat = np.zeros((64, 64, 3), np.uint8)
    >>> scenes([flat, flat + 200, flat])
    [0, 1, 0]
    """
    scene = list(range(len(photographs)))
    looks = [Look(pixels) for pixels in photographs]
    for place, look in enumerate(looks):
        for other in range(place):
            if scene[other] != scene[place] and look.shows(looks[other]):
                first, last = sorted((scene[other], scene[place]))
                scene = [first if each == last else each for each in scene]
    return scene


class Look:
    """What is remembered of a photograph: colours and corners.

    Args:
        pixels: ``(H, W, 3)`` uint8.
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        import cv2

        height, width = pixels.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
        codes = (small.astype(np.int64) * BINS // 256) @ [BINS**2, BINS, 1]
        counts = np.bincount(codes.ravel(), minlength=BINS**3)
        self.colours = counts / counts.sum()
        self.pixels = small
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        points, self.corners = cv2.ORB_create(CORNERS).detectAndCompute(gray, None)  # type: ignore[attr-defined]
        self.places = np.array([point.pt for point in points], np.float32)

    def shows(self, other: Look) -> bool:
        """Whether it is of the scene of another one."""
        if np.array_equal(self.pixels, other.pixels):
            return True
        if np.minimum(self.colours, other.colours).sum() < LEAST_COLOURS:
            return False
        return self.agreeing(other) >= LEAST_CORNERS

    def agreeing(self, other: Look) -> int:
        """Corners of both that are the same, seen from two places."""
        import cv2

        if min(len(self.places), len(other.places)) < LEAST_CORNERS:
            return 0
        matches = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(self.corners, other.corners, k=2)
        best: dict[int, tuple[float, int]] = {}
        for first, second in matches:
            if first.distance < RATIO * second.distance:
                found = (first.distance, first.queryIdx)
                best[first.trainIdx] = min(found, best.get(first.trainIdx, found))
        if len(best) < LEAST_CORNERS:
            return len(best)
        cv2.setRNGSeed(0)
        here = self.places[[query for _, query in best.values()]]
        _, inliers = cv2.findFundamentalMat(here, other.places[list(best)], cv2.FM_RANSAC, 1.5)
        return 0 if inliers is None else int(inliers.sum())
