"""Thresholds: each is the best of all cuts, has its counts, and comes back from its file."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from checks import fails
from scipy.stats import binomtest, fisher_exact

from nacd_bench.detectors import ColorSeverity, LargeColor
from nacd_bench.errors import DataError, UserError
from nacd_bench.evaluation.thresholds import (
    CRITERIA,
    Limit,
    Scale,
    Sets,
    best_thresholds,
    exceeds,
    false_alarms,
    read_thresholds,
    write_thresholds,
)
from nacd_bench.pipeline.methods import limits_of

pytestmark = pytest.mark.numeric

TYPES = {"boundary": "texture", "text": "text"}


def drawn(seed: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(90) < 0.5
    return truth, (rng.normal(size=90) + 1.5 * truth).round(decimals)


def every_cut(truth: np.ndarray, scores: np.ndarray) -> list[tuple[int, int, int, int]]:
    """tp, fp, fn, tn at each threshold, from the highest down, by counting."""
    cuts = []
    for threshold in [*sorted(set(scores), reverse=True), -math.inf]:
        above = scores > threshold
        cuts.append(
            tuple(
                int(x.sum())
                for x in (above & truth, above & ~truth, ~above & truth, ~above & ~truth)
            )
        )
    return cuts  # type: ignore[return-value]


class TestCriteria:
    @pytest.mark.parametrize("decimals", [6, 1, 0])
    @pytest.mark.parametrize("seed", range(4))
    def test_each_is_the_best_of_all_cuts(self, seed: int, decimals: int) -> None:
        truth, scores = drawn(seed, decimals)
        cuts, best = every_cut(truth, scores), best_thresholds(truth, scores)
        m, n = truth.sum(), (~truth).sum()
        youden = max(tp / m - fp / n for tp, fp, _, _ in cuts)
        f1 = max(2 * tp / (2 * tp + fp + fn) for tp, fp, fn, _ in cuts)
        assert best["youden"].value == pytest.approx(youden, abs=1e-12)
        assert best["f1"].value == pytest.approx(f1, abs=1e-12)
        few = max(tp for tp, fp, _, _ in cuts if fp / n <= 0.05)
        precise = max((tp for tp, fp, _, _ in cuts if tp and tp / (tp + fp) >= 0.9), default=None)
        assert best["fpr_5"].tp == (few or None)
        assert best["precision_90"].tp == precise

    @pytest.mark.parametrize("seed", range(4))
    def test_infinite_scores_are_counted(self, seed: int) -> None:
        """A score of -inf is over no threshold, so that no criterion may find it positive."""
        rng = np.random.default_rng(seed)
        scores = rng.choice([-np.inf, 0.0, 1.0, 2.0, np.inf], 30, p=[0.4, 0.2, 0.2, 0.1, 0.1])
        truth = rng.random(30) < 0.5
        entries = best_thresholds(truth, scores).values()
        assert any(entry.threshold is not None for entry in entries)
        for entry in entries:
            if entry.threshold is None:
                continue
            above = scores > entry.threshold
            counts = [
                (above & truth).sum(),
                (above & ~truth).sum(),
                (~above & truth).sum(),
                (~above & ~truth).sum(),
            ]
            assert [entry.tp, entry.fp, entry.fn, entry.tn] == counts
            assert entry.n == 30

    def test_positives_that_nothing_finds(self) -> None:
        thresholds = best_thresholds([1, 1, 0], [-np.inf, -np.inf, 0.0])
        assert [entry.threshold for entry in thresholds.values()] == [None] * len(CRITERIA)
        assert all(entry.reason for entry in thresholds.values())

    def test_a_limit_that_is_just_missed_does_not_read_as_reached(self) -> None:
        truth = np.arange(2240) < 1799
        scores = np.where(np.arange(2240) < 1999, 1.0, 0.0)  # 1799 of 1999 are 0.89995
        precise = best_thresholds(truth, scores)["precision_90"]
        assert precise.threshold is None and str(precise.reason).endswith("0.8999")

    def test_of_equal_ones_the_highest(self) -> None:
        entry = best_thresholds([0, 1, 0, 1], [1, 2, 3, 4])["youden"]
        assert (entry.threshold, entry.tp, entry.fp) == (3.5, 1, 0)

    def test_what_cannot_be_reached_is_recorded(self) -> None:
        best = best_thresholds([1, 1, 0, 0], [1, 2, 3, 4])
        assert best["youden"].reason == "no threshold is better than chance (J = 0)"
        assert best["fpr_5"].reason == ("the lowest false positive rate with a true positive is 1")
        assert best["precision_90"].reason == "the highest precision is 0.5"
        entry = best["precision_90"]
        assert entry.threshold is None and entry.tp is None and entry.n == 4
        assert best["f1"].tp == 2  # everything positive

    def test_nan_is_left_out_and_counted(self) -> None:
        entry = best_thresholds([0, 0, 1, 1, 1], [1, 2, 3, 4, math.nan])["f1"]
        assert (entry.n, entry.n_excluded, entry.tp) == (4, 1, 2)

    def test_one_class_only(self) -> None:
        fails(DataError, "0 with and 2 without", best_thresholds, [0, 0], [1, 2])


class TestScale:
    @pytest.mark.parametrize("seed", range(4))
    def test_no_threshold_lies_under_what_found_nothing(self, seed: int) -> None:
        """Counted again: of all cuts of at least 0 it is the best."""
        truth, scores = drawn(seed, 2)
        scores = scores - 2.0
        scale = Scale(nothing=0.0)
        free = best_thresholds(truth, scores)["youden"].threshold
        assert free is not None and free < 0
        for criterion, entry in best_thresholds(truth, scores, scale=scale).items():
            if entry.threshold is None:
                continue
            assert entry.threshold >= 0
            above = scores > entry.threshold
            assert (entry.tp, entry.fp) == ((above & truth).sum(), (above & ~truth).sum())
            if criterion == "youden":
                cuts = [c for c in (0.0, *scores) if c >= 0]
                best = max((scores > c)[truth].mean() - (scores > c)[~truth].mean() for c in cuts)
                assert entry.value == pytest.approx(best, abs=1e-12)

    def test_nothing_over_the_end_reaches_no_criterion(self) -> None:
        entries = best_thresholds([1, 0, 1], [-0.2, -0.3, 0.0], scale=Scale(nothing=0.0))
        assert [entry.threshold for entry in entries.values()] == [None] * len(CRITERIA)

    def test_severities_have_counts_of_their_own(self) -> None:
        truth, scores = [0, 0, 1, 1], [0.4, 1.7, 1.5, 2.2]
        entries = best_thresholds(truth, scores, scale=Scale(0.0, is_severity=True))
        entry = entries["severity_1.5"]  # 1.5 is not over 1.5
        assert (entry.threshold, entry.tp, entry.fp, entry.fn, entry.tn) == (1.5, 1, 1, 1, 1)
        assert not any(name.startswith("severity") for name in best_thresholds(truth, scores))


class TestFalseAlarms:
    @pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 50), (2, 50), (3, 7)])
    def test_the_interval_is_that_of_scipy(self, hits: int, n: int) -> None:
        alarms = false_alarms(np.arange(n) < hits)
        interval = binomtest(hits, n).proportion_ci(0.95, method="exact")
        assert alarms.per_100 == pytest.approx(100 * hits / n)
        assert (alarms.low, alarms.high) == pytest.approx((100 * interval.low, 100 * interval.high))

    def test_copies_of_an_original_add_nothing(self) -> None:
        fired = np.array([True, False, False])
        once = false_alarms(fired, ["a", "b", "c"])
        assert false_alarms(fired.repeat(4), [*"aaaabbbbcccc"]) == once
        assert false_alarms([]).per_100 is None

    @pytest.mark.parametrize("seed", range(3))
    def test_exceeds_as_fisher_says(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            n, m = rng.integers(1, 60, 2)
            fired, others = rng.random(n) < rng.random(), rng.random(m) < 0.1
            table = [[fired.sum(), (~fired).sum()], [others.sum(), (~others).sum()]]
            p = fisher_exact(table, alternative="greater").pvalue
            assert exceeds(false_alarms(fired), false_alarms(others)) == (p < 0.05)

    def test_the_counts_are_those_of_the_negatives(self) -> None:
        truth, scores = drawn(3, 6)
        for entry in best_thresholds(truth, scores).values():
            fired = scores[~truth] > entry.threshold
            assert entry.false_alarms == false_alarms(fired)


class TestWhereTheyComeFrom:
    def file(self, folder: Path, **settings: object) -> Path:
        truth, scores = drawn(1, 6)
        made_with = {"large_color": {**LargeColor().settings, **settings}}
        entries = best_thresholds(truth, scores, scale=Scale(0.0))
        write_thresholds(folder / "a.yaml", {"color": {"large_color": entries}}, made_with)
        return folder / "a.yaml"

    def test_a_number_then_the_criterion_then_the_detector(self, tmp_path: Path) -> None:
        both = [LargeColor(), ColorSeverity()]
        assert limits_of(both) == {
            "large_color": Limit(0.0, "detector"),
            "color_severity": Limit(1.5, "detector"),
        }
        given = limits_of(both, {"large_color": 0.2}, "severity_2.25")
        assert given == {
            "large_color": Limit(0.2, "given"),
            "color_severity": Limit(2.25, "severity_2.25"),
        }
        file = self.file(tmp_path)
        entries = read_thresholds(file).sets["color"]["large_color"]
        for criterion in ("fpr_5", "f1", None):
            (limit,) = limits_of([LargeColor()], file, criterion).values()
            entry = entries[criterion or "youden"]
            assert (limit.threshold, limit.by) == (entry.threshold, criterion or "youden")
            assert limit.expected == entry.false_alarms

    def test_a_file_that_somebody_edited_goes_not_under_nothing(self, tmp_path: Path) -> None:
        file = self.file(tmp_path)
        text = re.sub("threshold: .*", "threshold: -3.5", file.read_text())
        file.write_text(text)
        assert limits_of([LargeColor()], file)["large_color"].threshold == 0.0

    def test_what_cannot_be_is_refused_by_name(self, tmp_path: Path) -> None:
        both = [LargeColor(), ColorSeverity()]
        fails(DataError, "got large_color, whose scores", limits_of, both, None, "severity_1.5")
        fails(DataError, "thresholds=FILE", limits_of, both, None, "youden")
        newer = self.file(tmp_path, version="1")
        fails(DataError, "'large_color' with version 2, got version 1", limits_of, both[:1], newer)
        fails(DataError, "version 2, got version 1", limits_of, [LargeColor], newer)
        other = self.file(tmp_path, high=99.0)
        fails(DataError, r"with high 8\.0, got high 99\.0", limits_of, both[:1], other)
        assert limits_of([LargeColor], other)  # of a class nothing is known but its version
        file = self.file(tmp_path)
        assert limits_of(both, file)["color_severity"] == Limit(1.5, "detector")
        fails(DataError, "none for 'color_severity'", limits_of, both, file, "fpr_5")


class TestFile:
    def sets(self) -> Sets:
        truth, scores = drawn(1, 6)
        return {
            "texture": {"boundary": best_thresholds(truth, scores * 1e-7)},
            "text": {
                "text": best_thresholds(truth, -scores),
                "psnr": best_thresholds(truth, scores),
            },
        }

    def test_comes_back(self, tmp_path: Path) -> None:
        write_thresholds(tmp_path / "thresholds.yaml", self.sets(), criterion="f1")
        read = read_thresholds(tmp_path / "thresholds.yaml")
        assert read.sets == self.sets()
        assert read.criterion == "f1"

    def test_gives_detect_a_number_per_detector(self, tmp_path: Path) -> None:
        write_thresholds(tmp_path / "a.yaml", self.sets())
        read = read_thresholds(tmp_path / "a.yaml")
        assert read.entries({"boundary": "texture"}) == {
            "boundary": self.sets()["texture"]["boundary"]["youden"]
        }
        assert read.entries(TYPES, "f1")["text"] == self.sets()["text"]["text"]["f1"]
        assert dataclasses.replace(read, criterion="f1").entries(TYPES) == read.entries(TYPES, "f1")

    def test_says_what_cannot_be_used(self, tmp_path: Path) -> None:
        write_thresholds(tmp_path / "a.yaml", self.sets(), criterion="precision_90")
        read = read_thresholds(tmp_path / "a.yaml")
        with pytest.raises(DataError) as error:
            read.entries({**TYPES, "large_color": "color"})
        assert "none for 'large_color' on the set 'color'" in str(error.value)
        assert "'text' does not reach it: the highest precision is 0." in str(error.value)
        with pytest.raises(UserError, match="expected criterion as youden, f1"):
            write_thresholds(tmp_path / "b.yaml", self.sets(), criterion="yuden")

    def test_infinite_thresholds_survive(self, tmp_path: Path) -> None:
        entry = dataclasses.replace(
            self.sets()["texture"]["boundary"]["youden"], threshold=-math.inf
        )
        sets: Sets = {"texture": {"boundary": {"youden": entry}}}
        write_thresholds(tmp_path / "a.yaml", sets)
        assert read_thresholds(tmp_path / "a.yaml").sets == sets

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("a: [", "line 1: expected a thresholds file in YAML"),
            (
                "{schema_version: 2, sets: {t: {a: {f1: {threshold: .nan, n: 1, n_excluded: 0}}}}}",
                "sets.t.a.f1.threshold: Input should be greater than or equal to -inf, got nan",
            ),
            (
                "{schema_version: 2, sets: {t: {a: {f1: {n: 1%s, n_excluded: 0}}}}}" % ("0" * 400),
                "sets.t.a.f1.n: Input should be less than or equal to 9007199254740992, got 1000",
            ),
            (
                "- 1",
                "expected a thresholds file with schema_version and sets, got other",
            ),
            ("{schema_version: 9, sets: {}}", "schema_version: Input should be 2, got 9"),
            (
                "{schema_version: 2, criterion: best, sets: {}}",
                "criterion: String should match pattern '^(youden|f1|",
            ),
            (
                "{schema_version: 2, sets: {texture: {a: 3}}}",
                "sets.texture.a: Input should be a valid",
            ),
            (
                "{schema_version: 2, sets: {texture: {a: {f2: {n: 1}}}}}",
                "sets.texture.a.f2.[key]: String should match pattern '^(youden|f1|",
            ),
            (
                "{schema_version: 2, sets: {texture: {a: {f1: {n: 1, n_excluded: 0, tpp: 1}}}}}",
                "sets.texture.a.f1.tpp: Unexpected keyword argument, got 1",
            ),
            (
                "{schema_version: 2, sets: {t: {a: {f1: {threshold: x, n: 1, n_excluded: 0}}}}}",
                "sets.t.a.f1.threshold: Input should be a valid number, got x",
            ),
        ],
    )
    def test_bad_files(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "a.yaml").write_text(content)
        fails(DataError, re.escape(message), read_thresholds, tmp_path / "a.yaml")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected a thresholds file, got nothing"):
            read_thresholds(tmp_path / "a.yaml")

    def test_is_plain_yaml(self, tmp_path: Path) -> None:
        write_thresholds(tmp_path / "a.yaml", self.sets())
        content = yaml.safe_load((tmp_path / "a.yaml").read_text())
        assert content["schema_version"] == 2
        assert content["sets"]["texture"]["boundary"]["youden"]["n"] == 90
