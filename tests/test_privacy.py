"""Nothing leaves the machine unless the user's settings say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wandb
from checks import fails
from PIL import Image
from skimage import data
from wandb_server import KEY, Server, running

from nacd_bench.errors import UserError
from nacd_bench.pipeline.tracking import tracked, wandb_mode

LOGGER = {"_target_": "nacd_bench.pipeline.tracking.wandb_logger"}


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(
    shared_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Server]:
    """Everything goes to the server, and no setting of this machine's user counts."""
    shared_server.requests.clear()
    shared_server.refuses = ""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    own = {"HOME": str(tmp_path), "WANDB_API_KEY": KEY, **shared_server.environment}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.chdir(tmp_path)
    yield shared_server
    wandb.teardown()


def log(folder: Path, **settings: str) -> str:
    """A small run with a tracker; what the user is told, the environment being as before."""
    before = dict(os.environ)
    with tracked({**LOGGER, **settings}, folder, {"seed": 1}) as tracker:
        tracker.log(lambda logger: logger.log_metrics({"value": 1.0}, step=0))
    ours = ("WANDB", "MLFLOW")
    assert {k: v for k, v in os.environ.items() if k.startswith(ours)} == {
        k: v for k, v in before.items() if k.startswith(ours)
    }
    return tracker.message


