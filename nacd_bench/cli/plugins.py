"""The command ``list``: what is registered, by whom."""

from __future__ import annotations

import ast
from importlib.resources import files
from typing import Literal

from nacd_bench.cli.composing import REGISTRIES
from nacd_bench.cli.printing import show
from nacd_bench.errors import UserError
from nacd_bench.registry import BUILT_IN, Plugin
from nacd_bench.runs.tables import Table
from nacd_bench.settings import checked


@checked
def list_plugins(
    *, kind: Literal["all", "detectors", "baselines", "codecs", "text_finders"]
) -> int:
    rows, faults = [], []
    chosen = [registry for name, registry in REGISTRIES.items() if kind in ("all", f"{name}s")]
    for registry in chosen:
        for name, entry in registry.entries.items():
            origin = "built in" if entry.origin == BUILT_IN else entry.origin
            try:
                what = summary(entry)
            except UserError as error:
                faults.append(str(error))
                what = "does not load, see below"
            rows.append([registry.kind, name, origin, what])
        faults += registry.clashes
    show(Table(("kind", "name", "from", "what it is"), rows), *faults)
    return 1 if faults else 0


def summary(plugin: Plugin) -> str:
    """What a plug-in is: the first line of its docstring.

    Of what is built in it is read from the source, since an import of all takes seconds; codecs
    that are rows of data have it in the first line of their row.
    """
    if plugin.origin != BUILT_IN:
        documentation = plugin.load().__doc__
    else:
        module, _, attribute = plugin.target.partition(":")
        package, *path = module.split(".")
        source = files(package).joinpath(*path[:-1], f"{path[-1]}.py").read_text("utf-8")
        definitions = (ast.ClassDef, ast.FunctionDef)
        objects = {
            node.name: node for node in ast.parse(source).body if isinstance(node, definitions)
        }
        if attribute in objects:
            documentation = ast.get_docstring(objects[attribute])
        else:
            row = files("nacd_conf").joinpath("codec", f"{plugin.name}.yaml").read_text("utf-8")
            documentation = row.lstrip("# ")
    return ((documentation or "").strip().splitlines() or ["-"])[0]
