"""The page of a comparison in a real browser: what it shows, by keys too, and hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, check_accessible, check_width, new_page, page_data, wait_for_text
from PIL import Image
from triplet_folder import write_images

from nacd_bench.cli.main import main
from nacd_bench.jobs.compare.run import compare
from nacd_bench.planting.photographs import photo
from nacd_bench.report.comparison_page import ROWS
from nacd_bench.runs.tables import write_failures, write_tables
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord

TYPES = {"color_severity": "color", "texture_severity": "texture", "text_severity": "text"}


def written(run: Path, records: Any, results: Any, types: dict[str, str]) -> Path:
    """A detect run."""
    run.mkdir()
    write_tables(run, records, results, types, dict.fromkeys(types, 0.0))
    write_failures(run, [])
    (run / "settings.json").write_text('{"detectors": {}}')
    (run / "config.yaml").write_text("thresholds: {}\n")
    return run


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with artifacts of every status, of images of hostile names."""
    folder = tmp_path_factory.mktemp("compared")
    runs = []
    for version in (0, 1):
        records, results = [], {}
        for number, name in enumerate(HOSTILE):
            paths = {}
            for role in ("original", "neural", "traditional"):
                pixels = np.roll(photo("coffee")[:120, :360], 40 * number, 1).copy()
                if role == "neural":
                    pixels[20:40, 20:60, version] = 255
                paths[role] = str(folder / f"{number}-{role}-{version}.png")
                Image.fromarray(np.ascontiguousarray(pixels)).save(paths[role])
            record = TripletRecord(
                name, **paths, source=name, neural_codec=name, neural_point=str(number % 2)
            )
            records.append(record)
            found = {"color_severity": [([20, 20, 60, 40], 2 + 0.1 * number * version)]}
            place = [200 - 150 * version, 0, 300 - 150 * version, 100]
            found["texture_severity"] = [(place, 1.6 + 0.1 * number)]
            if number % 2 == version:
                found["text_severity"] = [([30, 10, 90, 70], 1.8 + 0.1 * number)]
            results[name] = {}
            for key in TYPES:
                own = found.get(key, [])
                boxes, confidences = [box for box, _ in own], [c for _, c in own]
                results[name][key] = Result([*confidences, 0.0][0], boxes, confidences)
        runs.append(written(folder / f"run {version} <b>&'\"", records, results, TYPES))
    Path(folder / "0-neural-0.png").unlink()
    assert compare(*runs, folder / "out", show_progress=False).page is not None
    return folder / "out"


def address(folder: Path, place: str = "") -> str:
    return (folder / "compare" / "index.html").as_uri() + place


