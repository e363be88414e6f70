"""Text files as people have them: encodings, line ends, damage, names, for every reader."""

import csv
import itertools
import json
import tarfile
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from checks import fails
from PIL import Image
from pyarrow import parquet

from nacd_bench.cli.main import main
from nacd_bench.coding.originals import list_images
from nacd_bench.detectors.text_finders.file import PolygonFile
from nacd_bench.errors import CodecError, DataError, UserError
from nacd_bench.evaluation.reference import read_reference
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.runs.tasks import CANDIDATE, Key, Task
from nacd_bench.runs.votes import collect, is_later, read_votes
from nacd_bench.triplets.files import as_on_disk, read_bytes, write_whole
from nacd_bench.triplets.foreign import import_graded, read_mapping
from nacd_bench.triplets.licenses import LicenseTable
from nacd_bench.triplets.loading import name_notes
from nacd_bench.triplets.manifest import parse_manifest
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.source import find_triplets
from nacd_bench.triplets.text_files import read_json, read_parquet, read_yaml
from nacd_codecs.command import CommandLine
from nacd_codecs.precomputed import Precomputed

PATHS = {"original": "o", "neural": "n", "traditional": "t"}
NAMES = ["café über", "한국어 사진", "tiếng Việt"]
PIXELS = np.random.default_rng(5).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def _votes(path: Path) -> Any:
    found = read_votes(path)
    assert not found.faults
    return [(vote.rater, vote.task, vote.answer) for vote in found.votes]


def _licenses(path: Path) -> Any:
    return LicenseTable(str(path)).of("0" * 64, ["photos/café.png"])


def _codec(path: Path) -> Any:
    codec = CommandLine(path)
    return codec.name, codec.points


READERS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "manifest.csv": ("a.csv", "original,neural,traditional,note\nö,n,t,é\n", parse_manifest),
    "manifest.jsonl": (
        "a.jsonl",
        '{"original": "ö", "neural": "n", "traditional": "t", "note": "é\u2028"}\n',
        parse_manifest,
    ),
    "foreign csv": ("a.csv", "o,n,t\né,é,é\n", lambda p: import_graded(p, {"columns": PATHS})[0]),
    "foreign json": (
        "a.json",
        '[{"o": "é",\n "n": "n", "t": "t"}]',
        lambda p: import_graded(p, {"columns": PATHS})[0],
    ),
    "licences": ("a.csv", "image,license,author\ncafé.png,MIT,Zoë\n", _licenses),
    "list": ("a.txt", "é.png\nb.png\n", lambda p: list_images(p, files_only=True).paths),
    "votes csv": ("a.csv", "rater,task,answer\nZoë,t1,A\n", _votes),
    "votes tsv": (
        "a.tsv",
        "INPUT:task\tOUTPUT:answer\tASSIGNMENT:worker_id\nt1\tA\tZoë\n",
        _votes,
    ),
    "votes json": (
        "a.json",
        '[{"task": "t1",\n"annotator": "Zoë", "answer": "B"}]',
        _votes,
    ),
    "precomputed": (
        "a.csv",
        "original,point,decoded,bytes\né.png,1,é.png,9\n",
        lambda p: Precomputed(p).rows,
    ),
    "mapping": (
        "a.yaml",
        "# é\ncolumns: {original: o, neural: n, traditional: t}\nroot: é\n",
        read_mapping,
    ),
    "thresholds": (
        "a.yaml",
        "# é\nschema_version: 2\nsets: {}\n",
        lambda p: read_thresholds(p).sets,
    ),
    "reference": ("a.yaml", "# é\nsource: Zoë\nsets:\n  texture: {psnr: 0.5}\n", read_reference),
    "codec": (
        "a.yaml",
        "# é\nname: é\nencode: 'cp {input} {bitstream}'\ndecode: 'cp {bitstream} {output}'\n"
        "points: {values: [1]}\n",
        _codec,
    ),
    "polygons": ("a.json", '{"images":\n{"é": []}}', lambda p: PolygonFile(p)._images),
}
CSV_READERS = [name for name, (file, *_) in READERS.items() if file.endswith((".csv", ".tsv"))]


