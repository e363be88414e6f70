"""The tensor functions against published values, other libraries and loops in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from torch import Tensor
from triplet_folder import jpeg

from nacd_bench.data.photos import photos
from nacd_bench.ops import color, filters, gradients, planes, structure
from nacd_bench.ops.ciede2000 import ciede2000

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

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="need a GPU")


def image_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


def random_image(height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (batch, 3, height, width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def random_plane(height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    return torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def torch_path(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the filters take PyTorch's way on the CPU, as they do on a GPU."""

    def switch() -> None:
        for module in (color, filters, planes):
            monkeypatch.setattr(module, "on_cpu", lambda x: False)

    return switch


class TestCiede2000:
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 5e-5), (torch.float32, 1e-4)])
    def test_published_pairs(self, dtype: torch.dtype, tolerance: float) -> None:
        """The table has four decimals, so that 5e-5 is what rounding leaves."""
        table = torch.tensor(SHARMA, dtype=dtype)
        assert table.shape == (34, 7)
        lab1, lab2 = table[:, :3, None], table[:, 3:6, None]
        for first, second in ((lab1, lab2), (lab2, lab1)):
            found = ciede2000(first, second)[:, 0, 0]
            assert (found - table[:, 6]).abs().max() <= tolerance

    def test_against_scikit_image_over_the_whole_gamut(self) -> None:
        lab1 = color.lab(random_image(64, 80, 1).double() / 255)
        lab2 = color.lab(random_image(64, 80, 2).double() / 255)
        expected = deltaE_ciede2000(*(x[0].permute(1, 2, 0).numpy() for x in (lab1, lab2)))
        assert np.abs(ciede2000(lab1, lab2)[0, 0].numpy() - expected).max() < 1e-9

    def test_blocks_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lab1, lab2 = (color.lab(random_image(30, 41, seed)) for seed in (1, 2))
        whole = ciede2000(lab1, lab2)
        monkeypatch.setattr(planes, "BLOCK", 7)
        assert (ciede2000(lab1, lab2) - whole).abs().max() < 1e-4

    def test_gray_terms_can_be_dropped(self) -> None:
        gray = torch.tensor([50.0, 0.0, 0.0]).view(1, 3, 1)
        red = torch.tensor([50.0, 20.0, 10.0]).view(1, 3, 1)
        assert ciede2000(gray, red, drop_gray=True).item() == 0
        assert ciede2000(gray, red).item() > 10


class TestColor:
    @pytest.mark.parametrize("as_float", [False, True])
    def test_lab_is_that_of_scikit_image(self, as_float: bool) -> None:
        """Every eighth level of each channel; scikit-image works in float64."""
        levels = np.array([*range(0, 256, 8), 255, 1, 2, 10, 11], np.uint8)
        colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 37, 3)
        image = image_tensor(colors)
        found = color.lab(image.float() / 255 if as_float else image)
        expected = rgb2lab(colors)
        assert np.abs(found[0].permute(1, 2, 0).numpy() - expected).max() < 0.01

    def test_luma_and_chroma_of_primaries(self) -> None:
        primaries = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
        image = primaries.T[None, :, :, None]
        assert color.luma(image).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
        u, v = color.chroma(image)[0, :, :, 0].tolist()
        assert u == pytest.approx([-0.168736, -0.331264, 0.5], abs=1e-6)  # ITU-T T.871
        assert v == pytest.approx([0.5, -0.418688, -0.081312], abs=1e-6)

    def test_gray_has_no_chroma(self) -> None:
        gray = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256).contiguous()
        assert color.chroma(gray).abs().max() < 1e-6
        assert color.lab(gray)[:, 1:].abs().max() < 5e-3  # the published matrix has six decimals

    def test_deep_images_are_the_same_colors(self) -> None:
        image = random_image(20, 20)
        for plane in (color.luma, color.chroma, color.lab):
            assert (plane(image) - plane(image.double() / 255)).abs().max() < 1e-4


