"""RGB <-> YCbCr without any codec: what the conversion alone costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import skimage.data

from nacd_bench.coding.codec import Image
from nacd_bench.errors import CodecError, UserError
from nacd_codecs.yuv import (
    DEPTHS,
    LUMA_WEIGHTS,
    YuvFormat,
    planes_from_bytes,
    planes_to_bytes,
    to_image,
    to_planes,
)

pytestmark = pytest.mark.numeric

FULL_444 = YuvFormat(444)
FORMATS = [
    YuvFormat(*values)
    for values in itertools.product((420, 444), DEPTHS, LUMA_WEIGHTS, ("full", "limited"))
]


def round_trip(image: Image, format: YuvFormat) -> Image:
    height, width = image.shape[:2]
    data = planes_to_bytes(to_planes(image, format))
    return to_image(planes_from_bytes(data, format, width, height), format, width, height)


def psnr(original: Image, other: Image) -> float:
    error = np.mean((original.astype(float) - other) ** 2)
    return 10 * np.log10(255**2 / error) if error else np.inf


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def all_colours() -> Image:
    """Every sixth level of each channel, and 255: 44^3 colours."""
    levels = np.append(np.arange(0, 256, 6), 255).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), -1).reshape(44, -1, 3)


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize(
    ("depth", "range", "levels"),
    [(8, "full", 1), (8, "limited", 2), (10, "full", 0), (10, "limited", 0), (12, "limited", 0)],
)
def test_444_round_trip(
    all_colours: Image, matrix: str, depth: int, range: str, levels: int
) -> None:
    result = round_trip(all_colours, YuvFormat(444, depth, matrix, range))
    assert np.abs(result.astype(int) - all_colours).max() == levels


@pytest.mark.parametrize(
    ("matrix", "range", "expected"),
    [
        ("bt601", "full", {"black": (0, 128, 128), "white": (255, 128, 128), "red": (76, 85, 255)}),
        (
            "bt709",
            "limited",
            {"black": (16, 128, 128), "white": (235, 128, 128), "red": (63, 102, 240)},
        ),
    ],
)
def test_known_colours(matrix: str, range: str, expected: dict[str, tuple[int, ...]]) -> None:
    rgb = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0)}
    for colour, samples in expected.items():
        image = np.full((2, 2, 3), rgb[colour], np.uint8)
        planes = to_planes(image, YuvFormat(444, 8, matrix, range))
        assert tuple(int(plane[0, 0]) for plane in planes) == samples


def test_agrees_with_pillow_on_full_range_bt601() -> None:
    from PIL import Image as Pillow

    image = noise(40, 40)
    theirs = np.asarray(Pillow.fromarray(image).convert("YCbCr")).astype(int)
    ours = np.stack(to_planes(image, FULL_444), -1)
    assert np.abs(ours - theirs).max() <= 1  # Pillow's tables are off by one in places


@pytest.mark.parametrize(
    ("photograph", "loss"), [("astronaut", 41.9), ("coffee", 41.4), ("chelsea", 47.8)]
)
def test_420_loss_is_known(photograph: str, loss: float) -> None:
    image = getattr(skimage.data, photograph)()
    assert psnr(image, round_trip(image, YuvFormat(420))) == pytest.approx(loss, abs=0.1)


def test_rounding_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    image = skimage.data.astronaut()
    rounded = psnr(image, round_trip(image, FULL_444))
    monkeypatch.setattr(np, "rint", np.floor)
    truncated = psnr(image, round_trip(image, FULL_444))
    assert rounded == pytest.approx(53.5, abs=0.1)
    assert truncated == pytest.approx(44.7, abs=0.1)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3), (6, 8)])
def test_sizes_and_bytes(format: YuvFormat, size: tuple[int, int]) -> None:
    image = noise(*size)
    planes = to_planes(image, format)
    assert len(planes_to_bytes(planes)) == format.frame_bytes(size[1], size[0])
    assert planes[0].shape[::-1] == format.coded_size(size[1], size[0])
    assert round_trip(image, format).shape == image.shape


def test_padding_repeats_the_border() -> None:
    image = noise(3, 5)
    y = to_planes(image, YuvFormat(420))[0]
    assert (y[3] == y[2]).all() and (y[:, 5] == y[:, 4]).all()
    assert (y[:3, :5] == to_planes(image, FULL_444)[0]).all()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 99)])
def test_420_keeps_a_flat_image_flat(colour: tuple[int, int, int]) -> None:
    result = round_trip(np.full((5, 7, 3), colour, np.uint8), YuvFormat(420))
    assert np.ptp(result, axis=(0, 1)).max() == 0
    assert np.abs(result[0, 0].astype(int) - colour).max() <= 1


def test_chroma_is_centred() -> None:
    image = noise(16, 16)
    for flip in (slice(None), slice(None, None, -1)):
        turned = to_planes(image[flip, ::-1], YuvFormat(420))
        for plane, other in zip(to_planes(image, YuvFormat(420)), turned, strict=True):
            assert np.abs(plane[flip, ::-1].astype(int) - other).max() <= 1


@pytest.mark.parametrize("stored", [8, 10, 12])
def test_samples_stored_with_more_bits(stored: int) -> None:
    planes = to_planes(noise(6, 6), FULL_444)
    shifted = tuple(plane.astype(np.uint16) << (stored - 8) for plane in planes)
    data = planes_to_bytes(planes if stored == 8 else shifted)
    back = planes_from_bytes(data, FULL_444, 6, 6, stored)
    assert (to_image(back, FULL_444, 6, 6) == to_image(planes, FULL_444, 6, 6)).all()


def test_deep_samples_are_little_endian() -> None:
    white = np.full((1, 1, 3), 255, np.uint8)
    assert planes_to_bytes(to_planes(white, YuvFormat(444, 10)))[:2] == b"\xff\x03"


def test_wrong_length_is_an_error() -> None:
    with pytest.raises(CodecError, match=r"expected 24 bytes .* 4 x 4 in 420 .* got 23"):
        planes_from_bytes(bytes(23), YuvFormat(420), 4, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chroma": 422}, "expected chroma as 420 or 444, got 422"),
        ({"depth": 9}, "expected depth as 8 or 10 or 12, got 9"),
        ({"matrix": "bt701"}, "unknown matrix 'bt701'; did you mean 'bt709' or 'bt601'"),
        ({"range": "tv"}, "unknown range 'tv'"),
    ],
)
def test_unknown_formats(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        YuvFormat(**arguments)  # type: ignore[arg-type]
