"""What a run that is refused leaves: nothing; and what it says of a run that began otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nacd_bench.cli.main import main
from nacd_bench.coding.codec import png
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.runs.folder import open_run

CODECS = ["codec@neural=jpeg", "codec@traditional=webp"]
ONE_RUN = ["codecs=[jpeg,webp]", "anchor=x265"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a photograph, an empty folder and a file that is no image."""
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "one"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a.png").write_bytes(png(np.full((40, 40, 3), 90, np.uint8)))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["detect", "empty"],
        ["detect", "thresholds={x: 1}"],
        ["detect", "clean=missing"],
        ["benchmark", "logger.mode=bad"],
        ["agree", "development=missing"],
        ["compress", "empty", *CODECS],
        ["compress", "one", *CODECS, "points=[1000]"],
        ["mine", "empty", *CODECS],
        ["mine", "one", *CODECS, "shard=2/2", "thresholds={x: 1}"],
        ["mine", "missing", *CODECS, "shard=2/2"],
        ["mine", "one", *CODECS, "logger=wandb", "logger.mode=bad"],
        ["rank", "runs=[missing]"],
        ["rank", "one", *ONE_RUN, "thresholds={x: 1}"],
        ["verify export", "one"],
        ["dataset build", "one"],
        ["compare", "empty", "one"],
    ],
    ids=" ".join,
)
def test_a_refused_run_leaves_nothing(
    here: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = words
    before = sorted(here.rglob("*"))
    assert main([*command.split(), *rest, "folder=new/place"]) == 1
    assert re.search("expected|unknown|Known", capsys.readouterr().err)
    assert sorted(here.rglob("*")) == before
    (here / "there").mkdir()  # and nothing in a folder of the user
    (here / "there" / "note.txt").touch()
    assert main([*command.split(), *rest, "folder=there"]) == 1
    assert [path.name for path in (here / "there").rglob("*")] == ["note.txt"]


def refused(folder: Path, *, file: str = "", fault: bool = False, **how: Any) -> None:
    """A run that is refused after it wrote a file or noted a failure."""
    with pytest.raises(UserError), open_run(folder, "detect", {}, **how) as run:
        if file:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).touch()
        run.failures += [Failure("a", "", "b")] * fault
        raise UserError("refused")


def test_a_tracker_s_log_of_nothing_goes(tmp_path: Path) -> None:
    refused(tmp_path / "run", file="wandb/debug.log")
    assert not any(tmp_path.iterdir())


def test_what_was_done_stays(tmp_path: Path) -> None:
    refused(tmp_path / "a", file="scores.csv")
    assert (tmp_path / "a" / "settings.json").is_file()
    refused(tmp_path / "b", fault=True)
    assert (tmp_path / "b" / "failures.csv").is_file()
    with open_run(tmp_path / "c", "detect", {}):
        pass
    refused(tmp_path / "c")
    assert (tmp_path / "c" / "settings.json").is_file()


def test_a_shard_that_is_at_work_keeps_its_folder(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", "mine", {}, shard="1-of-2"):
        refused(tmp_path / "run", shard="2-of-2")
        assert (tmp_path / "run" / "settings.json").is_file()


def test_other_methods_are_one_line(tmp_path: Path) -> None:
    def methods(*names: str, **values: Any) -> dict[str, Any]:
        of_all = {f"p{number}": number for number in range(20)}
        return {"detectors": {name: {"detector": name} | of_all | values for name in names}}

    def lines(now: dict[str, Any]) -> list[str]:
        with pytest.raises(DataError) as error, open_run(tmp_path, "detect", now):
            pass
        return [line.strip() for line in str(error.value).splitlines()[1:-1]]

    with open_run(tmp_path, "detect", methods("texture", "text")):
        pass
    assert lines(methods("text", "boundary")) == [
        "detectors: texture, text before; text, boundary now"
    ]
    assert lines(methods("texture", "text", p3=7, p4=8, p5=9)) == [
        "detectors.text.p3: 3 before, 7 now, and 2 more",
        "detectors.texture.p3: 3 before, 7 now, and 2 more",
    ]
    many = {f"setting{number}": 1 for number in range(9)}
    assert lines(methods("texture", "text") | many)[-1] == "and 3 more"
