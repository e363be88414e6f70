"""Where figures come from: versions, code, data, date."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nacd_bench import __version__

LIBRARIES = (
    "torch",
    "lightning",
    "piq",
    "torchmetrics",
    "scikit-learn",
    "opencv-python-headless",
    "rapidocr",
    "onnxruntime",
    "numpy",
)


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
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    command += ["--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