def logs(folder: Path) -> list[Path]:
    return list(folder.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WANDB_MODE", "offline"),
        ("WANDB_MODE", "dryrun"),
        ("WANDB_MODE", "disabled"),
        ("WANDB_MODE", "no such mode"),
        ("WANDB_DISABLED", "true"),
        ("WANDB_DISABLED", "1"),
        ("WANDB_API_KEY", ""),
    ],
)
def test_a_wish_in_the_environment_counts(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    told = log(tmp_path / "run")
    assert server.requests == []
    assert "has the log" not in told
    if value in ("offline", "dryrun", ""):
        assert "wandb sync" in told and logs(tmp_path / "run")
    elif value != "no such mode":
        assert told == "W&B is disabled: no log." and not logs(tmp_path / "run")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
@pytest.mark.parametrize("place", ["wandb/settings", "home/.config/wandb/settings"])
def test_a_wish_in_a_settings_file_counts_until_it_is_gone(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, place: str
) -> None:
    """As ``wandb offline`` and ``wandb disabled`` write it, into the folder or the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(f"[default]\nmode = {mode}\n")
    told = log(tmp_path / "run")
    assert server.requests == []
    assert ("wandb sync" in told) == (mode == "offline")
    file.unlink()
    assert wandb_mode("auto") == "online"


def test_online_is_sent_and_then_not_any_more(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Twice in one process, with another wish the second time."""
    assert log(tmp_path / "first").startswith("W&B has the log; a copy is in ")
    assert any("UpsertBucket" in request for request in server.requests)
    assert any("file_stream" in request for request in server.requests)
    server.requests.clear()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "wandb sync" in log(tmp_path / "second")
    assert server.requests == []


@pytest.mark.parametrize("refused", ["UpsertBucket", "file_stream"])
def test_a_server_that_refuses_does_not_have_the_log(
    server: Server, tmp_path: Path, refused: str
) -> None:
    server.refuses = refused
    told = log(tmp_path / "run")
    assert any(refused in request for request in server.requests)
    assert told.startswith("W&B did not take the log (") and "wandb sync" in told


def test_the_setting_of_the_run_comes_first(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    assert "wandb sync" in log(tmp_path / "run", mode="offline")
    assert "disabled" in log(tmp_path / "run", mode="disabled")
    assert server.requests == []
    assert wandb_mode("online") == "online"
    fails(UserError, r"unknown logger\.mode 'ofline'.*offline", wandb_mode, "ofline")


def test_a_key_in_netrc_is_a_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine example.org login user password {KEY}\n")
    assert wandb_mode("auto") == "offline"
    netrc.write_text(f"machine 127.0.0.1 login user password {KEY}\n")
    assert wandb_mode("auto") == "online"


RUNNER = """
import json, os, sys
from pathlib import Path
from wandb_server import running

connections = []
def watch(event, arguments):
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "localhost"):
        connections.append(str(arguments[0]))
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        if arguments[1][0] not in ("127.0.0.1", "::1"):
            connections.append(str(arguments[1]))
sys.addaudithook(watch)
with running() as server:
    os.environ.update(server.environment)
    from nacd_bench.cli.main import main
    steps = []
    for name, environment, arguments in json.loads(sys.stdin.read()):
        server.requests.clear()
        connections.clear()
        if "votes.csv" in arguments:  # everybody is right
            tasks = json.loads(Path("tasks/key.json").read_text())["tasks"]
            votes = [f"{who},{key},{task.get('answer') or task['neural']}"
                     for key, task in tasks.items() for who in ("one", "two", "three")]
            Path("votes.csv").write_text("\\n".join(["rater,task,answer", *votes]))
        before = {**os.environ, **environment}
        os.environ.update(environment)
        status = main(arguments)
        changed = {k for k in before | os.environ if before.get(k) != os.environ.get(k)}
        for variable in environment:
            del os.environ[variable]
        steps.append([name, status, [*server.requests, *connections], sorted(changed)])
Path("steps.json").write_text(json.dumps(steps))
"""


def test_no_command_asks_for_anything(tmp_path: Path) -> None:
    """Every command, one after the other in one process, with a key and without."""
    few = ["show_progress=false"]
    plain = ["detector=[large_color,text]", "baseline=[psnr]", *few]
    sets = ["sets.types=[color]", "bootstrap.resamples=50"]
    logged = ["logger=wandb", "report=false"]
    offline = {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}
    commands = [
        ("list", {}, ["list"]),
        ("compress", {}, ["compress", "original0.png", "folder=coded", "workers=0", "points=[4]"]),
        ("validate", {}, ["validate", "coded", *few]),
        ("detect", {}, ["detect", "coded", "folder=detected", *plain[:1], *few]),
        (
            "benchmark",
            {},
            ["benchmark", "labelled.jsonl", *plain, *sets, "folder=b0", "report=false"],
        ),
        ("report", {}, ["report", "b0", *few]),
        (
            "sweep",
            offline,
            ["benchmark", "-m", "labelled.jsonl", *plain, *sets, *logged, "folder=b2"],
        ),
        (
            "mine",
            offline,
            ["mine", "original0.png", *plain[:1], "folder=mined", "logger=wandb", "workers=0"],
        ),
        ("export", {}, ["verify", "export", "mined", "folder=tasks", *few]),
        ("votes", {}, ["verify", "import", "tasks", "votes.csv", "folder=verified"]),
        ("build", {}, ["dataset", "build", "verified", "folder=data", *few]),
        ("unverified", {}, ["dataset", "build", "mined", "unverified=true", "folder=more", *few]),
        ("merge", {}, ["dataset", "build", "data", "more", "folder=both", *few]),
        ("stats", {}, ["dataset", "stats", "both"]),
        ("check", {}, ["dataset", "check", "both", *few]),
        ("import", {}, ["import", "labelled.csv", "mapping=mapping.yaml", "output=read.jsonl"]),
        ("judge", {}, ["detect", "coded", "detector=[color_severity]", "folder=judged", *few]),
        ("compare", {}, ["compare", "judged", "judged", "folder=compared", *few]),
    ]
    photo = data.astronaut()[40:136, 160:256]
    rows = []
    for i in range(4):
        sides = {"original": photo, "neural": photo // (2 if i < 2 else 1), "traditional": photo}
        for side, pixels in sides.items():
            Image.fromarray(np.roll(pixels, 24 * i, axis=1)).save(tmp_path / f"{side}{i}.png")
        label = {"labels": [{"artifact_type": "color", "box": [0, 0, 96, 96], "confirmed": True}]}
        row = {"id": f"t{i}", **{side: f"{side}{i}.png" for side in sides}}
        rows.append(json.dumps({**row, **(label if i < 2 else {"artifact_free": True})}))
    (tmp_path / "labelled.jsonl").write_text("\n".join(rows))
    (tmp_path / "labelled.csv").write_text("o,n,t\noriginal0.png,neural0.png,traditional0.png\n")
    columns = "original: o\n  neural: n\n  traditional: t"
    (tmp_path / "mapping.yaml").write_text(f"columns:\n  {columns}\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "RAY", "HF_"))}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(commands),
        env={
            **kept,
            "HOME": str(tmp_path),
            "NACD_BENCH_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(Path(__file__).parent),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads((tmp_path / "steps.json").read_text())
    assert [name for name, *_ in steps] == [name for name, *_ in commands]
    for name, status, requests, changed in steps:
        assert requests == [], name
        assert not [variable for variable in changed if variable.startswith("WANDB")], name
        assert status == 0, f"{name}\n{done.stdout}{done.stderr}"
