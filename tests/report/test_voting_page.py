"""The voting page, in a real browser, opened from the disk."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mined_folder import make_mined
from pages import check_accessible, check_width, new_page

from nacd_bench.jobs.verify.export import export
from nacd_bench.runs.tasks import Key


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Key]:
    folder = tmp_path_factory.mktemp("voting")
    options: Any = {"formats": "page", "workers": 0, "show_progress": False}
    done = export(make_mined(folder / "mined"), folder / "tasks", **options)
    return folder / "tasks" / "page", done.key


def opened(page: Any, folder: Path, rater: str = "Ada") -> None:
    page.goto((folder / "index.html").as_uri())
    page.fill("#name", rater)
    page.click("#start button")
    wait_for_task(page)


def wait_for_task(page: Any) -> None:
    """Until pictures are there and answers are taken, or all is done."""
    page.locator("#done:visible, #answers button:enabled:visible").first.wait_for()


def wait_for_text(page: Any, place: str, text: str) -> None:
    """By a selector: the page forbids code from text, which waiting for a condition is."""
    page.locator(place, has_text=text).wait_for()


def vote(page: Any, key: str) -> str:
    """Answer by a key; the task that was answered."""
    wait_for_task(page)
    task = shown(page)
    page.keyboard.press(key)
    wait_for_task(page)
    return task


def shown(page: Any) -> str:
    source = page.locator("#pictures img").first.get_attribute("src")
    return source.rsplit("/", 1)[1].partition("-")[0]


def count(page: Any) -> str:
    return page.locator("#count").inner_text()


def saved(page: Any, button: str = "#save") -> tuple[str, str]:
    """Name and content of the file."""
    with page.expect_download() as download:
        page.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_text("utf-8")


def test_a_session(page: Any, exported: tuple[Path, Key]) -> None:
    folder, key = exported
    opened(page, folder, '  Zo\u00eb  O\'Neil, <b>"x"</b> ')
    assert page.locator("#rater").inner_text() == 'Zo\u00eb O\'Neil, <b>"x"</b>'
    answers = {}
    keys = ["1", "2", "3", "ArrowLeft", "ArrowRight", "ArrowDown"]
    meaning = ["A", "B", "same"]
    for n in range(len(key.tasks)):
        assert count(page).startswith(f"{n} of {len(key.tasks)}")
        answers[vote(page, keys[n % 6])] = meaning[n % 3]
    assert answers.keys() == key.tasks.keys()
    assert page.locator("#done").is_visible() and not page.locator("#vote").is_visible()
    assert page.locator("#unsaved").inner_text().startswith(f"{len(answers)} not saved")
    name, text = saved(page)
    assert name == "votes-Zo\u00eb_O_Neil_b_x_b_.json"
    file = json.loads(text)
    assert file["schema"] == "nacd-bench votes 1" and file["export"] == key.export
    assert file["rater"] == 'Zo\u00eb O\'Neil, <b>"x"</b>'
    assert {each["task"]: each["answer"] for each in file["votes"]} == answers
    for each in file["votes"]:
        assert set(each) == {"task", "answer", "time", "seconds"}
        assert each["time"].endswith("Z") and each["seconds"] >= 0
    name, text = saved(page, "#save-csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert name.endswith(".csv") and list(rows[0]) == ["rater", "task", "answer", "time", "export"]
    assert {row["task"]: row["answer"] for row in rows} == answers
    assert {row["rater"] for row in rows} == {file["rater"]}
    assert page.locator("#unsaved").inner_text() == "All saved"


def test_text_can_be_absent_and_frames_are_switched_off(
    page: Any, exported: tuple[Path, Key], tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(exported[0], folder)
    text = (folder / "data.js").read_text()
    head, _, data = text.partition("=")
    content = json.loads(data.rstrip().rstrip(";"))
    for task in content["tasks"]:
        task[2] = [10, 20, 110, 140]
    (folder / "data.js").write_text(f"{head}={json.dumps(content)};")
    opened(page, folder)
    frames = page.locator("#pictures .frame i")
    for is_text in (True, False):
        while (exported[1].tasks[shown(page)].artifact_type == "text") != is_text:
            page.keyboard.press("l")
            wait_for_task(page)
        nothing = page.locator("#answers [data-answer=nothing]")
        assert nothing.is_visible() == is_text
        assert frames.count() == page.locator("#pictures img").count()
        boxes = [frame.bounding_box() for frame in frames.all()]
        assert len({(round(box["width"]), round(box["height"])) for box in boxes}) == 1
        assert round(boxes[0]["height"] / boxes[0]["width"], 2) == 1.2
        page.keyboard.press("f")
        assert frames.count() == 0
        assert page.locator("#framed").get_attribute("aria-pressed") == "false"
        page.click("#framed")
        assert frames.count() > 0
        task = shown(page)
        page.keyboard.press("4")
        wait_for_task(page)
        assert (shown(page) != task) == is_text
    votes = json.loads(saved(page)[1])["votes"]
    assert [vote["answer"] for vote in votes] == ["nothing"]


def test_a_reload_loses_nothing(page: Any, exported: tuple[Path, Key]) -> None:
    folder, _ = exported
    opened(page, folder)
    first = [vote(page, "2") for _ in range(3)]
    page.reload()
    opened(page, folder)
    assert count(page).startswith("3 of") and shown(page) not in first
    assert page.locator("#unsaved").inner_text().startswith("3 not saved")
    page.click("#leave")
    page.fill("#name", "Somebody else")
    page.click("#start button")
    wait_for_task(page)
    assert count(page).startswith("0 of")


def test_each_rater_has_an_own_order(page: Any, exported: tuple[Path, Key]) -> None:
    folder, key = exported
    orders = []
    for rater in ("Ada", "Ben", "Ada"):
        page.goto((folder / "index.html").as_uri())
        page.evaluate("localStorage.clear()")
        opened(page, folder, rater)
        orders.append([vote(page, "1") for _ in key.tasks])
    assert orders[0] == orders[2] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_undo_and_later(page: Any, exported: tuple[Path, Key]) -> None:
    folder, key = exported
    opened(page, folder)
    assert page.locator("#undo").is_disabled()
    first = vote(page, "1")
    saved(page)
    page.keyboard.press("u")
    wait_for_task(page)
    assert shown(page) == first and count(page).startswith("0 of")
    page.keyboard.press("l")
    wait_for_task(page)
    assert shown(page) != first
    order = [vote(page, "3") for _ in key.tasks]
    assert order[-1] == first and page.locator("#done").is_visible()
    page.click("#back")
    wait_for_task(page)
    assert shown(page) == first
    vote(page, "2")
    votes = json.loads(saved(page)[1])["votes"]
    assert len(votes) == len(key.tasks) and votes[-1]["answer"] == "B"


def test_after_undo_a_saved_file_is_out_of_date(page: Any, exported: tuple[Path, Key]) -> None:
    opened(page, exported[0])
    vote(page, "1")
    vote(page, "1")
    saved(page)
    page.keyboard.press("Backspace")
    wait_for_task(page)
    assert page.locator("#unsaved").inner_text().startswith("1 not saved")


def test_flipping(page: Any, exported: tuple[Path, Key]) -> None:
    folder, key = exported
    opened(page, folder)
    while key.tasks[shown(page)].artifact_type != "texture":
        vote(page, "1")
    captions = "#pictures figcaption"
    assert page.locator(captions).all_inner_texts() == ["original", "A", "B"]
    seen = []
    for _ in range(4):
        page.keyboard.press(" ")
        seen += page.locator(captions).all_inner_texts()
    assert seen == ["A", "B", "original", "A"]
    assert page.locator("#flip").get_attribute("aria-pressed") == "true"
    page.keyboard.press("s")
    assert page.locator(captions).count() == 3


def test_the_space_bar_flips_after_a_click(page: Any, exported: tuple[Path, Key]) -> None:
    opened(page, exported[0])
    page.click("#answers button >> nth=0")
    wait_for_task(page)
    page.keyboard.press(" ")
    assert count(page).startswith("1 of") and page.locator("#pictures img").count() == 1


def test_pictures_have_one_scale_in_whole_pixels(page: Any, exported: tuple[Path, Key]) -> None:
    folder, _ = exported
    page.set_viewport_size({"width": 2100, "height": 1300})
    opened(page, folder)
    sizes = page.eval_on_selector_all(
        "#pictures img",
        "all => all.map(e => [e.width / e.naturalWidth, getComputedStyle(e).imageRendering])",
    )
    assert len({each[0] for each in sizes}) == 1 and sizes[0][0] in (2, 3)
    assert {each[1] for each in sizes} == {"pixelated"}


def test_going_on_from_a_file(page: Any, exported: tuple[Path, Key], tmp_path: Path) -> None:
    folder, _ = exported
    opened(page, folder)
    for _ in range(2):
        vote(page, "1")
    text = saved(page)[1]
    page.evaluate("localStorage.clear()")
    page.reload()
    opened(page, folder)
    assert count(page).startswith("0 of")
    good = tmp_path / "votes.json"
    good.write_text(text)
    page.set_input_files("#load", good)
    wait_for_text(page, "#count", "2 of")
    for content, said in (
        ("no json", "is no file of votes"),
        (json.dumps({**json.loads(text), "export": "0"}), "votes on other tasks"),
        (json.dumps({**json.loads(text), "rater": "Ben"}), "has the votes of Ben"),
    ):
        bad = tmp_path / "bad.json"
        bad.write_text(content)
        page.set_input_files("#load", bad)
        wait_for_text(page, "#notice", said)
    assert count(page).startswith("2 of")


def test_names_that_a_spreadsheet_would_run(page: Any, exported: tuple[Path, Key]) -> None:
    page.goto((exported[0] / "index.html").as_uri())
    page.fill("#name", "=1+1")
    page.click("#start button")
    assert "spreadsheets" in page.locator("#notice").inner_text()
    assert page.locator("#start").is_visible()


def test_it_asks_before_unsaved_votes_are_left(browser: Any, exported: tuple[Path, Key]) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    opened(page, exported[0])
    vote(page, "1")
    page.reload()
    assert asked == ["beforeunload"]
    opened(page, exported[0])
    saved(page)
    page.reload()
    assert asked == ["beforeunload"]
    context.close()


def test_a_full_storage_is_said(page: Any, exported: tuple[Path, Key]) -> None:
    opened(page, exported[0])
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    vote(page, "1")
    assert "Save them to a file now" in page.locator("#notice").inner_text()
    assert len(json.loads(saved(page)[1])["votes"]) == 1


def test_a_missing_picture_is_left_for_later(
    browser: Any, exported: tuple[Path, Key], tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(exported[0], folder)
    page = browser.new_context().new_page()
    opened(page, folder)
    lost = shown(page)
    next(folder.rglob(f"{lost}-A.png")).unlink()
    page.reload()
    page.fill("#name", "Ada")
    page.click("#start button")
    wait_for_text(page, "#notice", "cannot be loaded")
    assert page.locator("#answers button").first.is_disabled()
    page.keyboard.press("1")
    assert count(page).startswith("0 of")
    page.keyboard.press("l")
    vote(page, "1")
    assert count(page).startswith("1 of") and not page.locator("#notice").is_visible()
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_seriously_inaccessible(
    browser: Any, exported: tuple[Path, Key], scheme: str
) -> None:
    with new_page(browser, color_scheme=scheme) as page:
        page.goto((exported[0] / "index.html").as_uri())
        check_accessible(page)
        opened(page, exported[0])
        check_accessible(page)
        page.keyboard.press(" ")
        for _ in exported[1].tasks:
            vote(page, "3")
        check_accessible(page)


def test_on_a_phone_nothing_sticks_out(browser: Any, exported: tuple[Path, Key]) -> None:
    phone = {"viewport": {"width": 360, "height": 700}, "device_scale_factor": 3}
    with new_page(browser, **phone) as page:
        opened(page, exported[0])
        for key in ("s", " "):
            page.keyboard.press(key)
            check_width(page)
