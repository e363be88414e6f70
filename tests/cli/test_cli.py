"""The command line as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies
from omegaconf import OmegaConf
from triplet_folder import make_triplets

from nacd_bench import __version__
from nacd_bench.cli.commands import COMMANDS
from nacd_bench.cli.composing import composed, escaped, is_setting, read
from nacd_bench.cli.main import main
from nacd_bench.errors import UserError
from nacd_bench.settings import Name
from nacd_bench.triplets.manifest import read_manifest

FAST = ["detector=[large_color]", "detector.large_color.window=32", "show_progress=false"]


Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def run(*arguments: str, cwd: Path, **environment: str) -> Done:
    """``nacd-bench`` in a process of its own, with its output."""
    return subprocess.run(
        [sys.executable, "-m", "nacd_bench.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """``nacd-bench`` in this process, in the folder of the test, with its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def called(*arguments: str) -> Done:
        capsys.readouterr()
        return subprocess.CompletedProcess(arguments, main(arguments), *capsys.readouterr())

    return called


class TestWords:
    @pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
    def test_usage(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in ("detect", "compress", "validate", "list"))

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"nacd-bench {__version__}\n"

    def test_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["detcet"]) == 2
        assert "Did you mean detect?" in capsys.readouterr().err

    def test_commands_of_two_words(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["dataset", "--help"]) == 0
        printed = capsys.readouterr().out
        assert "dataset build" in printed and "detect" not in printed
        assert main(["dataset"]) == 2
        assert "dataset check" in capsys.readouterr().out
        assert main(["dataset", "biuld"]) == 2
        assert "Did you mean dataset build?" in capsys.readouterr().err

    def test_a_file_is_a_path_whatever_it_is_called(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a=b.png").touch()
        words = ["a=b.png", "no/such", "x.y=1", "+z=2", "~w", "codec@neural=hm"]
        assert list(filter(is_setting, words)) == words[2:]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["detect", "detector=[boundary,textur]"], "did you mean 'texture'"),
            (["compress", "codec@neural=x266"], "unknown codec 'x266'; did you mean 'x265'"),
            (["compress", "codec@neurl=hm"], "'codec@neurl'; did you mean 'codec@neural'"),
            (["compress", "preset=released"], "unknown choice of compress 'preset'. Known: codec@"),
            (["benchmark", "logger=wanbd"], "unknown logger 'wanbd'; did you mean 'wandb'"),
        ],
    )
    def test_unknown_choices_name_the_near_misses(self, words: list[str], message: str) -> None:
        with pytest.raises(UserError) as error:
            composed(words[0], words[1:])
        assert message in str(error.value) and "\n" not in str(error.value)


