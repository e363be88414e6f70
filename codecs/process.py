"""Running an external encoder or decoder, none of which is trusted to behave.

No shell is ever involved: a command is a list of arguments, so that no character of a file name
means anything. A program may hang, leave children behind, print gigabytes, or exit 0 having
written nothing; callers judge it by its files (:func:`require_file`).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from nacd_bench.errors import CodecError

KEPT_START, KEPT_END = 4096, 65536
"""Bytes of a program's output that are kept, from its start (the banner) and its end."""
CUT = b"\n[more bytes left out]\n"
SHOWN_OUTPUT = 1500
"""Characters of it that an error message shows."""
LOOK_EVERY = 0.01
"""Seconds between two looks at a program's memory."""
PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)
LEAST_ROOM = 1 << 20
"""Bytes free under which a program's missing output is put down to the disk."""
FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Finished:
    """A program that ended.

    Args:
        arguments: the command line.
        code: exit status; negative is the signal that ended it.
        output: its standard output and error, in one, cut in the middle where very long.
        seconds: wall-clock time.
        memory: bytes that the largest of its processes took; 0 where the system does not tell, or
            it ended at once.
    """

    arguments: tuple[str, ...]
    code: int
    output: str
    seconds: float
    memory: int = 0

    def failure(self, what: str) -> CodecError:
        """An error that says ``what`` went wrong, with exit status, command line and output."""
        shown = self.output.strip()[-SHOWN_OUTPUT:].strip()
        words = f"Its last words:\n{shown}" if shown else "It printed nothing."
        return CodecError(
            f"{Path(self.arguments[0]).name} {what} (exit status {_status(self.code)}).\n"
            f"Command: {shlex.join(self.arguments)}\n{words}"
        )


def run(
    arguments: Sequence[object],
    time_limit: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end, or stop it with all its children.

    The program gets a session of its own, and whatever is left of that session when this function
    returns or raises is killed. (A child that opens another session escapes; no codec does.)

    Args:
        arguments: program and arguments.
        time_limit: seconds.
        folder: working directory.
        environment: variables added to this process's.

    Raises:
        CodecError: the program cannot be started, or did not end in time.
    """
    words = tuple(str(word) for word in arguments)
    started, output = time.monotonic(), bytearray()
    with ExitStack() as ending:
        with _uninterrupted():
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise CodecError(
                    f"{words[0]} does not start: {error}. It must be an executable file for this "
                    f"machine (working directory {folder or Path.cwd()})."
                ) from error
            assert process.stdout is not None
            reader = threading.Thread(target=_read, args=[process.stdout, output], daemon=True)
            timer = threading.Timer(time_limit, _kill, [process])
            memory: list[int] = []
            threading.Thread(target=_watch, args=[process, memory], daemon=True).start()
            # The last goes first. A child in another session may hold the output open.
            for last in (partial(reader.join, 1), process.wait, partial(_kill, process)):
                ending.callback(last)
            ending.callback(timer.cancel)
            reader.start()
            timer.start()
        process.wait()  # without a limit: it would poll
        seconds = time.monotonic() - started
    finished = Finished(
        words,
        process.returncode,
        output.decode("utf-8", "backslashreplace"),
        seconds,
        max(memory, default=0),
    )
    if seconds >= time_limit:
        raise finished.failure(
            f"was stopped, with its children, after its time limit of {time_limit:g} s: raise "
            "time_limit if the image is large"
        )
    return finished


def require_file(
    finished: Finished, path: Path, size: int | None = None, accepted: Sequence[int] = (0,)
) -> bytes:
    """The content of a file that a program should have written.

    Args:
        finished: the program.
        path: the file.
        size: its length in bytes where that is known.
        accepted: exit statuses of success.

    Raises:
        CodecError: the file is missing, empty or of another size, or the exit status is not
            an accepted one.
    """
    data = path.read_bytes() if path.is_file() else b""
    wrong = "wrote an empty file" if path.is_file() else "wrote no file"
    if data and (size is None or len(data) == size):
        if finished.code not in accepted:
            raise finished.failure(f"failed, though it wrote {path.name}")
        return data
    if data:
        wrong = f"wrote {len(data)} bytes where {size} were expected to"
    full = _full_disk(path.parent)
    raise finished.failure(f"{wrong} {path.name}{'; the disk is full' if full else ''}") from full


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder that is gone afterwards, also when its user fails or is interrupted.

    It lies in the system's folder for temporary files (``TMPDIR``). A full disk inside the block
    becomes a :class:`CodecError`.
    """
    where = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory(prefix="nacd-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise CodecError(
            f"no room for a codec's temporary files in {where}: {error}. Free some space or set "
            "TMPDIR to a folder on a larger disk."
        ) from error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals wait until a program that is being started can be ended by whoever started it."""
    if threading.current_thread() is not threading.main_thread():  # it is not the one they reach
        yield
        return
    waiting: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: waiting.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for arrived in waiting:
            signal.raise_signal(arrived)


def _read(pipe: IO[bytes], output: bytearray) -> None:
    """Read a program's output, of which the start and the end are kept."""
    with pipe, suppress(OSError, ValueError):
        while block := os.read(pipe.fileno(), KEPT_END):
            output += block
            if len(output) > KEPT_START + len(CUT) + KEPT_END:
                output[KEPT_START:-KEPT_END] = CUT


def _watch(process: subprocess.Popen[bytes], memory: list[int]) -> None:
    """Note the most memory of a program and its children as long as it runs, on Linux.

    The kernel's own figure at its end (``ru_maxrss``) counts the memory of whoever started it.
    """
    while taken := _peaks(process.pid):
        memory[:] = [max([*memory, *taken])]
        time.sleep(LOOK_EVERY)


def _peaks(process: int) -> list[int]:
    """Bytes at most in memory of a process and each of its children; empty once it has ended."""
    place, peaks = Path(f"/proc/{process}"), []
    with suppress(OSError, ValueError):
        peak = PEAK.search((place / "status").read_bytes())
        if peak:
            peaks.append(1024 * int(peak[1]))
            children = (place / f"task/{process}/children").read_bytes().split()
            peaks += [each for child in children for each in _peaks(int(child))]
    return peaks


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all of its session."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # a session's leader is its group's, too
        else:
            process.kill()


def _status(code: int) -> str:
    """An exit status in words.

    >>> _status(-6), _status(134), _status(1)
    ('-6, SIGABRT', '134, perhaps SIGABRT', '1')
    """
    number = -code if code < 0 else code - 128
    if number not in set(signal.Signals):
        return str(code)
    return f"{code}, {'' if code < 0 else 'perhaps '}{signal.Signals(number).name}"


def _full_disk(folder: Path) -> OSError | None:
    """The error that a program ran into where the disk is full, which few of them tell."""
    with suppress(OSError):
        if shutil.disk_usage(folder).free < LEAST_ROOM:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return None
