"""Feeds damaged files of every kind to the command line and says what did not hold.

    python tests/fuzz.py --n 10000              # 10,000 inputs, shared out over the kinds
    python tests/fuzz.py --n 500 --kinds png,votes --seed 7

For every input: no traceback, no hang, no more memory than the limit, the neighbours' results equal
to the byte, exit status 0 or 1, and with 1 a message that names the file. Inputs that break one of
these are kept in ``--keep``, one file each, named by kind, seed and number.

Commands run through ``main([...])`` in processes forked from one that has everything imported, a
hundred inputs each; one input in 250, another one of each kind, is a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import mutations
import numpy as np
from mutations import Mutation
from PIL import Image

from nacd_bench.cli.main import main

MEMORY = 2 << 30
"""Bytes of address space that an input may take beyond what the process has."""
SECONDS = 400
"""Time for one command."""
FORKED = 100
"""Inputs per forked process."""
OWN_PROCESS = 250
"""One input in so many is a process of its own, which takes thirty times as long."""
START = "import sys; from nacd_bench.cli.main import main; sys.exit(main())"
FAKE_CODEC = Path(__file__).parent / "fakes" / "pillow_codec.py"
DETECT = ("detector=[texture]", "overlays=false", "report=false", "show_progress=false")
JPEG_WEBP = ("codec@neural=jpeg", "codec@traditional=webp", "points=[50]", "workers=0")


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit status and everything it printed and left in failures.csv."""

    status: int
    output: str


Run = Callable[[Sequence[str]], Outcome]
"""Runs a command line in this process, or in one of its own."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Args:
        name: on the command line.
        suffix: of the files.
        sound: files of which one is mutated.
        mutate: makes an input of them.
        attempt: puts inputs in place in a fresh folder, runs a command, and returns complaints.
        together: inputs that one command takes at once.
    """

    name: str
    suffix: str
    sound: tuple[bytes, ...]
    mutate: Mutation
    attempt: Callable[[Kind, Path, list[bytes], Run], list[str]]
    together: int = 1

    def data(self, seed: int, number: int) -> bytes:
        """The input of this number: always the same bytes."""
        rng = random.Random(f"{self.name}-{seed}-{number}")
        return self.mutate(rng, rng.choice(self.sound))


# --- sound files


