"""Codec adapters that run in this process: round trips, points, errors, what counts as rate."""

import csv
import doctest
import importlib
import pickle
import sys

import numpy as np
import pytest
import torch
from checks import fails
from PIL import Image as Pillow
from skimage import data
from torch import nn

from nacd_bench.coding.codec import bits_per_pixel
from nacd_bench.coding.rate import luma_psnr
from nacd_bench.errors import CodecError, ImageError
from nacd_bench.registry import CODECS

BUILT_IN = ["x265", "avif", "jpeg", "webp", "jpeg2000"]
PHOTO = np.ascontiguousarray(data.astronaut()[40:168, 160:320])  # 128 x 160, a face and a flag


def built_in(name):
    return CODECS.get(name)()


@pytest.fixture(params=[*BUILT_IN, "jxl"])
def codec(request):
    if request.param == "jxl":
        pytest.importorskip(
            "imagecodecs", reason="need imagecodecs (pip install 'nacd-bench[jxl]')"
        )
    return built_in(request.param)


@pytest.mark.parametrize("module", ["pillow", "x265", "packing"])
def test_the_examples_in_the_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"nacd_codecs.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_a_round_trip_is_a_recognisable_picture_of_the_same_size(codec):
    values = codec.points.values
    decoded = codec.decode(codec.encode(PHOTO, values[2 * len(values) // 3]))
    assert decoded.shape == PHOTO.shape
    assert decoded.dtype == np.uint8
    assert luma_psnr(PHOTO, decoded) > 28


def test_the_best_point_shifts_no_colour(codec):
    """A truncating colour conversion would shift the means by 1.5 levels; chroma may be blurred."""
    decoded = codec.decode(codec.encode(PHOTO, codec.points.values[-1]))
    shift = np.abs((decoded.astype(float) - PHOTO).mean(axis=(0, 1))).max()
    assert shift < (0.9 if codec.name == "avif" else 0.5)  # libavif's own conversion, see AVIF


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 64), (31, 33), (65, 47)])
def test_odd_and_tiny_sizes_come_back_as_they_were(codec, size):
    image = np.ascontiguousarray(PHOTO[: size[0], : size[1]])
    point = codec.points.values[len(codec.points.values) // 2]
    assert codec.decode(codec.encode(image, point)).shape == image.shape


def test_points_are_in_order_of_rising_rate(codec):
    values = codec.points.values
    sizes = [codec.rate_bytes(codec.encode(PHOTO, value)) for value in values[:: len(values) // 6]]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * sizes[0]


def test_the_same_bytes_each_time_and_after_a_trip_to_another_process(codec):
    point = codec.points.values[20]
    twin = pickle.loads(pickle.dumps(codec))
    assert codec.encode(PHOTO, point) == codec.encode(PHOTO, point) == twin.encode(PHOTO, point)


def test_unknown_points_and_unfit_images_are_refused(codec):
    fails(CodecError, rf"{codec.name} has no \w+ 1234\. Known: ", codec.encode, PHOTO, 1234)
    point = codec.points.values[0]
    with pytest.raises(ImageError, match=r"of uint8, got \(128, 160, 4\).*alpha"):
        codec.encode(np.dstack([PHOTO, PHOTO[:, :, 0]]), point)
    fails(ImageError, r"of uint8, got .* of uint16", codec.encode, PHOTO.astype(np.uint16), point)


@pytest.mark.parametrize("damage", [b"", b"not a picture", b"\0" * 64])
def test_a_damaged_bitstream_is_an_error_of_ours(codec, damage):
    fails(CodecError, "Encode the image again", codec.decode, damage)


def test_a_cut_bitstream_never_passes_for_a_picture_silently(codec):
    data = codec.encode(PHOTO, codec.points.values[len(codec.points.values) // 2])
    try:
        decoded = codec.decode(data[: len(data) // 3])
    except CodecError:
        return
    assert luma_psnr(PHOTO, decoded) < 40  # codestreams made to be cut show a coarser picture


def test_versions_name_the_software_that_encodes(codec):
    assert any(character.isdigit() for character in codec.version())


class TestX265:
    def test_settings_reach_the_encoder(self):
        placebo = built_in("x265").encode(PHOTO, 30)
        assert placebo != CODECS.get("x265")(preset="ultrafast").encode(PHOTO, 30)

    def test_settings_are_fresh_for_each_call(self, monkeypatch):
        """pillow-heif writes into the dictionary that it is given."""
        import pillow_heif

        given = []
        save = pillow_heif.HeifFile.save

        def watched(self, *arguments, **keywords):
            given.append(keywords["enc_params"])
            assert set(given[-1]) == {"preset", "tune", "x265:qp", "x265:pools"}
            return save(self, *arguments, **keywords)

        monkeypatch.setattr(pillow_heif.HeifFile, "save", watched)
        codec = built_in("x265")
        codec.encode(PHOTO, 30)
        codec.encode(PHOTO, 31)
        assert given[0] is not given[1]
        assert [settings["x265:qp"] for settings in given] == ["30", "31"]

    def test_the_container_counts_only_on_request(self):
        data = built_in("x265").encode(PHOTO, 37)
        coded = built_in("x265").rate_bytes(data)
        assert 340 < len(data) - coded < 400
        assert CODECS.get("x265")(container=True).rate_bytes(data) == len(data)
        # what counts is the slice, as the file stores it
        start = data.index(b"mdat") + 4
        assert coded == len(data) - start

    def test_420_halves_the_chroma_and_444_does_not(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = (255, 0, 0)
        stripes[:, 1::2] = (0, 0, 255)
        error = {
            chroma: np.abs(c.decode(c.encode(stripes, 0)).astype(int) - stripes).mean()
            for chroma in (420, 444)
            for c in [CODECS.get("x265")(chroma=chroma)]
        }
        assert error[444] < 2 < error[420]

    def test_a_wrong_preset_is_named(self):
        fails(CodecError, r"preset.*warp", CODECS.get("x265")(preset="warp").encode, PHOTO, 30)


class TestAVIF:
    def test_the_container_counts_only_on_request(self):
        data = built_in("avif").encode(PHOTO, 50)
        assert 200 < len(data) - built_in("avif").rate_bytes(data) < 400
        assert CODECS.get("avif")(container=True).rate_bytes(data) == len(data)


def test_jpeg2000_decorrelates_colours():
    """At one rate it is far nearer in luma than without: Pillow leaves the transform out."""
    image = data.coffee()[:256, :256]
    codecs = [CODECS.get("jpeg2000")(color_transform=each) for each in (True, False)]
    streams = [codec.encode(image, 0.5) for codec in codecs]
    errors = [luma_psnr(image, c.decode(s)) for c, s in zip(codecs, streams, strict=True)]
    assert len(streams[0]) < 1.02 * len(streams[1])
    assert errors[0] > errors[1] + 1.5


def test_jpeg2000_meets_its_target_rates():
    codec = built_in("jpeg2000")
    for target in (0.25, 1.0, 4.0):
        size = codec.rate_bytes(codec.encode(PHOTO, target))
        assert bits_per_pixel(size, 160, 128) == pytest.approx(target, rel=0.05)


def test_jxl_says_how_to_install_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    fails(CodecError, r"pip install 'nacd-bench\[jxl\]'", built_in, "jxl")


class Blocks(nn.Module):
    """A toy codec of the form [bytes per image]: means of 8 x 8 blocks, quantised by the point."""

    def __init__(self, step: float = 16.0) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(float(step)))

    def compress(self, x):
        self.size = x.shape[2] // 8, x.shape[3] // 8
        means = nn.functional.avg_pool2d(x, 8) * 255 / self.step
        return [bytes(image.round().byte().flatten().tolist()) for image in means]

    def decompress(self, strings):
        images = [torch.tensor(list(string)).view(3, *self.size) for string in strings]
        x = torch.stack(images).float() * self.step / 255
        return nn.functional.interpolate(x, scale_factor=8)


class Likely(nn.Module):
    """A module without an entropy coder: 2 bits for each of its 3 x 16 x 20 latents."""

    def forward(self, x):
        latent = nn.functional.avg_pool2d(x, 8)
        likelihoods = {"y": torch.full_like(latent, 0.25)}
        return {
            "x_hat": nn.functional.interpolate(latent, scale_factor=8),
            "likelihoods": likelihoods,
        }


class Impossible(Likely):
    def forward(self, x):
        out = super().forward(x)
        return {**out, "likelihoods": {"y": out["likelihoods"]["y"] * 0}}


class TestTorchModule:
    def make(self, module, **options):
        return CODECS.get("torch")(module, multiple=8, **options)

    def test_bytes_of_a_module_are_the_rate(self):
        codec = self.make(Blocks())
        data = codec.encode(PHOTO, 1)
        assert codec.rate_bytes(data) == len(data) == pytest.approx(3 * 16 * 20, abs=12)
        assert not codec.rate_is_estimated
        assert luma_psnr(PHOTO, codec.decode(data)) > 15

    def test_padding_is_cropped_and_the_rate_is_of_the_image_as_given(self):
        codec = self.make(Blocks())
        image = np.ascontiguousarray(PHOTO[:101, :67])
        assert codec.decode(codec.encode(image, 1)).shape == image.shape

    def test_a_batch_gives_what_single_images_give(self):
        codec = self.make(Blocks())
        images = [PHOTO, PHOTO[::-1].copy(), PHOTO[:, ::-1].copy()]
        batch = codec.encode_batch(images, 1)
        assert batch == [codec.encode(image, 1) for image in images]
        for one, many in zip(map(codec.decode, batch), codec.decode_batch(batch), strict=True):
            assert np.array_equal(one, many)

    def test_rounding_goes_both_ways(self):
        codec = self.make(Likely())
        gray = np.full((64, 64, 3), 77, np.uint8)
        assert np.array_equal(codec.decode(codec.encode(gray, 1)), gray)

    def test_an_estimated_rate_is_estimated_and_says_so(self):
        codec = self.make(Likely())
        assert codec.rate_is_estimated
        assert codec.rate_bytes(codec.encode(PHOTO, 1)) == pytest.approx(2 * 3 * 16 * 20 / 8)

    def test_likelihoods_of_zero_are_refused(self):
        with pytest.raises(CodecError, match="likelihoods that are 0 or not numbers"):
            self.make(Impossible()).encode(PHOTO, 1)

    def test_a_factory_gets_the_point(self):
        codec = self.make(Blocks, points=(64, 16, 4), point_name="step", point_to="factory")
        psnr = [luma_psnr(PHOTO, codec.decode(codec.encode(PHOTO, p))) for p in (64, 16)]
        assert psnr[0] < psnr[1]

    def test_a_name_is_imported(self):
        codec = self.make("torch.nn:Identity")
        fails(
            CodecError, "compress and decompress, or a forward that gives", codec.encode, PHOTO, 1
        )
        fails(CodecError, r"got 'no\.such:thing'.*Install", self.make, "no.such:thing")

    def test_one_checkpoint_per_point(self, tmp_path):
        for step in (64, 16):
            torch.save({"state_dict": Blocks(step).state_dict()}, tmp_path / f"blocks-{step}.pth")
        checkpoint = tmp_path / "blocks-{point}.pth"
        codec = self.make(Blocks(), points=(64, 16), checkpoint=checkpoint)
        assert codec.module(64).step == 64
        assert codec.module(16).step == 16
        same = self.make(Blocks(), points=(64, 16), checkpoint=checkpoint)
        assert same.parameters == codec.parameters
        torch.save(Blocks(8).state_dict(), tmp_path / "blocks-16.pth")
        other = self.make(Blocks(), points=(64, 16), checkpoint=checkpoint)
        assert other.parameters["weights_sha256"] != codec.parameters["weights_sha256"]

    def test_a_checkpoint_that_holds_code_is_not_run(self, tmp_path):
        torch.save(Blocks(), tmp_path / "pickled.pth")
        with pytest.raises(CodecError, match="whole pickled models are not read"):
            self.make(Blocks(), checkpoint=tmp_path / "pickled.pth")
        torch.save({"wrong": torch.zeros(1)}, tmp_path / "wrong.pth")
        with pytest.raises(CodecError, match="do not fit the module"):
            self.make(Blocks(), checkpoint=tmp_path / "wrong.pth")

    def test_points_that_change_nothing_are_refused(self):
        fails(CodecError, "nothing that depends on them", self.make, Blocks(), points=(1, 2))

    @pytest.mark.skipif(torch.cuda.is_available(), reason="need a machine without a GPU")
    def test_a_missing_gpu_is_said(self):
        fails(CodecError, "PyTorch sees no CUDA device", self.make, Blocks(), device="cuda")

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (b"", "got 0 bytes: cut short in its header"),
            (b"\xff" * 9, "got 9 bytes: cut short in its header"),
            (b"\1\1\1\x40\1\1\0", "got one without a known operating point"),
        ],
    )
    def test_a_damaged_bitstream_is_an_error_of_ours(self, damage, message):
        fails(CodecError, message, self.make(Blocks()).decode, damage)


class TestCompressAI:
    def test_without_the_package_it_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "compressai", None)
        monkeypatch.setitem(sys.modules, "compressai.zoo", None)
        monkeypatch.setitem(sys.modules, "compressai.zoo.image", None)
        fails(CodecError, r"pip install 'nacd-bench\[compressai\]'", built_in, "compressai")

    @pytest.mark.parametrize("architecture", ["bmshj2018-factorized", "mbt2018-mean"])
    def test_real_bitstreams_of_a_local_checkpoint(self, zoo, tmp_path, architecture):
        torch.manual_seed(0)
        model = zoo.model_architectures[architecture](16, 24)
        for quality in (1, 2):
            torch.save({"state_dict": model.state_dict()}, tmp_path / f"q{quality}.pth.tar")
        codec = CODECS.get("compressai")(
            architecture, qualities=(1, 2), checkpoint=tmp_path / "q{point}.pth.tar"
        )
        images = [PHOTO[:101, :67].copy(), PHOTO[20:121, 9:76].copy()]
        streams = codec.encode_batch(images, 2)
        assert streams[0] == codec.encode(images[0], 2)
        assert codec.decode(streams[1]).shape == images[1].shape
        assert not codec.rate_is_estimated

    def test_an_unknown_architecture_names_the_near_misses(self, zoo):
        fails(CodecError, "did you mean 'mbt2018", CODECS.get("compressai"), "mbt2081")


class TestPrecomputed:
    def table(self, folder, rows, columns=("original", "point", "decoded", "bytes")):
        with (folder / "results.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
        return folder / "results.csv"

    @pytest.fixture
    def folder(self, tmp_path):
        Pillow.fromarray(PHOTO).save(tmp_path / "a photo; with 'quotes'.png")
        for quality in (20, 60):
            data = built_in("jpeg").encode(PHOTO, quality)
            Pillow.fromarray(built_in("jpeg").decode(data)).save(tmp_path / f"{quality}.png")
        return tmp_path

    def test_results_are_found_by_the_pixels(self, folder):
        rows = [["a photo; with 'quotes'.png", q, f"{q}.png", q * 100] for q in (60, 20)]
        codec = CODECS.get("precomputed")(self.table(folder, rows), software="jpeg 1")
        assert list(codec.points.values) == [20, 60]
        data = codec.encode(PHOTO, 20)
        assert codec.rate_bytes(data) == 2000
        assert np.array_equal(codec.decode(data), np.asarray(Pillow.open(folder / "20.png")))
        with pytest.raises(CodecError, match="no result at point 20 for this image of 160 x 128"):
            codec.encode(PHOTO[::-1].copy(), 20)

    def test_a_result_that_was_turned_as_the_tag_says_is_refused(self, folder):
        exif = Pillow.Exif()
        exif[0x0112] = 3
        Pillow.fromarray(PHOTO).save(folder / "tagged.png", exif=exif)
        Pillow.fromarray(PHOTO[::-1, ::-1].copy()).save(folder / "turned.png")
        rows = [["tagged.png", 1, "20.png", 100], ["tagged.png", 2, "turned.png", 100]]
        codec = CODECS.get("precomputed")(self.table(folder, rows))
        assert codec.encode(PHOTO, 1)
        fails(CodecError, r"turned\.png: .* turned by 180 degrees: orient", codec.encode, PHOTO, 2)

    def test_bits_per_pixel_will_do_and_estimates_are_marked(self, folder):
        rows = [["a photo; with 'quotes'.png", 1, "20.png", 0.5]]
        table = self.table(folder, rows, ("original", "point", "decoded", "bpp"))
        codec = CODECS.get("precomputed")(table, estimated=True)
        assert codec.rate_bytes(codec.encode(PHOTO, 1)) == 0.5 * 128 * 160 / 8
        assert codec.rate_is_estimated

    def test_a_table_that_cannot_be_used_says_why(self, folder):
        precomputed = CODECS.get("precomputed")
        with pytest.raises(
            CodecError, match=r"none\.csv: expected a CSV file of results, got nothing"
        ):
            precomputed(folder / "none.csv")
        with pytest.raises(CodecError, match="lacks the columns bytes, decoded"):
            precomputed(self.table(folder, [["a.png", 1]], ("original", "point")))
        with pytest.raises(CodecError, match=r"line 2 .* bytes or bpp above 0"):
            precomputed(self.table(folder, [["a.png", 1, "b.png", 0]]))
        fails(CodecError, "expected at least one result", precomputed, self.table(folder, []))
        codec = precomputed(self.table(folder, [["a.png", 1, "b.png", 5]]))
        with pytest.raises(
            CodecError,
            match=r"no result .* cannot be read: .*a\.png: expected an image, got nothing",
        ):
            codec.encode(PHOTO, 1)
