"""The planted sample: real triplets with artifacts whose type, place and strength are known.

Photographs get lines of text, are coded whole by the neural codec and by the traditional one at a
part of its rate, and are cut into tiles. Of each tile there is one triplet without artifact, and
some with an artifact of each type; the test sets are drawn from these::

    records, problems = planted_triplets(strength=0.5)

Every tile has text, so that no method can tell garbled text from the mere presence of text. The
folder is found again by what is in it::

    lettered/           photographs with text, and texts.json with its places
    coded/              the run of both codecs
    weak/               the neural codec at its lowest rate, which mechanisms take from
    tiles/              original, neural and traditional tiles without artifact
    strength-0.5/       neural tiles with an artifact, masks/ that say where, a manifest
"""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from nacd_bench import __version__
from nacd_bench.cache import cache_folder
from nacd_bench.coding.codec import Image, png
from nacd_bench.coding.originals import counted, list_images
from nacd_bench.coding.sides import AnyCodec, CodecSpec, built, codec_of, rate_steps
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.pipeline.coding import code_sides, triplet_sides
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.planting import Scene, plant
from nacd_bench.planting.lettering import with_text
from nacd_bench.planting.photographs import PLANTING_PHOTOS, photo_paths
from nacd_bench.planting.scene import TextPlace
from nacd_bench.runs.folder import new_run_id, run_lock
from nacd_bench.settings import Count, Name, Names, Number, Positive, Share, checked
from nacd_bench.triplets.files import json_sha256, sha256, write_whole
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.manifest import parse_manifest, write_manifest
from nacd_bench.triplets.record import PLANTED, ROLES, Box, Label, TripletRecord

NEURAL, TRADITIONAL = "hyperprior", "x265"
RATE_FACTOR = 0.5
"""Of these two: about the same PSNR on average, and not on each photograph."""
TILE = 512
SMALLEST = 32
TILES = 100
PLACES = 1
PLANTING = 3
"""Changes whenever what is planted does: samples that are kept are the old ones."""
OVERLAP = 1 / 6
"""Of a tile's side: the most that neighbours share, where a photograph then gives another tile."""
TEXT_ROOM = 200
TEXTS = 3
"""Pixels of a tile's width and height for each line of text, and the most lines of a tile."""
TYPES = {
    "texture": ("texture", "boundary"),
    "color": ("large_color", "small_color"),
    "text": ("text",),
}
"""Kinds of artifact that take turns, by type."""


@dataclass(frozen=True)
class Tile:
    """A part of a photograph that is a triplet of its own.

    Args:
        photo: id of the photograph.
        box: where it lies.
        texts: its text, in its own coordinates.
    """

    photo: str
    box: Box
    texts: tuple[TextPlace, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.photo}-{self.box[0]}-{self.box[1]}"


TILES_OF_PHOTO = TypeAdapter(list[Tile])


