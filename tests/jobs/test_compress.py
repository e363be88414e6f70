"""``compress``: comparable rates, resuming after a kill, workers, failures, what is written."""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from checks import csv_rows, fails
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from PIL import Image as Pillow
from scipy.interpolate import PchipInterpolator
from skimage import data

import nacd_conf
from nacd_bench.cli.main import main
from nacd_bench.coding.codec import Codec, OperatingPoints
from nacd_bench.coding.originals import list_images
from nacd_bench.coding.sides import CodecSpec, codec_of
from nacd_bench.errors import CodecError, DataError, ImageError, UserError
from nacd_bench.evaluation.rate_distortion import bd_rate, bd_rates, curves, left_out
from nacd_bench.jobs.compress.run import compress
from nacd_bench.pipeline.workers import worker_context
from nacd_bench.registry import CODECS
from nacd_bench.report.run_page import _codecs
from nacd_bench.runs.folder import Journal, run_lock
from nacd_bench.triplets.images import read_8_bit
from nacd_bench.triplets.manifest import read_manifest

CODEC_FILES = Path(nacd_conf.__file__).parent / "codec"
CODEC_NAMES = sorted(path.stem for path in CODEC_FILES.glob("*.yaml"))


class Blocks(Codec):
    """A toy neural codec: 8 x 8 block means. Images whose first pixel is red make it fail."""

    name = "blocks"
    points = OperatingPoints("step", (64, 16, 4), slope=0.5)
    in_main_process = True

    def __init__(self, batch_size=1, die=False) -> None:
        self.batch_size = batch_size
        self.die = die
        self.in_main_process = not die
        self.batches = []

    @property
    def parameters(self):
        return {"batch_size": self.batch_size}

    def version(self):
        return "blocks 1"

    def encode(self, image, point):
        self.require(image, point)
        if tuple(image[0, 0]) == (255, 0, 0):
            if self.die:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("red pixel")
        h, w = image.shape[0] // 8, image.shape[1] // 8
        means = image[: h * 8, : w * 8].reshape(h, 8, w, 8, 3).mean(axis=(1, 3))
        size = np.array([*image.shape[:2], point], np.uint16).tobytes()
        return size + np.rint(means / point).astype(np.uint8).tobytes()

    def encode_batch(self, images, point):
        self.batches.append(len(images))
        return super().encode_batch(images, point)

    def decode(self, data):
        height, width, step = np.frombuffer(data[:6], np.uint16)
        means = np.frombuffer(data[6:], np.uint8).reshape(height // 8, width // 8, 3)
        big = (means * float(step)).clip(0, 255).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pad = ((0, height - big.shape[0]), (0, width - big.shape[1]), (0, 0))
        return np.pad(big, pad, mode="edge")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five crops of photographs, two sizes, one name that a shell would not survive."""
    folder = tmp_path_factory.mktemp("photos")
    astronaut, cat, coffee = data.astronaut(), data.chelsea(), data.coffee()
    crops = [
        astronaut[40:136, 160:288],
        astronaut[100:196, 0:128],
        cat[90:186, 120:248],
        cat[10:106, 200:328],
        coffee[100:172, 150:250],
    ]
    for name, crop in zip(["face", "flag", "cat", "-x; $(rm) 'q'", "cup"], crops, strict=True):
        Pillow.fromarray(crop).save(folder / f"{name}.png")
    return folder


def run(images, folder, neural="avif", traditional="x265", **options):
    options = {"points": [30, 60], "workers": 0, "show_progress": False, **options}
    return compress(images, neural, traditional, folder, **options)


def files_of(folder):
    """Bitstreams, decoded images and manifest without times: what has to be reproducible."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in ("bitstreams", "decoded")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }
    rows = csv_rows(folder / "triplets.csv")
    return found, [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


@pytest.fixture(scope="module")
def reference(photos, tmp_path_factory):
    return run(photos, tmp_path_factory.mktemp("reference"))


class TestResults:
    def test_the_rates_are_those_of_the_bytes_on_disk(self, reference):
        x265 = CODECS.get("x265")()
        assert len(reference.rows) == 10
        for row in reference.rows:
            pixels = row["width"] * row["height"]
            stream = (reference.folder / row["traditional_bitstream"]).read_bytes()
            assert row["traditional_file_bytes"] == len(stream)
            assert row["traditional_bytes"] == x265.rate_bytes(stream)
            assert row["traditional_bpp"] == 8 * x265.rate_bytes(stream) / pixels
            assert row["traditional_asked"] == row["neural_bpp"]
            # one QP is 10 to 20 % of the rate, more on images as small as these
            assert abs(row["traditional_bpp"] / row["traditional_asked"] - 1) < 0.2

    def test_the_decoded_images_are_those_of_the_bitstreams(self, reference, photos):
        row = next(row for row in reference.rows if row["source"].startswith("-x"))
        for role, codec in (("neural", "avif"), ("traditional", "x265")):
            stream = (reference.folder / row[f"{role}_bitstream"]).read_bytes()
            decoded = np.asarray(Pillow.open(reference.folder / row[role]))
            assert np.array_equal(decoded, CODECS.get(codec)().decode(stream))
        assert Path(row["original"]).samefile(photos / "-x; $(rm) 'q'.png")

    def test_the_manifest_says_how_each_side_was_made(self, reference):
        records = read_manifest(reference.manifest)
        assert [record.id for record in records] == [row["id"] for row in reference.rows]
        assert records[0].source == "-x; $(rm) 'q'"
        assert records[0].neural_codec == "avif"
        assert records[0].neural_point == "30"
        for record in records:
            for path in (record.original, record.neural, record.traditional):
                assert read_8_bit(path)[0].shape[2] == 3
        first = {**records[0].extra, "traditional_version": records[0].traditional_version}
        assert first["traditional_point_name"] == "qp"
        assert "x265" in first["traditional_version"]
        assert json.loads(first["traditional_parameters"])["preset"] == "placebo"
        assert "qp=" in first["traditional_command_line"]
        assert first["traditional_encodes"] >= 1
        assert first["traditional_encode_seconds"] > 0
        assert len(first["image_sha256"]) == 64
        settings = json.loads((reference.folder / "settings.json").read_text())
        assert settings["codecs"]["x265"]["follows"] == "neural"

    def test_a_rate_distortion_table_and_figure_come_with_it(self, reference):
        rows = csv_rows(reference.folder / "rate_distortion.csv")
        psnrs = [row for row in rows if row["quality"] == "psnr"]
        assert [(row["step"], row["codec"]) for row in psnrs] == [
            (f"quality-{point}", codec) for point in (30, 60) for codec in ("avif", "x265")
        ]
        assert float(psnrs[2]["value"]) > float(psnrs[0]["value"]) + 3
        assert psnrs[0]["gap"] == "nan" and 0 < float(psnrs[1]["gap"]) < 0.1
        assert (reference.folder / "rate_distortion.svg").read_bytes().startswith(b"<?xml")
        psnr = csv_rows(reference.folder / "bd_rate.csv")[0]
        assert psnr["images"] == "5" and psnr["percent"] == "nan"
        assert psnr["reason"] == "2 different points, 4 are needed"


class TestReproducible:
    @pytest.mark.parametrize("workers", [1, 4])
    def test_the_same_files_whatever_the_workers(self, photos, reference, tmp_path, workers):
        run(photos, tmp_path, workers=workers)
        assert files_of(tmp_path) == files_of(reference.folder)

    def test_a_second_run_has_nothing_to_do(self, photos, reference, tmp_path):
        shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
        assert run(photos, tmp_path).encodes == 0
        assert files_of(tmp_path) == files_of(reference.folder)

    def test_only_what_is_missing_or_changed_is_done_again(self, photos, reference, tmp_path):
        shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
        (tmp_path / "decoded/neural/quality-30/cat.png").unlink()
        assert run(photos, tmp_path).encodes == 1
        (tmp_path / "bitstreams/x265/quality-60/cup.bin").write_bytes(b"half")
        again = run(photos, tmp_path)
        assert 1 <= again.encodes <= 6
        assert files_of(tmp_path) == files_of(reference.folder)
        # another parameter is another result, and only for the side that has it
        slower = run(photos, tmp_path, neural=CodecSpec("avif", {"speed": 8}))
        neural = sum(row["neural_encodes"] for row in slower.rows)
        assert slower.encodes >= neural == 10

    def test_results_of_other_parameters_in_the_same_place_are_not_taken(
        self, photos, reference, tmp_path
    ):
        """A run with other parameters, killed before it noted what it wrote over."""
        shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
        place = tmp_path / "bitstreams/neural/quality-30/cat.bin"
        other = bytearray(place.read_bytes())
        other[-1] ^= 1  # of the same size
        place.write_bytes(other)
        assert run(photos, tmp_path).encodes == 1
        assert files_of(tmp_path) == files_of(reference.folder)

    def test_a_run_folder_among_the_images_is_no_image(self, photos, tmp_path):
        shutil.copytree(photos, tmp_path, dirs_exist_ok=True)
        first = run(tmp_path, tmp_path / "run", points=[60])
        again = run(tmp_path, tmp_path / "run", points=[60])
        assert (len(first.rows), len(again.rows), again.encodes) == (5, 5, 0)
        assert not again.duplicates

    def test_an_added_point_leaves_the_others_alone(self, photos, reference, tmp_path):
        shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
        more = run(photos, tmp_path, points=[30, 60, 45])
        fresh = [row for row in more.rows if row["preset"] == "quality-45"]
        assert more.encodes == sum(r["neural_encodes"] + r["traditional_encodes"] for r in fresh)

    def test_killed_at_random_moments_it_ends_with_the_same_files(
        self, photos, reference, tmp_path
    ):
        """A process of its own, SIGKILL, again and again; then nothing is lost, double or half."""
        folder = tmp_path / "run"
        journal = folder / "journal.jsonl"
        draw = random.Random(1)
        killed = 0
        while killed < 6:
            before = lines_of(journal)
            process = worker_context().Process(target=run, args=(photos, folder))
            process.start()
            # something got done: kill a moment later
            while process.is_alive() and lines_of(journal) < before + 2:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.1))
            process.kill()
            process.join()
            if process.exitcode == 0 and killed >= 2:
                break
            killed += 1
            if process.exitcode == 0:  # it was faster than this process was given a look
                shutil.rmtree(folder)
                killed = 0
        last = run(photos, folder, workers=2)
        assert last.encodes < sum(
            row["neural_encodes"] + row["traditional_encodes"] for row in reference.rows
        )
        assert files_of(folder) == files_of(reference.folder)
        assert not list(folder.rglob("*.part"))
        keys = [
            row["key"]
            for record in map(json.loads, journal.read_text().splitlines()[1:])
            for rows in record["coded"].values()
            for row in rows.values()
        ]
        assert len(keys) == len(set(keys))

    def test_long_encodes_of_an_unfinished_job_are_kept(self, photos, tmp_path, monkeypatch):
        from nacd_bench.coding import rate

        monkeypatch.setattr(rate, "WORTH_KEEPING", 0.0)
        asked = []

        class Stopped(CODECS.get("jpeg")):
            def encode(self, image, point):
                asked.append(point)
                if len(asked) == 4:
                    raise KeyboardInterrupt
                return super().encode(image, point)

        options = {"scheme": "target", "targets": [0.4, 1.0, 2.0], "traditional": "webp"}
        expected = run(photos / "cat.png", tmp_path / "a", neural="jpeg", **options)
        with pytest.raises(KeyboardInterrupt):
            run(photos / "cat.png", tmp_path / "b", neural=Stopped(), **options)
        again = run(photos / "cat.png", tmp_path / "b", neural=Stopped(), **options)
        assert len(asked) == len(set(asked)) + 1  # only the one that was interrupted
        assert files_of(again.folder) == files_of(expected.folder)
        assert not (tmp_path / "b" / "encodes").exists()

    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
    def test_workers_and_encoders_end_with_the_run(self, photos, tmp_path, ending):
        script = tmp_path / "job.py"
        script.write_text(SLOW_JOB)
        process = subprocess.Popen(
            [sys.executable, script, photos, tmp_path],
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        pids = tmp_path / "pids"
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 4, 600)
        process.send_signal(ending)
        process.communicate(timeout=600)
        started = [int(pid) for pid in pids.read_text().split()]
        wait_until(lambda: not any(is_alive(pid) for pid in started), 600)


