"""AUC against libraries, and its interval against what an interval promises."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from checks import fails
from scipy.stats import bootstrap, norm
from sklearn.metrics import auc as trapezoids
from sklearn.metrics import average_precision_score, roc_auc_score

from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.auc import AUC, ThresholdCurve, auc_estimates, weighted_auc
from nacd_bench.evaluation.bootstrap import Clusters, Resampling, estimate

FAST = Resampling(resamples=500)


def auc_estimate(
    truth: object,
    scores: object,
    clusters: list[str] | None = None,
    resampling: Resampling = Resampling(1),  # noqa: B008 - frozen
) -> AUC:
    return auc_estimates(truth, {"": scores}, clusters, resampling)[""]  # type: ignore[arg-type, dict-item]


def auc(truth: object, scores: object) -> float:
    return auc_estimate(truth, scores).value


def drawn(seed: int, n: int = 100, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores of an AUC around 0.75, with ties where rounded."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    scores = rng.normal(size=n) + truth
    return truth, scores if decimals is None else scores.round(decimals)


@pytest.mark.numeric
class TestValue:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
    def test_equals_scikit_learn(self, decimals: int | None, scale: float) -> None:
        for seed in range(5):
            truth, scores = drawn(seed, 30 + 50 * seed, decimals)
            assert auc(truth, scores * scale) == pytest.approx(
                roc_auc_score(truth, scores * scale), abs=1e-9
            )

    def test_infinite_scores_have_a_rank(self) -> None:
        assert auc([0, 0, 1, 1], [-math.inf, 1, 2, math.inf]) == 1

    def test_is_mirrored_by_the_sign(self) -> None:
        truth, scores = drawn(4, decimals=1)
        assert auc(truth, -scores) == pytest.approx(1 - auc(truth, scores), abs=1e-12)


class TestBadInput:
    @pytest.mark.parametrize("truth", [[1, 1, 1], [0, 0, 0]])
    def test_one_class_only(self, truth: list[int]) -> None:
        with pytest.raises(DataError, match=r"with and without the artifact, got (3|0) with"):
            auc_estimate(truth, [1, 2, 3])

    def test_one_class_only_after_nan(self) -> None:
        with pytest.raises(DataError, match="2 excluded for a score of NaN"):
            ThresholdCurve([0, 0, 1, 1], [1, 2, math.nan, math.nan])

    def test_other_shapes(self) -> None:
        fails(ValueError, r"Got shapes \(2,\) and \(3,\)", auc, [0, 1], [1, 2, 3])

    def test_truth_that_is_no_truth(self) -> None:
        fails(ValueError, "True and False", auc, [0, 2], [1, 2])

    def test_clusters_of_another_length(self) -> None:
        fails(ValueError, "as many clusters", auc_estimate, [0, 1], [1, 2], ["a"])

    def test_resampling(self) -> None:
        fails(
            UserError, "resamples as a whole number of at least 1, got 0", Resampling, resamples=0
        )

    def test_nan_is_left_out_of_its_method_and_counted(self) -> None:
        truth, scores = drawn(0)
        broken = scores.copy()
        broken[:10] = math.nan
        found = auc_estimates(
            truth, {"whole": scores, "broken": broken, "dead": scores * math.nan}, None, FAST
        )
        assert found["whole"].n_excluded == 0
        assert found["whole"] == auc_estimate(truth, scores, None, FAST)
        assert found["broken"].n_excluded == 10
        assert found["broken"].value == pytest.approx(roc_auc_score(truth[10:], scores[10:]))
        assert found["broken"].n_positive + found["broken"].n_negative == 90
        assert math.isnan(found["dead"].value) and found["dead"].n_excluded == 100

    def test_one_class_in_the_set_is_an_error_for_all_methods(self) -> None:
        fails(DataError, "0 with and 3 without", auc_estimates, [0, 0, 0], {"a": [1, 2, 3]})


@pytest.mark.numeric
class TestResampling:
    @pytest.mark.parametrize("decimals", [None, 0])
    def test_a_weighted_row_is_a_repeated_row(self, decimals: int | None) -> None:
        truth, scores = drawn(1, 60, decimals)
        weights = np.random.default_rng(0).integers(0, 4, (20, 60)).astype(float)
        theirs = [
            roc_auc_score(np.repeat(truth, w.astype(int)), np.repeat(scores, w.astype(int)))
            for w in weights
        ]
        assert weighted_auc(truth, scores)(weights) == pytest.approx(theirs, abs=1e-12)

    def test_sides_keep_their_size_and_clusters_stay_whole(self) -> None:
        truth = [1, 1, 1, 0, 0, 0, 0]
        names = ["a", "a", "b", "c", "d", "e", "e"]
        (weights,) = Clusters(truth, names).resampled(Resampling(200))
        assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 5] == weights[:, 6]).all()
        assert (weights[:, 0] + weights[:, 2] == 2).all()
        assert (weights[:, 3:6].sum(axis=1) == 3).all()

    def test_a_source_on_both_sides_moves_as_one(self) -> None:
        clusters = Clusters([1, 0, 1, 0, 1, 0], ["a", "a", "b", "b", "c", "d"])
        (weights,) = clusters.resampled(Resampling(100))
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 0] + weights[:, 2] == 2).all()

    def test_what_is_left_out_is_made_up_for_in_its_stratum(self) -> None:
        sizes, weights = zip(*Clusters([1, 1, 1, 0, 0]).left_out(), strict=True)
        assert sizes == (3, 2)
        assert np.concatenate(weights).tolist() == [
            *([0, 1.5, 1.5, 1, 1], [1.5, 0, 1.5, 1, 1], [1.5, 1.5, 0, 1, 1]),
            *([1, 1, 1, 0, 2], [1, 1, 1, 2, 0]),
        ]

    def test_the_interval_of_the_same_resamples_is_that_of_scipy(self) -> None:
        """BCa of a mean that one resample in twenty repeats: a tie counts as half below."""
        values = np.repeat([0.0, 1.0, 40.0], [14, 14, 2])
        clusters = Clusters(values * 0)

        def mean(weights: np.ndarray) -> np.ndarray:
            return weights @ values / weights.sum(axis=1)

        drawn = np.concatenate([mean(weights) for weights in clusters.resampled(FAST)])
        theirs = bootstrap(
            *([values], np.mean),
            n_resamples=0,
            bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
        ).confidence_interval
        found = estimate(mean, clusters, FAST)
        assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=1e-9)

    def test_chunks_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        truth, scores = drawn(5)
        monkeypatch.setattr("nacd_bench.evaluation.bootstrap.CHUNK", 1000)
        assert len(list(Clusters(truth).resampled(Resampling(25)))) == 3
        assert 0.5 < auc_estimate(truth, scores, None, FAST).low < 0.8

    def test_the_seed_decides(self) -> None:
        truth, scores = drawn(6)
        first = auc_estimate(truth, scores, None, FAST)
        assert first == auc_estimate(truth, scores, None, FAST)
        assert first != auc_estimate(truth, scores, None, Resampling(500, seed=1))

    def test_the_order_of_rows_does_not_show(self) -> None:
        truth, scores = drawn(7)
        names = [f"s{i // 2}" for i in range(100)]
        order = np.random.default_rng(0).permutation(100)
        shuffled = auc_estimate(truth[order], scores[order], [names[i] for i in order], FAST)
        expected = auc_estimate(truth, scores, names, FAST)
        assert dataclasses.astuple(shuffled) == pytest.approx(dataclasses.astuple(expected))

    def test_copies_in_a_cluster_add_nothing(self) -> None:
        """Each image five times: with clusters the interval stays, without it shrinks."""
        truth, scores = drawn(8)
        names = [str(i) for i in range(100)]
        once = auc_estimate(truth, scores, names, FAST)
        five = [np.repeat(each, 5) for each in (truth, scores, np.array(names))]
        clustered = auc_estimate(five[0], five[1], list(five[2]), FAST)
        alone = auc_estimate(five[0], five[1], None, FAST)
        assert clustered.low == pytest.approx(once.low, abs=1e-12)
        assert clustered.high == pytest.approx(once.high, abs=1e-12)
        assert clustered.n_clusters == 100
        assert alone.high - alone.low < 0.6 * (once.high - once.low)

    @pytest.mark.parametrize(("positives", "negatives"), [(1, 50), (2, 2), (50, 50)])
    def test_without_a_fault_the_interval_is_that_of_so_many_hits(
        self, positives: int, negatives: int
    ) -> None:
        """Clopper and Pearson's for k of k is (2.5 %) ** (1 / k), by its definition."""
        truth = [1] * positives + [0] * negatives
        found = auc_estimate(truth, truth, None, FAST)
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(0.025 ** (1 / min(positives, negatives)))
        worst = auc_estimate(truth, [-each for each in truth], None, FAST)
        assert (worst.low, worst.high) == pytest.approx((0, 1 - found.low))

    def test_the_interval_of_few_is_exact(self) -> None:
        """0.7 of 10 by a table of Clopper and Pearson's limits: 0.348 to 0.933."""
        truth = np.arange(40) < 10
        scores = np.where(truth, np.where(np.arange(40) < 7, 2, 0), 1)
        found = auc_estimate(truth, scores, None, FAST)
        assert found.value == pytest.approx(0.7) and found.sources == 10
        assert (found.low, found.high) == pytest.approx((0.3475, 0.9333), abs=1e-4)

    def test_one_large_source_is_not_many(self) -> None:
        names = ["a"] * 40 + [f"b{i}" for i in range(20)] + [f"c{i}" for i in range(60)]
        truth = [1] * 60 + [0] * 60
        found = auc_estimate(truth, truth, names, FAST)
        assert found.sources == pytest.approx(60**2 / (40**2 + 20))
        assert found.low < 0.2

    def test_nothing_to_estimate(self) -> None:
        assert math.isnan(estimate(lambda w: w.sum(axis=1), Clusters([])).value)


