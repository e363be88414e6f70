"""Text found by MMOCR 1.x: DBNet++, the paper's detector.

MMOCR needs mmcv before 2.2 and with it an old torch, so it lives in an interpreter of its own. A
worker process there (``mmocr_worker.py``) is started once, is sent pixels over pipes, and is
started again when it dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon, named, require_image
from nacd_bench.errors import TextFinderError

SCRIPT = Path(__file__).with_name("mmocr_worker.py")

MAX_FAILURES = 4
"""Deaths and time-outs in a row after which no worker is started any more."""


_ONE_AT_A_TIME = threading.Lock()


@dataclass(eq=False)
class MMOCR(TextFinder):
    """MMOCR's text detection in its own interpreter.

    A worker that dies is started again and given the image once more; one that exceeds the time
    limit is ended and the image given up.

    Args:
        python: the interpreter that has MMOCR 1.x, a path.
        config: the network's configuration file, such as
            ``dbnetpp_resnet50-dcnv2_fpnc_1200e_icdar2015.py``.
        checkpoint: its weights.
        device: ``cpu``, ``cuda:0``, ...; None lets MMOCR choose.
        time_limit: seconds for one image.
        start_limit: seconds until the network is loaded.
    """

    name = "mmocr"

    python: str | Path
    config: str | Path
    checkpoint: str | Path
    device: str | None = None
    time_limit: float = 120.0
    start_limit: float = 300.0
    _worker: _Worker | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _broken: str = field(default="", init=False)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Starts the interpreter for its versions and the configuration with all it inherits."""
        worker = self._start("describe", self.config)
        worker.close()
        with Path(self.checkpoint).open("rb") as file:
            checkpoint = hashlib.file_digest(file, "sha256").hexdigest()
        return {"finder": self.name, **worker.hello, "checkpoint": checkpoint}

    def find(self, image: np.ndarray, image_id: str = "") -> list[TextPolygon]:
        require_image(image, image_id)
        with _ONE_AT_A_TIME:
            answer = self._ask(image, image_id)
        try:
            pairs = zip(answer["polygons"], answer["scores"], strict=True)
            return [TextPolygon(points, score) for points, score in pairs]
        except (KeyError, ValueError, TextFinderError) as error:
            raise TextFinderError(
                f"{named(image_id)}expected polygons and scores of MMOCR, got "
                f"{answer.get('error', error)!s:.300}"
            ) from error

    def close(self) -> None:
        if self._worker:
            self._worker.close()
        self._worker = None

    def _ask(self, image: np.ndarray, image_id: str) -> Mapping[str, Any]:
        size = json.dumps({"height": image.shape[0], "width": image.shape[1]}).encode()
        for is_second in (False, True):
            try:
                answer = self._running(image_id).ask(size + b"\n", image, self.time_limit)
                self._failures = 0
                return answer
            except _NoAnswerError as error:
                self.close()
                self._failures += 1
                if error.late or is_second:
                    remedy = (
                        "Raise time_limit or leave the image out."
                        if error.late
                        else f"It was started again once. Try the image with {self.python} alone."
                    )
                    raise TextFinderError(
                        f"{named(image_id)}expected MMOCR's text, but its worker {error}. {remedy}"
                    ) from error
        raise AssertionError("unreachable")

    def _running(self, image_id: str) -> _Worker:
        if not self._worker and self._failures >= MAX_FAILURES:
            self._broken = (
                f"MMOCR's worker ({self.python}) died or hung {self._failures} times in a row "
                "and is not started again. Look at the first failures."
            )
        if not self._worker and not self._broken:
            device = [self.device] if self.device else []
            try:
                self._worker = self._start("serve", self.config, self.checkpoint, *device)
            except TextFinderError as error:  # would be the same for every image
                self._broken = str(error)
        if not self._worker:
            raise TextFinderError(f"{named(image_id)}{self._broken}")
        return self._worker

    def _start(self, *arguments: str | Path) -> _Worker:
        for what in ("config", "checkpoint"):
            if not Path(getattr(self, what)).is_file():
                raise TextFinderError(
                    f"expected MMOCR's {what} as a file, got {getattr(self, what)}. "
                    f"Give {what}= as a path."
                )
        advice = f"Check with: {self.python} -c 'from mmocr.apis import TextDetInferencer'"
        command = [str(self.python), str(SCRIPT), *map(str, arguments)]
        try:
            worker = _Worker(command, self.start_limit)
        except OSError as error:
            raise TextFinderError(
                f"expected the interpreter that has MMOCR, got {self.python}: {error.strerror}. "
                "Give python= as the path of that interpreter."
            ) from error
        except _NoAnswerError as error:
            raise TextFinderError(
                f"expected MMOCR to start in {self.python}, but its worker {error}. {advice}"
            ) from error
        if "error" in worker.hello:
            worker.close()
            raise TextFinderError(
                f"expected MMOCR to start in {self.python}, got {worker.hello['error']!s:.600}. "
                + advice
            )
        return worker

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_worker": None, "_failures": 0, "_broken": ""}


class _NoAnswerError(Exception):
    """The worker ended or took too long; ``late`` tells which."""

    def __init__(self, message: str, late: bool) -> None:
        super().__init__(message)
        self.late = late


class _Worker:
    """A process that answers each request with one line of JSON, the first one unasked."""

    def __init__(self, command: list[str], start_limit: float) -> None:
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            start_new_session=True,  # its children end with it
        )
        self.close = weakref.finalize(self, _end, self._process, self._messages)
        self.hello = self.ask(b"", np.empty(0, np.uint8), start_limit)

    def ask(self, header: bytes, pixels: np.ndarray, limit: float) -> dict[str, Any]:
        """The answer to one request; :class:`_NoAnswerError` when none came within ``limit`` s."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        timer = threading.Timer(limit, _kill, [self._process])
        last_moment = time.monotonic() + limit
        timer.start()
        try:
            stdin.write(header)
            stdin.write(np.ascontiguousarray(pixels).data)
            stdin.flush()
            return json.loads(stdout.readline())
        except (OSError, ValueError) as error:  # a closed pipe, or less than a line
            is_late = time.monotonic() >= last_moment
            _kill(self._process)
            status = self._process.wait()
            if is_late:
                reason = f"gave no answer within {limit:g} s"
            elif status < 0:
                reason = f"was ended by a signal ({signal.strsignal(-status)})"
            else:
                reason = f"ended with exit status {status}"
            raise _NoAnswerError(reason + self._last_messages(), is_late) from error
        except BaseException:  # interrupted: its answer would be taken for the next one
            _kill(self._process)
            raise
        finally:
            timer.cancel()

    def _last_messages(self) -> str:
        end = self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, end - 4096))
        lines = self._messages.read().decode("utf-8", "replace").split("\n")
        last = " | ".join([line.strip() for line in lines if line.strip()][-2:])
        return f" (its last words: {last[-300:]})" if last else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:  # waited for: its number may be another's by now
        return
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _end(process: subprocess.Popen[bytes], messages: Any) -> None:
    _kill(process)
    with contextlib.suppress(OSError), messages, process:  # unsent bytes have nowhere to go
        process.wait()
