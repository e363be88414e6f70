"""Manifests: three kinds of table with one content, and every fault named with its row."""

import csv
import dataclasses
import json
import os
from pathlib import Path

import pyarrow
import pytest
from checks import fails
from pyarrow import parquet

from nacd_bench.errors import DataError
from nacd_bench.triplets.manifest import (
    MANIFEST_NAMES,
    SCHEMA_VERSION,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from nacd_bench.triplets.record import Label, TripletRecord

SUFFIXES = [".parquet", ".csv", ".jsonl"]


def records(folder: Path) -> list[TripletRecord]:
    """One with everything, one with nothing that may be missing, one free of artifacts."""
    return [
        TripletRecord(
            id="kodim01@0.12",
            original=str(folder / "orig" / "kodim01.png"),
            neural=str(folder / "ai" / "größe, 1.png"),
            traditional="/elsewhere/kodim01.png",
            source="kodim01",
            neural_codec="JPEG AI",
            neural_version="VM 3.3",
            neural_point="012",
            neural_bpp=0.1234567890123,
            traditional_codec="HM",
            traditional_version="18.0",
            traditional_point="37",
            traditional_bpp=0.15,
            labels=(
                Label("texture", (0, 10, 300, 310), 8, 2, True),
                Label("color", None, None, None, None),
                Label("text", (1, 2, 3, 4), confirmed=False, detectors=("text", "größe")),
            ),
            extra={"note": 'with "quotes", a comma\nand a line', "rank": 3, "share": 0.25},
        ),
        TripletRecord("2", "s3://bucket/a.png", "/b.png", "/c.png"),
        TripletRecord("free", "/a.png", "/b.png", "/c.png", artifact_free=True, extra={"rank": 4}),
    ]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """A table made by hand, not by our writer."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in rows:
                cells = {k: json.dumps(v) if k == "labels" else v for k, v in row.items()}
                writer.writerow(cells)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def plain(name: str = "a", **cells: object) -> dict[str, object]:
    return {"id": name, "original": "o.png", "neural": "n.png", "traditional": "t.png", **cells}


def refused(match: str, path: Path) -> None:
    """The table cannot be read, and the message says why."""
    fails(DataError, match, read_manifest, path)


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_everything_comes_back(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"triplets{suffix}"
        written = records(tmp_path)
        write_manifest(path, written)
        if suffix == ".csv":  # CSV has no types
            written = [
                dataclasses.replace(each, extra={k: str(v) for k, v in each.extra.items()})
                for each in written
            ]
        read = read_manifest(path)
        assert read == written
        assert [each.row for each in read] == [1, 2, 3]
        assert read[1].neural_bpp is None

    @pytest.mark.parametrize("first", SUFFIXES)
    @pytest.mark.parametrize("second", SUFFIXES)
    def test_one_kind_to_another(self, tmp_path: Path, first: str, second: str) -> None:
        written = [dataclasses.replace(each, extra={}) for each in records(tmp_path)]
        write_manifest(tmp_path / f"a{first}", written)
        write_manifest(tmp_path / f"b{second}", read_manifest(tmp_path / f"a{first}"))
        assert read_manifest(tmp_path / f"b{second}") == written

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_no_rows(self, tmp_path: Path, suffix: str) -> None:
        write_manifest(tmp_path / f"a{suffix}", [])
        assert read_manifest(tmp_path / f"a{suffix}") == []

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_paths_inside_are_relative_so_that_the_folder_can_move(
        self, tmp_path: Path, suffix: str
    ) -> None:
        here = tmp_path / "here"
        write_manifest(here / f"triplets{suffix}", records(here)[:1])
        moved = here.rename(tmp_path / "there")
        (record,) = read_manifest(moved / f"triplets{suffix}")
        assert record.original == str(moved / "orig" / "kodim01.png")
        assert record.traditional == "/elsewhere/kodim01.png"

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_the_schema_version_is_written(self, tmp_path: Path, suffix: str) -> None:
        write_manifest(tmp_path / f"a{suffix}", records(tmp_path))
        if suffix == ".parquet":
            assert parquet.read_table(tmp_path / "a.parquet")["schema_version"][0].as_py() == 1
        else:
            assert "schema_version" in (tmp_path / f"a{suffix}").read_text()

    def test_a_file_url_is_read(self, tmp_path: Path) -> None:
        write_manifest(tmp_path / "a.jsonl", records(tmp_path)[:1])
        (record,) = read_manifest((tmp_path / "a.jsonl").as_uri())
        assert record.original == (tmp_path / "orig" / "kodim01.png").as_uri()


class TestReading:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_three_paths_are_enough(self, tmp_path: Path, suffix: str) -> None:
        row = {"original": "orig/x.y.png", "neural": "n.png", "traditional": "t.png"}
        (record,) = read_manifest(write_rows(tmp_path / f"a{suffix}", [row]))
        assert record == TripletRecord(
            "x.y", *(str(tmp_path / name) for name in ("orig/x.y.png", "n.png", "t.png"))
        )

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_missing_rate_is_none_never_nan(self, tmp_path: Path, suffix: str) -> None:
        rows = [plain("a", neural_bpp=float("nan")), plain("b", neural_bpp=0.5)]
        first, second = read_manifest(write_rows(tmp_path / f"a{suffix}", rows))
        assert first.neural_bpp is None
        assert second.neural_bpp == 0.5

    @pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
    def test_numbers_as_ids_and_points_become_text(self, tmp_path: Path, suffix: str) -> None:
        rows = [plain(7, neural_point=37.0, traditional_point=0.25)]  # type: ignore[arg-type]
        (record,) = read_manifest(write_rows(tmp_path / f"a{suffix}", rows))
        assert (record.id, record.neural_point, record.traditional_point) == ("7", "37", "0.25")

    def test_csv_from_a_spreadsheet(self, tmp_path: Path) -> None:
        text = "\ufefforiginal, neural ,traditional,artifact_free\r\no.png,n.png,t.png,TRUE\r\n\r\n"
        (tmp_path / "a.csv").write_text(text, newline="")
        (record,) = read_manifest(tmp_path / "a.csv")
        assert record.artifact_free is True
        assert record.neural == str(tmp_path / "n.png")

    def test_false_means_not_known_to_be_free(self, tmp_path: Path) -> None:
        rows = [plain(artifact_free=False)]
        assert read_manifest(write_rows(tmp_path / "a.jsonl", rows))[0].artifact_free is None


FAULTS = [
    ({"neural_bpp": "much"}, "neural_bpp: expected a positive number .*, got 'much'. Correct it"),
    ({"traditional_bpp": "-1"}, "traditional_bpp to be a positive number .*, got -1.0"),
    ({"traditional_bpp": "0"}, "expected traditional_bpp to be a positive number"),
    ({"neural_bpp": "inf"}, "neural_bpp: expected a positive number"),
    ({"artifact_free": "maybe"}, "artifact_free: expected true or false, got 'maybe'"),
    ({"neural": ""}, "neural: expected the path of a file, got nothing"),
    ({"labels": [{"artifact_type": "txt"}]}, "unknown artifact type 'txt'; did you mean 'text'"),
    ({"labels": [{"box": [0, 0, 1, 1]}]}, "label 1: unknown artifact type ''"),
    ({"labels": [{"artifact_type": "text", "bx": 1}]}, "unknown field 'bx'; did you mean 'box'"),
    (
        {"labels": [{"artifact_type": "text", "box": [5, 5, 5, 9]}]},
        r"label 1: expected a box \[x0, y0, x1, y1\] with x0 < x1 .* got \[5, 5, 5, 9\] of no area",
    ),
    (
        {"labels": [{"artifact_type": "text", "box": [-1, 0, 5, 9]}]},
        r"expected a box inside the image, got \[-1, 0, 5, 9\]",
    ),
    ({"labels": [{"artifact_type": "text", "box": [1, 2, 3]}]}, "box: expected four whole numbers"),
    (
        {"labels": [{"artifact_type": "text", "box": [0, 0, 1.5, 2]}]},
        r"box: expected four whole numbers \[x0, y0, x1, y1\], got 1.5. Round it",
    ),
    ({"labels": [{"artifact_type": "text", "votes_for": -2}]}, "votes_for to be 0 or more, got -2"),
    ({"labels": [{"artifact_type": "text", "votes_for": "x"}]}, "expected a whole number of votes"),
    (
        {"artifact_free": "true", "labels": [{"artifact_type": "text", "confirmed": True}]},
        "expected artifact_free or confirmed artifacts, got both",
    ),
    (
        {
            "labels": [
                {"artifact_type": "text", "box": [0, 0, 9, 9], "confirmed": True},
                {"artifact_type": "text", "box": [0, 0, 9, 9], "confirmed": False},
            ]
        },
        "got labels 1 and 2 of the same type and box, one confirmed and one refused",
    ),
]


class TestFaults:
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    @pytest.mark.parametrize(("cells", "message"), FAULTS)
    def test_a_fault_is_named_with_its_row(
        self, tmp_path: Path, suffix: str, cells: dict[str, object], message: str
    ) -> None:
        path = write_rows(tmp_path / f"a{suffix}", [plain("good"), plain("bad", **cells)])
        refused(rf"a{suffix} row 2 \(id 'bad'\): .*{message}", path)
        good, problems = parse_manifest(path)
        assert [each.id for each in good] == ["good"]
        assert {each.item for each in problems} == {"bad"}
        assert all("\n" not in each.message for each in problems)

    def test_every_fault_at_once(self, tmp_path: Path) -> None:
        rows = [plain(str(i), **FAULTS[i % len(FAULTS)][0]) for i in range(40)]  # type: ignore[arg-type]
        rows.append(plain("last", neural_bpp="x", artifact_free="y", labels=[{"votes_for": -1}]))
        with pytest.raises(DataError) as caught:
            read_manifest(write_rows(tmp_path / "a.jsonl", rows))
        lines = str(caught.value).splitlines()
        assert all(any(f" row {i} " in line for line in lines) for i in range(1, 42))
        assert sum(" row 41 " in line for line in lines) == 4
        assert f"got {len(lines) - 1} problems" in lines[0]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_duplicate_ids(self, tmp_path: Path, suffix: str) -> None:
        path = write_rows(tmp_path / f"a{suffix}", [plain("a"), plain("b"), plain("a")])
        with pytest.raises(DataError, match=r"row 1 .*got 'a' 2 times") as caught:
            read_manifest(path)
        assert "row 3 (id 'a')" in str(caught.value)
        assert [each.id for each in parse_manifest(path)[0]] == ["b"]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_newer_schema(self, tmp_path: Path, suffix: str) -> None:
        path = write_rows(tmp_path / f"a{suffix}", [plain(schema_version=SCHEMA_VERSION + 1)])
        refused(r"expected schema_version 1 to 1, got 2. .* upgrade", path)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_missing_columns(self, tmp_path: Path, suffix: str) -> None:
        path = write_rows(tmp_path / f"a{suffix}", [{"id": "a", "orginal": "o.png"}])
        refused("original, neural, traditional are missing. Got id, orginal", path)

    def test_csv_with_cells_missing_or_too_many(self, tmp_path: Path) -> None:
        text = "id,original,neural,traditional\na,o,n\nb,o,n,t\nc,o,n,t,x\n"
        (tmp_path / "a.csv").write_text(text)
        good, problems = parse_manifest(tmp_path / "a.csv")
        assert [each.id for each in good] == ["b"]
        assert good[0].row == 2
        assert "line 2 (id 'a'): expected 4 cells as in the header, got 3" in problems[0].message
        assert "line 4 (id 'c'): expected 4 cells as in the header, got 5" in problems[1].message

    def test_csv_with_a_column_twice(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("original,neural,traditional,neural\no,n,t,n\n")
        refused("got neural more than once", tmp_path / "a.csv")

    def test_csv_with_labels_that_are_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("original,neural,traditional,labels\no,n,t,texture\n")
        refused(r"row 1 .*labels: expected a JSON list", tmp_path / "a.csv")
        (tmp_path / "a.csv").write_text('original,neural,traditional,labels\no,n,t,"{}"\n')
        refused(r"row 1 .*labels: expected a list of labels, got {}", tmp_path / "a.csv")

    def test_csv_with_an_open_quote(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('original,neural,traditional\no,n,"t\n')
        with pytest.raises(
            DataError, match=r"a\.csv line 2: expected separated values, got a fault"
        ):
            read_manifest(tmp_path / "a.csv")

    def test_json_lines_with_a_broken_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text(json.dumps(plain()) + '\n{"id": \n\n[1]\n')
        good, problems = parse_manifest(tmp_path / "a.jsonl")
        assert len(good) == 1
        assert "line 2 (id ''): expected a JSON object in one line, got text" in problems[0].message
        assert (
            "line 4 (id ''): expected a JSON object in one line, got a list" in problems[1].message
        )

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.parquet", b"hello", "expected a Parquet file, got one that cannot be read"),
            ("a.csv", b"original,neural\n\xff\xfe\n", "expected text in UTF-8"),
            ("a.csv", b"", "expected a table of triplets, got an empty file"),
            ("a.xlsx", b"PK", "unknown kind of manifest '.xlsx'.*Known: .parquet, .csv, .jsonl"),
            ("a.json", b"[]", "unknown kind of manifest '.json'; did you mean '.jsonl'"),
        ],
    )
    def test_no_table_at_all(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        refused(message, tmp_path / name)

    def test_truncated_parquet(self, tmp_path: Path) -> None:
        write_manifest(tmp_path / "a.parquet", records(tmp_path))
        (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
        refused(r"a\.parquet: expected a Parquet file", tmp_path / "a.parquet")

    def test_nothing_there(self, tmp_path: Path) -> None:
        refused(r"a\.csv: expected a table of triplets, got nothing", tmp_path / "a.csv")


class TestWriting:
    def test_a_failed_write_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "triplets.csv"
        write_manifest(path, records(tmp_path))
        before = path.read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"triplets\.csv: .*No space left on device. Choose"):
            write_manifest(path, records(tmp_path)[:1])
        assert path.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == ["triplets.csv"]

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("")
        with pytest.raises(DataError, match="expected a place that can be written"):
            write_manifest(tmp_path / "run" / "a.csv", records(tmp_path))

    def test_faults_are_not_written(self, tmp_path: Path) -> None:
        free, *_ = [each for each in records(tmp_path) if each.artifact_free]
        wrong = [
            dataclasses.replace(free, labels=(Label("text", confirmed=True),)),
            dataclasses.replace(free, neural_bpp=float("nan")),
            dataclasses.replace(free, id="x", extra={"labels": 1}),
        ]
        with pytest.raises(DataError) as caught:
            write_manifest(tmp_path / "a.csv", wrong)
        for part in ("got both", "got nan", "'free' 2 times", "'labels' is one of the schema"):
            assert part in str(caught.value)
        assert not (tmp_path / "a.csv").exists()

    def test_values_that_a_kind_cannot_hold(self, tmp_path: Path) -> None:
        """Parquet has no type for them: they cost no other value, and are text."""
        first, second = records(tmp_path)[0], records(tmp_path)[1]
        for values, written in {
            (1, "one"): ["1", "one"],
            (10**400, 1): [f"1{'0' * 400}", "1"],
            (2**63, -1): [f"{2**63}", "-1"],
        }.items():
            mixed = [
                dataclasses.replace(record, id=name, extra={"x": value})
                for record, name, value in zip((first, second), "ab", values, strict=True)
            ]
            write_manifest(tmp_path / "a.parquet", mixed)
            assert [r.extra["x"] for r in read_manifest(tmp_path / "a.parquet")] == written
        write_manifest(tmp_path / "a.parquet", [dataclasses.replace(first, extra={"x": {}})])
        assert read_manifest(tmp_path / "a.parquet")[0].extra["x"] == "{}"
        odd = [dataclasses.replace(first, extra={"x": object()})]
        with pytest.raises(DataError, match="expected extra values that JSON can hold"):
            write_manifest(tmp_path / "a.jsonl", odd)

    def test_another_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"unknown kind of manifest '.txt'"):
            write_manifest(tmp_path / "a.txt", records(tmp_path))

    def test_parquet_comes_first_in_a_run_folder(self) -> None:
        assert MANIFEST_NAMES[0] == "triplets.parquet"
