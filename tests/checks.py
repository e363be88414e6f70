"""What tests of all kinds ask in one line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def fails(
    error: type[Exception], message: str, call: Callable[..., object], /, *args: Any, **options: Any
) -> None:
    """That a call with these arguments raises this error, with a message that matches."""
    __tracebackhide__ = True
    with pytest.raises(error, match=message):
        call(*args, **options)


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
