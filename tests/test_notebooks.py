"""Every notebook runs from top to bottom, and is committed without large outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """A kernel for all: what they import takes longer than what they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NACD_BENCH_CACHE", "off")
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(tmp_path_factory.mktemp("notebooks")))
    yield manager
    manager.shutdown_kernel(now=True)


def test_all_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, kernel: KernelManager) -> None:
    book = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 100_000
    cells = book.cells
    book.cells = [nbformat.v4.new_code_cell("%reset -f"), *cells]  # no names of the one before
    NotebookClient(book, km=kernel, timeout=1800).execute()
    assert any(cell.get("outputs") for cell in cells)