@pytest.mark.parametrize("true_auc", [0.7, 0.9])
def test_the_interval_holds_the_truth_as_often_as_it_says(true_auc: float) -> None:
    """Small and seeded; ``benchmarks/evaluation.py`` has the large simulation.

    800 sets of 50 + 50 normal scores; the standard error of the coverage is 0.8 %.
    """
    rng = np.random.default_rng(2)
    truth = np.arange(100) < 50
    shift = norm.ppf(true_auc) * math.sqrt(2)
    hits = 0
    for seed in range(800):
        found = auc_estimate(
            truth, rng.normal(size=100) + shift * truth, None, Resampling(300, seed=seed)
        )
        hits += found.low <= true_auc <= found.high
    assert 0.93 <= hits / 800 <= 0.97


@pytest.mark.numeric
class TestCurves:
    def test_roc_is_under_the_auc(self) -> None:
        truth, scores = drawn(9, decimals=1)
        curve = ThresholdCurve(truth, scores)
        area = trapezoids(curve.false_positive_rate, curve.recall)
        assert area == pytest.approx(auc(truth, scores), abs=1e-12)
        first = curve.rows()[0]
        assert math.isnan(first.pop("precision"))
        assert first == {"threshold": scores.max(), "false_positive_rate": 0, "recall": 0}

    NEIGHBOURS = np.array([-math.inf, 1.0, np.nextafter(1, 2), np.nextafter(1, 2) + 1, math.inf])

    @pytest.mark.parametrize(
        ("truth", "scores"),
        [
            *((drawn(10)[0], drawn(10, decimals=1)[1] * scale) for scale in (1e-300, 1.0, 1e300)),
            (np.array([0, 0, 1, 0, 1], bool), NEIGHBOURS),
        ],
    )
    def test_counts_are_those_of_scores_above_the_threshold(
        self, truth: np.ndarray, scores: np.ndarray
    ) -> None:
        found = ThresholdCurve(truth, scores)
        for threshold, tp, fp in zip(found.thresholds, found.tp, found.fp, strict=True):
            above = (scores > threshold) | math.isnan(threshold)  # -inf is over no threshold
            assert (tp, fp) == ((above & truth).sum(), (above & ~truth).sum())

    def test_precision_recall(self) -> None:
        truth, scores = drawn(11, decimals=1)
        curve = ThresholdCurve(truth, scores)
        assert curve.average_precision == pytest.approx(average_precision_score(truth, scores))
        assert curve.prevalence == truth.mean()
        assert curve.recall[-1] == 1 and (np.diff(curve.recall) >= 0).all()
        assert len(curve.rows()) == len(np.unique(scores)) + 1
        for point in curve.rows()[1:]:
            above = scores > point["threshold"]
            assert point["precision"] == pytest.approx((above & truth).sum() / above.sum())
            assert point["recall"] == pytest.approx((above & truth).sum() / truth.sum())
