"""The house drawn as a table: each folder, how big it is, what it imports.

    python tests/house.py [CHECKOUT]

``test_architecture.py`` holds the order of the folders, ``docs/architecture.md`` shows the table.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {"nacd_bench": "nacd_bench", "codecs": "nacd_codecs"}
"""Folders of the checkout, and what is imported by which name."""


def modules(root: Path = ROOT) -> dict[str, ast.Module]:
    """Every module that is shipped, by its dotted name."""
    parsed = {}
    for folder, package in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = [package, *path.relative_to(root / folder).with_suffix("").parts]
            name = ".".join(parts).removesuffix(".__init__")
            parsed[name] = ast.parse(path.read_text("utf-8"))
    return parsed


def imports(name: str, module: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of the house that a module imports, wherever in it the statement stands."""
    for node in ast.walk(module):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [inner_name if inner_name in known else node.module for inner_name in inner]
        yield from (other for other in names if other in known and other != name)


def room(name: str) -> str:
    """The folder of a module; a module at the top is a room of its own.

    >>> room("nacd_bench.ops.color"), room("nacd_bench.jobs.mine.run"), room("nacd_codecs.jxl")
    ('ops', 'jobs/mine', 'codecs')
    """
    package, *parts = name.split(".")
    if package == "nacd_codecs":
        return "codecs"
    return "/".join(parts[:2] if parts[:1] == ["jobs"] else parts[:1]) or "nacd_bench"


def table(root: Path = ROOT) -> str:
    """The house as a Markdown table."""
    known = modules(root)
    files, statements = Counter[str](), Counter[str]()
    arrows: dict[str, Counter[str]] = defaultdict(Counter)
    for name, module in known.items():
        files[room(name)] += 1
        statements[room(name)] += sum(isinstance(node, ast.stmt) for node in ast.walk(module))
        arrows[room(name)].update(room(other) for other in imports(name, module, known))
    lines = ["| folder | files | statements | imports |", "|---|---:|---:|---|"]
    for place in sorted(files):
        others = ", ".join(sorted(set(arrows[place]) - {place}))
        lines.append(f"| `{place}` | {files[place]} | {statements[place]} | {others} |")
    lines.append(f"| all | {files.total()} | {statements.total()} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]) if sys.argv[1:] else ROOT))
