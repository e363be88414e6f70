"""The learned codec: real bitstreams, any size, the same on every machine, trained as it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from checks import fails
from PIL import Image as Pillow
from processes import Starter
from shared_data import SHARED, needs_shared

from nacd_bench.coding.codec import Codec, bits_per_pixel
from nacd_bench.coding.rate import luma_psnr
from nacd_bench.errors import CodecError
from nacd_bench.ops.color import luma
from nacd_bench.ops.structure import ms_ssim
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import CODECS
from nacd_codecs.hyperprior import Hyperprior
from nacd_codecs.hyperprior.codec import FOLDER, _Model
from nacd_codecs.hyperprior.networks import Networks, Size, cosines
from nacd_codecs.hyperprior.prior import SCALES, WholePrior

PHOTO = np.ascontiguousarray(photo("coffee")[100:300, 100:340])


@pytest.fixture(scope="module")
def codec() -> Hyperprior:
    return Hyperprior()


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (3, 5), (64, 64), (65, 63), (130, 96)])
def test_every_size_comes_back_from_bytes_alone(codec: Hyperprior, size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(PHOTO[: size[0], : size[1]])
    decoded = codec.decode(codec.encode(image, 8))
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    assert luma_psnr(image, decoded) > 26


def test_another_process_decodes_the_same(
    codec: Hyperprior, tmp_path: Path, starter: Starter
) -> None:
    data = codec.encode(PHOTO, 4)
    (tmp_path / "a.bin").write_bytes(data)
    code = (
        "import sys, torch, numpy as np; torch.set_num_threads(2)\n"
        "from nacd_bench.registry import CODECS\n"
        "data = open(sys.argv[1] + '/a.bin', 'rb').read()\n"
        "np.save(sys.argv[1] + '/a.npy', CODECS.get('hyperprior')().decode(data))"
    )
    assert starter.code(code, str(tmp_path)).wait() == 0
    difference = np.abs(np.load(tmp_path / "a.npy").astype(int) - codec.decode(data))
    # the coefficients are the same; threads change the order of sums in the networks behind them
    assert difference.max() <= 1


def test_more_rate_is_more_quality(codec: Hyperprior) -> None:
    streams = [codec.encode(PHOTO, point) for point in codec.points.values]
    rates = [len(data) for data in streams]
    quality = [luma_psnr(PHOTO, codec.decode(data)) for data in streams]
    assert rates == sorted(rates) and quality == sorted(quality)


def test_four_points_between_a_tenth_and_one_bit_per_pixel(codec: Hyperprior) -> None:
    images = [photo(name) for name in ("chelsea", "coffee", "rocket", "astronaut")]
    rates = [
        np.mean([_rate(codec, image, point) for image in images]) for point in codec.points.values
    ]
    assert sum(0.1 <= rate <= 1.0 for rate in rates) >= 4


def _rate(codec: Hyperprior, image: np.ndarray, point: float) -> float:
    return bits_per_pixel(len(codec.encode(image, point)), image.shape[1], image.shape[0])


def test_a_batch_is_its_images(codec: Hyperprior) -> None:
    images = [PHOTO, np.ascontiguousarray(PHOTO[::-1])]
    streams = codec.encode_batch(images, 3)
    assert streams == [codec.encode(image, 3) for image in images]
    for together, stream in zip(codec.decode_batch(streams), streams, strict=True):
        assert np.array_equal(together, codec.decode(stream))


@pytest.fixture(scope="module")
def curves(codec: Hyperprior) -> dict[str, np.ndarray]:
    """Rate, PSNR of RGB and MS-SSIM of luma of two codecs on the middle of Kodak's photographs."""
    paths = sorted((SHARED / "kodak").glob("*.png"))[::4]
    images = [
        np.array(Pillow.open(path).convert("RGB").crop((192, 64, 576, 448))) for path in paths
    ]
    points = {"hyperprior": codec.points.values[:6], "jpeg": (3, 5, 8, 12, 17, 24)}
    return {name: _curve(CODECS.get(name)(), images, points[name]) for name in points}


@needs_shared("kodak")
@pytest.mark.parametrize(("bpp", "margin"), [(0.25, 0.01), (0.5, 0.001)])
def test_kodak_at_least_like_jpeg_and_clearly_above_in_ms_ssim(
    curves: dict[str, np.ndarray], bpp: float, margin: float
) -> None:
    (psnr, similarity), (their_psnr, their_similarity) = (
        [np.interp(bpp, rate, values) for values in others] for rate, *others in curves.values()
    )
    assert psnr >= their_psnr and similarity > their_similarity + margin


def _curve(codec: Codec, images: list[np.ndarray], points: Sequence[float]) -> np.ndarray:
    """Mean rate, PSNR of R, G and B, and MS-SSIM of luma: a row each, a column for each point."""
    rows = []
    for point in points:
        row = []
        for image in images:
            data = codec.encode(image, point)
            decoded = codec.decode(data)
            error = np.square(image.astype(float) - decoded).mean()
            pair = [luma(torch.from_numpy(x).permute(2, 0, 1)[None]) for x in (image, decoded)]
            rate = bits_per_pixel(codec.rate_bytes(data), image.shape[1], image.shape[0])
            row.append((rate, 10 * np.log10(255**2 / error), ms_ssim(*pair).item()))
        rows.append(np.mean(row, axis=0))
    return np.transpose(rows)