def test_detect_a_folder(tmp_path: Path) -> None:
    make_triplets(tmp_path / "data")
    done = run("detect", "data", "folder=out", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "large_color" in done.stdout and "3 triplets" in done.stdout and "out/" in done.stdout
    assert len(pq.read_table(tmp_path / "out" / "scores.parquet")) == 3
    assert "window: 32" in (tmp_path / "out" / "config.yaml").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out"]  # and nothing of Hydra's


def test_detect_three_files_with_awkward_names(tmp_path: Path, run_here: Run) -> None:
    data = make_triplets(tmp_path / "data", ("rocket",))
    names = ["it's ${one},[x].png", "b=2 {y}.png", "c#.png"]
    for role, name in zip(("orig", "ai", "classic"), names, strict=True):
        (data / role / "rocket.png").rename(tmp_path / name)
    done = run_here("detect", *names, "folder=out", *FAST)
    assert done.returncode == 0, done.stderr
    row = pq.read_table(tmp_path / "out" / "scores.parquet").to_pylist()[0]
    assert row["image"] == "it's ${one},[x]"


def test_failures_are_listed_and_turn_the_status(tmp_path: Path, run_here: Run) -> None:
    data = make_triplets(tmp_path / "data")
    (data / "ai" / "coffee.png").write_text("this is no picture")
    (data / "classic" / "rocket.png").unlink()
    done = run_here("detect", "data", "folder=out", *FAST)
    assert done.returncode == 1
    assert "2 failed" in done.stdout and "coffee" in done.stdout and "rocket" in done.stdout
    assert len(pq.read_table(tmp_path / "out" / "scores.parquet")) == 1
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detect", "nowhere"], "nowhere: expected a folder"),
        (["detect", "empty"], "expected"),
        (["detect", "data", "detector=textrue"], "did you mean 'texture'"),
        (["detect", "data", "detector.large_color.windw=3"], "windw"),
        (
            ["detect", "data", "detector.text.enlarge=0"],
            "detector.text.enlarge as a number above 0",
        ),
        (["detect", "data", "preset=best"], "unknown preset 'best'. Known: paper, recommended"),
        (["detect", "data", "text_finder=file"], "text_finder.path=..."),
        (["validate"], "expected source=..."),
        (["list", "kind=detector"], "did you mean 'detectors'"),
        (["compress"], "images=..."),
    ],
)
def test_wrong_usage_is_one_clear_message(
    tmp_path: Path, run_here: Run, arguments: list[str], message: str
) -> None:
    make_triplets(tmp_path / "data", ("rocket",))
    (tmp_path / "empty").mkdir()
    done = run_here(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_continuing_with_other_settings_is_refused(tmp_path: Path, run_here: Run) -> None:
    make_triplets(tmp_path / "data", ("rocket",))
    assert run_here("detect", "data", "folder=out", *FAST).returncode == 0
    done = run_here("detect", "data", "folder=out", *FAST, "detector.large_color.low=2")
    assert done.returncode == 1
    assert "large_color.low: 3.0 before, 2" in done.stderr


def test_validate(tmp_path: Path, run_here: Run) -> None:
    data = make_triplets(tmp_path / "data")
    done = run_here("validate", "data", "show_progress=false")
    assert (done.returncode, done.stdout) == (0, "3 triplets, 0 problems.\n")
    (data / "ai" / "coffee.png").write_text("no picture")
    (data / "orig" / "rocket.png").write_bytes((data / "orig" / "rocket.png").read_bytes()[:99])
    done = run_here("validate", "data", "show_progress=false")
    assert done.returncode == 1
    assert "coffee" in done.stdout and "rocket" in done.stdout and "2 problems" in done.stdout


def test_import_writes_a_manifest_and_names_faults(tmp_path: Path, run_here: Run) -> None:
    (tmp_path / "a.csv").write_text("name,kind,x,y,w,h\n1,tex,0,0,20,10\n2,none,,,,\n")
    (tmp_path / "map.yaml").write_text(
        "columns: {original: 'o/{name}.png', neural: 'n/{name}.png', traditional: 't/{name}.png',\n"
        "  artifact_type: kind, box: [x, y, w, h]}\nbox: xywh\ntypes: {tex: texture, none: free}\n"
    )
    arguments = ("import", "a.csv", "mapping=map.yaml", "output=out/b.csv")
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    assert "2 triplets, labels: 1 texture; 1 free" in done.stdout
    records = read_manifest(tmp_path / "out" / "b.csv")
    assert records[0].labels[0].box == (0, 0, 20, 10) and records[1].artifact_free
    (tmp_path / "a.csv").write_text("name,kind,x,y,w,h\n1,texx,0,0,20,10\n")
    done = run_here(*arguments[:3], "output=c.csv")
    assert done.returncode == 1 and "texx" in done.stderr
    assert not (tmp_path / "c.csv").exists()


def test_help_explains(run_here: Run) -> None:
    for command, words in {
        "detect": ("ORIGINAL NEURAL TRADITIONAL", "si_threshold", "text_finder"),
        "benchmark": ("labelled.parquet", "resamples", "-m detector"),
        "import": ("mapping.yaml", "output"),
        "validate": ("WHERE", "workers"),
        "list": ("KIND",),
        "compress": ("images",),
    }.items():
        done = run_here(command, "--help")
        assert done.returncode == 0
        assert all(word in done.stdout for word in words), done.stdout


PLUGIN = """
import torch
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.detectors import Detector

class Darkness(Detector):
    '''How much darker neural is.'''
    name = "darkness"
    artifact_type = "color"

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, batch):
        scores = self.gain * (batch.y.traditional - batch.y.neural).flatten(1).mean(1)
        box = torch.tensor([[0, 0, batch.width, batch.height]])
        return DetectionBatch(scores, [box] * len(batch), [s[None] for s in scores])
"""


@pytest.fixture
def plugins(tmp_path: Path) -> str:
    """A folder for PYTHONPATH with two installed packages: one that works, one that does not."""
    site = tmp_path / "site"
    for package, name, target, code in (
        ("darkness", "darkness", "darkness_plugin:Darkness", PLUGIN),
        ("wreck", "wreck", "wreck_plugin:Wreck", "raise RuntimeError('no such luck')\n"),
    ):
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nacd_bench.detectors]\n{name} = {target}\n")
        (site / f"{package}_plugin.py").write_text(code)
    return str(site)


