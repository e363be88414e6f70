"""The image reader: what it returns, and the line it gives for each file that it refuses."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
import torch
from checks import fails
from PIL import Image, ImageFile

from nacd_bench.errors import DataError, ImageError
from nacd_bench.planting.photographs import (
    COLOR_PHOTOS,
    PLANTING_PHOTOS,
    TEXT_PHOTOS,
    photo,
    photo_path,
    photo_paths,
)
from nacd_bench.triplets import images
from nacd_bench.triplets.embedded import PACKAGES, PHOTOGRAPHS
from nacd_bench.triplets.formats import FORMATS, SUFFIXES
from nacd_bench.triplets.images import content_hash, decode_image, image_size, read_image

RGB = np.random.default_rng(7).integers(0, 256, (24, 40, 3), dtype=np.uint8)
DEEP = np.random.default_rng(8).integers(0, 65536, (24, 40, 3), dtype=np.uint16)


def rows_last(pixels: torch.Tensor) -> np.ndarray:
    return pixels.permute(1, 2, 0).numpy()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def refused(match: str, path: Path | str, data: bytes | bytearray | None = None) -> None:
    """The image is none of those that are read, and the message says why."""
    with pytest.raises(ImageError, match=match):
        read_image(path) if data is None else decode_image(path, bytes(data))


class TestEightBits:
    @pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".bmp", ".ppm"])
    def test_lossless_formats_are_read_exactly(self, tmp_path: Path, suffix: str) -> None:
        image = read_image(save(tmp_path / f"a{suffix}", RGB))
        assert image.pixels.dtype == torch.uint8
        assert image.pixels.is_contiguous()
        assert (image.bit_depth, image.height, image.width) == (8, 24, 40)
        assert np.array_equal(rows_last(image.pixels), RGB)

    @pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
    def test_lossy_formats_equal_pillow(self, tmp_path: Path, suffix: str) -> None:
        path = save(tmp_path / f"a{suffix}", RGB)
        assert np.array_equal(rows_last(read_image(path).pixels), np.asarray(Image.open(path)))

    def test_gray_is_repeated(self, tmp_path: Path) -> None:
        pixels = read_image(save(tmp_path / "a.png", RGB[..., 0])).pixels
        assert np.array_equal(pixels.numpy(), np.stack([RGB[..., 0]] * 3))

    def test_bilevel_becomes_black_and_white(self, tmp_path: Path) -> None:
        Image.fromarray(RGB[..., 0]).convert("1").save(tmp_path / "a.png")
        assert set(read_image(tmp_path / "a.png").pixels.unique().tolist()) == {0, 255}

    def test_palette_becomes_rgb(self, tmp_path: Path) -> None:
        palette = Image.fromarray(RGB).quantize(16)
        palette.save(tmp_path / "a.png")
        pixels = read_image(tmp_path / "a.png").pixels
        assert np.array_equal(rows_last(pixels), np.asarray(palette.convert("RGB")))

    @pytest.mark.parametrize("shape", [(1, 1, 3), (15, 4000, 3)])
    def test_extreme_shapes(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        array = np.resize(RGB, shape)
        assert np.array_equal(rows_last(read_image(save(tmp_path / "a.png", array)).pixels), array)

    def test_a_file_url_is_read(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB)
        assert np.array_equal(rows_last(read_image(path.as_uri()).pixels), RGB)

    def test_a_file_without_suffix_is_read_by_its_content(self, tmp_path: Path) -> None:
        assert read_image(save(tmp_path / "a.png", RGB).rename(tmp_path / "a")).width == 40

    def test_the_hash_is_that_of_the_bytes(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB)
        assert read_image(path).sha256 == content_hash(path)
        assert len(content_hash(path)) == 64
        assert content_hash(save(tmp_path / "b.png", RGB + 1)) != content_hash(path)


class TestDeep:
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("array", [DEEP, DEEP[..., 0]], ids=["rgb", "gray"])
    def test_16_bits_keep_their_depth(self, tmp_path: Path, suffix: str, array: np.ndarray) -> None:
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)
        image = read_image(path)
        assert (image.bit_depth, image.pixels.dtype) == (16, torch.float32)
        restored = np.rint(rows_last(image.pixels) * 65535.0)
        assert np.array_equal(restored, np.broadcast_to(np.atleast_3d(array), (24, 40, 3)))

    @pytest.mark.parametrize("bits", [10, 12, 16])
    @pytest.mark.parametrize("kind", ["P5", "P6"])
    def test_ppm_is_scaled_by_its_largest_value(self, tmp_path: Path, bits: int, kind: str) -> None:
        largest = 2**bits - 1
        array = (DEEP if kind == "P6" else DEEP[..., :1]) & largest
        header = f"{kind}\n# a comment\n40 24\n{largest}\n".encode()
        (tmp_path / "a.ppm").write_bytes(header + array.astype(">u2").tobytes())
        image = read_image(tmp_path / "a.ppm")
        assert image.bit_depth == bits
        restored = np.rint(rows_last(image.pixels) * np.float32(largest))
        assert np.array_equal(restored, np.broadcast_to(array, (24, 40, 3)))

    def test_a_deep_ppm_cut_short_is_refused(self, tmp_path: Path) -> None:
        header = b"P6\n40 24\n1023\n"
        (tmp_path / "a.ppm").write_bytes(header + (DEEP & 1023).astype(">u2").tobytes()[:-50])
        refused(r"a\.ppm: expected a whole PPM, got a truncated one", tmp_path / "a.ppm")

    def test_white_on_zero_tiff_is_refused_where_it_would_come_out_inverted(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.tif"
        cv2.imwrite(str(path), DEEP[..., 0])
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<HHI", 262, 3, 1))  # photometric: 1, black is zero
        data[place + 8] = 0
        path.write_bytes(data)
        refused(r"photometric interpretation 0\. Convert it", path)


class TestRefused:
    def test_alpha(self, tmp_path: Path) -> None:
        rgba = np.dstack([RGB, RGB[..., 0]])
        message = r"a\.png: expected an image without transparency, got an alpha channel\. Flatten"
        refused(message, save(tmp_path / "a.png", rgba))
        refused("alpha channel", save(tmp_path / "gray.png", rgba[..., 2:], mode="LA"))
        refused("alpha channel", save(tmp_path / "a.webp", rgba))
        cv2.imwrite(str(tmp_path / "deep.png"), np.dstack([DEEP, DEEP[..., 0]]))
        refused("alpha channel", tmp_path / "deep.png")

    def test_transparent_colour(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB, transparency=(1, 2, 3))
        refused(r"got a transparent colour\. Flatten it", path)
        Image.fromarray(RGB).quantize(16).save(tmp_path / "palette.png", transparency=3)
        refused("transparent colour", tmp_path / "palette.png")

    def test_cmyk(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
        refused(r"a\.jpg: expected gray, .* got CMYK\. Convert it", tmp_path / "a.jpg")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"got an empty file \(0 bytes\)"),
            (b"hello there\n", "got text content"),
            ("größer".encode(), "got text content"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\xff\x0a" + bytes(20), "got JPEG XL content. Convert it to PNG"),
            (b"\0\0\0\x1cftypavif" + bytes(20), "expected a AVIF that can be decoded"),
            (b"\x01\x02\xfe\xff" * 9, "got unknown content"),
            (b"\x89PNG\r\n\x1a\n", "expected a whole PNG, got a truncated one"),
            (b"\xff\xd8\xff\xe0", "expected a whole JPEG, got a truncated one"),
            (b"P6\n", "expected a PPM that can be decoded"),
        ],
    )
    def test_other_content(self, tmp_path: Path, content: bytes, message: str) -> None:
        suffix = {b"\xff\xd8": ".jpg", b"P6": ".ppm"}.get(content[:2], ".png")
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(ImageError, match=message) as caught:
            read_image(tmp_path / f"a{suffix}")
        assert f"a{suffix}: " in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("array", [RGB, DEEP], ids=["8 bits", "16 bits"])
    def test_png_cut_anywhere(self, tmp_path: Path, array: np.ndarray) -> None:
        cv2.imwrite(str(tmp_path / "whole.png"), array)
        data = (tmp_path / "whole.png").read_bytes()
        for length in (20, 60, len(data) // 2, len(data) - 13, len(data) - 12, len(data) - 1):
            (tmp_path / "a.png").write_bytes(data[:length])
            refused(r"a\.png: expected a whole PNG, got a truncated", tmp_path / "a.png")

    @pytest.mark.parametrize("array", [RGB, DEEP], ids=["8 bits", "16 bits"])
    def test_png_damaged_anywhere(self, tmp_path: Path, array: np.ndarray) -> None:
        cv2.imwrite(str(tmp_path / "whole.png"), array)
        data = (tmp_path / "whole.png").read_bytes()
        for place in (20, 60, len(data) // 2, len(data) - 14):
            damaged = bytearray(data)
            damaged[place] ^= 0x10
            (tmp_path / "a.png").write_bytes(damaged)
            refused(r"a\.png: expected a whole PNG, got a damaged", tmp_path / "a.png")

    def test_png_whose_pixels_end_early_with_checksums_right(self, tmp_path: Path) -> None:
        header = struct.pack(">IIBBBBB", 40, 24, 16, 2, 0, 0, 0)
        rows = zlib.compress(bytes(241 * 10))  # 10 of 24 rows
        chunks = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
        data = b"".join(png_chunk(*chunk) for chunk in chunks)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        refused(r"a\.png: expected", tmp_path / "a.png")

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp", ".ppm"])
    def test_other_formats_cut_short(self, tmp_path: Path, suffix: str) -> None:
        path = save(tmp_path / f"a{suffix}", RGB)
        data = path.read_bytes()
        for length in (len(data) // 2, len(data) - 2):
            path.write_bytes(data[:length])
            refused(rf"a\{suffix}: expected a", path)

    def test_cut_short_even_when_another_library_asked_pillow_for_half_images(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        path = save(tmp_path / "a.jpg", RGB)
        path.write_bytes(path.read_bytes()[:-60])
        refused("truncated", path)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_deep_tiff_cut_short(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.tif"), DEEP)
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
        refused(r"a\.tif: expected a", tmp_path / "a.tif")

    def test_missing_folder_and_broken_link(self, tmp_path: Path) -> None:
        refused(r"no\.png: .* got nothing of that name\. Correct", tmp_path / "no.png")
        (tmp_path / "folder.png").mkdir()
        refused(r"folder\.png: .* got a folder\. Name a file in it", tmp_path / "folder.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "no.png")
        refused(r"link\.png: .* got a link to nothing", tmp_path / "link.png")

    def test_no_permission(self, other_user: Any) -> None:
        folder, without_rights = other_user
        path = save(folder / "a.png", RGB)
        path.chmod(0)
        message = r"a\.png: .* got no permission\. Allow it"
        with without_rights(), pytest.raises(ImageError, match=message):
            read_image(path)

    def test_unknown_remote(self) -> None:
        refused(r"nowhere://b/a\.png: expected an image file", "nowhere://b/a.png")


class TestMetadata:
    """What is broken beside the pixels never keeps them from being read."""

    BLOCKS = {
        "empty": b"",
        "garbage": b"This is no EXIF block at all, only text.",
        "short": b"II*\0\x08\0",
        "wild count": b"MM\0*\0\0\0\x08\xff\xff" + bytes(range(60)),
        "wild offset": b"II*\0\xff\xff\xff\x7f",
        "loop": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    }

    @pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
    @pytest.mark.parametrize("block", BLOCKS)
    def test_broken_exif(self, tmp_path: Path, suffix: str, block: str) -> None:
        exif = self.BLOCKS[block]
        whole = read_image(save(tmp_path / f"whole{suffix}", RGB, lossless=True, quality=90))
        data = (tmp_path / f"whole{suffix}").read_bytes()
        if suffix == ".png":
            data = data[:33] + png_chunk(b"eXIf", exif) + data[33:]
        elif suffix == ".jpg":
            body = b"Exif\0\0" + exif
            data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
        else:
            flags = struct.pack("<I", 8) + (39).to_bytes(3, "little") + (23).to_bytes(3, "little")
            chunks = b"VP8X" + struct.pack("<I", 10) + flags + data[12:]
            chunks += b"EXIF" + struct.pack("<I", len(exif)) + exif
            data = b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
        (tmp_path / f"a{suffix}").write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = read_image(tmp_path / f"a{suffix}")
        assert torch.equal(image.pixels, whole.pixels)
        assert image.orientation == 1
        noted = [note for note in image.notes if "EXIF block cannot be read" in note]
        assert len(noted) == (block not in ("empty", "loop"))

    def test_broken_profiles_text_and_checksums_in_png(self, tmp_path: Path) -> None:
        data = save(tmp_path / "a.png", RGB).read_bytes()
        bomb = b"a\0\0" + zlib.compress(bytes(2 * 10**6))
        wrong = bytearray(png_chunk(b"tEXt", b"a\0b"))
        wrong[-1] ^= 1
        chunks = (
            png_chunk(b"iCCP", b"name\0\0no zlib at all")
            + png_chunk(b"zTXt", bomb)
            + png_chunk(b"iTXt", b"\xff\xff")
            + png_chunk(b"gAMA", b"1")
            + wrong
        )
        (tmp_path / "a.png").write_bytes(data[:33] + chunks + data[33:])
        assert np.array_equal(rows_last(read_image(tmp_path / "a.png").pixels), RGB)

    @pytest.mark.parametrize(
        ("marker", "body"),
        [
            (0xEE, b"Adobe"),
            (0xEE, b"Adobe\0\x64\0\0"),
            (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
            (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
            (0xE2, b"ICC_PROFILE\0\5"),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
            (0xE0, b"JFIF"),
            (0xFE, b"\xff\xfe"),
        ],
    )
    def test_broken_segments_of_jpeg(self, tmp_path: Path, marker: int, body: bytes) -> None:
        whole = read_image(save(tmp_path / "a.jpg", RGB))
        data = (tmp_path / "a.jpg").read_bytes()
        segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
        (tmp_path / "b.jpg").write_bytes(data[:2] + segment + data[2:])
        assert torch.equal(read_image(tmp_path / "b.jpg").pixels, whole.pixels)

    def test_a_broken_profile_is_noted(self, tmp_path: Path) -> None:
        image = read_image(save(tmp_path / "a.jpg", RGB, icc_profile=b"no profile" * 20))
        assert image.profile == "sRGB"
        assert "colour profile cannot be read" in image.notes[0]

    @pytest.mark.parametrize("pointer", [5, 8, 100, 0x7FFFFFFF, 0xFFFFFFFF])
    def test_a_tiff_with_a_broken_pointer_to_its_next_picture(
        self, tmp_path: Path, pointer: int
    ) -> None:
        data = bytearray(save(tmp_path / "a.tif", RGB).read_bytes())
        (place,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, place)
        struct.pack_into("<I", data, place + 2 + 12 * count, pointer)
        (tmp_path / "a.tif").write_bytes(data)
        assert np.array_equal(rows_last(read_image(tmp_path / "a.tif").pixels), RGB)

    def test_a_smaller_version_behind_a_tiff_is_no_second_picture(self, tmp_path: Path) -> None:
        small = Image.fromarray(RGB[::2, ::2])
        small.encoderinfo = {"tiffinfo": {254: 1}}
        Image.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=[small])
        assert np.array_equal(rows_last(read_image(tmp_path / "a.tif").pixels), RGB)

    def test_what_a_file_is_comes_before_its_name(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.jpg", RGB).rename(tmp_path / "a.png")
        assert read_image(path).notes == (
            "it is a JPEG, not what its suffix .png says; read as such",
        )
        assert read_image(path.rename(tmp_path / "a.jpe")).notes == ()


def tiff(samples: np.ndarray, order: str, orientation: int, strips: int) -> bytes:
    """A plain TIFF of gray or RGB samples ``(H, W[, 3])``, written by hand."""
    height, width, *rest = samples.shape
    channels = rest[0] if rest else 1
    rows = -(-height // strips)
    parts = [
        samples[i : i + rows].astype(samples.dtype.newbyteorder(order)).tobytes()
        for i in range(0, height, rows)
    ]
    values = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [samples.dtype.itemsize * 8] * channels),
        259: (3, [1]),
        262: (3, [2 if channels == 3 else 1]),
        273: (4, []),
        274: (3, [orientation]),
        277: (3, [channels]),
        278: (4, [rows]),
        279: (4, [len(part) for part in parts]),
        284: (3, [1]),
    }
    place = 8 + 2 + 12 * len(values) + 4
    extra_size = sum(
        len(v) * {3: 2, 4: 4}[kind]
        for kind, v in values.values()
        if len(v) * {3: 2, 4: 4}[kind] > 4
    )
    extra_size += 4 * len(parts) if len(parts) > 1 else 0
    starts = np.cumsum([0, *map(len, parts)])[:-1] + place + extra_size
    values[273] = (4, [int(start) for start in starts])
    entries = extra = b""
    for tag, (kind, numbers) in values.items():
        body = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(body) > 4:
            extra, body = extra + body, struct.pack(order + "I", place + len(extra))
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + body.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    table = struct.pack(order + "H", len(values)) + entries + bytes(4)
    return head + table + extra + b"".join(parts)


class TestOrientation:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("array", [RGB, RGB[..., 0], DEEP, DEEP[..., 0]])
    @pytest.mark.parametrize("strips", [1, 5])
    def test_tiff_is_taken_as_stored(
        self, tmp_path: Path, order: str, array: np.ndarray, strips: int
    ) -> None:
        expected = np.broadcast_to(np.atleast_3d(array), (24, 40, 3))
        for orientation in range(1, 9):
            (tmp_path / "a.tif").write_bytes(tiff(array, order, orientation, strips))
            image = read_image(tmp_path / "a.tif")
            assert image.orientation == orientation
            assert image_size(tmp_path / "a.tif") == (40, 24)
            pixels = rows_last(image.pixels)
            if array.dtype == np.uint16:
                pixels = np.rint(pixels * 65535.0)
            assert np.array_equal(pixels, expected)

    @pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
    @pytest.mark.parametrize("big_tiff", [False, True])
    def test_compressed_and_big_tiff(
        self, tmp_path: Path, compression: str, big_tiff: bool
    ) -> None:
        options = {"compression": compression, "big_tiff": big_tiff, "tiffinfo": {274: 6}}
        image = read_image(save(tmp_path / "a.tif", RGB, **options))
        assert image.orientation == 6
        assert np.array_equal(rows_last(image.pixels), RGB)

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
    def test_the_tag_does_not_turn(self, tmp_path: Path, suffix: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 8
        image = read_image(save(tmp_path / f"a{suffix}", RGB, exif=exif))
        plain = read_image(save(tmp_path / f"b{suffix}", RGB))
        assert (image.orientation, plain.orientation) == (8, 1)
        assert torch.equal(image.pixels, plain.pixels)


SMOOTH = np.stack(
    [128 + 70 * np.sin(np.mgrid[:96, :128][1] / 9 + c + np.mgrid[:96, :128][0]) for c in range(3)],
    -1,
).astype(np.uint8)
END = b"\xff\xd9"


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(SMOOTH)
    picture = picture.convert("L") if options.pop("gray", False) else picture
    picture.save(file, "JPEG", **{"quality": 85, **options})
    return file.getvalue()


class TestDamagedJPEG:
    KINDS = {
        "plain": {},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 4},
        "gray": {"gray": True},
        "gray progressive": {"gray": True, "progressive": True},
        "full chroma": {"subsampling": 0, "optimize": True},
        "rgb": {"keep_rgb": True},
    }

    @pytest.mark.parametrize("kind", KINDS)
    def test_whole_ones_are_read(self, kind: str) -> None:
        data = jpeg(**self.KINDS[kind])
        with Image.open(io.BytesIO(data)) as picture:
            expected = np.asarray(picture.convert("RGB"))
        later = data.replace(b"JFIF\0\1\1", b"JFIF\0\2\1")
        for whole in (data, data + bytes(64), data[:2] + b"\xff\xff" + data[2:], later):
            assert np.array_equal(rows_last(decode_image("a.jpg", whole).pixels), expected)

    def test_one_with_a_second_picture_behind_is_read(self) -> None:
        file = io.BytesIO()
        pictures = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH[::-1].copy())]
        pictures[0].save(file, "MPO", save_all=True, append_images=pictures[1:], quality=85)
        expected = decode_image("a.jpg", jpeg()).pixels
        assert torch.equal(decode_image("a.mpo", file.getvalue()).pixels, expected)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
    def test_cut_and_closed(self, kind: str, share: float) -> None:
        data = jpeg(**self.KINDS[kind])
        begin = data.index(b"\xff\xda")
        cut = begin + int(share * (len(data) - begin))
        for damaged in (data[:cut] + END, data[:cut] + data[cut + 300 :]):
            refused(r"a\.jpg: expected a whole JPEG, got a", "a.jpg", damaged)

    def test_cut_between_scans_and_in_tables(self) -> None:
        data = jpeg(progressive=True)
        scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
        tables = [i for i in range(scans[0], len(data)) if data[i : i + 2] == b"\xff\xc4"]
        assert len(scans) == 10
        for cut in (*scans[1:], *tables, tables[-1] + 9):
            refused(r"a\.jpg: expected a whole JPEG, got a", "a.jpg", data[:cut] + END)

    def test_a_restart_interval_that_is_gone(self) -> None:
        data = jpeg(restart_marker_blocks=4)
        marks = [i for i in range(600, len(data)) if data[i] == 255 and 0xD0 <= data[i + 1] <= 0xD7]
        refused("instead of RST", "a.jpg", data[: marks[2]] + data[marks[3] :])


class TestDamagedOthers:
    @pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
    @pytest.mark.parametrize("lossless", [False, True])
    def test_webp_cut_and_closed(self, tmp_path: Path, share: float, lossless: bool) -> None:
        data = save(tmp_path / "a.webp", RGB, lossless=lossless).read_bytes()
        body = data[20 : 20 + int(share * (len(data) - 20)) // 2 * 2]
        chunk = data[12:16] + struct.pack("<I", len(body)) + body
        closed = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk
        for damaged in (closed, data[: int(share * len(data))]):
            refused(r"a\.webp: expected a", "a.webp", damaged)

    def test_tiff_with_a_short_strip(self) -> None:
        data = tiff(RGB, "<", 1, 1)
        place = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
        for count in (RGB.nbytes - 1, RGB.nbytes + 1):
            damaged = data[:place] + struct.pack("<I", count) + data[place + 4 :]
            refused("expected a whole TIFF, got a truncated one", "a.tif", damaged + bytes(0))

    @pytest.mark.parametrize("suffix", [".gif", ".avif", ".jp2", ".heic"])
    def test_cut_short(self, tmp_path: Path, suffix: str) -> None:
        path = save_heic(tmp_path) if suffix == ".heic" else save(tmp_path / f"a{suffix}", RGB)
        data = path.read_bytes()
        for length in (len(data) // 2, len(data) - 20):
            refused(rf"a\{suffix}: expected a", f"a{suffix}", data[:length])


SLOW = np.stack([*np.mgrid[:96, :128], np.full((96, 128), 90)], -1).astype(np.uint8) * 2
"""With so little chroma detail that halving its resolution hardly shows."""


def save_heic(folder: Path, array: np.ndarray = SLOW, **options: object) -> Path:
    mode = "RGB;16" if array.dtype == np.uint16 else "RGB"
    file = pillow_heif.from_bytes(mode, (array.shape[1], array.shape[0]), array.tobytes())
    file.save(folder / "a.heic", quality=95, **options)
    return folder / "a.heic"


class TestOtherKinds:
    @pytest.mark.parametrize("suffix", [".gif", ".jp2"])
    def test_lossless_ones_equal_pillow(self, tmp_path: Path, suffix: str) -> None:
        path = save(tmp_path / f"a{suffix}", RGB)
        with Image.open(path) as picture:
            assert np.array_equal(rows_last(read_image(path).pixels), picture.convert("RGB"))

    def test_deep_jpeg_2000(self, tmp_path: Path) -> None:
        deep = SLOW.astype(np.uint16) * 257
        cv2.imwrite(str(tmp_path / "a.jp2"), deep[..., ::-1])  # lossy, at a high rate
        image = read_image(tmp_path / "a.jp2")
        assert image.bit_depth == 16
        assert np.abs(rows_last(image.pixels) * 255 - SLOW).mean() < 1

    @pytest.mark.parametrize("bits", [10, 12])
    def test_deep_avif(self, tmp_path: Path, bits: int) -> None:
        samples = SLOW.astype(np.uint16) << (bits - 8)
        options = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, bits]
        cv2.imwrite(str(tmp_path / "a.avif"), samples[..., ::-1], options)
        image = read_image(tmp_path / "a.avif")
        assert image.bit_depth == bits
        assert np.abs(rows_last(image.pixels) - samples / (2**bits - 1)).mean() < 0.005

    def test_heic_of_8_and_10_bits(self, tmp_path: Path) -> None:
        image = read_image(save_heic(tmp_path))
        assert (image.bit_depth, image.width, image.height) == (8, 128, 96)
        assert np.abs(rows_last(image.pixels).astype(float) - SLOW).mean() < 3
        deep = read_image(save_heic(tmp_path, SLOW.astype(np.uint16) << 8))
        assert deep.bit_depth == 10
        assert np.abs(rows_last(deep.pixels) * 255 - SLOW).mean() < 3

    def test_a_heic_comes_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = read_image(save_heic(tmp_path, exif=exif.tobytes()))
        assert (image.orientation, image.width, image.height) == (1, 96, 128)
        upright = np.rot90(SLOW, -1)
        assert np.abs(rows_last(image.pixels).astype(float) - upright).mean() < 3

    @pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif", ".tif"])
    def test_moving_ones_are_refused(self, tmp_path: Path, suffix: str) -> None:
        frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
        refused("expected one picture in the file, got 2", tmp_path / f"a{suffix}")

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [("LAB", "CIE Lab"), ("CMYK", "CMYK"), ("F", "float"), ("I", "signed"), ("LA", "alpha")],
    )
    def test_tiffs_are_refused_for_the_right_reason(
        self, tmp_path: Path, mode: str, reason: str
    ) -> None:
        Image.fromarray(RGB).convert(mode).save(tmp_path / "a.tif")
        refused(reason, tmp_path / "a.tif")

    def test_a_raw_file_is_not_read_as_its_preview(self) -> None:
        data = tiff(RGB, "<", 1, 1)
        dng = data.replace(struct.pack("<HHI", 278, 4, 1), struct.pack("<HHI", 50706, 4, 1))
        refused("raw file", "a.dng", dng)

    def test_an_opaque_alpha_channel_of_a_program(self) -> None:
        for array in (RGB, DEEP):
            full = np.full((24, 40), np.iinfo(array.dtype).max, array.dtype)
            data = cv2.imencode(".png", np.dstack([array[..., ::-1], full]))[1].tobytes()
            pixels = rows_last(decode_image("a.png", data, opaque=True).pixels)
            scale = 1 if array is RGB else 65535.0
            assert np.array_equal(np.rint(pixels * scale), array)
            refused("alpha", "a.png", data)


class TestSize:
    def test_a_photograph_of_200_megapixels_is_no_bomb(self) -> None:
        assert images.MAX_PIXELS > 200e6

    def test_pillows_limit_is_raised(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert read_image(save(tmp_path / "a.png", RGB)).width == 40

    def test_more_than_the_limit_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save(tmp_path / "a.png", RGB)
        monkeypatch.setattr(images, "MAX_PIXELS", 900)
        refused(r"a\.png: expected at most .* got 40 x 24\. Cut", path)

    @pytest.mark.parametrize("side", [20_000, 60_000])
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif", ".ppm"])
    def test_a_bomb_is_refused_by_its_header(self, tmp_path: Path, suffix: str, side: int) -> None:
        """Pillow only warns of up to twice its limit, which 20,000 x 20,000 pixels lie below."""
        data = save(tmp_path / f"a{suffix}", RGB).read_bytes()
        sizes = {
            ".png": (16, ">II", (40, 24)),
            ".jpg": (data.find(b"\xff\xc0") + 5, ">HH", (24, 40)),
            ".gif": (6, "<HH", (40, 24)),
            ".bmp": (18, "<II", (40, 24)),
        }
        if suffix == ".tif":
            data = tiff(RGB, "<", 1, 1)
            for tag, old in ((256, 40), (257, 24)):
                entry = struct.pack("<HHII", tag, 4, 1, old)
                assert entry in data
                data = data.replace(entry, struct.pack("<HHII", tag, 4, 1, side))
        elif suffix == ".ppm":
            data = data.replace(b"40 24", f"{side} {side}".encode(), 1)
        else:
            place, layout, there = sizes[suffix]
            assert struct.unpack_from(layout, data, place) == there
            size = struct.pack(layout, side, side)
            data = data[:place] + size + data[place + len(size) :]
        if suffix == ".png":
            data = data[:8] + png_chunk(b"IHDR", data[16:29]) + data[33:]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ImageError, match=rf"a\{suffix}: expected ") as caught:
                decode_image(f"a{suffix}", data)
        if suffix != ".tif":  # whose strips are too short for such a size
            assert f"at most 268 million pixels, got {side} x {side}" in str(caught.value)


def test_every_suffix_belongs_to_one_format() -> None:
    assert len(SUFFIXES) == len(set(SUFFIXES)) == sum(map(len, FORMATS.values()))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


class TestPhotos:
    def test_each_is_there_in_colour_or_gray(self) -> None:
        assert set(COLOR_PHOTOS) - set(PLANTING_PHOTOS) == {"motorcycle_right"}  # a stereo pair
        for name in PLANTING_PHOTOS + TEXT_PHOTOS:
            pixels = photo(name)
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            assert pixels.flags.c_contiguous
            assert (np.ptp(pixels, axis=2).max() > 50) == (
                name in (*COLOR_PHOTOS, "hopper", "tissue")
            )

    def test_pixels_equal_pillows(self) -> None:
        with Image.open(io.BytesIO(photo_path("rocket").read_bytes())) as expected:
            assert np.array_equal(photo("rocket"), np.asarray(expected))

    def test_unknown_name(self) -> None:
        fails(DataError, "did you mean 'astronaut'", photo_path, "astronout")

    def test_package_without_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nacd_bench.triplets.embedded.find_spec", lambda package: None)
        fails(DataError, r"data/rocket\.jpg of the package scikit-image", photo_path, "rocket")

    def test_one_that_an_upgrade_changed_costs_itself(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("coffee", "rocket"):
            file = tmp_path / Path(PHOTOGRAPHS[name][0]).relative_to("skimage")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(photo_path(name).read_bytes() + b"x" * (name == "rocket"))
        spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
        monkeypatch.setattr("nacd_bench.triplets.embedded.find_spec", lambda package: spec)
        paths, failures = photo_paths(["coffee", "rocket", "chelsea"])
        assert paths == [tmp_path / "data/coffee.png"]
        assert [(failure.item, failure.step) for failure in failures] == [
            ("rocket", "read"),
            ("chelsea", "read"),
        ]
        assert "got another. Install it again: pip install" in failures[0].message
        assert "got none. Install it again: pip install" in failures[1].message
        fails(DataError, r"rocket\.jpg .*\n.*chelsea\.png ", photo_paths, ["rocket", "chelsea"])
        fails(DataError, "did you mean 'rocket'", photo_paths, ["coffee", "rockt"])

    def test_versions_that_have_them_are_those_of_the_constraints(self) -> None:
        constraints = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
        assert set(PACKAGES.values()) <= set(constraints)
