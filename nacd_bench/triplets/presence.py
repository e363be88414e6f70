"""What the labels of a triplet say: whether an artifact of a type is there, and where."""

from __future__ import annotations

from collections.abc import Sequence

from nacd_bench.triplets.record import Box, Label, TripletRecord


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