SLOW_JOB = """
import os, sys
from nacd_bench.coding.codec import Codec, OperatingPoints
from nacd_bench.jobs.compress.run import compress
from nacd_codecs.process import run

class Slow(Codec):
    name = "slow"
    points = OperatingPoints("p", (1,))

    def version(self):
        return "1"

    def encode(self, image, point):
        with open(sys.argv[2] + "/pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        run(["sh", "-c", "echo $$ >> '" + sys.argv[2] + "/pids'; exec sleep 3000"], 3000)

    def decode(self, data):
        pass

if __name__ == "__main__":
    compress(sys.argv[1], Slow(), "jpeg", sys.argv[2] + "/run", workers=2, show_progress=False)
"""


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestSchemes:
    def test_both_sides_meet_the_targets(self, photos, tmp_path):
        done = run(photos / "cat.png", tmp_path, scheme="target", targets=[0.3, 0.9])
        assert [row["preset"] for row in done.rows] == ["bpp-0.3", "bpp-0.9"]
        for row, target in zip(done.rows, [0.3, 0.9], strict=True):
            assert row["neural_asked"] == target
            assert row["neural_bpp"] == pytest.approx(target, rel=0.15)
            assert row["traditional_asked"] == row["neural_bpp"]  # what the neural one got

    def test_at_targets_a_codec_of_a_higher_rate_has_the_neural_one(self, photos, tmp_path):
        hm = CodecSpec("x265", {"preset": "ultrafast"}, "hm", 1.2)
        options = {"scheme": "target", "targets": [0.5], "traditional": hm}
        (own,) = run(photos / "cat.png", tmp_path / "own", **options).rows
        (told,) = run(photos / "cat.png", tmp_path / "told", rate_factor=1.2, **options).rows
        assert own["traditional_asked"] == own["neural_bpp"]
        assert told["traditional_asked"] == pytest.approx(1.2 * told["neural_bpp"])

    @pytest.mark.parametrize("tolerance", [None, 0.5])
    def test_a_pair_whose_rates_lie_apart_is_marked(self, photos, tmp_path, tolerance, capsys):
        """JPEG does not get down to AVIF's lowest rate; near its highest it has steps enough."""
        options = [f"tolerance={tolerance}"] if tolerance else []
        images = [str(photos / "cat.png"), f"folder={tmp_path}", "workers=0", "show_progress=false"]
        codecs = ["codec@neural=avif", "codec@traditional=jpeg", "points=[5,80]"]
        assert main(["compress", *images, *codecs, *options]) == 0
        rows = read_manifest(tmp_path / "triplets.parquet")
        gaps = [row.traditional_bpp / row.extra["traditional_asked"] - 1 for row in rows]
        assert [row.extra["rate_gap"] for row in rows] == pytest.approx(gaps)
        assert gaps[0] > 0.5 and abs(gaps[1]) < 0.1
        assert [row.extra["over_tolerance"] for row in rows] == [True, False]
        said = f"1 of 2 pairs misses the rate by more than {'50' if tolerance else '10'} %"
        printed = capsys.readouterr().out
        assert f"{said} (over_tolerance in the manifest): cat at quality-5" in printed
        assert "Time by part: " in printed
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["seconds"].keys() >= {"neural", "jpeg"}
        # as text too, which is what a CSV has
        for name in ("triplets.parquet", "triplets.csv"):
            (low, high) = sorted(_codecs(read_manifest(tmp_path / name)), key=lambda row: row[-1])
            assert (low[-1], high[-1]) == ("0", "1")
            assert high[0] == "quality-5" and high[-2].endswith(f"({100 * gaps[0]:+.1f} %)")

    def test_the_traditional_codec_follows_the_quality(self, photos, tmp_path):
        done = run(photos / "cat.png", tmp_path, scheme="psnr")
        assert len(done.rows) == 2
        for row in done.rows:
            assert row["traditional_asked"] == row["neural_psnr"]
            assert row["traditional_psnr"] == pytest.approx(row["neural_psnr"], abs=0.6)

    def test_a_chain_as_in_the_paper(self, photos, tmp_path):
        """VTM follows the neural rate, HM 1.2 times VTM's; two x265 stand in for them."""
        vtm = CodecSpec("x265", label="vtm")
        hm = CodecSpec("x265", {"preset": "ultrafast"}, "hm", 1.2, "vtm")
        done = run(photos / "cat.png", tmp_path, traditional=vtm, then=[hm])
        assert [row["traditional_label"] for row in done.rows] == ["vtm", "hm"] * 2
        vtm, hm = done.rows[:2]
        assert vtm["traditional_asked"] == vtm["neural_bpp"]
        assert hm["traditional_asked"] == pytest.approx(1.2 * vtm["traditional_bpp"])

    def test_what_is_asked_for_twice_is_done_once(self, photos, tmp_path):
        done = run(photos / "cat.png", tmp_path, points=[30, 60, 30])
        assert [row["preset"] for row in done.rows] == ["quality-30", "quality-60"]

    def test_a_label_names_a_codec_in_the_results(self, photos, tmp_path):
        slow, fast = (CodecSpec("avif", {"speed": s}, f"avif-{s}") for s in (7, 8))
        done = run(photos / "cat.png", tmp_path, neural=slow, traditional=fast, points=[30])
        (row,) = done.rows
        assert (row["neural_codec"], row["traditional_codec"]) == ("avif-7", "avif-8")
        assert row["traditional"].startswith("decoded/avif-8/")
        assert row["neural_command_line"].startswith("avif-7 speed=7")
        assert read_manifest(done.manifest)[0].neural_codec == "avif-7"
        assert CODECS.get("avif").name == CodecSpec("avif").build().name == "avif"

    def test_a_rate_out_of_range_is_recorded_and_not_a_failure(self, photos, tmp_path):
        done = run(photos / "cat.png", tmp_path, rate_factor=50.0, points=[90])
        (row,) = done.rows
        assert row["traditional_out_of_range"]
        assert row["traditional_point"] <= 3
        assert not done.failures

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scheme": "equal"}, "unknown scheme 'equal'.*Known: neural, target, psnr"),
            ({"points": [33.3]}, "avif has no quality 33.3"),
            ({"scheme": "target", "targets": []}, "at least one operating point or target rate"),
            (
                {"scheme": "target", "targets": [0.0]},
                r"targets\[0\] as a number above 0 and up to 24, got 0\.0",
            ),
            ({"scheme": "target", "targets": [1e6]}, "number above 0 and up to 24, got 1000000"),
            ({"scheme": "target", "targets": ["a"]}, "number above 0 and up to 24, got 'a'"),
            ({"points": [math.nan]}, r"points\[0\] as a number, got nan"),
            ({"points": ["a"]}, r"points\[0\] as a number, got 'a'"),
            ({"tolerance": 0}, "tolerance as a number above 0 or null, got 0"),
            (
                {"failure_limit": "a"},
                "failure_limit as a number of at least 0 and up to 1, got 'a'",
            ),
            ({"workers": -1}, "workers as a whole number of at least 0 or null, got -1"),
            ({"rate_factor": -1}, "rate_factor as a number above 0 or null, got -1"),
            ({"traditional": CodecSpec("x265", follows="vtm")}, "follows 'vtm', which is not"),
            ({"then": ["x265"]}, "are called 'x265'"),
            ({"traditional": CodecSpec("x265", label="../x")}, "name of a folder, got '../x'"),
            ({"traditional": CodecSpec("x265", label=".x")}, "name of a folder, got '.x'"),
            ({"neural": "avfi"}, "did you mean 'avif'"),
            ({"neural": CodecSpec("avif", {"sped": 3})}, "does not take these parameters: .*sped"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, photos, tmp_path, options, message):
        fails(UserError, message, run, photos / "cat.png", tmp_path, **options)


