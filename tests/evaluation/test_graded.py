"""Agreement with graded severities: independent references, and answers known beforehand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.graded import (
    Targets,
    calibration,
    centres,
    concordance,
    ordinal_alpha,
    pointing,
    positives,
    rank_test,
    spearman,
)

QUICK = Resampling(resamples=200)
RNG = np.random.default_rng(7)
NAN = math.nan


def severities(n: int, seed: int = 0) -> np.ndarray:
    """``(n, 3)``: a severity with errors of each rater, 0 to 3."""
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(rng.uniform(0, 3, n)[:, None] + rng.normal(0, 0.5, (n, 3))), 0, 3)


def photographs(n: int) -> list[str]:
    return [f"p{i // 2}" for i in range(n)]


class TestSpearman:
    def test_equals_scipy_over_the_three_choices_of_two(self) -> None:
        severity, scores = severities(60), RNG.normal(size=60)
        scores[::5] = 0  # ties
        of = Targets(severity, photographs(60))
        pairs = ((1, 2), (0, 2), (0, 1))
        expected = np.mean(
            [spearmanr(scores, severity[:, pair].mean(axis=1)).statistic for pair in pairs]
        )
        assert spearman(of, scores, QUICK).value == pytest.approx(expected, abs=1e-12)
        one_rater = np.mean(
            [
                spearmanr(severity[:, left], severity[:, pair].mean(axis=1)).statistic
                for left, pair in enumerate(pairs)
            ]
        )
        assert spearman(of, of.ratings, QUICK).value == pytest.approx(one_rater, abs=1e-12)

    def test_weights_are_repetitions(self) -> None:
        """A resample of weights 2, 0, 1 is the data with rows twice, not at all, once."""
        severity, scores = severities(12), RNG.normal(size=12)
        times = RNG.integers(0, 3, 12)
        from nacd_bench.evaluation.graded import spearman_statistic

        of = Targets(severity, photographs(12))
        weighted = spearman_statistic(of.values, of.valid, scores[None])(times[None].astype(float))
        rows = np.repeat(np.arange(12), times)
        repeated = spearman(Targets(severity[rows], photographs(len(rows))), scores[rows], QUICK)
        assert weighted[0] == pytest.approx(repeated.value, abs=1e-12)

    def test_the_raters_mean_is_ahead_of_one_rater_and_chance_shows_nothing(self) -> None:
        severity = severities(200)
        of = Targets(severity, photographs(200))
        mean = spearman(of, severity.mean(axis=1), QUICK)
        rater = spearman(of, of.ratings, QUICK)
        chance = spearman(of, RNG.normal(size=200), QUICK)
        assert mean.value > rater.value > 0.7
        assert chance.low < 0 < chance.high
        assert (rater.n, rater.n_clusters) == (200, 100)

    def test_a_method_that_names_the_codec_has_no_order(self) -> None:
        of = Targets(severities(40), photographs(40))
        estimate = spearman(of, np.ones(40), QUICK)
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
        assert concordance(of, np.ones(40), QUICK).value == 0.5

    def test_few_ratings_and_missing_scores_are_left_out(self) -> None:
        severity, scores = severities(30), RNG.normal(size=30)
        severity[3, 1] = NAN
        scores[5] = NAN
        kept = [i for i in range(30) if i not in (3, 5)]
        names = photographs(30)
        all_of = spearman(Targets(severity, names), scores, QUICK)
        part = Targets(severity[kept], [names[i] for i in kept])
        assert all_of == spearman(part, scores[kept], QUICK)
        assert all_of.n == 28

    def test_the_interval_widens_with_photographs_that_repeat(self) -> None:
        severity, scores = np.repeat(severities(20), 6, axis=0), np.repeat(RNG.normal(size=20), 6)
        together = spearman(Targets(severity, [f"p{i // 6}" for i in range(120)]), scores, QUICK)
        apart = spearman(Targets(severity, [f"p{i}" for i in range(120)]), scores, QUICK)
        assert together.high - together.low > 1.5 * (apart.high - apart.low)

    def test_the_interval_holds_the_truth_as_often_as_it_says(self) -> None:
        def drawn(n: int, seed: int) -> tuple[Targets, np.ndarray]:
            rng = np.random.default_rng(seed)
            shared = np.repeat(rng.normal(0, 0.7, n // 2), 2)  # by a photograph
            true = shared + rng.normal(0, 0.7, n)
            severity = np.clip(np.rint(1.5 + true[:, None] + rng.normal(0, 0.5, (n, 3))), 0, 3)
            scores = true + np.repeat(rng.normal(0, 0.7, n // 2), 2)
            return Targets(severity, photographs(n)), scores

        truth = spearman(*drawn(2000, 0), Resampling(resamples=1)).value
        held = 0
        for seed in range(1, 81):
            estimate = spearman(*drawn(60, seed), QUICK)
            held += estimate.low <= truth <= estimate.high
        assert 0.88 <= held / 80 <= 1

    @pytest.mark.parametrize(
        ("severity", "fault"),
        [
            ([[1.0], [2.0]], "a single rater: no comparison"),
            ([[1.0, 2.0], [2.0, 0.0]], "two raters: no comparison"),
            ([[1.0, 1.0, 1.0]] * 4, "all grades are equal: no correlation"),
            ([[1.0, 2.0, NAN]] * 4, "no side has 3 ratings"),
            ([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], ""),
        ],
    )
    def test_what_cannot_be_compared_is_said(self, severity: list[list[float]], fault: str) -> None:
        of = Targets(severity, photographs(len(severity)))
        assert of.fault.startswith(fault)
        assert bool(of.fault) == bool(fault)
        if fault:
            assert math.isnan(spearman(of, np.arange(len(severity)), QUICK).value)


class TestConcordance:
    def test_counts_pairs(self) -> None:
        severity, scores = severities(25), np.rint(RNG.normal(size=25))
        shares = []
        for pair in ((1, 2), (0, 2), (0, 1)):
            target = severity[:, pair].mean(axis=1)
            right = total = 0.0
            for i, j in itertools.combinations(range(25), 2):
                if target[i] != target[j]:
                    sign = np.sign(target[i] - target[j]) * np.sign(scores[i] - scores[j])
                    right += (1 + sign) / 2
                    total += 1
            shares.append(right / total)
        of = Targets(severity, photographs(25))
        assert concordance(of, scores, QUICK).value == pytest.approx(np.mean(shares), abs=1e-12)


class TestPointing:
    def test_a_point_in_a_box_of_one_of_the_two(self) -> None:
        severity = [[2, 2, 2], [3, 1, 0], [0, 0, 0]]
        boxes = np.full((3, 3, 4), NAN)
        boxes[0] = [[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]]
        boxes[1, :2] = [[0, 0, 10, 10], [40, 40, 50, 50]]
        of = Targets(severity, ["a", "b", "c"])
        # without the first rater the others' mean is 2 and 0.5, without the second 2 and 1.5 (one
        # drew nothing), without the third 2 and 2
        assert pointing(of, boxes, [[5, 5], [45, 45], [NAN, NAN]], QUICK).value == 1
        assert pointing(of, boxes, [[25, 25], [5, 5], [0, 0]], QUICK).value == pytest.approx(
            (1 + 1 + 0.5) / 3
        )
        assert pointing(of, boxes, np.full((3, 2), NAN), QUICK).value == 0
        rater = pointing(of, boxes, centres(boxes).transpose(1, 0, 2), QUICK)
        assert rater.value == pytest.approx((1 + 1 + 0) / 3)

    def test_nothing_graded_as_clear(self) -> None:
        of = Targets([[0, 1, 0], [1, 0, 0]], ["a", "b"])
        assert math.isnan(pointing(of, np.full((2, 3, 4), NAN), np.zeros((2, 2)), QUICK).value)

    def test_a_border_is_half_open(self) -> None:
        boxes = np.full((1, 3, 4), [0, 0, 10, 10])
        of = Targets([[2, 2, 2]], ["a"])
        assert pointing(of, boxes, [[0, 0]], QUICK).value == 1
        assert pointing(of, boxes, [[10, 5]], QUICK).value == 0


class TestAlpha:
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C: 4 observers,
    # 12 units; ordinal 0.815 (section D)
    PUBLISHED = (
        (1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3),
        (NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN),
    )

    def test_the_published_value(self) -> None:
        assert ordinal_alpha(np.array(self.PUBLISHED).T) == pytest.approx(0.815, abs=5e-4)

    def test_equals_its_definition_pair_by_pair(self) -> None:
        severity = severities(20)
        severity[RNG.random((20, 3)) < 0.2] = NAN
        units = [[v for v in row if not math.isnan(v)] for row in severity]
        units = [unit for unit in units if len(unit) > 1]
        values = [value for unit in units for value in unit]
        count = {v: values.count(v) for v in set(values)}

        def distance(a: float, b: float) -> float:
            low, high = sorted((a, b))
            between = sum(n for v, n in count.items() if low <= v <= high)
            return (between - (count[a] + count[b]) / 2) ** 2

        observed = sum(
            distance(a, b) / (len(unit) - 1)
            for unit in units
            for a, b in itertools.permutations(unit, 2)
        ) / len(values)
        expected = sum(distance(a, b) for a, b in itertools.permutations(values, 2))
        expected /= len(values) * (len(values) - 1)
        assert ordinal_alpha(severity) == pytest.approx(1 - observed / expected, abs=1e-12)

    def test_undefined(self) -> None:
        assert ordinal_alpha([[1, 1, 1], [1, 1, 1]]) is None
        assert ordinal_alpha([[1], [2]]) is None
        assert ordinal_alpha(np.full((2, 3), NAN)) is None


class TestPositives:
    def test_two_of_three_and_one_at_most(self) -> None:
        given = [[2, 2, 0], [3, 1, 1], [0, 1, 0], [1, 1, 0], [0, 0, NAN], [NAN] * 3]
        assert positives(given).tolist() == pytest.approx([1, NAN, 0, NAN, NAN, NAN], nan_ok=True)


class TestRankTest:
    def test_a_better_method_is_told_from_chance(self) -> None:
        severity = severities(120)
        of = Targets(severity, photographs(120))
        mean, chance = severity.mean(axis=1) + RNG.normal(0, 0.3, 120), RNG.normal(size=120)
        test = rank_test(of, ("mean", "chance"), (mean, chance), Resampling(resamples=999))
        assert test.p == 0.001
        assert test.low > 0.3
        other = rank_test(of, ("chance", "mean"), (chance, mean), Resampling(resamples=999))
        assert other.p == test.p
        assert other.difference == pytest.approx(-test.difference)
        assert rank_test(of, ("a", "b"), (mean, mean), QUICK).p == 1

    def test_chance_is_not_called_better(self) -> None:
        """Of two methods that are as good, one test in twenty has p under 0.05."""
        small = 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            severity = severities(40, seed)
            one, other = (severity.mean(axis=1) + rng.normal(0, 1, 40) for _ in range(2))
            test = rank_test(
                Targets(severity, photographs(40)), ("a", "b"), (one, other), Resampling(99)
            )
            small += test.p <= 0.05
        assert small <= 12

    def test_without_common_scores(self) -> None:
        of = Targets(severities(4), photographs(4))
        test = rank_test(of, ("a", "b"), ([1, NAN, NAN, NAN], [NAN, 1, 2, 3]), QUICK)
        assert math.isnan(test.p)
        assert test.n == 0


class TestCalibration:
    def test_the_raters_mean_is_calibrated(self) -> None:
        severity = severities(80)
        of = Targets(severity, photographs(80))
        found = calibration(of, severity.mean(axis=1))
        assert found["slope"] == pytest.approx(1)
        assert found["predicted"] == found["graded"] > 0
        assert found["precision"] == found["recall"] == 1
        assert found["mean_error"] < found["rater_error"]
        assert calibration(of, 2 * severity.mean(axis=1))["slope"] == pytest.approx(0.5)

    def test_nothing_predicted(self) -> None:
        of = Targets([[2, 2, 2], [0, 0, 0]], ["a", "b"])
        found = calibration(of, [0.5, 0.5])
        assert math.isnan(found["precision"])
        assert math.isnan(found["slope"])
        assert found["recall"] == 0
        assert calibration(of, [NAN, NAN]) == {}
