"""DeLong's test against its definition and a published data set, Holm against its paper's rule."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, norm, rankdata

from nacd_bench.evaluation.balanced import SIDES, BalancedSet
from nacd_bench.evaluation.bootstrap import Clusters, Resampling
from nacd_bench.evaluation.comparison import compare
from nacd_bench.evaluation.delong import delong_covariance as covariance_of
from nacd_bench.evaluation.delong import paired_test
from nacd_bench.evaluation.significance import holm, holm_corrected
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.record import TripletRecord

pytestmark = pytest.mark.numeric


def delong_covariance(
    truth: object, scores: object, names: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    positive = np.asarray(truth, bool)
    values = np.atleast_2d(np.asarray(scores, float))
    return covariance_of(positive, values, Clusters(positive, names))


# DeLong, DeLong and Clarke-Pearson 1988: 43 ovarian cancer patients with all three tests (albumin,
# total protein, 10 - K-G score), as reprinted in the SAS/STAT user's guide, PROC LOGISTIC, example
# "Comparing Receiver Operating Characteristic Curves"; the last column is 0 for the event.
PATIENTS = np.fromstring(
    """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6 5 1   3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0 4 1   3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7 8 0   4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1 5 1   2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2 5 1   2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
    """,
    sep=" ",
).reshape(-1, 4)
EVENT = PATIENTS[:, 3] == 0
ALBUMIN, PROTEIN, KG = -PATIENTS[:, 0], -PATIENTS[:, 1], PATIENTS[:, 2]


def by_definition(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's equations, pair by pair in O(m n): placements, their covariances, over m and n."""
    of_positives, of_negatives = [], []
    for row in scores:
        psi = [[(p > n) + (p == n) / 2 for n in row[~truth]] for p in row[truth]]
        of_positives.append([sum(each) / len(each) for each in psi])
        of_negatives.append([sum(each) / len(each) for each in zip(*psi, strict=True)])
    a, b = np.atleast_2d(np.cov(of_positives)), np.atleast_2d(np.cov(of_negatives))
    return np.mean(of_positives, axis=1), a / truth.sum() + b / (~truth).sum()


def by_obuchowski(truth: np.ndarray, scores: np.ndarray, names: list[str]) -> float:
    """The variance of one AUC with clusters, as in Obuchowski 1997, cluster by cluster."""
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    psi = np.array(
        [
            [(scores[p] > scores[n]) + (scores[p] == scores[n]) / 2 for n in negatives]
            for p in positives
        ]
    )
    m, n, area = len(positives), len(negatives), psi.mean()
    v10 = dict(zip(positives, psi.mean(axis=1), strict=True))
    v01 = dict(zip(negatives, psi.mean(axis=0), strict=True))
    s10 = s01 = s11 = 0.0
    with_positive, with_negative = set(), set()
    for name in set(names):
        members = [i for i, each in enumerate(names) if each == name]
        a = sum(v10[i] - area for i in members if truth[i])
        b = sum(v01[i] - area for i in members if not truth[i])
        with_positive |= {name for i in members if truth[i]}
        with_negative |= {name for i in members if not truth[i]}
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01, i = len(with_positive), len(with_negative), len(set(names))
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    return s10 / m + s01 / n + 2 * s11 * i / (i - 1) / (m * n)


class TestCovariance:
    @pytest.mark.parametrize("decimals", [8, 1, 0])
    def test_equals_the_definition(self, decimals: int) -> None:
        rng = np.random.default_rng(decimals)
        truth = rng.random(70) < 0.35
        scores = (rng.normal(size=(4, 70)) + rng.normal(size=70) + truth).round(decimals)
        aucs, covariance = delong_covariance(truth, scores)
        expected = by_definition(truth, scores)
        assert aucs == pytest.approx(expected[0], abs=1e-12)
        assert covariance == pytest.approx(expected[1], abs=1e-12)

    def test_published_data(self) -> None:
        """To four decimals, computed by the definition above."""
        aucs, covariance = delong_covariance(EVENT, [ALBUMIN, KG, PROTEIN])
        assert aucs.round(4).tolist() == [0.7366, 0.7258, 0.6478]
        assert np.sqrt(np.diag(covariance)).round(4).tolist() == [0.0927, 0.1028, 0.1000]

    @pytest.mark.parametrize("decimals", [8, 0])
    def test_clusters_equal_obuchowski(self, decimals: int) -> None:
        rng = np.random.default_rng(decimals)
        names = [str(each) for each in rng.integers(0, 25, 60)]
        truth = rng.random(60) < 0.5
        scores = (rng.normal(size=60) + truth).round(decimals)
        _, covariance = delong_covariance(truth, scores, names)
        assert covariance[0, 0] == pytest.approx(by_obuchowski(truth, scores, names), abs=1e-12)

    def test_copies_in_a_cluster_add_nothing(self) -> None:
        names = [str(i) for i in range(len(EVENT)) for _ in range(4)]
        _, once = delong_covariance(EVENT, [ALBUMIN, KG])
        _, four = delong_covariance(np.repeat(EVENT, 4), np.repeat([ALBUMIN, KG], 4, axis=1), names)
        assert four == pytest.approx(once, abs=1e-12)

    def test_one_source_on_a_side(self) -> None:
        aucs, covariance = delong_covariance([1, 0, 0, 0], [[1, 2, 3, 4]])
        assert aucs.tolist() == [0] and np.isnan(covariance).all()


