"""The folder of a run: held by one process, continued only by the same job; and its journal."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nacd_bench import __version__
from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.runs.provenance import leaves, versions_of
from nacd_bench.runs.schema import (
    CONFIG,
    FAILURES,
    JOURNAL,
    JOURNALS,
    LOCK,
    SCHEMA_VERSION,
    SETTINGS,
)
from nacd_bench.runs.tables import write_failures
from nacd_bench.triplets.files import json_bytes, sha256, write_whole
from nacd_bench.triplets.text_files import read_json

LONGEST_NAME = 120
MOST_LINES = 6
"""Differences that a message lists."""


@dataclass
class RunFolder:
    """A folder that this process works in.

    Args:
        folder: where results go.
        job: the command's name.
        run_id: tells this process' run from others.
        failures: what failed; written to ``failures.csv`` when the run ends.
        shard: of several runs that share the folder, see :func:`open_run`.
    """

    folder: Path
    job: str
    run_id: str
    failures: list[Failure] = field(default_factory=list)
    shard: str | None = None

    @cached_property
    def journal(self) -> Journal:
        """Items that are done, over all runs in this folder."""
        place = f"{JOURNALS}/{self.shard}.jsonl" if self.shard else JOURNAL
        return Journal(self.folder / place, journal_schema(self.job))

    def fail(self, item: str, step: str, message: str) -> None:
        """Record something that could not be done."""
        self.failures.append(Failure(item, step, message))


def journal_schema(job: str) -> str:
    """The first record of a job's journals."""
    return f"nacd-bench {job} {SCHEMA_VERSION}"


class Journal:
    """Items that are done, on record: what lets a long job be killed at any moment.

    A record is one line of JSON, written in one go and flushed to the disk after the files that it
    speaks of.

    Args:
        path: the file; its folder exists.
        schema: name and version of the records; a file with another schema is refused.

    Raises:
        DataError: the file was written by another schema.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self.schema = schema
        size = path.stat().st_size if path.exists() else 0
        if size:  # a line that a kill cut short is dropped
            with path.open("rb+") as file:
                with mmap(file.fileno(), size, access=ACCESS_READ) as content:
                    size = content.rfind(b"\n") + 1
                file.truncate(size)
        if not size:
            self.append({"schema": schema})

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            DataError: no room, or no permission.
        """
        line = json.dumps(record, sort_keys=True, allow_nan=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"expected {self.path} to take another record, got {error.strerror}. Make room or "
                "change its permissions, and start the run again: it keeps what is done."
            ) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The records in order of writing, without those that a dying disk damaged."""
        return (record for _, record in read_journal(self.path, self.schema))


def read_journal(path: Path, schema: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every record and where its line begins, without torn and damaged lines; nothing is changed.

    Raises:
        DataError: the file was written by another schema.
    """
    with path.open("rb") as file:
        start = 0
        for line in file:
            try:
                record = dict(json.loads(line)) if line.endswith(b"\n") else None
            except (ValueError, TypeError):
                record = None
            if start == 0 and record not in (None, {"schema": schema}):
                raise DataError(
                    f"expected a journal of {schema} in {path}, got {str(record)[:60]}. "
                    "Another version wrote it: use that version, or a new folder."
                )
            if start and record is not None:
                yield start, record
            start += len(line)


