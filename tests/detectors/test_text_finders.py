"""Text finders: RapidOCR for real, MMOCR's worker with a stand-in for MMOCR, files, the cache."""

from __future__ import annotations

import itertools
import json
import pickle
import sqlite3
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from checks import fails
from PIL import Image, ImageDraw, ImageFont
from shared_data import SHARED, needs_shared

from nacd_bench.cache import FOLDER_VARIABLE, cache_folder
from nacd_bench.detectors.text_finders import (
    MMOCR,
    Cached,
    PolygonFile,
    RapidOCR,
    TextFinder,
    TextPolygon,
    rapidocr,
)
from nacd_bench.errors import ImageError, TextFinderError
from nacd_bench.planting.photographs import photo

FAKE = Path(__file__).parents[1] / "fakes" / "mmocr_package"


def written(text: str = "nacd bench 42", size: int = 40) -> np.ndarray:
    """Black text on white at (60, 50)."""
    image = Image.new("RGB", (480, 160), "white")
    ImageDraw.Draw(image).text((60, 50), text, fill="black", font=ImageFont.load_default(size))
    return np.array(image)


class TestPolygon:
    def test_shapes(self) -> None:
        flat = TextPolygon([0, 0, 9, 0, 9, 4, 0, 4], 0.5)
        assert flat.points.tolist() == [[0, 0], [9, 0], [9, 4], [0, 4]]
        assert TextPolygon.from_entry(flat.to_entry()).points.tolist() == flat.points.tolist()

    @pytest.mark.parametrize(
        ("points", "confidence", "message"),
        [
            ([0, 0, 9, 0, 9, 4], 1, "at least 4 points"),
            ([[0, 0], [1, 1]], 1, "at least 4 points"),
            ([0, 0, 9, 0, 9, 4, 0, float("nan")], 1, "finite points"),
            ([0, 0, 9, 0, 9, 4, 0, 4], 1.5, r"confidence in \[0, 1\], got"),
            ("words", 1, "as numbers"),
        ],
    )
    def test_bad_ones(self, points: object, confidence: float, message: str) -> None:
        with pytest.raises(TextFinderError, match=message):
            TextPolygon(points, confidence)  # type: ignore[arg-type]


