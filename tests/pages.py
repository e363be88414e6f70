"""Pages that the commands write: their data, and what holds for all of them in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOSTILE = [
    "<script>window.HIT=1</script>",
    "\"'><img src=x onerror=window.HIT=1>",
    "a#b%41?c",
    "emoji 🦊 and ümlaut",
    "x" * 120,
    "{{ 7 * 7 }}",
]
"""Names of files and ids that mean harm or confuse."""


def page_data(folder: Path) -> dict[str, Any]:
    """What a page's script reads."""
    text = (folder / "data.js").read_text()
    return json.loads(text.removeprefix("globalThis.DATA = ").rstrip().rstrip(";"))


def wait_for_text(page: Any, selector: str, beginning: str) -> None:
    """Wait until an element's text begins so: a page answers a click when it has time."""
    begins = "([place, text]) => document.querySelector(place)?.innerText.startsWith(text)"
    page.wait_for_function(begins, arg=[selector, beginning], timeout=120_000)


@contextmanager
def new_page(browser: Any, **options: Any) -> Iterator[Any]:
    """A page of its own, as in a browser with these options."""
    context = browser.new_context(**options)
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


def check_accessible(page: Any) -> None:
    """Nothing that is shown is seriously inaccessible."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert not serious, [(fault["id"], fault["nodes"][0]["html"][:120]) for fault in serious]


def check_width(page: Any) -> None:
    """Nothing sticks out to the right."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), page.url
