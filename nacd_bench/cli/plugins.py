"""The command ``list``: what is registered, by whom."""

from __future__ import annotations

from typing import Literal

from nacd_bench.cli.composing import REGISTRIES
from nacd_bench.cli.printing import show
from nacd_bench.errors import UserError
from nacd_bench.registry import BUILT_IN
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
                what = ((entry.load().__doc__ or "").strip().splitlines() or ["-"])[0]
            except UserError as error:
                faults.append(str(error))
                what = "does not load, see below"
            rows.append([registry.kind, name, origin, what])
        faults += registry.clashes
    show(Table(("kind", "name", "from", "what it is"), rows), *faults)
    return 1 if faults else 0
