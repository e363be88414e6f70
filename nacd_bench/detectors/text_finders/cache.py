"""Text polygons remembered on disk, by the image's pixels and the finder's settings."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nacd_bench.cache import FOLDER_VARIABLE, ScoreCache, cache_folder
from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon, require_image
from nacd_bench.errors import DataError, TextFinderError
from nacd_bench.triplets.files import json_sha256

T = TypeVar("T")


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
        self.max_side = finder.max_side

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.finder.settings

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        if self.folder is None or not self.by_content:
            return self.finder.find(image, image_id)
        require_image(image, image_id)
        pixels = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        key = json_sha256({"finder": dict(self.settings), "pixels": [image.shape, pixels]})
        remembered = self._asked(lambda cache: cache.get([key]))
        try:
            entries = remembered[key]["polygons"]  # type: ignore[index]
            return [TextPolygon.from_entry(entry) for entry in entries]
        except (LookupError, TypeError, TextFinderError):  # not there, or not as we write it
            polygons = self.finder.find(image, image_id)
        record = {"polygons": [polygon.to_entry() for polygon in polygons]}
        self._asked(lambda cache: cache.put({key: record}))
        return polygons

    def close(self) -> None:
        self.finder.close()

    def _asked(self, question: Callable[[ScoreCache], T]) -> T | None:
        """What the cache answers; None, after one warning, where it cannot be used."""
        if self.folder is None:
            return None
        try:
            return question(ScoreCache(self.folder / "polygons.sqlite"))
        except DataError as error:
            warnings.warn(
                f"text polygons are not cached: {error} "
                f"Set {FOLDER_VARIABLE} to another folder, or to off.",
                RuntimeWarning,
                stacklevel=3,
            )
            self.folder = None
            return None
