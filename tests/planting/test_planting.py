"""Planted artifacts: nothing at strength 0, only inside the mask, what the strength says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from checks import fails
from skimage.color import deltaE_ciede2000, rgb2lab

from nacd_bench.errors import DataError
from nacd_bench.planting import KINDS, Planted, Region, Scene, plant
from nacd_bench.planting.lettering import with_text
from nacd_bench.planting.photographs import photo
from nacd_bench.planting.scene import blurred, luma, place_on
from nacd_bench.registry import CODECS

MECHANISMS = [(kind, name) for kind, each in KINDS.items() for name in each.mechanisms]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A real decode of a photograph with a line of text in it."""
    cut = np.ascontiguousarray(photo("coffee")[150:390, 200:440])
    lettered = with_text(cut, (20, 20, 220, 80), np.random.default_rng(3))
    assert lettered is not None
    original, text = lettered
    codec = CODECS.get("jpeg")()
    neural, weak = (codec.decode(codec.encode(original, quality)) for quality in (70, 10))
    return Scene(original, neural, weak, [text])


def planted(scene: Scene, kind: str, **options: object) -> Planted:
    found = plant(scene, kind, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "mechanism"), MECHANISMS)
class TestEveryMechanism:
    def test_changes_nothing_at_strength_0(self, scene: Scene, kind: str, mechanism: str) -> None:
        found = planted(scene, kind, strength=0, mechanism=mechanism)
        assert np.array_equal(found.image, scene.neural)

    def test_changes_pixels_only_inside_its_mask(
        self, scene: Scene, kind: str, mechanism: str
    ) -> None:
        found = planted(scene, kind, strength=1, mechanism=mechanism)
        changed = (found.image != scene.neural).any(axis=2)
        assert changed.any() and not changed[found.mask == 0].any()
        x0, y0, x1, y1 = found.box
        core = found.mask >= 0.5
        assert core[y0:y1, x0:x1].sum() == core.sum() > 0
        assert core[y0].any() and core[y1 - 1].any() and core[:, x0].any() and core[:, x1 - 1].any()
        assert found.image.dtype == np.uint8 and found.image.shape == scene.neural.shape

    def test_grows_with_strength_in_the_same_place(
        self, scene: Scene, kind: str, mechanism: str
    ) -> None:
        steps = [planted(scene, kind, strength=s, mechanism=mechanism) for s in (0.1, 0.5, 1)]
        errors = [np.square(each.image - scene.neural.astype(float)).mean() for each in steps]
        assert {each.box for each in steps} == {steps[0].box}
        assert errors[0] < errors[1] and errors[0] < errors[2]

    def test_a_seed_decides_all(self, scene: Scene, kind: str, mechanism: str) -> None:
        first, again, other = (
            planted(scene, kind, seed=seed, mechanism=mechanism) for seed in (5, 5, 6)
        )
        assert np.array_equal(first.image, again.image) and first.box == again.box
        assert not np.array_equal(first.image, other.image)


def test_each_kind_has_at_least_two_mechanisms_and_the_seed_draws_them_all(scene: Scene) -> None:
    for kind, each in KINDS.items():
        drawn = {planted(scene, kind, strength=0, seed=seed).mechanism for seed in range(30)}
        assert len(each.mechanisms) >= 2 and drawn == {*each.mechanisms}


def difference(found: Planted, decode: np.ndarray) -> float:
    inside = found.mask >= 0.5
    return float(deltaE_ciede2000(rgb2lab(decode), rgb2lab(found.image))[inside].mean())


@pytest.mark.numeric
@pytest.mark.parametrize("light", [1.0, 0.25])
@pytest.mark.parametrize("mechanism", ["shift", "balance"])
@pytest.mark.parametrize("strength", [0.05, 0.375, 1.0])
def test_large_colour_has_the_mean_ciede2000_that_its_strength_says(
    scene: Scene, mechanism: str, strength: float, light: float
) -> None:
    """As written, of a bright photograph and a dark one; 8 bits step by less than 0.05."""
    decode = np.rint(scene.neural * light).astype(np.uint8)
    lit = Scene(scene.original, decode, scene.weak)
    for seed in (0, 1):
        found = planted(lit, "large_color", strength=strength, mechanism=mechanism, seed=seed)
        assert difference(found, decode) == pytest.approx(8 * strength, abs=0.05)
        assert found.difference == pytest.approx(difference(found, decode), abs=1e-9)
        x0, y0, x1, y1 = found.box
        assert x1 - x0 >= 80 and y1 - y0 >= 80


