"""What the journals of a mined folder say is done, whoever wrote them.

``journal/`` has one file per run: ``1-of-1.jsonl`` of a whole one, ``3-of-64.jsonl`` of a shard. A
record is one image, done or set aside, or another name of an image, or an item that could not be
read, or the end of a shard. The files of several folders can be put together in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.coding.originals import Item
from nacd_bench.runs.folder import journal_schema
from nacd_bench.runs.journal import read_journal
from nacd_bench.runs.schema import JOURNALS
from nacd_bench.triplets.files import sha256


@dataclass
class State:
    """What is done, in as few bytes as it takes.

    Args:
        items: marks of items that need no work, see :func:`item_mark`.
        images: hashes of images that are done or set aside, 16 bytes each.
        ended: shards that came to their end.
    """

    items: set[bytes] = field(default_factory=set)
    images: set[bytes] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)


def read_state(folder: Path, retry_failed: bool = False) -> State:
    """What the journals say is done.

    Args:
        folder: the mined folder.
        retry_failed: images with failures count as not done.
    """
    state = State()
    named: dict[bytes, bytes] = {}
    for _, _, record in records(folder):
        if "ended" in record:
            state.ended.add(record["ended"])
        elif "sha256" in record:
            image = bytes.fromhex(record["sha256"])[:16]
            named[_mark(record["name"], record["stamp"])] = image
            if "coded" in record and not (retry_failed and record["failures"]):
                state.images.add(image)
    # A second name is on record as soon as it is seen, which may be before the image is done.
    state.items = {mark for mark, image in named.items() if image in state.images}
    return state


def records(folder: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Every record with its file and the place of its line; torn and damaged lines are left out.

    Raises:
        DataError: a journal of another version.
    """
    for path in sorted((folder / JOURNALS).glob("*.jsonl")):
        for start, record in read_journal(path, journal_schema("mine")):
            yield path, start, record


def record_at(path: Path, start: int) -> Mapping[str, Any]:
    """The record whose line begins there."""
    with path.open("rb") as file:
        file.seek(start)
        return dict(json.loads(file.readline()))


def item_mark(item: Item) -> bytes:
    """16 bytes that tell one state of one item from all others."""
    return _mark(item.name, item.stamp)


def _mark(name: str, stamp: str) -> bytes:
    return bytes.fromhex(sha256(f"{name}\0{stamp}")[:32])
