"""``rank``: codecs coded, detected and ranked; finished runs ranked; what is bad about either."""

import io
import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from checks import csv_rows, fails
from pages import HOSTILE, check_accessible, check_width, new_page, page_data
from PIL import Image as Pillow
from skimage import data

from nacd_bench.cli.main import main
from nacd_bench.coding.codec import Codec, OperatingPoints
from nacd_bench.detectors import Texture
from nacd_bench.detectors.base import Detector
from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.jobs.detect import detect
from nacd_bench.jobs.rank.ranking import EVERY
from nacd_bench.jobs.rank.run import rank, rank_sides
from nacd_bench.report.rank_page import rank_figure
from nacd_bench.runs.folder import Journal, journal_schema
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.triplets.manifest import read_manifest
from nacd_codecs.process import run as run_program

SIDE = 176
"""MS-SSIM takes it."""
RATES = (1.0, 2.0)
FEW = Resampling(resamples=200)
ANCHOR = {"name": "x265", "preset": "ultrafast"}


class Darkness(Detector):
    """A severity that grows with the error that the neural side has beyond the other."""

    name = "texture_severity"
    artifact_type = "texture"
    is_severity = True
    counts_from = 1.5

    def forward(self, batch):
        errors = [
            (side.float() - batch.original.float()).abs().mean(dim=(1, 2, 3)) / 4
            for side in (batch.neural, batch.traditional)
        ]
        scores = (errors[0] - errors[1]).clamp(0, 3)
        some = scores > 0
        boxes = [torch.tensor([[8, 8, 72, 72]] * int(each)).reshape(-1, 4) for each in some]
        confidences = [score.repeat(int(each)) for score, each in zip(scores, some, strict=True)]
        return DetectionBatch(scores, boxes, confidences)


