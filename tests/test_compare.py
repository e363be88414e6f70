"""Two versions of a codec: what is called fixed, new or stayed, and what a build server is told."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from checks import csv_rows, fails
from mined_folder import make_mined
from pages import page_data

from nacd_bench.cli.main import main
from nacd_bench.coding.codec import png
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.evaluation.artifact_changes import Rules
from nacd_bench.evaluation.artifact_matching import Boxes, match_boxes
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.paired_versions import presence_test, score_test
from nacd_bench.evaluation.significance import wilcoxon_p
from nacd_bench.jobs.compare.differences import mean_rates, rate_changes
from nacd_bench.jobs.compare.run import compare
from nacd_bench.jobs.compare.versions import compare_runs
from nacd_bench.planting import Scene, plant
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import CODECS
from nacd_bench.runs.candidates import KEYS, TablesWriter, read_mined
from nacd_bench.runs.compared_run import read_compared
from nacd_bench.runs.schema import CANDIDATES, CODED
from nacd_bench.runs.tables import write_failures, write_tables
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord

PLANTED = {"motorcycle_left": "texture", "rocket": "large_color", "coffee": "small_color"}
FAST = Resampling(resamples=200)
QUICK = Rules(bootstrap=FAST)


# --- matching


def boxes(*rows: tuple[int, int, tuple[int, int, int, int], float]) -> Boxes:
    """Of rows of group, detector, place and confidence."""
    group, detector, places, confidences = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Boxes(
        np.array(group, np.int64),
        np.array(detector, np.int64),
        np.array(places, np.float64).reshape(-1, 4),
        np.array(confidences, np.float64),
    )


HERE, NEAR, AWAY = (0, 0, 100, 100), (20, 0, 120, 100), (300, 300, 400, 400)


class TestMatching:
    def test_the_largest_sum_of_overlaps_wins_not_the_first_come(self) -> None:
        one = boxes((0, 0, HERE, 1.0))
        found = match_boxes(boxes((0, 0, (-20, 0, 80, 100), 1.0), (0, 0, HERE, 1.0)), one)
        assert found.before.tolist() == [1] and found.iou.tolist() == [1.0]
        # the largest overlap (0.82) would leave 0.33 to the other two; 0.67 + 0.67 is more
        first = boxes((0, 0, HERE, 1.0), (0, 0, (30, 0, 130, 100), 1.0))
        found = match_boxes(first, boxes((0, 0, NEAR, 1.0), (0, 0, (50, 0, 150, 100), 1.0)))
        assert found.after.tolist() == [0, 1] and found.iou.round(2).tolist() == [0.67, 0.67]

    def test_only_inside_a_group_and_over_the_threshold(self) -> None:
        assert not len(match_boxes(boxes((0, 0, HERE, 1.0)), boxes((1, 0, HERE, 1.0))).before)
        near = boxes((0, 0, HERE, 1.0)), boxes((0, 0, NEAR, 1.0))
        assert len(match_boxes(*near, iou=0.6).before) == 1
        far = match_boxes(*near, iou=0.7)
        assert not len(far.before) and far.nearest_after.round(2).tolist() == [0.67]

    def test_a_detector_prefers_its_own_and_another_may_stand_in(self) -> None:
        first = boxes((0, 0, HERE, 0.1), (0, 1, NEAR, 0.1))
        second = boxes((0, 1, HERE, 0.1))
        assert match_boxes(first, second).before.tolist() == [1]  # though the first overlaps more
        assert match_boxes(first.rows(np.array([0])), second).before.tolist() == [0]
        alone = match_boxes(first.rows(np.array([0])), second, across_detectors=False)
        assert not len(alone.before)

    def test_ties_go_to_the_nearer_confidence(self) -> None:
        first = boxes((0, 0, HERE, 0.9), (0, 0, HERE, 0.1))
        found = match_boxes(first, boxes((0, 0, HERE, 0.11), (0, 0, HERE, 0.8)))
        assert dict(zip(found.before.tolist(), found.after.tolist(), strict=True)) == {0: 1, 1: 0}

    def test_nothing_on_a_side(self) -> None:
        found = match_boxes(boxes(), boxes((0, 0, HERE, 1.0)))
        assert not len(found.before) and found.nearest_after.tolist() == [0.0]

    def test_neither_order_nor_direction_matters(self) -> None:
        rng = np.random.default_rng(0)
        sides = []
        for _ in range(2):
            corner = rng.integers(0, 60, (400, 2)) * 5
            places = np.hstack([corner, corner + rng.integers(8, 20, (400, 2)) * 5]).astype(float)
            confidences = rng.integers(1, 5, 400) / 5
            groups, detectors = rng.integers(0, 40, 400), rng.integers(0, 2, 400)
            sides.append(Boxes(groups, detectors, places, confidences))
        found = match_boxes(*sides)
        pairs = set(zip(found.before.tolist(), found.after.tolist(), strict=True))
        assert len(pairs) == len(found.before) == len({a for a, _ in pairs}) > 50
        mirrored = match_boxes(*sides[::-1])
        assert pairs == set(zip(mirrored.after.tolist(), mirrored.before.tolist(), strict=True))
        orders = [rng.permutation(400) for _ in sides]
        shuffled = match_boxes(*(s.rows(o) for s, o in zip(sides, orders, strict=True)))
        assert pairs == {
            (int(orders[0][a]), int(orders[1][b]))
            for a, b in zip(shuffled.before, shuffled.after, strict=True)
        }

    def test_the_sum_of_overlaps_is_the_largest_there_is(self) -> None:
        from itertools import permutations

        rng = np.random.default_rng(1)
        for _ in range(20):
            sides = [
                boxes(
                    *((0, 0, (x, y, x + 50, y + 50), 0.5) for x, y in rng.integers(0, 60, (4, 2)))
                )
                for _ in range(2)
            ]
            overlaps = np.zeros((4, 4))
            for i in range(4):
                for j in range(4):
                    one = match_boxes(
                        sides[0].rows(np.array([i])), sides[1].rows(np.array([j])), iou=0.2
                    )
                    overlaps[i, j] = one.iou.sum()
            best = max(sum(overlaps[i, p[i]] for i in range(4)) for p in permutations(range(4)))
            assert match_boxes(*sides, iou=0.2).iou.sum() == pytest.approx(best, abs=1e-5)

    @pytest.mark.parametrize("iou", [0, -1, 1.1])
    def test_a_threshold_that_is_none(self, iou: float) -> None:
        fails(ValueError, "above 0 and up to 1", match_boxes, boxes(), boxes(), iou)


def _coded(bpp: float) -> TripletRecord:
    return TripletRecord("a", *["a.png"] * 3, neural_bpp=bpp, extra={"preset": "low"})


class TestStatistics:
    def test_mcnemar_counts_originals(self) -> None:
        found = presence_test([0] * 10, [1] * 10, [f"image {i}" for i in range(10)])
        assert found.p == pytest.approx(2 * 0.5**10) and found.worse == 10
        crops = presence_test([0] * 10, [1] * 10, ["image"] * 10)
        assert crops.p == 1.0 and crops.worse == 1 and crops.only_after == 10
        undecided = presence_test([0, 1], [1, 0], ["image"] * 2)
        assert (undecided.better, undecided.worse, undecided.p) == (0, 0, 1.0)

    def test_unchanged_originals_add_no_evidence(self) -> None:
        """Five that changed alike: 2 of 32 signs, whatever the number of those that did not."""
        change = [0.1, 0.2, 0.3, 0.4, 0.5]
        for unchanged in (0, 1, 9, 40):
            before = np.full(5 + unchanged, 0.7)
            after = before + np.pad(change, (0, unchanged))
            found = score_test(before, after, [str(i) for i in range(len(before))], FAST)
            assert found.p == pytest.approx(0.0625, abs=1e-12)
        nothing = score_test([0.7] * 9, [0.7] * 9, [str(i) for i in range(9)], FAST)
        assert nothing.p == 1 and nothing.difference.value == 0
        assert np.isnan(score_test([], [], [], FAST).p)

    @pytest.mark.parametrize("seed", range(4))
    def test_wilcoxon_with_ties_is_that_of_all_signs(self, seed: int) -> None:
        change = np.random.default_rng(seed).integers(-3, 4, 9).astype(float)
        changed = change[change != 0]
        ranks = [
            sum((np.abs(changed) < abs(x)) + (np.abs(changed) == abs(x)) / 2) + 0.5 for x in changed
        ]
        observed = abs(sum(r * np.sign(x) for r, x in zip(ranks, changed, strict=True)))
        sums = [
            abs(sum(r * s for r, s in zip(ranks, signs, strict=True)))
            for signs in product((-1, 1), repeat=len(changed))
        ]
        share = np.mean([each >= observed - 1e-9 for each in sums])
        assert wilcoxon_p(change) == pytest.approx(share, abs=1e-12)

    def test_rounding_is_no_change(self) -> None:
        """0.1 + 0.2 and 0.3 differ in the last bit; two crops that swap scores change nothing."""
        found = score_test([0.3, 0.1, 0.2], [0.1 + 0.2, 0.2, 0.1], ["a", "b", "b"], FAST)
        assert (found.better, found.worse, found.p) == (0, 0, 1)

    def test_the_interval_of_few_originals_is_students(self) -> None:
        from scipy.stats import ttest_1samp

        change = np.array([0.1, 0.3, -0.05, 0.2, 0.15])
        names = [str(i) for i in range(5)]
        found = score_test(np.zeros(5), change, names, FAST).difference
        expected = ttest_1samp(change, 0).confidence_interval()
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        alone = score_test([0.0], [1.0], ["a"], FAST).difference
        assert alone.value == 1 and np.isnan(alone.low) and np.isnan(alone.high)

    def test_the_change_of_rate_is_that_of_the_means_beside_it(self) -> None:
        """0.1 to 0.2 and 2.0 to 1.8 bpp: the geometric mean says 34 % more, the means -4.8 %."""
        rates = mean_rates([(_coded(0.1), _coded(0.2)), (_coded(2.0), _coded(1.8))])
        assert [rate["change"] for rate in rates] == pytest.approx([-1 / 21] * len(rates))
        assert (rates[0]["before"], rates[0]["after"]) == pytest.approx((1.05, 1.0))
        (line,) = rate_changes(rates[:1], 0.02)
        assert "spends 4.8% fewer bits (1.0500 and 1.0000 bpp)" in line

    def test_wilcoxon_is_that_of_scipy_on_originals(self) -> None:
        from scipy.stats import wilcoxon

        rng = np.random.default_rng(0)
        before, change = rng.normal(size=24), rng.normal(0.4, 1, 24)
        names = [str(i // 2) for i in range(24)]
        found = score_test(before, before + change, names, FAST)
        assert found.p == pytest.approx(wilcoxon(change.reshape(-1, 2).mean(axis=1)).pvalue)
        assert found.difference.value == pytest.approx(change.mean())
        assert found.difference.low < change.mean() < found.difference.high
        assert found.difference.n_clusters == 12 and found.difference.n == 24
        mirrored = score_test(before + change, before, names, FAST)
        assert mirrored.p == pytest.approx(found.p)
        assert mirrored.difference.low == pytest.approx(-found.difference.high)

    def test_the_interval_of_many_originals_is_the_one_of_few(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(0)
        change, names = rng.normal(0.1, 1, 3000), [str(i // 3) for i in range(3000)]
        few = score_test(np.zeros(3000), change, names, Resampling(resamples=4000)).difference
        monkeypatch.setattr("nacd_bench.evaluation.paired_versions.MANY", 10)
        many = score_test(np.zeros(3000), change, names, FAST).difference
        assert (many.value, many.n, many.n_clusters) == (few.value, few.n, few.n_clusters)
        assert many.low == pytest.approx(few.low, abs=0.002)
        assert many.high == pytest.approx(few.high, abs=0.002)


# --- a real pair: clean decodes, and the same with planted artifacts


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs ``before`` (clean decodes of the learned codec) and ``after`` (faults in some)."""
    folder = tmp_path_factory.mktemp("real")
    neural, traditional = CODECS.get("hyperprior")(), CODECS.get("x265")()
    points = neural.points.values
    clean, faulty = [], []
    for name in (*PLANTED, "astronaut", "chelsea", "flower"):
        original = np.ascontiguousarray(photo(name)[:300, :600])
        streams = [neural.encode(original, point) for point in (points[0], points[4])]
        weak, decoded = map(neural.decode, streams)
        stream = traditional.encode(original, 30.0)
        images = {
            "original": original,
            "neural": decoded,
            "traditional": traditional.decode(stream),
        }
        paths = {}
        for role, pixels in images.items():
            path = folder / role / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(pixels))
            paths[role] = str(path)
        bpp = {"neural_bpp": 8 * len(streams[1]) / original[..., 0].size, "traditional_bpp": 0.5}
        record = TripletRecord(f"{name}-v1", **paths, **bpp, neural_point="4", source=name)
        clean.append(replace(record, neural_codec="hyperprior", neural_version="1"))
        done = None
        if name in PLANTED:
            done = plant(Scene(original, decoded, weak), PLANTED[name], 1.0, seed=2)
            assert done is not None
            path = folder / "faulty" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(done.image))
        faulty.append(
            replace(
                record,
                id=f"{name}-v2",
                neural=str(path) if done else paths["neural"],
                neural_codec="hyperprior",
                neural_version="2",
            )
        )
    for version, records in (("before", clean), ("after", faulty)):
        write_manifest(folder / f"{version}.parquet", records)
        status = main(
            [
                *("detect", str(folder / f"{version}.parquet"), f"folder={folder / version}"),
                *("detector=[texture,boundary,large_color,small_color]", "overlays=false"),
                *("report=false", "show_progress=false"),
            ]
        )
        assert status == 0
    return folder


