"""Detectors of severity: evidence against loops, monotone, independent of size, hostile models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import correlate1d, gaussian_filter
from torch import Tensor

from nacd_bench.detectors import ColorSeverity, TextSeverity, TextureSeverity
from nacd_bench.detectors.severity import fit as fitting
from nacd_bench.detectors.severity.detector import faults_of_decodes
from nacd_bench.detectors.severity.evidence import MARGIN, NARROW, places, tiles, within
from nacd_bench.detectors.severity.maps import (
    CALM,
    CELL,
    SURROUND,
    calm,
    chroma_faults,
    in_cells,
    luma_faults,
    spread,
)
from nacd_bench.detectors.severity.model import read_model
from nacd_bench.detectors.text_finders.reader import PPOCRReader
from nacd_bench.errors import ImageError, UserError
from nacd_bench.ops.ciede2000 import ciede2000
from nacd_bench.ops.color import chroma, lab, luma
from nacd_bench.ops.filters import gaussian_kernel
from nacd_bench.triplets.batch import TripletBatch

CELLS = [TextureSeverity, ColorSeverity]


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    from skimage.data import chelsea

    pixels = np.ascontiguousarray(chelsea()[20:276, 60:316])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def levels(image: Tensor) -> Tensor:
    return image.round().clamp(0, 255).byte()


def blurred(image: Tensor, sigma: float) -> Tensor:
    planes = gaussian_filter(image.double().numpy(), (0, 0, sigma, sigma))
    return levels(torch.from_numpy(planes))


def cast(image: Tensor, size: float) -> Tensor:
    return levels(image + size * torch.tensor([1.0, -0.3, -1.0]).view(1, 3, 1, 1))


def severity(detector: object, original: Tensor, neural: Tensor, traditional: Tensor) -> float:
    return float(detector(TripletBatch(original, neural, traditional)).scores[0])  # type: ignore[operator]


class TestEvidence:
    def test_luma_faults_are_those_of_loops(self) -> None:
        first, second = torch.rand(2, 1, 1, 64, 72, generator=torch.Generator().manual_seed(1))
        x, y = (plane[0, 0].double().numpy() for plane in (first, second))
        taps = gaussian_kernel(11, 1.5).numpy()

        def mean(plane: np.ndarray) -> np.ndarray:
            return correlate1d(correlate1d(plane, taps, 0, mode="mirror"), taps, 1, mode="mirror")

        mx, my = mean(x), mean(y)
        vx, vy = mean(x * x) - mx**2, mean(y * y) - my**2
        cov, c = mean(x * y) - mx * my, 1e-4
        ratio = 0.5 * np.log((vx + c) / (vy + c))
        expected = [
            1 - (2 * cov + c) / (vx + vy + c),
            ratio.clip(0),
            (-ratio).clip(0),
            np.sqrt(vx + vy - 2 * cov),
            np.sqrt((vy - cov**2 / (vx + c)).clip(0)),
            np.sqrt((vx - cov**2 / (vy + c)).clip(0)),
            abs(mx - my),
        ]
        found = luma_faults(first, second)
        assert found.shape == (1, 1, 30, 8, 9)
        for index, plane in enumerate(expected):
            cells = plane.reshape(8, 8, 9, 8).mean((1, 3))
            assert np.allclose(found[0, 0, index], cells, atol=2e-5), index

    def test_chroma_faults_are_those_of_means(self) -> None:
        images = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        halves = [image.double().view(1, 3, 32, 2, 32, 2).mean((3, 5)) for image in images]
        y = [
            (image * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
            for image in halves
        ]
        u = [(image[:, 2] - plane) * 0.5 / 0.886 for image, plane in zip(halves, y, strict=True)]
        v = [(image[:, 0] - plane) * 0.5 / 0.701 for image, plane in zip(halves, y, strict=True)]
        distance = torch.hypot(u[0] - u[1], v[0] - v[1])
        doubled = [
            lab((plane[:, None] + 2 * (image - plane[:, None])).clamp(0, 1))
            for image, plane in zip(halves, y, strict=True)
        ]
        doubled[1][:, 0] = doubled[0][:, 0]
        found = chroma_faults(*images, varied=torch.zeros(2, 1, 1, 8, 8))
        assert found.shape == (1, 1, 24, 8, 8)
        cells = distance.view(8, 4, 8, 4).mean((1, 3)).numpy()
        assert np.allclose(found[0, 0, 0], cells, rtol=1e-4, atol=1e-5)
        halves = [image.view(1, 3, 16, 2, 16, 2).mean((3, 5)) for image in halves]
        y = [
            (image * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
            for image in halves
        ]
        doubled = [
            lab((plane[:, None] + 2 * (image - plane[:, None])).clamp(0, 1))
            for image, plane in zip(halves, y, strict=True)
        ]
        doubled[1][:, 0] = doubled[0][:, 0]
        cells = ciede2000(*doubled)[:, 0].view(8, 2, 8, 2).mean((1, 3)).numpy()
        assert np.allclose(found[0, 0, 9], cells, rtol=1e-4, atol=1e-5)

    def test_calm_is_that_of_the_calmest_window(self) -> None:
        image = torch.rand(1, 3, 24 * 8, 20 * 8, generator=torch.Generator().manual_seed(6))
        uv = np.stack(
            [
                np.asarray(plane).reshape(24, 8, 20, 8).mean((1, 3))
                for plane in chroma(image)[0].double()
            ]
        )
        reach = SURROUND // 2
        padded = np.pad(uv, ((0, 0), (reach, reach), (reach, reach)), "reflect")
        calmest = np.zeros((24, 20))
        for row, column in np.ndindex(24, 20):
            window = padded[:, row : row + SURROUND, column : column + SURROUND]
            steady = CALM / (CALM + np.sqrt(window.var((1, 2)).sum()))
            near = calmest[
                max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
            ]
            np.maximum(near, steady, out=near)
        assert np.allclose(calm(in_cells(chroma(image), CELL))[0, 0], calmest, atol=1e-4)

    def test_neighbourhoods_and_tiles(self) -> None:
        maps = torch.rand(1, 2, 70, 66, generator=torch.Generator().manual_seed(3))
        around = np.pad(maps[0, 1].double().numpy(), MARGIN)
        mean = gaussian_filter(around, 4.0, mode="constant", truncate=3)
        assert np.allclose(spread(maps, 4.0, MARGIN)[0, 1], mean, atol=1e-6)
        found = next(tiles([torch.cat([maps, maps.flip(1)], 1)]))
        assert found.shape == (1, 4 * 2, 4 * 2 + 4)
        place = maps[0, :, 4:68, 2:66].double()  # the third tile down, the second across
        expected = [(place**power).mean((1, 2)) ** (1 / power) for power in (1, 2, 4, 8)]
        largest = place.amax((1, 2))
        expected += [largest, largest.flip(0)]
        assert torch.allclose(found[0, 2 * 2 + 1].double(), torch.cat(expected), rtol=1e-5)
        some = next(tiles([torch.cat([maps, maps.flip(1)], 1)], used=[1, 4, 9, 11]))
        assert torch.equal(some, found[..., [1, 4, 9, 11]])

    def test_excess_is_over_the_other_side(self) -> None:
        own, other = torch.rand(2, 1, 3, 9, 9, generator=torch.Generator().manual_seed(4))
        evidence = places(own, other)
        excess = (spread(own, NARROW) - spread(other, NARROW)).clamp(min=0)
        assert torch.allclose(within(evidence)[:, 3:6], excess, atol=1e-6)
        assert evidence.shape == (1, 12, 9 + 2 * MARGIN, 9 + 2 * MARGIN)


class TestScores:
    @pytest.mark.parametrize("detector", CELLS)
    def test_nothing_wrong_is_0(self, detector: type, photograph: Tensor) -> None:
        assert severity(detector(), photograph, photograph, photograph) == 0

    @pytest.mark.parametrize("detector", CELLS)
    @pytest.mark.parametrize(
        ("fault", "strengths"),
        [(cast, (0, 2, 4, 8, 16, 30, 60, 100)), (blurred, (0, 0.5, 1, 2, 3, 5, 7, 10))],
    )
    def test_more_of_a_fault_is_never_less(
        self,
        detector: type,
        fault: Callable[[Tensor, float], Tensor],
        strengths: tuple[float, ...],
        photograph: Tensor,
    ) -> None:
        traditional = levels(photograph + 2.0)
        scores = [
            severity(detector(), photograph, fault(photograph, strength), traditional)
            for strength in strengths
        ]
        assert scores == sorted(scores)
        expected = {(ColorSeverity, cast), (TextureSeverity, blurred)}
        if (detector, fault) in expected:
            assert scores[0] < 0.5 and scores[-1] > 2.5

    @pytest.mark.parametrize("detector", CELLS)
    @pytest.mark.parametrize("place", [(0, 0), (128, 256), (131, 77), (300, 250), (61, 199)])
    @pytest.mark.parametrize("surrounding", ["flat", "mirrored", "noise"])
    def test_a_larger_canvas_changes_nothing(
        self,
        detector: type,
        place: tuple[int, int],
        surrounding: str,
        photograph: Tensor,
    ) -> None:
        sides = [photograph, cast(blurred(photograph, 1.5), 6), photograph]
        sides = [side[..., :243, :251] for side in sides]
        y, x = place
        ends = ((0, 0), (y, 600 - y - 243), (x, 640 - x - 251))
        canvas = {
            "flat": np.full((3, 600, 640), 128, np.uint8),
            "mirrored": np.pad(sides[0][0].numpy(), ends, "symmetric"),
            "noise": np.random.default_rng(0).integers(0, 256, (3, 600, 640), np.uint8),
        }[surrounding]
        whole = [torch.from_numpy(canvas.copy())[None] for _ in sides]
        for large, part in zip(whole, sides, strict=True):
            large[..., y : y + 243, x : x + 251] = part
        alone = severity(detector(), *sides)
        assert 0.3 < alone < 2.9
        assert severity(detector(), *whole) == pytest.approx(alone, abs=0.05)

    @pytest.mark.parametrize("detector", CELLS)
    def test_a_batch_is_its_triplets(self, detector: type, photograph: Tensor) -> None:
        neural = [blurred(photograph, 1), cast(photograph, 20), photograph]
        traditional = levels(photograph + 3.0)
        batch = TripletBatch(
            photograph.repeat(3, 1, 1, 1), torch.cat(neural), traditional.repeat(3, 1, 1, 1)
        )
        together = detector()(batch)
        for index, one in enumerate(neural):
            alone = detector()(TripletBatch(photograph, one, traditional))
            assert torch.allclose(together.scores[index], alone.scores[0], atol=1e-4)
            assert torch.equal(together.boxes[index], alone.boxes[0])

    def test_boxes_lie_on_the_fault(self, photograph: Tensor) -> None:
        neural = photograph.clone()
        neural[..., 150:220, 30:110] = cast(photograph, 40)[..., 150:220, 30:110]
        found = ColorSeverity()(TripletBatch(photograph, neural, photograph))
        x0, y0, x1, y1 = found.boxes[0][0].tolist()
        assert 30 <= (x0 + x1) / 2 < 110 and 150 <= (y0 + y1) / 2 < 220
        assert found.confidences[0][0] == found.scores[0]
        assert torch.equal(found.confidences[0], found.confidences[0].sort(descending=True).values)

    def test_too_small_a_picture_is_refused(self) -> None:
        tiny = torch.zeros(1, 3, 40, 80, dtype=torch.uint8)
        with pytest.raises(ImageError, match="at least 64 x 64 pixels, got 80 x 40"):
            TextureSeverity()(TripletBatch(tiny, tiny, tiny))


class TestText:
    @staticmethod
    def lines(*texts: str) -> Tensor:
        image = Image.new("RGB", (320, 200), "white")
        font = ImageFont.load_default(28)
        for index, text in enumerate(texts):
            ImageDraw.Draw(image).text((16, 16 + 60 * index), text, "black", font)
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]

    def test_more_swapped_letters_are_never_less(self) -> None:
        texts = ["MEASURE OF CODECS", "BROKEN LETTERS", "SEEN BY A READER"]
        original = self.lines(*texts)
        letters = [
            (row, i) for row, text in enumerate(texts) for i, c in enumerate(text) if c != " "
        ]
        order = np.random.default_rng(1).permutation(len(letters))
        scores = []
        for share in (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1):
            swapped = [list(text) for text in texts]
            for index in order[: round(share * len(letters))]:
                row, column = letters[index]
                swapped[row][column] = chr((ord(texts[row][column]) - 65 + 11) % 26 + 65)
            decode = self.lines(*("".join(row) for row in swapped))
            scores.append(severity(TextSeverity(), original, decode, original))
        assert scores == sorted(scores)
        assert scores[0] == 0 and scores[-1] > 1.5

    def test_an_original_is_read_once_for_all_its_rates(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original, other = self.lines("MEASURE OF CODECS"), self.lines("BROKEN LETTERS")
        detector, read = TextSeverity(), []
        reader = PPOCRReader.read
        monkeypatch.setattr(PPOCRReader, "read", lambda *a: read.append(a[1]) or reader(*a))
        first = severity(detector, original, other, original)
        pieces = len(read)
        again = severity(detector, original, other, original)
        assert again == first
        assert 0 < 3 * (len(read) - pieces) <= 2 * pieces
        assert severity(detector, other, original, other) > 0  # another original is read anew

    def test_readings_that_are_not_kept_are_made_anew(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original, other = self.lines("FIRST", "SECOND"), self.lines("FIRZT", "3ECOND")
        expected = severity(TextSeverity(), original, other, original)
        monkeypatch.setattr("nacd_bench.detectors.text_severity.KEPT", 1)
        detector = TextSeverity()
        for _ in range(2):
            assert severity(detector, original, other, original) == expected > 0
        assert len(detector._last[2]) == 1

    def test_no_text_is_0_without_boxes(self) -> None:
        plain = torch.full((1, 3, 96, 96), 90, dtype=torch.uint8)
        found = TextSeverity()(TripletBatch(plain, plain, plain))
        assert found.scores.tolist() == [0] and len(found.boxes[0]) == 0

    def test_the_strongest_box_is_on_the_garbled_line(self) -> None:
        original = self.lines("THE FIRST LINE", "THE SECOND LINE")
        garbled = self.lines("THE FIRST LINE", "TMF 8EC0MQ 1IMF")
        found = TextSeverity()(TripletBatch(original, garbled, original))
        assert 70 < float(found.boxes[0][0][[1, 3]].float().mean()) < 120


class TestModels:
    @pytest.fixture
    def shipped(self, tmp_path: Path) -> Path:
        import nacd_bench.detectors.severity as room

        return Path(shutil.copy(Path(room.__path__[0]) / "weights" / "color.npz", tmp_path))

    def test_a_model_of_ones_own(self, shipped: Path, photograph: Tensor) -> None:
        model = read_model(shipped, ColorSeverity.shape, ColorSeverity.place_numbers)
        halved, bent = shipped.with_name("half.npz"), shipped.with_name("bent.npz")
        half = replace(model, weights=model.weights / 2, bias=model.bias / 2, bend=0.0)
        half.save(halved)
        replace(half, weights=model.weights, bias=model.bias, bend=-0.5).save(bent)
        neural = cast(photograph, 14)
        plain = 2 * severity(ColorSeverity(halved), photograph, neural, photograph)
        assert 1.7 < plain < 3
        for path, expected in (
            (bent, 1.5 + (plain - 1.5) / 2),
            (shipped, 1.5 + (plain - 1.5) * (1 + model.bend)),
        ):
            assert severity(ColorSeverity(path), photograph, neural, photograph) == pytest.approx(
                expected, abs=1e-4
            )
        assert ColorSeverity(halved).settings != ColorSeverity().settings
        assert ColorSeverity(shipped).settings == ColorSeverity().settings

    def test_what_is_no_model_is_refused(self, shipped: Path, photograph: Tensor) -> None:
        batch = TripletBatch(photograph, photograph, photograph)
        with pytest.raises(UserError, match="no such file"):
            ColorSeverity(shipped.with_name("none.npz"))(batch)
        cut = shipped.with_name("cut.npz")
        cut.write_bytes(shipped.read_bytes()[:2000])
        with pytest.raises(UserError, match="does not read as one"):
            ColorSeverity(cut)(batch)
        with np.load(shipped) as arrays:
            numbers = dict(arrays)
        for name, value, message in (
            ("format", 99, "got format 99"),
            ("weights", -numbers["weights"] - 1, "at least 0"),
            ("weights", numbers["weights"][:5], "weights of shape"),
            ("scale", numbers["scale"] * np.nan, "finite"),
            ("bend", -1.5, "at least 0"),
            ("bias", np.nan, "finite"),
        ):
            other = shipped.with_name("other.npz")
            np.savez(other, **{**numbers, name: value})
            with pytest.raises(UserError, match=message):
                ColorSeverity(other)(batch)

    def test_shipped_weights_are_small_and_say_where_they_are_from(self, shipped: Path) -> None:
        for kind, detector in (
            ("texture", TextureSeverity),
            ("color", ColorSeverity),
            ("text", TextSeverity),
        ):
            path = Path(fitting.__file__).parent / "weights" / f"{kind}.npz"
            assert path.stat().st_size < 300_000
            card = read_model(path, detector.shape, detector.place_numbers).card
            assert card["type"] == kind and card["raters"] == 3 and card["left_out"]

    def test_calibration_finds_two_lines_and_as_many_clear_sides(self) -> None:
        random = np.random.default_rng(6)
        predicted = random.uniform(0, 2, 400)
        away = predicted - 0.9
        exact = 1.5 + np.where(away < 0, 1.6, 0.5) * away
        assert fitting._calibration(predicted, exact) == pytest.approx((0.9, 1.6, 0.5), abs=0.02)
        noisy = (exact + random.normal(0, 0.6, 400)).round()
        crossing, below, above = fitting._calibration(predicted, noisy)
        assert (predicted >= crossing).sum() == pytest.approx((noisy >= 1.5).sum(), rel=0.1)
        errors = [
            (1.5 + (below if value < crossing else above) * (value - crossing) - graded) ** 2
            for value, graded in zip(predicted, noisy, strict=True)
        ]
        line = np.polyval(np.polyfit(predicted, noisy, 1), predicted)
        assert np.mean(errors) < np.mean((line - noisy) ** 2)

    def test_calibration_without_clear_sides_is_the_line_of_least_squares(self) -> None:
        random = np.random.default_rng(7)
        predicted = random.uniform(0, 1, 300)
        graded = 0.2 + 0.7 * predicted + random.normal(0, 0.1, 300)
        crossing, below, _ = fitting._calibration(predicted, graded)
        slope, intercept = np.polyfit(predicted, graded, 1)
        assert below == pytest.approx(slope, abs=0.01)
        assert 1.5 - below * crossing == pytest.approx(intercept, abs=0.01)

    def test_weights_make_the_least_of_the_stated_loss(self) -> None:
        random = np.random.default_rng(5)
        features, target = random.gamma(2, size=(14, 3)), random.integers(0, 4, 14).astype(float)
        changes, is_neural = random.normal(size=(4, 3)), np.arange(14) < 8
        scale, mean = features.std(axis=0), features.mean(axis=0)
        weight = [1 if neural else fitting.TRADITIONAL for neural in is_neural]
        same = [(i, j) for i in range(14) for j in range(14) if is_neural[i] == is_neural[j]]

        def loss(slopes: np.ndarray, bias: float) -> float:
            predicted = features @ slopes + bias
            value = sum(w * (p - t) ** 2 for w, p, t in zip(weight, predicted, target, strict=True))
            still = fitting.CANVAS * 14 / 4
            value += still * sum((change @ slopes) ** 2 for change in changes)
            value += fitting.RIDGE["color"] * sum((slopes * scale) ** 2)
            order, total = 0.0, 0.0
            for i, j in same:
                strength = weight[i] * abs(target[i] - target[j])
                ahead = (predicted[i] - predicted[j]) * np.sign(target[i] - target[j])
                order += strength * np.log1p(np.exp(-ahead / fitting.DOUBT))
                total += strength
            return value / 2 + 14 * order / total

        slopes, bias = fitting._severity_weights("color", features, target, is_neural, changes)
        least = loss(slopes, bias)
        assert slopes.max() > 0 and slopes.min() >= 0
        for _ in range(200):
            moved = (slopes + 0.01 * random.normal(size=3)).clip(0)
            assert loss(moved, bias - (moved - slopes) @ mean + 0.01 * random.normal()) > least

    def test_fit_learns_what_the_grades_follow(self, tmp_path: Path, photograph: Tensor) -> None:
        rows, grades = ["id,orig,ai,classic,source"], []
        tiles_of = photograph.unfold(2, 64, 64).unfold(3, 64, 64).reshape(3, -1, 64, 64)
        for index in range(12):
            original = tiles_of[:, index][None]
            size = 4 * index
            sides = {"orig": original, "ai": cast(original, size), "classic": original}
            for role, pixels in sides.items():
                (tmp_path / role).mkdir(exist_ok=True)
                Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).save(
                    tmp_path / role / f"{index}.png"
                )
            names = ",".join(f"{role}/{index}.png" for role in sides)
            rows.append(f"t{index},{names},p{index}")
            for rater in "PQR":
                for side, grade in (("neural", min(3, index // 3)), ("traditional", 0)):
                    box = '"box": [0, 0, 64, 64], ' if grade else ""
                    for kind in ("color", "texture", "text"):
                        grades.append(
                            f'{{"triplet": "t{index}", "rater": "{rater}", "type": "{kind}", '
                            f'{box}"side": "{side}", "severity": {grade}}}'
                        )
        (tmp_path / "index.csv").write_text("\n".join(rows))
        (tmp_path / "grades.jsonl").write_text("\n".join(grades))
        fitting.main([str(tmp_path), str(tmp_path / "weights"), "--types", "color"])
        detector = ColorSeverity(tmp_path / "weights" / "color.npz")
        scores = [
            severity(detector, one := tiles_of[:, index][None], cast(one, 4 * index), one)
            for index in range(12)
        ]
        assert np.corrcoef(scores, np.arange(12) // 3)[0, 1] > 0.9


def test_faults_are_shared_within_a_batch(photograph: Tensor) -> None:
    batch = TripletBatch(photograph, blurred(photograph, 1), photograph)
    assert batch.once(faults_of_decodes) is batch.once(faults_of_decodes)
    assert luma(batch.original).shape[1] == 1
