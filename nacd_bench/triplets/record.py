"""What is known about one triplet, before any image is opened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nacd_bench.registry import unknown

ROLES = ("original", "neural", "traditional")
"""The three images of a triplet."""
PLANTED = "planted_kind"
"""The extra column with the kind of a planted artifact."""
ARTIFACT_TYPES = ("texture", "color", "text")
Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels of the original, half-open."""


@dataclass(frozen=True)
class Label:
    """An artifact that somebody or something says is there.

    Args:
        artifact_type: one of :data:`ARTIFACT_TYPES`.
        box: where, or None for somewhere in the image.
        votes_for, votes_against: of the people asked, None where nobody was.
        confirmed: True, False (looked at and refused), or None (not decided).
        detectors: those that boxed the place; empty where somebody drew the box.
    """

    artifact_type: str
    box: Box | None = None
    votes_for: int | None = None
    votes_against: int | None = None
    confirmed: bool | None = None
    detectors: tuple[str, ...] = ()


@dataclass(frozen=True)
class TripletRecord:
    """One row of a manifest.

    Args:
        id: unique in its manifest.
        original, neural, traditional: path of a file (absolute or from the working directory), or
            an URL for fsspec.
        source: id of the image that the original was made from; crops and other rates share it.
        neural_codec, neural_version, neural_point, neural_bpp: how the neural result was made;
            the point as text (``"37"``), bpp in bits per pixel; None where unknown, never NaN.
        traditional_codec, traditional_version, traditional_point, traditional_bpp: likewise.
        artifact_free: True when known to have no artifact, else None.
        labels: artifacts; empty when there are none or nothing is known.
        extra: every other column, by name; empty cells are left out.
        row: its place in the manifest, from 1; not part of the content.
    """

    id: str
    original: str
    neural: str
    traditional: str
    source: str | None = None
    neural_codec: str | None = None
    neural_version: str | None = None
    neural_point: str | None = None
    neural_bpp: float | None = None
    traditional_codec: str | None = None
    traditional_version: str | None = None
    traditional_point: str | None = None
    traditional_bpp: float | None = None
    artifact_free: bool | None = None
    labels: tuple[Label, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    row: int | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """How messages name it: ``"row 734 (id 'a')"``, or ``"triplet 'a'"``."""
        return f"row {self.row} (id '{self.id}')" if self.row else f"triplet '{self.id}'"

    def codec(self, side: str) -> str:
        """The codec of the ``"neural"`` or ``"traditional"`` side with its version; empty where
        neither is known."""
        return named_version(*(getattr(self, f"{side}_{fact}") for fact in ("codec", "version")))


def is_artifact(label: Label) -> bool | None:
    """Whether a label stands for an artifact: as confirmed, else by the votes, None if undecided.

    A label that nobody was asked about counts.

    >>> is_artifact(Label("text")), is_artifact(Label("text", votes_for=2, votes_against=2))
    (True, None)
    """
    if label.confirmed is not None:
        return label.confirmed
    if label.votes_for is None and label.votes_against is None:
        return True
    return True if (label.votes_for or 0) > (label.votes_against or 0) else None


def presence(record: TripletRecord, artifact_type: str) -> bool | None:
    """Whether a triplet has an artifact of a type; None when that is not known.

    It has none when it is known to be free, when a label of the type was refused, or when it has
    artifacts of other types and no label of this one.
    """
    if record.artifact_free:
        return False
    of_type = [
        is_artifact(label) for label in record.labels if label.artifact_type == artifact_type
    ]
    if True in of_type:
        return True
    if None in of_type:
        return None
    others = any(is_artifact(label) for label in record.labels)
    return False if of_type or others else None


def is_clean(record: TripletRecord) -> bool:
    """Whether somebody looked at a triplet and found nothing: it is known to be free, or all its
    labels were refused."""
    refused = [is_artifact(label) is False for label in record.labels]
    return bool(record.artifact_free) or (bool(refused) and all(refused))


def labelled_boxes(record: TripletRecord, artifact_type: str) -> list[Box] | None:
    """Where the artifacts of a type are: empty without any, None when a place is unknown."""
    boxes = [
        label.box
        for label in record.labels
        if label.artifact_type == artifact_type and is_artifact(label)
    ]
    if presence(record, artifact_type) is None or None in boxes:
        return None
    return [box for box in boxes if box is not None]


def cluster_names(records: Sequence[TripletRecord]) -> list[str]:
    """For each triplet a name that those of the same original share.

    That is its source; without one the source of any triplet with the same original file, else the
    first id that has this file.
    """
    names: dict[str, str] = {}
    for record in sorted(records, key=lambda record: (record.source is None, record.id)):
        names.setdefault(record.original, record.source or record.id)
    return [record.source or names[record.original] for record in records]


def named_version(name: str | None, version: str | None) -> str:
    """A codec and its version, which may name the codec itself; empty where neither is known.

    >>> named_version("vm", "vm 3.4"), named_version("hm", "18.0")
    ('vm 3.4', 'hm 18.0')
    """
    name, version = name or "", version or ""
    return version if version.lower().startswith(name.lower()) else f"{name} {version}".strip()


def exchanged(records: Sequence[TripletRecord]) -> list[TripletRecord]:
    """Triplets in which the traditional result stands for the neural one, and the other way round:
    no neural codec made an artifact there."""
    names = ("", "_codec", "_version", "_point", "_bpp")
    neural, traditional = ([f"{side}{name}" for name in names] for side in ROLES[1:])
    pairs = [*zip(neural, traditional, strict=True), *zip(traditional, neural, strict=True)]
    return [
        replace(record, labels=(), **{name: getattr(record, other) for name, other in pairs})
        for record in records
    ]


def contradictions(record: TripletRecord) -> Iterator[str]:
    """What is wrong with the values of a record, one phrase each (expected, got, remedy)."""
    if not record.id:
        yield "expected an id, got an empty one. Give it a name of its own."
    for name in ("neural_bpp", "traditional_bpp"):
        rate = getattr(record, name)
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            yield (
                f"expected {name} to be a positive number of bits per pixel, got {rate}. "
                "Correct it or leave it empty."
            )
    decided: dict[tuple[str, Box | None], tuple[int, bool]] = {}
    for number, label in enumerate(record.labels, 1):
        yield from (f"label {number}: {phrase}" for phrase in _label_contradictions(label))
        if label.confirmed is None:
            continue
        decision = (number, label.confirmed)
        first, confirmed = decided.setdefault((label.artifact_type, label.box), decision)
        if confirmed != label.confirmed:
            yield (
                f"expected one decision about an artifact, got labels {first} and {number} of the "
                "same type and box, one confirmed and one refused. Keep one of them."
            )
    if record.artifact_free and any(label.confirmed for label in record.labels):
        yield (
            "expected artifact_free or confirmed artifacts, got both. "
            "Clear artifact_free or the labels' confirmed."
        )


def boxes_outside(record: TripletRecord, width: int, height: int) -> list[str]:
    """Labels whose box does not lie in an image of this size, a line each."""
    return [
        f"{record.place}: expected boxes inside the {width} x {height} pixels of "
        f"{record.original}, got {list(label.box)} in label {number}. Correct or cut it."
        for number, label in enumerate(record.labels, 1)
        if label.box is not None
        and (min(label.box) < 0 or label.box[2] > width or label.box[3] > height)
    ]


def _label_contradictions(label: Label) -> Iterator[str]:
    if label.artifact_type not in ARTIFACT_TYPES:
        yield unknown("artifact type", label.artifact_type, list(ARTIFACT_TYPES))
    for name in ("votes_for", "votes_against"):
        votes = getattr(label, name)
        if votes is not None and votes < 0:
            yield f"expected {name} to be 0 or more, got {votes}. Correct it or leave it out."
    if label.box is not None:
        x0, y0, x1, y1 = label.box
        if x1 <= x0 or y1 <= y0:
            yield (
                "expected a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got "
                f"{list(label.box)} of no area. Correct it; x1 and y1 are no width and height."
            )
        if x0 < 0 or y0 < 0:
            yield f"expected a box inside the image, got {list(label.box)}. Cut it at 0."