class Noisy(Codec):
    """JPEG with noise in its decodes; photographs with a red first pixel make it fail."""

    points = OperatingPoints("quality", (5, 20, 40, 60, 80), slope=0.5)
    in_main_process = True

    def __init__(self, name="noisy", noise=0, fails=False):
        self.name, self.noise, self.fails = name, noise, fails
        self.is_neural = bool(noise)

    @property
    def parameters(self):
        return {"noise": self.noise, "fails": self.fails}

    @property
    def parameter_count(self):
        return 1000 * self.noise or None

    def version(self):
        return "1"

    def encode(self, image, point):
        if self.fails and tuple(image[0, 0]) == (255, 0, 0):
            raise RuntimeError("red pixel")
        file = io.BytesIO()
        Pillow.fromarray(image).save(file, "JPEG", quality=int(point))
        return file.getvalue()

    def decode(self, data):
        pixels = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB")).astype(np.int16)
        noise = np.random.default_rng(0).integers(-self.noise, self.noise + 1, pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 photographs, of every third of which the first pixel is red."""
    folder = tmp_path_factory.mktemp("photos")
    wholes = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    tiles = [
        whole[y : y + SIDE, x : x + SIDE]
        for whole in wholes
        for y in range(0, whole.shape[0] - SIDE + 1, SIDE)
        for x in range(0, whole.shape[1] - SIDE + 1, SIDE)
    ]
    for number, tile in enumerate(tiles[:24]):
        part = tile.copy()
        part[0, 0] = (255, 0, 0) if number % 3 == 0 else (0, 0, 255)
        Pillow.fromarray(part).save(folder / f"p{number:02}.png")
    return folder


def ranked_in(folder, images, codecs, rates=RATES, **settings):
    given = {"anchor": Noisy("anchor"), "detectors": [Darkness()], "workers": 0, **settings}
    return rank(
        images,
        folder,
        codecs=codecs,
        rates=rates,
        bootstrap=FEW,
        cache=folder.parent / "cache",
        show_progress=False,
        **given,
    )


@pytest.fixture(scope="module")
def done(photos, tmp_path_factory):
    """Three codecs, the last of which fails on a third of the photographs."""
    codecs = [Noisy("noisy", 30), Noisy("clean", 4), Noisy("brittle", 12, fails=True)]
    return ranked_in(tmp_path_factory.mktemp("ranked") / "run", str(photos), codecs)


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def row_of(done, codec, preset=EVERY):
    return next(
        row for row in done.ranking.rows if (row["codec"], row["preset"]) == (codec, preset)
    )


class TestCodecsOnPhotographs:
    def test_fewer_artifacts_rank_higher_and_the_anchor_is_not_ranked(self, done):
        assert [each.name for each in done.ranking.entrants] == ["clean", "noisy", "brittle"]
        assert [row_of(done, name)["rank"] for name in ("clean", "noisy")] == [1, 2]
        anchor = row_of(done, "anchor")
        assert anchor["is_anchor"] and "rank" not in anchor and anchor["psnr"] > 20
        (row,) = csv_rows(done.folder / "thresholds.csv")
        assert (row["detector"], row["threshold"], row["by"]) == (Darkness.name, "1.5", "detector")
        (test,) = done.ranking.tests.values()
        assert test.p_holm < 1e-4 and test.difference.high < 0

    def test_a_codec_that_fails_on_a_third_is_in_the_table_with_the_reason(self, done):
        row = row_of(done, "brittle")
        assert "8 of 24 photographs" in row["out"] and "rank" not in row
        assert row["photographs"] == 16 and row["severity"] > 0
        assert len(done.failures) == 2 * 8
        assert any("brittle is not ranked" in note for note in done.ranking.notes)
        summary = (done.folder / "summary.md").read_text()
        assert "| brittle | out |" in summary and "8 of 24 photographs" in summary

    def test_one_that_fails_on_all_is_in_the_table_too(self, photos, tmp_path):
        red = sorted(map(str, photos.iterdir()))[:6:3]
        codecs = [Noisy("brittle", 12, fails=True), Noisy("clean", 4)]
        for limit in (0.2, 1.0):
            run = tmp_path / f"{limit}"
            some = ranked_in(run, red, codecs, [1.0], failure_limit=limit)
            again = rank(
                None,
                tmp_path / f"{limit} again",
                runs=[run],
                bootstrap=FEW,
                show_progress=False,
                failure_limit=limit,
            )
            for each in (some, again):
                row = row_of(each, "brittle")
                assert "2 of 2 photographs" in row["out"] and row["photographs"] == 0
                assert row_of(each, "clean")["photographs"] == 2
                assert "| brittle | out | 0 |" in (each.folder / "summary.md").read_text()

    def test_the_anchor_has_the_rate_that_each_codec_got(self, done):
        triplets = pq.read_table(done.folder / "triplets.parquet").to_pylist()
        assert len(triplets) == 2 * (24 + 24 + 16)
        for row in triplets:
            assert row["traditional_asked"] == row["neural_bpp"]
            assert row["traditional_bpp"] == row["neural_bpp"]  # the same encoder

    def test_figures_are_those_of_plain_loops_over_the_codings(self, done):
        codings = [row for row in csv_rows(done.folder / "codings.csv") if row["codec"] == "noisy"]
        severities = [float(row["texture_severity"]) for row in codings]
        found = [row for row, severity in zip(codings, severities, strict=True) if severity > 1.5]
        images = {row["image"] for row in codings}
        row = row_of(done, "noisy")
        assert len(images) == row["photographs"] == 24 and len(codings) == 48
        assert row["severity"] == pytest.approx(sum(severities) / 48, rel=1e-12)
        assert row["texture_per_100"] == pytest.approx(100 * len(found) / 48, rel=1e-12)
        area = 48 * SIDE * SIDE / 1e6
        assert row["all_per_100_mp"] == pytest.approx(100 * len(found) / area, rel=1e-12)
        assert row["any"] == pytest.approx(len(found) / 48, rel=1e-12)
        assert row["bpp"] == pytest.approx(np.mean([float(r["neural_bpp"]) for r in codings]))
        seconds = sum(float(r["neural_encode_seconds"]) for r in codings)
        assert row["encode_mp_per_second"] == pytest.approx(area / seconds)
        assert row["parameters"] == 30_000 and row["is_neural"]
        # noise of 30 levels is beyond the threshold, and nothing better than the anchor
        assert row["severity_low"] < row["severity"] < row["severity_high"]
        assert row["texture_better_per_100"] == 0

    def test_exchanged_sides_say_where_a_codec_is_better(self, photos, tmp_path):
        settings = {"anchor": Noisy("anchor", 30)}
        better = ranked_in(tmp_path / "run", str(photos), [Noisy("clean")], [1.0], **settings)
        row = row_of(better, "clean")
        assert (row["all_per_100"], row["all_better_per_100"]) == (0, 100)

    def test_the_page_shows_the_worst_in_all_codecs(self, done):
        findings = page_data(done.folder / "rank")["findings"]
        assert len(findings) == 20
        assert [f["severity"] for f in findings] == sorted(f["severity"] for f in findings)[::-1]
        labels = [view["label"].split(",")[0] for view in findings[0]["views"]]
        assert labels[:3] == ["original", "noisy", "anchor anchor"] and "clean" in labels
        for view in findings[0]["views"]:
            assert (done.folder / "rank" / view["picture"]).is_file()
        page = (done.folder / "rank" / "index.html").read_text()
        assert "brittle is not ranked" in page and (done.folder / "curves.svg").is_file()
        assert "\\begin{tabular}" in (done.folder / "table.tex").read_text()

    def test_a_bd_rate_that_is_not_there_has_its_reason(self, done):
        """Two rates make no curve."""
        reason = "2 different points, 4 are needed"
        for row in csv_rows(done.folder / "ranking.csv"):
            if row["preset"] == EVERY and row["codec"] != "anchor":
                assert row["bd_rate_psnr"] == row["bd_rate_msssim"] == ""
                assert row["bd_rate_psnr_reason"] == row["bd_rate_msssim_reason"] == reason
        told = (
            "BD-rate by PSNR of Y and MS-SSIM of Y of clean, noisy, brittle against anchor: "
            f"n/a ({reason})."
        )
        assert told in done.ranking.notes
        assert f"- {told}" in (done.folder / "summary.md").read_text()
        assert told in (done.folder / "rank" / "index.html").read_text()

    def test_again_it_computes_nothing_and_says_the_same(self, photos, done):
        before = (done.folder / "ranking.csv").read_text()
        codecs = [Noisy("noisy", 30), Noisy("clean", 4), Noisy("brittle", 12, fails=True)]
        again = ranked_in(done.folder, str(photos), codecs)
        assert again.coded.encodes == 0
        assert (done.folder / "ranking.csv").read_text() == before

    def test_one_codec_at_one_rate_is_a_bar(self, photos, tmp_path):
        some = sorted(map(str, photos.iterdir()))[:2]
        alone = ranked_in(tmp_path / "run", some, [Noisy("noisy", 30)], [1.0])
        rows = [row for row in alone.ranking.rows if row["preset"] == "bpp-1"]
        axes, *_ = rank_figure(rows, {"severity": "severity"}).axes
        assert len(axes.patches) == 1 and not axes.lines[2:]
        assert axes.patches[0].get_height() == rows[0]["severity"]
        twice = [rows[0], rows[0] | {"preset": "bpp-2"}]  # the one point that it has
        assert len(rank_figure(twice, {"severity": "severity"}).axes[0].patches) == 1
        assert not alone.ranking.tests and "rank" not in row_of(alone, "noisy")
        assert any("No ranks: 2 photographs" in note for note in alone.ranking.notes)

    def test_views_of_one_scene_are_one_photograph(self, photos, done, tmp_path):
        whole = np.concatenate([data.astronaut()[:, :300], data.coffee()[:300, :300]])
        for number in range(3):  # a burst, and another scene
            part = whole[4 * number : 300 + 4 * number] if number < 2 else whole[500:800]
            Pillow.fromarray(part).save(tmp_path / f"{number}.png")
        burst = ranked_in(tmp_path / "run", str(tmp_path), [Noisy("noisy", 30)], [1.0])
        row = row_of(burst, "noisy")
        assert (row["photographs"], row["scenes"]) == (3, 2)
        by_image = {
            r["image"]: float(r["severity"]) for r in csv_rows(burst.folder / "codings.csv")
        }
        expected = ((by_image["0"] + by_image["1"]) / 2 + by_image["2"]) / 2
        assert row["severity"] == pytest.approx(expected)
        findings = page_data(burst.folder / "rank")["findings"]
        assert len(findings) == 2 and {f["image"] for f in findings} & {"2"}


class TestFinishedRuns:
    @pytest.fixture(scope="class")
    def two(self, photos, tmp_path_factory):
        """Runs over photographs of which sixteen are the same."""
        folder, files = tmp_path_factory.mktemp("two"), sorted(map(str, photos.iterdir()))
        given = {"clean": files[:20], "noisy": files[4:]}
        for name, images in given.items():
            codec = Noisy(name, 30 if name == "noisy" else 4)
            ranked_in(folder / name, images, [codec], report=False)
        return [folder / name for name in given]

    def test_only_common_photographs_count(self, two, tmp_path):
        both = rank(None, tmp_path / "both", runs=two, bootstrap=FEW, show_progress=False)
        assert [row_of(both, name)["photographs"] for name in ("clean", "noisy")] == [16, 16]
        assert any("16 of 24 photographs count" in note for note in both.ranking.notes)
        assert row_of(both, "noisy")["severity"] > row_of(both, "clean")["severity"]

    def test_they_rank_as_when_they_were_coded_together(self, done, tmp_path):
        again = rank(None, tmp_path / "a", runs=[done.folder], bootstrap=FEW, show_progress=False)
        keys = ("codec", "preset", "severity", "rank", "all_per_100", "all_better_per_100")
        told = [[row.get(key) for key in keys] for row in done.ranking.rows]
        assert [[row.get(key) for key in keys] for row in again.ranking.rows] == told

    def test_detect_runs_of_a_compressed_folder(self, done, tmp_path):
        """Of codecs of one name the folder tells them apart."""
        runs = [tmp_path / "v1", tmp_path / "v2"]
        records = [
            record
            for record in read_manifest(done.folder / "triplets.parquet")
            if record.neural_codec == "clean"
        ]
        for run in runs:
            detect(
                (records, []),
                [Darkness()],
                run,
                clean="exchanged",
                overlays=False,
                show_progress=False,
            )
        both = rank(None, tmp_path / "both", runs=runs, bootstrap=FEW, show_progress=False)
        first, second = both.ranking.rows[0], row_of(both, f"clean ({runs[1]})")
        assert first["codec"] == f"clean ({runs[0]})"
        assert first["severity"] == second["severity"] == row_of(done, "clean")["severity"]
        assert first["rank"] == second["rank"] == 1
        assert first["all_better_per_100"] == row_of(done, "clean")["all_better_per_100"]
        assert next(iter(both.ranking.tests.values())).p == 1

    def test_curves_of_compressai_stand_beside(self, done, tmp_path):
        own = {"bpp": [1.0, 2.0], "psnr-rgb": [25.0, 30.0], "ms-ssim-rgb": [0.9, 0.99]}
        for name in ("a", "b"):
            (tmp_path / f"{name}.json").write_text(json.dumps({"name": "net", "results": own}))
        curves = [tmp_path / "a.json", tmp_path / "b.json"]
        both = rank(
            None,
            tmp_path / "run",
            runs=[done.folder],
            curves=curves,
            bootstrap=FEW,
            show_progress=False,
        )
        names = [curve.codec for curve in both.ranking.curves]
        assert names == ["anchor", "clean", "noisy", "net (a.json)", "net (b.json)"]
        codings = [row for row in csv_rows(both.folder / "codings.csv") if row["codec"] == "noisy"]
        records = {r.id: r for r in read_manifest(done.folder / "triplets.parquet") if r.id}
        expected = {}
        for row in codings:
            pair = [
                np.asarray(Pillow.open(getattr(records[row["triplet"]], role)), np.float64)
                for role in ("original", "neural")
            ]
            error = np.square(pair[0] - pair[1]).mean()
            expected.setdefault(row["preset"], []).append(10 * np.log10(255**2 / error))
        told = {
            (row["codec"], round(float(row["bpp"]), 6)): row
            for row in csv_rows(both.folder / "rgb_curves.csv")
        }
        means = [float(row["psnr"]) for (codec, _), row in told.items() if codec == "noisy"]
        assert means == pytest.approx([np.mean(expected[f"bpp-{rate:g}"]) for rate in RATES])
        assert told["net (a.json)", 1.0]["source"] == "a.json"
        page = both.page.read_text()
        assert "elsewhere: b.json" in page and "only on the same photographs" in page
        figure = (both.folder / "curves.svg").read_text()
        assert "PSNR of RGB" in figure and "net (b.json) (elsewhere)" in figure
        bad = tmp_path / "bad.json"
        bad.write_text("{}")
        fails(
            DataError,
            'bad.json: .*no "results"',
            rank,
            None,
            tmp_path / "other",
            runs=[done.folder],
            curves=[bad],
        )
        assert not (tmp_path / "other").exists()

    def test_two_versions_in_one_run_are_two_codecs(self, done, tmp_path):
        records = [
            replace(record, neural_codec="codec", neural_version=version)
            for record in read_manifest(done.folder / "triplets.parquet")
            for version in [{"clean": "1", "noisy": "2"}.get(record.neural_codec)]
            if version
        ]
        where = tmp_path / "run"
        detect((records, []), [Darkness()], where, overlays=False, show_progress=False)
        ranked = rank(None, tmp_path / "ranked", runs=[where], bootstrap=FEW, show_progress=False)
        for name, version in (("clean", "codec 1"), ("noisy", "codec 2")):
            assert row_of(ranked, version)["severity"] == row_of(done, name)["severity"]

    def test_no_common_photograph_or_anchor_is_refused(self, photos, two, tmp_path):
        files = sorted(map(str, photos.iterdir()))
        ranked_in(tmp_path / "rest", files[20:], [Noisy("rest")], report=False)
        ranked_in(tmp_path / "other", files[:2], [Noisy("b")], anchor=Noisy("else"), report=False)
        rank_runs = partial(rank, None, tmp_path / "none", show_progress=False)
        fails(
            DataError,
            "none in common: 20 of clean, 4 of rest",
            rank_runs,
            runs=[two[0], tmp_path / "rest"],
        )
        fails(DataError, "anchor 1 in .*else 1 in", rank_runs, runs=[two[0], tmp_path / "other"])
        fails(DataError, "a folder of its own", rank, None, two[0], runs=two)
        ranked_in(
            tmp_path / "set", files[:8], [Noisy("c")], anchor=Noisy("anchor", 3), report=False
        )
        fails(
            DataError,
            "an anchor with the same settings.*noise=0, fails=False in .*noise=3",
            rank_runs,
            runs=[two[0], tmp_path / "set"],
        )

    def test_a_codec_that_failed_is_out_wherever_the_command_is_called(
        self, photos, tmp_path, monkeypatch
    ):
        """Its photographs are known by the names that they had."""
        monkeypatch.chdir(photos)
        images = sorted(path.name for path in photos.iterdir())[:3]
        ranked_in(tmp_path / "run", images, [Noisy("b", fails=True)], [1.0], report=False)
        monkeypatch.chdir(tmp_path)
        again = rank(None, tmp_path / "a", runs=["run"], bootstrap=FEW, show_progress=False)
        assert "1 of 3 photographs" in row_of(again, "b")["out"]

    def test_the_first_fault_is_said_where_nothing_is_coded(self, photos, tmp_path):
        (tmp_path / "notes.txt.png").write_text("no photograph")
        red, codecs = str(min(photos.iterdir())), [Noisy("brittle", fails=True)]
        for images, fault in (
            (str(tmp_path / "notes.txt.png"), "text content"),
            (red, "red pixel"),
        ):
            fails(
                DataError,
                f"can code, got none: .*{fault}.*failures.csv",
                ranked_in,
                tmp_path / fault,
                images,
                codecs,
            )

    def test_what_is_needed_is_said(self, photos, tmp_path):
        fails(DataError, "got no photographs, 0 codecs and 0 runs", rank, None, tmp_path)
        fails(DataError, "got photographs, 0 codecs", rank, str(photos), tmp_path)
        for given, told in (([], "none"), ([Texture()], "texture")):
            fails(
                DataError,
                f"detectors of severity, got {told}",
                ranked_in,
                tmp_path / "run",
                str(photos),
                [Noisy()],
                detectors=given,
            )
        assert not (tmp_path / "run").exists()


class TestThePageInChromium:
    @pytest.mark.parametrize("width, scheme", [(380, "light"), (800, "dark"), (1280, "light")])
    def test_at_three_widths(self, browser, done, width, scheme):
        with new_page(
            browser, viewport={"width": width, "height": 800}, color_scheme=scheme
        ) as page:
            page.goto(done.page.as_uri())
            assert page.locator(".finding").count() == 20
            check_width(page)
            check_accessible(page)

    def test_pictures_and_links_are_there(self, page, done):
        page.goto(done.page.as_uri())
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        page.wait_for_function("[...document.images].every(p => p.complete && p.naturalWidth)")
        for address in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)"):
            target = address.removeprefix("file://")
            path, _, place = target.partition("#")
            if place.startswith("/finding/"):
                page.goto(address)
                page.wait_for_selector(".pane")
                assert page.locator(".pane").count() >= 4
            elif place:
                assert page.locator(f"[id='{place}']").count() == 1
            else:
                assert Path(path).is_file(), target

    def test_by_keyboard(self, page, done):
        page.goto(done.page.as_uri())
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # skip to the content
        assert page.evaluate("document.activeElement.id") == "main"
        own = "[...document.querySelectorAll('.finding:first-child img')].map(p => p.src)"
        before = page.evaluate(own)
        page.keyboard.press("f")
        assert page.evaluate(own) == before[:1] * len(before)
        page.locator("[data-flip]").focus()
        page.keyboard.press("Space")
        assert page.evaluate(own) == before
        box = page.locator(".finding i").first
        assert box.is_visible()
        page.keyboard.press("b")
        assert not box.is_visible()
        assert page.locator("#overview [data-boxes]").get_attribute("aria-pressed") == "false"
        page.keyboard.press("?")
        assert "next finding" in page.inner_text("dialog[open]")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.wait_for_selector(".pane")  # the address changes a moment later
        title = page.inner_text("#finding-title")
        page.keyboard.press("j")
        assert page.inner_text("#finding-title") != title
        page.keyboard.press("k")
        assert page.inner_text("#finding-title") == title
        page.keyboard.press("Escape")
        page.wait_for_function("document.activeElement.dataset.finding === '0'")

    def test_a_link_opens_the_same_view(self, browser, done):
        """What was chosen in the list, and what is seen of one finding, is in the address."""
        with new_page(browser, viewport={"width": 1280, "height": 900}) as page:
            page.goto(done.page.as_uri())
            page.select_option("[name=curve]", "any")
            page.select_option("[name=rate]", "bpp-2")
            page.keyboard.press("b")
            listed = page.inner_text(".findings")
            overview = page.url
            page.locator(".finding a").nth(1).click()
            page.wait_for_selector(".pane")
            page.keyboard.press("2")
            page.keyboard.press("f")
            page.keyboard.press("+")
            page.wait_for_function("location.hash.includes('see=')")
            state = "$$('.pane, .pane img').map((each) => each.outerText || each.src)"
            seen, scale, finding = page.evaluate(state), page.evaluate("view.scale"), page.url
            page.locator("[data-close]").click()
            page.wait_for_selector(".finding")
            assert page.inner_text(".findings") == listed
        for address in (overview, finding):
            with new_page(browser, viewport={"width": 1280, "height": 900}) as page:
                page.goto(address)
                if address == finding:
                    assert page.evaluate(state) == seen
                    assert page.evaluate("view.scale") == pytest.approx(scale, rel=0.01)
                    assert (
                        "anchor" in page.inner_text(".pane") and page.locator(".pane").count() == 1
                    )
                    assert not page.locator(".pane .box").first.is_visible()
                else:
                    assert page.inner_text(".findings") == listed
                    assert page.locator("img.curves").get_attribute("src") == "curves-any.svg"
                    assert not page.locator(".finding i").first.is_visible()

    def test_hostile_names(self, page, photos, tmp_path):
        names = [name.replace("/", "|") for name in HOSTILE]
        for name, path in zip(names, sorted(photos.iterdir())[1:], strict=False):
            shutil.copy(path, tmp_path / f"{name}.png")
        codecs = [Noisy(names[0], 30), Noisy(names[1], 4)]
        images = [str(tmp_path / f"{name}.png") for name in names]
        page.goto(ranked_in(tmp_path / "run", images, codecs, [1.0]).page.as_uri())
        told = page.inner_text("main")
        assert all(name in told for name in names)
        assert page.evaluate("window.HIT") is None
        check_width(page)


class TestCodecEntries:
    def test_names_rows_and_commands(self, tmp_path):
        (tmp_path / "row.yaml").write_text("name: jpeg\nsubsampling: '4:4:4'\nlabel: full\n")
        (tmp_path / "mine.yaml").write_text(
            "name: mine\nencode: [cp, '{input}', '{bitstream}']\n"
            "decode: [cp, '{bitstream}', '{output}']\npoints: {name: q, values: [1]}\n"
            "neural: true\nparameters: 1200\n"
        )
        codecs = ["webp", str(tmp_path / "row.yaml"), str(tmp_path / "mine.yaml"), "x265"]
        sides = rank_sides(codecs, ANCHOR)
        assert [side.label for side in sides if side.follows is None] == ["webp", "full", "mine"]
        assert [side.follows for side in sides if side.follows] == ["webp", "full", "mine"]
        full, mine = sides[2].codec, sides[4].codec
        assert full.parameters["subsampling"] == "4:4:4" and full.is_neural is False
        assert (mine.is_neural, mine.parameter_count) == (True, 1200)
        assert {side.rate_factor for side in sides} == {1.0}

    def test_wrong_ones_are_said_before_anything_is_coded(self):
        fails(UserError, "Did you mean.*webp|webp", rank_sides, ["wepb"], ANCHOR)
        fails(
            UserError,
            "two codecs of the run are called 'jpeg'",
            rank_sides,
            ["jpeg", "jpeg"],
            ANCHOR,
        )
        fails(DataError, "a codec beside the anchor, got x265 alone", rank_sides, ["x265"], "x265")

    def test_memory_is_that_of_a_program(self, tmp_path):
        """A program that takes 300 MB, and its own child that does, beside one that takes none."""
        child = "import time; x = bytearray(300_000_000); time.sleep(1.5)"
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        bare = run_program([sys.executable, "-c", "import time; time.sleep(1.5)"], 600).memory
        for program in (child, code):
            memory = run_program([sys.executable, "-c", program], 600).memory
            assert bare < memory / 2 and 300e6 < memory < 600e6 + bare


class TestCommand:
    WORDS = (
        "codecs=[jpeg,webp]",
        "rates=[1,2]",
        "anchor={name: x265, preset: ultrafast}",
        "detector=[texture_severity]",
        "workers=1",
        "show_progress=false",
        "bootstrap.resamples=100",
    )

    def test_killed_it_goes_on(self, photos, starter, tmp_path):
        images = tmp_path / "images"
        images.mkdir()
        for path in sorted(photos.iterdir())[:5]:
            shutil.copy(path, images)
        words = ["rank", str(images), *self.WORDS]
        environment = {"NACD_BENCH_CACHE": str(tmp_path / "cache")}
        process = starter.command(*words, f"folder={tmp_path / 'run'}", **environment)
        journal = tmp_path / "run/journal.jsonl"
        while process.poll() is None and lines_of(journal) < 3:
            time.sleep(0.01)
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        done = lines_of(journal)
        again = starter.command(*words, f"folder={tmp_path / 'run'}", **environment)
        assert again.wait() == 0, again.output
        assert "Worse than the anchor" in again.output and "No ranks: 5 photographs" in again.output
        assert "relative to x265" in again.output and "x265 x265" not in again.output
        whole = starter.command(*words, f"folder={tmp_path / 'whole'}", **environment)
        assert whole.wait() == 0
        stable = ("codec", "preset", "severity", "bpp", "psnr", "texture_per_100")
        told = [
            [[row[name] for name in stable] for row in csv_rows(tmp_path / run / "ranking.csv")]
            for run in ("run", "whole")
        ]
        assert told[0] == told[1] and len(told[0]) == 2 * 3 + 1
        records = list(Journal(journal, journal_schema("rank")))
        assert len(records) == 5 and 2 <= done - 1 < 5  # nothing was coded twice

    def test_plan_measures_and_leaves_nothing(self, photos, capsys, tmp_path, monkeypatch):
        monkeypatch.setenv("NACD_BENCH_CACHE", str(tmp_path / "cache"))
        images = sorted(map(str, photos.iterdir()))[:3]
        folder = tmp_path / "run"
        assert main(["rank", *images, *self.WORDS, f"folder={folder}", "--plan"]) == 0
        output = capsys.readouterr().out
        assert "3 images: about" in output and "webp encodes" in output and "detect" in output
        assert not folder.exists()
