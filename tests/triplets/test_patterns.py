"""Triplets by three patterns: names in common, sub-folders, suffixes, and what is not clear."""

from pathlib import Path

import numpy as np
import pytest
from checks import fails
from PIL import Image

from nacd_bench.cli.main import main
from nacd_bench.coding.originals import list_images
from nacd_bench.errors import DataError
from nacd_bench.runs.folder import open_run
from nacd_bench.triplets.formats import files_below
from nacd_bench.triplets.source import find_triplets


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(root / name)
    return root


def found(root: Path, *patterns: str) -> dict[str, tuple[str, ...]]:
    """Files of each triplet seen from the folder; there are no problems."""
    records, problems = find_triplets([f"{root}/{pattern}" for pattern in patterns])
    assert problems == []
    return {
        record.id: tuple(
            str(Path(path).relative_to(root))
            for path in (record.original, record.neural, record.traditional)
        )
        for record in records
    }


def told(root: Path, *patterns: str) -> list[str]:
    problems = find_triplets([f"{root}/{pattern}" for pattern in patterns])[1]
    return [problem.message.replace(f"{root}/", "") for problem in problems]


class TestPairs:
    def test_one_folder_with_suffixes_of_names(self, tmp_path: Path) -> None:
        made(
            tmp_path,
            "a.png",
            "a_neural.png",
            "a_hm.png",
            "b_c.png",
            "b_c_neural.webp",
            "b_c_hm.bmp",
        )
        assert found(tmp_path, "{name}.*", "{name}_neural.*", "{name}_hm.*") == {
            "a": ("a.png", "a_neural.png", "a_hm.png"),
            "b_c": ("b_c.png", "b_c_neural.webp", "b_c_hm.bmp"),
        }

    def test_one_name_with_three_suffixes(self, tmp_path: Path) -> None:
        made(tmp_path, "a.png", "a.webp", "a.jpg")
        assert found(tmp_path, "{name}.png", "{name}.webp", "{name}.*") == {
            "a": ("a.png", "a.webp", "a.jpg")
        }

    def test_folders_in_the_name(self, tmp_path: Path) -> None:
        made(
            tmp_path,
            *(
                f"{side}/{day}/a{more}.png"
                for day in ("mon", "tue")
                for side, more in (("orig", ""), ("jpegai", "_rec"), ("vvc", "_q32"))
            ),
        )
        pairs = found(tmp_path, "orig/{name}.png", "jpegai/{name}_rec.png", "vvc/{name}_q*.png")
        assert pairs == {
            f"{day}/a": (f"orig/{day}/a.png", f"jpegai/{day}/a_rec.png", f"vvc/{day}/a_q32.png")
            for day in ("mon", "tue")
        }

    def test_any_folders(self, tmp_path: Path) -> None:
        made(
            tmp_path,
            "x/a.png",
            "b.png",
            "dec/1/2/a_n.png",
            "dec/b_n.png",
            "dec/3/a_t.png",
            "dec/b_t.png",
        )
        assert found(tmp_path, "**/{name}.*", "dec/**/{name}_n.*", "dec/**/{name}_t.*") == {
            "a": ("x/a.png", "dec/1/2/a_n.png", "dec/3/a_t.png"),
            "b": ("b.png", "dec/b_n.png", "dec/b_t.png"),
        }

    def test_signs_of_expressions_stand_for_themselves(self, tmp_path: Path) -> None:
        made(tmp_path, "a (1).png", "a+n (1).png", "a.t (1).png")
        assert list(found(tmp_path, "{name} (1).png", "{name}+n (1).png", "{name}.t (1).png")) == [
            "a"
        ]

    def test_composed_and_decomposed_names_are_one(self, tmp_path: Path) -> None:
        made(tmp_path, "o/caf\u00e9.png", "n/cafe\u0301.png", "t/cafe\u0301.png")
        assert list(found(tmp_path, "o/{name}.*", "n/{name}.*", "t/{name}.*")) == ["caf\u00e9"]

    def test_what_is_no_photograph_is_passed_over(self, tmp_path: Path) -> None:
        made(tmp_path, "o/a.png", "n/a.png", "t/a.png", "o/.thumbnails/b.png")
        (tmp_path / "o" / "notes.txt").write_text("about")
        assert list(found(tmp_path, "o/**/{name}.*", "n/{name}.*", "t/{name}.*")) == ["a"]

    def test_a_relative_and_a_whole_path_are_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(made(tmp_path, "a.png", "a_n.png", "a_t.png"))
        records, problems = find_triplets(["{name}.*", f"{tmp_path}/{{name}}_n.*", "./{name}_t.*"])
        assert [record.id for record in records] == ["a"] and problems == []


