"""Rate matching against full ladders: the nearest operating point, in few encodes."""

import math

import numpy as np
import pytest
from checks import fails
from skimage import data

from nacd_bench.coding.codec import Codec, FineControl, OperatingPoints
from nacd_bench.coding.rate import Encodings, given, luma_psnr, match_rates
from nacd_bench.errors import CodecError
from nacd_bench.planting.photographs import PLANTING_PHOTOS, photo
from nacd_bench.registry import CODECS

TARGETS = [0.06, 0.12, 0.25, 0.5, 0.75]
FACE = np.ascontiguousarray(data.astronaut()[40:168, 160:320])
CAT = np.ascontiguousarray(data.chelsea()[90:174, 120:248])
BLANK = np.zeros((512, 768, 3), np.uint8)
PHOTO = np.concatenate([data.astronaut(), data.astronaut()[:, :256]], axis=1)


class Ladder(Codec):
    """A codec that is its table of sizes; it counts how often it is asked."""

    name = "ladder"

    def __init__(self, sizes, slope=0.15, ripple=1.0) -> None:
        self.sizes = [max(1, round(size)) for size in sizes]
        self.points = OperatingPoints("step", tuple(range(len(self.sizes))), slope, ripple)
        self.asked = []

    def version(self):
        return "1"

    def encode(self, image, point):
        self.require(image, point)
        self.asked.append(int(point))
        return bytes(self.sizes[int(point)])

    def decode(self, data):
        return BLANK

    def bpp(self, image):
        return np.array(self.sizes) * 8 / (image.shape[0] * image.shape[1])


def smooth_sizes(seed, points=52, pixels=512 * 768):
    """An image of an imagined HEVC: offset, tilt and bend of its own, and a little ripple."""
    draw = np.random.default_rng(seed)
    x = np.linspace(-1, 1, points)
    log2_bpp = -1.5 + draw.normal(0, 0.2) + 4.2 * x * (1 + draw.normal(0, 0.1))
    log2_bpp += draw.normal(0.3, 0.15) * np.cos(2 * x) + 0.1 * np.sin(3 * x + draw.uniform(0, 6))
    sizes = 2**log2_bpp * pixels / 8
    return sizes * 2 ** (draw.normal(0, 0.8, points) / np.sqrt(sizes))


def match_rate(codec, image, target, earlier=None, **options):
    """One target on its own; ``earlier`` learns from it."""
    return match_all(codec, image, [target], earlier, **options)[0]


def match_all(codec, image, targets, earlier=None, **options):
    encodings = Encodings(codec, image)
    matches = match_rates(encodings, targets, earlier=earlier or (), **options)
    if earlier is not None:
        earlier.append(encodings.seen("bpp"))
    return matches


def assert_nearest(match, rates):
    misses = np.abs(np.asarray(rates) / match.target - 1)
    assert abs(match.miss) == pytest.approx(misses.min(), abs=1e-9)


@pytest.mark.parametrize("image", [FACE, CAT], ids=["face", "cat"])
@pytest.mark.parametrize("name", ["x265", "avif", "jpeg", "webp", "jpeg2000"])
def test_the_nearest_point_of_the_whole_ladder_of_a_real_codec(name, image):
    codec = CODECS.get(name)()
    full = Encodings(codec, image)
    rates = [full.quantity("bpp", index) for index in range(len(codec.points.values))]
    # small images: sizes rise and fall by single bytes and stand still
    targets = [0.06, 0.15, 0.3, 0.6, 1.2, 3.0]
    matches = match_rates(Encodings(codec, image), targets)
    assert [match.target for match in matches] == targets
    for match in matches:
        assert_nearest(match, rates)
        assert match.out_of_range == (not min(rates) <= match.target <= max(rates))
        assert codec.rate_bytes(match.data) * 8 / image[..., 0].size == match.bpp == match.got
    for target in targets[1::2]:
        assert_nearest(match_rate(codec, image, target), rates)


def test_what_a_jpeg_is_expected_to_take_is_parallel_to_what_it_takes():
    """Its quantiser is known: the whole ladder in bits, up to a level, within a third of a bit."""
    codec = CODECS.get("jpeg")()
    images = [PHOTO, *(photo(name) for name in PLANTING_PHOTOS[:3])]
    for image in images:
        full, expected = Encodings(codec, image), codec.expected_rates(image)
        rates = np.log2([full.quantity("bpp", index) for index in range(0, 90, 5)])
        off = rates - expected[:90:5]
        assert (np.diff(expected) > 0).all()
        assert np.ptp(off) < 0.35
    flat = Encodings(codec, BLANK)  # all sizes are equal, or nearly
    assert match_rates(flat, [0.5])[0].out_of_range