def test_what_srgb_cannot_give_is_on_record(scene: Scene) -> None:
    """No light to balance: nothing changes, and that is said."""
    black = np.zeros_like(scene.neural)
    found = planted(Scene(black, black, black), "large_color", strength=1, mechanism="balance")
    assert found.difference == difference(found, black) == 0
    dark = np.full_like(black, 4)
    found = planted(Scene(dark, dark, dark), "large_color", strength=1, mechanism="balance")
    assert found.difference == pytest.approx(difference(found, dark)) and found.difference < 7.9


@pytest.mark.numeric
def test_hues_turn_by_what_the_strength_says() -> None:
    """Of strong colours too, whose turned hue sRGB has only with less chroma."""
    rng = np.random.default_rng(2)
    bright = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    picture = bright.repeat(32, axis=0).repeat(32, axis=1)
    region = Region(np.ones(picture.shape[:2]), (0, 0, 128, 128))
    scene = Scene(picture, picture, picture)
    changed = KINDS["small_color"].mechanisms["turn"](scene, region, 0.5, rng)
    assert changed.min() >= -1e-9 and changed.max() <= 255 + 1e-9
    assert np.abs(luma(changed) - luma(picture)).max() < 1e-9

    def hue(image: np.ndarray) -> np.ndarray:
        y = luma(image)
        return np.angle((image[..., 2] - y) / 1.772 + 1j * (image[..., 0] - y) / 1.402)

    turned = np.degrees(hue(changed) - hue(picture.astype(float)))
    assert np.abs(np.abs((turned + 180) % 360 - 180) - 75).max() < 1e-6


