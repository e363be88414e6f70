"""Foreign tables: what a mapping can say, and every fault with its line."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from PIL import Image

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError
from nacd_bench.triplets.foreign import import_graded, read_mapping
from nacd_bench.triplets.grades import find_grades
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import Label, TripletRecord

HEADER = "image,q,kind,x,y,w,h,score,vm,profile,votes\n"
ROWS = """kodim01,012,tex,10,20,300,300,0.8,VM 3.4,high,4
kodim01,012,colour,5.5,5.5,10,10,0.9,VM 3.4,high,3
kodim01,006,tex,,,,,0.4,VM 3.4,high,
kodim02,075,none,,,,,,VM 3.4,high,
"""
MAPPING: dict[str, Any] = {
    "columns": {
        "original": "refs/{image}.png",
        "neural": "ai/{image}_{q}.png",
        "traditional": "vvc/{image}_{q}.png",
        "source": "image",
        "artifact_type": "kind",
        "box": ["x", "y", "w", "h"],
        "confidence": "score",
        "neural_point": "q",
        "neural_version": "vm",
        "preset": "profile",
        "votes_for": "votes",
    },
    "box": "xywh",
    "types": {"tex": "texture", "colour": "color", "none": "free"},
    "values": {"neural_codec": "JPEG AI"},
}
PATHS = {"original": "o", "neural": "n", "traditional": "t"}
DIRECTORIES = {"original": "orig", "neural": "ai", "traditional": "classic"}
PICTURES = ("id", *DIRECTORIES)


def table(folder: Path, content: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def with_columns(**columns: object) -> dict[str, Any]:
    return {**MAPPING, "columns": {**MAPPING["columns"], **columns}}


def boxes(folder: Path, cells: str, **mapping: object) -> list[Label]:
    """The labels of one row with a quoted cell for the box."""
    path = table(folder, f'o,n,t,kind,box\no.png,n.png,t.png,text,"{cells}"\n')
    columns = {**PATHS, "artifact_type": "kind", "box": "box"}
    (record,) = import_graded(path, {"columns": columns, **mapping})[0]
    return list(record.labels)


def problems(path: Path, mapping: object = MAPPING) -> list[str]:
    with pytest.raises(DataError) as error:
        import_graded(path, mapping)  # type: ignore[arg-type]
    return str(error.value).splitlines()


class TestCsv:
    def test_everything(self, tmp_path: Path) -> None:
        first, second, free = import_graded(table(tmp_path, HEADER + ROWS), MAPPING)[0]
        assert first == TripletRecord(
            id="kodim01@012",
            original=str(tmp_path / "refs/kodim01.png"),
            neural=str(tmp_path / "ai/kodim01_012.png"),
            traditional=str(tmp_path / "vvc/kodim01_012.png"),
            source="kodim01",
            neural_codec="JPEG AI",
            neural_version="VM 3.4",
            neural_point="012",
            labels=(
                Label("texture", (10, 20, 310, 320), votes_for=4),
                Label("color", (5, 5, 16, 16), votes_for=3),
            ),
            extra={
                "preset": "high",
                "confidence": 0.9,
                "confidences": "[0.8, 0.9]",
            },
        )
        assert second.labels == (Label("texture"),)
        assert second.extra["confidence"] == 0.4 and "confidences" not in second.extra
        assert free.artifact_free is True and free.labels == ()
        assert [each.row for each in (first, second, free)] == [1, 2, 3]

    def test_the_mapping_is_a_file(self, tmp_path: Path) -> None:
        written = table(tmp_path, json.dumps(MAPPING), "mapping.yaml")  # JSON is YAML
        path = table(tmp_path, HEADER + ROWS)
        assert import_graded(path, written)[0] == import_graded(path, MAPPING)[0]

    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
    def test_becomes_a_manifest(self, tmp_path: Path, suffix: str) -> None:
        records = import_graded(table(tmp_path, HEADER + ROWS), MAPPING)[0]
        write_manifest(tmp_path / f"triplets{suffix}", records)
        read = read_manifest(tmp_path / f"triplets{suffix}")
        assert [each.labels for each in read] == [each.labels for each in records]
        assert [each.id for each in read] == ["kodim01@012", "kodim01@006", "kodim02@075"]

    def test_columns_of_a_manifest_can_be_named(self, tmp_path: Path) -> None:
        content = "o;n;t;name;rate;ok\na;b;c;one;0.25;yes\n"
        columns = {**PATHS, "id": "name", "neural_bpp": "rate", "artifact_free": "ok"}
        (record,) = import_graded(table(tmp_path, content), {"columns": columns, "root": "in"})[0]
        assert (record.id, record.neural_bpp, record.artifact_free) == ("one", 0.25, True)
        assert record.original == str(tmp_path / "in" / "a")

    def test_a_line_break_in_a_cell_does_not_shift_the_lines(self, tmp_path: Path) -> None:
        content = 'o,n,t,bpp\n"a",b,"c\nc",1\n\na2,b,c,much\n'
        lines = problems(table(tmp_path, content), {"columns": {**PATHS, "neural_bpp": "bpp"}})
        assert "labels.csv line 5: neural_bpp: expected a positive number" in lines[1]


class TestBoxes:
    @pytest.mark.parametrize(
        ("cells", "form", "expected"),
        [
            ("1,2,10,20", "xywh", (1, 2, 11, 22)),
            ("1,2,10,20", "corners", (1, 2, 10, 20)),
            ("[1.2, 2.9, 10, 20.1]", "corners", (1, 2, 10, 21)),
            ("(1 2 3 4)", "xywh", (1, 2, 4, 6)),
            ("", "xywh", None),
        ],
    )
    def test_forms(
        self, tmp_path: Path, cells: str, form: str, expected: tuple[int, ...] | None
    ) -> None:
        assert boxes(tmp_path, cells, box=form) == [Label("text", expected)]  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("cells", "form", "message"),
        [
            ("1,2,3", "xywh", "expected four numbers x, y, w, h, got '1,2,3'"),
            ("1,2,3,nan", "corners", "expected four numbers x0, y0, x1, y1"),
            ("1,2,0,4", "xywh", "expected a width and a height above 0"),
            ("9,9,3,3", "corners", "got [9, 9, 3, 3] of no area"),
            ("-4,0,10,10", "xywh", "expected a box inside the image, got [-4, 0, 6, 10]"),
            ("0.1,0.1,0.5,0.5", "corners", "expected pixels"),
        ],
    )
    def test_faults(self, tmp_path: Path, cells: str, form: str, message: str) -> None:
        with pytest.raises(DataError) as error:
            boxes(tmp_path, cells, box=form)
        assert "labels.csv line 2: " in str(error.value)
        assert message in str(error.value)


class TestJson:
    ITEM = {"img": {"ref": "o.png"}, "n": "n.png", "t": "t.png", "kind": "text", "b": [1, 2, 3, 4]}
    MAPPING = {
        "columns": {
            "original": "img.ref",
            "neural": "n",
            "traditional": "t",
            "artifact_type": "kind",
            "box": "b",
        },
        "box": "xywh",
    }

    @pytest.mark.parametrize(
        ("content", "rows"),
        [
            ([ITEM], None),
            ({"data": {"items": [ITEM]}}, "data.items"),
        ],
        ids=["list", "inside"],
    )
    def test_layouts(self, tmp_path: Path, content: object, rows: str | None) -> None:
        path = table(tmp_path, json.dumps(content), "labels.json")
        (record,) = import_graded(path, {**self.MAPPING, "rows": rows})[0]
        assert record.original == str(tmp_path / "o.png")
        assert record.labels == (Label("text", (1, 2, 4, 6)),)

    def test_lines(self, tmp_path: Path) -> None:
        content = json.dumps(self.ITEM) + "\n\n" + json.dumps({**self.ITEM, "kind": "tekst"})
        line = problems(table(tmp_path, content, "labels.jsonl"), self.MAPPING)[1]
        assert "line 3: artifact_type: unknown type 'tekst'; did you mean 'text'" in line

    def test_the_numbers_of_an_object_are_named_one_by_one(self, tmp_path: Path) -> None:
        item = {**self.ITEM, "b": {"w": 3, "h": 4, "y": 2, "x": 1}}
        path = table(tmp_path, json.dumps([item]), "labels.json")
        four = {**self.MAPPING["columns"], "box": ["b.x", "b.y", "b.w", "b.h"]}
        (record,) = import_graded(path, {"columns": four, "box": "xywh"})[0]
        assert record.labels[0].box == (1, 2, 4, 6)
        line = problems(path, self.MAPPING)[1]
        assert "item 1: box: expected four numbers x, y, w, h, got {'w': 3" in line

    @pytest.mark.parametrize(
        ("content", "name", "message"),
        [
            ("[1]", "a.json", "expected a list of objects, got [1]"),
            ('{"a": 3}', "a.json", "expected a list of objects, got {'a': 3}"),
            ("[\n{]", "a.json", "a.json line 2: expected a table of labels as JSON"),
            ("[]", "a.json", "expected at least one row"),
            ("[1]\n{", "a.jsonl", "a.jsonl line 2: expected a JSON object in one line, got text"),
            ("a", "a.xml", "unknown kind of table '.xml'"),
        ],
    )
    def test_faults(self, tmp_path: Path, content: str, name: str, message: str) -> None:
        assert message in "\n".join(problems(table(tmp_path, content, name), self.MAPPING))


class TestRows:
    def test_all_faults_at_once(self, tmp_path: Path) -> None:
        bad = """kodim03,012,tex,1,2,3,4,0.5,,,few
