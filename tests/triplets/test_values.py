"""Any value that JSON can hold, in any column: an error that says what is wrong, or a record."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nacd_bench.errors import UserError
from nacd_bench.triplets.foreign import import_graded
from nacd_bench.triplets.manifest import read_manifest, write_manifest
from nacd_bench.triplets.rows import COLUMNS
from nacd_bench.triplets.source import find_triplets

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)
SOUND = {"id": "a", "original": "o.png", "neural": "n.png", "traditional": "t.png"}
BOXES = {
    "columns": {
        "original": "o",
        "neural": "n",
        "traditional": "t",
        "artifact_type": "k",
        "box": "b",
    },
    "box": "xywh",
}


@MANY
@given(st.dictionaries(st.sampled_from([*COLUMNS, "extra"]), VALUES, max_size=4))
def test_manifests(changed: dict[str, Any]) -> None:
    """The row is a record that can be written and read again, or one problem."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        path.write_text(json.dumps({**SOUND, **changed}) + "\n", "utf-8")
        try:
            records, problems = find_triplets(path)
        except UserError as error:
            assert path.name in str(error)
            return
        assert len(records) + bool(problems) >= 1
        if records:
            write_manifest(Path(folder) / "again.parquet", records)
            again = read_manifest(Path(folder) / "again.parquet")
            assert [record.labels for record in again] == [record.labels for record in records]


@MANY
@given(VALUES)
def test_boxes_of_foreign_tables(value: Any) -> None:
    """A box with area, of whole numbers, or an error that names the row's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.json"
        row = {"o": "o.png", "n": "n.png", "t": "t.png", "k": "texture", "b": value}
        path.write_text(json.dumps([row]), "utf-8")
        try:
            records = import_graded(path, BOXES)[0]
        except UserError as error:
            assert path.name in str(error)
            return
        for label in records[0].labels:
            if label.box is not None:
                x0, y0, x1, y1 = label.box
                assert x0 < x1 and y0 < y1
