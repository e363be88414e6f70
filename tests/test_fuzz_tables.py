"""Fifty damaged tables of each kind through the command line, where another worker has them."""

from __future__ import annotations

from pathlib import Path

from fuzzed import held


def test_damaged_tables_cost_nothing_else(tmp_path: Path) -> None:
    held(tmp_path, "manifest_csv manifest_jsonl manifest_parquet votes precomputed", 250)


def test_damaged_foreign_tables_cost_nothing_else(tmp_path: Path) -> None:
    held(tmp_path, "mapping foreign_csv boxes", 51)