class TestFailures:
    @pytest.fixture
    def with_red(self, photos, tmp_path):
        return photos_and_a_red_one(photos, tmp_path / "photos")

    def test_one_image_does_not_stop_the_rest(self, with_red, tmp_path):
        done = run(with_red, tmp_path / "run", neural=Blocks(), points=[16, 4])
        assert len(done.rows) == 10
        assert {(Path(f.item).name, f.step) for f in done.failures} == {
            ("red.png", "neural step-16"),
            ("red.png", "neural step-4"),
        }
        assert done.failures[0].message == "RuntimeError: red pixel"
        assert len(csv_rows(tmp_path / "run" / "failures.csv")) == 2

    def test_too_many_stop_the_run_and_keep_what_is_done(self, with_red, tmp_path):
        (with_red / "broken.png").write_bytes(b"no picture")
        with pytest.raises(CodecError, match=r"stopped: 2 of 7 images failed, more than the 20%"):
            run(with_red, tmp_path / "run", neural=Blocks(), points=[16, 4])
        done = run(with_red, tmp_path / "run", neural=Blocks(), points=[16, 4], failure_limit=0.5)
        assert len(done.rows) == 10
        broken = next(f for f in done.failures if f.item.endswith("broken.png"))
        assert "expected an image, got text content" in broken.message

    def test_a_failure_is_tried_again_by_the_next_run(self, with_red, tmp_path):
        assert run(with_red, tmp_path / "run", neural=Blocks(), points=[4]).failures
        shutil.copy(with_red / "cat.png", with_red / "red.png")
        # the same bytes as cat.png: left out, and said
        done = run(with_red, tmp_path / "run", neural=Blocks(), points=[4])
        assert not done.failures
        assert [Path(p).name for p in done.duplicates] == ["red.png"]
        assert done.encodes == 0

    def test_a_codec_that_takes_its_process_down_fails_on_that_image_only(self, with_red, tmp_path):
        done = run(with_red, tmp_path / "run", neural=Blocks(die=True), points=[4], workers=2)
        assert len(done.rows) == 5
        (failure,) = done.failures
        assert failure.item.endswith("red.png")
        assert "died twice" in failure.message

    def test_a_full_disk_stops_the_run_and_says_so(self, photos, tmp_path, monkeypatch):
        from nacd_bench.pipeline import stages as coding

        def full(path, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(coding, "write_whole", full)
        with pytest.raises(
            DataError, match=r"expected room for results in .*No space left.*Make room"
        ):
            run(photos, tmp_path)

    def test_a_real_limit_is_one_line_and_loses_nothing(self, photos, reference, tmp_path):
        """The size of a file is limited by the system, which is the same to a program."""
        for limit, kept in ((3_000, False), (21_000, True)):
            with file_size_limit(limit), pytest.raises(DataError) as caught:
                run(photos, tmp_path, workers=0)
            assert "\n" not in str(caught.value)
            assert "File too large" in str(caught.value)
            assert "start the run again: it keeps what is done" in str(caught.value)
            assert (b'"key"' in (tmp_path / "journal.jsonl").read_bytes()) == kept
        run(photos, tmp_path)
        assert files_of(tmp_path) == files_of(reference.folder)
        assert not list(tmp_path.rglob("*.part"))

    def test_a_journal_that_cannot_grow_says_so(self, tmp_path):
        journal = Journal(tmp_path / "journal.jsonl", "a 1")
        journal.append({"n": 1})
        with (
            file_size_limit(1000),
            pytest.raises(DataError, match=r"to take another record, got File too large"),
        ):
            journal.append({"n": "x" * 5000})
        journal = Journal(tmp_path / "journal.jsonl", "a 1")
        assert [record["n"] for record in journal] == [1]

    def test_a_missing_codec_is_said_before_anything_runs(self, photos, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("NACD_HM_ENCODER", raising=False)
        fails(CodecError, "NACD_HM_ENCODER", run, photos, tmp_path, traditional="hm")
        assert not (tmp_path / "journal.jsonl").exists()


def photos_and_a_red_one(photos, folder):
    """The photographs and one on which :class:`Blocks` fails."""
    shutil.copytree(photos, folder)
    red = np.array(Pillow.open(folder / "cat.png"))
    red[0, 0] = (255, 0, 0)
    Pillow.fromarray(red).save(folder / "red.png")
    return folder


@contextmanager
def file_size_limit(size):
    """No file may grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestBatches:
    def test_images_of_one_size_go_together(self, photos, tmp_path):
        codec = Blocks(batch_size=3)
        done = run(photos, tmp_path / "a", neural=codec, points=[16, 4])
        assert codec.batches == [3, 3]  # four images of one size, one of another, two points
        single = run(photos, tmp_path / "b", neural=Blocks(), points=[16, 4])
        assert [row["neural_bpp"] for row in done.rows] == [
            row["neural_bpp"] for row in single.rows
        ]

    def test_a_bad_image_does_not_take_its_batch_along(self, photos, tmp_path):
        folder = photos_and_a_red_one(photos, tmp_path / "photos")
        done = run(folder, tmp_path / "run", neural=Blocks(batch_size=4), points=[4])
        assert len(done.rows) == 5
        assert len(done.failures) == 1


class TestFolder:
    def test_two_runs_in_one_folder_are_refused_with_the_other_id(self, photos, tmp_path):
        with (
            run_lock(tmp_path, "20250101-000000-abcd"),
            pytest.raises(DataError, match=r"in use by run 20250101-000000-abcd \(process \d+"),
        ):
            run(photos, tmp_path)
        run(photos / "cat.png", tmp_path, points=[60])

    def test_a_lock_of_a_killed_process_is_free(self, tmp_path):
        script = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "from nacd_bench.runs.folder import run_lock\n"
            "with run_lock(Path(sys.argv[1]), 'dead'):\n"
            "    print('held', flush=True)\n"
            "    time.sleep(3000)\n"
        )
        holder = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="run dead"), run_lock(tmp_path, "second"):
            pass
        holder.kill()
        holder.communicate()
        with run_lock(tmp_path, "third"):
            assert "third" in (tmp_path / "run.lock").read_text()

    def test_a_folder_that_cannot_be(self, photos, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(DataError, match=r"a folder that can be written .*Not a directory"):
            run(photos, tmp_path / "file" / "run")

    def test_a_damaged_record_is_done_again(self, photos, reference, tmp_path):
        shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
        journal = tmp_path / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        number = next(i for i, line in enumerate(lines) if b'"quality-30": {' in line)
        lines[number] = b"\0" * (len(lines[number]) - 1) + b"\n"  # what a dying disk leaves
        journal.write_bytes(b"".join(lines))
        assert run(photos, tmp_path).encodes >= 1
        assert files_of(tmp_path) == files_of(reference.folder)

    def test_a_torn_line_is_dropped_and_another_schema_refused(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        journal = Journal(path, "a 1")
        journal.append({"n": 1})
        with path.open("ab") as file:
            file.write(b'{"n": 2, "half')
        journal = Journal(path, "a 1")
        journal.append({"n": 3})
        assert [record["n"] for record in journal] == [1, 3]
        fails(DataError, r"a journal of a 2 .*got \{'schema': 'a 1'\}", list, Journal(path, "a 2"))

    def test_a_journal_takes_no_number_that_json_lacks(self, tmp_path):
        journal = Journal(tmp_path / "journal.jsonl", "a 1")
        fails(ValueError, "not JSON compliant", journal.append, {"n": math.nan})
        assert list(journal) == []


class TestImages:
    def test_folders_lists_patterns_and_text_files(self, photos, tmp_path):
        assert len(list_images(photos, files_only=True).paths) == 5
        assert list_images(str(photos / "c*.png"), files_only=True).paths == [
            photos / "cat.png",
            photos / "cup.png",
        ]
        assert (
            list_images([photos / "cup.png", photos / "cat.png"], files_only=True).paths[0].name
            == "cup.png"
        )
        listed = tmp_path / "list.txt"
        listed.write_text(f"{photos / 'cup.png'}\n\nrelative.png\n")
        assert list_images(listed, files_only=True).paths == [
            photos / "cup.png",
            tmp_path / "relative.png",
        ]
        for nothing in (tmp_path / "no" / "where.png", str(tmp_path / "*.jpg")):
            fails(DataError, "nothing there", list_images, nothing, files_only=True)
        (tmp_path / "empty").mkdir()
        fails(DataError, "expected images in", list_images, tmp_path / "empty", files_only=True)
        with pytest.raises(DataError, match=r"none but 5 files in the run's own folder\. Name"):
            list_images(photos, photos)

    def test_gray_and_16_bit_images_become_8_bit_rgb(self, tmp_path):
        import cv2

        deep = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / "deep.png"), deep)
        expected = np.rint(deep[:, :, ::-1] / 257).astype(np.uint8)  # rounded, not cut
        assert np.array_equal(read_8_bit(tmp_path / "deep.png")[0], expected)
        cv2.imwrite(str(tmp_path / "gray.png"), deep[:, :, 0])
        gray, _ = read_8_bit(tmp_path / "gray.png")
        assert gray.shape == (9, 7, 3)
        assert (gray[..., 0] == gray[..., 2]).all()

    def test_alpha_is_refused(self, tmp_path):
        Pillow.new("RGBA", (4, 4)).save(tmp_path / "a.png")
        fails(ImageError, r"a\.png: .* got an alpha channel", read_8_bit, tmp_path / "a.png")


def made(curves_of, steps=None):
    """Rows of a run from ``(bpp, psnr)`` of both sides at each step, by image."""
    return [
        {"source": image, "preset": f"step-{step}", "neural_codec": "n", "traditional_label": "t"}
        | {"neural_bpp": test[0][step], "neural_psnr": test[1][step]}
        | {"traditional_bpp": anchor[0][step], "traditional_psnr": anchor[1][step]}
        for image, (anchor, test) in curves_of.items()
        for step in range(len(anchor[0]))
        if steps is None or step in steps.get(image, range(99))
    ]


def by_scipy(anchor, test):
    """BD-rate by SciPy's monotone cubic, integrated in closed form."""
    low, high = (f(g(curve[1]) for curve in (anchor, test)) for f, g in ((max, min), (min, max)))
    areas = [PchipInterpolator(q, np.log(bpp)).integrate(low, high) for bpp, q in (anchor, test)]
    return 100 * math.expm1((areas[1] - areas[0]) / (high - low))


RATES = np.array([0.06, 0.12, 0.25, 0.5, 0.75])
DECIBELS = np.array([26.0, 28.4, 31.1, 33.9, 35.2])


class TestBDRate:
    @pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 2.1])
    def test_rates_that_are_a_multiple_give_that(self, factor):
        images = {
            name: ((scale * RATES, DECIBELS - shift), (factor * scale * RATES, DECIBELS - shift))
            for name, scale, shift in (("a", 1, 0), ("b", 3, 4), ("c", 0.5, -3))
        }
        psnr, *others = bd_rates(made(images))
        assert psnr["percent"] == pytest.approx(100 * (factor - 1), abs=1e-9)
        assert (psnr["low"], psnr["high"]) == pytest.approx((psnr["percent"],) * 2, abs=1e-9)
        assert (psnr["of"], psnr["images"], psnr["reason"]) == ("images", 3, "")
        assert psnr["overlap"] == pytest.approx(9.2) == psnr["range"]
        assert [row["reason"] for row in others] == [
            "not measured: it needs sides of 161 pixels",
            "not measured: it needs sides of 113 pixels",
            "not measured: it needs pip install 'nacd-bench[vmaf]'",
        ]

    @pytest.mark.parametrize("seed", range(4))
    def test_it_is_that_of_an_independent_integral(self, seed):
        """Image by image by SciPy, and the mean curves where an image is no curve."""
        rng = np.random.default_rng(seed)
        images = {}
        for name in "abcd":
            rises = rng.uniform(1.5, 3.5, (2, 5))
            sides = [(RATES * rng.uniform(0.8, 1.2, 5), 24 + np.cumsum(rise)) for rise in rises]
            images[name] = tuple((np.sort(bpp), quality) for bpp, quality in sides)
        expected = [by_scipy(*pair) for pair in images.values()]
        psnr = bd_rates(made(images))[0]
        assert psnr["percent"] == pytest.approx(np.mean(expected), rel=1e-9)
        assert psnr["low"] < psnr["percent"] < psnr["high"]
        assert min(expected) <= psnr["low"] and psnr["high"] <= max(expected)
        (bpp, quality), test = images["a"]
        images["a"] = (bpp, quality[[0, 1, 3, 2, 4]]), test
        psnr = bd_rates(made(images))[0]
        means = [
            (
                np.mean([p[side][0] for p in images.values()], 0),
                np.mean([p[side][1] for p in images.values()], 0),
            )
            for side in range(2)
        ]
        assert psnr["of"] == "mean curves" and psnr["reason"] == "1 of 4 images does not qualify"
        assert list(psnr["unqualified"]) == ["a"] and "a curve falls" in psnr["unqualified"]["a"]
        assert psnr["percent"] == pytest.approx(by_scipy(*means), rel=1e-9)
        assert psnr["low"] < psnr["percent"] < psnr["high"]

    def test_msssim_is_compared_in_decibels(self):
        rows = made({"a": ((RATES, DECIBELS), (RATES, DECIBELS + 1))})
        for row in rows:
            for side in ("neural", "traditional"):
                row[f"{side}_msssim"] = 1 - 10 ** (-(row[f"{side}_psnr"] - 16) / 10)
        psnr, msssim, *_ = bd_rates(rows)
        assert msssim["percent"] == pytest.approx(psnr["percent"], rel=1e-9)
        assert msssim["overlap"] == pytest.approx(8.2)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda bpp, q: (bpp[:3], q[:3]), "3 different points, 4 are needed"),
            (lambda bpp, q: (bpp[[0, 0, 1, 2, 2]], q[[0, 0, 1, 2, 2]]), "3 different points"),
            (lambda bpp, q: (bpp, q[[0, 2, 1, 3, 4]]), "a curve falls from 0.120 to 0.250 bpp"),
            (lambda bpp, q: (bpp, q * 0 + 30), "a curve falls from 0.060 to 0.120 bpp"),
            (lambda bpp, q: (bpp, q + 4.7), r"share 4.50 of 13.90 dB \(32 %\); 4.60 dB are needed"),
            (lambda bpp, q: (bpp, 30 + (q - 30) / 20), "share 0.46 of 9.20 dB .*; 1 dB is needed"),
            (lambda bpp, q: (bpp, q + 20), r"share 0.00 of 29.20 dB \(0 %\)"),
        ],
    )
    def test_curves_that_say_little_give_a_reason(self, change, reason):
        test = change(RATES, DECIBELS)
        count = len(test[0])
        psnr = bd_rates(made({"a": ((RATES[:count], DECIBELS[:count]), test)}))[0]
        assert math.isnan(psnr["percent"]) and psnr["of"] == ""
        assert re.search(reason, psnr["reason"])

    def test_images_without_all_steps_are_in_no_mean_and_named(self):
        same = ((RATES, DECIBELS), (0.9 * RATES, DECIBELS))
        other = ((RATES, DECIBELS), (3 * RATES, DECIBELS))
        rows = made({"a": same, "b": other, "c": same, "black": same}, {"b": [0, 1, 2, 4]})
        black = next(r for r in rows if r["source"] == "black" and r["preset"] == "step-4")
        black["neural_psnr"] = 300.0
        psnr = bd_rates(rows)[0]
        assert (psnr["percent"], psnr["images"]) == (pytest.approx(-10), 2)
        assert math.isnan(psnr["low"])  # two images have no interval
        assert left_out(rows) == {
            "psnr": {"b": "no result at step-3", "black": "unchanged at step-4"}
        }
        assert {row["images"] for row in curves(rows)} == {2}

    def test_a_rate_at_which_all_fail_is_no_step(self):
        rows = made(dict.fromkeys("ab", ((RATES, DECIBELS), (RATES, DECIBELS))))
        rows = [row for row in rows if row["preset"] != "step-0"]
        assert (bd_rates(rows)[0]["percent"], bd_rates(rows)[0]["images"]) == (pytest.approx(0), 2)

    def test_of_nothing_there_is_nothing(self):
        assert bd_rates([]) == curves([]) == [] and left_out([]) == {}

    def test_an_estimated_rate_is_marked(self):
        rows = made({"a": ((RATES, DECIBELS), (RATES, DECIBELS))})
        for row in rows:
            row["neural_rate_is_estimated"] = True
        psnr = bd_rates(rows)[0]
        assert (psnr["neural"], psnr["traditional"]) == ("n (rate estimated)", "t")
        assert {row["codec"] for row in curves(rows)} == {"n (rate estimated)", "t"}

    def test_no_overlap_or_too_few_points_are_no_number(self):
        assert math.isnan(bd_rate([1, 2], [30, 31], [1, 2], [40, 41]))
        assert math.isnan(bd_rate([1], [30], [1, 2], [29, 31]))


