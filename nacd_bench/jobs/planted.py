"""The planted sample: real triplets with artifacts whose type, place and strength are known.

Photographs get a line of text per tile, are coded whole by the neural codec and by the traditional
one at the same PSNR, and are cut into tiles. Of each tile there is one triplet without artifact
and one with an artifact of each type; the test sets are drawn from these::

    records, problems = planted_triplets(strength=0.5)

Every tile has text, so that no method can tell garbled text from the mere presence of text. The
folder is found again by what is in it::

    lettered/           photographs with text, and texts.json with its places
    coded/              the run of both codecs
    weak/               the neural codec at its lowest rate, which mechanisms take from
    tiles/              original, neural and traditional tiles without artifact
    strength-0.5/       neural tiles with an artifact, masks/ that say where, triplets.parquet
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench import __version__
from nacd_bench.cache import cache_folder
from nacd_bench.coding.codec import Image, png
from nacd_bench.coding.originals import counted, list_images
from nacd_bench.coding.sides import CodecSpec, built, codec_from_config
from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.compress.run import compress
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.planting import Scene, plant
from nacd_bench.planting.lettering import with_text
from nacd_bench.planting.photographs import PLANTING_PHOTOS, photo_path
from nacd_bench.planting.scene import TextPlace
from nacd_bench.runs.folder import new_run_id, run_lock
from nacd_bench.triplets.files import json_sha256, sha256, write_whole
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.manifest import parse_manifest, write_manifest
from nacd_bench.triplets.record import Box, Label, Problem, TripletRecord

NEURAL, TRADITIONAL = "hyperprior", "x265"
TILE = 192
TILES = 110
PLANTING = 2
"""Changes whenever what is planted does: samples that are kept are the old ones."""
OVERLAP = 1 / 6
"""Of a tile's side: the most that neighbours share, where a photograph then gives another tile."""
TYPES = {
    "texture": ("texture", "boundary"),
    "color": ("large_color", "small_color"),
    "text": ("text",),
}
"""Kinds of artifact that take turns, by type."""

AnyCodec = str | CodecSpec | Mapping[str, Any]


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

    def cut(self, image: Image) -> Image:
        x0, y0, x1, y1 = self.box
        return np.ascontiguousarray(image[y0:y1, x0:x1])


def planted_triplets(
    images: str | Path | Sequence[str | Path] | None = None,
    neural: AnyCodec = NEURAL,
    traditional: AnyCodec = TRADITIONAL,
    point: float | None = None,
    strength: float = 0.5,
    tile: int = TILE,
    tiles: int = TILES,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | None = None,
    show_progress: bool = True,
) -> tuple[list[TripletRecord], list[Problem]]:
    """Labelled triplets with planted artifacts.

    Args:
        images: photographs, as :func:`nacd_bench.jobs.compress.run.compress` takes them; those of
            installed packages by default.
        neural, traditional: codecs: a registered name, or a dictionary with ``name`` and
            parameters.
        point: operating point of the neural codec; the one in the middle by default.
        strength: of all artifacts, from 0 (nothing) to 1.
        tile: side of the triplets in pixels; 0 for whole photographs.
        tiles: the most that are made, of all photographs in turn.
        seed: decides texts, places and mechanisms.
        folder: where all is kept; in the user's cache folder by default.
        workers: processes that code.
        show_progress: a progress bar.

    Returns:
        triplets, of which the test sets are drawn, and what went wrong with a photograph or tile.

    Raises:
        DataError: no photographs, a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise DataError(f"expected a strength from 0 to 1, got {strength}.")
    if tile and tile < 32:
        raise DataError(f"expected tiles of at least 32 pixels, or 0 for none, got {tile}.")
    left, right = _codec(neural), _codec(traditional)
    if images is None:
        paths = [photo_path(name) for name in PLANTING_PHOTOS]
    else:
        found = list_images(images, files_only=True)
        paths = found.paths
        if found.left_out:
            print(f"Left out, kinds that are not read: {counted(found.left_out)}", file=sys.stderr)
    chosen = _point(left, point)
    place = _folder(folder, _identity(paths, left, right, chosen, tile, seed))
    with run_lock(place, new_run_id(), wait=True):
        return _Sample(place, tile, seed).triplets(
            paths, left, right, chosen, tiles, strength, workers, show_progress
        )


def _codec(config: AnyCodec) -> CodecSpec:
    if isinstance(config, CodecSpec):
        return config
    return codec_from_config({"name": config} if isinstance(config, str) else config)[0]


def _point(codec: CodecSpec, point: float | None) -> float:
    values = built(codec).points.values
    if point is None:
        return values[len(values) // 2]
    built(codec).require_point(point)
    return point


def _identity(
    paths: Sequence[Path],
    neural: CodecSpec,
    traditional: CodecSpec,
    point: float,
    tile: int,
    seed: int,
) -> str:
    """Hash of everything that fixes the triplets but the artifacts' strength."""
    codecs = [
        [codec.name, built(codec).version(), dict(built(codec).parameters)]
        for codec in (neural, traditional)
    ]
    files = [sha256(path.read_bytes()) for path in paths]
    content = [__version__, PLANTING, codecs, files, point, tile, seed]
    return json_sha256(content)[:16]


