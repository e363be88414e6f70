"""Where results are remembered between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER_VARIABLE = "NACD_BENCH_CACHE"
"""Environment variable that moves the cache; ``off`` turns it off."""


def cache_folder(kind: str) -> Path | None:
    """The folder for what is remembered of a kind (``"polygons"``); None for nowhere.

    That is in ``$NACD_BENCH_CACHE``, else in ``nacd-bench`` in the user's cache folder.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen is not None:
        return None if chosen in ("", "off") else Path(chosen).expanduser() / kind
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "nacd-bench" / kind
