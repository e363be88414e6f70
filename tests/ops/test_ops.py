"""The tensor functions against published values, other libraries and loops in float64."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from routes import ROUTES, take
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from torch import Tensor
from triplet_folder import jpeg

from nacd_bench.baselines.metrics import PSNR
from nacd_bench.ops import color, filters, gradients, planes, structure
from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.planting.photographs import photo

SHARMA = (
    (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
    (50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615),
    (50, 2.8361, -74.02, 50, 0, -82.7485, 3.4412),
    (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000),
    (50, -1.1848, -84.8006, 50, 0, -82.7485, 1.0000),
    (50, -0.9009, -85.5211, 50, 0, -82.7485, 1.0000),
    (50, 0, 0, 50, -1, 2, 2.3669),
    (50, -1, 2, 50, 0, 0, 2.3669),
    (50, 2.49, -0.001, 50, -2.49, 0.0009, 7.1792),
    (50, 2.49, -0.001, 50, -2.49, 0.001, 7.1792),
    (50, 2.49, -0.001, 50, -2.49, 0.0011, 7.2195),
    (50, 2.49, -0.001, 50, -2.49, 0.0012, 7.2195),
    (50, -0.001, 2.49, 50, 0.0009, -2.49, 4.8045),
    (50, -0.001, 2.49, 50, 0.001, -2.49, 4.8045),
    (50, -0.001, 2.49, 50, 0.0011, -2.49, 4.7461),
    (50, 2.5, 0, 50, 0, -2.5, 4.3065),
    (50, 2.5, 0, 73, 25, -18, 27.1492),
    (50, 2.5, 0, 61, -5, 29, 22.8977),
    (50, 2.5, 0, 56, -27, -3, 31.9030),
    (50, 2.5, 0, 58, 24, 15, 19.4535),
    (50, 2.5, 0, 50, 3.1736, 0.5854, 1.0000),
    (50, 2.5, 0, 50, 3.2972, 0, 1.0000),
    (50, 2.5, 0, 50, 1.8634, 0.5757, 1.0000),
    (50, 2.5, 0, 50, 3.2592, 0.335, 1.0000),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (61.2901, 3.7196, -5.3901, 61.4292, 2.248, -4.962, 1.8731),
    (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
    (22.7233, 20.0904, -46.694, 23.0331, 14.973, -42.5619, 2.0373),
    (36.4612, 47.858, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.441, 91.1528, -1.6435, 0.0447, 1.4441),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
    (2.0776, 0.0795, -1.135, 0.9033, -0.0636, -0.5514, 0.9082),
)
"""L1 a1 b1, L2 a2 b2, difference: Sharma, Wu, Dalal 2005, table 1."""

pytestmark = pytest.mark.numeric

ROUNDING = {torch.float32: 2e-6, torch.float64: 4e-15}
"""Of sums of two passes of 11 taps, or of 8 weights, over [0, 1]: 2 x 12 x half a unit of the last
place, 6e-8 in float32 and 1.1e-16 in float64."""


@pytest.fixture(params=ROUTES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return take(request.param, monkeypatch)


def image_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


def random_image(height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (batch, 3, height, width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def random_plane(height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    return torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed))


def edges_of(y: Tensor, low: float, high: float) -> Tensor:
    """Canny's, of luma."""
    return gradients.hysteresis(gradients.ridges(y, low, high))


def error(result: Tensor, expected: np.ndarray | Tensor) -> float:
    """The largest difference of any element, in float64."""
    difference = result.cpu().double() - torch.as_tensor(expected, dtype=torch.float64)
    return difference.abs().max().item()