def run(*arguments: str | Path) -> int:
    return main(["compare", *map(str, arguments), "show_progress=false", "bootstrap.resamples=200"])


def rows(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "changes.parquet").to_pylist()


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


class TestARealPair:
    def test_what_is_new_is_what_was_planted(self, real: Path, tmp_path: Path) -> None:
        assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
        found = rows(tmp_path)
        changed = {r["image"] for r in found if r["status"] == "new" or r["change"] == "stronger"}
        assert changed == set(PLANTED)
        assert not [r for r in found if r["status"] == "fixed" or r["change"] == "weaker"]
        for r in found:
            if r["status"] == "new":
                assert r["confidence_before"] is None and r["x0_before"] is None
                assert r["confidence_after"] > r["score_before"]
            if r["image"] not in PLANTED:
                assert (r["status"], r["change"], r["iou"]) == ("stayed", "same", 1.0)
        counts = summary(tmp_path)["types"]
        assert {*counts} == {"texture", "color"}
        for own in counts.values():
            assert own["before"] == own["stayed"] + own["fixed"] + own["unclear_before"]
            assert own["after"] == own["stayed"] + own["new"] + own["unclear_after"]
        detectors = summary(tmp_path)["detectors"]
        assert detectors["small_color"]["new"] > 0
        assert all(own["scores"]["difference"]["value"] >= 0 for own in detectors.values())
        page = tmp_path / "compare" / "index.html"
        assert "http" not in page.read_text() and (page.parent / "pictures").is_dir()
        assert {r["original_sha256"] for r in found} and (tmp_path / "changes.csv").is_file()
        assert "| texture |" in (tmp_path / "summary.md").read_text()

    def test_a_run_and_itself(self, real: Path, tmp_path: Path) -> None:
        status = run(
            *(real / "before", real / "before", f"folder={tmp_path}", "report=false"),
            *("fail_on_new=0", "fail_on_stronger=0", "fail_on_worse=0.05", "same=0"),
        )
        assert status == 0
        found = summary(tmp_path)
        assert found["passed"] is True and found["total"]["stayed"] == found["total"]["before"] > 0
        assert {r["status"] for r in rows(tmp_path)} == {"stayed"}
        assert found["types"] and found["detectors"]
        for own in found["types"].values():
            assert own["presence"]["p_holm"] == 1
        for own in found["detectors"].values():
            assert own["scores"]["p_holm"] == 1 and own["scores"]["difference"]["value"] == 0

    def test_the_other_way_round_is_the_mirror_image(self, real: Path) -> None:
        forth = compare_runs(real / "before", real / "after", QUICK)
        back = compare_runs(real / "after", real / "before", QUICK)
        swapped = {"new": "fixed", "fixed": "new"}
        turned = {"stronger": "weaker", "weaker": "stronger"}

        def seen(done: Any, mirrored: bool) -> Counter:
            first, second = ("after", "before") if mirrored else ("before", "after")
            places = [f"{name}_{run}" for name in ("x0", "confidence") for run in (first, second)]
            return Counter(
                (
                    swapped.get(row["status"], row["status"]) if mirrored else row["status"],
                    turned.get(row["change"], row["change"]) if mirrored else row["change"],
                    *(row[name] for name in ("image", "detector", "iou", *places)),
                )
                for row in done.changes.to_pylist()
            )

        assert seen(forth, False) == seen(back, True)
        assert forth.summary["total"]["new"] == back.summary["total"]["fixed"] > 0
        assert forth.summary["detectors"] and forth.summary["types"]
        for name, figures in forth.summary["detectors"].items():
            test, other = figures["scores"], back.summary["detectors"][name]["scores"]
            assert other["p"] == test["p"] and other["p_holm"] == test["p_holm"]
            mean, mirrored = test["difference"], other["difference"]
            assert mirrored["value"] == pytest.approx(-mean["value"])
            assert mirrored["low"] == pytest.approx(-mean["high"])
        for kind, figures in forth.summary["types"].items():
            test, other = figures["presence"], back.summary["types"][kind]["presence"]
            assert (test["better"], test["worse"]) == (other["worse"], other["better"])

    def test_a_hidden_box_is_not_called_fixed(self, real: Path) -> None:
        """A detector with one box per image moves it to a fault: the old place may be as it was."""
        done = compare_runs(real / "before", real / "after", QUICK)
        assert done.summary["total"]["fixed"] == 0 and done.summary["total"]["unclear_before"] > 0
        unclear = {row["change"] for row in done.changes.to_pylist() if row["status"] == "unclear"}
        assert unclear == {"hidden"}

    def test_gates(self, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        own = (real / "before", real / "after", "report=false", f"folder={tmp_path / 'out'}")
        new = compare_runs(real / "before", real / "after", QUICK).summary["types"]
        total = sum(counts["new"] for counts in new.values())
        assert run(*own, f"fail_on_new={total}") == 0
        assert run(*own, f"fail_on_new={total - 1}") == 3
        assert f"FAILED: {total} new" in capsys.readouterr().out
        assert summary(tmp_path / "out")["passed"] is False
        assert run(*own, f"fail_on_new={{color: {new['color']['new']}}}") == 0
        assert run(*own, f"fail_on_new={{color: {new['color']['new'] - 1}}}") == 3
        assert run(*own, "fail_on_new={text: 0}") == 3  # nothing looked for text
        assert "nothing of type text was compared" in capsys.readouterr().out
        assert run(*own, "fail_on_new={txt: 0}") == 1
        assert "text" in capsys.readouterr().err

    def test_thresholds_and_margin(self, real: Path) -> None:
        plain = compare_runs(real / "before", real / "after", QUICK)
        over = {"large_color": 1.0, "texture": 0.02, "boundary": 0.05}
        cut = compare_runs(real / "before", real / "after", replace(QUICK, thresholds=over))
        assert 0 < cut.summary["total"]["before"] < plain.summary["total"]["before"]
        assert cut.summary["rules"]["thresholds"] == {**over, "small_color": 0.0}
        assert not any("Every triplet has a box" in line for line in cut.summary["warnings"])
        assert any("Every triplet has a box" in line for line in plain.summary["warnings"])
        wide = compare_runs(
            real / "before", real / "after", replace(QUICK, thresholds=over, margin=1e6)
        )
        kept = wide.summary["detectors"]
        assert all(kept[name]["new"] == 0 for name in over) and kept["small_color"]["new"] > 0
        assert (
            wide.summary["total"]["unclear_after"]
            >= cut.summary["total"]["new"] - kept["small_color"]["new"]
        )

    def test_a_thresholds_file(self, real: Path, tmp_path: Path) -> None:
        from nacd_bench.evaluation.thresholds import best_thresholds, write_thresholds

        types = {
            "texture": "texture",
            "boundary": "texture",
            "large_color": "color",
            "small_color": "color",
        }
        thresholds = best_thresholds([0, 1], [0.0, 0.1])
        sets = {kind: dict.fromkeys(types, thresholds) for kind in set(types.values())}
        write_thresholds(tmp_path / "thresholds.yaml", sets)
        given = f"thresholds={tmp_path / 'thresholds.yaml'}"
        own = ("report=false", f"folder={tmp_path / 'out'}")
        assert run(real / "before", real / "after", given, *own) == 0
        assert set(summary(tmp_path / "out")["rules"]["thresholds"].values()) == {0.05}

    def test_by_detector(self, real: Path) -> None:
        done = compare_runs(real / "before", real / "after", replace(QUICK, by="detector"))
        assert "other detector" not in {row["change"] for row in done.changes.to_pylist()}
        detectors = done.summary["detectors"]
        assert {*detectors} == {"texture", "boundary", "large_color", "small_color"}
        for own in detectors.values():
            assert own["before"] == own["stayed"] + own["fixed"] + own["unclear_before"]

    def test_the_order_of_rows_does_not_matter(self, real: Path, tmp_path: Path) -> None:
        shuffled = shutil.copytree(real / "after", tmp_path / "after")
        for name in ("triplets", "detections", "scores"):
            table = pq.read_table(shuffled / f"{name}.parquet")
            order = np.random.default_rng(1).permutation(len(table))
            pq.write_table(table.take(order), shuffled / f"{name}.parquet")
        one = compare_runs(real / "before", real / "after", QUICK)
        two = compare_runs(real / "before", shuffled, QUICK)
        assert one.changes == two.changes
        assert one.summary["detectors"] == two.summary["detectors"]

    def test_images_that_are_gone_cost_their_pictures(
        self, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        """A file that another version has written over is not shown as the earlier one."""
        neural = real / "neural" / "coffee.png"
        content = neural.read_bytes()
        try:
            shutil.copy(real / "faulty" / "coffee.png", neural)
            assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
            (message,) = {row["message"] for row in csv_rows(tmp_path / "failures.csv")}
            assert "changed since the run" in message
            neural.unlink()
            assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
        finally:
            neural.write_bytes(content)
        assert "pictures are missing" in capsys.readouterr().out
        assert "nothing of that name" in (tmp_path / "compare" / "data.js").read_text()


# --- runs that are made by hand


DETECTORS = {"texture": "texture", "small_color": "color"}


def make_run(
    folder: Path,
    found: dict[str, dict[str, list[tuple[list[int], float]]]],
    scores: dict[str, dict[str, float]] | None = None,
    **facts: Any,
) -> Path:
    """A detect run of triplets by id; boxes by triplet and detector."""
    records, results = [], {}
    for name, own in found.items():
        extra = {"image_sha256": f"{name.split('@')[0]:0>64}", **facts.get("extra", {})}
        given = {key: value for key, value in facts.items() if key not in ("extra", "failures")}
        records.append(
            TripletRecord(name, "gone.png", "gone.png", "gone.png", **given, extra=extra)
        )
        strongest = {d: max((c for _, c in own.get(d, ())), default=0.0) for d in DETECTORS}
        results[name] = {
            d: Result(score, [box for box, _ in own.get(d, ())], [c for _, c in own.get(d, ())])
            for d, score in ((scores or {}).get(name) or strongest).items()
        }
    folder.mkdir(parents=True)
    thresholds = dict.fromkeys(DETECTORS, 0.0)
    failures = facts.get("failures", [])
    write_tables(folder, records, results, DETECTORS, thresholds)
    write_failures(folder, failures)
    settings = {"nacd_bench": "1", "detectors": {name: {"version": "1"} for name in DETECTORS}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "config.yaml").write_text("thresholds: {}\n")
    return folder


BOX, FAR = [0, 0, 300, 300], [400, 0, 700, 300]
ONE = {"small_color": [(BOX, 0.5)]}


def compared(folder: Path, before: Any, after: Any, rules: Rules = QUICK, **facts: Any) -> Any:
    """Two runs of boxes by triplet and detector, compared."""
    runs = zip("ab", (before, after), strict=True)
    return compare_runs(*(make_run(folder / name, own, **facts) for name, own in runs), rules)


def totals(done: Any, *names: str) -> list[int]:
    return [done.summary["total"][name] for name in names]


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A run with one box."""
    return make_run(tmp_path / "one", {"x@1": ONE})


class TestPairing:
    def test_content_and_operating_point(self, tmp_path: Path) -> None:
        sides = {"x@1": ONE, "y@1": ONE}, {"x@9": ONE, "z@1": ONE}
        done = compared(tmp_path, *sides, extra={"preset": "low"})
        assert len(done.pairs) == 1 and done.summary["total"]["stayed"] == 1
        lonely = {(row["run"], row["triplet"], row["reason"]) for row in done.unpaired}
        reason = "the other run does not have its original"
        assert lonely == {("before", "y@1", reason), ("after", "z@1", reason)}

    def test_other_operating_points_do_not_pair(self, tmp_path: Path) -> None:
        before, after = (make_run(tmp_path / p, {"x@1": ONE}, neural_point=p) for p in "35")
        with pytest.raises(DataError, match="same originals at the same operating points"):
            compare_runs(before, after, QUICK)

    def test_several_triplets_of_an_original_pair_by_id(self, tmp_path: Path) -> None:
        one = {"x@left": ONE, "x@right": {"small_color": []}}
        done = compared(tmp_path, one, dict(reversed(one.items())), neural_point="3")
        assert len(done.pairs) == 2 and totals(done, "stayed", "new") == [1, 0]
        assert done.summary["originals"] == 1  # one original is one piece of evidence

    def test_a_result_that_one_run_lacks_is_not_new(self, tmp_path: Path) -> None:
        after = make_run(tmp_path / "b", {"x@1": ONE, "y@1": ONE})
        scores = {"y@1": {"texture": 0.0}}  # small_color failed
        before = make_run(tmp_path / "a", {"x@1": ONE, "y@1": {}}, scores)
        done = compare_runs(before, after, QUICK)
        assert done.summary["total"]["new"] == 0 and done.summary["types"]["color"]["stayed"] == 1
        (left,) = done.unpaired
        assert (left["triplet"], left["detector"]) == ("y@1", "small_color")
        assert any(
            "1 results of a detector are in one run only" in w for w in done.summary["warnings"]
        )

    def test_mined_and_detected_pair(self, tmp_path: Path) -> None:
        mined = make_mined(tmp_path / "mined", images=1)
        row = read_mined(mined, CODED).to_pylist()[0]
        extra = {"image_sha256": row["image_sha256"], "preset": row["preset"]}
        found = {"any": {"small_color": [(BOX, 0.5)], "texture": [(BOX, 0.9)]}}
        done = compare_runs(mined, make_run(tmp_path / "b", found, extra=extra), QUICK)
        assert len(done.pairs) == 1 and set(done.summary["detectors"]) == {"texture"}
        assert any("Left out: small_color" in line for line in done.summary["warnings"])


class TestWarnings:
    def test_what_else_may_be_behind_it(self, tmp_path: Path) -> None:
        found = {f"{i}@1": ONE for i in range(5)}
        facts = [
            {"neural_bpp": 0.5, "traditional_point": "30"},
            {"neural_bpp": 0.6, "traditional_point": "31"},
        ]
        before, after = (
            make_run(tmp_path / name, found, traditional_codec="hm", **own)
            for name, own in zip("ab", facts, strict=True)
        )
        settings = json.loads((after / "settings.json").read_text())
        settings["detectors"]["texture"]["window"] = 64
        settings["nacd_bench"] = "2"
        (after / "settings.json").write_text(json.dumps(settings))
        (after / "config.yaml").write_text("thresholds: {small_color: 0.1}\n")
        rules = replace(QUICK, thresholds={"small_color": 0.05})
        text = "\n".join(compare_runs(before, after, rules).summary["warnings"])
        for line in (
            "The settings of texture differ",
            "nacd-bench 1 made the first run and 2 the second",
            "different thresholds for small_color",
            "Thresholds below those of a run have no effect (small_color 0.05)",
            "In 5 of 5 pairs the traditional result is another one",
            "spends 20.0% more bits",
            "Every triplet has a box of small_color",
        ):
            assert line in text
        assert not compare_runs(before, before, replace(QUICK, by="detector")).summary["warnings"][
            1:
        ]
        settings["detectors"]["texture"]["version"] = "2"
        (after / "settings.json").write_text(json.dumps(settings))
        fails(
            DataError, r"texture\.version: 1 in .*a, 2 in .*b", compare_runs, before, after, rules
        )

    def test_failures_of_a_run_are_told_and_counted(
        self, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        failed = {"failures": [Failure("y@1", "", "no such file")]}
        after = make_run(tmp_path / "after", {"x@1": ONE}, **failed)
        own = ("report=false", f"folder={tmp_path / 'out'}")
        assert run(one, after, *own) == 1
        assert "y@1: in the run after: no such file" in capsys.readouterr().out
        assert "no such file" in (tmp_path / "out" / "failures.csv").read_text()
        two = {"x@1": {"small_color": [(BOX, 0.5), (FAR, 0.2)]}}
        gated = make_run(tmp_path / "gated", two, **failed)
        assert run(one, gated, *own, "fail_on_new=0") == 3  # what is certain comes first


class TestRules:
    def test_margin(self, tmp_path: Path) -> None:
        found = {"x@1": {"small_color": [(BOX, 0.11), (FAR, 0.2)]}}
        rules = replace(QUICK, thresholds={"small_color": 0.1}, margin=0.2)
        done = compared(tmp_path, {"x@1": {"small_color": []}}, found, rules)
        assert totals(done, "new", "unclear_after") == [1, 1]
        changes = {row["x0_after"]: row["change"] for row in done.changes.to_pylist()}
        assert changes == {0: "marginal", 400: ""}

    def test_a_weaker_box_elsewhere_may_have_been_hidden(self, tmp_path: Path) -> None:
        sides = {"x@1": {"texture": [(BOX, 0.9)]}}, {"x@1": {"texture": [(FAR, 0.2)]}}
        assert totals(compared(tmp_path, *sides), "fixed", "new", "unclear_after") == [1, 0, 1]

    def test_a_box_that_moves_for_next_to_nothing_is_not_new(self, tmp_path: Path) -> None:
        sides = {"x@1": {"texture": [(BOX, 0.50)]}}, {"x@1": {"texture": [(FAR, 0.51)]}}
        assert totals(compared(tmp_path / "none", *sides), "new") == [1]
        done = compared(tmp_path / "some", *sides, replace(QUICK, margin=0.1))
        assert totals(done, "new", "unclear_before", "unclear_after") == [0, 1, 1]

    def test_a_margin_that_has_no_effect_is_told(self, one: Path) -> None:
        run = read_compared(one)
        for types, is_told in ((run.types, False), ({"small_color": "color"}, True)):
            run.types = types  # the other boxes one place only
            warnings = compare_runs(run, run, replace(QUICK, margin=1)).summary["warnings"]
            assert ("margin has no effect" in "".join(warnings)) == is_told

    def test_stronger_and_weaker(self, tmp_path: Path) -> None:
        before = {"x@1": {"small_color": [(BOX, 1.0), (FAR, 1.0)]}}
        after = {"x@1": {"small_color": [(BOX, 1.05), (FAR, 0.5)]}}
        done = compared(tmp_path / "coarse", before, after)
        assert totals(done, "stronger", "weaker") == [0, 1]
        rules = replace(QUICK, same=0.01, fail_on_stronger=0)
        fine = compared(tmp_path / "fine", before, after, rules)
        assert totals(fine, "stronger", "weaker") == [1, 1]
        assert fine.summary["objections"] == ["1 stronger artifacts, more than 0"]

    def test_a_rise_that_is_no_chance(self, tmp_path: Path) -> None:
        runs = [
            make_run(
                tmp_path / f"{level}",
                {f"{i}@1": {"small_color": [(BOX, level)]} for i in range(12)},
            )
            for level in (0.5, 0.6)
        ]
        rules = replace(QUICK, fail_on_worse=0.05)
        (line,) = compare_runs(*runs, rules).summary["objections"]
        assert "scores of small_color rose by 0.1 on average" in line
        assert not compare_runs(*runs[::-1], rules).summary["objections"]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"iou": 0}, "iou as a number above 0 and up to 1"),
            ({"by": "image"}, "by"),
            ({"margin": -1}, "margin as a number of at least 0"),
            ({"same": 1}, "same as a number of at least 0 and under 1"),
            ({"rate_tolerance": -1}, "rate_tolerance as a number of at least 0"),
            ({"fail_on_worse": 5}, "fail_on_worse as a number above 0 and up to 1"),
        ],
    )
    def test_rules_that_are_none(self, wrong: dict[str, Any], message: str) -> None:
        fails(UserError, message, Rules, **wrong)

    @pytest.mark.parametrize("limit", [-1, True, 0.5, "many", {"text": -1}])
    def test_limits_that_are_none(self, limit: Any) -> None:
        fails(UserError, "expected fail_on_new", Rules, fail_on_new=limit)

    def test_thresholds_of_unknown_detectors(self, one: Path) -> None:
        rules = Rules(thresholds={"textur": 1.0})
        fails(DataError, "detector in thresholds", compare_runs, one, one, rules)


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["iou=wide"], "expected iou as a number"),
            (["pictures=-1"], "pictures as a whole number"),
            (["bootstrap.resamples=0"], "bootstrap"),
            (["thresholds.small_color=high"], "thresholds.small_color as a number"),
            (["thresholds=nowhere.yaml"], "nowhere.yaml"),
        ],
    )
    def test_settings(
        self, settings: list[str], message: str, one: Path, capsys: pytest.CaptureFixture
    ) -> None:
        assert main(["compare", str(one), str(one), f"folder={one}-out", *settings]) == 1
        assert message in capsys.readouterr().err

    def test_folders(self, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        assert main(["compare", str(one)]) == 1
        assert "after=..." in capsys.readouterr().err
        assert main(["compare", str(one), str(one), str(one)]) == 1
        assert "expected after as the name of a file" in capsys.readouterr().err
        fails(DataError, "which is no folder", read_compared, tmp_path / "nothing")
        fails(DataError, "neither triplets", read_compared, tmp_path)
        fails(DataError, "folder of its own", compare, one, one, one)
        other = make_run(tmp_path / "b", {"x@1": {}})
        fails(DataError, "job: None before, 'compare' now", compare, one, one, other)
        (one / "scores.parquet").unlink()
        fails(DataError, "without its tables: scores", read_compared, one)

    def test_no_common_detector(self, one: Path) -> None:
        first, second = read_compared(one), read_compared(one)
        second.types = {"other": "text"}
        fails(DataError, "two runs of the same detectors", compare_runs, first, second)

    def test_a_run_started_from_python_has_no_configuration(
        self, one: Path, tmp_path: Path
    ) -> None:
        (one / "config.yaml").unlink()
        assert run(one, one, "report=false", f"folder={tmp_path / 'out'}") == 0
        assert summary(tmp_path / "out")["rules"]["thresholds"]["small_color"] is None

    def test_a_run_without_any_box(self, one: Path, tmp_path: Path) -> None:
        empty = make_run(tmp_path / "a", {"x@1": {}})
        for after, new in ((one, 1), (empty, 0)):
            done = compare(empty, after, tmp_path / "out", bootstrap=FAST, show_progress=False)
            assert totals(done.compared, "before", "new") == [0, new]
            assert len(rows(tmp_path / "out")) == new


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two mined folders of the same images with other candidates; they are not changed."""
    folder = tmp_path_factory.mktemp("mined")
    return make_mined(folder / "a", 2, seed=0), make_mined(folder / "b", 2, seed=1)


class TestMined:
    def test_other_candidates_in_the_same_images(
        self, mined: tuple[Path, Path], tmp_path: Path
    ) -> None:
        first, second = mined
        folder = tmp_path / "out"
        assert run(first, second, f"folder={folder}") == 0
        found = rows(folder)
        total = summary(folder)["total"]
        assert len(found) == sum(
            total[n] for n in ("new", "fixed", "stayed", "unclear_before", "unclear_after")
        )
        assert total["before"] == len(read_mined(first, CANDIDATES))
        assert not csv_rows(folder / "failures.csv")
        # what one side has no crop of is decoded from its bitstream
        changes = page_data(folder / "compare")["changes"]
        assert {len(change["pictures"]) for change in changes} == {4}

    def test_without_decoding_there_is_a_note(
        self, mined: tuple[Path, Path], tmp_path: Path
    ) -> None:
        first, second = mined
        own = ("decode=false", f"folder={tmp_path / 'out'}")
        assert run(first, second, *own) == 0
        messages = [r["message"] for r in csv_rows(tmp_path / "out/failures.csv")]
        assert messages and all("kept no picture" in each for each in messages)

    def test_a_codec_that_is_gone(self, mined: tuple[Path, Path], tmp_path: Path) -> None:
        first, second = shutil.copytree(mined[0], tmp_path / "a"), mined[1]
        settings = json.loads((first / "settings.json").read_text())
        settings["neural"]["codec"]["name"] = "nobodys"
        (first / "settings.json").write_text(json.dumps(settings))
        assert run(first, second, f"folder={tmp_path / 'out'}") == 0
        messages = {r["message"] for r in csv_rows(tmp_path / "out/failures.csv")}
        assert messages and all("cannot be made" in m and "nobodys" in m for m in messages)

    def test_a_codec_that_changed_and_one_that_rounds(
        self, mined: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """Learned codecs may differ by a level between machines: that is no other picture."""
        first, second = mined[0], shutil.copytree(mined[1], tmp_path / "b")
        tables = {name: read_mined(second, name) for name in KEYS}
        coded = tables[CODED]
        place = coded.column_names.index("neural_sha256")
        tables[CODED] = coded.set_column(place, "neural_sha256", [["0" * 64] * len(coded)])
        with TablesWriter(second) as writer:
            for name, table in tables.items():
                writer.add(name, table)
        own = ("fail_on_new=100", f"folder={tmp_path / 'out'}")
        assert run(first, second, *own) == 0
        assert len((tmp_path / "out" / "failures.csv").read_text().splitlines()) == 1
        streams = [second / name for name in coded["neural_bitstream"].to_pylist()]
        contents = [stream.read_bytes() for stream in streams]
        for stream, other in zip(streams, contents[1:] + contents[:1], strict=True):
            stream.write_bytes(other)
        assert run(first, second, *own) == 0
        messages = {r["message"] for r in csv_rows(tmp_path / "out/failures.csv")}
        assert messages and all("decodes to other pixels" in each for each in messages)

    def test_a_mined_folder_and_itself(self, mined: tuple[Path, Path]) -> None:
        one = mined[0]
        done = compare_runs(one, one, QUICK)
        assert {(row["status"], row["iou"]) for row in done.changes.to_pylist()} == {
            ("stayed", 1.0)
        }
