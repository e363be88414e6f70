"""Grades beside triplets: what is read, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import fails
from shared_data import SHARED, needs_shared
from triplet_folder import make_triplets

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError
from nacd_bench.planting.photographs import photo
from nacd_bench.triplets.grades import Grade, find_grades, raters_of, ratings, ungraded
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.source import find_triplets

NAMES = ("astronaut", "coffee", "rocket")
GOOD: dict[str, Any] = {
    **{"triplet": "astronaut", "rater": "P", "type": "texture", "side": "neural"},
    **{"severity": 2, "box": [10, 20, 60, 80]},
}


def lines(**other: Any) -> dict[str, Any]:
    return {**GOOD, **other}


def full() -> list[dict[str, Any]]:
    """Three raters on three triplets."""
    return [
        {
            **{"triplet": name, "rater": rater, "type": "color", "side": side},
            **{"severity": s, "box": [0, 0, 9, 9] if s else None},
        }
        for name in NAMES
        for s, rater in enumerate("PQR")
        for side in ("neural", "traditional")
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_triplets(tmp_path / "graded", NAMES)


def write(folder: Path, rows: Sequence[Any]) -> None:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / "grades.jsonl").write_text(text)


def read(folder: Path, raters: Sequence[str] | None = None) -> tuple[list[Grade], list[str]]:
    grades, failures, _ = find_grades(folder, find_triplets(folder)[0], raters)
    return grades, [failure.message for failure in failures]


class TestReading:
    def test_grades_by_triplet_rater_type_and_side(self, folder: Path) -> None:
        write(folder, full())
        grades, failures = read(folder)
        assert failures == []
        assert len(grades) == 18
        assert raters_of(grades) == ["P", "Q", "R"]
        rated = ratings(grades, NAMES, ["P", "Q", "R"], "color", "neural")
        assert rated.severity.tolist() == [[0, 1, 2]] * 3
        assert rated.boxes[0, 1].tolist() == [0, 0, 9, 9]
        assert np.isnan(rated.boxes[0, 0]).all()
        assert np.isnan(ratings(grades, NAMES, ["P"], "text", "neural").severity).all()

    def test_csv_has_boxes_as_text(self, folder: Path) -> None:
        (folder / "grades.csv").write_text(
            "triplet,rater,type,side,severity,box,kind\n"
            'coffee,Q,text,traditional,3,"[1, 2, 30, 40]",human\n'
            "coffee,Q,text,neural,0,,human\n"
        )
        grades, failures = read(folder)
        assert failures == []
        assert grades[0] == Grade(
            "coffee", "Q", "text", "traditional", 3, (1, 2, 30, 40), kind="human"
        )
        assert grades[1].box is None

    def test_beside_a_manifest_and_nowhere(self, folder: Path) -> None:
        write(folder, full())
        records = find_triplets(folder)[0]
        (folder / "triplets.csv").write_text("original,neural,traditional\n")
        assert len(find_grades(folder / "triplets.csv", records)[0]) == 18
        assert find_grades([str(folder)], records)[0]
        (folder / "grades.jsonl").unlink()
        assert find_grades(folder, records) == ([], [], [])

    def test_two_tables_are_refused(self, folder: Path) -> None:
        write(folder, full())
        (folder / "grades.csv").write_text("triplet\n")
        fails(DataError, r"expected one table of grades, got grades.jsonl and", read, folder)

    def test_a_box_over_the_border_is_cut(self, folder: Path) -> None:
        write(folder, [lines(box=[60, -3, 130, 98])])
        grades, failures, notes = find_grades(folder, find_triplets(folder)[0])
        assert grades[0].box == (60, 0, 128, 96)
        assert failures == []
        assert "cut at the border" in notes[0]


class TestFaults:
    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (lines(severity=4), "severity: expected a severity of 0, 1, 2 or 3, got 4"),
            (lines(severity=-1), "severity of 0, 1, 2 or 3, got -1"),
            (lines(severity=1.5), "severity of 0, 1, 2 or 3, got 1.5"),
            (lines(severity="strong"), "severity of 0, 1, 2 or 3, got 'strong'"),
            (lines(severity=None), "severity: expected a value, got nothing"),
            (lines(side="neurl"), "unknown side 'neurl'; did you mean 'neural'"),
            (lines(type="colour"), "unknown artifact type 'colour'; did you mean 'color'"),
            (lines(rater=" "), "rater: expected a value, got nothing"),
            (lines(kind="cat"), "unknown kind of rater 'cat'"),
            (lines(triplet=None), "triplet: expected a value, got nothing"),
            (lines(triplet="coffe"), "unknown triplet 'coffe'; did you mean 'coffee'"),
            (lines(box=[120, 90, 400, 300]), "expected a box inside the 128 x 96 pixels"),
            (lines(box=[200, 10, 300, 80]), "expected a box inside the 128 x 96 pixels"),
            (lines(box=[60, 10, 20, 80]), "with x0 < x1 and y0 < y1"),
            (lines(box=[1, 2, 3]), "expected four numbers"),
            (lines(severity=0), "box: expected none where the severity is 0"),
            (lines(strength=2), "unknown column 'strength'"),
            ("{not json", "grades.jsonl line 19"),
            ("[1, 2]", "grades.jsonl line 19"),
        ],
    )
    def test_a_bad_line_does_not_lose_the_others(
        self, folder: Path, row: Any, message: str
    ) -> None:
        write(folder, [*full(), row])
        grades, failures = read(folder)
        assert len(grades) == 18
        assert len(failures) == 1
        assert message in failures[0]
        assert "line 19" in failures[0]

    def test_a_rater_twice(self, folder: Path) -> None:
        write(folder, [*full(), full()[2], {**full()[4], "severity": 1}])
        grades, failures = read(folder)
        assert len(grades) == 17
        assert "by Q, got lines 3 and 19, all the same; one counts" in failures[0]
        assert "by R, got lines 5 and 20 that differ; none counts" in failures[1]

    def test_a_name_that_graded_next_to_nothing_is_no_rater(self, tmp_path: Path) -> None:
        names = tuple(f"t{i}" for i in range(12))
        folder = make_triplets(tmp_path / "many", ("astronaut",))
        for role in ("orig", "ai", "classic"):
            for name in names:
                (folder / role / f"{name}.png").hardlink_to(folder / role / "astronaut.png")
        rows = [lines(triplet=name, rater=rater) for name in names for rater in "PQR"]
        write(folder, [*rows, lines(triplet="t1", rater="p")])
        grades, failures = read(folder)
        assert raters_of(grades) == ["P", "Q", "R"]
        assert "got 'p' with 1 of 12" in failures[0]
        assert raters_of(read(folder, ["P", "p", "Q", "R"])[0]) == ["P", "Q", "R", "p"]
        grades, failures = read(folder, ["P", "Q"])
        assert raters_of(grades) == ["P", "Q"]
        assert "unknown rater 'R'" in failures[0]
        assert len(failures) == 2
        grades, failures = read(folder, ["P", "Q", "R", "p", "S"])
        assert len(failures) == 1
        assert "unknown rater in raters 'S'" in failures[0]

    def test_triplets_without_grades(self, folder: Path) -> None:
        write(folder, [row for row in full() if row["triplet"] != "rocket"])
        records = find_triplets(folder)[0]
        missing = ungraded(records, find_grades(folder, records)[0])
        assert [failure.item for failure in missing] == ["rocket"]
        assert "expected grades of it, got none" in missing[0].message

    def test_no_table(self, folder: Path) -> None:
        (folder / "grades.jsonl").write_bytes(b"\xff\xfe\x00")
        fails(DataError, "grades", read, folder)


class TestValidate:
    def test_grades_are_checked(self, folder: Path, capsys: Any) -> None:
        write(folder, full())
        assert main(["validate", str(folder), "show_progress=false"]) == 0
        assert "18 grades by the raters P, Q, R" in capsys.readouterr().out
        write(folder, [*full()[:12], lines(severity=7), lines(box=[500, 0, 600, 9])])
        assert main(["validate", str(folder), "show_progress=false"]) == 1
        printed = capsys.readouterr().out
        assert "got 7" in printed
        assert "[500, 0, 600, 9]" in printed
        assert "'rocket'" in printed
        assert "3 triplets, 3 problems" in printed

    def test_raters_that_count(self, folder: Path, capsys: Any) -> None:
        write(folder, full())
        assert main(["validate", str(folder), "raters=[P,Q]", "show_progress=false"]) == 1
        assert "unknown rater 'R'" in capsys.readouterr().out


class TestIndex:
    def test_files_that_triplets_share(self, tmp_path: Path) -> None:
        folder = make_triplets(tmp_path / "truth", ("coffee",))
        (folder / "classic" / "coffee.png").rename(folder / "classic" / "coffee~2.png")
        (folder / "index.csv").write_text(
            "id,orig,ai,classic,source,set,traditional_qp\n"
            "a,orig/coffee.png,ai/coffee.png,classic/coffee~2.png,cup,fixed,37\n"
            "b,orig/coffee.png,ai/coffee.png,classic/coffee~2.png,cup,low,40\n"
            "c,orig/coffee.png,ai/coffee.png,,cup,low,40\n"
        )
        for source in (folder, folder / "index.csv"):
            records, problems = find_triplets(source)
            assert [record.id for record in records] == ["a", "b"]
            assert records[0].original == records[1].original
            assert records[1].traditional_point == "40"
            assert (records[0].source, records[0].extra["set"]) == ("cup", "fixed")
            assert "row 3" in problems[0].message

    def test_originals_that_are_installed_photographs(self, tmp_path: Path) -> None:
        folder = make_triplets(tmp_path / "sample", ("coffee",))
        for path in (folder / "orig").iterdir():
            path.unlink()
        (folder / "orig").rmdir()
        (folder / "index.csv").write_text(
            "id,photograph,hm_bpp\ncoffee,coffee,0.1\nother,coffee,0.1\nx,cofee,0.1\n"
        )
        records, problems = find_triplets(folder)
        assert [record.id for record in records] == ["coffee"]
        assert (read_8_bit(records[0].original)[0] == photo("coffee")).all()
        assert (records[0].source, records[0].traditional_bpp) == ("coffee", 0.1)
        assert "expected ai/other.*, got none" in problems[0].message
        assert "unknown photograph 'cofee'; did you mean 'coffee'" in problems[1].message


@needs_shared("truth")
class TestSharedTruth:
    def test_is_read_as_it_is(self) -> None:
        records, problems = find_triplets(SHARED / "truth")
        grades, failures, notes = find_grades(SHARED / "truth", records)
        assert (len(records), problems) == (276, [])
        assert (len(grades), failures, len(notes)) == (3978, [], 5)
        assert ungraded(records, grades) == []
        assert len({record.source for record in records}) == 102


@needs_shared("jpegai_sample")
def test_the_sample_is_read_as_it_is() -> None:
    records, problems = find_triplets(SHARED / "jpegai_sample")
    grades, failures, notes = find_grades(SHARED / "jpegai_sample", records)
    assert (len(records), problems, len(grades), failures, notes) == (32, [], 444, [], [])
