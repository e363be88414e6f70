"""What ``compare`` says of planted faults, from hardly visible to absurd (docs/compare.md).

    python benchmarks/compare_faults.py [--photographs 6]

Version 1 are decodes of installed photographs by the learned codec, beside x265. Version 2 are the
same with a fault: on all of them, on one, or on a patch of 128 x 128 pixels of each. Half of the
photographs carry a plate with text. A fault that is called better, in one direction, or worse in
the other, ends the script with status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from nacd_bench.detectors import ColorSeverity, TextSeverity, TextureSeverity
from nacd_bench.jobs.compare.versions import compare_runs
from nacd_bench.planting.photographs import COLOR_PHOTOS, photo
from nacd_bench.registry import CODECS
from nacd_bench.runs.tables import Table, write_tables
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.record import TripletRecord

Pixels = NDArray[np.uint8]
Results = Mapping[str, Result]
LEARNED, HEVC = 4, 34.0
"""Operating points."""
PATCH = (slice(60, 188), slice(60, 188))
PLATE = (40, 200, 440, 360)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("harbour lights", "seven gardens", "morning train", "quiet window")
STRENGTHS = {
    ("cast, levels", "color"): (1, 2, 5, 10, 20, 45, 100, 255),
    ("blur, sigma", "texture"): (0.3, 0.5, 1, 2, 4, 10, 40),
    ("noise, levels", "texture"): (1, 2, 4, 8, 32, 128),
    ("letters swapped, %", "text"): (5, 25, 50, 100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photographs", type=int, default=6)
    names = COLOR_PHOTOS[: parser.parse_args().photographs]
    scenes = {name: Scene(name, place % 2 == 0) for place, name in enumerate(names)}
    clean = {name: scene.results(scene.decode) for name, scene in scenes.items()}
    rows, faults = [], 0
    with tempfile.TemporaryDirectory() as folder:
        first = written(Path(folder, "1"), clean)
        for (what, kind), strengths in STRENGTHS.items():
            for strength in strengths:
                whole, part = (
                    {name: changed(scene, what, strength, only) for name, scene in scenes.items()}
                    for only in (False, True)
                )
                versions = (whole, {**clean, names[0]: whole[names[0]]}, part)
                cells = []
                for number, results in enumerate(versions):
                    second = written(Path(folder, f"{what[:4]}{strength}-{number}"), results)
                    forth = compare_runs(first, second).summary["types"]
                    back = compare_runs(second, first).summary["types"]
                    faults += says(forth, "better") or says(back, "worse")
                    cells += [said(forth[kind]), said(back[kind])]
                    if not number:
                        cells.insert(
                            0, "{before:.2f} to {after:.2f}".format(**forth[kind]["severity"])
                        )
                rows.append([what, f"{strength:g}", *cells])
                print(*rows[-1], sep=" | ", flush=True)
    columns = ("fault", "strength", "severity, all", "all", "back", "one", "back", "patch", "back")
    print(Table(columns, rows).markdown(), f"{faults} contradict the fault")
    sys.exit(faults > 0)


def says(types: Mapping[str, Any], outcome: str) -> bool:
    """Whether any type has an outcome."""
    return any(figures["outcome"] in (outcome, "mixed") for figures in types.values())


def said(figures: Mapping[str, Any]) -> str:
    """Of a type: the outcome, and of how many pictures."""
    number = sum(figures[name] for name in ("new", "fixed", "stronger", "weaker"))
    return f"{figures['outcome']}, {number}" if number else str(figures["outcome"])


class Scene:
    """A photograph, its decodes, and what detectors say of a version of the neural one.

    Args:
        name: of the photograph.
        has_text: whether a plate with text is put on it.
    """

    def __init__(self, name: str, has_text: bool) -> None:
        self.has_text = has_text
        self.photograph = np.ascontiguousarray(photo(name)[:400, :512])
        self.original = self.lettered(WORDS)
        self.decode = self.coded("hyperprior", LEARNED, self.original)
        self.traditional = self.coded("x265", HEVC, self.original)

    def lettered(self, words: tuple[str, ...]) -> Pixels:
        if not self.has_text:
            return self.photograph
        image = Image.fromarray(self.photograph)
        draw = ImageDraw.Draw(image)
        draw.rectangle(PLATE, fill=(235, 230, 215))
        for number, line in enumerate(words):
            place = (PLATE[0] + 16, PLATE[1] + 10 + 36 * number)
            draw.text(place, line, (30, 30, 40), ImageFont.load_default(26))
        return np.asarray(image)

    def coded(self, codec: str, place: float, image: Pixels) -> Pixels:
        made = CODECS.get(codec)()
        point = made.points.values[int(place)] if codec == "hyperprior" else place
        return made.decode(made.encode(image, point))

    def results(self, decode: Pixels) -> Results:
        images = (self.original, decode, self.traditional)
        planes = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] for image in images]
        batch = TripletBatch(*planes, ids=["x"])
        found = {}
        for detector in DETECTORS:
            said = detector(batch)
            found[detector.name] = Result(
                float(said.scores[0]),
                [list(map(int, box)) for box in said.boxes[0].tolist()],
                said.confidences[0].tolist(),
            )
        return found


DETECTORS = [TextureSeverity(), ColorSeverity(), TextSeverity()]


def changed(scene: Scene, what: str, strength: float, only_patch: bool) -> Results:
    """Results of the neural decode with a fault."""
    if what.startswith("letters"):
        number = 1 if only_patch else len(WORDS)
        words = (*(swapped(word, strength) for word in WORDS[:number]), *WORDS[number:])
        return scene.results(scene.coded("hyperprior", LEARNED, scene.lettered(words)))
    image = FAULTS[what[:5]](scene.decode, strength)
    if only_patch:
        whole, image = image, scene.decode.copy()
        image[PATCH] = whole[PATCH]
    return scene.results(image)


def cast(image: Pixels, levels: float) -> Pixels:
    return (image + np.array([levels, 0.0, -levels])).clip(0, 255).astype(np.uint8)


def blurred(image: Pixels, sigma: float) -> Pixels:
    return gaussian_filter(image.astype(float), (sigma, sigma, 0)).round().astype(np.uint8)


def noisy(image: Pixels, levels: float) -> Pixels:
    noise = np.random.default_rng(0).uniform(-levels, levels, image.shape)
    return (image + noise).round().clip(0, 255).astype(np.uint8)


FAULTS: Mapping[str, Callable[[Pixels, float], Pixels]] = {
    "cast,": cast,
    "blur,": blurred,
    "noise": noisy,
}


def swapped(word: str, percent: float) -> str:
    """With other letters in so many of its places; more of them swap the same ones too."""
    rng = np.random.default_rng(len(word))
    letters = [place for place, letter in enumerate(word) if letter != " "]
    chosen = rng.permutation(letters)[: max(1, round(len(letters) * percent / 100))]
    other = {p: LETTERS[(LETTERS.index(word[p]) + 7 + p) % 26] for p in chosen.tolist()}
    return "".join(other.get(place, letter) for place, letter in enumerate(word))


def written(folder: Path, results: Mapping[str, Results]) -> Path:
    """A detect run."""
    folder.mkdir()
    records = [
        TripletRecord(name, "o.png", "n.png", "t.png", source=name, neural_point="1")
        for name in results
    ]
    types = {detector.name: detector.artifact_type for detector in DETECTORS}
    write_tables(folder, records, results, types, dict.fromkeys(types, 1.5))
    for name, text in (("settings.json", "{}"), ("config.yaml", "thresholds: {}\n")):
        (folder / name).write_text(text)
    return folder


if __name__ == "__main__":
    main()