@checked
def planted_triplets(
    images: Names | None = None,
    neural: AnyCodec = NEURAL,
    traditional: AnyCodec = TRADITIONAL,
    point: float | None = None,
    rate_factor: Positive | None = RATE_FACTOR,
    strength: Share = 0.5,
    size: Number | None = None,
    tile: Count = TILE,
    tiles: Number = TILES,
    places: Number = PLACES,
    seed: Count = 0,
    folder: Name | None = None,
    workers: Count | None = None,
    show_progress: bool = True,
) -> tuple[list[TripletRecord], list[Failure]]:
    """Labelled triplets with planted artifacts.

    Args:
        images: photographs, as :func:`nacd_bench.jobs.compress.run.compress` takes them; those of
            installed packages by default.
        neural, traditional: codecs: a registered name, or a dictionary with ``name`` and
            parameters.
        point: operating point of the neural codec; the one in the middle by default.
        rate_factor: rate of the traditional result by that of the neural one; None for a rate with
            the same PSNR.
        strength: of all artifacts, from 0 (nothing) to 1.
        size: width and height of all artifacts in pixels, of text the length; from the range of
            each kind by default. At most half of a triplet's.
        tile: side of the triplets in pixels, or the photograph's where that is smaller; 0 for whole
            photographs.
        tiles: the most that are made, of all photographs in turn.
        places: triplets of each tile with an artifact of a type, each in another place.
        seed: decides texts, places and mechanisms.
        folder: where all is kept; in the user's cache folder by default.
        workers: processes that code.
        show_progress: a progress bar.

    Returns:
        triplets, of which the test sets are drawn, and what went wrong with a photograph or tile.

    Raises:
        DataError: no photographs.
    """
    if tile and tile < SMALLEST:
        raise DataError(f"expected tiles of at least {SMALLEST} pixels, or 0 for none, got {tile}.")
    codecs = [codec_of(neural), codec_of(traditional)]
    missing: list[Failure] = []
    if images is None:
        paths, missing = photo_paths(PLANTING_PHOTOS)
    else:
        listing = list_images(images, files_only=True)
        paths = listing.paths
        if listing.left_out:
            print(
                f"Left out, kinds that are not read: {counted(listing.left_out)}", file=sys.stderr
            )
    points = built(codecs[0]).points.values
    chosen = points[len(points) // 2] if point is None else point
    built(codecs[0]).require_point(chosen)
    # everything that fixes the triplets but the artifacts' strength
    identity = [
        __version__,
        PLANTING,
        [[spec.name, built(spec).version(), dict(built(spec).parameters)] for spec in codecs],
        [sha256(path.read_bytes()) for path in paths],
        chosen,
        rate_factor,
        tile,
        seed,
    ]
    root = cache_folder("planted") if folder is None else Path(folder)
    place = (root or Path("runs/planted")) / json_sha256(identity)[:16]
    changed = place / f"strength-{strength:g}"
    if size is not None:
        changed = place / f"strength-{strength:g}-size-{size}"
    manifest = changed / f"triplets-{tiles}-{places}.parquet"
    with run_lock(place, new_run_id(), wait=True):
        if manifest.is_file():
            kept, faults = parse_manifest(manifest)
            return kept, [*missing, *faults]
        lettered, problems = _lettered(paths, place / "lettered", tile, seed)
        # the first tile of each photograph, then the second of each, and so on
        in_turn = chain.from_iterable(zip_longest(*lettered.values()))
        chosen_tiles: dict[str, list[Tile]] = defaultdict(list)
        for one in [one for one in in_turn if one is not None][:tiles]:
            chosen_tiles[one.photo].append(one)
        sides = triplet_sides(codecs[0], codecs[1:], rate_factor)
        coded = code_sides(
            [place / "lettered" / f"{name}.png" for name in lettered if name in chosen_tiles],
            sides,
            rate_steps(sides[0].codec, [chosen]),
            place / "coded",
            kinds=("point", "psnr" if rate_factor is None else "bpp"),
            workers=workers,
            failure_limit=1,
            show_progress=show_progress,
        )
        problems += coded.failures
        records: list[TripletRecord] = []
        total = sum(map(len, chosen_tiles.values()))
        with progress_bar("planted tiles", total, show_progress) as progress:
            for row in coded.rows:
                decodes = _images(row, place, codecs[0])
                for one in chosen_tiles[row["source"]]:
                    records += _planted(one, decodes, row, changed, strength, size, places, seed)
                    progress(0)
        if problems:  # the next run tries again
            return records, [*missing, *problems]
        write_manifest(manifest, records)
        return parse_manifest(manifest)[0], missing


def _lettered(
    paths: Sequence[Path], folder: Path, side: int, seed: int
) -> tuple[dict[str, list[Tile]], list[Failure]]:
    """The photographs with text, written once; the tiles of each."""
    tiles: dict[str, list[Tile]] = {}
    problems = []
    for path in paths:
        names = chain([path.stem], (f"{path.stem}-{number}" for number in count(2)))
        name = next(name for name in names if name not in tiles)
        texts = folder / f"{name}.json"
        if not texts.is_file():
            try:
                image, _ = read_8_bit(path)
                _require_size(path, image)
            except UserError as error:
                problems.append(Failure(path.name, "read", str(error)))
                continue
            image, with_texts = _with_texts(name, image, side, seed)
            write_whole(folder / f"{name}.png", png(image))
            write_whole(texts, TILES_OF_PHOTO.dump_json(with_texts))
        tiles[name] = TILES_OF_PHOTO.validate_json(texts.read_bytes())
    return tiles, problems


def _require_size(path: Path, image: Image) -> None:
    """Raise :class:`DataError` for a photograph that is too small for any artifact."""
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        raise DataError(
            f"{path}: expected at least {SMALLEST} x {SMALLEST} pixels, got {width} x {height}. "
            "Remove it."
        )


def _with_texts(name: str, image: Image, side: int, seed: int) -> tuple[Image, list[Tile]]:
    """A photograph with lines of text in each of its tiles, where there is room for them."""
    shared = round(OVERLAP * side / 2) + 1
    tiles = []
    for x0, y0, x1, y1 in tile_boxes(image.shape[1], image.shape[0], side):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), x0, y0])
        zones = _zones((x0 + shared, y0 + shared, x1 - shared, y1 - shared))
        texts = []
        for number in rng.permutation(len(zones))[:TEXTS]:
            if lettered := with_text(image, zones[number], rng):
                image, place = lettered
                a, b, c, d = place.box
                texts.append(TextPlace((a - x0, b - y0, c - x0, d - y0), place.height))
        tiles.append(Tile(name, (x0, y0, x1, y1), tuple(texts)))
    return image, tiles


