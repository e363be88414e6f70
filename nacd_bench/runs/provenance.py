"""Where figures come from: versions, code, data, date; and what a score depends on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nacd_bench import __version__
from nacd_bench.triplets.files import json_sha256

SCORING = ("torch", "piq", "torchmetrics", "opencv-python-headless")
"""Libraries whose versions are part of every score's key."""
LIBRARIES = (*SCORING, "lightning", "scikit-learn", "rapidocr", "onnxruntime", "numpy")
METHODS = ("detectors", "methods")
"""Where ``settings.json`` has the settings of detectors and baselines."""
VERSIONS = ("version", "sha256", "checkpoint", "model", "package")
"""Settings of a method that say which one it is, rather than how it is used."""
READING = 3
"""Changes whenever the same files may become other pixels, or be refused: scores that are kept from
before are then computed again."""


def provenance(data_sha256: str, began: float) -> dict[str, Any]:
    """What a reader needs to repeat a run.

    Args:
        data_sha256: of the data.
        began: when it began, by ``time.perf_counter()``.
    """
    import torch

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.perf_counter() - began, 3),
        "git_hash": git_hash(),
        "data_sha256": data_sha256,
        "versions": {"nacd-bench": __version__, "python": platform.python_version(), **_versions()},
        "machine": {
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def git_hash() -> str | None:
    """The commit of this package's checkout, with ``-dirty`` where it was changed; else None."""
    folder = Path(__file__).parent
    if not (folder.parents[1] / ".git").exists():
        return None
    options = ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(folder), "describe", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip() or None
    return None


@cache
def _versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def versions_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The versions that a run's settings tell: of the schema, of detectors, of their models.

    >>> versions_of({"schema": 3, "detectors": {"texture": {"version": "2", "window": 128}}})
    {'schema': 3, 'texture.version': '2'}
    """
    versions = {"schema": settings["schema"]} if "schema" in settings else {}
    for place, value in leaves({key: settings.get(key) for key in METHODS}).items():
        if place.rpartition(".")[2] in VERSIONS:
            versions[place.partition(".")[2]] = value
    return versions


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """The values of nested objects by their dotted names; an empty one is a value itself.

    >>> leaves({"a": {"b": 1, "c": {}}})
    {'a.b': 1, 'a.c': {}}
    """
    if not isinstance(value, Mapping) or not value:
        return {place: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= leaves(inner, f"{place}.{key}" if place else str(key))
    return found


def score_key(sha256: Mapping[str, str], settings: Mapping[str, Any], **more: str) -> str:
    """The key of a method's score on a triplet: the hash of everything that decides it.

    Args:
        sha256: of each image file, by role.
        settings: name, version and parameters of the method.
        more: what else decides it (precision; the triplet's id where a method looks at it).
    """
    versions = {"nacd-bench": __version__, **{name: _versions()[name] for name in SCORING}}
    by = {"reading": READING, "method": settings, "versions": versions}
    return json_sha256({"images": dict(sha256), **by, **more})