@pytest.mark.parametrize("words", [["list"], ["list", "kind=codecs"], ["detect", "--help"]])
def test_what_only_tells_imports_neither_torch_nor_statistics(words: list[str]) -> None:
    """It takes seconds to import, and no codec is told by the docstring of another thing."""
    code = (
        "import sys; from nacd_bench.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(status or bool({'torch', 'scipy.stats'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "partial(" not in done.stdout


def test_list_names_origins_and_broken_plugins(tmp_path: Path, plugins: str) -> None:
    done = run("list", cwd=tmp_path, PYTHONPATH=plugins)
    lines = done.stdout.splitlines()
    assert any("texture" in line and "built in" in line for line in lines)
    assert any("x265" in line and "built in" in line for line in lines)
    assert any("rapidocr" in line for line in lines)
    own = next(line for line in lines if line.split()[1:3] == ["darkness", "darkness"])
    assert "How much darker neural is." in own
    assert done.returncode == 1
    assert "'wreck' of package wreck" in done.stdout and "no such luck" in done.stdout


def test_a_third_party_detector_runs_and_a_broken_one_costs_only_itself(
    tmp_path: Path, plugins: str
) -> None:
    make_triplets(tmp_path / "data", ("rocket",))
    chosen = ["detector=[large_color,darkness,wreck]", "detector.darkness.gain=2.0"]
    fast = ["detector.large_color.window=32", "show_progress=false"]
    done = run("detect", "data", "folder=out", *chosen, *fast, cwd=tmp_path, PYTHONPATH=plugins)
    assert done.returncode == 1
    assert "wreck" in done.stdout and "no such luck" in done.stdout
    row = pq.read_table(tmp_path / "out" / "scores.parquet").to_pylist()[0]
    assert row["darkness"] is not None and row["large_color"] is not None


AWKWARD = (
    *("20260301", "1_0", "2024_05_01", "1e3", "1.10", "0x10", "007", "true", "run#2", "a=b"),
    *(
        "été",
        "照片",
        "[a]",
        "{b: c}",
        "a,b",
        "${now:%Y}",
        r"\${x}",
        "'q'",
        '"q"',
        "a b",
        " a",
        "~x",
    ),
)


class TestTextIsText:
    @pytest.mark.parametrize("text", [*AWKWARD, "null"])
    @pytest.mark.parametrize(
        ("command", "name"),
        [
            (["compress", "photos"], "folder"),
            (["detect", "triplets"], "folder"),
            (["benchmark", "labelled.jsonl"], "folder"),
            (["mine", "photos"], "folder"),
            (["verify export", "mined"], "folder"),
            (["verify import", "tasks", "votes"], "folder"),
            (["dataset build", "mined"], "folder"),
            (["compare", "a", "b"], "folder"),
            (["import", "a.csv", "mapping=b.yaml"], "output"),
        ],
    )
    def test_folders(self, command: list[str], name: str, text: str) -> None:
        assert composed(command[0], [*command[1:], f"{name}={text}"])[name] == text

    @pytest.mark.parametrize("text", AWKWARD)
    @pytest.mark.parametrize(
        ("command", "name"),
        [
            (["dataset build", "mined", "folder=x"], "license"),
            (["dataset build", "mined", "folder=x"], "source"),
            (["dataset build", "mined", "folder=x"], "title"),
            (["benchmark"], "cache"),
            (["benchmark"], "reference"),
            (["compress", "photos", "folder=x", "codec@neural=hyperprior"], "neural.label"),
            (["verify export", "mined", "folder=x"], "label_studio_images"),
        ],
    )
    def test_names_and_licences(self, command: list[str], name: str, text: str) -> None:
        node = composed(command[0], [*command[1:], f"{name}={text}"])
        for key in name.split("."):
            node = node[key]
        assert node == text

    def test_paths_and_lists(self) -> None:
        assert composed("detect", ["20260301"])["data"]["source"] == "20260301"
        assert composed("detect", ["1_0", "${a}", "[b"])["data"]["source"] == ["1_0", "${a}", "[b"]
        given = composed("compress", ["images=[1_0, 007, été]", "folder=x"])
        assert given["images"] == ["1_0", "007", "été"]
        assert composed("compress", ["photos", "folder=x", "points=[50,1e1]"])["points"] == [50, 10]
        assert composed("detect", ["thresholds.text=1e-3"])["thresholds"] == {"text": 1e-3}
        assert composed("detect", ["thresholds=1_0"])["thresholds"] == "1_0"
        assert composed("benchmark", ["cache=null"])["cache"] is None

    @settings(deadline=None)
    @given(text=strategies.text(strategies.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
    def test_whatever_it_is(self, text: str) -> None:
        given = escaped(read("folder", Name, text))
        assert OmegaConf.to_container(OmegaConf.create({"a": given}), resolve=True) == {"a": text}

    def test_numbers_as_names_of_folders_from_end_to_end(
        self, tmp_path: Path, run_here: Run
    ) -> None:
        make_triplets(tmp_path / "data", ("rocket",))
        done = run_here("detect", "data", "folder=20260302", "report=false", *FAST)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "20260302" / "scores.parquet").is_file()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["detect", "data", "folder="],
            ["compress", "data/orig", "folder="],
            ["mine", "data/orig", "folder="],
            ["benchmark", "folder="],
            ["import", "a.csv", "mapping=b.yaml", "output="],
            ["dataset build", "data", "folder="],
        ],
    )
    def test_an_empty_name_is_refused(
        self, tmp_path: Path, run_here: Run, arguments: list[str]
    ) -> None:
        make_triplets(tmp_path / "data", ("rocket",))
        done = run_here(*arguments[0].split(), *arguments[1:])
        assert done.returncode == 1
        assert "as the name of a file or folder" in done.stderr and "got ''" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("detect", "data.root=x", "'data.root'; did you mean 'data.source'"),
        ("detect", "threshold.texture=0.9", "'threshold'; did you mean 'thresholds'"),
        ("mine", "threshold.texture=0.9", "'threshold'; did you mean 'thresholds'"),
        ("compare", "threshold.texture=0.9", "'threshold'; did you mean 'thresholds'"),
        ("benchmark", "criterion=fpr_5", "unknown setting of benchmark 'criterion'"),
        ("detect", "criterium=fpr_5", "'criterium'; did you mean 'criterion'"),
        ("compress", "point=[2]", "'point'; did you mean 'points'"),
        ("mine", "point=[2]", "'point'; did you mean 'points'"),
        ("benchmark", "sets.m=3", "unknown setting of benchmark 'sets.m'"),
        ("benchmark", "trainer.batchsize=3", "did you mean 'trainer.batch_size'"),
        ("detect", "detector.texture.windw=3", "did you mean 'detector.texture.window'"),
        ("detect", "text_finder.modl=3", "did you mean 'text_finder.model'"),
        ("compress", "neural.wights=3", "did you mean 'neural.weights'"),
        ("verify export", "toloka_image=x", "did you mean 'toloka_images'"),
        ("validate", "worker=3", "did you mean 'workers'"),
        ("list", "kinds=all", "did you mean 'kind'"),
    ],
)
def test_unknown_settings_are_errors(command: str, word: str, plus: str, message: str) -> None:
    paths = ["data"] if COMMANDS[command].data else []
    with pytest.raises(UserError) as error:
        composed(command, [*paths, f"{plus}{word}"])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_threshold_of_another_detector_names_those_that_run(
    tmp_path: Path, run_here: Run
) -> None:
    make_triplets(tmp_path / "data", ("rocket",))
    done = run_here("detect", "data", "folder=out", "thresholds.large_colour=0.1", *FAST)
    assert done.returncode == 1 and "did you mean 'large_color'" in done.stderr


def test_a_command_runs_under_a_debugger_and_under_coverage(run_here: Run) -> None:
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert run_here("list", "kind=codecs").returncode == 0
        assert "did you mean" in run_here("list", "kind=codec").stderr
        assert "KIND" in run_here("list", "--help").stdout
    finally:
        sys.settrace(before)


def test_what_a_configuration_is_and_where_it_is_from(tmp_path: Path, run_here: Run) -> None:
    done = run_here("detect", "triplets", "folder=1_0", "--cfg", "job")
    assert (done.returncode == 0 and "folder: '1_0'" in done.stdout) or "folder: 1_0" in done.stdout
    assert run("detect", "--info", "defaults", cwd=tmp_path).returncode == 0  # it sets up logging
    done = run_here("detect", "--confg")
    assert done.returncode == 1 and "nrecognized arguments: --confg" in done.stderr