@pytest.mark.parametrize("reader", READERS)
class TestEveryReader:
    def test_encodings_and_line_ends(self, tmp_path: Path, reader: str) -> None:
        name, content, read = READERS[reader]
        (tmp_path / name).write_text(content, "utf-8")
        wanted = read(tmp_path / name)
        marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-8": b"\xef\xbb\xbf"}
        for (encoding, mark), end in itertools.product(marks.items(), ("\n", "\r\n", "\r")):
            (tmp_path / name).write_bytes(mark + content.replace("\n", end).encode(encoding))
            assert read(tmp_path / name) == wanted, (encoding, end)

    def test_what_is_no_such_text(self, tmp_path: Path, reader: str) -> None:
        name, content, read = READERS[reader]
        path = tmp_path / name
        plain = content.encode("utf-8")
        line = content[: content.index(next(c for c in content if not c.isascii()))].count("\n") + 1
        damaged = {
            "NUL": (plain.replace(b"\n", b"\n\0", 1), "line 2: expected text, got a NUL byte"),
            "UTF-16 without mark": ("\n\n".join(content).encode("utf-16-le"), "NUL"),
            "half of UTF-16": (b"\xff\xfe" + content.encode("utf-16-le")[:-1], "UTF-16"),
        }
        if "votes" not in reader:  # where only raters' names can be read wrong
            text = content.replace("\u2028", "").encode("cp1252")
            damaged["Windows-1252"] = text, rf"line {line}: expected text in UTF-8"
        for data, message in damaged.values():
            path.write_bytes(data)
            with pytest.raises(UserError, match=message) as error:
                read(path)
            assert str(path) in str(error.value)
        path.write_bytes(b"")
        if reader != "manifest.jsonl":  # which may have no rows
            fails(UserError, r"a\.", read, path)
        path.unlink()
        path.mkdir()
        if reader != "list":  # a folder of images
            fails(UserError, "got a folder", read, path)


@pytest.mark.parametrize("reader", CSV_READERS)
class TestEveryTable:
    def test_long_cells(self, tmp_path: Path, reader: str) -> None:
        """Whatever limit other code set for the process: 2 million characters in a cell."""
        csv.field_size_limit(1000)
        name, content, read = READERS[reader]
        separator = "\t" if "\t" in content else ","
        header, row = content.splitlines()
        (tmp_path / name).write_text(content, "utf-8")
        wanted = read(tmp_path / name)
        long = f"{header}{separator}image\n{row}{separator}{'x' * 2_000_000}\n"
        if "image" in header:
            long = f"{header}{separator}more\n{row}{separator}{'x' * 2_000_000}\n"
        (tmp_path / name).write_text(long, "utf-8")
        found = read(tmp_path / name)
        if reader not in ("manifest.csv",):  # which keeps what it does not know
            assert found == wanted

    def test_what_spreadsheets_do(self, tmp_path: Path, reader: str) -> None:
        name, content, read = READERS[reader]
        (tmp_path / name).write_text(content, "utf-8")
        wanted = read(tmp_path / name)
        first = "\t" if "\t" in content else ","
        header, row = content.splitlines()
        for separator in ",;\t|":
            blank = separator * 4
            text = "\r\n".join([blank, f"{header} {blank}", blank, f"{row}{blank}", blank, ""])
            (tmp_path / name).write_text(text.replace(first, separator), "utf-8")
            assert read(tmp_path / name) == wanted or reader == "manifest.csv"
            quoted = "\n".join(
                separator.join(f'"{cell}"' for cell in line.split(first)) for line in (header, row)
            )
            (tmp_path / name).write_text(quoted, "utf-8")
            assert read(tmp_path / name) == wanted

    def test_faults_name_file_and_place(self, tmp_path: Path, reader: str) -> None:
        name, content, read = READERS[reader]
        path = tmp_path / name
        header, row = content.splitlines()
        first = "\t" if "\t" in content else ","
        column = header.split(first)[0]
        for text, message in (
            (f'{header}\n{row}\n"{row}\n', "line 3: expected separated values, got a fault"),
            (f"{header}{first}{column}\n{row}{first}x\n", f"got {column} more than once"),
        ):
            path.write_text(text, "utf-8")
            with pytest.raises(UserError, match=message) as error:
                read(path)
            assert str(path) in str(error.value)
        path.write_text(f"{header}\n{row}{first}y\n{row}\n", "utf-8")
        if reader == "manifest.csv":
            good, problems = parse_manifest(path)
            assert len(good) == len(problems) == 1
        elif "votes" in reader:
            assert len(read_votes(path).votes) == 1 and "line 2" in str(read_votes(path).faults[0])
        elif reader == "precomputed":
            assert [row.fault[:6] for row in Precomputed(path).rows] == ["line 2", ""]
        else:
            fails(UserError, r"expected \d cells as in the header, got \d", read, path)