def _folder(folder: str | Path | None, identity: str) -> Path:
    if folder is not None:
        return Path(folder) / identity
    return (cache_folder("planted") or Path("runs/planted")) / identity


class _Sample:
    """The folder of a sample; what is there already is not made again."""

    def __init__(self, folder: Path, tile: int, seed: int) -> None:
        self.folder = folder
        self.tile = tile
        self.seed = seed

    def triplets(
        self,
        paths: Sequence[Path],
        neural: CodecSpec,
        traditional: CodecSpec,
        point: float,
        most: int,
        strength: float,
        workers: int | None,
        show_progress: bool,
    ) -> tuple[list[TripletRecord], list[Problem]]:
        manifest = self.folder / f"strength-{strength:g}" / f"triplets-{most}.parquet"
        if not manifest.is_file():
            lettered, problems = self._lettered(paths)
            tiles = _in_turn(lettered.values(), most)
            used = {each.photo for each in tiles}
            coded = compress(
                [self.folder / "lettered" / f"{name}.png" for name in lettered if name in used],
                neural,
                traditional,
                self.folder / "coded",
                scheme="psnr",
                points=[point],
                workers=workers,
                failure_limit=1,
                show_progress=show_progress,
            )
            problems += [Problem(each["image"], each["error"]) for each in coded.failures]
            rows = {row["source"]: row for row in coded.rows}
            records: list[TripletRecord] = []
            with progress_bar("planted tiles", len(tiles), show_progress) as progress:
                for name in rows:
                    images = self._images(name, rows[name], neural)
                    for each in tiles:
                        if each.photo == name:
                            records += self._planted(each, images, rows[name], strength)
                            progress(0)
            if problems:  # the next run tries again
                return records, problems
            write_manifest(manifest, records)
        return parse_manifest(manifest)

    def _lettered(self, paths: Sequence[Path]) -> tuple[dict[str, list[Tile]], list[Problem]]:
        """The photographs with text, written once; the tiles of each."""
        found: dict[str, list[Tile]] = {}
        problems = []
        for path in paths:
            name = _free_name(path.stem, found)
            file, texts = (self.folder / "lettered" / f"{name}.{end}" for end in ("png", "json"))
            if not texts.is_file():
                try:
                    image, _ = read_8_bit(path)
                except UserError as error:
                    problems.append(Problem(path.name, str(error)))
                    continue
                image, tiles = self._with_texts(name, image)
                write_whole(file, png(image))
                write_whole(texts, json.dumps([asdict(each) for each in tiles]).encode())
            found[name] = [_tile(each) for each in json.loads(texts.read_bytes())]
        return found, problems

    def _with_texts(self, name: str, image: Image) -> tuple[Image, list[Tile]]:
        height, width = image.shape[:2]
        boxes = tile_boxes(width, height, self.tile)
        shared = round(OVERLAP * self.tile / 2) + 1
        tiles = []
        for x0, y0, x1, y1 in boxes:
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode()), x0, y0])
            zone = (x0 + shared, y0 + shared, x1 - shared, y1 - shared)
            done = with_text(image, zone, rng)
            texts: tuple[TextPlace, ...] = ()
            if done:
                image, place = done
                a, b, c, d = place.box
                texts = (TextPlace((a - x0, b - y0, c - x0, d - y0), place.height),)
            tiles.append(Tile(name, (x0, y0, x1, y1), texts))
        return image, tiles

    def _images(self, name: str, row: Mapping[str, Any], neural: CodecSpec) -> dict[str, Image]:
        """Of a photograph: original, both decodes, and the neural one at its lowest rate."""
        coded = self.folder / "coded"
        files = {
            "original": self.folder / "lettered" / f"{name}.png",
            "neural": coded / row["neural"],
            "traditional": coded / row["traditional"],
        }
        images = {role: read_8_bit(path)[0] for role, path in files.items()}
        weak = self.folder / "weak" / f"{name}.png"
        if not weak.is_file():
            codec = built(neural)
            data = codec.encode(images["original"], codec.points.values[0])
            write_whole(weak, png(codec.decode(data)))
        images["weak"] = read_8_bit(weak)[0]
        return images

    def _planted(
        self, tile: Tile, images: Mapping[str, Image], row: Mapping[str, Any], strength: float
    ) -> Iterator[TripletRecord]:
        """A triplet without artifact, and one with an artifact of each type that has a place."""
        cut = {role: tile.cut(image) for role, image in images.items()}
        files = {
            role: self.folder / "tiles" / f"{tile.id}-{role}.png"
            for role in ("original", "neural", "traditional")
        }
        for role, path in files.items():
            if not path.is_file():
                write_whole(path, png(cut[role]))
        facts: dict[str, Any] = {
            "source": tile.id,
            **{
                f"{side}_{fact}": row[f"{side}_{fact}"]
                for side in ("neural", "traditional")
                for fact in ("codec", "version", "bpp")
            },
            **{f"{side}_point": f"{row[f'{side}_point']:g}" for side in ("neural", "traditional")},
        }
        places: dict[str, Any] = {role: str(path) for role, path in files.items()}
        yield TripletRecord(
            f"{tile.id}-free", **places, **facts, artifact_free=True, extra={"photo": tile.photo}
        )
        scene = Scene(cut["original"], cut["neural"], cut["weak"], tile.texts)
        seed = zlib.crc32(f"{self.seed} {tile.id}".encode())
        folder = self.folder / f"strength-{strength:g}"
        for name, kinds in TYPES.items():
            turn = seed % len(kinds)
            done = next(
                filter(None, (plant(scene, kind, strength, seed) for kind in kinds[turn:] + kinds)),
                None,
            )
            if done is None:
                continue
            file, mask = (
                folder / f"{tile.id}-{name}.png",
                folder / "masks" / f"{tile.id}-{name}.png",
            )
            write_whole(file, png(done.image))
            gray = np.rint(done.mask * 255).astype(np.uint8)
            write_whole(mask, png(np.repeat(gray[:, :, None], 3, axis=2)))
            yield TripletRecord(
                f"{tile.id}-{name}",
                **{**places, "neural": str(file)},
                **facts,
                labels=(Label(name, done.box, confirmed=True),),
                extra={
                    "photo": tile.photo,
                    "planted_kind": done.kind,
                    "planted_mechanism": done.mechanism,
                    "planted_strength": strength,
                    "planted_difference": done.difference,
                },
            )


def tile_boxes(width: int, height: int, side: int) -> list[Box]:
    """Squares that share at most :data:`OVERLAP` of their side with a neighbour, spread evenly;
    one box for the whole image where ``side`` is 0.

    >>> [box[0] for box in tile_boxes(640, 192, 192)]
    [0, 224, 448]
    """
    if not side:
        return [(0, 0, width, height)]
    return [(x, y, x + side, y + side) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    if length < side:
        return []
    count = int((length - side) / (side * (1 - OVERLAP))) + 1
    if count == 1:
        return [(length - side) // 2]
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _in_turn(photos: Iterable[Sequence[Tile]], most: int) -> list[Tile]:
    """The first tile of each photograph, then the second of each, and so on."""
    turns = zip_longest(*photos)
    return [tile for tile in chain.from_iterable(turns) if tile is not None][:most]


def _tile(entry: Mapping[str, Any]) -> Tile:
    texts = tuple(TextPlace(tuple(each["box"]), each["height"]) for each in entry["texts"])
    return Tile(entry["photo"], tuple(entry["box"]), texts)


def _free_name(stem: str, taken: Iterable[str]) -> str:
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name
