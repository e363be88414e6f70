"""Text polygons from a JSON file: annotations, or another tool's findings.

One entry per image, by the image's id or file name; an image without text has an empty list::

    {
      "images": {
        "kodim01": [],
        "shop.png": [
          {"points": [[10, 12], [90, 12], [90, 40], [10, 40]], "confidence": 0.93, "text": "OPEN"}
        ]
      }
    }

``points`` are the corners in pixels, four or more, in order (ICDAR, COCO-Text), nested or as a flat
list. ``confidence`` is 1 where left out, ``text`` may be left out.

COCO-Text's own file is read too: ``imgs`` by ``file_name``, ``anns`` with ``mask`` (2.0) or
``polygon`` (1.x) where there is one of four or more points, else ``bbox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon, named, require_image
from nacd_bench.errors import TextFinderError
from nacd_bench.triplets.files import composed, sha256
from nacd_bench.triplets.formats import has_image_suffix
from nacd_bench.triplets.text_files import parsed_json, read_text

EXPECTED = (
    'expected a polygon file {"images": {id: [{"points": [[x, y], ...], "confidence": 0.9}]}} or '
    'COCO-Text\'s {"imgs": ..., "anns": ...}'
)


class PolygonFile(TextFinder):
    """Looks polygons up by the image's id.

    Args:
        path: the JSON file. An image is found by its id as the file has it, or by the file's name
            for it without folder and suffix.

    Raises:
        TextFinderError: the file cannot be read, or says something else than polygons.
    """

    name = "file"
    by_content = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        text = read_text(self.path, "a polygon file", TextFinderError)
        self._sha256 = sha256(text)
        try:
            self._images = _polygons(parsed_json(self.path, text, "polygons", TextFinderError))
        except TextFinderError as error:
            raise TextFinderError(f"{self.path}: {error}") from error
        self._keys: dict[str, list[str]] = {}
        for key in self._images:
            self._keys.setdefault(_bare(key), []).append(key)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"finder": self.name, "sha256": self._sha256}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        require_image(image, image_id)
        return list(self._images[self._key(image_id)])

    def _key(self, image_id: str) -> str:
        if image_id in self._images:
            return image_id
        keys = self._keys.get(_bare(image_id), [])
        if len(keys) == 1:
            return keys[0]
        problem = f"has {' and '.join(keys)} for it" if keys else "has no entry for it"
        raise TextFinderError(
            f"{named(image_id)}expected one entry for this image in {self.path}, which {problem} "
            f"(among {len(self._images)}). Add it under its id, with [] where there is no text."
        )


def _bare(name: str) -> str:
    """A file's name without folder and suffix, an id as it is; both in Unicode's composed form."""
    plain = PurePath(name).name
    return composed(PurePath(plain).stem if has_image_suffix(plain) else plain)


def _polygons(content: Any) -> dict[str, list[TextPolygon]]:
    if isinstance(content, Mapping) and isinstance(content.get("images"), Mapping):
        images = content["images"]
    elif isinstance(content, Mapping) and {"imgs", "anns"} <= content.keys():
        images = _coco_text(content["imgs"], content["anns"])
    else:
        keys = ", ".join(map(str, content)) if isinstance(content, Mapping) else "no object"
        raise TextFinderError(f"{EXPECTED}, got {keys or 'an empty object'!s:.80}.")
    polygons: dict[str, list[TextPolygon]] = {key: [] for key in images}
    for key, entries in images.items():
        if not isinstance(entries, list):
            raise TextFinderError(f"{key}: expected a list of polygons, got {entries!r:.80}.")
        for number, entry in enumerate(entries, start=1):
            try:
                polygons[key].append(TextPolygon.from_entry(entry))
            except TextFinderError as error:
                raise TextFinderError(f"{key}, polygon {number}: {error}") from error
    return polygons


def _coco_text(imgs: Mapping[str, Any], anns: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    try:
        names = {str(image["id"]): str(image["file_name"]) for image in imgs.values()}
        images: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for annotation in anns.values():
            images[names[str(annotation["image_id"])]].append(
                {"points": _corners(annotation), "text": annotation.get("utf8_string", "")}
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TextFinderError(
            f"{EXPECTED}, got COCO-Text without a part of it: {type(error).__name__} {error}."
        ) from error
    return images


def _corners(annotation: Mapping[str, Any]) -> list[float]:
    points = annotation.get("mask") or annotation.get("polygon") or []
    if len(points) >= 8:
        return points
    x, y, width, height = annotation["bbox"]
    return [x, y, x + width, y, x + width, y + height, x, y + height]
