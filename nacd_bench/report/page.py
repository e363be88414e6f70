"""The one maker of pages: a folder of plain files that a browser opens from the disk.

``index.html`` is written by Jinja, from ``site/NAME.html.j2`` around ``site/page.html.j2``;
``site/NAME.js`` makes the rest out of ``data.js``. Nothing is fetched from anywhere, and every name
that comes from a user reaches the page as text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nacd_bench import __version__
from nacd_bench.triplets.files import plain, write_whole

WEBP: dict[str, Any] = {"quality": 90, "method": 1}
"""Pillow's options for pictures that are not kept as they are."""
SITE = Path(__file__).parent / "site"


def write_page(
    folder: Path, name: str, data: Any, scripts: Sequence[str] = (), **shown: Any
) -> Path:
    """Write a page into a folder of its own; the path of its ``index.html``.

    Args:
        folder: of the page, beside its pictures.
        name: of the page's template and script in ``site/``: report, compare or voting.
        data: JSON values for the script.
        scripts: others of ``site/`` that it needs.
        shown: what the template shows, a ``title`` at the least.
    """
    from jinja2 import Environment, FileSystemLoader

    write_whole(folder / "data.js", f"globalThis.DATA = {safe_json(data)};\n".encode())
    scripts = ("page.js", *scripts, f"{name}.js")
    for file in ("style.css", *scripts):
        write_whole(folder / file, (SITE / file).read_bytes())
    template = Environment(loader=FileSystemLoader(SITE), autoescape=True)
    shown |= {"name": name, "version": __version__, "scripts": scripts}
    html = template.get_template(f"{name}.html.j2").render(**shown)
    write_whole(folder / "index.html", html.encode("utf-8", "backslashreplace"))
    return folder / "index.html"


def safe_json(value: Any) -> str:
    """JSON that may stand in a script: ASCII, no tag can begin in it, NaN is null; what is infinite
    stays so, as a script has it."""
    text = json.dumps(plain(value, keeps_infinite=True), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_picture(path: Path, pixels: NDArray[np.uint8], side: int, **options: Any) -> None:
    """Write ``(H, W, 3)`` as a picture of at most ``side`` pixels each way.

    Args:
        path: ``.webp``, or ``.png`` for pixels as they are.
        pixels: what it shows.
        side: larger ones are reduced to it.
        options: of Pillow's encoder.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(fitted(pixels, side)).save(file, path.suffix[1:], **options)
    write_whole(path, file.getvalue())


def fitted(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``(H, W, 3)``, reduced to ``side`` pixels each way where it is larger."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # Pillow would copy all of it
    return np.asarray(small, np.uint8)