class TestFilters:
    @pytest.mark.parametrize(("height", "width"), [(40, 47), (33, 33), (20, 50), (7, 9)])
    def test_variance_is_that_of_a_loop(self, height: int, width: int) -> None:
        plane = random_plane(height, width)
        kh, kw = (min(33, side) - (min(33, side) + 1) % 2 for side in (height, width))
        padded = np.pad(
            plane[0, 0].double().numpy(), ((kh // 2,) * 2, (kw // 2,) * 2), mode="reflect"
        )
        expected = np.empty((height, width))
        for y, x in product(range(height), range(width)):
            expected[y, x] = padded[y : y + kh, x : x + kw].var(ddof=1)
        found = filters.local_variance(plane, 33)[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-9

    def test_variance_of_nearly_flat_bright_planes(self) -> None:
        """Sums of squares cancel; in float64 they leave enough."""
        plane = 0.9 + 1e-4 * random_plane(50, 50).double()
        found = filters.local_variance(plane, 33)[0, 0, 25, 25].item()
        expected = plane[0, 0, 9:42, 9:42].numpy().var(ddof=1)
        assert found == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(("window", "stride"), [(5, 1), (8, 3), (32, 16), (60, 7)])
    def test_box_means_are_those_of_a_dense_convolution(self, window: int, stride: int) -> None:
        plane = random_plane(61, 83)
        rows = filters.window_starts(61, window, stride)
        columns = filters.window_starts(83, window, stride)
        found = filters.box_mean(plane, (window, window), rows, columns)
        kernel = torch.full((1, 1, window, window), 1 / window**2, dtype=torch.float64)
        dense = F.conv2d(plane.double(), kernel)[..., rows, :][..., columns]
        assert (found - dense).abs().max() < 1e-6

    @pytest.mark.parametrize(("window", "stride"), [(4, 1), (5, 1), (32, 1), (5, 3), (64, 7)])
    def test_windows_that_hang_over_count_zeros(self, window: int, stride: int) -> None:
        plane = random_plane(30, 41)
        before, after = (window - 1) // 2, window - 1 - (window - 1) // 2
        rows, columns = (torch.arange(0, n, stride) - before for n in (30, 41))
        found = filters.box_mean(plane, (window, window), rows, columns)
        kernel = torch.full((1, 1, window, window), 1 / window**2, dtype=torch.float64)
        padded = F.pad(plane.double(), (before, after, before, after))
        dense = F.conv2d(padded, kernel)[..., ::stride, ::stride]
        assert (found - dense).abs().max() < 1e-6

    def test_windows_leave_no_pixel_out(self) -> None:
        for length, window, stride in product((32, 33, 47, 100), (1, 5, 32), (1, 7, 16, 64)):
            starts = filters.window_starts(length, window, stride)
            assert starts[0] == 0 and starts[-1] == length - window
            assert (starts.diff() <= stride).all() and (starts.diff() > 0).all()

    def test_sobel_of_a_ramp(self) -> None:
        ramp = torch.arange(9.0).expand(1, 1, 7, 9).contiguous()
        gx, gy = filters.sobel(ramp)
        assert (gx[..., 1:-1] == 8).all() and (gy == 0).all()
        assert (gx[..., 0] == 4).all()  # the edge pixel is repeated

    def test_blur_is_that_of_scipy(self) -> None:
        plane = random_plane(31, 40).double()
        kernel = filters.gaussian_kernel(11, 1.5).numpy()
        expected = plane[0, 0].numpy()
        for axis in (0, 1):
            expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="mirror")
        found = filters.gaussian_blur(plane, 11, 1.5)[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-12

    def test_halving_keeps_the_last_row_and_column(self) -> None:
        plane = torch.arange(15.0).view(1, 1, 3, 5)
        expected = [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]
        assert filters.halve(plane)[0, 0].tolist() == expected

    @pytest.mark.parametrize(("height", "width"), [(64, 80), (37, 53), (12, 11)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_both_paths_agree(
        self, height: int, width: int, dtype: torch.dtype, torch_path: Callable[[], None]
    ) -> None:
        """OpenCV on a CPU and PyTorch elsewhere, to the rounding of their sums."""
        plane = random_plane(height, width, batch=2).to(dtype)
        image = random_image(height, width, batch=2)
        starts = [filters.window_starts(n, 5, 3) for n in (height, width)]
        calls: dict[str, tuple[Callable[[], Tensor], float]] = {
            "blur 11": (lambda: filters.gaussian_blur(plane, 11, 1.5), 1e-6),
            "blur 3": (lambda: filters.gaussian_blur(plane, 3, 1.0), 1e-6),
            "sobel": (lambda: torch.cat(filters.sobel(plane)), 2e-6),
            "halve": (lambda: filters.halve(plane), 1e-6),
            "enlarge": (lambda: filters.enlarge(plane, 90, 101), 1e-5),
            "variance": (lambda: filters.local_variance(plane, 9), 1e-12),
            "box": (lambda: filters.box_mean(plane, (5, 5), *starts), 1e-6),
            "lab": (lambda: color.lab(image), 1e-4),
            "linear": (lambda: color.linear(image), 1e-7),
            "canny": (lambda: gradients.canny(plane, 0.1, 0.2).float(), 0),
        }
        on_cpu = {name: call() for name, (call, _) in calls.items()}
        torch_path()
        for name, (call, tolerance) in calls.items():
            found = call()
            assert found.dtype == on_cpu[name].dtype and found.shape == on_cpu[name].shape, name
            assert (found - on_cpu[name]).abs().max() <= tolerance, name

    @pytest.mark.parametrize("on_gpu_path", [False, True])
    def test_reduced_precision_of_networks_does_not_reach_planes(
        self, on_gpu_path: bool, torch_path: Callable[[], None]
    ) -> None:
        """Under autocast, as under TF32, products of matrices and convolutions lose digits."""
        if on_gpu_path:
            torch_path()
        image, plane = random_image(20, 30), random_plane(20, 30)
        calls = (
            lambda: color.lab(image),
            lambda: filters.gaussian_blur(plane, 11, 1.5),
            lambda: torch.cat(filters.sobel(plane)),
        )
        expected = [call() for call in calls]
        with torch.autocast("cpu", torch.bfloat16):
            found = [call() for call in calls]
        for first, second in zip(found, expected, strict=True):
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
    @pytest.mark.parametrize("name", ["astronaut", "coffee"])
    def test_canny_is_that_of_kornia(self, name: str) -> None:
        from kornia.filters import canny

        y = color.luma(image_tensor(photos()[name][:160, :200]))
        for low, high in ((0.1, 0.2), (0.3, 0.6)):
            expected = canny(y, low, high)[1].bool()
            assert torch.equal(gradients.canny(y, low, high), expected)
            assert expected.float().mean() > 0.01

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


def msssim_map_in_scipy(original: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The definition, scale by scale, in float64 with scipy; sides are multiples of 16."""
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

    result = np.ones_like(original)
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
    return result


class TestStructure:
    @pytest.mark.parametrize("quality", [5, 60])
    def test_map_is_the_definition(self, quality: int) -> None:
        photo = photos()["chelsea"][:192, :240]
        x, y = (color.luma(image_tensor(image)) for image in (photo, jpeg(photo, quality)))
        expected = msssim_map_in_scipy(*(v[0, 0].double().numpy() for v in (x, y)))
        found = structure.msssim_maps(x, [y])[0][0, 0].numpy()
        assert np.abs(found - expected).max() < 0.01  # x^0.0448 amplifies rounding near 0
        assert np.abs(found - expected).mean() < 1e-5

    @pytest.mark.parametrize("name", ["astronaut", "coffee", "motorcycle_left"])
    def test_mean_is_the_ms_ssim_of_a_library(self, name: str) -> None:
        """torchmetrics multiplies the means of the scales, the map is a mean of products: these
        come apart as distortion grows (8e-3 on JPEG AI decodes at 0.1 bpp), so it is mild here."""
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as msssim,
        )

        photo = photos()[name]
        x, y = (color.luma(image_tensor(image)) for image in (photo, jpeg(photo, 90)))
        expected = msssim(y, x, data_range=1.0).item()
        found = structure.msssim_maps(x, [y])[0].mean().item()
        assert expected < 0.999 and abs(found - expected) < 1e-3

    def test_precisions_may_be_mixed(self) -> None:
        x, y, z = (random_plane(48, 60, seed) for seed in range(3))
        expected = structure.msssim_maps(x, [y, z])
        for tests in ([y.double(), z], [y, z.double()]):
            for first, second in zip(structure.msssim_maps(x, tests), expected, strict=True):
                assert (first - second).abs().mean() < 1e-4

    def test_fewer_scales_on_small_images(self) -> None:
        for side in (11, 20, 21, 22, 43, 44, 87, 175, 176):
            x = random_plane(side, side + 3)
            same, other = structure.msssim_maps(x, [x, random_plane(side, side + 3, 1)])
            assert (same - 1).abs().max() < 1e-5
            assert other.isfinite().all() and other.min() >= 0 and other.mean() < 0.6

    def test_uniform_ssim_is_that_of_scikit_image(self) -> None:
        photo = photos()["rocket"][:90, :110]
        x, y = (color.luma(image_tensor(image)) for image in (photo, jpeg(photo, 20)))
        _, expected = structural_similarity(
            x[0, 0].double().numpy(),
            y[0, 0].double().numpy(),
            win_size=11,
            data_range=1.0,
            full=True,
        )
        found = structure.uniform_ssim_map(x, y)[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-9

    def test_batches(self) -> None:
        x, y = random_plane(40, 50, 0, 3), random_plane(40, 50, 1, 3)
        together = structure.msssim_maps(x, [y])[0]
        for i in range(3):
            one = structure.msssim_maps(x[i : i + 1], [y[i : i + 1]])[0]
            assert (one[0] - together[i]).abs().max() < 1e-6


class TestDevices:
    @pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
    def test_same_numbers(self, device: str, torch_path: Callable[[], None]) -> None:
        """PyTorch's way against OpenCV's, on a GPU and on the CPU. A pixel may differ more where
        the contrast-structure is near 0, or a gradient lies between two directions."""

        def results(device: str) -> list[Tensor]:
            a, b = (random_image(120, 133, seed, 2).to(device) for seed in (0, 1))
            y, z = color.luma(a), color.luma(b)
            maps = [
                color.lab(a),
                ciede2000(color.lab(a), color.lab(b)),
                structure.msssim_maps(y, [z])[0],
                filters.local_variance(color.chroma(a), 33),
                gradients.canny(y, 0.1, 0.2).float(),
            ]
            return [each.cpu() for each in maps]

        expected = results("cpu")
        torch_path()
        for first, second in zip(results(device), expected, strict=True):
            difference = (first - second).abs()
            assert difference.mean() < 1e-4
            assert (difference > 1e-3).float().mean() < 1e-3