class TestCiede2000:
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 5e-5), (torch.float32, 6e-5)])
    def test_published_pairs(self, dtype: torch.dtype, tolerance: float) -> None:
        """The table has four decimals, so that 5e-5 is what rounding leaves; float32 adds 1e-5 to
        differences of 30."""
        table = torch.tensor(SHARMA, dtype=dtype)
        assert table.shape == (34, 7)
        lab1, lab2 = table[:, :3, None], table[:, 3:6, None]
        for first, second in ((lab1, lab2), (lab2, lab1)):
            assert error(ciede2000(first, second)[:, 0, 0], table[:, 6]) <= tolerance

    @pytest.mark.parametrize("block", [7, planes.BLOCK])
    def test_against_scikit_image_over_the_whole_gamut(
        self, block: int, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From 8-bit images, in blocks and at once, as in a detector: all in float64."""
        monkeypatch.setattr(planes, "BLOCK", block)
        lab1, lab2 = (color.lab(random_image(24, 35, seed).to(device)) for seed in (1, 2))
        expected = deltaE_ciede2000(*(x[0].permute(1, 2, 0).cpu().numpy() for x in (lab1, lab2)))
        assert error(ciede2000(lab1, lab2)[0, 0], expected) < 1e-9

    @pytest.mark.parametrize(("spread", "tolerance"), [(6, 2e-5), (25, 2e-5), (255, 3e-4)])
    def test_float32(self, spread: int, tolerance: float) -> None:
        """Chromas of up to 180 are rounded by 8e-6. Grays have hues that are nearly opposite."""
        generator = torch.Generator().manual_seed(spread)
        gray = torch.randint(0, 256, (1, 1, 1 << 16), generator=generator)
        around = torch.randint(-spread, spread + 1, (2, 3, 1 << 16), generator=generator)
        lab1, lab2 = color.lab((gray + around).clamp(0, 255).byte()).split(1)
        expected = ciede2000(lab1, lab2)
        found = ciede2000(lab1.float(), lab2.float())
        assert found.dtype == torch.float32
        assert error(found, expected) < tolerance
        assert (found - expected).mean().abs() < 1e-6

    def test_colours_without_hue(self, device: str) -> None:
        colors = [(50.0, 0.0, 0.0), (50.0, 0.0, 0.0), (40.0, 3.0, -60.0), (90.0, 1e-9, 0.0)]
        lab1, lab2 = (np.array([pair[i] for pair in permutations(colors, 2)]) for i in (0, 1))
        found = ciede2000(*(torch.from_numpy(x).T[None].to(device) for x in (lab1, lab2)))
        assert error(found[0, 0], deltaE_ciede2000(lab1, lab2)) < 1e-9

    def test_gray_terms_can_be_dropped(self) -> None:
        gray = torch.tensor([50.0, 0.0, 0.0]).view(1, 3, 1)
        red = torch.tensor([50.0, 20.0, 10.0]).view(1, 3, 1)
        assert ciede2000(gray, red, drop_gray=True).item() == 0
        assert ciede2000(gray, red).item() > 10


def lab_in_numpy(rgb: np.ndarray) -> np.ndarray:
    """CIE 15 with its exact constants, ``(..., 3)`` sRGB on [0, 1]."""
    light = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    ratio = light @ np.array(color.XYZ).T / np.array(color.WHITE)
    line = (ratio * (29 / 3) ** 3 + 16) / 116
    x, y, z = np.moveaxis(np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), line), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


class TestColor:
    @pytest.fixture(scope="class")
    def colors(self) -> np.ndarray:
        """Every eighth level of each channel, and the dark ones around the knees."""
        levels = np.array([*range(0, 256, 8), 255, 1, 2, 10, 11], np.uint8)
        return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 37, 3)

    def test_lab_is_the_definition(self, colors: np.ndarray, device: str) -> None:
        """8 bits and float64 to float64's rounding; a float32 image is 3e-8 off before anything is
        computed, which a and b show 500 x 2 x 0.8-fold."""
        image = image_tensor(colors).to(device)
        expected = np.moveaxis(lab_in_numpy(colors / 255), -1, 0)[None]
        assert error(color.lab(image), expected) < 1e-9
        assert error(color.lab(image.double() / 255), expected) < 1e-9
        assert error(color.lab(image.float() / 255), expected) < 5e-5

    def test_lab_is_that_of_scikit_image(self, colors: np.ndarray) -> None:
        """Its 7.787 and 0.008856 for CIE's fractions make 3.7e-5 x 0.008856 x 500."""
        expected = np.moveaxis(rgb2lab(colors), -1, 0)[None]
        assert error(color.lab(image_tensor(colors)), expected) < 3e-4

    def test_linear_light(self, device: str) -> None:
        levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).to(device)
        x = np.arange(256).reshape(1, 1, 16, 16) / 255
        expected = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
        assert error(color.linear(levels), expected) < 1e-15

    def test_luma_and_chroma_are_exact_values_rounded_once(
        self, colors: np.ndarray, device: str
    ) -> None:
        """8-bit luma is a whole number of 1/255000, so that every processor rounds alike."""
        image = image_tensor(colors).to(device)
        red, green, blue = image_tensor(colors).double().split(1, dim=1)
        y = 299 * red + 587 * green + 114 * blue
        u, v = (1000 * blue - y) / (2 * 886 * 255), (1000 * red - y) / (2 * 701 * 255)
        assert torch.equal(color.luma(image).cpu(), (y / 255000).float())
        assert torch.equal(color.chroma(image).cpu(), torch.cat([u, v], dim=1).float())

    def test_luma_and_chroma_of_primaries(self) -> None:
        primaries = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
        image = primaries.T[None, :, :, None]
        assert color.luma(image).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
        u, v = color.chroma(image)[0, :, :, 0].tolist()
        assert u == pytest.approx([-0.168736, -0.331264, 0.5], abs=1e-6)  # ITU-T T.871
        assert v == pytest.approx([0.5, -0.418688, -0.081312], abs=1e-6)

    def test_gray_has_no_chroma(self) -> None:
        gray = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256).contiguous()
        assert (color.chroma(gray) == 0).all()
        assert color.lab(gray)[:, 1:].abs().max() < 5e-3  # the published matrix has six decimals

    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.float64, 4e-8)])
    def test_deep_images(self, dtype: torch.dtype, tolerance: float, device: str) -> None:
        """Values under 1 are 3e-8 off when rounded to float32: 8-bit luma once, of a float32 image
        twice."""
        image = random_image(20, 20).to(device)
        deep = image.to(dtype) / 255
        for plane in (color.luma, color.chroma):
            assert plane(deep).dtype == dtype
            assert error(plane(deep), plane(image).cpu()) < tolerance


