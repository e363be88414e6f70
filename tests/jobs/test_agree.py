"""``nacd-bench agree`` on data with known answers: figures, tests, tables, page, and bad input."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checks import csv_rows
from pages import HOSTILE
from PIL import Image
from triplet_folder import jpeg, make_triplets, small_photo

from nacd_bench.baselines import Baseline
from nacd_bench.baselines.metrics import PSNR
from nacd_bench.cli.main import main
from nacd_bench.detectors import ColorSeverity, Detector, Text, TextSeverity, TextureSeverity
from nacd_bench.detectors.severity.detector import SeverityDetector
from nacd_bench.detectors.text_finders import Cached, TextFinder, TextPolygon
from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.graded_table import CENTRE, CONSTANT, NEURAL, RATER
from nacd_bench.jobs.agree.results import Agreed
from nacd_bench.jobs.agree.run import agree, find_graded, groups_of, in_sample
from nacd_bench.jobs.benchmark.labelled_sets import Drawing
from nacd_bench.jobs.benchmark.run import benchmark
from nacd_bench.jobs.detect import detect
from nacd_bench.jobs.mine.run import mine
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.record import Label, TripletRecord

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
QUALITIES = (4, 6, 9, 14, 30, 60)
SIDES = ("neural", "traditional")
QUICK = {
    "bootstrap": Resampling(resamples=100),
    "show_progress": False,
    "pictures": 3,
}
BOX = [16, 16, 48, 48]


def severity_of(quality: int) -> float:
    """Of a JPEG: the worse, the stronger."""
    return float(np.clip(3.3 - 1.1 * math.log(quality / 3), 0, 3))


def make_graded(folder: Path, sets: Sequence[str] = ("fixed", "learned")) -> Path:
    """24 triplets of four photographs, graded by three raters with small errors of their own."""
    rng = np.random.default_rng(3)
    rows, grades = [], []
    for role in ("orig", "ai", "classic"):
        (folder / role).mkdir(parents=True)
    for name in PHOTOS:
        original = small_photo(name)
        Image.fromarray(original).save(folder / "orig" / f"{name}.png")
        for place, quality in enumerate(QUALITIES):
            triplet = f"{name}-{place}"
            other = QUALITIES[(place + 3) % 6] + 30
            Image.fromarray(jpeg(original, quality)).save(folder / "ai" / f"{triplet}.png")
            Image.fromarray(jpeg(original, other)).save(folder / "classic" / f"{triplet}.png")
            rows.append(
                {
                    "id": triplet,
                    "orig": f"orig/{name}.png",
                    "ai": f"ai/{triplet}.png",
                    "classic": f"classic/{triplet}.png",
                    "source": name,
                    "set": sets[place % len(sets)],
                }
            )
            for side, of in zip(SIDES, (quality, other), strict=True):
                for rater in "PQR":
                    for kind in ("texture", "color"):
                        noisy = severity_of(of) + rng.normal(0, 0.5)
                        grade = int(np.clip(round(noisy), 0, 3))
                        if kind == "color":
                            grade = 2 * (side == "neural")
                        grades.append(
                            {
                                **{"triplet": triplet, "rater": rater, "type": kind},
                                **{"side": side, "severity": grade},
                                "box": BOX if grade else None,
                            }
                        )
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_grades(folder, grades)
    return folder


def write_grades(folder: Path, grades: Sequence[Mapping[str, Any]]) -> None:
    (folder / "grades.jsonl").write_text("".join(json.dumps(grade) + "\n" for grade in grades))


def read_grades(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "grades.jsonl").read_text().splitlines()]


class FromPixels(Detector):
    """A detector whose score is looked up by the pixels of the side in question."""

    artifact_type = "texture"
    min_size = (1, 1)

    def __init__(self, name: str, by_pixels: Mapping[bytes, float], box: Sequence[int]) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self.by_pixels, self.box = by_pixels, box

    @property
    def settings(self) -> dict[str, Any]:
        return {"detector": self.name, "version": "1"}

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        keys = [image.numpy().tobytes() for image in batch.neural]
        scores = torch.tensor([self.by_pixels[key] for key in keys], dtype=torch.float64)
        boxes = [torch.tensor([self.box]) for _ in keys]
        return DetectionBatch(scores, boxes, [score[None] for score in scores])


class Severity(FromPixels):
    is_severity = True


def known_detectors(folder: Path) -> list[Detector]:
    """The raters' mean, a random one, and one that only names the codec."""
    given: dict[bytes, list[int]] = {}
    neural = set()
    for grade in read_grades(folder):
        if grade["type"] == "texture":
            name = "ai" if grade["side"] == "neural" else "classic"
            with Image.open(folder / name / f"{grade['triplet']}.png") as image:
                key = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).tobytes()
            given.setdefault(key, []).append(grade["severity"])
            neural |= {key} if name == "ai" else set()
    rng = np.random.default_rng(5)
    means = {key: float(np.mean(of)) for key, of in given.items()}
    return [
        Severity("mean", means, BOX),
        FromPixels("random", {key: float(rng.normal()) for key in given}, [100, 80, 128, 96]),
        FromPixels("codec", {key: float(key in neural) for key in given}, BOX),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_graded(tmp_path_factory.mktemp("graded") / "data")


@pytest.fixture(scope="module")
def agreed(folder: Path) -> Agreed:
    return agree(
        find_graded(folder),
        known_detectors(folder),
        [PSNR()],
        folder.parent / "run",
        tests={"texture": ["mean", "psnr"]},
        cache=folder.parent / "cache",
        **QUICK,
    )


def value(
    agreed: Agreed, method: str, figure: str, side: str = NEURAL, kind: str = "texture"
) -> Any:
    return agreed.figure(kind, agreed.graded.primary, side, method, figure).get("value")


class TestKnownAnswers:
    def test_the_raters_mean_is_ahead_of_one_rater(self, agreed: Agreed) -> None:
        assert value(agreed, "mean", "spearman") > value(agreed, RATER, "spearman") > 0.7
        assert value(agreed, "mean", "spearman", "traditional") > 0.8
        assert value(agreed, "mean", "auc") == 1
        assert value(agreed, "mean", "pointing") == 1
        assert value(agreed, RATER, "pointing") > 0.9  # one who drew nothing missed

    def test_one_that_names_the_codec_is_the_constant(self, agreed: Agreed) -> None:
        for side in (*SIDES, "both"):
            for figure in ("spearman", "concordance", "auc"):
                assert value(agreed, "codec", figure, side) == value(agreed, CONSTANT, figure, side)
        assert value(agreed, "codec", "spearman") == 0
        assert value(agreed, "codec", "auc", "both") > 0.8

    def test_a_random_one_shows_nothing(self, agreed: Agreed) -> None:
        row = agreed.figure("texture", agreed.graded.primary, NEURAL, "random", "spearman")
        assert row["low"] < 0 < row["high"]
        assert value(agreed, "random", "pointing") == 0
        assert value(agreed, CENTRE, "pointing") == 0  # 64, 48 is outside the half-open box

    def test_calibration(self, agreed: Agreed) -> None:
        assert value(agreed, "mean", "slope") == pytest.approx(1)
        assert value(agreed, "mean", "predicted") == value(agreed, "mean", "graded")
        assert value(agreed, "mean", "mean_error") < value(agreed, "mean", "rater_error")
        assert value(agreed, "random", "slope") is None

    def test_a_metric_changes_its_sign_with_the_sides(self, folder: Path, agreed: Agreed) -> None:
        psnr = next(method for method in agreed.methods if method.name == "psnr")
        assert (psnr.scores["neural"] == -psnr.scores["traditional"]).all()
        metric: Baseline = PSNR()
        record = agreed.records[3]
        from nacd_bench.triplets.loading import triplet_batch

        exchanged = triplet_batch(record.original, record.traditional, record.neural)
        assert metric(exchanged).item() == psnr.scores["traditional"][3]

    def test_what_cannot_be_ordered_is_said(self, agreed: Agreed) -> None:
        assert any("color, JPEG AI, neural side: all grades are equal" in n for n in agreed.notes)
        assert any("text, JPEG AI, neural side: no side has 3 ratings" in n for n in agreed.notes)
        assert value(agreed, "psnr", "spearman", kind="color") is None
        assert value(agreed, CONSTANT, "auc", "both", "color") == 1

    def test_the_stated_test(self, agreed: Agreed) -> None:
        test = agreed.tests["texture"]
        assert (test.first, test.second, test.n) == ("mean", "psnr", 12)
        assert test.p == test.p_holm
        assert test.low <= test.difference <= test.high


class TestFolder:
    def test_tables(self, agreed: Agreed) -> None:
        rows = csv_rows(agreed.folder / "agreement.csv")
        assert {row["kind"] for row in rows} == {"detector", "metric", "reference"}
        assert {row["group"] for row in rows} == {"JPEG AI", "learned"}
        told = json.loads((agreed.folder / "agreement.json").read_text())
        assert told["best"]["texture"] == ["mean", "psnr"]
        assert told["photographs"] == sorted(PHOTOS)
        scores = csv_rows(agreed.folder / "scores.csv")
        assert len(scores) == 48
        assert float(scores[0]["mean"]) == float(scores[0]["graded_texture"])
        text = (agreed.folder / "table.md").read_text()
        assert CONSTANT in text
        assert "One" not in text
        assert (agreed.folder / "agreement.svg").stat().st_size > 1000
        assert {row["side"] for row in csv_rows(agreed.folder / "detections.csv")} == set(SIDES)

    def test_the_sample_has_grades_and_an_order_but_no_auc(self, tmp_path: Path) -> None:
        """All its neural sides show something, gray photographs no color."""
        words = ["detector=[large_color]", "baseline=[psnr]", f"cache={tmp_path}", "pictures=1"]
        words += ["bootstrap.resamples=50", "show_progress=false", f"folder={tmp_path / 'run'}"]
        assert main(["agree", "data.photos=[china,coffee,hopper,text]", *words]) == 0
        text = " ".join((tmp_path / "run/table.md").read_text().split())
        assert "| texture | neural | 8 | 4 |" in text and "| color | neural | 6 | 3 |" in text
        assert "within the neural side of 6 triplets, no AUC" in text
        assert "AUC of both" not in text and "color leaves out the gray originals" in text
        assert "JPEG AI VM 3.3 networks, which is not JPEG AI" in text
        rows = csv_rows(tmp_path / "run/agreement.csv")
        named = (("method", "large_color"), ("figure", "spearman"), ("side", "neural"))
        (row,) = (row for row in rows if all(row[name] == value for name, value in named))
        assert row["n"] == "6" and row["n_clusters"] == "3" and row["low"] and row["high"]

    def test_a_run_goes_on_from_the_cache(self, folder: Path, agreed: Agreed) -> None:
        again = agree(
            find_graded(folder),
            known_detectors(folder),
            [PSNR()],
            agreed.folder,
            tests={"texture": ["mean", "psnr"]},
            cache=folder.parent / "cache",
            **QUICK,
        )
        assert sum(scored.computed for scored in again.scored.values()) == 0
        assert json.dumps(again.rows) == json.dumps(agreed.rows)
        with pytest.raises(DataError, match="expected the settings with which the run"):
            agree(find_graded(folder), [], [PSNR()], agreed.folder, **QUICK)

    def test_the_best_of_a_run_on_other_photographs(self, agreed: Agreed, tmp_path: Path) -> None:
        data = find_graded(make_graded(tmp_path / "other"))
        with pytest.raises(DataError, match="other photographs, got 4 that are in both"):
            agree(data, [], [PSNR()], tmp_path / "a", development=agreed.folder, **QUICK)
        told = json.loads((agreed.folder / "agreement.json").read_text())
        (tmp_path / "dev").mkdir()
        told["photographs"] = ["another"]
        told["best"] = {"texture": ["codec", "psnr"], "color": ["large_color", "vsi"]}
        (tmp_path / "dev" / "agreement.json").write_text(json.dumps(told))
        other = agree(
            data,
            known_detectors(tmp_path / "other"),
            [PSNR()],
            tmp_path / "b",
            development=tmp_path / "dev",
            cache=tmp_path / "cache",
            **QUICK,
        )
        assert other.tests["texture"].first == "codec"
        assert any("large_color and vsi did not run" in note for note in other.notes)
        with pytest.raises(DataError, match="expected the results of an agree run"):
            agree(data, [], [PSNR()], tmp_path / "c", development=tmp_path / "other", **QUICK)


class TestGroups:
    RECORDS = tuple(
        TripletRecord(str(i), "o", "n", "t", neural_codec=codec, extra={"set": name})
        for i, (name, codec) in enumerate(
            [("fixed", "a"), ("low", "a"), ("learned", "b"), ("learned", "b")]
        )
    )

    def test_pools_then_sets(self) -> None:
        groups = groups_of(self.RECORDS, "set", {"JPEG AI": ["fixed", "mixed", "low"]})
        assert list(groups) == ["JPEG AI", "fixed", "low", "learned"]
        assert groups["JPEG AI"].tolist() == [True, True, False, False]

    def test_codecs_where_no_pool_is_there(self) -> None:
        assert list(groups_of(self.RECORDS, "set", {})) == ["a", "b", "fixed", "low"]

    def test_all_where_nothing_is_known(self) -> None:
        records = [TripletRecord("1", "o", "n", "t"), TripletRecord("2", "o", "n", "t")]
        assert list(groups_of(records, "set", {"JPEG AI": ["fixed"]})) == ["all"]


class TestInSample:
    @pytest.fixture
    def model(self, folder: Path, tmp_path: Path) -> Path:
        """The weights of colour, with a card that says they were fitted to two of the originals."""
        weights = ColorSeverity().numbers
        originals = [content_hash(folder / "orig" / f"{name}.png") for name in PHOTOS[:2]]
        replace(weights, card={"originals": originals}).save(tmp_path / "color.npz")
        return tmp_path / "color.npz"

    def test_it_is_said_wherever_the_detector_stands(
        self, folder: Path, model: Path, tmp_path: Path
    ) -> None:
        agreed = agree(
            find_graded(folder),
            [ColorSeverity(model), *known_detectors(folder)],
            [PSNR()],
            tmp_path / "run",
            tests={"color": ["color_severity", "psnr"]},
            cache=tmp_path / "cache",
            **QUICK,
        )
        assert agreed.in_sample == {"color_severity": 12}
        assert "color_severity was fitted to the photographs of 12 of these 24" in agreed.notes[0]
        told = json.loads((agreed.folder / "agreement.json").read_text())
        assert told["in_sample"] == {"color_severity": 12}
        table = (agreed.folder / "table.md").read_text()
        assert "color_severity (in-sample)" in table and "mean (in-sample)" not in table
        assert "was fitted to the photographs" in (agreed.folder / "agree/index.html").read_text()

    @pytest.mark.parametrize("cls", [TextureSeverity, ColorSeverity, TextSeverity])
    def test_shipped_weights_name_their_originals(self, cls: type[SeverityDetector]) -> None:
        originals = cls().numbers.card["originals"]
        assert len(originals) > 50 and {len(name) for name in originals} == {64}

    def test_nothing_is_said_of_other_photographs(self, agreed: Agreed, folder: Path) -> None:
        assert agreed.in_sample == {}
        assert in_sample([ColorSeverity()], agreed.scored[NEURAL]) == {}


class TestFit:
    def fitted(self, data: Path, tmp_path: Path, capsys: Any) -> str:
        words = ["agree", str(data), f"folder={tmp_path / 'run'}", f"cache={tmp_path / 'cache'}"]
        words += ["detector=[]", "baseline=psnr", "bootstrap.resamples=20", "pictures=0"]
        assert main([*words, f"fit={tmp_path / 'fit'}", "show_progress=false"]) == 0
        return str(capsys.readouterr().out)

    def test_weights_of_ones_own_grades(self, tmp_path: Path, capsys: Any) -> None:
        data = make_graded(tmp_path / "data")
        index = csv_rows(data / "index.csv")
        with (data / "index.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(index[0]))
            writer.writeheader()
            writer.writerows({**row, "source": row["id"]} for row in index)
        printed = self.fitted(data, tmp_path, capsys)
        assert "Weights fitted to these grades, on photographs left out" in printed
        assert "color is not fitted: expected grades of the neural side that differ" in printed
        assert "of at least 6 origins, got 0" in printed  # text
        assert [path.name for path in (tmp_path / "fit").iterdir()] == ["texture.npz"]
        told = json.loads((tmp_path / "run" / "agreement.json").read_text())
        assert told["fitted"]["texture"]["spearman_neural"] > 0.5
        model = tmp_path / "fit" / "texture.npz"
        again = agree(
            find_graded(data),
            [TextureSeverity(model)],
            [PSNR()],
            tmp_path / "again",
            cache=tmp_path / "cache",
            **QUICK,
        )
        assert again.in_sample == {"texture_severity": 24}
        assert value(again, "texture_severity", "spearman") > 0.7

    def test_too_few_photographs(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        printed = self.fitted(folder, tmp_path, capsys)
        assert "photographs of at least 6 origins, got 4" in printed


class TestBadInput:
    def run(self, folder: Path, tmp_path: Path, capsys: Any, *more: str) -> tuple[int, str]:
        words = ["agree", str(folder), f"folder={tmp_path / 'run'}", f"cache={tmp_path / 'cache'}"]
        words += ["detector=[]", "baseline=psnr", "bootstrap.resamples=20", "pictures=0"]
        status = main([*words, "show_progress=false", *more])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    def test_a_single_rater(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        grades = [grade for grade in read_grades(folder) if grade["rater"] == "P"]
        file = tmp_path / "one.jsonl"
        file.write_text("".join(json.dumps(grade) + "\n" for grade in grades))
        status, printed = self.run(folder, tmp_path, capsys, f"data.grades={file}")
        assert status == 0
        assert "texture, JPEG AI, neural side: a single rater: no comparison" in printed

    def test_all_grades_equal(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        file = tmp_path / "equal.jsonl"
        equal = [{**grade, "severity": 1, "box": BOX} for grade in read_grades(folder)]
        file.write_text("".join(json.dumps(grade) + "\n" for grade in equal))
        status, printed = self.run(folder, tmp_path, capsys, f"data.grades={file}")
        assert status == 0
        assert "color, JPEG AI, neural side: all grades are equal: no correlation" in printed

    def test_bad_lines_are_counted_and_lose_no_others(
        self, folder: Path, tmp_path: Path, capsys: Any
    ) -> None:
        grades = read_grades(folder)
        grades = [grade for grade in grades if grade["triplet"] != "coffee-1"]
        grades[0]["severity"] = 9
        grades[1]["side"] = "left"
        file = tmp_path / "bad.jsonl"
        file.write_text("".join(json.dumps(grade) + "\n" for grade in grades))
        status, printed = self.run(folder, tmp_path, capsys, f"data.grades={file}")
        assert status == 1
        assert "3 failed" in printed
        assert "got 9" in printed
        assert "unknown side 'left'" in printed
        assert "expected grades of it, got none" in printed
        assert "| psnr |" in (tmp_path / "run" / "table.md").read_text()
        assert len(csv_rows(tmp_path / "run" / "failures.csv")) == 3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"box": [600, 600, 700, 700]}, "expected a box inside the"),
            ({"severity": -1}, "expected a severity of 0, 1, 2 or 3"),
            ({"rater": "p"}, "unknown rater 'p'"),
            ({"side": "both"}, "unknown side 'both'"),
            ({"triplet": "coffee-9"}, "unknown triplet 'coffee-9'"),
            ({"rater": "Q"}, "expected one grade of texture, neural, by Q"),
        ],
    )
    def test_one_bad_grade(
        self, change: dict[str, Any], message: str, folder: Path, tmp_path: Path, capsys: Any
    ) -> None:
        grades = read_grades(folder)
        place = next(i for i, grade in enumerate(grades) if grade["box"] and grade["rater"] == "P")
        grades[place] |= change
        file = tmp_path / "bad.jsonl"
        file.write_text("".join(json.dumps(grade) + "\n" for grade in grades))
        more = (f"data.grades={file}", "data.raters=[P,Q,R]")
        status, printed = self.run(folder, tmp_path, capsys, *more)
        assert status == 1
        assert message in printed and re.search(rf"lines? {place + 1}\b", printed)
        assert "1 failed" in printed and "| psnr |" in (tmp_path / "run/table.md").read_text()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "expected a severity model at .*none.npz, got no such file"),
            (b"PK no archive", "got a file that does not read as one"),
        ],
    )
    def test_a_model_that_is_none(
        self, content: bytes | None, message: str, folder: Path, tmp_path: Path, capsys: Any
    ) -> None:
        if content:
            (tmp_path / "none.npz").write_bytes(content)
        more = f"detector.color_severity.model={tmp_path / 'none.npz'}"
        status, printed = self.run(folder, tmp_path, capsys, "detector=[color_severity]", more)
        assert status == 1 and re.search(message, printed)

    def test_no_grades(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        (tmp_path / "none.jsonl").write_text("")
        status, printed = self.run(
            folder, tmp_path, capsys, f"data.grades={tmp_path / 'none.jsonl'}"
        )
        assert status == 1
        assert "expected grades of triplets, got none" in printed
        assert self.run(folder, tmp_path, capsys, "data.grades=x.txt")[0] == 1

    def test_data_without_grades(self, tmp_path: Path, capsys: Any) -> None:
        data = make_triplets(tmp_path / "data", ("rocket",))
        words = ["agree", "data=triplets", f"data.source={data}", f"folder={tmp_path / 'run'}"]
        assert main([*words, "detector=[]", "baseline=psnr", "show_progress=false"]) == 1
        assert "expected graded triplets, got some without" in capsys.readouterr().err

    def test_what_the_machine_has_not(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        status, printed = self.run(folder, tmp_path, capsys, "trainer.accelerator=tpu")
        assert status == 1 and "trainer.accelerator=tpu" in printed

    def test_an_image_that_cannot_be_read(self, tmp_path: Path, capsys: Any) -> None:
        data = make_graded(tmp_path / "data")
        (data / "ai" / "coffee-2.png").write_bytes(b"no image")
        status, printed = self.run(data, tmp_path, capsys, "pictures=1")
        assert status == 1
        assert printed.count("coffee-2.png: expected an image") == 1
        assert "| psnr |" in (tmp_path / "run" / "table.md").read_text()

    def test_a_wrong_test(self, folder: Path, tmp_path: Path, capsys: Any) -> None:
        status, printed = self.run(folder, tmp_path, capsys, "tests={texture: [psnr]}")
        assert status == 1
        assert "expected a detector and a metric by type" in printed


def test_human_and_model_raters_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    grades = read_grades(folder)
    human = [{**grade, "rater": "H" + grade["rater"], "kind": "human"} for grade in grades]
    file = tmp_path / "both.jsonl"
    file.write_text("".join(json.dumps(grade) + "\n" for grade in [*grades, *human]))
    both = agree(
        find_graded(folder, file), [], [PSNR()], tmp_path / "run", cache=tmp_path / "c", **QUICK
    )
    rows = {(row["artifact_type"], row["side"]): row["value"] for row in both.kinds}
    assert rows["texture", "neural"] == pytest.approx(1)
    assert math.isnan(rows["text", "neural"])
    assert "Human against model raters" in (tmp_path / "run" / "table.md").read_text()


class TestInChromium:
    def test_the_page_shows_disagreements(self, page: Any, folder: Path, agreed: Agreed) -> None:
        assert agreed.page is not None
        page.goto(agreed.page.as_uri())
        assert page.locator(".entry").count() == 9
        page.select_option("select[name=detector]", "mean")
        assert page.locator(".entry").count() == 3
        first = page.locator(".entry").first
        assert first.locator("img").count() == 3
        assert first.locator("i.found").count() == 3
        page.select_option("select[name=sign]", "over")
        over = page.locator(".entry").count()
        page.select_option("select[name=sign]", "under")
        assert over + page.locator(".entry").count() == 3

    def test_hostile_names(self, page: Any, tmp_path: Path) -> None:
        data = make_graded(tmp_path / "data")
        detectors = known_detectors(data)[:1]
        names = dict(zip(("coffee-1", "rocket-2", "chelsea-3"), HOSTILE, strict=False))
        grades = read_grades(data)
        write_grades(
            data, [{**g, "triplet": names.get(g["triplet"], g["triplet"])} for g in grades]
        )
        rows = csv_rows(data / "index.csv")
        with (data / "index.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "id": names.get(row["id"], row["id"])} for row in rows)
        more = {**QUICK, "pictures": 24}
        run = agree(
            find_graded(data), detectors, [], tmp_path / "run", cache=tmp_path / "cache", **more
        )
        assert run.page is not None
        page.goto(run.page.as_uri())
        shown = page.inner_text(".entries")
        assert all(name in shown for name in names.values())
        assert page.evaluate("window.HIT") is None


class CountingFinder(TextFinder):
    """Finds one plate in any image, and notes in a file that it was asked."""

    name = "counting"

    def __init__(self, log: Path) -> None:
        self.log = log

    @property
    def settings(self) -> dict[str, Any]:
        return {"finder": self.name}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        with self.log.open("a") as file:
            file.write(f"{image_id}\n")
        return [TextPolygon([8, 8, 72, 8, 72, 40, 8, 40], 0.9)]


def test_polygons_are_found_once_per_original_in_all_commands(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def text() -> list[Detector]:
        return [Text(finder=Cached(CountingFinder(log), tmp_path / "polygons"))]

    paths = sorted((folder / "orig").iterdir())
    triplets = [
        TripletRecord(
            f"{path.stem}-{place}",
            str(path),
            *(str(folder / side / f"{path.stem}-{place}.png") for side in ("ai", "classic")),
            artifact_free=None if place else True,
            labels=(Label("text", (8, 8, 72, 40)),) if place else (),
        )
        for path in paths
        for place in (0, 1)
    ]
    quiet = {"show_progress": False}
    detect((triplets, []), text(), tmp_path / "detect", **quiet)
    asked = log.read_text().split("\n")[:-1]
    assert len(asked) == len(paths)
    benchmark(
        (triplets, []),
        text(),
        [PSNR()],
        tmp_path / "benchmark",
        sets=Drawing(("text",), n=4),
        bootstrap=Resampling(resamples=20),
        trainer=Engine(show_progress=False),
        cache=tmp_path / "cache",
        **quiet,
    )
    agree(find_graded(folder), text(), [PSNR()], tmp_path / "agree", cache=tmp_path / "c", **QUICK)
    mined = mine(
        folder / "orig",
        "jpeg",
        "webp",
        tmp_path / "mine",
        detectors=text(),
        points=[5, 30],
        **quiet,
    )
    assert mined is not None
    assert log.read_text().split("\n")[:-1] == asked
