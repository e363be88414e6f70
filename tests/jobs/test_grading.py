"""Tasks that ask how strong an artifact is on each side, and where: export, page, votes, grades."""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from checks import csv_rows
from mined_folder import make_mined
from pages import check_accessible, check_width, new_page, page_data
from PIL import Image
from triplet_folder import make_triplets

from nacd_bench.cli.main import main
from nacd_bench.errors import DataError
from nacd_bench.jobs.agree.run import find_graded
from nacd_bench.jobs.verify.export import export
from nacd_bench.jobs.verify.pictures import picture_name
from nacd_bench.jobs.verify.results import Imported, import_votes
from nacd_bench.runs.candidates import TablesWriter, read_mined
from nacd_bench.runs.tasks import Key, Task, read_key
from nacd_bench.runs.votes import read_votes
from nacd_bench.triplets.grades import Grade, read_grades
from nacd_bench.triplets.record import TripletRecord

NAMES = ("astronaut", "coffee")
QUICK: dict[str, Any] = {"question": "grade", "workers": 0, "show_progress": False}
TIME = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_triplets(tmp_path_factory.mktemp("grading") / "graded", NAMES)


@pytest.fixture(scope="module")
def tasks(graded: Path) -> Path:
    """Every type of two triplets, without controls, by the command."""
    folder = graded.parent / "tasks"
    settings = ("question=grade", "controls=0", "workers=0", "show_progress=false")
    assert main(["verify", "export", str(graded), f"folder={folder}", *settings]) == 0
    return folder


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mined(tmp_path_factory.mktemp("grading") / "mined")


def task_of(folder: Path, triplet: str, kind: str) -> Task:
    tasks = read_key(folder).tasks.values()
    return next(t for t in tasks if t.candidate == f"{triplet}_{kind}")


def by_side(task: Task, neural: tuple[Any, Any], traditional: tuple[Any, Any]) -> dict[str, Any]:
    """A vote as the page saves it, of what is said of each side."""
    vote: dict[str, Any] = {"task": task.id, "answer": "same", "time": TIME, "seconds": 1.0}
    for side in "AB":
        severity, box = neural if side == task.neural else traditional
        vote |= {f"severity_{side}": severity, f"box_{side}": box}
    return vote


def saved(path: Path, key: Key, rater: str, *votes: Any) -> Path:
    shared = {"schema": "nacd-bench votes 1", "export": key.export, "rater": rater}
    path.write_text(json.dumps({**shared, "votes": votes}))
    return path


def imported(tasks: Path, folder: Path, *votes: Any, rater: str = "Ada") -> Imported:
    """What comes of votes that the page saved."""
    file = saved(folder / f"{rater}.json", read_key(tasks), rater, *votes)
    return import_votes(tasks, file, folder / "verified")


def messages(done: Imported) -> str:
    return "\n".join(map(str, done.failures))


