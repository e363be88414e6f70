"""What README and CONTRIBUTING show works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from triplet_folder import jpeg, small_photo

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", "docs/benchmark.md", "docs/planted.md", "docs/training.md"],
)
def test_python(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    original = small_photo("astronaut", 200, 200)
    for name, image in {
        "original": original,
        "neural": jpeg(original, 8),
        "traditional": jpeg(original, 40),
    }.items():
        Image.fromarray(image).save(f"{name}.png")
    found = blocks(document, "python")
    assert found
    for code in found:
        exec(compile(code, document, "exec"), {"__name__": "__main__"})
    if document == "README.md":
        printed = capsys.readouterr().out.splitlines()
        assert printed[0].startswith("tensor([0.") and len(printed) == 3


def test_links_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_two_commands_are_there_once() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith("nacd-bench detect") and commands[1].endswith("-m pytest")
