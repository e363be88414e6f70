"""What a benchmark leaves in an experiment tracker, read back; and servers that do not answer."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, cast

import pytest
from checks import csv_rows

from nacd_bench.cli.main import main

BLOCK, HEAD, START = 32768, 7, 7
"""Of the log: blocks of this size, with records of this header, after as many bytes of its own."""


def records(path: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file, which has the layout of a LevelDB log."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    position, whole = START, b""
    while position + HEAD <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEAD:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        part = data[position + HEAD : position + HEAD + size]
        position += HEAD + size
        whole = part if kind in (1, 2) else whole + part
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record


def benchmark(planted: Path, folder: Path, *more: str, **environment: str) -> str:
    """Run the command without a terminal and without W&B's settings of the user; its output."""
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        own = {"HOME": str(folder.parent), "NACD_BENCH_CACHE": "off", **environment}
        for name, value in own.items():
            patch.setenv(name, value)
        patch.setattr("sys.stdin", io.StringIO())
        status = main(
            [
                *("benchmark", str(planted), "detector=[large_color]", "baseline=[psnr]"),
                *("sets.types=[color]", "sets.n=4", "bootstrap.resamples=100"),
                *("show_progress=false", f"folder={folder}", f"cache={folder}-cache", *more),
            ]
        )
    assert status == 0, printed.getvalue()
    return printed.getvalue()


@pytest.fixture(scope="module")
def logged(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("logged") / "run"
    return folder, benchmark(planted, folder)


class TestOfflineWandb:
    def test_says_where_it_is_and_asks_nothing(self, logged: tuple[Path, str]) -> None:
        folder, printed = logged
        assert "W&B log, offline" in printed and "wandb sync" in printed
        assert "WARNING" not in printed and "(1) Create a W&B account" not in printed
        assert len(list((folder / "wandb").glob("offline-run-*/*.wandb"))) == 1

    def test_holds_configuration_figures_tables_curves_and_the_metrics_file(
        self, logged: tuple[Path, str]
    ) -> None:
        folder, _ = logged
        log = next((folder / "wandb").glob("offline-run-*/*.wandb"))
        metrics = json.loads((folder / "metrics.json").read_text())
        history: dict[str, str] = {}
        settings: dict[str, str] = {}
        artifacts, systems = {}, []
        for record in records(log):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                history |= {
                    i.key or "/".join(i.nested_key): i.value_json for i in record.history.item
                }
            elif kind == "config":
                settings |= {u.key: u.value_json for u in record.config.update if u.key}
            elif kind == "artifact":
                artifacts[record.artifact.type] = record.artifact
            elif kind == "environment":
                systems.append(record.environment.python)
        assert json.loads(settings["sets"])["n"] == 4 and "detector" in settings
        for method in ("large_color", "psnr"):
            expected = metrics["sets"]["color"]["auc"][method]["value"]
            assert float(history[f"color/{method}/auc"]) == expected
            for bound in ("low", "high"):
                expected = metrics["sets"]["color"]["auc"][method][bound]
                assert float(history[f"color/{method}/auc_{bound}"]) == expected
            assert json.loads(history[f"color/scores/{method}/count"]) == 1
        assert json.loads(history["table/nrows"]) == 2
        for curve in ("roc", "precision_recall"):
            assert json.loads(history[f"color/{curve}/count"]) == 1
        assert json.loads(history["strongest/nrows"]) >= 4
        names = {entry.path for entry in artifacts["metrics"].manifest.contents}
        assert {"metrics.json", "scores.parquet", "thresholds.yaml"} <= names
        assert systems

    def test_strongest_detections_have_boxes_and_masks(self, logged: tuple[Path, str]) -> None:
        folder, _ = logged
        log = next((folder / "wandb").glob("offline-run-*/*.wandb"))
        (artifact,) = (
            record.artifact
            for record in records(log)
            if record.WhichOneof("record_type") == "artifact"
            and record.artifact.name.endswith("strongest")
        )
        files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        assert all(path.is_relative_to(folder) and path.is_file() for path in files.values())
        content = json.loads(files["strongest.table.json"].read_text())
        for role in ("original", "neural", "traditional"):
            picture = content["data"][0][content["columns"].index(role)]
            assert picture["boxes"]["detections"] and picture["masks"]["evidence"]
            assert picture["path"] in files
        confidences = [row[content["columns"].index("confidence")] for row in content["data"]]
        assert confidences == sorted(confidences, reverse=True)


def test_the_best_of_a_column_is_text_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    from nacd_bench.jobs.benchmark import results as tracking
    from nacd_bench.runs.tables import Best, Table

    class Logged(Exception):
        pass

    class Logger:
        def log_table(self, key: str, columns: list[str], data: list[list[Any]]) -> None:
            assert wandb.Table(columns=columns, data=data).data == [["a", "0.5"], ["b", "0.9"]]
            raise Logged

    table = Table(("method", "texture"), [["a", "0.5"], ["b", Best("0.9")]])
    monkeypatch.setattr(tracking, "main_table", lambda done: table)
    with pytest.raises(Logged):
        tracking._log_to_wandb(Logger(), cast(Any, None))


def test_a_server_that_does_not_answer_costs_a_message(
    planted: Path,
    tmp_path: Path,
) -> None:
    printed = benchmark(
        planted,
        tmp_path / "run",
        WANDB_BASE_URL="http://127.0.0.1:9",
        WANDB_API_KEY="0" * 40,
        WANDB_HTTP_TIMEOUT="2",
        WANDB_INIT_TIMEOUT="5",
    )
    assert "W&B did not take the log" in printed and "wandb sync" in printed
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_tensorboard(planted: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    benchmark(planted, tmp_path / "run", "logger=tensorboard")
    (events,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    log = EventAccumulator(str(events.parent))
    log.Reload()
    assert "color/large_color/auc" in log.Tags()["scalars"]
    assert "color/roc" in log.Tags()["images"]


def test_csv(planted: Path, tmp_path: Path) -> None:
    benchmark(planted, tmp_path / "run", "logger=csv")
    (file,) = (tmp_path / "run").rglob("metrics.csv")
    (row,) = csv_rows(file)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    found = float(row["color/psnr/auc"])
    assert found == pytest.approx(metrics["sets"]["color"]["auc"]["psnr"]["value"], abs=1e-6)


def test_none(planted: Path, tmp_path: Path) -> None:
    printed = benchmark(planted, tmp_path / "run", "logger=none")
    assert "W&B" not in printed and not (tmp_path / "run" / "wandb").exists()
