"""Scores remembered by what they were computed from: three images' content and the method.

A key is the hash of everything that decides a score: file contents, the method's settings and
version, the versions of the libraries that compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from nacd_bench import __version__
from nacd_bench.triplets.files import json_sha256

LIBRARIES = ("torch", "piq", "torchmetrics", "opencv-python-headless")
"""Their versions are part of every key."""
READING = 3
"""Changes whenever the same files may become other pixels, or be refused: scores that are kept from
before are then computed again."""


def score_key(sha256: Mapping[str, str], settings: Mapping[str, Any], **more: str) -> str:
    """The key of a method's score on a triplet.

    Args:
        sha256: of each image file, by role.
        settings: name, version and parameters of the method.
        more: what else decides it (precision; the triplet's id where a method looks at it).
    """
    by = {"reading": READING, "method": settings, "versions": _versions()}
    parts = {"images": dict(sha256), **by, **more}
    return json_sha256(parts)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return ("nacd-bench", __version__), *((name, version(name)) for name in LIBRARIES)