class TestProblems:
    def test_files_that_stay_alone(self, tmp_path: Path) -> None:
        made(tmp_path, "a.png", "a_n.png", "a_t.png", "b.png", "b_t.png", "c_n.png")
        lines = told(tmp_path, "{name}.png", "{name}_n.png", "{name}_t.png")
        assert lines[0].startswith(
            "b_n.png: expected the neural image that belongs to b.png, got none"
        )
        assert lines[1].startswith("c.png: expected the original image that belongs to c_n.png")
        assert len(lines) == 3

    def test_two_files_of_one_side_are_both_named(self, tmp_path: Path) -> None:
        made(
            tmp_path,
            "o/a.png",
            "n/1/a.png",
            "n/2/a.webp",
            "t/a.png",
            "o/b.png",
            "n/b.png",
            "t/b.png",
        )
        patterns = [f"{tmp_path}/{each}" for each in ("o/{name}.*", "n/**/{name}.*", "t/{name}.*")]
        records, problems = find_triplets(patterns)
        assert [record.id for record in records] == ["b"]
        (line,) = (problem.message for problem in problems)
        assert f"got {tmp_path}/n/1/a.png and {tmp_path}/n/2/a.webp. Remove or rename" in line

    def test_a_file_of_two_sides(self, tmp_path: Path) -> None:
        made(tmp_path, "o/a.png", "d/a_1.png")
        patterns = [
            f"{tmp_path}/{each}" for each in ("o/{name}.*", "d/{name}_*.png", "d/{name}_*.png")
        ]
        fails(DataError, "a_1.png: .* as well neural as traditional", find_triplets, patterns)

    @pytest.mark.parametrize(
        ("patterns", "message"),
        [
            (
                ("{name}.png", "n/a.png", "t/a.png"),
                r"n/a\.png: .*\{name\} once for the neural images",
            ),
            (("{stem}.png", "n/{stem}.png", "t/{stem}.png"), r"\{name\} once for the original"),
            (("{name}/{name}.png", "n/{name}.png", "t/{name}.png"), "got it 2 times"),
            (("{name}.png", "{name}_n.png"), r"expected three patterns .*, got 2"),
            (
                ("{name}.png", "dec/{name}_n.png", "{name}_t.png"),
                r"dec/\{name\}_n\.png: expected neural",
            ),
        ],
    )
    def test_patterns_that_are_none(
        self, tmp_path: Path, patterns: tuple[str, ...], message: str
    ) -> None:
        made(tmp_path, "a.png", "n/a.png", "t/a.png", "a_t.png")
        fails(DataError, message, find_triplets, [f"{tmp_path}/{each}" for each in patterns])


class TestShown:
    def test_pairs_are_shown_and_nothing_is_opened(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(made(tmp_path, "a.png", "a_n.png", "a_t.png", "b.png", "s/a_vtm.png"))
        (tmp_path / "a_n.png").write_bytes(b"damaged")
        assert main(["validate", "{name}.png", "{name}_n.png", "{name}_t.png", "--pairs"]) == 1
        shown = capsys.readouterr().out
        assert "a.png" in shown and "a_n.png" in shown and "a_t.png" in shown
        assert "b_n.png: expected the neural image that belongs to b.png, got none" in shown
        assert "1 triplet, " in shown and "no image opened" in shown

    def test_images_that_fit_nothing_are_noted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(made(tmp_path, "a_o.png", "a_n.png", "a_t.png", "a_vtm.png"))
        assert main(["validate", "{name}_o.png", "{name}_n.png", "{name}_t.png", "--pairs"]) == 0
        assert "note: a_vtm.png: fits none of the patterns." in capsys.readouterr().out


IMAGES = [f"{name}{side}.png" for name in ("a", "day/b") for side in ("", "_n", "_t")]


class TestResultsOfRuns:
    """Where a run's folder lies among the images, its pictures are none of them."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        made(
            tmp_path, *(f"{name}{side}.png" for name in ("a", "day/b") for side in ("", "_n", "_t"))
        )
        for folder, begun in {"runs/1": "run.lock", "day/run": "config.yaml"}.items():
            made(tmp_path, f"{folder}/overlays/a.png", f"{folder}/overlays/a_n.png")
            (tmp_path / folder / "settings.json").write_text("{}")
            (tmp_path / folder / begun).write_text("")
        return tmp_path

    def test_patterns_over_them_are_as_without(self, root: Path) -> None:
        assert found(root, "{name}.*", "{name}_n.*", "{name}_t.*").keys() == {"a", "day/b"}
        assert found(root, "**/{name}.*", "**/{name}_n.*", "**/{name}_t.*").keys() == {"a", "b"}

    def test_the_next_run_in_the_same_folder_is_as_the_first(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(root)
        words = ["{name}.png", "{name}_n.png", "{name}_t.png", "detector=[texture]"]
        for _ in range(2):
            assert main(["detect", *words, "folder=x", "report=false", "show_progress=false"]) == 0
        assert (root / "x/overlays/a.png").exists()

    @pytest.mark.parametrize("place", ["runs/1/decoded", "runs/*/decoded", "runs/1/**"])
    def test_one_that_is_named_is_searched(self, root: Path, place: str) -> None:
        decode = "runs/1/decoded/a_t.png"
        made(root, decode)
        patterns = [
            f"{root}/{each}" for each in ("{name}.png", "{name}_n.png", f"{place}/{{name}}_t.png")
        ]
        (record,), _ = find_triplets(patterns)
        assert (record.id, record.traditional) == ("a", str(root / decode))

    def test_a_list_of_images_has_none_of_them(self, root: Path) -> None:
        names = [path.relative_to(root).as_posix() for path in list_images(root).paths]
        assert names == [
            f"{name}{side}.png" for name in ("a", "day/b") for side in ("", "_n", "_t")
        ]
        assert len(list_images(root / "runs/1").paths) == 2

    def test_every_run_begins_with_what_tells_it(self, tmp_path: Path) -> None:
        run = tmp_path / "photos" / "run"
        with open_run(run, "detect", {"a": 1}):
            made(run, "overlays/a.png")
            assert [found for _, found in files_below(run.parent) if found != str(run)] == []