def test_encodes_per_target_of_jpeg():
    """Six photographs teach it; what the search then needs on six more, one target at a time."""
    codec, earlier, encodes = CODECS.get("jpeg")(), [], []
    photos = [photo(name) for name in PLANTING_PHOTOS[:12]]
    for image in photos[:6]:
        match_all(codec, image, TARGETS, earlier)
    for image in photos[6:]:
        encodes += [match_rate(codec, image, target, earlier[:6]).encodes for target in TARGETS]
    assert np.mean(encodes) <= 2.5


def test_the_nearest_point_of_ladders_that_are_not_monotone():
    wrong = tried = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        sizes = 20 * 2 ** np.linspace(0, 8 - draw.random(), 52)
        codec = Ladder(sizes * 2 ** (draw.normal(0, 1, 52) / np.sqrt(sizes)))
        image = np.zeros((64, 64, 3), np.uint8)
        assert (np.diff(codec.sizes) < 0).any()
        for match in match_rates(Encodings(codec, image), [0.3, 1.0, 3.0]):
            tried += 1
            wrong += abs(match.miss) > np.abs(codec.bpp(image) / match.target - 1).min() + 1e-9
    assert tried == 120
    assert wrong <= 2  # certainty is three standard deviations, not a proof


@pytest.mark.parametrize(
    "sizes",
    [
        [5000],
        [5000, 5000, 5000, 5000],
        [100, 9000],
        [1000, 1000, 4000, 4000, 4000, 9000],
        [1500, 3000, 6000, 12000, 48000],
        [300 * 1.02**k for k in range(200)],
        [300 * 2**k for k in range(9)],
        [1000, 1050, 1100, 40000, 41000, 42000],
    ],
    ids=["one", "flat", "two", "plateaus", "coarse", "fine", "octaves", "cliff"],
)
@pytest.mark.parametrize("slope", [0.02, 0.15, 2.0], ids=["low", "usual", "high"])
def test_odd_ladders_and_wrong_first_guesses(sizes, slope):
    codec = Ladder(sizes, slope)
    targets = [0.001, 0.02, 0.06, 0.12, 0.25, 0.75, 5.0]
    earlier = []
    for match in match_all(codec, BLANK, targets, earlier):
        assert_nearest(match, codec.bpp(BLANK))
    for target in targets:
        assert_nearest(match_rate(codec, BLANK, target, earlier), codec.bpp(BLANK))


def test_few_points_that_lie_unevenly():
    """Three to eight qualities of JPEG, as anybody may have chosen them, of unknown rates."""
    codec, draw, wrong = CODECS.get("jpeg")(), np.random.default_rng(5), 0
    sizes = np.array([len(codec.encode(FACE, quality)) for quality in codec.points.values])
    for _ in range(60):
        some = draw.choice(len(sizes), draw.integers(3, 9), replace=False)
        ladder = Ladder(np.sort(sizes[some]), slope=0.1)
        rates = ladder.bpp(FACE)
        for target in np.geomspace(0.9 * rates[0], 1.1 * rates[-1], 4) * draw.uniform(0.9, 1.1, 4):
            match = match_rate(ladder, FACE, target)
            wrong += abs(match.got - target) > np.abs(rates - target).min() * (1 + 1e-9)
    assert wrong <= 2


