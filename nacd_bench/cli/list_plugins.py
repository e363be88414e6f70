"""``nacd-bench list``: what is registered."""

from __future__ import annotations

from typing import Any, Literal

from nacd_bench.cli.printing import console
from nacd_bench.errors import UserError
from nacd_bench.registry import (
    BASELINES,
    BUILT_IN,
    CODECS,
    DETECTORS,
    TEXT_FINDERS,
    Registry,
)
from nacd_bench.settings import checked

REGISTRIES: dict[str, Registry] = {
    "detectors": DETECTORS,
    "baselines": BASELINES,
    "codecs": CODECS,
    "text_finders": TEXT_FINDERS,
}


@checked
def run(*, kind: Literal["all", "detectors", "baselines", "codecs", "text_finders"]) -> int:
    from nacd_bench.runs.tables import Table

    rows = []
    faults: list[str] = []
    for plural, registry in REGISTRIES.items():
        if kind not in ("all", plural):
            continue
        for name, entry in registry.entries.items():
            origin = "built in" if entry.origin == BUILT_IN else entry.origin
            try:
                what = _first_line(entry.load())
            except UserError as error:
                faults.append(str(error))
                what = "does not load, see below"
            rows.append((registry.kind, name, origin, what))
        faults += registry.clashes
    out = console()
    out.print(Table(("kind", "name", "from", "what it is"), rows).rich())
    for fault in faults:
        out.print(fault, markup=False)
    return 1 if faults else 0


def _first_line(thing: Any) -> str:
    return ((thing.__doc__ or "").strip().splitlines() or ["-"])[0]