class TestRapidOCR:
    def test_finds_what_was_written_and_where(self) -> None:
        found = RapidOCR(threads=1).find(written())
        assert len(found) >= 1 and all(0.7 < polygon.confidence <= 1 for polygon in found)
        corners = np.concatenate([polygon.points for polygon in found])
        low, high = corners.min(axis=0), corners.max(axis=0)
        assert np.abs(low - [60, 55]).max() < 16 and abs(high[1] - 95) < 16

    def test_finds_nothing_on_an_empty_page(self) -> None:
        assert RapidOCR(threads=1).find(np.full((100, 130, 3), 255, np.uint8)) == []

    @pytest.mark.parametrize("name", ["page", "text"])
    def test_embedded_pages(self, name: str) -> None:
        found = RapidOCR(threads=1).find(photo(name))
        assert sum(polygon.confidence >= 0.7 for polygon in found) >= 4

    def test_place_and_size_do_not_depend_on_padding(self) -> None:
        page = written()
        wide = np.pad(page, ((0, 37), (0, 21), (0, 0)), constant_values=255)
        first, second = RapidOCR(threads=1).find(page), RapidOCR(threads=1).find(wide)
        assert len(first) == len(second) > 0
        for one, other in zip(first, second, strict=True):
            assert np.abs(one.points - other.points).max() <= 4

    def test_large_images_are_shrunk_and_polygons_are_not(self) -> None:
        found = RapidOCR(max_side=240, threads=1).find(written())
        assert np.concatenate([polygon.points for polygon in found]).max(axis=0)[0] > 200

    def test_tiles_find_what_the_whole_image_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lines across tiles too, and nothing where a tile is left out."""
        page = np.tile(written("a line across", 30), (2, 2, 1))
        page = np.pad(page, ((0, 400), (0, 0), (0, 0)), constant_values=255)
        whole = RapidOCR(threads=1).find(page)
        monkeypatch.setattr(rapidocr, "WHOLE", 416)
        monkeypatch.setattr(rapidocr, "TILE", 416)
        monkeypatch.setattr(rapidocr, "OVERLAP", 96)
        finder, sizes = RapidOCR(threads=1), []
        network = finder._network
        finder.__dict__["_network"] = lambda x, gives: sizes.append(x.shape) or network(x, gives)
        tiled = finder.find(page)
        assert sizes[:-1] == [(1, 3, 416, 384)] * 3  # of six: the lower ones are empty
        assert len(tiled) == len(whole) == 4
        for one in tiled:
            assert min(np.abs(one.points - other.points).max() for other in whole) <= 6

    def test_tiles_cover_all_pixels_and_share_enough(self) -> None:
        for side in range(32, 9000, 32):
            tiles = rapidocr._along(side, rapidocr.TILE)
            lengths = {tile.stop - tile.start for tile in tiles}
            assert len(lengths) == 1 and max(lengths) <= rapidocr.TILE and max(lengths) % 32 == 0
            assert (tiles[0].start, tiles[-1].stop) == (0, side)
            shared = [a.stop - b.start for a, b in itertools.pairwise(tiles)]
            assert min(shared, default=rapidocr.OVERLAP) >= rapidocr.OVERLAP

    def test_as_many_contours_as_tiles_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A large page loses none to the limit of one tile."""
        monkeypatch.setattr(rapidocr, "MAX_CANDIDATES", 2)
        page = np.tile(written("a line", 30), (4, 1, 1))
        assert len(RapidOCR(threads=1).find(page)) <= 2
        for name in ("WHOLE", "TILE"):
            monkeypatch.setattr(rapidocr, name, 320)
        assert len(RapidOCR(threads=1).find(page)) >= 4

    def test_enlarged_no_further_than_it_is_looked_at(self) -> None:
        page, sizes = written(), []

        class Looking(RapidOCR):
            def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
                sizes.append(image.shape)
                return super().find(image, image_id)

        for longest in (4000, 720, 300):
            found = Looking(max_side=longest, threads=1).find_enlarged(page, 2)
            corners = np.concatenate([polygon.points for polygon in found])
            assert np.abs(corners.min(axis=0) - [60, 55]).max() < 16
        assert sizes == [(320, 960, 3), (240, 720, 3), (160, 480, 3)]

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 700), (33, 31)])
    def test_any_size(self, height: int, width: int) -> None:
        assert RapidOCR(threads=1).find(np.zeros((height, width, 3), np.uint8)) == []

    def test_bad_images_and_models(self, tmp_path: Path) -> None:
        fails(
            ImageError, r"uint8 RGB image \(H, W, 3\)", RapidOCR().find, np.zeros((5, 5), np.uint8)
        )
        with pytest.raises(TextFinderError, match=r"'none.onnx' as a file or in the wheel"):
            RapidOCR(model="none.onnx").find(written())
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no network")
        with pytest.raises(TextFinderError, match="expected a PP-OCR network as ONNX"):
            RapidOCR(model=broken).find(written())

    def test_survives_a_copy_to_another_process(self) -> None:
        finder = RapidOCR(threads=1)
        first = finder.find(written())
        copy = pickle.loads(pickle.dumps(finder))
        assert [p.points.tolist() for p in copy.find(written())] == [
            p.points.tolist() for p in first
        ]

    def test_settings_name_versions_and_weights(self) -> None:
        settings = RapidOCR().settings
        assert settings["rapidocr"][0].isdigit() and len(settings["sha256"]) == 64
        assert json.loads(json.dumps(settings)) == settings

    @needs_shared("text")
    def test_real_photographs(self) -> None:
        found = 0
        for path in sorted((SHARED / "text").glob("*.png"))[:3]:
            image = Image.open(path).convert("RGB")
            image.thumbnail((1000, 1000))
            polygons = RapidOCR(threads=1).find(np.array(image))
            found += sum(polygon.confidence >= 0.7 for polygon in polygons)
        assert found >= 10


