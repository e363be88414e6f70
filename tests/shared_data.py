"""The data that lie beside the checkout, in ``shared/data`` of a folder above, where they do."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDERS = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[2:]]
SHARED = next(filter(Path.is_dir, FOLDERS), FOLDERS[0])


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skips a test where ``shared/data`` has nothing of this name."""
    return pytest.mark.skipif(
        not (SHARED / name).exists(), reason=f"need shared/data/{name} beside the checkout"
    )