class TestInChromium:
    def test_filters_and_deep_links(self, page: Any, compared: Path) -> None:
        data = page_data(compared / "compare")
        total = data["total"]
        page.goto(address(compared))
        wait_for_text(page, ".count", f"{total} of {total} changes.")
        page.select_option("select[name=status]", "new")
        own = [each for each in data["changes"] if each["status"] == "new"]
        wait_for_text(page, ".count", f"{len(own)} of {total}")
        page.select_option("select[name=artifact_type]", "text")
        page.fill("input[name=q]", HOSTILE[1])
        wait_for_text(page, ".count", f"1 of {total}")
        other = page.context.new_page()
        other.goto(page.evaluate("location.href"))
        wait_for_text(other, ".count", f"1 of {total}")
        assert other.locator(".change .name").inner_text().startswith(HOSTILE[1])
        assert other.locator(".change .status").inner_text() == "new"

    def test_pictures_and_what_says_why_there_is_none(self, page: Any, compared: Path) -> None:
        page.goto(address(compared, "#?status=stayed&sort=name"))
        widths = "[...document.querySelectorAll('.change img')].map(i => i.naturalWidth)"
        page.wait_for_function(f"{widths}.every(width => width === 300)")
        assert page.locator(".change").first.locator(".view").count() == 4
        page.fill("input[name=q]", HOSTILE[0])
        gone = page.locator(".change .fault")
        assert "nothing of that name" in gone.first.inner_text()
        assert gone.first.evaluate("each => each.parentNode.dataset.role") == "before"

    def test_flip_and_boxes_by_keyboard(self, page: Any, compared: Path) -> None:
        page.goto(address(compared, "#?status=stayed"))
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.dataset.key") == "0"
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.dataset.key") == "1"
        page.keyboard.press("k")
        page.keyboard.press("2")
        middle = ".change[data-key='0'] .view:nth-child(2)"
        assert page.locator(".change[data-key='0'] .view").count() == 3
        assert page.locator(middle).get_attribute("data-role") == "after"
        place = page.locator(f"{middle} img").bounding_box()
        page.keyboard.press("f")
        assert page.locator(middle).get_attribute("data-role") == "before"
        assert page.locator(f"{middle} img").bounding_box() == place  # at the same place
        assert page.evaluate("document.activeElement.dataset.key") == "0"
        assert page.locator(f"{middle} i").first.is_visible()
        page.keyboard.press("b")
        assert not page.locator(f"{middle} i").first.is_visible()
        page.keyboard.press("1")
        assert page.locator(".change[data-key='0'] .view").count() == 4
        page.locator("input[name=q]").focus()
        page.keyboard.press("f")  # a letter, not a key
        assert page.locator(".change").first.locator(".view").count() in (0, 4)
        assert page.locator("input[name=q]").input_value() == "f"

    def test_hostile_names_are_text(self, page: Any, compared: Path) -> None:
        page.goto(address(compared, "#?sort=name"))
        assert page.evaluate("window.HIT") is None
        assert "run 0 <b>&'\"" in page.locator(".facts").inner_text()
        for name in HOSTILE:
            page.fill("input[name=q]", name)
            page.wait_for_selector(".change")
            assert name in page.locator(".change .name").first.inner_text()
        assert page.evaluate("window.HIT") is None

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("place", ["", "#?view=flip&status=new"])
    def test_nothing_seriously_inaccessible(
        self, browser: Any, compared: Path, place: str, scheme: str
    ) -> None:
        with new_page(browser, color_scheme=scheme) as page:
            page.goto(address(compared, place))
            page.wait_for_selector(".change")
            check_accessible(page)

    @pytest.mark.parametrize("place", ["", "#?view=flip"])
    def test_on_a_phone_nothing_sticks_out(self, browser: Any, compared: Path, place: str) -> None:
        with new_page(browser, viewport={"width": 380, "height": 700}) as page:
            page.goto(address(compared, place))
            page.evaluate("document.querySelector('.changes').scrollIntoView()")
            page.wait_for_selector(".change")
            check_width(page)

    def test_thousands_of_changes(self, page: Any, tmp_path: Path) -> None:
        """The page holds the strongest, draws those in sight, and says how many there are."""
        paths, total = write_images(tmp_path, np.full((64, 64, 3), 128, np.uint8)), ROWS + 100
        records = [TripletRecord(f"{number:05}", **paths) for number in range(total)]
        runs = []
        for version in (0, 1):
            results = {}
            for number, record in enumerate(records):
                found = Result(1.6 + number / total, [[0, 0, 64, 64]], [2.0])
                results[record.id] = {"color_severity": found if version else Result(0.0)}
            types = {"color_severity": "color"}
            runs.append(written(tmp_path / str(version), records, results, types))
        done = compare(*runs, tmp_path / "out", pictures=3, show_progress=False)
        assert done.compared.summary["total"]["new"] == total
        assert len(page_data(tmp_path / "out" / "compare")["changes"]) == ROWS
        page.goto(address(tmp_path / "out"))
        wait_for_text(page, ".count", f"{ROWS} of {total} changes. The page holds the {ROWS}")
        assert "The 3 strongest have pictures" in page.locator(".count").inner_text()
        assert page.locator(".change").count() < 20
        assert "severity 0 to 2.6" in page.locator(".change[data-key='0']").inner_text()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_selector(f".change[data-key='{ROWS - 1}']")
        assert page.locator(".change").count() < 20
        assert "only the strongest changes have some" in page.locator(".fault").first.inner_text()


def test_nothing_to_show(page: Any, tmp_path: Path) -> None:
    paths = write_images(tmp_path, np.full((64, 64, 3), 128, np.uint8))
    write_manifest(tmp_path / "triplets.jsonl", [TripletRecord("flat", **paths)])
    run = tmp_path / "run"
    arguments = ["detect", str(tmp_path / "triplets.jsonl"), "detector=[color_severity]"]
    assert main([*arguments, f"folder={run}", "report=false", "show_progress=false"]) == 0
    out = tmp_path / "out"
    assert main(["compare", str(run), str(run), f"folder={out}", "show_progress=false"]) == 0
    assert "no artifacts on either side" in (out / "summary.md").read_text()
    page.goto(address(out))
    assert page.locator(".count").inner_text().startswith("Nothing to show")
