"""Scripts of benchmarks/ that state speeds: they run, and what they say is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


def output(script: str, *options: str) -> str:
    command = [sys.executable, str(SCRIPTS / script), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cells(printed: str) -> dict[str, list[str]]:
    """Rows of Markdown tables by their first cell."""
    lines = (line for line in printed.splitlines() if line[:1] == "|")
    rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return {first: rest for first, *rest in rows}


def test_a_gpus_functions_have_the_values_of_a_cpus() -> None:
    printed = output("gpu.py", "--device", "cpu", "--quick", "--runs", "1")
    rows = cells(printed)
    for name in ("texture", "boundary", "large_color", "small_color", "text", "color_severity"):
        assert float(rows[name][0]) <= 1e-4 and rows[name][3] == "equal", name
    for name in ("psnr", "ssim", "ms_ssim", "iw_ssim", "vifp", "fsim", "nlpd"):
        assert float(rows[name][0]) <= 1e-6, name
    assert float(rows["0.05"][1]) > 0 and float(rows["0.05"][3]) > 0


def test_one_table_of_all_ratios() -> None:
    page = (SCRIPTS.parent / "docs" / "performance.md").read_text()
    printed = output("all.py", "--quick", "--only", "detectors", "text", "rates")
    rows = cells(printed)
    assert "not measured" not in printed
    assert float(rows["the four detectors together, 0.03 MP"][1]) > 0
    assert rows["the four detectors together, 0.03 MP"][-1] == "3.5 x decoding"
    assert re.fullmatch(r"[\d.]+ s/MP", rows["text looked for without print, 0.05 MP"][0])
    assert (
        float(rows["encodes per target, jpeg, one target an image, 2 images"][0].split(";")[0]) >= 1
    )
    assert (SCRIPTS.parent / "docs" / "performance.md").read_text() == page
