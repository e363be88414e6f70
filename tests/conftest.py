"""What all tests share: one thread each, real programs where they are, one line on what was not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

# Before torch loads: tests are small and run side by side, and threads that wait take others' time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from pages import new_page
from processes import Starter

if "NACD_FFMPEG" not in os.environ:
    try:
        import imageio_ffmpeg
    except ImportError:
        pass
    else:
        os.environ["NACD_FFMPEG"] = imageio_ffmpeg.get_ffmpeg_exe()

LONG = (
    "test_fuzz",
    "test_fuzz_tables",
    "test_notebooks",
    "test_mining",
    "test_benchmark",
    "test_hyperprior",
    "test_report",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium")
QUIET = (
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-sync",
    "disable-background-networking",
    "disable-component-update",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """A worker for each core where the whole suite runs; a few files run sooner in this process."""
    return 0 if config.args_source is config.ArgsSource.ARGS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which kinds of tests were skipped and, in their reasons, what they need: in one line."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        kinds = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"{len(skipped)} skipped: {kinds}.")


@pytest.fixture
def other_user() -> Iterator[tuple[Path, Callable[[], AbstractContextManager[None]]]]:
    """A folder that all may enter, and a context in which root has no more rights than others."""

    @contextmanager
    def without_rights() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # nobody
        try:
            yield
        finally:
            os.seteuid(user)

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder), without_rights


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of triplets with planted artifacts, to read: parts of two photographs as JPEGs."""
    from nacd_bench.planting.photographs import photo_path
    from nacd_bench.planting.sample import planted_triplets
    from nacd_bench.triplets.manifest import write_manifest

    folder = tmp_path_factory.mktemp("planted")
    photographs = [photo_path(name) for name in ("coffee", "brick")]
    records, problems = planted_triplets(
        photographs,
        neural="jpeg",
        folder=folder,
        tile=192,
        tiles=14,
        workers=0,
        show_progress=False,
    )
    assert problems == []
    write_manifest(folder / "labelled.parquet", records)
    return folder / "labelled.parquet"


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts processes that have imported all of nacd-bench already."""
    with Starter(tmp_path_factory.mktemp("printed")) as starter:
        yield starter


@pytest.fixture
def zoo() -> Any:
    """CompressAI's models."""
    needs = "need compressai (pip install 'nacd-bench[compressai]')"
    return pytest.importorskip("compressai.zoo.image", reason=needs)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium with an empty profile that asks nobody for anything."""
    needs = "need a browser (apt install chromium, pip install 'nacd-bench[browser]')"
    playwright_api = pytest.importorskip("playwright.sync_api", reason=needs)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(needs)
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=[f"--{switch}" for switch in QUIET]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for any fault on its console and any request that leaves."""
    faults: list[str] = []

    def requested(request: Any) -> None:
        if not request.url.startswith(("file://", "data:", "blob:", "http://127.0.0.1")):
            faults.append(f"left the machine: {request.url}")

    with new_page(browser, viewport={"width": 1200, "height": 900}) as page:
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
        page.on("request", requested)
        page.on("dialog", lambda dialog: dialog.accept())
        yield page
    assert faults == []
