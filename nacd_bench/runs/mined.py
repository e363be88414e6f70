"""The journals of a mined folder: what is done, whoever did it, and the tables made of it.

``journal/`` has one file per run: ``1-of-1.jsonl`` of a whole one, ``3-of-64.jsonl`` of a shard. A
record is one image, done or set aside, or another name of an image, or an item that could not be
read, or the end of a shard. The files of several folders can be put together in one.

For the tables, images are taken in the order of their hashes, some hundred at a time, so that the
tables are the same however the work was divided, and memory does not grow with them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from nacd_bench.errors import Failure
from nacd_bench.evaluation.duplicates import with_duplicates, with_places
from nacd_bench.runs.candidates import TablesWriter
from nacd_bench.runs.folder import file_name, journal_schema, read_journal
from nacd_bench.runs.schema import (
    CANDIDATES,
    CODED,
    IMAGES,
    JOURNALS,
    SETTINGS,
    SIDES,
    SUMMARY,
    schema,
)
from nacd_bench.runs.tables import write_failures
from nacd_bench.triplets.files import json_bytes, sha256, writable, write_whole
from nacd_bench.triplets.rows import stem
from nacd_bench.triplets.text_files import read_json

AT_A_TIME = 500
"""Images whose rows are in memory."""


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
        failures: images or items, steps and messages; in ``failures.csv``.
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


def records(folder: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Every record with its file and the place of its line; torn and damaged lines are left out.

    Raises:
        DataError: a journal of another version.
    """
    for path in sorted((folder / JOURNALS).glob("*.jsonl")):
        for start, record in read_journal(path, journal_schema("mine")):
            yield path, start, record


def read_state(folder: Path, retry_failed: bool = False) -> tuple[set[bytes], set[bytes], set[str]]:
    """What the journals say is done, in as few bytes as it takes.

    Args:
        folder: the mined folder.
        retry_failed: images with failures count as not done.

    Returns:
        marks of items that need no work, see :func:`item_mark`; hashes of images that are done or
        set aside, 16 bytes each; shards that came to their end.
    """
    images, ended = set(), set()
    named: dict[bytes, bytes] = {}
    for _, _, record in records(folder):
        if "ended" in record:
            ended.add(record["ended"])
        elif "sha256" in record:
            image = bytes.fromhex(record["sha256"])[:16]
            named[item_mark(record["name"], record["stamp"])] = image
            if "coded" in record and not (retry_failed and record["failures"]):
                images.add(image)
    # A second name is on record as soon as it is seen, which may be before the image is done.
    return {mark for mark, image in named.items() if image in images}, images, ended


def item_mark(name: str, stamp: str) -> bytes:
    """16 bytes that tell one state of one item from all others."""
    return bytes.fromhex(sha256(f"{name}\0{stamp}")[:32])


def write_tables(folder: Path) -> Summary:
    """Write tables, failures and summary of everything that the journals of a folder have."""
    settings = read_json(folder / SETTINGS, "the settings of the run")
    places: dict[str, tuple[int, Path, int]] = {}
    names: dict[str, dict[str, int]] = defaultdict(dict)
    unreadable: dict[str, str] = {}
    summary = Summary()
    for path, start, record in records(folder):
        if "ended" in record:
            summary.left_out = record.get("left_out", {})
        elif "unreadable" in record:
            unreadable[record["name"]] = record["unreadable"]
        else:
            digest = record["sha256"]
            names[digest][record["name"]] = record["index"]
            place = len(record.get("failures", ())), path, start
            if "coded" in record and place[0] <= places.get(digest, place)[0]:
                places[digest] = place  # the last of the best
    summary.images = len(places)
    with TablesWriter(folder) as tables:
        digests = iter(sorted(places))
        while chunk := list(islice(digests, AT_A_TIME)):
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for digest in chunk:
                _, path, start = places[digest]
                with path.open("rb") as file:
                    file.seek(start)
                    record = json.loads(file.readline())
                in_order = sorted((index, name) for name, index in names[digest].items())
                _add_image(rows, record, [name for _, name in in_order], settings, summary)
            for table in filter(rows.get, (IMAGES, CODED, CANDIDATES)):
                whole = pa.Table.from_pylist(rows[table], schema=schema(table))
                if table == CANDIDATES:
                    whole = with_places(with_duplicates(whole, settings["iou"]))
                    for row in whole.select(
                        ["artifact_type", "preset", "duplicate_of"]
                    ).to_pylist():
                        key = f"{row['artifact_type']} {row['preset']}"
                        summary.candidates[key] += 1
                        summary.kept[key] += row["duplicate_of"] is None
                tables.add(table, whole)
    for item in sorted(unreadable.keys() - set().union(*names.values())):
        summary.unreadable += 1
        summary.failures.append(Failure(item, "read", unreadable[item]))
    write_failures(folder, summary.failures)
    values = {key: value for key, value in vars(summary).items() if key != "failures"}
    values["seconds"] = {key: round(value, 1) for key, value in summary.seconds.items()}
    write_whole(folder / SUMMARY, json_bytes(values))
    return summary


def _add_image(
    rows: dict[str, list[dict[str, Any]]],
    record: Mapping[str, Any],
    names: Sequence[str],
    settings: Mapping[str, Any],
    summary: Summary,
) -> None:
    """Add everything about one image to the rows of the three tables."""
    digest, path = record["sha256"], writable(names[0])
    image: dict[str, Any] = {
        "image": f"{file_name(stem(names[0]))}-{digest[:12]}",
        "image_sha256": digest,
        "image_path": path,
        "width": record["width"],
        "height": record["height"],
    }
    more = {"names": list(map(writable, names)), "candidates": len(record["candidates"])}
    rows[IMAGES].append({**image, **more})
    summary.names += len(names)
    summary.seconds.update(record["seconds"])
    summary.failures += [Failure(names[0], *failure) for failure in record["failures"]]
    summary.failed += bool(record["failures"])
    summary.notes |= {path: record["notes"]} if record.get("notes") else {}
    for place, (preset, _) in enumerate(settings["steps"]):
        results = {side: record["coded"].get(side, {}).get(preset) for side in SIDES}
        if None in results.values():
            continue
        triplet = f"{image['image']}_{preset}"
        coded = {**image, "triplet": triplet, "preset": preset, "preset_index": place}
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
                name = f"{triplet}_{candidate['detector']}_{candidate['number']}"
                rows[CANDIDATES].append({**shared, **candidate, "candidate": name})