def _zones(box: Box) -> list[Box]:
    """Parts of a box that have room for a line of text each."""
    x0, y0, x1, y1 = box
    columns, rows = (max(1, length // TEXT_ROOM) for length in (x1 - x0, y1 - y0))
    width, height = (x1 - x0) // columns, (y1 - y0) // rows
    corners = [(x0 + i * width, y0 + j * height) for j in range(rows) for i in range(columns)]
    return [(x, y, x + width, y + height) for x, y in corners]


def _images(row: Mapping[str, Any], folder: Path, neural: CodecSpec) -> dict[str, Image]:
    """Of a photograph: original, both decodes, and the neural one at its lowest rate."""
    files = {
        "original": folder / "lettered" / f"{row['source']}.png",
        "neural": folder / "coded" / row["neural"],
        "traditional": folder / "coded" / row["traditional"],
        "weak": folder / "weak" / f"{row['source']}.png",
    }
    if not files["weak"].is_file():
        codec = built(neural)
        data = codec.encode(read_8_bit(files["original"])[0], codec.points.values[0])
        write_whole(files["weak"], png(codec.decode(data)))
    return {role: read_8_bit(path)[0] for role, path in files.items()}


def _planted(
    tile: Tile,
    images: Mapping[str, Image],
    row: Mapping[str, Any],
    folder: Path,
    strength: float,
    size: int | None,
    places: int,
    seed: int,
) -> Iterator[TripletRecord]:
    """A triplet without artifact, and some with an artifact of each type that has a place.

    Args:
        tile: the part of the photograph.
        images: of the photograph, by role.
        row: how it was coded.
        folder: for neural tiles with an artifact; the others lie in ``tiles/`` beside it.
    """
    x0, y0, x1, y1 = tile.box
    cut = {role: np.ascontiguousarray(image[y0:y1, x0:x1]) for role, image in images.items()}
    facts: dict[str, Any] = {"source": tile.photo}
    for role in ROLES:
        path = folder.parent / "tiles" / f"{tile.id}-{role}.png"
        if not path.is_file():
            write_whole(path, png(cut[role]))
        facts[role] = str(path)
    for side in ROLES[1:]:
        facts |= {f"{side}_{fact}": row[f"{side}_{fact}"] for fact in ("codec", "version", "bpp")}
        facts[f"{side}_point"] = f"{row[f'{side}_point']:g}"
    free = TripletRecord(f"{tile.id}-free", artifact_free=True, **facts)
    yield free
    scene = Scene(cut["original"], cut["neural"], cut["weak"], tile.texts)
    of_tile = zlib.crc32(f"{seed} {tile.id}".encode())
    for (name, kinds), number in product(TYPES.items(), range(places)):
        turn = (of_tile + number) % len(kinds)
        tries = (
            plant(scene, kind, strength, of_tile + number, size=size)
            for kind in kinds[turn:] + kinds
        )
        planted = next(filter(None, tries), None)
        if planted is None:
            continue
        file = folder / f"{tile.id}-{name}-{number + 1}.png"
        write_whole(file, png(planted.image))
        gray = np.rint(planted.mask * 255).astype(np.uint8)
        write_whole(folder / "masks" / file.name, png(np.stack([gray] * 3, axis=2)))
        yield replace(
            free,
            id=file.stem,
            neural=str(file),
            artifact_free=None,
            labels=(Label(name, planted.box, confirmed=True),),
            extra={
                PLANTED: planted.kind,
                "planted_mechanism": planted.mechanism,
                "planted_strength": strength,
                "planted_difference": planted.difference,
            },
        )


def tile_boxes(width: int, height: int, side: int) -> list[Box]:
    """Squares that share at most :data:`OVERLAP` of their side with a neighbour, spread evenly; as
    narrow or low as an image that is smaller, all of it where ``side`` is 0.

    >>> tile_boxes(640, 150, 192)
    [(0, 0, 192, 150), (224, 0, 416, 150), (448, 0, 640, 150)]
    """
    w, h = (min(side or length, length) for length in (width, height))
    return [(x, y, x + w, y + h) for y in _starts(height, h) for x in _starts(width, w)]


def _starts(length: int, side: int) -> list[int]:
    count = int((length - side) / (side * (1 - OVERLAP))) + 1
    if count == 1:
        return [(length - side) // 2]
    return [round(i * (length - side) / (count - 1)) for i in range(count)]
