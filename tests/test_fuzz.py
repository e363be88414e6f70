"""Fifty damaged inputs of each kind through the command line; ``tests/fuzz.py`` runs any number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checks import fails
from fuzzed import held

from nacd_bench.coding.originals import Item, read_item
from nacd_bench.errors import ImageError
from nacd_bench.triplets.files import read_bytes


def test_damaged_images_and_settings_cost_nothing_else(tmp_path: Path) -> None:
    held(tmp_path, "png jpeg webp tiff bmp ppm gif avif thresholds codec_yaml tar", 550)


def test_what_has_no_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ImageError, match=f"{path}: expected an image, got a device, pipe"):
            read_bytes(path, "an image", ImageError)
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(ImageError, match=r"got 8\.6 GB, of 4\.3 at most"):
        read_bytes(tmp_path / "large.png", "an image", ImageError)


def test_a_tar_file_that_promises_more_than_it_holds(tmp_path: Path) -> None:
    (tmp_path / "shard.tar").write_bytes(bytes(2000))
    item = Item(0, "shard.tar/a.png", str(tmp_path / "shard.tar"), "", 512, 2**40)
    fails(ImageError, "expected 1099511627776 bytes, got 1488", read_item, item)