@contextmanager
def open_run(
    folder: str | Path,
    job: str,
    settings: Mapping[str, Any],
    *,
    configuration: str | None = None,
    failures: Iterable[Failure] = (),
    anew: bool = False,
    shard: str | None = None,
) -> Iterator[RunFolder]:
    """Lock a folder, check its settings, and list what failed when the run ends, however it does.

    Args:
        folder: made where it is not there.
        job: the command's name.
        settings: JSON values; everything that decides the results, versions of models included.
        configuration: YAML to keep beside the results as ``config.yaml``.
        failures: what failed before.
        anew: write over what the job left there, whatever its settings were.
        shard: name of one of several runs that share the folder at the same time: each has a lock
            and a journal of its own in ``journal/``, and whoever ends last lists what failed.

    Raises:
        DataError: another run holds the folder, or it began with another job or settings.
    """
    folder = Path(folder)
    run = RunFolder(folder, job, new_run_id(), list(failures), shard)
    held = folder / JOURNALS / shard if shard else folder
    before = {place for place in (held, *held.parents) if place.exists()}
    before.update(folder.iterdir() if folder.is_dir() else ())
    with run_lock(held, run.run_id), _undone_if_refused(run, held, before):
        for part in () if shard else folder.rglob("*.part"):  # what kills left half written
            part.unlink(missing_ok=True)
        if anew and _settings(folder).get("job") == job:
            (folder / SETTINGS).unlink()
        require_settings(folder, job, settings)
        if configuration is not None:
            write_whole(folder / CONFIG, configuration.encode())
        try:
            yield run
        finally:
            if not shard:
                write_failures(folder, run.failures)


@contextmanager
def _undone_if_refused(run: RunFolder, held: Path, before: Collection[Path]) -> Iterator[None]:
    """Leave nothing of a run that is refused before it did anything.

    Args:
        run: the run.
        held: the folder with its lock.
        before: what of the folder, of what it holds and of the folders around it was there.
    """
    try:
        yield
    except UserError:
        begun = {run.folder / name for name in (SETTINGS, CONFIG, FAILURES)} | {held / LOCK}
        logs = run.folder / "wandb"
        files = {
            file
            for place in set(run.folder.iterdir()) - set(before) - {logs}
            for file in (place.rglob("*") if place.is_dir() else [place])
            if file.is_file()
        }
        if not run.failures and run.folder / SETTINGS in files <= begun:
            shutil.rmtree(logs, ignore_errors=True)
            for file in files:
                file.unlink()
            for place in (held, *held.parents):
                with suppress(OSError):  # of a shard that has just begun
                    if place not in before:
                        place.rmdir()
        raise


