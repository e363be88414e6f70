"""A run's folder: what may be joined, what tables and settings say about themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nacd_bench.detectors import Boundary, Texture
from nacd_bench.errors import DataError
from nacd_bench.runs.candidates import TablesWriter
from nacd_bench.runs.folder import open_run, require_alike
from nacd_bench.runs.schema import IMAGES, SCHEMA_VERSION, UNPAIRED, schema
from nacd_bench.runs.tables import VERSIONS_KEY, write_table


def test_runs_of_other_versions_are_not_joined() -> None:
    texture, boundary = Texture().settings, Boundary().settings
    mined = {"schema": SCHEMA_VERSION, "detectors": {"texture": texture, "boundary": boundary}}
    other = {"schema": SCHEMA_VERSION, "methods": {"texture": {**texture, "window": 64}}}
    require_alike({"a": mined, "b": other, "c": {}})  # parameters are no versions
    newer = {"detectors": {"texture": {**texture, "version": "99"}}, "schema": 1}
    with pytest.raises(DataError, match=r"texture\.version: \w+ in a, 99 in b") as caught:
        require_alike({"a": mined, "b": newer})
    assert f"schema: {SCHEMA_VERSION} in a, 1 in b" in str(caught.value)
    finder = {"text": {"version": "1", "finder": {"finder": "mmocr", "checkpoint": "ab"}}}
    weights = {"text": {"version": "1", "finder": {"finder": "mmocr", "checkpoint": "cd"}}}
    with pytest.raises(DataError, match=r"text\.finder\.checkpoint: ab in a, cd in b"):
        require_alike({"a": {"detectors": finder}, "b": {"detectors": weights}})


def test_every_table_says_which_versions_made_it(tmp_path: Path) -> None:
    detectors = {"detectors": {"texture": Texture().settings}}
    with open_run(tmp_path, "detect", detectors):
        write_table(tmp_path / UNPAIRED, [], schema(UNPAIRED))
    with TablesWriter(tmp_path) as tables:
        tables.add(IMAGES, schema(IMAGES).empty_table())
    expected = {"texture.version": Texture.version, "schema": SCHEMA_VERSION}
    for path in (tmp_path / "unpaired.parquet", tmp_path / "images" / "part-0.parquet"):
        assert json.loads(pq.read_schema(path).metadata[VERSIONS_KEY]) == expected