class TestPairedTest:
    @pytest.mark.parametrize(
        ("scores", "difference", "error", "chi_square", "p"),
        [
            (ALBUMIN, 0.0108, 0.0953, 0.0127, 0.9102),
            (PROTEIN, -0.0780, 0.1046, 0.5554, 0.4561),
        ],
        ids=["albumin", "protein"],
    )
    def test_published_data(
        self, scores: np.ndarray, difference: float, error: float, chi_square: float, p: float
    ) -> None:
        found = paired_test(EVENT, scores, KG)
        assert found.difference == pytest.approx(difference, abs=5e-5)
        assert found.standard_error == pytest.approx(error, abs=5e-5)
        assert found.z**2 == pytest.approx(chi_square, abs=6e-5)
        assert 2 * norm.sf(abs(found.z)) == pytest.approx(p, abs=6e-5)
        assert found.test == "permutation"  # 12 positives are few
        assert found.p == pytest.approx(p, abs=0.01)
        assert (found.n_positive, found.n_negative, found.n_excluded) == (12, 31, 0)

    def test_is_antisymmetric(self) -> None:
        ab, ba = paired_test(EVENT, ALBUMIN, KG), paired_test(EVENT, KG, ALBUMIN)
        assert ab.p == pytest.approx(ba.p) and ab.z == pytest.approx(-ba.z)

    def test_nan_of_either_is_left_out(self) -> None:
        first, second = ALBUMIN.copy(), KG.copy()
        first[3], second[7] = math.nan, math.nan
        kept = [i for i in range(len(EVENT)) if i not in (3, 7)]
        found = paired_test(EVENT, first, second)
        expected = paired_test(EVENT[kept], ALBUMIN[kept], KG[kept])
        assert found.n_excluded == 2
        assert (found.z, found.p) == (expected.z, expected.p)

    def test_the_same_scores_do_not_differ(self) -> None:
        found = paired_test(EVENT, KG, KG)
        assert (found.difference, found.z, found.p) == (0, 0, 1)

    def test_two_methods_without_fault(self) -> None:
        truth = [0, 0, 0, 1, 1, 1]
        assert paired_test(truth, [1, 2, 3, 4, 5, 6], [1, 1, 1, 9, 9, 9]).p == 1
        assert paired_test(truth, [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]).z == math.inf

    @pytest.mark.parametrize("seed", range(6))
    def test_of_few_images_p_is_that_of_all_exchanges(self, seed: int) -> None:
        """Every way to exchange the two methods' ranks of a source, one by one."""
        rng = np.random.default_rng(seed)
        truth = np.arange(9) < (1, 2, 3, 4, 5, 8)[seed]
        first, second = (rng.integers(0, 4, 9) + truth * (1 + seed % 3) for _ in range(2))
        names = [str(i // (1 + seed % 2)) for i in range(9)]
        ranks = np.stack([rankdata(first), rankdata(second)])
        sources = sorted(set(names))

        def area(values: np.ndarray) -> float:
            pairs = np.sign(np.subtract.outer(values[truth], values[~truth]))
            return float(pairs.mean() + 1) / 2

        observed = abs(area(ranks[0]) - area(ranks[1]))
        larger = 0
        for swaps in itertools.product((False, True), repeat=len(sources)):
            is_swapped = np.array([swaps[sources.index(name)] for name in names])
            a, b = np.where(is_swapped, ranks[::-1], ranks)
            larger += abs(area(a) - area(b)) >= observed - 1e-12
        found = paired_test(truth, first, second, names)
        assert found.test == "permutation"
        assert found.p == pytest.approx(larger / 2 ** len(sources), abs=1e-12)

    def test_six_and_six_are_no_proof(self) -> None:
        """DeLong's p is 9e-6 where the exact one cannot be below 2 / 2 ** 12."""
        truth = np.arange(12) < 6
        good = np.array([7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6])
        found = paired_test(truth, good, np.array([1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12]))
        assert 2 * norm.sf(found.z) < 0.002 and found.p >= 2 / 2**12
        assert found.low < found.difference < found.high

    def test_from_twenty_sources_a_side_on_it_is_delong(self) -> None:
        rng = np.random.default_rng(0)
        for count, test in ((19, "permutation"), (20, "delong")):
            truth = np.repeat([True, False], count)
            a, b = (rng.normal(size=2 * count) + truth for _ in range(2))
            assert paired_test(truth, a, b).test == test

    def test_the_reverse_of_a_perfect_method_has_a_p_value(self) -> None:
        truth = np.repeat([1, 0], 25)
        found = paired_test(truth, truth, 1 - truth)
        assert found.test == "permutation" and found.p == pytest.approx(2 / 2**50)
        same = paired_test(truth, truth, truth)
        assert same.p == 1 and same.low < 0 < same.high

    def test_p_is_uniform_where_methods_are_alike(self) -> None:
        rng = np.random.default_rng(1)
        truth = np.arange(100) < 50
        p = []
        for _ in range(400):
            shared = rng.normal(size=100) + truth
            a, b = (shared + rng.normal(size=100) / 2 for _ in range(2))
            p.append(paired_test(truth, a, b).p)
        assert kstest(p, "uniform").pvalue > 0.01


class TestAgainstBest:
    def test_the_best_baseline_is_the_rival(self) -> None:
        records = tuple(
            TripletRecord(
                str(i), "o", "n", "t", extra={"side": SIDES[1 - event], "cluster": f"{i}"}
            )
            for i, event in enumerate(EVENT)
        )
        sets = {"text": BalancedSet("text", records)}
        methods = {"albumin": ALBUMIN, "none": KG * math.nan, "protein": PROTEIN, "kg": KG}
        methods["dead"] = methods["none"]
        scores = {
            name: {str(i): Result(float(value)) for i, value in enumerate(values)}
            for name, values in methods.items()
        }
        detectors = {"albumin": "text", "none": "text"}
        fast = Resampling(20)
        compared = compare(sets, scores, detectors, ["protein", "kg", "dead"], resampling=fast)
        first, second = compared["text"].tests
        names = [record.id for record in records]
        test = paired_test(EVENT, ALBUMIN, KG, names, ("albumin", "kg"))
        assert first == replace(test, p_holm=test.p)
        assert second.second == "kg" and math.isnan(second.p) and second.n_excluded == 43
        assert not compare(sets, scores, detectors, ["dead"], resampling=fast)["text"].tests


class TestHolm:
    def test_by_hand(self) -> None:
        """Holm 1979: 4 x 0.005, 3 x 0.01, 2 x 0.03, then not below the one before."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_equals_its_rule(self) -> None:
        """Corrected p <= alpha for just those that the step-down procedure rejects."""
        rng = np.random.default_rng(0)
        for _ in range(50):
            p = rng.random(rng.integers(1, 9)) ** 3
            for alpha in (0.01, 0.05, 0.3):
                rejected = set()
                for step, i in enumerate(np.argsort(p)):
                    if p[i] > alpha / (len(p) - step):
                        break
                    rejected.add(int(i))
                assert set(np.flatnonzero(holm(p) <= alpha)) == rejected

    def test_nan_does_not_count(self) -> None:
        found = holm([0.02, math.nan, 0.01])
        assert found[[0, 2]].tolist() == [0.02, 0.02] and math.isnan(found[1])

    def test_of_tests(self) -> None:
        tests = {i: paired_test(EVENT, each, KG) for i, each in enumerate((ALBUMIN, PROTEIN))}
        corrected = holm_corrected(tests)
        assert corrected[1].p_holm == pytest.approx(2 * tests[1].p)
        assert [each.p for each in corrected.values()] == [each.p for each in tests.values()]
        assert holm_corrected({}) == {}