def require_settings(folder: Path, job: str, settings: Mapping[str, Any]) -> None:
    """Note the settings of a new run, or check that a continued one has the same.

    Raises:
        DataError: the folder's run had others; the message lists every difference.
    """
    versions = {"schema": SCHEMA_VERSION, "job": job, "nacd_bench": __version__}
    wanted = json.loads(json.dumps(versions | dict(settings)))
    before = _settings(folder)
    if not before:
        write_whole(folder / SETTINGS, json_bytes(wanted))
        return
    lines = differences(before, wanted)
    if lines:
        more = [f"and {len(lines) - MOST_LINES} more"] * (len(lines) > MOST_LINES)
        raise DataError(
            f"expected the settings with which the run in {folder} began, got others:"
            + "".join(f"\n  {line}" for line in [*lines[:MOST_LINES], *more])
            + "\nGive the same settings to continue it, or name another folder."
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the settings of two runs: a line for each, one for all of a method.

    >>> before = {"full": True, "detectors": {"text": {}, "texture": {"window": 128, "step": 1}}}
    >>> differences(before, {"full": True, "detectors": {"texture": {"window": 64, "step": 2}}})
    ['detectors: text, texture before; texture now', \
'detectors.texture.step: 1 before, 2 now, and 1 more']
    """
    lines = []
    names = before.keys() | now.keys()
    for name in ["job"] if before.get("job") != now.get("job") else sorted(names):
        old, new = before.get(name), now.get(name)
        groups = {name: (old, new)}
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            groups = {f"{name}.{key}": (old[key], new[key]) for key in sorted(old.keys() & new)}
            if old.keys() != new.keys():
                sides = (", ".join(one) or "none" for one in (old, new))
                lines.append("{}: {} before; {} now".format(name, *sides))
        for place, pair in groups.items():
            was, is_now = (leaves(one, place) for one in pair)
            changed = [each for each in sorted(was | is_now) if was.get(each) != is_now.get(each)]
            if changed:
                values = f"{was.get(changed[0])!r:.60} before, {is_now.get(changed[0])!r:.60} now"
                more = f", and {len(changed) - 1} more" * (len(changed) > 1)
                lines.append(f"{changed[0]}: {values}{more}")
    return lines


def _settings(folder: Path) -> dict[str, Any]:
    """The settings of the folder's run; empty for a new one."""
    path = folder / SETTINGS
    return dict(read_json(path, "the settings of the run")) if path.exists() else {}


def require_alike(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that runs can be joined: tables of one schema, methods and models of one version.

    Args:
        runs: what each run's ``settings.json`` says, by the folder's name.

    Raises:
        DataError: versions differ between runs that both tell them; the message names all of them.
    """
    told: dict[str, dict[str, Any]] = {}
    for run, settings in runs.items():
        for name, value in versions_of(settings).items():
            told.setdefault(name, {})[run] = value
    lines = [
        f"\n  {name}: " + ", ".join(f"{value} in {run}" for run, value in by_run.items())
        for name, by_run in told.items()
        if len(set(by_run.values())) > 1
    ]
    if lines:
        raise DataError(
            f"expected runs of one version to be joined, got others:{''.join(lines)}\n"
            "Make the older ones again, with the same detectors and models for all."
        )


def require_own(folder: Path) -> None:
    """Refuse a folder that holds something else than what a run left.

    Raises:
        DataError: files, and no settings among them.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    strange = sorted(names - {LOCK})
    if strange and SETTINGS not in names:
        raise DataError(
            f"expected an empty folder for results, got {folder} with {', '.join(strange[:5])}. "
            "Name another folder."
        )


def new_run_id() -> str:
    """A name for a run: when it started, and four letters against chance."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)


@contextmanager
def run_lock(folder: Path, run_id: str, wait: bool = False) -> Iterator[None]:
    """Hold a folder for one run; the lock goes with the process, whatever ends it.

    Args:
        folder: made where it is not there.
        run_id: named to whoever finds the folder held.
        wait: wait for a run that holds it.

    Raises:
        DataError: another run holds the folder, and the message has its id; or it is no folder
            that can be written.
    """
    path = folder / LOCK
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        holder = "another run"
        with suppress(OSError):  # Windows lets nobody read what is locked
            holder = f"run {path.read_text('utf-8').strip()}"
        raise DataError(
            f"expected {folder} to be free, got one in use by {holder}. "
            "Wait for that run, stop it, or choose another folder."
        ) from error
    except OSError as error:
        raise DataError(
            f"expected a folder that can be written for results, got {folder}: {error.strerror}. "
            "Choose another folder, free space or change the permissions."
        ) from error
    try:
        with suppress(OSError):  # a full disk: it is only a message to people
            path.write_text(
                f"{run_id} (process {os.getpid()} on {socket.gethostname()})\n", "utf-8"
            )
        yield
    finally:
        lock.release()


def file_names(names: Iterable[str]) -> dict[str, str]:
    """The :func:`file_name` of each, different also for those that differ by case only.

    >>> file_names(["b", "A", "a"])
    {'b': 'b', 'A': 'A-559aead0', 'a': 'a-ca978112'}
    """
    plain = {name: file_name(name) for name in names}
    times = Counter(file.lower() for file in plain.values())
    return {
        name: file if times[file.lower()] == 1 else f"{file}-{sha256(name)[:8]}"
        for name, file in plain.items()
    }


def file_name(name: str) -> str:
    """A name that any file system takes, for an id that may hold anything; different stay so.

    Where case makes a difference: else take :func:`file_names` of all.

    >>> file_name("kodim01"), file_name("a/b")
    ('kodim01', 'a_b-c14cddc0')
    """
    plain = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII).lstrip(".-")[:LONGEST_NAME]
    return name if plain == name else f"{plain}-{sha256(name)[:8]}"
