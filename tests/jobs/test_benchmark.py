"""``nacd-bench benchmark`` on real codecs' results with planted artifacts: figures, cache, kills,
processes, bad input."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from checks import csv_rows, fails
from processes import Starter
from sklearn.metrics import roc_auc_score
from torch import Tensor

from nacd_bench.baselines import PAPER, PSNR, SSIM, Baseline
from nacd_bench.cli.main import main
from nacd_bench.detectors import LargeColor, Texture
from nacd_bench.errors import DataError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.reference import read_reference
from nacd_bench.jobs.benchmark.labelled_sets import Drawing, find_labelled
from nacd_bench.jobs.benchmark.results import Benchmarked
from nacd_bench.jobs.benchmark.run import benchmark
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.registry import DETECTORS
from nacd_bench.triplets.files import part_of
from nacd_bench.triplets.grades import GradedData
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.record import Label, TripletRecord

FEW = Drawing(("texture", "color"), n=4)
QUICK = Resampling(resamples=200)
QUIET = Engine(show_progress=False)


class Broken(Baseline):
    """NaN for one triplet in three."""

    name = "broken"

    def values(self, reference: Tensor, tests: Tensor) -> Tensor:
        values = tests.mean(dim=(1, 2, 3))
        return torch.where((values * 1e4).long() % 3 == 0, torch.nan, values)


@pytest.fixture
def records(planted: Path) -> list[TripletRecord]:
    return read_manifest(planted)


def run(records: Sequence[TripletRecord], folder: Path, **options: Any) -> Benchmarked:
    settings = {"sets": FEW, "bootstrap": QUICK, "trainer": QUIET, "cache": folder / "cache"}
    return benchmark(
        (list(records), []),
        options.pop("detectors", [Texture(), LargeColor()]),
        options.pop("baselines", [PSNR(), SSIM()]),
        folder / options.pop("name", "run"),
        **{**settings, **options},
    )


def scores(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "scores.parquet").to_pylist()


def test_aucs_can_be_computed_again_from_the_scores(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    done = run(records, tmp_path)
    metrics = json.loads((done.folder / "metrics.json").read_text())
    rows = scores(done.folder)
    assert {row["test_set"] for row in rows} == {"texture", "color"} and len(rows) == 16
    assert {*metrics["sets"]} == {"texture", "color"}
    for name, each in metrics["sets"].items():
        own = [row for row in rows if row["test_set"] == name]
        truth = [row["is_positive"] for row in own]
        assert {*each["auc"]} == {
            "psnr",
            "ssim",
            *(["texture"] if name == "texture" else ["large_color"]),
        }
        for method, found in each["auc"].items():
            again = roc_auc_score(truth, [row[method] for row in own])
            assert found["value"] == pytest.approx(again, abs=1e-9)
            assert found["low"] <= found["value"] <= found["high"]
    table = (done.folder / "table.md").read_text()
    assert "texture (4 + 4)" in table and "| large_color | - |" in table
    assert r"\textbf" not in (done.folder / "table.tex").read_text()  # 4 images a side are few
    assert all(
        "few images (sources with the artifact: " in "".join(s["notes"])
        for s in metrics["sets"].values()
    )
    shown = done.folder / "report" / "heat"  # a report takes them from here
    assert [len(list((shown / name).iterdir())) for name in done.detectors] == [8, 8]
    for kind in ("texture", "color"):
        for end in ("png", "svg", "csv"):
            assert list((done.folder / "curves").glob(f"*{kind}*.{end}"))
    assert metrics["n_failures"] == 0 and {"git_hash", "versions", "seed"} <= metrics.keys()


def test_full_shows_every_detector_on_every_set(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    done = run(records, tmp_path, full=True)
    every = {"texture", "large_color", "psnr", "ssim"}
    shown = {name: {*each.aucs} for name, each in done.comparisons.items()}
    assert shown == {"texture": every, "color": every}


def test_the_second_run_scores_nothing_and_says_the_same(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    first = run(records, tmp_path)
    second = run(records, tmp_path, name="again")
    pairs = {
        (row["triplet"], method)
        for row in scores(first.folder)
        for method in first.methods
        if row[method] is not None
    }
    assert first.scored.computed == len(pairs) and second.scored.computed == 0
    assert scores(first.folder) == scores(second.folder)
    assert {k: v.aucs for k, v in first.comparisons.items()} == {
        k: v.aucs for k, v in second.comparisons.items()
    }
    third = run(records, tmp_path, name="third", detectors=[Texture(window=64), LargeColor()])
    assert third.scored.computed == 8  # only the changed detector, on its own set


def test_drawn_sets_are_used_as_they_were_drawn(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    first = run(records, tmp_path)
    sets = sorted(str(path) for path in (first.folder / "sets").glob("*.parquet"))
    found, problems = find_labelled(sets)
    assert problems == []
    again = run(found, tmp_path, name="again", sets=Drawing(seed=99))
    drawn = [
        sorted((row["test_set"], row["triplet"]) for row in scores(each.folder))
        for each in (first, again)
    ]
    assert drawn[0] == drawn[1]
    assert again.scored.computed == 0


def test_scores_of_another_reader_are_computed_again(
    records: list[TripletRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: Any = {"detectors": [LargeColor()], "baselines": [PSNR()]}
    first = run(records, tmp_path, **few)
    assert run(records, tmp_path, name="same", **few).scored.computed == 0
    monkeypatch.setattr("nacd_bench.runs.provenance.READING", 1)
    again = run(records, tmp_path, name="other", **few)
    assert again.scored.computed == first.scored.computed > 0


def test_two_processes_score_each_triplet_once(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    alone = run(records, tmp_path)
    pair = run(
        records,
        tmp_path,
        name="pair",
        cache=tmp_path / "other",
        trainer=Engine(accelerator="cpu", devices=2, show_progress=False),
    )
    assert pair.scored.computed == alone.scored.computed and pair.failures == []
    for first, second in zip(scores(alone.folder), scores(pair.folder), strict=True):
        assert first == pytest.approx(second, nan_ok=True, abs=1e-5)


def test_more_processes_than_batches(records: list[TripletRecord], tmp_path: Path) -> None:
    done = run(
        records,
        tmp_path,
        sets=Drawing(("color",), n=1),
        detectors=[LargeColor()],
        baselines=[PSNR()],
        trainer=Engine(accelerator="cpu", devices=4, batch_size=4, show_progress=False),
    )
    assert done.scored.computed == 4 and done.failures == []


def test_batches_do_not_change_scores(records: list[TripletRecord], tmp_path: Path) -> None:
    one = run(records, tmp_path)
    four = run(
        records,
        tmp_path,
        name="four",
        cache=tmp_path / "other",
        trainer=Engine(batch_size=4, show_progress=False),
    )
    for first, second in zip(scores(one.folder), scores(four.folder), strict=True):
        assert first == pytest.approx(second, nan_ok=True, abs=1e-6)


def test_a_detector_is_not_measured_on_its_own_boxes(
    records: list[TripletRecord], tmp_path: Path
) -> None:
    def own(record: TripletRecord, *detectors: str) -> TripletRecord:
        labels = tuple(replace(label, detectors=detectors) for label in record.labels)
        return replace(record, labels=labels)

    others = run([own(r, "boundary") for r in records], tmp_path, name="others")
    assert "large_color" in others.comparisons["color"].places
    drawn = others.sets["color"]
    two = {record.id for record in drawn.records[:2]}
    half = [own(r, *["texture", "large_color"] * (r.id in two)) for r in drawn.records]
    mixed = run(half, tmp_path, name="mixed").comparisons["color"]
    assert any("localisation of large_color: 2 images" in note for note in mixed.notes)
    assert mixed.places["large_color"].mean_iou.n == 2
    done = run([own(r, "large_color") for r in records], tmp_path, name="own")
    assert not done.comparisons["color"].places and "texture" in done.comparisons["texture"].places


class TestBadInput:
    def test_nan_is_counted_and_left_out(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        done = run(records, tmp_path, baselines=[PSNR(), Broken()])
        found = done.comparisons["texture"].aucs["broken"]
        assert 0 < found.n_excluded < 8
        assert found.n_positive + found.n_negative + found.n_excluded == 8
        failures = [each for each in done.failures if each.step == "broken"]
        assert failures and all("NaN" in each.message for each in failures)
        assert not [each for each in done.failures if each.step == "psnr"]
        assert len(csv_rows(done.folder / "failures.csv")) == len(done.failures)

    def test_a_missing_image_costs_its_triplet(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        victim = run(records, tmp_path).sets["texture"].records[0].id
        broken = [
            replace(record, neural=str(tmp_path / "gone.png")) if record.id == victim else record
            for record in records
        ]
        done = run(broken, tmp_path, name="broken")
        subjects = {each.item for each in done.failures}
        assert subjects == {victim} and "gone.png" in done.failures[0].message
        assert done.comparisons["texture"].aucs["texture"].n_excluded == 1

    def test_an_image_that_cannot_be_decoded_is_one_failure(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        victim = run(records, tmp_path).sets["texture"].records[0]
        (tmp_path / "cut.jpg").write_bytes(Path(victim.neural).read_bytes()[:300])
        broken = [
            replace(record, neural=str(tmp_path / "cut.jpg")) if record.id == victim.id else record
            for record in records
        ]
        for name in ("broken", "again"):  # what failed is tried again
            done = run(broken, tmp_path, name=name)
            assert [(each.item, each.step) for each in done.failures] == [(victim.id, "read")]
            assert done.scored.computed > 0

    def test_a_box_outside_the_image_costs_its_triplet(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        wild = [
            replace(r, labels=(replace(r.labels[0], box=(0, 0, 5000, 20)),))
            if r.labels and r.labels[0].artifact_type == "color"
            else r
            for r in records
        ]
        done = run(wild, tmp_path, sets=Drawing(("texture",), n=4))
        assert done.failures
        assert all("inside the 192 x 192 pixels" in each.message for each in done.failures)

    def test_one_class_only(self, records: list[TripletRecord], tmp_path: Path) -> None:
        drawn = run(records, tmp_path).sets["color"].records
        positives = [record for record in drawn if record.extra["side"] == "positive"]
        fails(DataError, "4 with and 0 without", run, positives, tmp_path, name="one")

    def test_too_few(self, records: list[TripletRecord], tmp_path: Path) -> None:
        free = [record for record in records if record.artifact_free]
        fails(DataError, "0 color of 0 originals", run, free, tmp_path)
        done = run(records, tmp_path, sets=Drawing(("color",), n=500))
        assert done.comparisons["color"].notes

    def test_no_labels(self, records: list[TripletRecord], tmp_path: Path) -> None:
        plain = [replace(record, labels=(), artifact_free=None) for record in records]
        fails(DataError, "expected labelled triplets", run, plain, tmp_path)
        with pytest.raises(DataError, match="expected labelled triplets"):
            benchmark(GradedData(plain, []), [], [PSNR()], tmp_path)

    def test_contradicting_labels_are_refused_when_read(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        both = replace(records[0], artifact_free=True, labels=(Label("text", confirmed=True),))
        fails(
            DataError, "artifact_free or confirmed", write_manifest, tmp_path / "a.parquet", [both]
        )

    def test_other_settings_are_refused_with_the_differences(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        run(records, tmp_path)
        with pytest.raises(DataError, match=r"methods\.texture\.window: 128 before, 64 now"):
            run(records, tmp_path, detectors=[Texture(window=64), LargeColor()])

    def test_a_folder_in_use(self, records: list[TripletRecord], tmp_path: Path) -> None:
        from nacd_bench.runs.folder import run_lock

        with run_lock(tmp_path / "run", "other"), pytest.raises(DataError, match="in use by run"):
            run(records, tmp_path)

    def test_a_cache_that_cannot_be_written(
        self, records: list[TripletRecord], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="expected a folder for the cache"):
            run(records, tmp_path, cache=tmp_path / "file")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    def test_a_full_disk_is_named(
        self, records: list[TripletRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.fsync

        def full(descriptor: int) -> None:
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            if name == part_of(Path("metrics.json")).name:
                raise OSError(28, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        fails(DataError, r"metrics\.json.*No space left", run, records, tmp_path)
        monkeypatch.undo()
        done = run(records, tmp_path)
        assert done.scored.computed == 0 and (done.folder / "metrics.json").is_file()


def test_killed_at_any_moment_it_goes_on(planted: Path, tmp_path: Path, starter: Starter) -> None:
    """The scores are those of an undisturbed run, and what was done is not done again."""
    job = [
        *("benchmark", str(planted)),
        *("detector=[texture,boundary]", "baseline=[psnr,ssim,vifp]", "sets.n=4"),
        *("bootstrap.resamples=100", "sets.types=[texture]", "logger=none"),
        "show_progress=false",
    ]
    command = [*job, f"folder={tmp_path / 'broken'}", f"cache={tmp_path / 'cache'}"]
    rng = np.random.default_rng(0)
    database = tmp_path / "cache" / "scores.sqlite"
    kills = 0
    while True:
        process = starter.command(*command)
        if kills < 3:
            size = _count(database)
            while process.poll() is None and _count(database) == size:
                time.sleep(0.01)
            time.sleep(float(rng.uniform(0, 0.1)))
            if process.poll() is None:
                process.send(signal.SIGKILL)
                process.wait()
                kills += 1
                continue
        assert process.wait() == 0, process.output
        break
    assert kills and "from the cache" in process.output
    assert main([*job, f"folder={tmp_path / 'whole'}", f"cache={tmp_path / 'other'}"]) == 0
    assert scores(tmp_path / "broken") == scores(tmp_path / "whole")


def test_killed_no_other_process_stays(planted: Path, tmp_path: Path, starter: Starter) -> None:
    process = starter.command(
        *("benchmark", str(planted), "detector=[texture,boundary]", "baseline=all", "sets.n=4"),
        *("trainer.devices=2", "trainer.accelerator=cpu", "logger=none", "show_progress=false"),
        *(f"folder={tmp_path / 'run'}", f"cache={tmp_path / 'cache'}"),
    )
    while process.poll() is None and not _count(tmp_path / "cache" / "scores.sqlite"):
        time.sleep(0.01)
    others = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and len(others) >= 2  # one tracks resources
    until = time.monotonic() + 600
    while any(Path(f"/proc/{pid}").exists() for pid in others) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in others if Path(f"/proc/{pid}").exists()]


def test_stopped_by_hand_it_says_how_to_go_on(
    planted: Path, tmp_path: Path, starter: Starter
) -> None:
    process = starter.command(
        *("benchmark", str(planted), "sets.n=4"),
        *("baseline=all", "full=true", "logger=none", f"folder={tmp_path / 'run'}"),
        f"cache={tmp_path / 'cache'}",
        NACD_BENCH_CACHE="off",
    )
    while process.poll() is None and not _count(tmp_path / "cache" / "scores.sqlite"):
        time.sleep(0.01)
    process.send(signal.SIGINT)
    assert process.wait() == 130 and "folder=" in process.output, process.output
    assert "Traceback" not in process.output


def _count(database: Path) -> int:
    import sqlite3

    if not database.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
    except sqlite3.Error:
        return 0


class TestCommand:
    def arguments(self, planted: Path, tmp_path: Path, *more: str) -> list[str]:
        return [
            "benchmark",
            str(planted),
            *("detector=[large_color]", "baseline=[psnr]", "sets.types=[color]", "sets.n=4"),
            *("bootstrap.resamples=100", "logger=none", "show_progress=false"),
            f"folder={tmp_path / 'run'}",
            f"cache={tmp_path / 'cache'}",
            *more,
        ]

    def test_prints_the_table_and_where_everything_is(
        self, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(self.arguments(planted, tmp_path)) == 0
        printed = capsys.readouterr().out
        assert "color (4 + 4)" in printed and "large_color" in printed and "permutation" in printed
        assert str(tmp_path / "run") in printed.replace("\n", "")
        assert (tmp_path / "run" / "config.yaml").is_file()
        assert "\nTime by part: " in printed
        facts = json.loads((tmp_path / "run" / "metrics.json").read_text())
        seconds = facts["seconds"]
        assert {"decoded", "detectors", "metrics", "statistics"} <= seconds.keys()
        assert all(spent > 0 for spent in seconds.values()) and facts["wall_seconds"] > 0

    def test_thresholds_go_back_into_detect(self, planted: Path, tmp_path: Path) -> None:
        assert main(self.arguments(planted, tmp_path)) == 0
        found = tmp_path / "found"
        status = main(
            [
                "detect",
                str(planted),
                "detector=[large_color,color_severity]",
                f"thresholds={tmp_path / 'run' / 'thresholds.yaml'}",
                f"folder={found}",
                "show_progress=false",
                "overlays=false",
            ]
        )
        assert status == 0
        rows = csv_rows(found / "detections.csv")
        assert all(float(r["confidence"]) > 1.5 for r in rows if r["detector"] != "large_color")

    def test_the_papers_figures(self) -> None:
        """All of Table 2: every method of a set, each a registered one of its kind."""
        figures = read_reference("paper")
        assert figures.source == "arXiv 2411.06810, Table 2"
        assert {name: len(of) for name, of in figures.sets.items()} == {
            "texture": 9,
            "color": 9,
            "text": 8,
        }
        assert figures.sets["texture"]["texture"] == 0.80 and figures.sets["text"]["nlpd"] == 0.59
        assert all(set(of) <= {*DETECTORS, *PAPER} for of in figures.sets.values())

    def test_a_reference_stands_beside(
        self, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "published.yaml"
        file.write_text("source: a test\nsets: {color: {large_color: 0.875, other: 0.5}}\n")
        assert main(self.arguments(planted, tmp_path, f"reference={file}")) == 0
        printed = capsys.readouterr().out
        assert "color, reference" in printed and "0.875" in printed and "a test" in printed

    def test_failures_turn_the_exit_status(
        self, planted: Path, tmp_path: Path, records: list[TripletRecord]
    ) -> None:
        gone = [replace(records[0], original=str(tmp_path / "gone.png")), *records[1:]]
        write_manifest(tmp_path / "gone.parquet", gone)
        assert main(self.arguments(tmp_path / "gone.parquet", tmp_path, "sets.n=7")) in (0, 1)
        lines = csv_rows(tmp_path / "run" / "failures.csv")
        drawn = {row["triplet"] for row in scores(tmp_path / "run")}
        assert bool(lines) == (records[0].id in drawn)

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("baseline=[psnrr]", "did you mean 'psnr'"),
            ("sets.n=0", "expected sets.n as a whole number of at least 1"),
            ("trainer.batchsize=3", "batchsize"),
            ("reference=nowhere.yaml", "nowhere.yaml"),
        ],
    )
    def test_wrong_settings(
        self,
        planted: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        setting: str,
        message: str,
    ) -> None:
        assert main(self.arguments(planted, tmp_path, setting)) != 0
        captured = capsys.readouterr()
        assert message in captured.out + captured.err