class TestDamage:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda data: b"", "got 0 bytes"),
            (lambda data: data[:5], "got 5 bytes"),
            (lambda data: b"\x09" + data[1:], "got other bytes"),
            (lambda data: data[:1] + b"\x77" + data[2:], "got other bytes"),
            (lambda data: data[:-3], "cut short"),
            (lambda data: data[:6] + b"\x00\x00" + data[8:], "of others"),
        ],
    )
    def test_is_named(self, codec: Hyperprior, change, message: str) -> None:
        fails(CodecError, message, codec.decode, change(codec.encode(PHOTO[:64, :64].copy(), 2)))

    def test_random_bytes_are_an_error(self, codec: Hyperprior) -> None:
        header = codec.encode(PHOTO, 2)[:8]
        for seed in range(5):
            noise = np.random.default_rng(seed).bytes(400)
            fails(CodecError, "expected a whole hyperprior bitstream", codec.decode, header + noise)

    def test_of_the_weights_is_found(self, tmp_path: Path) -> None:
        for name in ("weights.pt", "training.json"):
            (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
        content = bytearray((tmp_path / "weights.pt").read_bytes())
        content[5000] ^= 1
        (tmp_path / "weights.pt").write_bytes(content)
        fails(CodecError, "damaged", Hyperprior(weights=tmp_path / "weights.pt").encode, PHOTO, 1)
        with pytest.raises(CodecError, match="expected weights in"):
            Hyperprior(weights=tmp_path / "none.pt").encode(PHOTO, 1)


def test_unknown_points_are_refused(codec: Hyperprior) -> None:
    fails(CodecError, "no quality 9", codec.encode, PHOTO, 9)


def test_the_weights_are_small_and_say_where_they_come_from() -> None:
    assert (FOLDER / "weights.pt").stat().st_size <= 8e6
    notes = json.loads((FOLDER / "training.json").read_text())
    assert {"images", "steps", "seed", "final_loss", "learning_rate", "batch"} <= notes.keys()


class TestWholePrior:
    def test_agrees_with_the_floating_point_networks(self, codec: Hyperprior) -> None:
        networks = codec._model.networks
        z = torch.randint(-4, 5, (1, networks.size.hyper, 3, 4)).float()
        mean, scale = networks.prior(z)
        whole_mean, whole_scale = WholePrior(networks.hyper_synthesis)(z)
        # steps of 1 / 256 per activation in three layers; scales in steps of 1 / 16 octave of e
        assert (mean - whole_mean).abs().max() < 0.1
        inside = (scale.numpy() > SCALES[0] * 1.05) & (scale.numpy() < SCALES[-1] * 0.95)
        assert np.abs(np.log(whole_scale / scale.numpy())[inside]).max() < 1 / 32 + 0.1

    def test_every_sum_is_exact_in_any_order(self, codec: Hyperprior) -> None:
        prior = WholePrior(codec._model.networks.hyper_synthesis)
        z = torch.randint(-30, 31, (1, codec._model.networks.size.hyper, 4, 4)).float()
        threads = torch.get_num_threads()
        try:
            results = []
            for number in (1, 2):
                torch.set_num_threads(number)
                results.append(prior(z))
        finally:
            torch.set_num_threads(threads)
        order = torch.randperm(codec._model.networks.size.hyper)
        weight, bias = prior.steps[0]  # type: ignore[misc]
        prior.steps[0] = (weight[:, order], bias)
        results.append(prior(z[:, order]))
        for mean, scale in results[1:]:
            assert torch.equal(mean, results[0][0]) and np.array_equal(scale, results[0][1])


def test_the_transform_begins_orthonormal_and_inverts_smooth_blocks() -> None:
    basis = cosines(120, 36).double()
    assert torch.allclose(basis @ basis.T, torch.eye(192).double(), atol=1e-6)
    networks = Networks(Size())
    x = torch.linspace(0, 1, 64).repeat(64, 1)[None, None].repeat(1, 3, 1, 1)
    point = torch.tensor([3])
    assert (networks.decoded(networks.latents(x, point), point) - x).abs().max() < 0.01


def test_training_runs_stops_and_goes_on(tmp_path: Path, starter: Starter) -> None:
    pictures = tmp_path / "photos"
    pictures.mkdir()
    for name in ("coffee", "astronaut"):
        Pillow.fromarray(photo(name)).save(pictures / f"{name}.png")
    code = "from nacd_codecs.hyperprior.train import main; main()"
    settings = [
        f"images={pictures}",
        f"folder={tmp_path / 'run'}",
        "batch=1",
        "crop=64",
        "precision=32-true",
        "checkpoint_every=2",
    ]
    assert starter.code(code, *settings, "steps=2").wait() == 0
    second = starter.code(code, *settings, "steps=4")
    assert second.wait() == 0 and "Restoring states" in second.output, second.output
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)  # our own file
    assert checkpoint["global_step"] == 4
    codec = Hyperprior(weights=tmp_path / "run" / "weights.pt")
    assert luma_psnr(PHOTO, codec.decode(codec.encode(PHOTO, 8))) > 22
    fails(CodecError, "got one of others", codec.decode, Hyperprior().encode(PHOTO, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="need a GPU")
def test_a_gpu_decodes_what_a_cpu_encoded(codec: Hyperprior) -> None:
    gpu = Hyperprior(device="cuda")
    assert gpu.in_main_process
    for encoder, decoder in ((codec, gpu), (gpu, codec)):
        data = encoder.encode(PHOTO, 4)
        assert np.abs(decoder.decode(data).astype(int) - encoder.decode(data)).max() <= 2


def test_models_are_made_once() -> None:
    assert Hyperprior()._model is Hyperprior()._model
    assert isinstance(Hyperprior()._model, _Model)
