"""``mine``: sources, candidates, poison, kills, shards, engines, forecast."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from checks import fails
from PIL import Image as Pillow
from processes import Process, Starter
from skimage import data

from nacd_bench.cli.main import main
from nacd_bench.coding.codec import Codec, OperatingPoints
from nacd_bench.coding.originals import list_images, read_item
from nacd_bench.detectors import ColorSeverity, LargeColor, Texture
from nacd_bench.errors import CodecError, DataError, ImageError, UserError
from nacd_bench.evaluation.duplicates import found_by, with_duplicates
from nacd_bench.jobs.mine.run import make_mining_plan, mine, parse_shard
from nacd_bench.ops.boxes import region_holding
from nacd_bench.pipeline.ray import cluster
from nacd_bench.pipeline.stages import chains
from nacd_bench.registry import CODECS
from nacd_bench.runs.candidates import KEYS, TablesWriter, kept, read_mined
from nacd_bench.runs.mined import records, write_tables
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, schema
from nacd_bench.triplets.images import pixels_sha256

RED = (255, 0, 0)
TESTS = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2])
"""Where Ray's workers, and processes of their own, find this file and what it imports."""


class Toy(Codec):
    """8 x 8 block means; a red first pixel makes it fail in the way that ``fault`` says."""

    name = "toy"
    points = OperatingPoints("step", (64, 16, 4), slope=0.5)

    def __init__(self, fault: str = "", log: str | None = None, seconds: float = 0) -> None:
        self.fault = fault
        self.log = log
        self.seconds = seconds

    def version(self) -> str:
        return "toy 1"

    def encode(self, image: np.ndarray, point: float) -> bytes:
        self.require(image, point)
        time.sleep(self.seconds)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{point:g}\n")
        if tuple(image[0, 0]) == RED and self.fault == "raise":
            raise RuntimeError("red pixel")
        if tuple(image[0, 0]) == RED and self.fault == "raise at 16" and point == 16:
            raise RuntimeError("red pixel")
        if tuple(image[0, 0]) == RED and self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        h, w = image.shape[0] // 8, image.shape[1] // 8
        means = image[: h * 8, : w * 8].reshape(h, 8, w, 8, 3).mean(axis=(1, 3))
        size = np.array([*image.shape[:2], point], np.uint16).tobytes()
        return size + np.rint(means / point).astype(np.uint8).tobytes()

    def decode(self, data: bytes) -> np.ndarray:
        height, width, step = np.frombuffer(data[:6], np.uint16)
        means = np.frombuffer(data[6:], np.uint8).reshape(height // 8, width // 8, 3)
        big = (means * float(step)).clip(0, 255).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pad = ((0, height - big.shape[0]), (0, width - big.shape[1]), (0, 0))
        return np.pad(big, pad, mode="edge")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight parts of photographs; one twice under another name."""
    folder = tmp_path_factory.mktemp("photos")
    astronaut, cat = data.astronaut(), data.chelsea()
    for number in range(4):
        Pillow.fromarray(astronaut[90 * number :][:96, 150:280]).save(folder / f"face{number}.png")
        Pillow.fromarray(cat[60 * number :][:100, 100:220]).save(folder / f"cat {number} ü.png")
    (folder / "z").mkdir()
    (folder / "z" / "again.png").write_bytes((folder / "face0.png").read_bytes())
    return folder


def red(folder: Path, name: str = "red.png") -> Path:
    pixels = np.array(Pillow.open(folder / "face1.png"))
    pixels[0, 0] = RED
    Pillow.fromarray(pixels).save(folder / name)
    return folder


def run(images: Any, folder: Path, neural: Any = None, **options: Any) -> Any:
    detectors = [Texture(window=32), LargeColor(window=32, stride=16)]
    options = {"workers": 0, "show_progress": False, "detectors": detectors, **options}
    options.setdefault("failure_limit", 1.0)
    return mine(images, neural or Toy(), "jpeg", folder, **options)


def same(a: Path, b: Path) -> bool:
    return all(read_mined(a, table).equals(read_mined(b, table)) for table in KEYS)


def kill_while_it_works(process: Process, folder: Path) -> None:
    """Up to a second after its first record."""
    while process.poll() is None and not list((folder / "journal").glob("*.jsonl")):
        time.sleep(0.02)
    time.sleep(random.Random(3).random())
    process.send(signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def mined(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mined") / "run"
    assert run(photos, folder).done == 8
    return folder


@pytest.fixture
def copied(photos: Path, tmp_path: Path) -> Path:
    """The photographs in a folder that may be spoiled."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def tar_of(path: Path, folder: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for each in sorted(folder.glob("*.png")):
            tar.add(each, each.name)
        tar.addfile(tarfile.TarInfo("note.txt"))
    return path


class TestSources:
    def test_folders_lists_patterns_and_tars_name_the_same_images(
        self, photos: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "list.txt").write_text(f"{photos}/face0.png\n\n{photos}/face1.png\n")
        tar_of(tmp_path / "a.tar", photos)
        tar_of(tmp_path / "b.tar.gz", photos, "w:gz")
        assert len(list_images(photos).items) == 9
        assert len(list_images(f"{photos}/face*.png").items) == 4
        assert len(list_images(tmp_path / "list.txt").items) == 2
        assert len(list_images([photos, photos / "face0.png"]).items) == 9
        plain, packed = list_images(tmp_path / "a.tar"), list_images(tmp_path / "b.tar.gz")
        names = sorted(path.name for path in photos.glob("*.png"))
        for listing in (plain, packed):
            assert [Path(item.name).name for item in listing.items] == names
            assert not listing.faults
            for item in reversed(listing.items):
                assert read_item(item) == (photos / Path(item.name).name).read_bytes()
        assert len(list_images(tmp_path).items) == 16  # a folder of shards
        assert [item.index for item in list_images(tmp_path).items] == list(range(16))

    def test_urls(self, photos: Path) -> None:
        import fsspec

        system = fsspec.filesystem("memory")
        for path in photos.glob("*.png"):
            system.pipe(f"/bucket/{path.name}", path.read_bytes())
        items = list_images("memory://bucket").items
        assert len(items) == 8
        assert read_item(items[0]) == (photos / Path(items[0].name).name).read_bytes()
        assert len(list_images("memory://bucket/face*.png").items) == 4
        fails(DataError, "files that can be listed", list_images, "memory://nowhere/a.png")

    def test_a_damaged_tar_gives_what_is_before_the_damage(
        self, photos: Path, tmp_path: Path
    ) -> None:
        whole = tar_of(tmp_path / "a.tar", photos).read_bytes()
        items = list_images(tmp_path / "a.tar").items
        assert items[4].offset is not None
        broken = bytearray(whole)
        broken[items[4].offset - 512 : items[4].offset] = b"\xff" * 512
        (tmp_path / "broken.tar").write_bytes(broken)
        listing = list_images(tmp_path / "broken.tar")
        assert len(listing.items) == 4
        assert "The 4 images before the damage" in listing.faults[str(tmp_path / "broken.tar")]
        (tmp_path / "cut.tar").write_bytes(whole[: items[4].offset + 100])
        listing = list_images(tmp_path / "cut.tar")
        assert 4 <= len(listing.items) <= 5 and listing.faults
        (tmp_path / "text.tar").write_text("no tar at all, " * 100)
        assert list_images(tmp_path / "text.tar").faults

    def test_a_tar_that_shrank_is_said(self, photos: Path, tmp_path: Path) -> None:
        path = tar_of(tmp_path / "a.tar", photos)
        item = list_images(path).items[-1]
        path.write_bytes(path.read_bytes()[: item.offset])
        fails(ImageError, "cut short", read_item, item)
        path.unlink()
        fails(ImageError, r"(?s)cut short|expected a tar file", read_item, item)

    def test_results_are_no_source(self, mined: Path) -> None:
        assert list_images(mined).items
        fails(DataError, "expected images", list_images, mined, mined)


class TestTables:
    def test_what_they_hold(self, mined: Path, photos: Path) -> None:
        images, coded = read_mined(mined, IMAGES).to_pylist(), read_mined(mined, CODED).to_pylist()
        assert len(images) == 8 and len(coded) == 24
        twins = [row["names"] for row in images if len(row["names"]) > 1]
        assert twins == [[str(photos / "face0.png"), str(photos / "z" / "again.png")]]
        assert [row["preset"] for row in coded[:3]] == ["step-64", "step-16", "step-4"]
        jpeg, toy = CODECS.get("jpeg")(), Toy()
        for row in coded:
            stream = (mined / row["neural_bitstream"]).read_bytes()
            assert row["neural_bpp"] == 8 * len(stream) / (row["width"] * row["height"])
            assert pixels_sha256(toy.decode(stream)) == row["neural_sha256"]
            stream = (mined / row["traditional_bitstream"]).read_bytes()
            assert row["traditional_bpp"] == 8 * len(stream) / (row["width"] * row["height"])
            assert pixels_sha256(jpeg.decode(stream)) == row["traditional_sha256"]
            assert dict(row["scores"]).keys() == {"texture", "large_color"}
            assert row["neural_decoded"] is None

    def test_candidates_are_what_the_detector_says_of_the_decodes(self, mined: Path) -> None:
        import torch

        from nacd_bench.triplets.batch import TripletBatch

        coded = {row["triplet"]: row for row in read_mined(mined, CODED).to_pylist()}
        found = read_mined(mined).to_pylist()
        assert found
        row = next(row for row in found if row["detector"] == "large_color")
        facts, decoders = (
            coded[row["triplet"]],
            {"neural": Toy(), "traditional": CODECS.get("jpeg")()},
        )
        images = {"original": np.array(Pillow.open(row["image_path"]))}
        for side, codec in decoders.items():
            images[side] = codec.decode((mined / facts[f"{side}_bitstream"]).read_bytes())
        tensors = {
            role: torch.tensor(each.transpose(2, 0, 1).copy())[None]
            for role, each in images.items()
        }
        batch = TripletBatch(**tensors)
        again = LargeColor(window=32, stride=16)(batch)
        assert again.scores[0].item() == pytest.approx(
            dict(facts["scores"])["large_color"], abs=1e-6
        )
        assert [row[edge] for edge in ("x0", "y0", "x1", "y1")] in again.boxes[0].tolist()
        x0, y0, x1, y1 = (row[f"crop_{edge}"] for edge in ("x0", "y0", "x1", "y1"))
        for role, image in images.items():
            crop = np.array(Pillow.open(mined / row[f"crop_{role}"]))
            assert np.array_equal(crop, image[y0:y1, x0:x1])

    def test_partitions_are_read_by_other_tools(self, mined: Path) -> None:
        import pyarrow.dataset as ds

        whole = ds.dataset(mined / CANDIDATES, partitioning="hive").to_table()
        assert whole.num_rows == read_mined(mined).num_rows
        assert set(whole["artifact_type"].to_pylist()) <= {"texture", "color"}

    def test_summary_pictures_and_settings(self, mined: Path) -> None:
        summary = json.loads((mined / "summary.json").read_text())
        assert sum(summary["kept"].values()) == kept(read_mined(mined)).num_rows
        kinds = set(read_mined(mined)["artifact_type"].to_pylist())
        assert {path.stem for path in mined.glob("strongest_*.png")} == {
            f"strongest_{kind}" for kind in kinds
        }
        settings = json.loads((mined / "settings.json").read_text())
        assert settings["traditional"]["codec"]["name"] == "jpeg"

    def test_decoded_images_on_request(self, photos: Path, tmp_path: Path) -> None:
        run(photos / "face0.png", tmp_path / "run", decoded=True)
        rows = read_mined(tmp_path / "run", CODED).to_pylist()
        assert len(rows) == 3
        for row in rows:
            image = np.array(Pillow.open(tmp_path / "run" / row["neural_decoded"]))
            assert pixels_sha256(image) == row["neural_sha256"]

    def test_thresholds(self, photos: Path, mined: Path, tmp_path: Path) -> None:
        limits = sorted(read_mined(mined)["confidence"].to_pylist())
        middle = limits[len(limits) // 2]
        run(photos, tmp_path / "run", thresholds={"texture": middle, "large_color": middle})
        found = read_mined(tmp_path / "run")["confidence"].to_pylist()
        assert sorted(found) == [each for each in limits if each > middle]

    def test_thresholds_by_criterion(self, photos: Path, tmp_path: Path) -> None:
        from nacd_bench.jobs.mine.run import make_mining_plan

        detectors = [ColorSeverity(), Texture(window=32)]
        given = {"thresholds": {"texture": 0.5}, "criterion": "severity_2"}
        _, settings = make_mining_plan("webp", "jpeg", tmp_path, detectors, **given)
        assert settings["thresholds"] == {"color_severity": 2.0, "texture": 0.5}
        given = {"criterion": "severity_2"}
        fails(
            DataError, "got texture", make_mining_plan, "webp", "jpeg", tmp_path, detectors, **given
        )

    def test_target_rates_for_both_sides(self, photos: Path, tmp_path: Path) -> None:
        mine(
            photos / "face0.png",
            "webp",
            "jpeg",
            tmp_path / "run",
            detectors=[Texture(window=32)],
            show_progress=False,
            **{"scheme": "target", "targets": [1.0, 0.5], "workers": 0},
        )
        rows = read_mined(tmp_path / "run", CODED).to_pylist()
        assert [row["preset"] for row in rows] == ["bpp-0.5", "bpp-1"]
        assert rows[0]["neural_bpp"] < rows[1]["neural_bpp"]

    def test_not_a_mined_folder(self, tmp_path: Path) -> None:
        fails(DataError, "folder of a nacd-bench mine run", read_mined, tmp_path)

    def test_a_damaged_table(self, mined: Path, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "part-0.parquet").write_bytes(b"PAR1 no")
        fails(DataError, "expected a Parquet file", read_mined, tmp_path, IMAGES)

    def test_a_writer_that_fails_leaves_what_was_there(self, mined: Path) -> None:
        before = read_mined(mined)
        with pytest.raises(RuntimeError), TablesWriter(mined) as tables:
            tables.add(CANDIDATES, schema(CANDIDATES).empty_table())
            raise RuntimeError
        assert read_mined(mined).equals(before)


class TestRestart:
    def test_nothing_is_done_twice(self, photos: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        first = run(photos, tmp_path / "run", Toy(log=str(log)))
        count = len(log.read_text().split())
        assert (first.done, run(photos, tmp_path / "run", Toy(log=str(log))).done) == (8, 0)
        assert len(log.read_text().split()) == count == 24

    def test_more_images_are_added(self, copied: Path, tmp_path: Path, mined: Path) -> None:
        moved = copied / "face2.png"
        content = moved.read_bytes()
        moved.unlink()
        assert run(copied, tmp_path / "run").done == 7
        moved.write_bytes(content)
        assert run(copied, tmp_path / "run").done == 1
        hashes = read_mined(mined, CODED).select(["image_sha256", "neural_sha256", "scores"])
        again = read_mined(tmp_path / "run", CODED).select(
            ["image_sha256", "neural_sha256", "scores"]
        )
        assert again.equals(hashes)

    def test_other_settings_are_refused(self, photos: Path, mined: Path) -> None:
        fails(DataError, "iou", run, photos, mined, iou=0.3)

    def test_a_kill(self, photos: Path, tmp_path: Path, starter: Starter) -> None:
        arguments = [
            "mine",
            str(photos),
            "codec@neural=webp",
            "codec@traditional=jpeg",
            "points=[20,60]",
            "detector=[large_color]",
            "detector.large_color.window=32",
            "workers=2",
            "show_progress=false",
        ]
        process = starter.command(*arguments, f"folder={tmp_path / 'killed'}")
        kill_while_it_works(process, tmp_path / "killed")
        assert main([*arguments, f"folder={tmp_path / 'killed'}"]) == 0
        assert main([*arguments, f"folder={tmp_path / 'whole'}"]) == 0
        assert read_mined(tmp_path / "whole", IMAGES).num_rows == 8
        assert same(tmp_path / "killed", tmp_path / "whole")

    def test_long_encodes_outlive_a_kill(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from nacd_bench.coding import rate

        monkeypatch.setattr(rate, "WORTH_KEEPING", 0.0)
        log, folder = tmp_path / "log", tmp_path / "run"
        toy = Toy(log=str(log))
        decode = toy.decode

        def killed_at_the_last(data: bytes) -> np.ndarray:
            if np.frombuffer(data[:6], np.uint16)[2] == 4:
                raise KeyboardInterrupt
            return decode(data)

        monkeypatch.setattr(toy, "decode", killed_at_the_last)
        with pytest.raises(KeyboardInterrupt):
            run(photos / "face0.png", folder, toy)
        assert list((folder / "encodes").rglob("*"))
        run(photos / "face0.png", folder, Toy(log=str(log)))
        assert log.read_text().split() == ["64", "16", "4"]
        assert not (folder / "encodes").exists()

    def test_a_torn_line_is_dropped(self, photos: Path, mined: Path, tmp_path: Path) -> None:
        run(photos, tmp_path / "run")
        journal = tmp_path / "run" / "journal" / "1-of-1.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:4]) + lines[4][:100])
        assert run(photos, tmp_path / "run").done == 5
        assert same(tmp_path / "run", mined)

    def test_a_second_name_that_was_noted_before_its_image_was_done(
        self, photos: Path, mined: Path, tmp_path: Path
    ) -> None:
        run(photos, tmp_path / "run")
        journal = tmp_path / "run" / "journal" / "1-of-1.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        second = [line for line in lines if "again.png" in line]
        assert len(second) == 1 and "coded" not in json.loads(second[0])
        journal.write_text(lines[0] + second[0])
        assert run(photos, tmp_path / "run").done == 8
        assert same(tmp_path / "run", mined)

    def test_another_version_of_the_journal(self, photos: Path, tmp_path: Path) -> None:
        folder = tmp_path / "run" / "journal"
        folder.mkdir(parents=True)
        (folder / "1-of-1.jsonl").write_text('{"schema": "nacd-bench mine 0"}\n')
        fails(DataError, "Another version", run, photos, tmp_path / "run")


class TestShards:
    def test_shards_give_what_one_run_gives(
        self, photos: Path, mined: Path, tmp_path: Path
    ) -> None:
        done = [run(photos, tmp_path / "run", shard=f"{k}/3") for k in (3, 1, 2)]
        assert [each.summary is None for each in done] == [True, True, False]
        assert [each.waiting_for for each in done] == [2, 1, 0]
        assert same(tmp_path / "run", mined)

    def test_shards_from_several_machines(self, photos: Path, mined: Path, tmp_path: Path) -> None:
        import shutil

        for k in (1, 2):
            run(photos, tmp_path / f"part{k}", shard=f"{k}/2")
            shutil.copytree(tmp_path / f"part{k}", tmp_path / "run", dirs_exist_ok=True)
        assert main(["mine", f"folder={tmp_path / 'run'}", "--tables"]) == 0
        assert same(tmp_path / "run", mined)

    @pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3"])
    def test_what_a_shard_is(self, text: str) -> None:
        fails(UserError, r"a shard such as 3/64", parse_shard, text)


class TestFailures:
    def test_one_rate_that_fails_costs_that_rate(self, copied: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        done = run(red(copied), tmp_path / "run", Toy("raise at 16", str(log)))
        assert log.read_text().split().count("16") == 8 + 2  # tried twice
        assert done.summary.failed == 1 and done.summary.triplets == 26
        failure = done.summary.failures[0]
        assert (failure.step, failure.message) == ("neural step-16", "RuntimeError: red pixel")

    def test_a_codec_that_kills_its_process(
        self, copied: Path, mined: Path, tmp_path: Path
    ) -> None:
        done = run(red(copied), tmp_path / "run", Toy("die"), workers=2)
        assert done.summary.images == 9 and done.summary.failed == 1
        assert "died twice" in done.summary.failures[0].message
        assert done.summary.failures[0].item.endswith("red.png")
        mine_again = run(copied, tmp_path / "run", Toy("die"), workers=2)
        assert mine_again.done == 0  # set aside for good
        assert read_mined(tmp_path / "run", CODED).num_rows == 24

    def test_set_aside_until_asked_again(self, copied: Path, tmp_path: Path) -> None:
        assert run(red(copied), tmp_path / "run", Toy("raise")).summary.failed == 1
        assert run(copied, tmp_path / "run", Toy("raise")).done == 0
        again = run(copied, tmp_path / "run", Toy(), retry_failed=True)
        assert again.done == 1 and again.summary.failed == 0
        assert read_mined(tmp_path / "run", CODED).num_rows == 27

    def test_too_many_failures_stop_the_run(self, copied: Path, tmp_path: Path) -> None:
        for number in range(4):
            pixels = np.array(Pillow.open(copied / f"face{number}.png"))
            pixels[0, 0] = RED
            Pillow.fromarray(pixels).save(copied / f"face{number}.png")
        with pytest.raises(CodecError, match="retry_failed=true"):
            run(copied, tmp_path / "run", Toy("raise"), failure_limit=0.2)
        assert run(copied, tmp_path / "run", Toy(), retry_failed=True).summary.failed == 0

    def test_files_that_are_no_images(self, copied: Path, tmp_path: Path) -> None:
        (copied / "broken.png").write_bytes((copied / "face0.png").read_bytes()[:200])
        (copied / "empty.jpg").touch()
        done = run(copied, tmp_path / "run")
        assert done.summary.failed == 2 and done.summary.triplets == 24
        assert {Path(each.item).name for each in done.summary.failures} == {
            "broken.png",
            "empty.jpg",
        }

    def test_a_file_that_is_gone_is_tried_again(self, copied: Path, tmp_path: Path) -> None:
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(str(path) for path in sorted(copied.glob("*.png"))))
        content = (copied / "face0.png").read_bytes()
        (copied / "face0.png").unlink()
        done = run(listed, tmp_path / "run")
        assert done.summary.unreadable == 1 and done.summary.images == 7
        (copied / "face0.png").write_bytes(content)
        done = run(listed, tmp_path / "run")
        assert done.done == 1 and done.summary.unreadable == 0

    def test_a_folder_that_vanishes_stops_the_run(
        self, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved = tmp_path / "moved"
        toy = Toy()
        encode = toy.encode

        def encode_and_vanish(image: np.ndarray, point: float) -> bytes:
            if copied.exists():
                copied.rename(moved)
            return encode(image, point)

        monkeypatch.setattr(toy, "encode", encode_and_vanish)
        fails(DataError, "a network folder that vanished", run, copied, tmp_path / "run", toy)
        moved.rename(copied)
        assert run(copied, tmp_path / "run").summary.unreadable == 0

    def test_a_damaged_shard_is_counted(self, photos: Path, tmp_path: Path) -> None:
        path = tar_of(tmp_path / "a.tar", photos)
        item = list_images(path).items[-1]
        path.write_bytes(path.read_bytes()[: item.offset])
        done = run(path, tmp_path / "run")
        assert done.summary.images >= 7 and done.summary.unreadable >= 1
        assert any("damaged" in each.message for each in done.summary.failures)

    def test_a_folder_in_use(self, photos: Path, tmp_path: Path) -> None:
        from nacd_bench.runs.folder import run_lock

        with (
            run_lock(tmp_path / "run" / "journal" / "1-of-1", "other"),
            pytest.raises(DataError, match="in use by run other"),
        ):
            run(photos, tmp_path / "run")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"engine": "rai"}, "did you mean 'ray'"),
            ({"scheme": "psnr"}, "scheme"),
            ({"workers": -1}, "workers"),
            ({"rate_factor": 0}, "rate_factor"),
            ({"tolerance": -1}, "tolerance"),
            ({"iou": 2}, "iou"),
            ({"detectors": []}, "at least one detector"),
            ({"points": [5]}, "no step 5"),
        ],
    )
    def test_settings(
        self, photos: Path, tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        fails(UserError, message, run, photos, tmp_path / "run", **options)

    def test_tables_of_no_mined_folder(self, tmp_path: Path, capsys: Any) -> None:
        assert main(["mine", f"folder={tmp_path}", "--tables"]) == 1
        assert "expected the folder of a nacd-bench mine run" in capsys.readouterr().err


class TestEngines:
    def test_workers_change_nothing(self, photos: Path, mined: Path, tmp_path: Path) -> None:
        run(photos, tmp_path / "run", workers=2)
        assert same(tmp_path / "run", mined)

    @pytest.mark.parametrize("scheme", ["", "ray://"])
    def test_an_address_at_which_nobody_listens(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ray is not asked, which would try for minutes."""
        silent = SimpleNamespace(is_initialized=lambda: False, init=lambda **_: 1 / 0)
        monkeypatch.setitem(sys.modules, "ray", silent)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
            connected = cluster(address, 0)
            fails(DataError, f"cluster at {address}, got .*ray start --head", connected.__enter__)
            monkeypatch.setenv("RAY_ADDRESS", address)
            fails(DataError, f"at {address}, got", cluster("auto", 0).__enter__)

    def test_ray_changes_nothing(
        self,
        copied: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        starter: Starter,
    ) -> None:
        """A kill, poison, a second name and an empty file included."""
        pytest.importorskip("ray", reason="need Ray (pip install 'nacd-bench[ray]')")
        monkeypatch.setenv("PYTHONPATH", TESTS)
        red(copied)
        (copied / "twin.png").write_bytes((copied / "face0.png").read_bytes())
        (copied / "empty.png").touch()
        options: dict[str, Any] = {"engine": "ray", "workers": 2}
        code = f"""
            import sys; sys.path[:0] = {TESTS.split(os.pathsep)!r}
            import test_mining; from pathlib import Path
            test_mining.run({str(copied)!r}, Path(sys.argv[1]), test_mining.Toy("die"), **{options})
        """
        killed = starter.code(textwrap.dedent(code), str(tmp_path / "ray"))
        kill_while_it_works(killed, tmp_path / "ray")
        for engine in ("local", "ray"):
            done = run(copied, tmp_path / engine, Toy("die"), engine=engine, workers=2)
            assert done.summary.failed == 2 and done.summary.triplets == 24
            said = {Path(each.item).name: each.message for each in done.summary.failures}
            assert "died twice" in said["red.png"] and "empty file" in said["empty.png"]
        assert same(tmp_path / "ray", tmp_path / "local")
        images = read_mined(tmp_path / "ray", IMAGES).to_pylist()
        assert sorted(len(row["names"]) for row in images)[-1] == 2
        again = run(copied, tmp_path / "ray", Toy("die"), **options)
        assert again.done == 0 and again.summary.failed == 2

    def test_a_lost_machine_does_not_end_the_run(
        self, photos: Path, mined: Path, tmp_path: Path
    ) -> None:
        """Two raylets on this machine, of which one is killed while it works.

        In a process of its own: where a process had a cluster before, a second machine takes its
        driver for the first one's, which is gone.
        """
        pytest.importorskip("ray", reason="need Ray (pip install 'nacd-bench[ray]')")
        code = f"""
            import sys, threading, time
            from pathlib import Path
            from ray.cluster_utils import Cluster
            import test_mining

            folder = Path({str(tmp_path / "run")!r})
            journal = folder / "journal" / "1-of-1.jsonl"
            cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1}})
            second = cluster.add_node(num_cpus=1)

            def kill_while_it_works():
                while not journal.exists() or journal.read_bytes().count(b"\\n") < 3:
                    time.sleep(0.05)
                cluster.remove_node(second, allow_graceful=False)

            threading.Thread(target=kill_while_it_works, daemon=True).start()
            toy = test_mining.Toy(seconds=1.5)  # longer than it takes to see a machine is gone
            options = dict(engine="ray", address=cluster.address, workers=None)
            done = test_mining.run(Path({str(photos)!r}), folder, toy, **options)
            cluster.shutdown()
            assert done.done == 8 and not done.summary.failures, done
        """
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONPATH": TESTS},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        assert "A machine of the Ray cluster is gone" in ended.stderr
        assert same(tmp_path / "run", mined)

    def test_stages_of_a_gpu_go_apart(self, tmp_path: Path) -> None:
        stages, _ = make_mining_plan("webp", "jpeg", tmp_path, [Texture()], device="cuda")
        groups = chains(stages)
        assert [[stage.name for stage in group.stages] for group in groups] == [
            ["read", "neural", "traditional"],
            ["detect"],
        ]
        assert [group.is_last for group in groups] == [False, True]
        toy = Toy()
        toy.in_main_process = True
        stages, _ = make_mining_plan(toy, "jpeg", tmp_path, [Texture()], device="cpu")
        places = [(group.on_device, group.stays_here) for group in chains(stages)]
        assert places == [(False, False), (True, True), (False, False)]

    def test_codecs_that_take_rates_get_those_of_the_test_conditions(self, tmp_path: Path) -> None:
        class Rates(Toy):
            points = OperatingPoints("target_bpp", [k / 100 for k in range(1, 201)])

        _, settings = make_mining_plan(Rates(), "jpeg", tmp_path, [Texture()])
        assert [value for _, value in settings["steps"]] == [0.06, 0.12, 0.25, 0.5, 0.75]
        _, settings = make_mining_plan(Rates(), "jpeg", tmp_path, [Texture()], points=[1.0])
        assert settings["steps"] == [["target_bpp-1", 1.0]]

    def test_several_groups_give_what_one_gives(
        self, photos: Path, mined: Path, tmp_path: Path
    ) -> None:
        toy = Toy()
        toy.in_main_process = True  # a group of its own, in this process
        run(photos, tmp_path / "run", toy, workers=2)
        assert same(tmp_path / "run", mined)


class TestDuplicates:
    def table(self, rows: list[tuple]) -> pa.Table:
        names = ("candidate", "image_sha256", "artifact_type", "preset_index", "detector")
        columns = [*names, "confidence", "x0", "y0", "x1", "y1"]
        return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])

    def test_the_higher_preset_stays(self) -> None:
        found = with_duplicates(
            self.table(
                [
                    ("a", "i", "texture", 0, "texture", 0.9, 0, 0, 300, 300),
                    ("b", "i", "texture", 2, "boundary", 0.1, 10, 10, 310, 310),
                    ("c", "i", "color", 1, "large_color", 0.5, 0, 0, 300, 300),
                    ("d", "j", "texture", 1, "texture", 0.5, 0, 0, 300, 300),
                    ("e", "i", "texture", 2, "texture", 0.8, 10, 10, 310, 310),
                ]
            )
        )
        # texture's confidence is 16 times, boundary's the same as the end of its scale
        assert found["duplicate_of"].to_pylist() == ["e", "e", None, None, None]

    def test_a_place_that_several_detectors_boxed_is_one(self) -> None:
        """Severities first, the others on scales of their own; spots lie inside of windows."""
        window, spot = (0, 0, 300, 300), (40, 40, 104, 104)
        found = with_duplicates(
            self.table(
                [
                    ("a", "i", "texture", 1, "boundary", 0.09, *window),
                    ("b", "i", "texture", 1, "texture", 0.049, *window),
                    ("c", "i", "texture", 1, "texture_severity", 1.6, *spot),
                    ("d", "i", "texture", 1, "texture_severity", 1.9, 200, 200, 264, 264),
                    # another spot of the same detector is another place
                    ("e", "i", "texture", 1, "texture_severity", 1.7, 60, 60, 124, 124),
                    # a window at a lower rate around a spot is that place, not the other way round
                    ("f", "i", "texture", 0, "boundary", 0.5, 10, 0, 310, 300),
                    ("g", "j", "texture", 1, "boundary", 0.01, *window),
                    ("h", "j", "texture", 0, "texture_severity", 2.9, *spot),
                ]
            )
        )
        assert found["duplicate_of"].to_pylist() == ["d", "d", None, None, None, "d", None, None]

    def test_all_who_boxed_a_place_are_named(self, mined: Path) -> None:
        rows = read_mined(mined).to_pylist()
        for row in rows:
            twins = [row] + [each for each in rows if each["duplicate_of"] == row["candidate"]]
            own = [each for each in twins if each["triplet"] == row["triplet"]]
            assert found_by(row).keys() == {each["detector"] for each in own}
            for name, confidence in found_by(row).items():
                assert confidence == max(r["confidence"] for r in own if r["detector"] == name)
            steps = sorted({(each["preset_index"], each["preset"]) for each in twins})
            assert row["presets"] == [name for _, name in steps]
        assert any(len(row["presets"]) > 1 for row in rows)

    def test_an_overlap_that_is_none(self) -> None:
        with pytest.raises(UserError, match="IoU from 0 to 1"):
            with_duplicates(self.table([("a", "i", "text", 0, "text", 1.0, 0, 0, 1, 1)]), 1.5)


class TestCommandLine:
    ARGUMENTS = (
        *("codec@neural=webp", "codec@traditional=jpeg", "points=[20,60]", "workers=0"),
        *("detector=[large_color]", "detector.large_color.window=32", "show_progress=false"),
    )

    def test_mine_and_plan(self, photos: Path, tmp_path: Path, capsys: Any) -> None:
        folder = tmp_path / "run"
        assert main(["mine", str(photos), f"folder={folder}", "--plan", *self.ARGUMENTS]) == 0
        printed = capsys.readouterr().out
        assert "9 images: about " in printed and " on this machine with " in printed
        assert "neural encodes" in printed and "core-hours" not in printed
        assert not folder.exists()
        assert main(["mine", str(photos), f"folder={folder}", *self.ARGUMENTS]) == 0
        printed = capsys.readouterr().out
        assert "8 images (9 names), 16 triplets" in printed
        assert re.search("Time by part: .*neural .* s, traditional .* s", printed)
        assert (folder / "config.yaml").is_file()
        arguments = [str(photos), f"folder={folder}2", "shard=1/2", *self.ARGUMENTS]
        assert main(["mine", *arguments]) == 0
        assert "1 shard is not" in capsys.readouterr().out

    def test_failures_are_said(self, copied: Path, tmp_path: Path, capsys: Any) -> None:
        (copied / "empty.jpg").touch()
        arguments = [str(copied), f"folder={tmp_path / 'run'}", *self.ARGUMENTS]
        assert main(["mine", *arguments]) == 1
        assert "empty file" in capsys.readouterr().out
        assert "empty.jpg" in (tmp_path / "run" / "failures.csv").read_text()

    def test_numbers_for_a_tracker(self, photos: Path, tmp_path: Path) -> None:
        arguments = [str(photos), f"folder={tmp_path / 'run'}", "logger=csv", *self.ARGUMENTS]
        assert main(["mine", *arguments]) == 0
        (found,) = (tmp_path / "run").rglob("metrics.csv")
        header = found.read_text().splitlines()[0].split(",")
        assert {"images", "images_per_second", "failures"} <= set(header)


def test_crops_lie_inside() -> None:
    assert region_holding([(10, 20, 30, 40)], 640, 480) == (0, 0, 300, 300)
    assert region_holding([(620, 470, 640, 480)], 640, 480) == (340, 180, 640, 480)
    assert region_holding([(0, 0, 500, 20)], 640, 480) == (0, 0, 500, 300)
    assert region_holding([(5, 5, 9, 9)], 100, 80) == (0, 0, 100, 80)


def test_tables_again_are_the_same(mined: Path) -> None:
    before = {table: read_mined(mined, table) for table in KEYS}
    write_tables(mined)
    assert all(read_mined(mined, table).equals(before[table]) for table in KEYS)


def test_records_have_no_pixels(mined: Path) -> None:
    for _, _, record in records(mined):
        assert len(json.dumps(record)) < 20_000
