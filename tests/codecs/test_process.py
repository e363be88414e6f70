"""Running programs that hang, shout, die and leave children."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from checks import fails

from nacd_bench.errors import CodecError
from nacd_codecs import process
from nacd_codecs.command import CommandLine
from nacd_codecs.process import Finished, require_file, run, work_folder


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 600
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


LONG = 600.0
"""Seconds that no program here takes, however busy the machine is."""
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def test_output_status_and_time() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    finished = run(python(code), LONG)
    assert finished.code == 3
    assert set(finished.output.split()) == {"out", "err"}
    assert 0 < finished.seconds < LONG


def test_environment_folder_and_stdin(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['X'], os.getcwd(), repr(sys.stdin.read()))"
    assert run(python(code), LONG, tmp_path, {"X": "a b"}).output.strip() == f"a b {tmp_path} ''"


@pytest.mark.parametrize("word", ["a b", "'", '"', ";", "$(id)", "-x", "", "*", "\\", "\n"])
def test_arguments_arrive_as_they_are(word: str) -> None:
    assert run([*python("import sys; print(sys.argv[1:])"), word], LONG).output.strip() == str(
        [word]
    )


def test_a_long_output_keeps_its_start_and_end() -> None:
    finished = run(python("print('first'); print('x' * 10_000_000); print('last')"), LONG)
    assert finished.output.startswith("first\n") and finished.output.endswith("last\n")
    assert "bytes left out" in finished.output and len(finished.output) < 80_000


def test_output_that_is_not_text() -> None:
    code = "import sys; sys.stdout.buffer.write(bytes(range(128, 256)))"
    assert run(python(code), LONG).output.startswith("\\x80")


@needs_proc
def test_time_limit_kills_the_children_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"sleep 3000 & echo $! > '{pid}'; echo so far; sleep 3000"
    fails(CodecError, r"stopped.*time limit of 4 s[\s\S]*so far", run, ["sh", "-c", code], 4)
    assert gone(int(pid.read_text()))


@needs_proc
def test_a_child_left_behind_does_not_hold_up(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3000)']);"
        "print(p.pid)"
    )
    finished = run(python(code), LONG)
    assert finished.code == 0
    assert gone(int(finished.output))


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_program_starts_ends_it(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started = []

    class Interrupted(process.subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(number)

    def end(*_: object) -> None:
        sys.exit(1)

    before = signal.signal(number, end)
    monkeypatch.setattr(process.subprocess, "Popen", Interrupted)
    try:
        with pytest.raises(SystemExit):
            run(["sleep", "3000"], LONG)
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    assert gone(started[0])


@needs_proc
def test_an_interrupt_kills_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = process.subprocess.Popen.wait

    def interrupted(running: process.subprocess.Popen[bytes]) -> None:
        monkeypatch.setattr(process.subprocess.Popen, "wait", wait)
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(process.subprocess.Popen, "wait", interrupted)
    code = (
        "import os, pathlib, time;"
        f"p = pathlib.Path({str(tmp_path)!r}); (p / 'part').write_text(str(os.getpid()));"
        "(p / 'part').rename(p / 'pid'); time.sleep(3000)"
    )
    with pytest.raises(KeyboardInterrupt):
        run(python(code), LONG)
    assert gone(int((tmp_path / "pid").read_text()))


def test_waiting_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    wait = process.subprocess.Popen.wait

    def noted(running: Any, timeout: float | None = None) -> int:
        waits.append(timeout)
        return wait(running, timeout)

    monkeypatch.setattr(process.subprocess.Popen, "wait", noted)
    run(["true"], LONG)
    assert set(waits) == {None}  # with a limit it polls every 50 ms


def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    fails(CodecError, r"no_such_program does not start", run, ["no_such_program"], 5)
    (tmp_path / "text").write_text("hello")
    fails(CodecError, r"does not start: .*Permission denied", run, [tmp_path / "text"], 5)


class TestRequireFile:
    finished = Finished(("/opt/enc", "a b"), 0, "said this\n", 1.0)

    def test_good(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"abc")
        assert require_file(self.finished, tmp_path / "f", 3) == b"abc"

    def test_missing_with_command_and_output(self, tmp_path: Path) -> None:
        with pytest.raises(CodecError) as error:
            require_file(self.finished, tmp_path / "f")
        assert str(error.value) == (
            "enc wrote no file f (exit status 0).\nCommand: /opt/enc 'a b'\n"
            "Its last words:\nsaid this"
        )

    def test_empty_and_short(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        fails(CodecError, "wrote an empty file f", require_file, self.finished, tmp_path / "f")
        (tmp_path / "f").write_bytes(b"ab")
        with pytest.raises(CodecError, match="wrote 2 bytes where 3 were expected to f"):
            require_file(self.finished, tmp_path / "f", 3)

    @pytest.mark.parametrize(
        ("code", "words"),
        [(1, "exit status 1"), (-6, "-6, SIGABRT"), (134, "134, perhaps SIGABRT")],
    )
    def test_exit_status(self, tmp_path: Path, code: int, words: str) -> None:
        (tmp_path / "f").write_bytes(b"ab")
        finished = Finished(("enc",), code, "", 1.0)
        with pytest.raises(CodecError, match=rf"failed, though it wrote f \(.*{words}"):
            require_file(finished, tmp_path / "f")
        assert require_file(finished, tmp_path / "f", accepted=[0, code]) == b"ab"

    def test_a_full_disk_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("usage", (), {"free": 0})
        monkeypatch.setattr(process.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(CodecError, match="the disk is full") as caught:
            require_file(self.finished, tmp_path / "f")
        cause = caught.value.__cause__  # by which compress knows that it is not the image's fault
        assert isinstance(cause, OSError) and cause.errno == errno.ENOSPC


class TestWorkFolder:
    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path

    @pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, CodecError])
    def test_gone_after_a_failure(self, temporary: Path, failure: type[BaseException]) -> None:
        with pytest.raises(failure), work_folder() as folder:
            (folder / "file").write_bytes(b"data")
            raise failure
        assert list(temporary.iterdir()) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk(self, temporary: Path) -> None:
        message = f"no room .* in {temporary}.*TMPDIR"
        with pytest.raises(CodecError, match=message), work_folder() as folder:
            (folder / "in.yuv").symlink_to("/dev/full")
            (folder / "in.yuv").write_bytes(bytes(100_000))
        assert list(temporary.iterdir()) == []

    def test_other_errors_pass(self) -> None:
        with pytest.raises(FileNotFoundError), work_folder() as folder:
            (folder / "nothing").read_bytes()


class TestFindProgram:
    def find(self, given: str | Path | None = None) -> Path:
        codec = CommandLine(
            name="x",
            encode="{encoder} {input} {bitstream}",
            decode="{encoder} {bitstream} {output}",
            points={"values": [1]},
            find={"encoder": {"variable": "NACD_X", "names": ["xenc", "xenc2"]}},
            get="Get it.",
            encoder=given,
        )
        return codec.places["encoder"]

    @pytest.fixture()
    def program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.delenv("NACD_X", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        path = tmp_path / "bin" / "xenc2"
        path.parent.mkdir()
        path.write_text("#!/bin/true")
        path.chmod(0o755)
        return path

    def test_order(self, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.find() == program
        others = [tmp_path / "by variable", tmp_path / "by option"]
        for other in others:
            other.write_bytes(program.read_bytes())
            other.chmod(0o755)
        monkeypatch.setenv("NACD_X", str(others[0]))
        assert self.find() == others[0]
        assert self.find(others[1]) == others[1]
        assert self.find("xenc2") == program

    def test_nothing_found(self, program: Path) -> None:
        program.unlink()
        message = r"encoder of x is not found: .*NACD_X is set, .*xenc or xenc2\. Get it\. .*PATH"
        fails(CodecError, message, self.find)

    def test_a_wrong_pointer_does_not_fall_through(
        self, program: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fails(CodecError, "encoder=/no/such is no executable file", self.find, "/no/such")
        monkeypatch.setenv("NACD_X", os.fspath(program.parent))
        fails(CodecError, r"NACD_X=.* is no executable file", self.find)