DEEP = "[" * 100_000
HUGE = f'{{"a": {"9" * 5000}}}'


class TestJson:
    @pytest.mark.parametrize(
        "content",
        ["", "{", DEEP, HUGE, '{"a": 1, "a": 2}', '{"a": }', "[1, 2", r'{"a": "\ud800"}'],
    )
    def test_damage_is_said(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "a.json"
        path.write_text(content)
        for read in (
            lambda p: read_json(p, "x"),
            read_votes,
            PolygonFile,
            lambda p: import_graded(p, {"columns": PATHS})[0],
        ):
            fails(UserError, r"a\.json", read, path)
        path = tmp_path / "a.jsonl"
        good = json.dumps(dict.fromkeys(("original", "neural", "traditional"), "x"))
        path.write_text(f"{good}\n{content}\n")
        records, problems = parse_manifest(path)
        assert len(records) == 1 and len(problems) == (1 if content else 0)

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", str(10**400)])
    def test_numbers_that_are_none(self, tmp_path: Path, value: str) -> None:
        """NaN is an empty cell, as our own and NumPy's writers mean it; the rest is refused."""
        row = (
            '{"original": "o", "neural": "n", "traditional": "t", "neural_bpp": %s, "labels": [%s]}'
        )
        label = '{"artifact_type": "text", "votes_for": %s, "box": [0, 0, %s, 9]}'
        path = tmp_path / "a.jsonl"
        path.write_text(row % (value, ""))
        records, problems = parse_manifest(path)
        assert [each.neural_bpp for each in records] == ([None] if value == "NaN" else [])
        assert len(problems) == (0 if value == "NaN" else 1)
        path.write_text(row % ("1", label % ("3", value)))
        assert not parse_manifest(path)[0]
        path.write_text(row % ("1", label % (value, "9")))
        assert len(parse_manifest(path)[0]) == (1 if value == "NaN" else 0)

    def test_large_exports(self, tmp_path: Path) -> None:
        """Pictures inside: 75 MB are read in a second or two; here 8 MB in half of one."""
        tasks = [
            {
                "data": {"task": f"t{i}", "image": "data:image/png;base64," + "A" * 400_000},
                "annotations": [
                    {
                        "completed_by": 1,
                        "result": [{"type": "choices", "value": {"choices": ["A"]}}],
                    }
                ],
            }
            for i in range(20)
        ]
        path = tmp_path / "a.json"
        path.write_text(json.dumps(tasks))
        start = time.process_time()
        assert len(read_votes(path).votes) == 20
        assert time.process_time() - start < 60

    def test_one_broken_annotation(self, tmp_path: Path) -> None:
        good = {"completed_by": 1, "result": [{"type": "choices", "value": {"choices": ["A"]}}]}
        tasks = [{"data": {"task": "t"}, "annotations": each} for each in ([good], 3, [4], [good])]
        (tmp_path / "a.json").write_text(json.dumps(tasks))
        found = read_votes(tmp_path / "a.json")
        assert len(found.votes) == 2
        assert [fault.item[-6:] for fault in found.faults] == ["task 2", "task 3"]


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 9)
)