@pytest.fixture
def mmocr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MMOCR]:
    """Makes a finder whose interpreter has a stand-in for MMOCR with a fault."""
    (tmp_path / "config.py").write_text("model = dict(type='DBNet')\n")
    (tmp_path / "weights.pth").write_text("module.backbone.conv.weight 4 3\nhead.bias 2\nmore 1")
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("FAKE_MMOCR_MARK", str(tmp_path / "mark"))

    def make(fault: str = "", **options: object) -> MMOCR:
        monkeypatch.setenv("FAKE_MMOCR", fault)
        places = {"python": sys.executable, "config": tmp_path / "config.py"}
        return MMOCR(**{**places, "checkpoint": tmp_path / "weights.pth", **options})  # type: ignore[arg-type]

    return make


def blue_box(marked: bool = False) -> np.ndarray:
    image = np.zeros((50, 70, 3), np.uint8)
    image[10:20, 30:60] = [0, 0, 255]
    image[0, 0, 2] = int(marked)
    return image


class TestMMOCR:
    def test_finds_through_the_worker_started_once(self, mmocr: Callable[..., MMOCR]) -> None:
        finder = mmocr()
        polygons = finder.find(blue_box())
        assert polygons[0].points.tolist() == [[30, 10], [60, 10], [60, 20], [30, 20]]
        assert polygons[0].confidence == 0.875
        worker = finder._worker
        assert finder.find(np.zeros((9, 9, 3), np.uint8)) == []
        assert finder._worker is worker
        finder.close()

    def test_settings(self, mmocr: Callable[..., MMOCR]) -> None:
        settings = mmocr().settings
        assert settings["versions"]["mmocr"] == "1.0.fake" and len(settings["checkpoint"]) == 64
        assert json.loads(json.dumps(settings)) == settings

    @pytest.mark.parametrize(
        ("weights", "lacking"),
        [
            ("backbone.conv.weight 4 3", "1 of its weights: head.bias"),
            ("backbone.conv.weight 4 9\nhead.bias 3", "2 of its weights: backbone.conv.weight, he"),
            ("backbone.conv.offset 1\n", "2 of its weights"),
        ],
    )
    def test_a_checkpoint_of_another_configuration_is_refused(
        self, mmocr: Callable[..., MMOCR], tmp_path: Path, weights: str, lacking: str
    ) -> None:
        finder = mmocr()
        (tmp_path / "weights.pth").write_text(weights)
        message = f"checkpoint of this configuration.*{lacking}.*Name the configuration that"
        with pytest.raises(TextFinderError, match=message):
            finder.find(blue_box())

    def test_many_long_names_leave_room_for_the_remedy(
        self, mmocr: Callable[..., MMOCR], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [f"backbone.layer{n}.0.conv2.conv_offset.weight" for n in range(100, 126)]
        monkeypatch.setenv("FAKE_MMOCR_WEIGHTS", "".join(f"{name} 27 64 3 3\n" for name in names))
        (tmp_path / "weights.pth").write_text("backbone.layer1.0.conv2.weight 64 64 3 3")
        with pytest.raises(
            TextFinderError, match=rf"lacks 26 .*{names[4]}, \.\.\.\. Name the conf"
        ):
            mmocr().find(blue_box())

    def test_a_worker_that_dies_is_started_again_once(self, mmocr: Callable[..., MMOCR]) -> None:
        finder = mmocr("dies once")
        finder.find(blue_box())
        first = finder._worker
        assert len(finder.find(blue_box(marked=True))) == 1
        assert finder._worker is not first
        finder.close()

    def test_an_image_that_kills_costs_only_itself(self, mmocr: Callable[..., MMOCR]) -> None:
        finder = mmocr("dies")
        with pytest.raises(TextFinderError, match=r"shop: .* exit status 9.*started again once"):
            finder.find(blue_box(marked=True), "shop")
        assert len(finder.find(blue_box())) == 1
        finder.close()

    def test_a_worker_that_always_dies_is_given_up(self, mmocr: Callable[..., MMOCR]) -> None:
        finder = mmocr("dies")
        for _ in range(2):
            fails(TextFinderError, "exit status 9", finder.find, blue_box(marked=True))
        fails(TextFinderError, "4 times in a row and is not started again", finder.find, blue_box())

    def test_one_that_hangs_is_ended(self, mmocr: Callable[..., MMOCR]) -> None:
        finder = mmocr("hangs", time_limit=1.0)
        with pytest.raises(TextFinderError, match=r"no answer within 1 s.*Raise time_limit"):
            finder.find(blue_box(marked=True))
        finder.time_limit = 600.0
        assert len(finder.find(blue_box())) == 1
        finder.close()

    @pytest.mark.parametrize(
        ("fault", "message"),
        [("raises", "CUDA out of memory"), ("nonsense", "expected polygons and scores of MMOCR")],
    )
    def test_errors_of_one_image(
        self, mmocr: Callable[..., MMOCR], fault: str, message: str
    ) -> None:
        finder = mmocr(fault)
        fails(TextFinderError, message, finder.find, blue_box(marked=True), "shop")
        assert len(finder.find(blue_box())) == 1
        finder.close()

    def test_one_that_cannot_import(self, mmocr: Callable[..., MMOCR]) -> None:
        with pytest.raises(TextFinderError, match=r"libfake\.so.*Check with: .*TextDetInferencer"):
            mmocr("no import").find(blue_box())

    def test_corrupt_weights(self, mmocr: Callable[..., MMOCR], tmp_path: Path) -> None:
        (tmp_path / "weights.pth").write_text("no weights")
        fails(TextFinderError, "the checkpoint is corrupt", mmocr().find, blue_box())

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"python": "/no/python"}, "interpreter that has MMOCR, got /no/python"),
            ({"config": "none.py"}, "config as a file, got none.py"),
            ({"checkpoint": "none.pth"}, "checkpoint as a file, got none.pth"),
        ],
    )
    def test_wrong_places(
        self, mmocr: Callable[..., MMOCR], option: dict[str, str], message: str
    ) -> None:
        fails(TextFinderError, message, mmocr(**option).find, blue_box())


