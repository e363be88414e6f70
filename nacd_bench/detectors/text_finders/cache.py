"""Text polygons remembered on disk, by the image's pixels and the finder's settings.

One small JSON file per image: ``<folder>/<finder>-<settings>/<pixels>.json``, both hashes SHA-256,
beside a ``settings.json`` that says what the finder was. Deleting any of it is safe.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.cache import FOLDER_VARIABLE, cache_folder
from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon, require_image
from nacd_bench.errors import TextFinderError
from nacd_bench.triplets.files import json_sha256


class Cached(TextFinder):
    """A text finder that asks the one inside only for images it has not seen.

    A finder that looks images up by id (``by_content`` is False) is asked every time. Where the
    folder cannot be written, a warning says so and the run goes on without.

    Args:
        finder: what finds text.
        folder: where to remember; by default ``$NACD_BENCH_CACHE``, else ``nacd-bench`` in the
            user's cache folder.
    """

    def __init__(self, finder: TextFinder, folder: str | Path | None = None) -> None:
        self.finder = finder
        self.folder = Path(folder) if folder is not None else cache_folder("polygons")
        self.name = finder.name
        self.by_content = finder.by_content

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.finder.settings

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        if self.folder is None or not self.by_content:
            return self.finder.find(image, image_id)
        require_image(image, image_id)
        path = self._own_folder / f"{_pixels_hash(image)}.json"
        try:
            entries = json.loads(path.read_text("utf-8"))["polygons"]
            return [TextPolygon.from_entry(entry) for entry in entries]
        except (OSError, LookupError, TypeError, ValueError, TextFinderError):
            polygons = self.finder.find(image, image_id)  # not there, or not as we write it
        self._remember(path, {"polygons": [polygon.to_entry() for polygon in polygons]})
        return polygons

    def close(self) -> None:
        self.finder.close()

    @cached_property
    def _own_folder(self) -> Path:
        assert self.folder is not None
        folder = self.folder / f"{self.name}-{json_sha256(dict(self.settings))[:16]}"
        if not (folder / "settings.json").is_file():
            self._remember(folder / "settings.json", dict(self.settings))
        return folder

    def _remember(self, path: Path, content: Mapping[str, Any]) -> None:
        """Writes whole or not at all, whoever else writes the same file."""
        if self.folder is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file, ensure_ascii=False)
                Path(part).replace(path)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise
        except OSError as error:
            warnings.warn(
                f"text polygons are not cached: {self.folder} cannot be written "
                f"({error.strerror}). Set {FOLDER_VARIABLE} to another folder, or to off.",
                RuntimeWarning,
                stacklevel=3,
            )
            self.folder = None


def _pixels_hash(image: np.ndarray) -> str:
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
