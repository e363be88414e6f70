"""How numbers are written, in Python and in the pages' own script."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from nacd_bench import numbers
from nacd_bench.evaluation.significance import sign_flip_p
from nacd_bench.report.page import SITE, safe_json

VALUES = [0.0, 1.0, 10.0, 100.0, 1200.0, 120000.0, 1.5e-10, -2.0e-7, 1e21, 0.1, 0.123456, 98765.4]


def written(text: str) -> list[float]:
    """The numbers of ``value [low, high]``."""
    return [float(each) for each in text.translate(str.maketrans("[],", "   ")).split()]


class TestEstimate:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ((0.9962, 0.9951, 0.9990), "0.996 [0.995, 0.999]"),
            ((0.61, 0.4951, 0.7), "0.610 [0.495, 0.700]"),
            ((1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
            ((0.9998, 0.9996, 1.0), "0.9998 [0.9996, 1.0000]"),
            ((0.99996, 0.9, 1.0), "0.99996 [0.90000, 1.00000]"),
            ((0.5, 0.1 + 0.2, 0.7), "0.500 [0.300, 0.700]"),
            ((0.25, 1e-7, 0.994), "0.250 [0.000, 0.994]"),
            ((float("nan"),) * 3, "-"),
            ((None, None, None), "-"),
            ((0.5, float("nan"), float("nan")), "0.500 [-, -]"),
        ],
    )
    def test_by_hand(self, given: tuple[float, float, float], text: str) -> None:
        assert numbers.estimate(*given) == text

    @pytest.mark.parametrize("decimals", [3, None])
    @pytest.mark.parametrize("scale", [1.0, 1e-4, 1e5])
    def test_an_interval_never_shrinks_nor_crosses(
        self, scale: float, decimals: int | None
    ) -> None:
        rng = np.random.default_rng(0)
        for low, value, high in np.sort(rng.normal(size=(300, 3)) ** 3, axis=1) * scale:
            given = {"decimals": decimals, "is_difference": True}
            shown = written(numbers.estimate(value, low, high, **given))
            assert shown[1] <= low + 1e-12 and shown[2] >= high - 1e-12
            assert shown[1] <= shown[0] <= shown[2]
            if low > 1e-11 or high < -1e-11:  # what excludes 0 is seen to
                assert shown[1] > 0 or shown[2] < 0
            # two units of the last place at most on either side are added
            assert (shown[2] - shown[1]) <= 3 * (high - low)

    def test_no_interval_of_width_reads_as_a_point(self) -> None:
        for width in (1e-3, 1e-5, 1e-7):
            shown = written(numbers.estimate(1 - width, 1 - 2 * width, 1.0))
            assert shown[1] < shown[0] < shown[2]


class TestSmall:
    @pytest.mark.parametrize("value", VALUES)
    def test_a_number_keeps_its_digits(self, value: float) -> None:
        assert float(numbers.number(value)) == float(f"{value:.4g}")

    @pytest.mark.parametrize("level", numbers.SIGNIFICANCE)
    def test_p_stays_on_its_side_of_a_level(self, level: float) -> None:
        for p in (level * (1 + sign * step) for sign in (-1, 1) for step in (1e-2, 1e-5, 1e-9)):
            assert (float(numbers.p_value(p)) < level) == (p < level)
            assert (float(numbers.p_value(p)) > level) == (p > level)

    def test_a_share_is_whole_only_where_it_is(self) -> None:
        for value in (0.0004, 0.99951, 1 - 1e-8, 1e-9):
            assert 0 < float(numbers.share(value)) < 1
            assert 0 < float(numbers.percent(value).rstrip(" %")) < 100
        assert (numbers.share(1.0), numbers.percent(0.0)) == ("1.000", "0 %")


class TestPages:
    @pytest.fixture(scope="class")
    def node(self) -> str:
        node = shutil.which("node")
        if node is None:
            pytest.skip("the pages' script is run by node, which is not installed")
        return node

    def run(self, node: str, data: object, expression: str) -> object:
        """What the pages' own script makes of data, as the pages get them."""
        script = (SITE / "page.js").read_text("utf-8")
        document = "globalThis.document = { querySelector: () => new EventTarget() };"
        result = f"const D = {safe_json(data)};\nconsole.log(JSON.stringify({expression}))"
        code = f"{document}\n{script}\n{result}"
        done = subprocess.run([node, "-e", code], capture_output=True, check=True, timeout=600)
        return json.loads(done.stdout)

    def test_numbers_are_those_of_python(self, node: str) -> None:
        shown = self.run(node, [*VALUES, None], "D.map(number)")
        assert isinstance(shown, list) and shown[-1] == "-"
        for text, value in zip(shown[:-1], VALUES, strict=True):
            assert float(text) == float(numbers.number(value)), text
        assert shown[4] == "1200" and shown[6] == "1.5e-10"

    def test_shares_are_those_of_python(self, node: str) -> None:
        values = [0.0, 1.0, 0.5, 0.99951, 0.0004, 1 / 3, 1 - 1e-8, None]
        assert self.run(node, values, "D.map(share)") == [numbers.share(each) for each in values]

    def test_infinite_scores_reach_the_page(self, node: str) -> None:
        """Written as null they were left out of the counts."""
        infinite = [float("-inf"), float("nan"), 0.5]
        assert self.run(node, infinite, "D.map((x) => x === null ? 0 : x > -1e300 ? 1 : 2)") == [
            *(2, 0, 1)
        ]
        assert self.run(node, infinite, "[yamlNumber(D[0]), yamlNumber(D[2])]") == ["-.inf", "0.5"]

    def test_no_page_has_a_way_of_its_own(self) -> None:
        for path in SITE.glob("*.js"):
            if path.name != "page.js":
                assert "toPrecision" not in path.read_text("utf-8")


class TestSignFlips:
    @pytest.mark.parametrize("seed", range(5))
    def test_every_sign_by_hand(self, seed: int) -> None:
        values = np.random.default_rng(seed).integers(-6, 7, 10)
        signs = 1 - 2 * ((np.arange(2**10)[:, None] >> np.arange(10)) & 1)
        share = np.mean(np.abs(signs @ values) >= abs(values.sum()))
        assert sign_flip_p(values) == pytest.approx(share, abs=1e-12)

    def test_the_approximations_agree_with_the_exact_value(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(1)
        even = np.arange(1, 301) * np.where(rng.random(300) < 0.56, 1, -1)
        uneven = np.r_[np.arange(200, 210), rng.choice([-1, 1], 50)]
        exact = [sign_flip_p(each) for each in (even, uneven)]
        monkeypatch.setattr("nacd_bench.evaluation.significance.MOST_STEPS", 0)
        # relative error of the normal tail; standard error of 100,000 random signs
        assert sign_flip_p(even) == pytest.approx(exact[0], rel=0.05)
        spread = (exact[1] / 1e5) ** 0.5
        assert sign_flip_p(uneven) == pytest.approx(exact[1], abs=5 * spread + 1e-5)