class Counting(TextFinder):
    """Finds one rectangle and counts how often it is asked."""

    name = "counting"

    def __init__(self, version: int = 1, by_content: bool = True) -> None:
        self.version = version
        self.by_content = by_content
        self.asked = 0

    @property
    def settings(self) -> dict[str, int]:
        return {"version": self.version}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        self.asked += 1
        return [TextPolygon([0, 0, 9, 0, 9, 4, 0, 4], 0.75, "ü")]


class TestCache:
    def test_asks_once_for_the_same_pixels(self, tmp_path: Path) -> None:
        finder = Counting()
        cached = Cached(finder, tmp_path)
        first = cached.find(written(), "a")
        again = Cached(finder, tmp_path).find(written(), "b")
        assert finder.asked == 1
        assert (again[0].points == first[0].points).all()
        assert (again[0].confidence, again[0].text) == (0.75, "ü")
        cached.find(written("other"))
        assert finder.asked == 2

    def test_the_shape_counts_too(self, tmp_path: Path) -> None:
        finder = Counting()
        for shape in ((4, 6, 3), (6, 4, 3)):
            Cached(finder, tmp_path).find(np.zeros(shape, np.uint8))
        assert finder.asked == 2

    def test_other_settings_ask_again(self, tmp_path: Path) -> None:
        other = Counting(version=2)
        Cached(Counting(), tmp_path).find(written())
        Cached(other, tmp_path).find(written())
        assert other.asked == 1

    @pytest.mark.parametrize("damage", ["{}", '{"polygons": [{"points": [1]}]}', "[]"])
    def test_a_damaged_record_is_made_again(self, tmp_path: Path, damage: str) -> None:
        finder = Counting()
        Cached(finder, tmp_path).find(written())
        with closing(sqlite3.connect(tmp_path / "polygons.sqlite")) as file, file:
            file.execute("UPDATE scores SET record = ?", (damage,))
        assert len(Cached(finder, tmp_path).find(written())) == 1
        Cached(finder, tmp_path).find(written())
        assert finder.asked == 2

    def test_an_unwritable_folder_warns_once_and_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        cached = Cached(Counting(), tmp_path / "file")
        with pytest.warns(RuntimeWarning, match="polygons are not cached.*Set NACD_BENCH_CACHE"):
            assert len(cached.find(written())) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(cached.find(written())) == 1

    def test_a_damaged_file_warns_and_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "polygons.sqlite").write_text("no database, but long enough for its header")
        with pytest.warns(RuntimeWarning, match=r"polygons are not cached: .*delete the file"):
            assert len(Cached(Counting(), tmp_path).find(written())) == 1

    def test_finders_by_id_are_always_asked(self, tmp_path: Path) -> None:
        finder = Counting(by_content=False)
        for _ in range(2):
            Cached(finder, tmp_path).find(written())
        assert finder.asked == 2

    def test_where_it_lies(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
        assert cache_folder("polygons") == tmp_path / "polygons"
        monkeypatch.setenv(FOLDER_VARIABLE, "off")
        assert cache_folder("polygons") is None
        monkeypatch.delenv(FOLDER_VARIABLE)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        if sys.platform.startswith("linux"):
            assert cache_folder("polygons") == tmp_path / "xdg" / "nacd-bench" / "polygons"


def polygon_file(tmp_path: Path, content: object) -> PolygonFile:
    path = tmp_path / "polygons.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return PolygonFile(path)


class TestFile:
    IMAGE = np.zeros((60, 60, 3), np.uint8)
    SQUARE = ((1, 1), (9, 1), (9, 5), (1, 5))

    def test_by_id_and_by_file_name(self, tmp_path: Path) -> None:
        entries = {"shop.png": [{"points": self.SQUARE, "confidence": 0.8}], "empty": []}
        finder = polygon_file(tmp_path, {"images": entries})
        for name in ("shop.png", "shop", "deep/er/shop.jpg"):
            (polygon,) = finder.find(self.IMAGE, name)
            assert polygon.points.tolist() == [list(corner) for corner in self.SQUARE]
            assert polygon.confidence == 0.8
        assert finder.find(self.IMAGE, "empty") == []

    def test_more_than_four_points_and_flat_lists(self, tmp_path: Path) -> None:
        flat = [1, 1, 5, 0, 9, 1, 9, 5, 1, 5]
        finder = polygon_file(tmp_path, {"images": {"a": [{"points": flat}]}})
        (polygon,) = finder.find(self.IMAGE, "a")
        assert polygon.points.shape == (5, 2) and polygon.confidence == 1

    def test_coco_text(self, tmp_path: Path) -> None:
        content = {
            "imgs": {
                "7": {"id": 7, "file_name": "COCO_7.jpg"},
                "8": {"id": 8, "file_name": "8.jpg"},
            },
            "anns": {
                "1": {"image_id": 7, "mask": [1, 1, 9, 1, 9, 5, 1, 5], "utf8_string": "EXIT"},
                "2": {"image_id": 7, "bbox": [10, 20, 30, 5]},
            },
        }
        finder = polygon_file(tmp_path, content)
        first, second = finder.find(self.IMAGE, "COCO_7")
        assert first.text == "EXIT"
        assert second.points.tolist() == [[10, 20], [40, 20], [40, 25], [10, 25]]
        assert finder.find(self.IMAGE, "8") == []

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "expected polygons as JSON, got a damaged file"),
            ([], "got no object"),
            ({"pictures": {}}, "got pictures"),
            ({"images": {"a": {}}}, "a: expected a list of polygons"),
            ({"images": {"a": [{"points": [1, 2]}]}}, "a, polygon 1: .* at least 4 points"),
            ({"images": {"a": [[1, 2]]}}, 'an object with "points"'),
            ({"imgs": {"1": {}}, "anns": {}}, "COCO-Text without a part"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, content: object, message: str) -> None:
        fails(TextFinderError, message, polygon_file, tmp_path, content)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(
            TextFinderError, match="expected a polygon file, got nothing of that name"
        ):
            PolygonFile(tmp_path / "none.json")
        finder = polygon_file(tmp_path, {"images": {"a.png": [], "a.jpg": []}})
        with pytest.raises(TextFinderError, match=r"b: expected one entry .* Add it under its id"):
            finder.find(self.IMAGE, "b")
        fails(TextFinderError, r"has a\.png and a\.jpg for it", finder.find, self.IMAGE, "a")