kodim04,012,blur,1,2,3,4,high,,,1
,012,tex,1,2,3,4,0.5,,,1
kodim05,012,tex,1,2,3,,0.5,,,-1
kodim05,012,tex
kodim06,012,,1,2,3,4,,,,
"""
        lines = problems(table(tmp_path, HEADER + ROWS + bad))
        text = "\n".join(lines)
        assert "expected rows without fault, got 10 problems" in lines[0]
        for expected in (
            "line 6: labels: label 1: votes_for: expected a whole number of votes, got 'few'",
            "line 7: artifact_type: unknown type 'blur'",
            "line 7: confidence: expected a number, got 'high'",
            "line 8: original: expected a value in the column image for 'refs/{image}.png'",
            "line 8: neural: expected a value in the column image",
            "line 9: box: expected four numbers",
            "line 9: label 1: expected votes_for to be 0 or more, got -1",
            "line 10: expected 11 cells as in the header, got 3",
            "line 11: box: expected a type beside a box",
        ):
            assert f"labels.csv {expected}" in text

    def test_rows_of_one_triplet_must_agree(self, tmp_path: Path) -> None:
        rows = ROWS + "kodim01,012,text,1,1,5,5,0.5,VM 4.0,base,1\n"
        lines = problems(table(tmp_path, HEADER + rows))
        assert "line 6: expected the same neural_version as in line 2" in lines[1]
        assert "for id 'kodim01@012', got 'VM 4.0' and 'VM 3.4'" in lines[1]
        assert "the same preset" in lines[2]

    def test_free_and_labelled(self, tmp_path: Path) -> None:
        rows = ROWS + "kodim02,075,tex,,,,,,VM 3.4,high,\n"
        (_, line) = problems(table(tmp_path, HEADER + rows))
        assert "line 5: expected id 'kodim02@075' to be free of artifacts or to have some" in line


class TestMapping:
    @pytest.mark.parametrize(
        ("mapping", "message"),
        [
            ({"colums": {}}, "unknown setting 'colums'; did you mean 'columns'"),
            (
                {"columns": {"original": "a"}},
                "expected original, neural, traditional, got no neural. Add it.",
            ),
            (with_columns(artefact_type="kind"), "did you mean 'artifact_type'"),
            (
                with_columns(box=["x", "y"]),
                "columns, box: expected a column or a list of four, got ['x', 'y']",
            ),
            (with_columns(neural_codec="a"), "neural_codec: expected it in columns or in values"),
            (
                {**MAPPING, "box": "xyxy"},
                "unknown box 'xyxy'; did you mean 'xywh'? Known: xywh, corners",
            ),
            ({**MAPPING, "box": None}, "expected box: xywh or corners beside columns, got nothing"),
            (
                {**MAPPING, "types": {"a": "colour"}},
                "unknown types.a 'colour'; did you mean 'color'",
            ),
            ({**MAPPING, "types": ["a"]}, "expected types as"),
            ({**MAPPING, "delimiter": ";"}, "unknown setting 'delimiter'"),
            ([], "expected fields such as columns"),
        ],
    )
    def test_faults(self, tmp_path: Path, mapping: object, message: str) -> None:
        path = table(tmp_path, json.dumps(mapping), "mapping.yaml")
        with pytest.raises(DataError) as error:
            read_mapping(path)
        assert message in str(error.value)

    def test_no_yaml(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="line 1: expected a mapping in YAML, got a fault"):
            read_mapping(table(tmp_path, "a: [", "mapping.yaml"))

    def test_columns_that_the_table_lacks(self, tmp_path: Path) -> None:
        mapping = with_columns(source="img", neural="{imag}.png")
        lines = problems(table(tmp_path, HEADER + ROWS), mapping)
        assert any("columns, source: unknown column 'img'" in line for line in lines)
        assert any("columns, neural: unknown column 'imag'; did you mean" in line for line in lines)


class TestGrades:
    """A row is what one rater says of one type on one side of a triplet."""

    MAPPING: ClassVar[dict[str, Any]] = {
        "columns": {
            "id": "pic",
            "original": "orig/{pic}.png",
            "neural": "ai/{pic}.png",
            "traditional": "classic/{pic}.png",
            "artifact_type": "what",
            "rater": "who",
            "side": "codec",
            "severity": "grade",
            "box": ["x", "y", "w", "h"],
        },
        "box": "xywh",
        "types": {"colour": "color"},
        "sides": {"ai": "neural", "hm": "traditional"},
    }
    HEADER = "pic,what,who,codec,grade,x,y,w,h\n"
    ROWS = """a,colour,P,ai,2,8,8,16,20