@pytest.mark.numeric
def test_what_is_measured_at_once_and_one_by_one_tells_the_same():
    """Against textbook conditioning on one variable at a time."""
    draw = np.random.default_rng(2)
    factor = draw.normal(0, 1, (7, 7))
    covariance, noise = factor @ factor.T, 0.3
    index, values = np.array([5, 1, 4]), np.array([0.7, -0.2, 1.1])
    known = covariance[np.ix_(index, index)] + noise**2 * np.eye(3)
    mean, left = np.zeros(7), covariance.copy()
    for i, value in zip(index, values, strict=True):
        gain = left[:, i] / (left[i, i] + noise**2)
        mean, left = mean + gain * (value - mean[i]), left - np.outer(gain, left[i])
    for got, wanted in zip(given(covariance, index, values, known), (mean, left), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_qualities_of_avif_that_are_one_quantiser_are_one_step():
    codec = CODECS.get("avif")()
    scale = codec.points.scale
    sizes = [len(codec.encode(CAT, quality)) for quality in range(40, 60)]
    assert list(np.diff(sizes) == 0) == list(np.diff(scale[40:60]) == 0)


def test_encodes_per_target_on_smooth_curves():
    """24 imagined images at five targets: the numbers that real ones have to reach."""
    single = one_go = wrong = 0
    for together in (False, True):
        earlier = []
        for seed in range(24):
            codec = Ladder(smooth_sizes(seed))
            if together:
                matches = match_all(codec, PHOTO, TARGETS, earlier)
                one_go += sum(match.encodes for match in matches)
            else:
                matches = [match_rate(codec, PHOTO, t, earlier) for t in TARGETS]
                single += sum(match.encodes for match in matches)
            for match in matches:
                wrong += abs(match.miss) > np.abs(codec.bpp(PHOTO) / match.target - 1).min() + 1e-9
    assert wrong <= 2  # of 240: near ties
    assert single / 120 <= 2.2
    assert one_go / 120 <= 1.7


def test_no_point_is_encoded_twice_and_every_encode_is_counted():
    codec = Ladder(smooth_sizes(3))
    encodings = Encodings(codec, PHOTO)
    matches = match_rates(encodings, TARGETS)
    assert len(codec.asked) == len(set(codec.asked)) == sum(match.encodes for match in matches)
    again = match_rates(encodings, TARGETS)
    assert [match.point for match in again] == [match.point for match in matches]
    assert sum(match.encodes for match in again) == 0


def test_the_answer_does_not_depend_on_what_was_learned_before():
    taught = []
    for seed in range(6):
        match_all(Ladder(smooth_sizes(seed)), PHOTO, TARGETS, taught)
    for seed in (7, 8):
        fresh = match_rates(Encodings(Ladder(smooth_sizes(seed)), PHOTO), TARGETS)
        known = match_all(Ladder(smooth_sizes(seed)), PHOTO, TARGETS, taught)
        assert [match.point for match in fresh] == [match.point for match in known]


def test_targets_out_of_range_are_misses_with_their_size_and_not_errors():
    codec = Ladder([6144, 12288, 24576])  # 0.125, 0.25, 0.5 bpp
    low, high, within = match_rates(Encodings(codec, BLANK), [0.05, 2.0, 0.25])
    assert (low.point, low.out_of_range, low.miss) == (0, True, pytest.approx(1.5))
    assert (high.point, high.out_of_range, high.miss) == (2, True, pytest.approx(-0.75))
    assert (within.point, within.out_of_range, within.miss) == (1, False, 0)


@pytest.mark.parametrize("target", [0, -0.5, math.nan, math.inf])
def test_impossible_targets_are_refused(target):
    with pytest.raises(CodecError, match=rf"a target above 0 bpp, got {target}"):
        match_rate(Ladder([100, 200]), BLANK, target)


def test_an_encoder_that_fails_is_an_error_with_its_message():
    class Broken(Ladder):
        def encode(self, image, point):
            raise CodecError("the encoder is on fire. Call somebody.")

    fails(CodecError, "on fire", match_rate, Broken([100, 200]), BLANK, 0.1)


def test_encodes_per_target_of_a_neural_codec():
    """Eight photographs teach it; what the search then needs on eight more."""
    codec = CODECS.get("hyperprior")()
    photos = [photo(name)[:192, :192] for name in PLANTING_PHOTOS[:16]]
    photos = [np.ascontiguousarray(image) for image in photos]
    targets, earlier, encodes = [0.2, 0.4, 0.8, 1.2, 1.6], [], []
    for image in photos[:8]:
        match_all(codec, image, targets, earlier)
    for image in photos[8:]:
        encodes += [match_rate(codec, image, target, earlier[:8]).encodes for target in targets]
    assert len(encodes) >= 30
    assert np.mean(encodes) <= 2.2


class TestFineControl:
    class Lambda(Ladder):
        """Rate falls by 0.35 octaves when the factor doubles, and a bit more above 1."""

        fine = FineControl("lmi", 0.7, 1.4)

        def __init__(self, *arguments, strength=0.35) -> None:
            super().__init__(*arguments)
            self.strength = strength
            self.values = []

        def encode_fine(self, image, point, value):
            self.values.append(value)
            octaves = math.log2(value)
            scale = 2 ** (-self.strength * octaves - 0.05 * octaves**2)
            return bytes(round(self.sizes[int(point)] * scale))

    def test_it_closes_the_gap_between_two_points(self):
        codec = self.Lambda(smooth_sizes(5))
        plain = match_rates(Encodings(codec, BLANK), TARGETS)
        fine = match_rates(Encodings(codec, BLANK), TARGETS, tolerance=0.01)
        assert max(abs(match.miss) for match in plain) > 0.02
        for before, after in zip(plain, fine, strict=True):
            assert abs(after.miss) <= 0.01
            assert after.point == before.point
            assert (after.fine is None) == (abs(before.miss) <= 0.01)
            assert after.encodes <= before.encodes + 4
        assert all(0.7 <= value <= 1.4 for value in codec.values)

    def test_its_range_ends_the_search(self):
        codec = self.Lambda([6144], 0.15, strength=0.1)
        match = match_rate(codec, BLANK, 0.2, tolerance=0.01)
        assert match.fine == pytest.approx(0.7)
        assert match.got > 0.125
        assert len(codec.values) <= 2

    def test_the_point_across_the_target_is_tried_where_the_nearest_does_not_get_there(self):
        """Sizes that jump at the nearest point by more than the tolerance, and not at the next."""

        class Jumpy(self.Lambda):
            def encode_fine(self, image, point, value):
                if point == 1:
                    self.values.append(value)
                    return bytes(self.sizes[1] if value > 0.8 else int(self.sizes[1] * 1.1))
                return super().encode_fine(image, point, value)

        codec = Jumpy([4000, 6000, 6700], 0.15)
        target = 6250 * 8 / (512 * 768)
        assert match_rate(codec, BLANK, target).point == 1
        match = match_rate(codec, BLANK, target, tolerance=0.01)
        assert (match.point, match.out_of_range) == (2, False)
        assert abs(match.miss) <= 0.01
        assert match.encodes <= 2 + 2 * 5 + 1
        # nothing helps: the nearest of all that was tried
        hopeless = match_rate(codec, BLANK, target, tolerance=1e-9)
        assert 0 < abs(hopeless.miss) <= 0.01

    def test_real_sizes_of_small_images_come_within_a_percent(self):
        """x265 with a factor on its rate that moves in steps, as HM's does on small images."""
        draw = np.random.default_rng(0)
        for seed in range(20):

            class Noisy(self.Lambda):
                def encode_fine(self, image, point, value, seed=seed):
                    size = len(super().encode_fine(image, point, value))
                    noise = np.random.default_rng(round(value * 1e6) + seed).normal(0, 0.008)
                    return bytes(max(1, round(size * 2**noise)))

            codec = Noisy(smooth_sizes(seed), strength=0.35)
            match = match_rate(codec, BLANK, float(2 ** draw.uniform(-3, 0)), tolerance=0.01)
            assert not match.out_of_range and abs(match.miss) <= 0.01

    def test_what_it_reaches_is_in_range(self):
        codec = self.Lambda([6144, 12288], 1.0)
        match = match_rate(codec, BLANK, 0.12, tolerance=0.01)  # the first point has 0.125
        assert not match.out_of_range
        assert abs(match.miss) <= 0.01

    def test_without_it_a_tolerance_changes_nothing(self):
        codec = Ladder(smooth_sizes(5))
        assert match_rate(codec, BLANK, 0.25, tolerance=0.0001).fine is None
        fails(
            CodecError, "no setting between two operating points", codec.encode_fine, BLANK, 0, 1.1
        )


class TestQuality:
    @pytest.mark.parametrize("name", ["x265", "jpeg"])
    def test_the_nearest_psnr_of_the_whole_ladder(self, name):
        codec = CODECS.get(name)()
        full = Encodings(codec, CAT)
        psnr = np.array([full.quantity("psnr", index) for index in range(len(codec.points.values))])
        encodings = Encodings(codec, CAT)
        matches = match_rates(encodings, [28.0, 33.3, 38.0, 70.0], "psnr")
        assert len(matches) == 4
        for match in matches:
            assert abs(match.got - match.target) == pytest.approx(np.abs(psnr - match.target).min())
            assert match.out_of_range == (match.target > psnr.max())
        assert len(encodings.matches) < (20 if name == "x265" else 40)

    @pytest.mark.numeric
    def test_psnr_is_of_luma(self):
        gray = np.full((4, 4, 3), 100, np.uint8)
        assert luma_psnr(gray, gray) == 300
        green = gray + np.array([0, 10, 0], np.uint8)
        assert luma_psnr(gray, green) == pytest.approx(20 * math.log10(255 / 5.87))
