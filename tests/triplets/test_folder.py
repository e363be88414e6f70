"""Finding triplets: folders by stem, an index beside them, run folders, manifests, three files."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import fails
from PIL import Image
from shared_data import SHARED, needs_shared

from nacd_bench.errors import DataError
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.source import find_triplets

REAL = SHARED / "jpegai_vm33"
RELEASED = ("orig", "ai", "classic")
OWN = ("original", "neural", "traditional")


def make(root: Path, stems: str = "ab", names: tuple[str, ...] = RELEASED) -> Path:
    """A folder of triplets of 8 x 6 pixels."""
    for name in names:
        (root / name).mkdir(parents=True)
        for stem in stems:
            add(root / name / f"{stem}.png")
    return root


def add(path: Path) -> Path:
    Image.fromarray(np.full((6, 8, 3), 90, np.uint8)).save(path)
    return path


def lines(source: Path) -> list[str]:
    return [problem.message for problem in find_triplets(source)[1]]


def refused(match: str, source: Any) -> None:
    """Nothing in the source can be used, and the message says why."""
    fails(DataError, match, find_triplets, source)


class TestLayout:
    @pytest.mark.parametrize("names", [RELEASED, OWN, ("orig", "neural", "classic")])
    def test_equal_stems_make_triplets(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        records, problems = find_triplets(make(tmp_path / "data", "ba", names))
        assert problems == []
        assert [each.id for each in records] == ["a", "b"]
        three = (records[0].original, records[0].neural, records[0].traditional)
        assert three == tuple(str(tmp_path / "data" / name / "a.png") for name in names)
        assert records[0].neural_bpp is None

    def test_suffixes_may_differ(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a")
        (root / "orig" / "a.png").unlink()
        add(root / "orig" / "a.JPG")
        records, problems = find_triplets(root)
        assert (len(records), problems) == (1, [])
        assert records[0].original.endswith("a.JPG")

    def test_stems_with_dots(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "")
        for name in RELEASED:
            add(root / name / "kodim01.q1.png")
            add(root / name / "kodim01.q2.png")
        assert [each.id for each in find_triplets(root)[0]] == ["kodim01.q1", "kodim01.q2"]

    def test_system_files_are_no_problem(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data")
        for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"):
            (root / "ai" / name).write_bytes(b"x")
        (root / "README.md").write_text("about")
        assert lines(root) == []

    @needs_shared("jpegai_vm33")
    def test_the_real_triplets(self) -> None:
        records, problems = find_triplets(REAL)
        assert (len(records), problems) == (20, [])
        (kodim01,) = [each for each in records if each.id == "kodim01"]
        assert kodim01.neural_codec == "JPEG AI VM 3.3 (nets)"
        assert (kodim01.neural_bpp, kodim01.traditional_bpp) == (0.1638, 0.2034)
        assert (kodim01.neural_point, kodim01.traditional_point) == (None, "41")
        assert kodim01.source is None
        assert kodim01.extra["collection"] == "kodak"


class TestProblems:
    def test_a_stem_missing_on_one_side(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "abc")
        (root / "ai" / "b.png").unlink()
        (root / "orig" / "c.png").unlink()
        records, problems = find_triplets(root)
        assert [each.id for each in records] == ["a"]
        assert [each.item for each in problems] == ["b", "c"]
        first, second = (problem.message for problem in problems)
        assert f"{root / 'ai' / 'b'}.*: expected the neural image that belongs to" in first
        assert f"{root / 'orig' / 'b.png'}, got none. Add it or remove the others." in first
        assert f"{root / 'orig' / 'c'}.*: expected the original image" in second

    def test_a_stem_missing_with_its_namesake_near(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a")
        for name in ("orig", "classic"):
            add(root / name / "kodim01.png")
        add(root / "ai" / "kodim01_rec.png")
        found = lines(root)
        assert any("got none (is it kodim01_rec.png?)" in line for line in found)
        assert any("kodim01_rec.*: expected the original image" in line for line in found)

    def test_duplicate_stems(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data")
        add(root / "classic" / "a.jpg")
        records, problems = find_triplets(root)
        assert [each.id for each in records] == ["b"]
        (line,) = (problem.message for problem in problems)
        folder = root / "classic"
        assert (
            f"{folder}/a.*: expected one traditional image of that name, got {folder}/a.jpg" in line
        )
        assert f" and {folder}/a.png. Remove" in line

    def test_other_files_and_folders(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data")
        (root / "ai" / "notes.txt").write_text("hello")
        (root / "ai" / "empty").mkdir()
        add(root / "stray.png")
        found = lines(root)
        assert len(found) == 2
        assert any("notes.txt: expected an image (PNG" in line for line in found)
        assert any("stray.png: expected images inside the three folders" in line for line in found)

    def test_sub_folders_are_part_of_the_name(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data")
        for role, name in (("orig", "é.png"), ("ai", "e\u0301.webp"), ("classic", "é.jpg")):
            for day in ("day 1", "day 2/[b]"):
                (root / role / day).mkdir(parents=True)
                add(root / role / day / name)
        add(root / "ai/day 2/c.png")
        records, problems = find_triplets(root)
        assert [each.id for each in records] == ["a", "b", "day 1/é", "day 2/[b]/é"]
        assert records[2].neural == str(root / "ai/day 1/e\u0301.webp")
        assert [problem.item for problem in problems] == ["day 2/c"] * 2

    def test_a_folder_of_files_that_are_no_images(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "")
        (root / "orig" / "a.jxl").write_bytes(b"\xff\x0a")
        with pytest.raises(
            DataError, match=r"orig: expected original images .*, got none"
        ) as error:
            find_triplets(root)
        assert "a.jxl: expected an image" in str(error.value)

    def test_empty_folders(self, tmp_path: Path) -> None:
        refused(r"expected the folders orig/.*It has: no folders", tmp_path)
        refused(r"orig: expected original images .*, got none\. Put", make(tmp_path / "data", ""))

    def test_no_stem_in_common(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a")
        (root / "ai" / "a.png").rename(root / "ai" / "z.png")
        with pytest.raises(DataError, match="expected at least one complete triplet") as error:
            find_triplets(root)
        assert len(str(error.value).splitlines()) == 4

    def test_a_missing_folder_with_near_misses(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a", ("orig", "AI", "classics"))
        message = r"got no ai/ \(is it AI\?\), no classic/ \(is it classics\?\)\. It has: AI, "
        refused(message, root)

    def test_a_role_twice(self, tmp_path: Path) -> None:
        root = make(make(tmp_path / "data"), "ab", ("neural",))
        refused("one folder of neural images, got ai and neural", root)

    def test_a_folder_that_cannot_be_listed(self, other_user: Any) -> None:
        folder, without_rights = other_user
        root = make(folder / "data")
        (root / "ai").chmod(0)
        message = "ai: expected a folder that can be listed"
        with without_rights(), pytest.raises(DataError, match=message):
            find_triplets(root)
        (root / "ai").chmod(0o755)


class TestIndex:
    HEADER = "name,source,neural_codec,neural_bpp,traditional_codec,qp,traditional_bpp,crop_x\n"

    def test_rates_codecs_and_points(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a")
        (root / "index.csv").write_text(self.HEADER + "a,kodak,JPEG AI,0.1,HM,37,0.12,8\n")
        (record,) = find_triplets(root)[0]
        assert (record.neural_codec, record.neural_bpp) == ("JPEG AI", 0.1)
        assert (record.traditional_codec, record.traditional_bpp) == ("HM", 0.12)
        assert record.traditional_point == "37"
        assert record.extra == {"collection": "kodak", "crop_x": "8"}
        assert find_triplets(root / "index.csv")[0] == [record]

    def test_rows_and_images_that_do_not_match(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "abc")
        rows = "a,,,0.1,,,,\nx,,,,,,,\na,,,,,,,\nb,,,lots,,,0.2,\n,,0.2,,,,,\n"
        (root / "index.csv").write_text(self.HEADER + rows)
        records, problems = find_triplets(root)
        assert [(each.id, each.neural_bpp) for each in records] == [
            ("a", 0.1),
            ("b", None),
            ("c", None),
        ]
        text = "\n".join(problem.message for problem in problems)
        assert len(problems) == 5
        assert "row 2: expected images named x, got none" in text
        assert "row 3: expected one row for 'a', got another in row 1" in text
        assert "row 4 (id 'b'): neural_bpp: expected a positive number" in text
        assert "row 5: expected a file's stem in the column 'name', got nothing" in text
        assert "index.csv: expected a row for 'c', got none; its rates stay unknown" in text

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("foo,bar\n", "got none; rates and codecs stay"),
            (HEADER, "got none; rates and codecs stay unknown"),
            ("foo,bar\na,1\nb,2\n", "stem in a column 'name', got foo, bar;"),
        ],
    )
    def test_an_index_that_says_nothing(self, tmp_path: Path, content: str, message: str) -> None:
        root = make(tmp_path / "data", "ab")
        (root / "index.csv").write_text(content)
        records, (problem,) = find_triplets(root)
        assert [record.id for record in records] == ["a", "b"]
        assert message in problem.message


class TestSources:
    def test_three_files(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", "a")
        paths = [root / name / "a.png" for name in RELEASED]
        (record,), problems = find_triplets(paths)
        assert problems == []
        assert record == TripletRecord("a", *map(str, paths))
        refused(r"expected three image files .*, got 2\. Name all", paths[:2])
        refused(r"a\.png: expected three image files .*, got one\.", paths[0])

    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
    def test_a_manifest_and_a_run_folder(self, tmp_path: Path, suffix: str) -> None:
        records, _ = find_triplets(make(tmp_path / "data"))
        manifest = tmp_path / "run" / f"triplets{suffix}"
        write_manifest(manifest, records)
        assert find_triplets(manifest)[0] == records
        assert find_triplets(tmp_path / "run")[0] == records
        assert find_triplets([tmp_path / "run"])[0] == records

    def test_a_manifest_comes_before_folders_beside_it(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data")
        records, _ = find_triplets(root)
        write_manifest(root / "triplets.csv", records[:1])
        assert find_triplets(root)[0] == records[:1]

    def test_good_rows_of_a_manifest_with_bad_ones(self, tmp_path: Path) -> None:
        text = "original,neural,traditional,neural_bpp\na.png,b.png,c.png,x\nd.png,e.png,f.png,1\n"
        (tmp_path / "a.csv").write_text(text)
        records, problems = find_triplets(tmp_path / "a.csv")
        assert [each.id for each in records] == ["d"]
        assert len(problems) == 1

    def test_a_folder_with_a_manifest_of_another_name(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("x")
        refused(r"Or name a manifest in it: labels\.csv", tmp_path)

    def test_nothing_and_something_else(self, tmp_path: Path) -> None:
        refused(r"got nothing of that name\. Correct the path", tmp_path / "nowhere")
        (tmp_path / "a.txt").write_text("x")
        refused(r"a\.txt: expected a folder, .* another kind of file", tmp_path / "a.txt")

    def test_a_manifest_without_rows(self, tmp_path: Path) -> None:
        write_manifest(tmp_path / "a.parquet", [])
        refused("expected at least one complete triplet, got none", tmp_path / "a.parquet")


def test_a_data_set_moves_with_its_manifest(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    write_manifest(root / "triplets.parquet", find_triplets(root)[0])
    shutil.move(root, tmp_path / "moved")
    records, problems = find_triplets(tmp_path / "moved")
    assert problems == []
    assert all(Path(each.neural).is_file() for each in records)