class TestConfiguration:
    def test_the_default_runs(self, photos, tmp_path):
        with initialize_config_module("nacd_conf", version_base=None):
            config = compose(
                "compress",
                [
                    f"images={json.dumps(str(photos / 'cat.png'))}",
                    f"folder={tmp_path}",
                    "points=[3]",
                    "workers=0",
                    "show_progress=false",
                    "codec@traditional=jpeg",
                    "neural.label=learned",
                    "rate_factor=1.2",
                ],
            )
        settings = OmegaConf.to_container(config, resolve=True)
        assert settings.pop("plan") is False
        (row,) = compress(**settings).rows
        assert (row["neural_codec"], row["traditional_codec"]) == ("learned", "jpeg")
        assert "hyperprior" in row["neural_version"]
        assert row["traditional_asked"] == pytest.approx(1.2 * row["neural_bpp"])

    def test_a_chain_and_a_codec_with_a_factor_of_its_own(self, photos, tmp_path):
        done = compress(
            photos / "cat.png",
            {"name": "avif", "speed": 8},
            {"name": "webp", "rate_factor": 1.1},
            tmp_path,
            then=[{"name": "jpeg", "rate_factor": 1.2, "follows": "webp"}],
            points=[60],
            workers=0,
            show_progress=False,
        )
        webp, jpeg = done.rows
        assert webp["traditional_asked"] == pytest.approx(1.1 * webp["neural_bpp"])
        assert jpeg["traditional_asked"] == pytest.approx(1.2 * webp["traditional_bpp"])
        fails(
            UserError, r"a codec such as \{name: hm\}, got \{'speed': 8\}", codec_of, {"speed": 8}
        )

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            (3, r"expected then\[0\] as a codec such as hm or {name: hm}, got 3"),
            ({"speed": 3}, "a codec such as .*got {'speed': 3}"),
            ({"name": "jpeg", "folows": "webp"}, "jpeg does not take these parameters: .*folows"),
        ],
    )
    def test_a_chain_that_is_none(self, photos, tmp_path, entry, message):
        codecs = {"neural": {"name": "avif"}, "traditional": {"name": "webp"}, "then": [entry]}
        fails(UserError, message, compress, images=str(photos), folder=tmp_path, **codecs)

    @pytest.mark.parametrize("name", CODEC_NAMES)
    def test_every_codec_file_names_a_codec_and_its_parameters(self, name):
        import inspect

        spec = codec_of(OmegaConf.to_container(OmegaConf.load(CODEC_FILES / f"{name}.yaml")))
        assert spec.name == name
        assert spec.rate_factor == (1.2 if name == "hm" else 1.0)
        known = inspect.signature(CODECS.get(name)).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
        assert takes_any or set(spec.parameters) <= set(known)

    def test_every_codec_has_a_file(self):
        assert set(CODEC_NAMES) <= set(CODECS)
        built_in = {name for name, entry in CODECS.entries.items() if entry.origin == "nacd-bench"}
        assert built_in <= set(CODEC_NAMES)


def test_a_script_without_a_guard_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from nacd_bench.jobs.compress.run import compress\n"
        "from nacd_bench.planting.photographs import photo_path\n"
        "compress([photo_path('rocket')], 'jpeg', 'webp', 'out', points=[50], workers=1)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 1 and "if __name__ == '__main__'" in done.stderr
