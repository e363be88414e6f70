"""The folder of a run: what was asked of it, so that it is continued only by the same job."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.text_files import read_json

SETTINGS = "settings.json"
LONGEST_NAME = 120


def require_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings of a new run, or check that a continued one has the same.

    Args:
        settings: JSON values; everything that decides the results.

    Raises:
        DataError: the folder's run had others; the message lists every difference.
    """
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        write_whole(path, json.dumps(wanted, indent=2).encode())
        return
    there = read_json(path, "the settings of the run")
    differences = list(_differences(there, wanted))
    if differences:
        lines = "".join(f"\n  {line}" for line in differences)
        raise DataError(
            f"expected the settings with which the run in {folder} began, got others:{lines}\n"
            "Give the same settings to continue it, or name another folder."
        )


def _differences(there: Any, wanted: Any, place: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        lines = []
        for key in sorted(there.keys() | wanted.keys()):
            inner = f"{place}.{key}" if place else key
            lines += _differences(there.get(key), wanted.get(key), inner)
        return lines
    return [] if there == wanted else [f"{place}: {there!r} before, {wanted!r} now"]


def file_names(names: Iterable[str]) -> dict[str, str]:
    """The :func:`file_name` of each, different also for those that differ by case only.

    >>> file_names(["b", "A", "a"])
    {'b': 'b', 'A': 'A-559aead0', 'a': 'a-ca978112'}
    """
    plain = {name: file_name(name) for name in names}
    times = Counter(file.lower() for file in plain.values())
    return {
        name: file if times[file.lower()] == 1 else f"{file}-{_digest(name)}"
        for name, file in plain.items()
    }


def file_name(name: str) -> str:
    """A name that any file system takes, for an id that may hold anything; different stay so.

    Where case makes a difference: else take :func:`file_names` of all.

    >>> file_name("kodim01"), file_name("a/b")
    ('kodim01', 'a_b-c14cddc0')
    """
    plain = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII).lstrip(".-")[:LONGEST_NAME]
    if plain == name:
        return name
    return f"{plain}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
