"""The sample that comes with nacd-bench: its files, terms and grades, and bad files in it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from checks import csv_rows
from shared_data import SHARED, needs_shared

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError
from nacd_bench.planting.photographs import photo
from nacd_bench.triplets import sample
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.sample import FOLDER, SUMS, sample_triplets

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sample whose files can be spoilt."""
    folder = tmp_path / "sample"
    shutil.copytree(FOLDER, folder)
    monkeypatch.setattr(sample, "FOLDER", folder)
    return folder


class TestFiles:
    def test_all_are_there_and_whole(self) -> None:
        data = sample_triplets()
        assert len(data.records) == 24 and len({record.source for record in data.records}) == 12
        assert list(data.failures) == []
        sums = dict(reversed(line.split()) for line in (FOLDER / SUMS).read_text().splitlines())
        files = {
            f"{file.relative_to(FOLDER)}": file
            for file in FOLDER.rglob("*")
            if file.suffix in (".webp", ".csv", ".jsonl")
        }
        assert sums.keys() == files.keys()
        for name, file in files.items():
            assert hashlib.sha256(file.read_bytes()).hexdigest() == sums[name]

    @pytest.mark.parametrize("name", sorted({r.source or "" for r in sample_triplets().records}))
    def test_originals_are_those_of_the_packages(self, name: str) -> None:
        """As long as the packages have these; from a JPEG decoder to the next, a level differs."""
        difference = np.abs(
            read_8_bit(FOLDER / f"original/{name}.webp")[0].astype(int) - photo(name)
        )
        is_jpeg = name in ("china", "hopper", "rocket")
        assert difference.max() <= (3 if is_jpeg else 0)

    def test_gray_ones_are_said(self) -> None:
        for record in sample_triplets().records:
            pixels = read_8_bit(record.original)[0]
            assert ("gray" in record.extra) == (pixels == pixels[..., :1]).all()

    @needs_shared("jpegai_sample")
    def test_decodes_and_grades_are_those_that_were_made(self) -> None:
        made = SHARED / "jpegai_sample"
        for side in ("neural", "traditional"):
            for file in (FOLDER / side).iterdir():
                assert file.read_bytes() == (made / side / file.name).read_bytes()
        lines = (made / "grades.jsonl").read_text().splitlines()
        kept = (FOLDER / "grades.jsonl").read_text().splitlines()
        ids = {record.id for record in sample_triplets().records}
        assert sorted(kept) == sorted(
            line for line in lines if re.findall('"triplet": "(.*?)"', line)[0] in ids
        )

    def test_every_photograph_has_its_terms(self) -> None:
        table = (FOLDER / "README.md").read_text("utf-8")
        rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", table, re.MULTILINE)
        assert {name for name, _ in rows} == {r.source for r in sample_triplets().records}
        for _, rest in rows:
            author, licence, source, changes = (cell.strip() for cell in rest.split("|"))
            assert author and changes and "https://" in source
            assert re.search("CC0 1.0|CC BY 2.0|public domain|grant permission", licence)

    def test_licences_go_with_the_package(self) -> None:
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        listed = {file for pattern in project["license-files"] for file in ROOT.glob(pattern)}
        assert {FOLDER / "README.md", *(FOLDER / "LICENSES").iterdir()} <= listed
        for file in (FOLDER / "LICENSES").iterdir():
            assert file.stem in project["license"]


class TestChoice:
    def test_photographs_and_rates(self) -> None:
        data = sample_triplets(photos=["china", "coffee"], rates=["low"])
        assert [record.id for record in data.records] == ["china-low", "coffee-low"]
        assert {grade.triplet for grade in data.grades} == {"china-low", "coffee-low"}

    @pytest.mark.parametrize(
        ("choice", "message"),
        [({"photos": ["chelsae"]}, "did you mean 'chelsea'"), ({"rates": ["mid"]}, "rate 'mid'")],
    )
    def test_unknown_names(self, choice: dict[str, Sequence[str]], message: str) -> None:
        with pytest.raises(DataError, match=message):
            sample_triplets(**choice)

    def test_color_leaves_out_gray_originals(self) -> None:
        data = sample_triplets()
        gray = {record.id for record in data.records if "gray" in record.extra}
        graded = {grade.triplet for grade in data.grades if grade.artifact_type == "color"}
        assert len(gray) == 10 and graded == {record.id for record in data.records} - gray
        assert sample.GRAY in data.notes
        assert sample.GRAY not in sample_triplets(photos=["china"]).notes


class TestBadFiles:
    def test_each_costs_its_triplets(self, copy: Path) -> None:
        (copy / "original/coffee.webp").unlink()
        file = copy / "neural/china-low.webp"
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        data = sample_triplets()
        assert {"coffee-high", "coffee-low", "china-low"}.isdisjoint(r.id for r in data.records)
        assert len(data.records) == 21
        assert {failure.item: failure.message for failure in data.failures}.keys() == {
            "original/coffee.webp",
            "neural/china-low.webp",
        }
        for failure in data.failures:
            assert failure.item in failure.message
            assert "expected the file that nacd-bench came with, got" in failure.message

    def test_grades_cost_no_triplets(self, copy: Path) -> None:
        (copy / "grades.jsonl").unlink()
        data = sample_triplets()
        assert len(data.records) == 24 and not data.grades
        assert [failure.item for failure in data.failures] == ["grades.jsonl"]

    def test_without_its_table_there_is_no_sample(self, copy: Path) -> None:
        (copy / "triplets.csv").unlink()
        with pytest.raises(DataError, match=r"triplets\.csv: .* got none\. Put it back, or inst"):
            sample_triplets()

    @pytest.mark.parametrize("spoilt", [None, b"", b"\xff\xfe\x00", b"d4e8f3879023  \n"])
    def test_without_hashes_all_are_taken_and_it_is_said(
        self, copy: Path, spoilt: bytes | None
    ) -> None:
        (copy / SUMS).unlink()
        if spoilt is not None:
            (copy / SUMS).write_bytes(spoilt)
        data = sample_triplets()
        assert len(data.records) == 24
        assert [failure.item for failure in data.failures] == [SUMS]

    def test_none_that_is_whole(self, copy: Path) -> None:
        (copy / "original/coffee.webp").write_bytes(b"")
        with pytest.raises(DataError, match=r"original/coffee.webp: expected the file"):
            sample_triplets(photos=["coffee"])

    def test_a_run_says_which_and_goes_on(
        self, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        (copy / "traditional/coffee-low.webp").unlink()
        words = ["detector=[large_color]", "data.photos=[coffee]", "report=false"]
        folder = tmp_path / "run"
        assert main(["detect", f"folder={folder}", *words, "show_progress=false"]) == 1
        printed = " ".join(capsys.readouterr().out.split())
        assert "traditional/coffee-low.webp: expected the file" in printed
        assert [row["triplet"] for row in csv_rows(folder / "scores.csv")] == ["coffee-high"]
