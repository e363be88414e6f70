"""The numbers that commands write, computed again from the files by code of another kind.

``docs/numbers.md`` lists every number with its test; one made run is shared by those of benchmark.
Its scores are made up so that they hold what goes wrong: ties, NaN, infinite scores, boxes of
negative confidence, boxes of equal confidence, a label without a place, a class nearly empty.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import shutil
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from checks import csv_rows
from mined_folder import make_mined
from PIL import Image
from references import ms_ssim
from triplet_folder import ROLES, make_triplets, small_photo

from nacd_bench.baselines import PSNR
from nacd_bench.cli.images import compress as compress_command
from nacd_bench.cli.main import main
from nacd_bench.detectors import LargeColor, Texture
from nacd_bench.evaluation.balanced import BalancedSet, set_of
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.comparison import compare
from nacd_bench.evaluation.duplicates import with_duplicates
from nacd_bench.evaluation.rate_distortion import bd_rate, bd_rates, curves, left_out
from nacd_bench.jobs.benchmark.results import Benchmarked, write_results
from nacd_bench.jobs.verify.results import import_votes
from nacd_bench.numbers import duration
from nacd_bench.pipeline.forecast import forecast
from nacd_bench.pipeline.scores import Scored
from nacd_bench.registry import CODECS
from nacd_bench.report.run_page import write_report
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.read import read_run
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, schema
from nacd_bench.runs.tables import write_failures, write_tables
from nacd_bench.runs.tasks import Key, Task, new_task, read_key, write_key
from nacd_bench.runs.votes import Vote, collect
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.manifest import read_manifest
from nacd_bench.triplets.record import Label, TripletRecord

DOCS = Path(__file__).parents[1] / "docs"
TYPES = {"texture": "texture", "boundary": "texture", "large_color": "color"}
LEVELS = {"color": (3, 9), "texture": (24, 26)}
METHODS = {"color": {"large_color", "psnr"}, "texture": {"texture", "boundary", "psnr"}}
"""Positives and negatives: color's class is nearly empty, texture has enough for DeLong."""


def record(kind: str, side: str, i: int) -> TripletRecord:
    name = f"{kind}-{side}-{i}"
    box = None if i == 1 else (10 * i, 5, 10 * i + 60, 45)
    labels = (Label(kind, box),) if side == "positive" else ()
    drawn = {"test_set": kind, "side": side, "drawn_as": kind if labels else "free"}
    extra = {**drawn, "cluster": name if i else f"{kind}-shared", "draw_seed": 0}
    return TripletRecord(
        name, f"{name}.png", "n.png", "t.png", labels=labels, artifact_free=not labels, extra=extra
    )


def made_score(rng: np.random.Generator, each: TripletRecord, number: int) -> Result:
    strength = rng.normal() + 0.8 * bool(each.labels)
    score = [round(strength, 1), -math.inf, math.nan][2 if number == 7 else number == 3]
    count = int(rng.integers(0, 4))
    corners = rng.integers(0, 60, (count, 2))
    boxes = [(int(x), int(y), int(x) + 60, int(y) + 40) for x, y in corners]
    return Result(score, boxes, [round(float(v), 1) for v in rng.normal(0, 0.3, count)])


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose scores are made up; everything after scoring is the product's."""
    rng = np.random.default_rng(5)
    sets: dict[str, BalancedSet] = {}
    for kind, counts in LEVELS.items():
        sides = zip(("positive", "negative"), counts, strict=True)
        sets[kind] = set_of([record(kind, side, i) for side, n in sides for i in range(n)], "made")
    records = [each for own in sets.values() for each in own.records]
    scores = {
        name: {each.id: made_score(rng, each, i) for i, each in enumerate(records)}
        for name in (*TYPES, "psnr")
    }
    scores["psnr"] = {k: Result(v.score) for k, v in scores["psnr"].items()}
    scores["texture"].pop(records[-1].id)  # it failed
    resampling = Resampling(resamples=300)
    done = Benchmarked(
        tmp_path_factory.mktemp("audit") / "run",
        sets,
        compare(sets, scores, TYPES, ["psnr"], resampling=resampling),
        Scored(scores),
        {"texture": Texture(), "boundary": Texture(), "large_color": LargeColor(), "psnr": PSNR()},
        TYPES,
        ["psnr"],
        False,
        [],
        {"wall_seconds": 1.0},
        {"drawing": {"seed": 0}},
    )
    write_results(done)
    (done.folder / "settings.json").write_text(json.dumps(done.settings))
    return done.folder


