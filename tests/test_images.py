"""The image reader: what it returns, and the line it gives for each file that it refuses."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from nacd_bench.data import images
from nacd_bench.data.formats import FORMATS, SUFFIXES
from nacd_bench.data.images import content_hash, read_image
from nacd_bench.data.photos import COLOR_PHOTOS, PLANTING_PHOTOS, TEXT_PHOTOS, photo_path, photos
from nacd_bench.errors import DataError, ImageError

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

    def test_pixels_are_as_stored_whatever_the_orientation(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "a.png", RGB, exif=exif)
        image = read_image(path)
        assert image.orientation == 6
        assert np.array_equal(rows_last(image.pixels), RGB)
        assert read_image(save(tmp_path / "b.png", RGB)).orientation == 1

    def test_a_file_url_is_read(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB)
        assert np.array_equal(rows_last(read_image(path.as_uri()).pixels), RGB)

    def test_a_file_without_suffix_is_read_by_its_content(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB).rename(tmp_path / "a")
        assert read_image(path).width == 40

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
        with pytest.raises(ImageError, match=r"a\.ppm: expected a whole PPM, got a truncated one"):
            read_image(tmp_path / "a.ppm")

    def test_white_on_zero_tiff_is_refused_where_it_would_come_out_inverted(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.tif"
        cv2.imwrite(str(path), DEEP[..., 0])
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<HHI", 262, 3, 1))  # photometric: 1, black is zero
        data[place + 8] = 0
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"photometric interpretation 0\. Convert it"):
            read_image(path)


class TestRefused:
    def test_alpha(self, tmp_path: Path) -> None:
        rgba = np.dstack([RGB, RGB[..., 0]])
        message = r"a\.png: expected an image without transparency, got an alpha channel\. Flatten"
        with pytest.raises(ImageError, match=message):
            read_image(save(tmp_path / "a.png", rgba))
        with pytest.raises(ImageError, match="alpha channel"):
            read_image(save(tmp_path / "gray.png", rgba[..., 2:], mode="LA"))
        with pytest.raises(ImageError, match="alpha channel"):
            read_image(save(tmp_path / "a.webp", rgba))
        deep = np.dstack([DEEP, DEEP[..., 0]])
        cv2.imwrite(str(tmp_path / "deep.png"), deep)
        with pytest.raises(ImageError, match="alpha channel"):
            read_image(tmp_path / "deep.png")

    def test_transparent_colour(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGB, transparency=(1, 2, 3))
        with pytest.raises(ImageError, match=r"got a transparent colour\. Flatten it"):
            read_image(path)
        Image.fromarray(RGB).quantize(16).save(tmp_path / "palette.png", transparency=3)
        with pytest.raises(ImageError, match="transparent colour"):
            read_image(tmp_path / "palette.png")

    def test_cmyk(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match=r"a\.jpg: expected gray, .* got CMYK\. Convert it"):
            read_image(tmp_path / "a.jpg")

    def test_several_pictures(self, tmp_path: Path) -> None:
        pages = [Image.fromarray(RGB), Image.fromarray(RGB)]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(ImageError, match="expected one picture in the file, got 2"):
            read_image(tmp_path / "a.tif")

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
            with pytest.raises(ImageError, match=r"a\.png: expected a whole PNG, got a truncated"):
                read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("array", [RGB, DEEP], ids=["8 bits", "16 bits"])
    def test_png_damaged_anywhere(self, tmp_path: Path, array: np.ndarray) -> None:
        cv2.imwrite(str(tmp_path / "whole.png"), array)
        data = (tmp_path / "whole.png").read_bytes()
        for place in (20, 60, len(data) // 2, len(data) - 14):
            damaged = bytearray(data)
            damaged[place] ^= 0x10
            (tmp_path / "a.png").write_bytes(damaged)
            with pytest.raises(ImageError, match=r"a\.png: expected a whole PNG, got a damaged"):
                read_image(tmp_path / "a.png")

    def test_png_whose_pixels_end_early_with_checksums_right(self, tmp_path: Path) -> None:
        header = struct.pack(">IIBBBBB", 40, 24, 16, 2, 0, 0, 0)
        rows = zlib.compress(bytes(241 * 10))  # 10 of 24 rows
        chunks = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
        data = b"".join(png_chunk(*chunk) for chunk in chunks)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        with pytest.raises(ImageError, match=r"a\.png: expected"):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp", ".ppm"])
    def test_other_formats_cut_short(self, tmp_path: Path, suffix: str) -> None:
        path = save(tmp_path / f"a{suffix}", RGB)
        data = path.read_bytes()
        for length in (len(data) // 2, len(data) - 2):
            path.write_bytes(data[:length])
            with pytest.raises(ImageError, match=rf"a\{suffix}: expected a"):
                read_image(path)

    def test_cut_short_even_when_another_library_asked_pillow_for_half_images(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        path = save(tmp_path / "a.jpg", RGB)
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(ImageError, match="truncated"):
            read_image(path)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_deep_tiff_cut_short(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.tif"), DEEP)
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match=r"a\.tif: expected a"):
            read_image(tmp_path / "a.tif")

    def test_missing_folder_and_broken_link(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"no\.png: .* got nothing of that name\. Correct"):
            read_image(tmp_path / "no.png")
        (tmp_path / "folder.png").mkdir()
        with pytest.raises(ImageError, match=r"folder\.png: .* got a folder\. Name a file in it"):
            read_image(tmp_path / "folder.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "no.png")
        with pytest.raises(ImageError, match=r"link\.png: .* got a link to nothing"):
            read_image(tmp_path / "link.png")

    def test_no_permission(self, other_user: Any) -> None:
        folder, without_rights = other_user
        path = save(folder / "a.png", RGB)
        path.chmod(0)
        message = r"a\.png: .* got no permission\. Allow it"
        with without_rights(), pytest.raises(ImageError, match=message):
            read_image(path)

    def test_unknown_remote(self) -> None:
        with pytest.raises(ImageError, match=r"nowhere://b/a\.png: expected an image file"):
            read_image("nowhere://b/a.png")


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
        with pytest.raises(ImageError, match=r"a\.png: expected at most .* got 40 x 24\. Cut"):
            read_image(path)

    def test_a_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")
        data = b"".join(png_chunk(*chunk) for chunk in chunks)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        with pytest.raises(ImageError, match=r"a\.png: expected at most 268 million pixels"):
            read_image(tmp_path / "a.png")


def test_every_suffix_belongs_to_one_format() -> None:
    assert len(SUFFIXES) == len(set(SUFFIXES)) == sum(map(len, FORMATS.values()))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


class TestPhotos:
    def test_each_is_there_in_colour_or_gray(self) -> None:
        embedded = photos()
        assert tuple(embedded) == PLANTING_PHOTOS + TEXT_PHOTOS
        assert PLANTING_PHOTOS[:8] == COLOR_PHOTOS
        for name in embedded:
            photo = embedded[name]
            assert photo.dtype == np.uint8
            assert photo.ndim == 3
            assert photo.shape[2] == 3
            assert photo.flags.c_contiguous
            assert (np.ptp(photo, axis=2).max() > 50) == (
                name in (*COLOR_PHOTOS, "hopper", "tissue")
            )

    def test_pixels_equal_pillows(self) -> None:
        with Image.open(io.BytesIO(photo_path("rocket").read_bytes())) as expected:
            assert np.array_equal(photos()["rocket"], np.asarray(expected))

    def test_unknown_name(self) -> None:
        with pytest.raises(DataError, match="did you mean 'astronaut'"):
            photo_path("astronout")
        assert "nobody" not in photos()

    def test_package_without_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nacd_bench.data.photos.find_spec", lambda package: None)
        with pytest.raises(DataError, match=r"data/rocket\.jpg inside the package scikit-image"):
            photo_path("rocket")
