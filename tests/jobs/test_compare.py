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
from nacd_bench.evaluation.artifact_changes import COUNTS, Rules, what_changed
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.paired_versions import presence_test, score_test
from nacd_bench.evaluation.significance import wilcoxon_p
from nacd_bench.jobs.compare.differences import mean_rates, rate_changes
from nacd_bench.jobs.compare.run import compare
from nacd_bench.jobs.compare.versions import compare_runs
from nacd_bench.planting import Scene, plant
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import CODECS
from nacd_bench.report.comparison_tables import markdown
from nacd_bench.runs.candidates import KEYS, TablesWriter, read_mined
from nacd_bench.runs.compared_run import read_compared
from nacd_bench.runs.schema import CODED
from nacd_bench.runs.tables import write_failures, write_tables
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.manifest import write_manifest
from nacd_bench.triplets.record import TripletRecord

PLANTED = {"motorcycle_left": "texture", "rocket": "large_color", "coffee": "small_color"}
FAST = Resampling(resamples=200)
QUICK = Rules(bootstrap=FAST)


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
        assert "spends 4.8% fewer bits at low (1.0500 and 1.0000 bpp)" in line

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
                *("detector=[texture_severity,color_severity,large_color]", "overlays=false"),
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
    def test_what_is_worse_is_what_was_planted(self, real: Path, tmp_path: Path) -> None:
        assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
        found = rows(tmp_path)
        changed = {r["image"] for r in found if r["status"] == "new" or r["change"] == "stronger"}
        assert {"motorcycle_left", "rocket"} <= changed <= {*PLANTED}
        assert not [r for r in found if r["status"] == "fixed" or r["change"] == "weaker"]
        for r in found:
            if r["status"] == "new":
                assert r["severity_before"] <= 1.5 < r["severity_after"]
                assert r["x0_before"] is None and r["x0_after"] is not None
            if r["image"] not in PLANTED:
                assert (r["status"], r["change"], r["strength"]) == ("stayed", "same", 0)
        types = summary(tmp_path)["types"]
        assert {*types} == {"texture", "color"}
        for own in types.values():
            assert own["before"] == own["stayed"] + own["fixed"] + own["unclear_before"]
            assert own["after"] == own["stayed"] + own["new"] + own["unclear_after"]
        assert {own["outcome"] for own in types.values()} == {"worse"}
        assert summary(tmp_path)["unjudged"] == ["text"]
        assert {*summary(tmp_path)["beside"]} == {"large_color"}
        page = tmp_path / "compare" / "index.html"
        assert "http" not in page.read_text() and (page.parent / "pictures").is_dir()
        assert {r["original_sha256"] for r in found} and (tmp_path / "changes.csv").is_file()

    def test_a_run_and_itself(self, real: Path, tmp_path: Path) -> None:
        status = run(
            *(real / "before", real / "before", f"folder={tmp_path}", "report=false"),
            *("fail_on_new=0", "fail_on_stronger=0", "fail_on_worse=0.05", "margin=0"),
        )
        assert status == 0
        found = summary(tmp_path)
        assert found["passed"] is True and found["total"]["stayed"] == found["total"]["before"]
        assert {r["status"] for r in rows(tmp_path)} <= {"stayed"}
        for own in found["types"].values():
            assert own["presence"]["p_holm"] == own["severity"]["p_holm"] == 1
            assert own["severity"]["difference"]["value"] == 0

    def test_the_other_way_round_is_the_mirror_image(self, real: Path) -> None:
        forth = compare_runs(real / "before", real / "after", QUICK)
        back = compare_runs(real / "after", real / "before", QUICK)
        swapped = {"new": "fixed", "fixed": "new", "stronger": "weaker", "weaker": "stronger"}

        def seen(done: Any, mirrored: bool) -> Counter:
            runs = ("after", "before") if mirrored else ("before", "after")
            places = [f"{name}_{run}" for name in ("x0", "severity") for run in runs]
            turned = swapped if mirrored else {}
            return Counter(
                (
                    *(turned.get(row[name], row[name]) for name in ("status", "change")),
                    *(row[name] for name in ("image", "detector", "strength", *places)),
                )
                for row in done.changes.to_pylist()
            )

        assert seen(forth, False) == seen(back, True)
        assert forth.summary["types"].keys() == {"texture", "color"}
        for kind, figures in forth.summary["types"].items():
            other = back.summary["types"][kind]
            assert (figures["outcome"], other["outcome"]) == ("worse", "better")
            test, mirrored = figures["severity"], other["severity"]
            assert mirrored["p"] == test["p"] and mirrored["p_holm"] == test["p_holm"]
            mean, opposite = test["difference"], mirrored["difference"]
            assert opposite["value"] == pytest.approx(-mean["value"])
            assert opposite["low"] == pytest.approx(-mean["high"])
            first, second = figures["presence"], other["presence"]
            assert (first["better"], first["worse"]) == (second["worse"], second["better"])

    def test_gates(self, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        own = (real / "before", real / "after", "report=false", f"folder={tmp_path / 'out'}")
        found = compare_runs(real / "before", real / "after", QUICK).summary
        name = "new" if found["total"]["new"] else "stronger"
        total, texture = found["total"][name], found["types"]["texture"][name]
        gate = f"fail_on_{name}"
        assert run(*own, f"{gate}={total}") == 0
        assert run(*own, f"{gate}={total - 1}") == 3
        assert f"FAILED ({total} {name}" in capsys.readouterr().out
        assert summary(tmp_path / "out")["passed"] is False
        assert run(*own, f"{gate}={{texture: {texture}}}") == 0
        assert run(*own, f"{gate}={{texture: {texture - 1}}}") == (3 if texture else 1)
        assert run(*own, "fail_on_new={text: 0}") == 3  # nothing looked for text
        assert "nothing judged the type text" in capsys.readouterr().out
        assert run(*own, "fail_on_new={txt: 0}") == 1
        assert "text" in capsys.readouterr().err

    def test_a_thresholds_file(self, real: Path, tmp_path: Path) -> None:
        from nacd_bench.evaluation.thresholds import best_thresholds, write_thresholds

        types = {"texture_severity": "texture", "color_severity": "color"}
        thresholds = best_thresholds([0, 1], [0.0, 1.0])
        sets = {kind: dict.fromkeys(types, thresholds) for kind in set(types.values())}
        write_thresholds(tmp_path / "thresholds.yaml", sets)
        given = f"thresholds={tmp_path / 'thresholds.yaml'}"
        own = ("report=false", f"folder={tmp_path / 'out'}")
        assert run(real / "before", real / "after", given, *own) == 0
        assert set(summary(tmp_path / "out")["rules"]["thresholds"].values()) == {0.5}

    def test_the_order_of_rows_does_not_matter(self, real: Path, tmp_path: Path) -> None:
        shuffled = shutil.copytree(real / "after", tmp_path / "after")
        for name in ("triplets", "detections", "scores"):
            table = pq.read_table(shuffled / f"{name}.parquet")
            order = np.random.default_rng(1).permutation(len(table))
            pq.write_table(table.take(order), shuffled / f"{name}.parquet")
        one = compare_runs(real / "before", real / "after", QUICK)
        two = compare_runs(real / "before", shuffled, QUICK)
        assert one.changes == two.changes and one.summary["types"] == two.summary["types"]

    def test_images_that_are_gone_cost_their_pictures(
        self, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        """A file that another version has written over is not shown as the earlier one."""
        neural = real / "neural" / "rocket.png"
        content = neural.read_bytes()
        try:
            shutil.copy(real / "faulty" / "rocket.png", neural)
            assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
            (message,) = {row["message"] for row in csv_rows(tmp_path / "failures.csv")}
            assert "changed since the run" in message
            neural.unlink()
            assert run(real / "before", real / "after", f"folder={tmp_path}") == 0
        finally:
            neural.write_bytes(content)
        assert "pictures are missing" in capsys.readouterr().out
        assert "nothing of that name" in (tmp_path / "compare" / "data.js").read_text()


# --- faults from hardly visible to absurd


SIDE = 160
PATCH = (slice(40, 104), slice(40, 104))
FAULTS = {"cast": (1, 5, 20, 90, 255), "blur": (0.4, 1, 3, 12, 60)}


def faulty(image: Any, fault: str, strength: float, patch: bool) -> Any:
    from scipy.ndimage import gaussian_filter

    pixels = image.astype(float)
    if fault == "cast":
        changed = pixels + np.array([strength, 0, -strength])
    else:
        changed = gaussian_filter(pixels, (strength, strength, 0))
    changed = changed.round().clip(0, 255).astype(np.uint8)
    if patch:
        whole, changed = changed, image.copy()
        changed[PATCH] = whole[PATCH]
    return changed


@pytest.fixture(scope="module")
def severities() -> Any:
    """Results of the cell detectors and large_color on crops, by crop and neural decode."""
    import torch

    from nacd_bench.detectors import ColorSeverity, LargeColor, TextureSeverity
    from nacd_bench.triplets.batch import TripletBatch

    detectors = [TextureSeverity(), ColorSeverity(), LargeColor(window=64, stride=32)]
    codec = CODECS.get("jpeg")()
    originals = [
        np.ascontiguousarray(photo(name)[60 : 60 + SIDE, 200 : 200 + SIDE])
        for name in ("astronaut", "chelsea", "coffee")
    ]
    decodes = [codec.decode(codec.encode(image, 60)) for image in originals]

    def of(versions: list[Any]) -> dict[str, dict[str, tuple[float, Any]]]:
        triplets = [
            [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images]
            for images in zip(originals, versions, decodes, strict=True)
        ]
        batch = TripletBatch(*(torch.stack(role) for role in zip(*triplets, strict=True)))
        found: dict[str, dict[str, tuple[float, Any]]] = {f"{i}@1": {} for i in range(3)}
        for detector in detectors:
            said = detector(batch)
            for i, own in enumerate(found.values()):
                boxes = said.boxes[i].tolist()
                own[detector.name] = (float(said.scores[i]), boxes[0] if boxes else None)
        return found

    return decodes, of


@pytest.mark.parametrize("fault", FAULTS)
def test_more_of_a_fault_is_never_called_better(
    fault: str, severities: Any, tmp_path: Path
) -> None:
    """On all pictures, on one, and on a patch; the other way round it is never called worse."""
    decodes, of = severities
    before = make_run(tmp_path / "before", of(decodes))
    order = ["none", "same", "worse"]
    for where in ("all", "one", "patch"):
        outcomes = []
        for strength in FAULTS[fault]:
            changed = [faulty(image, fault, strength, where == "patch") for image in decodes]
            versions = [*changed[:1], *decodes[1:]] if where == "one" else changed
            after = make_run(tmp_path / f"{where}{strength}", of(versions))
            forth = compare_runs(before, after, QUICK).summary
            back = compare_runs(after, before, QUICK).summary
            types = forth["types"].values()
            assert {each["outcome"] for each in types} <= {*order}
            assert {each["outcome"] for each in back["types"].values()} <= {*order[:2], "better"}
            assert not sum(each["fixed"] + each["weaker"] for each in types)
            outcomes.append(max(order.index(each["outcome"]) for each in types))
            if (fault, where, strength) == ("cast", "all", 90):
                assert forth["beside"]["large_color"]["contradicts"] is False or (
                    "does not decide" in markdown(forth)
                )
        assert outcomes == sorted(outcomes) and outcomes[-1] == 2 and outcomes[0] < 2


# --- runs that are made by hand


DETECTORS = {
    **{"texture_severity": "texture", "color_severity": "color", "large_color": "color"},
    **{"text_severity": "text", "text": "text"},
}
BOX, FAR = [0, 0, 300, 300], [400, 0, 700, 300]
ONE = {"color_severity": (2.0, BOX)}
CLEAN = {"color_severity": (0.0, None)}


def make_run(
    folder: Path, found: dict[str, dict[str, tuple[float, list[int] | None]]], **facts: Any
) -> Path:
    """A detect run of triplets by id; score and strongest box by triplet and detector."""
    records, results = [], {}
    for name, own in found.items():
        extra = {"image_sha256": f"{name.split('@')[0]:0>64}", **facts.get("extra", {})}
        given = {key: value for key, value in facts.items() if key not in ("extra", "failures")}
        records.append(
            TripletRecord(name, "gone.png", "gone.png", "gone.png", **given, extra=extra)
        )
        results[name] = {
            d: Result(score, [box] if box else [], [score] if box else [])
            for d, (score, box) in own.items()
        }
    names = {name for own in found.values() for name in own}
    types = {name: kind for name, kind in DETECTORS.items() if name in names}
    folder.mkdir(parents=True)
    write_tables(folder, records, results, types, dict.fromkeys(types, 0.0))
    write_failures(folder, facts.get("failures", []))
    settings = {"nacd_bench": "1", "detectors": {name: {"version": "1"} for name in types}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "config.yaml").write_text("thresholds: {}\n")
    return folder


def compared(folder: Path, before: Any, after: Any, rules: Rules = QUICK, **facts: Any) -> Any:
    """Two runs of scores and boxes by triplet and detector, compared."""
    runs = zip("ab", (before, after), strict=True)
    return compare_runs(*(make_run(folder / name, own, **facts) for name, own in runs), rules)


def totals(done: Any, *names: str) -> list[int]:
    return [done.summary["total"][name] for name in names]


def color(*severities: float, box: list[int] = BOX) -> dict[str, Any]:
    """Triplets of one photograph each with these severities."""
    return {
        f"{number}@1": {"color_severity": (x, box if x > 0.5 else None)}
        for number, x in enumerate(severities)
    }


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A run with one artifact."""
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
        one = {"x@left": ONE, "x@right": CLEAN}
        done = compared(tmp_path, one, dict(reversed(one.items())), neural_point="3")
        assert len(done.pairs) == 2 and totals(done, "stayed", "new") == [1, 0]
        assert done.summary["originals"] == 1  # one original is one piece of evidence

    def test_a_result_that_one_run_lacks_is_not_new(self, tmp_path: Path) -> None:
        other = {"texture_severity": (0.0, None)}
        after = make_run(tmp_path / "b", {"x@1": {**ONE, **other}, "y@1": {**ONE, **other}})
        before = make_run(tmp_path / "a", {"x@1": {**ONE, **other}, "y@1": other})
        done = compare_runs(before, after, QUICK)
        assert done.summary["total"]["new"] == 0 and done.summary["types"]["color"]["stayed"] == 1
        (left,) = done.unpaired
        assert (left["triplet"], left["detector"]) == ("y@1", "color_severity")
        assert any(
            "1 results of a detector are in one run only" in w for w in done.summary["warnings"]
        )

    def test_a_type_that_nothing_was_scored_of_is_not_called_clean(self, tmp_path: Path) -> None:
        """Its judge failed everywhere in one run."""
        scored, failed = ({"x@1": {**ONE, "text_severity": (x, None)}} for x in (0.0, np.nan))
        done = compared(tmp_path, scored, failed)
        assert done.summary["unjudged"] == ["text", "texture"]
        assert "not judged: text, texture" in done.summary["verdict"]


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
        settings["detectors"]["color_severity"]["window"] = 64
        settings["nacd_bench"] = "2"
        (after / "settings.json").write_text(json.dumps(settings))
        (after / "thresholds.csv").write_text("detector,threshold\ncolor_severity,1.8\n")
        done = compare_runs(before, after, replace(QUICK, fail_on_worse=0.05)).summary
        assert done["rules"]["thresholds"] == {"color_severity": 1.8}
        text = "\n".join(done["warnings"])
        for line in (
            "The settings of color_severity differ",
            "nacd-bench 1 made the first run and 2 the second",
            "different thresholds for color_severity",
            "In 5 of 5 pairs the traditional result is another one",
            "spends 20.0% more bits",
            "fail_on_worse=0.05 can fail nothing: with so few photographs the least p value is 0",
        ):
            assert line in text
        assert not compare_runs(before, before, QUICK).summary["warnings"]

    @pytest.mark.parametrize("fact", ["version", "model"])
    def test_judges_of_other_versions_are_refused_by_name(
        self, fact: str, one: Path, tmp_path: Path
    ) -> None:
        other = make_run(tmp_path / "b", {"x@1": ONE})
        for run, value in ((one, "1"), (other, "2")):
            settings = json.loads((run / "settings.json").read_text())
            settings["detectors"]["color_severity"][fact] = value
            (run / "settings.json").write_text(json.dumps(settings))
        fails(DataError, rf"color_severity\.{fact}: 1 in .*one, 2 in", compare_runs, one, other)

    def test_failures_of_a_run_are_told_and_counted(
        self, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        failed = {"failures": [Failure("y@1", "", "no such file")]}
        after = make_run(tmp_path / "after", {"x@1": ONE}, **failed)
        own = ("report=false", f"folder={tmp_path / 'out'}")
        assert run(one, after, *own) == 1
        assert "y@1: in the run after: no such file" in capsys.readouterr().out
        assert "no such file" in (tmp_path / "out" / "failures.csv").read_text()
        before = make_run(tmp_path / "before", {"x@1": CLEAN})
        assert run(before, after, *own, "fail_on_new=0") == 3  # what is certain comes first

    def test_the_end_of_the_scale_is_told(self, tmp_path: Path) -> None:
        done = compared(tmp_path, color(2.9, 1.0), color(3.0, 1.0)).summary
        assert "In 1 of 2 pictures the severity of color is at the end" in done["warnings"][0]


class TestRules:
    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            (0.0, 2.0, ("new", "")),
            (1.0, 1.5, ("", "")),  # over it, not on it
            (1.4, 1.6, ("unclear", "marginal")),
            (1.3, 1.6, ("new", "")),
            (1.6, 1.8, ("stayed", "same")),
            (1.6, 3.0, ("stayed", "stronger")),
        ],
    )
    def test_what_changed_and_its_mirror_image(
        self, before: float, after: float, expected: tuple[str, str]
    ) -> None:
        swapped = {"new": "fixed", "stronger": "weaker"}
        assert what_changed(before, after, 1.5, 0.25) == expected
        mirrored = tuple(swapped.get(word, word) for word in expected)
        assert what_changed(after, before, 1.5, 0.25) == mirrored

    def test_counts_are_of_pictures(self, tmp_path: Path) -> None:
        sides = color(0.0, 2.0, 2.0, 2.0, 2.0, 1.4, 0.1), color(2.0, 0.0, 2.6, 1.6, 2.1, 1.6, 0.2)
        done = compared(tmp_path, *sides)
        expected = {"before": 4, "after": 5, "fixed": 1, "new": 1, "stayed": 3}
        expected |= {"unclear_after": 1, "stronger": 1, "weaker": 1}
        assert done.summary["total"] == dict.fromkeys(COUNTS, 0) | expected
        figures = done.summary["types"]["color"]
        assert figures["outcome"] == "mixed"
        assert "color is worse in 2 and better in 2 of 7 pictures" in done.summary["verdict"]

    def test_an_artifact_that_is_elsewhere_moved(self, tmp_path: Path) -> None:
        done = compared(tmp_path, color(2.0), color(2.1, box=FAR))
        assert totals(done, "stayed", "moved") == [1, 1]
        assert done.summary["types"]["color"]["outcome"] == "same"

    def test_a_threshold_that_is_given_decides(self, tmp_path: Path) -> None:
        rules = replace(QUICK, thresholds={"color_severity": 1.0})
        done = compared(tmp_path, color(0.0, 1.9), color(1.3, 2.0), rules)
        assert totals(done, "before", "new", "stayed") == [1, 1, 1]
        by = compare_runs(*done.runs, replace(QUICK, criterion="severity_1.0")).summary
        assert by["rules"]["thresholds"] == {"color_severity": 1.0}
        assert by["types"] == done.summary["types"]

    def test_a_rise_that_is_no_chance(self, tmp_path: Path) -> None:
        runs = [make_run(tmp_path / f"{x}", color(*[x] * 12)) for x in (0.5, 0.6)]
        rules = replace(QUICK, fail_on_worse=0.05)
        (line,) = compare_runs(*runs, rules).summary["objections"]
        assert "the severity of color rose by 0.1 on average" in line
        assert not compare_runs(*runs[::-1], rules).summary["objections"]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"margin": -1}, "margin as a number of at least 0"),
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
        rules = Rules(thresholds={"large_color": 1.0})
        fails(DataError, "detector in thresholds", compare_runs, one, one, rules)


class TestWhatIsSaid:
    def test_a_cast_that_large_color_takes_for_an_improvement(self, tmp_path: Path) -> None:
        """CIEDE2000 beyond 8 counts as 0 there: shown, and without a say."""
        sides = [
            {
                f"{i}@1": {"color_severity": (severity, BOX), "large_color": (score, None)}
                for i in range(6)
            }
            for severity, score in ((1.6, 0.2), (3.0, -1.5))
        ]
        done = compared(tmp_path, *sides).summary
        assert done["types"]["color"]["outcome"] == "worse"
        own = done["beside"]["large_color"]
        assert (own["rose"], own["fell"], own["contradicts"]) == (0, 6, True)
        text = markdown(done)
        assert "| large_color | color | 0 | 6 | 0.0312 | contradicts |" in text
        assert "large_color: the score went the other way" in text

    def test_no_text_is_not_averaged(self, tmp_path: Path) -> None:
        """-1 says that there is none: no mean of it stands anywhere."""
        scores = ((-1.0, -1.0, 0.2), (-1.0, -1.0, 0.4))
        sides = [
            {f"{i}@1": {**CLEAN, "text": (score, None)} for i, score in enumerate(own)}
            for own in scores
        ]
        done = compared(tmp_path, *sides).summary
        own = {"type": "text", "rose": 1, "fell": 0, "p": 1.0, "p_holm": 1.0, "contradicts": False}
        assert done["beside"] == {"text": own}

    def test_the_summary_is_for_a_pull_request(self, tmp_path: Path) -> None:
        facts = {"neural_codec": "mine", "traditional_codec": "hm", "traditional_version": "18"}
        before = make_run(tmp_path / "a", color(*[0.1] * 12), neural_version="1", **facts)
        worse = color(*[2.0 + number / 20 for number in range(12)])
        after = make_run(tmp_path / "b|<b>`", worse, neural_version="2", **facts)
        done = compare(
            before, after, tmp_path / "out", bootstrap=FAST, fail_on_new=3, show_progress=False
        )
        text = (tmp_path / "out" / "summary.md").read_text()
        first = text.splitlines()[0]
        assert first.startswith("**FAILED (12 new artifacts, more than 3): color is worse in 12 of")
        assert first.endswith("not judged: text, texture.**")
        assert "mine 1; traditional hm 18" in text and "mine 2; traditional hm 18" in text
        for fact in ("thresholds: `color_severity 1.5`", "margin: `0.25`", "gate: `fail_on_new=3`"):
            assert f"- {fact}" in text
        assert "b|<b>'" in text and "<b>``" not in text
        tables = [line for line in text.splitlines() if line.startswith("|")]
        assert max(line.replace(r"\|", "").count("|") for line in tables) == 7
        worst = [line for line in tables if "(compare/index.html#?" in line]
        assert len(worst) == 10 and worst[0].startswith("| `11@1")
        assert "0.10 to 2.55 | 0, 0, 300, 300 | [pictures]" in worst[0]
        assert "status=new&artifact_type=color&q=11%401" in worst[0]
        assert done.compared.summary["worst"][0]["box"] == BOX

    def test_no_artifacts_on_either_side(self, tmp_path: Path) -> None:
        nothing = {"color_severity": (0.0, None), "texture_severity": (0.0, None)}
        done = compared(tmp_path, {"x@1": nothing}, {"x@1": nothing}).summary
        expected = "color and texture: no artifacts on either side; not judged: text."
        assert done["verdict"] == expected
        assert done["types"]["color"]["severity"]["p"] == 1


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["margin=wide"], "expected margin as a number"),
            (["pictures=-1"], "pictures as a whole number"),
            (["bootstrap.resamples=0"], "bootstrap"),
            (["thresholds.color_severity=high"], "thresholds.color_severity as a number"),
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
        other = make_run(tmp_path / "b", {"x@1": CLEAN})
        fails(DataError, "job: None before, 'compare' now", compare, one, one, other)
        (one / "scores.parquet").unlink()
        fails(DataError, "without its tables: scores", read_compared, one)

    def test_a_compress_folder(self, one: Path, tmp_path: Path) -> None:
        other = tmp_path / "compressed"
        arguments = ["compress", "photos", "neural=webp", "traditional=jpeg", f"folder={other}"]
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.png").write_bytes(png(photo("coffee")[:64, :64]))
        arguments[1] = str(tmp_path / "photos")
        assert main([*arguments, "show_progress=false"]) == 0
        fails(DataError, f"Run detect first: nacd-bench detect {other}", compare_runs, one, other)

    def test_no_detector_of_severity(self, one: Path, tmp_path: Path) -> None:
        other = make_run(tmp_path / "b", {"x@1": {"large_color": (0.1, BOX)}})
        remedy = r"detector=\[texture_severity,color_severity,text_severity\]"
        fails(DataError, remedy, compare_runs, one, other)
        fails(DataError, remedy, compare_runs, other, other)

    def test_a_run_started_from_python_has_no_configuration(
        self, one: Path, tmp_path: Path
    ) -> None:
        (one / "config.yaml").unlink()
        assert run(one, one, "report=false", f"folder={tmp_path / 'out'}") == 0
        assert summary(tmp_path / "out")["rules"]["thresholds"] == {"color_severity": 1.5}

    def test_a_run_without_any_box(self, one: Path, tmp_path: Path) -> None:
        empty = make_run(tmp_path / "a", {"x@1": CLEAN})
        for after, new in ((one, 1), (empty, 0)):
            done = compare(empty, after, tmp_path / "out", bootstrap=FAST, show_progress=False)
            assert totals(done.compared, "before", "new") == [0, new]
            assert len(rows(tmp_path / "out")) == new

    @pytest.mark.parametrize("number", [1, 2])
    def test_few_pictures(self, number: int, tmp_path: Path) -> None:
        runs = [make_run(tmp_path / name, color(*[x] * number)) for name, x in (("a", 0), ("b", 2))]
        done = compare(*runs, tmp_path / "out", show_progress=False).compared.summary
        assert f"worse in {number} of {number} pictures" in done["verdict"]
        assert done["types"]["color"]["severity"]["p_holm"] == [1, 0.5][number - 1]
        assert "nan" not in (tmp_path / "out" / "summary.md").read_text()

    def test_no_picture(self, one: Path, tmp_path: Path) -> None:
        fails(DataError, "got 1 triplets", compare_runs, one, make_run(tmp_path / "b", {}))


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two mined folders of the same images with other candidates; they are not changed."""
    folder = tmp_path_factory.mktemp("mined")
    detectors = {"texture_severity": "texture", "color_severity": "color", "text": "text"}
    first, second = (
        make_mined(folder / name, 2, seed, detectors, score=2.0 + seed)
        for seed, name in enumerate("ab")
    )
    return first, second


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
        assert len(found) == total["stronger"] == 2 * len(read_mined(first, CODED))
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
        changes = done.changes.to_pylist()
        assert {(row["status"], row["change"]) for row in changes} == {("stayed", "same")}