a,colour,P,hm,0,,,,
a,colour,Q,ai,1,-2,0,20,20
a,texture,Q,ai,3,4.5,4,10,10
a,text,Q,ai,,,,,
b,colour,P,ai,0,,,,
c,colour,,,,,,,
"""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in "abc":
            for role in ("orig", "ai", "classic"):
                (tmp_path / role).mkdir(exist_ok=True)
                Image.new("RGB", (64, 48)).save(tmp_path / role / f"{name}.png")
        (tmp_path / "map.yaml").write_text(yaml.safe_dump(self.MAPPING))
        return tmp_path

    def run(self, folder: Path, rows: str, capsys: Any, *more: str) -> tuple[int, str]:
        path = table(folder, self.HEADER + rows)
        words = [str(path), f"mapping={folder / 'map.yaml'}", f"output={folder / 'new.jsonl'}"]
        status = main(["import", *words, *more])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    def test_columns_are_grades_that_agree_reads(self, folder: Path, capsys: Any) -> None:
        status, printed = self.run(folder, self.ROWS, capsys)
        assert status == 0
        assert "5 grades by the raters P, Q; 1 triplets have none" in printed
        assert "it is cut at the border" in printed
        records = read_manifest(folder / "new.jsonl")
        assert [record.id for record in records] == ["a", "b", "c"]
        assert not any(record.labels for record in records)
        grades, failures, _ = find_grades(folder / "new.jsonl", records)
        assert not failures
        found = {(g.triplet, g.artifact_type, g.rater, g.side): (g.severity, g.box) for g in grades}
        assert found == {
            ("a", "color", "P", "neural"): (2, (8, 8, 24, 28)),
            ("a", "color", "P", "traditional"): (0, None),
            ("a", "color", "Q", "neural"): (1, (0, 0, 18, 20)),
            ("a", "texture", "Q", "neural"): (3, (4, 4, 15, 14)),
            ("b", "color", "P", "neural"): (0, None),
        }

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("a,colour,R,ai,2,50,8,60,20", "expected a box inside the 64 x 48 pixels"),
            ("a,colour,R,ai,4,8,8,16,20", "expected a severity of 0, 1, 2 or 3, got '4'"),
            ("a,colour,R,ai,1.5,8,8,16,20", "expected a severity of 0, 1, 2 or 3, got '1.5'"),
            ("a,colour,R,ai,,8,8,16,20", "severity: expected a value, got nothing"),
            ("a,colour,R,ai,0,8,8,16,20", "expected none where the severity is 0"),
            ("a,colour,R,left,2,8,8,16,20", "unknown side 'left'"),
            ("a,colour,R,,2,8,8,16,20", "side: expected a value, got nothing"),
            ("a,colour,,ai,2,8,8,16,20", "rater: expected a value, got nothing"),
            ("a,,R,ai,2,,,,", "type: expected a value, got nothing"),
            ("a,none,R,ai,2,8,8,16,20", "unknown type 'none'"),
            ("a,colour,P,ai,2,8,8,16,20", "got lines 2 and 9, all the same; one counts"),
            ("a,colour,P,ai,3,8,8,16,20", "got lines 2 and 9 that differ; none counts"),
        ],
    )
    def test_a_bad_grade_is_named_and_nothing_written(
        self, folder: Path, row: str, message: str, capsys: Any
    ) -> None:
        status, printed = self.run(folder, f"{self.ROWS}{row}\n", capsys)
        assert status == 1
        assert message in printed and "labels.csv line 9" in printed
        assert not (folder / "new.jsonl").exists() and not (folder / "grades.jsonl").exists()

    def test_a_rater_of_next_to_nothing_is_a_slip_unless_named(
        self, folder: Path, capsys: Any
    ) -> None:
        names = [f"t{number}" for number in range(12)]
        columns = self.MAPPING["columns"] | {role: f"{d}/a.png" for role, d in DIRECTORIES.items()}
        values = {role: columns.pop(role) for role in DIRECTORIES}
        mapping = {**self.MAPPING, "columns": columns, "values": values}
        (folder / "map.yaml").write_text(yaml.safe_dump(mapping))
        rows = "".join(f"{name},colour,P,ai,0,,,,\n" for name in names)
        slip = f"{rows}t0,colour,p,ai,0,,,,\n"
        status, printed = self.run(folder, slip, capsys)
        assert status == 1 and "got 'p' with 1 of 12" in printed
        assert self.run(folder, slip, capsys, "raters=[P,p]")[0] == 0
        status, printed = self.run(folder, slip, capsys, "raters=[P]")
        assert status == 1 and "unknown rater 'p'" in printed

    def test_a_table_of_grades_beside_the_list(self, folder: Path, capsys: Any) -> None:
        plain = {name: cell for name, cell in self.MAPPING["columns"].items() if name in PICTURES}
        (folder / "map.yaml").write_text(yaml.safe_dump({"columns": plain}))
        (folder / "grades.csv").write_text(
            'triplet,rater,type,side,severity,box\na,P,color,neural,2,"[8, 8, 24, 28]"\n'
        )
        output = folder / "elsewhere" / "new.jsonl"
        output.parent.mkdir()
        status, printed = self.run(folder, "a,,,,,,,,\n", capsys, f"output={output}")
        assert status == 0 and "1 grades by the raters P" in printed
        (grade,), failures, _ = find_grades(output, read_manifest(output))
        assert grade.box == (8, 8, 24, 28) and not failures
        (folder / "grades.csv").write_text("triplet,rater,type,side,severity\nx,P,color,ai,2\n")
        status, printed = self.run(folder, "a,,,,,,,,\n", capsys, f"output={output}")
        assert status == 1 and "unknown side 'ai'" in printed

    def test_a_mapping_that_is_no_grade(self) -> None:
        columns = {**PATHS, "rater": "who"}
        with pytest.raises(DataError) as error:
            read_mapping({"columns": columns})
        assert "expected rater, side, artifact_type, severity of a grade, got no side" in str(
            error.value
        )
