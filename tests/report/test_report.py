"""The report, in a real browser: what it shows, what it computes, and names that mean harm."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from checks import fails
from pages import HOSTILE, check_accessible, check_width, new_page, page_data, wait_for_text
from PIL import Image
from triplet_folder import write_images

from nacd_bench.cli.main import main
from nacd_bench.detectors import ColorSeverity, LargeColor, Texture
from nacd_bench.errors import DataError
from nacd_bench.evaluation.thresholds import read_thresholds
from nacd_bench.jobs.detect import detect
from nacd_bench.pipeline.methods import limits_of
from nacd_bench.planting.photographs import photo
from nacd_bench.report.run_page import write_report
from nacd_bench.report.serve import server
from nacd_bench.runs.provenance import provenance
from nacd_bench.runs.read import read_run
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import TripletRecord


@pytest.fixture(scope="module")
def benchmark_run(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    status = main(
        [
            *("benchmark", str(planted), "logger=none", "sets.n=5"),
            *("detector=[texture,large_color,small_color]", "baseline=[psnr,ssim]"),
            *("sets.types=[texture,color]", "bootstrap.resamples=200", "show_progress=false"),
            f"folder={folder / 'run'}",
            f"cache={folder / 'cache'}",
        ]
    )
    assert status == 0
    return folder / "run"


@pytest.fixture(scope="module")
def graded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two triplets with a cast each, the second a stronger one; a rater graded the first."""
    folder = tmp_path_factory.mktemp("graded")
    for index, (name, cast) in enumerate((("coffee", 40), ("astronaut", 90))):
        original = photo(name)[:160, :240]
        neural = original.astype(int)
        neural[60:130, 50:150, 0] += cast
        images = {"orig": original, "ai": neural.clip(0, 255).astype(np.uint8), "classic": original}
        for side, image in images.items():
            (folder / "data" / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / "data" / side / f"{index}.png")
    rows = [
        {"side": "neural", "severity": 3, "box": [50, 60, 150, 130]},
        {"side": "traditional", "severity": 0, "box": None},
    ]
    lines = [json.dumps({"triplet": "0", "rater": "P", "type": "color", **row}) for row in rows]
    (folder / "data" / "grades.jsonl").write_text("\n".join(lines))
    run = detect(folder / "data", [ColorSeverity(), LargeColor()], folder / "run")
    write_report(read_run(run.folder), [ColorSeverity()])
    return run.folder


PLACES = ("", "#/overview", "#/gallery", "#/thresholds", "#/triplet/0")


def address(run: Path, place: str = "") -> str:
    return (run / "report" / "index.html").as_uri() + place


