"""Sweeps: a table and a plot over all runs, by the basic launcher and by joblib; Slurm composes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checks import csv_rows
from hydra import compose, initialize_config_module

from nacd_bench.cli.main import main
from nacd_bench.evaluation.auc import AUC
from nacd_bench.report.sweep import Sweep, SweepRun, read_sweep, seen_from, sweep_table


def auc(value: float, half: float = 0.05) -> AUC:
    return AUC(value, value - half, value + half, 100, 100, 50, 50, 0, 50)


def sweep(values: list[float], aucs: list[float]) -> Sweep:
    runs = [
        SweepRun(i, {"data.strength": f"{v:g}"}, {"text/text": auc(a), "text/psnr": auc(0.5)})
        for i, (v, a) in enumerate(zip(values, aucs, strict=True))
    ]
    return Sweep(Path(), runs)


def arguments(planted: Path, tmp_path: Path, *more: str) -> list[str]:
    return [
        *("benchmark", "-m", str(planted), "detector=[texture]", "baseline=[psnr]"),
        *("sets.types=[texture]", "sets.n=4", "bootstrap.resamples=100", "logger=none"),
        *("show_progress=false", f"cache={tmp_path / 'cache'}", f"folder={tmp_path / 'sweep'}"),
        *more,
    ]


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_a_sweep_ends_with_one_table_and_plot(
    planted: Path,
    tmp_path: Path,
    launcher: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    swept = ["detector.texture.si_threshold=0.02,0.05", "detector.texture.window=64,128"]
    assert main(arguments(planted, tmp_path, *swept, *launcher)) == 0
    folder = tmp_path / "sweep"
    rows = csv_rows(folder / "sweep.csv")
    assert len(rows) == 4 * 2
    ours = [row for row in rows if row["column"] == "texture/texture"]
    assert {(r["detector.texture.si_threshold"], r["detector.texture.window"]) for r in ours} == {
        (a, b) for a in ("0.02", "0.05") for b in ("64", "128")
    }
    highest = max(float(row["auc"]) for row in ours)
    best = [row["run"] for row in ours if float(row["auc"]) == highest]
    marked = [row["run"] for row in ours if row["is_best"] == "True"]
    assert marked == (best if len(best) == 1 else [])
    for run in range(4):
        metrics = json.loads((folder / str(run) / "metrics.json").read_text())
        settings = metrics["settings"]["methods"]["texture"]
        row = next(row for row in ours if row["run"] == str(run))
        assert settings["window"] == int(row["detector.texture.window"])
        assert metrics["sets"]["texture"]["auc"]["texture"]["value"] == float(row["auc"])
    assert (folder / "sweep.png").stat().st_size > 5000 and (folder / "sweep.svg").is_file()
    printed = capsys.readouterr().out
    assert "detector.texture.window" in printed and "sweep.csv" in printed
    assert "**" not in (folder / "sweep.md").read_text()  # four positives: no interval to trust


def test_one_failed_run_does_not_cost_the_others(
    planted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(planted, tmp_path, "reference=null,/nowhere.yaml")) == 1
    assert [bool(run.error) for run in read_sweep(tmp_path / "sweep").runs] == [False, True]
    assert "failed" in capsys.readouterr().out


def test_an_empty_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "-m", "baseline=none,psnr", "folder="]) == 1
    assert "expected folder as the name of a file or folder, got ''." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_commands_cannot_be_swept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "-m", "preset=paper,released"]) == 1
    assert "sweeps (-m) of benchmark" in capsys.readouterr().err


def test_slurm_composes() -> None:
    with initialize_config_module("nacd_conf", version_base="1.3"):
        config = compose(
            "benchmark",
            [
                "hydra/launcher=submitit_slurm",
                "hydra.launcher.partition=short",
                "hydra.launcher.timeout_min=30",
            ],
            return_hydra_config=True,
        )
    assert config.hydra.launcher._target_.endswith("SlurmLauncher")
    assert config.hydra.launcher.partition == "short"


def test_optuna_composes() -> None:
    with initialize_config_module("nacd_conf", version_base="1.3"):
        config = compose("benchmark", ["hydra/sweeper=optuna"], return_hydra_config=True)
    assert "Optuna" in config.hydra.sweeper._target_


class TestLayout:
    def test_many_methods_and_few_runs_are_turned(self) -> None:
        found = sweep_table(sweep([0.1, 0.5], [0.5, 0.9]))
        assert found.columns[0] == "run" and len(found.rows) == 2  # one column changed
        runs = [
            SweepRun(i, {"strength": f"{i}"}, {f"text/{name}": auc(0.3 + i / 5) for name in "abcd"})
            for i in range(3)
        ]
        turned = sweep_table(Sweep(Path(), runs))
        assert turned.columns == ["strength", "0", "1", "2", "seen from"]
        assert [row[0] for row in turned.rows if row] == ["text/a", "text/b", "text/c", "text/d"]
        assert "**0.700" in turned.markdown()

    @pytest.mark.parametrize(
        ("aucs", "expected"),
        [([0.4, 0.6, 0.9], 0.2), ([0.6, 0.5, 0.9], 0.3), ([0.6, 0.6, 0.6], 0.1)],
    )
    def test_seen_from(self, aucs: list[float], expected: float) -> None:
        assert seen_from(sweep([0.1, 0.2, 0.3], aucs), "text/text") == expected

    def test_nothing_is_seen_from_a_value_that_is_no_strength(self) -> None:
        runs = [
            SweepRun(i, {"x.window": f"{i}"}, {f"text/{name}": auc(0.3 + i / 5) for name in "abcd"})
            for i in range(3)
        ]
        assert sweep_table(Sweep(Path(), runs)).columns == ["x.window", "0", "1", "2"]

    def test_the_best_is_better_than_another(self) -> None:
        """Of equal AUCs none is, nor is one that stands alone, as where nothing can move it."""
        found = sweep([0.1, 0.2, 0.3], [0.9, 0.7, 0.9])
        assert found.best("text/text") is None is found.best("text/psnr")
        assert "**" not in sweep_table(found).markdown()
        assert sweep([0.1], [0.9]).best("text/text") is None
        found = sweep([0.1, 0.2, 0.3], [0.8, 0.7, 0.9])
        assert found.best("text/text") is found.runs[2]

    def test_never_seen(self) -> None:
        found = seen_from(sweep([0.1, 0.2], [0.9, 0.52]), "text/text")
        assert found != found
