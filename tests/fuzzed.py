"""Damaged inputs of some kinds, by ``fuzz.py`` in a process of its own, for tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parent / "fuzz.py"


def held(folder: Path, kinds: str, inputs: int) -> None:
    """That so many inputs, shared out over the kinds, broke nothing; those that did are kept."""
    names = kinds.split()
    done = subprocess.run(
        [
            *(sys.executable, FUZZ, f"--n={inputs}", f"--kinds={','.join(names)}"),
            *("--seed=1", "--jobs=1", f"--keep={folder}"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{inputs} inputs, 0 broken" in done.stdout
