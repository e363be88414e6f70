"""A small mined folder with everything that ``nacd-bench mine`` leaves, for tests of what follows.

Embedded photographs, WebP as the neural side and JPEG as the traditional one at two operating
points; the candidates are places and confidences by a seed, not by detectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from nacd_bench.coding.codec import bits_per_pixel, png
from nacd_bench.evaluation.duplicates import with_duplicates, with_places
from nacd_bench.planting.lettering import with_text
from nacd_bench.registry import CODECS
from nacd_bench.runs.candidates import TablesWriter, place_of
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, schema
from nacd_bench.triplets.images import pixels_sha256

DETECTORS = {"texture": "texture", "boundary": "texture", "large_color": "color", "text": "text"}
POINTS = {"neural": ("webp", (20.0, 60.0)), "traditional": ("jpeg", (25.0, 65.0))}


def make_mined(
    folder: Path,
    images: int = 3,
    seed: int = 0,
    detectors: Mapping[str, str] = DETECTORS,
    score: float = 0.25,
) -> Path:
    """Mine some photographs in name only, every one with this score; the folder."""
    rng = np.random.default_rng(seed)
    codecs = {side: CODECS.get(name)() for side, (name, _) in POINTS.items()}
    rows: dict[str, list[dict[str, Any]]] = {CANDIDATES: [], CODED: [], IMAGES: []}
    for index in range(images):
        pixels = _photo(index)
        path = folder.parent / f"{folder.name}-photos" / f"photo{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        facts = {
            "image": f"photo{index}-{sha256[:12]}",
            "image_sha256": sha256,
            "image_path": str(path),
            "width": pixels.shape[1],
            "height": pixels.shape[0],
        }
        found = 0
        for place in range(2):
            coded, decoded = _coded(folder, facts, pixels, codecs, place)
            rows[CODED].append({**coded, "scores": list(dict.fromkeys(detectors, score).items())})
            shared = {name: coded[name] for name in schema(CANDIDATES).names if name in coded}
            for detector, kind in detectors.items():
                for number in range(int(rng.integers(0, 3))):
                    box = _box(rng, facts["width"], facts["height"])
                    found += 1
                    rows[CANDIDATES].append(
                        {
                            **shared,
                            "candidate": f"{coded['triplet']}_{detector}_{number}",
                            "detector": detector,
                            "artifact_type": kind,
                            "confidence": float(1 / (number + 1 + rng.random())),
                            "number": number,
                            **_crops(folder, coded, pixels, decoded, detector, box, number),
                        }
                    )
        rows[IMAGES].append({**facts, "names": [str(path)], "candidates": found})
    with TablesWriter(folder) as tables:
        for table, own in rows.items():
            whole = pa.Table.from_pylist(own, schema=schema(table))
            tables.add(table, with_places(with_duplicates(whole)) if table == CANDIDATES else whole)
    settings = {
        side: {
            "codec": {"name": POINTS[side][0], "parameters": {}, "label": None},
            "version": codec.version(),
        }
        for side, codec in codecs.items()
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def _photo(index: int) -> np.ndarray:
    from nacd_bench.planting.photographs import COLOR_PHOTOS, photo

    """A photograph with a sign in its middle, where every crop has it."""
    whole = photo(COLOR_PHOTOS[index % len(COLOR_PHOTOS)])
    cut = np.ascontiguousarray(whole[:310, : 420 - index])
    lettered = with_text(cut, (125, 60, 295, 250), np.random.default_rng(index))
    assert lettered is not None
    return lettered[0]


def _coded(folder: Path, facts: dict, pixels: np.ndarray, codecs: dict, place: int) -> tuple:
    preset = f"quality-{POINTS['neural'][1][place]:g}"
    row = {**facts, "triplet": f"{facts['image']}_{preset}", "preset": preset}
    row["preset_index"] = place
    decoded = {}
    for side, codec in codecs.items():
        data = codec.encode(pixels, POINTS[side][1][place])
        decoded[side] = codec.decode(data)
        name = f"{place_of('bitstreams', facts['image_sha256'])}/{preset}-{side}.bin"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        row |= {
            f"{side}_codec": codec.name,
            f"{side}_version": codec.version(),
            f"{side}_point": f"{POINTS[side][1][place]:g}",
            f"{side}_bpp": bits_per_pixel(len(data), facts["width"], facts["height"]),
            f"{side}_sha256": pixels_sha256(decoded[side]),
            f"{side}_bitstream": name,
            f"{side}_decoded": None,
            f"{side}_bytes": float(len(data)),
            f"{side}_psnr": 30.0,
            f"{side}_encodes": 1,
            f"{side}_out_of_range": False,
        }
    return row, decoded


def _box(rng: np.random.Generator, width: int, height: int) -> list[int]:
    x0, y0 = int(rng.integers(0, width - 299)), int(rng.integers(0, height - 299))
    return [x0, y0, x0 + 300, y0 + 300]


def _crops(
    folder: Path,
    coded: dict,
    original: np.ndarray,
    decoded: dict,
    detector: str,
    box: list[int],
    number: int,
) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    edges = ("x0", "y0", "x1", "y1")
    row = {f"{kind}{edge}": v for kind in ("", "crop_") for edge, v in zip(edges, box, strict=True)}
    place = place_of("crops", coded["image_sha256"])
    for role, pixels in {"original": original, **decoded}.items():
        name = f"{place}/{coded['preset']}-{detector}-{number}-{role}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[y0:y1, x0:x1]).save(folder / name)
        row[f"crop_{role}"] = name
    return row