class TestPowers:
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), [(torch.float64, 3e-13), (torch.float32, 2e-7)]
    )
    @pytest.mark.parametrize("exponent", [1 / 3, 0.5, 0.0448])
    def test_powers_are_those_of_numpy(
        self, exponent: float, dtype: torch.dtype, tolerance: float, device: str
    ) -> None:
        """Also of every other column, which OpenCV cannot write to."""
        x = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
        x[0, 0, :2] = torch.tensor([0.0, 1.0])
        for values in (x.to(device), x.to(device)[..., ::2]):
            expected = values.cpu().double().numpy() ** exponent
            planes.power_(values, exponent)
            assert error(values, expected) <= tolerance
        assert values[0, 0, 0] == 0

    def test_logarithms_are_those_of_numpy(self, device: str) -> None:
        """To a few ulps, also of every other column."""
        exponents = torch.linspace(-300, 300, 240, dtype=torch.float64)
        x = torch.cat([10**exponents, 1 + 10 ** -exponents[120:].sqrt()]).view(2, 3, 60)
        for values in (x.clone().to(device), x.to(device)[..., ::2]):
            expected = np.log(values.cpu().numpy())
            found = planes.log_(values).cpu().numpy()
            assert (abs(found - expected) <= 6e-16 * abs(expected)).all()
        ends = planes.log_(torch.tensor([[0.0, 1.0, torch.inf]], dtype=torch.float64).to(device))
        assert ends.tolist() == [[-torch.inf, 0, torch.inf]]
        assert planes.log_(torch.tensor([[2.0, torch.nan]]).to(device)).isnan().tolist() == [[0, 1]]

    def test_length_is_the_hypotenuse(self, device: str) -> None:
        x, y = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)).double().to(device)
        assert error(planes.length(x, y), np.hypot(x.cpu(), y.cpu())) < 2e-15