@pytest.fixture(scope="module")
def metrics(benchmarked: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((benchmarked / "metrics.json").read_text())
    return found


def column(folder: Path, kind: str, method: str) -> tuple[list[bool], list[float]]:
    """Truth and scores of a method, those that it has."""
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    own = [r for r in rows if r["test_set"] == kind and r[method] is not None]
    return [r["is_positive"] for r in own], [r[method] for r in own]


def pairs_in_order(truth: list[bool], scores: list[float]) -> float:
    with_it = [s for s, t in zip(scores, truth, strict=True) if t]
    without = [s for s, t in zip(scores, truth, strict=True) if not t]
    won = [(a > b) + (a == b) / 2 for a in with_it for b in without]
    return sum(won) / len(won)


class TestBenchmark:
    def test_auc(self, benchmarked: Path, metrics: dict[str, Any]) -> None:
        assert {*metrics["sets"]} == {*LEVELS}
        for kind, own in metrics["sets"].items():
            assert {*own["auc"]} == METHODS[kind]
            assert (own["n_positive"], own["n_negative"]) == LEVELS[kind]
            for method, found in own["auc"].items():
                truth, scores = column(benchmarked, kind, method)
                assert found["value"] == pytest.approx(pairs_in_order(truth, scores), abs=1e-12)
                assert found["n_positive"] == sum(truth)
                assert found["n_negative"] == len(truth) - sum(truth)
                assert found["n_excluded"] == sum(LEVELS[kind]) - len(truth)
                assert 0 <= found["low"] < found["value"] < found["high"] <= 1

    def test_holm(self, metrics: dict[str, Any]) -> None:
        tests = [test for own in metrics["sets"].values() for test in own["tests"]]
        assert {test["test"] for test in tests} == {"delong", "permutation"}
        ordered, least = sorted(tests, key=lambda test: test["p"]), 0.0
        for rank, test in enumerate(ordered):
            least = max(least, min(1.0, test["p"] * (len(tests) - rank)))
            assert test["p_holm"] == pytest.approx(least, abs=1e-12)

    def test_thresholds(self, benchmarked: Path) -> None:
        sets = yaml.safe_load((benchmarked / "thresholds.yaml").read_text())["sets"]
        assert {*sets} == {*LEVELS}
        for kind, methods in sets.items():
            assert {*methods} == METHODS[kind]
            for method, criteria in methods.items():
                truth, scores = column(benchmarked, kind, method)
                cuts = [
                    [
                        sum(t and s > cut for t, s in zip(truth, scores, strict=True)),
                        sum(not t and s > cut for t, s in zip(truth, scores, strict=True)),
                    ]
                    for cut in [*scores, min(scores) - 1]
                ]
                m, n = sum(truth), len(truth) - sum(truth)
                best = {
                    "youden": max(tp / m - fp / n for tp, fp in cuts),
                    "f1": max(2 * tp / (tp + fp + m) for tp, fp in cuts),
                    "fpr_5": max(tp for tp, fp in cuts if fp <= 0.05 * n),
                    "precision_90": max([tp for tp, fp in cuts if tp >= 0.9 * (tp + fp)]),
                }
                for name, found in criteria.items():
                    if found["threshold"] is None:
                        assert best[name] <= 0
                        continue
                    above = [s > found["threshold"] for s in scores]
                    counts = Counter(zip(truth, above, strict=True))
                    assert found["tp"] == counts[True, True] and found["fp"] == counts[False, True]
                    assert (
                        found["fn"] == counts[True, False]
                        and found["tn"] == counts[False] + (counts[False, False])
                    )
                    value = {"fpr_5": found["tp"], "precision_90": found["tp"]}
                    assert value.get(name, found["value"]) == pytest.approx(best[name])

    def test_curves(self, benchmarked: Path, metrics: dict[str, Any]) -> None:
        for kind, own in metrics["sets"].items():
            rows = csv_rows(benchmarked / "curves" / f"{kind}.csv")
            for method, found in own["auc"].items():
                curve = [row for row in rows if row["method"] == method]
                points = [(float(r["false_positive_rate"]), float(r["recall"])) for r in curve]
                area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
                assert area == pytest.approx(found["value"], abs=1e-12)
                truth, scores = column(benchmarked, kind, method)
                for row in curve:
                    if row["threshold"] == "nan":
                        continue
                    above = [s > float(row["threshold"]) for s in scores]
                    hits = sum(t and a for t, a in zip(truth, above, strict=True))
                    assert float(row["recall"]) == pytest.approx(hits / sum(truth))
                    if any(above):
                        assert float(row["precision"]) == pytest.approx(hits / sum(above))

    def test_localisation(self, benchmarked: Path, metrics: dict[str, Any]) -> None:
        """Pointing, IoU and AP from ``detections.parquet`` and the set's labels alone."""
        detections = pq.read_table(benchmarked / "detections.parquet").to_pylist()
        for kind, figures in metrics["sets"].items():
            records = read_manifest(benchmarked / "sets" / f"{kind}.parquet")
            assert {*figures["localisation"]} == METHODS[kind] - {"psnr"}
            for detector, found in figures["localisation"].items():
                failed = {"texture": {records[-1].id}}.get(detector, set())
                images = []
                for each in records:
                    labelled = [label.box for label in each.labels]
                    if each.id in failed or None in labelled:
                        continue
                    boxes = [
                        (d["confidence"], (d["x0"], d["y0"], d["x1"], d["y1"]))
                        for d in detections
                        if (d["triplet"], d["detector"]) == (each.id, detector)
                    ]
                    images.append((labelled, sorted(boxes, key=lambda b: (-b[0], b[1]))))
                with_label = [each for each in images if each[0]]
                points = [bool(b) and inside(b[0][1], labels) for labels, b in with_label]
                assert found["pointing"]["value"] == pytest.approx(np.mean(points))
                ious = [
                    max(iou(b[0][1], x) for x in labels) if b else 0 for labels, b in with_label
                ]
                assert found["mean_iou"]["value"] == pytest.approx(np.mean(ious))
                assert found["n_boxes"] == sum(len(b) for _, b in images)
                assert found["average_precision"]
                for least, value in found["average_precision"].items():
                    expected = average_precision(images, float(least))
                    assert value["value"] == pytest.approx(expected, abs=1e-9)
        assert any(d["confidence"] < 0 for d in detections)

    def test_tables_and_pages_say_what_metrics_say(
        self, benchmarked: Path, metrics: dict[str, Any]
    ) -> None:
        page = write_report(read_run(benchmarked), []).read_text("utf-8")
        texts = [
            *((benchmarked / name).read_text("utf-8") for name in ("table.md", "table.tex")),
            page.replace("</td><td>", " "),
        ]
        for own in metrics["sets"].values():
            for found in own["auc"].values():
                for text in texts:
                    shown = [
                        [float(x) for x in row]
                        for row in re.findall(r"([01]\.\d+) \[([01]\.\d+), ([01]\.\d+)\]", text)
                    ]
                    assert any(
                        abs(value - found["value"]) < 6e-4
                        and 0 <= found["low"] - low < 1e-3
                        and 0 <= high - found["high"] < 1e-3
                        for value, low, high in shown
                    )


def iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Counted pixel by pixel."""
    first, second = (
        {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)
    )
    return len(first & second) / len(first | second)


def inside(box: tuple[int, ...], labels: list[tuple[int, ...]]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(b[0] <= x < b[2] and b[1] <= y < b[3] for b in labels)


def average_precision(images: list[tuple[Any, Any]], least: float) -> float:
    """COCO's rule at every confidence that occurs, by counting."""
    taken = []
    for labels, boxes in images:
        free = list(labels)
        for confidence, box in boxes:
            best = max(free, key=lambda x: iou(box, x), default=None)
            hit = best is not None and iou(box, best) >= least
            if hit:
                free.remove(best)
            taken.append((confidence, hit))
    total = sum(len(labels) for labels, _ in images)
    points = []
    for cut in {confidence for confidence, _ in taken}:
        over = [hit for confidence, hit in taken if confidence >= cut]
        points.append((sum(over) / total, sum(over) / len(over)))
    return float(
        np.mean([max((p for r, p in points if r >= x), default=0) for x in np.linspace(0, 1, 101)])
    )


SIDES = ("neural", "traditional")
STEPS = (
    *(("low", 0.1, 30.0), ("mid", 0.2, 33.0), ("good", 0.3, 34.5)),
    *(("high", 0.5, 36.5), ("top", 0.9, 39.0)),
)


class TestCompress:
    ROWS = [
        {
            "preset": preset,
            "source": source,
            "neural_codec": "n",
            "traditional_label": "t",
            "neural_bpp": 0.9 * rate * scale,
            "traditional_bpp": rate * scale,
            "neural_psnr": quality,
            "traditional_psnr": quality,
            "neural_msssim": missing if source == "b" else 1 - 10 ** (2 - quality / 10),
            "traditional_msssim": missing if source == "b" else 1 - 10 ** (2 - quality / 10),
        }
        for source, scale, missing in (("a", 1.0, None), ("b", 3.0, None))
        for preset, rate, quality in STEPS
    ]

    def test_means_of_a_step_leave_out_what_is_missing(self) -> None:
        table = curves(self.ROWS)
        assert [row["codec"] for row in table] == ["n", "t"] * 10
        assert [row["step"] for row in table[::2]] == ["low", "mid", "good", "high", "top"] * 2
        rates, psnrs = (np.array([step[place] for step in STEPS]) for place in (1, 2))
        for side, factor in ((0, 0.9), (1, 1.0)):
            psnr, msssim = table[side:10:2], table[10 + side :: 2]
            assert [row["value"] for row in psnr] == pytest.approx(psnrs)
            assert [row["bpp"] for row in psnr] == pytest.approx(factor * rates * 2)
            assert {row["images"] for row in psnr} == {2}
            # MS-SSIM is that of the image that has one, beside its own rates
            assert [row["value"] for row in msssim] == pytest.approx(psnrs - 20)
            assert [row["bpp"] for row in msssim] == pytest.approx(factor * rates)
            assert {row["images"] for row in msssim} == {1}

    @pytest.fixture(scope="class")
    def compressed(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Photographs, one large enough for MS-SSIM, a black and a flat picture, at four rates."""
        folder = tmp_path_factory.mktemp("compress")
        pictures = {
            "large": small_photo("astronaut", 180, 176),
            "small": small_photo("coffee", 61, 95),
            "black": np.zeros((48, 64, 3), np.uint8),
            "flat": np.full((40, 56, 3), (200, 30, 90), np.uint8),
        }
        (folder / "photos").mkdir()
        for name, pixels in pictures.items():
            Image.fromarray(pixels).save(folder / "photos" / f"{name}.png")
        given = [
            str(folder / "photos"),
            f"folder={folder}/run",
            "codec@neural=webp",
            "codec@traditional=jpeg",
            "points=[10,40,65,80]",
            "workers=0",
        ]
        calls: Counter[str] = Counter()
        with pytest.MonkeyPatch.context() as patch:
            for codec in map(CODECS.get, ("webp", "jpeg")):

                def counted(self: Any, *given: Any, encode: Any = codec.encode) -> Any:
                    calls[self.name] += 1
                    return encode(self, *given)

                patch.setattr(codec, "encode", counted)
            assert main(["compress", *given, "show_progress=false"]) == 0
        (folder / "calls.json").write_text(json.dumps(calls))
        return folder / "run"

    def test_bits_and_decibels(self, compressed: Path) -> None:
        """Of every result from the bytes of its bitstream and the pixels of its decode."""
        rows = pq.read_table(compressed / "triplets.parquet").to_pylist()
        assert len(rows) == 16
        calls = json.loads((compressed.parent / "calls.json").read_text())
        assert sum(row["neural_encodes"] for row in rows) == calls["webp"]
        assert sum(row["traditional_encodes"] for row in rows) == calls["jpeg"]
        for row in rows:
            original = np.asarray(Image.open(row["original"]))
            for side in ("neural", "traditional"):
                stream = (compressed / row[f"{side}_bitstream"]).read_bytes()
                rate = 8 * len(stream) / (original.shape[0] * original.shape[1])
                assert row[f"{side}_bpp"] == pytest.approx(rate, rel=1e-12)
                path = Path(row[side])
                decode = np.asarray(Image.open(path if path.is_file() else compressed / path))
                error = ((original / 255 - decode / 255) @ (0.299, 0.587, 0.114)) ** 2
                expected = 300.0 if error.max() < 1e-25 else -10 * math.log10(error.mean())
                assert row[f"{side}_psnr"] == pytest.approx(expected, abs=1e-6)
                found = row[f"{side}_msssim"]
                assert (found is None) == (row["source"] != "large")
                if found is not None:
                    wanted = ms_ssim(original, decode)
                    decibels = [-10 * math.log10(1 - value) for value in (found, wanted)]
                    assert decibels[0] == pytest.approx(decibels[1], abs=1e-4)

    def test_tables_of_a_run(self, compressed: Path) -> None:
        """Means and BD-rates of the folder from its manifest; black comes back as it was."""
        rows = pq.read_table(compressed / "triplets.parquet").to_pylist()
        lossless = {
            row["source"] for row in rows if 300 in (row["neural_psnr"], row["traditional_psnr"])
        }
        assert lossless == {"black"}
        lines = csv_rows(compressed / "rate_distortion.csv")
        measured = {"psnr": 3, "msssim": 1, "ssimulacra2": 1}  # images, which may be too small
        if find_spec("vmaf_torch"):
            measured["vmaf"] = 3
        assert [line["codec"] for line in lines] == ["webp", "jpeg"] * 4 * len(measured)
        for line in lines:
            side = {"webp": "neural", "jpeg": "traditional"}[line["codec"]]
            own = [
                row
                for row in rows
                if row["preset"] == line["step"]
                and row["source"] not in lossless
                and row[f"{side}_{line['quality']}"] is not None
            ]
            assert int(line["images"]) == len(own) == measured[line["quality"]]
            values = [row[f"{side}_{line['quality']}"] for row in own]
            if line["quality"] == "msssim":
                values = [-10 * math.log10(1 - value) for value in values]
            for name, numbers in (("value", values), ("bpp", [r[f"{side}_bpp"] for r in own])):
                assert float(line[name]) == pytest.approx(math.fsum(numbers) / len(numbers))
            gaps = [
                row["traditional_bpp"] / row["neural_bpp"] - 1
                for row in rows
                if row["preset"] == line["step"] and side == "traditional"
            ]
            shown = float(line["gap"]), float(line["largest_gap"])
            wanted = (np.mean(np.abs(gaps)), max(gaps, key=abs)) if gaps else (math.nan,) * 2
            assert shown == pytest.approx(wanted, nan_ok=True)
        saved = {line["quality"]: line for line in csv_rows(compressed / "bd_rate.csv")}
        assert set(saved) == {"psnr", "msssim", "ssimulacra2", "vmaf"}
        numbers = {}
        for quality in ("psnr", "msssim", "ssimulacra2"):
            line, every = saved[quality], []
            for source in ("large", "small", "flat") if quality == "psnr" else ("large",):
                own = [row for row in rows if row["source"] == source]
                values = np.array(
                    [[r[f"{side}_{x}"] for r in own] for side in SIDES for x in ("bpp", quality)]
                )
                if quality == "msssim":
                    values[1::2] = -10 * np.log10(1 - values[1::2])
                every.append(values)
            assert int(line["images"]) == len(every)
            rises = all((np.diff(values) > 0).all() for values in every)
            assert rises == (quality != "psnr")  # flat is no curve
            percents = []
            for test_bpp, test, bpp, anchor in every if rises else [np.mean(every, axis=0)]:
                low, high = max(test[0], anchor[0]), min(test[-1], anchor[-1])
                grid = np.linspace(low, high, 2001)
                ways = [
                    hermite(levels.tolist(), np.log(rates).tolist(), grid)
                    for rates, levels in ((test_bpp, test), (bpp, anchor))
                ]
                area = float(np.trapezoid(ways[0] - ways[1], grid) / (high - low))
                percents.append(100 * math.expm1(area))
                numbers[quality] = high - low, min(np.ptp(test), np.ptp(anchor))
            assert line["of"] in ("", "images" if rises else "mean curves")
            if line["of"]:
                assert float(line["percent"]) == pytest.approx(np.mean(percents), abs=2e-3)
            else:
                shared, narrower = numbers[quality]
                assert float(line["overlap"]) == pytest.approx(max(shared, 0))
                assert shared < narrower / 2
        assert any(line["of"] for line in saved.values())

    def test_nothing_is_printed_as_0_or_1_that_is_not(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        none = {"gap": math.nan, "largest_gap": math.nan, "images": 1}
        step = {"step": "high", "codec": "webp", "quality": "psnr", "value": 51.0, **none}
        found = [{**step, "bpp": 0.00003}, {**step, "codec": "jpeg", "bpp": 0.5}]
        found[1] |= {"gap": 0.071, "largest_gap": -0.12}
        nothing: dict[str, Any] = {
            key: {} for key in ("left_out", "notes", "duplicates", "not_averaged")
        }
        lists: Any = {key: [] for key in ("bd_rates", "rows", "decoded_again", "failures")}
        given = {"curves": found, "encodes": 1, "manifest": "m", "folder": Path("f"), "seconds": {}}
        done = SimpleNamespace(**nothing, **lists, **given)
        monkeypatch.setattr("nacd_bench.jobs.compress.run.compress", lambda **_: done)
        assert compress_command(plan=False) == 0
        out = capsys.readouterr().out
        assert {"0.00003", "-"} <= {*out.split()} and "nan" not in out
        assert "7.1 % (-12.0 %)" in out and "0 triplets, 1 encode. " in out

    def test_what_comes_back_unchanged_is_in_no_mean(self) -> None:
        """A black picture that a codec gives back as it was has 300 dB, which no mean can bear."""
        psnr = [f"{role}_psnr" for role in ("neural", "traditional")]
        for name in psnr:
            black = {**dict.fromkeys(psnr, 45.0), name: 300.0}
            same = [
                {**row, **black, "source": "black"} for row in self.ROWS if row["source"] == "b"
            ]
            assert curves([*self.ROWS, *same]) == curves(self.ROWS)
            assert bd_rates([*self.ROWS, *same])[0]["images"] == 2
            assert set(left_out([*self.ROWS, *same])["psnr"]) == {"black"}
        assert curves([{**row, **dict.fromkeys(psnr, 300.0)} for row in self.ROWS]) == []

    @pytest.mark.parametrize("seed", range(5))
    def test_bd_rate_is_the_area_between_the_curves(self, seed: int) -> None:
        """Hermite polynomials with the slopes of Fritsch and Butland, integrated step by step."""
        rng = np.random.default_rng(seed)
        points = []
        for _ in range(2):
            quality = np.sort(rng.uniform(28, 40, 5 - seed % 2))
            rate = np.exp(rng.normal(0.15 * quality - 6, 0.1))
            points.append((rate.tolist(), quality.tolist()))
        (anchor, own), (test, other) = points
        low, high = max(own[0], other[0]), min(own[-1], other[-1])
        grid = np.linspace(low, high, 4001)
        ways = [hermite(q, np.log(r).tolist(), grid) for r, q in points]
        expected = 100 * math.expm1(float(np.trapezoid(ways[1] - ways[0], grid) / (high - low)))
        order = rng.permutation(len(anchor))
        shuffled = [anchor[i] for i in order], [own[i] for i in order]
        assert bd_rate(*shuffled, test, other) == pytest.approx(expected, abs=1e-3)
        # a step without a finite quality, and one that costs more for the same
        more = [0.3, test[0] * 2], [math.inf, other[0]]
        longer = [*test, *more[0]], [*other, *more[1]]
        assert bd_rate(anchor, own, *longer) == pytest.approx(expected, abs=1e-3)

    def test_bd_rate_is_the_mean_over_images_that_have_one(self) -> None:
        psnr, msssim, *_ = bd_rates(self.ROWS)
        assert psnr["percent"] == pytest.approx(-10) and psnr["images"] == 2
        assert msssim["percent"] == pytest.approx(-10) and msssim["images"] == 1


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """An export of tied confidences and what raters say by chance, with gaps, about each task.

    ``q`` saw a single task, ``w`` has three of four controls right, ``x`` one less.
    """
    folder, rng = tmp_path_factory.mktemp("votes"), np.random.default_rng(6)
    rows = [
        {
            "candidate": f"candidate {i}",
            "image": f"image {i % 12}",
            "artifact_type": kind,
            "detector": detector,
            "preset": str(rng.choice(["low", "high"])),
            "confidence": float(rng.integers(0, 5)) / 4,  # far fewer values than candidates
        }
        for i in range(90)
        for detector, kind in [[*TYPES.items()][i % 3]]
    ]
    rows[-1] |= {"detector": "text", "artifact_type": "text"}  # a class with a single row
    (folder / "tasks").mkdir()
    table = pa.Table.from_pylist(rows, schema=schema(CANDIDATES))
    pq.write_table(table, folder / "tasks" / "candidates.parquet")
    tasks = [new_task(0, "candidate", row["candidate"], row["artifact_type"]) for row in rows]
    tasks += [Task(f"c{i}", "texture", "planted", "x", answer="A") for i in range(4)]
    write_key(folder / "tasks", Key("mined", 3, {task.id: task for task in tasks}, "made"))
    given: dict[str, dict[str, str]] = {"q": {tasks[0].id: "A"}}
    for rater, right in {"u": 4, "v": 4, "w": 3, "x": 2}.items():
        asked = [task.id for task in tasks[:-4] if rng.random() < 0.85]
        given[rater] = {task: str(rng.choice(["A", "B", "same"])) for task in asked}
        given[rater] |= {f"c{i}": "A" if i < right else "B" for i in range(4)}
    lines = [f"{r},{task},{answer}" for r, own in given.items() for task, answer in own.items()]
    (folder / "votes.csv").write_text("\n".join(["rater,task,answer", *lines]))
    return folder, given


def hermite(x: list[float], y: list[float], grid: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation after Fritsch and Butland (1984), as in the BD-rate of JVET."""
    h = [b - a for a, b in itertools.pairwise(x)]
    d = [(b - a) / w for (a, b), w in zip(itertools.pairwise(y), h, strict=True)]
    slopes = [end_slope(h[0], h[1], d[0], d[1])]
    for (h0, h1), (d0, d1) in zip(itertools.pairwise(h), itertools.pairwise(d), strict=True):
        w0, w1 = 2 * h1 + h0, h1 + 2 * h0
        slopes.append((w0 + w1) / (w0 / d0 + w1 / d1) if d0 * d1 > 0 else 0.0)
    slopes.append(end_slope(h[-1], h[-2], d[-1], d[-2]))
    values = []
    for at in grid:
        i = min(max(sum(at >= each for each in x) - 1, 0), len(h) - 1)
        t = (at - x[i]) / h[i]
        values.append(
            y[i] * (1 + 2 * t) * (1 - t) ** 2
            + h[i] * slopes[i] * t * (1 - t) ** 2
            + y[i + 1] * t * t * (3 - 2 * t)
            + h[i] * slopes[i + 1] * t * t * (t - 1)
        )
    return np.array(values)


def end_slope(h0: float, h1: float, d0: float, d1: float) -> float:
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    return 3 * d0 if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0) else slope


class TestDetect:
    @pytest.fixture(scope="class")
    def detected(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
        """Photographs, a black and a flat triplet: without thresholds and with some of them."""
        folder = tmp_path_factory.mktemp("detect")
        data = make_triplets(folder / "data")
        for name, color in (("black", (0, 0, 0)), ("flat", (200, 30, 90))):
            for role in ROLES:
                Image.new("RGB", (120, 90), color).save(data / role / f"{name}.png")
        given = [
            "detector=[texture,large_color,small_color]",
            "show_progress=false",
            "detector.texture.window=32",
            "detector.large_color.window=32",
            "overlays=false",
            "report=false",
        ]
        plain = folder / "plain"
        assert main(["detect", str(data), f"folder={plain}", *given]) == 0
        boxes = pq.read_table(plain / "detections.parquet").to_pylist()
        limits = {
            name: sorted(b["confidence"] for b in boxes if b["detector"] == name)[1]
            for name in ("texture", "large_color")
        }
        given += [f"thresholds.{name}={limit!r}" for name, limit in limits.items()]
        assert main(["detect", str(data), f"folder={folder / 'cut'}", *given]) == 0
        (folder / "cut" / "limits.json").write_text(json.dumps(limits))
        return plain, folder / "cut"

    def test_tables_are_one_table(self, detected: tuple[Path, Path]) -> None:
        """CSV and Parquet to the last bit, -inf and all; a row of scores for each triplet."""
        for folder in detected:
            for name in ("scores", "detections"):
                rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
                lines = csv_rows(folder / f"{name}.csv")
                assert len(lines) == len(rows) > 0
                for line, row in zip(lines, rows, strict=True):
                    assert line.keys() == row.keys()
                    for key, value in row.items():
                        if isinstance(value, float):
                            assert float(line[key]) == value
                        else:
                            assert line[key] == ("" if value is None else str(value))
            rows = pq.read_table(folder / "scores.parquet").to_pylist()
            names = ["astronaut", "black", "coffee", "flat", "rocket"]
            assert [row["triplet"] for row in rows] == names

    def test_a_detection_is_over_its_threshold(self, detected: tuple[Path, Path]) -> None:
        """Exactly at its threshold it is none; scores are as before."""
        plain, cut = (
            [pq.read_table(f / f"{n}.parquet").to_pylist() for n in ("scores", "detections")]
            for f in detected
        )
        limits = json.loads((detected[1] / "limits.json").read_text())
        assert cut[0] == plain[0]
        over = [
            box for box in plain[1] if box["confidence"] > limits.get(box["detector"], -math.inf)
        ]
        assert cut[1] == over and len(plain[1]) - 4 <= len(over) < len(plain[1])
        for box in plain[1]:
            assert box["confidence"] > 0 and box["triplet"] not in ("black", "flat")
            assert 0 <= box["x0"] < box["x1"] <= 128 and 0 <= box["y0"] < box["y1"] <= 96


KINDS = {"texture_severity": "texture", "color_severity": "color", "large_color": "color"}
JUDGES = {"texture": "texture_severity", "color": "color_severity"}


def made_detections(folder: Path, rng: np.random.Generator, version: int) -> Path:
    """A detect run of ten originals at two rates; scores and rates are missing in some rows.

    Severities are coarse, so that some are equal and some lie on the threshold.
    """
    records, results = [], {}
    for i in range(20):
        name, preset = f"image{i // 2}-{'low' if i % 2 else 'high'}-{version}", i % 2
        extra = {"image_sha256": f"{i // 2:064x}", "preset": "low" if preset else "high"}
        bpp = None if i == 3 + version else float(rng.uniform(0.1, 1))
        records.append(TripletRecord(name, "o.png", "n.png", "t.png", neural_bpp=bpp, extra=extra))
        results[name] = {}
        for detector in KINDS:
            if (detector, i) == ("color_severity", 6 + version):
                continue  # it failed
            score = 0.5 if i == 9 else float(rng.integers(0, 13)) / 4
            corners = 40 * rng.integers(0, 3, (rng.integers(1, 4), 2))
            boxes = [[*map(int, c), *map(int, c + 100)] for c in corners]
            own = [score, *(score * 0.9 for _ in boxes[1:])]
            results[name][detector] = Result(score, boxes, own)
    folder.mkdir()
    write_tables(folder, records, results, KINDS, dict.fromkeys(KINDS, 0.0))
    write_failures(folder, [])
    settings = {"nacd_bench": "1", "detectors": {name: {"version": "1"} for name in KINDS}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "config.yaml").write_text("thresholds: {}\n")
    return folder


class TestCompare:
    @pytest.fixture(scope="class", params=[0, 7])
    def compared(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Path:
        folder, rng = tmp_path_factory.mktemp("compare"), np.random.default_rng(request.param)
        runs = [made_detections(folder / str(version), rng, version) for version in (0, 1)]
        options = [f"folder={folder}/out", "report=false", "bootstrap.resamples=200"]
        assert main(["compare", *map(str, runs), *options, "show_progress=false"]) == 0
        return folder

    def scores(self, folder: Path) -> list[dict[str, Any]]:
        """Per run the scores by triplet without its version."""
        return [
            {row["triplet"][:-2]: row for row in pq.read_table(path).to_pylist()}
            for path in (folder / version / "scores.parquet" for version in "01")
        ]

    def test_counts(self, compared: Path) -> None:
        """Severities by a loop; the test of presence by sums of binomial coefficients."""
        first, second = self.scores(compared)
        summary = json.loads((compared / "out" / "summary.json").read_text())
        assert {kind: own["detector"] for kind, own in summary["types"].items()} == JUDGES
        totals: Counter[str] = Counter()
        for kind, found in summary["types"].items():
            counts: Counter[str] = Counter()
            with_one: list[set[str]] = [set(), set()]
            pairs = {
                name: (row[JUDGES[kind]], second[name][JUDGES[kind]]) for name, row in first.items()
            }
            pairs = {name: pair for name, pair in pairs.items() if None not in pair}
            for name, (a, b) in pairs.items():
                for side, (run, x) in enumerate((("before", a), ("after", b))):
                    counts[run] += x > 1.5
                    with_one[side] |= {name} if x > 1.5 else set()
                if a > 1.5 and b > 1.5:
                    counts["stayed"] += 1
                    counts["stronger"] += b - a > 0.25
                    counts["weaker"] += a - b > 0.25
                elif a > 1.5 or b > 1.5:
                    is_clear = abs(a - b) > 0.25
                    counts[
                        ("new" if is_clear else "unclear_after")
                        if b > a
                        else ("fixed" if is_clear else "unclear_before")
                    ] += 1
            for name in (*counts, "fixed", "new"):
                assert found[name] == counts[name], (kind, name)
            totals += counts
            presence = found["presence"]
            assert (presence["with_before"], presence["with_after"]) == tuple(map(len, with_one))
            change = Counter(n.split("-")[0] for n in with_one[1])
            change.subtract(n.split("-")[0] for n in with_one[0])
            better, worse = (sum(sign * v > 0 for v in change.values()) for sign in (-1, 1))
            assert (presence["better"], presence["worse"]) == (better, worse)
            n, least = better + worse, min(better, worse)
            tail = 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n
            assert presence["p"] == pytest.approx(min(1.0, tail), abs=1e-12)
            assert presence["n"] == len(pairs) == (18 if kind == "color" else 20)
            assert found["outcome"] == "mixed"
        assert {name: summary["total"][name] for name in totals} == {**totals}
        assert min(totals[n] for n in ("new", "fixed", "stayed", "stronger", "weaker")) > 0

    def test_scores_and_rates(self, compared: Path) -> None:
        """Wilcoxon by all signs over the originals that changed; means where both runs have one."""
        runs = self.scores(compared)
        summary = json.loads((compared / "out" / "summary.json").read_text())
        p_values = []
        for own in summary["types"].values():
            detector = own["detector"]
            pairs = {
                name: (row[detector], runs[1][name][detector])
                for name, row in runs[0].items()
                if None not in (row[detector], runs[1][name][detector])
            }
            assert len(pairs) == (18 if detector == "color_severity" else 20)
            found = own["severity"]
            for side, name in enumerate(("before", "after")):
                assert found[name] == pytest.approx(np.mean([p[side] for p in pairs.values()]))
            assert found["difference"]["n"] == len(pairs)
            by_original = defaultdict(list)
            for name, (first, second) in pairs.items():
                by_original[name.split("-")[0]].append(round(second - first, 9))
            change = [round(sum(v) / len(v), 9) for v in by_original.values()]
            assert found["difference"]["value"] == pytest.approx(np.mean(change), abs=1e-9)
            changed = [c for c in change if c]
            assert found["worse"] == sum(c > 0 for c in changed)
            assert found["better"] == sum(c < 0 for c in changed)
            ranks = [
                sum((abs(o) < abs(c)) + (abs(o) == abs(c)) / 2 for o in changed) + 0.5
                for c in changed
            ]
            seen = abs(sum(math.copysign(r, c) for r, c in zip(ranks, changed, strict=True)))
            ways = [
                abs(sum(s * r for s, r in zip(signs, ranks, strict=True))) >= seen - 1e-9
                for signs in itertools.product((-1, 1), repeat=len(ranks))
            ]
            assert found["p"] == pytest.approx(np.mean(ways), abs=1e-12)
            p_values.append((found["p"], found["p_holm"]))
        least = 0.0
        for rank, (p, holm) in enumerate(sorted(p_values)):
            least = max(least, min(1.0, p * (len(p_values) - rank)))
            assert holm == pytest.approx(least, abs=1e-12)
        for rate in summary["rates"]:
            both = [
                (row["neural_bpp"], runs[1][name]["neural_bpp"])
                for name, row in runs[0].items()
                if rate["preset"] in ("", name.split("-")[1])
            ]
            both = [each for each in both if None not in each]
            assert rate["n"] == len(both) == (18 if rate["preset"] == "" else 9)
            first, second = (math.fsum(each) / len(both) for each in zip(*both, strict=True))
            assert (rate["before"], rate["after"]) == pytest.approx((first, second))
            assert rate["change"] == pytest.approx((second - first) / first)
        assert len(summary["rates"]) == 3


class TestDataset:
    @pytest.fixture(scope="class")
    def built(self, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
        """Two data sets of the same candidates, each with votes of its own, and both as one."""
        folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(3)
        mined = make_mined(folder / "mined", images=2, seed=4)
        rows = kept(read_mined(mined)).to_pylist()
        places = []
        for name in ("first", "second"):
            for row in rows:
                yes, no = map(int, rng.integers(0, 4, 2))
                confirmed = True if yes > no else False if no > yes else None
                votes = {"votes_for": yes, "votes_against": no, "confirmed": confirmed}
                row |= {**votes, "run": str(mined.absolute())}
            (folder / name).mkdir()
            table = pa.Table.from_pylist(rows, schema=schema("verified"))
            pq.write_table(table, folder / name / "verified.parquet")
            places.append(folder / f"{name}-data")
            options = [f"folder={places[-1]}", "workers=0", "show_progress=false"]
            assert main(["dataset", "build", str(folder / name), *options]) == 0
        options = [f"folder={folder / 'both'}", "workers=0", "show_progress=false"]
        status = main(["dataset", "build", *map(str, places), *options])
        failures = (folder / "both" / "failures.csv").read_text().splitlines()[1:]
        assert status == bool(failures)  # where one confirms and another refuses
        return [*places, folder / "both"]

    def test_counts_and_areas(self, built: list[Path]) -> None:
        """Statistics, card and COCO of each data set from its two tables."""
        for folder in built:
            assert main(["dataset", "stats", str(folder), f"output=[{folder}.json]"]) == 0
            stats = json.loads(Path(f"{folder}.json").read_text())
            rows = pq.read_table(folder / "artifacts.parquet").to_pylist()
            triplets = pq.read_table(folder / "triplets.parquet").to_pylist()
            yes = [row for row in rows if row["confirmed"] is True]
            own = [row for row in yes if row["duplicate_of"] is None]
            assert len(own) > 0 and len(rows) > len(yes)
            assert stats["triplets"] == len(triplets) == len({row["id"] for row in triplets})
            assert stats["images"] == len({row["source"] for row in triplets})
            assert stats["artifacts"] == stats["verified"] == len(own)
            assert stats["duplicates"] == len(yes) - len(own)
            assert stats["refused"] == sum(row["confirmed"] is False for row in rows)
            assert stats["undecided"] == sum(row["confirmed"] is None for row in rows)
            types = Counter(row["artifact_type"] for row in own)
            assert stats["by_type"] == {kind: types[kind] for kind in ("texture", "color", "text")}
            assert stats["by_detector"] == Counter(
                each["detector"] for row in own for each in row["found_by"]
            )
            for preset, found in stats["boxed_at_preset"].items():
                cells = Counter(r["artifact_type"] for r in own if preset in r["presets"])
                assert {k: n for k, n in found.items() if n} == cells
            for preset, found in stats["by_preset"].items():
                cells = Counter(r["artifact_type"] for r in own if r["preset"] == preset)
                assert {k: n for k, n in found.items() if n} == cells
            votes = Counter(
                f"{row['votes_for']} for, {row['votes_against']} against"
                for row in rows
                if row["confirmed"] is not None
            )
            assert stats["votes"] == votes
            shares = sorted(
                (r["x1"] - r["x0"]) * (r["y1"] - r["y0"]) / (r["width"] * r["height"]) for r in own
            )
            sizes = stats["box_sizes"]["share of the image"]
            assert (sizes["smallest"], sizes["largest"]) == pytest.approx((shares[0], shares[-1]))
            for preset, rates in stats["bits_per_pixel"].items():
                for side in ("neural", "traditional"):
                    known = [r[f"{side}_bpp"] for r in triplets if f"_{preset}" in r["id"]]
                    assert rates[side] == pytest.approx(math.fsum(known) / len(known))
            coco = json.loads((folder / "annotations.json").read_text())
            names = {each["id"]: each["triplet"] for each in coco["images"]}
            kinds = {each["id"]: each["name"] for each in coco["categories"]}
            boxes = Counter(
                (names[a["image_id"]], kinds[a["category_id"]], *a["bbox"], a["area"])
                for a in coco["annotations"]
            )
            assert boxes == Counter(
                (
                    *(r["triplet"], r["artifact_type"], r["x0"], r["y0"]),
                    *(r["x1"] - r["x0"], r["y1"] - r["y0"]),
                    (r["x1"] - r["x0"]) * (r["y1"] - r["y0"]),
                )
                for r in yes
            )
            cells = [str(n) for n in (*stats["by_type"].values(), len(own))]
            assert f"| total | {' | '.join(cells)} |" in (folder / "README.md").read_text()

    def test_merged_votes(self, built: list[Path]) -> None:
        """Of what both have the sums, of what one has its own; decided where nobody disagrees."""
        tables = [
            {
                (r["triplet"], r["detector"], r["x0"], r["y0"]): r
                for r in pq.read_table(folder / "artifacts.parquet").to_pylist()
            }
            for folder in built
        ]
        first, second, both = tables
        assert len([key for key in both if key in first and key in second]) > 5
        for key, row in both.items():
            given = [own[key] for own in (first, second) if key in own]
            for name in ("votes_for", "votes_against"):
                assert row[name] == sum(each[name] for each in given)
            said = {each["confirmed"] for each in given} - {None}
            assert row["confirmed"] == (said.pop() if len(said) == 1 else None)


class TestMine:
    def test_counts_of_a_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Of its tables, with a file twice, a black picture and one that is no picture."""
        photos, folder = tmp_path / "photos", tmp_path / "run"
        photos.mkdir()
        for name in ("astronaut", "coffee"):
            Image.fromarray(small_photo(name)).save(photos / f"{name}.png")
        shutil.copy(photos / "coffee.png", photos / "twice.png")
        Image.new("RGB", (80, 72)).save(photos / "black.png")
        (photos / "broken.png").write_bytes((photos / "coffee.png").read_bytes()[:99])
        given = [
            "codec@neural=webp",
            "codec@traditional=jpeg",
            "points=[5,30]",
            "workers=0",
            "detector=[large_color,small_color]",
            "detector.large_color.window=32",
        ]
        assert main(["mine", str(photos), f"folder={folder}", "show_progress=false", *given]) == 1
        summary = json.loads((folder / "summary.json").read_text())
        tables = {
            name: read_mined(folder, name).to_pylist() for name in (CANDIDATES, CODED, IMAGES)
        }
        # an image in which nothing could be coded is counted among images too
        digests = {hashlib.sha256(path.read_bytes()).digest() for path in photos.iterdir()}
        assert (summary["names"], summary["images"]) == (5, len(digests)) == (5, 4)
        assert summary["failed"] + summary["unreadable"] == 1
        assert summary["triplets"] == len(tables[CODED]) == 6
        for row in tables[CODED]:
            for side in ("neural", "traditional"):
                size = (folder / row[f"{side}_bitstream"]).stat().st_size
                assert row[f"{side}_bpp"] == 8 * size / (row["width"] * row["height"])
        for side, count in summary["encodes"].items():
            assert count == sum(row[f"{side}_encodes"] for row in tables[CODED])
        rows = tables[CANDIDATES]
        cells = Counter(f"{row['artifact_type']} {row['preset']}" for row in rows)
        assert summary["candidates"] == cells and sum(cells.values()) == len(rows) > 2
        kept_cells = Counter(
            f"{row['artifact_type']} {row['preset']}" for row in rows if not row["duplicate_of"]
        )
        assert {k: n for k, n in summary["kept"].items() if n} == kept_cells
        assert sum(kept_cells.values()) < len(rows)
        own = Counter(row["image"] for row in rows)
        assert {r["image"]: r["candidates"] for r in tables[IMAGES] if r["candidates"]} == own
        assert "4 images (5 names), 6 triplets" in capsys.readouterr().out

    @pytest.mark.parametrize("iou", [0.5, 0.3])
    def test_duplicates_of_more_than_eight_types(self, iou: float) -> None:
        """Boxes of other images and types are never one, however many types there are."""
        rng = np.random.default_rng(8)
        corners = rng.integers(0, 60, (600, 2))
        rows = [
            {
                "candidate": f"{i:03}",
                "image_sha256": f"image {rng.integers(6)}",
                "artifact_type": f"type {rng.integers(11):02}",
                "preset_index": int(rng.integers(3)),
                "detector": str(rng.choice(["one", "two"])),
                "confidence": float(rng.integers(3)),
                **dict(zip(("x0", "y0"), map(int, corner), strict=True)),
                **dict(zip(("x1", "y1"), map(int, corner + side), strict=True)),
            }
            for i, corner in enumerate(corners)
            for side in [[70, 70, 24][i % 3]]
        ]
        of = {r["candidate"]: r for r in rows}
        box = {r["candidate"]: (r["x0"], r["y0"], r["x1"], r["y1"]) for r in rows}
        expected: dict[str, str | None] = {}
        first: dict[tuple[str, str], list[str]] = defaultdict(list)
        for r in sorted(
            rows,
            key=lambda r: (
                *(-r["preset_index"], -r["confidence"], r["detector"]),
                *(*box[r["candidate"]], r["candidate"]),
            ),
        ):
            kept = first[r["image_sha256"], r["artifact_type"]]
            over = [name for name in kept if is_one_place(of[name], r, iou)]
            expected[r["candidate"]] = over[0] if over else None
            if not over:
                kept.append(r["candidate"])
        found = with_duplicates(pa.Table.from_pylist(rows), iou).to_pylist()
        assert {r["candidate"]: r["duplicate_of"] for r in found} == expected
        assert 100 < sum(name is None for name in expected.values()) < 500

    def test_a_forecast_is_that_of_the_images_that_can_be_coded(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The first of two is the one to warm up on, and here the only one."""
        Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
        codecs = ["codec@neural=webp", "codec@traditional=jpeg", "points=[20,60]"]
        detector = ["detector=[large_color]", "detector.large_color.window=32"]
        own = [f"folder={tmp_path / 'run'}", "workers=0", "show_progress=false"]
        assert main(["mine", str(tmp_path), "--plan", *own, *codecs, *detector]) == 0
        said = capsys.readouterr().out
        assert "2 images: about " in said and "Measured on 1 image of 0.00 megapixels" in said
        (tmp_path / "a.png").unlink()
        assert main(["mine", str(tmp_path), "--plan", *own, *codecs, *detector]) == 1
        assert "expected images that can be coded, got 1 image that cannot" in (
            capsys.readouterr().err
        )

    @pytest.mark.parametrize(("workers", "pace"), [(2, 4.0), (4, 3.0), (0, 9.0)])
    def test_a_forecast_is_what_starts_once_and_a_pace(
        self, monkeypatch: pytest.MonkeyPatch, workers: int, pace: float
    ) -> None:
        """Made-up times: 6 s per image in any process, 3 s in the only one, the first longer."""
        monkeypatch.setattr("nacd_bench.pipeline.forecast.time.perf_counter", lambda: 195.0)
        warm = max(workers, 1)
        row = {"coded": {"neural": {"a": {"encodes": 2}}}, "width": 1000, "height": 1000}
        extra = 2.0 if workers == 2 else 0.0
        took = [{"neural": 6.0 + extra, "detect": 3.0}] * (6 + warm)
        took[:warm] = [{"neural": 60.0, "detect": 30.0}] * warm
        sampled = []

        def job(folder: Path, every: int, taught: int) -> list[dict[str, Any]]:
            sampled.append((every, taught))
            (folder / "crops").mkdir()
            (folder / "crops" / "a").write_bytes(bytes(1000 * len(took)))
            return [row | {"seconds": seconds} for seconds in took]

        table, line = forecast(job, 1000, workers, ["detect"], 100.0)
        assert sampled == [(math.ceil(1000 / (6 + warm)), 0)]
        total = 5 + 90 - pace * len(took) + 1000 * pace
        assert f"1,000 images: about {duration(total)} on this machine with {warm} process" in line
        assert f"{duration(95 - pace * len(took))} of it once" in line and "1.0 MB" in line
        cells = {name: whole for name, _, whole in filter(None, table.rows)}
        assert cells == {
            **{"neural": duration(1000 * (6 + extra)), "detect": "50 min"},
            **{"neural encodes": "2,000", "crops": "1.0 MB"},
        }

    def test_a_forecast_knows_images_that_teach_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Eight of twenty images take 4 s, the others 1 s; in the sample it is three and three."""
        monkeypatch.setattr("nacd_bench.pipeline.forecast.time.perf_counter", lambda: 60.0)
        row = {"coded": {"t": {"a": {"encodes": 1}}}, "width": 100, "height": 100}

        def job(folder: Path, every: int, taught: int) -> list[dict[str, Any]]:
            assert (every, taught) == (3, 4)
            return [row | {"seconds": {"t": s}} for s in (30.0, 4.0, 4.0, 4.0, 1.0, 1.0, 1.0)]

        _, line = forecast(job, 20, 1, [], 0.0, teachers=8)
        once = 60 - 4 * 4 - 3 * 1
        assert f"about {duration(once + 8 * 4 + 12)} on this machine" in line
        assert f"{duration(once)} of it once" in line


def shared_area(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(width, 0) * max(height, 0)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    shared = shared_area(a, b)
    return shared / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared)


def is_one_place(kept: dict[str, Any], other: dict[str, Any], iou: float) -> bool:
    """Whether a candidate is a duplicate of one that is kept."""
    boxes = [tuple(row[edge] for edge in ("x0", "y0", "x1", "y1")) for row in (kept, other)]
    if overlap(*boxes) > iou:
        return True
    if kept["detector"] == other["detector"]:
        return False
    areas = [shared_area(box, box) for box in boxes]
    is_same_rate = kept["preset_index"] == other["preset_index"]
    return shared_area(*boxes) > iou * (min(areas) if is_same_rate else areas[0])


class TestVerify:
    @pytest.mark.parametrize("rule", ["any", "majority", "unanimous"])
    def test_counts_and_shares(
        self, votes: tuple[Path, dict[str, dict[str, str]]], tmp_path: Path, rule: str
    ) -> None:
        """Every number of the folder from the file of votes, the key and the candidates."""
        folder, given = votes
        arguments = [str(folder / "tasks"), str(folder / "votes.csv"), f"folder={tmp_path}"]
        options = [f"rule={rule}", "min_control_accuracy=0.75", "bins=3"]
        assert main(["verify", "import", *arguments, *options]) == 0
        neural = {
            task.candidate: (task.id, task.neural)
            for task in read_key(folder / "tasks").tasks.values()
            if task.kind == "candidate"
        }
        rows = pq.read_table(tmp_path / "verified.parquet").to_pylist()
        assert {row["candidate"] for row in rows} == {*neural}
        least = {"any": 1, "majority": 2, "unanimous": 3}[rule]
        for row in rows:
            task, side = neural[row["candidate"]]
            said = [own[task] for rater, own in given.items() if rater != "x" and task in own]
            yes, count = said.count(side), len(said)
            assert (row["votes_for"], row["raters"]) == (yes, count)
            assert row["votes_against"] == count - yes and row["votes_same"] == said.count("same")
            # decided where no answer that is still missing could change it
            missing = max(3 - count, 0)
            limit = least if count <= 3 else {"any": 1, "majority": 3, "unanimous": 4}[rule]
            ends = {yes >= limit, yes + missing >= limit}
            assert row["confirmed"] is (ends.pop() if len(ends) == 1 else None)
        summary = json.loads((tmp_path / "summary.json").read_text())
        counts = Counter(row["confirmed"] for row in rows)
        assert [summary[name] for name in ("confirmed", "refused", "undecided")] == [
            counts[each] for each in (True, False, None)
        ]
        assert summary["candidates"] == len(rows) > 20 and min(counts[True], counts[False]) > 0
        assert summary["votes"] == sum(row["raters"] for row in rows)
        assert (summary["people"], summary["people_dropped"]) == (5, 1)
        for kind, alpha in summary["krippendorff_alpha"].items():
            own = [row["candidate"] for row in rows if kind in ("all", row["artifact_type"])]
            tasks = [neural[name][0] for name in own]
            said = [[g[t] for r, g in given.items() if r != "x" and t in g] for t in tasks]
            assert alpha["value"] == pytest.approx(alpha_of(said), abs=1e-12)
            if len({row["image"] for row in rows if row["candidate"] in own}) > 1:
                assert alpha["low"] < alpha["value"] < alpha["high"]
        precision_is_that_of(rows, tmp_path / "precision.csv", bins=3)

    def test_the_order_of_candidates_changes_no_share(
        self, votes: tuple[Path, dict[str, dict[str, str]]], tmp_path: Path
    ) -> None:
        """Of equal confidences no row is in a lower bin than another."""
        tables = []
        for name, order in (("a", 1), ("b", -1)):
            shutil.copytree(votes[0] / "tasks", tmp_path / name)
            path = tmp_path / name / "candidates.parquet"
            rows = pq.read_table(path)
            pq.write_table(rows.take(list(range(len(rows)))[::order]), path)
            import_votes(tmp_path / name, votes[0] / "votes.csv", tmp_path / f"{name}-done")
            tables.append((tmp_path / f"{name}-done" / "precision.csv").read_text())
        assert tables[0] == tables[1]

    @pytest.mark.parametrize("controls", [7, 20, 30, 100, 300])
    def test_an_accuracy_exactly_at_its_limit_is_kept(self, controls: int) -> None:
        """11 of 20 are 0.55, and 0.55 x 20 is 11.000000000000002."""
        tasks = [Task(f"t{i}", "texture", "planted", "c", answer="A") for i in range(controls)]
        key = Key("mined", 1, {task.id: task for task in tasks}, "made")
        for right in range(controls + 1):
            votes = [
                Vote("r", f"t{i}", "A" if i < right else "B", "", "v.csv") for i in range(controls)
            ]
            for limit, is_dropped in ((right / controls, False), ((right + 0.5) / controls, True)):
                if limit <= 1:
                    (rater,) = collect(votes, key, limit).raters
                    assert rater["dropped"] == is_dropped and rater["right"] == right


def alpha_of(said: list[list[str]]) -> float:
    """Krippendorff's alpha of what raters chose: 1 - disagreement seen / disagreement by chance."""
    units = [answers for answers in said if len(answers) > 1]
    answers = [(u, answer) for u, unit in enumerate(units) for answer in unit]
    seen = sum(
        (first[1] != second[1]) / (len(units[first[0]]) - 1)
        for first, second in itertools.permutations(answers, 2)
        if first[0] == second[0]
    )
    chance = sum(first[1] != second[1] for first, second in itertools.permutations(answers, 2))
    return 1 - (seen / len(answers)) / (chance / len(answers) / (len(answers) - 1))


def precision_is_that_of(rows: list[dict[str, Any]], path: Path, bins: int) -> None:
    """Each line of the table is the share of the decided rows of its detector and range."""
    lines = csv_rows(path)
    decided = [row for row in rows if row["confirmed"] is not None]
    assert {line["detector"] for line in lines} == {row["detector"] for row in decided}
    for detector in {line["detector"] for line in lines}:
        mine = [row for row in decided if row["detector"] == detector]
        whole, *rest = [line for line in lines if line["detector"] == detector]
        presets = sorted({row["preset"] for row in mine})
        assert [line["preset"] for line in rest[: len(presets)]] == presets
        parts = rest[len(presets) :]
        assert len(parts) <= bins
        chosen = [(whole, mine)]
        for line in rest[: len(presets)]:
            chosen.append((line, [r for r in mine if r["preset"] == line["preset"]]))
        for line in parts:
            low, high = float(line["low_confidence"]), float(line["high_confidence"])
            chosen.append((line, [r for r in mine if low <= r["confidence"] <= high]))
        assert sum(int(line["decided"]) for line in parts) in (0, len(mine))
        for line, own in chosen:
            yes, n = sum(r["confirmed"] for r in own), len(own)
            assert (int(line["decided"]), int(line["confirmed"])) == (n, yes)
            assert float(line["share"]) == pytest.approx(yes / n)
            tails = (float(line["low"]), range(yes, n + 1)), (float(line["high"]), range(yes + 1))
            chances = [
                math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in those)
                for p, those in tails
            ]
            expected = [0.025 if yes else 1, 0.025 if yes < n else 1]
            assert chances == pytest.approx(expected, abs=1e-6)
            mean = math.fsum(r["confidence"] for r in own) / n
            assert float(line["mean_confidence"]) == pytest.approx(mean)


class TestList:
    def test_every_number_names_a_test_that_exists(self) -> None:
        """Each row of the list ends with ``file::test``, all of which are in the tests."""
        rows = [
            line.strip("| \n").split("|")
            for line in (DOCS / "numbers.md").read_text("utf-8").splitlines()
            if line.startswith("|") and not line.startswith(("|---", "| number"))
        ]
        assert len(rows) > 40
        for row in rows:
            names = re.findall(r"`(\w+\.py)::(\w+)`", row[-1])
            assert names, row
            for file, name in names:
                source = next(Path(__file__).parent.rglob(file)).read_text("utf-8")
                assert re.search(rf"^\s*(def|class) {name}\b", source, re.MULTILINE), (file, name)
