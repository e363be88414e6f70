"""Loading triplets, and validation that names every fault at once."""

import dataclasses
import hashlib
import io
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checks import fails
from PIL import Image, ImageCms

from nacd_bench.cli.main import main
from nacd_bench.errors import Failure, ImageError
from nacd_bench.triplets.loading import load_triplet, validate
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import Label, TripletRecord
from nacd_bench.triplets.source import find_triplets

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
        assert set(loaded.sha256) == set(ROLES)

    def test_one_deeper_image_makes_all_three_float(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        deep(record.neural, 257)
        loaded = load_triplet(record)
        for role in ROLES:
            assert getattr(loaded.batch, role).dtype == torch.float32
        torch.testing.assert_close(loaded.batch.neural, loaded.batch.original)

    def test_sizes_that_differ(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        Image.fromarray(RGB[:10]).save(record.traditional)
        message = r"triplet 'a': expected three images of one size, .*traditional 30 x 10 .*Crop"
        fails(ImageError, message, load_triplet, record)

    def test_sizes_that_differ_by_an_exif_orientation(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(RGB.transpose(1, 0, 2)).save(record.original, exif=exif)
        fails(ImageError, r"EXIF orientation .*\(magick in\.jpg -auto-orient", load_triplet, record)

    def test_a_broken_file(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        Path(record.neural).write_text("hello")
        fails(
            ImageError, r"neural/a\.png: expected an image, got text content", load_triplet, record
        )


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
        Path(records[2].original).write_bytes(Path(records[2].original).read_bytes()[:200])
        Image.fromarray(np.dstack([RGB, RGB[..., :1]])).save(records[3].neural)
        Path(records[4].traditional).unlink()
        boxes = (Label("color", (0, 0, 31, 20)), Label("color"), Label("text", (0, 0, 9, 21)))
        records[5] = dataclasses.replace(records[5], labels=boxes)
        earlier = Failure("x", "read", "found before")
        problems, _ = validate(records, [earlier])
        assert problems[0] is earlier
        subjects = [each.item for each in problems[1:]]
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
            assert part in problem.message
            assert "\n" not in problem.message

    def test_files_of_one_triplet_that_are_missing_in_part(self, tmp_path: Path) -> None:
        """What can be checked still is: sizes of the two others, boxes on the original."""
        record = dataclasses.replace(triplet(tmp_path), labels=(Label("text", (0, 0, 99, 9)),))
        Path(record.neural).unlink()
        Image.fromarray(RGB[:9]).save(record.traditional)
        lines = [problem.message for problem in validate([record])[0]]
        assert len(lines) == 3
        assert "got original 30 x 20" in lines[1]
        assert "got [0, 0, 99, 9] in label 1" in lines[2]

    def test_the_row_of_a_manifest_is_named(self, tmp_path: Path) -> None:
        records = [triplet(tmp_path, f"t{i}") for i in range(12)]
        write_manifest(tmp_path / "triplets.csv", records)
        Path(records[7].neural).unlink()
        (problem,), _ = validate(*find_triplets(tmp_path / "triplets.csv"))
        assert problem.message.startswith("row 8 (id 't7'), neural: ")

    def test_samples_written_without_scaling(self, tmp_path: Path) -> None:
        record = triplet(tmp_path)
        deep(record.neural, 4)  # 10 bits in 16 without a shift
        (problem,), _ = validate([record])
        assert (
            "neural: expected samples that fill 16 bits, got a brightest of 0.01" in problem.message
        )
        deep(record.neural, 257)
        problems, notes = validate([record])
        assert problems == []
        assert "bit depths differ" in notes[0]
        assert "original 8, neural 16, traditional 8" in notes[0]

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


def decoded(array: np.ndarray, quality: int) -> np.ndarray:
    """After a lossy codec that knows nothing of tags."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


Y, X = np.mgrid[:72, :72]
SCENE = np.stack([40 + 2 * X, 30 + Y, 128 + 60 * np.sin(X * Y / 400)], -1).astype(np.uint8)
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}
"""What each EXIF orientation asks a viewer to do (TIFF 6.0, tag 274)."""


class TestSides:
    def triplet(
        self, folder: Path, original: np.ndarray, decode: np.ndarray, suffix: str, **options: object
    ) -> TripletRecord:
        paths = [folder / f"original{suffix}", folder / "neural.png", folder / "traditional.png"]
        Image.fromarray(np.ascontiguousarray(original)).save(paths[0], **options)
        Image.fromarray(decoded(decode, 15)).save(paths[1])
        Image.fromarray(decoded(decode, 60)).save(paths[2])
        return TripletRecord("a", *map(str, paths))

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_decodes_that_were_turned(self, tmp_path: Path, suffix: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = self.triplet(tmp_path, SCENE, UPRIGHT[orientation](SCENE), suffix, exif=exif)
        problems, _ = validate([turned])
        assert len(problems) == 1
        assert f"original{suffix}" in problems[0].message
        assert f"orientations (EXIF) are {orientation} and 1" in problems[0].message
        fails(ImageError, "orientations", load_triplet, turned)
        flipped = dataclasses.replace(  # the tag on a decode, which is turned by it
            turned, original=turned.traditional, neural=turned.original
        )
        assert len(validate([flipped])[0]) == 1
        assert validate([self.triplet(tmp_path, SCENE, SCENE, suffix, exif=exif)]) == ([], [])
        without = self.triplet(tmp_path, UPRIGHT[orientation](SCENE), SCENE, ".png")
        assert validate([without])[0] == []  # no file says so: nobody asked

    def test_decodes_in_another_profile(self, tmp_path: Path) -> None:
        """A profile whose red and blue are exchanged, as far from sRGB as one gets."""
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        count = int.from_bytes(srgb[128:132], "big")
        other = bytearray(srgb)
        tags = {srgb[132 + 12 * i : 136 + 12 * i]: 132 + 12 * i for i in range(count)}
        red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
        other[red : red + 4], other[blue : blue + 4] = b"bXYZ", b"rXYZ"
        converted = SCENE[..., ::-1]
        record = self.triplet(tmp_path, SCENE, converted, ".png", icc_profile=bytes(other))
        problems, _ = validate([record])
        assert "its colours converted: profiles are" in problems[0].message
        assert len(problems) == 1
        same = self.triplet(tmp_path, SCENE, SCENE, ".png", icc_profile=bytes(other))
        problems, notes = validate([same])
        assert problems == []
        assert "colour profiles differ and are not applied" in notes[0]
        plain = self.triplet(tmp_path, SCENE, SCENE, ".png", icc_profile=srgb)
        assert validate([plain]) == ([], [])

    @pytest.mark.parametrize(
        ("chunks", "name"),
        [
            ([(b"gAMA", struct.pack(">I", 45455))], "sRGB"),
            ([(b"gAMA", struct.pack(">I", 100000))], "gamma 1"),
            ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], "sRGB"),
            ([(b"cICP", bytes([1, 13, 0, 1]))], "sRGB"),
            ([(b"cICP", bytes([12, 13, 0, 1]))], "Display P3"),
            ([(b"cICP", bytes([9, 16, 0, 1]))], "BT.2020 PQ"),
        ],
    )
    def test_what_png_says_of_its_colours(
        self, tmp_path: Path, chunks: list[tuple[bytes, bytes]], name: str
    ) -> None:
        record = triplet(tmp_path)
        data = Path(record.original).read_bytes()
        extra = b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
        Path(record.original).write_bytes(data[:33] + extra + data[33:])
        problems, notes = validate([record])
        assert problems == []
        assert [name in note for note in notes] == ([] if name == "sRGB" else [True])

    def test_notes_are_said_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        record = triplet(tmp_path / "set")
        Image.fromarray(RGB).save(record.neural, "BMP")
        data = Path(record.original).read_bytes()
        body = b"eXIfThis is no EXIF"
        chunk = struct.pack(">I", 15) + body + struct.pack(">I", zlib.crc32(body))
        Path(record.original).write_bytes(data[:33] + chunk + data[33:])
        write_manifest(tmp_path / "two.csv", [record, dataclasses.replace(record, id="b")])
        assert main(["validate", str(tmp_path / "two.csv"), "show_progress=false"]) == 0
        out = capsys.readouterr().out
        assert out.count("it is a BMP, not what its suffix .png says") == 1
        assert out.count("EXIF block cannot be read") == 1
        assert "2 triplets, 0 problems. 2 notes." in out
