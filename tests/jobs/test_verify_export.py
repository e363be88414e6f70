"""Tasks for people: what they show, what they keep to themselves, and what goes wrong."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from checks import csv_rows, fails
from mined_folder import make_mined
from pages import page_data
from PIL import Image

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.duplicates import found_by
from nacd_bench.jobs.verify import exporters
from nacd_bench.jobs.verify.export import FEWEST, control_jobs, export
from nacd_bench.jobs.verify.pictures import (
    TIME,
    CropTriplet,
    checkerboard,
    picture_name,
    read_crops,
    task_pictures,
)
from nacd_bench.planting.controls import strong_artifact
from nacd_bench.runs.candidates import TablesWriter, kept, read_mined
from nacd_bench.runs.schema import CANDIDATES, schema
from nacd_bench.runs.tasks import (
    CANDIDATE,
    IDENTICAL,
    PLANTED,
    QUESTIONS,
    Key,
    Task,
    drawn,
    new_task,
    read_key,
)

QUICK: dict[str, Any] = {"workers": 0, "show_progress": False}
PAGE_ONLY: dict[str, Any] = {**QUICK, "formats": ("page",), "controls": 0}


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mined(tmp_path_factory.mktemp("verify") / "mined", images=4)


@pytest.fixture(scope="module")
def tasks(mined: Path) -> Path:
    """Exported by the command, with everything."""
    folder = mined.parent / "tasks"
    settings = ("controls=1", "workers=0", "show_progress=false")
    assert main(["verify", "export", str(mined), f"folder={folder}", *settings]) == 0
    return folder


@pytest.fixture
def own(mined: Path, tmp_path: Path) -> Path:
    """A mined folder to damage."""
    shutil.copytree(mined, tmp_path / "mined")
    return tmp_path / "mined"


def page_picture(tasks: Path, task: str, caption: str) -> np.ndarray:
    return pixels(tasks / "page" / "pictures" / picture_name(task, f"-{caption}"))


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def rows_by_candidate(mined: Path) -> dict[str, dict[str, Any]]:
    return {row["candidate"]: row for row in read_mined(mined).to_pylist()}


def rewritten(mined: Path, rows: list[dict[str, Any]]) -> None:
    with TablesWriter(mined) as tables:
        for table in ("coded", "images"):
            tables.add(table, read_mined(mined, table))
        tables.add(CANDIDATES, pa.Table.from_pylist(rows, schema=schema(CANDIDATES)))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }


class TestWhatPeopleSee:
    def test_each_kept_candidate_is_asked_about_once(self, mined: Path, tasks: Path) -> None:
        key = read_key(tasks)
        asked = [task.candidate for task in key.tasks.values() if task.kind == CANDIDATE]
        assert sorted(asked) == sorted(kept(read_mined(mined))["candidate"].to_pylist())
        table = pq.read_table(tasks / "candidates.parquet")
        assert table.schema.names == schema(CANDIDATES).names
        assert sorted(table["candidate"].to_pylist()) == sorted(asked)
        assert key.run == str(mined.resolve()) and key.raters == 3 and len(key.export) == 16

    def test_sides_are_where_the_key_says(self, mined: Path, tasks: Path) -> None:
        rows = rows_by_candidate(mined)
        sides = set()
        for task in read_key(tasks).tasks.values():
            if task.kind != CANDIDATE:
                continue
            sides.add(task.neural)
            crops = read_crops(mined, rows[task.candidate])
            other = "A" if task.neural == "B" else "B"
            for side, decode in ((task.neural, crops.neural), (other, crops.traditional)):
                shown = page_picture(tasks, task.id, side)
                if task.artifact_type == "color":
                    decode = checkerboard(crops.original, decode, 32)
                assert np.array_equal(shown, decode)
            has_original = (tasks / "page/pictures" / picture_name(task.id, "-original")).is_file()
            assert has_original == (task.artifact_type == "texture")
        assert sides == {"A", "B"}

    def test_controls_have_the_answer_of_the_key(self, mined: Path, tasks: Path) -> None:
        rows = rows_by_candidate(mined)
        controls = [t for t in read_key(tasks).tasks.values() if t.kind != CANDIDATE]
        assert {(t.artifact_type, t.kind) for t in controls} == {
            (kind, how) for kind in QUESTIONS for how in (PLANTED, IDENTICAL)
        }
        for task in controls:
            a, b = (page_picture(tasks, task.id, side).astype(float) for side in "AB")
            assert np.array_equal(a, b) == (task.answer == "same") == (task.kind == IDENTICAL)
            if task.kind == PLANTED:
                crops = read_crops(mined, rows[task.candidate])
                away_a, away_b = (np.abs(each - crops.original).mean() for each in (a, b))
                assert task.answer == ("A" if away_a > away_b else "B")

    def test_nothing_that_raters_get_tells_sides_or_controls(self, tasks: Path) -> None:
        key = read_key(tasks)
        page = everything_in(tasks / "page")
        names = {"index.html", "style.css", "page.js", "voting.js", "data.js"}
        assert names == {name for name in page if "/" not in name}
        for name, data in page.items():
            if name in names:
                words = re.findall(rb"neural|traditional|planted|identical|seed|photo\d", data)
                assert not words, name
            else:
                assert re.fullmatch(r"pictures/[0-9a-f]{2}/t[0-9a-f]{16}-(A|B|original)\.png", name)
                kinds = {data[at + 4 : at + 8] for at in chunks(data)}
                assert kinds == {b"IHDR", b"IDAT", b"IEND"}
                assert (tasks / "page" / name).stat().st_mtime == TIME
        data = page_data(tasks / "page")
        assert [name for name, *_ in data["tasks"]] == sorted(key.tasks)
        assert data["export"] == key.export
        kinds_of = [key.tasks[name].kind != CANDIDATE for name, *_ in data["tasks"]]
        assert kinds_of not in (sorted(kinds_of), sorted(kinds_of, reverse=True))

    def test_controls_are_as_large_as_the_others(self, tasks: Path) -> None:
        for task in read_key(tasks).tasks.values():
            assert page_picture(tasks, task.id, "A").shape == (300, 300, 3)

    def test_ids_do_not_lead_to_sides(self) -> None:
        """The seed is often 0: with it and an id, a side has to stay unknown."""
        found = [new_task(0, CANDIDATE, f"candidate{n}", "texture") for n in range(1000)]
        guesses = ["AB"[drawn(0, "side", task.id) % 2] for task in found]
        right = sum(a == task.neural for a, task in zip(guesses, found, strict=True))
        assert 400 < right < 600 and 400 < sum(task.neural == "A" for task in found) < 600

    def test_small_artifacts_get_small_cells(self, own: Path, tmp_path: Path) -> None:
        rows = [row for row in rows_by_candidate(own).values() if row["artifact_type"] == "color"]
        for row in rows:
            row |= {"x1": row["x0"] + 24, "y1": row["y0"] + 60, "duplicate_of": None}
        rewritten(own, rows)
        task = next(iter(export(own, tmp_path / "tasks", **PAGE_ONLY).key.tasks.values()))
        row = next(row for row in rows if row["candidate"] == task.candidate)
        crops = read_crops(own, row)
        decode = crops.neural if task.neural == "A" else crops.traditional
        shown = page_picture(tmp_path / "tasks", task.id, "A")
        assert np.array_equal(shown, checkerboard(crops.original, decode, 8))

    def test_types_of_other_packages_are_asked_like_texture(
        self, own: Path, tmp_path: Path
    ) -> None:
        rows = [row for row in rows_by_candidate(own).values() if row["detector"] == "boundary"]
        for row in rows:
            row |= {"artifact_type": "blocking", "detector": "blocks"}
        rewritten(own, rows)
        done = export(own, tmp_path / "tasks", **QUICK)
        assert {task.artifact_type for task in done.key.tasks.values()} == {"blocking"}
        assert {task.kind for task in done.key.tasks.values()} == {CANDIDATE, PLANTED, IDENTICAL}
        for name in done.key.tasks:
            assert page_picture(tmp_path / "tasks", name, "original").shape == (300, 300, 3)
        assert QUESTIONS["texture"] in (tmp_path / "tasks/page/data.js").read_text()


class TestControls:
    @pytest.mark.parametrize("artifact_type", ["texture", "color", "text"])
    def test_a_planted_one_is_strong(self, mined: Path, artifact_type: str) -> None:
        rows = kept(read_mined(mined)).to_pylist()
        jobs = control_jobs(rows, set(), PLANTED, artifact_type, seed=3, count=2)
        zone = (20, 30, 300, 290)
        for number, (_, row) in enumerate(jobs):
            assert row["artifact_type"] == artifact_type
            crops = read_crops(mined, row)
            made = strong_artifact(crops.original, crops.traditional, artifact_type, number, zone)
            if made is not None:
                break
        else:
            pytest.fail("nothing could be planted")
        change = np.abs(made.astype(float) - crops.traditional).max(axis=2)
        assert (change > 20).sum() > 300
        x0, y0, x1, y1 = zone
        change[y0:y1, x0:x1] = 0
        assert not change.any()

    def test_no_text_is_written_where_there_is_none(self) -> None:
        from nacd_bench.planting.photographs import photo

        face = np.ascontiguousarray(photo("astronaut")[:300, 80:380])
        assert strong_artifact(face, face, "text", 0, (0, 0, 300, 300)) is None

    def test_they_are_of_the_same_photographs_and_framed_like_the_others(
        self, own: Path, tmp_path: Path
    ) -> None:
        """Small places have a frame, on either side alike; what is planted lies inside."""
        rows = [row for row in rows_by_candidate(own).values() if row["artifact_type"] == "texture"]
        for row in rows:
            row |= {"x0": row["x0"] + 90, "x1": row["x0"] + 170, "y1": row["y0"] + 60}
            row |= {"duplicate_of": None}
        rewritten(own, rows)
        options: Any = {**QUICK, "formats": ("page", "toloka"), "limit": 2, "raters": 1}
        done = export(own, tmp_path / "tasks", **options)
        asked = {t.candidate for t in done.key.tasks.values() if t.kind == CANDIDATE}
        by_name = rows_by_candidate(own)
        some = {by_name[name]["image"] for name in asked}
        data = page_data(tmp_path / "tasks" / "page")
        frames = {name: frame for name, _, frame in data["tasks"]}
        for task in done.key.tasks.values():
            assert by_name[task.candidate]["image"] in some
            x0, y0, x1, y1 = frames[task.id]
            assert (x0, x1, y0) == (82, 178, 0) and y1 == 96
            shown = {side: page_picture(tmp_path / "tasks", task.id, side) for side in "AB"}
            if task.kind == PLANTED:
                change = np.abs(shown["A"].astype(int) - shown["B"]).max(axis=2)
                assert change[y0:y1, x0:x1].max() > 20
                change[y0:y1, x0:x1] = 0
                assert not change.any()
            path = tmp_path / "tasks" / "toloka" / "images" / picture_name(task.id)
            together = np.asarray(Image.open(path))
            assert ((together == (255, 45, 31)).all(axis=2)).sum() == 3 * 2 * 2 * (96 + 96 - 4)
        done = export(own, tmp_path / "bare", **options, frame=False)
        assert {task.frame for task in done.key.tasks.values()} == {None}

    def test_nothing_is_planted_into_a_gray_wall(self, mined: Path) -> None:
        row = next(r for r in rows_by_candidate(mined).values() if r["artifact_type"] == "texture")
        flat = np.full((300, 300, 3), 128, np.uint8)
        job = next(control_jobs([row], set(), PLANTED, "texture", seed=0, count=2))
        assert task_pictures(job, CropTriplet(flat, flat, flat), seed=0, cell=32) is None

    def test_where_none_can_be_made_it_is_said(self, own: Path, tmp_path: Path) -> None:
        rows = [r for r in rows_by_candidate(own).values() if r["detector"] == "boundary"]
        for row in rows:
            for role in ("original", "neural", "traditional"):
                Image.new("RGB", (300, 300), (128, 128, 128)).save(own / row[f"crop_{role}"])
        rewritten(own, rows)
        done = export(own, tmp_path / "tasks", **QUICK)
        assert "1 of 2 control tasks for texture" in done.notes[0]
        assert {task.kind for task in done.key.tasks.values()} == {CANDIDATE, IDENTICAL}

    def test_places_that_nobody_is_asked_about_come_first(self, mined: Path) -> None:
        table = kept(read_mined(mined))
        own = table.filter(pc.equal(table["artifact_type"], "texture"))["candidate"].to_pylist()
        asked = set(own[1:])
        planted, identical = (
            control_jobs(table.to_pylist(), asked, kind, "texture", seed=0, count=2)
            for kind in (PLANTED, IDENTICAL)
        )
        assert next(planted)[1]["candidate"] == own[0]
        assert next(identical)[1]["candidate"] in asked

    def test_none_where_none_are_asked_for(self, mined: Path, tmp_path: Path) -> None:
        done = export(mined, tmp_path / "tasks", **PAGE_ONLY)
        assert {task.kind for task in done.key.tasks.values()} == {CANDIDATE}

    def test_at_least_two_of_each_type(self, mined: Path, tmp_path: Path) -> None:
        few = {**PAGE_ONLY, "controls": 0.001}
        done = export(mined, tmp_path / "tasks", types="texture", **few)
        assert sum(task.kind != CANDIDATE for task in done.key.tasks.values()) == FEWEST


class TestFormats:
    def test_label_studio(self, tasks: Path) -> None:
        config = ET.parse(tasks / "label_studio" / "config.xml").getroot()
        image, choices = config.find("Image"), config.find("Choices")
        assert image is not None and choices is not None
        assert image.get("value") == "$image" and choices.get("toName") == image.get("name")
        assert choices.get("name") == "answer" and choices.get("required") == "true"
        assert [each.get("value") for each in choices] == ["A", "B", "same", "nothing"]
        found = json.loads((tasks / "label_studio" / "tasks.json").read_text())
        key = read_key(tasks)
        assert [each["data"]["task"] for each in found] == sorted(key.tasks)
        for each in found:
            assert set(each["data"]) == {"task", "question", "image"}
            assert (
                QUESTIONS[key.tasks[each["data"]["task"]].artifact_type]
                in (each["data"]["question"])
            )
            head, _, data = each["data"]["image"].partition(",")
            assert head == "data:image/png;base64"
            place = tasks / "label_studio/images" / picture_name(each["data"]["task"])
            assert base64.b64decode(data) == place.read_bytes()

    def test_label_studio_at_an_address(self, mined: Path, tmp_path: Path) -> None:
        options = {**PAGE_ONLY, "formats": "label_studio"}
        address = "https://example.org/x/"
        done = export(mined, tmp_path / "tasks", label_studio_images=address, **options)
        found = json.loads((tmp_path / "tasks/label_studio/tasks.json").read_text())
        assert {each["data"]["image"] for each in found} == {
            f"https://example.org/x/{picture_name(name)}" for name in done.key.tasks
        }
        assert "https://example.org/x/" in (tmp_path / "tasks/label_studio/README.md").read_text()
        assert not (tmp_path / "tasks" / "page").exists()

    def test_label_studio_with_many_pictures(
        self, mined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exporters, "MOST_BYTES", 400_000)
        done = export(mined, tmp_path / "auto", **QUICK)
        assert "label_studio_images=embedded" in done.notes[0]
        found = json.loads((tmp_path / "auto/label_studio/tasks.json").read_text())
        assert found[0]["data"]["image"].startswith("/data/local-files/?d=images/")
        done = export(mined, tmp_path / "embedded", label_studio_images="embedded", **QUICK)
        assert not done.notes
        found = json.loads((tmp_path / "embedded/label_studio/tasks.json").read_text())
        assert [each["data"]["task"] for each in found] == sorted(done.key.tasks)
        assert found[0]["data"]["image"].startswith("data:image/png;base64,")

    def test_toloka(self, tasks: Path) -> None:
        text = (tasks / "toloka" / "tasks.tsv").read_text()
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
        key = read_key(tasks)
        assert list(rows[0]) == [
            *("INPUT:task", "INPUT:question", "INPUT:image", "GOLDEN:answer", "HINT:text"),
        ]
        assert len(text.splitlines()) == len(rows) + 1 == len(key.tasks) + 1
        for row in rows:
            task = key.tasks[row["INPUT:task"]]
            assert row["GOLDEN:answer"] == (task.answer or "") and row["HINT:text"] == ""
            assert row["INPUT:question"] == QUESTIONS[task.artifact_type]
            shape = pixels(tasks / "toloka" / "images" / row["INPUT:image"]).shape
            assert shape[1] > (3 if task.artifact_type == "texture" else 2) * 300
        instructions = (tasks / "toloka" / "instructions.html").read_text()
        assert all(f"<b>{answer}</b>" in instructions for answer in ("A", "B", "same"))

    def test_the_readme_says_who_gets_what(self, tasks: Path, mined: Path, tmp_path: Path) -> None:
        text = (tasks / "README.md").read_text()
        assert all(name in text for name in ("page/", "label_studio/", "toloka/", "key.json"))
        export(mined, tmp_path / "tasks", **PAGE_ONLY)
        assert "toloka" not in (tmp_path / "tasks" / "README.md").read_text()


class TestSelection:
    def test_limit_takes_the_strongest_of_each_detector_in_turn(
        self, mined: Path, tmp_path: Path
    ) -> None:
        done = export(mined, tmp_path / "tasks", limit=2, **PAGE_ONLY)
        rows = rows_by_candidate(mined)
        asked = [rows[task.candidate] for task in done.key.tasks.values()]
        for kind in QUESTIONS:
            own = sorted(row["confidence"] for row in asked if row["artifact_type"] == kind)
            every = sorted(
                row["confidence"]
                for row in rows.values()
                if row["artifact_type"] == kind and row["duplicate_of"] is None
            )
            assert own == every[-2:] and len(own) == 2

    def test_filters(self, mined: Path, tmp_path: Path) -> None:
        done = export(
            mined,
            tmp_path / "tasks",
            types=("texture", "text"),
            detectors=("boundary", "text"),
            presets=("quality-60",),
            min_confidence={"text": 0.7},
            **PAGE_ONLY,
        )
        rows = rows_by_candidate(mined)
        wanted = {
            candidate
            for candidate, row in rows.items()
            if row["duplicate_of"] is None
            and row["preset"] == "quality-60"
            and row["artifact_type"] in ("texture", "text")
            and any(
                name == "boundary" or (name == "text" and confidence >= 0.7)
                for name, confidence in found_by(row).items()
            )
        }
        assert {task.candidate for task in done.key.tasks.values()} == wanted

    @pytest.mark.parametrize(
        ("selection", "message"),
        [
            ({"types": "textrue"}, "unknown artifact type 'textrue'; did you mean"),
            ({"detectors": ["boundry"]}, "unknown detector 'boundry'; did you mean"),
            ({"presets": ["quality-2"]}, "unknown preset 'quality-2'; did you mean"),
            ({"min_confidence": {"txt": 1}}, "unknown detector 'txt'; did you mean 'text'"),
            ({"min_confidence": {"text": 9}, "detectors": "text"}, "expected candidates that pass"),
        ],
    )
    def test_what_is_not_there(
        self, mined: Path, tmp_path: Path, selection: dict[str, Any], message: str
    ) -> None:
        fails(DataError, message, export, mined, tmp_path / "tasks", **selection, **PAGE_ONLY)
        assert not (tmp_path / "tasks").exists()


class TestGoingOn:
    def test_the_same_with_any_number_of_workers(
        self, mined: Path, tasks: Path, tmp_path: Path
    ) -> None:
        export(mined, tmp_path / "tasks", controls=1, workers=2, show_progress=False)
        assert everything_in(tmp_path / "tasks") == everything_in(tasks)

    def test_pictures_that_are_there_are_not_made_again(
        self, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "tasks"
        whole = export(own, folder, **QUICK)
        before = everything_in(folder)
        lost = sorted(folder.rglob("*-A.png"))[:3]
        for path in [*lost, folder / "key.json"]:
            path.unlink()
        (folder / "page" / ".data.js.1.part").write_text("half")
        stranger = folder / "page" / "pictures" / "aa" / "taaaaaaaaaaaaaaaa-A.png"
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_bytes(b"")
        kept_file = next(path for path in sorted(folder.rglob("*-B.png")))
        inode = kept_file.stat().st_ino
        assert export(own, folder, **QUICK).key == whole.key and everything_in(folder) == before
        other = {path.name.replace("-A", "-B") for path in lost}
        assert (kept_file.stat().st_ino == inode) == (kept_file.name not in other)

    def test_another_export_is_refused(self, mined: Path, tasks: Path) -> None:
        fails(
            DataError, r"seed: 0 before, 7 now", export, mined, tasks, controls=1, seed=7, **QUICK
        )

    def test_another_seed_shuffles_again(self, mined: Path, tmp_path: Path) -> None:
        first, second = (
            export(mined, tmp_path / f"{seed}", seed=seed, **PAGE_ONLY).key for seed in (0, 1)
        )
        assert first.export != second.export and not first.tasks.keys() & second.tasks.keys()

    def test_a_folder_with_something_else(self, mined: Path, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("mine")
        fails(
            DataError, r"expected an empty folder.*thesis.txt", export, mined, tmp_path, **PAGE_ONLY
        )
        fails(DataError, "expected a folder of its own", export, mined, mined, **PAGE_ONLY)


class TestBadInput:
    def test_missing_and_damaged_crops_cost_their_task_only(
        self, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [row for row in rows_by_candidate(own).values() if row["duplicate_of"] is None]
        (own / rows[0]["crop_neural"]).unlink()
        (own / rows[1]["crop_original"]).write_bytes(b"no picture")
        Image.new("RGB", (12, 12)).save(own / rows[2]["crop_traditional"])
        folder = tmp_path / "tasks"
        settings = ("formats=[page]", "workers=0", "show_progress=false")
        assert main(["verify", "export", str(own), f"folder={folder}", *settings]) == 1
        key = read_key(folder)
        asked = {task.candidate for task in key.tasks.values() if task.kind == CANDIDATE}
        assert asked == {row["candidate"] for row in rows[3:]}
        left_out = csv_rows(folder / "failures.csv")
        assert [row["item"] for row in left_out] == sorted(r["candidate"] for r in rows[:3])
        said = " ".join(row["message"] for row in left_out)
        assert "expected three crops of one size" in said and "expected an image" in said
        printed = capsys.readouterr().out
        assert "3 failed" in printed
        assert f"{len(key.tasks)} tasks for 3 people each" in printed
        table = pq.read_table(folder / "candidates.parquet")
        assert set(table["candidate"].to_pylist()) == asked

    def test_a_candidate_without_crops(self, own: Path, tmp_path: Path) -> None:
        rows = [row for row in rows_by_candidate(own).values() if row["duplicate_of"] is None]
        rows[0]["crop_neural"] = None
        rewritten(own, rows[:1])
        with pytest.raises(DataError, match=r"(?s)at least one candidate with its crops.*neural"):
            export(own, tmp_path / "tasks", **PAGE_ONLY)
        assert (tmp_path / "tasks" / "failures.csv").is_file()

    def test_no_mined_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", "export", str(tmp_path), f"folder={tmp_path / 'tasks'}"]) == 1
        assert "expected the folder of a nacd-bench mine run" in capsys.readouterr().err
        assert main(["verify", "export", str(tmp_path)]) == 1
        assert "folder=..." in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                {"formats": ("pgae",)},
                r"unknown formats\[0\] 'pgae'; did you mean 'page'",
            ),
            ({"formats": ()}, r"expected formats as .*, got \(\)"),
            ({"controls": 2}, "expected controls as a number of at least 0 and up to 1"),
            ({"controls": True}, "expected controls as a number of at least 0 and up to 1"),
            ({"raters": 0}, "expected raters as a whole number of at least 1"),
            ({"seed": 0.5}, "expected seed as a whole number"),
            ({"cell": 0}, "expected cell as a whole number"),
            ({"workers": -1}, "expected workers as a whole number"),
            ({"label_studio_images": None}, "expected label_studio_images as text"),
        ],
    )
    def test_options(self, values: dict[str, Any], message: str) -> None:
        fails(UserError, message, export, "mined", "tasks", **values)

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("limit=0", "expected limit as a whole number"),
            ("min_confidence=0.5", "expected min_confidence as a number by name"),
            ("min_confidence.text=high", "expected min_confidence.text as a number"),
            ("formats=pgae", "expected formats as page or label_studio or toloka"),
        ],
    )
    def test_settings(
        self,
        mined: Path,
        tmp_path: Path,
        setting: str,
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = f"folder={tmp_path / 'tasks'}"
        assert main(["verify", "export", str(mined), folder, setting]) == 1
        assert message in capsys.readouterr().err

    def test_two_runs(
        self, mined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = f"folder={tmp_path / 'tasks'}"
        assert main(["verify", "export", str(mined), str(mined), folder]) == 1
        assert "expected run as the name of a file or folder" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "which has no key.json"),
            ("{", "as JSON, got a damaged file"),
            ('{"schema": "nacd-bench verification 2"}', "got a damaged one"),
            ('{"schema": "nacd-bench verification 9"}', "Use the version that wrote it"),
        ],
    )
    def test_keys(self, tmp_path: Path, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / "key.json").write_text(content)
        fails(DataError, message, read_key, tmp_path)

    def test_a_key_comes_back(self, tasks: Path) -> None:
        key = read_key(tasks)
        assert isinstance(key, Key)
        assert all(isinstance(task, Task) and task.id == name for name, task in key.tasks.items())

    def test_crops_of_other_sizes(self, own: Path, tmp_path: Path) -> None:
        rows = [r for r in rows_by_candidate(own).values() if r["duplicate_of"] is None][:6]
        sizes = [(9, 7), (64, 300), (640, 410), (1, 1), (300, 300), (33, 33)]
        for row, (width, height) in zip(rows, sizes, strict=True):
            for role in ("original", "neural", "traditional"):
                path = own / row[f"crop_{role}"]
                Image.open(path).resize((width, height)).save(path)
        rewritten(own, rows)
        done = export(own, tmp_path / "tasks", **QUICK)
        shapes = {
            task.candidate: page_picture(tmp_path / "tasks", name, "B").shape[1::-1]
            for name, task in done.key.tasks.items()
            if task.kind == CANDIDATE
        }
        assert [shapes[row["candidate"]] for row in rows] == sizes and not done.failures


def chunks(png: bytes) -> list[int]:
    """Where the chunks of a PNG begin."""
    places, at = [], 8
    while at < len(png):
        places.append(at)
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return places


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "export", "--help"])
    assert "Raters get page/ only" in capsys.readouterr().out