def rewrite(mined: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """Put other rows into a table of a mined folder."""
    tables = {name: read_mined(mined, name) for name in ("candidates", "coded", "images")}
    tables[table] = pa.Table.from_pylist(rows, schema=tables[table].schema)
    with TablesWriter(mined) as writer:
        for name, whole in tables.items():
            writer.add(name, whole)


class TestExport:
    def test_each_type_of_each_triplet_is_asked_once(self, graded: Path, tasks: Path) -> None:
        key = read_key(tasks)
        assert key.question == "grade"
        asked = sorted(task.candidate for task in key.tasks.values())
        assert asked == sorted(
            f"{n}_{kind}" for n in NAMES for kind in ("color", "text", "texture")
        )
        assert not (tasks / "toloka").exists()
        for task in key.tasks.values():
            triplet = task.candidate.rpartition("_")[0]
            sides = {"original": "orig", str(task.neural): "ai"}
            for shown in ("original", "A", "B"):
                picture = tasks / "page" / "pictures" / picture_name(task.id, f"-{shown}")
                whole = graded / sides.get(shown, "classic") / f"{triplet}.png"
                assert np.array_equal(np.array(Image.open(picture)), np.array(Image.open(whole)))

    def test_sides_are_shuffled_and_the_key_stays_apart(self, graded: Path, tmp_path: Path) -> None:
        sides = set()
        for seed in range(4):
            folder = tmp_path / f"{seed}"
            done = export(graded, folder, seed=seed, formats="page", controls=0, **QUICK)
            sides |= {task.neural for task in done.key.tasks.values()}
            for path in (folder / "page").glob("*.*"):
                assert not any(word in path.read_text() for word in ("neural", "astronaut")), path
        assert sides == {"A", "B"}
        assert page_data(tmp_path / "0" / "page")["grades"] is True

    def test_the_other_question_has_other_tasks(self, mined: Path, tmp_path: Path) -> None:
        """Votes on one cannot be taken for answers to the other."""
        options: dict[str, Any] = {**QUICK, "formats": "page", "controls": 0}
        grade = export(mined, tmp_path / "grade", **options)
        worse = export(mined, tmp_path / "worse", **{**options, "question": "worse"})
        assert not grade.key.tasks.keys() & worse.key.tasks.keys()
        assert len(grade.key.tasks) == len(worse.key.tasks)

    def test_what_cannot_be_asked(self, graded: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected formats in which boxes are drawn"):
            export(graded, tmp_path / "a", formats=["page", "toloka"], **QUICK)
        with pytest.raises(DataError, match="expected the folder of a nacd-bench mine run"):
            export(graded, tmp_path / "a", **{**QUICK, "question": "worse"})
        (tmp_path / "bad").mkdir()
        rows = [{"id": "a", **dict.fromkeys(("original", "neural", "traditional"), "no.png")}]
        folders = {"original": "orig", "neural": "ai", "traditional": "classic"}
        good = {role: str(graded / folder / "coffee.png") for role, folder in folders.items()}
        lines = [json.dumps(row) for row in (*rows, {"id": "b", **good})]
        (tmp_path / "bad" / "triplets.jsonl").write_text("\n".join(lines))
        done = export(tmp_path / "bad", tmp_path / "b", formats="page", **QUICK)
        assert {task.candidate[0] for task in done.key.tasks.values()} == {"b"}
        assert [failure.item for failure in done.failures] == ["a"]

    def test_label_studio(self, tasks: Path) -> None:
        config = ET.fromstring((tasks / "label_studio" / "config.xml").read_text())
        assert {e.get("name"): e.get("value") for e in config.findall("Image")} == {
            **{"original": "$original", "A": "$A", "B": "$B"}
        }
        assert {(e.get("name"), e.get("toName")) for e in config.findall("Rectangle")} == {
            *(("box_A", "A"), ("box_B", "B"))
        }
        for side in "AB":
            choices = config.find(f"Choices[@name='severity_{side}']")
            assert choices is not None and choices.get("required") == "true"
            assert [choice.get("value") for choice in choices] == ["0", "1", "2", "3"]
        entries = json.loads((tasks / "label_studio" / "tasks.json").read_text())
        assert {entry["data"]["task"] for entry in entries} == set(read_key(tasks).tasks)
        assert all({"question", "original", "A", "B"} <= entry["data"].keys() for entry in entries)
        assert "nothing" in (tasks / "label_studio" / "README.md").read_text()


class TestGrades:
    def test_from_the_page_to_agree(
        self, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        texture, text = (task_of(tasks, "coffee", kind) for kind in ("texture", "text"))
        votes = [
            by_side(texture, (2, [10, 20, 60, 80]), (0, None)),
            {"task": text.id, "answer": "nothing", "time": TIME},
            by_side(task_of(tasks, "astronaut", "color"), (1, [0, 0, 9, 9]), (3, [5, 6, 128, 96])),
        ]
        file = saved(tmp_path / "Ada.json", read_key(tasks), "Ada", *votes)
        folder = tmp_path / "verified"
        assert main(["verify", "import", str(tasks), str(file), f"folder={folder}"]) == 0
        assert "4 grades" in capsys.readouterr().out
        data = find_graded(folder)
        assert [record.id for record in data.records] == ["astronaut", "coffee"]
        assert not data.failures and not data.notes
        human = ("Ada", "human")
        assert [
            (g.triplet, g.artifact_type, g.side, g.severity, g.box, g.rater, g.kind)
            for g in data.grades
        ] == [
            ("astronaut", "color", "neural", 1, (0, 0, 9, 9), *human),
            ("astronaut", "color", "traditional", 3, (5, 6, 128, 96), *human),
            ("coffee", "texture", "neural", 2, (10, 20, 60, 80), *human),
            ("coffee", "texture", "traditional", 0, None, *human),
        ]
        assert main(["validate", str(folder)]) == 0
        votes_of = {row["candidate"]: row["votes_for"] for row in csv_rows(folder / "verified.csv")}
        assert votes_of["coffee_texture"] == "1" and votes_of["astronaut_color"] == "0"

    def test_crops_of_a_photograph(self, mined: Path, tmp_path: Path) -> None:
        """Boxes are in pixels of the photograph; of several crops the strongest place counts."""
        tasks, run = tmp_path / "tasks", shutil.copytree(mined, tmp_path / "mined")
        rows = {row["candidate"]: row for row in read_mined(run).to_pylist()}
        for row in rows.values():
            row["duplicate_of"] = None
        rewrite(run, "candidates", [*rows.values()])
        done = export(run, tasks, formats="page", controls=0, **QUICK)
        assert "decoded=true" in done.notes[0]
        wanted: dict[tuple[str, str], tuple[int, tuple[int, ...]]] = {}
        votes = []
        for number, task in enumerate(done.key.tasks.values()):
            row, severity = rows[task.candidate], 1 + number % 3
            votes.append(by_side(task, (severity, [20, 30, 60, 80]), (0, None)))
            left, top = row["crop_x0"], row["crop_y0"]
            place = row["triplet"], task.artifact_type
            best = severity, task.candidate, (left + 20, top + 30, left + 60, top + 80)
            old = wanted.get(place)
            if old is None or (-best[0], best[1]) < (-old[0], old[1]):
                wanted[place] = best
        made = imported(tasks, tmp_path, *votes)
        neural = [grade for grade in made.grades if grade.side == "neural"]
        assert len(wanted) < len(votes), "no triplet with several crops of a type"
        assert {(g.triplet, g.artifact_type): (g.severity, g.box) for g in neural} == {
            place: (severity, box) for place, (severity, _, box) in wanted.items()
        }
        records = [
            TripletRecord(row["triplet"], row["image_path"], "n", "t") for row in rows.values()
        ]
        by_id = {record.id: record for record in records}
        grades, failures, _ = read_grades(tmp_path / "verified/grades.jsonl", [*by_id.values()])
        assert list(made.grades) == grades and not failures

    def test_a_mined_folder_with_whole_decodes(self, mined: Path, tmp_path: Path) -> None:
        """Its triplets lie beside the grades, so that agree reads both."""
        run = shutil.copytree(mined, tmp_path / "mined")
        rows = read_mined(run, "coded").to_pylist()
        for row in rows:
            for side in ("neural", "traditional"):
                row[f"{side}_decoded"] = f"{row['triplet']}-{side}.png"
                Image.open(row["image_path"]).save(run / row[f"{side}_decoded"])
        rewrite(run, "coded", rows)
        done = export(run, tmp_path / "tasks", formats="page", controls=0, **QUICK)
        assert not done.notes
        votes = [by_side(t, (2, [5, 5, 50, 50]), (0, None)) for t in done.key.tasks.values()]
        made = imported(tmp_path / "tasks", tmp_path, *votes)
        data = find_graded(made.folder)
        assert list(data.grades) == list(made.grades) and not data.failures
        assert {record.neural for record in data.records} <= {
            str(run / row["neural_decoded"]) for row in rows
        }

    def test_raters_who_fail_the_controls_grade_nothing(self, mined: Path, tmp_path: Path) -> None:
        tasks = tmp_path / "tasks"
        key = export(mined, tasks, formats="page", controls=0.5, **QUICK).key
        assert {task.kind for task in key.tasks.values()} == {"candidate", "planted", "identical"}

        def files(rater: str, is_right: bool) -> Path:
            votes = []
            for task in key.tasks.values():
                worse = task.answer if is_right else "A" if task.answer == "B" else "B"
                a, b = ((2, [0, 0, 9, 9]) if worse == side else (0, None) for side in "AB")
                vote = {"severity_A": a[0], "box_A": a[1], "severity_B": b[0], "box_B": b[1]}
                votes.append({"task": task.id, "answer": "same", "time": TIME, **vote})
                if is_right and task.kind == "identical":
                    votes[-1] = {"task": task.id, "answer": "nothing", "time": TIME}
            return saved(tmp_path / f"{rater}.json", key, rater, *votes)

        done = import_votes(tasks, [files("good", True), files("bad", False)], tmp_path / "v")
        assert {rater["name"]: rater["dropped"] for rater in done.raters} == {
            **{"good": False, "bad": True}
        }
        assert {grade.rater for grade in done.grades} == {"good"}

    def test_the_same_twice_and_two_answers(self, tasks: Path, tmp_path: Path) -> None:
        task, other = (task_of(tasks, "coffee", kind) for kind in ("texture", "color"))
        first = by_side(task, (2, [10, 20, 60, 80]), (0, None))
        moved = {**by_side(task, (2, [10, 20, 60, 81]), (0, None)), "time": "2026-01-02T00:00:00Z"}
        unclear = [by_side(other, (severity, [0, 0, 9, 9]), (0, None)) for severity in (1, 3)]
        done = imported(tasks, tmp_path, moved, first, first, *unclear)
        assert [grade.box for grade in done.grades] == [(10, 20, 60, 81), None]
        assert "answered task" in messages(done) and "neither counts" in messages(done)

    @pytest.mark.parametrize(
        ("neural", "traditional", "message"),
        [
            ((4, [0, 0, 9, 9]), (0, None), "expected a severity of 0, 1, 2 or 3, got 4"),
            ((1.5, None), (0, None), "expected a severity of 0, 1, 2 or 3, got 1.5"),
            ((None, [0, 0, 9, 9]), (0, None), "severity: expected a value, got nothing"),
            ((0, [0, 0, 9, 9]), (0, None), "box: expected none where the severity is 0"),
            ((2, [9, 9, 0, 0]), (0, None), "expected a box [x0, y0, x1, y1]"),
            ((2, [1, 2]), (0, None), "expected four numbers"),
            ((2, [200, 0, 300, 90]), (0, None), "expected a box inside the 112 x 96 pixels of"),
        ],
    )
    def test_what_does_not_count(
        self, tasks: Path, tmp_path: Path, neural: Any, traditional: Any, message: str
    ) -> None:
        good = by_side(task_of(tasks, "astronaut", "text"), (3, [1, 2, 30, 40]), (0, None))
        bad = by_side(task_of(tasks, "coffee", "texture"), neural, traditional)
        done = imported(tasks, tmp_path, bad, good)
        assert message in messages(done)
        assert ("astronaut", 3) in {(g.triplet, g.severity) for g in done.grades}
        assert ("coffee", "neural") not in {(g.triplet, g.side) for g in done.grades}

    def test_unknown_sides_raters_and_answers_to_the_other_question(
        self, tasks: Path, tmp_path: Path
    ) -> None:
        task = task_of(tasks, "coffee", "texture")
        vote = by_side(task, (2, [10, 20, 60, 80]), (0, None))
        done = imported(tasks, tmp_path, {**vote, "severity_C": 1}, {**vote, "rater": ""})
        assert "unknown side 'C'" in messages(done) and "expected a rater's name" in messages(done)
        done = imported(tasks, tmp_path, {"task": task.id, "answer": "A", "time": TIME})
        assert f"expected severities of A and B for {task.id}" in messages(done)
        assert not done.grades and not (tmp_path / "verified" / "grades.jsonl").exists()

    def test_a_box_over_the_border_is_cut(self, tasks: Path, tmp_path: Path) -> None:
        vote = by_side(task_of(tasks, "coffee", "color"), (1, [100, 60, 120, 100]), (0, None))
        assert imported(tasks, tmp_path, vote).grades[0].box == (100, 60, 112, 96)


def label_studio(task: Task, **marks: tuple[Any, Any]) -> dict[str, Any]:
    """A task as Label Studio exports it; boxes as x, y, width, height in percent."""
    size = {"original_width": 112, "original_height": 96}
    result: list[dict[str, Any]] = []
    for side, (severity, boxes) in marks.items():
        shared = {"to_name": side, "id": f"r{side}"}
        if severity is not None:
            value: dict[str, Any] = {"choices": [severity]}
            name = f"severity_{side}"
            result.append({**shared, "from_name": name, "type": "choices", "value": value})
        for box in boxes:
            value = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"rotation": 0}
            place = {"from_name": f"box_{side}", "type": "rectangle", "value": value}
            result.append({**shared, **size, "image_rotation": 0, **place})
    annotation = {"completed_by": 7, "result": result, "was_cancelled": False, "created_at": TIME}
    return {"id": 1, "data": {"task": task.id}, "annotations": [annotation]}


class TestLabelStudio:
    BOX = (100 * 10 / 112, 100 * 20 / 96, 100 * 50 / 112, 100 * 60 / 96)

    def test_an_export(self, tasks: Path, tmp_path: Path) -> None:
        task = task_of(tasks, "coffee", "texture")
        other = "B" if task.neural == "A" else "A"
        nothing = label_studio(task_of(tasks, "coffee", "text"), A=("0", []), B=("0", []))
        nothing["annotations"][0]["result"].append(
            {"from_name": "answer", "type": "choices", "value": {"choices": ["nothing"]}}
        )
        said = {str(task.neural): ("2", [self.BOX]), other: ("0", [])}
        path = tmp_path / "export.json"
        path.write_text(json.dumps([label_studio(task, **said), nothing]))
        done = import_votes(tasks, path, tmp_path / "verified")
        assert not done.failures and list(done.kinds.values()) == ["Label Studio, JSON"]
        assert list(done.grades) == [
            Grade("coffee", "7", "texture", "neural", 2, (10, 20, 60, 80), "human"),
            Grade("coffee", "7", "texture", "traditional", 0, None, "human"),
        ]

    def test_json_min(self, tasks: Path, tmp_path: Path) -> None:
        task = task_of(tasks, "coffee", "texture")
        annotation = label_studio(task, A=("1", [self.BOX]))["annotations"][0]
        box = {**annotation["result"][1], **annotation["result"][1]["value"]}
        row = {"task": task.id, "annotator": 7, "severity_A": "1", "box_A": [box]}
        path = tmp_path / "min.json"
        path.write_text(json.dumps([{**row, "severity_B": "0"}]))
        (vote,) = read_votes(path).votes
        assert (vote.answer, vote.marks) == ("A", ((1, (10, 20, 60, 80)), (0, None)))

    @pytest.mark.parametrize(
        ("a", "message"),
        [
            (("2", [BOX, BOX]), "A: box: expected four numbers"),
            ((None, []), "A: severity: expected a value, got nothing"),
            (("7", []), "A: severity: expected a severity of 0, 1, 2 or 3"),
            (("2", [("x", 0, 1, 1)]), "A: box: expected four numbers"),
        ],
    )
    def test_faults(self, tasks: Path, tmp_path: Path, a: Any, message: str) -> None:
        path = tmp_path / "export.json"
        task = task_of(tasks, "coffee", "texture")
        path.write_text(json.dumps([label_studio(task, A=a, B=("0", []))]))
        file = read_votes(path)
        assert not file.votes and message in str(file.faults[0])


def opened(page: Any, folder: Path) -> None:
    page.goto((folder / "page" / "index.html").as_uri())
    page.fill("#name", "Ada")
    page.click("#start button")
    wait_for_task(page)


def wait_for_task(page: Any) -> None:
    page.locator("#done:visible, [data-severity]:enabled:visible").first.wait_for()


def shown(page: Any) -> str:
    source = page.locator("#pictures img").first.get_attribute("src")
    return source.rsplit("/", 1)[1].partition("-")[0]


def download(page: Any, button: str = "#save") -> Path:
    with page.expect_download() as saving:
        page.click(button)
    return Path(saving.value.path())


def drag(page: Any, side: str, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Draw a box between two places in pixels of a picture."""
    image = page.locator(f"#pictures .frame[data-side={side}] img")
    image.scroll_into_view_if_needed()
    place = image.bounding_box()
    scale = place["width"] / image.evaluate("e => e.naturalWidth")
    (x0, y0), (x1, y1) = start, end
    page.mouse.move(place["x"] + x0 * scale, place["y"] + y0 * scale)
    page.mouse.down()
    page.mouse.move(place["x"] + (x0 + x1) / 2 * scale, place["y"] + (y0 + y1) / 2 * scale)
    page.mouse.move(place["x"] + x1 * scale, place["y"] + y1 * scale)
    page.mouse.up()


class TestPage:
    def test_mouse_and_keys(self, page: Any, tasks: Path, tmp_path: Path) -> None:
        opened(page, tasks)
        drawn, keyed = shown(page), ""
        assert page.locator("#pictures figcaption").all_inner_texts() == ["original", "A", "B"]
        page.click("fieldset[data-side=A] [data-severity='2']")
        assert page.locator("#grade").is_disabled()
        assert "Where?" in page.locator("fieldset[data-side=A] p").inner_text()
        drag(page, "A", (60, 80), (10, 20))
        assert "50 x 60" in page.locator("fieldset[data-side=A] p").inner_text()
        page.click("fieldset[data-side=B] [data-severity='0']")
        page.click("#grade")
        wait_for_task(page)
        keyed = shown(page)
        width = page.locator("#pictures img").first.evaluate("e => e.naturalWidth")
        for key in ("0", "3", "ArrowUp", "ArrowLeft", "ArrowUp", "Shift+ArrowRight"):
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        wait_for_task(page)
        nothing = shown(page)
        page.keyboard.press("n")
        wait_for_task(page)
        path = download(page)
        votes = {vote.pop("task"): vote for vote in json.loads(path.read_text())["votes"]}
        left, top, right, bottom = round(width / 3) - 4, 32 - 4, round(2 * width / 3), 64 - 4
        wanted = {
            drawn: ("A", 2, [10, 20, 60, 80], 0, None),
            keyed: ("B", 0, None, 3, [left, top, right, bottom]),
            nothing: ("nothing", None, None, None, None),
        }
        names = ("answer", "severity_A", "box_A", "severity_B", "box_B")
        assert {t: tuple(v.get(n) for n in names) for t, v in votes.items()} == wanted
        done = import_votes(tasks, path, tmp_path / "verified")
        assert len(done.grades) == 4 and not done.failures
        table = download(page, "#save-csv")
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert json.loads(rows[1]["box_B"]) == wanted[keyed][4]
        assert [vote.said for vote in read_votes(table).votes] == [
            vote.said for vote in read_votes(path).votes
        ]

    def test_undo_brings_the_grades_back(self, page: Any, tasks: Path) -> None:
        opened(page, tasks)
        first = shown(page)
        for key in ("1", "ArrowUp", "b", "0", "Enter"):
            page.keyboard.press(key)
        wait_for_task(page)
        assert page.locator("#grade").is_disabled()
        page.keyboard.press("u")
        wait_for_task(page)
        assert shown(page) == first and page.locator("#grade").is_enabled()
        assert page.locator("[aria-pressed=true][data-severity]").all_inner_texts()[0][0] == "1"
        page.keyboard.press("a")
        page.keyboard.press("0")
        assert "No place" in page.locator("fieldset[data-side=A] p").inner_text()
        page.keyboard.press("Enter")
        wait_for_task(page)
        (vote,) = json.loads(download(page).read_text())["votes"]
        assert (vote["severity_A"], vote["box_A"], vote["answer"]) == (0, None, "same")

    def test_boxes_stay_in_the_picture(self, page: Any, tasks: Path) -> None:
        opened(page, tasks)
        for key in ("3", *["ArrowDown"] * 40, *["ArrowRight"] * 40, *["Shift+ArrowDown"] * 3):
            page.keyboard.press(key)
        drag(page, "B", (90, 50), (500, 300))
        for key in ("2", "Enter"):
            page.keyboard.press(key)
        wait_for_task(page)
        (vote,) = json.loads(download(page).read_text())["votes"]
        assert vote["box_A"][3] == vote["box_B"][3] == 96
        assert vote["box_A"][2] == vote["box_B"][2] in (112, 128)
        assert vote["box_B"][:2] == [90, 50]

    def test_accessible_and_on_a_phone(self, browser: Any, tasks: Path) -> None:
        with new_page(browser, viewport={"width": 360, "height": 700}) as page:
            opened(page, tasks)
            page.keyboard.press("2")
            page.keyboard.press("ArrowUp")
            check_accessible(page)
            check_width(page)
