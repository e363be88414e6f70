"""Loading triplets, and validation that names every fault at once."""

import dataclasses
import hashlib
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from nacd_bench.data.loading import load_triplet
from nacd_bench.data.manifest import write_manifest
from nacd_bench.data.record import Label, Problem, TripletRecord
from nacd_bench.data.source import find_triplets
from nacd_bench.data.validate import validate
from nacd_bench.errors import ImageError

RGB = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
ROLES = ("original", "neural", "traditional")


def triplet(folder: Path, name: str = "a") -> TripletRecord:
    """Three equal images of 30 x 20 pixels."""
    paths = []
    for role in ROLES:
        (folder / role).mkdir(parents=True, exist_ok=True)
        paths.append(folder / role / f"{name}.png")
        Image.fromarray(RGB).save(paths[-1])
    return TripletRecord(name, *map(str, paths))


def deep(path: str, scale: int) -> None:
    cv2.imwrite(path, RGB[..., ::-1].astype(np.uint16) * scale)


class TestLoading:
    def test_a_batch_of_one_with_hashes(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        loaded = load_triplet(record)
        assert loaded.record is record
        assert list(loaded.batch.ids) == ["a"]
        assert loaded.batch.neural.dtype == torch.uint8
        assert np.array_equal(loaded.batch.neural[0].permute(1, 2, 0).numpy(), RGB)
        expected = hashlib.sha256(Path(record.neural).read_bytes()).hexdigest()
        assert loaded.sha256["neural"] == expected
        assert set(loaded.sha256) == set(loaded.bit_depths) == set(ROLES)

    def test_one_deeper_image_makes_all_three_float(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        deep(record.neural, 257)
        loaded = load_triplet(record)
        assert loaded.bit_depths == {"original": 8, "neural": 16, "traditional": 8}
        for role in ROLES:
            assert getattr(loaded.batch, role).dtype == torch.float32
        torch.testing.assert_close(loaded.batch.neural, loaded.batch.original)

    def test_sizes_that_differ(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        Image.fromarray(RGB[:10]).save(record.traditional)
        message = r"triplet 'a': expected three images of one size, .*traditional 30 x 10 .*Crop"
        with pytest.raises(ImageError, match=message):
            load_triplet(record)

    def test_sizes_that_differ_by_an_exif_orientation(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(RGB.transpose(1, 0, 2)).save(record.original, exif=exif)
        with pytest.raises(ImageError, match=r"EXIF orientation .*\(magick in\.jpg -auto-orient"):
            load_triplet(record)

    def test_a_broken_file(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        Path(record.neural).write_text("hello")
        with pytest.raises(ImageError, match=r"neural/a\.png: expected an image, got text content"):
            load_triplet(record)


class TestValidate:
    def test_nothing_wrong(self, tmp_path: Path) -> None:
        good = dataclasses.replace(triplet(tmp_path), labels=(Label("text", (0, 0, 30, 20)),))
        assert validate([good]) == ([], [])
        assert validate([]) == ([], [])

    def test_everything_at_once(self, tmp_path: Path) -> None:
        records = [triplet(tmp_path, name) for name in "abcdefg"]
        Image.fromarray(RGB[:10]).save(records[0].neural)
        for role in ROLES:
            Path(getattr(records[1], role)).write_text("hello")
        whole = Path(records[2].original).read_bytes()
        Path(records[2].original).write_bytes(whole[:200])
        Image.fromarray(np.dstack([RGB, RGB[..., :1]])).save(records[3].neural)
        Path(records[4].traditional).unlink()
        boxes = (Label("color", (0, 0, 31, 20)), Label("color"), Label("text", (0, 0, 9, 21)))
        records[5] = dataclasses.replace(records[5], labels=boxes)
        earlier = Problem("x", "found before")
        problems, _ = validate(records, [earlier])
        assert problems[0] is earlier
        subjects = [each.subject for each in problems[1:]]
        assert subjects == ["a", "b", "b", "b", "c", "d", "e", "f", "f"]
        expected = [
            "triplet 'a': expected three images of one size, got original 30 x 20",
            "triplet 'b', original: ",
            "triplet 'b', neural: ",
            "triplet 'b', traditional: ",
            "triplet 'c', original: ",
            "got an alpha channel",
            "got nothing of that name",
            "expected boxes inside the 30 x 20 pixels of",
            "got [0, 0, 9, 21] in label 3",
        ]
        for problem, part in zip(problems[1:], expected, strict=True):
            assert part in str(problem)
            assert "\n" not in str(problem)

    def test_files_of_one_triplet_that_are_missing_in_part(self, tmp_path: Path) -> None:
        """What can be checked still is: sizes of the two others, boxes on the original."""
        record = dataclasses.replace(triplet(tmp_path), labels=(Label("text", (0, 0, 99, 9)),))
        Path(record.neural).unlink()
        Image.fromarray(RGB[:9]).save(record.traditional)
        lines = [str(problem) for problem in validate([record])[0]]
        assert len(lines) == 3
        assert "got original 30 x 20" in lines[1]
        assert "got [0, 0, 99, 9] in label 1" in lines[2]

    def test_the_row_of_a_manifest_is_named(self, tmp_path: Path) -> None:
        records = [triplet(tmp_path, f"t{i}") for i in range(12)]
        write_manifest(tmp_path / "triplets.csv", records)
        Path(records[7].neural).unlink()
        (problem,), _ = validate(*find_triplets(tmp_path / "triplets.csv"))
        assert str(problem).startswith("row 8 (id 't7'), neural: ")
        assert problem.row == 8

    def test_samples_written_without_scaling(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        deep(record.neural, 4)  # 10 bits in 16 without a shift
        (problem,), _ = validate([record])
        assert "neural: expected samples that fill 16 bits, got a brightest of 0.01" in str(problem)
        deep(record.neural, 257)
        assert validate([record]) == ([], [])

    def test_progress(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        threads = set()

        def progress(done: int, total: int) -> None:
            calls.append((done, total))
            threads.add(threading.current_thread())

        records = [triplet(tmp_path, name) for name in "abc"]
        assert validate(records, progress=progress, workers=2) == ([], [])
        assert calls == [(1, 3), (2, 3), (3, 3)]
        assert threads == {threading.current_thread()}