def _pixels(width: int = 48, height: int = 40, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def _image(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(_pixels()).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _folder(root: Path, names: Sequence[str] = ("good", "second")) -> Path:
    """A sound folder of triplets."""
    for seed, role in enumerate(("orig", "ai", "classic")):
        (root / role).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(_pixels(seed=0) // 2 + _pixels(seed=seed) // 4).save(
                root / role / f"{name}.png"
            )
    return root


# --- what must hold


def _complaints(outcome: Outcome, files: Sequence[str]) -> list[str]:
    """What holds for every command that was given these files."""
    wrong = []
    if outcome.status not in (0, 1):
        wrong.append(f"exit status {outcome.status}")
    for word in ("Traceback (most recent call last)", "MemoryError", "Cannot allocate memory"):
        if word in outcome.output:
            wrong.append(word)
    if outcome.status == 1 and not any(name in outcome.output for name in files):
        wrong.append("exit status 1, and no message names the file")
    if wrong:
        wrong.append(outcome.output[-1500:])
    return wrong


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _row(folder: Path, name: str) -> str | None:
    """The id and the score of a triplet in scores.csv; what follows is what the manifest says."""
    rows = [line for line in _lines(folder / "scores.csv") if line.startswith(name)]
    return ",".join(rows[0].split(",")[:2]) if rows else None


GOOD: dict[str, str] = {}
"""The sound neighbour's row in scores.csv, by command."""


def _neighbours_row(manifest: Kind | None = None) -> str:
    """That row where nothing is damaged, from a folder or from a sound manifest."""
    name = manifest.name if manifest else "folder"
    if name not in GOOD:
        with tempfile.TemporaryDirectory() as place:
            source = _folder(Path(place))
            if manifest:
                source = source / f"sound{manifest.suffix}"
                source.write_bytes(manifest.sound[0])
            run_here(["detect", str(source), *DETECT, f"folder={place}/run"])
            GOOD[name] = _row(Path(place) / "run", "good,") or "no row"
    return GOOD[name]


def _detected_images(kind: Kind, folder: Path, inputs: list[bytes], run: Run) -> list[str]:
    """Images in the three roles beside a sound triplet, detected and validated."""
    names = [f"m{number}" for number in range(len(inputs))]
    triplets = _folder(folder / "triplets", ("good", *names))
    for number, (name, data) in enumerate(zip(names, inputs, strict=True)):
        role = ("orig", "ai", "classic")[number % 3]
        (triplets / role / f"{name}.png").unlink()
        (triplets / role / f"{name}{kind.suffix}").write_bytes(data)
    outcome = run(["detect", str(triplets), *DETECT, f"folder={folder}/run"])
    wrong = _complaints(outcome, [f"{name}{kind.suffix}" for name in names])
    failures = "\n".join(_lines(folder / "run" / "failures.csv"))
    refused = [name for name in names if _row(folder / "run", f"{name},") is None]
    for name in refused:
        if f"{name}{kind.suffix}" not in failures:
            wrong.append(f"{name}{kind.suffix}: no score, and failures.csv does not name it")
    if (outcome.status == 1) != bool(refused) and outcome.status in (0, 1):
        wrong.append(f"exit status {outcome.status} with {len(refused)} refused: {outcome.output}")
    if _row(folder / "run", "good,") != _neighbours_row():
        wrong.append(f"the neighbour's row changed: {_row(folder / 'run', 'good,')}")
    told = run_here(["validate", str(triplets), "show_progress=false"])
    wrong += _complaints(told, [f"{name}{kind.suffix}" for name in names])
    wrong += [
        f"{name}{kind.suffix}: refused by detect, and validate does not say so"
        for name in refused
        if f"{name}{kind.suffix}" not in told.output.replace("\n", "")
    ]
    return wrong


def _coded_images(kind: Kind, folder: Path, inputs: list[bytes], run: Run) -> list[str]:
    """Photographs of mixed kinds beside a sound one, coded."""
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(_pixels()).save(photos / "good.png")
    for number, data in enumerate(inputs):
        (photos / f"m{number}{_suffix_of(data)}").write_bytes(data)
    outcome = run(["compress", str(photos), *JPEG_WEBP, "failure_limit=1", f"folder={folder}/run"])
    wrong = _complaints(outcome, [f"m{number}." for number in range(len(inputs))])
    if not any("good" in line for line in _lines(folder / "run" / "triplets.csv")):
        wrong.append(f"the neighbour was not coded: {outcome.output[-1500:]}")
    return wrong


def _suffix_of(data: bytes) -> str:
    """A suffix for bytes of one of :func:`_any_image`."""
    starts = {b"\x89P": ".png", b"\xff\xd8": ".jpg", b"RI": ".webp", b"II": ".tif", b"BM": ".bmp"}
    return starts.get(data[:2], ".ppm")


def _any_image(rng: random.Random, _: bytes) -> bytes:
    kind = rng.choice([kind for kind in KINDS.values() if kind.attempt is _detected_images])
    return kind.mutate(rng, rng.choice(kind.sound))


def _detected_manifest(kind: Kind, folder: Path, inputs: list[bytes], run: Run) -> list[str]:
    """A manifest whose rows are damaged: rows that are sound keep their results."""
    _folder(folder, ("good", "second"))
    manifest = folder / f"manifest{kind.suffix}"
    manifest.write_bytes(inputs[0])
    outcome = run(["detect", str(manifest), *DETECT, f"folder={folder}/run"])
    wrong = _complaints(outcome, [manifest.name, "good", "second", "row 1 (", "row 2 ("])
    row = _row(folder / "run", "good,")
    is_untouched = kind.suffix != ".parquet" and all(
        inputs[0].count(line) == 1 for line in kind.sound[0].splitlines() if b"good" in line
    )
    if is_untouched and row is not None and row != _neighbours_row(kind):
        wrong.append(f"the neighbour's row changed: {row}")
    wrong += _complaints(
        run_here(["validate", str(manifest), "show_progress=false"]),
        [manifest.name, "good", "second", "row 1 (", "row 2 ("],
    )
    return wrong


def _one_file(
    *arguments: str, beside: Callable[[Path], object]
) -> Callable[[Kind, Path, list[bytes], Run], list[str]]:
    """An attempt with one input at ``{input}``, ``{folder}`` being a fresh folder."""

    def attempt(kind: Kind, folder: Path, inputs: list[bytes], run: Run) -> list[str]:
        beside(folder)
        path = folder / f"input{kind.suffix}"
        path.write_bytes(inputs[0])
        words = [word.format(folder=folder, input=path) for word in arguments]
        return _complaints(run(words), [path.name, "a.png", "table.csv"])

    return attempt


def _photos(folder: Path) -> None:
    (folder / "photos").mkdir()
    Image.fromarray(_pixels()).save(folder / "photos" / "a.png")


def _decoded(folder: Path) -> None:
    _photos(folder)
    Image.fromarray(_pixels() // 2).save(folder / "decoded.png")


def _mapping(folder: Path) -> None:
    (folder / "mapping.yaml").write_bytes(MAPPING)


def _table(folder: Path) -> None:
    (folder / "table.csv").write_bytes(FOREIGN)


def _tasks(folder: Path) -> None:
    shutil.copytree(TASKS["folder"], folder / "tasks")


TASKS: dict[str, Path] = {}
"""An export of tasks, made once."""
MAPPING = b"""columns:
  original: "{image}.png"
  neural: ai/{image}.png
  traditional: hm/{image}.png
  artifact_type: kind
  box: [x, y, w, h]
  confidence: score
box: xywh
types: {tex: texture, txt: text}
values: {neural_codec: JPEG AI}
root: images
"""
FOREIGN = b"""image,kind,x,y,w,h,score
a,tex,1,2,10,12,0.5
b,txt,0,0,5,5,0.25
"""
BOXES = json.dumps(
    [
        {"image": name, "kind": "tex", "box": box, "score": 0.5}
        for name, box in (
            ("a", [1, 2, 10, 12]),
            ("b", "[1, 2, 5, 6]"),
            ("c", "1 2 3 4"),
        )
    ]
).encode()
PRECOMPUTED = b"""original,point,decoded,bytes
photos/a.png,1,decoded.png,700
photos/a.png,2,photos/a.png,900
"""


def _make_tasks(folder: Path) -> bytes:
    """An export of tasks of a mined folder, and the votes of one rater on it."""
    from mined_folder import make_mined

    run = make_mined(folder / "run", images=1)
    tasks = folder / "tasks"
    run_here(["verify", "export", str(run), f"folder={tasks}", "formats=[page]", "controls=0"])
    shutil.rmtree(tasks / "page")
    TASKS["folder"] = tasks
    key = json.loads((tasks / "key.json").read_text("utf-8"))
    votes = [
        {"task": task, "answer": answer, "time": f"2026-01-01T00:00:{number:02}Z", "seconds": 1.5}
        for number, (task, answer) in enumerate(zip(sorted(key["tasks"]), "ABAB", strict=False))
    ]
    content = {"schema": "nacd-bench votes 1", "export": key["export"], "rater": "first"}
    return json.dumps({**content, "votes": votes}).encode()


def _manifests() -> dict[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "id": name,
            **{
                role: f"{place}/{name}.png"
                for role, place in (
                    ("original", "orig"),
                    ("neural", "ai"),
                    ("traditional", "classic"),
                )
            },
            "source": name,
            "neural_codec": "x",
            "neural_bpp": 0.5,
            "labels": [{"artifact_type": "texture", "box": [1, 2, 30, 31], "votes_for": 2}],
        }
        for name in ("good", "second")
    ]
    names = list(rows[0])
    cells = [
        [
            json.dumps(row[name]).replace('"', '""') if name == "labels" else str(row[name])
            for name in names
        ]
        for row in rows
    ]
    lines = [",".join([*row[:-1], f'"{row[-1]}"']) for row in cells]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return {
        ".csv": "\n".join([",".join(names), *lines, ""]).encode(),
        ".jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        ".parquet": file.getvalue(),
    }


def _codec_yaml() -> bytes:
    program = f'"{sys.executable}", "{FAKE_CODEC}"'
    return f"""encode: [{program}, encode, --quality, "{{point}}", "{{input}}", "{{bitstream}}"]
decode: [{program}, decode, "{{bitstream}}", "{{output}}"]
points: {{name: quality, values: [10, 40]}}
bitstream_suffix: .webp
image_format: png
time_limit: 20
""".encode()


def _safe_yaml(rng: random.Random, data: bytes) -> bytes:
    """A codec's YAML whose programs stay what they are: damage must not name others."""
    while True:
        changed = mutations.yaml_document(rng, data)
        if changed.count(str(FAKE_CODEC).encode()) == 2 or b"encode" not in changed:
            return changed


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("a.png", _image("PNG")), ("b/c.jpg", _image("JPEG"))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


KINDS: dict[str, Kind] = {}
"""By name; filled by :func:`prepare`."""


def prepare(folder: Path) -> None:
    """Make everything sound that inputs are made of."""

    def add(*arguments: object, together: int = 1) -> None:
        kind = Kind(*arguments, together=together)  # type: ignore[arg-type]
        KINDS[kind.name] = kind

    deep = (_pixels().astype(np.uint16) * 257)[..., ::-1]
    sequential, progressive = (
        _image("JPEG", quality=90, progressive=is_progressive) for is_progressive in (False, True)
    )
    deep_png, deep_tiff = (cv2.imencode(suffix, deep)[1].tobytes() for suffix in (".png", ".tif"))
    lzw = _image("TIFF", compression="tiff_lzw")
    images = (
        ("png", ".png", (_image("PNG"), deep_png), mutations.png),
        ("jpeg", ".jpg", (sequential, progressive), mutations.jpeg),
        ("webp", ".webp", (_image("WEBP", lossless=True), _image("WEBP")), mutations.riff),
        ("tiff", ".tif", (lzw, deep_tiff), mutations.tiff),
        ("bmp", ".bmp", (_image("BMP"),), mutations.header),
        ("ppm", ".ppm", (_image("PPM"),), mutations.header),
        ("gif", ".gif", (_image("GIF"),), mutations.header),
        ("avif", ".avif", (_image("AVIF"),), mutations.iso_media),
    )
    for image in images:
        add(*image, _detected_images, together=25)
    add("photographs", "", (b"",), _any_image, _coded_images, together=25)
    manifests = _manifests()
    add("manifest_csv", ".csv", (manifests[".csv"],), mutations.csv_table, _detected_manifest)
    add(
        "manifest_jsonl", ".jsonl", (manifests[".jsonl"],), mutations.json_lines, _detected_manifest
    )
    add(
        "manifest_parquet",
        ".parquet",
        (manifests[".parquet"],),
        mutations.parquet_table,
        _detected_manifest,
    )
    votes = ("verify", "import", "{folder}/tasks", "{input}", "folder={folder}/verified")
    add(
        "votes",
        ".json",
        (_make_tasks(folder),),
        mutations.json_document,
        _one_file(*votes, "min_control_accuracy=0", beside=_tasks),
    )
    thresholds = "schema_version: 2\ncriterion: youden\nsets:\n  texture:\n    texture:\n"
    entry = "{threshold: 0.01, value: 0.5, tp: 1, fp: 1, fn: 1, tn: 1, n: 4, n_excluded: 0}"
    thresholds += f"      youden: {entry}\n      f1: {entry}\n"
    add(
        "thresholds",
        ".yaml",
        (thresholds.encode(),),
        mutations.yaml_document,
        _one_file(
            *("detect", "{folder}/triplets", *DETECT, "thresholds={input}", "folder={folder}/run"),
            beside=lambda folder: _folder(folder / "triplets"),
        ),
    )
    compress = ("compress", "{folder}/photos", "folder={folder}/run", "workers=0")
    add(
        "codec_yaml",
        ".yaml",
        (_codec_yaml(),),
        _safe_yaml,
        _one_file(
            *(*compress, "codec@neural=command", "neural.file={input}", "codec@traditional=webp"),
            beside=_photos,
        ),
    )
    add(
        "precomputed",
        ".csv",
        (PRECOMPUTED,),
        mutations.csv_table,
        _one_file(
            *(*compress, "codec@neural=precomputed", "neural.table={input}"),
            "codec@traditional=webp",
            beside=_decoded,
        ),
    )
    imported = ("import", "{folder}/table.csv", "mapping={input}", "output={folder}/out.jsonl")
    add(
        "mapping",
        ".yaml",
        (MAPPING,),
        mutations.yaml_document,
        _one_file(*imported, beside=_table),
    )
    foreign = ("import", "{input}", "mapping={folder}/mapping.yaml", "output={folder}/out.csv")
    add(
        "foreign_csv", ".csv", (FOREIGN,), mutations.csv_table, _one_file(*foreign, beside=_mapping)
    )
    add(
        "boxes",
        ".json",
        (BOXES,),
        mutations.json_document,
        _one_file(
            *foreign,
            beside=lambda folder: (
                (folder / "mapping.yaml").write_bytes(MAPPING.replace(b"[x, y, w, h]", b"box"))
                and None
            ),
        ),
    )
    mine = (
        "mine",
        "{input}",
        "show_progress=false",
        *JPEG_WEBP,
        "detector=[texture]",
        "failure_limit=1",
    )
    add(
        "tar",
        ".tar",
        (_tar(),),
        mutations.tar_archive,
        _one_file(*mine, "folder={folder}/run", beside=lambda folder: None),
    )


# --- processes


def _read_back(log: io.BufferedRandom, arguments: Sequence[str]) -> str:
    """What was printed, and the failures that the command's folder lists."""
    log.seek(0)
    output = log.read().decode("utf-8", "replace")
    folders = [word.partition("=")[2] for word in arguments if word.startswith("folder=")]
    return output + "".join("\n".join(_lines(Path(name) / "failures.csv")) for name in folders)


def run_here(arguments: Sequence[str]) -> Outcome:
    """A command through ``main`` with everything that it prints, libraries included."""
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush(), sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        signal.alarm(SECONDS)
        try:
            status = main(list(arguments))
        except BaseException:
            traceback.print_exc()
            status = 70
        finally:
            signal.alarm(0)
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(saved[0], 1), os.dup2(saved[1], 2)
            os.close(saved[0]), os.close(saved[1])
        return Outcome(status, _read_back(log, arguments))


def run_alone(arguments: Sequence[str]) -> Outcome:
    """A command as a process of its own."""
    with tempfile.TemporaryFile() as log:
        call = [sys.executable, "-c", START, *arguments]
        try:
            status = subprocess.run(
                call, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=3 * SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            return Outcome(71, f"no end after {3 * SECONDS} s: {call}")
        return Outcome(status, _read_back(log, arguments))


def limit_memory() -> None:
    """From now on this process has :data:`MEMORY` bytes more and no others."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def attempted(kind: Kind, seed: int, numbers: Sequence[int], run: Run) -> list[str]:
    """Complaints about the inputs of these numbers, given to one command."""
    with tempfile.TemporaryDirectory() as folder:
        return kind.attempt(
            kind, Path(folder), [kind.data(seed, number) for number in numbers], run
        )


@dataclass
class Job:
    """A forked process with up to :data:`FORKED` inputs of one kind."""

    kind: Kind
    seed: int
    numbers: list[int]
    place: Path
    pid: int = 0
    complaints: dict[int, list[str]] = field(default_factory=dict)

    def start(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.pid = os.fork()
        if not self.pid:
            try:
                self._work()
            finally:
                os._exit(0)

    def _work(self) -> None:
        limit_memory()
        tempfile.tempdir = str(self.place)
        with (self.place / "log.jsonl").open("w", buffering=1) as log:
            for batch in _batches(self.numbers, self.kind.together):
                print(json.dumps({"began": batch}), file=log)
                first = zlib.crc32(self.kind.name.encode())
                alone = any((first + number) % OWN_PROCESS == 0 for number in batch)
                wrong = attempted(self.kind, self.seed, batch, run_alone if alone else run_here)
                if wrong and len(batch) > 1:
                    single = {n: attempted(self.kind, self.seed, [n], run_here) for n in batch}
                    single = {n: lines for n, lines in single.items() if lines}
                    for number, lines in (single or {batch[0]: wrong}).items():
                        print(json.dumps({"number": number, "wrong": lines}), file=log)
                elif wrong:
                    print(json.dumps({"number": batch[0], "wrong": wrong}), file=log)
            print(json.dumps({"end": True}), file=log)

    def finish(self, status: int) -> list[int]:
        """Read what it found; the numbers that are left where it died on the way."""
        entries = [json.loads(line) for line in _lines(self.place / "log.jsonl")]
        for entry in entries:
            if "number" in entry:
                self.complaints[entry["number"]] = entry["wrong"]
        shutil.rmtree(self.place, ignore_errors=True)
        if entries and "end" in entries[-1]:
            return []
        began = [entry["began"] for entry in entries if "began" in entry]
        batch = began[-1] if began else self.numbers[:1]
        what = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
        what = "a hang" if what == f"signal {signal.SIGALRM.value}" else what
        if len(batch) == 1 or not began:
            self.complaints[batch[0]] = [f"the process ended with {what}"]
            return [number for number in self.numbers if number > batch[0]]
        for number in batch:  # one by one, to see which it was
            single = Job(self.kind, self.seed, [number], self.place)
            single.start()
            single.finish(os.waitpid(single.pid, 0)[1])
            self.complaints |= single.complaints
        self.complaints = self.complaints or {batch[0]: [f"ended with {what}, in a batch only"]}
        return [number for number in self.numbers if number > batch[-1]]


def _batches(numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield list(numbers[start : start + size])


def fuzz(kinds: Sequence[Kind], per_kind: int, seed: int, jobs: int, keep: Path) -> int:
    """Run everything; the number of inputs that something was wrong with."""
    waiting = [(kind, numbers) for kind in kinds for numbers in _batches(range(per_kind), FORKED)]
    began, done, broken = time.time(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        running: dict[int, Job] = {}
        count = 0
        while waiting or running:
            while waiting and len(running) < jobs:
                kind, numbers = waiting.pop(0)
                count += 1
                job = Job(kind, seed, numbers, Path(folder) / str(count))
                job.start()
                running[job.pid] = job
            pid, status = os.wait()
            if pid not in running:
                continue
            job = running.pop(pid)
            left = job.finish(status)
            done += len(job.numbers) - len(left)
            if left:
                waiting.insert(0, (job.kind, left))
            for number, wrong in sorted(job.complaints.items()):
                broken += 1
                keep.mkdir(parents=True, exist_ok=True)
                path = keep / f"{job.kind.name}-{seed}-{number}{job.kind.suffix}"
                path.write_bytes(job.kind.data(seed, number))
                print(f"{path}:", *wrong, sep="\n    ", flush=True)
            rate = time.time() - began
            print(f"{job.kind.name}: {done} inputs, {broken} broken, {rate:.0f} s", flush=True)
    return broken


def command() -> int:
    parser = argparse.ArgumentParser(description="Damaged files for the command line.")
    parser.add_argument("--n", type=int, default=1000, help="inputs, shared out over the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="names, with commas; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        names = options.kinds.split(",") if options.kinds else list(KINDS)
        unknown = [name for name in names if name not in KINDS]
        if unknown:
            parser.error(f"unknown kinds {', '.join(unknown)}; there are {', '.join(KINDS)}")
        kinds = [KINDS[name] for name in names]
        for kind in kinds:  # which also imports what the commands import
            _neighbours_row(kind if kind.attempt is _detected_manifest else None)
        broken = fuzz(kinds, -(-options.n // len(kinds)), options.seed, options.jobs, options.keep)
    print(f"{broken} inputs broke something" if broken else "everything held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(command())
