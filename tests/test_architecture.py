"""Imports go downwards only, and nothing goes round in a circle (docs/architecture.md)."""

from __future__ import annotations

from graphlib import TopologicalSorter

import house

LEVELS = (
    ("cli",),
    ("jobs",),
    ("planting", "training"),
    ("report", "pipeline"),
    ("runs",),
    ("evaluation", "coding"),
    ("detectors", "baselines"),
    ("triplets",),
    ("ops", "settings", "numbers", "cache"),
    ("registry",),
    ("errors",),
)
"""From the top; a folder imports from those below its own line, and from itself."""
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
MODULES = house.modules()
EDGES = [(name, other) for name in MODULES for other in house.imports(name, MODULES[name], MODULES)]


def top(name: str) -> str:
    """The folder right under the package, or the module there."""
    return ([*name.split("."), ""])[1]


def test_every_folder_has_a_level() -> None:
    assert {top(name) for name in MODULES if name.startswith("nacd_bench.")} == set(LEVEL)


def test_imports_go_downwards() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, other in EDGES
        if name.startswith("nacd_bench.") and other.startswith("nacd_bench.")
        if top(name) != top(other) and LEVEL[top(other)] <= LEVEL[top(name)]
    ]
    assert not wrong, "\n".join(wrong)


def test_a_job_imports_no_other_job() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, other in EDGES
        if top(name) == top(other) == "jobs"
        if house.room(name) != house.room(other)
    ]
    assert not wrong, "\n".join(wrong)


def test_codecs_know_the_interface_and_what_lies_under_it() -> None:
    allowed = (
        "coding.codec",
        "coding.expected",
        "coding.originals",
        "triplets",
        "ops",
        "settings",
        "registry",
        "errors",
    )
    beginnings = tuple(f"nacd_bench.{name}" for name in allowed)
    wrong = [
        f"{name} imports {other}"
        for name, other in EDGES
        if name.startswith("nacd_codecs") and other.startswith("nacd_bench.")
        if not other.startswith(beginnings)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_house_never_imports_codecs_by_name() -> None:
    wrong = [name for name, other in EDGES if name.startswith("nacd_bench") and "codecs" in other]
    assert not [name for name in wrong if not name.startswith("nacd_codecs")]


def test_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for name, other in EDGES:
        if not other.startswith(f"{name}."):  # a package's names come from its modules
            graph.setdefault(name, set()).add(other)
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle
