"""The detect job: what it writes, what it survives, how it goes on."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from checks import csv_rows, fails
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from processes import Starter
from triplet_folder import make_triplets, small_photo

from nacd_bench.cli.main import main
from nacd_bench.detectors import Boundary, Detector, LargeColor, SmallColor, Texture
from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.thresholds import best_thresholds, write_thresholds
from nacd_bench.jobs import detect as job
from nacd_bench.jobs.detect import Detected, detect
from nacd_bench.report.heat_map import per_pixel
from nacd_bench.runs.folder import file_name
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.triplets.sample import sample_triplets


class Scripted(Detector):
    """Does what a test tells it to."""

    name = "scripted"
    artifact_type = "texture"

    def __init__(self, fails_on: str = "", nan_on: str = "") -> None:
        super().__init__()
        self.fails_on = fails_on
        self.nan_on = nan_on
        self.calls: list[tuple[str, ...]] = []

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        self.calls.append(tuple(batch.ids))
        if self.fails_on in batch.ids:
            raise RuntimeError("out of luck")
        scores = torch.tensor([float("nan") if i == self.nan_on else 0.5 for i in batch.ids])
        boxes = [torch.tensor([[0, 0, 4, 4]]) for _ in batch.ids]
        return DetectionBatch(scores, boxes, [torch.tensor([0.5]) for _ in batch.ids])


def run(source: object, folder: Path, *detectors: Detector, **options: object):
    chosen = detectors or (Texture(window=32), LargeColor(window=32))
    return detect(source, chosen, folder, show_progress=False, **options)  # type: ignore[arg-type]


def scores(done: Detected, name: str) -> dict[str, float]:
    return {detector: result.score for detector, result in done.results[name].items()}


def batch_of(data: Path, name: str) -> TripletBatch:
    roles = [
        np.array(Image.open(data / role / f"{name}.png")) for role in ("orig", "ai", "classic")
    ]
    return TripletBatch(*(torch.tensor(image.transpose(2, 0, 1)[None]) for image in roles))


def table(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def exchanged_folders(data: Path) -> Path:
    """The folder with the neural results in the place of the traditional ones."""
    (data / "ai").rename(data / "other")
    (data / "classic").rename(data / "ai")
    (data / "other").rename(data / "classic")
    return data


class TestResults:
    def test_tables_say_the_same_and_hold_what_the_detectors_said(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        found = run(data, tmp_path / "run")
        assert found.failures == [] and found.computed == 3
        rows = table(tmp_path / "run" / "scores.parquet")
        assert [row["triplet"] for row in rows] == ["astronaut", "coffee", "rocket"]
        direct = Texture(window=32)(batch_of(data, "coffee"))
        assert rows[1]["texture"] == pytest.approx(direct.scores.item(), abs=1e-7)
        detections = table(tmp_path / "run" / "detections.parquet")
        row = next(r for r in detections if r["triplet"] == "coffee" and r["detector"] == "texture")
        assert [row[c] for c in ("x0", "y0", "x1", "y1")] == direct.boxes[0][0].tolist()
        assert row["artifact_type"] == "texture" and row["confidence"] > 0

    def test_rates_and_codecs_come_from_the_index(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        (data / "index.csv").write_text(
            "id,neural_codec,neural_bpp,traditional_codec,traditional_bpp\n"
            "astronaut,mine,0.25,HM,0.3\n"
        )
        found = run(data, tmp_path / "run")
        row = table(tmp_path / "run" / "detections.parquet")[0]
        assert (row["neural_codec"], row["neural_bpp"]) == ("mine", 0.25)
        assert (row["traditional_codec"], row["traditional_bpp"]) == ("HM", 0.3)
        assert found.codecs == ["1 triplet: neural side mine, traditional side HM"]

    def test_pictures_name_codecs_with_their_versions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut", "coffee"))
        (data / "index.csv").write_text(
            "id,neural_codec,neural_version,traditional_codec\n"
            "astronaut,mine,3.3,HM\ncoffee,mine,mine 3.4,\n"
        )
        lines: list[str] = []
        monkeypatch.setattr(job, "overlay", lambda *given: lines.extend(given[-1]) or b"")
        found = run(data, tmp_path / "run")
        assert sorted(lines) == [
            "astronaut",
            "coffee",
            "neural: mine 3.3 | traditional: HM",
            "neural: mine 3.4 | traditional: unknown codec",
        ]
        assert len(found.codecs) == 2

    def test_thresholds_decide_what_is_a_detection_not_the_scores(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        found = run(data, tmp_path / "run", thresholds={"texture": 9.0, "large_color": -9.0})
        assert {row["detector"] for row in found.detections} == {"large_color"}
        values = [row["texture"] for row in table(tmp_path / "run/scores.parquet")]
        assert values and None not in values

    def test_false_alarms_on_exchanged_triplets(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The better codec stands for the neural one: exchanged, the worse one does."""
        data = exchanged_folders(make_triplets(tmp_path / "data"))
        texture = Texture()
        batches = [batch_of(data, name) for name in ("astronaut", "coffee", "rocket")]
        others = [TripletBatch(b.original, b.traditional, b.neural) for b in batches]
        swapped = [texture(batch).scores.item() for batch in others]
        cut = 0.9 * min(swapped)
        assert cut > 0
        entries = best_thresholds([1] * 40 + [0] * 40, [1.5 * cut] * 40 + [0.5 * cut] * 40)
        file = tmp_path / "thresholds.yaml"
        write_thresholds(file, {"texture": {"texture": entries}}, {"texture": texture.settings})
        words = ["detect", str(data), "detector=[texture]", "criterion=fpr_5", "clean=exchanged"]
        words += [f"thresholds={file}", f"folder={tmp_path}/run", "report=true"]
        assert main([*words, "show_progress=false", "overlays=false"]) == 0
        (row,) = csv_rows(tmp_path / "run" / "thresholds.csv")
        assert (row["by"], row["clean_triplets"], row["expected"]) == ("fpr_5", "3", "0.0")
        assert float(row["threshold"]) == pytest.approx(cut)
        fired = [score > float(row["threshold"]) for score in swapped]
        assert float(row["clean"]) == pytest.approx(100 * np.mean(fired)) == 100
        assert row["exceeds"] == "True"
        out = capsys.readouterr().out
        assert "Warning: texture finds more in clean triplets" in " ".join(out.split())
        assert re.search(r"^Time by part: .*report [\d.]+ s", out, re.M)
        page = (tmp_path / "run" / "report" / "index.html").read_text()
        assert "100.0 [29.2, 100.0], more than expected" in page

    def test_clean_triplets_of_ones_own(self, tmp_path: Path) -> None:
        data = exchanged_folders(make_triplets(tmp_path / "data"))
        other = make_triplets(tmp_path / "clean", ("astronaut",))
        shutil.copytree(other / "orig", other / "ai", dirs_exist_ok=True)  # nothing can be worse
        found = run(data, tmp_path / "run", clean=str(other))
        assert {name: alarms.per_100 for name, alarms in found.clean.items()} == {
            "texture": 0.0,
            "large_color": 0.0,
        }
        assert found.alarming == []
        again = run(data, tmp_path / "run", clean="exchanged")
        assert again.computed == 0 and again.clean["texture"].per_100 == 100.0

    def test_a_score_without_a_box_is_no_false_alarm(self, tmp_path: Path) -> None:
        sample = sample_triplets(["china"], ["high"])
        found = run(sample, tmp_path / "run", SmallColor(), clean="exchanged", overlays=False)
        [row] = csv_rows(tmp_path / "run" / "clean" / "scores.csv")
        assert 0 < float(row["small_color"]) < SmallColor().threshold
        assert found.clean["small_color"].per_100 == 0

    def test_batches_do_not_change_a_row(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut", "coffee", "rocket", "chelsea"))
        detectors = (Texture(window=32), Boundary(), LargeColor(window=32), SmallColor())
        one = run(data, tmp_path / "1", *detectors, batch_size=1)
        four = run(data, tmp_path / "4", *detectors, batch_size=4)
        assert one.results.keys() == four.results.keys() and len(one.results) == 4
        for key, result in one.results.items():
            for name, one_result in result.items():
                assert one_result.boxes == four.results[key][name].boxes
            assert scores(one, key) == pytest.approx(scores(four, key), abs=1e-6)
        rows = [table(tmp_path / n / "scores.parquet") for n in "14"]
        assert [r["triplet"] for r in rows[0]] == [r["triplet"] for r in rows[1]]

    def test_overlays_and_heat_maps(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        run(data, tmp_path / "run", heat_maps=True)
        picture = Image.open(tmp_path / "run" / "overlays" / "astronaut.png")
        assert picture.width > 1500 and picture.height > 2 * 96
        scale = csv_rows(tmp_path / "run" / "heat_maps.csv")[0]
        assert scale["detector"] == "texture"
        image = Image.open(tmp_path / "run" / scale["file"])
        assert image.size == (128, 96) and image.text["low"] == scale["low"]
        low, high = float(scale["low"]), float(scale["high"])
        values = low + (high - low) * np.array(image, np.float64) / 65535
        heat_map = Texture(window=32)(batch_of(data, "astronaut")).heat_map
        assert heat_map is not None
        assert np.abs(values - per_pixel(heat_map, 0, 96, 128)).max() <= (high - low) / 65535

    def test_heat_map_pixels_lie_at_window_centers(self) -> None:
        from nacd_bench.triplets.detection import HeatMap

        values = torch.tensor([[[0.0, 1.0]]])
        heat_map = HeatMap(values, torch.tensor([0]), torch.tensor([0, 4]), (3, 3))
        line = per_pixel(heat_map, 0, 3, 7)[1]
        assert line.tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 1])

    def test_names_that_differ_by_case_have_pictures_of_their_own(self, tmp_path: Path) -> None:
        """Also on a disk where A.png is a.png."""
        data = make_triplets(tmp_path / "data", ("astronaut",))
        for role in ("orig", "ai", "classic"):
            shutil.copy(data / role / "astronaut.png", data / role / "Astronaut.png")
        found = run(data, tmp_path / "run", heat_maps=True)
        files = list((tmp_path / "run").rglob("*.png"))
        assert len({str(path).lower() for path in files}) == 2 * len(found.detectors) + 2

    def test_what_is_odd_about_files_is_noted_and_kept(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        with Image.open(data / "orig" / "astronaut.png") as photo:
            photo.save(data / "orig" / "astronaut.png", exif=b"no such block")
        with Image.open(data / "ai" / "astronaut.png") as photo:
            photo.save(data / "ai" / "astronaut.png", "JPEG")
        with Image.open(data / "classic" / "astronaut.png") as photo:
            chunks = PngInfo()
            chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
            photo.save(data / "classic" / "astronaut.png", pnginfo=chunks)
        monkeypatch.chdir(tmp_path)
        command = ["detect", "data", "folder=run", "detector=[texture]", "report=false"]
        for _ in range(2):  # the second time from the journal
            assert main([*command, "show_progress=false"]) == 0
            out = capsys.readouterr().out
            for note in (
                "orig/astronaut.png: its EXIF block cannot be read",
                "orig/astronaut.png: colour profiles differ and are not applied",
                "ai/astronaut.png: it is a JPEG, not what its suffix .png says",
            ):
                assert out.count(f"note: data/{note}") == 1
        record = json.loads((tmp_path / "run" / "journal.jsonl").read_text().splitlines()[1])
        counts = {path: len(notes) for path, notes in record["notes"].items()}
        assert counts == {"data/orig/astronaut.png": 2, "data/ai/astronaut.png": 1}

    def test_hostile_names(self, tmp_path: Path) -> None:
        name = "<script>'; \"# %41 ü 🎨"
        data = make_triplets(tmp_path / "data", ("astronaut",))
        for role in ("orig", "ai", "classic"):
            (data / role / "astronaut.png").rename(data / role / f"{name}.png")
        found = run(data, tmp_path / "run")
        assert found.failures == [] and list(found.results) == [name]
        assert (tmp_path / "run" / "overlays" / f"{file_name(name)}.png").is_file()


class TestFailures:
    def test_a_bad_image_costs_only_itself(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        broken = data / "ai" / "coffee.png"
        broken.write_bytes(broken.read_bytes()[:400])
        found = run(data, tmp_path / "run")
        assert set(found.results) == {"astronaut", "rocket"}
        assert [f.item for f in found.failures] == ["coffee"]
        assert str(broken) in found.failures[0].message
        assert "coffee" in (tmp_path / "run" / "failures.csv").read_text()

    def test_files_that_do_not_pair_are_failures(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        (data / "classic" / "rocket.png").unlink()
        found = run(data, tmp_path / "run")
        assert len(found.results) == 2 and len(found.failures) == 1
        assert "rocket" in found.failures[0].message

    def test_a_detector_that_raises_costs_one_score(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut", "rocket", "chelsea"))
        found = run(data, tmp_path / "r", Texture(window=32), Scripted("rocket"), batch_size=3)
        assert [(f.item, f.step) for f in found.failures] == [("rocket", "scripted")]
        assert "RuntimeError: out of luck" in found.failures[0].message
        assert found.results["chelsea"]["scripted"].score == 0.5
        by_name = {row["triplet"]: row for row in table(tmp_path / "r" / "scores.parquet")}
        assert by_name["rocket"]["scripted"] is None and by_name["rocket"]["texture"] is not None

    def test_nan_is_a_failure(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        found = run(data, tmp_path / "r", Scripted(nan_on="astronaut"))
        assert "NaN" in found.failures[0].message and not found.results["astronaut"]

    def test_small_flat_and_long_images(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        shapes = {"dot": (1, 1), "long": (15, 4000), "flat": (40, 40)}
        for role in ("orig", "ai", "classic"):
            (data / role).mkdir(parents=True)
            for name, (height, width) in shapes.items():
                pixels = np.full((height, width, 3), 77, np.uint8)
                Image.fromarray(pixels).save(data / role / f"{name}.png")
        detectors = (Texture(), Boundary(), LargeColor(), SmallColor())
        found = run(data, tmp_path / "run", *detectors)
        failed = {(f.item, f.step) for f in found.failures}
        assert failed == {("dot", "texture"), ("dot", "boundary"), ("dot", "small_color")}
        assert all("at least" in f.message for f in found.failures)
        assert scores(found, "flat") == dict.fromkeys(found.detectors, 0.0)

    def test_no_triplets(self, tmp_path: Path) -> None:
        fails(DataError, "expected", run, tmp_path, tmp_path / "run")

    @pytest.mark.parametrize("device", ["gpu", "cuda:99"])
    def test_a_device_that_is_not_there(self, tmp_path: Path, device: str) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        fails(
            UserError, "expected a device of this machine", run, data, tmp_path / "r", device=device
        )
        assert not (tmp_path / "r").exists()

    def test_no_detectors_or_the_same_twice(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut",))
        with pytest.raises(DataError, match="at least one detector"):
            detect(data, [], tmp_path / "run", show_progress=False)
        fails(
            DataError, "texture twice", run, data, tmp_path / "run", Texture(), Texture(window=64)
        )

    def test_deep_and_shallow_triplets_of_one_size(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut", "rocket"))
        import cv2

        for role in ("orig", "ai", "classic"):
            deep = np.array(Image.open(data / role / "rocket.png")).astype(np.uint16) * 257
            cv2.imwrite(str(data / role / "rocket.png"), deep[..., ::-1])
        deep_run = run(data, tmp_path / "deep", batch_size=2)
        flat = run(make_triplets(tmp_path / "8", ("rocket",)), tmp_path / "flat")
        assert deep_run.failures == []
        expected = scores(flat, "rocket")
        assert scores(deep_run, "rocket") == pytest.approx(expected, abs=1e-5)


class TestResume:
    def test_a_finished_run_computes_nothing(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        first = run(data, tmp_path / "run")
        before = (tmp_path / "run" / "detections.parquet").read_bytes()
        assert (first.computed, run(data, tmp_path / "run").computed) == (3, 0)
        assert (tmp_path / "run" / "detections.parquet").read_bytes() == before

    def test_only_what_changed_is_done_again(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        run(data, tmp_path / "run")
        (tmp_path / "run" / "overlays" / "rocket.png").unlink()
        Image.fromarray(small_photo("coffee", 96, 112)).save(data / "ai" / "coffee.png")
        again = run(data, tmp_path / "run", Texture(window=32), LargeColor(window=32))
        assert again.computed == 2
        assert again.results["coffee"]["texture"].score < 0

    def test_what_failed_is_tried_again(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        good = (data / "ai" / "coffee.png").read_bytes()
        (data / "ai" / "coffee.png").write_bytes(b"no image")
        run(data, tmp_path / "run")
        (data / "ai" / "coffee.png").write_bytes(good)
        again = run(data, tmp_path / "run")
        assert again.failures == [] and again.computed == 1 and len(again.results) == 3

    def test_other_parameters_are_refused_with_the_differences(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        run(data, tmp_path / "run")
        with pytest.raises(DataError, match=r"texture\.window: 32 before, 64 now"):
            run(data, tmp_path / "run", Texture(window=64), LargeColor(window=32))

    def test_a_torn_journal_line_is_dropped(self, tmp_path: Path) -> None:
        data = make_triplets(tmp_path / "data")
        run(data, tmp_path / "run")
        journal = tmp_path / "run" / "journal.jsonl"
        whole = journal.read_bytes()
        journal.write_bytes(whole[: whole.rindex(b'"sha256"')])
        assert run(data, tmp_path / "run").computed == 1

    def test_killed_runs_end_like_one_that_was_not(self, tmp_path: Path, starter: Starter) -> None:
        data = make_triplets(tmp_path / "data", ("astronaut", "coffee", "rocket", "chelsea"))
        script = (
            "import sys\n"
            "from nacd_bench.detectors import Texture, Boundary\n"
            "from nacd_bench.jobs.detect import Detected, detect\n"
            "detect(sys.argv[1], [Texture(window=32), Boundary()], sys.argv[2])\n"
        )
        journal = tmp_path / "killed" / "journal.jsonl"
        for wanted in (2, 4):  # lines: the schema, then one per triplet
            process = starter.code(script, str(data), str(tmp_path / "killed"))
            while process.poll() is None:
                if journal.exists() and journal.read_bytes().count(b"\n") >= wanted:
                    process.send(signal.SIGKILL)
                    break
                time.sleep(0.002)
            process.wait()
        done = journal.read_bytes().count(b"\n") - 1
        detectors = (Texture(window=32), Boundary())
        assert run(data, tmp_path / "killed", *detectors).computed == 4 - done
        run(data, tmp_path / "whole", *detectors)
        for name in ("detections", "scores"):
            files = [tmp_path / folder / f"{name}.csv" for folder in ("killed", "whole")]
            assert files[0].read_text() == files[1].read_text()

    def test_two_runs_in_one_folder_are_refused(self, tmp_path: Path) -> None:
        from nacd_bench.runs.folder import run_lock

        data = make_triplets(tmp_path / "data")
        with (
            run_lock(tmp_path / "run", "the-other"),
            pytest.raises(DataError, match="in use by run the-other"),
        ):
            run(data, tmp_path / "run")


def test_settings_name_every_parameter() -> None:
    for detector in (Texture(), Boundary(), LargeColor(), SmallColor()):
        settings = detector.settings
        assert json.loads(json.dumps(settings)) == settings
        assert None not in settings.values(), settings


def test_unwritable_folder(tmp_path: Path) -> None:
    data = make_triplets(tmp_path / "data", ("astronaut",))
    (tmp_path / "file").write_text("not a folder")
    fails(
        DataError, "expected a folder that can be written for results", run, data, tmp_path / "file"
    )
