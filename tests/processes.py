"""Processes that start at once: forks of one that has imported what the commands need.

A command's imports take seconds; tests that kill one, or need it alone, pay for them once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

COMMAND = "import sys; from nacd_bench.cli.main import main; sys.exit(main(sys.argv[1:]))"
IMPORTS = (
    "cli.main",
    "cli.datasets",
    "cli.images",
    "cli.runs",
    "jobs.benchmark.run",
    "jobs.mine.run",
    "planting.sample",
    "pipeline.lightning",
    "report.page",
)


class Process:
    """A started process; what it prints is in a file."""

    def __init__(self, starter: Starter, pid: int, output: Path) -> None:
        self.starter, self.pid, self.file = starter, pid, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, minus the signal where one ended it, or None while it runs."""
        if self.returncode is None:
            self.returncode = self.starter.ask({"ended": self.pid})
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self.starter.ask({"end of": self.pid})
        return self.returncode

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def output(self) -> str:
        return self.file.read_text()


class Starter:
    """Starts processes; a context manager, at whose end nothing is started any more."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        command = [sys.executable, __file__]
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Starter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.kill()
        self.server.communicate()

    def ask(self, question: dict[str, Any]) -> Any:
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def code(self, code: str, *arguments: str, **environment: str) -> Process:
        """``python -c CODE ARGUMENTS``, without a terminal, in this process's folder."""
        self.count += 1
        output = self.folder / f"{self.count}.txt"
        start = {
            "code": code,
            "arguments": arguments,
            "environment": {**os.environ, **environment},
            "folder": str(Path.cwd()),
            "output": str(output),
        }
        return Process(self, self.ask(start), output)

    def command(self, *arguments: str, **environment: str) -> Process:
        """``nacd-bench ARGUMENTS``."""
        return self.code(COMMAND, *arguments, **environment)


def serve() -> None:
    for name in IMPORTS:
        import_module(f"nacd_bench.{name}")
    for line in sys.stdin:
        question = json.loads(line)
        if "code" in question:
            pid = os.fork()
            if not pid:
                become(question)
                return
            answer = pid
        else:
            (key, pid), *_ = question.items()
            ended, status = os.waitpid(pid, os.WNOHANG if key == "ended" else 0)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        print(json.dumps(answer), flush=True)


def become(question: dict[str, Any]) -> None:
    """Run the code here, in the fork."""
    # whoever started the tests may have told their children to ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(question["environment"])
    os.chdir(question["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(question["output"], os.O_CREAT | os.O_WRONLY)
    for stream, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(stream, place)
    sys.argv = ["-c", *question["arguments"]]
    exec(question["code"], {"__name__": "__main__"})


if __name__ == "__main__":
    serve()