class TestFilters:
    @pytest.mark.parametrize(("height", "width"), [(40, 47), (33, 33), (20, 50), (7, 9)])
    def test_variance_is_that_of_a_loop(self, height: int, width: int, device: str) -> None:
        """float64 sums of at most 1089 squares, so that 1e-12 is left of the difference."""
        plane = random_plane(height, width)
        kh, kw = (min(33, side) - (min(33, side) + 1) % 2 for side in (height, width))
        padded = np.pad(
            plane[0, 0].double().numpy(), ((kh // 2,) * 2, (kw // 2,) * 2), mode="reflect"
        )
        expected = np.empty((height, width))
        for y, x in product(range(height), range(width)):
            expected[y, x] = padded[y : y + kh, x : x + kw].var(ddof=1)
        assert error(filters.local_variance(plane.to(device), 33)[0, 0], expected) < 1e-12

    def test_variance_of_nearly_flat_bright_planes(self, device: str) -> None:
        """Sums of 1089 squares of 0.9 cancel to 1e-6 of them, so that 1e-16 grows to 1e-7."""
        plane = 0.9 + 1e-4 * random_plane(50, 50).double()
        variance = filters.local_variance(plane.to(device), 33)[0, 0, 25, 25].item()
        assert variance == pytest.approx(plane[0, 0, 9:42, 9:42].numpy().var(ddof=1), rel=1e-6)

    @pytest.mark.parametrize(("window", "stride"), [(5, 1), (8, 3), (32, 16), (60, 7)])
    def test_box_means_are_those_of_a_dense_convolution(
        self, window: int, stride: int, device: str
    ) -> None:
        """Summed in float64, rounded once to float32: 6e-8 of means up to 1."""
        plane = random_plane(61, 83)
        rows = filters.window_starts(61, window, stride)
        columns = filters.window_starts(83, window, stride)
        means = filters.box_mean(plane.to(device), (window, window), rows, columns)
        kernel = torch.full((1, 1, window, window), 1 / window**2, dtype=torch.float64)
        assert error(means, F.conv2d(plane.double(), kernel)[..., rows, :][..., columns]) < 6e-8

    @pytest.mark.parametrize(("window", "stride"), [(4, 1), (5, 1), (32, 1), (5, 3), (64, 7)])
    def test_windows_that_hang_over_count_zeros(
        self, window: int, stride: int, device: str
    ) -> None:
        plane = random_plane(30, 41)
        before, after = (window - 1) // 2, window - 1 - (window - 1) // 2
        rows, columns = (torch.arange(0, n, stride) - before for n in (30, 41))
        means = filters.box_mean(plane.to(device), (window, window), rows, columns)
        kernel = torch.full((1, 1, window, window), 1 / window**2, dtype=torch.float64)
        padded = F.pad(plane.double(), (before, after, before, after))
        assert error(means, F.conv2d(padded, kernel)[..., ::stride, ::stride]) < 6e-8

    def test_windows_leave_no_pixel_out(self) -> None:
        for length, window, stride in product((32, 33, 47, 100), (1, 5, 32), (1, 7, 16, 64)):
            starts = filters.window_starts(length, window, stride)
            assert starts[0] == 0 and starts[-1] == length - window
            assert (starts.diff() <= stride).all() and (starts.diff() > 0).all()

    def test_sobel_of_a_ramp(self, device: str) -> None:
        gx, gy = filters.sobel(torch.arange(9.0).expand(1, 1, 7, 9).contiguous().to(device))
        assert (gx[..., 1:-1] == 8).all() and (gy == 0).all()
        assert (gx[..., 0] == 4).all()  # the edge pixel is repeated

    @pytest.mark.parametrize(("height", "width"), [(64, 80), (37, 53), (12, 11)])
    @pytest.mark.parametrize("dtype", ROUNDING)
    def test_filters_are_those_of_scipy(
        self, height: int, width: int, dtype: torch.dtype, device: str
    ) -> None:
        plane = random_plane(height, width, batch=2).to(dtype)
        on_device, exact = plane.to(device), plane[:, 0].double().numpy()
        for size, sigma in ((11, 1.5), (3, 1.0)):
            expected = exact
            for axis in (1, 2):
                kernel = filters.gaussian_kernel(size, sigma).numpy()
                expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="mirror")
            blurred = filters.gaussian_blur(on_device, size, sigma)
            assert blurred.dtype == dtype
            assert error(blurred[:, 0], expected) < ROUNDING[dtype]
        for gradient, axis in zip(filters.sobel(on_device), (2, 1), strict=True):
            expected = ndimage.correlate1d(exact, [-1, 0, 1], axis=axis, mode="nearest")
            expected = ndimage.correlate1d(expected, [1, 2, 1], axis=3 - axis, mode="nearest")
            assert gradient.dtype == dtype
            assert error(gradient[:, 0], expected) < ROUNDING[dtype]
        even = np.pad(exact, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        expected = even.reshape(2, (height + 1) // 2, 2, (width + 1) // 2, 2).mean(axis=(2, 4))
        assert error(filters.halve(on_device)[:, 0], expected) < ROUNDING[dtype]

    @pytest.mark.parametrize("dtype", ROUNDING)
    def test_enlarging_is_linear_between_pixel_centers(
        self, dtype: torch.dtype, device: str
    ) -> None:
        """OpenCV's positions are float32: at 53 they are 2e-6 off, and neighbours differ by 1."""
        plane = random_plane(37, 53).to(dtype)
        points = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in ((90, 37), (101, 53))]
        grid = np.meshgrid(*points, indexing="ij")
        expected = ndimage.map_coordinates(
            plane[0, 0].double().numpy(), grid, order=1, mode="nearest"
        )
        assert error(filters.enlarge(plane.to(device), 90, 101)[0, 0], expected) < 1e-5

    def test_halving_keeps_the_last_row_and_column(self, device: str) -> None:
        plane = torch.arange(15.0).view(1, 1, 3, 5).to(device)
        expected = [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]
        assert filters.halve(plane)[0, 0].tolist() == expected

    def test_reduced_precision_of_networks_does_not_reach_planes(self, device: str) -> None:
        """Under autocast, as under TF32, products of matrices and convolutions lose digits."""
        image, plane = random_image(20, 30).to(device), random_plane(20, 30).to(device)
        calls = (
            lambda: color.lab(image),
            lambda: filters.gaussian_blur(plane, 11, 1.5),
            lambda: torch.cat(filters.sobel(plane)),
        )
        expected = [call() for call in calls]
        with torch.autocast(device, torch.bfloat16):
            reduced = [call() for call in calls]
        for first, second in zip(reduced, expected, strict=True):
            assert torch.equal(first, second)

    def test_half_precision_never_reaches_opencv(self) -> None:
        """OpenCV writes over its memory's end with it."""
        assert planes.on_cpu(torch.zeros(1)) is True
        for dtype in (torch.float16, torch.bfloat16):
            with pytest.raises(TypeError, match=f"uint8, float32 or float64, got {dtype}"):
                filters.enlarge(random_plane(8, 8).to(dtype), 9, 9)

    def test_memory_that_does_not_fit_is_left_alone(self) -> None:
        plane = random_plane(8, 9)
        expected = filters.enlarge(plane, 16, 18)
        for unfit in (torch.zeros(1, 1, 16, 18, dtype=torch.float64), torch.zeros(1, 1, 16, 17)):
            assert torch.equal(filters.enlarge(plane, 16, 18, unfit), expected)
            assert (unfit == 0).all()
        fit = torch.zeros(1, 1, 16, 18)
        assert filters.enlarge(plane, 16, 18, fit) is fit and torch.equal(fit, expected)


class TestGradients:
    @pytest.mark.parametrize("angle", range(4))
    @pytest.mark.parametrize("levels", [(0.0, 1.0), (0.3, 0.7), (17 / 255, 99 / 255)])
    def test_both_sides_of_a_step_are_edges(
        self, levels: tuple[float, float], angle: int, device: str
    ) -> None:
        """Their gradients are equal: rounding must not choose one, or none."""
        step = torch.full((1, 1, 20, 20), levels[0])
        step[..., 10:] = levels[1]
        expected = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
        expected[..., 9:11] = True
        edges = edges_of(step.rot90(angle, (2, 3)).contiguous().to(device), 0.1, 0.2)
        assert torch.equal(edges.cpu(), expected.rot90(angle, (2, 3)))

    def test_a_gradient_that_cancels_has_no_direction(self, device: str) -> None:
        """Pixels that are equal on opposite sides: the gradient in the middle is 0, its float32
        sums are not."""
        image = random_image(3, 3, batch=200)
        image[..., 1, 2], image[..., 2, :] = image[..., 1, 0], image[..., 0, :].flip(-1)
        gradient = filters.sobel(color.luma(image.to(device)), 1 / 8)
        one = torch.ones_like(gradient[0])
        assert (gradients.cosine(gradient, (one, one))[..., 1, 1] == 0).all()

    def test_cosine_by_hand(self) -> None:
        def gradient(x: float, y: float) -> tuple[Tensor, Tensor]:
            return torch.full((1, 1, 1, 1), x), torch.full((1, 1, 1, 1), y)

        assert gradients.cosine(gradient(1.0, 0.0), gradient(3.0, 0.0)).item() == 1
        assert gradients.cosine(gradient(1.0, 0.0), gradient(-2.0, 0.0)).item() == -1
        assert gradients.cosine(gradient(1.0, 1.0), gradient(1.0, 0.0)).item() == pytest.approx(
            0.5**0.5
        )
        assert gradients.cosine(gradient(0.0, 0.0), gradient(1.0, 0.0)).item() == 0
        assert gradients.cosine(gradient(0.0, 0.0), gradient(0.0, 0.0)).item() == 0
        x, y = gradient(0.0, 0.0)
        assert gradients.cosine((x, y), (x.double(), y.double())).item() == 0

    @pytest.mark.parametrize("length", [1e-10, 1e-15, 1e-20, 1e-23, 1e-30])
    def test_cosine_of_tiny_gradients_is_a_cosine(self, length: float) -> None:
        """Their squares leave float32."""
        tiny, unit = torch.full((1, 1, 1, 1), length), torch.ones(1, 1, 1, 1)
        for other in (unit, tiny):
            assert 0 <= gradients.cosine((tiny, tiny), (other, other)).item() <= 1
            assert -1 <= gradients.cosine((tiny, tiny), (-other, -other)).item() <= 0


def msssim_map_in_scipy(original: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition, scale by scale, in float64 with scipy; sides are multiples of 16.

    And the magnitude of the smallest of its factors, before the exponent.
    """
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            x = ndimage.correlate1d(x, kernel, axis=axis, mode="mirror")
        return x

    def enlarged(x: np.ndarray) -> np.ndarray:
        scale = original.shape[0] // x.shape[0]
        points = [(np.arange(n) + 0.5) / scale - 0.5 for n in original.shape]
        grid = np.meshgrid(*points, indexing="ij")
        return ndimage.map_coordinates(x, grid, order=1, mode="nearest")

    result, least = np.ones_like(original), np.ones_like(original)
    x, y = original, test
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (v.reshape(v.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for v in (x, y))
        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        value = (2 * vxy + 0.03**2) / (vx + vy + 0.03**2)
        if scale == 4:
            value = value * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        result *= enlarged(np.maximum(value, 0) ** weight)
        nearest = np.abs(value).repeat(2**scale, axis=0).repeat(2**scale, axis=1)
        least = np.minimum(least, ndimage.minimum_filter(nearest, 2 * 2**scale + 1))
    return result, least


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
class TestKornia:
    """What kornia has, too, has the same values here; each test says why ours stays.

    kornia has no MS-SSIM of five scales (its loss is one of Gaussians of five widths) and no
    CIEDE2000, and nothing here needs a median filter of pixels.
    """

    def image(self, name: str) -> Tensor:
        return image_tensor(photo(name)[20:140, 20:170])

    def test_blur_and_gradient(self, name: str, device: str) -> None:
        """kornia's convolutions take two and eight times as long on a CPU, and round to TF32 or
        half precision where these are switched on."""
        from kornia.filters import gaussian_blur2d, spatial_gradient

        y = color.luma(self.image(name)).double()
        for size, sigma in ((5, 1.0), (11, 1.5)):
            expected = gaussian_blur2d(y, (size, size), (sigma, sigma))
            assert error(filters.gaussian_blur(y.to(device), size, sigma), expected) < 4e-15
        expected = spatial_gradient(y)[:, 0]
        assert error(torch.cat(filters.sobel(y.to(device), 1 / 8), dim=1), expected) < 4e-15

    def test_canny(self, name: str, device: str) -> None:
        """Equal on photographs, in which no two neighbours' gradients are. kornia's repeated
        dilation takes fifty times as long, and it decides equal gradients by their rounding."""
        from kornia.filters import canny

        y = color.luma(self.image(name))
        for low, high in ((0.1, 0.2), (0.3, 0.6)):
            expected = canny(y.double(), low, high)[1].bool()
            assert torch.equal(edges_of(y.to(device), low, high).cpu(), expected)
            assert expected.float().mean() > 0.001

    def test_luma_chroma_and_linear_light(self, name: str, device: str) -> None:
        """kornia's 0.564 and 0.713 are 0.5 / 0.886 and 0.5 / 0.701 to three decimals, and it takes
        floats only, whose luma has a rounding per step; ours of 8 bits are rounded once."""
        from kornia.color import rgb_to_linear_rgb, rgb_to_ycbcr

        image = self.image(name)
        y, cb, cr = rgb_to_ycbcr(image.double() / 255)[0]
        assert error(color.luma(image.to(device))[0, 0], y) < 2e-7
        u, v = color.chroma(image.to(device))[0]
        for ours, theirs, factor in ((u, cb, 0.564 / 0.5 * 0.886), (v, cr, 0.713 / 0.5 * 0.701)):
            assert error(ours * factor, theirs - 0.5) < 2e-7
            assert error(ours, theirs - 0.5) > 1e-6
        expected = rgb_to_linear_rgb(image.double() / 255)
        assert error(color.linear(image.to(device)), expected) < 1e-15

    def test_lab(self, name: str, device: str) -> None:
        """kornia's constants of the dark part, 7.787 and 0.008856, are rounded: up to 2e-4 of a
        CIEDE2000 that `large_color` has limits for; and it takes four times as long."""
        from kornia.color import rgb_to_lab

        image = self.image(name)
        assert error(color.lab(image.to(device)), rgb_to_lab(image.double() / 255)) < 2e-3

    def test_ssim_and_psnr(self, name: str, device: str) -> None:
        """Equal but for kornia's window, which is rounded to float32, and 1e-12 in its denominator;
        it takes six times as long, and subtracts squares of means, which costs float32 what a small
        difference is made of."""
        from kornia.metrics import psnr, ssim

        picture = photo(name)[20:140, 20:170]
        x, y = (image_tensor(image) for image in (picture, jpeg(picture, 20)))
        pair = [color.luma(image.double() / 255) for image in (x, y)]
        expected = ssim(*pair, window_size=11, padding="valid").mean()
        x, y = (plane.to(device) for plane in pair)
        assert error(structure.ssim(x, y), expected) < 1e-7
        assert error(PSNR().values(x, y), psnr(*pair, max_val=1.0)) < 1e-9


class TestStructure:
    @pytest.mark.parametrize("quality", [5, 60])
    def test_map_is_the_definition(self, quality: int, device: str) -> None:
        """Variances are 1e-7 off in float32, beside C2 = 9e-4 1e-4; x^0.0448 makes 3e-3 of that
        at 0.001 and any number at 0. float64 shows that it is rounding."""
        picture = photo("chelsea")[:192, :240]
        x, y = (color.luma(image_tensor(image)) for image in (picture, jpeg(picture, quality)))
        expected, least = msssim_map_in_scipy(*(v[0, 0].double().numpy() for v in (x, y)))
        steady = torch.from_numpy(least > 1e-3)
        assert steady.float().mean() > 0.95
        for dtype, tolerance, mean in ((torch.float32, 3e-3, 1e-5), (torch.float64, 1e-9, 1e-12)):
            first, second = (v.to(device, dtype) for v in (x, y))
            similarity = structure.msssim_maps(first, [second])[0][0, 0].cpu()
            difference = (similarity - torch.from_numpy(expected)).abs()[steady]
            assert difference.max() < tolerance and difference.mean() < mean

    @pytest.mark.parametrize("name", ["astronaut", "coffee", "motorcycle_left"])
    def test_mean_is_the_ms_ssim_of_a_library(self, name: str) -> None:
        """piq multiplies the means of the scales, the map is a mean of products: these
        come apart as distortion grows (8e-3 on JPEG AI decodes at 0.1 bpp), so it is mild here."""
        from piq import multi_scale_ssim

        picture = photo(name)[:256, :256]
        x, y = (color.luma(image_tensor(image)).double() for image in (picture, jpeg(picture, 90)))
        expected = multi_scale_ssim(x, y, data_range=1.0).item()
        found = structure.msssim_maps(x, [y])[0].mean().item()
        assert expected < 0.999 and abs(found - expected) < 1e-3

    def test_precisions_may_be_mixed(self) -> None:
        x, y, z = (random_plane(48, 60, seed) for seed in range(3))
        expected = structure.msssim_maps(x.double(), [y.double(), z.double()])
        for tests in ([y.double(), z], [y, z.double()], [y, z]):
            for first, second in zip(structure.msssim_maps(x, tests), expected, strict=True):
                assert (first - second).abs().mean() < 1e-4  # of noise: many factors near 0

    def test_fewer_scales_on_small_images(self) -> None:
        for side in (11, 20, 21, 22, 43, 44, 87, 175, 176):
            x = random_plane(side, side + 3)
            same, other = structure.msssim_maps(x, [x, random_plane(side, side + 3, 1)])
            assert (same - 1).abs().max() < 1e-5
            assert other.isfinite().all() and other.min() >= 0 and other.mean() < 0.6

    def test_uniform_ssim_is_that_of_scikit_image(self, device: str) -> None:
        picture = photo("rocket")[:90, :110]
        x, y = (color.luma(image_tensor(image)) for image in (picture, jpeg(picture, 20)))
        _, expected = structural_similarity(
            x[0, 0].double().numpy(),
            y[0, 0].double().numpy(),
            win_size=11,
            data_range=1.0,
            full=True,
        )
        similarity = structure.uniform_ssim_map(x.to(device), y.to(device))[0, 0]
        assert error(similarity, expected) < 1e-9  # float64: 1e-14 of variances beside 9e-4

    def test_batches(self) -> None:
        """In float64: near 0, x^0.0448 would show which pixels shared a SIMD register."""
        x, y = random_plane(40, 50, 0, 3).double(), random_plane(40, 50, 1, 3).double()
        together = structure.msssim_maps(x, [y])[0]
        for i in range(3):
            one = structure.msssim_maps(x[i : i + 1], [y[i : i + 1]])[0]
            assert (one[0] - together[i]).abs().max() < 1e-9