class TestWithoutABrowser:
    def test_every_run_has_one(self, benchmark_run: Path) -> None:
        report = benchmark_run / "report"
        assert {path.name for path in report.iterdir()} >= {
            *("index.html", "data.js", "report.js", "style.css", "images", "heat", "curves"),
        }
        text = (report / "index.html").read_text()
        assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
        metrics = json.loads((benchmark_run / "metrics.json").read_text())
        auc = metrics["sets"]["color"]["auc"]["large_color"]
        assert f"{auc['value']:.3f}" in text and "50 with" not in text
        for method in metrics["sets"]["color"]["auc"]:
            assert f'set=color&amp;method={method}">{method}</a>' in text

    def test_the_commit_that_made_the_run_is_shown(
        self, benchmark_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nacd_bench.runs.provenance.git_hash", lambda: "c0ffee-dirty")
        run = read_run(benchmark_run)
        run.folder = tmp_path
        run.metrics = {**run.metrics, **provenance("", 0.0)}
        assert "c0ffee-dirty" in write_report(run, []).read_text("utf-8")

    def test_the_data_are_those_of_the_run(self, benchmark_run: Path) -> None:
        data = page_data(benchmark_run / "report")
        assert len(data["triplets"]) == len(read_manifest(benchmark_run / "triplets.parquet"))
        assert any(triplet["heat"] for triplet in data["triplets"])
        for triplet in data["triplets"]:
            for path in (*triplet["images"].values(), *triplet["heat"].values()):
                assert (benchmark_run / "report" / path).is_file()
        first = data["triplets"][0]
        with Image.open(benchmark_run / "report" / first["images"]["neural"]) as shown:
            record = read_manifest(benchmark_run / "triplets.parquet")[0]
            with Image.open(record.neural) as real:
                assert np.array_equal(np.asarray(shown), np.asarray(real))  # small: lossless

    def test_written_again_it_is_the_same(self, benchmark_run: Path) -> None:
        before = (benchmark_run / "report" / "data.js").read_bytes()
        assert main(["report", str(benchmark_run), "show_progress=false"]) == 0
        assert (benchmark_run / "report" / "data.js").read_bytes() == before

    def test_a_run_that_is_not_whole_shows_the_rest(
        self, benchmark_run: Path, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken"
        shutil.copytree(benchmark_run, broken)
        (broken / "metrics.json").write_text("{")
        (broken / "detections.parquet").unlink()
        (broken / "config.yaml").unlink()
        assert main(["report", str(broken), "show_progress=false"]) == 0
        text = (broken / "report" / "index.html").read_text()
        assert "metrics.json cannot be read" in text and "detections.parquet is missing" in text
        assert page_data(broken / "report")["triplets"]

    def test_begins_with_thresholds_by_criterion(
        self, benchmark_run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sets = yaml.safe_load((benchmark_run / "thresholds.yaml").read_text())["sets"]
        for criterion in ("fpr_5", "youden"):
            words = ["report", str(benchmark_run), f"criterion={criterion}", "heat_maps=0"]
            assert main([*words, "show_progress=false"]) == 0
            shown = page_data(benchmark_run / "report")["thresholds"]
            entry = sets["texture"]["texture"][criterion]["threshold"]
            assert shown.get("texture") == (None if entry is None else pytest.approx(entry))
        assert main(["report", str(benchmark_run), "criterion=severity_1.5"]) == 1
        assert "got texture, large_color, small_color, whose" in capsys.readouterr().err

    def test_no_run_at_all(self, tmp_path: Path) -> None:
        fails(DataError, r"neither triplets\.parquet nor settings", read_run, tmp_path)

    @pytest.mark.parametrize(("job", "then"), [("agree", "Its page is"), ("compress", "detect")])
    def test_a_run_of_another_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], job: str, then: str
    ) -> None:
        (tmp_path / "settings.json").write_text(f'{{"job": "{job}"}}')
        (tmp_path / "agree").mkdir()
        (tmp_path / "agree" / "index.html").write_text("")
        assert main(["report", str(tmp_path)]) == 1
        error = capsys.readouterr().err
        assert f"got that of {job}" in error and then in error
        assert not (tmp_path / "report").exists()

    def test_images_that_are_gone(self, benchmark_run: Path, tmp_path: Path) -> None:
        run = read_run(benchmark_run)
        run.folder = tmp_path
        run.records[0] = replace(run.records[0], neural=str(tmp_path / "gone.png"))
        write_report(run, [Texture()], heat_maps=2)
        assert "1 triplet cannot be shown" in (tmp_path / "report" / "index.html").read_text()
        assert len(page_data(tmp_path / "report")["triplets"]) == len(run.records) - 1

    def test_a_picture_that_cannot_be_written_ends_the_report(
        self, benchmark_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, *_: object, **__: object) -> None:
            raise DataError(f"{path}: no space left on device")

        monkeypatch.setattr("nacd_bench.report.run_page.write_picture", full)
        run = read_run(benchmark_run)
        run.folder = tmp_path
        fails(DataError, "no space left", write_report, run, [])

    def test_large_images_are_reduced(self, tmp_path: Path) -> None:
        big = np.tile(photo("coffee"), (2, 6, 1))
        paths = write_images(tmp_path, big)
        write_manifest(tmp_path / "triplets.parquet", [TripletRecord("big", **paths)])
        run = read_run(tmp_path)
        place = {"x0": 700, "y0": 100, "x1": 1000, "y1": 300}
        what = {"triplet": "big", "detector": "large_color", "artifact_type": "color"}
        run.detections = [{**what, "confidence": 1.0, **place}]
        write_report(run, [LargeColor()], heat_maps=0)
        (triplet,) = page_data(tmp_path / "report")["triplets"]
        assert triplet["width"] == 3600 and triplet["reduced"]
        with Image.open(tmp_path / "report" / triplet["images"]["neural"]) as shown:
            assert max(shown.size) <= 2400
        (paths,) = triplet["crops"].values()
        with Image.open(tmp_path / "report" / paths["original"]) as crop:
            assert crop.size == (300, 200)
            error = np.abs(np.asarray(crop).astype(int) - big[100:300, 700:1000])
            assert error.mean() < 4  # WebP of quality 90

    def test_figures_for_a_paper(self, benchmark_run: Path) -> None:
        from PIL import ImageChops

        arguments = ["report", str(benchmark_run), "figures=3.5", "show_progress=false"]
        assert main(arguments) == 0
        folder = benchmark_run / "report" / "figures"
        names = {path.name for path in folder.iterdir()}
        for name in ("auc", "roc_color", "precision_recall_texture", "scores_color_large_color"):
            assert {f"{name}.{kind}" for kind in ("svg", "png", "pdf")} <= names
        assert (folder / "auc.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(folder / "roc_color.png") as drawn:
            assert drawn.width == pytest.approx(3.5 * 150, abs=2)
        with Image.open(folder / "contact_color.png") as sheet:
            assert sheet.width == 8 + 3 * (300 + 8) and sheet.height > 3 * 192
            box = ImageChops.difference(sheet, Image.new("RGB", sheet.size, "white")).getbbox()
            assert box is not None
        assert main([*arguments[:2], "figures=wide"]) == 1

    def test_served_on_this_machine_only(self, benchmark_run: Path) -> None:
        import threading
        import urllib.request

        with server(benchmark_run / "report", 0) as running:
            host, port = running.server_address[:2]
            threading.Thread(target=running.serve_forever, daemon=True).start()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html") as answer:
                assert b"nacd-bench" in answer.read()
            running.shutdown()
        assert host == "127.0.0.1"


class TestInChromium:
    def test_overview(self, page: Any, benchmark_run: Path) -> None:
        page.goto(address(benchmark_run))
        assert page.locator("#overview table tr.best").count() == 0  # few images
        assert page.locator("[data-histograms=color] svg").count() >= 3
        loaded = "[...document.querySelectorAll('#overview figure img')].length"
        assert page.evaluate(loaded) == 4

    def test_filters_sorting_and_deep_links(self, page: Any, benchmark_run: Path) -> None:
        data = page_data(benchmark_run / "report")
        page.goto(address(benchmark_run, "#/gallery"))
        total = len(data["detections"])
        wait_for_text(page, "#gallery .count", f"{total} of {total} detections")
        page.select_option("#gallery select[name=detector]", "large_color")
        own = [row for row in data["detections"] if row[1] == "large_color"]
        wait_for_text(page, "#gallery .count", f"{len(own)} of")
        name = data["triplets"][max(own, key=lambda row: row[2])[0]]["id"]
        wait_for_text(page, "#gallery .card[data-key='0'] .name", name)
        page.fill("#gallery input[name=q]", name)
        assert "q=" in page.evaluate("location.hash") and "detector=large_color" in page.evaluate(
            "location.hash"
        )
        link = page.evaluate("location.href")
        other = page.context.new_page()
        other.goto(link)
        count = sum(data["triplets"][row[0]]["id"] == name for row in own)
        wait_for_text(other, "#gallery .count", f"{count} of")
        other.click("#gallery .card")
        wait_for_text(other, "#triplet-title", name)
        other.go_back()
        other.wait_for_selector("#gallery", state="visible")
        assert "detector=large_color" in other.evaluate("location.hash")

    def test_the_viewer_by_keyboard(self, page: Any, benchmark_run: Path) -> None:
        data = page_data(benchmark_run / "report")
        page.goto(address(benchmark_run, "#/triplet/0"))
        assert page.locator("#triplet .pane").count() == 3
        page.keyboard.press("ArrowRight")
        wait_for_text(page, "#triplet-title", data["triplets"][1]["id"])
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("2")
        assert page.locator("#triplet .pane").count() == 1 and "mode=slider" in page.evaluate(
            "location.hash"
        )
        page.locator("#triplet .divider input").evaluate(
            "each => { each.value = 20; each.dispatchEvent(new Event('input')); }"
        )
        assert "80%" in page.locator("#triplet .cut").get_attribute("style")
        page.keyboard.press("f")
        before = page.locator("#triplet .caption").inner_text()
        page.keyboard.press("f")
        assert page.locator("#triplet .caption").inner_text() != before
        page.keyboard.press("4")
        assert page.locator("#triplet .pane").count() == 2
        page.keyboard.press("1")
        stage = page.locator("#triplet .stage").first
        still = stage.get_attribute("style")
        page.keyboard.press("+")
        assert stage.get_attribute("style") != still
        styles = [each.get_attribute("style") for each in page.locator("#triplet .stage").all()]
        moves = {style.split("transform:")[1] for style in styles}
        assert len(moves) == 1  # all three move together
        page.keyboard.press("0")
        assert page.locator("#triplet .box").count() >= 3
        page.keyboard.press("b")
        assert page.locator("#triplet .box").count() == 0

    def test_opens_on_the_strongest_finding(self, page: Any, graded_run: Path) -> None:
        data = page_data(graded_run / "report")
        triplet, name, confidence, box, _ = max(
            (row for row in data["detections"] if data["detectors"][row[1]]["severity"]),
            key=lambda row: row[2],
        )
        page.goto(address(graded_run))
        title = f"Strongest finding: {name} {confidence:.4g}, {data['triplets'][triplet]['id']}"
        wait_for_text(page, "#triplet-title", title)
        assert page.locator("#overview").is_visible()
        drawn = page.locator("#triplet .box:not(.label)").first.bounding_box()
        pane = page.locator("#triplet .pane").first.bounding_box()
        assert pane["x"] <= drawn["x"] and drawn["width"] > pane["width"] / 4
        wide = (box[2] - box[0]) / (box[3] - box[1])
        assert drawn["width"] / drawn["height"] == pytest.approx(wide, rel=0.05)

    def test_raters_boxes_are_those_of_the_side_that_is_shown(
        self, page: Any, graded_run: Path
    ) -> None:
        page.goto(address(graded_run, "#/triplet/0?boxes=labels"))
        boxes = page.locator("#triplet .pane").nth(1).locator(".rater")
        assert boxes.count() == 1 and "rater P: color 3" in boxes.first.inner_text()
        assert page.locator("#triplet .rater").count() == 1  # the other side has no box
        assert "neural 3, traditional 0" in page.locator("#triplet .details").inner_text()

    def test_a_link_opens_the_same_view(self, page: Any, graded_run: Path) -> None:
        page.goto(address(graded_run))
        for key in ("j", "f", "f", "+", "+", "Shift+ArrowLeft", "Shift+ArrowUp"):
            page.keyboard.press(key)
        page.wait_for_function("location.hash.includes('see=')")
        page.wait_for_timeout(300)  # moves are written when they have come to rest
        other = page.context.new_page()
        other.goto(page.evaluate("location.href"))
        assert other.locator("#triplet .caption").inner_text() == "traditional"
        places = [
            one.locator("#triplet .stage").evaluate("each => each.getBoundingClientRect().toJSON()")
            for one in (page, other)
        ]
        for side in ("x", "y", "width", "height"):
            assert places[0][side] == pytest.approx(places[1][side], abs=10), side
        other.close()

    def test_closing_stays_in_the_page(self, browser: Any, graded_run: Path) -> None:
        with new_page(browser) as page:
            for opened, left in (("", "#/overview"), ("#/triplet/0", "#/gallery")):
                page.goto("about:blank")
                page.goto(address(graded_run, opened))
                page.keyboard.press("Escape")
                page.wait_for_function("left => location.hash === left", arg=left)
                assert not page.locator("#triplet").is_visible()
                page.keyboard.press("Escape")
            page.evaluate("location.hash = '#/triplets'")
            page.locator("#triplets a").first.click()
            page.locator("#triplet [data-close]").click()
            page.wait_for_function("location.hash === '#/triplets'")

    def test_paper_has_what_is_out_of_sight(self, page: Any, graded_run: Path) -> None:
        page.goto(address(graded_run, "#/gallery"))
        drawn = """() => {
            const list = make("div");
            drawVisible(list, 1000, { step: 9 }, () => make("p"));
            return [list.children.length, list.dataset.rest];
        }"""
        assert page.evaluate(drawn)[0] < 150
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(drawn) == [200, "and 800 more"]
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(drawn)[0] < 150 and page.evaluate(drawn)[1] is None

    def test_paper_is_white(self, browser: Any, graded_run: Path) -> None:
        with new_page(browser, color_scheme="dark") as page:
            page.goto(address(graded_run))
            ground = "getComputedStyle($('#overview .keys li')).backgroundColor"
            assert page.evaluate(ground) != "rgb(255, 255, 255)"
            page.emulate_media(media="print", color_scheme="dark")
            assert page.evaluate(ground) == "rgb(255, 255, 255)"

    def test_paper_shows_the_same_part(self, page: Any, graded_run: Path) -> None:
        page.goto(address(graded_run))
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        places = page.locator("#triplet .pane").all()
        panes = [each.bounding_box() for each in places]
        boxes = [each.locator(".box").first.bounding_box() for each in places]
        for pane, box in zip(panes, boxes, strict=True):
            assert pane["width"] == pane["height"] == 220
            for start, size in (("x", "width"), ("y", "height")):
                assert pane[start] < box[start] < box[start] + box[size] < pane[start] + pane[size]
        assert sum(pane["width"] for pane in panes) < 700 and len({p["y"] for p in panes}) == 1

    def test_tables_keep_words_whole_on_a_phone(self, browser: Any, graded_run: Path) -> None:
        with new_page(browser, viewport={"width": 390, "height": 800}) as page:
            page.goto(address(graded_run, "#/triplets"))
            heights = "each => each.getClientRects()[0].height"
            lines = [
                page.locator(f"#triplets {cell}").first.evaluate(heights)
                for cell in ("thead th:last-child", "td:last-child")
            ]
            assert max(lines) < 40, lines  # of one line
            check_width(page)

    def test_keys_are_shown(self, browser: Any, graded_run: Path) -> None:
        with new_page(browser) as page:
            page.goto(address(graded_run, "#/gallery"))
            page.keyboard.press("?")
            assert page.locator("#keys").is_visible()
            check_accessible(page)
            page.keyboard.press("Escape")
            assert not page.locator("#keys").is_visible() and "gallery" in page.url

    def test_heat_maps_have_one_legend(self, page: Any, benchmark_run: Path) -> None:
        data = page_data(benchmark_run / "report")
        index, triplet = next((i, t) for i, t in enumerate(data["triplets"]) if t["heat"])
        name = next(iter(triplet["heat"]))
        page.goto(address(benchmark_run, f"#/triplet/{index}?heat={name}"))
        assert page.locator("#triplet .heat").count() == 3
        legend = page.locator("#triplet .legend").inner_text()
        low, high = data["detectors"][name]["range"]
        assert name in legend and f"{high:g}" in legend and f"{low:g}" in legend

    def test_thresholds_say_what_the_run_says(
        self, page: Any, benchmark_run: Path, tmp_path: Path
    ) -> None:
        entries = yaml.safe_load((benchmark_run / "thresholds.yaml").read_text())["sets"]
        compared = set()
        for kind, method in (("texture", "texture"), ("color", "large_color"), ("color", "psnr")):
            page.goto(address(benchmark_run, f"#/thresholds?set={kind}&method={method}"))
            for criterion, entry in entries[kind][method].items():
                if entry.get("threshold") is None:
                    continue
                compared.add(method)
                page.select_option("#thresholds select[name=criterion]", criterion)
                counts = {
                    key: int(page.locator(f"[data-figure='{name}'] b").inner_text())
                    for key, name in (
                        ("tp", "true positives"),
                        ("fp", "false positives"),
                        ("fn", "false negatives"),
                        ("tn", "true negatives"),
                    )
                }
                assert counts == {key: entry[key] for key in counts}
                value = entry["tp"] / (entry["tp"] + entry["fp"])  # a threshold finds something
                shown = page.locator("[data-figure=precision] b").inner_text()
                assert math.isclose(float(shown), value, abs_tol=6e-4)
        assert compared == {"texture", "large_color", "psnr"}
        title = page.locator("[data-chart=roc] text").first.text_content()
        metrics = json.loads((benchmark_run / "metrics.json").read_text())
        assert f"{metrics['sets']['color']['auc']['psnr']['value']:.3f}" in title
        page.goto(address(benchmark_run, "#/thresholds?set=color&method=large_color"))
        slider = page.locator("#thresholds input[type=range]")
        slider.focus()
        before = slider.input_value()
        page.keyboard.press("ArrowRight")
        assert int(slider.input_value()) == int(before) + 1 and "at=" in page.evaluate(
            "location.hash"
        )
        copied = tmp_path / "thresholds.yaml"
        copied.write_text(page.locator("#thresholds textarea").input_value())
        file = read_thresholds(copied)
        assert file.criterion == "chosen"
        chosen = {
            name: limit.threshold
            for name, limit in limits_of([LargeColor(), Texture()], copied).items()
        }
        shown = float(page.locator("#thresholds output").inner_text())
        assert chosen["large_color"] == pytest.approx(shown, rel=1e-3)
        page.click("#thresholds .button")
        data = page_data(benchmark_run / "report")
        over = [
            r for r in data["detections"] if r[1] == "large_color" and r[2] > chosen["large_color"]
        ]
        wait_for_text(page, "#gallery .count", f"{len(over)} of")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("place", PLACES)
    def test_nothing_seriously_inaccessible(
        self, browser: Any, benchmark_run: Path, place: str, scheme: str
    ) -> None:
        with new_page(browser, color_scheme=scheme) as page:
            page.goto(address(benchmark_run, place))
            page.wait_for_timeout(200)
            check_accessible(page)

    @pytest.mark.parametrize("place", PLACES)
    def test_on_a_phone_nothing_sticks_out(
        self, browser: Any, benchmark_run: Path, place: str
    ) -> None:
        with new_page(browser, viewport={"width": 380, "height": 700}) as page:
            page.goto(address(benchmark_run, place))
            page.wait_for_timeout(100)
            check_width(page)

    def test_ten_thousand_detections_stay_fluid(
        self, page: Any, benchmark_run: Path, tmp_path: Path
    ) -> None:
        run = read_run(benchmark_run)
        times = math.ceil(10000 / len(run.detections))
        run.detections = [row for row in run.detections for _ in range(times)]
        run.folder = tmp_path
        write_report(run, [], heat_maps=0)
        page.goto(address(tmp_path, "#/gallery"))
        page.wait_for_selector("#gallery .card")
        assert page.locator("#gallery .card").count() < 60
        page.mouse.move(600, 500)
        for _ in range(10):
            page.mouse.wheel(0, 3000)
            page.wait_for_timeout(30)
        page.wait_for_timeout(200)
        assert page.locator("#gallery .card").count() < 90
        keys = [int(each.get_attribute("data-key")) for each in page.locator(".card").all()]
        assert max(keys) > 100


def test_hostile_names(page: Any, tmp_path: Path) -> None:
    """Names of files and ids that mean harm or confuse; and bytes that are no UTF-8."""
    small = np.ascontiguousarray(photo("coffee")[:96, :128])
    records = []
    for number, name in enumerate(HOSTILE):
        folder = tmp_path / "data" / name.replace("/", "_").replace("\0", "")
        folder.mkdir(parents=True)
        paths = write_images(folder, np.roll(small, number, 1))
        records.append(TripletRecord(name, **paths, neural_codec=name, neural_version=name))
    write_manifest(tmp_path / "hostile.jsonl", records)
    run = tmp_path / "<b>run & 'quotes'"
    status = main(
        [
            *("detect", str(tmp_path / "hostile.jsonl"), "detector=[large_color,texture]"),
            *("show_progress=false", "overlays=false"),
            f"folder={run}",
        ]
    )
    assert status == 0
    page.goto(address(run))
    assert page.evaluate("window.HIT") is None
    for place in ("#/gallery", "#/triplets"):
        page.goto(address(run, place))
        page.wait_for_timeout(100)
        assert page.evaluate("window.HIT") is None
    shown = {each.inner_text() for each in page.locator("#triplets tbody th a").all()}
    assert shown == set(HOSTILE)
    for number, name in enumerate(HOSTILE):
        page.goto(address(run, f"#/triplet/{number}"))
        wait_for_text(page, "#triplet-title", name)
        natural = "[...document.querySelectorAll('#triplet .stage img')].map(i => i.naturalWidth)"
        page.wait_for_function(f"{natural}.every(width => width === 128)")


def test_nothing_found(page: Any, tmp_path: Path) -> None:
    paths = write_images(tmp_path, np.full((64, 64, 3), 128, np.uint8))
    arguments = ["detect", *paths.values(), "detector=[small_color]", "show_progress=false"]
    assert main([*arguments, f"folder={tmp_path / 'run'}"]) == 0
    page.goto(address(tmp_path / "run", "#/gallery"))
    assert "found nothing" in page.locator("#gallery .count").inner_text()


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    flat = photo("coffee")[:64, :64]
    folder = os.fsencode(tmp_path) + b"/bad\xff"
    os.makedirs(folder)  # noqa: PTH103 (bytes)
    paths = write_images(Path(os.fsdecode(folder)), flat)
    run_folder = tmp_path / "run"
    status = main(
        [
            *("detect", *paths.values(), "detector=[large_color]", "show_progress=false"),
            f"folder={run_folder}",
        ]
    )
    assert status == 0 and len(page_data(run_folder / "report")["triplets"]) == 1
