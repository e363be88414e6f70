"""The journals of a mined folder to its tables.

Images are taken in the order of their hashes, some hundred at a time, so that the tables are the
same however the work was divided, and memory does not grow with them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from nacd_bench.errors import Failure
from nacd_bench.evaluation.duplicates import with_duplicates
from nacd_bench.jobs.mine.state import record_at, records
from nacd_bench.runs.candidates import TablesWriter
from nacd_bench.runs.folder import file_name
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, SETTINGS, SUMMARY, schema
from nacd_bench.runs.tables import write_failures
from nacd_bench.triplets.files import json_bytes, writable, write_whole
from nacd_bench.triplets.rows import stem
from nacd_bench.triplets.text_files import read_json

AT_A_TIME = 500
"""Images whose rows are in memory."""
SIDES = ("neural", "traditional")


@dataclass
class Summary:
    """What a mined folder holds.

    Args:
        images: different images that were worked on, those with failures included.
        names: places where they were found; more than images where some were there twice.
        unreadable: items that could not be read.
        failed: images with something that failed.
        triplets: images times operating points with both results.
        candidates: by artifact type and preset, duplicates included.
        kept: likewise, without duplicates.
        encodes: by side.
        seconds: of work by stage.
        left_out: pictures of kinds that are not read, by kind.
        notes: what is odd about an image's file and does not touch its pixels.
        failures: images or items, steps and messages.
    """

    images: int = 0
    names: int = 0
    unreadable: int = 0
    failed: int = 0
    triplets: int = 0
    candidates: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    encodes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For ``summary.json``."""
        values = {key: value for key, value in vars(self).items() if key != "failures"}
        values["seconds"] = {key: round(value, 1) for key, value in self.seconds.items()}
        return values


def write_tables(folder: Path) -> Summary:
    """Write tables, failures and summary of everything that the journals of a folder have."""
    settings = read_json(folder / SETTINGS, "the settings of the run")
    index = _Index(folder)
    summary = Summary(
        images=len(index.places),
        names=sum(map(len, index.names.values())),
        left_out=index.left_out,
    )
    with TablesWriter(folder) as tables:
        digests = iter(sorted(index.places))
        while chunk := list(islice(digests, AT_A_TIME)):
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for digest in chunk:
                record = record_at(*index.places[digest])
                _add_image(rows, record, index.names[digest], settings, summary)
            _write(tables, rows, settings["iou"], summary)
    for item, message in sorted(index.unreadable.items()):
        summary.unreadable += 1
        summary.failures.append(Failure(item, "read", message))
    write_failures(folder, summary.failures)
    write_whole(folder / SUMMARY, json_bytes(summary.as_json()))
    return summary


class _Index:
    """Where in the journals each image is, and under which names it was found."""

    def __init__(self, folder: Path) -> None:
        self.places: dict[str, tuple[Path, int]] = {}
        self.names: dict[str, list[str]] = {}
        self.unreadable: dict[str, str] = {}
        self.left_out: dict[str, int] = {}
        named: dict[str, dict[str, int]] = defaultdict(dict)
        failures: dict[str, int] = {}
        for path, start, record in records(folder):
            if "ended" in record:
                self.left_out = record.get("left_out", {})
                continue
            if "unreadable" in record:
                self.unreadable[record["name"]] = record["unreadable"]
                continue
            digest = record["sha256"]
            named[digest][record["name"]] = record["index"]
            if "coded" in record:
                count = len(record["failures"])
                if count <= failures.get(digest, count):  # the last of the best
                    failures[digest] = count
                    self.places[digest] = path, start
        read = {name for names in named.values() for name in names}
        self.unreadable = {name: why for name, why in self.unreadable.items() if name not in read}
        for digest in self.places:
            places = named[digest]
            self.names[digest] = sorted(places, key=lambda name: (places[name], name))


def _add_image(
    rows: dict[str, list[dict[str, Any]]],
    record: Mapping[str, Any],
    names: Sequence[str],
    settings: Mapping[str, Any],
    summary: Summary,
) -> None:
    """Add everything about one image to the rows of the three tables."""
    digest = record["sha256"]
    image: dict[str, Any] = {
        "image": f"{file_name(stem(names[0]))}-{digest[:12]}",
        "image_sha256": digest,
        "image_path": writable(names[0]),
        "width": record["width"],
        "height": record["height"],
    }
    rows[IMAGES].append(
        {
            **image,
            "names": [writable(name) for name in names],
            "candidates": len(record["candidates"]),
        }
    )
    summary.seconds.update(record["seconds"])
    summary.failures += [Failure(names[0], *failure) for failure in record["failures"]]
    summary.failed += bool(record["failures"])
    if record.get("notes"):
        summary.notes[writable(names[0])] = record["notes"]
    places = {preset: place for place, (preset, _) in enumerate(settings["steps"])}
    for preset, neural in record["coded"].get("neural", {}).items():
        results = {"neural": neural, "traditional": record["coded"]["traditional"].get(preset)}
        if results["traditional"] is None:
            continue
        coded = {**image, "preset": preset, "preset_index": places[preset]}
        coded["triplet"] = f"{image['image']}_{preset}"
        for side, result in results.items():
            coded |= {f"{side}_{fact}": value for fact, value in result.items()}
            coded[f"{side}_point"] = f"{result['point']:g}"
            coded[f"{side}_codec"] = settings[side]["name"]
            coded[f"{side}_version"] = settings[side]["version"]
            summary.encodes[side] += result["encodes"]
        scores = sorted(record["scores"].get(preset, {}).items())
        rows[CODED].append({**coded, "scores": scores})
        summary.triplets += 1
        shared = {name: coded[name] for name in schema(CANDIDATES).names if name in coded}
        for candidate in record["candidates"]:
            if candidate["preset"] == preset:
                name = f"{coded['triplet']}_{candidate['detector']}_{candidate['number']}"
                rows[CANDIDATES].append({**shared, **candidate, "candidate": name})


def _write(
    tables: TablesWriter,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    iou: float,
    summary: Summary,
) -> None:
    import pyarrow as pa

    for table in (IMAGES, CODED, CANDIDATES):
        if not rows[table]:
            continue
        whole = pa.Table.from_pylist(rows[table], schema=schema(table))
        if table == CANDIDATES:
            whole = with_duplicates(whole, iou)
            for kind, preset, twin in zip(
                *(whole[name].to_pylist() for name in ("artifact_type", "preset", "duplicate_of")),
                strict=True,
            ):
                summary.candidates[f"{kind} {preset}"] += 1
                summary.kept[f"{kind} {preset}"] += twin is None
        tables.add(table, whole)