@pytest.mark.numeric
def test_nothing_is_displaced_farther_than_the_strength_says(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out to where the mask ends; the fields that move pixels are looked at themselves."""
    fields = []
    for module in ("texture", "scene"):
        monkeypatch.setattr(
            f"nacd_bench.planting.{module}.displaced",
            lambda image, dx, dy: fields.append((dx, dy)) or image.astype(float),
        )
    cases = {("boundary", "bend"): 4.0, ("boundary", "teeth"): 4.0}
    cases["text", "warp"] = 0.22 * scene.texts[0].height
    for (kind, mechanism), largest in cases.items():
        for seed in range(4):
            found = planted(scene, kind, strength=0.5, mechanism=mechanism, seed=seed)
            longest = np.hypot(*fields.pop())[found.mask > 0].max()
            assert longest <= largest / 2 + 1e-9
            assert mechanism == "teeth" or longest == pytest.approx(largest / 2)


def test_small_colour_is_small_and_keeps_luma(scene: Scene) -> None:
    for seed in range(8):
        found = planted(scene, "small_color", strength=0.5, seed=seed, mechanism="fade")
        x0, y0, x1, y1 = found.box
        assert 44 <= x1 - x0 <= 96 and 44 <= y1 - y0 <= 96
        assert np.abs(luma(found.image) - luma(scene.neural)).max() < 1.01  # rounding


def test_no_colour_is_lost_where_there_is_none() -> None:
    gray = np.repeat(np.arange(192, dtype=np.uint8)[:, None, None], 192, 1).repeat(3, 2)
    assert plant(Scene(gray, gray, gray), "small_color") is None


def test_places_are_uniform_over_those_that_hold_enough() -> None:
    """Against the count of a float64 loop over every place."""
    wanted = np.zeros((90, 120), bool)
    wanted[10:60, 70:110] = True
    hits: Counter[tuple[int, int]] = Counter()
    for seed in range(600):
        found = place_on(wanted, 0.5, (21, 21), np.random.default_rng(seed))
        assert found is not None
        x0, y0, x1, y1 = found.box
        hits[round((y0 + y1 - 1) / 2), round((x0 + x1 - 1) / 2)] += 1
    allowed = {
        (y, x)
        for y in range(10, 80)
        for x in range(10, 110)
        if wanted[y - 10 : y + 11, x - 10 : x + 11].mean() >= 0.5
    }
    assert set(hits) <= allowed
    ys, xs = np.array(list(hits.elements())).T
    for values, of_all in ((ys, [y for y, _ in allowed]), (xs, [x for _, x in allowed])):
        assert abs(values.mean() - np.mean(of_all)) < 4 * np.std(of_all) / np.sqrt(600)
        assert values.std() == pytest.approx(np.std(of_all), rel=0.1)


def test_a_size_is_met_wherever_it_is_asked_for(scene: Scene) -> None:
    for kind in KINDS:
        found = planted(scene, kind, size=60, seed=4)
        x0, _, x1, _ = found.box
        assert 40 <= x1 - x0 <= 60 + 2 * 4  # soft at the edge, and off the text


def test_no_text_no_texture_no_edge_no_place() -> None:
    flat = np.full((192, 192, 3), 90, np.uint8)
    for kind in ("text", "texture", "boundary"):
        assert plant(Scene(flat, flat, flat), kind) is None


def test_phases_keep_local_mean_and_variance(scene: Scene) -> None:
    found = planted(scene, "texture", strength=1, mechanism="phases")
    before, after = luma(scene.neural), luma(found.image)
    inside = found.mask > 0.999
    detail = (before - blurred(before, 5))[inside].std()
    assert np.abs(blurred(after, 8) - blurred(before, 8))[inside].mean() < 0.3 * detail
    ratio = (after - blurred(after, 5))[inside].std() / detail
    assert 0.6 < ratio < 1.4
    assert np.corrcoef(after[inside], before[inside])[0, 1] < 0.9


def test_texture_and_boundary_stay_off_the_text(scene: Scene) -> None:
    x0, y0, x1, y1 = scene.texts[0].box
    for kind in ("texture", "boundary"):
        for seed in range(10):
            assert planted(scene, kind, seed=seed).mask[y0:y1, x0:x1].max() == 0


def test_bend_moves_edges_by_what_the_strength_says() -> None:
    ramp = np.repeat(np.linspace(20, 220, 192)[None, :, None], 192, 0).repeat(3, 2)
    step = np.where(np.arange(192) < 96, 40, 200)[None, :, None]
    picture = (ramp * 0.1 + step * 0.9 + np.zeros((192, 192, 3))).astype(np.uint8)
    found = planted(Scene(picture, picture, picture), "boundary", strength=1, mechanism="bend")
    rows = np.abs(np.diff(luma(found.image), axis=1)).argmax(axis=1)
    assert 1 <= np.abs(rows - 95).max() <= 4


def test_wrong_arguments_are_named(scene: Scene) -> None:
    fails(DataError, r"kind of artifact.*'textur'", plant, scene, "textur")
    fails(DataError, r"from 0 to 1, got 1\.5", plant, scene, "texture", strength=1.5)
    fails(DataError, "mechanism of texture", plant, scene, "texture", mechanism="bend")


def test_lettering_stands_in_its_zone_in_many_looks() -> None:
    image = np.ascontiguousarray(photo("rocket")[:200, :300])
    looks = set()
    for seed in range(20):
        done = with_text(image, (30, 20, 270, 180), np.random.default_rng(seed))
        assert done is not None
        lettered, place = done
        x0, y0, x1, y1 = place.box
        assert 30 <= x0 < x1 <= 270 and 20 <= y0 < y1 <= 180 and 10 <= place.height <= 40
        assert (lettered != image).any(axis=2)[y0:y1, x0:x1].mean() > 0.1
        looks.add(round(place.height))
    assert len(looks) > 8


def test_too_small_a_zone_gets_no_text() -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    assert with_text(image, (0, 0, 12, 6), np.random.default_rng(0)) is None
