"""Every ``--help``, and every command line of the documentation and of the helps themselves."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from nacd_bench.cli.commands import COMMANDS, Command
from nacd_bench.cli.composing import is_setting
from nacd_bench.cli.main import main, split_command
from nacd_bench.registry import DETECTORS, Plugin

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HELPS = [ROOT / "conf" / f"{command.replace(' ', '_')}.yaml" for command in COMMANDS]


def command_lines() -> Iterator[Any]:
    """What begins with ``nacd-bench COMMAND`` in a block of shell, in a sentence or in a help."""
    seen: set[tuple[str, ...]] = set()
    for page in [*PAGES, *HELPS]:
        text = page.read_text("utf-8").replace("$$", "$").replace("\\\n", " ")
        if page.suffix == ".md":
            found = re.findall(r"^(?:\w+=\S+ )?(nacd-bench .*)|`(nacd-bench [^`]*)`", text, re.M)
        else:
            found = re.findall(r"^ {8}(nacd-bench .*)()", text, re.M)
        for block, sentence in found:
            words = tuple(shlex.split(block or sentence, comments=True)[1:])
            if words not in seen:
                seen.add(words)
                yield pytest.param(list(words), id=f"{page.name}: {' '.join(words)}")


def first_run(words: list[str]) -> list[str]:
    """The settings of a sweep's first run."""
    words = [re.sub(r"=interval\(([^,]*),.*", r"=\1", word) for word in words if word != "..."]
    return [re.sub(r"=([\w.]+),.*", r"=\1", word) for word in words]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What commands were called with: they are stubs, everything before them is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        DETECTORS.entries, "darkening", Plugin("my_package.darkening:Darkening", "my-package", "")
    )
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(Command, "run", lambda _, **config: called.append(config) or 0)
    return called


@pytest.mark.parametrize("words", command_lines())
def test_a_documented_command_line_is_composed(
    words: list[str], commands: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    command, rest = split_command(words)
    if "-m" in rest:
        rest = [word for word in rest if is_setting(word)]  # a path goes to each run as it is
        with initialize_config_module("nacd_conf", version_base="1.3"):
            config = compose(command, first_run(rest), return_hydra_config=True)
        assert config.hydra.launcher and config.hydra.sweeper
        return
    status = main(words)
    printed, complaint = capsys.readouterr()
    if rest or command in ("detect", "benchmark", "list"):
        assert (status, complaint) == (0, "")
        assert printed if "--help" in words else len(commands) == 1
    else:  # a command's bare name in a sentence
        assert "expected" in complaint if complaint else printed or len(commands) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    printed, complaint = capsys.readouterr()
    assert not complaint
    assert printed.startswith(f"nacd-bench {command}")
    configuration = HELPS[list(COMMANDS).index(command)].read_text("utf-8")
    settings, _, hydra = configuration.partition("\nhydra:")
    for example in re.findall(r"^ {8}nacd-bench .*", hydra, re.M):
        assert example.strip().replace("$$", "$") in printed
    comments = re.findall(r"^\w+:[^#\n]*(#.*)", settings, re.M)
    for comment in comments if "$CONFIG" in hydra else []:  # what a setting means, beside it
        assert comment in printed
    groups = re.findall(r"^(\w+): \w+, ", printed, re.M)  # choices that it takes, and no others
    assert groups == sorted(set(re.findall(r"^  - (\w+)[@:]", settings, re.M)))


def test_values_in_the_documentation_have_no_quotes() -> None:
    """Text is taken as the shell gives it, with quotes that it leaves; sweeps are Hydra's."""
    for line in command_lines():
        words = line.values[0]
        assert "-m" in words or not [word for word in words if re.search("=['\"]", word)], line.id


def test_names_that_benchmarks_import_are_there() -> None:
    for script in (ROOT / "benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nacd_"):
                module = import_module(str(node.module))
                for name in node.names:
                    assert hasattr(module, name.name), f"{script.name}: {name.name}"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE on Windows")
@pytest.mark.parametrize("words", [["list"], ["list", "--help"], ["--help"], ["no-command"]])
def test_a_reader_that_goes_ends_a_command_quietly(words: list[str]) -> None:
    command = [sys.executable, "-m", "nacd_bench.cli.main", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    reader, writer = os.pipe()
    os.close(reader)
    to_writer = {"stderr": writer} if words == ["no-command"] else {"stderr": subprocess.PIPE}
    done = subprocess.run(command, stdout=writer, env=environment, **to_writer)
    os.close(writer)
    assert (done.returncode, done.stderr or b"") == (141, b"")