class TestYaml:
    @pytest.mark.parametrize(
        "content",
        [
            LAUGHS,
            MERGES,
            "a: &a [*a]",
            "- " * 5000,
            "a: !!bool x",
            "a: !!timestamp x",
            "a: 2026-13-45",
            f"a: {'9' * 5000}",
            "a: !!python/object/apply:os.system [ls]",
            "a: 1\nb: 2\na: 3",
            "a: \x01",
            r'a: "\ud800"',
            "{[a]: 1, b: *c}",
            "a: 1\n--- \nb: 2",
        ],
        ids=lambda content: content[:20],
    )
    def test_bombs_and_damage(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "a.yaml"
        path.write_text(content)
        start = time.process_time()
        for read in (lambda p: read_yaml(p, "x"), read_mapping, read_thresholds, read_reference):
            fails(DataError, r"a\.yaml", read, path)
        fails(CodecError, r"a\.yaml", CommandLine, path)
        assert time.process_time() - start < 60

    def test_plain_aliases(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n")
        found = read_yaml(tmp_path / "a.yaml", "x")
        assert found == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}

    def test_figures_of_other_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("source: x\nsets: {texture: 3, color: {psnr: .nan}}")
        with pytest.raises(
            DataError, match=r"sets\.texture: .*, got 3; at sets\.color\.psnr: .*, got nan"
        ):
            read_reference(tmp_path / "a.yaml")


class TestParquet:
    def test_damage_at_every_place(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        row = {"original": "o", "neural": "n", "traditional": "t", "note": "x" * 50}
        parquet.write_table(pa.Table.from_pylist([row] * 20), path)
        whole = path.read_bytes()
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(whole), 60):
            path.write_bytes(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
            try:
                parse_manifest(path)
            except DataError as error:
                assert str(path) in str(error)
        path.write_bytes(whole[:-9])
        fails(DataError, r"a\.parquet: expected a Parquet file", read_parquet, path)

    def test_columns_twice(self, tmp_path: Path) -> None:
        table = pa.table([pa.array(["a"])] * 2, names=["x", "x"])
        parquet.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"a\.parquet: expected columns of different names"):
            read_parquet(tmp_path / "a.parquet")

    def test_folders_that_look_like_columns(self, tmp_path: Path) -> None:
        path = tmp_path / "preset=1" / "a.parquet"
        path.parent.mkdir()
        parquet.write_table(pa.table({"x": [1]}), path)
        assert read_parquet(path).column_names == ["x"]


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.roll(PIXELS, seed, 1)).save(path)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("listed", "disk"), [(nfc, nfd), (nfd, nfc)], ids=["nfc", "nfd"])
class TestForms:
    def test_lists_and_tables(
        self, tmp_path: Path, name: str, listed: Callable[[str], str], disk: Callable[[str], str]
    ) -> None:
        there = picture(tmp_path / disk(name) / disk(f"{name}.png"))
        path = listed(f"{name}/{name}.png")
        (tmp_path / "list.txt").write_text(f"{path}\n", "utf-8")
        assert list_images(tmp_path / "list.txt", files_only=True).paths[0] == there
        assert list_images(str(tmp_path / listed(name) / "*.png")).paths == [there]
        assert list_images(tmp_path / listed(name), files_only=True).paths == [there]
        manifest = tmp_path / "a.csv"
        manifest.write_text(f"original,neural,traditional\n{path},{path},{path}\n", "utf-8")
        ((record,), problems) = parse_manifest(manifest)
        assert not problems and record.original == str(there) and record.id == nfc(name)
        manifest.write_text(f"f\n{listed(name)}\n", "utf-8")
        columns = dict.fromkeys(("original", "neural", "traditional"), "{f}/{f}.png")
        (record,) = import_graded(manifest, {"columns": columns})[0]
        assert record.original == str(there) and record.id == nfc(name)
        manifest.write_text(f"original,point,decoded,bytes\n{path},1,{path},5\n", "utf-8")
        codec = Precomputed(manifest)
        assert np.array_equal(codec.decode(codec.encode(PIXELS, 1)), PIXELS)
        manifest.write_text(f"image,license\n{listed(name)}.png,MIT\n", "utf-8")
        assert LicenseTable(str(manifest)).of("0" * 64, [str(there)]).license == "MIT"
        assert read_bytes(tmp_path / path, "a file", DataError) == there.read_bytes()

    def test_folders_votes_polygons(
        self, tmp_path: Path, name: str, listed: Callable[[str], str], disk: Callable[[str], str]
    ) -> None:
        for side, form in zip(("orig", "ai", "classic"), (disk, listed, listed), strict=True):
            picture(tmp_path / side / form(f"{name}.png"))
        (tmp_path / "index.csv").write_text(f"name,neural_bpp\n{listed(name)},0.5\n", "utf-8")
        ((record,), problems) = find_triplets(tmp_path)
        assert not problems and (record.id, record.neural_bpp) == (nfc(name), 0.5)
        text = f"rater,task,answer\n{listed(name)},t,A\n{disk(name)},t,A\n"
        (tmp_path / "v.csv").write_text(text, "utf-8")
        assert {vote.rater for vote in read_votes(tmp_path / "v.csv").votes} == {nfc(name)}
        coco = {"imgs": {"1": {"id": 1, "file_name": listed(f"{name}.jpg")}}, "anns": {}}
        for content in ({"images": {listed(name): []}}, coco):
            (tmp_path / "p.json").write_text(json.dumps(content), "utf-8")
            assert PolygonFile(tmp_path / "p.json").find(PIXELS, disk(name)) == []
        with tarfile.open(tmp_path / disk(f"{name}.tar"), "w") as tar:
            tar.add(tmp_path / "orig" / disk(f"{name}.png"), f"x/{disk(name)}.png")
        (tmp_path / "l.txt").write_text(listed(f"{name}.tar"), "utf-8")
        assert len(list_images(tmp_path / "l.txt").items) == 1

    def test_both_forms(
        self, tmp_path: Path, name: str, listed: Callable[[str], str], disk: Callable[[str], str]
    ) -> None:
        """The exact one is taken; of several others none, and the message says so."""
        exact = picture(tmp_path / f"{listed(name)}.png")
        other = picture(tmp_path / f"{disk(name)}.png", 3)
        assert as_on_disk(exact) == exact and as_on_disk(other) == other
        first, rest = name[: len(name) // 2], name[len(name) // 2 :]
        mixed = tmp_path / f"{nfc(first)}{nfd(rest)}.png"
        if mixed.name not in (exact.name, other.name):
            fails(DataError, "several that look like it", read_bytes, mixed, "an image", DataError)


class TestNames:
    def test_two_forms_in_one_folder_of_triplets(self, tmp_path: Path) -> None:
        for form in (nfc, nfd):
            for side in ("orig", "ai", "classic"):
                picture(tmp_path / side / form("é.png"), int(form is nfc))
        for side in ("orig", "ai", "classic"):
            picture(tmp_path / side / "a.png")
        records, problems = find_triplets(tmp_path)
        assert [record.id for record in records] == ["a"] and len(problems) == 3
        assert "expected one original image of that name" in problems[0].message

    def test_ids_that_differ_in_form_are_one(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        rows = "".join(f"{form('é')},o,n,t\n" for form in (nfc, nfd))
        path.write_text(f"id,original,neural,traditional\n{rows}", "utf-8")
        records, problems = parse_manifest(path)
        assert not records and "got 'é' 2 times" in problems[0].message

    def test_notes(self) -> None:
        records = [
            TripletRecord("a", "x/A.png", "n/a.png", "t/a.png"),
            TripletRecord("A", "x/a.png", "n/A.png", "t/A.png"),
            TripletRecord("b", "x/b.png", "n/b.png", "t/b.png"),
            TripletRecord("c", "x/B.png", "n/c.png", "t/c.png"),
        ]
        ids, files = name_notes(records)
        assert ids.startswith("a and A: names that differ by case")
        assert files.startswith("x/b.png and x/B.png: names that differ by case")
        assert name_notes(records[:1]) == []

    @pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" * 244])
    def test_temporary_names_are_short(self, tmp_path: Path, name: str) -> None:
        write_whole(tmp_path / name, b"x")
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_compress(self, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        """Names of 255 bytes, in two folders, and two that differ by case."""
        names = [f"1/{'a' * 251}", f"2/{'a' * 251}", "1/Photo", "2/photo", "1/" + "é" * 125]
        for seed, name in enumerate(names):
            picture(tmp_path / "in" / f"{name}.png", seed)
        codecs = ["codec@neural=jpeg", "codec@traditional=jpeg", "points=[50]", "workers=0"]
        arguments = ["compress", str(tmp_path / "in"), f"folder={tmp_path / 'out'}", *codecs]
        assert main(arguments) == 0
        records, problems = parse_manifest(tmp_path / "out" / "triplets.parquet")
        assert len(records) == len(names) and not problems
        assert all(Path(each.neural).is_file() for each in records)
        assert len({Path(each.neural).name.casefold() for each in records}) == len(names)
        printed = " ".join(capsys.readouterr().out.split())
        assert printed.count("by case or Unicode form only") == 1
        assert "photo.png: its name differs from that of" in printed

    def test_a_bad_line_of_a_list_costs_only_itself(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        lines = ["a.png", "x" * 5000, "gone.png", "\u2028", '{"a": 1}']
        (tmp_path / "l.txt").write_text("\n".join(lines), "utf-8")
        codecs = ["codec@neural=jpeg", "codec@traditional=jpeg", "points=[50]", "workers=0"]
        folder = tmp_path / "out"
        arguments = ["compress", str(tmp_path / "l.txt"), f"folder={folder}", *codecs]
        assert main([*arguments, "failure_limit=1"]) == 1
        records, _ = parse_manifest(folder / "triplets.parquet")
        assert [each.source for each in records] == ["a"]
        assert len(list_images(tmp_path / "l.txt").items) == 4  # mining reads them later

    def test_validate_tells(self, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        for name in ("a", "A"):
            for side in ("orig", "ai", "classic"):
                picture(tmp_path / side / f"{name}.png")
        assert main(["validate", str(tmp_path)]) == 0
        assert "note: A and a: names that differ by case" in capsys.readouterr().out
        (tmp_path / "index.csv").write_bytes("name,neural_codec\na,Zoë\n".encode("cp1252"))
        assert main(["validate", str(tmp_path)]) == 1
        printed = " ".join(capsys.readouterr().out.split())
        assert "index.csv line 2: expected text in UTF-8" in printed
        assert "2 triplets, 1 problem." in printed


class TestPrecomputed:
    def test_a_missing_original_costs_only_its_image(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        (tmp_path / "t.csv").write_text(
            "original,point,decoded,bytes\ngone.png,1,a.png,5\na.png,1,a.png,7\nb.png,1,a.png,5\n"
        )
        (tmp_path / "b.png").write_bytes(b"no picture")
        codec = Precomputed(tmp_path / "t.csv")
        assert codec.rate_bytes(codec.encode(PIXELS, 1)) == 7
        fails(CodecError, r"Rows that cannot be read: .*gone\.png", codec.encode, PIXELS[::-1], 1)

    @pytest.mark.parametrize(
        ("row", "others"),
        [
            ("b.png,2,b.png,none", True),
            ("b.png,2,b.png,-5", True),
            ("b.png,2,b.png,", True),
            ("b.png,2,b.png", True),
            ("b.png,2,b.png,5,6", True),
            ("b.png,two,b.png,5", False),
            ("b.png,,b.png,5", False),
        ],
    )
    def test_a_bad_row_costs_only_its_image(self, tmp_path: Path, row: str, others: bool) -> None:
        picture(tmp_path / "a.png")
        Image.fromarray(PIXELS[::-1].copy()).save(tmp_path / "b.png")
        (tmp_path / "t.csv").write_text(
            f"original,point,decoded,bytes\na.png,1,a.png,5\n{row}\na.png,2,a.png,7\nb.png,1,b.png,6\n"
        )
        codec = Precomputed(tmp_path / "t.csv")
        assert codec.points.values == (1, 2)
        assert [codec.rate_bytes(codec.encode(PIXELS, point)) for point in (1, 2)] == [5, 7]
        fault = r"^line 3 of .*t\.csv: expected "
        fails(CodecError, fault, codec.encode, PIXELS[::-1], 2)
        if others:
            assert codec.rate_bytes(codec.encode(PIXELS[::-1], 1)) == 6
        else:  # nobody knows which point the row is of
            fails(CodecError, fault, codec.encode, PIXELS[::-1], 1)

    def test_nothing_but_bad_rows(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("original,point,decoded,bytes\na.png,1,a.png,0\n")
        with pytest.raises(CodecError, match=r"line 2 of .*: expected bytes or bpp above 0"):
            Precomputed(tmp_path / "t.csv")

    def test_a_missing_decode(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        text = "original,point,decoded,bytes\na.png,1,gone.png,5\na.png,2,a.png,7\n"
        (tmp_path / "t.csv").write_text(text)
        codec = Precomputed(tmp_path / "t.csv")
        assert codec.rate_bytes(codec.encode(PIXELS, 2)) == 7
        fails(CodecError, r"gone\.png: expected .* image, got nothing", codec.encode, PIXELS, 1)


class TestTimes:
    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            ("1/9/2026", "1/10/2026"),  # either way: January, or September and October
            ("2026-01-01T12:00:00+02:00", "2026-01-01T11:00:00Z"),
            ("2026-01-01T11:00:00-05:00", "2026-01-01T17:00:00+00:00"),
            ("1767225600", "2026-01-01T00:00:01Z"),
            ("1767225600000", "1767225601"),
            ("9.1.2026 9:05", "10.1.2026 8:00"),
            ("1/13/2026 9:05 AM", "1/13/2026 1:00 PM"),
            ("2026-01-01 9:05:00 UTC", "2026-01-01T10:00:00Z"),
            ("2026/01/09 23:59", "2026/01/10"),
            ("2026-01-01", "2026-01-02T15:00:00Z"),  # later in every time zone
        ],
    )
    def test_one_is_later(self, earlier: str, later: str) -> None:
        assert is_later(later, earlier)
        assert not is_later(earlier, later)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("2/1/2026", "1/3/2026"),  # January 2 and March 1, or February 1 and January 3
            ("2026-01-01T12:00", "2026-01-01T13:00Z"),  # in which time zone?
            ("2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00"),
            ("yesterday", "2026-01-01"),
            ("", "2026-01-01"),
            ("2026-02-30", "2026-01-01"),
        ],
    )
    def test_none_is(self, one: str, other: str) -> None:
        assert not is_later(one, other)
        assert not is_later(other, one)

    def test_any_order_of_votes_and_files(self, tmp_path: Path) -> None:
        key = Key(
            "", 3, {f"t{i}": Task(f"t{i}", "text", CANDIDATE, f"c{i}", "A") for i in range(3)}, ""
        )
        rows = [
            "u,t0,A,2026-01-03",
            "u,t0,B,2026-01-05",
            "u,t0,A,2026-01-09",
            "u,t1,A,1/10/2026",
            "u,t1,B,1/9/2026",
            "u,t2,A,2026-01-01",
            "u,t2,B,2026-01-01",
            "u,t2,B,2025-01-01",
        ]
        rng = np.random.default_rng(1)
        outcomes = set()
        for _ in range(20):
            votes = []
            for number, part in enumerate(
                np.array_split(rng.permutation(rows), rng.integers(1, 5))
            ):
                path = tmp_path / f"{number}.csv"
                path.write_text("\n".join(["rater,task,answer,time", *part]))
                votes += read_votes(path).votes if len(part) else []
            found = collect(votes, key, 0)
            assert sum("later one counts" in str(each) for each in found.faults) == 2
            assert sum("neither counts" in str(each) for each in found.faults) == 1
            outcomes.add((json.dumps(found.answers, sort_keys=True), found.repeated))
        said = {"c0": {"u": "neural"}, "c1": {"u": "neural"}}
        assert outcomes == {(json.dumps(said, sort_keys=True), 2)}
